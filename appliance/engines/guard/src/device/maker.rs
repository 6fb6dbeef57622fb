//! Who made a device: IEEE's registers of MAC addresses, as Debian's `ieee-data` keeps them.
//!
//! The files are read at run time, so that the system's updates count and nothing of theirs is copied here. Blocks of
//! 24, 28 and 36 bits are known; the longest wins.

use std::{collections::HashMap, path::Path, sync::Arc};

use foldhash::fast::RandomState;

use super::Mac;

/// The registers, and the bits of their blocks.
const FILES: [(&str, u8); 3] = [("oui.csv", 24), ("mam.csv", 28), ("oui36.csv", 36)];
/// Bytes of a maker's name.
const NAME: usize = 80;

/// Makers by block; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Makers(Arc<HashMap<(u8, u64), Box<str>, RandomState>>);

impl Makers {
    /// Reads the registers of a folder; what is not there is not known.
    pub fn read(folder: &Path) -> Self {
        let mut makers = HashMap::default();
        for (file, bits) in FILES {
            if let Ok(bytes) = std::fs::read(folder.join(file)) {
                add(&mut makers, bits, &String::from_utf8_lossy(&bytes));
            }
        }
        Self(Arc::new(makers))
    }

    /// How many blocks are known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who made a device; nobody, where it made up its address.
    pub fn of(&self, mac: Mac) -> Option<&str> {
        if mac.is_random() {
            return None;
        }
        let bits = mac.0.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        [36, 28, 24].into_iter().find_map(|length| self.0.get(&(length, bits >> (48 - length)))).map(|name| &**name)
    }
}

/// Takes up a register: `Registry,Assignment,Organization Name,Organization Address`, quoted as in RFC 4180.
fn add(makers: &mut HashMap<(u8, u64), Box<str>, RandomState>, bits: u8, text: &str) {
    for line in text.lines().skip(1) {
        let mut fields = Fields(line);
        let (Some(_), Some(block), Some(name)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let Ok(value) = u64::from_str_radix(&block, 16) else { continue };
        let name = name.trim();
        if block.len() * 4 == usize::from(bits) && !name.is_empty() {
            let end = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= NAME).last().unwrap_or_default();
            let name = if name.len() > NAME { &name[..end] } else { name };
            makers.insert((bits, value), name.into());
        }
    }
}

/// Fields of one line.
struct Fields<'a>(&'a str);

impl Iterator for Fields<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut field, mut end) = (false, String::new(), self.0.len());
        let mut letters = self.0.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' if quoted && letters.peek().is_some_and(|(_, next)| *next == '"') => {
                    letters.next();
                    field.push('"');
                }
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    end = at;
                    break;
                }
                letter => field.push(letter),
            }
        }
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_block_wins_and_quotes_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: &str| {
            sent_store::file::write_atomically(&folder.path().join(file), text.as_bytes()).expect("is written")
        };
        write(
            "oui.csv",
            "Registry,Assignment,Organization Name,Organization Address\nMA-L,001122,\"Acme, Inc. \"\"A\"\"\",\"Road 1, City\"\nMA-L,70B3D5,IEEE Registration Authority,x\n",
        );
        write("oui36.csv", "Registry,Assignment,Organization Name\nMA-S,70B3D5F2F,Sensors Ltd,y\n");
        let makers = Makers::read(folder.path());
        assert_eq!(makers.len(), 3);
        assert_eq!(makers.of(Mac([0, 0x11, 0x22, 3, 4, 5])), Some("Acme, Inc. \"A\""));
        assert_eq!(makers.of(Mac([0x70, 0xb3, 0xd5, 0xf2, 0xf9, 1])), Some("Sensors Ltd"));
        assert_eq!(makers.of(Mac([0x70, 0xb3, 0xd5, 0, 0, 1])), Some("IEEE Registration Authority"));
        assert_eq!(makers.of(Mac([2, 0x11, 0x22, 3, 4, 5])), None, "an address that was made up has no maker");
        assert!(Makers::read(&folder.path().join("nowhere")).is_empty());
    }
}
