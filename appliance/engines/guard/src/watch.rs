//! What goes on around the flows: names, devices and detections, told from packets as they go by.
//!
//! A [`Watch`] stands beside the flow table as a second [`Sink`] ([`crate::meter::Meter::frame_beside`]) and is handed each
//! flow that is over. It does no IO, its clock is the packets' own, and each part of it is bounded.

use std::net::IpAddr;

use crate::{
    app::{App, certificate::Certificate, dhcp, dns},
    detection::{Detection, Detectors, Lists, Lookup, Networks, SECOND, Talk},
    device::{Device, Inventory, Mac, Makers},
    flow::Flow,
    names::Names,
    packet::{Arp, Datagram, Segment, Sink, TCP, UDP},
    recent::Recent,
    settings::Settings,
};

/// Certificates that are known at once.
const CERTIFICATES: usize = 4_096;
/// Bytes of a message of names that are looked at: EDNS over UDP, with room.
const MESSAGE: usize = 4_096;

/// A certificate and where it was seen.
#[derive(Clone, Debug)]
pub struct Presented {
    /// It.
    pub certificate: Certificate,
    /// Who shows it.
    pub server: IpAddr,
    /// On which port.
    pub port: u16,
    /// The name it was asked for by.
    pub name: Option<String>,
    /// Whether the server is the office's own.
    pub own: bool,
    /// First seen, nanoseconds since 1970 UTC.
    pub first_seen: i64,
    /// Last seen, nanoseconds since 1970 UTC.
    pub last_seen: i64,
    changed: bool,
}

/// Watches.
#[derive(Debug)]
pub struct Watch {
    networks: Networks,
    names: Names,
    inventory: Inventory,
    detectors: Detectors,
    certificates: Recent<(IpAddr, u16, String), Presented>,
    learn: i64,
    /// When watching began, or a device of before was first seen.
    since: Option<i64>,
}

impl Watch {
    /// With nothing seen yet.
    pub fn new(settings: &Settings, makers: Makers, lists: Lists) -> Self {
        let networks = Networks::new(settings.networks.clone());
        Self {
            names: Names::default(),
            inventory: Inventory::new(makers, networks.clone()),
            detectors: Detectors::new(settings, lists),
            certificates: Recent::new(CERTIFICATES),
            learn: i64::from(settings.thresholds.learn_hours) * 3_600 * SECOND,
            since: None,
            networks,
        }
    }

    /// Takes up a device that is known from before.
    pub fn restore(&mut self, device: Device) {
        self.since = Some(self.since.map_or(device.first_seen, |since| since.min(device.first_seen)));
        self.inventory.restore(device);
    }

    /// Other lists from now on.
    pub fn set_lists(&mut self, lists: Lists) {
        self.detectors.set_lists(lists);
    }

    /// A flow, or a part of one, is over; answers the name of its destination.
    pub fn flow(&mut self, flow: &Flow) -> Option<String> {
        let ((source, _), (destination, port)) = (flow.initiator(), flow.responder());
        let (source, destination) = (source.ip(flow.key.six), destination.ip(flow.key.six));
        let tls = flow.facts.as_ref().and_then(|facts| facts.tls.as_ref());
        let said = tls.and_then(|tls| tls.sni.as_deref());
        let host = || flow.facts.as_ref().and_then(|facts| facts.http.first()?.host.as_deref());
        let name = said.or_else(host).map(str::to_owned);
        let name = name.or_else(|| self.names.of(source, destination).map(str::to_owned));
        let talk = Talk::of(flow, name.as_deref(), &self.networks);
        self.inventory.flow(&talk);
        self.detectors.flow(&talk);
        if let Some(certificate) = tls.and_then(|tls| tls.certificates.first()) {
            let key = (destination, port, certificate.sha256.clone());
            let presented = self.certificates.entry(key, || Presented {
                certificate: certificate.clone(),
                server: destination,
                port,
                name: said.map(str::to_owned),
                own: talk.to_inside,
                first_seen: flow.start,
                last_seen: flow.start,
                changed: true,
            });
            presented.last_seen = presented.last_seen.max(flow.start);
        }
        self.settle(flow.end);
        name
    }

    /// What was found.
    pub fn found(&mut self) -> Option<Detection> {
        self.detectors.found()
    }

    /// Detections that were not told again, and those that nobody took in time.
    pub const fn untold(&self) -> (u64, u64) {
        (self.detectors.repeated(), self.detectors.lost())
    }

    /// Devices.
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Devices of which something has changed since this was asked last.
    pub fn changed_devices(&mut self) -> Vec<Device> {
        self.inventory.changed()
    }

    /// Certificates that are new since this was asked last.
    pub fn changed_certificates(&mut self) -> Vec<Presented> {
        let changed = self.certificates.iter_mut().map(|(_, one)| one);
        changed.filter_map(|one| std::mem::take(&mut one.changed).then(|| one.clone())).collect()
    }

    /// Tells of devices that are new, once learning is over.
    fn settle(&mut self, time: i64) {
        let since = *self.since.get_or_insert(time);
        for mac in self.inventory.fresh() {
            if time.saturating_sub(since) < self.learn {
                continue;
            }
            if let Some(device) = self.inventory.get(mac) {
                let address = device.addresses.first().map(|(address, _)| *address);
                self.detectors.device(device.first_seen, mac, address, device.maker.as_deref());
            }
        }
    }

    fn names(&mut self, app: App, datagram: &Datagram<'_>, from: Option<Mac>) {
        let Some(message) = datagram.payload.get(..datagram.payload.len().min(MESSAGE)).and_then(dns::Message::parse)
        else {
            return;
        };
        let source = datagram.source.ip(datagram.six);
        if app == App::Dns {
            let client = if message.response { datagram.destination.ip(datagram.six) } else { source };
            self.names.learn(client, &message);
            self.detectors.lookup(&Lookup { time: datagram.time, client, message: &message });
        }
        self.inventory.names(app, datagram.time, from, source, &message);
    }
}

impl Sink for Watch {
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        let from = datagram.macs.map(|(_, from)| Mac(from)).filter(|_| datagram.tunnel.is_none());
        match datagram.protocol {
            TCP => {
                if let Some(segment) = datagram.segment
                    && segment.has(Segment::SYN)
                    && !segment.has(Segment::ACK)
                {
                    self.inventory.syn(datagram, segment);
                }
            }
            UDP => match (datagram.source_port, datagram.destination_port) {
                (53, _) | (_, 53) => self.names(App::Dns, datagram, from),
                (5353, _) | (_, 5353) => self.names(App::Mdns, datagram, from),
                (5355, _) | (_, 5355) => self.names(App::Llmnr, datagram, from),
                (137, _) | (_, 137) => self.names(App::Netbios, datagram, from),
                (67 | 68, 67 | 68) => {
                    if let Some(message) = dhcp::Message::parse(datagram.payload) {
                        self.detectors.dhcp(datagram.time, datagram.vlan, from, &message);
                        let trusted = from.is_some_and(|mac| self.detectors.is_dhcp_server(mac));
                        self.inventory.dhcp(datagram.time, from, &message, trusted);
                        self.settle(datagram.time);
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn arp(&mut self, arp: &Arp) {
        let sender = IpAddr::V4(arp.sender.1);
        let router = self.inventory.is_router(sender);
        // Whoever asks for itself announces itself.
        let unknown = arp.target.1 != arp.sender.1 && self.inventory.holder(IpAddr::V4(arp.target.1)).is_none();
        self.detectors.arp(arp, router, unknown);
        self.inventory.claim(Mac(arp.sender.0), sender, arp.time);
        self.settle(arp.time);
    }
}
