//! Devices: who is in the office, told from what they send.
//!
//! A device is a MAC address that speaks with an address of the office's own networks. A router that leads to another of
//! them is therefore seen with its neighbours' addresses: the newest [`ADDRESSES`] are kept. Names are what devices call
//! themselves (DHCP, mDNS, LLMNR, NetBIOS) or what is looked up (reverse DNS); the system is a guess, and says from what.

mod maker;
mod system;

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use serde::Serialize;

use crate::{
    app::{App, dhcp, dns},
    detection::{Networks, Talk},
    packet::{Datagram, Segment},
    recent::Recent,
};

pub use maker::Makers;
pub use system::{Basis, System};

/// Devices that are known at once.
pub const DEVICES: usize = 8_192;
/// Addresses of one device.
pub const ADDRESSES: usize = 8;
/// Ends that a device talks to: those with the most bytes stay.
pub const PEERS: usize = 24;
/// Bytes of a name.
const NAME: usize = 128;

/// A MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it stands for many: IEEE 802 §8.2.2.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether the device made it up: locally administered.
    pub const fn is_random(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// Whether routers share it: VRRP and CARP (RFC 9568 §7.3), HSRP, GLBP.
    pub const fn is_shared(self) -> bool {
        matches!(
            self.0,
            [0, 0, 0x5e, 0, 1 | 2, _]
                | [0, 0, 0x0c, 7, 0xac, _]
                | [0, 0, 0x0c, 0x9f, 0xf0..=0xff, _]
                | [0, 7, 0xb4, 0, ..]
        )
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = NoMac;

    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NoMac)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NoMac)?;
        }
        parts.next().is_none().then_some(Self(bytes)).ok_or(NoMac)
    }
}

impl Serialize for Mac {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no MAC address: write 00:11:22:33:44:55")]
pub struct NoMac;

/// Where a name was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The device told the DHCP server.
    Dhcp,
    /// It announced itself.
    Mdns,
    /// It defended its Windows name.
    Netbios,
    /// It answered for its name on the link.
    Llmnr,
    /// Its address was looked up.
    Dns,
}

impl Source {
    /// All, the best name first.
    pub const ALL: [Self; 5] = [Self::Dhcp, Self::Mdns, Self::Netbios, Self::Llmnr, Self::Dns];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Mdns => "mdns",
            Self::Netbios => "netbios",
            Self::Llmnr => "llmnr",
            Self::Dns => "dns",
        }
    }
}

/// What a device does for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Gives addresses.
    Dhcp,
    /// Answers for names.
    Resolver,
    /// Leads out of the network, as DHCP says.
    Router,
    /// Answers print jobs, files, pages …: the ports it was reached on are in its flows.
    Server,
}

impl Role {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Resolver => "resolver",
            Self::Router => "router",
            Self::Server => "server",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Dhcp, Self::Resolver, Self::Router, Self::Server].into_iter().find(|role| role.name() == name)
    }
}

/// An end that a device talks to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Its name, as it was looked up.
    pub name: Option<String>,
    /// What was spoken last.
    pub app: Option<&'static str>,
    /// Bytes, both ways.
    pub bytes: u64,
    /// Flows.
    pub flows: u64,
    /// Last flow's end, nanoseconds since 1970 UTC.
    pub last: i64,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its address on the link.
    pub mac: Mac,
    /// Who made it.
    pub maker: Option<String>,
    /// Its addresses and when each was last used, the newest first.
    pub addresses: Vec<(IpAddr, i64)>,
    /// Its names.
    pub names: BTreeMap<Source, String>,
    /// What runs on it, as far as can be guessed.
    pub system: Option<System>,
    /// What it does for others.
    pub roles: Vec<Role>,
    /// First seen, nanoseconds since 1970 UTC.
    pub first_seen: i64,
    /// Last seen, nanoseconds since 1970 UTC.
    pub last_seen: i64,
    /// Bytes it sent.
    pub sent: u64,
    /// Bytes it received.
    pub received: u64,
    /// Whom it talks to, the most bytes first.
    pub peers: Vec<Peer>,
    /// What others know of it has changed since [`Inventory::changed`].
    changed: bool,
}

impl Device {
    /// One that was seen at `time`.
    pub fn new(mac: Mac, maker: Option<String>, time: i64) -> Self {
        Self {
            mac,
            maker,
            addresses: Vec::new(),
            names: BTreeMap::new(),
            system: None,
            roles: Vec::new(),
            first_seen: time,
            last_seen: time,
            sent: 0,
            received: 0,
            peers: Vec::new(),
            changed: true,
        }
    }

    /// The best name it has.
    pub fn name(&self) -> Option<&str> {
        Source::ALL.iter().find_map(|source| self.names.get(source)).map(String::as_str)
    }

    fn has(&mut self, address: IpAddr, time: i64) {
        match self.addresses.iter_mut().find(|(known, _)| *known == address) {
            Some(known) => known.1 = known.1.max(time),
            None => {
                self.addresses.push((address, time));
                self.changed = true;
            }
        }
        self.addresses.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
        self.addresses.truncate(ADDRESSES);
    }

    fn is_called(&mut self, source: Source, name: &str) {
        let name = name.trim_end_matches('.');
        if name.is_empty() || name.len() > NAME || self.names.get(&source).is_some_and(|known| known == name) {
            return;
        }
        self.names.insert(source, name.to_owned());
        self.changed = true;
    }

    fn runs(&mut self, system: System) {
        // A better basis wins; the same one may correct itself.
        let better = self.system.as_ref().is_none_or(|known| system.basis <= known.basis && *known != system);
        if better {
            self.system = Some(system);
            self.changed = true;
        }
    }

    fn plays(&mut self, role: Role) {
        if !self.roles.contains(&role) {
            self.roles.push(role);
            self.roles.sort_unstable();
            self.changed = true;
        }
    }

    fn talks(&mut self, talk: &Talk<'_>) {
        let bytes = talk.flow.sides.iter().map(|side| side.octets).sum::<u64>();
        let app = talk.flow.app.map(|app| app.name());
        match self.peers.iter_mut().find(|peer| peer.address == talk.destination) {
            Some(peer) => {
                peer.bytes += bytes;
                peer.flows += u64::from(talk.flow.part == 0);
                peer.last = peer.last.max(talk.flow.end);
                peer.app = app.or(peer.app);
                if let Some(name) = talk.name {
                    peer.name = Some(name.to_owned());
                }
            }
            None => {
                // The newest may come in: the smallest of those that are longest silent goes.
                if self.peers.len() == PEERS {
                    self.peers.sort_by_key(|peer| std::cmp::Reverse((peer.bytes, peer.last)));
                    self.peers.pop();
                }
                let name = talk.name.map(str::to_owned);
                self.peers.push(Peer { address: talk.destination, name, app, bytes, flows: 1, last: talk.flow.end });
            }
        }
        self.peers.sort_by_key(|peer| std::cmp::Reverse((peer.bytes, peer.last)));
    }
}

/// All devices.
#[derive(Debug)]
pub struct Inventory {
    devices: Recent<Mac, Device>,
    by_address: Recent<IpAddr, Mac>,
    routers: Recent<IpAddr, ()>,
    makers: Makers,
    networks: Networks,
    fresh: Vec<Mac>,
}

impl Inventory {
    /// Empty.
    pub fn new(makers: Makers, networks: Networks) -> Self {
        Self {
            devices: Recent::new(DEVICES),
            by_address: Recent::new(DEVICES * 2),
            routers: Recent::new(DEVICES / 16),
            makers,
            networks,
            fresh: Vec::new(),
        }
    }

    /// Takes up a device that is known from before.
    pub fn restore(&mut self, mut device: Device) {
        device.changed = false;
        if device.maker.is_none() {
            device.maker = self.makers.of(device.mac).map(str::to_owned);
        }
        for (address, _) in &device.addresses {
            self.by_address.insert(*address, device.mac);
            if device.roles.contains(&Role::Router) {
                self.routers.insert(*address, ());
            }
        }
        self.devices.insert(device.mac, device);
    }

    /// A device.
    pub fn get(&self, mac: Mac) -> Option<&Device> {
        self.devices.get(&mac)
    }

    /// All devices, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().map(|(_, device)| device)
    }

    /// Who has an address.
    pub fn holder(&self, address: IpAddr) -> Option<Mac> {
        self.by_address.get(&address).copied()
    }

    /// Whether an address is a router's.
    pub fn is_router(&self, address: IpAddr) -> bool {
        self.routers.get(&address).is_some()
    }

    /// Devices that are new since this was asked last.
    pub fn fresh(&mut self) -> Vec<Mac> {
        std::mem::take(&mut self.fresh)
    }

    /// Devices of which something has changed since this was asked last.
    pub fn changed(&mut self) -> Vec<Device> {
        let changed = self.devices.iter_mut().map(|(_, device)| device);
        changed.filter_map(|device| std::mem::take(&mut device.changed).then(|| device.clone())).collect()
    }

    fn device(&mut self, mac: Mac, time: i64) -> Option<&mut Device> {
        if mac.is_group() || mac == Mac([0; 6]) || mac.is_shared() {
            return None;
        }
        let (fresh, makers) = (&mut self.fresh, &self.makers);
        let device = self.devices.entry(mac, || {
            if fresh.len() < DEVICES {
                fresh.push(mac);
            }
            Device::new(mac, makers.of(mac).map(str::to_owned), time)
        });
        device.last_seen = device.last_seen.max(time);
        Some(device)
    }

    /// A device claims an address.
    pub fn claim(&mut self, mac: Mac, address: IpAddr, time: i64) {
        if address.is_unspecified() || !self.networks.contains(address) {
            return;
        }
        let router = self.is_router(address);
        if let Some(device) = self.device(mac, time) {
            device.has(address, time);
            if router {
                device.plays(Role::Router);
            }
            self.by_address.insert(address, mac);
        }
    }

    /// A TCP connection is begun: how the device's system begins one.
    pub fn syn(&mut self, datagram: &Datagram<'_>, segment: Segment) {
        let Some((_, from)) = datagram.macs else { return };
        if datagram.tunnel.is_some() || !self.networks.contains(datagram.source.ip(datagram.six)) {
            return;
        }
        if let Some(device) = self.devices.touch(&Mac(from))
            && let Some(system) = System::of_syn(datagram.hops, segment.window)
        {
            device.runs(system);
        }
    }

    /// A DHCP message went by; `from` sent it.
    pub fn dhcp(&mut self, time: i64, from: Option<Mac>, message: &dhcp::Message, trusted: bool) {
        let Ok(client) = message.mac.parse::<Mac>() else { return };
        for router in message.routers.iter().filter(|_| trusted) {
            self.routers.insert(IpAddr::V4(*router), ());
        }
        let asks = matches!(message.kind, Some("discover" | "request" | "inform"));
        if let Some(device) = self.device(client, time).filter(|_| asks) {
            if let Some(name) = &message.hostname {
                device.is_called(Source::Dhcp, name);
            }
            if let Some(system) = System::of_dhcp(&message.asks, message.vendor.as_deref()) {
                device.runs(system);
            }
        }
        if let (Some("ack"), Some(address)) = (message.kind, message.address) {
            self.claim(client, IpAddr::V4(address), time);
        }
        if trusted
            && matches!(message.kind, Some("offer" | "ack"))
            && let Some(device) = from.and_then(|mac| self.device(mac, time))
        {
            device.plays(Role::Dhcp);
        }
    }

    /// A message of names went by: `from` sent it from `address`.
    pub fn names(&mut self, app: App, time: i64, from: Option<Mac>, address: IpAddr, message: &dns::Message) {
        if !message.response {
            return;
        }
        match app {
            App::Dns => {
                for answer in message.answers.iter().filter(|answer| answer.kind == "PTR") {
                    if let Some(mac) = reverse(&answer.name).and_then(|address| self.holder(address))
                        && let Some(device) = self.devices.touch(&mac)
                    {
                        device.is_called(Source::Dns, &answer.data);
                    }
                }
            }
            App::Mdns | App::Llmnr | App::Netbios => {
                let source = match app {
                    App::Mdns => Source::Mdns,
                    App::Llmnr => Source::Llmnr,
                    _ => Source::Netbios,
                };
                // Whoever answers for a name with its own address is called so.
                let own = message.answers.iter().find(|answer| {
                    answer.data.parse::<IpAddr>().is_ok_and(|said| said == address)
                        || app == App::Netbios && answer.kind == "NB" && answer.name.ends_with("<00>")
                });
                if let (Some(answer), Some(mac)) = (own, from)
                    && self.networks.contains(address)
                    && let Some(device) = self.device(mac, time)
                {
                    let name = answer.name.split('<').next().unwrap_or_default();
                    device.is_called(source, name.strip_suffix(".local").unwrap_or(name));
                }
            }
            _ => {}
        }
    }

    /// A flow, or a part of one, is over.
    pub fn flow(&mut self, talk: &Talk<'_>) {
        // What is in a tunnel has the tunnel's MAC addresses.
        let Some([from, to]) = talk.flow.macs.filter(|_| talk.flow.tunnel.is_none()) else { return };
        let [ours, theirs] = talk.flow.sides.map(|side| side.octets);
        if talk.from_inside {
            self.claim(Mac(from), talk.source, talk.flow.end);
            if let Some(device) = self.devices.touch(&Mac(from)) {
                device.sent += ours;
                device.received += theirs;
                device.talks(talk);
            }
        }
        // Whoever has said nothing may not be there.
        if talk.to_inside && !talk.to_many && talk.flow.sides[1].packets > 0 {
            self.claim(Mac(to), talk.destination, talk.flow.end);
            if let Some(device) = self.devices.touch(&Mac(to)) {
                device.sent += theirs;
                device.received += ours;
                match talk.flow.app {
                    Some(App::Dns) => device.plays(Role::Resolver),
                    Some(App::Http | App::Tls | App::Smb | App::Ssh | App::Rdp | App::Smtp | App::Imap) => {
                        device.plays(Role::Server);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The address in a reverse name, RFC 1035 §3.5; that of IPv6 is not looked for.
fn reverse(name: &str) -> Option<IpAddr> {
    let digits = name.trim_end_matches('.').strip_suffix(".in-addr.arpa")?;
    let mut parts = digits.rsplit('.').map(|part| part.parse::<u8>().ok());
    let four = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then(|| IpAddr::from(four))
}

#[cfg(test)]
mod tests;
