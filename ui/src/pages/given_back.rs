//! What a restored box could not take back: transactions of an earlier epoch that the cloud gave back and that no longer
//! fit. Each waits, whole, until somebody applies it again or drops it; nothing else waits for it.

use super::audit::ChangeView;
use crate::{
    api::{self, Done, Failure, List},
    components::{
        Ago, Button, Column, Confirm, DataTable, Dialog, Empty, FormDialog, Kind, Refusal, Row, Slot, Tag, Tone,
        Toolbar, listed, status::sentence, use_flag, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    format,
    session::use_session,
    words,
};
use gloo_net::http::Method;
use sent_contract::{audit::Change, identity::User, sync::Quarantined};
use serde_json::{Map, Value};
use std::rc::Rc;
use yew::prelude::*;

const PATH: &str = "/api/sync/quarantine";

impl Row for Quarantined {
    fn key(&self) -> String {
        self.identity.clone()
    }
}

/// Its place as people say it; what this box never sealed has none.
fn place(row: &Quarantined) -> String {
    if row.epoch == 0 { "another box's".to_owned() } else { format!("{}/{}", row.epoch, row.sequence) }
}

/// Who did it, in a name where one is known.
fn actor(row: &Quarantined, users: &[User]) -> String {
    match row.actor.as_str() {
        "system" => "This box".to_owned(),
        "cloud" => "The cloud".to_owned(),
        id => users
            .iter()
            .find(|user| user.id.to_string() == id)
            .map_or_else(|| "Somebody who is not here any more".to_owned(), |user| user.name.clone()),
    }
}

/// Changes as the audit shows them, out of the form in which they travel.
fn changes(travelling: &Value) -> Vec<Change> {
    let columns = |change: &Value, name: &str| -> Map<String, Value> {
        change.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let text = |change: &Value, name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = travelling.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter()
        .map(|change| Change {
            table: text(change, "t"),
            op: text(change, "o"),
            key: columns(change, "k"),
            old: columns(change, "p"),
            new: columns(change, "n"),
        })
        .collect()
}

fn columns(users: &[User]) -> Vec<Column<Quarantined>> {
    let users: Rc<[User]> = users.into();
    vec![
        Column::new("What", |row: &Quarantined| words::action(&row.action).into_owned())
            .cell(|row| html! { <span title={row.action.clone()}>{ words::action(&row.action) }</span> })
            .class("font-medium")
            .at(Slot::Title),
        Column::new("Who", move |row: &Quarantined| actor(row, &users)).at(Slot::Value),
        Column::new("Transaction", place).class("font-mono text-sm text-ink-3"),
        Column::new("Why it does not fit", |row: &Quarantined| sentence(&row.error))
            .class("text-ink-2")
            .fill()
            .at(Slot::Detail),
        Column::new("Done", |row: &Quarantined| format::iso(row.at))
            .cell(|row| html! { <Ago at={row.at} /> })
            .at(Slot::Meta),
        Column::new("Here since", |row: &Quarantined| format::iso(row.since))
            .cell(|row| html! { <Ago at={row.since} /> }),
    ]
}

/// The page.
#[component]
pub fn GivenBack() -> Html {
    let session = use_session();
    let may = session.may("sync.quarantine.write");
    let list = use_resource::<List<Quarantined>>(Some(PATH.into()), &["sync", "audit"]);
    let users = use_resource::<List<User>>(session.may("user.read").then(|| "/api/users".into()), &[]);
    let known = users.data.as_ref().map(|users| users.items.clone()).unwrap_or_default();
    let columns = use_memo(known.clone(), |known| columns(known));
    let rows = use_rows(&list, (), |_, ()| true);
    let opened = use_opened::<Quarantined>();
    let (applying, apply, applied) = use_flag();
    let actions = html! {
        if may && !rows.is_empty() { <Button onclick={apply.reform(|_: MouseEvent| ())}>{ "Apply all again" }</Button> }
    };
    let empty = html! { <Empty title="Nothing in quarantine" text="After a restore the cloud gives back what the backup lacked. What no longer fits would stand here until you decide." /> };
    html! {
        <>
            <Toolbar {actions}>
                if !rows.is_empty() {
                    <p class="max-w-[44rem] text-ink-2">{ "The cloud has these from before this box was restored; they no longer fit what is here. Nothing else waits for them." }</p>
                }
            </Toolbar>
            { listed(&list, 4, |_| html! { <DataTable<Quarantined> rows={rows.clone()} {columns} name="Quarantine" on_open={opened.open.clone()} {empty} /> }) }
            if let Some(row) = &opened.row {
                <Detail row={row.clone()} who={actor(row, &known)} {may} on_close={opened.close.clone()} on_done={list.reload.clone()} />
            }
            if applying { <ApplyAll {rows} on_close={applied} on_done={list.reload.clone()} /> }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    row: Rc<Quarantined>,
    who: String,
    may: bool,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Detail(props: &DetailProps) -> Html {
    let row = &props.row;
    let sending = use_sending(&props.on_close, &props.on_done);
    let dropping = use_sending(&props.on_close, &props.on_done);
    let sure = use_state_eq(|| false);
    let path = format!("{PATH}/{}", row.identity);
    let apply = {
        let (sending, path) = (sending.clone(), path.clone());
        Callback::from(move |()| sending.act(Method::POST, format!("{path}/apply"), "Applied; it goes to the cloud"))
    };
    if *sure {
        let back = sure.setter();
        let discard = {
            let dropping = dropping.clone();
            Callback::from(move |()| {
                dropping.act(Method::POST, format!("{path}/drop"), "Dropped; the audit says who did it");
            })
        };
        return html! {
            <Confirm title={format!("Drop “{}”", words::action(&row.action))} verb="Drop it for good" busy={dropping.busy} error={dropping.error.clone()}
                on_confirm={discard} on_close={Callback::from(move |()| back.set(false))}>
                <p>{ format!("{} of it will not come back to this box, and the cloud stops offering it. This cannot be undone.", format::counted(changes(&row.changes).len() as u64, "row change", "row changes")) }</p>
            </Confirm>
        };
    }
    let ask = {
        let sure = sure.setter();
        Callback::from(move |_: MouseEvent| sure.set(true))
    };
    let footer = html! {
        if props.may {
            <>
                <Button kind={Kind::Danger} class="mr-auto" busy={sending.busy} onclick={ask}>{ "Drop…" }</Button>
                <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Close" }</Button>
                <Button kind={Kind::Primary} busy={sending.busy} submit=true>{ "Apply again" }</Button>
            </>
        }
    };
    html! {
        <Dialog title={words::action(&row.action).into_owned()} wide=true on_close={props.on_close.clone()} on_submit={props.may.then_some(apply)} {footer}>
            <div class="flex flex-col gap-3">
                <p class="text-ink-2"><b class="font-semibold text-ink">{ &props.who }</b>{ ", " }{ format::absolute(row.at) }</p>
                <p class="rounded-md bg-warn-soft px-3 py-2 break-words text-warn-ink"><Tag tone={Tone::Warn}>{ "Does not fit" }</Tag>{ " " }{ sentence(&row.error) }</p>
                { for changes(&row.changes).into_iter().map(|change| html! { <ChangeView {change} /> }) }
                <dl class="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-0.5 text-sm text-ink-3">
                    <dt>{ "Action" }</dt><dd class="font-mono">{ &row.action }</dd>
                    <dt>{ "Epoch and transaction" }</dt><dd class="tabular-nums">{ place(row) }</dd>
                    <dt>{ "In quarantine since" }</dt><dd>{ format::absolute(row.since) }</dd>
                    <dt>{ "Identity" }</dt><dd class="font-mono break-all">{ &row.identity }</dd>
                </dl>
                <Refusal error={sending.error.clone()} />
            </div>
        </Dialog>
    }
}

#[derive(Properties, PartialEq)]
struct ApplyAllProps {
    rows: Rc<Vec<Quarantined>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

/// Applies all of them in the order in which they were sealed: one may need the one before it.
#[component]
fn ApplyAll(props: &ApplyAllProps) -> Html {
    let sending = use_sending(&props.on_close, &props.on_done);
    let count = props.rows.len() as u64;
    let confirm = {
        let (sending, rows) = (sending.clone(), props.rows.clone());
        Callback::from(move |()| {
            let rows = rows.clone();
            let request = async move {
                let mut left = 0_u64;
                for row in rows.iter() {
                    match api::act::<Done>(Method::POST, &format!("{PATH}/{}/apply", row.identity)).await {
                        Ok(_) => {}
                        Err(Failure::Refused { status: 409, .. }) => left += 1,
                        Err(failure) => return Err(failure),
                    }
                }
                Ok((rows.len() as u64 - left, left))
            };
            sending.run(request, |(applied, left)| told(*applied, *left).into());
        })
    };
    html! {
        <FormDialog title="Apply all again" verb="Apply them" {sending} on_close={props.on_close.clone()} on_submit={confirm}>
            <p class="text-ink-2">{ format!("{} in the order in which they were made. What still does not fit stays here; nothing is lost.", format::counted(count, "transaction is applied", "transactions are applied")) }</p>
        </FormDialog>
    }
}

/// What became of them.
fn told(applied: u64, left: u64) -> String {
    match (applied, left) {
        (applied, 0) => format!("{} applied", format::count(applied)),
        (0, _) => "None of them fits yet".to_owned(),
        (applied, left) => format!(
            "{} applied, {} still {} not fit",
            format::count(applied),
            format::count(left),
            if left == 1 { "does" } else { "do" }
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_read_as_they_travel() {
        let travelling = json!([
            { "t": "branches", "o": "u", "k": { "id": "1" }, "n": { "name": "b" }, "p": { "name": "a" } },
            { "t": "entries", "o": "i", "k": { "id": "2" } },
        ]);
        let read = changes(&travelling);
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].table.as_str(), read[0].op.as_str()), ("branches", "u"));
        assert_eq!((read[0].old.get("name"), read[0].new.get("name")), (Some(&json!("a")), Some(&json!("b"))));
        assert!(changes(&Value::Null).is_empty());
    }

    #[test]
    fn what_became_of_them_is_told() {
        assert_eq!(told(3, 0), "3 applied");
        assert_eq!(told(0, 2), "None of them fits yet");
        assert_eq!(told(2, 1), "2 applied, 1 still does not fit");
    }
}
