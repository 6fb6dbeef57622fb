//! The sheet of keys: what the keyboard does on every page, and where `g` goes.

use crate::{components::Dialog, places::places};
use yew::prelude::*;

/// Properties of [`Help`].
#[derive(Properties, PartialEq)]
pub struct HelpProps {
    /// Whose pages.
    pub fleet: bool,
    /// Closed.
    pub on_close: Callback<()>,
}

const EVERYWHERE: [(&[&str], &str); 5] = [
    (&["Ctrl", "K"], "Find a page, an action, anything by name"),
    (&["C"], "Make something new on this page"),
    (&["Tab"], "Go to the next field, button or list"),
    (&["Esc"], "Close what is open, leave what is chosen"),
    (&["?"], "This sheet"),
];

const LISTS: [(&[&str], &str); 8] = [
    (&["/"], "Search in the list"),
    (&["↓", "↑"], "Next and previous row; J and K do the same"),
    (&["PgDn", "PgUp"], "A screenful further"),
    (&["Home", "End"], "First and last row"),
    (&["Enter"], "Open the row"),
    (&["X"], "Choose the row, where rows can be chosen"),
    (&["Ctrl", "Enter"], "Post, in a new journal entry"),
    (&["+", "−", "0"], "Zoom a chart in, out, back; the arrows move it"),
];

fn group(title: &'static str, rows: Vec<(Vec<String>, String)>) -> Html {
    html! {
        <section>
            <h3 class="mb-1.5 font-semibold">{ title }</h3>
            <dl class="grid grid-cols-[6.5rem_1fr] items-center gap-x-3 gap-y-1.5">
                for (keys, what) in rows {
                    <dt class="flex gap-1">for key in keys { <kbd class="kbd">{ key }</kbd> }</dt>
                    <dd class="text-ink-2">{ what }</dd>
                }
            </dl>
        </section>
    }
}

/// The sheet.
#[component]
pub fn Help(props: &HelpProps) -> Html {
    let fixed = |rows: &[(&[&str], &str)]| {
        rows.iter()
            .map(|(keys, what)| (keys.iter().map(|key| (*key).to_owned()).collect(), (*what).to_owned()))
            .collect::<Vec<_>>()
    };
    let going = places(props.fleet)
        .map(|place| (vec!["G".to_owned(), place.key.to_uppercase().to_string()], place.name.to_owned()))
        .collect();
    html! {
        <Dialog title="Keyboard" wide=true on_close={props.on_close.clone()}>
            <div class="grid gap-6 md:grid-cols-2">
                <div class="flex flex-col gap-6">{ group("Everywhere", fixed(&EVERYWHERE)) }{ group("In lists and forms", fixed(&LISTS)) }</div>
                { group("Go to", going) }
            </div>
        </Dialog>
    }
}
