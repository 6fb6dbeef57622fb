//! What every form in a dialog does alike: one request at a time, its failure beside the fields it blames or above the
//! buttons, and after success the news, the reload, the closing.

use super::{Button, Dialog, Kind, status::sentence, use_toast};
use crate::api::{self, Done, Failure};
use gloo_net::http::Method;
use serde::Serialize;
use std::future::Future;
use yew::prelude::*;

/// The request of a form: whether it is under way, why the last one failed, and how to send one.
#[derive(Clone)]
pub struct Sending {
    /// Under way.
    pub busy: bool,
    /// Why the last one failed.
    pub error: Option<Failure>,
    set_busy: UseStateSetter<bool>,
    set_error: UseStateSetter<Option<Failure>>,
    toast: super::toast::Toaster,
    on_close: Callback<()>,
    on_done: Callback<()>,
}

impl PartialEq for Sending {
    fn eq(&self, other: &Self) -> bool {
        self.busy == other.busy && self.error == other.error
    }
}

/// A form's request. `on_done` is called after a success, then `on_close`.
#[hook]
pub fn use_sending(on_close: &Callback<()>, on_done: &Callback<()>) -> Sending {
    let toast = use_toast();
    let busy = use_state_eq(|| false);
    let error = use_state(|| None::<Failure>);
    Sending {
        busy: *busy,
        error: (*error).clone(),
        set_busy: busy.setter(),
        set_error: error.setter(),
        toast,
        on_close: on_close.clone(),
        on_done: on_done.clone(),
    }
}

impl Sending {
    /// What the server said about one field.
    pub fn field(&self, name: &str) -> Option<String> {
        self.error.as_ref().and_then(|error| error.field(name))
    }

    /// Waits for `request`; `said` makes the news out of its answer.
    pub fn run<T: 'static>(
        &self,
        request: impl Future<Output = Result<T, Failure>> + 'static,
        said: impl FnOnce(&T) -> AttrValue + 'static,
    ) {
        let sending = self.clone();
        sending.set_busy.set(true);
        wasm_bindgen_futures::spawn_local(async move {
            let answer = request.await;
            sending.set_busy.set(false);
            match answer {
                Ok(value) => {
                    sending.set_error.set(None);
                    sending.toast.ok(said(&value));
                    sending.on_done.emit(());
                    sending.on_close.emit(());
                }
                Err(failure) => sending.set_error.set(Some(failure)),
            }
        });
    }

    /// Waits for `request`, which is only a step: nothing is told and nothing closes unless it fails.
    pub fn try_out(&self, request: impl Future<Output = Result<(), Failure>> + 'static) {
        let sending = self.clone();
        sending.set_busy.set(true);
        wasm_bindgen_futures::spawn_local(async move {
            let answer = request.await;
            sending.set_busy.set(false);
            sending.set_error.set(answer.err());
        });
    }

    /// Sends a change whose answer does not matter, then says `done`.
    pub fn send(
        &self,
        method: Method,
        path: impl Into<String>,
        body: impl Serialize + 'static,
        done: impl Into<AttrValue>,
    ) {
        let (path, done) = (path.into(), done.into());
        self.run(async move { api::send::<Done>(method, &path, &body).await }, move |_| done);
    }

    /// Sends a change without a body, then says `done`.
    pub fn act(&self, method: Method, path: impl Into<String>, done: impl Into<AttrValue>) {
        let (path, done) = (path.into(), done.into());
        self.run(async move { api::act::<Done>(method, &path).await }, move |_| done);
    }
}

/// A form's fields, and how typing changes one.
pub struct Form<F: 'static>(UseStateHandle<F>);

impl<F> Clone for Form<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<F> std::ops::Deref for Form<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F: Clone + 'static> Form<F> {
    /// What typing into a field does.
    pub fn on<V: 'static>(&self, change: fn(&mut F, V)) -> Callback<V> {
        let state = self.0.clone();
        Callback::from(move |value: V| {
            let mut next = (*state).clone();
            change(&mut next, value);
            state.set(next);
        })
    }
}

/// The fields of a form.
#[hook]
pub fn use_form<F: Clone + 'static>(first: impl FnOnce() -> F) -> Form<F> {
    Form(use_state(first))
}

/// Properties of [`Refusal`].
#[derive(Properties, PartialEq)]
pub struct RefusalProps {
    /// Why the last request failed, if it did.
    pub error: Option<Failure>,
}

/// A failure that blames no field, in words; the fields say the others themselves.
#[component]
pub fn Refusal(props: &RefusalProps) -> Html {
    match props.error.as_ref().filter(|error| !error.blames_fields()) {
        Some(error) => {
            html! { <p role="alert" class="mt-3 text-sm text-bad-ink">{ sentence(&error.to_string()) }</p> }
        }
        None => Html::default(),
    }
}

/// Properties of [`FormDialog`].
#[derive(Properties, PartialEq)]
pub struct FormDialogProps {
    /// Heading.
    pub title: AttrValue,
    /// The primary action, a verb.
    pub verb: AttrValue,
    /// Its request.
    pub sending: Sending,
    /// Sent.
    pub on_submit: Callback<()>,
    /// Left.
    pub on_close: Callback<()>,
    /// Something is still missing.
    #[prop_or_default]
    pub disabled: bool,
    /// Room for a table.
    #[prop_or_default]
    pub wide: bool,
    /// Other actions, at the footer's left.
    #[prop_or_default]
    pub extra: Html,
    /// Fields.
    pub children: Html,
}

/// A dialog with a form: fields, what was refused, Cancel and one primary action.
#[component]
pub fn FormDialog(props: &FormDialogProps) -> Html {
    let footer = html! {
        <>
            if props.extra != Html::default() { <span class="mr-auto flex gap-2">{ props.extra.clone() }</span> }
            <Button onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Primary} submit=true busy={props.sending.busy} disabled={props.disabled}>{ &props.verb }</Button>
        </>
    };
    html! {
        <Dialog title={props.title.clone()} wide={props.wide} on_close={props.on_close.clone()} on_submit={props.on_submit.clone()} {footer}>
            { props.children.clone() }
            <Refusal error={props.sending.error.clone()} />
        </Dialog>
    }
}

/// Value and label pairs, as [`super::Pick`] wants them.
pub fn options(pairs: &[(&'static str, &'static str)]) -> Vec<(AttrValue, AttrValue)> {
    pairs.iter().map(|(value, label)| ((*value).into(), (*label).into())).collect()
}
