//! The box's series, drawn.

use super::{explore::Explorer, monitoring::Tabs};
use crate::{components::Toolbar, data::use_query};
use yew::prelude::*;

/// The page.
#[component]
pub fn Charts() -> Html {
    let (query, set) = use_query();
    html! {
        <>
            <Toolbar><Tabs /></Toolbar>
            <Explorer series_path="/api/pulse/series" query_path="/api/pulse/query" rules_path="/api/pulse/rules" live="pulse.live" {query} {set} />
        </>
    }
}
