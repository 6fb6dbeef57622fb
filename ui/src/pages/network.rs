//! Who talks to what.

use super::{guard::Tabs, traffic::Traffic};
use crate::data::use_query;
use yew::prelude::*;

/// The page.
#[component]
pub fn Network() -> Html {
    let (query, set) = use_query();
    html! { <Traffic {query} {set}><Tabs /></Traffic> }
}
