//! A panel that hangs below its button: Esc or a press beside it closes it and gives the keyboard back to the button.

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
    let button = use_node_ref();
    let set = |value: bool| {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(value))
    };
    let on_key = {
        let (open, button) = (open.clone(), button.clone());
        Callback::from(move |event: KeyboardEvent| {
            if event.key() == "Escape" && *open {
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
    html! {
        <div class="relative shrink-0" onkeydown={on_key}>
            <button ref={button} type="button" aria-haspopup="true" aria-expanded={open.to_string()} aria-label={props.label.clone()}
                title={props.label.clone()} onclick={set(!*open)} class={props.class.clone()}>{ props.button.clone() }</button>
            if *open {
                <button type="button" tabindex="-1" aria-hidden="true" class="fixed inset-0 z-30 cursor-default!" onclick={set(false)} />
                <div onclick={within} class={classes!("absolute", "z-40", "mt-2", "rounded-lg", "border", "border-line", "bg-raised", "p-1.5", "shadow-lg", props.panel.clone())}>
                    { props.children.clone() }
                </div>
            }
        </div>
    }
}
