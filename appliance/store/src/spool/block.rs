//! What a segment file holds: an 8-byte mark, then blocks. Pure: bytes in, values out.
//!
//! A block is a header of [`HEADER`] bytes and a payload, little-endian throughout:
//!
//! ```text
//! mark u32 · first u64 · points u32 · length u32 · from i64 · to i64 · payload CRC-32 u32 · header CRC-32 u32
//! series u64 × points · values f64 × points · times: zigzag varint, each the difference to the one before, the first to `from`
//! ```
//!
//! The header has a check of its own, so that a damaged payload still says which points it held, and a damaged header
//! is found out before its length is believed: the next good header then tells by its `first` what was lost.
//! A decoder that is handed anything at all answers with `None`; it never panics and never allocates more than the
//! bytes it was given justify.

use sent_protocol::telemetry::Point;

/// What a segment file begins with; the digit is the version of the format.
pub const SEGMENT_MARK: &[u8; 8] = b"SENTSPL1";
/// Bytes of a block's header.
pub const HEADER: usize = 44;
/// Points of the largest block; an append of more is several blocks.
pub const MAX_POINTS: usize = 16_384;
/// Bytes of the largest payload: series, value and the longest varint for each point.
pub const MAX_PAYLOAD: usize = MAX_POINTS * (8 + 8 + 10);

const BLOCK_MARK: u32 = u32::from_le_bytes(*b"BLK1");

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Position of its first point.
    pub first: u64,
    /// Points in it, at least one.
    pub points: u32,
    /// Bytes of its payload.
    pub length: u32,
    /// Earliest time in it.
    pub from: i64,
    /// Latest time in it.
    pub to: i64,
    /// CRC-32 of its payload.
    pub checksum: u32,
}

/// Points by columns, as DuckDB and Arrow want them. The three are equally long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Series ids.
    pub series: Vec<u64>,
    /// Times, µs.
    pub at: Vec<i64>,
    /// Values, all finite.
    pub value: Vec<f64>,
}

impl Columns {
    /// How many points.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// No point at all.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Cuts back to `len` points.
    fn truncate(&mut self, len: usize) {
        self.series.truncate(len);
        self.at.truncate(len);
        self.value.truncate(len);
    }

    /// The points, one by one.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.series.iter().zip(&self.at).zip(&self.value).map(|((&series, &at), &value)| Point { series, at, value })
    }
}

/// Encodes points into a block whose `first` is still zero; [`seal`] fills it in once the place is known, so that the
/// work is done outside the writer's lock. `points` holds 1 to [`MAX_POINTS`].
pub fn encode(points: &[Point]) -> Vec<u8> {
    debug_assert!(!points.is_empty() && points.len() <= MAX_POINTS);
    let mut bytes = Vec::with_capacity(HEADER + points.len() * 19);
    bytes.resize(HEADER, 0);
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for point in points {
        bytes.extend_from_slice(&point.series.to_le_bytes());
        from = from.min(point.at);
        to = to.max(point.at);
    }
    for point in points {
        bytes.extend_from_slice(&point.value.to_le_bytes());
    }
    let mut before = from;
    for point in points {
        put_varint(&mut bytes, zigzag(point.at.wrapping_sub(before)));
        before = point.at;
    }
    let payload = &bytes[HEADER..];
    let header = Header {
        first: 0,
        points: points.len() as u32,
        length: payload.len() as u32,
        from,
        to,
        checksum: crc32fast::hash(payload),
    };
    put_header(&mut bytes[..HEADER], &header);
    bytes
}

/// Gives an encoded block its place.
pub fn seal(block: &mut [u8], first: u64) {
    block[4..12].copy_from_slice(&first.to_le_bytes());
    let check = crc32fast::hash(&block[..HEADER - 4]);
    block[HEADER - 4..HEADER].copy_from_slice(&check.to_le_bytes());
}

/// Reads a header; `None` when it is none, or damaged, or claims what no block can be.
pub fn header(bytes: &[u8]) -> Option<Header> {
    let bytes = bytes.get(..HEADER)?;
    if read_u32(bytes, 0) != BLOCK_MARK || crc32fast::hash(&bytes[..HEADER - 4]) != read_u32(bytes, HEADER - 4) {
        return None;
    }
    let header = Header {
        first: read_u64(bytes, 4),
        points: read_u32(bytes, 12),
        length: read_u32(bytes, 16),
        from: read_u64(bytes, 20).cast_signed(),
        to: read_u64(bytes, 28).cast_signed(),
        checksum: read_u32(bytes, 36),
    };
    let (points, length) = (header.points as usize, header.length as usize);
    let sound = (1..=MAX_POINTS).contains(&points)
        && (points * 17..=MAX_PAYLOAD).contains(&length)
        && header.from <= header.to
        && header.first.checked_add(points as u64).is_some();
    sound.then_some(header)
}

/// Where the next sound header begins at or after `start`.
pub fn find_header(bytes: &[u8], start: usize) -> Option<usize> {
    let mark = BLOCK_MARK.to_le_bytes();
    let mut at = start;
    while at + HEADER <= bytes.len() {
        let offset = bytes[at..bytes.len() - HEADER + 4].windows(4).position(|w| w == mark)?;
        at += offset;
        if header(&bytes[at..]).is_some() {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Appends a payload's points to `into`; `None`, and `into` as it was, when the payload is not what its header says.
pub fn decode(header: &Header, payload: &[u8], into: &mut Columns) -> Option<()> {
    if payload.len() != header.length as usize || crc32fast::hash(payload) != header.checksum {
        return None;
    }
    let before = into.len();
    let done = decode_columns(header, payload, into);
    if done.is_none() {
        into.truncate(before);
    }
    done
}

fn decode_columns(header: &Header, payload: &[u8], into: &mut Columns) -> Option<()> {
    let points = header.points as usize;
    let (series, rest) = payload.split_at_checked(points * 8)?;
    let (values, mut times) = rest.split_at_checked(points * 8)?;
    into.series.extend(series.as_chunks::<8>().0.iter().map(|c| u64::from_le_bytes(*c)));
    into.value.extend(values.as_chunks::<8>().0.iter().map(|c| f64::from_le_bytes(*c)));
    let mut at = header.from;
    into.at.reserve(points);
    for _ in 0..points {
        at = at.wrapping_add(unzigzag(take_varint(&mut times)?));
        if !(header.from..=header.to).contains(&at) {
            return None;
        }
        into.at.push(at);
    }
    times.is_empty().then_some(())
}

fn put_header(into: &mut [u8], header: &Header) {
    into[0..4].copy_from_slice(&BLOCK_MARK.to_le_bytes());
    into[4..12].copy_from_slice(&header.first.to_le_bytes());
    into[12..16].copy_from_slice(&header.points.to_le_bytes());
    into[16..20].copy_from_slice(&header.length.to_le_bytes());
    into[20..28].copy_from_slice(&header.from.to_le_bytes());
    into[28..36].copy_from_slice(&header.to.to_le_bytes());
    into[36..40].copy_from_slice(&header.checksum.to_le_bytes());
    let check = crc32fast::hash(&into[..HEADER - 4]);
    into[HEADER - 4..HEADER].copy_from_slice(&check.to_le_bytes());
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
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
    use super::*;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Point> {
        (any::<u64>(), any::<i64>(), proptest::num::f64::NORMAL | proptest::num::f64::ZERO)
            .prop_map(|(series, at, value)| Point { series, at, value })
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(points in prop::collection::vec(point(), 1..200), first in 0..u64::MAX / 2) {
            let mut block = encode(&points);
            seal(&mut block, first);
            let found = header(&block).unwrap();
            prop_assert_eq!(found.first, first);
            let mut columns = Columns::default();
            decode(&found, &block[HEADER..], &mut columns).unwrap();
            prop_assert_eq!(columns.points().collect::<Vec<_>>(), points);
        }

        #[test]
        fn a_flipped_bit_is_noticed(points in prop::collection::vec(point(), 1..50), at in any::<prop::sample::Index>(), bit in 0..8u8) {
            let mut block = encode(&points);
            seal(&mut block, 7);
            let at = at.index(block.len());
            block[at] ^= 1 << bit;
            let mut columns = Columns::default();
            let read = header(&block).and_then(|h| decode(&h, &block[HEADER..], &mut columns));
            prop_assert!(read.is_none());
            prop_assert!(columns.is_empty());
        }

        #[test]
        fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..400), start in 0..500usize) {
            prop_assert_eq!(header(&bytes), None);
            prop_assert_eq!(find_header(&bytes, start.min(bytes.len())), None);
        }

        #[test]
        fn a_header_is_found_after_noise(noise in prop::collection::vec(any::<u8>(), 0..200), points in prop::collection::vec(point(), 1..5)) {
            let mut block = encode(&points);
            seal(&mut block, 1);
            let mut bytes = noise.clone();
            bytes.extend(b"BLK1");
            bytes.extend(block);
            prop_assert_eq!(find_header(&bytes, 0), Some(noise.len() + 4));
        }

        #[test]
        fn any_payload_with_a_right_checksum_is_safe(payload in prop::collection::vec(any::<u8>(), 0..300), points in 0..40u32, from in any::<i64>(), to in any::<i64>()) {
            let header = Header { first: 0, points, length: payload.len() as u32, from, to, checksum: crc32fast::hash(&payload) };
            let mut columns = Columns::default();
            if decode(&header, &payload, &mut columns).is_none() {
                prop_assert!(columns.is_empty());
            }
        }
    }
}
