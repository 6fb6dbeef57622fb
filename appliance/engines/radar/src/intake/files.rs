//! Log files followed through whatever rotates them.
//!
//! A file is known by its device, inode and the check of its first bytes, never by its name alone: a renamed file is read
//! to its end under its old identity, a new one under the old name begins at its beginning, and a copy that `copytruncate`
//! left beside the original is not read twice. What is shorter than what was read of it was truncated, and begins anew.
//! Positions are kept after the lines before them are durable in the queue: after a crash some lines come twice, none
//! is left out. Files are looked at, not watched: that also works on network shares.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    inlet::{Counters, Inlet},
    normalise::Form,
    queue::{block::Draft, state},
};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Bytes read of a file before the next one has its turn.
const TURN: usize = 1 << 20;
/// Bytes of a file's beginning that tell it from others.
const PRINT: usize = 256;
/// Fewer bytes tell nothing.
const SHORTEST_PRINT: usize = 32;
/// Files followed at a time.
const MOST_FILES: usize = 5_000;
/// Folders within each other that `**` goes down.
const DEEPEST: usize = 16;
/// Endings of rotated files that hold no lines.
const PACKED: [&str; 6] = ["gz", "bz2", "xz", "zst", "zip", "lz4"];

/// Which file it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Identity {
    device: u64,
    inode: u64,
}

/// What is kept of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    identity: Identity,
    path: PathBuf,
    /// Bytes read: the beginning of the first line that is not in the queue.
    offset: u64,
    /// Length and CRC-32 of its beginning.
    print: (usize, u32),
    /// In the middle of a line whose beginning was cut and queued.
    skipping: bool,
}

/// Follows files until it is dropped.
#[derive(Debug)]
pub struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows the files that `patterns` name (`*` and `?` within a name, `**` for folders in between); positions are
    /// kept in `kept`. Files that are there at the first start are read from their beginning.
    pub fn start(patterns: Vec<String>, inlet: Inlet, kept: PathBuf) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut run = Run::new(patterns, inlet, kept)?;
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("log-files".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                if !run.look() {
                    std::thread::sleep(LOOK_EVERY);
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that follows files panicked");
        }
    }
}

struct Run {
    patterns: Vec<String>,
    inlet: Inlet,
    kept: PathBuf,
    files: BTreeMap<Identity, Followed>,
    draft: Draft,
}

struct Followed {
    place: Place,
    file: Option<File>,
    /// The look at which a pattern last named it.
    named: bool,
}

impl Run {
    fn new(patterns: Vec<String>, inlet: Inlet, kept: PathBuf) -> io::Result<Self> {
        let places: Vec<Place> = match state::content(&kept)? {
            Some(text) => serde_json::from_slice(&text).unwrap_or_default(),
            None => Vec::new(),
        };
        let files =
            places.into_iter().map(|place| (place.identity, Followed { place, file: None, named: false })).collect();
        Ok(Self { patterns, inlet, kept, files, draft: Draft::default() })
    }

    /// One look at everything. Answers whether there may be more at once.
    fn look(&mut self) -> bool {
        if !self.inlet.queue().has_room() {
            return false;
        }
        self.find();
        let mut more = false;
        let mut read = false;
        let identities: Vec<Identity> = self.files.keys().copied().collect();
        for identity in identities {
            match self.turn(identity) {
                Ok((any, left)) => {
                    read |= any;
                    more |= left;
                }
                Err(error) => {
                    if let Some(followed) = self.files.get_mut(&identity) {
                        tracing::warn!(path = %followed.place.path.display(), %error, "a log file cannot be read");
                        followed.file = None;
                    }
                }
            }
        }
        let before = self.files.len();
        // Gone, and read to its end.
        self.files.retain(|_, followed| followed.named || followed.file.is_some());
        if read || self.files.len() != before {
            self.keep();
        }
        more
    }

    /// Which files the patterns name now.
    fn find(&mut self) {
        self.files.values_mut().for_each(|f| f.named = false);
        let mut paths = Vec::new();
        self.patterns.iter().for_each(|pattern| expand(pattern, &mut paths));
        paths.sort();
        paths.dedup();
        for path in paths {
            let packed = path.extension().and_then(|e| e.to_str()).is_some_and(|e| PACKED.contains(&e));
            let Some(metadata) = fs::metadata(&path).ok().filter(|m| m.is_file() && !packed) else { continue };
            let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
            if let Some(followed) = self.files.get_mut(&identity) {
                followed.named = true;
                if followed.place.path != path {
                    followed.place.path = path;
                }
                continue;
            }
            if self.files.len() >= MOST_FILES {
                tracing::warn!(path = %path.display(), most = MOST_FILES, "too many log files: this one is not followed");
                continue;
            }
            let place = Place { identity, path, offset: 0, print: (0, 0), skipping: false };
            self.files.insert(identity, Followed { place, file: None, named: true });
            // Before anything is read: the original of a copy may be found truncated by then.
            if let Err(error) = self.open(identity) {
                tracing::debug!(%error, "a new log file cannot be opened yet");
            }
        }
    }

    /// Opens a file that is not open, and finds out which it is. Answers whether it is open now.
    fn open(&mut self, identity: Identity) -> io::Result<bool> {
        let Some(followed) = self.files.get_mut(&identity) else { return Ok(false) };
        if followed.file.is_some() {
            return Ok(true);
        }
        let file = match File::open(&followed.place.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if (Identity { device: metadata.dev(), inode: metadata.ino() }) != identity {
            // Renamed between the look and now: the next look knows its name.
            return Ok(false);
        }
        followed.file = Some(file);
        self.recognise(identity)?;
        Ok(true)
    }

    /// Reads a piece of a file. Answers whether it read anything, and whether there may be more.
    fn turn(&mut self, identity: Identity) -> io::Result<(bool, bool)> {
        if !self.open(identity)? {
            return Ok((false, false));
        }
        let Some(followed) = self.files.get_mut(&identity) else { return Ok((false, false)) };
        let Some(file) = &followed.file else { return Ok((false, false)) };
        let length = file.metadata()?.len();
        if length < followed.place.offset {
            tracing::info!(path = %followed.place.path.display(), "a log file was truncated and begins anew");
            followed.place.offset = 0;
            followed.place.print = (0, 0);
            followed.place.skipping = false;
        }
        if followed.place.print.0 < PRINT && length > followed.place.print.0 as u64 {
            followed.place.print = print(file, PRINT)?;
        }
        let mut buffer = vec![0; TURN.min((length - followed.place.offset) as usize)];
        let count = file.read_at(&mut buffer, followed.place.offset)?;
        buffer.truncate(count);
        // A line without an end may still grow, unless the file is gone from under its name.
        let last = !followed.named && followed.place.offset + count as u64 == length;
        let used = lines(&buffer, self.inlet.longest(), last, &mut followed.place.skipping, |line, cut| {
            let source = followed.place.path.to_string_lossy();
            Counters::add(&self.inlet.counters().cut, u64::from(cut));
            self.inlet.draft(&mut self.draft, Form::Line, &source, self.inlet.now(), line, cut);
        });
        while !self.draft.is_empty() {
            if self.inlet.append(&mut self.draft).is_err() {
                // What is read again later is not lost: the offset stays.
                self.draft.clear();
                return Ok((false, false));
            }
        }
        followed.place.offset += used as u64;
        let more = used > 0 && followed.place.offset < length;
        if !followed.named && !more {
            followed.file = None;
        }
        Ok((used > 0, more))
    }

    /// Whether a file that was just opened is the one that is known, a copy of a known one, or new.
    fn recognise(&mut self, identity: Identity) -> io::Result<()> {
        let Some(followed) = self.files.get(&identity) else { return Ok(()) };
        let Some(file) = &followed.file else { return Ok(()) };
        let length = file.metadata()?.len();
        let known = followed.place.print;
        let fresh = print(file, PRINT)?;
        let same = known.0 > 0 && print(file, known.0)? == known;
        // The copy that `copytruncate` made: as long as what was read of the original, and begins as it did.
        let copied = |other: &&Followed| {
            other.place.identity != identity
                && other.place.print.0 >= SHORTEST_PRINT
                && other.place.offset <= length
                && print(file, other.place.print.0).is_ok_and(|p| p == other.place.print)
        };
        let copy_of =
            (known.0 == 0).then(|| self.files.values().find(copied).map(|other| other.place.offset)).flatten();
        if let Some(followed) = self.files.get_mut(&identity) {
            if !same {
                // New, or another file in a used inode.
                followed.place.offset = copy_of.unwrap_or(0);
                followed.place.skipping = false;
            }
            followed.place.print = fresh;
        }
        Ok(())
    }

    /// Keeps the positions, once what is before them is durable.
    fn keep(&self) {
        let places: Vec<&Place> = self.files.values().map(|f| &f.place).collect();
        let kept = self.inlet.queue().flush().map_err(io::Error::other).and_then(|()| {
            let text = serde_json::to_vec(&places)?;
            state::replace(&self.kept, &text)
        });
        if let Err(error) = kept {
            tracing::warn!(%error, "the positions in log files cannot be kept");
        }
    }
}

/// The check of a file's beginning, and how many bytes it is over.
fn print(file: &File, most: usize) -> io::Result<(usize, u32)> {
    let mut bytes = vec![0; most];
    let count = file.read_at(&mut bytes, 0)?;
    Ok((count, crc32fast::hash(&bytes[..count])))
}

/// Hands out the complete lines of a piece of a file, cut at `longest`, and answers with the bytes they take. `last`: what
/// has no end is a line too. `skipping` is whether the piece begins, and then ends, inside a line that was cut.
fn lines(piece: &[u8], longest: usize, last: bool, skipping: &mut bool, mut line: impl FnMut(&[u8], bool)) -> usize {
    let mut at = 0;
    while at < piece.len() {
        let rest = &piece[at..];
        let end = memchr::memchr(b'\n', rest);
        let text = &rest[..end.unwrap_or(rest.len())];
        if !*skipping {
            if end.is_none() && !last && text.len() <= longest {
                return at;
            }
            let cut = text.len() > longest;
            let text = super::framing::trimmed(&text[..text.len().min(longest)]);
            if !text.is_empty() {
                line(text, cut);
            }
            *skipping = end.is_none() && !last;
        } else if end.is_some() {
            *skipping = false;
        }
        at += end.map_or(rest.len(), |end| end + 1);
    }
    at
}

/// The files that a pattern names.
fn expand(pattern: &str, into: &mut Vec<PathBuf>) {
    let (root, rest) = match pattern.strip_prefix('/') {
        Some(rest) => (PathBuf::from("/"), rest),
        None => (PathBuf::from("."), pattern),
    };
    let parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty()).collect();
    descend(&root, &parts, 0, into);
}

fn descend(folder: &Path, parts: &[&str], depth: usize, into: &mut Vec<PathBuf>) {
    if into.len() >= 2 * MOST_FILES || depth > DEEPEST {
        return;
    }
    let Some((part, rest)) = parts.split_first() else {
        into.push(folder.to_owned());
        return;
    };
    if !part.contains(['*', '?']) {
        descend(&folder.join(part), rest, depth, into);
        return;
    }
    if *part == "**" {
        descend(folder, rest, depth, into);
    }
    // A folder that is not there yet, or may not be read: the next look sees.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let is_folder = entry.file_type().is_ok_and(|t| t.is_dir());
        if *part == "**" {
            if is_folder {
                descend(&entry.path(), parts, depth + 1, into);
            }
        } else if fits(part.as_bytes(), name.as_bytes()) && (is_folder || rest.is_empty()) {
            descend(&entry.path(), rest, depth, into);
        }
    }
}

/// Whether a name fits a pattern of `*` and `?`. Linear but for the last `*`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
