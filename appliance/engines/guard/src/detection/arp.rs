//! ARP spoofing: two devices claim one address.
//!
//! An address that moves once is a lease that was given anew. One that goes back and forth within minutes is claimed by
//! both; and a router's address does not move at all. Addresses that are shared on purpose (VRRP, HSRP, CARP) have a
//! hardware address of their own and are left out.

use std::net::{IpAddr, Ipv4Addr};

use super::{Detection, Found, Kind, SECOND, Severity};
use crate::{device::Mac, packet::Arp, recent::Recent};

/// Addresses that are watched at once.
const WATCHED: usize = 8_192;
/// How long a change counts.
const WINDOW: i64 = 600 * SECOND;

#[derive(Clone, Copy, Debug)]
struct Claim {
    mac: Mac,
    /// Last claimed.
    at: i64,
    /// Who claimed it before, and until when.
    before: Option<(Mac, i64)>,
}

/// Knows who claims what.
#[derive(Debug)]
pub(super) struct Claims {
    claims: Recent<(u32, Ipv4Addr), Claim>,
}

impl Default for Claims {
    fn default() -> Self {
        Self { claims: Recent::new(WATCHED) }
    }
}

impl Claims {
    pub(super) fn packet(&mut self, arp: &Arp, router: bool, found: &mut Found) {
        let (mac, address) = (Mac(arp.sender.0), arp.sender.1);
        // RFC 5227's probes claim nothing.
        if address.is_unspecified() || mac.is_shared() || mac.is_group() || mac == Mac([0; 6]) {
            return;
        }
        let claim = self.claims.entry((arp.vlan, address), || Claim { mac, at: arp.time, before: None });
        if claim.mac == mac {
            claim.at = claim.at.max(arp.time);
            return;
        }
        let recent = |at: i64| (arp.time - at).abs() <= WINDOW;
        let back = claim.before.is_some_and(|(before, until)| before == mac && recent(until));
        let other = claim.mac;
        let fresh = recent(claim.at);
        let since = claim.before.map_or(claim.at, |(_, until)| until).min(arp.time);
        *claim = Claim { mac, at: arp.time, before: Some((other, claim.at)) };
        if !fresh || !back && !router {
            return;
        }
        let title = if router {
            format!("the router's address {address} is claimed by another device")
        } else {
            format!("two devices claim the address {address}")
        };
        let key = format!("{}:{address}", arp.vlan);
        let mut detection = Detection::new(Kind::ArpSpoofing, Severity::High, key, title, (since, arp.time))
            .fact("claimed by", mac)
            .fact("and by", other);
        (detection.mac, detection.source) = (Some(mac), Some(IpAddr::V4(address)));
        found.push(detection);
    }
}
