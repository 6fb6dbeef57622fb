//! Frames as they stand on the wire, for tests: Ethernet and IPv4, checksums left out.

use std::net::Ipv4Addr;

use crate::{
    capture::Frame,
    detection::Detection,
    flow::Flow,
    meter::{Limits, Meter},
    packet::{ICMP, Segment, TCP, UDP},
    settings::Settings,
    watch::Watch,
};

/// A host.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its address.
    pub address: Ipv4Addr,
}

/// A host of the office, by its number.
pub fn inside(number: u8) -> Host {
    Host { mac: [0, 0x16, 0x3e, 0, 0, number], address: Ipv4Addr::new(192, 168, 1, number) }
}

/// A host outside, behind the router.
pub fn outside(number: u8) -> Host {
    Host { mac: [0, 0x16, 0x3e, 0, 0, 1], address: Ipv4Addr::new(203, 0, 113, number) }
}

fn ethernet(from: Host, to: Host, kind: u16, body: &[u8]) -> Vec<u8> {
    [&to.mac[..], &from.mac, &kind.to_be_bytes(), body].concat()
}

fn four(from: Host, to: Host, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 20).expect("short").to_be_bytes();
    let head = [&[0x45, 0][..], &length, &[0, 1, 0, 0, 64, protocol, 0, 0]].concat();
    ethernet(from, to, 0x0800, &[&head[..], &from.address.octets(), &to.address.octets(), body].concat())
}

/// UDP.
pub fn udp(from: (Host, u16), to: (Host, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("short").to_be_bytes();
    let body = [&from.1.to_be_bytes()[..], &to.1.to_be_bytes(), &length, &[0, 0], payload].concat();
    four(from.0, to.0, UDP, &body)
}

/// TCP.
pub fn tcp(from: (Host, u16), to: (Host, u16), sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let body = [&ports[..], &sequence.to_be_bytes(), &[0; 4], &[0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0], payload].concat();
    four(from.0, to.0, TCP, &body)
}

/// An echo request.
pub fn echo(from: Host, to: Host) -> Vec<u8> {
    four(from, to, ICMP, &[8, 0, 0, 0, 0, 1, 0, 1])
}

/// ARP: 1 asks, 2 answers.
pub fn arp(operation: u16, from: Host, about: Host) -> Vec<u8> {
    let head = [&[0, 1, 8, 0, 6, 4][..], &operation.to_be_bytes()].concat();
    let body = [&head[..], &from.mac, &from.address.octets(), &about.mac, &about.address.octets()].concat();
    ethernet(from, Host { mac: [0xff; 6], ..about }, 0x0806, &body)
}

/// A DNS question, and with addresses its answer.
pub fn dns(name: &str, answers: &[Ipv4Addr]) -> Vec<u8> {
    let labels: Vec<u8> = name
        .split('.')
        .flat_map(|label| [&[u8::try_from(label.len()).expect("short")][..], label.as_bytes()].concat())
        .collect();
    let flags: u16 = if answers.is_empty() { 0x0100 } else { 0x8180 };
    let count = u16::try_from(answers.len()).expect("few").to_be_bytes();
    let mut message = [&[0, 7][..], &flags.to_be_bytes(), &[0, 1], &count, &[0; 4], &labels, &[0, 0, 1, 0, 1]].concat();
    for answer in answers {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(answer.octets());
    }
    message
}

/// A DHCP message of a kind, with more options behind it.
pub fn dhcp(kind: u8, client: [u8; 6], yours: Ipv4Addr, options: &[&[u8]]) -> Vec<u8> {
    let operation = if matches!(kind, 2 | 5) { 2 } else { 1 };
    let mut message = vec![operation, 1, 6, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend(yours.octets());
    message.extend([0; 8]);
    message.extend(client);
    message.resize(236, 0);
    message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
    options.iter().for_each(|option| message.extend(*option));
    message.push(255);
    message
}

/// A meter and a watch beside it, with a clock of their own.
pub struct Wire {
    /// Nanoseconds since 1970 UTC.
    pub now: i64,
    /// The flows.
    pub meter: Meter,
    /// What goes on around them.
    pub watch: Watch,
}

impl Wire {
    /// With these settings; it is 23 November 2026.
    pub fn new(settings: &Settings) -> Self {
        let watch = Watch::new(settings, crate::device::Makers::default(), crate::detection::Lists::default());
        Self { now: 1_795_435_200_000_000_000, meter: Meter::new(Limits::default()), watch }
    }

    /// A frame goes by, and then so many milliseconds.
    pub fn send(&mut self, data: &[u8], milliseconds: i64) {
        let length = u32::try_from(data.len()).expect("short");
        self.meter.frame_beside(&Frame { time: self.now, link: 1, length, data }, &mut self.watch);
        self.now += milliseconds * 1_000_000;
        self.settle();
    }

    /// A TCP connection in which both say something, and that is closed.
    pub fn talk(&mut self, client: (Host, u16), server: (Host, u16), said: &[u8], answered: &[u8]) {
        let next = |bytes: &[u8]| 1 + u32::try_from(bytes.len()).expect("short");
        self.send(&tcp(client, server, 0, Segment::SYN, &[]), 1);
        self.send(&tcp(server, client, 0, Segment::SYN | Segment::ACK, &[]), 1);
        self.send(&tcp(client, server, 1, Segment::ACK, said), 1);
        self.send(&tcp(server, client, 1, Segment::ACK, answered), 1);
        self.send(&tcp(client, server, next(said), Segment::ACK | Segment::FIN, &[]), 1);
        self.send(&tcp(server, client, next(answered), Segment::ACK | Segment::FIN, &[]), 1);
    }

    /// The flow of a TCP connection.
    pub fn flow_of(&mut self, client: (Host, u16), server: (Host, u16), said: &[u8], answered: &[u8]) -> Flow {
        self.talk(client, server, said, answered);
        self.meter.finish();
        self.meter.finished().expect("a flow")
    }

    /// So many seconds go by without frames.
    pub fn wait(&mut self, seconds: i64) {
        self.now += seconds * 1_000_000_000;
        self.meter.tick(self.now);
        self.settle();
    }

    /// Nothing more will come; what was found.
    pub fn finish(mut self) -> Vec<Detection> {
        self.meter.finish();
        self.settle();
        std::iter::from_fn(|| self.watch.found()).collect()
    }

    fn settle(&mut self) {
        while let Some(flow) = self.meter.finished() {
            self.watch.flow(&flow);
        }
    }
}
