//! The states that are not "full": empty says what to do first, loading keeps the room, an error gives cause and retry.

use super::{Button, Kind};
use crate::{api::Failure, data::Resource};
use std::rc::Rc;
use yew::prelude::*;

/// Properties of [`Empty`].
#[derive(Properties, PartialEq)]
pub struct EmptyProps {
    /// What is not there.
    pub title: AttrValue,
    /// What to do first.
    #[prop_or_default]
    pub text: AttrValue,
    /// The action for it.
    #[prop_or_default]
    pub children: Html,
}

/// Nothing here yet.
#[component]
pub fn Empty(props: &EmptyProps) -> Html {
    html! {
        <div class="flex flex-col items-center gap-1 px-4 py-10 text-center">
            <p class="font-semibold">{ &props.title }</p>
            <p class="max-w-[26rem] text-ink-2">{ &props.text }</p>
            <div class="mt-2 flex gap-2">{ props.children.clone() }</div>
        </div>
    }
}

/// Properties of [`Problem`].
#[derive(Properties, PartialEq)]
pub struct ProblemProps {
    /// Why.
    pub error: Failure,
    /// Again.
    pub retry: Callback<()>,
}

/// It went wrong: cause, what to do, retry.
#[component]
pub fn Problem(props: &ProblemProps) -> Html {
    let title = match &props.error {
        Failure::Unreachable(_) => "Not reachable",
        Failure::Refused { status: 403, .. } => "Not allowed",
        Failure::Refused { status: 404, .. } => "Not found",
        _ => "That did not work",
    };
    let retry = props.retry.reform(|_: MouseEvent| ());
    html! {
        <div role="alert" class="flex flex-col items-center gap-1 px-4 py-10 text-center">
            <p class="font-semibold text-bad-ink">{ title }</p>
            <p class="max-w-[30rem] text-ink-2">{ super::status::sentence(&props.error.to_string()) }</p>
            if let Some(request) = props.error.request() {
                <p class="text-sm text-ink-3">{ "Request " }<code class="font-mono">{ request }</code></p>
            }
            <div class="mt-2"><Button onclick={retry}>{ "Try again" }</Button></div>
        </div>
    }
}

/// Properties of [`Skeleton`].
#[derive(Properties, PartialEq)]
pub struct SkeletonProps {
    /// Lines.
    #[prop_or(6)]
    pub rows: usize,
}

/// The room that the words will take.
#[component]
pub fn Skeleton(props: &SkeletonProps) -> Html {
    const WIDTHS: [&str; 5] = ["w-4/5", "w-3/5", "w-11/12", "w-2/3", "w-3/4"];
    html! {
        <div class="flex flex-col px-3.5 py-2" role="status" aria-label="Loading">
            for i in 0..props.rows {
                <div class="flex h-[33px] items-center"><div class={classes!("skeleton", "h-3", WIDTHS[i % WIDTHS.len()])} /></div>
            }
        </div>
    }
}

/// What is shown is older than it should be, and why.
pub fn stale(error: &Failure, retry: &Callback<()>) -> Html {
    html! {
        <div role="alert" class="flex shrink-0 items-center gap-3 rounded-md border border-line-2 bg-warn-soft px-3.5 py-1 text-sm text-warn-ink">
            <span class="min-w-0 flex-1">{ "Shown as of the last answer: " }{ error.to_string() }</span>
            <Button kind={Kind::Ghost} onclick={retry.reform(|_: MouseEvent| ())}>{ "Try again" }</Button>
        </div>
    }
}

/// Draws a resource: its value if there is one, else why not. A failure over an older value is a line above it.
pub fn loaded<T>(resource: &Resource<T>, rows: usize, draw: impl FnOnce(&Rc<T>) -> Html) -> Html {
    match (&resource.data, &resource.error) {
        (Some(data), None) => draw(data),
        (Some(data), Some(error)) => html! { <>{ stale(error, &resource.reload) }{ draw(data) }</> },
        (None, Some(error)) => html! { <Problem error={error.clone()} retry={resource.reload.clone()} /> },
        (None, None) => html! { <Skeleton {rows} /> },
    }
}
