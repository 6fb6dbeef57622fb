//! Logging in: name and password, then a one-time code where one is set up.

use crate::{
    api::{self, Failure},
    components::{Button, Field, Input, Kind, status::sentence},
};
use sent_contract::identity::{LoginAnswer, LoginRequest, Me, TotpRequest};
use yew::prelude::*;

/// Properties of [`Login`].
#[derive(Properties, PartialEq)]
pub struct LoginProps {
    /// Somebody is logged in.
    pub entered: Callback<Me>,
}

/// The login.
#[component]
pub fn Login(props: &LoginProps) -> Html {
    let email = use_state(String::new);
    let password = use_state(String::new);
    let code = use_state(String::new);
    let second = use_state_eq(|| false);
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);

    let onsubmit = {
        let (email, password, code) = (email.clone(), password.clone(), code.clone());
        let (second, busy, error, entered) = (second.clone(), busy.clone(), error.clone(), props.entered.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            if *busy {
                return;
            }
            let login = LoginRequest { email: email.trim().to_owned(), password: (*password).clone() };
            let totp = TotpRequest { code: code.split_whitespace().collect() };
            let (second, busy, error, entered, code) =
                (second.clone(), busy.clone(), error.clone(), entered.clone(), code.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                let answer = if *second {
                    api::post::<LoginAnswer>("/api/session/totp", &totp).await
                } else {
                    api::post::<LoginAnswer>("/api/session", &login).await
                };
                busy.set(false);
                match answer {
                    Ok(LoginAnswer::Ok { me }) => entered.emit(me),
                    Ok(LoginAnswer::Totp) => {
                        error.set(None);
                        second.set(true);
                    }
                    Err(failure) => {
                        code.set(String::new());
                        error.set(Some(failure));
                    }
                }
            });
        })
    };
    let back = {
        let (second, error, code) = (second.clone(), error.clone(), code.clone());
        Callback::from(move |_: MouseEvent| {
            second.set(false);
            error.set(None);
            code.set(String::new());
        })
    };
    let set = |state: &UseStateHandle<String>| {
        let state = state.clone();
        Callback::from(move |text| state.set(text))
    };
    let failed = error.as_ref().map(|failure| sentence(&failure.to_string()));
    html! {
        <main class="grid h-dvh place-items-center overflow-auto p-4">
            <form {onsubmit} novalidate=true class="flex w-full max-w-[22rem] flex-col gap-3.5 rounded-lg border border-line bg-panel p-6 shadow-sm">
                <div class="mb-1 flex items-center gap-2.5">
                    <span class="size-7 rounded-md bg-linear-135 from-c1 to-c2" />
                    <h1 class="text-lg font-semibold">{ if *second { "One more step" } else { "Sign in to SENT" } }</h1>
                </div>
                if *second {
                    <p class="text-ink-2">{ "Type the six digits your authenticator shows, or one of your recovery codes." }</p>
                    <Field label="Code">
                        <Input key="code" name="code" value={(*code).clone()} on={set(&code)} complete="one-time-code" autofocus=true invalid={failed.is_some()} />
                    </Field>
                } else {
                    <Field label="E-mail">
                        <Input key="email" name="email" kind="email" value={(*email).clone()} on={set(&email)} complete="username" autofocus=true />
                    </Field>
                    <Field label="Password">
                        <Input key="password" name="password" kind="password" value={(*password).clone()} on={set(&password)} complete="current-password" invalid={failed.is_some()} />
                    </Field>
                }
                if let Some(failed) = failed {
                    <p role="alert" class="text-sm text-bad-ink">{ failed }</p>
                }
                <Button kind={Kind::Primary} submit=true busy={*busy}>{ if *second { "Confirm" } else { "Sign in" } }</Button>
                if *second {
                    <Button kind={Kind::Ghost} onclick={back}>{ "Back" }</Button>
                }
            </form>
        </main>
    }
}
