//! Everything that is measured, with its headline numbers; a row leads to its charts.

use super::monitoring::Tabs;
use crate::{
    api::List,
    components::{
        Ago, Column, DataTable, Empty, Row, Slot, StatusLine, Tag, Toolbar, listed, status::sentence, use_rows,
    },
    data::use_resource,
    format,
    route::Route,
};
use sent_contract::pulse::Host;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for Host {
    fn key(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

fn facts(host: &Host) -> String {
    host.facts
        .iter()
        .map(|(label, value, unit)| format!("{label} {}", format::measure(*value, unit)))
        .collect::<Vec<_>>()
        .join(" · ")
}

fn columns() -> Vec<Column<Host>> {
    vec![
        Column::new("Host", |host: &Host| host.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Kind", |host: &Host| host.kind.clone())
            .cell(|host| html! { <Tag>{ sentence(&host.kind) }</Tag> })
            .at(Slot::Value),
        Column::new("Status and cause", |host: &Host| sentence(&host.status.cause))
            .cell(|host| html! { <StatusLine status={host.status.clone()} since=true /> })
            .fill()
            .at(Slot::Detail),
        Column::new("Now", facts).class("text-ink-2 tabular-nums"),
        Column::new("Series", |host: &Host| host.series.to_string()).num(),
        Column::new("Last point", |host: &Host| host.last_seen.map(format::iso).unwrap_or_default())
            .cell(|host| html! { <Ago at={host.last_seen} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Hosts() -> Html {
    let navigator = use_navigator();
    let hosts = use_resource::<List<Host>>(Some("/api/pulse/hosts".into()), &["pulse.live", "pulse.alerts"]);
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&hosts, (), |_, ()| true);
    let on_open = use_callback((), move |host: Host, ()| {
        if let Some(navigator) = &navigator {
            // A pair of texts always serialises.
            let _ = navigator.push_with_query(&Route::Charts, &[("host", host.name)]);
        }
    });
    let empty = html! {
        <Empty title="Nothing is measured yet" text="This box measures itself a few seconds after its start. Add a check to measure something else.">
            <Link<Route> to={Route::Checks} classes="text-accent underline">{ "Add a check" }</Link<Route>>
        </Empty>
    };
    html! {
        <>
            <Toolbar><Tabs /></Toolbar>
            { listed(&hosts, 6, |_| html! { <DataTable<Host> {rows} {columns} name="Hosts" {on_open} {empty} /> }) }
        </>
    }
}
