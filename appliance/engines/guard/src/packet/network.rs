//! IPv4 (RFC 791), IPv6 (RFC 8200) with its extension headers, and the head of what they carry.

use super::{
    Address, Context, DEPTH, Datagram, Decoder, ICMP, ICMP6, SCTP, Segment, Sink, TCP, Tunnel, UDP,
    fragment::{Fragment, Key},
};
use crate::wire::{Cursor, u16_at, u32_at};

/// UDP-Lite and DCCP begin with two ports, as UDP does.
const UDP_LITE: u8 = 136;
const DCCP: u8 = 33;

/// One IP packet behind its own header.
#[derive(Clone, Copy)]
struct Packet<'a> {
    six: bool,
    source: Address,
    destination: Address,
    protocol: u8,
    hops: u8,
    body: &'a [u8],
    /// Bytes of the body that the capture cut off.
    cut: u32,
    packets: u32,
    octets: u32,
}

impl Decoder {
    /// An IP packet of either version.
    pub(super) fn ip(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) {
        if context.depth > DEPTH {
            self.counts.too_deep += 1;
            return;
        }
        match bytes.first().map(|first| first >> 4) {
            Some(4) => self.four(bytes, context, sink),
            Some(6) => self.six(bytes, context, sink),
            Some(_) => self.counts.malformed += 1,
            None => self.counts.cut += 1,
        }
    }

    fn four(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) {
        let Some(head) = bytes.first_chunk::<20>() else {
            self.counts.cut += 1;
            return;
        };
        self.counts.packets += 1;
        let header = usize::from(head[0] & 0x0f) * 4;
        let total = match usize::from(u16::from_be_bytes([head[2], head[3]])) {
            // The network card will cut it into pieces: its length is whatever was captured.
            0 => bytes.len(),
            total => total,
        };
        if header < 20 || total < header {
            self.counts.malformed += 1;
            return;
        }
        let end = total.min(bytes.len());
        let Some(body) = bytes.get(header..end) else {
            self.counts.cut += 1;
            return;
        };
        let packet = Packet {
            six: false,
            source: Address::four([head[12], head[13], head[14], head[15]]),
            destination: Address::four([head[16], head[17], head[18], head[19]]),
            protocol: head[9],
            hops: head[8],
            body,
            cut: count(total - end),
            packets: 1,
            octets: count(total),
        };
        let place = u16::from_be_bytes([head[6], head[7]]);
        if place & 0x3fff == 0 {
            return self.transport(&packet, context, sink);
        }
        let identification = u32::from(u16::from_be_bytes([head[4], head[5]]));
        let (offset, more) = (u32::from(place & 0x1fff) * 8, place & 0x2000 != 0);
        self.fragment(&packet, identification, offset, more, context, sink);
    }

    fn six(&mut self, bytes: &[u8], context: Context, sink: &mut impl Sink) {
        let Some((head, rest)) = bytes.split_first_chunk::<40>() else {
            self.counts.cut += 1;
            return;
        };
        self.counts.packets += 1;
        let mut cursor = Cursor::new(&head[4..]);
        let (Some(length), Some(next), Some(hops), Some(source), Some(destination)) =
            (cursor.u16(), cursor.u8(), cursor.u8(), cursor.array(), cursor.array())
        else {
            return;
        };
        // Zero is a jumbogram or a packet that the network card will cut: as long as what was captured.
        let length = if length == 0 { rest.len() } else { usize::from(length) };
        let end = length.min(rest.len());
        let packet = Packet {
            six: true,
            source: Address::six(source),
            destination: Address::six(destination),
            protocol: next,
            hops,
            body: &rest[..end],
            cut: count(length - end),
            packets: 1,
            octets: count(length + 40),
        };
        self.transport(&packet, context, sink);
    }

    fn fragment(
        &mut self,
        packet: &Packet<'_>,
        identification: u32,
        offset: u32,
        more: bool,
        context: Context,
        sink: &mut impl Sink,
    ) {
        let key = Key {
            six: packet.six,
            source: packet.source,
            destination: packet.destination,
            // IPv6 tells datagrams apart by addresses and identification alone: RFC 8200 §4.5.
            protocol: if packet.six { 0 } else { packet.protocol },
            identification,
            vlan: context.vlan,
        };
        let fragment = Fragment {
            time: context.time,
            offset,
            more,
            whole: packet.cut == 0,
            body: packet.body,
            octets: packet.octets,
        };
        if let Some(whole) = self.fragments.add(&key, &fragment, packet.protocol) {
            let packet = Packet {
                protocol: whole.protocol,
                body: &whole.body,
                packets: whole.packets,
                octets: whole.octets,
                cut: 0,
                ..*packet
            };
            self.transport(&packet, context, sink);
        }
    }

    /// Walks IPv6's extension headers (and AH, which IPv4 has too), then reads the transport's head.
    fn transport(&mut self, packet: &Packet<'_>, context: Context, sink: &mut impl Sink) {
        let mut packet = *packet;
        loop {
            let length = match packet.protocol {
                // AH, RFC 4302 §2.2: in words of four bytes, less two.
                51 => packet.body.get(1).map(|length| (usize::from(*length) + 2) * 4),
                0 | 43 | 60 | 135 | 139 | 140 if packet.six => {
                    packet.body.get(1).map(|length| (usize::from(*length) + 1) * 8)
                }
                44 if packet.six => {
                    let head = (packet.body.first(), u16_at(packet.body, 2), u32_at(packet.body, 4));
                    let (Some(&next), Some(place), Some(identification)) = head else {
                        self.counts.cut += 1;
                        return self.emit(&packet, context, None, sink);
                    };
                    packet.protocol = next;
                    packet.body = &packet.body[8..];
                    let (offset, more) = (u32::from(place & 0xfff8), place & 1 != 0);
                    // An atomic fragment stands for itself: RFC 6946.
                    if offset == 0 && !more {
                        continue;
                    }
                    return self.fragment(&packet, identification, offset, more, context, sink);
                }
                _ => break,
            };
            // Mobility headers end the chain; what they carry is themselves.
            let next = packet.body.first().copied();
            let (Some(next), Some(rest)) = (next, length.and_then(|length| packet.body.get(length..))) else {
                self.counts.cut += 1;
                return self.emit(&packet, context, None, sink);
            };
            if packet.protocol == 135 && next == 59 {
                break;
            }
            packet.protocol = next;
            packet.body = rest;
        }
        match packet.protocol {
            4 | 41 => {
                self.emit(&packet, context, Some(Tunnel::Ip), sink);
                self.ip(packet.body, context.inside(Tunnel::Ip), sink);
            }
            47 => {
                let tunnel = super::tunnel::gre_kind(packet.body);
                self.emit(&packet, context, Some(tunnel), sink);
                if self.gre(packet.body, context, sink).is_none() {
                    self.counts.cut += 1;
                }
            }
            UDP => self.udp(&packet, context, sink),
            _ => self.emit(&packet, context, None, sink),
        }
    }

    fn udp(&mut self, packet: &Packet<'_>, context: Context, sink: &mut impl Sink) {
        let Some((head, rest)) = packet.body.split_first_chunk::<8>() else {
            return self.emit(packet, context, None, sink);
        };
        let [a, b, c, d, e, f, ..] = *head;
        let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let tunnel = super::tunnel::udp_kind(source, destination, rest).filter(|_| context.depth < DEPTH);
        let mut datagram = datagram(packet, context, tunnel);
        (datagram.source_port, datagram.destination_port) = (source, destination);
        // UDP has a length of its own; whichever ends first.
        let said = usize::from(u16::from_be_bytes([e, f])).saturating_sub(8);
        datagram.payload = if said == 0 { rest } else { rest.get(..said).unwrap_or(rest) };
        sink.datagram(&datagram);
        if let Some(tunnel) = tunnel
            && self.inside_udp(tunnel, datagram.payload, context.inside(tunnel), sink).is_none()
        {
            self.counts.cut += 1;
        }
    }

    /// Hands a datagram over that is no UDP.
    fn emit(&mut self, packet: &Packet<'_>, context: Context, carries: Option<Tunnel>, sink: &mut impl Sink) {
        let mut datagram = datagram(packet, context, carries);
        let body = packet.body;
        match packet.protocol {
            TCP => {
                let Some(head) = body.first_chunk::<20>() else {
                    self.counts.cut += 1;
                    self.ports(&mut datagram, body);
                    return sink.datagram(&datagram);
                };
                let header = usize::from(head[12] >> 4) * 4;
                self.ports(&mut datagram, body);
                if header < 20 {
                    self.counts.malformed += 1;
                }
                datagram.segment = Some(Segment {
                    sequence: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
                    acknowledgement: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
                    flags: head[13],
                    window: u16::from_be_bytes([head[14], head[15]]),
                });
                datagram.payload = if header < 20 { &[] } else { body.get(header..).unwrap_or_default() };
            }
            ICMP | ICMP6 => {
                if let [kind, code, ..] = *body {
                    (datagram.source_port, datagram.destination_port) = (u16::from(kind), u16::from(code));
                }
                datagram.payload = body.get(8..).unwrap_or_default();
            }
            SCTP => {
                self.ports(&mut datagram, body);
                datagram.payload = body.get(12..).unwrap_or_default();
            }
            UDP | UDP_LITE | DCCP => self.ports(&mut datagram, body),
            _ => datagram.payload = body,
        }
        sink.datagram(&datagram);
    }

    fn ports(&mut self, datagram: &mut Datagram<'_>, body: &[u8]) {
        match *body {
            [a, b, c, d, ..] => {
                (datagram.source_port, datagram.destination_port) =
                    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            }
            _ => self.counts.cut += 1,
        }
    }
}

fn datagram<'a>(packet: &Packet<'a>, context: Context, carries: Option<Tunnel>) -> Datagram<'a> {
    Datagram {
        time: context.time,
        six: packet.six,
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        hops: packet.hops,
        source_port: 0,
        destination_port: 0,
        segment: None,
        payload: &[],
        cut: packet.cut,
        packets: packet.packets,
        octets: packet.octets,
        vlan: context.vlan,
        tunnel: context.tunnel,
        carries,
        macs: context.macs,
    }
}

/// Lengths of packets fit into 32 bits: frames are bounded by `capture::MOST`.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
