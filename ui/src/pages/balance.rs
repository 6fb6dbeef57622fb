//! The trial balance at a date. A report: negative amounts stand in parentheses, and every currency must come to zero.

use crate::{
    api::{List, with_query},
    components::{
        Button, Card, Chip, Column, Empty, Icon, Input, Tag, Tone, Toolbar, loaded,
        table::{As, save},
    },
    data::{use_query, use_resource},
    format,
    route::Route,
};
use rust_decimal::Decimal;
use sent_contract::capital::BalanceRow;
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

#[derive(Default)]
struct Sum {
    debit: Decimal,
    credit: Decimal,
}

fn sums(rows: &[&BalanceRow]) -> BTreeMap<String, Sum> {
    let mut sums = BTreeMap::<String, Sum>::new();
    for row in rows {
        let sum = sums.entry(row.currency.clone()).or_default();
        if row.balance.is_sign_negative() {
            sum.credit = sum.credit.saturating_sub(row.balance);
        } else {
            sum.debit = sum.debit.saturating_add(row.balance);
        }
    }
    sums
}

/// What a file of the report holds.
fn columns() -> Vec<Column<BalanceRow>> {
    vec![
        Column::new("Account", |row: &BalanceRow| row.account.clone()),
        Column::new("Currency", |row: &BalanceRow| row.currency.clone()),
        Column::new("Balance", |row: &BalanceRow| row.balance.to_string()).num(),
        Column::new("In base currency", |row: &BalanceRow| row.base.map(|base| base.to_string()).unwrap_or_default())
            .num(),
    ]
}

/// The report.
#[component]
pub fn TrialBalance() -> Html {
    let (query, set) = use_query();
    let path = with_query("/api/capital/trial-balance", &[("as_of", query.get("as_of").to_owned())]);
    let balance = use_resource::<List<BalanceRow>>(Some(path), &["table:entries"]);
    let change = |name: &'static str| {
        let set = set.clone();
        Callback::from(move |value| set.emit(vec![(name, value)]))
    };
    let currency = query.get("currency").to_owned();
    let zero = query.get("zero") == "shown";
    let all = balance.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let mut currencies: Vec<String> = all.iter().map(|row| row.currency.clone()).collect();
    currencies.sort();
    currencies.dedup();
    let shown: Rc<Vec<BalanceRow>> = Rc::new(
        all.into_iter()
            .filter(|row| (currency.is_empty() || row.currency == currency) && (zero || !row.balance.is_zero()))
            .collect(),
    );
    let as_of = match query.get("as_of") {
        "" => format::today(),
        day => day.to_owned(),
    };
    let file = |kind: As| {
        let (shown, as_of) = (shown.clone(), as_of.clone());
        let onclick =
            Callback::from(move |_: MouseEvent| save(&shown, &columns(), &format!("Trial balance {as_of}"), kind));
        html! { <Button {onclick}><Icon name="download" />{ kind.word() }</Button> }
    };
    let actions = html! { <>{ file(As::Csv) }{ file(As::Xlsx) }</> };
    let toggle_zero = {
        let set = set.clone();
        Callback::from(move |_: MouseEvent| {
            set.emit(vec![("zero", if zero { String::new() } else { "shown".to_owned() })])
        })
    };
    html! {
        <>
            <Toolbar {actions} views=true>
                <label class="flex items-center gap-2 text-ink-2">{ "As of" }
                    <Input kind="date" class="w-36!" value={if query.get("as_of").is_empty() { format::today() } else { query.get("as_of").to_owned() }} on={change("as_of")} />
                </label>
                if currencies.len() > 1 {
                    <Chip on={currency.is_empty()} onclick={let set = set.clone(); Callback::from(move |_: MouseEvent| set.emit(vec![("currency", String::new())]))}>{ "All currencies" }</Chip>
                    for code in currencies.iter() {
                        <Chip on={currency == *code} onclick={let (set, code) = (set.clone(), code.clone()); Callback::from(move |_: MouseEvent| set.emit(vec![("currency", code.clone())]))}>{ code }</Chip>
                    }
                }
                <Chip on={zero} onclick={toggle_zero}>{ "Accounts at zero" }</Chip>
            </Toolbar>
            <Card pad=false class="flex min-h-0 shrink! flex-col">
                { loaded(&balance, 12, |_| if shown.is_empty() {
                    html! { <Empty title="No balances" text="Nothing was posted up to this day." /> }
                } else {
                    html! { <Report rows={shown.clone()} /> }
                }) }
            </Card>
        </>
    }
}

#[derive(Properties, PartialEq)]
struct ReportProps {
    rows: Rc<Vec<BalanceRow>>,
}

#[component]
fn Report(props: &ReportProps) -> Html {
    let rows: Vec<&BalanceRow> = props.rows.iter().collect();
    let base = rows.iter().any(|row| row.base.is_some());
    html! {
        <div class="min-h-0 overflow-auto">
            <table class="table">
                <thead><tr>
                    <th scope="col">{ "Account" }</th><th scope="col" class="hidden md:table-cell">{ "Currency" }</th>
                    <th scope="col" class="num">{ "Balance" }</th>
                    if base { <th scope="col" class="num hidden md:table-cell">{ "In base currency" }</th> }
                </tr></thead>
                <tbody>
                    for row in rows.iter() {
                        <tr key={format!("{} {}", row.account, row.currency)} class="row">
                            <td><Account name={row.account.clone()} /></td>
                            <td class="hidden text-ink-3 md:table-cell">{ &row.currency }</td>
                            <td class="num">{ figure(row.balance, &row.currency) }<span class="text-ink-3 md:hidden">{ " " }{ &row.currency }</span></td>
                            if base { <td class="num hidden text-ink-2 md:table-cell">{ row.base.map_or_else(|| html! { "—" }, |base| figure(base, "")) }</td> }
                        </tr>
                    }
                </tbody>
                <tfoot>
                    for (currency, sum) in sums(&rows) {
                        <tr key={currency.clone()}>
                            <td>
                                <span class="hidden md:inline">{ "Debits less credits " }</span>
                                if sum.debit == sum.credit { <Tag tone={Tone::Ok}>{ "Balanced" }</Tag> } else { <Tag tone={Tone::Bad}>{ "Off" }</Tag> }
                            </td>
                            <td class="hidden md:table-cell">{ &currency }</td>
                            <td class="num">{ figure(sum.debit.saturating_sub(sum.credit), &currency) }<span class="text-ink-3 md:hidden">{ " " }{ &currency }</span></td>
                            if base { <td class="hidden md:table-cell" /> }
                        </tr>
                    }
                </tfoot>
            </table>
        </div>
    }
}

/// An amount with room for a parenthesis, so that digits line up.
fn figure(amount: Decimal, currency: &str) -> Html {
    let text = format::report(amount, currency);
    let room = !text.ends_with(')');
    html! { <>{ text }if room { <span class="invisible" aria-hidden="true">{ ")" }</span> }</> }
}

#[derive(Properties, PartialEq)]
struct AccountProps {
    name: AttrValue,
}

/// An account's name that leads to its entries; the last level stands out.
#[component]
fn Account(props: &AccountProps) -> Html {
    let navigator = use_navigator();
    let name = props.name.clone();
    let go = Callback::from(move |event: MouseEvent| {
        event.prevent_default();
        if let Some(navigator) = &navigator {
            // A pair of texts always serialises.
            let _ = navigator.push_with_query(&Route::Journal, &[("account", name.to_string())]);
        }
    });
    let (path, last) = props.name.rsplit_once(':').map_or(("", props.name.as_str()), |(path, last)| (path, last));
    html! {
        <a href={format!("/journal?account={}", crate::api::escape(&props.name))} onclick={go} class="hover:underline">
            if !path.is_empty() { <span class="text-ink-3">{ path }{ ":" }</span> }
            <span class="font-medium">{ last }</span>
        </a>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debits_and_credits_are_summed_apart() {
        let row = |balance: &str| BalanceRow {
            account: "A".into(),
            currency: "EUR".into(),
            balance: balance.parse().expect("a decimal"),
            base: None,
        };
        let (debit, credit) = (row("10.50"), row("-10.50"));
        let sums = sums(&[&debit, &credit]);
        assert_eq!(sums["EUR"].debit, sums["EUR"].credit);
    }
}
