//! From nobody to somebody: asks who is logged in, shows the login where nobody is, and otherwise the shell with the page
//! of the address. The live connection lives exactly as long as the session.

use crate::{
    FLEET,
    api::{self, Done, Failure},
    components::{Empty, NowProvider, Problem, ToastProvider},
    data, live, pages,
    pages::login::Login,
    route::Route,
    session::Session,
    shell::Shell,
};
use gloo_net::http::Method;
use sent_contract::identity::Me;
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

#[derive(Clone, PartialEq)]
enum State {
    Asking,
    Nobody,
    Somebody(Rc<Me>),
    Failed(Failure),
}

/// The whole program.
#[component]
pub fn App() -> Html {
    let state = use_state(|| State::Asking);
    let up = use_state_eq(|| true);
    let ask = {
        let state = state.setter();
        use_callback((), move |(), ()| {
            let state = state.clone();
            wasm_bindgen_futures::spawn_local(async move {
                state.set(match api::get::<Me>("/api/session").await {
                    Ok(me) => State::Somebody(Rc::new(me)),
                    Err(Failure::Refused { status: 401 | 403, .. }) => State::Nobody,
                    Err(failure) => State::Failed(failure),
                });
            });
        })
    };
    {
        let ask = ask.clone();
        use_effect_with((), move |()| ask.emit(()));
    }
    let signed_out = {
        let state = state.setter();
        use_callback((), move |(), ()| {
            data::forget();
            state.set(State::Nobody);
        })
    };
    let who = match &*state {
        State::Somebody(me) => Some(me.clone()),
        _ => None,
    };
    if let Some(me) = &who {
        api::signed_in(&me.csrf, signed_out.clone());
    }
    {
        let up = up.setter();
        use_effect_with(who.as_ref().map(|me| me.id), move |id| {
            let on = id.is_some();
            if on {
                live::start(Callback::from(move |is| up.set(is)));
            }
            move || {
                if on {
                    live::stop();
                }
            }
        });
    }
    let sign_out = {
        let (signed_out, state) = (signed_out.clone(), state.setter());
        Callback::from(move |()| {
            let signed_out = signed_out.clone();
            // The page goes first: news that come while the session ends must not ask for what it may no longer have.
            state.set(State::Asking);
            wasm_bindgen_futures::spawn_local(async move {
                // Whether or not the server heard it, this page forgets; the cookie alone opens nothing on it again
                // without a new answer of the server.
                let _ = api::act::<Done>(Method::DELETE, "/api/session").await;
                signed_out.emit(());
            });
        })
    };
    let entered = {
        let state = state.setter();
        Callback::from(move |me: Me| state.set(State::Somebody(Rc::new(me))))
    };
    let inner = match &*state {
        State::Asking => Html::default(),
        State::Nobody => html! { <Login {entered} /> },
        State::Failed(error) => {
            html! { <div class="grid h-dvh place-items-center"><Problem error={error.clone()} retry={ask} /></div> }
        }
        State::Somebody(me) => {
            let session = Session { me: me.clone(), live: *up, sign_out, refresh: ask };
            html! {
                <ContextProvider<Session> context={session}>
                    <Shell><Page /></Shell>
                </ContextProvider<Session>>
            }
        }
    };
    html! {
        <BrowserRouter>
            <NowProvider><ToastProvider>{ inner }</ToastProvider></NowProvider>
        </BrowserRouter>
    }
}

/// The page of the address.
#[component]
fn Page() -> Html {
    let route = use_route::<Route>().unwrap_or(Route::Missing);
    match (FLEET, route) {
        (_, Route::Audit) => html! { <pages::audit::Audit /> },
        (_, Route::Users) => html! { <pages::users::Users /> },
        (_, Route::Account) => html! { <pages::account::Account /> },
        (_, Route::Settings) => html! { <pages::settings::Settings /> },
        (_, Route::Reference) => html! { <pages::reference::Reference /> },
        (false, Route::Home) => html! { <pages::home::Home /> },
        (false, Route::Journal) => html! { <pages::journal::Journal /> },
        (false, Route::NewEntry) => html! { <pages::entry_new::NewEntry /> },
        (false, Route::Import) => html! { <pages::import::Import /> },
        (false, Route::Entry { id }) => html! { <pages::entry::Entry key={id.clone()} id={id.clone()} /> },
        (false, Route::Accounts) => html! { <pages::accounts::Accounts /> },
        (false, Route::TrialBalance) => html! { <pages::balance::TrialBalance /> },
        (false, Route::Hosts) => html! { <pages::hosts::Hosts /> },
        (false, Route::Checks) => html! { <pages::checks::Checks /> },
        (false, Route::Charts) => html! { <pages::charts::Charts /> },
        (false, Route::Alerts) => html! { <pages::alerts::Alerts /> },
        (false, Route::Rules) => html! { <pages::rules::Rules /> },
        (false, Route::Security) => html! { <pages::security::Security /> },
        (false, Route::Cases) => html! { <pages::cases::Cases /> },
        (false, Route::Case { id }) => html! { <pages::case::Case key={id.clone()} id={id.clone()} /> },
        (false, Route::Detection) => html! { <pages::detection::Detection /> },
        (false, Route::Logs) => html! { <pages::logs::Logs /> },
        (false, Route::Network) => html! { <pages::network::Network /> },
        (false, Route::Devices) => html! { <pages::devices::Devices /> },
        (false, Route::Device { mac }) => html! { <pages::device::Device key={mac.clone()} mac={mac.clone()} /> },
        (false, Route::Detections) => html! { <pages::detections::Detections /> },
        (false, Route::Certificates) => html! { <pages::certificates::Certificates /> },
        (false, Route::Capture) => html! { <pages::capture::Capture /> },
        (false, Route::Reports) => html! { <pages::reports::Reports /> },
        (false, Route::Sync) => html! { <pages::sync::Sync /> },
        (false, Route::Quarantine) => html! { <pages::given_back::GivenBack /> },
        (true, Route::Home | Route::Boxes) => html! { <pages::boxes::Boxes /> },
        (true, Route::Machine { id }) => html! { <pages::machine::Machine key={id.clone()} id={id.clone()} /> },
        (true, Route::Customers) => html! { <pages::customers::Customers /> },
        (true, Route::Entries) => html! { <pages::fleet_entries::Entries /> },
        (true, Route::Proposals) => html! { <pages::proposals::Proposals /> },
        (true, Route::Quarantine) => html! { <pages::quarantine::Quarantine /> },
        (true, Route::Alerts) => html! { <pages::fleet_alerts::Alerts /> },
        (true, Route::Security) => html! { <pages::fleet_security::Security /> },
        (true, Route::Network) => html! { <pages::fleet_network::Network /> },
        (true, Route::Packs) => html! { <pages::packs::Packs /> },
        _ => html! {
            <Empty title="There is no page at this address" text="It may have moved. Ctrl K finds every page.">
                <Link<Route> to={Route::Home} classes="text-accent underline">{ "Go home" }</Link<Route>>
            </Empty>
        },
    }
}
