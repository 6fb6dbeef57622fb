//! Transactions that could not be projected. Nothing behind them waits; each is retried, or skipped with a reason.

use crate::{
    api::{List, with_query},
    components::{
        Ago, Button, Column, DataTable, Dialog, Empty, Field, Input, Kind, Refusal, Row, Slot, StateChips, Tag, Tone,
        Toolbar, list::state_of, listed, status::sentence, use_form, use_opened, use_rows, use_sending,
    },
    data::{use_query, use_resource},
    format,
    session::use_session,
    words,
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
        Column::new("Action", |row: &Quarantined| row.action.clone())
            .cell(|row| html! { <span title={row.action.clone()}>{ words::action(&row.action) }</span> }),
        Column::new("Error", |row: &Quarantined| row.error.clone()).class("text-ink-2").fill().at(Slot::Detail),
        Column::new("When", |row: &Quarantined| format::iso(row.at))
            .cell(|row| html! { <Ago at={row.at} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Quarantine() -> Html {
    let (query, set) = use_query();
    let (state, asked) = state_of(&query, "open");
    let list = use_resource::<List<Quarantined>>(
        Some(with_query("/api/fleet/quarantine", &[("state", asked)])),
        &["fleet.quarantine"],
    );
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&list, (), |_, ()| true);
    let opened = use_opened::<Quarantined>();
    let empty = html! { <Empty title="Nothing in quarantine" text="Every transaction that came could be projected. What cannot be would stand here, and the queue behind it goes on." /> };
    html! {
        <>
            <Toolbar views=true><StateChips {state} {set} options={vec![("open", "Open"), ("retried", "Retried"), ("skipped", "Skipped"), ("all", "All")]} /></Toolbar>
            { listed(&list, 6, |_| html! { <DataTable<Quarantined> {rows} {columns} name="Quarantine" on_open={opened.open.clone()} {empty} /> }) }
            if let Some(row) = &opened.row {
                <Detail row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} />
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
    let row = &props.row;
    let may = use_session().may("fleet.quarantine.write");
    let reason = use_form(String::new);
    let sending = use_sending(&props.on_close, &props.on_done);
    let path = format!("/api/fleet/quarantine/{}", row.id);
    let retry = {
        let (sending, path) = (sending.clone(), path.clone());
        Callback::from(move |()| sending.act(Method::POST, format!("{path}/retry"), "Tried again"))
    };
    let skip = {
        let (sending, reason) = (sending.clone(), reason.trim().to_owned());
        Callback::from(move |()| {
            let body = Skip { reason: reason.clone() };
            sending.send(Method::POST, format!("{path}/skip"), body, "Skipped; the reason is in the audit");
        })
    };
    // Enter in the field of the reason skips; without a reason it tries again.
    let skips = !reason.trim().is_empty();
    let submit = if skips { skip } else { retry.clone() };
    let again = {
        let retry = retry.clone();
        Callback::from(move |_: MouseEvent| {
            if skips {
                retry.emit(());
            }
        })
    };
    let waiting = row.state == "open" && may;
    let footer = html! {
        if waiting {
            <>
                <Button kind={Kind::Danger} busy={sending.busy} disabled={!skips} submit={skips}>{ "Skip it" }</Button>
                <Button kind={Kind::Primary} busy={sending.busy} submit={!skips} onclick={again}>{ "Try again" }</Button>
            </>
        }
    };
    html! {
        <Dialog title={format!("{}, transaction {}/{}", row.box_ref.name, row.epoch, row.sequence)} wide=true on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <p class="mb-3 flex items-center gap-2">{ state_tag(&row.state) }<span class="text-ink-2">{ words::action(&row.action) }{ ", " }{ format::absolute(row.at) }</span></p>
            <p class="mb-3 rounded-md bg-bad-soft px-3 py-2 font-mono text-sm break-words text-bad-ink">{ &row.error }</p>
            <details class="mb-3"><summary class="text-ink-2">{ "Its changes" }</summary><Json value={row.changes.clone()} /></details>
            if let Some(reason) = &row.reason { <p>{ "Skipped: " }{ reason }</p> }
            if waiting {
                <Field label="Reason for skipping" hint="Kept in the audit. The row stays on the box and is missing here."><Input name="reason" value={(*reason).clone()} on={reason.on(|reason, text| *reason = text)} /></Field>
            }
            <Refusal error={sending.error.clone()} />
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
