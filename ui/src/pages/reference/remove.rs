//! Asks before something is removed for good, and says what is lost with it.

use crate::components::{Button, Confirm, Kind, use_sending};
use gloo_net::http::Method;
use yew::prelude::*;

/// Properties of [`Remove`].
#[derive(Properties, PartialEq)]
pub struct RemoveProps {
    /// What is removed: `the role Auditor`.
    pub what: AttrValue,
    /// Path of the row.
    pub path: AttrValue,
    /// Said once it is gone.
    pub done: AttrValue,
    /// It stays: back to the form.
    pub on_keep: Callback<()>,
    /// It is gone, and its form with it.
    pub on_close: Callback<()>,
    /// The same, for the list.
    pub on_done: Callback<()>,
    /// What is lost.
    pub children: Html,
}

/// The question.
#[component]
pub fn Remove(props: &RemoveProps) -> Html {
    let sending = use_sending(&props.on_close, &props.on_done);
    let remove = {
        let (sending, path, done) = (sending.clone(), props.path.clone(), props.done.clone());
        Callback::from(move |()| sending.act(Method::DELETE, path.as_str(), done.clone()))
    };
    html! {
        <Confirm title={format!("Remove {}", props.what)} verb="Remove" busy={sending.busy} error={sending.error.clone()}
            on_confirm={remove} on_close={props.on_keep.clone()}>
            { props.children.clone() }
        </Confirm>
    }
}

/// Properties of [`RemoveButton`].
#[derive(Properties, PartialEq)]
pub struct RemoveButtonProps {
    /// Pressed.
    pub onclick: Callback<()>,
}

/// Leads from a form to [`Remove`].
#[component]
pub fn RemoveButton(props: &RemoveButtonProps) -> Html {
    html! { <Button kind={Kind::Danger} onclick={props.onclick.reform(|_: MouseEvent| ())}>{ "Remove…" }</Button> }
}
