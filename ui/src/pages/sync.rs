//! The queue to the cloud and its cause: what the badge in the bar stands for.

use super::audit::plain;
use crate::{
    api::{self, Done},
    components::{Ago, Button, Card, Kind, Kpi, Since, StatusLine, Until, loaded, use_toast},
    data::use_resource,
    format,
    route::Route,
    session::use_session,
    words,
};
use gloo_net::http::Method;
use sent_contract::sync::{Refused, SyncStatus};
use serde_json::Value;
use yew::prelude::*;
use yew_router::prelude::*;

/// The page.
#[component]
pub fn Sync() -> Html {
    let sync = use_resource::<SyncStatus>(Some("/api/sync".into()), &["sync"]);
    if sync.data.is_none() {
        return html! { <Card pad=false>{ loaded(&sync, 6, |_| Html::default()) }</Card> };
    }
    loaded(&sync, 6, |sync| html! { <Full sync={(**sync).clone()} /> })
}

#[derive(Properties, PartialEq)]
struct FullProps {
    sync: SyncStatus,
}

#[component]
fn Full(props: &FullProps) -> Html {
    let sync = &props.sync;
    let refused = use_resource::<Vec<Refused>>(Some("/api/sync/refused".into()), &["sync"]);
    let may = use_session().may("sync.quarantine.read");
    let toast = use_toast();
    let busy = use_state_eq(|| false);
    let now = {
        let busy = busy.clone();
        Callback::from(move |_: MouseEvent| {
            let (busy, toast) = (busy.clone(), toast.clone());
            busy.set(true);
            wasm_bindgen_futures::spawn_local(async move {
                toast.tell(&api::act::<Done>(Method::POST, "/api/sync/now").await, "Sync started");
                busy.set(false);
            });
        })
    };
    let quarantine = match sync.quarantined {
        0 => html! { { "nothing was left out by a restore" } },
        _ if may => {
            html! { <Link<Route> to={Route::Quarantine} classes="text-accent underline">{ "apply or drop what does not fit" }</Link<Route>> }
        }
        _ => html! { { "of an earlier epoch, not brought back" } },
    };
    let row = |label: &'static str, value: Html| html! { <><dt class="text-ink-3">{ label }</dt><dd class="min-w-0 break-words tabular-nums">{ value }</dd></> };
    html! {
        <>
            <Card>
                <div class="flex flex-wrap items-center gap-3">
                    <div class="min-w-0 text-[14px] font-medium"><StatusLine status={sync.status.clone()} since=true whole=true /></div>
                    <div class="ml-auto"><Button kind={Kind::Primary} busy={*busy} disabled={!sync.enrolled} onclick={now}>{ "Sync now" }</Button></div>
                </div>
                <p class="mt-2 max-w-[44rem] text-ink-2">
                    { if !sync.enrolled {
                        "This box stands alone: its books are complete here, and nothing waits for anybody. Enrol it with a claim code to bring them to a cloud as well."
                    } else if sync.waiting > 0 {
                        "Everything below is safe on this box. It goes to the cloud by itself, in order, as soon as there is a way."
                    } else {
                        "Every transaction of this box is in the cloud, and the cloud confirmed it."
                    } }
                </p>
            </Card>
            <div class="grid shrink-0 grid-cols-2 gap-3.5 lg:grid-cols-4">
                <Kpi label="Waiting" value={format::counted(sync.waiting, "entry", "entries")} note={html! { if !sync.enrolled { { "go up if this box joins a cloud" } } else if sync.oldest.is_some() { { "oldest for " }<Since at={sync.oldest} /> } else { { "nothing waits" } } }} />
                <Kpi label="Last sync" value={html! { <Ago at={sync.last_sync} /> }} note="the cloud's last confirmation" />
                <Kpi label="Telemetry spool" value={format::bytes(sync.spool_bytes as f64)} note={if sync.dropped_points > 0 { format!("{} dropped, ever, when it was full", format::counted(sync.dropped_points, "point", "points")) } else { "nothing was ever dropped".to_owned() }} />
                <Kpi label="Quarantined" value={format::count(sync.quarantined)} note={quarantine} />
            </div>
            if let Some(refused) = refused.data.as_ref().filter(|list| !list.is_empty()) {
                <Card title="Not taken by the cloud">
                    <p class="max-w-[44rem] text-ink-2">{ "These edits were made here and refused. The rows are again as the cloud has them." }</p>
                    <ul class="mt-2 divide-y divide-line">
                        { for refused.iter().map(|one| html! {
                            <li class="py-2">
                                <div class="flex flex-wrap items-baseline gap-x-3">
                                    <span class="font-medium">{ words::plain(&one.table) }</span>
                                    <span class="min-w-0 break-all font-mono text-sm text-ink-3">{ key(&one.key) }</span>
                                    <span class="ml-auto text-ink-3"><Ago at={one.at} /></span>
                                </div>
                                <div class="text-ink-2">{ format!("{} ({})", one.cause, one.by) }</div>
                            </li>
                        }) }
                    </ul>
                </Card>
            }
            <Card title="Details">
                <dl class="grid grid-cols-[9rem_minmax(0,1fr)] gap-y-1 md:grid-cols-[12rem_minmax(0,1fr)]">
                    { row("Cloud", html! { { sync.cloud.clone().unwrap_or_else(|| "none".to_owned()) } }) }
                    { row("Epoch", html! { { sync.epoch } }) }
                    { row("Last transaction here", html! { { format::count(sync.sequence) } }) }
                    { row("Confirmed by the cloud", html! { { format::count(sync.acknowledged) } }) }
                    { row("Reference data", html! { { format!("version {}", format::count(sync.reference)) } }) }
                    { row("Certificate ends", html! { <Until at={sync.certificate_expires} /> }) }
                </dl>
            </Card>
        </>
    }
}

/// A row's key as a person reads it: its values.
fn key(key: &Value) -> String {
    let values = key.as_object().into_iter().flat_map(|columns| columns.values());
    values.map(plain).collect::<Vec<_>>().join(" · ")
}
