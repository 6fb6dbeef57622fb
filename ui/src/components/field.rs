//! Fields of forms: a label above, a hint or an error in words below, never a colour alone.

use super::Icon;
use wasm_bindgen::JsCast;
use web_sys::{HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement};
use yew::prelude::*;

/// Properties of [`Field`].
#[derive(Properties, PartialEq)]
pub struct FieldProps {
    /// What it is.
    pub label: AttrValue,
    /// How to fill it.
    #[prop_or_default]
    pub hint: Option<AttrValue>,
    /// What is wrong with it.
    #[prop_or_default]
    pub error: Option<String>,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
    /// The input.
    pub children: Html,
}

/// A labelled input.
#[component]
pub fn Field(props: &FieldProps) -> Html {
    html! {
        <label class={classes!("flex", "min-w-0", "flex-col", "gap-1", props.class.clone())}>
            <span class="text-sm font-medium text-ink-2">{ &props.label }</span>
            { props.children.clone() }
            if let Some(error) = &props.error {
                <span class="text-sm text-bad-ink" role="alert">{ super::status::sentence(error) }</span>
            } else if let Some(hint) = &props.hint {
                <span class="text-sm text-ink-3">{ hint }</span>
            }
        </label>
    }
}

/// Properties of [`Input`].
#[derive(Properties, PartialEq)]
pub struct InputProps {
    /// What stands in it.
    pub value: AttrValue,
    /// What is typed.
    pub on: Callback<String>,
    /// `text`, `password`, `date`, `number`, …
    #[prop_or("text")]
    pub kind: &'static str,
    /// For the browser's memory and for tests.
    #[prop_or_default]
    pub name: AttrValue,
    /// Shown while it is empty.
    #[prop_or_default]
    pub placeholder: AttrValue,
    /// `autocomplete`.
    #[prop_or("off")]
    pub complete: &'static str,
    /// Something is wrong with it.
    #[prop_or_default]
    pub invalid: bool,
    /// Gets the keyboard when it appears.
    #[prop_or_default]
    pub autofocus: bool,
    /// Cannot be changed.
    #[prop_or_default]
    pub disabled: bool,
    /// Id of a `datalist`.
    #[prop_or_default]
    pub list: Option<AttrValue>,
    /// Name for screen readers where no label stands around it.
    #[prop_or_default]
    pub label: Option<AttrValue>,
    /// `inputmode`.
    #[prop_or_default]
    pub mode: Option<&'static str>,
    /// Keys.
    #[prop_or_default]
    pub onkeydown: Callback<KeyboardEvent>,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
    /// The element, for those who give it the keyboard.
    #[prop_or_default]
    pub node: NodeRef,
}

/// A line of text, a date, a number, a password.
#[component]
pub fn Input(props: &InputProps) -> Html {
    let node = props.node.clone();
    {
        let node = node.clone();
        use_effect_with(props.autofocus, move |focus| {
            if let (true, Some(input)) = (*focus, node.cast::<HtmlInputElement>()) {
                let _ = input.focus();
            }
        });
    }
    let oninput = {
        let on = props.on.clone();
        Callback::from(move |event: InputEvent| on.emit(event.target_unchecked_into::<HtmlInputElement>().value()))
    };
    html! {
        <input ref={node} type={props.kind} name={props.name.clone()} value={props.value.clone()} {oninput}
            placeholder={props.placeholder.clone()} autocomplete={props.complete} disabled={props.disabled}
            list={props.list.clone()} aria-label={props.label.clone()} inputmode={props.mode} spellcheck="false" autofocus={props.autofocus}
            aria-invalid={props.invalid.then_some("true")} onkeydown={props.onkeydown.clone()}
            class={classes!("input", props.class.clone())} />
    }
}

/// Properties of [`TextArea`].
#[derive(Properties, PartialEq)]
pub struct TextAreaProps {
    /// What stands in it.
    pub value: AttrValue,
    /// What is typed.
    pub on: Callback<String>,
    /// Shown while it is empty.
    #[prop_or_default]
    pub placeholder: AttrValue,
    /// Something is wrong with it.
    #[prop_or_default]
    pub invalid: bool,
    /// Lines.
    #[prop_or(4)]
    pub rows: u32,
    /// Same width for every letter.
    #[prop_or_default]
    pub mono: bool,
}

/// Several lines of text.
#[component]
pub fn TextArea(props: &TextAreaProps) -> Html {
    let oninput = {
        let on = props.on.clone();
        Callback::from(move |event: InputEvent| on.emit(event.target_unchecked_into::<HtmlTextAreaElement>().value()))
    };
    html! {
        <textarea {oninput} value={props.value.clone()} placeholder={props.placeholder.clone()} rows={props.rows.to_string()}
            spellcheck="false" aria-invalid={props.invalid.then_some("true")}
            class={classes!("input", props.mono.then_some("font-mono"), props.mono.then_some("text-sm"))} />
    }
}

/// Properties of [`Pick`].
#[derive(Properties, PartialEq)]
pub struct PickProps {
    /// Chosen value.
    pub value: AttrValue,
    /// Value and label of each option.
    pub options: Vec<(AttrValue, AttrValue)>,
    /// Chosen now.
    pub on: Callback<String>,
    /// Name for screen readers where no label stands around it.
    #[prop_or_default]
    pub label: Option<AttrValue>,
    /// For tests.
    #[prop_or_default]
    pub name: AttrValue,
    /// Something is wrong with it.
    #[prop_or_default]
    pub invalid: bool,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
}

/// One of a list.
#[component]
pub fn Pick(props: &PickProps) -> Html {
    let onchange = {
        let on = props.on.clone();
        Callback::from(move |event: Event| on.emit(event.target_unchecked_into::<HtmlSelectElement>().value()))
    };
    html! {
        <select {onchange} name={props.name.clone()} aria-label={props.label.clone()} aria-invalid={props.invalid.then_some("true")}
            class={classes!("input", props.class.clone())}>
            for (value, label) in props.options.iter() {
                <option key={value.to_string()} value={value.clone()} selected={*value == props.value}>{ label }</option>
            }
        </select>
    }
}

/// Properties of [`Choice`].
#[derive(Properties, PartialEq)]
pub struct ChoiceProps {
    /// Chosen value.
    pub value: AttrValue,
    /// Value and label of each.
    pub options: Vec<(&'static str, &'static str)>,
    /// Chosen now.
    pub on: Callback<String>,
    /// What is chosen here.
    pub label: AttrValue,
}

/// One of a few, all in sight.
#[component]
pub fn Choice(props: &ChoiceProps) -> Html {
    html! {
        <div role="group" aria-label={props.label.clone()} class="inline-flex flex-wrap gap-0.5 rounded-md border border-line bg-bg p-0.5">
            for (value, label) in props.options.iter().copied() {
                <button key={value} type="button" aria-pressed={if props.value == value { "true" } else { "false" }}
                    onclick={props.on.reform(move |_: MouseEvent| value.to_owned())}
                    class={classes!("rounded-sm", "px-2.5", "py-0.5", if props.value == value { "bg-panel font-medium shadow-sm" } else { "text-ink-2 hover:text-ink" })}>
                    { label }
                </button>
            }
        </div>
    }
}

/// Properties of [`Toggle`].
#[derive(Properties, PartialEq)]
pub struct ToggleProps {
    /// On.
    pub checked: bool,
    /// Changed.
    pub on: Callback<bool>,
    /// What it does.
    pub label: AttrValue,
}

/// Yes or no.
#[component]
pub fn Toggle(props: &ToggleProps) -> Html {
    let onchange = {
        let on = props.on.clone();
        Callback::from(move |event: Event| on.emit(event.target_unchecked_into::<HtmlInputElement>().checked()))
    };
    html! {
        <label class="inline-flex items-center gap-2">
            <input type="checkbox" checked={props.checked} {onchange} />
            <span>{ &props.label }</span>
        </label>
    }
}

/// Properties of [`Search`].
#[derive(Properties, PartialEq)]
pub struct SearchProps {
    /// What stands in it.
    pub value: AttrValue,
    /// What is searched.
    pub placeholder: AttrValue,
    /// What is typed.
    pub on: Callback<String>,
}

/// The list's search: `/` goes to it, Esc leaves it.
#[component]
pub fn Search(props: &SearchProps) -> Html {
    let oninput = {
        let on = props.on.clone();
        Callback::from(move |event: InputEvent| on.emit(event.target_unchecked_into::<HtmlInputElement>().value()))
    };
    let onkeydown = Callback::from(|event: KeyboardEvent| {
        if event.key() == "Escape"
            && let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
        {
            let _ = input.blur();
        }
    });
    html! {
        <span class="search relative inline-flex min-w-30 flex-1 items-center text-ink-3 md:w-56 md:flex-none">
            <Icon name="search" class="pointer-events-none absolute left-2.5 size-3.5" />
            <input data-list-search="true" type="search" value={props.value.clone()} {oninput} {onkeydown} placeholder={props.placeholder.clone()}
                aria-label={props.placeholder.clone()} autocomplete="off" spellcheck="false" class="input pl-8" />
            <kbd class="kbd pointer-events-none absolute right-2 hidden md:inline">{ "/" }</kbd>
        </span>
    }
}
