//! What GRE and UDP carry. A tunnel over UDP is believed by its port and its content together: the port alone says
//! nothing about what a stranger sends there.

use super::{Context, DEPTH, Decoder, Sink, Tunnel};
use crate::wire::{Cursor, u16_at, u32_at};

const VXLAN: u16 = 4789;
/// The generic protocol extension's.
const VXLAN_GENERIC: u16 = 4790;
/// Linux used it before the registry gave one.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const TEREDO: u16 = 3544;
const GTP_USER: u16 = 2152;
const GRE_IN_UDP: u16 = 4754;
const MPLS_IN_UDP: u16 = 6635;
const AYIYA: u16 = 5072;

/// GRE's protocol types of ERSPAN: I and II, III.
const ERSPAN: [u16; 2] = [0x88be, 0x22eb];

/// Which tunnel GRE's head announces.
pub(super) fn gre_kind(bytes: &[u8]) -> Tunnel {
    match u16_at(bytes, 2) {
        Some(kind) if ERSPAN.contains(&kind) => Tunnel::Erspan,
        _ => Tunnel::Gre,
    }
}

/// Which tunnel a UDP datagram is the outer packet of.
pub(super) fn udp_kind(source: u16, destination: u16, bytes: &[u8]) -> Option<Tunnel> {
    match destination {
        // RFC 7348 §5: the I flag is set, reserved bytes are zero.
        VXLAN | VXLAN_GENERIC | VXLAN_LINUX if bytes.len() > 8 && bytes[0] & 0xc8 == 0x08 && bytes[7] == 0 => {
            return Some(Tunnel::Vxlan);
        }
        // RFC 8926 §3.4: version 0.
        GENEVE if bytes.len() > 8 && bytes[0] & 0xc0 == 0 && geneve(bytes).is_some() => return Some(Tunnel::Geneve),
        GRE_IN_UDP if bytes.len() > 4 && bytes[1] & 0x07 == 0 => return Some(Tunnel::Gre),
        MPLS_IN_UDP if bytes.len() > 4 => return Some(Tunnel::Mpls),
        _ => {}
    }
    let either = |port| source == port || destination == port;
    if either(TEREDO) && teredo(bytes).is_some() {
        return Some(Tunnel::Teredo);
    }
    if either(GTP_USER) && gtp(bytes).is_some() {
        return Some(Tunnel::Gtp);
    }
    if either(AYIYA) && ayiya(bytes).is_some() {
        return Some(Tunnel::Ayiya);
    }
    None
}

impl Decoder {
    /// What a tunnel over UDP carries, already known to be one.
    pub(super) fn inside_udp(
        &mut self,
        tunnel: Tunnel,
        bytes: &[u8],
        context: Context,
        sink: &mut impl Sink,
    ) -> Option<()> {
        match tunnel {
            // The generic extension's P flag says that the next protocol is told (draft-ietf-nvo3-vxlan-gpe §3.1).
            Tunnel::Vxlan if bytes.first()? & 0x04 != 0 && matches!(bytes.get(3), Some(1 | 2)) => {
                self.ip(bytes.get(8..)?, context, sink);
                Some(())
            }
            Tunnel::Vxlan => self.ethernet(bytes.get(8..)?, context, sink),
            Tunnel::Geneve => {
                let (kind, rest) = geneve(bytes)?;
                if kind == 0x6558 { self.ethernet(rest, context, sink) } else { self.ether(kind, rest, context, sink) }
            }
            Tunnel::Gre => self.gre(bytes, context, sink),
            Tunnel::Mpls => self.mpls(bytes, context, sink),
            Tunnel::Teredo | Tunnel::Gtp | Tunnel::Ayiya => {
                let inner = match tunnel {
                    Tunnel::Teredo => teredo(bytes),
                    Tunnel::Gtp => gtp(bytes),
                    _ => ayiya(bytes),
                };
                self.ip(inner?, context, sink);
                Some(())
            }
            Tunnel::Ip | Tunnel::Erspan => Some(()),
        }
    }

    /// GRE of either version: RFC 2784 with the key and sequence of RFC 2890, and PPTP's.
    pub(super) fn gre(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) -> Option<()> {
        if context.depth >= DEPTH {
            self.counts.too_deep += 1;
            return Some(());
        }
        let mut cursor = Cursor::new(bytes);
        let (flags, kind) = (cursor.u16()?, cursor.u16()?);
        let has = |bit: u16| flags & bit != 0;
        if flags & 0x07 == 1 {
            // RFC 2637 §4.1: length and call, then the numbers that are there.
            cursor.skip(4)?;
            let numbers = usize::from(has(0x1000)) + usize::from(has(0x0080));
            cursor.skip(4 * numbers)?;
            // An acknowledgement alone carries nothing.
            return if cursor.is_empty() {
                Some(())
            } else {
                self.ppp(cursor.rest(), context.inside(Tunnel::Gre), sink)
            };
        }
        // Checksum or routing bring four bytes of checksum and offset, RFC 1701.
        if has(0x8000) || has(0x4000) {
            cursor.skip(4)?;
        }
        if has(0x2000) {
            cursor.skip(4)?;
        }
        let sequence = has(0x1000);
        if sequence {
            cursor.skip(4)?;
        }
        if has(0x4000) {
            // Source route entries until an empty one.
            loop {
                let (family, _, length) = (cursor.u16()?, cursor.u8()?, cursor.u8()?);
                cursor.skip(usize::from(length))?;
                if family == 0 && length == 0 {
                    break;
                }
            }
        }
        let rest = cursor.rest();
        match kind {
            0x6558 => self.ethernet(rest, context.inside(Tunnel::Gre), sink),
            // ERSPAN I has no header of its own, and says so by the missing sequence number.
            0x88be => self.ethernet(rest.get(if sequence { 8 } else { 0 }..)?, context.inside(Tunnel::Erspan), sink),
            0x22eb => {
                // 12 bytes, and 8 more where the O bit says so.
                let more = if rest.get(11)? & 1 == 1 { 8 } else { 0 };
                self.ethernet(rest.get(12 + more..)?, context.inside(Tunnel::Erspan), sink)
            }
            // Aruba's access points: 802.11 frames.
            0x8200..=0x82ff => self.wifi(rest, context.inside(Tunnel::Gre), sink),
            0x880b => self.ppp(rest, context.inside(Tunnel::Gre), sink),
            // Keep-alives.
            0 => Some(()),
            kind => self.ether(kind, rest, context.inside(Tunnel::Gre), sink),
        }
    }
}

/// Behind Geneve's header and options, with the Ethernet type.
fn geneve(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let options = usize::from(bytes.first()? & 0x3f) * 4;
    Some((u16_at(bytes, 2)?, bytes.get(8 + options..)?))
}

/// Behind Teredo's authentication and origin indication: RFC 4380 §5.1.1.
fn teredo(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(bytes);
    if bytes.starts_with(&[0, 1]) {
        cursor.skip(2)?;
        let (client, value) = (cursor.u8()?, cursor.u8()?);
        cursor.skip(usize::from(client) + usize::from(value) + 9)?;
    }
    if cursor.rest().starts_with(&[0, 0]) {
        cursor.skip(8)?;
    }
    six(cursor.rest())
}

/// Behind a G-PDU's header and extension headers: TS 29.281 §5.1.
fn gtp(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor::new(bytes);
    let (flags, kind, _, _) = (cursor.u8()?, cursor.u8()?, cursor.u16()?, cursor.u32()?);
    // Version 1, GTP rather than GTP', and a packet of a user.
    if flags & 0xf0 != 0x30 || kind != 0xff {
        return None;
    }
    if flags & 0x07 != 0 {
        cursor.skip(3)?;
        let mut next = cursor.u8()?;
        while flags & 0x04 != 0 && next != 0 {
            let length = usize::from(cursor.u8()?) * 4;
            let body = cursor.take(length.checked_sub(1)?)?;
            next = *body.last()?;
        }
    }
    four(cursor.rest()).or_else(|| six(cursor.rest()))
}

/// Behind AYIYA's header: an identity, a signature, and IPv6.
fn ayiya(bytes: &[u8]) -> Option<&[u8]> {
    let (&[first, second, third, next], _) = bytes.split_first_chunk::<4>()?;
    let identity = 1usize << (first >> 4);
    let signature = usize::from(second >> 4) * 4;
    // Forwarding is operation 1; IPv6 is next header 41.
    if third & 0x0f != 1 || next != 41 {
        return None;
    }
    six(bytes.get(8 + identity + signature..)?)
}

/// When it is an IPv6 packet that fits.
fn six(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16_at(bytes, 4)?);
    (u32_at(bytes, 0)? >> 28 == 6 && bytes.len() >= 40 && length <= bytes.len() - 40).then_some(bytes)
}

/// When it is an IPv4 packet that fits.
fn four(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16_at(bytes, 2)?);
    (bytes.first()? >> 4 == 4 && (20..=bytes.len()).contains(&length)).then_some(bytes)
}
