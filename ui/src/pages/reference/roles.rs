//! Roles and what each may do: those of a customer's people, and those of the fleet's own.

use super::PanelProps;
use crate::{
    api::List,
    components::{
        Button, Column, DataTable, Empty, Field, FormDialog, Input, Kind, NewButton, Row, Slot, Tag, TextArea, Toolbar,
        listed, status::sentence, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::use_resource,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::identity::{NewRole, Role};
use std::rc::Rc;
use yew::prelude::*;

impl Row for Role {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn word(right: &str) -> String {
    if right == "*" { "everything".to_owned() } else { right.to_owned() }
}

fn columns() -> Vec<Column<Role>> {
    vec![
        Column::new("Role", |row: &Role| sentence(&row.name)).class("font-medium").at(Slot::Title),
        Column::new("Rights", |row: &Role| row.rights.iter().map(|right| word(right)).collect::<Vec<_>>().join(", "))
            .cell(|row| html! { <span class="inline-flex gap-1">{ for row.rights.iter().map(|right| html! { <Tag>{ word(right) }</Tag> }) }</span> })
            .fill()
            .at(Slot::Detail),
    ]
}

/// Where the roles of the organisation itself are, before `/roles`.
pub const OWN: &str = "/api";

/// The tab.
#[component]
pub fn Roles(props: &PanelProps) -> Html {
    let own = props.at == OWN;
    let may = use_session().may(if own { "user.write" } else { "fleet.organization.write" });
    let path = format!("{}/roles", props.at);
    let list = use_resource::<List<Role>>(Some(path.clone()), if own { &["table:users"] } else { &["fleet.boxes"] });
    let columns = use_memo((), |()| columns());
    let rows =
        use_rows(&list, props.wanted.clone(), |row: &Role, wanted| row.name.to_lowercase().contains(wanted.as_str()));
    let opened = use_opened::<Role>();
    let (making, make, made) = use_flag();
    let actions = html! { if may { <NewButton label="New role" onclick={make} /> } };
    let empty = html! { <Empty title="No role of that name" /> };
    html! {
        <>
            <Toolbar {actions}>{ props.head.clone() }</Toolbar>
            { listed(&list, 6, |_| html! { <DataTable<Role> {rows} {columns} name="Roles" on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if making { <Edit path={path.clone()} {own} on_close={made} on_done={list.reload.clone()} /> }
            if let Some(row) = &opened.row { <Edit {path} {own} row={row.clone()} on_close={opened.close.clone()} on_done={list.reload.clone()} /> }
        </>
    }
}

#[derive(Clone)]
struct Typed {
    name: String,
    rights: String,
}

#[derive(Properties, PartialEq)]
struct EditProps {
    path: String,
    own: bool,
    #[prop_or_default]
    row: Option<Rc<Role>>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Edit(props: &EditProps) -> Html {
    let row = props.row.as_deref();
    let typed = use_form(|| Typed {
        name: row.map(|row| row.name.clone()).unwrap_or_default(),
        rights: row.map(|row| row.rights.join("\n")).unwrap_or_default(),
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (typed, sending, path, id) = (typed.clone(), sending.clone(), props.path.clone(), row.map(|row| row.id));
        Callback::from(move |()| {
            let rights = typed.rights.split(['\n', ',']).map(|right| right.trim().to_owned());
            let body = NewRole {
                name: typed.name.trim().to_owned(),
                rights: rights.filter(|right| !right.is_empty()).collect(),
            };
            match id {
                Some(id) => sending.send(Method::PUT, format!("{path}/{id}"), body, "Role changed"),
                None => {
                    let done = format!("Role {} made", body.name);
                    sending.send(Method::POST, path.clone(), body, done);
                }
            }
        })
    };
    let extra = match row {
        Some(row) => {
            let (sending, path) = (sending.clone(), format!("{}/{}", props.path, row.id));
            html! { <Button kind={Kind::Danger} busy={sending.busy} onclick={Callback::from(move |_: MouseEvent| sending.act(Method::DELETE, path.clone(), "Role removed"))}>{ "Remove" }</Button> }
        }
        None => Html::default(),
    };
    html! {
        <FormDialog title={row.map_or_else(|| "New role".to_owned(), |row| sentence(&row.name))} verb={if row.is_some() { "Save" } else { "Make role" }}
            sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={typed.name.trim().is_empty()} {extra}>
            <div class="grid gap-3">
                <Field label="Name" error={sending.field("name")}><Input name="name" value={typed.name.clone()} autofocus=true on={typed.on(|typed, text| typed.name = text)} /></Field>
                <Field label="Rights" hint={if props.own { "One a line: fleet.box.read, fleet.* for all of the fleet, * for everything" } else { "One a line: capital.entry.post, capital.* for all of an engine, * for everything" }} error={sending.field("rights")}><TextArea rows=8 mono=true value={typed.rights.clone()} on={typed.on(|typed, text| typed.rights = text)} /></Field>
            </div>
        </FormDialog>
    }
}
