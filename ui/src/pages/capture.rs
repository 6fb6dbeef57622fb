//! Interfaces, and the packets kept on disk: what was seen, what was lost and where, and packets to take away.

use super::guard::{NotCaptured, Tabs, use_packets, use_status};
use crate::{
    api::with_query,
    components::{
        Ago, Button, Card, Dot, Empty, Field, Icon, Input, Kind, Kpi, Pick, Tone, Toolbar, form::options, loaded,
        status::sentence,
    },
    format,
    session::use_session,
};
use sent_contract::guard::{Interface, Ring, Status};
use std::rc::Rc;
use yew::prelude::*;

/// The page.
#[component]
pub fn Capture() -> Html {
    let status = use_status();
    html! {
        <>
            <Toolbar><Tabs /></Toolbar>
            if status.data.is_none() {
                <Card pad=false>{ loaded(&status, 10, |_| Html::default()) }</Card>
            } else {
                { loaded(&status, 10, |data| html! { <Full status={data.clone()} /> }) }
            }
        </>
    }
}

/// Frames that were lost, wherever.
fn lost(wire: &Interface) -> u64 {
    wire.dropped_kernel + wire.dropped_interface + wire.dropped_queue
}

/// Of all frames there were.
fn share(wires: &[Interface]) -> f64 {
    let (seen, lost) = wires.iter().fold((0, 0), |(all, missing), wire| (all + wire.frames, missing + lost(wire)));
    lost as f64 / (seen + lost).max(1) as f64
}

#[derive(Properties, PartialEq)]
struct FullProps {
    status: Rc<Status>,
}

#[component]
fn Full(props: &FullProps) -> Html {
    let status = &props.status;
    let wires = &status.interfaces;
    let may = use_session().may("guard.packets");
    if wires.is_empty() {
        return html! { <><NotCaptured />{ faults(status) }</> };
    }
    let rate: f64 = wires.iter().map(|wire| wire.bits_rate).sum();
    let frames: f64 = wires.iter().map(|wire| wire.frames_rate).sum();
    let all: u64 = wires.iter().map(lost).sum();
    let evicted = match status.flows_evicted {
        0 => "none had to make room".to_owned(),
        evicted => format!("{} ended early for want of room", format::count(evicted)),
    };
    html! {
        <>
            <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
                <Kpi label="Now" value={format::measure(rate, "bits_per_second")} note={format!("{} frames a second", format::measure(frames.round(), "count"))} />
                <Kpi label="Lost" value={if all == 0 { "Nothing".to_owned() } else { format::percent(share(wires)) }} note={if all == 0 { "since guard began".to_owned() } else { format!("{} since guard began", format::counted(all, "frame", "frames")) }} />
                <Kpi label="Flows under way" value={format::count(status.flows)} note={evicted} />
                <Kpi label="Packets on disk" value={status.ring.as_ref().map_or_else(|| "None".to_owned(), |ring| format::bytes(ring.bytes as f64))} note={ring_note(status.ring.as_ref())} />
            </div>
            { faults(status) }
            <Card title="Interfaces" pad=false>
                <ul class="md:hidden">{ for wires.iter().map(card) }</ul>
                    <div class="hidden overflow-x-auto md:block"><table class="table">
                        <thead><tr>
                            <th scope="col">{ "Interface" }</th><th scope="col">{ "State" }</th><th scope="col" class="num">{ "Now" }</th><th scope="col" class="num">{ "Frames" }</th><th scope="col" class="num">{ "Bytes" }</th>
                            <th scope="col" class="num" title="The machine is too slow for the line, or the mirror port sends more than the line carries">{ "Lost at the interface" }</th>
                            <th scope="col" class="num" title="Nobody read them in time: more buffer_mib, or a filter">{ "in the kernel" }</th>
                            <th scope="col" class="num" title="Guard was too busy: a filter, or fewer interfaces">{ "in the queue" }</th>
                        </tr></thead>
                        <tbody>{ for wires.iter().map(row) }</tbody>
                    </table></div>
            </Card>
            <div class="grid shrink-0 grid-cols-1 items-start gap-3.5 lg:grid-cols-3">
                <Card title="Packets kept on disk">{ kept(status.ring.as_ref()) }</Card>
                <Card title="Lists" pad=false>{ lists(status) }</Card>
                <Card title="Not kept, not told"><dl class="grid grid-cols-[minmax(0,1fr)_auto] gap-y-1.5">
                    { number("Flows that were not stored: the disk was too slow or full", status.flows_lost) }
                    { number("Detections not told again, since they had been shortly before", status.detections_repeated) }
                    { number("Detections that nobody could take in time", status.detections_lost) }
                    { number("Packets not written to disk", status.ring.as_ref().map_or(0, |ring| ring.dropped)) }
                </dl></Card>
            </div>
            if let Some(ring) = status.ring.as_ref().filter(|_| may) { <Take ring={ring.clone()} /> }
        </>
    }
}

fn number(label: &str, value: u64) -> Html {
    html! { <><dt class="text-ink-2">{ label }</dt><dd class={classes!("pl-4", "text-right", "font-medium", "tabular-nums", (value == 0).then_some("text-ink-3"))}>{ format::count(value) }</dd></> }
}

fn ring_note(ring: Option<&Ring>) -> Html {
    match ring {
        Some(Ring { since: Some(since), .. }) => html! { <>{ "since " }{ format::clock(*since) }</> },
        Some(_) => html! { "no packet yet" },
        None => html! { "ring_mib is 0: none are kept" },
    }
}

/// What does not work.
fn faults(status: &Status) -> Html {
    if status.faults.is_empty() {
        return Html::default();
    }
    html! {
        <ul role="alert" class="shrink-0 rounded-lg border border-line bg-bad-soft px-3.5 py-2 text-bad-ink">
            { for status.faults.iter().map(|fault| html! { <li class="flex items-center gap-2"><Dot tone={Tone::Bad} />{ sentence(fault) }</li> }) }
        </ul>
    }
}

fn state(wire: &Interface) -> Html {
    let (tone, word) = match &wire.fault {
        Some(fault) => (Tone::Bad, sentence(fault)),
        None => (Tone::Ok, "Listens".to_owned()),
    };
    html! { <span class="inline-flex items-center gap-1.5"><Dot {tone} />{ word }</span> }
}

fn row(wire: &Interface) -> Html {
    let drop = |count: u64| {
        let class = if count > 0 { "num font-medium text-warn-ink" } else { "num text-ink-3" };
        html! { <td {class}>{ format::count(count) }</td> }
    };
    html! {
        <tr key={wire.name.clone()}>
            <td class="font-medium">{ &wire.name }</td>
            <td>{ state(wire) }</td>
            <td class="num">{ format::measure(wire.bits_rate, "bits_per_second") }</td>
            <td class="num" title={format!("The kernel says {}", format::count(wire.received))}>{ format::count(wire.frames) }</td>
            <td class="num">{ format::bytes(wire.bytes as f64) }</td>
            { drop(wire.dropped_interface) }{ drop(wire.dropped_kernel) }{ drop(wire.dropped_queue) }
        </tr>
    }
}

/// An interface on a phone.
fn card(wire: &Interface) -> Html {
    html! {
        <li key={wire.name.clone()} class="border-b border-line-2 px-3.5 py-2.5 last:border-0">
            <div class="flex gap-3"><b class="flex-1 font-medium">{ &wire.name }</b>{ state(wire) }</div>
            <div class="mt-0.5 flex gap-3 text-sm text-ink-2 tabular-nums"><span class="flex-1">{ format!("{} frames, {}", format::count(wire.frames), format::bytes(wire.bytes as f64)) }</span>{ format::measure(wire.bits_rate, "bits_per_second") }</div>
            <div class={classes!("text-sm", "tabular-nums", if lost(wire) > 0 { "text-warn-ink" } else { "text-ink-3" })}>
                { format!("lost: {} at the interface, {} in the kernel, {} in the queue", format::count(wire.dropped_interface), format::count(wire.dropped_kernel), format::count(wire.dropped_queue)) }
            </div>
        </li>
    }
}

fn kept(ring: Option<&Ring>) -> Html {
    let Some(ring) = ring else {
        return html! { <p class="text-ink-2">{ "None: " }<code class="font-mono">{ "ring_mib" }</code>{ " is 0 in the settings. With it, a detection's packets can be looked at." }</p> };
    };
    let full = ring.bytes as f64 / ring.limit.max(1) as f64;
    html! {
        <>
            <p class="flex gap-3"><b class="flex-1 font-semibold tabular-nums">{ format::bytes(ring.bytes as f64) }</b><span class="text-ink-3 tabular-nums">{ format!("of {}, {}", format::bytes(ring.limit as f64), format::percent(full)) }</span></p>
            <svg class="my-2 block h-2 w-full" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={format!("{} full", format::percent(full))}>
                <rect class="fill-line-2" width="100" height="8" rx="1.5" /><rect class="fill-accent" width={format!("{:.1}", (full * 100.0).clamp(0.5, 100.0))} height="8" rx="1.5" />
            </svg>
            <p class="text-ink-2">
                { match ring.since { Some(since) => html! { <>{ "The first packet is from " }<Ago at={since} />{ ". When it is full, the oldest go for the newest." }</> }, None => html! { "No packet has come yet." } } }
            </p>
        </>
    }
}

fn lists(status: &Status) -> Html {
    if status.lists.is_empty() {
        return html! { <Empty title="No list is loaded" text="Name files of addresses, networks and domains in guard.lists: traffic with them is told." /> };
    }
    html! {
        <ul>
            for (name, entries) in status.lists.iter() {
                <li key={name.clone()} class="flex gap-3 border-b border-line-2 px-3.5 py-2 last:border-0"><span class="min-w-0 flex-1 truncate" title={name.clone()}>{ name }</span><span class="text-ink-3 tabular-nums">{ format::counted(*entries, "entry", "entries") }</span></li>
            }
        </ul>
    }
}

#[derive(Properties, PartialEq)]
struct TakeProps {
    ring: Ring,
}

/// Packets of a time, of one address if one is named.
#[component]
fn Take(props: &TakeProps) -> Html {
    let packets = use_packets();
    let minutes = use_state(|| "5".to_owned());
    let address = use_state(String::new);
    let on_minutes = {
        let minutes = minutes.setter();
        Callback::from(move |text| minutes.set(text))
    };
    let on_address = {
        let address = address.setter();
        Callback::from(move |text| address.set(text))
    };
    let submit = {
        let (minutes, address) = (minutes.clone(), address.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let now = format::now();
            let from = now - minutes.parse::<i64>().unwrap_or(5) * 60_000_000;
            let address = address.trim().to_owned();
            let name = if address.is_empty() { "packets".to_owned() } else { address.clone() };
            let query = [("from", from.to_string()), ("to", now.to_string()), ("address", address)];
            packets.emit((with_query("/api/guard/packets.pcapng", &query), name));
        })
    };
    let empty = props.ring.since.is_none();
    html! {
        <Card title="Take packets away">
            <form class="flex flex-wrap items-end gap-3" onsubmit={submit} novalidate=true>
                <Field label="Time" class="w-44"><Pick value={(*minutes).clone()} on={on_minutes} options={options(&[("1", "The last minute"), ("5", "The last 5 minutes"), ("15", "The last 15 minutes"), ("60", "The last hour"), ("360", "The last 6 hours"), ("1440", "The last day")])} /></Field>
                <Field label="Address" class="w-56"><Input name="address" placeholder="All addresses" value={(*address).clone()} on={on_address} /></Field>
                <Button kind={Kind::Primary} submit=true disabled={empty}><Icon name="download" class="size-3.5" />{ "Save as pcapng" }</Button>
            </form>
            <p class="mt-2 text-sm text-ink-3">{ "At most 64 MiB, for Wireshark and its like. Who takes packets is written into the audit." }</p>
        </Card>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_a_share_of_all_there_was() {
        let wire =
            Interface { frames: 90, dropped_kernel: 5, dropped_interface: 3, dropped_queue: 2, ..Interface::default() };
        assert_eq!(lost(&wire), 10);
        assert!((share(std::slice::from_ref(&wire)) - 0.1).abs() < 1e-9);
        assert!(share(&[]).abs() < 1e-9);
    }
}
