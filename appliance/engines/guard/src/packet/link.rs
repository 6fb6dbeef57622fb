//! Link layers and everything between them and IP: VLAN and provider tags, MPLS, PPP, LLC, Wi-Fi.

use std::net::Ipv4Addr;

use super::{Arp, Context, DEPTH, Decoder, Sink};
use crate::wire::{Cursor, u16_at};

/// Largest value of an Ethernet type field that is a length: IEEE 802.3 §3.2.6.
const LONGEST: u16 = 1500;

impl Decoder {
    /// A frame of one of the LINKTYPE registry's kinds.
    pub(super) fn link(&mut self, link: u16, bytes: &[u8], context: Context, sink: &mut impl Sink) {
        let found = match link {
            1 => self.ethernet(bytes, context, sink),
            0 | 108 => self.loopback(bytes, context, sink),
            12 | 14 | 101 | 228 | 229 => {
                self.ip(bytes, context, sink);
                Some(())
            }
            9 | 50 => self.ppp(bytes, context, sink),
            51 => self.pppoe(bytes, context, sink),
            // FDDI: frame control and two addresses, then LLC.
            10 => bytes.get(13..).and_then(|rest| self.llc(rest, context, sink)),
            // Cisco HDLC: address and control, then an Ethernet type.
            104 => u16_at(bytes, 2).and_then(|kind| self.ether(kind, bytes.get(4..)?, context, sink)),
            105 => self.wifi(bytes, context, sink),
            113 => u16_at(bytes, 14).and_then(|kind| self.cooked(kind, bytes.get(16..)?, context, sink)),
            276 => u16_at(bytes, 0).and_then(|kind| self.cooked(kind, bytes.get(20..)?, context, sink)),
            119 => self.prism(bytes, context, sink),
            127 => radiotap(bytes).and_then(|rest| self.wifi(rest, context, sink)),
            163 => avs(bytes).and_then(|rest| self.wifi(rest, context, sink)),
            192 => self.per_packet(bytes, context, sink),
            239 => self.nflog(bytes, context, sink),
            // IEEE 802.3br mPackets: preamble and start delimiter first.
            274 => bytes.get(8..).and_then(|rest| self.ethernet(rest, context, sink)),
            _ => {
                self.counts.unknown_links += 1;
                Some(())
            }
        };
        if found.is_none() {
            self.counts.cut += 1;
        }
    }

    /// Ethernet II and 802.3. `None` from here on means that the capture or the frame ends too early.
    pub(super) fn ethernet(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let (head, rest) = bytes.split_first_chunk::<14>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, high, low] = *head;
        let macs = Some(([d0, d1, d2, d3, d4, d5], [s0, s1, s2, s3, s4, s5]));
        let kind = u16::from_be_bytes([high, low]);
        self.ether(kind, rest, Context { macs, ..context }, sink)
    }

    /// What follows an Ethernet type.
    pub(super) fn ether(&mut self, kind: u16, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let (mut kind, mut bytes, mut context) = (kind, bytes, context);
        // A frame holds no more tags than it has bytes: this ends.
        loop {
            match kind {
                0x0800 | 0x86dd => self.ip(bytes, context, sink),
                0x0806 => return self.arp(bytes, context, sink),
                // 802.1Q, 802.1ad and what was used before it.
                0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                    let tag = u32::from(u16_at(bytes, 0)? & 0x0fff);
                    context.vlan = if context.vlan == 0 { tag << 12 } else { context.vlan & 0xff_f000 | tag };
                    kind = u16_at(bytes, 2)?;
                    bytes = &bytes[4..];
                    continue;
                }
                // 802.1BR's predecessor VN-Tag.
                0x8926 => {
                    kind = u16_at(bytes, 4)?;
                    bytes = &bytes[6..];
                    continue;
                }
                // 802.1ah: a service tag of four bytes, then the customer's frame.
                0x88e7 => return self.nested_ethernet(bytes.get(4..)?, context, sink),
                // Cisco FabricPath: its own addresses were read as Ethernet's; a tag follows them.
                0x8903 => return self.nested_ethernet(bytes.get(2..)?, context, sink),
                0x8847 | 0x8848 => return self.mpls(bytes, context, sink),
                0x8864 => return self.pppoe(bytes, context, sink),
                0..=LONGEST => return self.llc(bytes, context, sink),
                _ => self.counts.other += 1,
            }
            return Some(());
        }
    }

    fn nested_ethernet(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        if context.depth >= DEPTH {
            self.counts.too_deep += 1;
            return Some(());
        }
        self.ethernet(bytes, Context { depth: context.depth + 1, ..context }, sink)
    }

    fn arp(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        let head = cursor.array::<6>()?;
        self.counts.arp += 1;
        // Ethernet, IPv4.
        if head != [0, 1, 8, 0, 6, 4] {
            return Some(());
        }
        let operation = cursor.u16()?;
        let sender = (cursor.array()?, Ipv4Addr::from(cursor.array::<4>()?));
        let target = (cursor.array()?, Ipv4Addr::from(cursor.array::<4>()?));
        sink.arp(&Arp { time: context.time, operation, sender, target, vlan: context.vlan });
        Some(())
    }

    /// A stack of MPLS labels, RFC 3032, and what its first nibble says lies below: IP, or Ethernet with or without the
    /// control word of RFC 4448.
    pub(super) fn mpls(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        while cursor.u32()? & 0x100 == 0 {}
        let rest = cursor.rest();
        match rest.first()? >> 4 {
            4 | 6 => {
                self.ip(rest, context, sink);
                Some(())
            }
            0 => self.nested_ethernet(rest.get(4..)?, context, sink),
            _ => self.nested_ethernet(rest, context, sink),
        }
    }

    /// PPPoE's session stage, RFC 2516 §4.
    fn pppoe(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        self.ppp(bytes.get(6..)?, context, sink)
    }

    /// PPP, RFC 1661 and 1662: address and control may be left out, the protocol may be one byte.
    pub(super) fn ppp(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let bytes = bytes.strip_prefix(&[0xff, 0x03]).unwrap_or(bytes);
        let (protocol, rest) = match *bytes {
            [low, ref rest @ ..] if low & 1 == 1 => (u16::from(low), rest),
            [high, low, ref rest @ ..] => (u16::from_be_bytes([high, low]), rest),
            _ => return None,
        };
        match protocol {
            0x0021 | 0x0057 => self.ip(rest, context, sink),
            0x0281 => return self.mpls(rest, context, sink),
            _ => self.counts.other += 1,
        }
        Some(())
    }

    /// BSD's loopback: the address family, in the byte order of whoever captured.
    fn loopback(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let (family, rest) = bytes.split_first_chunk::<4>()?;
        match u32::from_le_bytes(*family).min(u32::from_be_bytes(*family)) {
            // IPv4; IPv6 on Linux, NetBSD, FreeBSD and Darwin.
            2 | 10 | 24 | 28 | 30 => self.ip(rest, context, sink),
            _ => self.counts.other += 1,
        }
        Some(())
    }

    /// Linux's cooked captures: an Ethernet type, or one of its numbers below.
    fn cooked(&mut self, kind: u16, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        match kind {
            4 => self.llc(bytes, context, sink),
            0..=LONGEST => {
                self.counts.other += 1;
                Some(())
            }
            _ => self.ether(kind, bytes, context, sink),
        }
    }

    /// IEEE 802.2 and SNAP: RFC 1042.
    fn llc(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        match *bytes {
            // Any organisation: Cisco's SNAP carries the same types for the protocols of interest.
            [0xaa, 0xaa, 0x03, 0, 0, 0, high, low, ref rest @ ..] => {
                let kind = u16::from_be_bytes([high, low]);
                if kind > LONGEST {
                    return self.ether(kind, rest, context, sink);
                }
                self.counts.other += 1;
            }
            // IP without SNAP.
            [0x06, 0x06, 0x03, ref rest @ ..] => self.ip(rest, context, sink),
            [_, _, _, ..] => self.counts.other += 1,
            _ => return None,
        }
        Some(())
    }

    /// IEEE 802.11 data frames; encrypted ones and those that manage the network are other traffic.
    pub(super) fn wifi(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let (&[control, flags], _) = bytes.split_first_chunk::<2>()?;
        let (quality, data) = (control & 0x80 != 0, control & 0x0c == 0x08 && control & 0x40 == 0);
        if !data || flags & 0x40 != 0 {
            self.counts.other += 1;
            return Some(());
        }
        let mut at = if flags & 0x03 == 0x03 { 30 } else { 24 };
        let mut aggregated = false;
        if quality {
            aggregated = bytes.get(at)? & 0x80 != 0;
            at += 2;
            if flags & 0x80 != 0 {
                at += 4;
            }
        }
        let mut rest = bytes.get(at..)?;
        if !aggregated {
            return self.llc(rest, context, sink);
        }
        // A-MSDU, §9.3.2.2: address, address, length, and the next one at a multiple of four.
        while let Some(length) = u16_at(rest, 12).map(usize::from) {
            let end = rest.len().min(14 + length);
            self.llc(&rest[14..end], context, sink)?;
            rest = rest.get((14 + length).next_multiple_of(4)..).unwrap_or_default();
        }
        Some(())
    }

    fn prism(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let head = bytes.first_chunk::<4>()?;
        let rest =
            if u32::from_be_bytes(*head) & 0xffff_f000 == 0x8021_1000 { avs(bytes)? } else { bytes.get(144..)? };
        self.wifi(rest, context, sink)
    }

    /// CACE's per-packet information: a length and the link type of what follows.
    fn per_packet(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        let mut cursor = Cursor::new(bytes.get(2..)?);
        let (length, link) = (usize::from(cursor.u16_le()?), cursor.u32_le()?);
        let rest = bytes.get(length.max(8)..)?;
        match link {
            105 => self.wifi(rest, context, sink),
            1 => self.ethernet(rest, context, sink),
            _ => {
                self.counts.unknown_links += 1;
                Some(())
            }
        }
    }

    /// Netfilter's log: attributes, one of which is the packet.
    fn nflog(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        /// `NFULA_PAYLOAD` of linux/netfilter/nfnetlink_log.h.
        const PAYLOAD: u16 = 9;
        let mut rest = bytes.get(4..)?;
        loop {
            let mut cursor = Cursor::new(rest);
            let (length, kind) = (usize::from(cursor.u16_le()?), cursor.u16_le()?);
            if length < 4 {
                self.counts.malformed += 1;
                return Some(());
            }
            if kind & 0x7fff == PAYLOAD {
                let end = rest.len().min(length);
                self.ip(&rest[4..end], context, sink);
                return Some(());
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

/// Behind a radiotap header.
fn radiotap(bytes: &[u8]) -> Option<&[u8]> {
    let length = Cursor::new(bytes.get(2..)?).u16_le()?;
    bytes.get(usize::from(length)..)
}

/// Behind an AVS header.
fn avs(bytes: &[u8]) -> Option<&[u8]> {
    let length = Cursor::new(bytes.get(4..)?).u32()?;
    bytes.get(usize::try_from(length).ok()?..)
}
