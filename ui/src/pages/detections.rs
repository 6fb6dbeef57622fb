//! What looked like trouble on the wire: the queue, and one detection with its facts and its packets.

use super::guard::{NotCaptured, Tabs, deaf, kind, kinds, meaning, severity, use_holders, use_packets, use_status};
use crate::{
    api::with_query,
    components::{
        Ago, Button, Column, DataTable, Dialog, Empty, Icon, Kind, Pick, Refusal, Row, Since, Slot, StateChips, Tag,
        Tone, Toolbar, list::state_of, paged, status::sentence, use_opened, use_sending,
    },
    data::{use_pages, use_query},
    format,
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::guard::Detection;
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// A link with filters.
type Filtered = Link<Route, BTreeMap<&'static str, String>>;

impl Row for Detection {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// From whom, to whom, on which port.
fn ends(detection: &Detection) -> String {
    let to = match (&detection.destination, detection.port) {
        (Some(to), Some(port)) if to.contains(':') => format!("[{to}]:{port}"),
        (Some(to), Some(port)) => format!("{to}:{port}"),
        (Some(to), None) => to.clone(),
        (None, Some(port)) => format!("port {port}"),
        (None, None) => String::new(),
    };
    let from = detection.source.as_ref().or(detection.mac.as_ref()).cloned().unwrap_or_default();
    if to.is_empty() { from } else { format!("{from} → {to}") }
}

fn state_tag(detection: &Detection) -> Html {
    let tone = if detection.state == "open" { Tone::Plain } else { Tone::Ok };
    html! { <Tag {tone}>{ sentence(&detection.state) }</Tag> }
}

/// Columns of a list of detections.
pub fn columns() -> Vec<Column<Detection>> {
    vec![
        Column::new("Severity", |detection: &Detection| detection.severity.clone())
            .cell(|detection| severity(&detection.severity))
            .at(Slot::Value),
        Column::new("What", |detection: &Detection| sentence(&detection.title))
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("Kind", |detection: &Detection| kind(&detection.kind)).class("text-ink-2").at(Slot::Detail),
        Column::new("Who", ends).class("max-w-80! text-ink-2 tabular-nums"),
        Column::new("Times", |detection: &Detection| format::count(detection.count)).num(),
        Column::new("State", |detection: &Detection| detection.state.clone()).cell(state_tag),
        Column::new("First", |detection: &Detection| format::iso(detection.started_at))
            .cell(|detection| html! { <Ago at={detection.started_at} /> })
            .class("text-ink-3"),
        Column::new("Last", |detection: &Detection| format::iso(detection.last_at))
            .cell(|detection| html! { <Ago at={detection.last_at} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Detections() -> Html {
    let (query, set) = use_query();
    let status = use_status();
    let (state, asked) = state_of(&query, "open");
    let wanted = query.get("kind").to_owned();
    let path = with_query("/api/guard/detections", &[("state", asked), ("kind", wanted.clone())]);
    let pages = use_pages::<Detection>(path, &["table:guard_detections"]);
    let columns = use_memo((), |()| columns());
    let opened = use_opened::<Detection>();
    let options: Vec<(AttrValue, AttrValue)> = std::iter::once(("".into(), "All kinds".into()))
        .chain(kinds().map(|(code, name)| (code.into(), name.into())))
        .collect();
    let empty = match (state.as_str(), wanted.is_empty()) {
        ("open", true) => html! {
            <Empty title="Nothing looks like trouble" text="Scans, beacons, tunnels, rogue servers, passwords in the clear and more would stand here until somebody has seen to them." />
        },
        _ => {
            html! { <Empty title="No detection matches" text="None of this kind, or none in this state."><Button onclick={set.reform(|_: MouseEvent| vec![("kind", String::new()), ("state", "all".to_owned())])}>{ "See all" }</Button></Empty> }
        }
    };
    let none = pages.rows.as_ref().is_some_and(|rows| rows.is_empty()) && state == "open" && wanted.is_empty();
    html! {
        <>
            <Toolbar views=true>
                <Tabs />
                <StateChips {state} set={set.clone()} options={vec![("open", "Open"), ("acknowledged", "Acknowledged"), ("all", "All")]} />
                <Pick class="w-auto!" label="Kind" value={wanted} {options} on={set.reform(|kind| vec![("kind", kind)])} />
            </Toolbar>
            if none && deaf(&status) {
                <NotCaptured />
            } else {
                { paged(&pages, |rows| html! {
                    <DataTable<Detection> {rows} {columns} name="Detections" on_open={opened.open.clone()} on_more={pages.more.clone()} every={pages.every.clone()} {empty} />
                }) }
            }
            if let Some(detection) = &opened.row {
                <Detail detection={detection.clone()} on_close={opened.close.clone()} on_done={pages.reload.clone()} />
            }
        </>
    }
}

/// Properties of [`Detail`].
#[derive(Properties, PartialEq)]
pub struct DetailProps {
    /// It.
    pub detection: Rc<Detection>,
    /// Closes it.
    pub on_close: Callback<()>,
    /// It was acknowledged.
    pub on_done: Callback<()>,
}

/// One detection: what was seen, what it means, its packets.
#[component]
pub fn Detail(props: &DetailProps) -> Html {
    let detection = &props.detection;
    let session = use_session();
    let holders = use_holders();
    let packets = use_packets();
    let sending = use_sending(&props.on_close, &props.on_done);
    let acknowledge = {
        let (sending, id) = (sending.clone(), detection.id);
        Callback::from(move |()| {
            let path = format!("/api/guard/detections/{id}/acknowledge");
            sending.act(Method::POST, path, "Acknowledged: the same trouble will be a new detection");
        })
    };
    let take = {
        let path = format!("/api/guard/packets.pcapng?detection={}", detection.id);
        let name = format!(
            "{} {}",
            kind(&detection.kind),
            detection.source.as_ref().or(detection.mac.as_ref()).map_or("", String::as_str)
        );
        packets.reform(move |_: MouseEvent| (path.clone(), name.clone()))
    };
    let open = detection.state == "open";
    let footer = html! {
        <>
            if session.may("guard.packets") { <Button onclick={take}><Icon name="download" class="size-3.5" />{ "Packets" }</Button> }
            if session.may("guard.write") { <Button kind={Kind::Primary} submit=true busy={sending.busy} disabled={!open}>{ "Acknowledge" }</Button> }
        </>
    };
    let end = |address: &Option<String>| {
        address.as_ref().map(|address| {
            let name = holders.get(address).and_then(|(name, _)| name.clone());
            let query = BTreeMap::from([("address", address.clone()), ("range", "24h".to_owned())]);
            html! {
                <>
                    <Filtered classes="text-accent hover:underline" to={Route::Network} {query}>{ address }</Filtered>
                    if let Some(name) = name { <span class="text-ink-3">{ " " }{ name }</span> }
                </>
            }
        })
    };
    let (source, destination) = (end(&detection.source), end(&detection.destination));
    html! {
        <Dialog title={kind(&detection.kind)} on_close={props.on_close.clone()} on_submit={open.then_some(acknowledge)} {footer}>
            <h3 class="text-lg font-semibold break-words">{ sentence(&detection.title) }</h3>
            <p class="mt-1 mb-3 flex flex-wrap items-center gap-2">
                { severity(&detection.severity) }{ state_tag(detection) }
                <span class="text-ink-2">{ "since " }<Since at={detection.started_at} />{ match detection.count { 1 => ", told once".to_owned(), count => format!(", told {} times", format::count(count)) } }</span>
            </p>
            <p class="mb-3 text-ink-2">{ meaning(&detection.kind) }</p>
            <dl class="grid grid-cols-[8rem_minmax(0,1fr)] gap-y-1">
                if let Some(source) = source { <dt class="text-ink-3">{ "From" }</dt><dd>{ source }</dd> }
                if let Some(destination) = destination { <dt class="text-ink-3">{ "To" }</dt><dd>{ destination }</dd> }
                if let Some(port) = detection.port { <dt class="text-ink-3">{ "Port" }</dt><dd class="tabular-nums">{ port }</dd> }
                if let Some(mac) = &detection.mac {
                    <dt class="text-ink-3">{ "Device" }</dt>
                    <dd><Link<Route> classes="font-mono text-sm text-accent hover:underline" to={Route::Device { mac: mac.clone() }}>{ mac }</Link<Route>></dd>
                }
                for (fact, value) in detection.facts.iter() {
                    <dt class="text-ink-3">{ sentence(fact) }</dt><dd class="break-words">{ fact_value(value) }</dd>
                }
                <dt class="text-ink-3">{ "First evidence" }</dt><dd>{ format::absolute(detection.started_at) }</dd>
                <dt class="text-ink-3">{ "Last evidence" }</dt><dd>{ format::absolute(detection.last_at) }</dd>
                if let Some(by) = &detection.acknowledged_by { <dt class="text-ink-3">{ "Acknowledged by" }</dt><dd>{ by }</dd> }
            </dl>
            <Refusal error={sending.error.clone()} />
        </Dialog>
    }
}

/// A fact as people read it: a count of bytes in its unit.
fn fact_value(value: &str) -> String {
    match value.strip_suffix(" bytes").and_then(|count| count.parse::<u64>().ok()) {
        Some(count) => format::bytes(count as f64),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_read_as_addresses_do() {
        let mut detection: Detection = serde_json::from_value(serde_json::json!({
            "id": "018f0000-0000-7000-8000-000000000000", "kind": "scan", "severity": "high", "title": "t", "state": "open",
            "facts": {}, "mac": "aa:bb", "source": "10.0.0.1", "destination": "10.0.0.2", "port": 22,
            "community_id": null, "started_at": 0, "last_at": 0, "count": 1, "acknowledged_by": null
        }))
        .expect("a detection");
        assert_eq!(ends(&detection), "10.0.0.1 → 10.0.0.2:22");
        (detection.source, detection.destination) = (None, Some("fe80::1".into()));
        assert_eq!(ends(&detection), "aa:bb → [fe80::1]:22");
        (detection.destination, detection.port) = (None, None);
        assert_eq!(ends(&detection), "aa:bb");
        assert_eq!((fact_value("1500 bytes"), fact_value("12 s")), ("1.5 kB".to_owned(), "12 s".to_owned()));
    }
}
