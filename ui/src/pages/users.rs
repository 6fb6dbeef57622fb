//! People of the organisation: who they are, what their role may do, who cannot log in any more.

use super::reference::{
    Owner,
    roles::{self, Roles},
};
use crate::{
    FLEET,
    api::List,
    components::{
        Ago, Card, Choice, Column, DataTable, Empty, Field, FormDialog, Input, NewButton, Pick, Row, Search, Slot, Tag,
        Toggle, Tone, Toolbar, listed, status::sentence, use_flag, use_form, use_opened, use_rows, use_sending,
    },
    data::{use_query, use_resource},
    format,
    session::use_session,
};
use gloo_net::http::Method;
use sent_contract::identity::{NewUser, Role, User, UserPatch};
use std::rc::Rc;
use yew::prelude::*;

impl Row for User {
    fn key(&self) -> String {
        self.id.to_string()
    }
}

fn state(user: &User) -> (&'static str, Tone) {
    match (user.disabled, user.pending) {
        (true, _) => ("Disabled", Tone::Bad),
        (false, true) => ("Waiting for the cloud", Tone::Warn),
        (false, false) => ("Active", Tone::Ok),
    }
}

fn columns() -> Vec<Column<User>> {
    vec![
        Column::new("Name", |user: &User| user.name.clone()).class("font-medium").at(Slot::Title),
        Column::new("E-mail", |user: &User| user.email.clone()).at(Slot::Detail),
        Column::new("Role", |user: &User| sentence(&user.role.name)).at(Slot::Value),
        Column::new("Branch", |user: &User| {
            user.branch.as_ref().map_or_else(|| "All".to_owned(), |branch| branch.name.clone())
        }),
        Column::new("State", |user: &User| state(user).0.to_owned()).cell(|user| {
            let (word, tone) = state(user);
            html! { <Tag {tone}>{ word }</Tag> }
        }),
        Column::new("Second factor", |user: &User| if user.totp { "Set up" } else { "None" }.into())
            .class("text-ink-2"),
        Column::new("Last login here", |user: &User| user.last_login.map(format::iso).unwrap_or_default())
            .cell(|user| html! { <Ago at={user.last_login} /> })
            .at(Slot::Meta),
    ]
}

const TABS: [(&str, &str); 2] = [("people", "People"), ("roles", "Roles")];

/// The page. The fleet's own roles are made here; a box's come from the cloud, and are only shown.
#[component]
pub fn Users() -> Html {
    let (query, set) = use_query();
    let show = set.reform(|value: String| vec![("show", value), ("q", String::new())]);
    let search = |placeholder: &'static str| {
        let on = set.reform(|text| vec![("q", text)]);
        html! { <Search value={query.get("q").to_owned()} {placeholder} {on} /> }
    };
    let wanted: AttrValue = query.get("q").to_lowercase().into();
    if FLEET && query.get("show") == "roles" {
        let head =
            html! { <><Choice label="Users" value="roles" options={TABS.to_vec()} on={show} />{ search("Find") }</> };
        return html! { <Roles at={roles::OWN} owner={Owner::Console} {wanted} {head} /> };
    }
    let tabs = html! { if FLEET { <Choice label="Users" value="people" options={TABS.to_vec()} on={show} /> } };
    html! { <People {wanted} head={html! { <>{ tabs }{ search("Name or e-mail") }</> }} /> }
}

#[derive(Properties, PartialEq)]
struct PeopleProps {
    /// What is looked for, in lower case.
    wanted: AttrValue,
    /// What stands in the bar above the list.
    head: Html,
}

#[component]
fn People(props: &PeopleProps) -> Html {
    let session = use_session();
    let users = use_resource::<List<User>>(Some("/api/users".into()), &["table:users"]);
    let roles = use_resource::<List<Role>>(Some("/api/roles".into()), &[]);
    let columns = use_memo((), |()| columns());
    let rows = use_rows(&users, props.wanted.clone(), |row: &User, wanted| {
        row.name.to_lowercase().contains(wanted.as_str()) || row.email.to_lowercase().contains(wanted.as_str())
    });
    let opened = use_opened::<User>();
    let (making, make, made) = use_flag();
    let may = session.may("user.write");
    let known: Vec<Role> = roles.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let listing = !FLEET && !known.is_empty();
    let actions = html! { if may { <NewButton label="New user" onclick={make} /> } };
    let empty = html! { <Empty title="Nobody of that name" /> };
    html! {
        <>
            <Toolbar {actions}>{ props.head.clone() }</Toolbar>
            { listed(&users, 6, |_| html! { <DataTable<User> {rows} {columns} name="Users" whole={listing} on_open={may.then(|| opened.open.clone())} {empty} /> }) }
            if listing { <div class="shrink-0"><RoleCard roles={known.clone()} /></div> }
            if let Some(user) = &opened.row {
                <Edit user={user.clone()} roles={known.clone()} own={user.id == session.me.id} on_close={opened.close.clone()} on_done={users.reload.clone()} />
            }
            if making {
                <Create roles={known} on_close={made} on_done={users.reload.clone()} />
            }
        </>
    }
}

#[derive(Properties, PartialEq)]
struct RoleCardProps {
    roles: Vec<Role>,
}

/// What the roles of a box may do; they are made in the cloud.
#[component]
fn RoleCard(props: &RoleCardProps) -> Html {
    html! {
        <Card title="Roles" pad=false>
            <ul>
                for role in props.roles.iter() {
                    <li key={role.id.to_string()} class="flex gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
                        <b class="w-24 shrink-0 font-medium md:w-28">{ sentence(&role.name) }</b>
                        <span class="flex flex-wrap gap-1">{ for role.rights.iter().map(|right| html! { <Tag>{ if right == "*" { "everything".to_owned() } else { right.clone() } }</Tag> }) }</span>
                    </li>
                }
            </ul>
        </Card>
    }
}

fn options(roles: &[Role]) -> Vec<(AttrValue, AttrValue)> {
    roles.iter().map(|role| (role.id.to_string().into(), sentence(&role.name).into())).collect()
}

/// A user as it is typed.
#[derive(Clone, Default)]
struct Typed {
    name: String,
    email: String,
    password: String,
    role: String,
    disabled: bool,
}

#[derive(Properties, PartialEq)]
struct CreateProps {
    roles: Vec<Role>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Create(props: &CreateProps) -> Html {
    let role = props.roles.last().map(|role| role.id.to_string()).unwrap_or_default();
    let new = use_form(|| Typed { role, ..Typed::default() });
    let sending = use_sending(&props.on_close, &props.on_done);
    let ready = !new.name.trim().is_empty() && new.email.contains('@') && new.password.chars().count() >= 10;
    let submit = {
        let (new, sending) = (new.clone(), sending.clone());
        Callback::from(move |()| {
            let Ok(role) = new.role.parse() else { return };
            let body = NewUser {
                email: new.email.trim().to_owned(),
                name: new.name.trim().to_owned(),
                password: new.password.clone(),
                role,
                branch: None,
            };
            let done = format!("{} can log in now", body.name);
            sending.send(Method::POST, "/api/users", body, done);
        })
    };
    html! {
        <FormDialog title="New user" verb="Make user" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={!ready}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={sending.field("name")}><Input name="name" value={new.name.clone()} on={new.on(|new, text| new.name = text)} autofocus=true /></Field>
                <Field label="E-mail" error={sending.field("email")} hint="The login name"><Input name="email" kind="email" value={new.email.clone()} on={new.on(|new, text| new.email = text)} /></Field>
                <Field label="First password" error={sending.field("password")} hint="At least 10 characters"><Input name="password" kind="password" complete="new-password" value={new.password.clone()} on={new.on(|new, text| new.password = text)} /></Field>
                <Field label="Role" error={sending.field("role")}><Pick name="role" value={new.role.clone()} options={options(&props.roles)} on={new.on(|new, text| new.role = text)} /></Field>
            </div>
        </FormDialog>
    }
}

#[derive(Properties, PartialEq)]
struct EditProps {
    user: Rc<User>,
    roles: Vec<Role>,
    own: bool,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Edit(props: &EditProps) -> Html {
    let user = &props.user;
    let typed = use_form(|| Typed {
        name: user.name.clone(),
        role: user.role.id.to_string(),
        disabled: user.disabled,
        ..Typed::default()
    });
    let sending = use_sending(&props.on_close, &props.on_done);
    let submit = {
        let (typed, sending, user) = (typed.clone(), sending.clone(), user.clone());
        Callback::from(move |()| {
            let patch = UserPatch {
                name: Some(typed.name.trim().to_owned()).filter(|name| *name != user.name),
                role: typed.role.parse().ok().filter(|role| *role != user.role.id),
                disabled: Some(typed.disabled).filter(|disabled| *disabled != user.disabled),
                password: Some(typed.password.clone()).filter(|password| !password.is_empty()),
            };
            sending.send(Method::PATCH, format!("/api/users/{}", user.id), patch, "User changed");
        })
    };
    html! {
        <FormDialog title={user.email.clone()} verb="Save" sending={sending.clone()} on_close={props.on_close.clone()} on_submit={submit} disabled={typed.name.trim().is_empty()}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={sending.field("name")}><Input name="name" value={typed.name.clone()} on={typed.on(|typed, text| typed.name = text)} autofocus=true /></Field>
                <Field label="Role" error={sending.field("role")}><Pick name="role" value={typed.role.clone()} options={options(&props.roles)} on={typed.on(|typed, text| typed.role = text)} /></Field>
                <Field label="New password" error={sending.field("password")} hint="Empty: stays as it is"><Input name="password" kind="password" complete="new-password" value={typed.password.clone()} on={typed.on(|typed, text| typed.password = text)} /></Field>
                if !props.own {
                    <div class="flex flex-col justify-end gap-1 pb-1">
                        <Toggle checked={typed.disabled} on={typed.on(|typed, disabled| typed.disabled = disabled)} label="Cannot log in" />
                        <span class="text-sm text-ink-3">{ "Sessions that are open end at once." }</span>
                    </div>
                }
            </div>
        </FormDialog>
    }
}
