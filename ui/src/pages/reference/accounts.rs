//! The chart of accounts: made, renamed, closed.

use super::{
    Owner, PanelProps,
    close::{Close, CloseButton},
    frame::{FormProps, save, use_frame},
    non_empty, period, proposal_hint, state, state_tag, text,
};
use crate::{
    components::{
        Column, Empty, Field, FormDialog, Input, Pick, Slot, form::options, status::sentence, use_flag, use_form,
        use_sending,
    },
    session::use_session,
};
use sent_contract::capital::{Account, NewAccount};
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
    let console = props.owner == Owner::Console;
    let may = use_session().may(if console { "fleet.reference.write" } else { "capital.account.write" });
    let news = props.owner.news(&["table:accounts"]);
    let frame = use_frame(props, format!("{}/accounts", props.at), news, columns, |row: &Account, wanted| {
        row.name.to_lowercase().contains(wanted) || row.code.as_deref().is_some_and(|code| code.starts_with(wanted))
    });
    let title = if props.wanted.is_empty() { "No accounts yet" } else { "No account of that name" };
    frame.draw("Accounts", may.then_some("New account"), html! { <Empty {title} /> }, |form| html! { <Edit ..form /> })
}

#[component]
fn Edit(props: &FormProps<Account>) -> Html {
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
            let made = format!("{} made", body.name);
            save(&sending, &path, id, body, "Account changed", made);
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
            { proposal_hint(props.owner) }
        </FormDialog>
    }
}
