//! Scans: one host asks many ports of another (vertical), or many hosts on one port (horizontal), and hardly anybody
//! answers.
//!
//! Only what failed counts: TCP that was refused or not answered, UDP and echo requests into the office that were not
//! answered, and ARP for addresses that nobody has. So a busy server, a resolver or a page with a hundred hosts is none.

use std::net::IpAddr;

use super::{Detection, Found, Kind, SECOND, Severity, Talk, hash};
use crate::{
    device::Mac,
    flow::State,
    packet::{Arp, ICMP, ICMP6, Segment, TCP, UDP},
    recent::{Distinct, Recent},
    settings::Thresholds,
};

/// Pairs of a source and what it asks for that are counted at once.
const COUNTED: usize = 8_192;
/// ICMP's and ICMPv6's echo request.
const ECHO: [u16; 2] = [8, 128];

/// What a source asks many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Subject {
    /// Ports of a host.
    Host(IpAddr),
    /// Hosts on a port of a protocol.
    Port(u8, u16),
}

/// Counts what failed.
#[derive(Debug)]
pub(super) struct Scans {
    failed: Recent<(IpAddr, Subject), Distinct>,
    arps: Recent<(Mac, u32), Distinct>,
}

impl Default for Scans {
    fn default() -> Self {
        Self { failed: Recent::new(COUNTED), arps: Recent::new(COUNTED / 8) }
    }
}

impl Scans {
    pub(super) fn flow(&mut self, talk: &Talk<'_>, thresholds: &Thresholds, found: &mut Found) {
        if !has_failed(talk) {
            return;
        }
        let window = i64::from(thresholds.scan_seconds) * SECOND;
        let protocol = talk.flow.key.protocol;
        let echo = matches!(protocol, ICMP | ICMP6);
        let port = if echo { 0 } else { talk.port };
        let counted = [
            (Subject::Host(talk.destination), hash((protocol, port)), thresholds.scan_ports),
            (Subject::Port(protocol, port), hash(talk.destination), thresholds.scan_hosts),
        ];
        for (subject, thing, most) in counted {
            let most = most as usize;
            let distinct = self.failed.entry((talk.source, subject), Distinct::default);
            if distinct.add(thing, talk.flow.start, window, most) < most {
                continue;
            }
            let since = distinct.since();
            distinct.clear();
            let severity = if talk.from_inside { Severity::High } else { Severity::Medium };
            let span = (since.min(talk.flow.start), talk.flow.end);
            let source = talk.source;
            let mut detection = match subject {
                Subject::Host(host) => {
                    let title = format!("{source} tries the ports of {host}");
                    let mut detection = Detection::new(Kind::Scan, severity, format!("{source}:{host}"), title, span);
                    detection.destination = Some(host);
                    detection.fact("ports", format!("{most} that did not answer, the last of them {port}"))
                }
                Subject::Port(protocol, port) => {
                    let what = if echo { "echo requests".to_owned() } else { format!("port {port}") };
                    let title = format!("{source} looks for hosts: {what}");
                    let key = format!("{source}:{protocol}/{port}");
                    let mut detection = Detection::new(Kind::Scan, severity, key, title, span);
                    detection.port = (!echo).then_some(port);
                    detection
                        .fact("hosts", format!("{most} that did not answer, the last of them {}", talk.destination))
                }
            };
            (detection.mac, detection.source, detection.protocol) = (talk.source_mac, Some(source), Some(protocol));
            found.push(detection);
        }
    }

    /// Somebody asks for an address that nobody has.
    pub(super) fn arp(&mut self, arp: &Arp, thresholds: &Thresholds, found: &mut Found) {
        // 2 answers.
        if arp.operation != 1 {
            return;
        }
        let (mac, most) = (Mac(arp.sender.0), thresholds.scan_hosts as usize);
        let window = i64::from(thresholds.scan_seconds) * SECOND;
        let distinct = self.arps.entry((mac, arp.vlan), Distinct::default);
        if distinct.add(hash(arp.target.1), arp.time, window, most) < most {
            return;
        }
        let since = distinct.since();
        distinct.clear();
        let title = format!("{} looks for hosts: ARP", arp.sender.1);
        let mut detection =
            Detection::new(Kind::Scan, Severity::Medium, format!("arp:{mac}"), title, (since.min(arp.time), arp.time))
                .fact("addresses", format!("{most} that nobody has, the last of them {}", arp.target.1));
        detection.mac = Some(mac);
        detection.source = Some(IpAddr::V4(arp.sender.1)).filter(|address| !address.is_unspecified());
        found.push(detection);
    }
}

fn has_failed(talk: &Talk<'_>) -> bool {
    let flow = talk.flow;
    if talk.to_many || flow.part > 0 {
        return false;
    }
    match flow.key.protocol {
        TCP => match flow.state {
            // Whoever acknowledges was answered, although it was not seen here.
            State::Unanswered => flow.sides[0].flags & Segment::ACK == 0,
            State::Refused => flow.sides[1].payload == 0,
            // Half-open scans: answered, and reset at once without a word.
            State::Reset => flow.sides[0].flags & Segment::SYN != 0 && flow.sides.iter().all(|side| side.payload == 0),
            State::Answered | State::Closed => false,
        },
        UDP => flow.state == State::Unanswered && talk.to_inside,
        ICMP | ICMP6 => flow.state == State::Unanswered && talk.to_inside && ECHO.contains(&flow.initiator().1),
        _ => false,
    }
}
