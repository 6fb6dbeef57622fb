//! Saved views: the filters of a page under a name. They are the query string of the address and nothing more, so a view
//! can also be sent to somebody as a link; the names are kept by this browser, page by page.

use super::{Button, Icon, Input, Kind, Menu};
use crate::route::Route;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use yew::prelude::*;
use yew_router::prelude::*;

const KEPT: &str = "views";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct View {
    name: String,
    query: BTreeMap<String, String>,
}

type Kept = BTreeMap<String, Vec<View>>;

fn storage() -> Option<web_sys::Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}

fn read() -> Kept {
    let text = storage().and_then(|storage| storage.get_item(KEPT).ok().flatten()).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn write(kept: &Kept) {
    if let (Some(storage), Ok(text)) = (storage(), serde_json::to_string(kept)) {
        // Where storage is full or refused, the view lives as long as the page.
        let _ = storage.set_item(KEPT, &text);
    }
}

/// Adds a view, or gives the one of that name another meaning.
fn put(views: &mut Vec<View>, view: View) {
    match views.iter_mut().find(|known| known.name == view.name) {
        Some(known) => *known = view,
        None => views.push(view),
    }
    views.sort_by_key(|view| view.name.to_lowercase());
}

/// The page's saved views, and the field that saves another.
#[component]
pub fn Views() -> Html {
    let navigator = use_navigator();
    let location = use_location();
    let route = use_route::<Route>().unwrap_or(Route::Missing);
    let path = location.as_ref().map(|location| location.path().to_owned()).unwrap_or_default();
    let query: BTreeMap<String, String> =
        location.and_then(|location| location.query::<BTreeMap<String, String>>().ok()).unwrap_or_default();
    let kept = use_state(read);
    let name = use_state(String::new);
    let views = kept.get(&path).cloned().unwrap_or_default();
    let current = views.iter().find(|view| view.query == query).map(|view| view.name.clone());

    let change = {
        let (kept, path) = (kept.clone(), path);
        move |edit: &dyn Fn(&mut Vec<View>)| {
            // Another window may have saved one meanwhile.
            let mut next = read();
            edit(next.entry(path.clone()).or_default());
            next.retain(|_, views| !views.is_empty());
            write(&next);
            kept.set(next);
        }
    };
    let save = {
        let (change, name, query) = (change.clone(), name.clone(), query.clone());
        Callback::from(move |event: SubmitEvent| {
            event.prevent_default();
            let view = View { name: name.trim().to_owned(), query: query.clone() };
            if !view.name.is_empty() {
                change(&|views| put(views, view.clone()));
                name.set(String::new());
            }
        })
    };
    let on_name = {
        let name = name.clone();
        Callback::from(move |text| name.set(text))
    };
    let rows = views.iter().map(|view| {
        let go = {
            let (navigator, route, query) = (navigator.clone(), route.clone(), view.query.clone());
            Callback::from(move |_: MouseEvent| {
                if let Some(navigator) = &navigator {
                    // A map of texts always serialises.
                    let _ = navigator.push_with_query(&route, &query);
                }
            })
        };
        let remove = {
            let (change, name) = (change.clone(), view.name.clone());
            Callback::from(move |_: MouseEvent| change(&|views| views.retain(|view| view.name != name)))
        };
        let on = current.as_ref() == Some(&view.name);
        html! {
            <li key={view.name.clone()} class="flex items-center gap-1">
                <button type="button" data-closes="true" onclick={go} aria-current={on.then_some("true")}
                    class={classes!("min-w-0", "flex-1", "truncate", "rounded-sm", "px-2", "py-1.5", "text-left", "hover:bg-line-2", on.then_some("font-medium text-accent"))}>{ &view.name }</button>
                <Button kind={Kind::Ghost} class="px-1.5" label={format!("Forget {}", view.name)} onclick={remove}><Icon name="close" class="size-3" /></Button>
            </li>
        }
    });
    let filtered = !query.is_empty();
    let look = if current.is_some() {
        "border-transparent bg-accent-soft text-accent font-medium"
    } else {
        "border-line bg-panel text-ink-2 hover:border-ink-3"
    };
    html! {
        <Menu label="Saved views" once=true panel="max-md:fixed max-md:inset-x-3 max-md:bottom-20 md:left-0 md:w-64"
            class={classes!("inline-flex", "min-h-[27px]", "max-w-48", "items-center", "gap-1.5", "rounded-full", "border", "px-2.5", look)}
            button={html! { <><Icon name="view" class="size-3.5" /><span class={classes!("truncate", current.is_none().then_some("max-md:hidden"))}>{ current.clone().unwrap_or_else(|| "Views".to_owned()) }</span></> }}>
            if views.is_empty() {
                <p class="px-2 py-1.5 text-sm text-ink-3">{ "Set the filters as you like them, then save them here under a name." }</p>
            } else {
                <ul class="max-h-72 overflow-auto">{ for rows }</ul>
            }
            <form onsubmit={save} class="mt-1.5 flex gap-1.5 border-t border-line-2 pt-1.5">
                <Input label="Name of this view" placeholder="Name of this view" value={(*name).clone()} on={on_name} disabled={!filtered} />
                <Button submit=true disabled={!filtered || name.trim().is_empty()}>{ "Save" }</Button>
            </form>
        </Menu>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, value: &str) -> View {
        View { name: name.into(), query: BTreeMap::from([("q".into(), value.into())]) }
    }

    #[test]
    fn a_name_is_kept_once_and_in_order() {
        let mut views = Vec::new();
        for (name, value) in [("Mine", "1"), ("all", "2"), ("Mine", "3")] {
            put(&mut views, view(name, value));
        }
        assert_eq!(views, [view("all", "2"), view("Mine", "3")]);
    }
}
