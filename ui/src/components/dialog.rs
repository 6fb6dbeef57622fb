//! Dialogs on the browser's own `<dialog>`: it keeps the keyboard inside, closes on Esc, and lies above everything.

use super::{Button, Icon, Kind, Refusal};
use crate::api::Failure;
use wasm_bindgen::JsCast;
use web_sys::{HtmlDialogElement, HtmlElement};
use yew::prelude::*;

/// Properties of [`Dialog`].
#[derive(Properties, PartialEq)]
pub struct DialogProps {
    /// Heading.
    pub title: AttrValue,
    /// Esc, the cross, or a press beside it.
    pub on_close: Callback<()>,
    /// Room for a table.
    #[prop_or_default]
    pub wide: bool,
    /// Buttons at the bottom; the primary one last.
    #[prop_or_default]
    pub footer: Html,
    /// Makes it a form, so that Enter sends it.
    #[prop_or_default]
    pub on_submit: Option<Callback<()>>,
    /// Content.
    pub children: Html,
}

/// A modal dialog, shown while it is in the page.
#[component]
pub fn Dialog(props: &DialogProps) -> Html {
    let node = use_node_ref();
    {
        let node = node.clone();
        use_effect_with((), move |()| {
            let before = web_sys::window()
                .and_then(|window| window.document())
                .and_then(|document| document.active_element())
                .and_then(|element| element.dyn_into::<HtmlElement>().ok());
            let dialog = node.cast::<HtmlDialogElement>();
            if let Some(dialog) = &dialog {
                // It fails only where the element is open already, which is what is wanted.
                let _ = dialog.show_modal();
                focus_first(dialog);
            }
            move || {
                // While it is open nothing behind it takes the keyboard.
                if let Some(dialog) = dialog {
                    dialog.close();
                }
                if let Some(before) = before {
                    let _ = before.focus();
                }
            }
        });
    }
    let close = props.on_close.reform(|_: MouseEvent| ());
    let cancel = {
        let on_close = props.on_close.clone();
        Callback::from(move |event: Event| {
            event.prevent_default();
            on_close.emit(());
        })
    };
    let beside = {
        let (on_close, node) = (props.on_close.clone(), node.clone());
        Callback::from(move |event: MouseEvent| {
            if event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()) == node.cast() {
                on_close.emit(());
            }
        })
    };
    let submit = {
        let on_submit = props.on_submit.clone();
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            if let Some(on_submit) = &on_submit {
                on_submit.emit(());
            }
        })
    };
    let width = if props.wide { "md:w-[52rem]" } else { "md:w-[30rem]" };
    html! {
        <dialog ref={node} oncancel={cancel} onmousedown={beside} aria-label={props.title.clone()}
            class={classes!("m-auto", "max-h-[min(46rem,92dvh)]", "w-[calc(100vw-1.5rem)]", "max-w-none", "overflow-hidden", "rounded-lg",
                "border", "border-line", "bg-raised", "p-0", "text-ink", "shadow-lg", "backdrop:bg-veil", width)}>
            <form class="flex max-h-[inherit] flex-col" onsubmit={submit} novalidate=true>
                <header class="flex items-center justify-between border-b border-line-2 py-1.5 pr-2 pl-4">
                    <h2 class="font-semibold">{ &props.title }</h2>
                    <Button kind={Kind::Ghost} class="px-1.5" label="Close" onclick={close}><Icon name="close" /></Button>
                </header>
                <div class="dialog-body min-h-0 flex-1 overflow-auto px-4 py-3.5 outline-none" tabindex="-1">{ props.children.clone() }</div>
                if props.footer != Html::default() {
                    <footer class="flex flex-wrap justify-end gap-2 border-t border-line-2 px-4 py-2.5">{ props.footer.clone() }</footer>
                }
            </form>
        </dialog>
    }
}

/// The keyboard begins where the work is: at what asked for it, at the first field, at the last button, at a text that the
/// arrows scroll; never at the cross.
fn focus_first(dialog: &HtmlDialogElement) {
    let wanted = [
        "[autofocus]",
        ".dialog-body :is(input, select, textarea):not([disabled])",
        "footer button:last-of-type:not([disabled])",
        ".dialog-body :is(a, button, summary)",
        ".dialog-body",
    ];
    let found = wanted.iter().find_map(|selector| dialog.query_selector(selector).ok().flatten());
    if let Some(element) = found.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
        let _ = element.focus();
    }
}

/// Properties of [`Confirm`].
#[derive(Properties, PartialEq)]
pub struct ConfirmProps {
    /// What is about to happen.
    pub title: AttrValue,
    /// The button's word, a verb.
    pub verb: AttrValue,
    /// It is under way.
    #[prop_or_default]
    pub busy: bool,
    /// Why it failed.
    #[prop_or_default]
    pub error: Option<Failure>,
    /// Yes.
    pub on_confirm: Callback<()>,
    /// No.
    pub on_close: Callback<()>,
    /// What will happen, to how many, and whether it can be undone.
    pub children: Html,
}

/// Says what will happen, then asks.
#[component]
pub fn Confirm(props: &ConfirmProps) -> Html {
    let footer = html! {
        <>
            <Button autofocus=true onclick={props.on_close.reform(|_: MouseEvent| ())}>{ "Cancel" }</Button>
            <Button kind={Kind::Danger} busy={props.busy} submit=true>{ &props.verb }</Button>
        </>
    };
    html! {
        <Dialog title={props.title.clone()} on_close={props.on_close.clone()} on_submit={props.on_confirm.clone()} {footer}>
            <div class="text-ink-2">{ props.children.clone() }</div>
            <Refusal error={props.error.clone()} />
        </Dialog>
    }
}
