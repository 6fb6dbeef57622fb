//! Devices on the network: who is here, who made it, what it seems to run, and since when it is known.

use super::guard::{NotCaptured, Tabs, deaf, use_status};
use crate::{
    api::List,
    components::{
        Ago, Button, Column, DataTable, Empty, Row, Search, Slot, StateChips, Tag, Tone, Toolbar, list::state_of,
        listed, status::sentence, use_now, use_rows, use_search,
    },
    data::{use_query, use_resource},
    format,
    route::Route,
};
use sent_contract::{Micros, guard::Device};
use yew::prelude::*;
use yew_router::prelude::*;

/// So long a device is marked as new.
const NEW: Micros = 86_400_000_000;

impl Row for Device {
    fn key(&self) -> String {
        self.mac.clone()
    }
}

/// What it is called, or else what is known of it.
pub fn title(device: &Device) -> String {
    let maker = || device.maker.as_ref().map(|maker| format!("{maker} {}", &device.mac[9.min(device.mac.len())..]));
    device.name.clone().or_else(maker).unwrap_or_else(|| device.mac.clone())
}

/// Whether it was first seen not long ago.
pub fn is_new(device: &Device, now: Micros) -> bool {
    now - device.first_seen < NEW
}

/// From what the system was guessed.
pub fn basis(code: &str) -> String {
    match code {
        "dhcp_vendor" => "what it tells the DHCP server it is".to_owned(),
        "dhcp_options" => "what it asks the DHCP server for".to_owned(),
        "tcp_syn" => "how it opens TCP connections".to_owned(),
        other => format::words(other),
    }
}

/// What it does for others.
pub fn roles(device: &Device) -> Html {
    let word = |role: &str| match role {
        "dhcp" => "DHCP".to_owned(),
        "resolver" => "DNS".to_owned(),
        other => sentence(other),
    };
    html! { <span class="inline-flex gap-1">{ for device.roles.iter().map(|role| html! { <Tag>{ word(role) }</Tag> }) }</span> }
}

fn addresses(device: &Device) -> String {
    match device.addresses.as_slice() {
        [first, _, rest @ ..] => format!("{first} and {} more", rest.len() + 1),
        addresses => addresses.concat(),
    }
}

fn matches(device: &Device, text: &str, state: &str, now: Micros) -> bool {
    let of_state = match state {
        "new" => is_new(device, now),
        "servers" => !device.roles.is_empty(),
        _ => true,
    };
    let text = text.to_lowercase();
    let known = [Some(&device.mac), device.maker.as_ref(), device.system.as_ref()].into_iter().flatten();
    let mut words = known.chain(&device.addresses).chain(device.names.values());
    of_state && (text.is_empty() || words.any(|word| word.to_lowercase().contains(&text)))
}

fn columns(now: Micros) -> Vec<Column<Device>> {
    vec![
        Column::new("Device", title)
            .cell(move |device| html! {
                <span class="inline-flex max-w-full items-center gap-2">
                    <span class="truncate" title={device.mac.clone()}>{ title(device) }</span>
                    if is_new(device, now) { <Tag tone={Tone::Warn}>{ "New" }</Tag> }
                </span>
            })
            .class("font-medium")
            .fill()
            .at(Slot::Title),
        Column::new("Addresses", |device: &Device| device.addresses.join(" "))
            .cell(|device| html! { <span title={device.addresses.join("\n")}>{ addresses(device) }</span> })
            .class("tabular-nums")
            .at(Slot::Detail),
        Column::new("Maker", |device: &Device| device.maker.clone().unwrap_or_default())
            .cell(|device| match (&device.maker, device.random) {
                (Some(maker), _) => maker.into(),
                (None, true) => html! { <span class="text-ink-3" title="Its MAC address is made up, as telephones do">{ "Made-up address" }</span> },
                (None, false) => html! { <span class="text-ink-3">{ "—" }</span> },
            })
            .class("max-w-48! text-ink-2"),
        Column::new("System, a guess", |device: &Device| device.system.clone().unwrap_or_default()).cell(|device| match &device.system {
            Some(system) => html! { <span title={device.system_basis.as_deref().map(|code| format!("From {}", basis(code)))}>{ system }</span> },
            None => html! { <span class="text-ink-3">{ "—" }</span> },
        }),
        Column::new("Does for others", |device: &Device| device.roles.join(" ")).cell(roles),
        Column::new("First seen", |device: &Device| format::iso(device.first_seen))
            .cell(|device| html! { <Ago at={device.first_seen} /> })
            .class("text-ink-3"),
        Column::new("Last seen", |device: &Device| format::iso(device.last_seen))
            .cell(|device| html! { <Ago at={device.last_seen} /> })
            .at(Slot::Meta),
    ]
}

/// The page.
#[component]
pub fn Devices() -> Html {
    let (query, set) = use_query();
    let navigator = use_navigator();
    let (typed, on_type) = use_search(&query, &set, "q");
    let (state, _) = state_of(&query, "all");
    let status = use_status();
    let devices = use_resource::<List<Device>>(Some("/api/guard/devices".into()), &["table:guard_devices"]);
    // What is new changes with the hour, not with every tick.
    let hour = use_now() / 3_600_000_000 * 3_600_000_000;
    let columns = use_memo(hour, |hour| columns(*hour));
    let rows = use_rows(&devices, (typed.clone(), state.clone(), hour), |device, (text, state, now)| {
        matches(device, text, state, *now)
    });
    let on_open = use_callback((), move |device: Device, ()| {
        if let Some(navigator) = &navigator {
            navigator.push(&Route::Device { mac: device.mac });
        }
    });
    let filtered = query.any(&["q", "state"]);
    let clear = set.reform(|_: MouseEvent| vec![("q", String::new()), ("state", String::new())]);
    let empty = if filtered {
        html! { <Empty title="No device matches" text="Loosen the filter, or clear it."><Button onclick={clear}>{ "Clear filters" }</Button></Empty> }
    } else {
        html! { <Empty title="No devices yet" text="A device is listed as soon as it says something on a network that this box listens to." /> }
    };
    let none = devices.data.as_ref().is_some_and(|list| list.items.is_empty());
    html! {
        <>
            <Toolbar views=true>
                <Tabs />
                <Search value={typed} placeholder="Name, address, maker" on={on_type} />
                <StateChips {state} {set} options={vec![("all", "All"), ("new", "New"), ("servers", "Serve others")]} />
            </Toolbar>
            if none && deaf(&status) {
                <NotCaptured />
            } else {
                { listed(&devices, 10, |list| html! { <DataTable<Device> {rows} {columns} name="Devices" total={list.items.len() as u64} {on_open} {empty} /> }) }
            }
        </>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_all_that_is_known_of_it() {
        let device = Device {
            mac: "00:16:3e:00:07:14".into(),
            random: false,
            name: None,
            maker: Some("Xensource".into()),
            addresses: vec!["192.168.7.20".into(), "fe80::1".into(), "10.0.0.1".into()],
            names: [("mdns".to_owned(), "Printer".to_owned())].into(),
            system: Some("Linux".into()),
            system_basis: Some("tcp_syn".into()),
            roles: Vec::new(),
            first_seen: 0,
            last_seen: 0,
        };
        for text in ["", "xen", "PRINT", "7.20", "linux", "3e:00"] {
            assert!(matches(&device, text, "all", NEW), "{text}");
        }
        assert!(!matches(&device, "windows", "all", NEW));
        assert!(matches(&device, "", "new", NEW - 1) && !matches(&device, "", "new", NEW));
        assert!(!matches(&device, "", "servers", NEW));
        assert_eq!(title(&device), "Xensource 00:07:14");
        assert_eq!(addresses(&device), "192.168.7.20 and 2 more");
    }
}
