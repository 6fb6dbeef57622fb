//! Tax rates, one after the other under a code.

use super::{
    Owner, PanelProps,
    close::{Close, CloseButton},
    frame::{FormProps, save, use_frame},
    period, state, state_tag,
};
use crate::{
    components::{Column, Empty, Field, FormDialog, Input, Row, Slot, use_flag, use_form, use_sending},
    format,
    session::use_session,
};
use sent_contract::{
    Decimal,
    reference::{NewTaxRate, TaxRate},
};
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
    let may = use_session().may("fleet.reference.write") && props.owner == Owner::Console;
    let news = props.owner.news(&["table:tax_rates"]);
    let frame = use_frame(props, format!("{}/taxes", props.at), news, columns, |row: &TaxRate, wanted| {
        row.name.to_lowercase().contains(wanted) || row.code.to_lowercase().starts_with(wanted)
    });
    let text = props.owner.kept("A rate of a code that is there already ends the one before it.");
    let empty = html! { <Empty title="No taxes" {text} /> };
    frame.draw("Taxes", may.then_some("New tax rate"), empty, |form| html! { <Edit ..form /> })
}

#[derive(Clone)]
struct Typed {
    code: String,
    name: String,
    rate: String,
    valid_from: String,
}

#[component]
fn Edit(props: &FormProps<TaxRate>) -> Html {
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
            let made = format!("{} is {} % from {}", body.code, body.rate, format::plain_date(&body.valid_from));
            save(&sending, &path, id, body, "Tax rate changed", made);
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
