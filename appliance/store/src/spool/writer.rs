//! The writing side of one process's folder. One writer, behind the spool's lock, and one process, behind a lock on the
//! folder: a process that was killed and the one that takes its place never write at the same time.
//!
//! Invariants:
//! * A block is wholly in the file, or the file is cut back to where the block began; when even that fails the segment is
//!   given up and the next block begins another one.
//! * Positions only grow. Each time a folder is opened its writer begins a new incarnation, so a position that a reader
//!   has passed never comes to mean another point, whatever a power cut took away.
//! * Before a segment that nobody read is deleted, what it held is on the list of dropped runs, durably.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use sent_core::clock::Timestamp;
use sent_protocol::{series::series_id, telemetry::SeriesDefinition};

use super::{
    Limits, SpoolError, atomic,
    block::{self, SEGMENT_MARK},
    definitions,
    folder::{DROPPED_FILE, Dropped, DroppedList, dropped, segment_path, segments},
    incarnation, incarnation_start,
    segment::Index,
};

/// Runs on the list of dropped ones; beyond it the oldest are joined.
const DROPPED_RUNS: usize = 1_024;
/// 2020-09-13, the beginning of incarnations: they are seconds since then, so that they grow even when a folder was
/// deleted, and fit 32 bits until 2156.
const INCARNATION_EPOCH: i64 = 1_600_000_000;

/// Held for as long as a process writes the folder.
const LOCK_FILE: &str = "lock";
/// How long a process that ends may take to let go of its folder, and how often it is asked.
const LETTING_GO: Duration = Duration::from_secs(5);
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// The open segment.
#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    length: u64,
}

/// The writer of a folder.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    limits: Limits,
    segment: Option<Segment>,
    /// Ended segments that no sync has seen yet.
    ended: Vec<Arc<File>>,
    /// Position of the next point.
    next: u64,
    /// Bytes of all segments. Counted anew whenever a segment begins, for the readers of another process delete them too.
    bytes: u64,
    defined: HashMap<u64, u64>,
    definitions: Arc<File>,
    definitions_length: u64,
    /// Points that the bound dropped since the folder was made.
    dropped_points: u64,
    /// The kernel lets go of it when the process ends, however that happens.
    _lock: File,
}

impl Writer {
    /// Opens or makes a folder.
    pub fn open(folder: PathBuf, limits: Limits, now: Timestamp) -> Result<Self, SpoolError> {
        let io = |e| SpoolError::io(&folder, e);
        fs::create_dir_all(&folder).map_err(io)?;
        let lock = take(&folder)?;
        let present = segments(&folder).map_err(io)?;
        let list = dropped(&folder).map_err(io)?;
        // A run that was listed but not deleted before a crash.
        for run in &list.runs {
            if present.contains(&run.first) && present.last() != Some(&run.first) {
                remove(&segment_path(&folder, run.first))?;
            }
        }
        let latest = present.last().copied().max(list.runs.last().map(|d| d.first)).map_or(0, |p| incarnation(p) + 1);
        let by_clock = now.0.div_euclid(1_000_000).saturating_sub(INCARNATION_EPOCH).clamp(1, i64::from(u32::MAX - 1));
        let next = latest.max(by_clock.unsigned_abs()) << super::INDEX_BITS;
        if let Some(last) = present.last() {
            cut_torn_tail(&segment_path(&folder, *last), *last)?;
        }
        let (file, length, defined) = open_definitions(&folder)?;
        let mut writer = Self {
            folder,
            limits,
            segment: None,
            ended: Vec::new(),
            next,
            bytes: 0,
            defined,
            definitions: Arc::new(file),
            definitions_length: length,
            dropped_points: list.ever,
            _lock: lock,
        };
        writer.bytes = writer.measure()?;
        Ok(writer)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Bytes of its segments.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Points that the bound dropped since the folder was made.
    pub fn dropped_points(&self) -> u64 {
        self.dropped_points
    }

    /// What must be synced for all that was appended to be durable.
    pub fn files(&mut self) -> Vec<Arc<File>> {
        let mut files = std::mem::take(&mut self.ended);
        files.push(self.definitions.clone());
        files.extend(self.segment.as_ref().map(|s| s.file.clone()));
        files
    }

    /// After a failed sync: what the file holds is no longer known, the next block begins another one.
    pub fn give_up(&mut self, files: Vec<Arc<File>>) {
        self.end_segment();
        self.ended.extend(files);
    }

    fn end_segment(&mut self) {
        self.ended.extend(self.segment.take().map(|s| s.file));
    }

    /// Writes the definitions that are new or changed.
    pub fn define(&mut self, definitions: &[SeriesDefinition]) -> Result<(), SpoolError> {
        let mut lines = Vec::new();
        let mut fresh = Vec::new();
        for definition in definitions {
            let print = fingerprint(definition);
            match self.defined.get(&definition.id) {
                Some(known) if *known == print => {}
                None if self.defined.len() + fresh.len() >= self.limits.max_series => {
                    return Err(SpoolError::TooManySeries { bound: self.limits.max_series });
                }
                _ if series_id(&definition.name, &definition.labels) != definition.id => {
                    return Err(SpoolError::Definition { name: definition.name.clone() });
                }
                _ => {
                    let path = definitions::path(&self.folder);
                    lines.extend(definitions::line(definition).map_err(|e| SpoolError::io(&path, e))?);
                    fresh.push((definition.id, print));
                }
            }
        }
        if lines.is_empty() {
            return Ok(());
        }
        if let Err(error) = (&*self.definitions).write_all(&lines) {
            // A half line is skipped by every reader; cutting it off only keeps the file tidy.
            let _ = self.definitions.set_len(self.definitions_length);
            return Err(SpoolError::io(&definitions::path(&self.folder), error));
        }
        self.definitions_length += lines.len() as u64;
        self.defined.extend(fresh);
        Ok(())
    }

    /// Appends an encoded block of `points` points.
    pub fn append(&mut self, block: &mut [u8], points: u32) -> Result<(), SpoolError> {
        if incarnation(self.next + u64::from(points)) != incarnation(self.next) {
            self.next = incarnation_start(self.next + u64::from(points));
            self.end_segment();
        }
        let length = block.len() as u64;
        if self.segment.as_ref().is_some_and(|s| s.length + length > self.limits.segment_bytes()) {
            self.end_segment();
        }
        if self.bytes + length > self.limits.max_bytes {
            self.make_room(length)?;
        }
        let first = self.next;
        if self.segment.is_none() {
            self.segment = Some(begin_segment(&self.folder, first)?);
            self.bytes = self.measure()?;
        }
        // It was made just now if there was none.
        let Some(segment) = &mut self.segment else { return Ok(()) };
        block::seal(block, first);
        if let Err(error) = (&*segment.file).write_all(block) {
            if segment.file.set_len(segment.length).is_err() {
                self.end_segment();
            }
            return Err(SpoolError::io(&segment_path(&self.folder, first), error));
        }
        segment.length += length;
        self.bytes += length;
        self.next += u64::from(points);
        Ok(())
    }

    /// Deletes a segment that all readers have passed.
    pub fn delete(&mut self, first: u64) -> Result<(), SpoolError> {
        let path = segment_path(&self.folder, first);
        let length = fs::metadata(&path).map_or(0, |m| m.len());
        remove(&path)?;
        self.bytes = self.bytes.saturating_sub(length);
        Ok(())
    }

    /// Deletes the oldest segments until `length` bytes fit, and lists what was in them. The open one stays.
    fn make_room(&mut self, length: u64) -> Result<(), SpoolError> {
        self.bytes = self.measure()?;
        if self.bytes + length <= self.limits.max_bytes {
            return Ok(());
        }
        let io = |e| SpoolError::io(&self.folder, e);
        let present = segments(&self.folder).map_err(io)?;
        let DroppedList { mut ever, mut runs } = dropped(&self.folder).map_err(io)?;
        let mut doomed = Vec::new();
        let mut bytes = self.bytes;
        for (place, first) in present.iter().enumerate() {
            let open = self.segment.is_some() && place + 1 == present.len();
            if open || bytes + length <= self.limits.max_bytes {
                break;
            }
            let path = segment_path(&self.folder, *first);
            bytes = bytes.saturating_sub(fs::metadata(&path).map_or(0, |m| m.len()));
            let run = summarise(&path, *first, present.get(place + 1).copied().unwrap_or(self.next));
            let run = run.map_err(|e| SpoolError::io(&path, e))?;
            if run.first < run.end && !runs.iter().any(|r| r.first == run.first) {
                ever += run.end - run.first;
                runs.push(run);
            }
            doomed.push(path);
        }
        if doomed.is_empty() {
            return Ok(());
        }
        runs.sort_unstable_by_key(|r| r.first);
        join_oldest(&mut runs);
        tracing::warn!(folder = %self.folder.display(), segments = doomed.len(), "the telemetry spool is full: its oldest part is dropped");
        atomic::save(&self.folder.join(DROPPED_FILE), &DroppedList { ever, runs }).map_err(io)?;
        self.dropped_points = ever;
        for path in doomed {
            remove(&path)?;
        }
        self.bytes = bytes;
        Ok(())
    }

    fn measure(&self) -> Result<u64, SpoolError> {
        let io = |e| SpoolError::io(&self.folder, e);
        let mut bytes = 0;
        for first in segments(&self.folder).map_err(io)? {
            bytes += fs::metadata(segment_path(&self.folder, first)).map_or(0, |m| m.len());
        }
        Ok(bytes)
    }
}

/// Takes a folder, once whoever had it has let go.
fn take(folder: &Path) -> Result<File, SpoolError> {
    let path = folder.join(LOCK_FILE);
    let io = |e| SpoolError::io(&path, e);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    for _ in 0..LETTING_GO.as_millis() / ASKED_EVERY.as_millis() {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => thread::sleep(ASKED_EVERY),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    Err(SpoolError::Taken(folder.display().to_string()))
}

fn begin_segment(folder: &Path, first: u64) -> Result<Segment, SpoolError> {
    let path = segment_path(folder, first);
    let io = |e| SpoolError::io(&path, e);
    // A segment whose first block never made it has the same name.
    let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path).map_err(io)?;
    let file = append_only(file, &path).map_err(io)?;
    if let Err(error) = (&file).write_all(SEGMENT_MARK) {
        let _ = fs::remove_file(&path);
        return Err(io(error));
    }
    // The name is durable before anything in it is acknowledged: the incarnation is known by it.
    atomic::sync_folder(folder).map_err(io)?;
    Ok(Segment { file: Arc::new(file), length: SEGMENT_MARK.len() as u64 })
}

/// Reopened for appending, so that a write after a cut goes to the file's end.
fn append_only(file: File, path: &Path) -> io::Result<File> {
    drop(file);
    OpenOptions::new().append(true).open(path)
}

/// What a segment held, from `first` to its last block, `successor` at most.
fn summarise(path: &Path, first: u64, successor: u64) -> io::Result<Dropped> {
    let mut index = Index::open(path, first)?;
    index.extend(Some(successor))?;
    let from = index.entries().iter().map(|e| e.from).min().unwrap_or_default();
    let to = index.entries().iter().map(|e| e.to).max().unwrap_or_default();
    Ok(Dropped { first, end: index.next(), from, to })
}

/// Joins the two oldest runs of one incarnation until the list is short enough.
fn join_oldest(runs: &mut Vec<Dropped>) {
    while runs.len() > DROPPED_RUNS {
        match (1..runs.len()).find(|i| runs[i - 1].end == runs[*i].first) {
            Some(i) => {
                let later = runs.remove(i);
                let earlier = &mut runs[i - 1];
                earlier.end = later.end;
                earlier.from = earlier.from.min(later.from);
                earlier.to = earlier.to.max(later.to);
            }
            // Runs that do not touch: the readers have passed what lies between them, and the oldest long since.
            None => {
                runs.remove(0);
            }
        }
    }
}

/// Cuts a half written block off the end of a file that the previous writer left.
fn cut_torn_tail(path: &Path, first: u64) -> Result<(), SpoolError> {
    let io = |e| SpoolError::io(path, e);
    let mut index = Index::open(path, first).map_err(io)?;
    index.extend(None).map_err(io)?;
    let file = OpenOptions::new().write(true).open(path).map_err(io)?;
    let length = file.metadata().map_err(io)?.len();
    let sound = index.sound_length();
    if sound < length {
        tracing::warn!(path = %path.display(), bytes = length - sound, "cut a torn block off the spool");
        file.set_len(sound).map_err(io)?;
        file.sync_data().map_err(io)?;
    }
    Ok(())
}

fn open_definitions(folder: &Path) -> Result<(File, u64, HashMap<u64, u64>), SpoolError> {
    let path = definitions::path(folder);
    let io = |e| SpoolError::io(&path, e);
    let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io)?;
    let found = definitions::read(folder, 0, usize::MAX).map_err(io)?;
    if found.damaged > 0 {
        tracing::warn!(path = %path.display(), lines = found.damaged, "definitions of series are damaged");
    }
    if file.metadata().map_err(io)?.len() > found.offset {
        file.set_len(found.offset).map_err(io)?;
    }
    let defined = found.definitions.iter().map(|d| (d.id, fingerprint(d))).collect();
    Ok((file, found.offset, defined))
}

/// Two definitions of one id differ when their unit does; the id is the hash of the rest.
fn fingerprint(definition: &SeriesDefinition) -> u64 {
    xxhash_rust::xxh3::xxh3_64(definition.unit.as_bytes())
}

/// Deletes a file that may be gone already: another process may have been quicker.
pub fn remove(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(SpoolError::io(path, e)),
        _ => Ok(()),
    }
}
