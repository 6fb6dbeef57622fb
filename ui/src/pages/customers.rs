//! The fleet's customers, their branches, and how their boxes do.

use super::claim::ClaimDialog;
use crate::{
    api::{self, Done, Failure, List},
    components::{
        Button, Column, DataTable, Dialog, Dot, Empty, Field, Input, Kind, Row, Search, Slot, TextArea, Tone, Toolbar,
        loaded, status::sentence, use_toast,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
};
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
        (counts.bad, Tone::Bad, "bad"),
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
        Column::new("Boxes", |row: &Organization| row.boxes.total.to_string()).num().at(Slot::Value),
        Column::new("Health", |row: &Organization| {
            format!("{} bad, {} degraded, {} healthy", row.boxes.bad, row.boxes.warn, row.boxes.ok)
        })
        .cell(health),
        Column::new("Branches", |row: &Organization| {
            row.branches.iter().map(|branch| branch.name.clone()).collect::<Vec<_>>().join(", ")
        })
        .class("text-ink-2")
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
    let rows = use_memo((list.data.as_ref().map(|list| Rc::as_ptr(list) as usize), wanted.clone()), |_| {
        let mut rows = list.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
        rows.retain(|row| row.name.to_lowercase().contains(&wanted));
        rows
    });
    let creating = use_state_eq(|| false);
    let open = use_state(|| None::<Rc<Organization>>);
    let on_open = {
        let open = open.setter();
        use_callback((), move |row: Organization, ()| open.set(Some(Rc::new(row))))
    };
    let close = {
        let open = open.setter();
        Callback::from(move |()| open.set(None))
    };
    let show = |value: bool| {
        let creating = creating.clone();
        Callback::from(move |()| creating.set(value))
    };
    let actions = html! { <span data-create="true" onclick={show(true).reform(|_: MouseEvent| ())}><Button kind={Kind::Primary} class="p">{ "New customer" }<kbd class="kbd ml-1 hidden md:inline">{ "C" }</kbd></Button></span> };
    let empty = html! {
        <Empty title="No customers yet" text="A customer has branches, a branch has a box.">
            <Button kind={Kind::Primary} onclick={show(true).reform(|_: MouseEvent| ())}>{ "New customer" }</Button>
        </Empty>
    };
    html! {
        <>
            <Toolbar {actions}><Search value={query.get("q").to_owned()} placeholder="Customer" on={Callback::from(move |text| set.emit(vec![("q", text)]))} /></Toolbar>
            { loaded(&list, 8, |_| html! { <DataTable<Organization> {rows} {columns} name="Customers" {on_open} {empty} /> }) }
            if *creating {
                <Create on_close={show(false)} on_done={list.reload.clone()} />
            }
            if let Some(row) = &*open {
                <Detail row={row.clone()} on_close={close} on_done={list.reload.clone()} />
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
    let toast = use_toast();
    let name = use_state(String::new);
    let currency = use_state(|| "EUR".to_owned());
    let branches = use_state(String::new);
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let submit = {
        let (name, currency, branches, busy, error) =
            (name.clone(), currency.clone(), branches.clone(), busy.clone(), error.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let body = NewOrganization {
                name: name.trim().to_owned(),
                currency: currency.trim().to_uppercase(),
                branches: branches
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(ToOwned::to_owned)
                    .collect(),
            };
            let (busy, error, toast, on_close, on_done) =
                (busy.clone(), error.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Done>("/api/fleet/organizations", &body).await {
                    Ok(_) => {
                        toast.ok(format!("{} made", body.name));
                        on_done.emit(());
                        on_close.emit(());
                    }
                    Err(failure) => {
                        error.set(Some(failure));
                        busy.set(false);
                    }
                }
            });
        })
    };
    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={name.trim().is_empty() || currency.trim().is_empty() || branches.trim().is_empty()}>{ "Make customer" }</Button>
        </>
    };
    html! {
        <Dialog title="New customer" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <div class="grid gap-3 md:grid-cols-[1fr_8rem]">
                <Field label="Name" error={failure("name")}><Input name="name" autofocus=true value={(*name).clone()} on={set(&name)} /></Field>
                <Field label="Base currency" error={failure("currency")}><Input name="currency" value={(*currency).clone()} on={set(&currency)} /></Field>
                <Field label="Branches" class="md:col-span-2" error={failure("branches")} hint="One a line, at least one; more can follow"><TextArea rows=3 value={(*branches).clone()} on={set(&branches)} /></Field>
            </div>
            if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p>
            }
        </Dialog>
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
    let toast = use_toast();
    let navigator = use_navigator();
    let row = &props.row;
    let branch = use_state(String::new);
    let busy = use_state_eq(|| false);
    let claim = use_state_eq(|| false);
    let submit = {
        let (branch, busy, id) = (branch.clone(), busy.clone(), row.id);
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let name = branch.trim().to_owned();
            if name.is_empty() {
                return;
            }
            let (busy, toast, on_close, on_done) = (busy.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                let body = serde_json::json!({ "name": name });
                match api::post::<Done>(&format!("/api/fleet/organizations/{id}/branches"), &body).await {
                    Ok(_) => {
                        toast.ok(format!("Branch {name} made"));
                        on_done.emit(());
                        on_close.emit(());
                    }
                    Err(failure) => {
                        toast.bad(&failure);
                        busy.set(false);
                    }
                }
            });
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
    let claiming = |value: bool| {
        let claim = claim.clone();
        Callback::from(move |()| claim.set(value))
    };
    if *claim {
        return html! { <ClaimDialog organization={AttrValue::from(row.id.to_string())} on_close={props.on_close.clone()} /> };
    }
    let on_branch = {
        let branch = branch.clone();
        Callback::from(move |text| branch.set(text))
    };
    let footer = html! {
        <>
            <Button onclick={boxes}>{ format!("See {}", format::counted(row.boxes.total, "box", "boxes")) }</Button>
            <Button kind={Kind::Primary} onclick={claiming(true).reform(|_: MouseEvent| ())} disabled={row.branches.is_empty()}>{ "Claim a box" }</Button>
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
            <div class="flex items-end gap-2">
                <Field label="New branch" class="flex-1"><Input name="branch" value={(*branch).clone()} on={on_branch} /></Field>
                <Button submit=true busy={*busy} disabled={branch.trim().is_empty()}>{ "Add" }</Button>
            </div>
        </Dialog>
    }
}
