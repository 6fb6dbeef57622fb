//! What the network's pages share: the tabs, the words for what guard calls by codes, how it stands, how packets are taken
//! away, and what is said where nothing is captured.

use super::explore::RANGES;
use crate::{
    api::{self, List, with_query},
    components::{Button, Card, Chip, Kind, Tag, Tone, list::Set, status::sentence, use_now, use_toast},
    csv,
    data::{Query, Resource, use_resource},
    format,
    route::Route,
    session::use_session,
};
use sent_contract::{
    Micros,
    guard::{CUT, Device, Flow, Status},
};
use std::{collections::BTreeMap, rc::Rc};
use yew::prelude::*;
use yew_router::prelude::*;

/// The tabs of the network.
#[component]
pub fn Tabs() -> Html {
    let here = use_route::<Route>().unwrap_or(Route::Missing);
    let tabs = [
        (Route::Network, "Traffic"),
        (Route::Devices, "Devices"),
        (Route::Detections, "Detections"),
        (Route::Certificates, "Certificates"),
        (Route::Capture, "Capture"),
    ];
    html! {
        <nav aria-label="Network" class="inline-flex rounded-md border border-line bg-panel p-0.5 text-sm md:text-base">
            for (route, name) in tabs {
                <Link<Route> classes={classes!("rounded-sm", "px-1.5", "py-1", "font-medium", "md:px-2.5", if route == here { "bg-accent-soft text-accent" } else { "text-ink-2 hover:text-ink" })} to={route}>{ name }</Link<Route>>
            }
        </nav>
    }
}

/// Properties of [`Ranges`].
#[derive(Properties, PartialEq)]
pub struct RangesProps {
    /// The range that rolls on, if one does.
    pub rolling: Option<&'static str>,
    /// From and to.
    pub span: (Micros, Micros),
    /// Changes the address.
    pub set: Set,
}

/// Which time: one of a few that roll on, or what was marked in a drawing.
#[component]
pub fn Ranges(props: &RangesProps) -> Html {
    let choose = |key: &'static str| {
        props.set.reform(move |_: MouseEvent| {
            vec![("range", key.to_owned()), ("from", String::new()), ("to", String::new())]
        })
    };
    html! {
        <>
            <div role="group" aria-label="Time range" class="flex flex-wrap gap-1">
                for (key, label, _) in RANGES {
                    <Chip on={props.rolling == Some(key)} onclick={choose(key)}>{ label }</Chip>
                }
            </div>
            if props.rolling.is_none() {
                <span class="text-ink-2">{ format::clock(props.span.0) }{ " – " }{ format::clock(props.span.1) }</span>
                <Button kind={Kind::Ghost} onclick={props.set.reform(|_: MouseEvent| vec![("from", String::new()), ("to", String::new())])}>{ "Zoom out" }</Button>
            }
        </>
    }
}

/// How guard stands, asked again at every tick.
#[hook]
pub fn use_status() -> Resource<Status> {
    let status = use_resource::<Status>(Some("/api/guard/status".into()), &[]);
    let now = use_now();
    {
        let reload = status.reload.clone();
        let first = use_mut_ref(|| true);
        use_effect_with(now, move |_| {
            // The resource has asked for itself already.
            if !std::mem::replace(&mut *first.borrow_mut(), false) {
                reload.emit(());
            }
        });
    }
    status
}

/// Devices by their addresses: name, where there is one, and MAC address.
pub type Holders = Rc<BTreeMap<String, (Option<String>, String)>>;

/// Who has which address.
#[hook]
pub fn use_holders() -> Holders {
    let devices = use_resource::<List<Device>>(Some("/api/guard/devices".into()), &["table:guard_devices"]);
    use_memo(devices.data.as_ref().map(|list| Rc::as_ptr(list) as usize), |_| {
        let devices = devices.data.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
        // Those seen last come first, and an address is whose it was last.
        let held = devices.iter().rev().flat_map(|device| {
            device.addresses.iter().map(|address| (address.clone(), (device.name.clone(), device.mac.clone())))
        });
        held.collect()
    })
}

/// Fetches packets from a path and hands them over as a file of this name; what goes wrong is told.
#[hook]
pub fn use_packets() -> Callback<(String, String)> {
    let toast = use_toast();
    use_callback((), move |(path, name): (String, String), ()| {
        let toast = toast.clone();
        wasm_bindgen_futures::spawn_local(async move {
            match api::file(&path, CUT).await {
                Ok((file, cut)) => {
                    csv::offer(&format!("{name}.pcapng"), &file);
                    let size = format::bytes(file.size());
                    toast.ok(match cut {
                        true => format!("The first {size} of the packets: ask for a shorter time for the rest"),
                        false => format!("{size} of packets"),
                    });
                }
                Err(failure) => toast.bad(&failure),
            }
        });
    })
}

/// Where the packets of a flow are, and what their file is called.
pub fn packets_of(flow: &Flow) -> (String, String) {
    // Both ends are times of frames, cut to microseconds.
    let (from, to) = (flow.start, flow.end + 1);
    let query = [("flow", flow.community_id.clone()), ("from", from.to_string()), ("to", to.to_string())];
    (with_query("/api/guard/packets.pcapng", &query), format!("{} {}", flow.src, flow.dst))
}

/// Names of applications that are not their code in capitals.
const APPS: &[(&str, &str)] = &[
    ("bacnet", "BACnet"),
    ("bittorrent", "BitTorrent"),
    ("cotp", "ISO transport"),
    ("dhcpv6", "DHCPv6"),
    ("finger", "Finger"),
    ("geneve", "Geneve"),
    ("gnutella", "Gnutella"),
    ("http2", "HTTP/2"),
    ("kerberos", "Kerberos"),
    ("mdns", "mDNS"),
    ("modbus", "Modbus"),
    ("mongodb", "MongoDB"),
    ("mysql", "MySQL"),
    ("nbns", "NetBIOS names"),
    ("netbios-dgm", "NetBIOS"),
    ("postgresql", "PostgreSQL"),
    ("redis", "Redis"),
    ("rlogin", "rlogin"),
    ("syslog", "Syslog"),
    ("telnet", "Telnet"),
    ("teredo", "Teredo"),
    ("wireguard", "WireGuard"),
];

/// What is spoken: `tls` as `TLS`.
pub fn app(code: Option<&str>) -> String {
    let Some(code) = code else { return "Not recognised".to_owned() };
    let known = APPS.iter().find(|(known, _)| *known == code);
    known.map_or_else(|| code.to_uppercase(), |(_, name)| (*name).to_owned())
}

/// Code, name, and what looks like it and is none.
const KINDS: [(&str, &str, &str); 10] = [
    (
        "scan",
        "Scan",
        "Many ports or hosts were asked that refuse or do not answer. A monitoring system that looks for what is gone looks like this too.",
    ),
    (
        "beacon",
        "Beacon",
        "Calls to one place outside, like clockwork: how malware asks for orders. Programs that look for updates or send telemetry do it as well.",
    ),
    (
        "dns_tunnel",
        "DNS tunnel",
        "Many long, random names below one domain: how data leaves where only DNS may. Reputation services that put a hash into a name look like this too.",
    ),
    (
        "large_upload",
        "Large upload",
        "A lot was sent to one address outside, far more than came back. A backup to the cloud does the same.",
    ),
    (
        "new_device",
        "New device",
        "Nobody has seen this device here before. Telephones that make up an address count as new each time.",
    ),
    (
        "rogue_dhcp",
        "Rogue DHCP",
        "Somebody else gives addresses and may lead traffic astray. A second server on purpose belongs into the settings.",
    ),
    (
        "arp_spoofing",
        "ARP spoofing",
        "Two devices claim one address: how traffic is diverted. A failover without a shared MAC address looks like this too.",
    ),
    (
        "plaintext_password",
        "Clear-text password",
        "A password could be read by everybody on the way. The user is kept here, the password never is.",
    ),
    (
        "listed",
        "On a list",
        "Traffic with, or a look-up of, what one of your lists names. See whether the list is up to date.",
    ),
    (
        "certificate",
        "Certificate",
        "Visitors are warned, or will be. For RDP, Windows makes certificates that sign themselves.",
    ),
];

/// Kinds of detections with their names.
pub fn kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|(code, name, _)| (*code, *name))
}

/// A kind's name: `dns_tunnel` as `DNS tunnel`.
pub fn kind(code: &str) -> String {
    let known = kinds().find(|(known, _)| *known == code);
    known.map_or_else(|| sentence(&format::words(code)), |(_, name)| name.to_owned())
}

/// What a kind means.
pub fn meaning(code: &str) -> &'static str {
    KINDS.iter().find(|(known, ..)| *known == code).map_or("", |(.., meaning)| meaning)
}

/// How bad it is if it is what it looks like.
pub fn severity(word: &str) -> Html {
    let tone = match word {
        "high" => Tone::Bad,
        "medium" => Tone::Warn,
        _ => Tone::Plain,
    };
    html! { <Tag {tone}>{ sentence(word) }</Tag> }
}

/// Nothing is captured, and the setting that would: what a page shows that has nothing to show.
#[component]
pub fn NotCaptured() -> Html {
    let see = use_session().may("settings.read");
    html! {
        <Card>
            <div class="flex flex-col items-center gap-1 px-4 py-8 text-center">
                <p class="font-semibold">{ "This box does not listen to the network yet" }</p>
                <p class="max-w-[34rem] text-ink-2">
                    { "It sees what its interface sees. Connect one to a mirror port (SPAN) of the switch that leads to the router, name it in " }
                    <code class="font-mono">{ "sent.toml" }</code>{ " in the data folder, and restart the box:" }
                </p>
                <pre class="my-2 rounded-md border border-line bg-bg px-4 py-2.5 text-left font-mono text-sm">{ "[guard]\ninterfaces = [\"eth1\"]" }</pre>
                <p class="max-w-[34rem] text-sm text-ink-3">
                    { "The interface needs no address. Capturing needs root or CAP_NET_RAW; " }<code class="font-mono">{ "libpcap0.8" }</code>{ " must be installed, and with " }<code class="font-mono">{ "ieee-data" }</code>{ " devices have makers." }
                </p>
                if see { <Link<Route> to={Route::Settings} classes="mt-1 text-accent underline">{ "See all settings" }</Link<Route>> }
            </div>
        </Card>
    }
}

/// Whether guard listens to nothing at all; not known yet is no.
pub fn deaf(status: &Resource<Status>) -> bool {
    status.data.as_ref().is_some_and(|status| status.interfaces.is_empty())
}

/// What is spoken, its colour: the first four applications have their own, the rest share one.
pub fn colour(place: usize) -> &'static str {
    ["fill-c1", "fill-c2", "fill-c3", "fill-c4"].get(place).copied().unwrap_or("fill-ink-3")
}

/// A filter in the address that stands beside a name, with a way out of it.
pub fn chosen(query: &Query, set: &Set, name: &'static str, shown: String) -> Html {
    if query.get(name).is_empty() {
        return Html::default();
    }
    html! {
        <span class="inline-flex min-h-[27px] max-w-full items-center gap-1 rounded-full bg-accent-soft pr-1 pl-2.5 font-medium text-accent">
            <span class="truncate">{ shown }</span>
            <button type="button" aria-label="Take this filter away" class="p-1" onclick={set.reform(move |_: MouseEvent| vec![(name, String::new())])}>
                <crate::components::Icon name="close" class="size-3" />
            </button>
        </span>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_words() {
        assert_eq!((app(Some("tls")), app(Some("mysql"))), ("TLS".to_owned(), "MySQL".to_owned()));
        assert_eq!(app(None), "Not recognised");
        assert_eq!((kind("dns_tunnel"), kind("odd_one")), ("DNS tunnel".to_owned(), "Odd one".to_owned()));
        assert!(APPS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(kinds().all(|(code, _)| !meaning(code).is_empty()));
    }
}
