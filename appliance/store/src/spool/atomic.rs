//! Small state files that are whole at every instant: written beside, synced, and renamed over the old one; and a check,
//! so that a flipped bit is noticed: `CRC-32 in hex, space, JSON`.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// What a state file held.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept<T> {
    /// There is none.
    Nothing,
    /// It cannot be read.
    Damaged,
    /// What was written.
    Sound(T),
}

/// A value as a checked line, without an end of line.
pub fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(value)?;
    let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
    line.extend(json);
    Ok(line)
}

/// Reads a checked line; `None` when it is damaged.
pub fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    let (check, json) = line.split_at_checked(9)?;
    let check = u32::from_str_radix(std::str::from_utf8(check.strip_suffix(b" ")?).ok()?, 16).ok()?;
    if crc32fast::hash(json) != check {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Replaces a state file, durably. After a crash it holds the old or the new value, nothing between.
pub fn save<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(&line(value)?)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Reads a state file.
pub fn load<T: DeserializeOwned>(path: &Path) -> io::Result<Kept<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes).map_or(Kept::Damaged, Kept::Sound)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Kept::Nothing),
        Err(e) => Err(e),
    }
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "half a file is what this test wants")]
    fn a_state_file_is_sound_damaged_or_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor.state");
        assert_eq!(load::<Vec<u64>>(&path).unwrap(), Kept::Nothing);
        save(&path, &vec![1, 2]).unwrap();
        save(&path, &vec![3]).unwrap();
        assert_eq!(load::<Vec<u64>>(&path).unwrap(), Kept::Sound(vec![3]));
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(load::<Vec<u64>>(&path).unwrap(), Kept::Damaged);
        }
    }
}
