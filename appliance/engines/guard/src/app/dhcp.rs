//! DHCP for IPv4 (RFC 2131, options of RFC 2132): who asks, what it is called, and what it is given.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::wire::{Cursor, text};

/// Messages of one flow that are kept: relays and servers speak for a whole office.
pub const MESSAGES: usize = 32;
/// Bytes of a name.
const NAME: usize = 255;
/// Where the options' cookie stands, and its value.
const COOKIE: (usize, [u8; 4]) = (236, [0x63, 0x82, 0x53, 0x63]);

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `discover`, `offer`, `request`, `ack` …; a BOOTP message has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// The client's hardware address.
    pub mac: String,
    /// The address that is given, or in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Ipv4Addr>,
    /// What the client calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What kind of client it says it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Options that the client asks for, in its order: together with the vendor they tell systems apart.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<u8>,
    /// Who gives addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Ipv4Addr>,
    /// Routers that are told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<Ipv4Addr>,
    /// Name servers that are told.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resolvers: Vec<Ipv4Addr>,
    /// Seconds the address is given for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<u32>,
}

impl Message {
    /// Reads a message; `None` when it has not DHCP's form.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if !is_message(bytes) {
            return None;
        }
        let mut cursor = Cursor::new(bytes);
        cursor.skip(12)?;
        let (own, yours) = (Ipv4Addr::from(cursor.array::<4>()?), Ipv4Addr::from(cursor.array::<4>()?));
        cursor.skip(8)?;
        let mac = cursor.array::<6>()?.map(|byte| format!("{byte:02x}")).join(":");
        let address = [yours, own].into_iter().find(|address| !address.is_unspecified());
        let mut message = Self { mac, address, ..Self::default() };
        message.options(bytes.get(COOKIE.0 + 4..)?);
        Some(message)
    }

    fn options(&mut self, bytes: &[u8]) -> Option<()> {
        let mut cursor = Cursor::new(bytes);
        loop {
            let code = cursor.u8()?;
            if code == 0 {
                continue;
            }
            if code == 255 {
                return Some(());
            }
            let body = cursor.vector8()?;
            match code {
                3 => self.routers = addresses(body),
                6 => self.resolvers = addresses(body),
                12 => self.hostname = Some(text(body, NAME)),
                50 if self.address.is_none() => self.address = addresses(body).first().copied(),
                51 => self.lease = body.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
                53 => self.kind = body.first().and_then(|kind| kind_name(*kind)),
                54 => self.server = addresses(body).first().copied(),
                55 => self.asks = body.to_vec(),
                60 => self.vendor = Some(text(body, NAME)),
                _ => {}
            }
        }
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let texts = [&self.hostname, &self.vendor].into_iter().flatten().map(String::capacity).sum::<usize>();
        size_of::<Self>()
            + self.mac.capacity()
            + texts
            + self.asks.capacity()
            + (self.routers.capacity() + self.resolvers.capacity()) * size_of::<Ipv4Addr>()
    }
}

/// Whether bytes have DHCP's form.
pub fn is_message(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(1 | 2)) && bytes.get(COOKIE.0..).is_some_and(|rest| rest.starts_with(&COOKIE.1))
}

/// Keeps a datagram's message.
pub fn keep(bytes: &[u8], messages: &mut Vec<Message>) {
    if messages.len() < MESSAGES {
        messages.extend(Message::parse(bytes));
    }
}

fn addresses(bytes: &[u8]) -> Vec<Ipv4Addr> {
    bytes.chunks_exact(4).map(|four| Ipv4Addr::new(four[0], four[1], four[2], four[3])).collect()
}

/// RFC 2132 §9.6.
const fn kind_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        1 => "discover",
        2 => "offer",
        3 => "request",
        4 => "decline",
        5 => "ack",
        6 => "nak",
        7 => "release",
        8 => "inform",
        _ => return None,
    })
}
