//! The chart of accounts. Where there is a cloud it owns the chart: a new account made here is a proposal until the cloud
//! confirms it.

use super::reference::{period, state, state_tag};
use crate::{
    api::List,
    components::{
        Button, Column, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Pick, Row, Search, Slot, Toolbar,
        form::options, listed, status::sentence, use_flag, use_form, use_rows, use_sending,
    },
    data::{use_query, use_resource},
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::capital::{Account, NewAccount};
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for Account {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<Account>> {
    vec![
        Column::new("No.", |account: &Account| account.code.clone().unwrap_or_default())
            .class("font-mono text-sm text-ink-3 w-20")
            .at(Slot::Meta),
        Column::new("Account", |account: &Account| account.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Kind", |account: &Account| sentence(&account.kind)).at(Slot::Detail),
        Column::new("Currency", |account: &Account| account.currency.clone().unwrap_or_else(|| "any".into()))
            .at(Slot::Value),
        Column::new("Valid", |account: &Account| period(account.valid_from.as_deref(), account.valid_to.as_deref()))
            .class("text-ink-2"),
        Column::new("State", |account: &Account| state(account.valid_to.as_deref(), account.pending).0.to_owned())
            .cell(|account| state_tag(account.valid_to.as_deref(), account.pending)),
    ]
}

/// The chart.
#[component]
pub fn Accounts() -> Html {
    let navigator = use_navigator();
    let (query, set) = use_query();
    let accounts = use_resource::<List<Account>>(Some("/api/capital/accounts".into()), &["table:accounts"]);
    let columns = use_memo((), |()| columns());
    let may = use_session().may("capital.account.write");
    let (making, make, made) = use_flag();
    let wanted = query.get("q").to_lowercase();
    let rows = use_rows(&accounts, wanted.clone(), |row: &Account, wanted| {
        row.name.to_lowercase().contains(wanted.as_str())
            || row.code.as_deref().is_some_and(|code| code.starts_with(wanted.as_str()))
    });
    let on_open = use_callback((), move |account: Account, ()| {
        if let Some(navigator) = &navigator {
            // A pair of texts always serialises.
            let _ = navigator.push_with_query(&Route::Journal, &[("account", account.name)]);
        }
    });
    let actions = html! { if may { <NewButton label="New account" onclick={make.clone()} /> } };
    let empty = if wanted.is_empty() {
        html! {
            <Empty title="No accounts yet" text="Entries are posted to accounts: make the first, or let an import make them.">
                if may { <Button kind={Kind::Primary} onclick={make.reform(|_: MouseEvent| ())}>{ "New account" }</Button> }
            </Empty>
        }
    } else {
        html! { <Empty title="No account of that name" /> }
    };
    html! {
        <>
            <Toolbar {actions} views=true>
                <Search value={query.get("q").to_owned()} placeholder="Name or number" on={Callback::from(move |text| set.emit(vec![("q", text)]))} />
            </Toolbar>
            { listed(&accounts, 12, |_| html! { <DataTable<Account> {rows} {columns} name="Accounts" {on_open} {empty} /> }) }
            if making {
                <Create on_close={made} on_done={accounts.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct CreateProps {
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Create(props: &CreateProps) -> Html {
    let new = use_form(|| NewAccount { name: String::new(), code: None, kind: None, currency: None, valid_from: None });
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (new, sending) = (new.clone(), sending.clone());
        Callback::from(move |()| {
            let body = NewAccount { name: new.name.trim().to_owned(), ..(*new).clone() };
            let done = format!("{} made", body.name);
            sending.send(Method::POST, "/api/capital/accounts", body, done);
        })
    };
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    html! {
        <FormDialog title="New account" verb="Make account" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={new.name.trim().is_empty()}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" class="md:col-span-2" hint="All levels, with colons: Assets:Bank:Checking" error={sending.field("name")}>
                    <Input name="name" value={new.name.clone()} on={new.on(|new, text| new.name = text)} autofocus=true invalid={sending.field("name").is_some()} />
                </Field>
                <Field label="Number" error={sending.field("code")}><Input name="code" value={text(&new.code)} on={new.on(|new, text| new.code = non_empty(text))} /></Field>
                <Field label="Kind" error={sending.field("kind")}>
                    <Pick name="kind" value={text(&new.kind)} on={new.on(|new, text| new.kind = non_empty(text))}
                        options={options(&[("", "From its name"), ("asset", "Asset"), ("liability", "Liability"), ("equity", "Equity"), ("income", "Income"), ("expense", "Expense")])} />
                </Field>
                <Field label="Only this currency" hint="Empty: any" error={sending.field("currency")}><Input name="currency" value={text(&new.currency)} on={new.on(|new, text: String| new.currency = non_empty(text.to_uppercase()))} /></Field>
                <Field label="Valid from" error={sending.field("valid_from")}><Input name="valid_from" kind="date" value={text(&new.valid_from)} on={new.on(|new, text| new.valid_from = non_empty(text))} /></Field>
            </div>
        </FormDialog>
    }
}

fn non_empty(text: String) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
