//! QUIC's first packets, read with the keys that everybody can derive: RFC 9001 §5, RFC 9369, and the last drafts.
//!
//! A ClientHello may be spread over several Initial packets, in any order. After a Retry the keys follow the client's new
//! destination, after the server's first answer they do not: both are tried.

use ring::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, quic::HeaderProtectionKey},
    hkdf,
};

use super::{hello::ClientHello, ja4::Transport, tls::Tls};
use crate::{assembly::Assembly, flow::Side, wire::Cursor};

/// Bytes of a ClientHello that are put together.
const HELLO: usize = 1 << 14;
/// Initial packets that are tried before it is given up.
const ATTEMPTS: u8 = 24;
/// Bytes of a UDP payload that are copied to be decrypted.
const DATAGRAM: usize = 1 << 16;

const SALT_1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f,
    0x0a,
];
const SALT_2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e,
    0xd9,
];
/// Drafts 29 to 32.
const SALT_29: [u8; 20] = [
    0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8,
    0x99,
];
/// Drafts 23 to 28.
const SALT_23: [u8; 20] = [
    0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5,
    0x02,
];

/// RFC 9369 §3.1.
const VERSION_2: u32 = 0x6b33_43cf;

/// Whether a datagram begins with a long header of a version that is known, or of one that is meant to be refused.
pub fn is_long_header(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let (Some(first), Some(version)) = (cursor.u8(), cursor.u32()) else { return false };
    let ids = cursor.vector8().is_some_and(|id| id.len() <= 20) && cursor.vector8().is_some_and(|id| id.len() <= 20);
    let known = salt(version).is_some() || version & 0x0f0f_0f0f == 0x0a0a_0a0a;
    // Version negotiation has no fixed bit.
    first & 0x80 != 0 && ids && (known && first & 0x40 != 0 || version == 0 && cursor.rest().len().is_multiple_of(4))
}

fn salt(version: u32) -> Option<&'static [u8]> {
    Some(match version {
        1 | 0xff00_0021..=0xff00_0022 => &SALT_1,
        VERSION_2 => &SALT_2,
        0xff00_001d..=0xff00_0020 => &SALT_29,
        // Facebook's mvfst of that time as well.
        0xff00_0017..=0xff00_001c | 0xface_b002 => &SALT_23,
        _ => return None,
    })
}

/// The client's keys for Initial packets.
struct Keys {
    header: HeaderProtectionKey,
    body: LessSafeKey,
    iv: [u8; 12],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Keys {
    fn of(version: u32, destination: &[u8]) -> Option<Self> {
        let initial = hkdf::Salt::new(hkdf::HKDF_SHA256, salt(version)?).extract(destination);
        let secret: [u8; 32] = expand(&initial, "client in")?;
        let secret = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &secret);
        let [key, iv, header] = if version == VERSION_2 {
            ["quicv2 key", "quicv2 iv", "quicv2 hp"]
        } else {
            ["quic key", "quic iv", "quic hp"]
        };
        let key: [u8; 16] = expand(&secret, key)?;
        let header: [u8; 16] = expand(&secret, header)?;
        Some(Self {
            header: HeaderProtectionKey::new(&aead::quic::AES_128, &header).ok()?,
            body: LessSafeKey::new(UnboundKey::new(&aead::AES_128_GCM, &key).ok()?),
            iv: expand(&secret, iv)?,
        })
    }

    /// Decrypts a packet in place: `at` is where its number stands. RFC 9001 §5.3 and §5.4.
    fn open<'a>(&self, packet: &'a mut [u8], at: usize) -> Option<&'a [u8]> {
        let mask = self.header.new_mask(packet.get(at + 4..at + 20)?).ok()?;
        packet[0] ^= mask[0] & 0x0f;
        let size = usize::from(packet[0] & 0x03) + 1;
        let mut number = 0u32;
        for (index, mask) in mask[1..=size].iter().enumerate() {
            packet[at + index] ^= mask;
            number = number << 8 | u32::from(packet[at + index]);
        }
        let mut nonce = self.iv;
        for (byte, part) in nonce[8..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= part;
        }
        let (head, body) = packet.split_at_mut(at + size);
        let open = self.body.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(&*head), body);
        open.ok().map(|open| &*open)
    }
}

/// HKDF-Expand-Label of RFC 8446 §7.1, without a context.
fn expand<const N: usize>(secret: &hkdf::Prk, label: &str) -> Option<[u8; N]> {
    let length = u16::try_from(N).ok()?.to_be_bytes();
    let size = [u8::try_from(label.len() + 6).ok()?];
    let mut out = [0; N];
    let info: [&[u8]; 5] = [&length, &size, b"tls13 ", label.as_bytes(), &[0]];
    secret.expand(&info, Length(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// A QUIC connection until its ClientHello is complete.
#[derive(Debug, Default)]
pub struct Conversation {
    client: Option<Side>,
    keys: Option<Keys>,
    hello: Assembly,
    attempts: u8,
    tls: Option<Tls>,
}

impl Conversation {
    /// What was read; nothing before the hello is complete.
    pub fn into_facts(self) -> Option<Tls> {
        self.tls
    }

    /// Whether no more is to be read.
    pub const fn over(&self) -> bool {
        self.tls.is_some() || self.attempts >= ATTEMPTS
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        // Expanded keys lie in ring's types.
        size_of::<Self>() + self.hello.heap() + self.tls.as_ref().map_or(0, Tls::heap)
    }

    /// Reads the packets of one datagram: RFC 9000 §12.2 puts several into it.
    pub fn datagram(&mut self, side: Side, bytes: &[u8]) {
        if self.client.is_some_and(|client| client != side) || bytes.len() > DATAGRAM {
            return;
        }
        let mut rest = bytes;
        while let Some(next) = self.packet(side, rest) {
            rest = next;
            if self.over() {
                break;
            }
        }
    }

    /// Reads one packet with a long header; what follows it.
    fn packet<'a>(&mut self, side: Side, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut cursor = Cursor::new(bytes);
        let (first, version) = (cursor.u8()?, cursor.u32()?);
        if first & 0x80 == 0 {
            return None;
        }
        let destination = cursor.vector8()?;
        cursor.vector8()?;
        let kind = first >> 4 & 0x03;
        let initial = if version == VERSION_2 { kind == 1 } else { kind == 0 };
        if initial {
            let token = varint(&mut cursor)?;
            cursor.skip(usize::try_from(token).ok()?)?;
        }
        let length = usize::try_from(varint(&mut cursor)?).ok()?;
        let at = bytes.len() - cursor.rest().len();
        let end = at.checked_add(length)?;
        let packet = bytes.get(..end)?;
        if initial {
            self.initial(side, version, destination, packet, at);
        }
        bytes.get(end..).filter(|rest| !rest.is_empty())
    }

    fn initial(&mut self, side: Side, version: u32, destination: &[u8], packet: &[u8], at: usize) {
        self.attempts += 1;
        let mut copy = packet.to_vec();
        if let Some(frames) = self.keys.as_ref().and_then(|keys| keys.open(&mut copy, at)) {
            self.client = Some(side);
            frames_of(frames, &mut self.hello);
        } else {
            let Some(keys) = Keys::of(version, destination) else { return };
            copy.copy_from_slice(packet);
            let Some(frames) = keys.open(&mut copy, at) else { return };
            self.client = Some(side);
            frames_of(frames, &mut self.hello);
            self.keys = Some(keys);
        }
        let mut message = Cursor::new(self.hello.prefix());
        if let (Some(1), Some(body)) = (message.u8(), message.vector24()) {
            if let Some(hello) = ClientHello::parse(body, false) {
                let mut tls = Tls::default();
                tls.client(&hello, Transport::Quic);
                self.tls = Some(tls);
            }
            self.attempts = ATTEMPTS;
        }
    }
}

/// Takes the CRYPTO frames out of an Initial packet's frames: RFC 9000 §17.2.2 names those that may be there.
fn frames_of(frames: &[u8], hello: &mut Assembly) -> Option<()> {
    let mut cursor = Cursor::new(frames);
    loop {
        match cursor.u8()? {
            0 | 1 => {}
            kind @ (2 | 3) => {
                let (_, _, ranges, _) =
                    (varint(&mut cursor)?, varint(&mut cursor)?, varint(&mut cursor)?, varint(&mut cursor)?);
                for _ in 0..ranges {
                    varint(&mut cursor)?;
                    varint(&mut cursor)?;
                }
                for _ in 0..if kind == 3 { 3 } else { 0 } {
                    varint(&mut cursor)?;
                }
            }
            6 => {
                let start = usize::try_from(varint(&mut cursor)?).ok()?;
                let length = usize::try_from(varint(&mut cursor)?).ok()?;
                let bytes = cursor.take(length)?;
                if start.saturating_add(length) <= HELLO {
                    hello.add(start, bytes);
                }
            }
            _ => return None,
        }
    }
}

/// A number of variable length: RFC 9000 §16.
fn varint(cursor: &mut Cursor<'_>) -> Option<u64> {
    let first = cursor.u8()?;
    let mut value = u64::from(first & 0x3f);
    for _ in 1..1 << (first >> 6) {
        value = value << 8 | u64::from(cursor.u8()?);
    }
    Some(value)
}
