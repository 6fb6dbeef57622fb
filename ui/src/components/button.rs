//! The button. A form has one primary action; a dangerous one says so by colour and by word.

use yew::prelude::*;

/// How much a button weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// An action among others.
    #[default]
    Plain,
    /// The one that the page is about.
    Primary,
    /// Takes something away.
    Danger,
    /// As quiet as text.
    Ghost,
}

/// Properties of [`Button`].
#[derive(Properties, PartialEq)]
pub struct ButtonProps {
    /// Weight.
    #[prop_or_default]
    pub kind: Kind,
    /// Sends the form it stands in.
    #[prop_or_default]
    pub submit: bool,
    /// Cannot be pressed now.
    #[prop_or_default]
    pub disabled: bool,
    /// Works: shown by the words given as children, pressed twice it does nothing.
    #[prop_or_default]
    pub busy: bool,
    /// A name for those who do not see the picture.
    #[prop_or_default]
    pub label: Option<AttrValue>,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
    /// Gets the keyboard when it appears.
    #[prop_or_default]
    pub autofocus: bool,
    /// Pressed.
    #[prop_or_default]
    pub onclick: Callback<MouseEvent>,
    /// What it says.
    pub children: Html,
}

/// The look of a plain button, for a link that stands among buttons.
pub const LINK: &str = "inline-flex min-h-8 items-center justify-center gap-1.5 rounded-md border border-line bg-panel px-3 font-medium whitespace-nowrap text-ink hover:border-ink-3";

/// A button.
#[component]
pub fn Button(props: &ButtonProps) -> Html {
    let look = match props.kind {
        Kind::Plain => "border-line bg-panel text-ink hover:border-ink-3",
        Kind::Primary => "p border-accent bg-accent text-accent-ink hover:brightness-110",
        Kind::Danger => "border-line bg-panel text-bad-ink hover:border-bad hover:bg-bad-soft",
        Kind::Ghost => "border-transparent text-ink-2 hover:bg-line-2 hover:text-ink",
    };
    html! {
        <button type={if props.submit { "submit" } else { "button" }} disabled={props.disabled || props.busy}
            aria-busy={props.busy.then_some("true")} aria-label={props.label.clone()} title={props.label.clone()}
            autofocus={props.autofocus} onclick={props.onclick.clone()}
            class={classes!("inline-flex", "items-center", "justify-center", "gap-1.5", "rounded-md", "border", "px-3",
                "min-h-8", "font-medium", "whitespace-nowrap", "disabled:opacity-55", look, props.class.clone())}>
            { props.children.clone() }
        </button>
    }
}
