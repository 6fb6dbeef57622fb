//! Which words a chunk of lines cannot hold, so that a search for a rare word reads the few chunks that may.
//!
//! A sketch is a Bloom filter cut into blocks of one cache line (Putze, Sanders, Singler: "Cache-, Hash- and
//! Space-Efficient Bloom Filters"): all bits of a word lie in one block, so asking costs one read of 64 bytes from disk.
//! Fifteen words of a block are bits, the last is their CRC-32: a damaged block answers "maybe", never "no".
//!
//! **Words.** A word is a run of letters and digits, folded to lower-case ASCII. Words with one of `. - _ : / \ @`
//! between them are noted in pairs and in fours as well, so that an address or a path is as rare here as it is in the
//! logs. A word with letters beyond ASCII is not noted and always "maybe". A search for text that begins and ends where
//! words do is thus never answered "no" wrongly.

/// Bytes of a block.
pub const BLOCK: usize = 64;
/// Bits of a block that say something.
const BITS: u64 = 480;
/// Bits of a word.
const PROBES: u32 = 4;
/// Blocks of a sketch under way: 512 KiB.
const MOST_BLOCKS: usize = 8_192;
/// A sketch is folded in half as long as fewer than this share of its bits would be set, in percent.
const FULLEST: usize = 42;

/// What is hashed apart: a word of the text, or a field with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Word = 0,
    Field = 1,
}

/// A sketch under way.
#[derive(Debug)]
pub struct Sketch {
    words: Vec<[u32; 16]>,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { words: vec![[0; 16]; MOST_BLOCKS] }
    }
}

impl Sketch {
    /// Notes the words of a text.
    pub fn note_text(&mut self, text: &str) {
        let words = &mut self.words;
        shingles(text.as_bytes(), |hash| set(words, hash));
    }

    /// Notes a field and its value.
    pub fn note_field(&mut self, name: &str, value: &str) {
        if let Some(hash) = field(name, value) {
            set(&mut self.words, hash);
        }
    }

    /// The finished sketch, as small as its words allow: a power of two of blocks.
    pub fn finish(self) -> Vec<u8> {
        let mut blocks = self.words;
        while blocks.len() > 1 {
            let half = blocks.len() / 2;
            let (low, high) = blocks.split_at(half);
            let set: usize = low
                .iter()
                .zip(high)
                .map(|(a, b)| a[..15].iter().zip(&b[..15]).map(|(a, b)| (a | b).count_ones() as usize).sum::<usize>())
                .sum();
            if set * 100 > half * BITS as usize * FULLEST {
                break;
            }
            let (low, high) = blocks.split_at_mut(half);
            low.iter_mut().zip(high).for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| *a |= *b));
            blocks.truncate(half);
        }
        let mut bytes = Vec::with_capacity(blocks.len() * BLOCK);
        for block in blocks {
            let begin = bytes.len();
            block[..15].iter().for_each(|word| bytes.extend(word.to_le_bytes()));
            let check = crc32fast::hash(&bytes[begin..]);
            bytes.extend(check.to_le_bytes());
        }
        bytes
    }
}

/// Which block of `blocks` a hash lies in.
pub fn place(hash: u64, blocks: usize) -> usize {
    // Folding keeps the low bits.
    (hash >> 32) as usize & (blocks - 1)
}

/// Whether a block may hold a hash; a damaged block may.
pub fn block_may_hold(block: &[u8; BLOCK], hash: u64) -> bool {
    let (bits_part, check) = block.split_at(60);
    if crc32fast::hash(bits_part).to_le_bytes() != *check {
        return true;
    }
    bits(hash).all(|bit| bits_part[bit / 8] & (1 << (bit % 8)) != 0)
}

fn set(blocks: &mut [[u32; 16]], hash: u64) {
    let place = place(hash, blocks.len());
    let block = &mut blocks[place];
    bits(hash).for_each(|bit| block[bit / 32] |= 1 << (bit % 32));
}

fn bits(hash: u64) -> impl Iterator<Item = usize> {
    let mut state = hash & 0xffff_ffff;
    (0..PROBES).map(move |_| {
        state = (state.wrapping_mul(0x9e37_79b1) ^ (state >> 15)) & 0xffff_ffff;
        ((state * BITS) >> 32) as usize
    })
}

/// What must have been noted when a text that holds `text`, framed by the ends of words, was.
pub fn text_needs(text: &str) -> Vec<u64> {
    let mut needs = Vec::new();
    shingles(text.as_bytes(), |hash| needs.push(hash));
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// What must have been noted when a field had this value, upper and lower case alike.
pub fn field_needs(name: &str, value: &str) -> Vec<u64> {
    field(name, value).into_iter().collect()
}

fn field(name: &str, value: &str) -> Option<u64> {
    // Cut values and letters beyond ASCII, which fold in more than one way, are always "maybe".
    if value.len() > 1_024 || !value.is_ascii() {
        return None;
    }
    let mut hash = seed(Sort::Field);
    for byte in name.bytes().chain([b'=']).chain(value.bytes()) {
        hash = step(hash, byte.to_ascii_lowercase());
    }
    Some(finish(hash))
}

fn seed(sort: Sort) -> u64 {
    0xcbf2_9ce4_8422_2325 ^ (sort as u64)
}

/// FNV-1a's step; [`finish`] makes up for its weak high bits.
fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

/// The finaliser of MurmurHash3.
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// What a byte is to a word: 0 ends it, 1 joins two, 2 is beyond ASCII, everything else is itself, folded.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0;
    while b < 256 {
        let byte = b as u8;
        classes[b] = if byte.is_ascii_alphanumeric() {
            byte.to_ascii_lowercase()
        } else if byte >= 0x80 {
            2
        } else {
            matches!(byte, b'.' | b'-' | b'_' | b':' | b'/' | b'\\' | b'@') as u8
        };
        b += 1;
    }
    classes
};

/// Hands out the hashes of words, and of pairs and fours of joined words.
fn shingles(text: &[u8], mut note: impl FnMut(u64)) {
    // Hashes of the last words of the run under way, newest first, and the joiner before each.
    let mut run = [0u64; 4];
    let mut length = 0usize;
    let mut at = 0;
    while at < text.len() {
        let class = CLASSES[usize::from(text[at])];
        if class < 2 {
            // Two joiners in a row, or any other byte, end the run.
            let joins = class == 1 && at > 0 && CLASSES[usize::from(text[at - 1])] >= 2;
            length = if joins { length } else { 0 };
            at += 1;
            continue;
        }
        let joiner = if length > 0 { text[at - 1] } else { 0 };
        let mut hash = seed(Sort::Word);
        let mut ascii = true;
        while let Some(byte) = text.get(at) {
            let class = CLASSES[usize::from(*byte)];
            if class < 2 {
                break;
            }
            ascii &= class != 2;
            hash = step(hash, class);
            at += 1;
        }
        if !ascii {
            length = 0;
            continue;
        }
        let hash = finish(hash);
        note(hash);
        run = [hash, run[0].rotate_left(7) ^ u64::from(joiner), run[1].rotate_left(7), run[2].rotate_left(7)];
        length = (length + 1).min(4);
        if length >= 2 {
            note(finish(run[0] ^ run[1].wrapping_mul(3)));
        }
        if length >= 4 {
            note(finish(run[0] ^ run[1].wrapping_mul(3) ^ run[2].wrapping_mul(5) ^ run[3].wrapping_mul(7)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asks(sketch: &[u8], hashes: &[u64]) -> bool {
        let blocks = sketch.len() / BLOCK;
        hashes.iter().all(|hash| {
            let at = place(*hash, blocks) * BLOCK;
            block_may_hold(sketch[at..at + BLOCK].try_into().unwrap(), *hash)
        })
    }

    proptest! {
        #[test]
        fn what_is_there_is_never_denied(
            // Framed by what ends a word.
            before in "([a-c1-3 .:é-]{0,19}[ .:-])?",
            text in "[a-cA-C1-3.:/@ é]{1,16}",
            after in "([ .:-][a-c1-3 .:é-]{0,19})?",
        ) {
            let mut sketch = Sketch::default();
            sketch.note_text(&format!("{before}{text}{after}"));
            let needs = text_needs(&text);
            let finished = sketch.finish();
            prop_assert!(finished.len().is_power_of_two());
            prop_assert!(asks(&finished, &needs));
        }

        #[test]
        fn a_damaged_block_denies_nothing(at in 0..BLOCK, bit in 0..8u8) {
            let mut sketch = Sketch::default();
            sketch.note_field("user.name", "root");
            let mut finished = sketch.finish();
            prop_assert_eq!(finished.len(), BLOCK);
            prop_assert!(!asks(&finished, &field_needs("user.name", "toor")));
            finished[at] ^= 1 << bit;
            prop_assert!(asks(&finished, &field_needs("user.name", "toor")));
        }
    }

    #[test]
    fn few_words_that_are_not_there_are_taken_for_there() {
        let mut sketch = Sketch::default();
        for n in 0..60_000u64 {
            sketch.note_text(&format!("session {} of 10.{}.{}.{} closed", n * 7, n % 7, n % 251, n % 253));
        }
        let finished = sketch.finish();
        let wrong = (0..10_000).filter(|n| asks(&finished, &text_needs(&format!("absent{n}x")))).count();
        assert!(wrong < 500, "{wrong} of 10,000, {} blocks", finished.len() / BLOCK);
        assert!(!asks(&finished, &text_needs("172.16.99.201")));
    }
}
