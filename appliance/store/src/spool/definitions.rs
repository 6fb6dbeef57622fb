//! What the series of a spool folder are: an append-only file of checked lines.
//!
//! Definitions are kept apart from the blocks, because a block that the bound drops must not take the names of series
//! that are still alive with it. A damaged line costs that line; its series is written again when it is next defined
//! after a start.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use sent_protocol::telemetry::SeriesDefinition;

use super::atomic;

/// Where a folder keeps them.
pub fn path(folder: &Path) -> PathBuf {
    folder.join("definitions")
}

/// One line, with its end.
pub fn line(definition: &SeriesDefinition) -> io::Result<Vec<u8>> {
    let mut line = atomic::line(definition)?;
    line.push(b'\n');
    Ok(line)
}

/// What was read from an offset on.
#[derive(Debug, Default)]
pub struct Read {
    /// Sound lines.
    pub definitions: Vec<SeriesDefinition>,
    /// Lines that were not.
    pub damaged: u64,
    /// Where the next line begins.
    pub offset: u64,
}

/// Reads at most `limit` whole lines from `offset` on. A file that is shorter than `offset` was made anew: it is read
/// from its start.
pub fn read(folder: &Path, offset: u64, limit: usize) -> io::Result<Read> {
    let file = match File::open(path(folder)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Read::default()),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    let offset = if offset > length { 0 } else { offset };
    let mut bytes = vec![0; usize::try_from(length - offset).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    let mut found = Read { offset, ..Read::default() };
    for line in bytes.split_inclusive(|b| *b == b'\n').take(limit) {
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        found.offset += line.len() as u64;
        match atomic::parse(whole) {
            Some(definition) => found.definitions.push(definition),
            None => found.damaged += 1,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_round_trip_and_noise_does_not(name in ".{0,20}", value in ".{0,20}", unit in ".{0,5}", flip in any::<prop::sample::Index>(), bit in 0..8u8) {
            let labels = [("label".to_owned(), value)].into();
            let definition = SeriesDefinition::new(name, labels, unit);
            let mut line = line(&definition).unwrap();
            prop_assert_eq!(line.pop(), Some(b'\n'));
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(atomic::parse(&line), Some(definition.clone()));
            let at = flip.index(line.len());
            line[at] ^= 1 << bit;
            // The case of a hexadecimal digit is the one flip that changes nothing.
            prop_assert!(atomic::parse::<SeriesDefinition>(&line).is_none_or(|d| d == definition));
        }
    }
}
