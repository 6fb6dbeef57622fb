//! One device: what is known of it, whom it talks to, what was detected about it, its flows.

use super::{
    detections::{Detail, columns},
    devices::{basis, is_new, roles, title},
    guard::use_packets,
    traffic::Traffic,
};
use crate::{
    api::{self, with_query},
    components::{Ago, Button, Card, DataTable, Empty, Icon, Tag, Tone, loaded, use_now, use_opened},
    data::{use_query, use_resource},
    format,
    route::Route,
    session::use_session,
};
use sent_contract::guard::{Detection, DeviceDetail};
use std::rc::Rc;
use yew::prelude::*;
use yew_router::prelude::*;

/// Which.
#[derive(Debug, PartialEq, Properties)]
pub struct Props {
    /// MAC address.
    pub mac: String,
}

/// The page.
#[component]
pub fn Device(props: &Props) -> Html {
    let path = format!("/api/guard/devices/{}", api::escape(&props.mac));
    let detail = use_resource::<DeviceDetail>(Some(path), &["table:guard_devices", "table:guard_detections"]);
    if detail.data.is_none() {
        return html! { <Card pad=false>{ loaded(&detail, 10, |_| Html::default()) }</Card> };
    }
    loaded(&detail, 10, |data| html! { <Full detail={data.clone()} reload={detail.reload.clone()} /> })
}

#[derive(Properties, PartialEq)]
struct FullProps {
    detail: Rc<DeviceDetail>,
    reload: Callback<()>,
}

#[component]
fn Full(props: &FullProps) -> Html {
    let detail = &props.detail;
    let (query, set) = use_query();
    let opened = use_opened::<Detection>();
    let columns = use_memo((), |()| columns());
    let rows = use_memo(Rc::as_ptr(detail) as usize, |_| detail.detections.clone());
    let open = detail.detections.iter().filter(|detection| detection.state == "open").count() as u64;
    html! {
        <>
            <Facts detail={detail.clone()} />
            if detail.detections.is_empty() {
                <Card title="Detections"><p class="text-ink-2">{ "Nothing about this device looked like trouble." }</p></Card>
            } else {
                <section class="flex max-h-80 shrink-0 flex-col gap-2" aria-label="What was detected">
                    <h2 class="flex items-center gap-2 font-semibold">{ "Detections" }<span class="text-sm font-normal text-ink-3">{ format!("{} open", format::count(open)) }</span></h2>
                    <DataTable<Detection> {rows} {columns} name="Detections" keys=false on_open={opened.open.clone()} empty={html! { <Empty title="None" /> }} />
                </section>
            }
            <Traffic {query} {set} mac={detail.device.mac.clone()} />
            if let Some(detection) = &opened.row {
                <Detail detection={detection.clone()} on_close={opened.close.clone()} on_done={props.reload.clone()} />
            }
        </>
    }
}

/// So far back packets of a device are asked for, µs.
const BACK: i64 = 3_600_000_000;

#[derive(Properties, PartialEq)]
struct FactsProps {
    detail: Rc<DeviceDetail>,
}

#[component]
fn Facts(props: &FactsProps) -> Html {
    let DeviceDetail { device, sent, received, .. } = &*props.detail;
    let packets = use_packets();
    let may = use_session().may("guard.packets");
    let now = use_now();
    let take = {
        let (mac, name) = (device.mac.clone(), title(device));
        packets.reform(move |_: MouseEvent| {
            let query = [("mac", mac.clone()), ("from", (format::now() - BACK).to_string())];
            (with_query("/api/guard/packets.pcapng", &query), name.clone())
        })
    };
    let source = |code: &str| match code {
        "dhcp" => "told the DHCP server",
        "mdns" => "announced by mDNS",
        "netbios" => "announced as Windows name",
        "llmnr" => "answered by LLMNR",
        "dns" => "looked up in DNS",
        _ => "heard",
    };
    html! {
        <Card>
            <div class="flex flex-wrap items-start gap-x-4 gap-y-2">
                <div class="min-w-0 flex-1">
                    <h2 class="flex flex-wrap items-center gap-2 text-lg font-semibold">
                        <span class="min-w-0 break-words">{ title(device) }</span>
                        if is_new(device, now) { <Tag tone={Tone::Warn}>{ "New" }</Tag> }
                        <span class="text-base font-normal">{ roles(device) }</span>
                    </h2>
                    <p class="text-ink-3">
                        { device.maker.clone().unwrap_or_else(|| if device.random { "Its MAC address is made up, as telephones do".to_owned() } else { "Maker not known".to_owned() }) }
                        { " · " }<span class="font-mono text-sm">{ &device.mac }</span>
                    </p>
                </div>
                <div class="flex flex-wrap gap-2">
                    if may { <Button onclick={take}><Icon name="download" class="size-3.5" />{ "Packets of the last hour" }</Button> }
                    <Link<Route> classes={crate::components::button::LINK} to={Route::Devices}>{ "All devices" }</Link<Route>>
                </div>
            </div>
            <dl class="mt-3 grid grid-cols-1 gap-x-8 gap-y-2 border-t border-line-2 pt-3 md:grid-cols-2 lg:grid-cols-4">
                <div>
                    <dt class="text-sm text-ink-3">{ "Addresses" }</dt>
                    <dd class="tabular-nums">{ for device.addresses.iter().map(|address| html! { <span class="block break-words">{ address }</span> }) }if device.addresses.is_empty() { { "none known" } }</dd>
                </div>
                <div>
                    <dt class="text-sm text-ink-3">{ "Names" }</dt>
                    <dd>
                        for (code, name) in device.names.iter() {
                            <span class="block break-words">{ name }<span class="text-sm text-ink-3">{ " " }{ source(code) }</span></span>
                        }
                        if device.names.is_empty() { { "it gives itself none" } }
                    </dd>
                </div>
                <div>
                    <dt class="text-sm text-ink-3">{ "System" }</dt>
                    <dd>
                        { match (&device.system, &device.system_basis) {
                            (Some(system), Some(code)) => html! { <>{ system }<span class="block text-sm text-ink-3">{ "a guess from " }{ basis(code) }</span></> },
                            (Some(system), None) => system.into(),
                            _ => html! { "no guess yet" },
                        } }
                    </dd>
                </div>
                <div>
                    <dt class="text-sm text-ink-3">{ "Seen" }</dt>
                    <dd>
                        <span class="block">{ "last " }<Ago at={device.last_seen} />{ ", first " }<Ago at={device.first_seen} /></span>
                        <span class="block text-sm text-ink-3">{ format!("{} sent, {} received since guard began", format::bytes(*sent as f64), format::bytes(*received as f64)) }</span>
                    </dd>
                </div>
            </dl>
        </Card>
    }
}
