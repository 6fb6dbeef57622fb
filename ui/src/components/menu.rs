//! A panel that hangs below its button. The arrows open it and go through it, Esc or a press beside it closes it and gives
//! the keyboard back to the button; it closes as well when the keyboard goes on.

use wasm_bindgen::JsCast;
use web_sys::HtmlElement;
use yew::prelude::*;

/// Properties of [`Menu`].
#[derive(Properties, PartialEq)]
pub struct MenuProps {
    /// The button's name for those who do not see it.
    pub label: AttrValue,
    /// The button's content.
    pub button: Html,
    /// The button's look.
    pub class: Classes,
    /// Width and place of the panel.
    #[prop_or_default]
    pub panel: Classes,
    /// A press within closes it as well.
    #[prop_or_default]
    pub once: bool,
    /// The panel's content.
    pub children: Html,
}

/// A button with a panel.
#[component]
pub fn Menu(props: &MenuProps) -> Html {
    let open = use_state_eq(|| false);
    let (button, panel) = (use_node_ref(), use_node_ref());
    // An arrow opened it and wants its first item; the Enter that presses the button must not press that as well.
    let entering = use_mut_ref(|| false);
    {
        let (panel, entering) = (panel.clone(), entering.clone());
        use_effect_with(*open, move |_| {
            if entering.take()
                && let Some(first) = items(&panel).first()
            {
                let _ = first.focus();
            }
        });
    }
    let set = |value: bool| {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(value))
    };
    let on_key = {
        let (open, button, panel) = (open.clone(), button.clone(), panel.clone());
        Callback::from(move |event: KeyboardEvent| {
            let key = event.key();
            if matches!(key.as_str(), "ArrowDown" | "ArrowUp") {
                event.prevent_default();
                event.stop_propagation();
                if *open {
                    go(&items(&panel), key == "ArrowDown");
                } else {
                    entering.replace(true);
                    open.set(true);
                }
            }
            if key == "Escape" && *open {
                event.stop_propagation();
                open.set(false);
                if let Some(button) = button.cast::<HtmlElement>() {
                    let _ = button.focus();
                }
            }
        })
    };
    let within = {
        let (open, once) = (open.clone(), props.once);
        Callback::from(move |event: MouseEvent| {
            let acted = event
                .target()
                .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
                .and_then(|element| element.closest("a, [data-closes]").ok().flatten())
                .is_some();
            if once && acted {
                open.set(false);
            }
        })
    };
    let on_leave = {
        let (open, button) = (open.clone(), button.clone());
        Callback::from(move |event: FocusEvent| {
            let within = button.cast::<web_sys::Node>().and_then(|button| button.parent_node());
            let next = event.related_target().and_then(|next| next.dyn_into::<web_sys::Node>().ok());
            if let (Some(menu), Some(next)) = (within, next)
                && !menu.contains(Some(&next))
            {
                open.set(false);
            }
        })
    };
    html! {
        <div class="relative shrink-0" onkeydown={on_key} onfocusout={on_leave}>
            <button ref={button} type="button" aria-haspopup="true" aria-expanded={open.to_string()} aria-label={props.label.clone()}
                title={props.label.clone()} onclick={set(!*open)} class={props.class.clone()}>{ props.button.clone() }</button>
            if *open {
                <button type="button" tabindex="-1" aria-hidden="true" class="fixed inset-0 z-30 cursor-default!" onclick={set(false)} />
                <div ref={panel} onclick={within} class={classes!("absolute", "z-40", "mt-2", "rounded-lg", "border", "border-line", "bg-raised", "p-1.5", "shadow-lg", props.panel.clone())}>
                    { props.children.clone() }
                </div>
            }
        </div>
    }
}

/// What takes the keyboard in a panel, in order.
fn items(panel: &NodeRef) -> Vec<HtmlElement> {
    let Some(panel) = panel.cast::<web_sys::Element>() else { return Vec::new() };
    let Ok(found) = panel.query_selector_all("a, button:not([disabled]), input") else { return Vec::new() };
    (0..found.length())
        .filter_map(|index| found.item(index)?.dyn_into::<HtmlElement>().ok())
        // What this screen does not show.
        .filter(|item| item.offset_parent().is_some())
        .collect()
}

/// Gives the keyboard to the next item or the one before, round and round.
fn go(items: &[HtmlElement], down: bool) {
    let active = web_sys::window().and_then(|window| window.document()).and_then(|document| document.active_element());
    let here = items.iter().position(|item| active.as_ref().is_some_and(|active| active.is_same_node(Some(item))));
    let next = match (here, down) {
        (None, _) => 0,
        (Some(here), true) => (here + 1) % items.len(),
        (Some(here), false) => (here + items.len() - 1) % items.len(),
    };
    if let Some(item) = items.get(next) {
        let _ = item.focus();
    }
}
