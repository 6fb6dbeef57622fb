//! The audit timeline: who did what when, old → new, and whether the chain is whole.

use crate::{
    FLEET,
    api::{self, with_query},
    components::{
        Ago, Button, Chip, Column, DataTable, Dialog, Empty, Input, Kind, Row, Search, Slot, Tag, Tone, Toolbar, paged,
        status::sentence, use_flag, use_opened, use_search,
    },
    data::{use_pages, use_query},
    format, words,
};
use sent_contract::audit::{Change, Entry, Verification};
use serde_json::Value;
use std::rc::Rc;
use yew::prelude::*;

/// An entry in a line: what was done, and what it touched; its code is at hand for those who look for it.
pub fn summary(entry: &Entry) -> Html {
    let touched = touched(entry);
    html! {
        <span title={entry.action.clone()}>
            <span class="text-ink-2">{ decapitalised(&words::action(&entry.action)) }</span>
            if !touched.is_empty() { <span class="text-ink-3">{ " · " }{ touched }</span> }
        </span>
    }
}

/// Words that go on in a sentence.
fn decapitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// `3 rows of entries, lines`.
fn touched(entry: &Entry) -> String {
    let mut tables: Vec<&str> = entry.changes.iter().map(|change| change.table.as_str()).collect();
    tables.sort_unstable();
    tables.dedup();
    if tables.is_empty() {
        return String::new();
    }
    let tables: Vec<String> = tables.into_iter().map(words::plain).collect();
    format!("{} of {}", format::counted(entry.changes.len() as u64, "row", "rows"), tables.join(", "))
}

/// A value as a person reads it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// One row's change, column by column.
#[derive(Properties, PartialEq)]
pub struct ChangeProps {
    /// The change.
    pub change: Change,
}

/// Old → new.
#[component]
pub fn ChangeView(props: &ChangeProps) -> Html {
    let change = &props.change;
    let (word, tone) = match change.op.as_str() {
        "i" => ("added", Tone::Ok),
        "d" => ("removed", Tone::Bad),
        _ => ("changed", Tone::Plain),
    };
    let key = change.key.values().map(plain).collect::<Vec<_>>().join(" · ");
    let mut columns: Vec<&String> = change.old.keys().chain(change.new.keys()).collect();
    columns.sort();
    columns.dedup();
    html! {
        <div class="rounded-md border border-line-2">
            <div class="flex items-center gap-2 border-b border-line-2 px-2.5 py-1.5">
                <b class="font-medium">{ sentence(&words::plain(&change.table)) }</b><Tag {tone}>{ word }</Tag>
                <code class="ml-auto truncate font-mono text-sm text-ink-3" title={key.clone()}>{ key }</code>
            </div>
            <dl class="grid grid-cols-[minmax(6rem,auto)_1fr] gap-x-4 gap-y-0.5 px-2.5 py-1.5 text-sm">
                for column in columns {
                    <dt class="text-ink-3">{ words::plain(column) }</dt>
                    <dd class="min-w-0 break-words">
                        { match (change.old.get(column), change.new.get(column)) {
                            (Some(old), Some(new)) => html! { <><del class="text-ink-3">{ plain(old) }</del>{ " → " }<span>{ plain(new) }</span></> },
                            (Some(old), None) => html! { <del class="text-ink-3">{ plain(old) }</del> },
                            (None, Some(new)) => html! { { plain(new) } },
                            (None, None) => Html::default(),
                        } }
                    </dd>
                }
            </dl>
        </div>
    }
}

impl Row for Entry {
    fn key(&self) -> String {
        self.sequence.to_string()
    }
}

fn columns() -> Vec<Column<Entry>> {
    vec![
        Column::new("No.", |entry: &Entry| entry.sequence.to_string()).num().class("text-ink-3 w-16"),
        Column::new("When", |entry: &Entry| format::iso(entry.at))
            .cell(|entry| html! { <Ago at={entry.at} /> })
            .at(Slot::Meta),
        Column::new("Who", |entry: &Entry| entry.actor.clone()).at(Slot::Value),
        Column::new("What", |entry: &Entry| words::action(&entry.action).into_owned())
            .class("font-medium")
            .at(Slot::Title),
        Column::new("Code", |entry: &Entry| entry.action.clone()).class("font-mono text-sm text-ink-3"),
        Column::new("Rows", touched).class("text-ink-2").fill().at(Slot::Detail),
        Column::new("Hash", |entry: &Entry| entry.hash.clone())
            .cell(|entry| html! { { entry.hash.get(..12).unwrap_or(&entry.hash) } })
            .class("font-mono text-sm text-ink-3"),
    ]
}

const FILTERS: [&str; 5] = ["actor", "action", "table", "key", "people"];

/// The timeline.
#[component]
pub fn Audit() -> Html {
    let (query, set) = use_query();
    let (typed, on_type) = use_search(&query, &set, "action");
    let path = with_query("/api/audit", &FILTERS.map(|name| (name, query.get(name).to_owned())));
    let pages = use_pages::<Entry>(path, &["audit"]);
    let columns = use_memo((), |()| columns());
    let opened = use_opened::<Entry>();
    let (verifying, verify, verified) = use_flag();
    let field = |name: &'static str, label: &'static str| {
        let set = set.clone();
        html! { <Input class="w-24! md:w-36!" placeholder={label} label={label} value={query.get(name).to_owned()} on={Callback::from(move |value| set.emit(vec![(name, value)]))} /> }
    };
    let clear = {
        let set = set.clone();
        Callback::from(move |_: MouseEvent| set.emit(FILTERS.map(|name| (name, String::new())).to_vec()))
    };
    let people = query.get("people") == "true";
    let only_people =
        set.reform(move |_: MouseEvent| vec![("people", if people { String::new() } else { "true".to_owned() })]);
    let actions = html! { <Button onclick={verify.reform(|_: MouseEvent| ())}>{ "Verify chain" }</Button> };
    let empty = html! { <Empty title="Nothing here" text="No change matches these filters. Every change that somebody makes appears here." /> };
    html! {
        <>
            <Toolbar {actions} views=true>
                <Search value={typed} placeholder="Code, capital.entry" on={on_type} />
                if !FLEET { <Chip on={people} onclick={only_people}>{ "By people" }</Chip> }
                { field("actor", "Who") }
                { field("table", "Table") }
                { field("key", "Key") }
                if query.any(&FILTERS) { <Button kind={Kind::Ghost} onclick={clear}>{ "Clear" }</Button> }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<Entry> {rows} {columns} name="Audit" on_open={opened.open.clone()} on_more={pages.more.clone()}
                    every={pages.every.clone()} total={pages.total} {empty} />
            }) }
            if let Some(entry) = &opened.row {
                <Dialog title={words::action(&entry.action).into_owned()} wide=true on_close={opened.close.clone()}><Detail entry={entry.clone()} /></Dialog>
            }
            if verifying {
                <Verify on_close={verified} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    entry: Rc<Entry>,
}

#[component]
fn Detail(props: &DetailProps) -> Html {
    let entry = &props.entry;
    html! {
        <div class="flex flex-col gap-3">
            <p class="text-ink-2"><b class="font-semibold text-ink">{ &entry.actor }</b>{ ", " }{ format::absolute(entry.at) }</p>
            { for entry.changes.iter().map(|change| html! { <ChangeView change={change.clone()} /> }) }
            <dl class="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-0.5 text-sm text-ink-3">
                <dt>{ "Action" }</dt><dd class="font-mono">{ &entry.action }</dd>
                <dt>{ "Entry" }</dt><dd class="tabular-nums">{ entry.sequence }</dd>
                <dt>{ "Request" }</dt><dd class="font-mono">{ entry.request.to_string() }</dd>
                <dt>{ "Hash" }</dt><dd class="font-mono break-all">{ &entry.hash }</dd>
            </dl>
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct VerifyProps {
    on_close: Callback<()>,
}

#[component]
fn Verify(props: &VerifyProps) -> Html {
    let answer = use_state(|| None::<Result<Verification, api::Failure>>);
    {
        let answer = answer.setter();
        use_effect_with((), move |()| {
            wasm_bindgen_futures::spawn_local(async move {
                answer.set(Some(api::post("/api/audit/verify", &serde_json::json!({})).await));
            });
        });
    }
    let footer =
        html! { <Button kind={Kind::Primary} onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Close" }</Button> };
    html! {
        <Dialog title="Verify the audit chain" on_close={props.on_close.clone()} {footer}>
            { match &*answer {
                None => html! { <p class="text-ink-2" role="status">{ "Reading every entry and its hash…" }</p> },
                Some(Err(failure)) => html! { <p role="alert" class="text-bad-ink">{ sentence(&failure.to_string()) }</p> },
                Some(Ok(Verification { entries, broken: None })) => html! {
                    <p><Tag tone={Tone::Ok}>{ "Whole" }</Tag>{ " " }{ format::counted(*entries, "entry", "entries") }{ " read; nothing was changed, removed or put in between." }</p>
                },
                Some(Ok(Verification { entries, broken: Some(broken) })) => html! {
                    <p><Tag tone={Tone::Bad}>{ "Broken" }</Tag>{ format!(" at entry {}: {}. {} read.", format::count(broken.sequence.unsigned_abs()), broken.cause, format::counted(*entries, "entry", "entries")) }</p>
                },
            } }
        </Dialog>
    }
}
