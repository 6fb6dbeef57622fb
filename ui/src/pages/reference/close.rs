//! The last day of something: until when it may be used, and taking that back.

use crate::{
    components::{Button, Field, FormDialog, Input, Kind, use_form, use_sending},
    format,
};
use gloo_net::http::Method;
use sent_contract::reference;
use yew::prelude::*;

/// Properties of [`Close`].
#[derive(Properties, PartialEq)]
pub struct CloseProps {
    /// What is closed.
    pub name: AttrValue,
    /// Path of the row; `/close` follows.
    pub path: AttrValue,
    /// Its last day, if it has one.
    pub on: Option<String>,
    /// Left.
    pub on_close: Callback<()>,
    /// Done.
    pub on_done: Callback<()>,
}

/// Asks for the last day.
#[component]
pub fn Close(props: &CloseProps) -> Html {
    let day = use_form(|| props.on.clone().unwrap_or_else(format::today));
    let sending = use_sending(&props.on_close, &props.on_done);
    let send = |on: Option<String>, done: &'static str| {
        let (sending, path, name) = (sending.clone(), props.path.clone(), props.name.clone());
        Callback::from(move |()| {
            let body = reference::Close { on: on.clone() };
            sending.send(Method::POST, format!("{path}/close"), body, format!("{name} {done}"));
        })
    };
    let extra = html! {
        if props.on.is_some() {
            <Button busy={sending.busy} onclick={send(None, "is open again").reform(|_: MouseEvent| ())}>{ "Open again" }</Button>
        }
    };
    html! {
        <FormDialog title={format!("Close {}", props.name)} verb="Close it" sending={sending.clone()} on_close={props.on_close.clone()}
            on_submit={send(Some((*day).clone()), "closes")} disabled={day.is_empty()} {extra}>
            <Field label="Last day" hint="It may be used until the end of this day; what is there already stays" error={sending.field("on")}>
                <Input name="on" kind="date" value={(*day).clone()} on={day.on(|day, text| *day = text)} autofocus=true />
            </Field>
        </FormDialog>
    }
}

/// Properties of [`CloseButton`].
#[derive(Properties, PartialEq)]
pub struct CloseButtonProps {
    /// It has a last day already.
    pub closed: bool,
    /// Pressed.
    pub onclick: Callback<()>,
}

/// Leads from a form to [`Close`].
#[component]
pub fn CloseButton(props: &CloseButtonProps) -> Html {
    html! { <Button kind={Kind::Danger} onclick={props.onclick.reform(|_: MouseEvent| ())}>{ if props.closed { "Last day…" } else { "Close…" } }</Button> }
}
