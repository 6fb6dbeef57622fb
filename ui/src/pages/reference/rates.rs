//! Exchange rates: what one unit of a currency is worth in base currency, from a day on.

use super::{PanelProps, proposal_hint};
use crate::{
    api::List,
    components::{
        Button, Column, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Row, Slot, Tag, Tone, Toolbar,
        listed, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Decimal,
    reference::{FxRate, NewFxRate},
};
use std::rc::Rc;
use yew::prelude::*;

impl Row for FxRate {
    fn key(&self) -> String {
        format!("{}/{}", self.currency, self.date)
    }
}

fn columns() -> Vec<Column<FxRate>> {
    vec![
        Column::new("Currency", |row: &FxRate| row.currency.clone()).class("font-medium").at(Slot::Title),
        Column::new("From", |row: &FxRate| format::plain_date(&row.date)).at(Slot::Detail),
        Column::new("Worth in base currency", |row: &FxRate| row.rate.to_string()).num().at(Slot::Value),
        Column::new("State", |row: &FxRate| if row.pending { "waiting for the cloud" } else { "confirmed" }.to_owned())
            .cell(|row| html! { if row.pending { <Tag tone={Tone::Warn}>{ "Waiting for the cloud" }</Tag> } else { <Tag>{ "Confirmed" }</Tag> } })
            .fill(),
    ]
}

/// The tab.
#[component]
pub fn Rates(props: &PanelProps) -> Html {
    let may = use_session().may(if props.fleet { "fleet.reference.write" } else { "capital.rate.write" });
    let path = format!("{}/rates", props.at);
    let list = use_resource::<List<FxRate>>(
        Some(path.clone()),
        if props.fleet { &["fleet.boxes"] } else { &["table:fx_rates"] },
    );
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&list, props.wanted.clone(), |row: &FxRate, wanted| {
        row.currency.to_lowercase().contains(wanted.as_str()) || row.date.starts_with(wanted.as_str())
    });
    let opened = use_opened::<FxRate>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New rate" onclick={make} /> } };
    let empty = html! { <Empty title="No exchange rates" text="Entries in another currency get their worth in base currency from the rate that is in force on their day." /> };
    html! {
        <>
            <Toolbar {actions}>{ props.head.clone() }</Toolbar>
            { listed(&list, 8, |_| html! { <DataTable<FxRate> {rows} {columns} name="Exchange rates" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making { <Edit path={path.clone()} fleet={props.fleet} on_close={made} on_done={list.reload.clone()} /> }
            if let Some(row) = &opened.row {
                <Edit {path} fleet={props.fleet} row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} />
            }
        </>
    }
}

#[derive(Clone)]
struct Typed {
    currency: String,
    date: String,
    rate: String,
}

#[derive(Properties, PartialEq)]
struct EditProps {
    path: String,
    fleet: bool,
    #[prop_or_default]
    row: Option<Rc<FxRate>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Edit(props: &EditProps) -> Html {
    let row = props.row.as_deref();
    let typed = use_form(|| match row {
        Some(row) => Typed { currency: row.currency.clone(), date: row.date.clone(), rate: row.rate.to_string() },
        None => Typed { currency: String::new(), date: format::today(), rate: String::new() },
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let rate: Option<Decimal> = typed.rate.trim().parse().ok();
    let submit = {
        let (typed, sending, path) = (typed.clone(), sending.clone(), props.path.clone());
        Callback::from(move |()| {
            let Some(rate) = rate else { return };
            let body = NewFxRate { currency: typed.currency.trim().to_owned(), date: typed.date.clone(), rate };
            let done = format!("{} is worth {} from {}", body.currency, body.rate, format::plain_date(&body.date));
            sending.send(Method::PUT, path.clone(), body, done);
        })
    };
    let extra = match row.filter(|_| props.fleet) {
        Some(row) => {
            let (sending, path) = (sending.clone(), format!("{}/{}/{}", props.path, row.currency, row.date));
            html! { <Button kind={Kind::Danger} busy={sending.busy} onclick={Callback::from(move |_: MouseEvent| sending.act(Method::DELETE, path.clone(), "Rate removed"))}>{ "Remove" }</Button> }
        }
        None => Html::default(),
    };
    let wrong = (!typed.rate.trim().is_empty() && rate.is_none()).then(|| "this is no number like 0.9235".to_owned());
    let known = row.is_some();
    html! {
        <FormDialog title={if known { "Exchange rate" } else { "New exchange rate" }} verb="Save" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit}
            disabled={rate.is_none() || typed.currency.trim().is_empty() || typed.date.is_empty()} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Currency" error={sending.field("currency")}><Input name="currency" value={typed.currency.clone()} disabled={known} autofocus={!known} on={typed.on(|typed, text: String| typed.currency = text.to_uppercase())} /></Field>
                <Field label="From" error={sending.field("date")}><Input name="date" kind="date" value={typed.date.clone()} disabled={known} on={typed.on(|typed, text| typed.date = text)} /></Field>
                <Field label="Worth of one unit" class="md:col-span-2" hint="In base currency, until the next rate; posted entries keep the rate they were posted at" error={wrong.or_else(|| sending.field("rate"))}>
                    <Input name="rate" mode="decimal" value={typed.rate.clone()} autofocus={known} on={typed.on(|typed, text| typed.rate = text)} />
                </Field>
            </div>
            { proposal_hint(props.fleet) }
        </FormDialog>
    }
}
