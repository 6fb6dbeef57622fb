//! DHCP servers that nobody has asked for.
//!
//! Those that the settings name may give addresses. Where none is named, whoever was first in a network may; a box that is
//! started beside a rogue server therefore takes that one for the right one, which is why the setting exists.

use std::net::{IpAddr, Ipv4Addr};

use super::{Detection, Found, Kind, Severity};
use crate::{app::dhcp::Message, device::Mac, recent::Recent};

/// Networks that are told apart.
const NETWORKS: usize = 1_024;
/// Relays give in a server's name: so many of their MAC addresses are known.
const KNOWN: usize = 256;

/// Knows who may give addresses.
#[derive(Debug)]
pub(super) struct Servers {
    named: Vec<Ipv4Addr>,
    first: Recent<u32, Ipv4Addr>,
    known: Recent<Mac, ()>,
}

impl Servers {
    pub(super) fn new(named: &[Ipv4Addr]) -> Self {
        Self { named: named.to_vec(), first: Recent::new(NETWORKS), known: Recent::new(KNOWN) }
    }

    pub(super) fn is_known(&self, mac: Mac) -> bool {
        self.known.get(&mac).is_some()
    }

    pub(super) fn message(&mut self, time: i64, vlan: u32, mac: Option<Mac>, message: &Message, found: &mut Found) {
        let (Some("offer" | "ack"), Some(server)) = (message.kind, message.server) else { return };
        let right = if self.named.is_empty() {
            *self.first.entry(vlan, || server) == server
        } else {
            self.named.contains(&server)
        };
        if right {
            if let Some(mac) = mac {
                self.known.insert(mac, ());
            }
            return;
        }
        let title = format!("{server} gives addresses, but is not this network's DHCP server");
        let list = |addresses: &[Ipv4Addr]| addresses.iter().map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
        let key = format!("{vlan}:{server}");
        let mut detection = Detection::new(Kind::RogueDhcp, Severity::High, key, title, (time, time))
            .fact("routers it tells", list(&message.routers))
            .fact("name servers it tells", list(&message.resolvers))
            .fact("client", &message.mac);
        if let Some(first) = self.first.get(&vlan).filter(|_| self.named.is_empty()) {
            detection = detection.fact("known server", first);
        }
        (detection.mac, detection.source, detection.port) = (mac, Some(IpAddr::V4(server)), Some(67));
        found.push(detection);
    }
}
