//! What looks like trouble, told from flows and from what packets say in the clear.
//!
//! Each detector is handed what was seen, with the packets' own time, and keeps a bounded memory ([`Recent`]): a flood makes
//! it forget, never grow. What it finds is a [`Detection`]; the same trouble again within
//! [`Thresholds::repeat_minutes`](crate::settings::Thresholds) is counted, not told again ([`Detectors::repeated`]).
//! Thresholds are settings; the defaults are documented there.

mod arp;
mod beacon;
mod certificates;
mod dhcp;
pub mod lists;
mod login;
mod scan;
mod tunnel;
mod upload;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    hash::BuildHasher,
    net::IpAddr,
};

use foldhash::fast::FixedState;
use ipnet::IpNet;
use serde::Serialize;

use crate::{
    app::{dhcp::Message as DhcpMessage, dns},
    device::Mac,
    flow::Flow,
    packet::Arp,
    recent::Recent,
    settings::{Settings, Thresholds},
};

pub use lists::{Entries, Lists};

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// Different troubles that are remembered as told.
const TOLD: usize = 8_192;
/// Detections that wait to be taken.
const WAITING: usize = 1_024;

/// What kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One host asks many ports or many hosts that do not answer.
    Scan,
    /// Connections to the outside like clockwork.
    Beacon,
    /// Data in the names that are looked up.
    DnsTunnel,
    /// A device sends a lot to one address outside.
    LargeUpload,
    /// A device nobody has seen before.
    NewDevice,
    /// Somebody gives addresses who should not.
    RogueDhcp,
    /// Two devices claim one address.
    ArpSpoofing,
    /// A password went over the network in the clear.
    PlaintextPassword,
    /// Traffic to or from what a list names.
    Listed,
    /// A certificate that has ended, will end, signs itself, or is weak.
    Certificate,
}

impl Kind {
    /// All, as the settings page and the export number them (from 1).
    pub const ALL: [Self; 10] = [
        Self::Scan,
        Self::Beacon,
        Self::DnsTunnel,
        Self::LargeUpload,
        Self::NewDevice,
        Self::RogueDhcp,
        Self::ArpSpoofing,
        Self::PlaintextPassword,
        Self::Listed,
        Self::Certificate,
    ];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Beacon => "beacon",
            Self::DnsTunnel => "dns_tunnel",
            Self::LargeUpload => "large_upload",
            Self::NewDevice => "new_device",
            Self::RogueDhcp => "rogue_dhcp",
            Self::ArpSpoofing => "arp_spoofing",
            Self::PlaintextPassword => "plaintext_password",
            Self::Listed => "listed",
            Self::Certificate => "certificate",
        }
    }
}

/// How bad it is if it is what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody should know.
    Low,
    /// Somebody should look.
    Medium,
    /// Somebody should look now.
    High,
}

impl Severity {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Something that looks like trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// What kind.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// What it is about: the same trouble again has the same key.
    pub key: String,
    /// Headline.
    pub title: String,
    /// First evidence, nanoseconds since 1970 UTC.
    pub start: i64,
    /// Last evidence, nanoseconds since 1970 UTC.
    pub end: i64,
    /// The device.
    pub mac: Option<Mac>,
    /// Who did it.
    pub source: Option<IpAddr>,
    /// To whom.
    pub destination: Option<IpAddr>,
    /// On which port.
    pub port: Option<u16>,
    /// IP protocol.
    pub protocol: Option<u8>,
    /// The flow that shows it, where one does.
    pub community_id: Option<String>,
    /// What was seen, in words and numbers.
    pub facts: BTreeMap<&'static str, String>,
}

impl Detection {
    fn new(kind: Kind, severity: Severity, key: String, title: String, (start, end): (i64, i64)) -> Self {
        let facts = BTreeMap::new();
        let (mac, source, destination, port, protocol) = (None, None, None, None, None);
        let key = format!("{}:{key}", kind.name());
        Self {
            kind,
            severity,
            key,
            title,
            start,
            end,
            mac,
            source,
            destination,
            port,
            protocol,
            community_id: None,
            facts,
        }
    }

    fn fact(mut self, name: &'static str, value: impl ToString) -> Self {
        self.facts.insert(name, value.to_string());
        self
    }

    /// The ends, and the flow that shows it.
    fn shown_by(mut self, talk: &Talk<'_>) -> Self {
        self.mac = talk.source_mac;
        (self.source, self.destination) = (Some(talk.source), Some(talk.destination));
        (self.port, self.protocol) = (Some(talk.port), Some(talk.flow.key.protocol));
        self.community_id = Some(talk.flow.community_id());
        self
    }
}

/// The office's own networks.
#[derive(Clone, Debug, Default)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Of the settings.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether an address is the office's own; the machine's own inside always is.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.0.iter().any(|network| network.contains(&address))
    }
}

/// A flow with what is known around it.
#[derive(Clone, Copy, Debug)]
pub struct Talk<'a> {
    /// The flow.
    pub flow: &'a Flow,
    /// Who began.
    pub source: IpAddr,
    /// Who was asked.
    pub destination: IpAddr,
    /// On which port.
    pub port: u16,
    /// The name that was looked up, or that the flow itself tells.
    pub name: Option<&'a str>,
    /// Whether the office's own device began.
    pub from_inside: bool,
    /// Whether the office's own device was asked.
    pub to_inside: bool,
    /// Whether it goes to many.
    pub to_many: bool,
    /// The device that began, if it is the office's own.
    pub source_mac: Option<Mac>,
}

impl<'a> Talk<'a> {
    /// Of a flow.
    pub fn of(flow: &'a Flow, name: Option<&'a str>, networks: &Networks) -> Self {
        let ((source, _), (destination, port)) = (flow.initiator(), flow.responder());
        let (source, destination) = (source.ip(flow.key.six), destination.ip(flow.key.six));
        let broadcast = matches!(destination, IpAddr::V4(four) if four.is_broadcast());
        let group = flow.macs.is_some_and(|[_, to]| Mac(to).is_group());
        let from_inside = networks.contains(source);
        Self {
            flow,
            source,
            destination,
            port,
            name,
            from_inside,
            to_inside: networks.contains(destination),
            to_many: destination.is_multicast() || broadcast || group,
            source_mac: flow.macs.map(|[from, _]| Mac(from)).filter(|_| from_inside),
        }
    }

    /// The other end's name, or its address.
    pub fn whom(&self) -> String {
        self.name.map_or_else(|| self.destination.to_string(), str::to_owned)
    }
}

/// A DNS message on its way.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// When, nanoseconds since 1970 UTC.
    pub time: i64,
    /// Who asks, or is answered.
    pub client: IpAddr,
    /// What is said.
    pub message: &'a dns::Message,
}

/// All detectors.
#[derive(Debug)]
pub struct Detectors {
    thresholds: Thresholds,
    ignore: Entries,
    lists: Lists,
    scan: scan::Scans,
    beacon: beacon::Beacons,
    tunnel: tunnel::Tunnels,
    upload: upload::Uploads,
    dhcp: dhcp::Servers,
    arp: arp::Claims,
    told: Recent<String, i64>,
    found: VecDeque<Detection>,
    repeated: u64,
    lost: u64,
}

/// Where detectors put what they find.
type Found = Vec<Detection>;

impl Detectors {
    /// With nothing seen yet.
    pub fn new(settings: &Settings, lists: Lists) -> Self {
        Self {
            thresholds: settings.thresholds.clone(),
            ignore: Entries::of(&settings.ignore),
            lists,
            scan: scan::Scans::default(),
            beacon: beacon::Beacons::default(),
            tunnel: tunnel::Tunnels::default(),
            upload: upload::Uploads::default(),
            dhcp: dhcp::Servers::new(&settings.dhcp_servers),
            arp: arp::Claims::default(),
            told: Recent::new(TOLD),
            found: VecDeque::new(),
            repeated: 0,
            lost: 0,
        }
    }

    /// Other lists from now on.
    pub fn set_lists(&mut self, lists: Lists) {
        self.lists = lists;
    }

    /// What was found.
    pub fn found(&mut self) -> Option<Detection> {
        self.found.pop_front()
    }

    /// Detections that were not told again.
    pub const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Detections that nobody took in time.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// A flow, or a part of one, is over.
    pub fn flow(&mut self, talk: &Talk<'_>) {
        let ignored = self.ignore.address(talk.source).is_some()
            || self.ignore.address(talk.destination).is_some()
            || talk.name.is_some_and(|name| self.ignore.domain(name).is_some());
        if ignored {
            return;
        }
        let mut found = Found::new();
        self.scan.flow(talk, &self.thresholds, &mut found);
        self.beacon.flow(talk, &self.thresholds, &mut found);
        self.upload.flow(talk, &self.thresholds, &mut found);
        login::flow(talk, &mut found);
        certificates::flow(talk, &self.thresholds, &mut found);
        self.lists.flow(talk, &mut found);
        self.tell(found);
    }

    /// A DNS message went by.
    pub fn lookup(&mut self, lookup: &Lookup<'_>) {
        let mut found = Found::new();
        self.tunnel.lookup(lookup, &self.thresholds, &self.ignore, &mut found);
        self.lists.lookup(lookup, &mut found);
        self.tell(found);
    }

    /// A DHCP message went by; `mac` sent it.
    pub fn dhcp(&mut self, time: i64, vlan: u32, mac: Option<Mac>, message: &DhcpMessage) {
        let mut found = Found::new();
        self.dhcp.message(time, vlan, mac, message, &mut found);
        self.tell(found);
    }

    /// Whether somebody is known to give addresses rightly.
    pub fn is_dhcp_server(&self, mac: Mac) -> bool {
        self.dhcp.is_known(mac)
    }

    /// An ARP packet went by. `router` says whether the sender's address is a router's, `unknown` whether nobody has the
    /// address that is asked for.
    pub fn arp(&mut self, arp: &Arp, router: bool, unknown: bool) {
        let mut found = Found::new();
        self.arp.packet(arp, router, &mut found);
        if unknown {
            self.scan.arp(arp, &self.thresholds, &mut found);
        }
        self.tell(found);
    }

    /// A device was seen for the first time.
    pub fn device(&mut self, time: i64, mac: Mac, address: Option<IpAddr>, maker: Option<&str>) {
        let severity = if mac.is_random() { Severity::Low } else { Severity::Medium };
        let shown = maker.map_or_else(|| mac.to_string(), |maker| format!("{mac} ({maker})"));
        let mut detection =
            Detection::new(Kind::NewDevice, severity, mac.to_string(), format!("new device {shown}"), (time, time));
        if let Some(maker) = maker {
            detection = detection.fact("maker", maker);
        }
        if mac.is_random() {
            detection = detection.fact("address", "chosen at random by the device, as telephones do");
        }
        (detection.mac, detection.source) = (Some(mac), address);
        self.tell(vec![detection]);
    }

    fn tell(&mut self, found: Found) {
        let window = i64::from(self.thresholds.repeat_minutes) * 60 * SECOND;
        for detection in found {
            let told = self.told.touch(&detection.key);
            if let Some(at) = told
                && (detection.end - *at).abs() < window
            {
                self.repeated += 1;
                continue;
            }
            self.told.insert(detection.key.clone(), detection.end);
            if self.found.len() == WAITING {
                self.found.pop_front();
                self.lost += 1;
            }
            self.found.push_back(detection);
        }
    }
}

/// A hash that is the same in each run: what is counted apart must not depend on chance.
pub(crate) fn hash(thing: impl std::hash::Hash) -> u64 {
    FixedState::with_seed(0x5e47).hash_one(thing)
}
