//! What looked like trouble on the networks of all branches: detections, the devices they are about, and certificates that
//! end. It is seen to at the box, which a row leads to.

use super::fleet_security::{NEWS, ago, chips, filters, place, severities, severity_tag, to_box, use_since};
use crate::{
    api::with_query,
    components::{
        Chip, Column, DataTable, Dialog, Empty, Row, Search, Slot, StateChips, Tag, Tone, Toolbar, Until, list::Set,
        list::state_of, paged, status::sentence, use_now, use_opened, use_search,
    },
    data::{Query, use_pages, use_query},
    format,
    route::Route,
    words,
};
use sent_contract::security::{FleetCertificate, FleetDetection, FleetDevice, key};
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for FleetDetection {
    fn key(&self) -> String {
        key(self.box_ref.id, self.row.id)
    }
}

impl Row for FleetDevice {
    fn key(&self) -> String {
        key(self.box_ref.id, &self.row.device.mac)
    }
}

impl Row for FleetCertificate {
    fn key(&self) -> String {
        key(self.box_ref.id, format_args!("{} {} {}", self.row.server, self.row.port, self.row.sha256))
    }
}

/// Detections whose kind is not called as its code is written.
const KINDS: [(&str, &str); 4] = [
    ("dns_tunnel", "DNS tunnel"),
    ("rogue_dhcp", "Rogue DHCP server"),
    ("arp_spoofing", "ARP spoofing"),
    ("listed", "Listed address"),
];

fn kind(code: &str) -> String {
    let known = KINDS.iter().find(|(known, _)| *known == code);
    known.map_or_else(|| sentence(&words::plain(code)), |(_, words)| (*words).to_owned())
}

/// Value and label of the three lists.
const SHOWN: [(&str, &str); 3] = [("", "Detections"), ("devices", "Devices"), ("certificates", "Certificates")];

/// Severities that detections have.
const LEVELS: [(&str, &str); 4] = [("", "Any severity"), ("high", "High"), ("medium", "Medium"), ("low", "Low")];

/// The page.
#[component]
pub fn Network() -> Html {
    let (query, set) = use_query();
    match query.get("show") {
        "devices" => html! { <Devices {query} {set} /> },
        "certificates" => html! { <Certificates {query} {set} /> },
        _ => html! { <Detections {query} {set} /> },
    }
}

#[derive(Properties, PartialEq)]
struct PartProps {
    query: Query,
    set: Set,
}

/// Which of the lists; another one begins without the filters of this one.
fn tabs(query: &Query, set: &Set) -> Html {
    let chip = |(value, label): (&'static str, &'static str)| {
        let go = set.reform(move |_: MouseEvent| {
            let clear = ["q", "state", "severity", "kind"].map(|name| (name, String::new()));
            std::iter::once(("show", value.to_owned())).chain(clear).collect()
        });
        html! { <Chip on={query.get("show") == value} onclick={go}>{ label }</Chip> }
    };
    html! { <span role="group" aria-label="List" class="inline-flex gap-1.5">{ for SHOWN.map(chip) }</span> }
}

/// Filters that every list has.
const PLACES: [&str; 3] = ["organization", "branch", "box"];

fn path_of(route: &str, query: &Query, more: &[(&'static str, String)]) -> String {
    let places = PLACES.iter().chain(&["q"]).map(|name| (*name, query.get(name).to_owned()));
    with_query(route, &places.chain(more.iter().cloned()).collect::<Vec<_>>())
}

fn nothing(query: &Query, title: &'static str, text: &'static str) -> Html {
    if query.any(&PLACES) || query.any(&["q", "severity", "since"]) {
        return html! { <Empty title="Nothing matches" text="Loosen a filter." /> };
    }
    html! { <Empty {title} {text} /> }
}

fn detection_columns() -> Vec<Column<FleetDetection>> {
    let [branch, customer] = place();
    vec![
        Column::new("Severity", |row: &FleetDetection| row.row.severity.clone())
            .cell(|row| severity_tag(&row.row.severity))
            .at(Slot::Value),
        Column::new("Detection", |row: &FleetDetection| row.row.title.clone())
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("Kind", |row: &FleetDetection| kind(&row.row.kind)).class("text-ink-2"),
        branch,
        customer,
        Column::new("Who", |row: &FleetDetection| row.row.source.clone().unwrap_or_default())
            .class("font-mono text-sm")
            .at(Slot::Detail),
        Column::new("To whom", |row: &FleetDetection| row.row.destination.clone().unwrap_or_default())
            .class("font-mono text-sm"),
        Column::new("State", |row: &FleetDetection| sentence(&row.row.state)),
        Column::new("Times", |row: &FleetDetection| row.row.count.to_string())
            .num()
            .cell(|row| format::count(row.row.count).into()),
        ago("Last seen", |row: &FleetDetection| row.row.last_at).at(Slot::Meta),
    ]
}

#[component]
fn Detections(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let (state, asked) = state_of(query, "open");
    let (typed, on_type) = use_search(query, set, "q");
    let from = use_since(query);
    let more = [("state", asked), ("severity", query.get("severity").to_owned()), ("from", from)];
    let pages = use_pages::<FleetDetection>(path_of("/api/fleet/network/detections", query, &more), NEWS);
    let columns = use_memo((), |()| detection_columns());
    let opened = use_opened::<FleetDetection>();
    let empty =
        nothing(query, "The networks are quiet", "What looks like trouble on the wire of any branch appears here.");
    html! {
        <>
            <Toolbar views=true>
                { tabs(query, set) }
                <Search value={typed} placeholder="Title, device, address" on={on_type} />
                <StateChips {state} set={set.clone()} options={vec![("open", "Open"), ("acknowledged", "Acknowledged"), ("all", "All")]} />
                { filters(query, set, &LEVELS) }
                { chips(query, set, &PLACES.map(|name| (name, None))) }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<FleetDetection> {rows} {columns} name="Detections" on_open={opened.open.clone()} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
            if let Some(row) = &opened.row { <Detail row={row.clone()} on_close={opened.close.clone()} /> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    row: Rc<FleetDetection>,
    on_close: Callback<()>,
}

/// What was seen.
#[component]
fn Detail(props: &DetailProps) -> Html {
    let seen = &props.row.row;
    let fact = |label: &str, value: Option<String>| {
        value.map(|value| html! { <><dt class="text-ink-3">{ sentence(&words::plain(label)) }</dt><dd class="break-words">{ value }</dd></> })
    };
    let to = seen.destination.clone().map(|to| seen.port.map_or(to.clone(), |port| format!("{to}, port {port}")));
    html! {
        <Dialog title={seen.title.clone()} on_close={props.on_close.clone()} footer={to_box(&props.row.box_ref)}>
            <p class="mb-3 flex flex-wrap items-center gap-2">
                { severity_tag(&seen.severity) }<Tag>{ kind(&seen.kind) }</Tag>
                <span class="text-ink-3">{ format!("{} · {}", props.row.organization.name, props.row.branch.name) }</span>
            </p>
            <dl class="grid grid-cols-[9rem_minmax(0,1fr)] gap-y-1">
                { for [fact("device", seen.mac.clone()), fact("who", seen.source.clone()), fact("to whom", to)].into_iter().flatten() }
                { for seen.facts.iter().filter_map(|(label, value)| fact(label, Some(value.clone()))) }
                { for fact("first seen", Some(format::absolute(seen.started_at))) }
                { for fact("last seen", Some(format::absolute(seen.last_at))) }
                { for fact("acknowledged by", seen.acknowledged_by.clone()) }
            </dl>
            <p class="mt-3 text-sm text-ink-3">{ "Its packets stay at the branch: they are downloaded and it is acknowledged at the box." }</p>
        </Dialog>
    }
}

fn device_name(row: &FleetDevice) -> String {
    row.row.device.name.clone().unwrap_or_else(|| row.row.device.mac.clone())
}

/// Who made a device, and what runs on it.
fn what(row: &FleetDevice) -> String {
    let known = [&row.row.device.maker, &row.row.device.system].into_iter().flatten().map(String::as_str);
    known.collect::<Vec<_>>().join(" · ")
}

fn device_columns() -> Vec<Column<FleetDevice>> {
    let [branch, customer] = place();
    vec![
        Column::new("Device", device_name).class("font-medium").at(Slot::Title),
        Column::new("Detections", |row: &FleetDevice| severities(&row.row.detections))
            .cell(|row| {
                let worst = row.row.detections.worst().unwrap_or("low");
                html! { <>{ severity_tag(worst) }if row.row.detections.total() > 1 { <span class="ml-2 text-ink-3 max-md:hidden">{ severities(&row.row.detections) }</span> }</> }
            })
            .at(Slot::Value),
        Column::new("What", |row: &FleetDevice| row.row.kinds.iter().map(|code| kind(code)).collect::<Vec<_>>().join(", "))
            .fill(),
        branch,
        customer,
        Column::new("Device is", what).class("max-w-56! text-ink-2"),
        Column::new("Address", |row: &FleetDevice| row.row.device.addresses.first().cloned().unwrap_or_default())
            .class("font-mono text-sm")
            .at(Slot::Detail),
        Column::new("MAC address", |row: &FleetDevice| row.row.device.mac.clone()).class("font-mono text-sm"),
        ago("Last detection", |row: &FleetDevice| row.row.detected_at).at(Slot::Meta),
    ]
}

#[component]
fn Devices(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let navigator = use_navigator();
    let (typed, on_type) = use_search(query, set, "q");
    let from = use_since(query);
    let more = [("severity", query.get("severity").to_owned()), ("from", from)];
    let pages = use_pages::<FleetDevice>(path_of("/api/fleet/network/devices", query, &more), NEWS);
    let columns = use_memo((), |()| device_columns());
    let on_open = use_callback((), move |row: FleetDevice, ()| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Machine { id: row.box_ref.id.to_string() });
        }
    });
    let empty =
        nothing(query, "No device stands out", "A device is here as long as a detection about it is not acknowledged.");
    html! {
        <>
            <Toolbar views=true>
                { tabs(query, set) }
                <Search value={typed} placeholder="Name, maker, address" on={on_type} />
                { filters(query, set, &LEVELS) }
                { chips(query, set, &PLACES.map(|name| (name, None))) }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<FleetDevice> {rows} {columns} name="Devices" {on_open} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct EndProps {
    at: i64,
}

/// When a certificate ends, with how much of a hurry that is.
#[component]
fn End(props: &EndProps) -> Html {
    const WEEK: i64 = 7 * 86_400_000_000;
    let left = props.at - use_now();
    let tone = match left {
        ..0 => Tone::Bad,
        0..WEEK => Tone::Warn,
        _ => Tone::Plain,
    };
    html! { <Tag {tone}>{ if left < 0 { "ended " } else { "" } }<Until at={props.at} /></Tag> }
}

fn remarks(row: &FleetCertificate) -> String {
    let own = row.row.self_signed.then(|| "signs itself".to_owned());
    own.into_iter().chain(row.row.weak.iter().cloned()).collect::<Vec<_>>().join(", ")
}

fn certificate_columns() -> Vec<Column<FleetCertificate>> {
    let [branch, customer] = place();
    vec![
        Column::new("Ends", |row: &FleetCertificate| format::iso(row.row.not_after))
            .cell(|row| html! { <End at={row.row.not_after} /> })
            .at(Slot::Value),
        Column::new("Name", |row: &FleetCertificate| row.row.name.clone().unwrap_or_else(|| row.row.subject.clone()))
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("Server", |row: &FleetCertificate| format!("{}:{}", row.row.server, row.row.port))
            .class("font-mono text-sm")
            .at(Slot::Detail),
        branch,
        customer,
        Column::new("Issuer", |row: &FleetCertificate| row.row.issuer.clone()).class("max-w-64! text-ink-2"),
        Column::new("Key", |row: &FleetCertificate| row.row.key.clone()),
        Column::new("Remarks", remarks),
        ago("First seen", |row: &FleetCertificate| row.row.first_seen).at(Slot::Meta),
    ]
}

#[component]
fn Certificates(props: &PartProps) -> Html {
    let PartProps { query, set } = props;
    let navigator = use_navigator();
    let (state, asked) = state_of(query, "ending");
    let (typed, on_type) = use_search(query, set, "q");
    let everyone = query.get("kind") == "all";
    let whose = if everyone { String::new() } else { "own".to_owned() };
    let pages = use_pages::<FleetCertificate>(
        path_of("/api/fleet/network/certificates", query, &[("state", asked), ("kind", whose)]),
        NEWS,
    );
    let columns = use_memo((), |()| certificate_columns());
    let on_open = use_callback((), move |row: FleetCertificate, ()| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Machine { id: row.box_ref.id.to_string() });
        }
    });
    let toggle =
        set.reform(move |_: MouseEvent| vec![("kind", if everyone { String::new() } else { "all".to_owned() })]);
    let empty = nothing(
        query,
        "No certificate ends soon",
        "Those of the branches' own servers that have ended or end within 30 days stand here.",
    );
    html! {
        <>
            <Toolbar views=true>
                { tabs(query, set) }
                <Search value={typed} placeholder="Name, server, issuer" on={on_type} />
                <StateChips {state} set={set.clone()} options={vec![("ending", "Ending"), ("all", "All")]} />
                <Chip on={everyone} onclick={toggle}>{ "Also of others" }</Chip>
                { chips(query, set, &PLACES.map(|name| (name, None))) }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<FleetCertificate> {rows} {columns} name="Certificates" {on_open} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_as_words() {
        assert_eq!(kind("dns_tunnel"), "DNS tunnel");
        assert_eq!(kind("large_upload"), "Large upload");
    }
}
