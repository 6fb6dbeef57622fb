//! One line of a search: time, host, program and message; opened, its fields and the bytes that arrived.

use super::Narrow;
use crate::{
    components::{Icon, Tag, Tone, status::sentence},
    format,
    pages::radar::{ToLogs, around, field_act, fields, original},
};
use sent_contract::radar::Hit;
use std::rc::Rc;
use yew::prelude::*;

/// What tells who wrote a line, the most telling first.
const WRITERS: [&str; 4] = ["process.name", "event.provider", "winlog.provider_name", "log.file.path"];

/// Properties of [`Line`].
#[derive(Properties, PartialEq)]
pub struct LineProps {
    /// The line.
    pub hit: Rc<Hit>,
    /// A value was chosen.
    pub narrow: Narrow,
}

fn value<'a>(hit: &'a Hit, name: &str) -> Option<&'a str> {
    hit.fields.iter().find(|(field, value)| field == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// A level that somebody should see (syslog's and the usual frameworks' names), as a word with its colour.
fn alarming(level: &str) -> Option<Tone> {
    match level.to_ascii_lowercase().as_str() {
        "emerg" | "emergency" | "alert" | "crit" | "critical" | "fatal" | "err" | "error" => Some(Tone::Bad),
        "warn" | "warning" => Some(Tone::Warn),
        _ => None,
    }
}

/// A line.
#[component]
pub fn Line(props: &LineProps) -> Html {
    let hit = &props.hit;
    let open = use_state_eq(|| false);
    let toggle = {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(!*open))
    };
    let text = if hit.message.is_empty() { &hit.original } else { &hit.message };
    let host = value(hit, "host.name").unwrap_or_default();
    let writer = WRITERS.iter().find_map(|name| value(hit, name)).unwrap_or_default();
    let level = value(hit, "log.level").and_then(|level| Some((level, alarming(level)?)));
    html! {
        <li class="border-b border-line-2 last:border-0">
            <button type="button" data-line="true" aria-expanded={open.to_string()} onclick={toggle}
                class="grid w-full grid-cols-[auto_minmax(0,1fr)] items-baseline gap-x-3 px-3.5 py-1.5 text-left text-sm hover:bg-line-2/55 focus-visible:-outline-offset-2 md:grid-cols-[auto_9.5rem_9rem_8rem_minmax(0,1fr)]">
                <Icon name="chevron" class={if *open { "size-3 self-center text-ink-3" } else { "size-3 self-center -rotate-90 text-ink-3" }} />
                <span class="truncate tabular-nums text-ink-2" title={format::absolute(hit.at)}>{ format::precise(hit.at) }<span class="md:hidden">{ format!(" · {host}") }</span></span>
                <span class="truncate text-ink-2 max-md:hidden">{ host }</span>
                <span class="truncate text-ink-3 max-md:hidden">{ writer }</span>
                <span class="truncate font-mono max-md:col-start-2">
                    if let Some((level, tone)) = level { <span class="mr-1.5 font-sans"><Tag {tone}>{ sentence(level) }</Tag></span> }
                    { text.lines().next().unwrap_or_default() }
                </span>
            </button>
            if *open { <Opened hit={hit.clone()} narrow={props.narrow.clone()} /> }
        </li>
    }
}

#[component]
fn Opened(props: &LineProps) -> Html {
    let hit = &props.hit;
    let narrow = &props.narrow;
    let acts = |name: &str, value: &str| {
        let act = |not: bool| {
            let (name, value) = (name.to_owned(), value.to_owned());
            narrow.reform(move |()| (name.clone(), value.clone(), not))
        };
        html! {
            <>
                { field_act(format!("Only {name} as here"), "plus", act(false)) }
                { field_act(format!("Without {name} as here"), "minus", act(true)) }
            </>
        }
    };
    let host = value(hit, "host.name").unwrap_or_default();
    html! {
        <div class="grid gap-2 px-3.5 pt-1 pb-3.5 md:pl-9">
            <p class="flex flex-wrap gap-x-4 gap-y-0.5 text-sm text-ink-3">
                <span>{ format::absolute(hit.at) }</span>
                <span>{ "received " }{ format::precise(hit.received) }</span>
                if !host.is_empty() { <ToLogs button=false address={around(host, "", hit.at, hit.at)}>{ format!("All of {host} around it") }</ToLogs> }
            </p>
            { original(&hit.original) }
            { fields(&hit.fields, acts) }
        </div>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_that_alarm() {
        assert_eq!(
            (alarming("Error"), alarming("warning"), alarming("info")),
            (Some(Tone::Bad), Some(Tone::Warn), None)
        );
    }
}
