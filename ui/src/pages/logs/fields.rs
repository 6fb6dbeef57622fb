//! The fields of the lines that are shown, and the most frequent values of one of them in all lines that match.

use super::Narrow;
use crate::{
    api::with_query,
    components::{Card, Empty, Icon, Input, list::Set, loaded},
    data::use_resource,
    format,
    pages::radar::{bar, field_act},
};
use sent_contract::radar::{Hit, Values};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;

/// Fields that are listed at most; the others are found by their name.
const MOST: usize = 40;
/// Values that are shown of a field.
const VALUES: usize = 10;

/// Properties of [`Fields`].
#[derive(Properties, PartialEq)]
pub struct FieldsProps {
    /// The lines that are shown.
    pub hits: Rc<Vec<Hit>>,
    /// The field that is open; may be empty.
    pub open: String,
    /// Query and time of the search.
    pub parts: [(&'static str, String); 3],
    /// Changes the address.
    pub set: Set,
    /// A value was chosen.
    pub narrow: Narrow,
}

/// Names and in how many lines each stands, the most frequent first.
fn named(hits: &[Hit]) -> Vec<(String, usize)> {
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for hit in hits {
        let mut names: Vec<&str> = hit.fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            *found.entry(name).or_default() += 1;
        }
    }
    let mut found: Vec<(String, usize)> = found.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    found
}

/// The sidebar.
#[component]
pub fn Fields(props: &FieldsProps) -> Html {
    let names = use_memo(props.hits.clone(), |hits| named(hits));
    let wanted = use_state(String::new);
    let on = {
        let wanted = wanted.clone();
        Callback::from(move |text: String| wanted.set(text))
    };
    let lines = props.hits.len().max(1);
    let all = names.iter().filter(|(name, _)| name.contains(wanted.trim()) || *name == props.open);
    // The open one stays in sight although the lines of another search do not have it.
    let gone = !props.open.is_empty() && !names.iter().any(|(name, _)| *name == props.open);
    let row = |name: &str, count: Option<usize>| {
        let open = name == props.open;
        let to = if open { String::new() } else { name.to_owned() };
        html! {
            <li key={name.to_owned()}>
                <button type="button" aria-expanded={open.to_string()} onclick={props.set.reform(move |_: MouseEvent| vec![("field", to.clone())])}
                    class={classes!("flex", "w-full", "items-center", "gap-2", "px-3.5", "py-1", "text-left", "text-sm", "hover:bg-line-2/55", "focus-visible:-outline-offset-2", open.then_some("font-medium"))}>
                    <Icon name="chevron" class={if open { "size-3 text-ink-3" } else { "size-3 -rotate-90 text-ink-3" }} />
                    <span class="min-w-0 flex-1 truncate font-mono" title={name.to_owned()}>{ name }</span>
                    if let Some(count) = count { <span class="tabular-nums text-ink-3" title="Of the lines that are shown">{ format::percent(count as f64 / lines as f64) }</span> }
                </button>
                if open { <Top field={name.to_owned()} parts={props.parts.clone()} narrow={props.narrow.clone()} /> }
            </li>
        }
    };
    html! {
        <Card title="Fields" pad=false aside={html! { { format::count(names.len() as u64) } }}>
            if names.is_empty() && !gone {
                <Empty title="No fields" text="Lines show what they hold." />
            } else {
                if names.len() > 12 {
                    <div class="px-3.5 py-2"><Input label="Find a field" placeholder="Find a field" value={(*wanted).clone()} {on} /></div>
                }
                <ul class="max-h-[36rem] overflow-auto pb-1.5">
                    if gone { { row(&props.open, None) } }
                    { for all.take(MOST).map(|(name, count)| row(name, Some(*count))) }
                </ul>
            }
        </Card>
    }
}

#[derive(Properties, PartialEq)]
struct TopProps {
    field: String,
    parts: [(&'static str, String); 3],
    narrow: Narrow,
}

/// The most frequent values of a field.
#[component]
fn Top(props: &TopProps) -> Html {
    let own = [("field", props.field.clone()), ("most", VALUES.to_string())];
    let path = with_query("/api/radar/values", &[&props.parts[..], &own[..]].concat());
    let values = use_resource::<Values>(Some(path), &[]);
    let act = |value: &str, not: bool| {
        let (field, value) = (props.field.clone(), value.to_owned());
        props.narrow.reform(move |()| (field.clone(), value.clone(), not))
    };
    html! {
        <div class="border-y border-line-2 bg-bg px-3.5 py-2">
            { loaded(&values, 3, |values| html! {
                <>
                    if values.values.is_empty() { <p class="text-sm text-ink-3">{ "No line that matches has it." }</p> }
                    <ul class="grid gap-1.5">
                        for (value, count) in values.values.iter() {
                            <li key={value.clone()} class="group grid grid-cols-[minmax(0,1fr)_auto] items-center gap-x-2 text-sm">
                                <span class="truncate font-mono" title={value.clone()}>{ value }</span>
                                <span class="flex items-center">
                                    <span class="mr-1 tabular-nums text-ink-3">{ format::count(*count) }</span>
                                    { field_act(format!("Only {value}"), "plus", act(value, false)) }
                                    { field_act(format!("Without {value}"), "minus", act(value, true)) }
                                </span>
                                <span class="col-span-2">{ bar(std::iter::once(("fill-c1", *count as f64)), values.lines as f64) }</span>
                            </li>
                        }
                    </ul>
                    <p class="mt-1.5 text-sm text-ink-3">
                        { format!("{} with it", format::counted(values.lines, "line", "lines")) }
                        if !values.complete { { ", and more: time ran out" } }
                    </p>
                </>
            }) }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_counts_once_a_line() {
        let hit = |names: &[&str]| Hit {
            at: 0,
            received: 0,
            position: 0,
            message: String::new(),
            original: String::new(),
            fields: names.iter().map(|name| ((*name).to_owned(), "x".to_owned())).collect(),
        };
        let found = named(&[hit(&["b", "a", "b"]), hit(&["b"])]);
        assert_eq!(found, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
    }
}
