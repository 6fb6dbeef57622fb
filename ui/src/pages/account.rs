//! My account: password, second factor, recovery codes, API tokens.

use super::claim::Copyable;
use crate::{
    api::{self, Done, Failure, List},
    components::{
        Ago, Button, Card, Choice, Confirm, Dialog, Empty, Field, Icon, Input, Kind, Qr, Tag, Tone, Until, loaded,
        status::sentence, use_toast,
    },
    csv,
    data::use_resource,
    format,
    session::use_session,
    theme::Theme,
};
use gloo_net::http::Method;
use sent_contract::{
    Uuid,
    identity::{CreatedToken, NewToken, PasswordChange, RecoveryCodes, Token, TotpRequest, TotpSetup},
};
use yew::prelude::*;

/// The page.
#[component]
pub fn Account() -> Html {
    let me = use_session().me;
    html! {
        <div class="mx-auto flex w-full max-w-[52rem] flex-col gap-3.5">
            <Card>
                <div class="flex items-center gap-3">
                    <span class="grid size-10 place-items-center rounded-full bg-accent-soft font-semibold text-accent" aria-hidden="true">{ format::initials(&me.name) }</span>
                    <div class="min-w-0">
                        <h2 class="truncate font-semibold">{ &me.name }</h2>
                        <p class="truncate text-ink-3">{ &me.email }{ " · " }{ &me.role }{ " at " }{ &me.organization.name }</p>
                    </div>
                </div>
            </Card>
            <Appearance />
            <Password />
            <SecondFactor />
            <Tokens />
        </div>
    }
}

#[component]
fn Appearance() -> Html {
    let theme = use_state_eq(Theme::chosen);
    let choose = {
        let theme = theme.clone();
        Callback::from(move |name: String| {
            let chosen = Theme::named(&name);
            chosen.choose();
            theme.set(chosen);
        })
    };
    html! {
        <Card title="Appearance">
            <Choice label="Theme" value={theme.name()} on={choose} options={vec![("system", "As the system"), ("light", "Light"), ("dark", "Dark")]} />
        </Card>
    }
}

#[component]
fn Password() -> Html {
    let toast = use_toast();
    let (current, new, again) = (use_state(String::new), use_state(String::new), use_state(String::new));
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let differs = !again.is_empty() && *again != *new;
    let ready = !current.is_empty() && new.chars().count() >= 10 && *again == *new;
    let onsubmit = {
        let (current, new, again, busy, error) =
            (current.clone(), new.clone(), again.clone(), busy.clone(), error.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let body = PasswordChange { current: (*current).clone(), new: (*new).clone() };
            let (current, new, again, busy, error, toast) =
                (current.clone(), new.clone(), again.clone(), busy.clone(), error.clone(), toast.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<Done>("/api/me/password", &body).await {
                    Ok(_) => {
                        toast.ok("Password changed");
                        error.set(None);
                        for field in [current, new, again] {
                            field.set(String::new());
                        }
                    }
                    Err(failure) => error.set(Some(failure)),
                }
                busy.set(false);
            });
        })
    };
    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    html! {
        <Card title="Password">
            <form {onsubmit} novalidate=true class="grid items-start gap-3 md:grid-cols-3">
                <Field label="Present password" error={failure("current")}><Input name="current" kind="password" complete="current-password" value={(*current).clone()} on={set(&current)} /></Field>
                <Field label="New password" error={failure("new")} hint="At least 10 characters"><Input name="new" kind="password" complete="new-password" value={(*new).clone()} on={set(&new)} /></Field>
                <Field label="Once more" error={differs.then(|| "not the same".to_owned())}><Input name="again" kind="password" complete="new-password" value={(*again).clone()} on={set(&again)} /></Field>
                if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                    <p role="alert" class="text-sm text-bad-ink md:col-span-3">{ sentence(&error.to_string()) }</p>
                }
                <div class="md:col-span-3"><Button submit=true busy={*busy} disabled={!ready}>{ "Change password" }</Button></div>
            </form>
        </Card>
    }
}

#[derive(Clone, PartialEq)]
enum Step {
    Idle,
    Scan(TotpSetupView),
    Codes(Vec<String>),
    Remove,
}

#[derive(Clone, PartialEq)]
struct TotpSetupView {
    url: String,
    secret: String,
}

#[component]
fn SecondFactor() -> Html {
    let session = use_session();
    let toast = use_toast();
    let step = use_state(|| Step::Idle);
    let busy = use_state_eq(|| false);
    let code = use_state(String::new);
    let error = use_state(|| None::<Failure>);
    let begin = {
        let (step, busy, toast) = (step.clone(), busy.clone(), toast.clone());
        Callback::from(move |_: MouseEvent| {
            let (step, busy, toast) = (step.clone(), busy.clone(), toast.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::act::<TotpSetup>(Method::POST, "/api/me/totp").await {
                    Ok(setup) => step.set(Step::Scan(TotpSetupView { url: setup.url, secret: setup.secret })),
                    Err(failure) => toast.bad(&failure),
                }
                busy.set(false);
            });
        })
    };
    let confirm = {
        let (step, busy, code, error) = (step.clone(), busy.clone(), code.clone(), error.clone());
        Callback::from(move |()| {
            let body = TotpRequest { code: code.split_whitespace().collect() };
            let (step, busy, code, error) = (step.clone(), busy.clone(), code.clone(), error.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<RecoveryCodes>("/api/me/totp/confirm", &body).await {
                    Ok(made) => {
                        error.set(None);
                        step.set(Step::Codes(made.codes));
                    }
                    Err(failure) => error.set(Some(failure)),
                }
                code.set(String::new());
                busy.set(false);
            });
        })
    };
    let remove = {
        let (step, busy, refresh) = (step.clone(), busy.clone(), session.refresh.clone());
        Callback::from(move |()| {
            let (step, busy, toast, refresh) = (step.clone(), busy.clone(), toast.clone(), refresh.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                toast.tell(&api::act::<Done>(Method::DELETE, "/api/me/totp").await, "Second factor removed");
                busy.set(false);
                step.set(Step::Idle);
                refresh.emit(());
            });
        })
    };
    let close = {
        let (step, refresh) = (step.clone(), session.refresh.clone());
        Callback::from(move |()| {
            step.set(Step::Idle);
            refresh.emit(());
        })
    };
    let ask = {
        let step = step.clone();
        Callback::from(move |_: MouseEvent| step.set(Step::Remove))
    };
    let on_code = {
        let code = code.clone();
        Callback::from(move |text| code.set(text))
    };
    let dialog = match &*step {
        Step::Idle => Html::default(),
        Step::Scan(setup) => {
            let footer = html! {
                <>
                    <Button onclick={close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
                    <Button kind={Kind::Primary} submit=true busy={*busy} disabled={code.trim().len() < 6}>{ "Confirm" }</Button>
                </>
            };
            html! {
                <Dialog title="Set up the second factor" on_close={close} on_submit={confirm} {footer}>
                    <div class="grid gap-4 md:grid-cols-[auto_1fr]">
                        <Qr text={setup.url.clone()} label="QR code for an authenticator" />
                        <div class="flex flex-col gap-3">
                            <p class="text-ink-2">{ "Scan this with an authenticator, or type the secret there. Then type the six digits that it shows." }</p>
                            <Copyable label="Secret" text={setup.secret.clone()} />
                            <Field label="Code" error={error.as_ref().map(ToString::to_string)}><Input name="code" mode="numeric" complete="one-time-code" autofocus=true value={(*code).clone()} on={on_code} /></Field>
                        </div>
                    </div>
                </Dialog>
            }
        }
        Step::Codes(codes) => html! { <Codes codes={codes.clone()} on_close={close} /> },
        Step::Remove => html! {
            <Confirm title="Remove the second factor" verb="Remove" busy={*busy} on_confirm={remove} on_close={close}>
                { "After this your password alone opens your account. The recovery codes end too." }
            </Confirm>
        },
    };
    html! {
        <Card title="Second factor" aside={if session.me.totp { html! { <Tag tone={Tone::Ok}>{ "Set up" }</Tag> } } else { html! { <Tag>{ "Not set up" }</Tag> } }}>
            <div class="flex flex-wrap items-center gap-3">
                <p class="min-w-0 flex-1 text-ink-2">{ "A six-digit code of your telephone is asked after your password. Ten recovery codes stand in for a lost telephone." }</p>
                if session.me.totp {
                    <Button busy={*busy} onclick={begin}>{ "Set up again" }</Button>
                    <Button kind={Kind::Danger} onclick={ask}>{ "Remove…" }</Button>
                } else {
                    <Button kind={Kind::Primary} busy={*busy} onclick={begin}>{ "Set up" }</Button>
                }
            </div>
            { dialog }
        </Card>
    }
}

#[derive(Properties, PartialEq)]
struct CodesProps {
    codes: Vec<String>,
    on_close: Callback<()>,
}

#[component]
fn Codes(props: &CodesProps) -> Html {
    let save = {
        let codes = props.codes.clone();
        Callback::from(move |_: MouseEvent| csv::download("SENT recovery codes.txt", &codes.join("\r\n")))
    };
    let footer = html! {
        <>
            <Button onclick={save}><Icon name="download" />{ "Save" }</Button>
            <Button kind={Kind::Primary} onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "I have kept them" }</Button>
        </>
    };
    html! {
        <Dialog title="Recovery codes" on_close={props.on_close.clone()} {footer}>
            <p class="mb-3 text-ink-2">{ "Each works once, when your telephone is not at hand. They are not shown again." }</p>
            <ol class="grid grid-cols-2 gap-1.5 rounded-md border border-line bg-bg p-3 font-mono select-all">
                for code in props.codes.iter() { <li key={code.clone()}>{ code }</li> }
            </ol>
        </Dialog>
    }
}

#[component]
fn Tokens() -> Html {
    let toast = use_toast();
    let tokens = use_resource::<List<Token>>(Some("/api/tokens".into()), &[]);
    let creating = use_state_eq(|| false);
    let ending = use_state(|| None::<Token>);
    let show = |value: bool| {
        let creating = creating.clone();
        Callback::from(move |()| creating.set(value))
    };
    let end = {
        let (ending, reload, toast) = (ending.clone(), tokens.reload.clone(), toast.clone());
        Callback::from(move |()| {
            let Some(token) = (*ending).clone() else { return };
            let (ending, reload, toast) = (ending.clone(), reload.clone(), toast.clone());
            wasm_bindgen_futures::spawn_local(async move {
                toast
                    .tell(&api::act::<Done>(Method::DELETE, &format!("/api/tokens/{}", token.id)).await, "Token ended");
                ending.set(None);
                reload.emit(());
            });
        })
    };
    let wake = |id: Uuid| {
        let (reload, toast) = (tokens.reload.clone(), toast.clone());
        Callback::from(move |_: MouseEvent| {
            let (reload, toast) = (reload.clone(), toast.clone());
            wasm_bindgen_futures::spawn_local(async move {
                toast.tell(&api::act::<Done>(Method::POST, &format!("/api/tokens/{id}/wake")).await, "Token is awake");
                reload.emit(());
            });
        })
    };
    let keep = {
        let ending = ending.clone();
        Callback::from(move |()| ending.set(None))
    };
    html! {
        <Card title="API tokens" pad=false aside={html! { <Button onclick={show(true).reform(|_: MouseEvent| ())}>{ "New token" }</Button> }}>
            { loaded(&tokens, 2, |tokens| if tokens.items.is_empty() {
                html! { <Empty title="No tokens" text="A token lets a program do what you may do, without your password." /> }
            } else {
                html! { <ul>{ for tokens.items.iter().map(|token| {
                    let (ending, own) = (ending.clone(), token.clone());
                    html! {
                        <li key={token.id.to_string()} class="flex items-center gap-3 border-b border-line-2 px-3.5 py-2 last:border-0">
                            <span class="min-w-0 flex-1">
                                <b class="block truncate font-medium">{ &token.name }</b>
                                <span class="flex flex-wrap gap-1">{ for token.rights.iter().map(|right| html! { <Tag>{ right }</Tag> }) }</span>
                            </span>
                            <span class="text-right text-sm text-ink-3">
                                if token.asleep { <Tag tone={Tone::Warn}>{ "Asleep since a restore" }</Tag><br /> }
                                { "used " }<Ago at={token.last_used} /><br />
                                if token.expires_at.is_some() { { "ends " }<Until at={token.expires_at} /> } else { { "never ends" } }
                            </span>
                            if token.asleep {
                                <Button onclick={wake(token.id)}>{ "Wake" }</Button>
                            }
                            <Button kind={Kind::Danger} onclick={Callback::from(move |_: MouseEvent| ending.set(Some(own.clone())))}>{ "End…" }</Button>
                        </li>
                    }
                }) }</ul> }
            }) }
            if *creating {
                <CreateToken on_close={show(false)} on_done={tokens.reload.clone()} />
            }
            if let Some(token) = &*ending {
                <Confirm title={format!("End {}", token.name)} verb="End token" on_confirm={end} on_close={keep}>{ "Programs that use it are refused from now on. This cannot be undone." }</Confirm>
            }
        </Card>
    }
}

#[derive(Properties, PartialEq)]
struct CreateTokenProps {
    on_close: Callback<()>,
    on_done: Callback<()>,
}

#[component]
fn CreateToken(props: &CreateTokenProps) -> Html {
    let session = use_session();
    let name = use_state(String::new);
    let rights = use_state(|| session.me.rights.join(" "));
    let days = use_state(|| "90".to_owned());
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    let secret = use_state(|| None::<String>);
    let submit = {
        let (name, rights, days, busy, error, secret, on_done) = (
            name.clone(),
            rights.clone(),
            days.clone(),
            busy.clone(),
            error.clone(),
            secret.clone(),
            props.on_done.clone(),
        );
        Callback::from(move |()| {
            let body = NewToken {
                name: name.trim().to_owned(),
                rights: rights.split_whitespace().map(ToOwned::to_owned).collect(),
                days: days.trim().parse().ok(),
            };
            let (busy, error, secret, on_done) = (busy.clone(), error.clone(), secret.clone(), on_done.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                match api::post::<CreatedToken>("/api/tokens", &body).await {
                    Ok(made) => {
                        secret.set(Some(made.secret));
                        on_done.emit(());
                    }
                    Err(failure) => error.set(Some(failure)),
                }
                busy.set(false);
            });
        })
    };
    if let Some(secret) = &*secret {
        let footer = html! { <Button kind={Kind::Primary} onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Done" }</Button> };
        return html! {
            <Dialog title="The token" on_close={props.on_close.clone()} {footer}>
                <p class="mb-3 text-ink-2">{ "Keep it where only the program finds it. It is not shown again." }</p>
                <Copyable label="Token" text={secret.clone()} />
            </Dialog>
        };
    }
    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let failure = |field: &str| error.as_ref().and_then(|error| error.field(field));
    let footer = html! {
        <>
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={*busy} disabled={name.trim().is_empty()}>{ "Make token" }</Button>
        </>
    };
    html! {
        <Dialog title="New API token" on_close={props.on_close.clone()} on_submit={submit} {footer}>
            <div class="grid gap-3 md:grid-cols-2">
                <Field label="What it is for" error={failure("name")}><Input name="name" autofocus=true value={(*name).clone()} on={set(&name)} placeholder="Backup script" /></Field>
                <Field label="Ends after, days" error={failure("days")} hint="Empty: never"><Input name="days" mode="numeric" value={(*days).clone()} on={set(&days)} /></Field>
                <Field label="Rights" class="md:col-span-2" error={failure("rights")} hint="Separated by spaces; as few as it needs, such as capital.entry.read"><Input name="rights" value={(*rights).clone()} on={set(&rights)} /></Field>
            </div>
            if let Some(error) = error.as_ref().filter(|error| !error.blames_fields()) {
                <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p>
            }
        </Dialog>
    }
}
