//! Measurements in DuckDB: raw points, minutes and hours, fed from the spool and read as curves.
//!
//! * One process writes the file. [`Series::follow`] starts its one writing thread; everything else reads, each reader in
//!   a snapshot of its own.
//! * A batch of points and the place in the spool behind it are one transaction: exactly once, across `kill -9`.
//! * What is stored is durable before the spool is told to forget it. DuckDB's log (`.wal`) is synced at each commit and
//!   folded into the file every 16 MB and after retention. The file itself does not shrink; the pages that retention
//!   frees are used again, so that it stays at the size of its retention.
//! * A full disk stops the writing and nothing else: the points wait in the spool.
//!
//! Values are finite. A missing value is a break in its curve, and what the spool lost is in [`Series::gaps`].

mod database;
mod ingest;
mod query;
pub mod tiers;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::JoinHandle,
    time::Duration,
};

use sent_core::{Problem, clock::SharedClock, error::Kind};
use sent_protocol::{
    series::canonical,
    telemetry::{Gap, SeriesDefinition},
};

use self::{database::Database, ingest::Last};
use crate::spool::{Batch, Follower, Spool, SpoolError};

pub use tiers::{DAY, HOUR, MINUTE, Tier};

/// Points of one transaction at most: below it DuckDB's share of the cost rises, above it only memory does.
const BATCH: usize = 200_000;
/// How long the writer waits when it has caught up: one transaction a second, most of it one sync of the log.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it waits after a failure.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Pauses between two passes of retention: ten minutes.
const RETENTION_EVERY: u32 = 600;

/// How long each tier is kept, µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw points.
    pub points: i64,
    /// Minutes.
    pub minutes: i64,
    /// Hours.
    pub hours: i64,
}

impl Default for Retention {
    /// 3 days, 30 days, 2 years.
    fn default() -> Self {
        Self { points: 3 * DAY, minutes: 30 * DAY, hours: 730 * DAY }
    }
}

/// How the file is kept and read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long each tier is kept.
    pub retention: Retention,
    /// What DuckDB may use, MB.
    pub memory_mb: u32,
    /// Threads a question may use.
    pub threads: i64,
}

impl Default for Settings {
    /// A box of 200 MB in total: 128 MB at most for DuckDB, which uses a fraction of it when idle.
    fn default() -> Self {
        Self { retention: Retention::default(), memory_mb: 128, threads: 2 }
    }
}

/// What can go wrong with the series.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// DuckDB refused.
    #[error("{0}")]
    Database(#[from] duckdb::Error),
    /// The spool refused.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A folder cannot be made or read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A migration that ran here was changed afterwards, or a newer program used this file.
    #[error("telemetry migration {0} does not fit this program: use the version that wrote this file, or a newer one")]
    Migration(String),
    /// Something in the file is not what it should be.
    #[error("telemetry is damaged: {0}")]
    Damaged(String),
    /// A question about too many series.
    #[error("{asked} series asked for at once, at most {bound} may be")]
    TooMany {
        /// How many were.
        asked: usize,
        /// How many may be.
        bound: usize,
    },
    /// The file is being opened anew after a failure, or is closed.
    #[error("telemetry is not open")]
    Closed,
}

impl SeriesError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Spool(SpoolError::Full) => true,
            Self::Io { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            Self::Database(error) => error.to_string().contains("No space left on device"),
            _ => false,
        }
    }

    /// Whether DuckDB refuses everything until the file is opened again, as it does after a failed write.
    fn is_fatal(&self) -> bool {
        let Self::Database(error) = self else { return matches!(self, Self::Closed) };
        let text = error.to_string();
        text.contains("invalidated") || text.contains("FATAL")
    }
}

impl From<SeriesError> for Problem {
    fn from(error: SeriesError) -> Self {
        match error {
            SeriesError::Spool(error) => error.into(),
            SeriesError::TooMany { .. } => Self::new(Kind::TooLarge, error.to_string()),
            SeriesError::Closed => {
                Self::new(Kind::Unavailable, "measurements are not available now").with_retry_after(5)
            }
            full if full.is_full() => {
                Self::new(Kind::Unavailable, "the disk is full: free some space; nothing was lost").with_retry_after(30)
            }
            other => Self::internal(other),
        }
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which series.
    pub series: Vec<u64>,
    /// From this time, µs.
    pub from: i64,
    /// Until before this time, µs.
    pub to: i64,
    /// Points a curve should have at most: the pixels there are.
    pub max_points: usize,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The tier it was read from; the part after the tier's mark comes from finer ones.
    pub tier: Tier,
    /// Width of a point, µs.
    pub step: i64,
    /// One for each series asked for, in that order.
    pub curves: Vec<Curve>,
}

/// A curve. The four lists are equally long; `None` is a break.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Series.
    pub series: u64,
    /// Times, µs, ascending: of the step's beginning, or the point's own in the raw tier.
    pub at: Vec<i64>,
    /// Averages.
    pub avg: Vec<Option<f64>>,
    /// Least values.
    pub min: Vec<Option<f64>>,
    /// Greatest values.
    pub max: Vec<Option<f64>>,
}

impl Curve {
    /// Puts a break where points are missing.
    fn mark_breaks(&mut self, step: i64) {
        for place in tiers::breaks(&self.at, step).into_iter().rev() {
            self.at.insert(place, self.at[place - 1].saturating_add(step));
            for values in [&mut self.avg, &mut self.min, &mut self.max] {
                values.insert(place, None);
            }
        }
    }
}

/// Which series to list. Empty means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Metric name.
    pub name: Option<String>,
    /// Labels that must be there with these values.
    pub labels: BTreeMap<String, String>,
    /// Text in name or labels, upper and lower case alike.
    pub text: Option<String>,
}

/// A series and its last point.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// What it is.
    pub definition: SeriesDefinition,
    /// Its last point: time, µs, and value.
    pub last: Option<(i64, f64)>,
}

/// The measurements of a box. A cheap handle.
#[derive(Clone)]
pub struct Series {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    settings: Settings,
    /// How long each tier is kept, now.
    retention: Mutex<Retention>,
    clock: SharedClock,
    /// Readers hold it shared while they read; opening the file anew waits for them.
    database: RwLock<Option<Database>>,
    writer: Mutex<Option<ingest::Writer>>,
    known: RwLock<HashMap<u64, SeriesDefinition>>,
    last: RwLock<HashMap<u64, Last>>,
}

impl std::fmt::Debug for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Series").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

impl Series {
    /// Opens or makes the file. No other process may have it open for writing.
    pub fn open(path: impl Into<PathBuf>, settings: Settings, clock: SharedClock) -> Result<Self, SeriesError> {
        let inner = Inner {
            path: path.into(),
            retention: Mutex::new(settings.retention),
            settings,
            clock,
            database: RwLock::default(),
            writer: Mutex::default(),
            known: RwLock::default(),
            last: RwLock::default(),
        };
        inner.open(&mut lock(&inner.writer))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Starts the thread that follows the spool, until the answer is dropped.
    pub fn follow(&self, spool: Arc<Spool>) -> Result<Ingest, SeriesError> {
        let follower = self.follower(spool)?;
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (series, stopped) = (self.clone(), stop.clone());
        let thread = std::thread::Builder::new()
            .name("series-ingest".to_owned())
            .spawn(move || series.run(follower, &stopped))
            .map_err(|e| SeriesError::io(&self.inner.path, e))?;
        Ok(Ingest { stop, thread: Some(thread) })
    }

    /// A reader of the spool that stands where this file's points end.
    pub fn follower(&self, spool: Arc<Spool>) -> Result<Follower, SeriesError> {
        let writer = lock(&self.inner.writer);
        let cursors = writer.as_ref().ok_or(SeriesError::Closed)?.cursors().collect();
        Ok(Follower::new(spool, cursors)?)
    }

    /// Stores what waits in the spool now. Returns how many points.
    pub fn drain(&self, follower: &mut Follower) -> Result<u64, SeriesError> {
        let mut stored = 0;
        loop {
            let batch = follower.read(BATCH)?;
            if batch.is_empty() {
                return Ok(stored);
            }
            self.store(&batch)?;
            follower.advance(&batch)?;
            stored += batch.points.len() as u64;
        }
    }

    /// How long each tier is kept.
    pub fn retention(&self) -> Retention {
        *self.inner.retention.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps each tier so long from now on. What is older goes with the next pass.
    pub fn keep(&self, retention: Retention) {
        *self.inner.retention.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Deletes what the tiers need not keep any longer, a step of it. Returns how many rows.
    pub fn retain(&self) -> Result<usize, SeriesError> {
        let mut writer = lock(&self.inner.writer);
        let writer = writer.as_mut().ok_or(SeriesError::Closed)?;
        let retention = self.retention();
        writer.retain(&retention, self.inner.clock.now())
    }

    /// Answers a question; off the calling task's thread.
    pub async fn query(&self, query: Query) -> Result<Answer, SeriesError> {
        let series = self.clone();
        off_thread(move || series.query_blocking(&query)).await
    }

    /// Answers a question. An unknown series has an empty curve.
    pub fn query_blocking(&self, query: &Query) -> Result<Answer, SeriesError> {
        self.inner.read(|connection| query::answer(connection, query))
    }

    /// What was lost between `from` and `to`; off the calling task's thread.
    pub async fn gaps(&self, from: i64, to: i64) -> Result<Vec<Gap>, SeriesError> {
        let series = self.clone();
        off_thread(move || series.gaps_blocking(from, to)).await
    }

    /// What was lost between `from` and `to`.
    pub fn gaps_blocking(&self, from: i64, to: i64) -> Result<Vec<Gap>, SeriesError> {
        self.inner.read(|connection| query::gaps(connection, from, to))
    }

    /// The series that match, by name and labels. From memory.
    pub fn list(&self, filter: &Filter) -> Vec<Listed> {
        let text = filter.text.as_ref().map(|t| t.to_lowercase());
        let matches = |d: &&SeriesDefinition| {
            filter.name.as_ref().is_none_or(|name| *name == d.name)
                && filter.labels.iter().all(|(label, value)| d.labels.get(label) == Some(value))
                && text.as_ref().is_none_or(|t| canonical(&d.name, &d.labels).to_lowercase().contains(t))
        };
        let known = read(&self.inner.known);
        let last = read(&self.inner.last);
        let mut listed: Vec<_> = known
            .values()
            .filter(matches)
            .map(|d| Listed { definition: d.clone(), last: last.get(&d.id).copied() })
            .collect();
        listed.sort_by(|a, b| {
            (&a.definition.name, &a.definition.labels).cmp(&(&b.definition.name, &b.definition.labels))
        });
        listed
    }

    /// The last point of each, time in µs and value; `None` for a series without one in the last month. From memory.
    pub fn latest(&self, series: &[u64]) -> Vec<Option<(i64, f64)>> {
        let last = read(&self.inner.last);
        series.iter().map(|id| last.get(id).copied()).collect()
    }

    fn store(&self, batch: &Batch) -> Result<(), SeriesError> {
        let inner = &self.inner;
        let mut fresh: Vec<SeriesDefinition> = Vec::new();
        {
            let known = read(&inner.known);
            let mut seen = HashMap::new();
            for definition in batch.definitions.iter().filter(|d| known.get(&d.id) != Some(d)) {
                // Of two definitions of one series the later one stands.
                match seen.insert(definition.id, fresh.len()) {
                    Some(place) => {
                        fresh[place] = definition.clone();
                        seen.insert(definition.id, place);
                    }
                    None => fresh.push(definition.clone()),
                }
            }
        }
        let mut writer = lock(&inner.writer);
        let last = writer.as_mut().ok_or(SeriesError::Closed)?.store(batch, &fresh, inner.clock.now())?;
        drop(writer);
        write(&inner.known).extend(fresh.into_iter().map(|d| (d.id, d)));
        let mut known_last = write(&inner.last);
        for (series, point) in last {
            let newest = known_last.entry(series).or_insert(point);
            if newest.0 <= point.0 {
                *newest = point;
            }
        }
        Ok(())
    }

    fn run(&self, mut follower: Follower, stop: &(Mutex<bool>, Condvar)) {
        let mut passes = 0u32;
        loop {
            let done = self.drain(&mut follower).and_then(|_| {
                passes = passes.wrapping_add(1);
                if passes.is_multiple_of(RETENTION_EVERY) { self.retain().map(|_| ()) } else { Ok(()) }
            });
            let pause = match done {
                Ok(()) => PAUSE,
                Err(error) => {
                    tracing::error!(%error, "measurements wait in the spool");
                    if error.is_fatal() {
                        self.reopen();
                    }
                    PAUSE_AFTER_FAILURE
                }
            };
            let waiting = stop.1.wait_timeout_while(lock(&stop.0), pause, |stopped| !*stopped);
            if *waiting.unwrap_or_else(PoisonError::into_inner).0 {
                // What was measured until now is stored; what cannot be waits in the spool.
                if let Err(error) = self.drain(&mut follower) {
                    tracing::warn!(%error, "measurements wait in the spool");
                }
                return;
            }
        }
    }

    /// Opens the file again after DuckDB gave it up. The follower's cursors were only moved after commits, so they are
    /// still right.
    fn reopen(&self) {
        let mut writer = lock(&self.inner.writer);
        match self.inner.open(&mut writer) {
            Ok(()) => tracing::info!("measurements are open again"),
            Err(error) => tracing::error!(%error, "measurements cannot be opened"),
        }
    }
}

impl Inner {
    /// Opens the file; whoever still reads the old one is waited for.
    fn open(&self, writer: &mut Option<ingest::Writer>) -> Result<(), SeriesError> {
        let mut database = write(&self.database);
        *writer = None;
        *database = None;
        let (opened, connection) = Database::open(&self.path, &self.settings)?;
        *write(&self.known) = opened.read(query::definitions)?;
        *write(&self.last) = opened.read(query::last)?;
        *writer = Some(ingest::Writer::new(connection)?);
        *database = Some(opened);
        Ok(())
    }

    fn read<T>(&self, f: impl FnOnce(&duckdb::Connection) -> Result<T, SeriesError>) -> Result<T, SeriesError> {
        let database = read(&self.database);
        database.as_ref().ok_or(SeriesError::Closed)?.read(f)
    }
}

/// The thread that follows the spool. Dropping it stores what waits, and ends it.
#[derive(Debug)]
pub struct Ingest {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Ingest {
    fn drop(&mut self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        if self.thread.take().is_some_and(|t| t.join().is_err()) {
            tracing::error!("the thread that stores measurements panicked");
        }
    }
}

async fn off_thread<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, SeriesError> + Send + 'static,
) -> Result<T, SeriesError> {
    tokio::task::spawn_blocking(f).await.map_err(|_| SeriesError::Closed)?
}

/// A thread that panicked with one of these locks held left maps and connections that are still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
