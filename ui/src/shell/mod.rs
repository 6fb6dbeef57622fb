//! What stands around every page: the rail (a bottom bar on a phone), the bar, the palette, and the page's keys.

mod bar;
mod help;
mod palette;
mod rail;

use crate::{
    FLEET,
    components::{use_flag, use_toast},
    live::{self, News},
    places::{places, trail},
    route::Route,
    session::use_session,
};
use gloo_events::{EventListener, EventListenerOptions, EventListenerPhase};
use std::rc::Rc;
use wasm_bindgen::{JsCast, UnwrapThrowExt};
use web_sys::HtmlElement;
use yew::prelude::*;
use yew_router::prelude::*;

/// Properties of [`Shell`].
#[derive(Properties, PartialEq)]
pub struct ShellProps {
    /// The page.
    pub children: Html,
}

/// The shell.
#[component]
pub fn Shell(props: &ShellProps) -> Html {
    let session = use_session();
    let route = use_route::<Route>().unwrap_or(Route::Missing);
    let palette = use_state_eq(|| false);
    let (help, open_help, close_help) = use_flag();
    let toggle = {
        let palette = palette.clone();
        Callback::from(move |()| palette.set(!*palette))
    };
    use_page_keys(FLEET, toggle.clone(), open_help.clone());
    {
        let title = trail(&route, FLEET).title;
        use_effect_with((title, session.me.organization.name.clone()), |(title, organization)| {
            if let Some(document) = web_sys::window().and_then(|window| window.document()) {
                document.set_title(&format!("{title} · {organization} · SENT"));
            }
        });
    }
    use_identify();
    let close = {
        let palette = palette.clone();
        Callback::from(move |()| palette.set(false))
    };
    html! {
        <div class="grid h-dvh grid-rows-[minmax(0,1fr)_auto] md:grid-cols-[228px_minmax(0,1fr)] md:grid-rows-[minmax(0,1fr)]">
            <a href="#content" class="sr-only focus:not-sr-only focus:absolute focus:z-50 focus:bg-panel focus:p-2">{ "Skip to the page" }</a>
            <rail::Rail />
            <div class="flex min-h-0 min-w-0 flex-col">
                <bar::Bar route={route.clone()} open_palette={toggle} open_help={open_help.clone()} />
                <main id="content" tabindex="-1" class="flex min-h-0 flex-1 flex-col gap-3.5 overflow-auto p-3 md:p-[18px]">
                    { props.children.clone() }
                </main>
            </div>
            <rail::BottomBar />
            if *palette {
                <palette::Palette on_close={close} {open_help} />
            }
            if help {
                <help::Help fleet={FLEET} on_close={close_help} />
            }
        </div>
    }
}

/// How long after `g` the next key still says where to go, in milliseconds of the event's own clock.
const GOING: f64 = 1_500.0;

/// Ctrl+K (or ⌘K) opens the palette, `?` the sheet of keys; `c` presses the page's "new" button, which carries
/// `data-create`; `g` and a page's key goes there.
#[hook]
fn use_page_keys(fleet: bool, palette: Callback<()>, help: Callback<()>) {
    let navigator = use_navigator();
    let going = use_mut_ref(|| None::<f64>);
    let act = move |event: &KeyboardEvent| -> bool {
        let modified = event.ctrl_key() || event.meta_key();
        if modified && event.key().eq_ignore_ascii_case("k") {
            palette.emit(());
            return true;
        }
        if modified || event.alt_key() || types(event) || find("dialog[open]").is_some() {
            return false;
        }
        let went = going.borrow_mut().take().is_some_and(|since| event.time_stamp() - since < GOING);
        let key = event.key();
        if went
            && let (Some(navigator), Some(place)) =
                (&navigator, places(fleet).find(|place| key.chars().eq(std::iter::once(place.key))))
        {
            navigator.push(&place.route);
            return true;
        }
        match key.as_str() {
            "g" => *going.borrow_mut() = Some(event.time_stamp()),
            "?" => help.emit(()),
            "c" => match find("[data-create]") {
                Some(button) => button.click(),
                None => return false,
            },
            _ => return false,
        }
        true
    };
    let latest = use_mut_ref(|| Rc::new(|_: &KeyboardEvent| false) as Rc<dyn Fn(&KeyboardEvent) -> bool>);
    *latest.borrow_mut() = Rc::new(act);
    use_effect_with((), move |()| {
        let window = web_sys::window().expect_throw("a page has a window");
        // Before the list's own keys: after `g` a `j` is a place.
        let options = EventListenerOptions { phase: EventListenerPhase::Capture, passive: false };
        let listener = EventListener::new_with_options(&window, "keydown", options, move |event| {
            let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
            let act = latest.borrow().clone();
            if act(event) {
                event.prevent_default();
                event.stop_propagation();
            }
        });
        move || drop(listener)
    });
}

fn find(selector: &str) -> Option<HtmlElement> {
    web_sys::window()?.document()?.query_selector(selector).ok()??.dyn_into().ok()
}

/// Somebody at the console asks this box to show itself.
#[hook]
fn use_identify() {
    let session = use_session();
    let toast = use_toast();
    let name =
        session.me.branch.as_ref().map_or_else(|| session.me.organization.name.clone(), |branch| branch.name.clone());
    use_effect_with(name, move |name| {
        let name = name.clone();
        let watch = (!FLEET).then(|| {
            let tell = Callback::from(move |news| {
                if let News::Published(data) = news
                    && data.get("identify").and_then(serde_json::Value::as_bool) == Some(true)
                {
                    toast.ok(format!("This is the box that the console asks for: {name}"));
                }
            });
            live::watch("home", tell)
        });
        move || drop(watch)
    });
}

fn types(event: &KeyboardEvent) -> bool {
    event
        .target()
        .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
        .and_then(|element| element.closest("input:not([type=checkbox]), textarea, select").ok().flatten())
        .is_some()
}
