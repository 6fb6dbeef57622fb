//! Archives of rules, looked into before they are kept: what a box would refuse is refused here, while whoever brings it is
//! still there to hear why.
//!
//! Nothing is unpacked: files are read through, counted and let go of. How large a file is says the file, not the archive.

use std::{
    io::{self, Cursor, Read},
    path::{Component, Path},
};

use flate2::read::GzDecoder;
use zip::ZipArchive;

/// Bytes of an archive at most. Everything SigmaHQ has published takes a tenth of it.
pub const MOST_ARCHIVE: usize = 32 << 20;
/// Rule files of an archive at most; boxes keep to the same bound.
const MOST_FILES: u32 = 20_000;
/// Bytes of rule files at most; boxes keep to the same bound.
const MOST_BYTES: u64 = 256 << 20;

/// Why an archive is none of rules.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// It cannot be read.
    #[error("this is neither a zip archive nor a tar archive, plain or compressed with gzip: {0}")]
    Archive(#[from] io::Error),
    /// It holds too much.
    #[error("a pack holds at most {MOST_FILES} rule files and {} MiB", MOST_BYTES >> 20)]
    Large,
    /// It holds nothing.
    #[error("there is no rule file (.yml, .yaml) in this archive")]
    Empty,
    /// A rule file is no text.
    #[error("{0} is no text in UTF-8")]
    Text(String),
}

/// Counts the rule files of an archive.
pub fn inspect(archive: &[u8]) -> Result<u32, PackError> {
    let mut seen = Seen::default();
    match archive {
        [b'P', b'K', ..] => {
            let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(io::Error::from)?;
            for index in 0..archive.len() {
                let mut entry = archive.by_index(index).map_err(io::Error::from)?;
                if entry.is_file() {
                    let path = entry.name().map_err(io::Error::from)?.into_owned();
                    seen.look(Path::new(&path), &mut entry)?;
                }
            }
        }
        [0x1f, 0x8b, ..] => tarred(GzDecoder::new(archive), &mut seen)?,
        _ => tarred(archive, &mut seen)?,
    }
    if seen.files == 0 { Err(PackError::Empty) } else { Ok(seen.files) }
}

fn tarred(archive: impl Read, seen: &mut Seen) -> Result<(), PackError> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.into_owned();
            seen.look(&path, &mut entry)?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Seen {
    files: u32,
    bytes: u64,
}

impl Seen {
    fn look(&mut self, path: &Path, content: &mut impl Read) -> Result<(), PackError> {
        let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let is_rule = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        if !stays || !is_rule {
            return Ok(());
        }
        let mut bytes = Vec::new();
        content.take(MOST_BYTES - self.bytes + 1).read_to_end(&mut bytes)?;
        self.bytes += bytes.len() as u64;
        self.files += 1;
        if self.files > MOST_FILES || self.bytes > MOST_BYTES {
            return Err(PackError::Large);
        }
        std::str::from_utf8(&bytes).map_err(|_| PackError::Text(path.display().to_string()))?;
        Ok(())
    }
}

/// Whether a name will do as a pack's: it is a folder's on boxes.
pub fn is_name(name: &str) -> bool {
    (1..=60).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            // `append_data` refuses what a hostile archive may hold, so the name is put there as it is.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *text).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(text).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn rule_files_are_counted_whatever_they_are_packed_in() {
        let files: [(&str, &[u8]); 4] =
            [("a/one.yml", b"title: 1"), ("two.yaml", b"title: 2"), ("../out.yml", b"x"), ("LICENSE", b"x")];
        let plain = tar(&files);
        for archive in [gzip(&plain), plain, zip(&files)] {
            assert_eq!(inspect(&archive).unwrap(), 2);
        }
    }

    #[test]
    fn what_is_no_pack_is_refused_in_words() {
        assert!(matches!(inspect(b"no archive at all"), Err(PackError::Archive(_))));
        assert!(matches!(inspect(&gzip(&tar(&[("a.yml", b"x")]))[..30]), Err(PackError::Archive(_))));
        assert!(matches!(inspect(&tar(&[("a.txt", b"x")])), Err(PackError::Empty)));
        assert!(matches!(inspect(&tar(&[("a.yml", b"\xff\xfe")])), Err(PackError::Text(name)) if name == "a.yml"));
        assert!(matches!(inspect(b""), Err(PackError::Empty | PackError::Archive(_))));
    }

    #[test]
    fn names_are_those_of_folders() {
        assert!(is_name("sigma-core") && is_name("a"));
        for bad in ["", "Sigma", "a b", "../x", "ä", &"x".repeat(61)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(start in prop_oneof![Just(&b"PK\x03\x04"[..]), Just(&b"\x1f\x8b\x08"[..]), Just(&b""[..])],
                        rest in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = inspect(&[start, &rest].concat());
        }

        #[test]
        fn an_archive_cut_anywhere_is_no_panic(at in 0usize..700) {
            let whole = gzip(&tar(&[("a.yml", b"title: a")]));
            let _ = inspect(&whole[..at.min(whole.len())]);
        }
    }
}
