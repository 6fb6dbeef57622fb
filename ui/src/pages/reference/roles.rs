//! Roles and what each may do: those of a customer's people, and those of the fleet's own.

use super::{
    PanelProps,
    frame::{FormProps, save, use_frame},
    remove::{Remove, RemoveButton},
    rights::{Rights, fewest},
};
use crate::{
    components::{
        Column, Empty, Field, FormDialog, Input, Row, Slot, Tag, status::sentence, use_flag, use_form, use_sending,
    },
    format,
    session::use_session,
};
use sent_contract::{
    identity::{NewRole, Role},
    rights::{BOX, CONSOLE, EVERYTHING},
};
use yew::prelude::*;

impl Row for Role {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn word(right: &str) -> String {
    if right == EVERYTHING { "everything".to_owned() } else { right.to_owned() }
}

fn tags(rights: &[String]) -> Html {
    rights.iter().map(|right| html! { <Tag>{ word(right) }</Tag> }).collect()
}

fn columns() -> Vec<Column<Role>> {
    vec![
        Column::new("Role", |row: &Role| sentence(&row.name)).class("font-medium").at(Slot::Title),
        Column::new("Rights", |row: &Role| row.rights.iter().map(|right| word(right)).collect::<Vec<_>>().join(", "))
            .cell(|row| html! { <span class="inline-flex gap-1">{ tags(&row.rights) }</span> })
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
    let news: &'static [&'static str] = if own { &["table:users"] } else { &["fleet.boxes"] };
    let frame = use_frame(props, format!("{}/roles", props.at), news, columns, |row: &Role, wanted| {
        row.name.to_lowercase().contains(wanted)
    });
    let empty = html! { <Empty title="No role of that name" /> };
    frame.draw("Roles", may.then_some("New role"), empty, |form| html! { <Edit ..form /> })
}

#[derive(Clone)]
struct Chosen {
    name: String,
    rights: Vec<String>,
}

#[component]
fn Edit(props: &FormProps<Role>) -> Html {
    let session = use_session();
    let own = props.at == OWN;
    let row = props.row.as_deref();
    let chosen = use_form(|| Chosen {
        name: row.map(|row| row.name.clone()).unwrap_or_default(),
        rights: row.map(|row| row.rights.clone()).unwrap_or_default(),
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let (removing, remove, keep) = use_flag();
    if let (true, Some(row)) = (removing, row) {
        return html! {
            <Remove what={format!("the role {}", sentence(&row.name))} path={format!("{}/{}", props.path, row.id)} done="Role removed"
                on_keep={keep} on_close={props.on_close.clone()} on_done={props.on_done.clone()}>
                <p>{ format!("Its name and {} are lost. While somebody has this role it is not removed.", format::counted(row.rights.len() as u64, "right", "rights")) }</p>
                <p class="mt-2 flex flex-wrap gap-1">{ tags(&row.rights) }</p>
            </Remove>
        };
    }
    let submit = {
        let (chosen, sending, path, id) = (chosen.clone(), sending.clone(), props.path.clone(), row.map(|row| row.id));
        Callback::from(move |()| {
            let body = NewRole { name: chosen.name.trim().to_owned(), rights: fewest(&chosen.rights) };
            let made = format!("Role {} made", body.name);
            save(&sending, &path, id, body, "Role changed", made);
        })
    };
    // Nobody gives more than they have; a customer's people are not theirs.
    let may_give = Callback::from(move |right: String| !own || session.may(&right));
    let extra = html! { if row.is_some() { <RemoveButton onclick={remove} /> } };
    html! {
        <FormDialog title={row.map_or_else(|| "New role".to_owned(), |row| sentence(&row.name))} verb={if row.is_some() { "Save" } else { "Make role" }}
            wide=true sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={chosen.name.trim().is_empty()} {extra}>
            <div class="grid gap-3">
                <Field label="Name" error={sending.field("name")}><Input name="name" value={chosen.name.clone()} autofocus=true on={chosen.on(|chosen, text| chosen.name = text)} /></Field>
                <Rights groups={if own { CONSOLE } else { BOX }} chosen={chosen.rights.clone()} {may_give} error={sending.field("rights")}
                    on={chosen.on(|chosen, rights| chosen.rights = rights)} />
            </div>
        </FormDialog>
    }
}
