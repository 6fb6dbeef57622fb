//! The rules of a box: a folder of its own, packs beside it, and the pipelines that map fields.
//!
//! ```text
//! DATA/radar/
//!   rules/       the box's own, put there by whoever looks after it
//!   packs/NAME/  installed, a folder each
//!   pipelines/   pySigma's pipelines, for all rules
//! ```
//!
//! Files are looked at every two seconds, not watched. Rules that cannot be compiled together leave those in force that
//! were; a single broken rule is named and the others run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Cursor, Read},
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

use flate2::read::GzDecoder;
use sent_contract::radar::Rule;
use zip::ZipArchive;

use crate::{
    correlation::Correlations,
    model::{Fault, Place, sighting},
    rules::{self, LoadError, Loaded},
};

/// Files of a pack at most.
const MOST_FILES: usize = 20_000;
/// Bytes of a pack's files at most, unpacked.
const MOST_BYTES: u64 = 256 << 20;
/// Folders within each other that are looked into.
const DEEPEST: usize = 32;

/// Why a pack cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its name would not do as a folder's.
    #[error("a pack's name has 1 to 60 lower-case letters, digits and dashes")]
    Name,
    /// It is no archive, or not whole.
    #[error("this is neither a zip archive nor a tar archive, plain or compressed with gzip: {0}")]
    Archive(std::io::Error),
    /// It holds too much.
    #[error("a pack holds at most {MOST_FILES} files and {} MiB", MOST_BYTES >> 20)]
    Large,
    /// It holds nothing.
    #[error("there is no rule file (.yml, .yaml) in this archive")]
    Empty,
    /// The folder cannot be written.
    #[error("the pack cannot be written: {0}")]
    Write(std::io::Error),
}

/// The folders.
#[derive(Clone, Debug)]
pub struct Library {
    folder: PathBuf,
}

/// What tells whether files changed: their names, lengths and times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Library {
    /// The rules below an engine's folder; makes what is missing.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        for name in ["rules", "packs", "pipelines"] {
            fs::create_dir_all(folder.join(name))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    fn packs(&self) -> PathBuf {
        self.folder.join("packs")
    }

    /// The files as they are now, of these packs.
    pub fn look(&self, packs: &BTreeSet<String>) -> Seen {
        let mut seen = Seen::default();
        let folders = packs.iter().map(|pack| self.packs().join(pack));
        for folder in [self.folder.join("rules"), self.folder.join("pipelines")].into_iter().chain(folders) {
            walk(&folder, 0, &mut seen);
        }
        seen
    }

    /// Loads the box's own rules and those of these packs.
    ///
    /// # Errors
    /// Where a pipeline is none, or the rules cannot be compiled together.
    pub fn load(&self, packs: &BTreeSet<String>) -> Result<(Loaded, Vec<Rule>), LoadError> {
        let mut pipelines = Seen::default();
        walk(&self.folder.join("pipelines"), 0, &mut pipelines);
        let pipelines = rules::pipelines(&pipelines.0.into_keys().collect::<Vec<_>>())?;
        let mut paths = vec![self.folder.join("rules")];
        paths.extend(packs.iter().map(|pack| self.packs().join(pack)).filter(|path| path.is_dir()));
        let mut loaded = rules::load(&paths, &pipelines)?;
        let mut faults = std::mem::take(&mut loaded.faults);
        Correlations::new(&loaded.correlations, &loaded.rules, &mut faults);
        loaded.faults = faults;
        let rows = self.rows(&loaded);
        Ok((loaded, rows))
    }

    /// Rules as rows.
    fn rows(&self, loaded: &Loaded) -> Vec<Rule> {
        let mut found: BTreeMap<String, Rule> = BTreeMap::new();
        let mut add = |rule: Rule| {
            // Two rules of one id are told apart by their places; the second was warned of.
            let id =
                if found.contains_key(&rule.id) { format!("{} ({})", rule.id, rule.place) } else { rule.id.clone() };
            found.insert(id.clone(), Rule { id, ..rule });
        };
        for rule in loaded.rules.rules() {
            let (pack, place) = self.placed(&rule.place);
            add(Rule {
                id: sighting::identity(rule),
                title: rule.title.clone(),
                kind: "detection".to_owned(),
                severity: rule.level.map(|level| level.as_str().to_owned()).unwrap_or_default(),
                author: rule.author.clone().unwrap_or_default(),
                tags: rule.tags.clone(),
                pack,
                place,
                enabled: true,
                error: warning(&loaded.faults, &rule.place.file, &rule.title),
            });
        }
        let broken: Vec<&Fault> = loaded.faults.iter().filter(|fault| !fault.runs).collect();
        for (rule, at) in &loaded.correlations {
            if broken.iter().any(|fault| fault.place == *at) {
                continue;
            }
            let (pack, place) = self.placed(at);
            add(Rule {
                id: rule.id.clone().unwrap_or_else(|| place.clone()),
                title: rule.title.clone(),
                kind: "correlation".to_owned(),
                severity: rule.level.map(|level| level.as_str().to_owned()).unwrap_or_default(),
                author: rule.author.clone().unwrap_or_default(),
                tags: rule.tags.clone(),
                pack,
                place,
                enabled: true,
                error: warning(&loaded.faults, &at.file, &rule.title),
            });
        }
        for fault in broken {
            let (pack, place) = self.placed(&fault.place);
            add(Rule {
                id: if pack.is_empty() { place.clone() } else { format!("{pack}/{place}") },
                title: fault.rule.clone().unwrap_or_else(|| place.clone()),
                kind: "broken".to_owned(),
                severity: String::new(),
                author: String::new(),
                tags: Vec::new(),
                pack,
                place,
                enabled: true,
                error: fault.message.clone(),
            });
        }
        found.into_values().collect()
    }

    /// The pack a place is in, and the place within it.
    fn placed(&self, place: &Place) -> (String, String) {
        let line = place.line;
        let rest = |path: &Path| format!("{}:{line}", path.display());
        if let Ok(path) = place.file.strip_prefix(self.folder.join("rules")) {
            return (String::new(), rest(path));
        }
        let Ok(path) = place.file.strip_prefix(self.packs()) else { return (String::new(), rest(&place.file)) };
        let mut parts = path.components();
        let pack = parts.next().map(|pack| pack.as_os_str().to_string_lossy().into_owned()).unwrap_or_default();
        (pack, rest(parts.as_path()))
    }

    /// Unpacks an archive as a pack, in place of what was there of that name. Only rule files are taken.
    pub fn install(&self, name: &str, archive: &[u8]) -> Result<usize, PackError> {
        if !is_name(name) {
            return Err(PackError::Name);
        }
        // Dots keep the two out of the way of packs.
        let (fresh, old) = (self.packs().join(format!(".{name}.new")), self.packs().join(format!(".{name}.old")));
        clear(&fresh).and_then(|()| clear(&old)).map_err(PackError::Write)?;
        let unpacked = unpack(archive, &fresh);
        let placed = unpacked.and_then(|files| {
            let place = self.packs().join(name);
            let swap = || {
                if place.exists() {
                    fs::rename(&place, &old)?;
                }
                fs::rename(&fresh, &place)
            };
            swap().map(|()| files).map_err(PackError::Write)
        });
        // What cannot be removed now is removed at the next installation.
        let _ = clear(&fresh).and_then(|()| clear(&old));
        placed
    }

    /// Removes a pack's files.
    pub fn remove(&self, name: &str) -> Result<(), PackError> {
        if !is_name(name) {
            return Err(PackError::Name);
        }
        clear(&self.packs().join(name)).map_err(PackError::Write)
    }
}

/// Whether a name will do as a pack's.
fn is_name(name: &str) -> bool {
    (1..=60).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn clear(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes an archive's rule files below `folder`; answers how many.
fn unpack(archive: &[u8], folder: &Path) -> Result<usize, PackError> {
    let mut taken = Taken { folder, files: 0, bytes: 0 };
    match archive {
        [b'P', b'K', ..] => {
            let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(|e| PackError::Archive(e.into()))?;
            for index in 0..archive.len() {
                let mut entry = archive.by_index(index).map_err(|e| PackError::Archive(e.into()))?;
                if entry.is_file() {
                    let path = entry.name().map_err(|e| PackError::Archive(e.into()))?;
                    let path = PathBuf::from(&*path);
                    taken.take(&path, &mut entry)?;
                }
            }
        }
        [0x1f, 0x8b, ..] => tarred(GzDecoder::new(archive), &mut taken)?,
        _ => tarred(archive, &mut taken)?,
    }
    if taken.files == 0 { Err(PackError::Empty) } else { Ok(taken.files) }
}

fn tarred(archive: impl Read, taken: &mut Taken<'_>) -> Result<(), PackError> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().map_err(PackError::Archive)? {
        let mut entry = entry.map_err(PackError::Archive)?;
        let path = entry.path().map_err(PackError::Archive)?.into_owned();
        if entry.header().entry_type().is_file() {
            taken.take(&path, &mut entry)?;
        }
    }
    Ok(())
}

/// What was taken out of an archive. How large a file is says the file itself, not the archive.
struct Taken<'a> {
    folder: &'a Path,
    files: usize,
    bytes: u64,
}

impl Taken<'_> {
    fn take(&mut self, path: &Path, content: &mut impl Read) -> Result<(), PackError> {
        // Only names that stay within the folder: `..` and absolute paths are passed over.
        let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !stays || !is_rule(path) {
            return Ok(());
        }
        let mut text = Vec::new();
        let left = MOST_BYTES - self.bytes;
        content.take(left + 1).read_to_end(&mut text).map_err(PackError::Archive)?;
        self.bytes += text.len() as u64;
        self.files += 1;
        if self.files > MOST_FILES || self.bytes > MOST_BYTES {
            return Err(PackError::Large);
        }
        let path = self.folder.join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mut file = fs::File::create(&path)?;
            std::io::Write::write_all(&mut file, &text)?;
            file.sync_all()
        });
        written.map_err(PackError::Write)
    }
}

fn is_rule(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}

/// What runs although something is odd about it.
fn warning(faults: &[Fault], file: &Path, title: &str) -> String {
    let of_it = |fault: &&Fault| fault.runs && **fault.place.file == *file && fault.rule.as_deref() == Some(title);
    faults.iter().find(of_it).map(|fault| fault.message.clone()).unwrap_or_default()
}

fn walk(folder: &Path, depth: usize, seen: &mut Seen) {
    if depth > DEEPEST {
        return;
    }
    // A folder that is gone holds nothing.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            walk(&path, depth + 1, seen);
        } else if is_rule(&path) {
            seen.0.insert(path, (metadata.len(), metadata.modified().ok()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const RULE: &str = "title: T\nid: 11111111-1111-4111-8111-111111111111\nlogsource:\n  product: linux\ndetection:\n  s:\n    a: b\n  condition: s\n";

    fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            // `append_data` refuses what a hostile archive may hold, so the name is put there as it is.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_pack_is_installed_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path()).unwrap();
        let packs = BTreeSet::from(["core".to_owned()]);
        let broken = "title: Broken\ndetection:\n  condition: s\n";
        let files = [("a/one.yml", RULE), ("a/two.yml", broken), ("../out.yml", RULE), ("readme.md", "x")];
        assert_eq!(library.install("core", &archive(&files)).unwrap(), 2);
        assert!(!folder.path().join("packs/out.yml").exists() && !folder.path().join("out.yml").exists());
        let (loaded, rows) = library.load(&packs).unwrap();
        assert_eq!(loaded.rules.rules().len(), 1);
        let shown: Vec<_> = rows.iter().map(|r| (r.kind.as_str(), r.pack.as_str(), r.place.as_str())).collect();
        assert_eq!(shown, [("detection", "core", "a/one.yml:1"), ("broken", "core", "a/two.yml:3")]);
        let before = library.look(&packs);
        assert_eq!(library.install("core", &archive(&[("b.yml", RULE)])).unwrap(), 1);
        assert_ne!(library.look(&packs), before);
        assert_eq!(library.load(&packs).unwrap().1.len(), 1);
        library.remove("core").unwrap();
        assert_eq!(library.load(&packs).unwrap().1.len(), 0);
    }

    fn zipped(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, text) in files {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn a_pack_may_be_zipped_or_not_compressed_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path()).unwrap();
        let files = [("rules/a.yml", RULE), ("../out.yml", RULE), ("LICENSE", "x")];
        assert_eq!(library.install("zip", &zipped(&files)).unwrap(), 1);
        assert!(folder.path().join("packs/zip/rules/a.yml").exists() && !folder.path().join("packs/out.yml").exists());
        let mut plain = Vec::new();
        GzDecoder::new(&*archive(&files)).read_to_end(&mut plain).unwrap();
        assert_eq!(library.install("tar", &plain).unwrap(), 1);
        assert!(matches!(library.install("cut", &zipped(&files)[..100]), Err(PackError::Archive(_))));
    }

    #[test]
    fn what_is_no_pack_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path()).unwrap();
        assert!(matches!(library.install("../x", &archive(&[("a.yml", RULE)])), Err(PackError::Name)));
        assert!(matches!(library.install("x", b"no archive"), Err(PackError::Archive(_))));
        assert!(matches!(library.install("x", &archive(&[("a.txt", "x")])), Err(PackError::Empty)));
        assert_eq!(fs::read_dir(folder.path().join("packs")).unwrap().count(), 0);
    }

    #[test]
    fn own_rules_have_no_pack() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path()).unwrap();
        let mut file = fs::File::create(folder.path().join("rules/mine.yml")).unwrap();
        file.write_all(RULE.as_bytes()).unwrap();
        let (_, rows) = library.load(&BTreeSet::new()).unwrap();
        assert_eq!((rows[0].pack.as_str(), rows[0].place.as_str()), ("", "mine.yml:1"));
    }
}
