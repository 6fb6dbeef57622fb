//! Open alerts of all boxes; a row leads to its box, because it is acknowledged there.

use super::alerts::state_tag;
use crate::{
    components::{Ago, Card, Column, DataTable, Empty, Problem, Row, Search, Since, Skeleton, Slot, Toolbar},
    data::{use_pages, use_query},
    format,
    route::Route,
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
        Column::new("Alert", |row: &BoxAlert| row.alert.title.clone()).class("font-medium").at(Slot::Title),
        Column::new("Box", name).at(Slot::Detail),
        Column::new("Customer", customer).class("text-ink-2"),
        Column::new("Severity", |row: &BoxAlert| row.alert.severity.clone()),
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
    let pages = use_pages::<BoxAlert>("/api/fleet/alerts".to_owned(), &["fleet.boxes"]);
    let columns = use_memo((), |()| columns());
    let wanted = query.get("q").to_lowercase();
    let rows = use_memo((pages.rows.as_ref().map(|rows| rows.as_ptr() as usize), wanted.clone()), |_| {
        let mut rows: Vec<BoxAlert> = pages.rows.as_ref().map(|rows| rows.to_vec()).unwrap_or_default();
        rows.retain(|row| {
            [row.alert.title.clone(), name(row), customer(row)].iter().any(|text| text.to_lowercase().contains(&wanted))
        });
        rows
    });
    let on_open = use_callback((), move |row: BoxAlert, ()| {
        if let (Some(navigator), Some(named)) = (&navigator, &row.box_ref) {
            navigator.push(&Route::Machine { id: named.id.to_string() });
        }
    });
    html! {
        <>
            <Toolbar><Search value={query.get("q").to_owned()} placeholder="Alert, box or customer" on={Callback::from(move |text| set.emit(vec![("q", text)]))} /></Toolbar>
            { match (&pages.rows, pages.error.clone()) {
                (Some(_), _) => html! {
                    <DataTable<BoxAlert> {rows} {columns} name="Alerts" {on_open} on_more={pages.more.clone()} total={pages.total}
                        empty={html! { <Empty title="No open alerts" text="No box reports anything that needs a person." /> }} />
                },
                (None, Some(error)) => html! { <Problem {error} retry={pages.reload.clone()} /> },
                (None, None) => html! { <Card pad=false><Skeleton rows={8} /></Card> },
            } }
        </>
    }
}
