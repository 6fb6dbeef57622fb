//! What a segment file of the queue holds: an 8-byte mark, then blocks. Pure: bytes in, entries out.
//!
//! A block is a header of [`HEADER`] bytes and a payload, little-endian:
//!
//! ```text
//! mark u32 · first u64 · entries u32 · length u32 · received i64 · payload CRC-32 u32 · header CRC-32 u32
//! entry: form u8 (bit 7: was cut) · varint µs after `received` · varint length, source · varint length, bytes
//! ```
//!
//! The header has a check of its own, so that its length is believed only when it is whole. A decoder answers anything
//! at all without a panic, and hands out pieces of the block it was given.

use crate::intake::normalise::{Arrival, Form};

/// What a segment begins with; the digit is the version of the format.
pub const SEGMENT_MARK: &[u8; 8] = b"SENTLOG1";
/// Bytes of a block's header.
pub const HEADER: usize = 36;
/// Bytes of a payload at most.
pub const MOST_BYTES: usize = 32 << 20;

const BLOCK_MARK: u32 = u32::from_le_bytes(*b"LBK1");
const CUT: u8 = 0x80;

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Position of the first entry.
    pub first: u64,
    /// How many there are, at least one.
    pub entries: u32,
    /// Bytes of the payload.
    pub length: u32,
    /// When the first was received, µs.
    pub received: i64,
    /// CRC-32 of the payload.
    pub checksum: u32,
}

/// A block under way: entries are added to it where they arrive, without a lock.
#[derive(Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
    entries: u32,
    received: i64,
}

impl Draft {
    /// Adds an entry.
    pub fn push(&mut self, arrival: &Arrival<'_>) {
        if self.entries == 0 {
            self.bytes.clear();
            self.bytes.resize(HEADER, 0);
            self.received = arrival.received;
        }
        self.entries += 1;
        self.bytes.push(arrival.form as u8 | if arrival.cut { CUT } else { 0 });
        put_varint(&mut self.bytes, arrival.received.saturating_sub(self.received).max(0).cast_unsigned());
        for part in [arrival.source.as_bytes(), arrival.bytes] {
            put_varint(&mut self.bytes, part.len() as u64);
            self.bytes.extend_from_slice(part);
        }
    }

    /// Entries in it.
    pub fn len(&self) -> u32 {
        self.entries
    }

    /// None yet.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Bytes it will take.
    pub fn bytes(&self) -> usize {
        if self.entries == 0 { 0 } else { self.bytes.len() }
    }

    /// Empties it; its room stays unless it is unusually large.
    pub fn clear(&mut self) {
        self.entries = 0;
        if self.bytes.capacity() > 1 << 20 {
            self.bytes = Vec::new();
        }
    }

    /// The block, as it stands at position `first`. Not for an empty draft.
    pub fn seal(&mut self, first: u64) -> &[u8] {
        let payload = &self.bytes[HEADER..];
        let header = Header {
            first,
            entries: self.entries,
            length: payload.len() as u32,
            received: self.received,
            checksum: crc32fast::hash(payload),
        };
        put_header(&mut self.bytes[..HEADER], &header);
        &self.bytes
    }
}

fn put_header(into: &mut [u8], header: &Header) {
    into[0..4].copy_from_slice(&BLOCK_MARK.to_le_bytes());
    into[4..12].copy_from_slice(&header.first.to_le_bytes());
    into[12..16].copy_from_slice(&header.entries.to_le_bytes());
    into[16..20].copy_from_slice(&header.length.to_le_bytes());
    into[20..28].copy_from_slice(&header.received.to_le_bytes());
    into[28..32].copy_from_slice(&header.checksum.to_le_bytes());
    let check = crc32fast::hash(&into[..HEADER - 4]);
    into[32..36].copy_from_slice(&check.to_le_bytes());
}

/// Reads a header; `None` when it is none, or damaged, or claims what no block can be.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let bytes = bytes.get(..HEADER)?;
    let word = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    let long = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    if word(0) != BLOCK_MARK || crc32fast::hash(&bytes[..HEADER - 4]) != word(32) {
        return None;
    }
    let header = Header {
        first: long(4),
        entries: word(12),
        length: word(16),
        received: long(20).cast_signed(),
        checksum: word(28),
    };
    let sound = header.entries > 0
        && header.length as usize <= MOST_BYTES
        && header.first.checked_add(u64::from(header.entries)).is_some();
    sound.then_some(header)
}

/// Where the next sound header begins at or after `start`.
pub fn find_header(bytes: &[u8], start: usize) -> Option<usize> {
    let mark = BLOCK_MARK.to_le_bytes();
    let rest = bytes.get(start..)?;
    memchr::memmem::find_iter(rest, &mark).map(|at| start + at).find(|at| header(&bytes[*at..]).is_some())
}

/// Whether a payload is the one its header speaks of.
pub fn is_whole(header: &Header, payload: &[u8]) -> bool {
    payload.len() == header.length as usize && crc32fast::hash(payload) == header.checksum
}

/// The entries of a payload that [`is_whole`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    left: u32,
    position: u64,
    received: i64,
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    /// Those of a block.
    pub fn new(header: &Header, payload: &'a [u8]) -> Self {
        Self { left: header.entries, position: header.first, received: header.received, rest: payload }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (u64, Arrival<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (&mark, rest) = self.rest.split_first()?;
        self.rest = rest;
        let after = take_varint(&mut self.rest)?;
        let source = std::str::from_utf8(part(&mut self.rest)?).ok()?;
        let bytes = part(&mut self.rest)?;
        let position = self.position;
        self.position += 1;
        let received = self.received.saturating_add_unsigned(after);
        Some((
            position,
            Arrival { source, received, form: Form::from_number(mark & !CUT)?, cut: mark & CUT != 0, bytes },
        ))
    }
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        // The tenth byte holds the one bit that is left.
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(
            lines in prop::collection::vec(("[a-z.0-9]{0,9}", prop::collection::vec(any::<u8>(), 0..60), 0..5u8, any::<bool>(), 0..1_000_000i64), 1..30),
            first in 0..u64::MAX / 2,
        ) {
            let arrivals: Vec<Arrival<'_>> = lines.iter().enumerate().map(|(n, (source, bytes, form, cut, after))| Arrival {
                source, bytes, cut: *cut, form: Form::from_number(*form).unwrap(),
                received: if n == 0 { 0 } else { *after },
            }).collect();
            let mut draft = Draft::default();
            arrivals.iter().for_each(|a| draft.push(a));
            let block = draft.seal(first).to_vec();
            let found = header(&block).unwrap();
            prop_assert!(is_whole(&found, &block[HEADER..]));
            let read: Vec<_> = Entries::new(&found, &block[HEADER..]).collect();
            prop_assert_eq!(read.len(), arrivals.len());
            for (n, ((position, read), written)) in read.iter().zip(&arrivals).enumerate() {
                prop_assert_eq!(*position, first + n as u64);
                prop_assert_eq!(read, written);
            }
        }

        #[test]
        fn a_flipped_bit_is_noticed(bytes in prop::collection::vec(any::<u8>(), 0..90), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut draft = Draft::default();
            draft.push(&Arrival { source: "x", received: 5, form: Form::Line, cut: false, bytes: &bytes });
            let mut block = draft.seal(9).to_vec();
            let at = at.index(block.len());
            block[at] ^= 1 << bit;
            prop_assert!(header(&block).is_none_or(|h| !is_whole(&h, &block[HEADER..])));
        }

        #[test]
        fn noise_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..300), entries in 0..50u32) {
            prop_assert_eq!(find_header(&bytes, 0), None);
            let header = Header { first: 0, entries, length: bytes.len() as u32, received: 0, checksum: 0 };
            prop_assert!(Entries::new(&header, &bytes).count() <= entries as usize);
        }
    }
}
