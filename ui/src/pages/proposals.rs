//! What branches propose for rows that the cloud owns: side by side, accept or refuse.

use super::{audit::plain, quarantine::state_tag};
use crate::{
    api::{List, with_query},
    components::{
        Ago, Button, Column, DataTable, Dialog, Empty, Kind, Refusal, Row, Slot, StateChips, Tag, Tone, Toolbar,
        list::state_of, listed, use_opened, use_rows, use_sending,
    },
    data::{use_query, use_resource},
    format,
    session::use_session,
    words,
};
use gloo_net::http::Method;
use sent_contract::fleet::Proposal;
use serde_json::Value;
use std::{collections::BTreeSet, rc::Rc};
use yew::prelude::*;

impl Row for Proposal {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn fields(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().map(|object| object.iter().collect()).unwrap_or_default()
}

fn key(row: &Proposal) -> String {
    fields(&row.key).iter().map(|(_, value)| plain(value)).collect::<Vec<_>>().join(" · ")
}

/// What the row is called here or is to be called; its key where it has no name.
fn name(row: &Proposal) -> String {
    let named = |side: &Value| side.get("name").and_then(Value::as_str).map(ToOwned::to_owned);
    named(&row.current).or_else(|| named(&row.proposed)).unwrap_or_else(|| key(row))
}

/// Columns whose value the proposal changes. It names only those that were edited; the others stay.
fn changed(row: &Proposal) -> Vec<String> {
    fields(&row.proposed)
        .into_iter()
        .filter(|(name, value)| row.current.get(name.as_str()) != Some(*value))
        .map(|(name, _)| name.clone())
        .collect()
}

/// What it would do, in a few words.
fn summary(row: &Proposal) -> String {
    if row.proposed.is_null() { "remove the row".to_owned() } else { words::plain(&changed(row).join(", ")) }
}

fn columns() -> Vec<Column<Proposal>> {
    vec![
        Column::new("State", |row: &Proposal| row.state.clone()).cell(|row| state_tag(&row.state)).at(Slot::Value),
        Column::new("Box", |row: &Proposal| row.box_ref.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Table", |row: &Proposal| words::plain(&row.table)),
        Column::new("Row", name).class("text-ink-2"),
        Column::new("Changes", summary).fill().at(Slot::Detail),
        Column::new("Why it was asked", |row: &Proposal| row.cause.clone()).class("text-ink-2"),
        Column::new("When", |row: &Proposal| format::iso(row.at))
            .cell(|row| html! { <Ago at={row.at} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Proposals() -> Html {
    let (query, set) = use_query();
    let (state, asked) = state_of(&query, "open");
    let list =
        use_resource::<List<Proposal>>(Some(with_query("/api/fleet/proposals", &[("state", asked)])), &["fleet.boxes"]);
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&list, (), |_, ()| true);
    let opened = use_opened::<Proposal>();
    let empty = html! { <Empty title="No proposals" text="When a branch edits a row that is kept centrally, its edit waits here for your decision." /> };
    html! {
        <>
            <Toolbar views=true><StateChips {state} {set} options={vec![("open", "Open"), ("accepted", "Accepted"), ("refused", "Refused"), ("all", "All")]} /></Toolbar>
            { listed(&list, 6, |_| html! { <DataTable<Proposal> {rows} {columns} name="Proposals" on_open={opened.open.clone()} {empty} /> }) }
            if let Some(row) = &opened.row {
                <Detail row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct DetailProps {
    row: Rc<Proposal>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Detail(props: &DetailProps) -> Html {
    let row = &props.row;
    let may = use_session().may("fleet.proposal.write");
    let sending = use_sending(&props.on_close, &props.on_done);
    let decide = {
        let (sending, id) = (sending.clone(), row.id);
        Callback::from(move |accept: bool| {
            let (verb, done) = if accept {
                ("accept", "Accepted: every box of the customer gets it")
            } else {
                ("refuse", "Refused: the box takes its edit back")
            };
            sending.act(Method::POST, format!("/api/fleet/proposals/{id}/{verb}"), done);
        })
    };
    let names: BTreeSet<&String> =
        fields(&row.current).into_iter().chain(fields(&row.proposed)).map(|(name, _)| name).collect();
    let differs = changed(row);
    let show = |value: Option<&Value>| value.map_or_else(|| "—".to_owned(), plain);
    let then =
        |name: &str| row.proposed.get(name).or_else(|| row.current.get(name).filter(|_| !row.proposed.is_null()));
    let footer = html! {
        if row.state == "open" && may {
            <>
                <Button busy={sending.busy} onclick={decide.reform(|_: MouseEvent| false)}>{ "Refuse" }</Button>
                <Button kind={Kind::Primary} busy={sending.busy} submit=true>{ "Accept" }</Button>
            </>
        }
    };
    html! {
        <Dialog title={format!("{} proposes: {}", row.box_ref.name, words::plain(&row.table))} wide=true on_close={props.on_close.clone()} on_submit={decide.reform(|()| true)} {footer}>
            <p class="mb-3 flex flex-wrap items-center gap-2">{ state_tag(&row.state) }<span class="text-ink-2">{ format!("based on version {}, {}", row.base_version, format::absolute(row.at)) }</span></p>
            <div class="overflow-x-auto rounded-md border border-line">
                <table class="table">
                    <thead><tr><th scope="col">{ "Column" }</th><th scope="col">{ "Here" }</th><th scope="col">{ "Proposed" }</th></tr></thead>
                    <tbody>
                        for name in names {
                            <tr key={name.clone()}>
                                <td class="text-ink-3">{ words::plain(name) }</td>
                                <td>{ show(row.current.get(name)) }</td>
                                <td>{ show(then(name)) }{ " " }if differs.contains(name) { <Tag tone={Tone::Warn}>{ "changes" }</Tag> }</td>
                            </tr>
                        }
                    </tbody>
                </table>
            </div>
            <Refusal error={sending.error.clone()} />
        </Dialog>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sent_contract::{Uuid, identity::Named};
    use serde_json::json;

    #[test]
    fn only_what_differs_is_named() {
        let row = Proposal {
            cause: "based on version 1, the row is at 2".into(),
            id: 1,
            box_ref: Named { id: Uuid::nil(), name: "b".into() },
            table: "accounts".into(),
            key: json!({}),
            current: json!({ "name": "A", "code": null }),
            proposed: json!({ "name": "A", "code": "1", "new": true }),
            base_version: 1,
            state: "open".into(),
            at: 0,
        };
        assert_eq!(changed(&row), ["code", "new"]);
        assert_eq!(name(&row), "A");
        // An edit names what it changes and nothing else.
        let edit = Proposal { proposed: json!({ "code": "1" }), ..row.clone() };
        assert_eq!(changed(&edit), ["code"]);
        assert_eq!(summary(&Proposal { proposed: Value::Null, ..row }), "remove the row");
    }
}
