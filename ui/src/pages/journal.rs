//! Posted entries, newest first. Filters stand in the address; totals are of what is shown.

use crate::{
    api::with_query,
    components::{
        Ago, Button, Column, DataTable, Empty, Icon, Input, Kind, NewButton, Row, Search, Slot, Tag, Tone, Toolbar,
        button::LINK, paged, use_search,
    },
    data::{use_pages, use_query},
    format,
    route::Route,
    session::use_session,
};
use rust_decimal::Decimal;
use sent_contract::capital::Entry;
use std::collections::BTreeMap;
use yew::prelude::*;
use yew_router::prelude::*;

/// Sum of an entry's debits by currency.
pub fn debits(entry: &Entry) -> Vec<(String, Decimal)> {
    let mut sums = BTreeMap::<&str, Decimal>::new();
    for line in entry.lines.iter().filter(|line| !line.system && line.amount.is_sign_positive()) {
        let sum = sums.entry(&line.currency).or_default();
        *sum = sum.saturating_add(line.amount);
    }
    sums.into_iter().map(|(currency, sum)| (currency.to_owned(), sum)).collect()
}

/// `1,284.00 EUR + 90.00 USD`.
pub fn amounts(sums: &[(String, Decimal)]) -> String {
    sums.iter()
        .map(|(currency, sum)| format!("{} {currency}", format::money(*sum, currency)))
        .collect::<Vec<_>>()
        .join(" + ")
}

fn accounts(entry: &Entry) -> String {
    let mut names: Vec<&str> =
        entry.lines.iter().filter(|line| !line.system).map(|line| line.account.as_str()).collect();
    names.dedup();
    match names.as_slice() {
        [first, second] => format!("{first} → {second}"),
        [first, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", rest.len()),
        names => names.concat(),
    }
}

/// The state of an entry in a word.
pub fn state(entry: &Entry) -> Html {
    if entry.reversed_by.is_some() {
        html! { <Tag tone={Tone::Warn}>{ "Reversed" }</Tag> }
    } else if entry.reverses.is_some() {
        html! { <Tag>{ "Reversal" }</Tag> }
    } else if entry.synced {
        html! { <Tag>{ "Posted" }</Tag> }
    } else {
        html! { <Tag tone={Tone::Ok}>{ "Waiting to sync" }</Tag> }
    }
}

impl Row for Entry {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// Debits of all that is shown, by currency.
fn totals(rows: &[Entry]) -> String {
    let mut sums = BTreeMap::<String, Decimal>::new();
    for (currency, amount) in rows.iter().flat_map(debits) {
        let sum = sums.entry(currency).or_default();
        *sum = sum.saturating_add(amount);
    }
    let sums: Vec<_> = sums.into_iter().collect();
    sums.chunks(1).map(amounts).collect::<Vec<_>>().join(" · ")
}

fn columns() -> Vec<Column<Entry>> {
    vec![
        Column::new("Number", |entry: &Entry| entry.number.clone()).class("font-mono text-sm").at(Slot::Detail),
        Column::new("Date", |entry: &Entry| entry.date.clone())
            .cell(|entry| html! { format::plain_date(&entry.date) })
            .at(Slot::Meta),
        Column::new("Description", |entry: &Entry| entry.description.clone()).fill().at(Slot::Title),
        Column::new("Accounts", accounts).class("text-ink-2"),
        Column::new("State", |entry: &Entry| if entry.synced { "posted".into() } else { "waiting to sync".into() })
            .cell(state),
        Column::new("Posted", |entry: &Entry| format::iso(entry.posted_at))
            .cell(|entry| html! { <Ago at={entry.posted_at} /> })
            .class("text-ink-3"),
        Column::new("Amount", |entry: &Entry| amounts(&debits(entry))).num().at(Slot::Value),
    ]
}

/// The journal.
#[component]
pub fn Journal() -> Html {
    let session = use_session();
    let navigator = use_navigator();
    let (query, set) = use_query();
    let (typed, on_type) = use_search(&query, &set, "q");
    let path = with_query(
        "/api/capital/entries",
        &["from", "to", "account", "q"].map(|name| (name, query.get(name).to_owned())),
    );
    let pages = use_pages::<Entry>(path, &["table:entries"]);
    let columns = use_memo((), |()| columns());
    let sums = use_memo(pages.rows.as_ref().map(|rows| rows.as_ptr() as usize), |_| {
        AttrValue::from(totals(pages.rows.as_deref().map_or(&[], Vec::as_slice)))
    });
    let on_open = {
        let navigator = navigator.clone();
        use_callback((), move |entry: Entry, ()| {
            if let Some(navigator) = &navigator {
                navigator.push(&Route::Entry { id: entry.id.to_string() });
            }
        })
    };
    let change = |name: &'static str| {
        let set = set.clone();
        Callback::from(move |value| set.emit(vec![(name, value)]))
    };
    let filtered = query.any(&["from", "to", "account", "q"]);
    let clear = {
        let set = set.clone();
        Callback::from(move |_: MouseEvent| {
            set.emit(["from", "to", "account", "q"].map(|name| (name, String::new())).to_vec())
        })
    };
    let create = {
        let navigator = navigator.clone();
        Callback::from(move |()| {
            if let Some(navigator) = &navigator {
                navigator.push(&Route::NewEntry);
            }
        })
    };
    let may_post = session.may("capital.entry.post");
    let new = html! { if may_post { <NewButton label="New entry" onclick={create} /> } };
    let import = html! { if session.may("capital.entry.import") { <Link<Route> to={Route::Import} classes={LINK}>{ "Import" }</Link<Route>> } };
    let actions = html! { <><span class="hidden md:block">{ import.clone() }</span>{ new.clone() }</> };
    let empty = if filtered {
        html! { <Empty title="No entry matches" text="Loosen a filter, or clear them all."><Button onclick={clear.clone()}>{ "Clear filters" }</Button></Empty> }
    } else {
        html! { <Empty title="No entries yet" text="Post the first one, or bring your books along as a CSV file.">{ new }{ import }</Empty> }
    };
    html! {
        <>
            <Toolbar {actions} views=true>
                <Search value={typed} placeholder="Number or description" on={on_type} />
                <span class="flex items-center gap-1.5 text-ink-3">
                    <Input kind="date" class="w-30! md:w-34!" label="From" value={query.get("from").to_owned()} on={change("from")} />{ "–" }
                    <Input kind="date" class="w-30! md:w-34!" label="To" value={query.get("to").to_owned()} on={change("to")} />
                </span>
                if !query.get("account").is_empty() {
                    <span class="inline-flex min-h-[27px] items-center gap-1 rounded-full bg-accent-soft pr-1 pl-2.5 font-medium text-accent">
                        { query.get("account") }
                        <button type="button" aria-label="Any account" class="p-1" onclick={let set = set.clone(); Callback::from(move |_: MouseEvent| set.emit(vec![("account", String::new())]))}>
                            <Icon name="close" class="size-3" />
                        </button>
                    </span>
                }
                if filtered { <Button kind={Kind::Ghost} onclick={clear}>{ "Clear" }</Button> }
            </Toolbar>
            { paged(&pages, |rows| html! {
                <DataTable<Entry> {rows} {columns} name="Journal" {on_open} on_more={pages.more.clone()} every={pages.every.clone()}
                    total={pages.total} sums={(*sums).clone()} {empty} />
            }) }
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sent_contract::capital::Line;

    #[test]
    fn debits_are_summed_by_currency_without_the_systems_own() {
        let line = |amount: &str, currency: &str, system| Line {
            account: "A".into(),
            amount: amount.parse().expect("a decimal"),
            currency: currency.into(),
            base: None,
            memo: None,
            system,
        };
        let entry = Entry {
            id: uuid::Uuid::nil(),
            number: "1".into(),
            date: "2026-01-01".into(),
            description: String::new(),
            posted_at: 0,
            lines: vec![
                line("10", "EUR", false),
                line("-10", "EUR", false),
                line("5", "USD", false),
                line("5", "USD", true),
            ],
            reverses: None,
            reversed_by: None,
            synced: true,
        };
        assert_eq!(amounts(&debits(&entry)), "10.00 EUR + 5.00 USD");
    }
}
