//! Tax rates, one after the other under a code.

use super::{
    PanelProps,
    close::{Close, CloseButton},
    period, state, state_tag,
};
use crate::{
    api::List,
    components::{
        Column, DataTable, Empty, Field, FormDialog, Input, NewButton, Row, Slot, Toolbar, listed, use_flag, use_form,
        use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Decimal,
    reference::{NewTaxRate, TaxRate},
};
use std::rc::Rc;
use yew::prelude::*;

impl Row for TaxRate {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<TaxRate>> {
    vec![
        Column::new("Code", |row: &TaxRate| row.code.clone()).class("font-mono text-sm").at(Slot::Meta),
        Column::new("Tax", |row: &TaxRate| row.name.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Rate", |row: &TaxRate| format!("{} %", row.rate)).num().at(Slot::Value),
        Column::new("Valid", |row: &TaxRate| period(Some(&row.valid_from), row.valid_to.as_deref()))
            .class("text-ink-2")
            .at(Slot::Detail),
        Column::new("State", |row: &TaxRate| state(row.valid_to.as_deref(), row.pending).0.to_owned())
            .cell(|row| state_tag(row.valid_to.as_deref(), row.pending)),
    ]
}

/// The tab.
#[component]
pub fn Taxes(props: &PanelProps) -> Html {
    let may = use_session().may("fleet.reference.write") && props.fleet;
    let path = format!("{}/taxes", props.at);
    let list = use_resource::<List<TaxRate>>(
        Some(path.clone()),
        if props.fleet { &["fleet.boxes"] } else { &["table:tax_rates"] },
    );
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&list, props.wanted.clone(), |row: &TaxRate, wanted| {
        row.name.to_lowercase().contains(wanted.as_str()) || row.code.to_lowercase().starts_with(wanted.as_str())
    });
    let opened = use_opened::<TaxRate>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New tax rate" onclick={make} /> } };
    let text = if props.fleet {
        "A rate of a code that is there already ends the one before it."
    } else {
        "They are kept centrally and come down to this box."
    };
    let empty = html! { <Empty title="No taxes" {text} /> };
    html! {
        <>
            <Toolbar {actions}>{ props.head.clone() }</Toolbar>
            { listed(&list, 8, |_| html! { <DataTable<TaxRate> {rows} {columns} name="Taxes" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making { <Edit path={path.clone()} on_close={made} on_done={list.reload.clone()} /> }
            if let Some(row) = &opened.row { <Edit {path} row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} /> }
        </>
    }
}

#[derive(Clone)]
struct Typed {
    code: String,
    name: String,
    rate: String,
    valid_from: String,
}

#[derive(Properties, PartialEq)]
struct EditProps {
    path: String,
    #[prop_or_default]
    row: Option<Rc<TaxRate>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Edit(props: &EditProps) -> Html {
    let row = props.row.as_deref();
    let typed = use_form(|| match row {
        Some(row) => Typed {
            code: row.code.clone(),
            name: row.name.clone(),
            rate: row.rate.to_string(),
            valid_from: row.valid_from.clone(),
        },
        None => Typed { code: String::new(), name: String::new(), rate: String::new(), valid_from: format::today() },
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let (closing, close, _) = use_flag();
    if let (true, Some(row)) = (closing, row) {
        return html! {
            <Close name={row.code.clone()} path={format!("{}/{}", props.path, row.id)} on={row.valid_to.clone()}
                on_close={props.on_close.clone()} on_done={props.on_done.clone()} />
        };
    }
    let rate: Option<Decimal> = typed.rate.trim().parse().ok();
    let submit = {
        let (typed, sending, path, id) = (typed.clone(), sending.clone(), props.path.clone(), row.map(|row| row.id));
        Callback::from(move |()| {
            let Some(rate) = rate else { return };
            let body = NewTaxRate {
                code: typed.code.trim().to_owned(),
                name: typed.name.trim().to_owned(),
                rate,
                valid_from: typed.valid_from.clone(),
            };
            match id {
                Some(id) => sending.send(Method::PUT, format!("{path}/{id}"), body, "Tax rate changed"),
                None => {
                    let done =
                        format!("{} is {} % from {}", body.code, body.rate, format::plain_date(&body.valid_from));
                    sending.send(Method::POST, path.clone(), body, done);
                }
            }
        })
    };
    let extra = html! { if let Some(row) = row { <CloseButton closed={row.valid_to.is_some()} onclick={close} /> } };
    let wrong =
        (!typed.rate.trim().is_empty() && rate.is_none()).then(|| "this is no number like 19 or 7.5".to_owned());
    let known = row.is_some();
    html! {
        <FormDialog title={row.map_or_else(|| "New tax rate".to_owned(), |row| row.name.clone())} verb={if known { "Save" } else { "Make tax rate" }}
            sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit}
            disabled={rate.is_none() || typed.code.trim().is_empty() || typed.name.trim().is_empty()} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Code" hint="VAT, REDUCED; items name it" error={sending.field("code")}><Input name="code" value={typed.code.clone()} disabled={known} autofocus={!known} on={typed.on(|typed, text| typed.code = text)} /></Field>
                <Field label="Rate, percent" error={wrong.or_else(|| sending.field("rate"))}><Input name="rate" mode="decimal" value={typed.rate.clone()} autofocus={known} on={typed.on(|typed, text| typed.rate = text)} /></Field>
                <Field label="Name" error={sending.field("name")}><Input name="name" value={typed.name.clone()} on={typed.on(|typed, text| typed.name = text)} /></Field>
                <Field label="Valid from" error={sending.field("valid_from")}><Input name="valid_from" kind="date" value={typed.valid_from.clone()} on={typed.on(|typed, text| typed.valid_from = text)} /></Field>
            </div>
        </FormDialog>
    }
}
