//! The fleet: every box with its one status, filtered by the address, and actions on many at once after a dry run.

use super::{bulk::Bulk, claim::ClaimDialog};
use crate::{
    api::with_query,
    components::{
        Button, Chip, Column, DataTable, Dot, Empty, Icon, Kind, NewButton, Row, Search, Since, Slot, Tag, Tone,
        Toolbar, paged,
        status::{level_word, sentence},
        use_flag, use_search,
    },
    data::{use_pages, use_query, use_resource},
    format,
    route::Route,
    session::use_session,
};
use sent_contract::fleet::{BoxCounts, BoxRow};
use std::{collections::BTreeSet, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

const FILTERS: [&str; 4] = ["status", "organization", "tag", "q"];

impl Row for BoxRow {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<BoxRow>> {
    vec![
        Column::new("Status", |row: &BoxRow| level_word(row.status.level).into())
            .cell(|row| html! { <span class="inline-flex" title={level_word(row.status.level)}><Dot tone={Tone::from(row.status.level)} /></span> })
            .class("w-8"),
        Column::new("Box", |row: &BoxRow| row.name.clone())
            .cell(|row| html! { <span class="inline-flex items-center gap-2 font-[550]"><span class="inline-flex md:hidden"><Dot tone={Tone::from(row.status.level)} /></span>{ &row.name }</span> })
            .at(Slot::Title),
        Column::new("Customer", |row: &BoxRow| row.organization.name.clone()).at(Slot::Value),
        Column::new("Status and cause", |row: &BoxRow| sentence(&row.status.cause)).fill().at(Slot::Detail),
        Column::new("Since", |row: &BoxRow| format::iso(row.status.since)).cell(|row| html! { <Since at={row.status.since} /> }).at(Slot::Meta),
        Column::new("Version", |row: &BoxRow| row.version.clone()).class("font-mono text-sm"),
        Column::new("Tags", |row: &BoxRow| row.tags.join(" ")).cell(|row| html! {
            <span class="inline-flex gap-1">{ for row.tags.iter().map(|tag| html! { <Tag>{ tag }</Tag> }) }</span>
        }),
        Column::new("Alerts", |row: &BoxRow| row.alerts.to_string()).num().cell(|row| html! { if row.alerts > 0 { { row.alerts } } else { <span class="text-ink-3">{ "—" }</span> } }),
        Column::new("Behind", |row: &BoxRow| row.behind.to_string()).num().cell(|row| html! { if row.behind > 0 { { format::count(row.behind) } } else { { "0" } } }),
        Column::new("Lag", |row: &BoxRow| row.lag_seconds.map(|lag| lag.to_string()).unwrap_or_default())
            .num()
            .cell(|row| match row.lag_seconds {
                Some(lag) => html! { format::measure(lag, "seconds") },
                None => html! { <span class="text-ink-3">{ "—" }</span> },
            }),
    ]
}

/// The list of boxes.
#[component]
pub fn Boxes() -> Html {
    let navigator = use_navigator();
    let (query, set) = use_query();
    let session = use_session();
    let (typed, on_type) = use_search(&query, &set, "q");
    let counts = use_resource::<BoxCounts>(Some("/api/fleet/boxes/counts".into()), &["fleet.boxes"]);
    let filter = with_query("", &FILTERS.map(|name| (name, query.get(name).to_owned())));
    let pages = use_pages::<BoxRow>(format!("/api/fleet/boxes{filter}"), &["fleet.boxes"]);
    let columns = use_memo((), |()| columns());
    let selected = use_state(|| Rc::new(BTreeSet::<String>::new()));
    let (bulk, act, acted) = use_flag();
    let (claiming, claim, claimed) = use_flag();

    let on_select = {
        let selected = selected.setter();
        use_callback((), move |chosen: BTreeSet<String>, ()| selected.set(Rc::new(chosen)))
    };
    let on_open = use_callback((), move |row: BoxRow, ()| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Machine { id: row.id.to_string() });
        }
    });
    let counts = counts.data.as_deref().cloned().unwrap_or_default();
    let status = query.get("status").to_owned();
    let chip = |value: &'static str, label: &'static str, count: u64| {
        let on = status == value;
        let set = set.clone();
        let onclick = Callback::from(move |_: MouseEvent| {
            set.emit(vec![("status", if on { String::new() } else { value.to_owned() })]);
        });
        html! { <Chip {on} count={count} {onclick}>{ label }</Chip> }
    };
    let all = {
        let set = set.clone();
        Callback::from(move |_: MouseEvent| set.emit(vec![("status", String::new())]))
    };
    let drop_chip = |name: &'static str, label: String| {
        let set = set.clone();
        let onclick = Callback::from(move |_: MouseEvent| set.emit(vec![(name, String::new())]));
        html! { <Chip on=true {onclick}>{ label }<Icon name="close" class="size-3" /></Chip> }
    };
    let organization = pages
        .rows
        .as_ref()
        .and_then(|rows| rows.first())
        .map_or_else(|| "customer".to_owned(), |row| row.organization.name.clone());
    let chosen = selected.len();
    let matching = pages.total.unwrap_or_else(|| pages.rows.as_ref().map_or(0, |rows| rows.len() as u64));
    let actions = html! {
        <>
            if session.may("fleet.box.write") {
                <Button onclick={act.reform(|_: MouseEvent| ())} disabled={matching == 0}>
                    if chosen > 0 { { format!("{} selected · Act…", format::count(chosen as u64)) } } else { { "Act on all…" } }
                </Button>
            }
            if session.may("fleet.claim.write") { <NewButton label="Claim a box" onclick={claim.clone()} /> }
        </>
    };
    let empty = if query.any(&FILTERS) {
        let clear = set.reform(|_: MouseEvent| FILTERS.map(|name| (name, String::new())).to_vec());
        html! { <Empty title="No box matches" text="Loosen a filter, or clear them all."><Button onclick={clear}>{ "Clear filters" }</Button></Empty> }
    } else {
        html! { <Empty title="No boxes yet" text="Make a claim code here, type it on the box, and it appears in this list."><Button kind={Kind::Primary} onclick={claim.reform(|_: MouseEvent| ())}>{ "Claim a box" }</Button></Empty> }
    };
    html! {
        <>
            <Toolbar {actions} views=true>
                <Search value={typed} placeholder="Find a box" on={on_type} />
                <Chip on={status.is_empty()} count={counts.total} onclick={all}>{ "All" }</Chip>
                { chip("bad", "Critical", counts.bad) }
                { chip("warn", "Degraded", counts.warn) }
                { chip("ok", "Healthy", counts.ok) }
                { chip("unknown", "Never seen", counts.unknown) }
                if !query.get("tag").is_empty() { { drop_chip("tag", format!("tag: {}", query.get("tag"))) } }
                if !query.get("organization").is_empty() { { drop_chip("organization", organization) } }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<BoxRow> {rows} {columns} name="Boxes" {on_open} selected={(*selected).clone()} on_select={on_select.clone()}
                    on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
            if bulk {
                <Bulk boxes={(*selected).clone()} filter={filter.trim_start_matches('?').to_owned()} {matching} on_close={acted}
                    on_done={let (on_select, reload) = (on_select, pages.reload.clone()); Callback::from(move |()| { on_select.emit(BTreeSet::new()); reload.emit(()); })} />
            }
            if claiming {
                <ClaimDialog on_close={claimed} />
            }
        </>
    }
}
