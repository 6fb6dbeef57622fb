//! A flow as it leaves: one JSON object.
//!
//! Times are microseconds since 1970 UTC. Keys that are unknown are left out.

use std::net::IpAddr;

use serde::Serialize;

use crate::{
    app::Facts,
    flow::{Flow, Side, State},
    packet::{ICMP, ICMP6, SCTP, TCP, UDP},
};

/// A flow, ready to be written.
#[derive(Debug, Serialize)]
pub struct Record<'a> {
    /// Community id, version 1.
    pub community_id: String,
    /// `tcp`, `udp`, `icmp`, `icmp6`, `sctp`, or the protocol's number.
    pub proto: Protocol,
    /// Who began.
    pub src: IpAddr,
    /// Its port; ICMP's type.
    pub sport: u16,
    /// Who was asked.
    pub dst: IpAddr,
    /// Its port; ICMP's code or the type of the answer.
    pub dport: u16,
    /// IP packets of both sides.
    pub packets: u64,
    /// Their bytes, IP headers included.
    pub bytes: u64,
    /// Those that the initiator sent.
    pub src_packets: u64,
    /// Bytes that the initiator sent.
    pub src_bytes: u64,
    /// How it stands.
    pub state: State,
    /// What is spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<&'static str>,
    /// TLS server name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<&'a str>,
    /// TLS client fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<&'a str>,
    /// Application protocols that the client offered.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub alpn: &'a [String],
    /// First packet, microseconds since 1970 UTC.
    pub start: i64,
    /// Last packet, microseconds since 1970 UTC.
    pub end: i64,
    /// Which part of a long flow, from 0: a live capture tells of them while they last.
    #[serde(skip_serializing_if = "is_first")]
    pub part: u32,
    /// Outer VLAN, then inner.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vlan: Vec<u16>,
    /// The tunnel it came out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<&'static str>,
    /// What was said.
    #[serde(flatten)]
    pub facts: Option<&'a Facts>,
}

/// An IP protocol's name or number.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Protocol {
    /// It has a name.
    Named(&'static str),
    /// It has a number.
    Numbered(u8),
}

impl Protocol {
    /// Of a number.
    pub const fn of(number: u8) -> Self {
        match number {
            TCP => Self::Named("tcp"),
            UDP => Self::Named("udp"),
            ICMP => Self::Named("icmp"),
            ICMP6 => Self::Named("icmp6"),
            SCTP => Self::Named("sctp"),
            number => Self::Numbered(number),
        }
    }
}

impl<'a> Record<'a> {
    /// Of a flow.
    pub fn of(flow: &'a Flow) -> Self {
        let ((source, sport), (destination, dport)) = (flow.initiator(), flow.responder());
        let [ours, theirs] = Side::BOTH.map(|side| flow.sides[side.index()]);
        let facts = flow.facts.as_deref();
        let tls = facts.and_then(|facts| facts.tls.as_ref());
        let vlan = [flow.key.vlan >> 12, flow.key.vlan & 0x0fff];
        Self {
            community_id: flow.community_id(),
            proto: Protocol::of(flow.key.protocol),
            src: source.ip(flow.key.six),
            sport,
            dst: destination.ip(flow.key.six),
            dport,
            packets: ours.packets + theirs.packets,
            bytes: ours.octets + theirs.octets,
            src_packets: ours.packets,
            src_bytes: ours.octets,
            state: flow.state,
            app: flow.app.map(|app| app.name()),
            sni: tls.and_then(|tls| tls.sni.as_deref()),
            ja4: tls.and_then(|tls| tls.ja4.as_deref()),
            alpn: tls.map_or(&[], |tls| &tls.alpn),
            start: flow.start.div_euclid(1_000),
            end: flow.end.div_euclid(1_000),
            part: flow.part,
            // Twelve bits each.
            vlan: vlan.into_iter().filter(|tag| *tag != 0).filter_map(|tag| u16::try_from(tag).ok()).collect(),
            tunnel: flow.tunnel.map(|tunnel| tunnel.name()),
            facts,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_first(part: &u32) -> bool {
    *part == 0
}
