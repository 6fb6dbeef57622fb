//! Panels: a card with a heading, a headline number, and the bar of filters and actions above a list.

use yew::prelude::*;

/// Properties of [`Card`].
#[derive(Properties, PartialEq)]
pub struct CardProps {
    /// Heading; a card without one is only a frame.
    #[prop_or_default]
    pub title: Option<AttrValue>,
    /// At the heading's right.
    #[prop_or_default]
    pub aside: Html,
    /// Room around the content.
    #[prop_or(true)]
    pub pad: bool,
    /// More classes.
    #[prop_or_default]
    pub class: Classes,
    /// Content.
    pub children: Html,
}

/// A panel.
#[component]
pub fn Card(props: &CardProps) -> Html {
    html! {
        <section class={classes!("min-w-0", "shrink-0", "overflow-hidden", "rounded-lg", "border", "border-line", "bg-panel", "shadow-sm", props.class.clone())}>
            if let Some(title) = &props.title {
                <h2 class="flex min-h-10 items-center gap-2 border-b border-line-2 px-3.5 py-1.5 font-semibold">
                    { title }
                    <span class="ml-auto flex items-center gap-2 text-sm font-normal text-ink-3">{ props.aside.clone() }</span>
                </h2>
            }
            if props.pad {
                <div class="px-3.5 py-3">{ props.children.clone() }</div>
            } else {
                { props.children.clone() }
            }
        </section>
    }
}

/// Properties of [`Kpi`].
#[derive(Properties, PartialEq)]
pub struct KpiProps {
    /// What it is.
    pub label: AttrValue,
    /// How much.
    pub value: Html,
    /// What it means.
    #[prop_or_default]
    pub note: Html,
}

/// A headline number.
#[component]
pub fn Kpi(props: &KpiProps) -> Html {
    html! {
        <Card>
            <div class="text-ink-2">{ &props.label }</div>
            <div class="my-0.5 truncate text-xl font-semibold tracking-[-0.01em] tabular-nums">{ props.value.clone() }</div>
            <div class="text-sm text-ink-3">{ props.note.clone() }</div>
        </Card>
    }
}

/// Properties of [`Toolbar`].
#[derive(Properties, PartialEq)]
pub struct ToolbarProps {
    /// Filters, at the left.
    #[prop_or_default]
    pub children: Html,
    /// Actions, at the right.
    #[prop_or_default]
    pub actions: Html,
    /// Its filters can be saved under a name.
    #[prop_or_default]
    pub views: bool,
}

/// Filters and actions above a list. On a phone the search and the actions share the first line.
#[component]
pub fn Toolbar(props: &ToolbarProps) -> Html {
    html! {
        <div class="toolbar flex shrink-0 flex-wrap items-center gap-2">
            { props.children.clone() }
            if props.views { <super::Views /> }
            <div class="actions ml-auto flex flex-wrap items-center gap-2">{ props.actions.clone() }</div>
        </div>
    }
}
