//! Cases: alerts of one rule about one host and user, worked on together.

use super::{
    radar::{Tabs, or_dash, severity, severity_options, severity_word, state_tag, state_word, techniques},
    security::STATES,
};
use crate::{
    api::with_query,
    components::{
        Ago, Chip, Column, DataTable, Empty, Pick, Row, Search, Slot, StateChips, Toolbar, list::state_of, paged,
        use_search,
    },
    data::{use_pages, use_query},
    format,
    route::Route,
    session::use_session,
};
use sent_contract::radar::Case;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for Case {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<Case>> {
    vec![
        Column::new("State", |case: &Case| state_word(&case.state, &case.verdict))
            .cell(|case| state_tag(&case.state, &case.verdict))
            .at(Slot::Meta),
        Column::new("Severity", |case: &Case| severity_word(&case.severity))
            .cell(|case| severity(&case.severity))
            .at(Slot::Value),
        Column::new("Case", |case: &Case| case.title.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Host", |case: &Case| case.host.clone()).cell(|case| or_dash(&case.host)).at(Slot::Detail),
        Column::new("User", |case: &Case| case.user.clone()).cell(|case| or_dash(&case.user)).at(Slot::Detail),
        Column::new("Technique", |case: &Case| case.techniques.join(" ")).cell(|case| techniques(&case.techniques)),
        Column::new("Owner", |case: &Case| case.owner.clone()).cell(|case| or_dash(&case.owner)),
        Column::new("Alerts", |case: &Case| case.alerts.to_string()).num(),
        Column::new("Events", |case: &Case| case.events.to_string())
            .num()
            .cell(|case| format::count(case.events).into()),
        Column::new("Last event", |case: &Case| format::iso(case.last_at))
            .cell(|case| html! { <Ago at={case.last_at} /> })
            .class("text-ink-2"),
    ]
}

/// The page.
#[component]
pub fn Cases() -> Html {
    let navigator = use_navigator();
    let me = use_session().me.name.clone();
    let (query, set) = use_query();
    let (state, asked) = state_of(&query, STATES[0].0);
    let filters = ["severity", "owner", "q"].map(|name| (name, query.get(name).to_owned()));
    let path = with_query("/api/radar/cases", &[&[("state", asked)], &filters[..]].concat());
    let cases = use_pages::<Case>(path, &["table:radar_cases", "table:radar_alerts"]);
    let columns = use_memo((), |()| columns());
    let (typed, on_type) = use_search(&query, &set, "q");
    let on_open = use_callback((), move |case: Case, ()| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Case { id: case.id.to_string() });
        }
    });
    let mine = !query.get("owner").is_empty();
    let empty = if query.any(&["severity", "owner", "q"]) || state != STATES[0].0 {
        html! { <Empty title="No case fits" text="None is like this." /> }
    } else {
        html! { <Empty title="No case is under way" text="An alert opens one for its rule, host and user; further alerts of the same kind join it until it is closed." /> }
    };
    html! {
        <>
            <Toolbar views=true>
                <Tabs />
                <StateChips {state} set={set.clone()} options={STATES.to_vec()} />
                <Chip on={mine} onclick={let to = if mine { String::new() } else { me }; set.reform(move |_: MouseEvent| vec![("owner", to.clone())])}>{ "Mine" }</Chip>
                <Pick class="w-auto!" label="Severity" value={query.get("severity").to_owned()} options={severity_options()} on={set.reform(|value| vec![("severity", value)])} />
                <Search value={typed} placeholder="Title, host, user, T1110" on={on_type} />
            </Toolbar>
            { paged(&cases, |rows| html! { <DataTable<Case> {rows} {columns} name="Cases" {on_open} on_more={cases.more.clone()} every={cases.every.clone()} total={cases.total} {empty} /> }) }
        </>
    }
}
