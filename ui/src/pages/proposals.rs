//! What branches propose for rows that the cloud owns: side by side, accept or refuse.

use super::{audit::plain, quarantine::state_tag};
use crate::{
    api::{self, Done, List, with_query},
    components::{
        Ago, Button, Chip, Column, DataTable, Dialog, Empty, Kind, Row, Slot, Tag, Tone, Toolbar, loaded, use_toast,
    },
    data::{use_query, use_resource},
    format,
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

/// Columns whose value the proposal changes.
fn changed(row: &Proposal) -> Vec<String> {
    let names: BTreeSet<&String> =
        fields(&row.current).into_iter().chain(fields(&row.proposed)).map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter(|name| row.current.get(name.as_str()) != row.proposed.get(name.as_str()))
        .cloned()
        .collect()
}

fn columns() -> Vec<Column<Proposal>> {
    vec![
        Column::new("State", |row: &Proposal| row.state.clone()).cell(|row| state_tag(&row.state)).at(Slot::Value),
        Column::new("Box", |row: &Proposal| row.box_ref.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("Table", |row: &Proposal| row.table.clone()),
        Column::new("Row", key).class("font-mono text-sm text-ink-2"),
        Column::new("Changes", |row: &Proposal| changed(row).join(", ")).at(Slot::Detail),
        Column::new("When", |row: &Proposal| format::iso(row.at))
            .cell(|row| html! { <Ago at={row.at} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Proposals() -> Html {
    let (query, set) = use_query();
    let state = if query.get("state").is_empty() { "open" } else { query.get("state") }.to_owned();
    let asked = if state == "all" { String::new() } else { state.clone() };
    let list =
        use_resource::<List<Proposal>>(Some(with_query("/api/fleet/proposals", &[("state", asked)])), &["fleet.boxes"]);
    let columns = use_memo((), |()| columns());
    let rows = use_memo(list.data.as_ref().map(|list| Rc::as_ptr(list) as usize), |_| {
        list.data.as_ref().map(|list| list.items.clone()).unwrap_or_default()
    });
    let open = use_state(|| None::<Rc<Proposal>>);
    let on_open = {
        let open = open.setter();
        use_callback((), move |row: Proposal, ()| open.set(Some(Rc::new(row))))
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
            <Toolbar>{ chip("open", "Open") }{ chip("accepted", "Accepted") }{ chip("refused", "Refused") }{ chip("all", "All") }</Toolbar>
            { loaded(&list, 6, |_| html! {
                <DataTable<Proposal> {rows} {columns} name="Proposals" {on_open}
                    empty={html! { <Empty title="No proposals" text="When a branch edits a row that is kept centrally, its edit waits here for your decision." /> }} />
            }) }
            if let Some(row) = &*open {
                <Detail row={row.clone()} on_close={close} on_done={list.reload.clone()} />
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
    let toast = use_toast();
    let row = &props.row;
    let busy = use_state_eq(|| false);
    let decide = {
        let (busy, id) = (busy.clone(), row.id);
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |accept: bool| {
            let (busy, toast, on_close, on_done) = (busy.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                let verb = if accept { "accept" } else { "refuse" };
                let answer = api::act::<Done>(Method::POST, &format!("/api/fleet/proposals/{id}/{verb}")).await;
                busy.set(false);
                toast.tell(
                    &answer,
                    if accept {
                        "Accepted: every box of the customer gets it"
                    } else {
                        "Refused: the box takes its edit back"
                    },
                );
                on_done.emit(());
                if answer.is_ok() {
                    on_close.emit(());
                }
            });
        })
    };
    let names: BTreeSet<&String> =
        fields(&row.current).into_iter().chain(fields(&row.proposed)).map(|(name, _)| name).collect();
    let differs = changed(row);
    let show = |value: Option<&Value>| value.map_or_else(|| "—".to_owned(), plain);
    let footer = html! {
        if row.state == "open" {
            <>
                <Button busy={*busy} onclick={decide.reform(|_: MouseEvent| false)}>{ "Refuse" }</Button>
                <Button kind={Kind::Primary} busy={*busy} submit=true>{ "Accept" }</Button>
            </>
        }
    };
    html! {
        <Dialog title={format!("{} proposes: {}", row.box_ref.name, row.table)} wide=true on_close={props.on_close.clone()} on_submit={decide.reform(|()| true)} {footer}>
            <p class="mb-3 flex flex-wrap items-center gap-2">{ state_tag(&row.state) }<span class="text-ink-2">{ format!("based on version {}, {}", row.base_version, format::absolute(row.at)) }</span></p>
            <div class="overflow-x-auto rounded-md border border-line">
                <table class="table">
                    <thead><tr><th scope="col">{ "Column" }</th><th scope="col">{ "Here" }</th><th scope="col">{ "Proposed" }</th></tr></thead>
                    <tbody>
                        for name in names {
                            <tr key={name.clone()}>
                                <td class="text-ink-3">{ name }</td>
                                <td>{ show(row.current.get(name)) }</td>
                                <td>{ show(row.proposed.get(name)) }{ " " }if differs.contains(name) { <Tag tone={Tone::Warn}>{ "changes" }</Tag> }</td>
                            </tr>
                        }
                    </tbody>
                </table>
            </div>
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
    }
}
