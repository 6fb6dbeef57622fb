//! The on-disk spool of telemetry: what was measured waits here until DuckDB and the cloud have it.
//!
//! ```text
//! DATA/spool/
//!   main/                       one folder a process, so that no file has two writers
//!     lock                      held by the process that writes here
//!     68f1c0de00000000.seg      blocks, named by the position of the first point
//!     definitions               what the series are
//!     dropped.state             what the bound dropped before everybody had read it
//!   radar/ …
//!   cloud.state                 what the cloud has acknowledged
//! ```
//!
//! **Positions.** Each point of a folder has a position: the writer's incarnation in the upper 32 bits, a running number
//! in the lower. A hole between two positions of one incarnation is that many lost points, so what damage or the bound
//! took is known exactly.
//!
//! **What `append` promises.** When it returns, the points are in the operating system's hands: they survive the death of
//! the process at any instruction. They survive a power cut once [`Spool::flush`] returned, which a thread calls every
//! second. When it fails, [`AppendError`] says how many were stored before.
//!
//! **What is stored.** Values are finite and times lie between 1970 and 9999: a point that is neither a measurement nor
//! has a time is left out and counted ([`Stats::refused`]), so that no reader meets it. A scrape's NaN is thus a hole
//! in the curve, as it should be.
//!
//! **Bound.** Each folder holds at most [`Limits::max_bytes`]. Beyond it the oldest segment is dropped, read or not, and
//! readers that had not passed it receive a [`Gap`](sent_protocol::telemetry::Gap) in its place.
//!
//! **Readers** live in the main process: [`Follower`] (DuckDB, in order; its cursor is in the database) and
//! [`CloudReader`] (newest first, by acknowledged ranges). A segment that all of them have passed is deleted.

mod atomic;
mod block;
mod cloud;
mod definitions;
mod folder;
mod follow;
mod ranges;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sent_core::{Problem, clock::SharedClock, error::Kind};
use sent_protocol::telemetry::{Point, SeriesDefinition};

pub use block::Columns;
pub use cloud::{Backlog, CloudReader, Shipment};
pub use follow::{Batch, Follower};
pub use ranges::Ranges;

/// Bits of a position below the incarnation.
const INDEX_BITS: u32 = 32;
/// Appended points become durable at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Points are stored with times before the end of the year 9999, UTC.
const LATEST: i64 = 253_402_300_799_999_999;

/// What the cloud reader keeps, under the spool's root.
const CLOUD_FILE: &str = "cloud.state";

/// The writer's incarnation a position belongs to.
fn incarnation(position: u64) -> u64 {
    position >> INDEX_BITS
}

/// The first position of the incarnation that `position` belongs to.
fn incarnation_start(position: u64) -> u64 {
    incarnation(position) << INDEX_BITS
}

/// How large a spool may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The writing process: the name of its folder.
    pub process: String,
    /// Bytes of this process's segments; about 17 bytes a point. Never less than 64 KiB.
    pub max_bytes: u64,
    /// Series this process may define.
    pub max_series: usize,
}

impl Default for Limits {
    /// The main process: 512 MiB, about 30 million points; 100,000 series.
    fn default() -> Self {
        Self { process: "main".to_owned(), max_bytes: 512 << 20, max_series: 100_000 }
    }
}

impl Limits {
    /// The bound is kept by whole segments, a sixteenth of it each and 8 MiB at most.
    fn segment_bytes(&self) -> u64 {
        (self.max_bytes / 16).clamp(4 << 10, 8 << 20)
    }
}

/// What can go wrong with the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk is full.
    #[error("the disk is full: free some space")]
    Full,
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A process defines more series than allowed: a label that takes ever new values.
    #[error("more than {bound} series: a label takes too many values")]
    TooManySeries {
        /// How many are allowed.
        bound: usize,
    },
    /// A definition whose id is not the hash of its name and labels: the cloud would refuse it.
    #[error("the id of series {name} is not the hash of its name and labels")]
    Definition {
        /// Its metric.
        name: String,
    },
    /// Another process writes this folder.
    #[error("another process writes {0}: stop it, or wait until it has ended")]
    Taken(String),
    /// A process name that is no folder name.
    #[error("a spool folder is named by lower-case letters, digits and '-', not {0:?}")]
    Name(String),
    /// A segment was asked for under another number than the one that is under way.
    #[error("telemetry segment {pending} is under way; settle it before {asked}")]
    UnderWay {
        /// The one under way.
        pending: u64,
        /// The one asked for.
        asked: u64,
    },
}

impl SpoolError {
    fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Io { path: path.display().to_string(), source },
        }
    }
}

impl From<SpoolError> for Problem {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::Full => {
                Self::new(Kind::Unavailable, "the disk is full: free some space; what was acknowledged is safe")
                    .with_retry_after(30)
            }
            SpoolError::TooManySeries { .. } => Self::new(Kind::TooLarge, error.to_string()),
            other => Self::internal(other),
        }
    }
}

/// Why an append ended early. Of the points that were handed over the first `stored` are in or left
/// out for good; offering them again would count them twice, the others may be offered again later.
#[derive(Debug, thiserror::Error)]
#[error("{cause}; {stored} points were stored, the others were not")]
pub struct AppendError {
    /// Points that are in.
    pub stored: usize,
    /// Why the next was not.
    #[source]
    pub cause: SpoolError,
}

/// A reader that the spool keeps segments for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// DuckDB, by a [`Follower`].
    Series,
    /// The cloud, by a [`CloudReader`].
    Cloud,
}

/// How the spool is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Points stored since the process began.
    pub stored: u64,
    /// Points left out since then: not finite, or no time.
    pub refused: u64,
    /// Points the bound dropped, of all processes' folders, since they were made.
    pub dropped: u64,
    /// Bytes of this process's segments.
    pub bytes: u64,
}

/// The spool of one process, to append to; in the main process also the door for readers.
#[derive(Debug)]
pub struct Spool {
    root: PathBuf,
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    writer: Mutex<Writing>,
    /// Wakes the ticker for its end.
    wake: Condvar,
    passed: Mutex<BTreeMap<Reader, Passed>>,
    stored: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Writing {
    writer: writer::Writer,
    dirty: bool,
    closed: bool,
}

/// What a reader has passed, by process.
type Passed = BTreeMap<String, Ranges>;

impl Spool {
    /// Opens the spool under `root` (`DATA/spool`) for the process named in `limits`. A torn block at the end, left by a
    /// crash, is cut off.
    pub fn open(root: &Path, limits: Limits, clock: SharedClock) -> Result<Arc<Self>, SpoolError> {
        let process = limits.process.clone();
        let named = !process.is_empty() && process.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !named {
            return Err(SpoolError::Name(process));
        }
        let limits = Limits { max_bytes: limits.max_bytes.max(64 << 10), ..limits };
        let writer = writer::Writer::open(root.join(&process), limits, clock.now())?;
        let shared = Arc::new(Shared {
            writer: Mutex::new(Writing { writer, dirty: false, closed: false }),
            wake: Condvar::new(),
            passed: Mutex::default(),
            stored: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        // Nothing may be deleted before a reader that begins later said where it stands.
        let mut readers = vec![Reader::Series];
        readers.extend(root.join(CLOUD_FILE).exists().then_some(Reader::Cloud));
        lock(&shared.passed).extend(readers.into_iter().map(|r| (r, Passed::new())));
        let ticking = shared.clone();
        let ticker = std::thread::Builder::new()
            .name("spool-flush".to_owned())
            .spawn(move || ticking.tick())
            .map_err(|e| SpoolError::io(root, e))?;
        Ok(Arc::new(Self { root: root.to_owned(), shared, ticker: Some(ticker) }))
    }

    /// Appends points and says what their series are; definitions that are known already cost nothing. May be called
    /// from several threads.
    ///
    /// # Errors
    /// A part of a large append may be stored all the same, see [`AppendError`].
    pub fn append(&self, points: &[Point], definitions: &[SeriesDefinition]) -> Result<(), AppendError> {
        let sound = sound(points);
        let refused = points.len() - sound.len();
        if refused > 0 {
            self.shared.refused.fetch_add(refused as u64, Ordering::Relaxed);
        }
        // Encoding and checksums need no lock.
        let blocks = sound.chunks(block::MAX_POINTS).map(|chunk| (block::encode(chunk), chunk.len()));
        let blocks: Vec<_> = blocks.collect();
        let mut writing = self.shared.writing();
        writing.dirty = true;
        let mut stored = 0;
        writing.writer.define(definitions).map_err(|cause| AppendError { stored, cause })?;
        for (mut block, count) in blocks {
            let appended = writing.writer.append(&mut block, count as u32);
            appended.map_err(|cause| AppendError { stored: handed_over(points, stored), cause })?;
            stored += count;
            self.shared.stored.fetch_add(count as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Returns when everything appended before is durable.
    pub fn flush(&self) -> Result<(), SpoolError> {
        self.shared.flush()
    }

    /// How it is doing.
    pub fn stats(&self) -> Stats {
        let others = self.dropped_by_others();
        let writing = self.shared.writing();
        Stats {
            stored: self.shared.stored.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            dropped: others + writing.writer.dropped_points(),
            bytes: writing.writer.bytes(),
        }
    }

    /// What the bound dropped from the folders of other processes. One that cannot be read now counts nothing.
    fn dropped_by_others(&self) -> u64 {
        let own = self.shared.writing().writer.folder().to_owned();
        let folders = self.processes().unwrap_or_default().into_iter().map(|name| self.root.join(name));
        folders.filter(|f| *f != own).map(|f| folder::dropped(&f).map_or(0, |list| list.ever)).sum()
    }

    /// The folder of all processes' spools.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The processes that have a folder, by name.
    fn processes(&self) -> Result<Vec<String>, SpoolError> {
        let io = |e| SpoolError::io(&self.root, e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(io)? {
            let entry = entry.map_err(io)?;
            if entry.file_type().map_err(io)?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A reader that must pass a segment before it is deleted.
    fn register(&self, reader: Reader) {
        lock(&self.shared.passed).entry(reader).or_default();
    }

    /// Says that nothing is kept for a reader any more. A process without DuckDB retires [`Reader::Series`].
    pub fn retire(&self, reader: Reader) {
        lock(&self.shared.passed).remove(&reader);
    }

    /// Notes what a reader has passed, and deletes the sealed segments that all readers have.
    fn passed(&self, reader: Reader, process: &str, ranges: &Ranges) -> Result<(), SpoolError> {
        let folder = self.root.join(process);
        let mut passed = lock(&self.shared.passed);
        passed.entry(reader).or_default().insert(process.to_owned(), ranges.clone());
        let segments = folder::segments(&folder).map_err(|e| SpoolError::io(&folder, e))?;
        for pair in segments.windows(2) {
            let range = pair[0]..pair[1];
            let by_all = passed.values().all(|p| p.get(process).is_some_and(|r| r.covers(&range)));
            if by_all {
                let mut writing = self.shared.writing();
                if folder == writing.writer.folder() {
                    writing.writer.delete(pair[0])?;
                } else {
                    // Its writer, another process, counts its segments anew with each it begins.
                    writer::remove(&folder::segment_path(&folder, pair[0]))?;
                }
            }
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.writing().closed = true;
        self.shared.wake.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // The ticker flushes once more before it ends; it cannot panic.
            let _ = ticker.join();
        }
    }
}

impl Shared {
    fn writing(&self) -> MutexGuard<'_, Writing> {
        lock(&self.writer)
    }

    /// Syncs outside the lock, so that appending goes on meanwhile.
    fn flush(&self) -> Result<(), SpoolError> {
        let (files, path) = {
            let mut writing = self.writing();
            if !writing.dirty {
                return Ok(());
            }
            writing.dirty = false;
            (writing.writer.files(), writing.writer.folder().to_owned())
        };
        let synced = files.iter().try_for_each(|f| f.sync_data());
        synced.map_err(|error| {
            let mut writing = self.writing();
            writing.dirty = true;
            writing.writer.give_up(files);
            SpoolError::io(&path, error)
        })
    }

    fn tick(&self) {
        let mut closed = false;
        while !closed {
            let writing = self.writing();
            let waited = self.wake.wait_timeout_while(writing, FLUSH_EVERY, |w| !w.closed);
            closed = waited.unwrap_or_else(PoisonError::into_inner).0.closed;
            if let Err(error) = self.flush() {
                tracing::error!(%error, "telemetry is not durable");
            }
        }
    }
}

/// A thread that panicked while holding one of these locks left nothing half done that a later check does not find.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many of the points that were handed over it takes to have `stored` sound ones.
fn handed_over(points: &[Point], stored: usize) -> usize {
    let sound = points.iter().enumerate().filter(|(_, p)| is_sound(p));
    sound.take(stored).last().map_or(0, |(place, _)| place + 1)
}

/// Finite, and at a time.
fn is_sound(point: &Point) -> bool {
    point.value.is_finite() && (0..=LATEST).contains(&point.at)
}

/// The points that are measurements.
fn sound(points: &[Point]) -> Cow<'_, [Point]> {
    if points.iter().all(is_sound) {
        Cow::Borrowed(points)
    } else {
        Cow::Owned(points.iter().copied().filter(is_sound).collect())
    }
}
