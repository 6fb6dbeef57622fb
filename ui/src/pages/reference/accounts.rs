//! The chart of accounts: made, renamed, closed.

use super::{
    PanelProps,
    close::{Close, CloseButton},
    non_empty, period, proposal_hint, state, state_tag, text,
};
use crate::{
    api::List,
    components::{
        Column, DataTable, Empty, Field, FormDialog, Input, NewButton, Pick, Slot, Toolbar, form::options, listed,
        status::sentence, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::capital::{Account, NewAccount};
use std::rc::Rc;
use yew::prelude::*;

fn columns() -> Vec<Column<Account>> {
    vec![
        Column::new("No.", |row: &Account| text(row.code.as_ref()))
            .class("font-mono text-sm text-ink-3 w-20")
            .at(Slot::Meta),
        Column::new("Account", |row: &Account| row.name.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Kind", |row: &Account| sentence(&row.kind)).at(Slot::Detail),
        Column::new("Currency", |row: &Account| row.currency.clone().unwrap_or_else(|| "any".into())).at(Slot::Value),
        Column::new("Valid", |row: &Account| period(row.valid_from.as_deref(), row.valid_to.as_deref()))
            .class("text-ink-2"),
        Column::new("State", |row: &Account| state(row.valid_to.as_deref(), row.pending).0.to_owned())
            .cell(|row| state_tag(row.valid_to.as_deref(), row.pending)),
    ]
}

/// The tab.
#[component]
pub fn Accounts(props: &PanelProps) -> Html {
    let may = use_session().may(if props.fleet { "fleet.reference.write" } else { "capital.account.write" });
    let path = format!("{}/accounts", props.at);
    let list = use_resource::<List<Account>>(
        Some(path.clone()),
        if props.fleet { &["fleet.boxes"] } else { &["table:accounts"] },
    );
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&list, props.wanted.clone(), |row: &Account, wanted| {
        row.name.to_lowercase().contains(wanted.as_str())
            || row.code.as_deref().is_some_and(|code| code.starts_with(wanted.as_str()))
    });
    let opened = use_opened::<Account>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New account" onclick={make} /> } };
    let empty =
        html! { <Empty title={if props.wanted.is_empty() { "No accounts yet" } else { "No account of that name" }} /> };
    html! {
        <>
            <Toolbar {actions}>{ props.head.clone() }</Toolbar>
            { listed(&list, 12, |_| html! { <DataTable<Account> {rows} {columns} name="Accounts" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making { <Edit path={path.clone()} fleet={props.fleet} on_close={made} on_done={list.reload.clone()} /> }
            if let Some(row) = &opened.row {
                <Edit {path} fleet={props.fleet} row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct EditProps {
    path: String,
    fleet: bool,
    #[prop_or_default]
    row: Option<Rc<Account>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Edit(props: &EditProps) -> Html {
    let row = props.row.as_deref();
    let new = use_form(|| NewAccount {
        name: row.map(|row| row.name.clone()).unwrap_or_default(),
        code: row.and_then(|row| row.code.clone()),
        kind: row.map(|row| row.kind.clone()),
        currency: row.and_then(|row| row.currency.clone()),
        valid_from: row.and_then(|row| row.valid_from.clone()),
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let (closing, close, _) = use_flag();
    if let (true, Some(row)) = (closing, row) {
        return html! {
            <Close name={row.name.clone()} path={format!("{}/{}", props.path, row.id)} on={row.valid_to.clone()}
                on_close={props.on_close.clone()} on_done={props.on_done.clone()} />
        };
    }
    let submit = {
        let (new, sending, path, id) = (new.clone(), sending.clone(), props.path.clone(), row.map(|row| row.id));
        Callback::from(move |()| {
            let body = NewAccount { name: new.name.trim().to_owned(), ..(*new).clone() };
            match id {
                Some(id) => sending.send(Method::PUT, format!("{path}/{id}"), body, "Account changed"),
                None => {
                    let done = format!("{} made", body.name);
                    sending.send(Method::POST, path.clone(), body, done);
                }
            }
        })
    };
    let extra = html! { if let Some(row) = row { <CloseButton closed={row.valid_to.is_some()} onclick={close} /> } };
    let kinds: &[(&'static str, &'static str)] = &[
        ("", "From its name"),
        ("asset", "Asset"),
        ("liability", "Liability"),
        ("equity", "Equity"),
        ("income", "Income"),
        ("expense", "Expense"),
    ];
    let kinds = if row.is_some() { &kinds[1..] } else { kinds };
    html! {
        <FormDialog title={row.map_or_else(|| "New account".to_owned(), |row| row.name.clone())} verb={if row.is_some() { "Save" } else { "Make account" }}
            sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={new.name.trim().is_empty()} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" class="md:col-span-2" hint="All levels, with colons: Assets:Bank:Checking" error={sending.field("name")}>
                    <Input name="name" value={new.name.clone()} on={new.on(|new, text| new.name = text)} autofocus=true invalid={sending.field("name").is_some()} />
                </Field>
                <Field label="Number" error={sending.field("code")}><Input name="code" value={text(new.code.as_ref())} on={new.on(|new, text: String| new.code = non_empty(&text))} /></Field>
                <Field label="Kind" error={sending.field("kind")}>
                    <Pick name="kind" value={text(new.kind.as_ref())} on={new.on(|new, text: String| new.kind = non_empty(&text))} options={options(kinds)} />
                </Field>
                <Field label="Only this currency" hint="Empty: any" error={sending.field("currency")}><Input name="currency" value={text(new.currency.as_ref())} on={new.on(|new, text: String| new.currency = non_empty(&text.to_uppercase()))} /></Field>
                <Field label="Valid from" error={sending.field("valid_from")}><Input name="valid_from" kind="date" value={text(new.valid_from.as_ref())} on={new.on(|new, text: String| new.valid_from = non_empty(&text))} /></Field>
            </div>
            { proposal_hint(props.fleet) }
        </FormDialog>
    }
}
