//! What is bought and sold.

use super::{
    Owner, PanelProps,
    close::{Close, CloseButton},
    frame::{FormProps, save, use_frame},
    non_empty, period, state, state_tag, text,
};
use crate::{
    api::List,
    components::{Column, Empty, Field, FormDialog, Input, Pick, Row, Slot, use_flag, use_form, use_sending},
    data::use_resource,
    format,
    session::use_session,
};
use sent_contract::{
    Decimal,
    reference::{Item, NewItem, TaxRate},
};
use std::collections::BTreeSet;
use yew::prelude::*;

impl Row for Item {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn columns() -> Vec<Column<Item>> {
    vec![
        Column::new("Number", |row: &Item| row.sku.clone()).class("font-mono text-sm text-ink-3").at(Slot::Meta),
        Column::new("Item", |row: &Item| row.name.clone()).class("font-medium").fill().at(Slot::Title),
        Column::new("Unit", |row: &Item| row.unit.clone()).at(Slot::Detail),
        Column::new("Net price", |row: &Item| format!("{} {}", format::money(row.price, &row.currency), row.currency))
            .num()
            .at(Slot::Value),
        Column::new("Tax", |row: &Item| row.tax.clone().unwrap_or_else(|| "none".into())).class("text-ink-2"),
        Column::new("Valid", |row: &Item| period(None, row.valid_to.as_deref())).class("text-ink-2"),
        Column::new("State", |row: &Item| state(row.valid_to.as_deref(), row.pending).0.to_owned())
            .cell(|row| state_tag(row.valid_to.as_deref(), row.pending)),
    ]
}

/// The tab.
#[component]
pub fn Items(props: &PanelProps) -> Html {
    let may = use_session().may("fleet.reference.write") && props.owner == Owner::Console;
    let news = props.owner.news(&["table:items"]);
    let frame = use_frame(props, format!("{}/items", props.at), news, columns, |row: &Item, wanted| {
        row.name.to_lowercase().contains(wanted) || row.sku.to_lowercase().starts_with(wanted)
    });
    let text = props.owner.kept("What the customer buys and sells, the same in all of its branches.");
    let title = if props.wanted.is_empty() { "No items" } else { "No item of that name" };
    let empty = html! { <Empty {title} {text} /> };
    frame.draw("Items", may.then_some("New item"), empty, |form| html! { <Edit ..form /> })
}

#[derive(Clone, Default)]
struct Typed {
    sku: String,
    name: String,
    unit: String,
    price: String,
    currency: String,
    tax: String,
}

#[component]
fn Edit(props: &FormProps<Item>) -> Html {
    let row = props.row.as_deref();
    let taxes = use_resource::<List<TaxRate>>(Some(format!("{}/taxes", props.at)), &[]);
    let typed = use_form(|| match row {
        Some(row) => Typed {
            sku: row.sku.clone(),
            name: row.name.clone(),
            unit: row.unit.clone(),
            price: row.price.to_string(),
            currency: row.currency.clone(),
            tax: text(row.tax.as_ref()),
        },
        None => Typed { unit: "piece".to_owned(), currency: "EUR".to_owned(), ..Typed::default() },
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let (closing, close, _) = use_flag();
    if let (true, Some(row)) = (closing, row) {
        return html! {
            <Close name={row.name.clone()} path={format!("{}/{}", props.path, row.id)} on={row.valid_to.clone()}
                on_close={props.on_close.clone()} on_done={props.on_done.clone()} />
        };
    }
    let price: Option<Decimal> = typed.price.trim().parse().ok();
    let submit = {
        let (typed, sending, path, id) = (typed.clone(), sending.clone(), props.path.clone(), row.map(|row| row.id));
        Callback::from(move |()| {
            let Some(price) = price else { return };
            let body = NewItem {
                sku: typed.sku.trim().to_owned(),
                name: typed.name.trim().to_owned(),
                unit: typed.unit.trim().to_owned(),
                price,
                currency: typed.currency.trim().to_owned(),
                tax: non_empty(&typed.tax),
            };
            let made = format!("{} made", body.name);
            save(&sending, &path, id, body, "Item changed", made);
        })
    };
    let extra = html! { if let Some(row) = row { <CloseButton closed={row.valid_to.is_some()} onclick={close} /> } };
    let wrong = (!typed.price.trim().is_empty() && price.is_none()).then(|| "this is no number like 149.90".to_owned());
    let codes: BTreeSet<String> = taxes
        .data
        .iter()
        .flat_map(|list| list.items.iter().map(|tax| tax.code.clone()))
        .chain(non_empty(&typed.tax))
        .collect();
    let codes: Vec<(AttrValue, AttrValue)> = std::iter::once(("".into(), "None".into()))
        .chain(codes.into_iter().map(|code| (code.clone().into(), code.into())))
        .collect();
    let missing = [&typed.sku, &typed.name, &typed.unit, &typed.currency].iter().any(|text| text.trim().is_empty());
    html! {
        <FormDialog title={row.map_or_else(|| "New item".to_owned(), |row| row.name.clone())} verb={if row.is_some() { "Save" } else { "Make item" }}
            sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={missing || price.is_none()} {extra}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" class="md:col-span-2" error={sending.field("name")}><Input name="name" value={typed.name.clone()} autofocus=true on={typed.on(|typed, text| typed.name = text)} /></Field>
                <Field label="Number" error={sending.field("sku")}><Input name="sku" value={typed.sku.clone()} on={typed.on(|typed, text| typed.sku = text)} /></Field>
                <Field label="Unit" hint="piece, hour, kg" error={sending.field("unit")}><Input name="unit" value={typed.unit.clone()} on={typed.on(|typed, text| typed.unit = text)} /></Field>
                <Field label="Net price of one" error={wrong.or_else(|| sending.field("price"))}><Input name="price" mode="decimal" value={typed.price.clone()} on={typed.on(|typed, text| typed.price = text)} /></Field>
                <Field label="Currency" error={sending.field("currency")}><Input name="currency" value={typed.currency.clone()} on={typed.on(|typed, text: String| typed.currency = text.to_uppercase())} /></Field>
                <Field label="Tax" error={sending.field("tax")}><Pick name="tax" value={typed.tax.clone()} options={codes} on={typed.on(|typed, text| typed.tax = text)} /></Field>
            </div>
        </FormDialog>
    }
}
