//! People of the organisation: who they are, what their role may do, who cannot log in any more.

use crate::{
    api::{self, Done, Failure, List},
    components::{
        Ago, Button, Card, Column, DataTable, Dialog, Empty, Field, Input, Kind, Pick, Row, Search, Slot, Tag, Toggle,
        Tone, Toolbar, loaded, status::sentence, use_toast,
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
        Column::new("Role", |user: &User| user.role.name.clone()).at(Slot::Value),
        Column::new("Branch", |user: &User| {
            user.branch.as_ref().map_or_else(|| "all".to_owned(), |branch| branch.name.clone())
        }),
        Column::new("State", |user: &User| state(user).0.to_owned()).cell(|user| {
            let (word, tone) = state(user);
            html! { <Tag {tone}>{ word }</Tag> }
        }),
        Column::new("Second factor", |user: &User| if user.totp { "set up" } else { "none" }.into())
            .class("text-ink-2"),
        Column::new("Last login here", |user: &User| user.last_login.map(format::iso).unwrap_or_default())
            .cell(|user| html! { <Ago at={user.last_login} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Users() -> Html {
    let session = use_session();
    let (query, set) = use_query();
    let users = use_resource::<List<User>>(Some("/api/users".into()), &["table:users"]);
    let roles = use_resource::<List<Role>>(Some("/api/roles".into()), &[]);
    let columns = use_memo((), |()| columns());
    let wanted = query.get("q").to_lowercase();
    let rows = use_memo((users.data.as_ref().map(|list| Rc::as_ptr(list) as usize), wanted.clone()), |_| {
        let mut rows = users.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
        rows.retain(|row| row.name.to_lowercase().contains(&wanted) || row.email.to_lowercase().contains(&wanted));
        rows
    });
    let open = use_state(|| None::<Option<Rc<User>>>);
    let may = session.may("user.write");
    let on_open = {
        let open = open.setter();
        use_callback(may, move |user: User, may| {
            if *may {
                open.set(Some(Some(Rc::new(user))));
            }
        })
    };
    let create = {
        let open = open.setter();
        Callback::from(move |_: MouseEvent| open.set(Some(None)))
    };
    let close = {
        let open = open.setter();
        Callback::from(move |()| open.set(None))
    };
    let known: Vec<Role> = roles.data.as_ref().map(|list| list.items.clone()).unwrap_or_default();
    let actions = html! {
        if may { <span data-create="true" onclick={create}><Button kind={Kind::Primary} class="p">{ "New user" }<kbd class="kbd ml-1 hidden md:inline">{ "C" }</kbd></Button></span> }
    };
    html! {
        <>
            <Toolbar {actions}>
                <Search value={query.get("q").to_owned()} placeholder="Name or e-mail" on={Callback::from(move |text| set.emit(vec![("q", text)]))} />
            </Toolbar>
            { loaded(&users, 6, |_| html! { <DataTable<User> {rows} {columns} name="Users" {on_open} empty={html! { <Empty title="Nobody of that name" /> }} /> }) }
            if !known.is_empty() {
                <div class="shrink-0">
                    <Card title="Roles" pad=false>
                        <ul>
                            for role in known.iter() {
                                <li key={role.id.to_string()} class="flex gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
                                    <b class="w-28 shrink-0 font-medium">{ &role.name }</b>
                                    <span class="flex flex-wrap gap-1">{ for role.rights.iter().map(|right| html! { <Tag>{ if right == "*" { "everything".to_owned() } else { right.clone() } }</Tag> }) }</span>
                                </li>
                            }
                        </ul>
                    </Card>
                </div>
            }
            { match &*open {
                Some(Some(user)) => html! { <Edit user={user.clone()} roles={known} own={user.id == session.me.id} on_close={close} on_done={users.reload.clone()} /> },
                Some(None) => html! { <Create roles={known} on_close={close} on_done={users.reload.clone()} /> },
                None => Html::default(),
            } }
        </>
    }
}

fn options(roles: &[Role]) -> Vec<(AttrValue, AttrValue)> {
    roles.iter().map(|role| (role.id.to_string().into(), role.name.clone().into())).collect()
}

#[derive(Properties, PartialEq)]
struct CreateProps {
    roles: Vec<Role>,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn Create(props: &CreateProps) -> Html {
    let toast = use_toast();
    let (name, email, password) = (use_state(String::new), use_state(String::new), use_state(String::new));
    let role = use_state(|| props.roles.last().map(|role| role.id.to_string()).unwrap_or_default());
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let submit = {
        let (name, email, password, role, busy, error) =
            (name.clone(), email.clone(), password.clone(), role.clone(), busy.clone(), error.clone());
        let (on_close, on_done) = (props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let Ok(role) = role.parse() else { return };
            let body = NewUser {
                email: email.trim().to_owned(),
                name: name.trim().to_owned(),
                password: (*password).clone(),
                role,
                branch: None,
            };
            let (busy, error, toast, on_close, on_done) =
                (busy.clone(), error.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Done>("/api/users", &body).await {
                    Ok(_) => {
                        toast.ok(format!("{} can log in now", body.name));
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
    let ready = !name.trim().is_empty() && email.contains('@') && password.chars().count() >= 10;
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={!ready}>{ "Make user" }</Button>
        </>
    };
    html! {
        <Dialog title="New user" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={failure("name")}><Input name="name" value={(*name).clone()} on={set(&name)} autofocus=true /></Field>
                <Field label="E-mail" error={failure("email")} hint="The login name"><Input name="email" kind="email" value={(*email).clone()} on={set(&email)} /></Field>
                <Field label="First password" error={failure("password")} hint="At least 10 characters"><Input name="password" kind="password" complete="new-password" value={(*password).clone()} on={set(&password)} /></Field>
                <Field label="Role" error={failure("role")}><Pick name="role" value={(*role).clone()} options={options(&props.roles)} on={set(&role)} /></Field>
            </div>
            if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p>
            }
        </Dialog>
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
    let toast = use_toast();
    let user = &props.user;
    let name = use_state(|| user.name.clone());
    let role = use_state(|| user.role.id.to_string());
    let password = use_state(String::new);
    let disabled = use_state_eq(|| user.disabled);
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let submit = {
        let (name, role, password, disabled, busy, error) =
            (name.clone(), role.clone(), password.clone(), disabled.clone(), busy.clone(), error.clone());
        let (user, on_close, on_done) = (user.clone(), props.on_close.clone(), props.on_done.clone());
        Callback::from(move |()| {
            let patch = UserPatch {
                name: Some(name.trim().to_owned()).filter(|name| *name != user.name),
                role: role.parse().ok().filter(|role| *role != user.role.id),
                disabled: Some(*disabled).filter(|disabled| *disabled != user.disabled),
                password: Some((*password).clone()).filter(|password| !password.is_empty()),
            };
            let path = format!("/api/users/{}", user.id);
            let (busy, error, toast, on_close, on_done) =
                (busy.clone(), error.clone(), toast.clone(), on_close.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::send::<Done>(Method::PATCH, &path, &patch).await {
                    Ok(_) => {
                        toast.ok("User changed");
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
    let toggle = {
        let disabled = disabled.clone();
        Callback::from(move |on| disabled.set(on))
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={name.trim().is_empty()}>{ "Save" }</Button>
        </>
    };
    html! {
        <Dialog title={user.email.clone()} on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="Name" error={failure("name")}><Input name="name" value={(*name).clone()} on={set(&name)} autofocus=true /></Field>
                <Field label="Role" error={failure("role")}><Pick name="role" value={(*role).clone()} options={options(&props.roles)} on={set(&role)} /></Field>
                <Field label="New password" error={failure("password")} hint="Empty: stays as it is"><Input name="password" kind="password" complete="new-password" value={(*password).clone()} on={set(&password)} /></Field>
                if !props.own {
                    <div class="flex flex-col justify-end gap-1 pb-1">
                        <Toggle checked={*disabled} on={toggle} label="Cannot log in" />
                        <span class="text-sm text-ink-3">{ "Sessions that are open end at once." }</span>
                    </div>
                }
            </div>
            if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p>
            }
        </Dialog>
    }
}
