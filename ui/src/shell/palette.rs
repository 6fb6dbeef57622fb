//! The command palette: every page, the actions, and what can be found by name, from the keyboard.

use super::rail::places;
use crate::{
    api::{self, Done, List, escape},
    components::{Icon, use_toast},
    data::{use_resource, use_settled},
    route::Route,
    session::use_session,
    theme::Theme,
};
use gloo_net::http::Method;
use sent_contract::{
    capital::{Account, Entry},
    fleet::BoxRow,
};
use wasm_bindgen::JsCast;
use web_sys::{HtmlDialogElement, HtmlInputElement};
use yew::prelude::*;
use yew_router::prelude::*;

/// Properties of [`Palette`].
#[derive(Properties, PartialEq)]
pub struct PaletteProps {
    /// Done, or thought better of it.
    pub on_close: Callback<()>,
}

#[derive(Clone, PartialEq)]
enum Deed {
    Go(Route, String),
    SyncNow,
    Theme,
    SignOut,
}

#[derive(Clone, PartialEq)]
struct Item {
    icon: &'static str,
    name: String,
    note: String,
    deed: Deed,
}

fn item(icon: &'static str, name: impl Into<String>, note: impl Into<String>, deed: Deed) -> Item {
    Item { icon, name: name.into(), note: note.into(), deed }
}

/// The palette.
#[component]
pub fn Palette(props: &PaletteProps) -> Html {
    let session = use_session();
    let fleet = session.fleet();
    let toast = use_toast();
    let navigator = use_navigator();
    let node = use_node_ref();
    let input = use_node_ref();
    let text = use_state(String::new);
    let at = use_state_eq(|| 0_usize);
    {
        let (node, input) = (node.clone(), input.clone());
        use_effect_with((), move |()| {
            if let Some(dialog) = node.cast::<HtmlDialogElement>() {
                let _ = dialog.show_modal();
            }
            if let Some(input) = input.cast::<HtmlInputElement>() {
                let _ = input.focus();
            }
        });
    }
    let asked = use_settled(text.trim().to_owned(), 120);
    let ask = |on: bool, path: String| (on && asked.chars().count() >= 2).then_some(path);
    let boxes = use_resource::<List<BoxRow>>(ask(fleet, format!("/api/fleet/boxes?q={}&limit=6", escape(&asked))), &[]);
    let entries =
        use_resource::<List<Entry>>(ask(!fleet, format!("/api/capital/entries?q={}&limit=5", escape(&asked))), &[]);
    let accounts = use_resource::<List<Account>>((!fleet).then(|| "/api/capital/accounts".to_owned()), &[]);

    let wanted = text.trim().to_lowercase();
    let mut items: Vec<Item> =
        fixed(fleet).into_iter().filter(|item| item.name.to_lowercase().contains(&wanted)).collect();
    if wanted.chars().count() >= 2 {
        if let Some(boxes) = &boxes.data {
            items.extend(boxes.items.iter().map(|row| {
                item(
                    "box",
                    &row.name,
                    format!("{} · {}", row.organization.name, row.status.cause),
                    Deed::Go(Route::Machine { id: row.id.to_string() }, String::new()),
                )
            }));
        }
        if let Some(accounts) = &accounts.data {
            let found = accounts.items.iter().filter(|account| account.name.to_lowercase().contains(&wanted));
            items.extend(found.take(6).map(|account| {
                item("accounts", &account.name, "its entries", Deed::Go(Route::Journal, account.name.clone()))
            }));
        }
        if let Some(entries) = &entries.data {
            items.extend(entries.items.iter().map(|entry| {
                item(
                    "journal",
                    format!("{} {}", entry.number, entry.description),
                    crate::format::plain_date(&entry.date),
                    Deed::Go(Route::Entry { id: entry.id.to_string() }, String::new()),
                )
            }));
        }
    }
    let here = (*at).min(items.len().saturating_sub(1));

    let act = {
        let on_close = props.on_close.clone();
        let sign_out = session.sign_out.clone();
        Callback::from(move |deed: Deed| {
            on_close.emit(());
            match deed {
                Deed::Go(route, account) => {
                    if let Some(navigator) = &navigator {
                        if account.is_empty() {
                            navigator.push(&route);
                        } else {
                            // A pair of texts always serialises.
                            let _ = navigator.push_with_query(&route, &[("account", account)]);
                        }
                    }
                }
                Deed::Theme => Theme::chosen().next().choose(),
                Deed::SignOut => sign_out.emit(()),
                Deed::SyncNow => {
                    let toast = toast.clone();
                    wasm_bindgen_futures::spawn_local(async move {
                        toast.tell(&api::act::<Done>(Method::POST, "/api/sync/now").await, "Sync started");
                    });
                }
            }
        })
    };
    let onkeydown = {
        let (at, act, items, on_close) = (at.clone(), act.clone(), items.clone(), props.on_close.clone());
        Callback::from(move |event: KeyboardEvent| {
            match event.key().as_str() {
                "ArrowDown" => at.set((here + 1).min(items.len().saturating_sub(1))),
                "ArrowUp" => at.set(here.saturating_sub(1)),
                "Enter" => {
                    if let Some(item) = items.get(here) {
                        act.emit(item.deed.clone());
                    }
                }
                "Escape" => on_close.emit(()),
                _ => return,
            }
            event.prevent_default();
        })
    };
    let oninput = {
        let (text, at) = (text.clone(), at.clone());
        Callback::from(move |event: InputEvent| {
            text.set(event.target_unchecked_into::<HtmlInputElement>().value());
            at.set(0);
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
    let cancel = {
        let on_close = props.on_close.clone();
        Callback::from(move |event: Event| {
            event.prevent_default();
            on_close.emit(());
        })
    };
    html! {
        <dialog ref={node} onmousedown={beside} oncancel={cancel} aria-label="Search or do something"
            class="mx-auto mt-[12vh] w-[min(36rem,calc(100vw-1.5rem))] max-w-none overflow-hidden rounded-lg border border-line bg-raised p-0 text-ink shadow-lg backdrop:bg-veil">
            <div class="flex items-center gap-2.5 border-b border-line-2 px-3.5 text-ink-3">
                <Icon name="search" />
                <input ref={input} {oninput} {onkeydown} value={(*text).clone()} role="combobox" aria-expanded="true" aria-controls="palette-list"
                    aria-activedescendant={format!("palette-{here}")} placeholder={if fleet { "A page, an action, a box…" } else { "A page, an action, an account, an entry…" }}
                    autocomplete="off" spellcheck="false" class="h-11 w-full bg-transparent text-[14px] text-ink outline-none" />
            </div>
            <ul id="palette-list" role="listbox" class="max-h-[min(24rem,60dvh)] overflow-auto p-1.5">
                for (i, item) in items.iter().enumerate() {
                    <li key={i} id={format!("palette-{i}")} role="option" aria-selected={(i == here).to_string()}
                        onclick={let (act, deed) = (act.clone(), item.deed.clone()); Callback::from(move |_: MouseEvent| act.emit(deed.clone()))}
                        class={classes!("flex", "cursor-pointer", "items-center", "gap-2.5", "rounded-sm", "px-2", "py-1.5", if i == here { "bg-accent-soft text-accent" } else { "hover:bg-line-2" })}>
                        <Icon name={item.icon} />
                        <span class="truncate font-medium">{ &item.name }</span>
                        <span class="ml-auto max-w-[50%] truncate text-sm text-ink-3">{ &item.note }</span>
                    </li>
                }
                if items.is_empty() {
                    <li class="px-2 py-6 text-center text-ink-3">{ "Nothing of that name." }</li>
                }
            </ul>
        </dialog>
    }
}

fn fixed(fleet: bool) -> Vec<Item> {
    let go = |route: Route| Deed::Go(route, String::new());
    let mut items: Vec<Item> = places(fleet).map(|(route, icon, name)| item(icon, name, "page", go(route))).collect();
    if !fleet {
        items.push(item("plus", "New journal entry", "action", go(Route::NewEntry)));
        items.push(item("journal", "Import entries from CSV", "action", go(Route::Import)));
        items.push(item("pulse", "Charts", "page", go(Route::Charts)));
        items.push(item("pulse", "Checks", "page", go(Route::Checks)));
        items.push(item("bell", "Alert rules", "page", go(Route::Rules)));
        items.push(item("sync", "Sync now", "action", Deed::SyncNow));
    }
    items.push(item("key", "My account", "page", go(Route::Account)));
    items.push(item("sun", "Change theme", "action", Deed::Theme));
    items.push(item("out", "Sign out", "action", Deed::SignOut));
    items
}
