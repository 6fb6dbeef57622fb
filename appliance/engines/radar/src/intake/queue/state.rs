//! Small state files that are whole at every instant: written beside, synced, renamed over the old one; a CRC-32 before
//! the value tells when a bit was flipped.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Replaces a file's content durably. After a crash it is the old or the new one, nothing between.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{:08x}", crc32fast::hash(text))?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// What [`replace`] wrote; `None` when there is no file or it is damaged.
pub fn content(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let sound = bytes
        .split_at_checked(9)
        .filter(|(check, text)| *check == format!("{:08x}\n", crc32fast::hash(text)).as_bytes());
    if sound.is_none() {
        tracing::warn!(path = %path.display(), "a state file is damaged and is not believed");
    }
    Ok(sound.map(|(_, text)| text.to_vec()))
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Keeps a consumer's cursor.
pub fn save(folder: &Path, name: &str, cursor: u64) -> io::Result<()> {
    replace(&folder.join(format!("{name}.cursor")), cursor.to_string().as_bytes())
}

/// The cursors that are kept, by consumer. A damaged one begins anew: its consumer meets entries twice rather than never.
pub fn cursors(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(consumer) = name.to_str().and_then(|n| n.strip_suffix(".cursor")) else { continue };
        let kept = content(&folder.join(&name))?;
        let cursor = kept.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        found.insert(consumer.to_owned(), cursor.unwrap_or(0));
    }
    Ok(found)
}
