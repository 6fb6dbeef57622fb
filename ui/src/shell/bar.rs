//! The bar on top: where I am, the palette, the one badge that says how the box or the fleet does, and me.

use crate::{
    FLEET,
    api::Failure,
    components::{Ago, Dot, Icon, Menu, Tone},
    data::use_resource,
    format,
    places::trail,
    route::Route,
    session::use_session,
    theme::Theme,
};
use sent_contract::{Level, fleet::BoxCounts, sync::SyncStatus};
use yew::prelude::*;
use yew_router::prelude::*;

/// Properties of [`Bar`].
#[derive(Properties, PartialEq)]
pub struct BarProps {
    /// Where I am.
    pub route: Route,
    /// Opens the palette.
    pub open_palette: Callback<()>,
    /// Opens the sheet of keys.
    pub open_help: Callback<()>,
}

/// The bar.
#[component]
pub fn Bar(props: &BarProps) -> Html {
    let trail = trail(&props.route, FLEET);
    let slash = html! { <span class="hidden font-normal text-ink-3 md:inline">{ "/" }</span> };
    html! {
        <header class="flex h-12 shrink-0 items-center gap-3 border-b border-line bg-panel px-3 md:px-[18px]">
            <h1 class="flex shrink-0 items-center gap-1.5 font-semibold">
                if !trail.group.is_empty() {
                    <span class="hidden text-ink-2 lg:inline">{ trail.group }</span><span class="hidden lg:inline">{ slash.clone() }</span>
                }
                if let Some(place) = trail.place {
                    <Link<Route> to={place.route.clone()} classes="hidden text-ink-2 hover:text-accent hover:underline md:inline">{ place.name }</Link<Route>>{ slash }
                }
                { trail.title }
            </h1>
            <button type="button" onclick={props.open_palette.reform(|_: MouseEvent| ())} aria-label="Search or do something"
                class="ml-auto flex shrink-0 items-center justify-between rounded-md border border-line bg-bg px-[9px] py-[5px] text-ink-3 hover:border-ink-3 md:w-[280px]">
                <span class="hidden md:inline">{ "Search or do…" }</span><kbd class="kbd hidden md:inline">{ "Ctrl K" }</kbd>
                <Icon name="search" class="size-4 md:hidden" />
            </button>
            if FLEET { <FleetBadge /> } else { <SyncBadge /> }
            <Me open_help={props.open_help.clone()} />
        </header>
    }
}

const BADGE: &str = "flex min-w-0 max-w-[22rem] shrink items-center gap-[7px] rounded-full border border-line px-2.5 py-1 text-sm hover:border-ink-3";

#[component]
fn SyncBadge() -> Html {
    let session = use_session();
    let sync = use_resource::<SyncStatus>(Some("/api/sync".into()), &["sync"]);
    let inner = match (&sync.data, &sync.error) {
        (_, Some(Failure::Unreachable(_))) => {
            html! { <><Dot tone={Tone::Bad} /><span class="truncate">{ "Box not reachable" }</span></> }
        }
        (_, Some(_)) => {
            html! { <><Dot tone={Tone::Warn} /><span class="truncate">{ "Sync state not known" }</span></> }
        }
        (Some(_), None) if !session.live => {
            html! { <><Dot tone={Tone::Warn} /><span class="truncate">{ "Live updates paused" }</span></> }
        }
        (Some(sync), None) => html! {
            <>
                <Dot tone={Tone::from(sync.status.level)} />
                if sync.status.level == Level::Ok && sync.enrolled {
                    <span class="truncate">{ "Synced " }<Ago at={sync.last_sync} /></span>
                } else if !sync.enrolled {
                    <span class="truncate" title={sync.status.cause.clone()}>{ "Stand-alone" }</span>
                } else if sync.waiting > 0 {
                    <span class="truncate" title={sync.status.cause.clone()}>{ format::count(sync.waiting) }{ " waiting · " }{ &sync.status.cause }</span>
                } else {
                    <span class="truncate" title={sync.status.cause.clone()}>{ crate::components::status::sentence(&sync.status.cause) }</span>
                }
            </>
        },
        (None, None) => html! { <><Dot tone={Tone::Plain} /><span class="text-ink-3">{ "Asking…" }</span></> },
    };
    html! { <Link<Route> to={Route::Sync} classes={BADGE}>{ inner }</Link<Route>> }
}

#[component]
fn FleetBadge() -> Html {
    let counts = use_resource::<BoxCounts>(Some("/api/fleet/boxes/counts".into()), &["fleet.boxes"]);
    let Some(counts) = counts.data else { return Html::default() };
    let tone = if counts.bad > 0 {
        Tone::Bad
    } else if counts.warn > 0 {
        Tone::Warn
    } else {
        Tone::Ok
    };
    html! {
        <Link<Route> to={Route::Boxes} classes={BADGE}>
            <Dot {tone} />
            <span class="truncate tabular-nums">{ format::counted(counts.total, "box", "boxes") }<span class="hidden md:inline">{ " · " }{ format::count(counts.ok) }{ " healthy" }</span></span>
        </Link<Route>>
    }
}

/// Properties of [`Me`].
#[derive(Properties, PartialEq)]
struct MeProps {
    open_help: Callback<()>,
}

#[component]
fn Me(props: &MeProps) -> Html {
    let session = use_session();
    let theme = use_state_eq(Theme::chosen);
    let change = {
        let theme = theme.clone();
        Callback::from(move |_: MouseEvent| {
            let next = theme.next();
            next.choose();
            theme.set(next);
        })
    };
    let item = "flex w-full items-center gap-2.5 rounded-sm px-2 py-1.5 text-left hover:bg-line-2";
    html! {
        <Menu label={format!("{}: account, theme, sign out", session.me.name)} once=true panel="right-0 w-60"
            class="grid size-[26px] place-items-center rounded-full bg-accent-soft text-xs font-semibold text-accent"
            button={html! { { format::initials(&session.me.name) } }}>
            <div class="border-b border-line-2 px-2 pt-1 pb-2">
                <b class="block truncate font-semibold">{ &session.me.name }</b>
                <span class="block truncate text-sm text-ink-3">{ &session.me.email }{ " · " }{ &session.me.role }</span>
            </div>
            <div class="pt-1.5"><Link<Route> to={Route::Account} classes={item}><Icon name="key" />{ "My account" }</Link<Route>></div>
            <button type="button" class={item} onclick={change}><Icon name="sun" />{ theme.label() }</button>
            <button type="button" data-closes="true" class={classes!(item, "hidden!", "md:flex!")} onclick={props.open_help.reform(|_: MouseEvent| ())}><Icon name="keyboard" />{ "Keyboard" }<kbd class="kbd ml-auto">{ "?" }</kbd></button>
            <button type="button" class={item} onclick={session.sign_out.reform(|_: MouseEvent| ())}><Icon name="out" />{ "Sign out" }</button>
        </Menu>
    }
}
