//! Exchange rates: what one unit of a currency is worth in base currency, from a day on.

use super::{
    Owner, PanelProps,
    frame::{FormProps, use_frame},
    proposal_hint,
    remove::{Remove, RemoveButton},
};
use crate::{
    components::{Column, Empty, Field, FormDialog, Input, Row, Slot, Tag, Tone, use_flag, use_form, use_sending},
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::{
    Decimal,
    reference::{FxRate, NewFxRate},
};
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
        Column::new("State", |row: &FxRate| if row.pending { "Waiting for the cloud" } else { "Set" }.to_owned())
            .cell(|row| html! { if row.pending { <Tag tone={Tone::Warn}>{ "Waiting for the cloud" }</Tag> } else { <Tag>{ "Set" }</Tag> } })
            .fill(),
    ]
}

/// The tab.
#[component]
pub fn Rates(props: &PanelProps) -> Html {
    let console = props.owner == Owner::Console;
    let may = use_session().may(if console { "fleet.reference.write" } else { "capital.rate.write" });
    let news = props.owner.news(&["table:fx_rates"]);
    let frame = use_frame(props, format!("{}/rates", props.at), news, columns, |row: &FxRate, wanted| {
        row.currency.to_lowercase().contains(wanted) || row.date.starts_with(wanted)
    });
    let text =
        "Entries in another currency get their worth in base currency from the rate that is in force on their day.";
    let empty = html! { <Empty title="No exchange rates" {text} /> };
    frame.draw("Exchange rates", may.then_some("New rate"), empty, |form| html! { <Edit ..form /> })
}

#[derive(Clone)]
struct Typed {
    currency: String,
    date: String,
    rate: String,
}

#[component]
fn Edit(props: &FormProps<FxRate>) -> Html {
    let row = props.row.as_deref();
    let typed = use_form(|| match row {
        Some(row) => Typed { currency: row.currency.clone(), date: row.date.clone(), rate: row.rate.to_string() },
        None => Typed { currency: String::new(), date: format::today(), rate: String::new() },
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, remove, keep) = use_flag();
    let rate: Option<Decimal> = typed.rate.trim().parse().ok();
    let submit = {
        let (typed, sending, path) = (typed.clone(), sending.clone(), props.path.clone());
        Callback::from(move |()| {
            let Some(rate) = rate else { return };
            let body = NewFxRate { currency: typed.currency.trim().to_owned(), date: typed.date.clone(), rate };
            let done = format!("{} is worth {} from {}", body.currency, body.rate, format::plain_date(&body.date));
            sending.send(Method::PUT, path.as_str(), body, done);
        })
    };
    let removable = row.filter(|_| props.owner == Owner::Console);
    if let (true, Some(row)) = (removing, removable) {
        return html! {
            <Remove what={format!("the rate of {} from {}", row.currency, format::plain_date(&row.date))} path={format!("{}/{}/{}", props.path, row.currency, row.date)}
                done="Rate removed" on_keep={keep} on_close={props.on_close.clone()} on_done={props.on_done.clone()}>
                { format!("One {} is then no longer worth {} from that day on: entries are valued at the rate before it, or not at all where there is none. Posted entries keep theirs.", row.currency, row.rate) }
            </Remove>
        };
    }
    let extra = html! { if removable.is_some() { <RemoveButton onclick={remove} /> } };
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
            { proposal_hint(props.owner) }
        </FormDialog>
    }
}
