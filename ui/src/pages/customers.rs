//! The fleet's customers, their branches, and how their boxes do.

use super::claim::ClaimDialog;
use crate::{
    api::List,
    components::{
        Button, Column, DataTable, Dialog, Dot, Empty, Field, FormDialog, Input, Kind, NewButton, Refusal, Row, Search,
        Slot, TextArea, Tone, Toolbar, listed, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::fleet::{NewOrganization, Organization};
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

impl Row for Organization {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn health(row: &Organization) -> Html {
    let counts = &row.boxes;
    let parts = [
        (counts.bad, Tone::Bad, "critical"),
        (counts.warn, Tone::Warn, "degraded"),
        (counts.ok, Tone::Ok, "healthy"),
        (counts.unknown, Tone::Plain, "never seen"),
    ];
    html! {
        <span class="inline-flex gap-3">
            for (count, tone, word) in parts.into_iter().filter(|(count, ..)| *count > 0) {
                <span class="inline-flex items-center gap-1.5 tabular-nums"><Dot {tone} />{ format!("{} {word}", format::count(count)) }</span>
            }
        </span>
    }
}

fn columns() -> Vec<Column<Organization>> {
    vec![
        Column::new("Customer", |row: &Organization| row.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Boxes", |row: &Organization| row.boxes.total.to_string())
            .num()
            .cell(|row| html! { <>{ format::count(row.boxes.total) }<span class="md:hidden">{ if row.boxes.total == 1 { " box" } else { " boxes" } }</span></> })
            .at(Slot::Value),
        Column::new("Health", |row: &Organization| {
            format!("{} critical, {} degraded, {} healthy", row.boxes.bad, row.boxes.warn, row.boxes.ok)
        })
        .cell(health),
        Column::new("Branches", |row: &Organization| {
            row.branches.iter().map(|branch| branch.name.clone()).collect::<Vec<_>>().join(", ")
        })
        .class("text-ink-2")
        .fill()
        .at(Slot::Detail),
        Column::new("Users", |row: &Organization| row.users.to_string()).num(),
        Column::new("Currency", |row: &Organization| row.currency.clone()).at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Customers() -> Html {
    let (query, set) = use_query();
    let list = use_resource::<List<Organization>>(Some("/api/fleet/organizations".into()), &["fleet.boxes"]);
    let columns = use_memo((), |()| columns());
    let wanted = query.get("q").to_lowercase();
    let rows =
        use_rows(&list, wanted.clone(), |row: &Organization, wanted| row.name.to_lowercase().contains(wanted.as_str()));
    let may = use_session().may("fleet.organization.write");
    let opened = use_opened::<Organization>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New customer" onclick={make.clone()} /> } };
    let empty = if wanted.is_empty() {
        html! {
            <Empty title="No customers yet" text="A customer has branches, a branch has a box.">
                if may { <Button kind={Kind::Primary} onclick={make.reform(|_: MouseEvent| ())}>{ "New customer" }</Button> }
            </Empty>
        }
    } else {
        html! { <Empty title="No customer of that name" /> }
    };
    html! {
        <>
            <Toolbar {actions}><Search value={query.get("q").to_owned()} placeholder="Customer" on={Callback::from(move |text| set.emit(vec![("q", text)]))} /></Toolbar>
            { listed(&list, 8, |_| html! { <DataTable<Organization> {rows} {columns} name="Customers" on_open={opened.open.clone()} {empty} /> }) }
            if making {
                <Create on_close={made} on_done={list.reload.clone()} />
            }
            if let Some(row) = &opened.row {
                <Detail row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct CreateProps {
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// A new customer as it is typed.
#[derive(Clone)]
struct New {
    name: String,
    currency: String,
    branches: String,
}

#[component]
fn Create(props: &CreateProps) -> Html {
    let new = use_form(|| New { name: String::new(), currency: "EUR".to_owned(), branches: String::new() });
    let sending = use_sending(&props.on_close, &props.on_done);
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
    };
    let body = NewOrganization {
        name: new.name.trim().to_owned(),
        currency: new.currency.trim().to_uppercase(),
        branches: lines(&new.branches),
    };
    let ready = !body.name.is_empty() && !body.currency.is_empty() && !body.branches.is_empty();
    let submit = {
        let sending = sending.clone();
        Callback::from(move |()| {
            let done = format!("{} made", body.name);
            sending.send(Method::POST, "/api/fleet/organizations", body.clone(), done);
        })
    };
    html! {
        <FormDialog title="New customer" verb="Make customer" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={!ready}>
            <div class="grid gap-3 md:grid-cols-[1fr_8rem]">
                <Field label="Name" error={sending.field("name")}><Input name="name" autofocus=true value={new.name.clone()} on={new.on(|new, text| new.name = text)} /></Field>
                <Field label="Base currency" error={sending.field("currency")}><Input name="currency" value={new.currency.clone()} on={new.on(|new, text| new.currency = text)} /></Field>
                <Field label="Branches" class="md:col-span-2" error={sending.field("branches")} hint="One a line, at least one; more can follow"><TextArea rows=3 value={new.branches.clone()} on={new.on(|new, text| new.branches = text)} /></Field>
            </div>
        </FormDialog>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    row: Rc<Organization>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// A customer: its branches, a new branch, its boxes, a claim for it.
#[component]
fn Detail(props: &DetailProps) -> Html {
    let navigator = use_navigator();
    let session = use_session();
    let row = &props.row;
    let branch = use_form(String::new);
    let sending = use_sending(&props.on_close, &props.on_done);
    let (claim, claiming, _) = use_flag();
    let submit = {
        let (name, sending, id) = (branch.trim().to_owned(), sending.clone(), row.id);
        Callback::from(move |()| {
            if !name.is_empty() {
                let body = serde_json::json!({ "name": name });
                let path = format!("/api/fleet/organizations/{id}/branches");
                sending.send(Method::POST, path, body, format!("Branch {name} made"));
            }
        })
    };
    let boxes = {
        let id = row.id.to_string();
        Callback::from(move |_: MouseEvent| {
            if let Some(navigator) = &navigator {
                // A pair of texts always serialises.
                let _ = navigator.push_with_query(&Route::Boxes, &[("organization", id.clone())]);
            }
        })
    };
    if claim {
        return html! { <ClaimDialog organization={AttrValue::from(row.id.to_string())} on_close={props.on_close.clone()} /> };
    }
    let footer = html! {
        <>
            <Button onclick={boxes}>{ format!("See {}", format::counted(row.boxes.total, "box", "boxes")) }</Button>
            if session.may("fleet.claim.write") { <Button kind={Kind::Primary} onclick={claiming.reform(|_: MouseEvent| ())} disabled={row.branches.is_empty()}>{ "Claim a box" }</Button> }
        </>
    };
    html! {
        <Dialog title={row.name.clone()} on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <p class="mb-3">{ health(row) }</p>
            <h3 class="mb-1.5 font-semibold">{ "Branches" }</h3>
            <ul class="mb-3 rounded-md border border-line">
                for place in row.branches.iter() { <li key={place.id.to_string()} class="border-b border-line-2 px-3 py-1.5 last:border-0">{ &place.name }</li> }
                if row.branches.is_empty() { <li class="px-3 py-1.5 text-ink-3">{ "None yet" }</li> }
            </ul>
            if session.may("fleet.organization.write") {
                <div class="flex items-end gap-2">
                    <Field label="New branch" class="flex-1" error={sending.field("name")}><Input name="branch" value={(*branch).clone()} on={branch.on(|branch, text| *branch = text)} /></Field>
                    <Button submit=true busy={sending.busy} disabled={branch.trim().is_empty()}>{ "Add" }</Button>
                </div>
                <Refusal error={sending.error.clone()} />
            }
        </Dialog>
    }
}
