//! The rail at the left, and the bottom bar that takes its place on a phone: four places and the whole list behind "More".

use crate::{
    FLEET,
    components::{Dialog, Icon},
    data::use_resource,
    places::{groups, places},
    route::Route,
    session::use_session,
};
use sent_contract::{fleet::BoxCounts, fleet::Quarantined, pulse::Alert, radar::CaseCounts};
use yew::prelude::*;
use yew_router::prelude::*;

const BOX_FIRST: [Route; 4] = [Route::Home, Route::Journal, Route::Hosts, Route::Alerts];
const FLEET_FIRST: [Route; 4] = [Route::Boxes, Route::Customers, Route::Alerts, Route::Quarantine];

#[component]
fn Places() -> Html {
    let here = use_route::<Route>().unwrap_or(Route::Missing).place(FLEET);
    html! {
        for (title, places) in groups(FLEET).iter() {
            <div class="flex flex-col gap-0.5">
                if !title.is_empty() {
                    <h6 class="mx-2 mt-3 mb-1 text-xs font-semibold tracking-[0.02em] text-ink-3">{ *title }</h6>
                }
                for place in places.iter() {
                    <Link<Route> to={place.route.clone()} classes={classes!("flex", "items-center", "gap-[9px]", "rounded-sm", "px-2", "py-[5px]",
                        "font-medium", if place.route == here { "bg-accent-soft text-accent" } else { "text-ink-2 hover:bg-line-2" })}>
                        <Icon name={place.icon} />
                        { place.name }
                        <Count route={place.route.clone()} />
                    </Link<Route>>
                }
            </div>
        }
    }
}

#[derive(Properties, PartialEq)]
struct CountProps {
    route: Route,
}

/// What waits for a person there.
#[component]
fn Count(props: &CountProps) -> Html {
    match (&props.route, FLEET) {
        (Route::Alerts, false) => html! { <OpenAlerts /> },
        (Route::Security, false) => html! { <OpenCases /> },
        (Route::Boxes, true) => html! { <UnwellBoxes /> },
        (Route::Quarantine, true) => html! { <OpenQuarantine /> },
        _ => Html::default(),
    }
}

fn number(count: usize, what: &'static str) -> Html {
    if count == 0 {
        return Html::default();
    }
    html! { <span class="ml-auto text-xs tabular-nums text-ink-3" title={format!("{count} {what}")}>{ count }</span> }
}

#[component]
fn OpenAlerts() -> Html {
    let alerts =
        use_resource::<crate::api::List<Alert>>(Some("/api/pulse/alerts?state=open".into()), &["pulse.alerts"]);
    number(alerts.data.map_or(0, |alerts| alerts.items.len()), "open alerts")
}

#[component]
fn OpenCases() -> Html {
    let path = use_session().may("radar.read").then(|| "/api/radar/cases/counts".to_owned());
    let counts = use_resource::<CaseCounts>(path, &["table:radar_cases"]);
    let open = counts.data.map_or(0, |counts| counts.severities.iter().map(|(_, cases)| *cases).sum::<u64>());
    number(open as usize, "cases are not closed")
}

#[component]
fn UnwellBoxes() -> Html {
    let counts = use_resource::<BoxCounts>(Some("/api/fleet/boxes/counts".into()), &["fleet.boxes"]);
    number(counts.data.map_or(0, |counts| (counts.warn + counts.bad) as usize), "boxes need attention")
}

#[component]
fn OpenQuarantine() -> Html {
    let rows = use_resource::<crate::api::List<Quarantined>>(
        Some("/api/fleet/quarantine?state=open".into()),
        &["fleet.quarantine"],
    );
    number(rows.data.map_or(0, |rows| rows.items.len()), "transactions in quarantine")
}

/// The rail.
#[component]
pub fn Rail() -> Html {
    let session = use_session();
    let (above, below) = if FLEET {
        ("All customers".to_owned(), session.me.organization.name.clone())
    } else {
        let branch = session.me.branch.as_ref().map_or_else(|| "All branches".to_owned(), |branch| branch.name.clone());
        (branch, session.me.organization.name.clone())
    };
    html! {
        <nav aria-label="Main" class="hidden min-h-0 flex-col gap-0.5 overflow-y-auto border-r border-line bg-panel px-2.5 py-3 md:flex">
            <div class="flex items-center gap-[9px] px-2 pt-1 pb-3 text-[14px] font-[650] tracking-[0.02em]">
                <span class="size-5 rounded-sm bg-linear-135 from-c1 to-c2" />
                { if FLEET { "SENT fleet" } else { "SENT" } }
            </div>
            <div class="mx-0.5 mb-2.5 rounded-md border border-line bg-bg px-[9px] py-[7px]">
                <b class="block truncate font-semibold">{ above }</b>
                <span class="block truncate text-sm text-ink-3">{ below }</span>
            </div>
            <Places />
        </nav>
    }
}

/// The rail of a phone.
#[component]
pub fn BottomBar() -> Html {
    let open = use_state_eq(|| false);
    let route = use_route::<Route>().unwrap_or(Route::Missing);
    {
        // Going somewhere closes the list.
        let open = open.setter();
        use_effect_with(route.clone(), move |_| open.set(false));
    }
    let here = route.place(FLEET);
    let first: &[Route] = if FLEET { &FLEET_FIRST } else { &BOX_FIRST };
    let look = |on: bool| {
        classes!(
            "flex",
            "min-h-12",
            "flex-1",
            "flex-col",
            "items-center",
            "justify-center",
            "gap-0.5",
            "text-xs",
            "font-medium",
            if on { "text-accent" } else { "text-ink-2" }
        )
    };
    let show = {
        let open = open.clone();
        Callback::from(move |_: MouseEvent| open.set(true))
    };
    let close = {
        let open = open.clone();
        Callback::from(move |()| open.set(false))
    };
    html! {
        <nav aria-label="Main" class="bottom flex border-t border-line bg-panel md:hidden">
            for place in places(FLEET).filter(|place| first.contains(&place.route)) {
                <Link<Route> classes={look(place.route == here)} to={place.route.clone()}><Icon name={place.icon} class="size-5" />{ place.name }</Link<Route>>
            }
            <button type="button" class={look(!first.contains(&here))} onclick={show}><Icon name="more" class="size-5" />{ "More" }</button>
            if *open {
                <Dialog title="All pages" on_close={close}><div class="text-[15px]"><Places /></div></Dialog>
            }
        </nav>
    }
}
