//! Times: relative, with the absolute one and its zone on hover. One clock ticks for the whole page.

use crate::format;
use gloo_timers::callback::Interval;
use sent_contract::Micros;
use yew::prelude::*;

/// The clock's step in milliseconds.
const TICK: u32 = 5_000;

#[derive(Clone, Copy, PartialEq)]
struct Now(Micros);

/// Properties of [`NowProvider`].
#[derive(Properties, PartialEq)]
pub struct NowProviderProps {
    /// Everything that shows a time.
    pub children: Html,
}

/// Gives the present to all that is below, and again at every tick.
#[component]
pub fn NowProvider(props: &NowProviderProps) -> Html {
    let now = use_state(|| Now(format::now()));
    {
        let now = now.setter();
        use_effect_with((), move |()| {
            let interval = Interval::new(TICK, move || now.set(Now(format::now())));
            move || drop(interval)
        });
    }
    html! { <ContextProvider<Now> context={*now}>{ props.children.clone() }</ContextProvider<Now>> }
}

/// The present as of the last tick.
#[hook]
pub fn use_now() -> Micros {
    use_context::<Now>().map_or_else(format::now, |now| now.0)
}

/// Properties of the three.
#[derive(Properties, PartialEq)]
pub struct TimeProps {
    /// When; nothing is shown as a dash.
    pub at: Option<Micros>,
}

/// `4 s ago`; older than two weeks the date.
#[component]
pub fn Ago(props: &TimeProps) -> Html {
    let now = use_now();
    element(props.at, |at| {
        let age = now - at;
        if age < 1_000_000 {
            "now".to_owned()
        } else if age > 14 * 86_400_000_000 {
            format::day(at)
        } else {
            format!("{} ago", format::duration(age))
        }
    })
}

/// How long already: `41 min`.
#[component]
pub fn Since(props: &TimeProps) -> Html {
    let now = use_now();
    element(props.at, |at| format::duration((now - at).max(0)))
}

/// `in 5 d`, `2 h ago` once it is over.
#[component]
pub fn Until(props: &TimeProps) -> Html {
    let now = use_now();
    element(props.at, |at| {
        let left = at - now;
        if left >= 0 { format!("in {}", format::duration(left)) } else { format!("{} ago", format::duration(left)) }
    })
}

fn element(at: Option<Micros>, text: impl FnOnce(Micros) -> String) -> Html {
    match at {
        Some(at) => html! {
            <time class="whitespace-nowrap tabular-nums" datetime={format::iso(at)} title={format::absolute(at)}>{ text(at) }</time>
        },
        None => html! { <span class="text-ink-3">{ "—" }</span> },
    }
}
