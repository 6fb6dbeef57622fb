//! Open alerts of all boxes; a row leads to its box, because it is acknowledged there.

use super::alerts::state_tag;
use crate::{
    api::with_query,
    components::{
        Ago, Column, DataTable, Empty, Row, Search, Since, Slot, StateChips, Toolbar, list::state_of, paged, use_search,
    },
    data::{use_pages, use_query},
    format,
    route::Route,
    words,
};
use sent_contract::fleet::BoxAlert;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for BoxAlert {
    fn key(&self) -> String {
        self.alert.id.to_string()
    }
}

fn name(row: &BoxAlert) -> String {
    row.box_ref.as_ref().map(|named| named.name.clone()).unwrap_or_default()
}

fn customer(row: &BoxAlert) -> String {
    row.organization.as_ref().map(|named| named.name.clone()).unwrap_or_default()
}

fn columns() -> Vec<Column<BoxAlert>> {
    vec![
        Column::new("State", |row: &BoxAlert| row.alert.state.clone())
            .cell(|row| state_tag(&row.alert))
            .at(Slot::Value),
        Column::new("Alert", |row: &BoxAlert| row.alert.title.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Box", name).at(Slot::Detail),
        Column::new("Customer", customer).class("text-ink-2"),
        Column::new("Severity", |row: &BoxAlert| words::severity(&row.alert.severity)),
        Column::new("Since", |row: &BoxAlert| format::iso(row.alert.raised_at))
            .cell(|row| html! { <Since at={row.alert.raised_at} /> })
            .at(Slot::Meta),
        Column::new("Resolved", |row: &BoxAlert| row.alert.resolved_at.map(format::iso).unwrap_or_default())
            .cell(|row| html! { <Ago at={row.alert.resolved_at} /> }),
        Column::new("Acknowledged by", |row: &BoxAlert| row.alert.acknowledged_by.clone().unwrap_or_default())
            .class("text-ink-2"),
    ]
}

/// The page.
#[component]
pub fn Alerts() -> Html {
    let navigator = use_navigator();
    let (query, set) = use_query();
    let (state, asked) = state_of(&query, "open");
    let (typed, on_type) = use_search(&query, &set, "q");
    let path = with_query("/api/fleet/alerts", &[("state", asked), ("q", query.get("q").to_owned())]);
    let pages = use_pages::<BoxAlert>(path, &["fleet.boxes", "fleet.entries"]);
    let columns = use_memo((), |()| columns());
    let (title, text) = match state.as_str() {
        _ if !query.get("q").is_empty() => ("No alert matches", "Loosen a filter."),
        "open" => ("No open alerts", "No box reports anything that needs a person."),
        _ => ("No alerts", "None in this state."),
    };
    let empty = html! { <Empty {title} {text} /> };
    let on_open = use_callback((), move |row: BoxAlert, ()| {
        if let (Some(navigator), Some(named)) = (&navigator, &row.box_ref) {
            navigator.push(&Route::Machine { id: named.id.to_string() });
        }
    });
    html! {
        <>
            <Toolbar views=true>
                <Search value={typed} placeholder="Alert" on={on_type} />
                <StateChips {state} {set} options={vec![("open", "Open"), ("resolved", "Resolved"), ("all", "All")]} />
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<BoxAlert> {rows} {columns} name="Alerts" {on_open} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
        </>
    }
}
