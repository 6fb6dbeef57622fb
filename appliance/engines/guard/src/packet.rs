//! From a frame to what it carries: link layers, tags, tunnels, IP and its fragments, down to TCP and UDP.
//!
//! [`Decoder`] is handed frames and hands every IP datagram it finds, outer ones first, to a [`Sink`]. A datagram that
//! is a tunnel's outer packet is handed over too, so that no byte disappears. Bytes are sliced, never copied, except for
//! fragments. Nesting ends at [`DEPTH`], fragments are bounded ([`fragment`]); whatever cannot be read is counted in
//! [`Counts`] and skipped.
//!
//! Checksums are not verified: capturing hosts see their own packets before the network card fills them in. Lengths are:
//! a payload ends where its IP header says, and what the capture cut off is told in [`Datagram::cut`].

pub mod fragment;
mod link;
mod network;
mod tunnel;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::capture::Frame;

/// How deep tunnels may be nested.
pub const DEPTH: u8 = 8;

/// ICMP, RFC 792.
pub const ICMP: u8 = 1;
/// TCP, RFC 9293.
pub const TCP: u8 = 6;
/// UDP, RFC 768.
pub const UDP: u8 = 17;
/// ICMPv6, RFC 4443.
pub const ICMP6: u8 = 58;
/// SCTP, RFC 9260.
pub const SCTP: u8 = 132;

/// What a datagram was, or is, wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// IPv4 or IPv6 in IP: protocols 4 and 41.
    Ip,
    /// RFC 2784, 2890; RFC 2637 for PPTP; RFC 8086 over UDP.
    Gre,
    /// Mirrored frames, types I to III.
    Erspan,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// RFC 4380.
    Teredo,
    /// 3GPP TS 29.281, user plane.
    Gtp,
    /// draft-massar-v6ops-ayiya.
    Ayiya,
    /// RFC 7510, over UDP.
    Mpls,
}

impl Tunnel {
    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip-in-ip",
            Self::Gre => "gre",
            Self::Erspan => "erspan",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Teredo => "teredo",
            Self::Gtp => "gtp-u",
            Self::Ayiya => "ayiya",
            Self::Mpls => "mpls-in-udp",
        }
    }
}

/// An address of either family in one number; IPv4 in its lower 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(pub u128);

impl Address {
    /// Of IPv4.
    pub fn four(bytes: [u8; 4]) -> Self {
        Self(u128::from(u32::from_be_bytes(bytes)))
    }

    /// Of IPv6.
    pub const fn six(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// As the standard library has it; the family is not part of the number.
    #[allow(clippy::cast_possible_truncation, reason = "IPv4 lies in the lower 32 bits")]
    pub const fn ip(self, six: bool) -> IpAddr {
        if six { IpAddr::V6(Ipv6Addr::from_bits(self.0)) } else { IpAddr::V4(Ipv4Addr::from_bits(self.0 as u32)) }
    }
}

/// TCP's part of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the first byte.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// The flags' low byte: [`Segment::FIN`] and its neighbours.
    pub flags: u8,
    /// The window as it stands in the header, unscaled.
    pub window: u16,
}

impl Segment {
    /// No more data.
    pub const FIN: u8 = 0x01;
    /// Synchronise.
    pub const SYN: u8 = 0x02;
    /// Reset.
    pub const RST: u8 = 0x04;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 0x10;

    /// Whether a flag is set.
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// One IP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// When its (last) packet came, in nanoseconds since 1970 UTC.
    pub time: i64,
    /// Whether addresses are IPv6.
    pub six: bool,
    /// From.
    pub source: Address,
    /// To.
    pub destination: Address,
    /// IP protocol number of what it carries.
    pub protocol: u8,
    /// Hops it may still go: IPv4's time to live, IPv6's hop limit.
    pub hops: u8,
    /// TCP's, UDP's or SCTP's port; ICMP's type.
    pub source_port: u16,
    /// TCP's, UDP's or SCTP's port; ICMP's code.
    pub destination_port: u16,
    /// When it is TCP.
    pub segment: Option<Segment>,
    /// What the transport carries.
    pub payload: &'a [u8],
    /// Bytes of the payload that the capture cut off.
    pub cut: u32,
    /// IP packets it came in: more than one where it was fragmented.
    pub packets: u32,
    /// Their bytes, IP headers included.
    pub octets: u32,
    /// Outer and inner VLAN, 12 bits each; 0 without.
    pub vlan: u32,
    /// The tunnel it came out of.
    pub tunnel: Option<Tunnel>,
    /// The tunnel it is the outer packet of; what was in it follows.
    pub carries: Option<Tunnel>,
    /// MAC addresses (destination, source) of the frame, where it has them.
    pub macs: Option<([u8; 6], [u8; 6])>,
}

/// An ARP packet for Ethernet and IPv4, RFC 826.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// When, in nanoseconds since 1970 UTC.
    pub time: i64,
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Who says so.
    pub sender: ([u8; 6], Ipv4Addr),
    /// About or to whom.
    pub target: ([u8; 6], Ipv4Addr),
    /// Outer and inner VLAN, as in [`Datagram::vlan`].
    pub vlan: u32,
}

/// Takes what the decoder finds.
pub trait Sink {
    /// An IP datagram.
    fn datagram(&mut self, datagram: &Datagram<'_>);
    /// An ARP packet.
    fn arp(&mut self, _arp: &Arp) {}
}

/// How many of what were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames.
    pub frames: u64,
    /// IP packets, inner ones and fragments included.
    pub packets: u64,
    /// ARP packets.
    pub arp: u64,
    /// Frames that carry neither IP nor ARP (spanning tree, LLDP, encrypted Wi-Fi …).
    pub other: u64,
    /// Frames of link types that are not spoken here.
    pub unknown_links: u64,
    /// Headers that contradict themselves.
    pub malformed: u64,
    /// Headers that the capture cut off.
    pub cut: u64,
    /// Packets nested deeper than [`DEPTH`].
    pub too_deep: u64,
}

/// Where we are inside a frame.
#[derive(Clone, Copy)]
struct Context {
    time: i64,
    depth: u8,
    vlan: u32,
    tunnel: Option<Tunnel>,
    macs: Option<([u8; 6], [u8; 6])>,
}

impl Context {
    const fn inside(self, tunnel: Tunnel) -> Self {
        Self { depth: self.depth + 1, tunnel: Some(tunnel), ..self }
    }
}

/// Takes frames apart.
#[derive(Debug)]
pub struct Decoder {
    fragments: fragment::Reassembler,
    counts: Counts,
}

impl Decoder {
    /// With room for `fragments` bytes of datagrams in pieces.
    pub fn new(fragments: usize) -> Self {
        Self { fragments: fragment::Reassembler::new(fragments), counts: Counts::default() }
    }

    /// What was seen so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What became of the fragments so far.
    pub const fn fragments(&self) -> fragment::Counts {
        self.fragments.counts()
    }

    /// Takes one frame apart.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut impl Sink) {
        self.counts.frames += 1;
        let context = Context { time: frame.time, depth: 0, vlan: 0, tunnel: None, macs: None };
        self.link(frame.link, frame.data, context, sink);
    }
}

#[cfg(test)]
mod tests;
