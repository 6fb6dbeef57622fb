//! What every page with a list does alike: rows out of an answer, the row that is open, the search that follows the
//! address, the chips of a state, and the four states of the list itself.

use super::{Button, Card, Chip, Kind, Problem, Skeleton, state};
use crate::{
    api::List,
    data::{Pages, Query, Resource, use_settled},
};
use std::rc::Rc;
use yew::prelude::*;

/// How the address is changed.
pub type Set = Callback<Vec<(&'static str, String)>>;

/// The rows of an answer that match; made anew only when the answer or `by` changes.
#[hook]
pub fn use_rows<T, D>(list: &Resource<List<T>>, by: D, matches: impl Fn(&T, &D) -> bool) -> Rc<Vec<T>>
where
    T: Clone + 'static,
    D: PartialEq + 'static,
{
    use_memo((list.data.as_ref().map(|list| Rc::as_ptr(list) as usize), by), |(_, by)| {
        let rows = list.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
        rows.iter().filter(|row| matches(row, by)).cloned().collect()
    })
}

/// The row that is open in a dialog.
pub struct Opened<T: 'static> {
    /// The row.
    pub row: Option<Rc<T>>,
    /// Opens one.
    pub open: Callback<T>,
    /// Closes it.
    pub close: Callback<()>,
}

/// Which row is open.
#[hook]
pub fn use_opened<T: 'static>() -> Opened<T> {
    let row = use_state(|| None::<Rc<T>>);
    let open = {
        let row = row.setter();
        use_callback((), move |opened: T, ()| row.set(Some(Rc::new(opened))))
    };
    let close = {
        let row = row.setter();
        Callback::from(move |()| row.set(None))
    };
    Opened { row: (*row).clone(), open, close }
}

/// Whether something is shown, and how to show and hide it.
#[hook]
pub fn use_flag() -> (bool, Callback<()>, Callback<()>) {
    let on = use_state_eq(|| false);
    let (show, hide) = (on.setter(), on.setter());
    (*on, Callback::from(move |()| show.set(true)), Callback::from(move |()| hide.set(false)))
}

/// What is typed into a search that stands in the address as `name`: the address follows once typing pauses, and what is
/// typed follows the address when it is changed by something else (a saved view, "Clear", going back).
#[hook]
pub fn use_search(query: &Query, set: &Set, name: &'static str) -> (String, Callback<String>) {
    let there = query.get(name).to_owned();
    let typed = use_state(|| there.clone());
    let told = use_mut_ref(|| there.clone());
    let settled = use_settled((*typed).clone(), 180);
    {
        let (set, told) = (set.clone(), told.clone());
        use_effect_with(settled, move |settled| {
            if *told.borrow() != *settled {
                told.borrow_mut().clone_from(settled);
                set.emit(vec![(name, settled.clone())]);
            }
        });
    }
    {
        let typed = typed.clone();
        use_effect_with(there, move |there| {
            if *told.borrow() != *there {
                told.borrow_mut().clone_from(there);
                typed.set(there.clone());
            }
        });
    }
    let on = {
        let typed = typed.clone();
        Callback::from(move |text| typed.set(text))
    };
    ((*typed).clone(), on)
}

/// The `state` of the address: its value, `first` where it has none, and what the route is asked for (nothing for `all`).
pub fn state_of(query: &Query, first: &str) -> (String, String) {
    let state = match query.get("state") {
        "" => first.to_owned(),
        state => state.to_owned(),
    };
    let asked = if state == "all" { String::new() } else { state.clone() };
    (state, asked)
}

/// Properties of [`StateChips`].
#[derive(Properties, PartialEq)]
pub struct StateChipsProps {
    /// The state that is shown.
    pub state: AttrValue,
    /// Value and label of each; the first is what an address without a state means.
    pub options: Vec<(&'static str, &'static str)>,
    /// Changes the address.
    pub set: Set,
}

/// One of a few states, in the address.
#[component]
pub fn StateChips(props: &StateChipsProps) -> Html {
    html! {
        <span role="group" aria-label="State" class="inline-flex flex-wrap gap-1.5">
            for (i, (value, label)) in props.options.iter().copied().enumerate() {
                <Chip on={props.state == value} onclick={props.set.reform(move |_: MouseEvent| vec![("state", if i == 0 { String::new() } else { value.to_owned() })])}>{ label }</Chip>
            }
        </span>
    }
}

/// Properties of [`NewButton`].
#[derive(Properties, PartialEq)]
pub struct NewButtonProps {
    /// What it makes: `New entry`.
    pub label: AttrValue,
    /// Pressed, or `c`.
    pub onclick: Callback<()>,
}

/// The page's one primary action, which `c` presses.
#[component]
pub fn NewButton(props: &NewButtonProps) -> Html {
    html! {
        <span data-create="true" onclick={props.onclick.reform(|_: MouseEvent| ())}>
            <Button kind={Kind::Primary} class="p">{ &props.label }<kbd class="kbd ml-1 hidden md:inline">{ "C" }</kbd></Button>
        </span>
    }
}

/// Draws a list that comes in one answer; the states that are not "full" stand in a card.
pub fn listed<T>(resource: &Resource<T>, rows: usize, draw: impl FnOnce(&Rc<T>) -> Html) -> Html {
    if resource.data.is_some() {
        return state::loaded(resource, rows, draw);
    }
    html! { <Card pad=false>{ state::loaded(resource, rows, draw) }</Card> }
}

/// Draws a list that comes page by page.
pub fn paged<T>(pages: &Pages<T>, draw: impl FnOnce(Rc<Vec<T>>) -> Html) -> Html {
    match (pages.rows.clone(), pages.error.clone()) {
        (Some(rows), None) => draw(rows),
        (Some(rows), Some(error)) => html! { <>{ state::stale(&error, &pages.reload) }{ draw(rows) }</> },
        (None, Some(error)) => {
            html! { <Card pad=false><Problem {error} retry={pages.reload.clone()} /></Card> }
        }
        (None, None) => html! { <Card pad=false><Skeleton rows={12} /></Card> },
    }
}
