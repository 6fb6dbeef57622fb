//! Reference data: what the cloud owns and hands down. On the fleet's face one customer's at a time, to edit; on a box its
//! own organisation's, where accounts and exchange rates can be edited; the cloud then answers to that, if there is one.

mod accounts;
mod close;
mod frame;
mod items;
mod rates;
mod remove;
mod rights;
pub mod roles;
mod settings;
mod taxes;

use crate::{
    FLEET,
    api::List,
    components::{Choice, Empty, Pick, Search, Tag, Tone, listed},
    data::{use_query, use_resource},
    format,
    session::use_session,
};
use sent_contract::{fleet::Organization, sync::SyncStatus};
use yew::prelude::*;

/// Value in the address and name of each tab; roles are the fleet's only.
const TABS: [(&str, &str); 6] = [
    ("accounts", "Accounts"),
    ("items", "Items"),
    ("taxes", "Taxes"),
    ("rates", "Exchange rates"),
    ("settings", "Settings"),
    ("roles", "Roles"),
];

/// Who owns a list, seen from this page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This console, where everything can be edited by whoever has the right.
    Console,
    /// The cloud that this box belongs to: it answers to what is edited here.
    Cloud,
    /// This box, which stands alone.
    Here,
}

impl Owner {
    /// Where news of a list come from: `table` on a box.
    fn news(self, table: &'static [&'static str]) -> &'static [&'static str] {
        if self == Self::Console { &["fleet.boxes"] } else { table }
    }

    /// What a list that only the console edits says where it is empty.
    fn kept(self, at_the_console: &'static str) -> &'static str {
        match self {
            Self::Console => at_the_console,
            Self::Cloud => "They are kept centrally and come down to this box.",
            Self::Here => "They are kept in a cloud; this box has joined none.",
        }
    }
}

/// What a tab is handed.
#[derive(Clone, Properties, PartialEq)]
pub struct PanelProps {
    /// What stands before `/accounts` in the paths of the routes.
    pub at: AttrValue,
    /// Whose list it is.
    pub owner: Owner,
    /// What is looked for, in lower case.
    pub wanted: AttrValue,
    /// What stands in the bar above the list.
    pub head: Html,
}

/// The page.
#[component]
pub fn Reference() -> Html {
    let session = use_session();
    let (query, set) = use_query();
    let customers =
        use_resource::<List<Organization>>(FLEET.then(|| "/api/fleet/organizations".into()), &["fleet.boxes"]);
    let sync = use_resource::<SyncStatus>((!FLEET).then(|| "/api/sync".into()), &["sync"]);
    let tabs: Vec<(&'static str, &'static str)> = TABS
        .into_iter()
        .filter(|(tab, _)| match *tab {
            "roles" => FLEET,
            "settings" => FLEET || session.may("settings.read"),
            _ => true,
        })
        .collect();
    let shown = tabs.iter().find(|(tab, _)| *tab == query.get("show")).map_or("accounts", |(tab, _)| tab);
    let choose = |name: &'static str| {
        let set = set.clone();
        Callback::from(move |value: String| set.emit(vec![(name, value)]))
    };
    let tabs = html! { <Choice label="Reference data" value={shown} options={tabs} on={choose("show")} /> };
    let search = html! { <Search value={query.get("q").to_owned()} placeholder="Find" on={choose("q")} /> };
    let wanted: AttrValue = query.get("q").to_lowercase().into();
    if !FLEET {
        let head = html! { <>{ tabs }{ search }</> };
        let alone = sync.data.is_some_and(|sync| !sync.enrolled);
        let owner = if alone { Owner::Here } else { Owner::Cloud };
        return panel(shown, PanelProps { at: "/api/capital".into(), owner, wanted, head });
    }
    listed(&customers, 8, |list| {
        let Some(first) = list.items.first() else {
            return html! { <Empty title="No customers yet" text="Reference data belongs to a customer: make one first." /> };
        };
        let asked = query.get("organization");
        let chosen = list.items.iter().find(|row| row.id.to_string() == asked).unwrap_or(first);
        let options: Vec<(AttrValue, AttrValue)> =
            list.items.iter().map(|row| (row.id.to_string().into(), row.name.clone().into())).collect();
        let head = html! {
            <>
                <Pick label="Customer" name="organization" class="w-full md:w-48" value={chosen.id.to_string()} {options} on={choose("organization")} />
                { tabs }{ search }
            </>
        };
        let at = format!("/api/fleet/organizations/{}", chosen.id).into();
        panel(shown, PanelProps { at, owner: Owner::Console, wanted, head })
    })
}

fn panel(shown: &str, props: PanelProps) -> Html {
    // Another customer is another panel: nothing of the one before may stay in a form.
    let key = format!("{}/{shown}", props.at);
    match shown {
        "items" => html! { <items::Items {key} ..props /> },
        "taxes" => html! { <taxes::Taxes {key} ..props /> },
        "rates" => html! { <rates::Rates {key} ..props /> },
        "settings" => html! { <settings::Settings {key} ..props /> },
        "roles" => html! { <roles::Roles {key} ..props /> },
        _ => html! { <accounts::Accounts {key} ..props /> },
    }
}

/// From when until when something is valid.
pub fn period(from: Option<&str>, to: Option<&str>) -> String {
    match (from.map(format::plain_date), to.map(format::plain_date)) {
        (None, None) => "always".to_owned(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(to)) => format!("until {to}"),
        (Some(from), Some(to)) => format!("{from} – {to}"),
    }
}

/// Whether something can still be used today, and whether the cloud has answered to what was changed.
pub fn state(to: Option<&str>, pending: bool) -> (&'static str, Tone) {
    match (pending, to) {
        (true, _) => ("Waiting for the cloud", Tone::Warn),
        (false, Some(to)) if to < format::today().as_str() => ("Closed", Tone::Plain),
        (false, Some(_)) => ("Closes", Tone::Plain),
        (false, None) => ("Open", Tone::Ok),
    }
}

/// The same as a tag.
pub fn state_tag(to: Option<&str>, pending: bool) -> Html {
    let (word, tone) = state(to, pending);
    html! { <Tag {tone}>{ word }</Tag> }
}

/// What an edit on a box means.
fn proposal_hint(owner: Owner) -> Html {
    if owner != Owner::Cloud {
        return Html::default();
    }
    html! { <p class="mt-3 text-sm text-ink-3">{ "The cloud owns this list. A change counts here at once and waits there for an answer; if it is refused, this box takes it back." }</p> }
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

fn non_empty(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_reads_like_one() {
        assert_eq!(period(None, None), "always");
        assert!(period(Some("2026-01-01"), None).starts_with("from "));
        assert!(period(None, Some("2026-01-01")).starts_with("until "));
    }
}
