//! Journal entries of all boxes as they were projected here, with how long each took from its box.

use super::journal::amounts;
use crate::{
    api::with_query,
    components::{Ago, Chip, Column, DataTable, Empty, Icon, Row, Search, Slot, Toolbar, paged, use_search},
    data::{use_pages, use_query},
    format,
    route::Route,
};
use sent_contract::fleet::FleetEntry;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for FleetEntry {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<FleetEntry>> {
    vec![
        Column::new("Number", |entry: &FleetEntry| entry.number.clone()).class("font-mono text-sm").at(Slot::Meta),
        Column::new("Box", |entry: &FleetEntry| entry.box_ref.name.clone()).class("font-medium").at(Slot::Detail),
        Column::new("Customer", |entry: &FleetEntry| entry.organization.name.clone()),
        Column::new("Date", |entry: &FleetEntry| entry.date.clone())
            .cell(|entry| html! { { format::plain_date(&entry.date) } }),
        Column::new("Description", |entry: &FleetEntry| entry.description.clone()).fill().at(Slot::Title),
        Column::new("Posted", |entry: &FleetEntry| format::iso(entry.posted_at))
            .cell(|entry| html! { <Ago at={entry.posted_at} /> })
            .class("text-ink-3"),
        Column::new("Here after", |entry: &FleetEntry| {
            ((entry.received_at - entry.posted_at) as f64 / 1e6).to_string()
        })
        .num()
        .cell(
            |entry| html! { { format::measure((entry.received_at - entry.posted_at).max(0) as f64 / 1e6, "seconds") } },
        ),
        Column::new("Amount", |entry: &FleetEntry| amounts(&entry.debits)).num().at(Slot::Value),
    ]
}

/// The page.
#[component]
pub fn Entries() -> Html {
    let navigator = use_navigator();
    let (query, set) = use_query();
    let path =
        with_query("/api/fleet/entries", &["organization", "box", "q"].map(|name| (name, query.get(name).to_owned())));
    let pages = use_pages::<FleetEntry>(path, &["fleet.entries"]);
    let columns = use_memo((), |()| columns());
    // A row leads to its box; the list is one stop of the keyboard.
    let on_open = use_callback((), move |entry: FleetEntry, ()| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Machine { id: entry.box_ref.id.to_string() });
        }
    });
    let first = pages.rows.as_ref().and_then(|rows| rows.first().cloned());
    let chip = |name: &'static str, label: Option<String>| {
        let set = set.clone();
        let drop = Callback::from(move |_: MouseEvent| set.emit(vec![(name, String::new())]));
        (!query.get(name).is_empty()).then(|| html! { <Chip on=true onclick={drop}>{ label.unwrap_or_else(|| name.to_owned()) }<Icon name="close" class="size-3" /></Chip> })
    };
    let (typed, on_type) = use_search(&query, &set, "q");
    let empty = if query.any(&["organization", "box", "q"]) {
        html! { <Empty title="No entry matches" text="Loosen a filter." /> }
    } else {
        html! { <Empty title="No entries here yet" text="What is posted on a box appears here within seconds of its sync." /> }
    };
    html! {
        <>
            <Toolbar views=true>
                <Search value={typed} placeholder="Number or description" on={on_type} />
                { chip("organization", first.as_ref().map(|entry| entry.organization.name.clone())) }
                { chip("box", first.as_ref().map(|entry| entry.box_ref.name.clone())) }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<FleetEntry> {rows} {columns} name="Entries" {on_open} on_more={pages.more.clone()} every={pages.every.clone()} total={pages.total} {empty} />
            }) }
        </>
    }
}
