//! The disk queue: what was taken in waits here until every consumer has it.
//!
//! ```text
//! DATA/radar/queue/
//!   lock                      held by the process that writes here
//!   68f1c0de00000000.seg      blocks, named by the position of the first entry
//!   NAME.cursor               where a consumer stands that keeps its cursor here
//! ```
//!
//! **Positions** are those of the telemetry spool (docs/design/0006): the writer's incarnation in the upper 32 bits, a
//! running number in the lower. They only grow, and a position that was handed to a consumer never comes to mean another
//! entry, whatever a power cut took away: a consumer is only handed what is durable.
//!
//! **What is promised.** When [`Queue::append`] returns, the entries are in the operating system's hands: they survive
//! the death of the process at any instruction. When [`Queue::durable`] returns, they survive a power cut; that is what
//! an acknowledgement waits for. Syncs are shared: all who wait while one is under way are served by the next.
//!
//! **Bound.** A full queue refuses ([`QueueError::Full`]) and drops nothing: whoever can push back does, whoever cannot
//! counts what it lost. That is where it differs from the spool, which drops the oldest.

pub mod block;
mod reader;
pub(crate) mod state;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use sent_core::clock::SharedClock;
use tokio::sync::watch;

use self::block::{Draft, SEGMENT_MARK};

pub use self::reader::{Blocks, Reader};

/// Bits of a position below the incarnation.
const INDEX_BITS: u32 = 32;
/// Entries become durable at least this often.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// And whenever so many bytes are not yet, so that consumers keep up with a flood.
const FLUSH_BYTES: u64 = 8 << 20;
/// A queue with less room than this takes nothing more from those who can be pushed back.
const SLACK: u64 = 16 << 20;
/// 2020-09-13, the beginning of incarnations: they are seconds since then.
const INCARNATION_EPOCH: i64 = 1_600_000_000;

/// How large the queue may grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments.
    pub most_bytes: u64,
    /// Bytes of one segment: what a consumer that has read it frees at once.
    pub segment_bytes: u64,
}

impl Default for Limits {
    /// 2 GiB, in segments of 32 MiB.
    fn default() -> Self {
        Self { most_bytes: 2 << 30, segment_bytes: 32 << 20 }
    }
}

/// What can go wrong with the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// It has reached its bound: the consumers are behind.
    #[error("the log queue is full: what arrives faster than it is stored has to wait")]
    Full,
    /// The disk is full.
    #[error("the disk is full: free some space")]
    DiskFull,
    /// Reading or writing failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Another process writes here.
    #[error("another process writes {0}: stop it, or wait until it has ended")]
    Taken(String),
    /// A sync failed; what was appended since the last one may be gone after a power cut.
    #[error("log entries could not be made durable; see the log for the reason")]
    NotDurable,
}

impl QueueError {
    fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::DiskFull,
            _ => Self::Io { path: path.display().to_string(), source },
        }
    }

    /// Whether trying again later may succeed.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full | Self::DiskFull)
    }
}

/// How the queue is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries appended since the process began.
    pub appended: u64,
    /// Appends refused because it was full.
    pub refused: u64,
    /// Bytes of its segments.
    pub bytes: u64,
    /// Bytes that damage took since the process began.
    pub damaged: u64,
}

/// The disk queue. One process has it open.
#[derive(Debug)]
pub struct Queue {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    limits: Limits,
    writing: Mutex<Writing>,
    wake: Condvar,
    /// Everything before this position is durable.
    durable: watch::Sender<u64>,
    /// Tells threads that wait for it to grow.
    grown: (Mutex<()>, Condvar),
    /// What consumers have passed, by name.
    passed: Mutex<BTreeMap<String, u64>>,
    appended: AtomicU64,
    refused: AtomicU64,
    damaged: AtomicU64,
    /// How often a sync failed.
    failures: AtomicU64,
    _lock: File,
}

#[derive(Debug)]
struct Writing {
    segment: Option<Segment>,
    /// Ended segments that no sync has seen.
    ended: Vec<Arc<File>>,
    next: u64,
    bytes: u64,
    wanted: u64,
    /// Bytes that no sync has seen.
    unsynced: u64,
    closed: bool,
}

#[derive(Debug)]
struct Segment {
    file: Arc<File>,
    path: PathBuf,
    length: u64,
}

impl Queue {
    /// Opens or makes the queue in `folder`. A torn block at its end, left by a crash, is cut off.
    pub fn open(folder: &Path, limits: Limits, clock: &SharedClock) -> Result<Arc<Self>, QueueError> {
        let io = |e| QueueError::io(folder, e);
        fs::create_dir_all(folder).map_err(io)?;
        let lock = take(folder)?;
        let segments = reader::segments(folder).map_err(io)?;
        let mut end = 0;
        if let Some(last) = segments.last() {
            end = reader::cut_torn_tail(folder, *last)?;
        }
        let by_clock = (clock.now().0.div_euclid(1_000_000) - INCARNATION_EPOCH).clamp(1, i64::from(u32::MAX - 1));
        let passed = state::cursors(folder).map_err(io)?;
        let latest = passed.values().copied().fold(end, u64::max);
        let after = (latest >> INDEX_BITS) + u64::from(latest > 0);
        let next = after.max(by_clock.unsigned_abs()) << INDEX_BITS;
        let mut bytes = 0;
        for first in &segments {
            bytes += fs::metadata(reader::segment_path(folder, *first)).map_err(io)?.len();
        }
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            limits,
            writing: Mutex::new(Writing {
                segment: None,
                ended: Vec::new(),
                next,
                bytes,
                wanted: 0,
                unsynced: 0,
                closed: false,
            }),
            wake: Condvar::new(),
            durable: watch::Sender::new(next),
            grown: Default::default(),
            passed: Mutex::new(passed),
            appended: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            _lock: lock,
        });
        let ticking = shared.clone();
        let ticker =
            std::thread::Builder::new().name("queue-flush".to_owned()).spawn(move || ticking.tick()).map_err(io)?;
        Ok(Arc::new(Self { shared, ticker: Some(ticker) }))
    }

    /// Appends a draft's entries and empties it. Answers with the position after the last one. On an error the draft
    /// keeps them and none of them is in the queue.
    pub fn append(&self, draft: &mut Draft) -> Result<u64, QueueError> {
        if draft.is_empty() {
            return Ok(lock(&self.shared.writing).next);
        }
        let mut writing = lock(&self.shared.writing);
        let end = self.shared.write(&mut writing, draft)?;
        drop(writing);
        self.shared.appended.fetch_add(u64::from(draft.len()), Ordering::Relaxed);
        draft.clear();
        Ok(end)
    }

    /// Returns when everything before `position` survives a power cut.
    pub async fn durable(&self, position: u64) -> Result<(), QueueError> {
        let mut seen = self.shared.durable.subscribe();
        let failures = self.shared.failures.load(Ordering::Acquire);
        self.want(position);
        let failed = || self.shared.failures.load(Ordering::Acquire) != failures;
        let end = seen.wait_for(|end| *end >= position || failed()).await.map_err(|_| QueueError::NotDurable)?;
        if *end >= position { Ok(()) } else { Err(QueueError::NotDurable) }
    }

    /// As [`durable`](Self::durable), everything appended until now, on the calling thread.
    pub fn flush(&self) -> Result<(), QueueError> {
        self.shared.flush()
    }

    fn want(&self, position: u64) {
        let mut writing = lock(&self.shared.writing);
        if *self.shared.durable.borrow() < position {
            writing.wanted = writing.wanted.max(position);
            self.shared.wake.notify_all();
        }
    }

    /// Where the durable part ends.
    pub fn durable_end(&self) -> u64 {
        *self.shared.durable.borrow()
    }

    /// Waits on the calling thread until the durable part ends after `position`, `most` at the longest. Answers whether
    /// it does.
    fn wait(&self, position: u64, most: Duration) -> bool {
        let grown = || *self.shared.durable.borrow() > position;
        let guard = lock(&self.shared.grown.0);
        let waited = self.shared.grown.1.wait_timeout_while(guard, most, |()| !grown());
        drop(waited);
        grown()
    }

    /// Whether there is room for more. Whoever can push back reads nothing while there is none.
    pub fn has_room(&self) -> bool {
        let slack = SLACK.min(self.shared.limits.most_bytes / 4);
        lock(&self.shared.writing).bytes + slack <= self.shared.limits.most_bytes
    }

    /// A consumer that begins at `cursor`; segments are kept until it has passed them. `None` goes on where it
    /// stopped as far as the queue knows, at first at the oldest entry.
    pub fn reader(self: &Arc<Self>, name: &str, cursor: Option<u64>) -> Reader {
        let mut passed = lock(&self.shared.passed);
        let cursor = cursor.unwrap_or_else(|| passed.get(name).copied().unwrap_or(0));
        passed.insert(name.to_owned(), cursor);
        Reader::new(self.clone(), name.to_owned(), cursor)
    }

    /// How it is doing.
    pub fn stats(&self) -> Stats {
        Stats {
            appended: self.shared.appended.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            bytes: lock(&self.shared.writing).bytes,
            damaged: self.shared.damaged.load(Ordering::Relaxed),
        }
    }

    fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Notes durably that a consumer has passed `cursor` and deletes what all have passed.
    fn passed(&self, name: &str, cursor: u64, keep: bool) -> Result<(), QueueError> {
        let io = |e| QueueError::io(&self.shared.folder, e);
        if keep {
            state::save(&self.shared.folder, name, cursor).map_err(io)?;
        }
        let mut passed = lock(&self.shared.passed);
        passed.insert(name.to_owned(), cursor);
        let oldest = passed.values().copied().min().unwrap_or(0);
        drop(passed);
        let segments = reader::segments(&self.shared.folder).map_err(io)?;
        for pair in segments.windows(2).filter(|pair| pair[1] <= oldest) {
            let path = reader::segment_path(&self.shared.folder, pair[0]);
            let length = fs::metadata(&path).map_or(0, |m| m.len());
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(QueueError::io(&path, e)),
                _ => {}
            }
            let mut writing = lock(&self.shared.writing);
            writing.bytes = writing.bytes.saturating_sub(length);
        }
        Ok(())
    }

    fn damaged(&self, bytes: u64) {
        self.shared.damaged.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        lock(&self.shared.writing).closed = true;
        self.shared.wake.notify_all();
        if let Some(ticker) = self.ticker.take() {
            // It syncs once more before it ends, and cannot panic.
            let _ = ticker.join();
        }
    }
}

impl Shared {
    fn write(&self, writing: &mut Writing, draft: &mut Draft) -> Result<u64, QueueError> {
        let entries = u64::from(draft.len());
        if (writing.next + entries) >> INDEX_BITS != writing.next >> INDEX_BITS {
            writing.next = (writing.next + entries) >> INDEX_BITS << INDEX_BITS;
            writing.end_segment();
        }
        let length = draft.bytes() as u64;
        if writing.bytes + length > self.limits.most_bytes {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(QueueError::Full);
        }
        if writing.segment.as_ref().is_some_and(|s| s.length + length > self.limits.segment_bytes) {
            writing.end_segment();
        }
        let segment = match &mut writing.segment {
            Some(segment) => segment,
            none => {
                let segment = begin_segment(&self.folder, writing.next)?;
                writing.bytes += segment.length;
                none.insert(segment)
            }
        };
        let block = draft.seal(writing.next);
        if let Err(error) = (&*segment.file).write_all(block) {
            let error = QueueError::io(&segment.path, error);
            if segment.file.set_len(segment.length).is_err() {
                writing.end_segment();
            }
            return Err(error);
        }
        segment.length += length;
        writing.bytes += length;
        writing.next += entries;
        writing.unsynced += length;
        if writing.unsynced >= FLUSH_BYTES {
            writing.unsynced = 0;
            writing.wanted = writing.next;
            self.wake.notify_all();
        }
        Ok(writing.next)
    }

    /// Syncs outside the lock, so that appending goes on meanwhile.
    fn flush(&self) -> Result<(), QueueError> {
        let (files, end) = {
            let mut writing = lock(&self.writing);
            if writing.next <= *self.durable.borrow() && writing.ended.is_empty() {
                return Ok(());
            }
            writing.unsynced = 0;
            let mut files = std::mem::take(&mut writing.ended);
            files.extend(writing.segment.as_ref().map(|s| s.file.clone()));
            (files, writing.next)
        };
        match files.iter().try_for_each(|f| f.sync_data()) {
            Ok(()) => {
                self.durable.send_if_modified(|durable| end > std::mem::replace(durable, end.max(*durable)));
                drop(lock(&self.grown.0));
                self.grown.1.notify_all();
                Ok(())
            }
            Err(error) => {
                // What the kernel holds of the file is no longer known: the next block begins another one.
                let mut writing = lock(&self.writing);
                writing.end_segment();
                writing.ended.extend(files);
                drop(writing);
                self.failures.fetch_add(1, Ordering::AcqRel);
                self.durable.send_modify(|_| {});
                Err(QueueError::io(&self.folder, error))
            }
        }
    }

    fn tick(&self) {
        loop {
            let writing = lock(&self.writing);
            let idle = |w: &mut Writing| !w.closed && w.wanted <= *self.durable.borrow();
            let waited = self.wake.wait_timeout_while(writing, FLUSH_EVERY, idle);
            let closed = waited.unwrap_or_else(PoisonError::into_inner).0.closed;
            if let Err(error) = self.flush() {
                tracing::error!(%error, "log entries are not durable");
                lock(&self.writing).wanted = 0;
            }
            if closed {
                return;
            }
        }
    }
}

impl Writing {
    fn end_segment(&mut self) {
        self.ended.extend(self.segment.take().map(|s| s.file));
    }
}

fn begin_segment(folder: &Path, first: u64) -> Result<Segment, QueueError> {
    let path = reader::segment_path(folder, first);
    let io = |e| QueueError::io(&path, e);
    // A segment whose first block never made it has the same name.
    drop(File::create(&path).map_err(io)?);
    let file = OpenOptions::new().append(true).open(&path).map_err(io)?;
    (&file).write_all(SEGMENT_MARK).map_err(io)?;
    // The name is durable before anything in it is acknowledged.
    state::sync_folder(folder).map_err(io)?;
    Ok(Segment { file: Arc::new(file), path, length: SEGMENT_MARK.len() as u64 })
}

/// Takes the folder, once whoever had it has let go.
fn take(folder: &Path) -> Result<File, QueueError> {
    let path = folder.join("lock");
    let io = |e| QueueError::io(&path, e);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    for _ in 0..250 {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
    }
    Err(QueueError::Taken(folder.display().to_string()))
}

/// A thread that panicked with one of these locks held left nothing half done that a later check does not find.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
