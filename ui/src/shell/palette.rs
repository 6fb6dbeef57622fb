//! The command palette: every page, the actions, and what can be found by name, from the keyboard.

use crate::{
    FLEET,
    api::{self, Done, List, escape},
    components::{Icon, status::sentence, use_toast},
    data::{Resource, use_resource, use_settled},
    format,
    places::{places, trail},
    route::Route,
    session::use_session,
    theme::Theme,
};
use gloo_net::http::Method;
use sent_contract::{
    capital::{Account, Entry},
    fleet::{BoxRow, FleetEntry, Organization},
    pulse::Host,
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
    /// Opens the sheet of keys.
    pub open_help: Callback<()>,
}

#[derive(Clone, PartialEq)]
enum Deed {
    /// A page, with one filter of its address if the value is not empty.
    Go(Route, &'static str, String),
    SyncNow,
    Theme,
    Help,
    SignOut,
}

#[derive(Clone, PartialEq)]
struct Item {
    group: &'static str,
    icon: &'static str,
    name: String,
    note: String,
    deed: Deed,
}

fn item(group: &'static str, icon: &'static str, name: impl Into<String>, note: impl Into<String>, deed: Deed) -> Item {
    Item { group, icon, name: name.into(), note: note.into(), deed }
}

fn go(route: Route) -> Deed {
    Deed::Go(route, "", String::new())
}

/// Whether every word that was typed is somewhere in the text.
fn matches(text: &str, wanted: &str) -> bool {
    let text = text.to_lowercase();
    wanted.split_whitespace().all(|word| text.contains(word))
}

/// The palette.
#[component]
pub fn Palette(props: &PaletteProps) -> Html {
    let session = use_session();
    let toast = use_toast();
    let navigator = use_navigator();
    let node = use_node_ref();
    let input = use_node_ref();
    let text = use_state(String::new);
    let at = use_state_eq(|| 0_usize);
    {
        let (node, input) = (node.clone(), input.clone());
        use_effect_with((), move |()| {
            let dialog = node.cast::<HtmlDialogElement>();
            if let Some(dialog) = &dialog {
                let _ = dialog.show_modal();
            }
            if let Some(input) = input.cast::<HtmlInputElement>() {
                let _ = input.focus();
            }
            // Closing gives the keyboard back to what had it.
            move || {
                if let Some(dialog) = dialog {
                    dialog.close();
                }
            }
        });
    }
    let asked = use_settled(text.trim().to_owned(), 120);
    let ask = |on: bool, path: String| (on && asked.chars().count() >= 2).then_some(path);
    let boxes = use_resource::<List<BoxRow>>(ask(FLEET, format!("/api/fleet/boxes?q={}&limit=6", escape(&asked))), &[]);
    let posted =
        use_resource::<List<FleetEntry>>(ask(FLEET, format!("/api/fleet/entries?q={}&limit=5", escape(&asked))), &[]);
    let customers = use_resource::<List<Organization>>(FLEET.then(|| "/api/fleet/organizations".to_owned()), &[]);
    let entries =
        use_resource::<List<Entry>>(ask(!FLEET, format!("/api/capital/entries?q={}&limit=5", escape(&asked))), &[]);
    let may = |right: &str, path: &str| (!FLEET && session.may(right)).then(|| path.to_owned());
    let accounts = use_resource::<List<Account>>(may("capital.account.read", "/api/capital/accounts"), &[]);
    let hosts = use_resource::<List<Host>>(may("pulse.read", "/api/pulse/hosts"), &[]);

    let wanted = text.trim().to_lowercase();
    let mut items: Vec<Item> = fixed(FLEET).into_iter().filter(|item| matches(&item.name, &wanted)).collect();
    if wanted.chars().count() >= 2 {
        items.extend(found(&boxes, 6, |row| {
            let name = format!("{} {}", row.name, row.organization.name);
            let note = format!("{} · {}", row.organization.name, sentence(&row.status.cause));
            let deed = go(Route::Machine { id: row.id.to_string() });
            matches(&format!("{name} {}", row.branch.name), &wanted)
                .then(|| item("Boxes", "box", &row.name, note, deed))
        }));
        items.extend(found(&customers, 4, |row| {
            let deed = Deed::Go(Route::Boxes, "organization", row.id.to_string());
            let note = format::counted(row.boxes.total, "box", "boxes");
            matches(&row.name, &wanted).then(|| item("Customers", "customers", &row.name, note, deed))
        }));
        items.extend(found(&accounts, 6, |account| {
            let deed = Deed::Go(Route::Journal, "account", account.name.clone());
            let note = account.code.clone().unwrap_or_default();
            let text = format!("{} {note}", account.name);
            matches(&text, &wanted).then(|| item("Accounts", "accounts", &account.name, note, deed))
        }));
        items.extend(found(&entries, 5, |entry| {
            let deed = go(Route::Entry { id: entry.id.to_string() });
            let note = format!("{} · {}", entry.number, format::plain_date(&entry.date));
            Some(item("Entries", "journal", &entry.description, note, deed))
        }));
        items.extend(found(&posted, 5, |entry| {
            let deed = Deed::Go(Route::Entries, "q", entry.number.clone());
            let note = format!("{} · {}", entry.number, entry.box_ref.name);
            Some(item("Entries", "journal", &entry.description, note, deed))
        }));
        items.extend(found(&hosts, 4, |host| {
            let deed = Deed::Go(Route::Charts, "host", host.name.clone());
            let note = sentence(&host.status.cause);
            matches(&host.name, &wanted).then(|| item("Hosts", "pulse", &host.name, note, deed))
        }));
    }
    let here = (*at).min(items.len().saturating_sub(1));

    let act = {
        let (on_close, open_help) = (props.on_close.clone(), props.open_help.clone());
        let sign_out = session.sign_out.clone();
        Callback::from(move |deed: Deed| {
            on_close.emit(());
            match deed {
                Deed::Go(route, name, value) => {
                    if let Some(navigator) = &navigator {
                        if value.is_empty() {
                            navigator.push(&route);
                        } else {
                            // A pair of texts always serialises.
                            let _ = navigator.push_with_query(&route, &[(name, value)]);
                        }
                    }
                }
                Deed::Help => open_help.emit(()),
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
                    aria-activedescendant={format!("palette-{here}")} placeholder={if FLEET { "A page, an action, a box, a customer, an entry…" } else { "A page, an action, an account, an entry…" }}
                    autocomplete="off" spellcheck="false" class="h-11 w-full bg-transparent text-[14px] text-ink outline-none" />
            </div>
            <ul id="palette-list" role="listbox" class="max-h-[min(24rem,60dvh)] overflow-auto p-1.5">
                for (i, item) in items.iter().enumerate() {
                    if i == 0 || items[i - 1].group != item.group {
                        <li key={item.group} role="presentation" class="px-2 pt-2 pb-1 text-xs font-semibold text-ink-3 first:pt-0.5">{ item.group }</li>
                    }
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
    let mut items: Vec<Item> = places(fleet)
        .map(|place| {
            item("Pages", place.icon, place.name, format!("G {}", place.key.to_uppercase()), go(place.route.clone()))
        })
        .collect();
    let page = |icon, route| item("Pages", icon, trail(&route, fleet).title, "", go(route));
    let deed = |icon, name, deed| item("Actions", icon, name, "", deed);
    if !fleet {
        items.push(page("pulse", Route::Charts));
        items.push(page("pulse", Route::Checks));
        items.push(page("bell", Route::Rules));
        items.push(page("quarantine", Route::Quarantine));
    }
    items.push(page("key", Route::Account));
    if !fleet {
        items.push(deed("plus", "New journal entry", go(Route::NewEntry)));
        items.push(deed("journal", "Import entries from CSV", go(Route::Import)));
        items.push(deed("sync", "Sync now", Deed::SyncNow));
    }
    items.push(deed("sun", "Change theme", Deed::Theme));
    items.push(deed("keyboard", "Keyboard shortcuts", Deed::Help));
    items.push(deed("out", "Sign out", Deed::SignOut));
    items
}

/// The first few rows of an answer that make an item.
fn found<T>(list: &Resource<List<T>>, most: usize, make: impl Fn(&T) -> Option<Item>) -> Vec<Item> {
    let rows = list.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
    rows.iter().filter_map(make).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn words_are_found_in_any_order() {
        assert!(matches("Assets:Bank:Checking 1200", "check bank"));
        assert!(matches("anything", ""));
        assert!(!matches("Journal", "journal entry"));
    }
}
