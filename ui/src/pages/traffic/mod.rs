//! Traffic of a time: what flows add up to, drawn and counted, and the flows themselves. The network's page shows all of it,
//! a device's page what is its own. Time and filters stand in the address.

mod bands;
mod flows;
mod timeline;

use super::{
    explore::range,
    guard::{NotCaptured, Ranges, app, chosen, colour, deaf, use_holders, use_status},
};
use crate::{
    api::with_query,
    components::{
        Button, Card, Empty, Input, Kind, Kpi, Pick, Search, Toolbar, list::Set, loaded, use_now, use_search,
    },
    data::{Query, use_resource},
    format,
};
use bands::{Bands, Node, coloured, nodes, picked};
use flows::Flows;
use sent_contract::guard::{Spoken, Status, Traffic as Answer};
use std::rc::Rc;
use timeline::Timeline;
use yew::prelude::*;

/// Filters in the address; a device's page has its own for the device.
const FILTERS: [&str; 5] = ["address", "mac", "port", "app", "q"];
/// Lines of a list beside the drawing.
const LINES: usize = 8;

/// Properties of [`Traffic`].
#[derive(Properties, PartialEq)]
pub struct TrafficProps {
    /// The only device, where it is one's own page.
    #[prop_or_default]
    pub mac: Option<AttrValue>,
    /// The address.
    pub query: Query,
    /// Changes it.
    pub set: Set,
    /// Stands before the times.
    #[prop_or_default]
    pub children: Html,
}

/// All of it.
#[component]
pub fn Traffic(props: &TrafficProps) -> Html {
    let (query, set) = (&props.query, &props.set);
    let status = use_status();
    let holders = use_holders();
    let (from, to, rolling) = range(query, use_now());
    let value = |name: &str| query.get(name).to_owned();
    let mac = props.mac.as_ref().map_or_else(|| value("mac"), ToString::to_string);
    let asked = vec![
        ("from", from.to_string()),
        ("to", to.to_string()),
        ("address", value("address")),
        ("mac", mac),
        ("port", value("port")),
        ("app", value("app")),
        ("q", value("q")),
    ];
    let answer = use_resource::<Answer>(Some(with_query("/api/guard/traffic", &asked)), &[]);
    let filtered = query.any(&FILTERS);
    let nothing = answer.data.as_ref().is_some_and(|answer| answer.flows == 0 && answer.bytes_out == 0);
    let silent = deaf(&status) && nothing && !filtered;
    let empty = if filtered {
        html! { <Empty title="Nothing matches" text="Choose a longer time, or clear the filters." /> }
    } else {
        html! { <Empty title="No traffic in this time" text="A flow counts when it has ended, or every five minutes while it lasts. Choose a longer time, or wait a little." /> }
    };
    let zoom = set.reform(|range: Option<(i64, i64)>| {
        let (from, to) = range.map(|(from, to)| (from.to_string(), to.to_string())).unwrap_or_default();
        vec![("from", from), ("to", to)]
    });
    html! {
        <>
            <Toolbar views={props.mac.is_none()}>
                { props.children.clone() }
                <Ranges {rolling} span={(from, to)} set={set.clone()} />
            </Toolbar>
            if silent {
                if props.mac.is_none() { <NotCaptured /> } else { <Card>{ empty }</Card> }
            } else {
                <Filters query={query.clone()} set={set.clone()} apps={answer.data.as_ref().map(|answer| answer.apps.clone()).unwrap_or_default()} own={props.mac.is_some()} />
                if let Some(answer) = answer.data.as_ref().filter(|_| !nothing) {
                    if props.mac.is_none() { <Headline answer={answer.clone()} status={status.data.clone()} /> }
                    <Drawn answer={answer.clone()} set={set.clone()} {from} {to} {zoom} own={props.mac.is_some()} />
                } else {
                    <Card pad=false>{ loaded(&answer, 10, |_| empty) }</Card>
                }
                <Flows query={asked} {holders} deaf={deaf(&status)} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct FiltersProps {
    query: Query,
    set: Set,
    apps: Vec<Spoken>,
    own: bool,
}

#[component]
fn Filters(props: &FiltersProps) -> Html {
    let (query, set) = (&props.query, &props.set);
    let (name, on_name) = use_search(query, set, "q");
    let (address, on_address) = use_search(query, set, "address");
    let (port, on_port) = use_search(query, set, "port");
    let on_port = on_port.reform(|text: String| text.chars().filter(char::is_ascii_digit).take(5).collect());
    let wanted = query.get("app");
    let mut codes: Vec<String> = props.apps.iter().filter_map(|spoken| spoken.app.clone()).collect();
    if !wanted.is_empty() && !codes.iter().any(|code| code == wanted) {
        codes.push(wanted.to_owned());
    }
    let options = std::iter::once(("".into(), "All applications".into()))
        .chain(codes.into_iter().map(|code| (code.clone().into(), app(Some(&code)).into())))
        .collect::<Vec<_>>();
    let clear = set.reform(|_: MouseEvent| FILTERS.map(|name| (name, String::new())).to_vec());
    html! {
        <div class="toolbar flex shrink-0 flex-wrap items-center gap-2">
            <Search value={name} placeholder="Name of the destination" on={on_name} />
            <Input class="w-40! md:w-48!" label="Address" placeholder="Address" value={address} on={on_address} />
            <Input class="w-18!" label="Port" placeholder="Port" mode="numeric" value={port} on={on_port} />
            <Pick class="w-auto!" label="Application" value={wanted.to_owned()} {options} on={set.reform(|app| vec![("app", app)])} />
            if !props.own { { chosen(query, set, "mac", query.get("mac").to_owned()) } }
            if query.any(&FILTERS) { <Button kind={Kind::Ghost} onclick={clear}>{ "Clear" }</Button> }
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct HeadlineProps {
    answer: Rc<Answer>,
    status: Option<Rc<Status>>,
}

/// Four numbers.
#[component]
fn Headline(props: &HeadlineProps) -> Html {
    let answer = &props.answer;
    let whole = answer.bytes_out + answer.bytes_in;
    let ways =
        format!("{} there, {} back", format::bytes(answer.bytes_out as f64), format::bytes(answer.bytes_in as f64));
    let destinations = format::counted(answer.destinations, "destination", "destinations");
    let under_way = props.status.as_ref().map(|status| format!("{} under way now", format::count(status.flows)));
    let now = props.status.as_ref().map(|status| {
        let rate: f64 = status.interfaces.iter().map(|wire| wire.bits_rate).sum();
        let (seen, lost) = status.interfaces.iter().fold((0, 0), |(seen, lost), wire| {
            (seen + wire.frames, lost + wire.dropped_kernel + wire.dropped_interface + wire.dropped_queue)
        });
        let share = lost as f64 / (seen + lost).max(1) as f64;
        let note = if lost == 0 {
            "no frame was lost".to_owned()
        } else {
            format!("{} of frames were lost", format::percent(share))
        };
        (format::measure(rate, "bits_per_second"), note)
    });
    let (rate, lost) = now.unwrap_or_else(|| ("—".to_owned(), String::new()));
    html! {
        <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
            <Kpi label="Traffic" value={format::bytes(whole as f64)} note={ways} />
            <Kpi label="Flows" value={format::count(answer.flows)} note={under_way.unwrap_or_default()} />
            <Kpi label="Who began" value={format::counted(answer.sources, "address", "addresses")} note={destinations} />
            <Kpi label="On the wire now" value={rate} note={lost} />
        </div>
    }
}

#[derive(Properties, PartialEq)]
struct DrawnProps {
    answer: Rc<Answer>,
    set: Set,
    from: i64,
    to: i64,
    zoom: Callback<Option<(i64, i64)>>,
    own: bool,
}

/// The drawings, and beside them the lists.
#[component]
fn Drawn(props: &DrawnProps) -> Html {
    let answer = &props.answer;
    let apps = coloured(answer);
    let by_destination = use_state_eq(|| props.own);
    let ends = if *by_destination { &answer.top_destinations } else { &answer.top_sources };
    let (top, _) = nodes(ends, LINES);
    let count = if *by_destination { answer.destinations } else { answer.sources };
    let swap = {
        let by_destination = by_destination.clone();
        Callback::from(move |_: MouseEvent| by_destination.set(!*by_destination))
    };
    let title = if *by_destination { "Top destinations" } else { "Top talkers" };
    let other = if *by_destination { "Who began" } else { "Destinations" };
    let aside = html! {
        <>
            <span class="tabular-nums">{ format::count(count) }</span>
            <button type="button" class="text-accent hover:underline" onclick={swap}>{ other }</button>
        </>
    };
    html! {
        <div class="grid shrink-0 grid-cols-1 items-start gap-3.5 lg:grid-cols-[minmax(0,1fr)_19rem]">
            <div class="flex min-w-0 flex-col gap-3.5">
                <Card title="Who talks to whom"><Bands traffic={answer.clone()} set={props.set.clone()} /></Card>
                <Card title="Over time" aside={html! { <span class="hidden md:inline">{ "drag to zoom" }</span> }}>
                    <Timeline traffic={answer.clone()} {apps} from={props.from} to={props.to} zoom={props.zoom.clone()} />
                </Card>
            </div>
            <div class="flex min-w-0 flex-col gap-3.5">
                <Card {title} pad=false {aside}>{ talkers(&top, &props.set) }</Card>
                <Card title="Applications" pad=false aside={html! { <span class="tabular-nums">{ format::count(answer.apps.len() as u64) }</span> }}>{ spoken(answer, &props.set) }</Card>
            </div>
        </div>
    }
}

/// A bar, as long as its share of the longest.
fn bar(share: f64, class: &'static str) -> Html {
    html! {
        <svg class="mt-1 block h-[5px] w-full" viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true">
            <rect class="fill-line-2" width="100" height="5" rx="1" />
            <rect {class} width={format!("{:.1}", (share * 100.0).clamp(0.6, 100.0))} height="5" rx="1" />
        </svg>
    }
}

const LINE: &str = "block w-full px-3.5 py-1.5 text-left hover:bg-line-2";

fn talkers(top: &[Node], set: &Set) -> Html {
    let most = top.iter().map(Node::bytes).max().unwrap_or(0).max(1) as f64;
    let line = |node: &Node| {
        let filters = picked(&[node]);
        html! {
            <tr key={node.label.clone()}><td class="p-0!"><button type="button" class={LINE} title={node.ways()} onclick={set.reform(move |_: MouseEvent| filters.clone())}>
                <span class="flex gap-3"><span class="min-w-0 flex-1 truncate font-medium">{ &node.label }</span><span class="tabular-nums text-ink-2">{ format::bytes(node.bytes() as f64) }</span></span>
                { bar(node.bytes() as f64 / most, "fill-accent") }
            </button></td></tr>
        }
    };
    html! { <table class="talkers my-1 w-full table-fixed"><tbody>{ for top.iter().map(line) }</tbody></table> }
}

fn spoken(answer: &Answer, set: &Set) -> Html {
    let apps = coloured(answer);
    let bytes = |spoken: &Spoken| (spoken.bytes_out + spoken.bytes_in) as f64;
    let whole = (answer.bytes_out + answer.bytes_in).max(1) as f64;
    let line = |one: &Spoken| {
        let place = apps.iter().position(|app| one.app.as_ref() == Some(app)).unwrap_or(usize::MAX);
        let share = bytes(one) / whole;
        let inner = html! {
            <>
                <span class="flex gap-3">
                    <span class="min-w-0 flex-1 truncate">{ app(one.app.as_deref()) }</span>
                    <span class="tabular-nums text-ink-2">{ format::bytes(bytes(one)) }</span>
                    <span class="w-11 text-right tabular-nums text-ink-3">{ format::percent(share) }</span>
                </span>
                { bar(share, colour(place)) }
            </>
        };
        let flows = format::counted(one.flows, "flow", "flows");
        html! {
            <li key={one.app.clone().unwrap_or_default()}>
                { match one.app.clone() {
                    Some(code) => html! { <button type="button" class={LINE} title={flows} onclick={set.reform(move |_: MouseEvent| vec![("app", code.clone())])}>{ inner }</button> },
                    None => html! { <div class="px-3.5 py-1.5" title={flows}>{ inner }</div> },
                } }
            </li>
        }
    };
    html! { <ul class="py-1">{ for answer.apps.iter().take(LINES).map(line) }</ul> }
}
