//! Transactions that could not be projected. Nothing behind them waits; each is retried, or skipped with a reason.

use crate::{
    api::{self, Done, List, with_query},
    components::{
        Ago, Button, Chip, Column, DataTable, Dialog, Empty, Field, Input, Kind, Row, Slot, Tag, Tone, Toolbar, loaded,
        status::sentence, use_toast,
    },
    data::{use_query, use_resource},
    format,
};
use gloo_net::http::Method;
use sent_contract::fleet::{Quarantined, Skip};
use std::rc::Rc;
use yew::prelude::*;

impl Row for Quarantined {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

/// A decision's state as a tag; `open` waits for a person.
pub fn state_tag(state: &str) -> Html {
    let tone = match state {
        "open" => Tone::Warn,
        "retried" | "accepted" => Tone::Ok,
        _ => Tone::Plain,
    };
    html! { <Tag {tone}>{ sentence(state) }</Tag> }
}

fn columns() -> Vec<Column<Quarantined>> {
    vec![
        Column::new("State", |row: &Quarantined| row.state.clone()).cell(|row| state_tag(&row.state)).at(Slot::Value),
        Column::new("Box", |row: &Quarantined| row.box_ref.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Customer", |row: &Quarantined| row.organization.name.clone()),
        Column::new("Transaction", |row: &Quarantined| format!("{}/{}", row.epoch, row.sequence))
            .class("font-mono text-sm"),
        Column::new("Action", |row: &Quarantined| row.action.clone()),
        Column::new("Error", |row: &Quarantined| row.error.clone()).class("text-ink-2").at(Slot::Detail),
        Column::new("When", |row: &Quarantined| format::iso(row.at))
            .cell(|row| html! { <Ago at={row.at} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Quarantine() -> Html {
    let (query, set) = use_query();
    let state = if query.get("state").is_empty() { "open" } else { query.get("state") }.to_owned();
    let asked = if state == "all" { String::new() } else { state.clone() };
    let list = use_resource::<List<Quarantined>>(
        Some(with_query("/api/fleet/quarantine", &[("state", asked)])),
        &["fleet.quarantine"],
    );
    let columns = use_memo((), |()| columns());
    let rows = use_memo(list.data.as_ref().map(|list| Rc::as_ptr(list) as usize), |_| {
        list.data.as_ref().map(|list| list.items.clone()).unwrap_or_default()
    });
    let open = use_state(|| None::<Rc<Quarantined>>);
    let on_open = {
        let open = open.setter();
        use_callback((), move |row: Quarantined, ()| open.set(Some(Rc::new(row))))
    };
    let close = {
        let open = open.setter();
        Callback::from(move |()| open.set(None))
    };
    let chip = |value: &'static str, label: &'static str| {
        let set = set.clone();
        html! { <Chip on={state == value} onclick={Callback::from(move |_: MouseEvent| set.emit(vec![("state", value.to_owned())]))}>{ label }</Chip> }
    };
    html! {
        <>
            <Toolbar>{ chip("open", "Open") }{ chip("retried", "Retried") }{ chip("skipped", "Skipped") }{ chip("all", "All") }</Toolbar>
            { loaded(&list, 6, |_| html! {
                <DataTable<Quarantined> {rows} {columns} name="Quarantine" {on_open}
                    empty={html! { <Empty title="Nothing in quarantine" text="Every transaction that came could be projected. What cannot be would stand here, and the queue behind it goes on." /> }} />
            }) }
            if let Some(row) = &*open {
                <Detail row={row.clone()} on_close={close} on_done={list.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    row: Rc<Quarantined>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Detail(props: &DetailProps) -> Html {
    let toast = use_toast();
    let row = &props.row;
    let reason = use_state(String::new);
    let busy = use_state_eq(|| false);
    let decide = {
        let (busy, id) = (busy.clone(), row.id);
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |skip: Option<String>| {
            let (busy, toast, on_close, on_done) = (busy.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                let answer = match skip {
                    Some(reason) => api::post::<Done>(&format!("/api/fleet/quarantine/{id}/skip"), &Skip { reason })
                        .await
                        .map(|_| "Skipped; the reason is in the audit"),
                    None => api::act::<Done>(Method::POST, &format!("/api/fleet/quarantine/{id}/retry"))
                        .await
                        .map(|_| "Tried again"),
                };
                busy.set(false);
                on_done.emit(());
                match answer {
                    Ok(done) => {
                        toast.ok(done);
                        on_close.emit(());
                    }
                    Err(failure) => toast.bad(&failure),
                }
            });
        })
    };
    let on_reason = {
        let reason = reason.clone();
        Callback::from(move |text| reason.set(text))
    };
    let skip = {
        let (decide, reason) = (decide.clone(), reason.clone());
        Callback::from(move |_: MouseEvent| decide.emit(Some(reason.trim().to_owned())))
    };
    let waiting = row.state == "open";
    let footer = html! {
        if waiting {
            <>
                <Button kind={Kind::Danger} busy={*busy} disabled={reason.trim().is_empty()} onclick={skip}>{ "Skip it" }</Button>
                <Button kind={Kind::Primary} busy={*busy} submit=true>{ "Try again" }</Button>
            </>
        }
    };
    html! {
        <Dialog title={format!("{}, transaction {}/{}", row.box_ref.name, row.epoch, row.sequence)} wide=true on_close={props.on_close.clone()} on_submit={decide.reform(|()| None)} {footer}>
            <p class="mb-3 flex items-center gap-2">{ state_tag(&row.state) }<span class="text-ink-2">{ &row.action }{ ", " }{ format::absolute(row.at) }</span></p>
            <p class="mb-3 rounded-md bg-bad-soft px-3 py-2 font-mono text-sm break-words text-bad-ink">{ &row.error }</p>
            <details class="mb-3"><summary class="text-ink-2">{ "Its changes" }</summary><Json value={row.changes.clone()} /></details>
            if let Some(reason) = &row.reason { <p>{ "Skipped: " }{ reason }</p> }
            if waiting {
                <Field label="Reason for skipping" hint="Kept in the audit. The row stays on the box and is missing here."><Input name="reason" value={(*reason).clone()} on={on_reason} /></Field>
            }
        </Dialog>
    }
}

/// Properties of [`Json`].
#[derive(Properties, PartialEq)]
pub struct JsonProps {
    /// What to show.
    pub value: serde_json::Value,
}

/// A document as it is, indented.
#[component]
pub fn Json(props: &JsonProps) -> Html {
    let text = serde_json::to_string_pretty(&props.value).unwrap_or_default();
    html! { <pre class="mt-1.5 max-h-80 overflow-auto rounded-md border border-line bg-bg p-3 font-mono text-sm" tabindex="0">{ text }</pre> }
}
