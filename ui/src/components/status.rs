//! State, said once: a shape in a state's colour, never without a word beside it.

use super::time::Since;
use sent_contract::{Level, Status};
use yew::prelude::*;

/// What a colour means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Says nothing about health.
    #[default]
    Plain,
    /// Well.
    Ok,
    /// Somebody should look.
    Warn,
    /// Does not work.
    Bad,
}

impl From<Level> for Tone {
    fn from(level: Level) -> Self {
        match level {
            Level::Ok => Tone::Ok,
            Level::Warn => Tone::Warn,
            Level::Bad => Tone::Bad,
            Level::Unknown => Tone::Plain,
        }
    }
}

/// For people and for files.
pub fn level_word(level: Level) -> &'static str {
    match level {
        Level::Ok => "healthy",
        Level::Warn => "degraded",
        Level::Bad => "critical",
        Level::Unknown => "unknown",
    }
}

/// Properties of [`Dot`].
#[derive(Properties, PartialEq)]
pub struct DotProps {
    /// State.
    pub tone: Tone,
}

/// The shape: round when well, a triangle when somebody should look, a square when broken, a ring when nothing is known.
/// Shapes differ so that colour is never the only sign.
#[component]
pub fn Dot(props: &DotProps) -> Html {
    let (class, shape) = match props.tone {
        Tone::Ok => ("fill-ok", html! { <circle cx="5" cy="5" r="4" /> }),
        Tone::Warn => ("fill-warn", html! { <path d="M5 .8l4.6 8.2H.4z" /> }),
        Tone::Bad => ("fill-bad", html! { <rect x="1" y="1" width="8" height="8" rx="1.5" /> }),
        Tone::Plain => ("fill-none stroke-ink-3", html! { <circle cx="5" cy="5" r="3.2" stroke-width="1.6" /> }),
    };
    html! { <svg viewBox="0 0 10 10" class={classes!("size-[9px]", "shrink-0", class)} aria-hidden="true">{ shape }</svg> }
}

/// Properties of [`StatusLine`].
#[derive(Properties, PartialEq)]
pub struct StatusLineProps {
    /// What to say.
    pub status: Status,
    /// Also since when.
    #[prop_or_default]
    pub since: bool,
    /// The whole cause, in as many lines as it takes; otherwise what fits into one.
    #[prop_or_default]
    pub whole: bool,
}

/// One status with its cause, and since when.
#[component]
pub fn StatusLine(props: &StatusLineProps) -> Html {
    if props.whole {
        return html! {
            <span class="inline-flex max-w-full items-baseline gap-2">
                <Dot tone={Tone::from(props.status.level)} />
                <span class="min-w-0 break-words">
                    { sentence(&props.status.cause) }
                    if props.since { <span class="whitespace-nowrap text-ink-3">{ " · " }<Since at={props.status.since} /></span> }
                </span>
            </span>
        };
    }
    html! {
        <span class="inline-flex max-w-full min-w-0 items-center gap-2">
            <Dot tone={Tone::from(props.status.level)} />
            <span class="truncate" title={props.status.cause.clone()}>{ sentence(&props.status.cause) }</span>
            if props.since {
                <span class="shrink-0 text-ink-3">{ "· " }<Since at={props.status.since} /></span>
            }
        </span>
    }
}

/// A cause with its first letter raised.
pub fn sentence(cause: &str) -> String {
    let mut letters = cause.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Properties of [`Tag`].
#[derive(Properties, PartialEq)]
pub struct TagProps {
    /// State, if it means one.
    #[prop_or_default]
    pub tone: Tone,
    /// Word.
    pub children: Html,
}

/// A word in a soft frame.
#[component]
pub fn Tag(props: &TagProps) -> Html {
    let look = match props.tone {
        Tone::Plain => "bg-line-2 text-ink-2",
        Tone::Ok => "bg-ok-soft text-ok-ink",
        Tone::Warn => "bg-warn-soft text-warn-ink",
        Tone::Bad => "bg-bad-soft text-bad-ink",
    };
    html! { <span class={classes!("inline-block", "rounded-[5px]", "px-[7px]", "text-sm", "font-medium", look)}>{ props.children.clone() }</span> }
}

/// Properties of [`Chip`].
#[derive(Properties, PartialEq)]
pub struct ChipProps {
    /// Chosen.
    #[prop_or_default]
    pub on: bool,
    /// How many there are.
    #[prop_or_default]
    pub count: Option<u64>,
    /// Pressed.
    pub onclick: Callback<MouseEvent>,
    /// Word.
    pub children: Html,
}

/// A filter that is on or off.
#[component]
pub fn Chip(props: &ChipProps) -> Html {
    let look = if props.on {
        "border-transparent bg-accent-soft text-accent font-medium"
    } else {
        "border-line bg-panel text-ink-2 hover:border-ink-3"
    };
    html! {
        <button type="button" aria-pressed={if props.on { "true" } else { "false" }} onclick={props.onclick.clone()}
            class={classes!("inline-flex", "min-h-[27px]", "items-center", "gap-1.5", "rounded-full", "border", "px-2.5", "whitespace-nowrap", look)}>
            { props.children.clone() }
            if let Some(count) = props.count {
                <span class="tabular-nums">{ crate::format::count(count) }</span>
            }
        </button>
    }
}
