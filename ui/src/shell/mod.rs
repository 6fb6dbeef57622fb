//! What stands around every page: the rail (a bottom bar on a phone), the bar, the palette, and the page's keys.

mod bar;
mod palette;
mod rail;

use crate::{
    components::use_toast,
    live::{self, News},
    route::Route,
    session::use_session,
};
use gloo_events::{EventListener, EventListenerOptions};
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
    let toggle = {
        let palette = palette.clone();
        Callback::from(move |()| palette.set(!*palette))
    };
    use_page_keys(toggle.clone());
    {
        let (_, title) = route.title(session.fleet());
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
                <bar::Bar route={route.clone()} open_palette={toggle} />
                <main id="content" tabindex="-1" class="flex min-h-0 flex-1 flex-col gap-3.5 overflow-auto p-3 md:p-[18px]">
                    { props.children.clone() }
                </main>
            </div>
            <rail::BottomBar />
            if *palette {
                <palette::Palette on_close={close} />
            }
        </div>
    }
}

/// Ctrl+K (or ⌘K) opens the palette; `c` presses the page's "new" button, which carries `data-create`.
#[hook]
fn use_page_keys(palette: Callback<()>) {
    let latest = use_mut_ref(|| palette.clone());
    *latest.borrow_mut() = palette;
    use_effect_with((), move |()| {
        let window = web_sys::window().expect_throw("a page has a window");
        let listener = EventListener::new_with_options(
            &window,
            "keydown",
            EventListenerOptions::enable_prevent_default(),
            move |event| {
                let Some(event) = event.dyn_ref::<KeyboardEvent>() else { return };
                let modified = event.ctrl_key() || event.meta_key();
                if modified && event.key().eq_ignore_ascii_case("k") {
                    event.prevent_default();
                    let palette = latest.borrow().clone();
                    palette.emit(());
                } else if !modified && !event.alt_key() && event.key() == "c" && !types(event) {
                    let find = |selector| web_sys::window()?.document()?.query_selector(selector).ok()?;
                    if find("dialog[open]").is_none()
                        && let Some(button) =
                            find("[data-create]").and_then(|element| element.dyn_into::<HtmlElement>().ok())
                    {
                        event.prevent_default();
                        button.click();
                    }
                }
            },
        );
        move || drop(listener)
    });
}

/// Somebody at the console asks this box to show itself.
#[hook]
fn use_identify() {
    let session = use_session();
    let toast = use_toast();
    let name =
        session.me.branch.as_ref().map_or_else(|| session.me.organization.name.clone(), |branch| branch.name.clone());
    use_effect_with((session.fleet(), name), move |(fleet, name)| {
        let name = name.clone();
        let watch = (!fleet).then(|| {
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
