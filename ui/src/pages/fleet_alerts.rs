//! Open alerts of all boxes; a row leads to its box, because it is acknowledged there.

use super::alerts::state_tag;
use crate::{
    api::with_query,
    components::{
        Ago, Card, Chip, Column, DataTable, Empty, Problem, Row, Search, Since, Skeleton, Slot, Toolbar,
        status::sentence,
    },
    data::{use_pages, use_query, use_settled},
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
        Column::new("Severity", |row: &BoxAlert| sentence(&row.alert.severity)),
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
    let state = if query.get("state").is_empty() { "open" } else { query.get("state") }.to_owned();
    let asked = if state == "all" { String::new() } else { state.clone() };
    let typed = use_state(|| query.get("q").to_owned());
    let settled = use_settled((*typed).clone(), 180);
    {
        let set = set.clone();
        use_effect_with(settled, move |settled| set.emit(vec![("q", settled.clone())]));
    }
    let path = with_query("/api/fleet/alerts", &[("state", asked), ("q", query.get("q").to_owned())]);
    let pages = use_pages::<BoxAlert>(path, &["fleet.boxes", "fleet.entries"]);
    let columns = use_memo((), |()| columns());
    let chip = |value: &'static str, label: &'static str| {
        let set = set.clone();
        html! { <Chip on={state == value} onclick={Callback::from(move |_: MouseEvent| set.emit(vec![("state", value.to_owned())]))}>{ label }</Chip> }
    };
    let on_type = {
        let typed = typed.clone();
        Callback::from(move |text| typed.set(text))
    };
    let on_open = use_callback((), move |row: BoxAlert, ()| {
        if let (Some(navigator), Some(named)) = (&navigator, &row.box_ref) {
            navigator.push(&Route::Machine { id: named.id.to_string() });
        }
    });
    html! {
        <>
            <Toolbar>
                <Search value={(*typed).clone()} placeholder="Alert" on={on_type} />
                { chip("open", "Open") }{ chip("resolved", "Resolved") }{ chip("all", "All") }
            </Toolbar>
            { match (pages.rows.clone(), pages.error.clone()) {
                (Some(rows), _) => html! {
                    <DataTable<BoxAlert> {rows} columns={columns} name="Alerts" {on_open} on_more={pages.more.clone()} total={pages.total}
                        empty={html! { <Empty title="No open alerts" text="No box reports anything that needs a person." /> }} />
                },
                (None, Some(error)) => html! { <Problem {error} retry={pages.reload.clone()} /> },
                (None, None) => html! { <Card pad=false><Skeleton rows={8} /></Card> },
            } }
        </>
    }
}
