//! TLS on a byte stream: records, handshake messages that span them, and what is said in the clear.
//!
//! Both sides are read alike, since whoever sends a ClientHello is the client. A side is over when it begins to encrypt.

use serde::Serialize;

use super::{
    certificate::Certificate,
    hello::{ClientHello, ServerHello, version_name},
    ja4::{self, Transport},
};
use crate::{
    flow::Side,
    wire::{Cursor, text, u16_at},
};

/// Bytes of a record: RFC 8446 §5.2 allows 2^14 + 256, RFC 5246 2^14 + 2,048.
const RECORD: usize = (1 << 14) + 2048;
/// Bytes of a handshake message that are waited for: chains of certificates are the longest.
const MESSAGE: usize = 1 << 16;
/// Certificates of one side that are kept.
const CERTIFICATES: usize = 16;
/// Protocols that are kept.
const PROTOCOLS: usize = 16;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Of drafts of TLS 1.3.
const HELLO_RETRY: u8 = 6;
const CERTIFICATE: u8 = 11;

/// What a TLS connection shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// Version that was agreed on, or the newest that was offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Cipher suite that was agreed on, as in the registry: `0x1301`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The server's name, as the client gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Application protocols that the client offered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The one that the server chose, where it can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpn_chosen: Option<String>,
    /// The client's fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// The client sent an encrypted hello: the name above is its provider's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ech: bool,
    /// The server's certificates, its own first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// The client's certificates, its own first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_certificates: Vec<Certificate>,
}

impl Tls {
    /// Takes a ClientHello: the first one counts.
    pub(super) fn client(&mut self, hello: &ClientHello, transport: Transport) {
        if self.ja4.is_some() {
            return;
        }
        self.ja4 = Some(ja4::fingerprint(hello, transport));
        self.sni = hello.name.as_deref().map(|name| text(name, 255));
        self.alpn = hello.alpn.iter().take(PROTOCOLS).map(|protocol| text(protocol, 255)).collect();
        self.ech = hello.encrypted;
        if self.version.is_none() {
            self.version = Some(version_name(hello.newest()));
        }
    }

    /// Takes a ServerHello.
    pub(super) fn server(&mut self, hello: &ServerHello) {
        self.version = Some(version_name(hello.version));
        self.cipher = Some(format!("0x{:04x}", hello.cipher));
        self.alpn_chosen = hello.alpn.as_deref().map(|protocol| text(protocol, 255));
    }

    /// Takes a chain; `server` says whose.
    pub(super) fn chain(&mut self, ders: &[&[u8]], server: bool) {
        let chain = if server { &mut self.certificates } else { &mut self.client_certificates };
        if chain.is_empty() {
            *chain = ders.iter().take(CERTIFICATES).map(|der| Certificate::parse(der)).collect();
        }
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let chains = self.certificates.iter().chain(&self.client_certificates);
        let chains: usize = chains.map(|certificate| size_of::<Certificate>() + certificate.heap()).sum();
        let names: usize = self.alpn.iter().map(|name| size_of::<String>() + name.capacity()).sum();
        chains + names + self.sni.as_ref().map_or(0, String::capacity) + 160
    }
}

#[derive(Debug, Default)]
struct Half {
    /// Handshake messages that are not complete.
    handshake: Vec<u8>,
    over: bool,
    /// Anything in TLS's form was seen: before, lines of a protocol that was left may come.
    begun: bool,
}

/// A TLS connection in its clear part.
#[derive(Debug, Default)]
pub struct Conversation {
    halves: [Half; 2],
    /// Whose side the client is on, once known.
    client: Option<Side>,
    /// The server asked again: what looks like the end of the clear part is none.
    retried: bool,
    tls: Tls,
}

impl Conversation {
    /// What was read so far.
    pub fn into_facts(self) -> Tls {
        self.tls
    }

    /// Whether a side still says something that can be read.
    pub const fn wants(&self, side: Side) -> bool {
        !self.halves[side.index()].over
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        size_of::<Self>() + self.tls.heap() + self.halves.iter().map(|half| half.handshake.capacity()).sum::<usize>()
    }

    /// Bytes were lost: what follows cannot be told apart.
    pub fn gap(&mut self, side: Side) {
        self.halves[side.index()].over = true;
    }

    /// Reads records; returns how many bytes were used.
    pub fn stream(&mut self, side: Side, bytes: &[u8]) -> usize {
        let mut used = 0;
        while !self.halves[side.index()].over {
            let rest = &bytes[used..];
            let Some(head) = rest.first_chunk::<5>() else { break };
            let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
            if !(CHANGE_CIPHER_SPEC..=HEARTBEAT + 2).contains(&head[0]) || head[1] != 3 || length > RECORD {
                used += self.foreign(side, rest);
                break;
            }
            self.halves[side.index()].begun = true;
            match head[0] {
                HANDSHAKE => {
                    let Some(body) = rest.get(5..5 + length) else {
                        // Encrypted ones can be told before they are complete: their first byte is no message.
                        break;
                    };
                    self.handshake(side, body);
                }
                CHANGE_CIPHER_SPEC if self.retried || self.halves[side.index()].handshake.is_empty() => {
                    self.halves[side.index()].over |= !self.awaits_hello(side);
                }
                ALERT | HEARTBEAT => {
                    if rest.len() < 5 + length {
                        break;
                    }
                }
                CHANGE_CIPHER_SPEC | APPLICATION_DATA => self.halves[side.index()].over = true,
                _ => self.halves[side.index()].over = true,
            }
            used += 5 + length;
            if used > bytes.len() {
                used = bytes.len();
                break;
            }
        }
        if self.halves[side.index()].over { bytes.len() } else { used }
    }

    /// After a HelloRetryRequest both sides send a ChangeCipherSpec (RFC 8446 §D.4) before their real hello.
    fn awaits_hello(&self, side: Side) -> bool {
        self.retried && self.client != Some(side)
    }

    /// Bytes that are no record: SSL 2's hello, or lines of the protocol that was spoken before.
    fn foreign(&mut self, side: Side, bytes: &[u8]) -> usize {
        let half = &mut self.halves[side.index()];
        if half.begun {
            half.over = true;
            return bytes.len();
        }
        if let Some(version) = ssl2(bytes) {
            half.over = true;
            self.client = Some(side);
            self.tls.version = Some(version_name(version));
        }
        bytes.len()
    }

    fn handshake(&mut self, side: Side, body: &[u8]) {
        let mut buffer = std::mem::take(&mut self.halves[side.index()].handshake);
        if buffer.is_empty() {
            let used = self.messages(side, body);
            self.halves[side.index()].handshake.extend_from_slice(&body[used..]);
        } else {
            buffer.extend_from_slice(body);
            let used = self.messages(side, &buffer);
            buffer.drain(..used);
            self.halves[side.index()].handshake = buffer;
        }
        let half = &mut self.halves[side.index()];
        if half.over || half.handshake.len() > MESSAGE {
            *half = Half { over: true, begun: true, handshake: Vec::new() };
        }
    }

    fn messages(&mut self, side: Side, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let mut cursor = Cursor::new(&bytes[used..]);
            let (Some(kind), Some(length)) = (cursor.u8(), cursor.u24()) else { return used };
            let length = length as usize;
            if length > MESSAGE {
                self.halves[side.index()].over = true;
                return bytes.len();
            }
            let Some(body) = cursor.take(length) else { return used };
            self.message(side, kind, body);
            used += 4 + length;
            if self.halves[side.index()].over {
                return bytes.len();
            }
        }
    }

    fn message(&mut self, side: Side, kind: u8, body: &[u8]) {
        match kind {
            CLIENT_HELLO => {
                if let Some(hello) = ClientHello::parse(body, false) {
                    self.client = Some(side);
                    self.tls.client(&hello, Transport::Tcp);
                }
            }
            SERVER_HELLO => {
                if let Some(hello) = ServerHello::parse(body) {
                    self.client.get_or_insert(side.other());
                    self.tls.server(&hello);
                    self.retried |= hello.retry;
                    // From TLS 1.3 on all else is encrypted.
                    if !hello.retry && (hello.version >= 0x0304 || hello.version >> 8 == 0x7f) {
                        self.halves[side.index()].over = true;
                        let client = &mut self.halves[side.other().index()];
                        client.over = client.begun && client.handshake.is_empty() && self.tls.ja4.is_some();
                    }
                }
            }
            HELLO_RETRY => self.retried = true,
            CERTIFICATE => {
                let mut list = Cursor::new(Cursor::new(body).vector24().unwrap_or_default());
                let ders: Vec<_> = std::iter::from_fn(|| list.vector24()).take(CERTIFICATES).collect();
                self.tls.chain(&ders, self.client != Some(side));
            }
            _ => {}
        }
    }
}

/// Whether bytes begin with a record that holds the beginning of a hello; `None` while there are too few of them.
pub fn begins(bytes: &[u8]) -> Option<bool> {
    let form = [0x16, 0x03];
    let known = bytes.len().min(2);
    if bytes[..known] != form[..known] || bytes.get(2).is_some_and(|minor| *minor > 4) {
        return Some(false);
    }
    let (Some(length), Some(kind)) = (u16_at(bytes, 3), bytes.get(5)) else { return None };
    Some((4..=RECORD).contains(&usize::from(length)) && matches!(*kind, CLIENT_HELLO | SERVER_HELLO))
}

/// The version that a hello in SSL 2's form offers: RFC 5246 §E.2.
pub fn ssl2(bytes: &[u8]) -> Option<u16> {
    let (head, _) = bytes.split_first_chunk::<11>()?;
    let length = u16::from_be_bytes([head[0] & 0x7f, head[1]]);
    let version = u16::from_be_bytes([head[3], head[4]]);
    let ciphers = u16::from_be_bytes([head[5], head[6]]);
    let (session, challenge) = (u16::from_be_bytes([head[7], head[8]]), u16::from_be_bytes([head[9], head[10]]));
    let fits =
        ciphers % 3 == 0 && u32::from(length) == 9 + u32::from(ciphers) + u32::from(session) + u32::from(challenge);
    (head[0] & 0x80 != 0 && head[2] == 1 && matches!(version, 2 | 0x0300..=0x0304) && fits).then_some(version)
}
