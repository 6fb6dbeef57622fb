//! The stored logs: DuckDB tables by class and day, and searches over them, newest first.
//!
//! * One process writes the file, by one thread; searches read, each in a snapshot of its own.
//! * A batch of records and the cursor of the queue behind it are one transaction: exactly once, across `kill -9`.
//! * A search reads chunks of 65,536 lines, the newest first, and stops when its page is full. Chunks whose sketch says
//!   that a word is not in them are not read, so that the rare word is as quick as the common one.
//! * Every search has a deadline, and says whether it came to the end.

mod catalogue;
mod ingest;
mod page;
pub mod query;
mod replay;
mod schema;
mod sketch;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use duckdb::{Config, Connection, InterruptHandle};
use sent_core::clock::SharedClock;

use self::{
    catalogue::{Catalogue, View},
    ingest::Writer,
};
use crate::intake::record::{Batch, LogSource};

pub use page::{Bar, Histogram, Hit, Key, Page, Search, Values};
pub use query::{QueryError, parse};

/// Idle connections kept for searches.
const IDLE: usize = 4;

/// Logs that are kept equally long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name: lower-case letters and digits.
    pub name: String,
    /// Days after receipt.
    pub days: u32,
    /// Which logs are of this class, as (product, category, service); an empty part fits all. None at all: every log.
    pub logs: Vec<(String, String, String)>,
}

impl Class {
    fn holds(&self, log: &LogSource<'_>) -> bool {
        let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        self.logs.is_empty()
            || self.logs.iter().any(|(p, c, s)| fits(p, log.product) && fits(c, log.category) && fits(s, log.service))
    }
}

/// How the logs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Classes; a log is of the first that holds it, else of the last.
    pub classes: Vec<Class>,
    /// What DuckDB may use, MB.
    pub memory_mb: u32,
    /// Threads a search may use.
    pub threads: i64,
}

impl Default for Settings {
    /// Everything for 30 days, 160 MB, two threads.
    fn default() -> Self {
        let everything = Class { name: "default".to_owned(), days: 30, logs: Vec::new() };
        Self { classes: vec![everything], memory_mb: 160, threads: 2 }
    }
}

/// What can go wrong with the stored logs.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// DuckDB refused.
    #[error("{0}")]
    Database(#[from] duckdb::Error),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A newer program used this file, or a migration was changed.
    #[error("log migration {0} does not fit this program: use the version that wrote this file, or a newer one")]
    Migration(String),
    /// Something in the file is not what it should be.
    #[error("the stored logs are damaged: {0}")]
    Damaged(String),
    /// The query cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A setting makes no sense.
    #[error("a class of logs needs a name of lower-case letters and digits, not {0:?}")]
    Class(String),
    /// The file is closed after a failure.
    #[error("the stored logs are not open")]
    Closed,
}

impl SearchError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.display().to_string(), source }
    }
}

/// The stored logs. A cheap handle.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    clock: SharedClock,
    sketches: PathBuf,
    writer: Mutex<(Writer, Catalogue)>,
    /// What searches see: the state of the last commit.
    view: RwLock<Arc<View>>,
    /// Only cloned from.
    template: Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("sketches", &self.inner.sketches).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens or makes the logs in `folder` (`logs.duckdb` and the sketches beside it). One process may.
    pub fn open(folder: &Path, settings: Settings, clock: SharedClock) -> Result<Self, SearchError> {
        let named = |class: &&Class| {
            class.name.is_empty() || !class.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        if let Some(class) = settings.classes.iter().find(named) {
            return Err(SearchError::Class(class.name.clone()));
        }
        std::fs::create_dir_all(folder).map_err(|e| SearchError::io(folder, e))?;
        let config = Config::default()
            .max_memory(&format!("{}MB", settings.memory_mb))?
            .threads(settings.threads)?
            // Lines are found by their time and position, never by where they came in.
            .with("preserve_insertion_order", "false")?
            .with("checkpoint_threshold", "64MB")?
            // No files beyond its own, and nothing out of the network.
            .with("autoinstall_known_extensions", "false")?
            .with("autoload_known_extensions", "false")?
            .enable_external_access(false)?;
        let connection = Connection::open_with_flags(folder.join("logs.duckdb"), config)?;
        schema::migrate(&connection)?;
        let sketches = folder.join("sketches");
        let catalogue = Catalogue::read(&connection, &sketches)?;
        let template = connection.try_clone()?;
        let inner = Inner {
            settings,
            clock,
            sketches,
            view: RwLock::new(Arc::new(catalogue.view())),
            writer: Mutex::new((Writer::new(connection)?, catalogue)),
            template: Mutex::new(template),
            idle: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Everything before this position of the queue is stored; what is read again from there on is stored once.
    pub fn cursor(&self) -> u64 {
        lock(&self.inner.writer).0.cursor()
    }

    /// Stores a batch that was read up to position `end`. Answers with how many of its records were new.
    ///
    /// # Errors
    /// Nothing of it is stored then; it may be offered again.
    pub fn store(&self, batch: &Batch, end: u64) -> Result<usize, SearchError> {
        let inner = &self.inner;
        let (writer, catalogue) = &mut *lock(&inner.writer);
        let stored = writer.store(batch, end, &inner.settings.classes, catalogue);
        if stored.is_err() {
            *catalogue = Catalogue::read(writer.connection(), &inner.sketches)?;
        }
        inner.publish(catalogue);
        stored
    }

    /// Drops the partitions whose time is over. Answers with how many. A class that is no longer set keeps its logs as
    /// long as the last one does.
    pub fn retain(&self) -> Result<usize, SearchError> {
        let inner = &self.inner;
        let today = inner.clock.now().0.div_euclid(86_400_000_000);
        let (writer, catalogue) = &mut *lock(&inner.writer);
        let classes = &inner.settings.classes;
        let days = |name: &str| {
            classes.iter().find(|c| c.name == name).or(classes.last()).map_or(i64::MAX, |c| i64::from(c.days))
        };
        let over: Vec<_> =
            catalogue.partitions.keys().filter(|p| today - i64::from(p.day) > days(&p.class)).cloned().collect();
        for partition in &over {
            let sql = format!(
                "BEGIN TRANSACTION; DROP TABLE IF EXISTS \"{0}\"; DELETE FROM chunks WHERE class = '{1}' AND day = {2}; \
                 DELETE FROM partitions WHERE class = '{1}' AND day = {2}; COMMIT",
                partition.table(),
                partition.class,
                partition.day
            );
            if let Err(error) = writer.connection().execute_batch(&sql) {
                let _ = writer.connection().execute_batch("ROLLBACK");
                return Err(error.into());
            }
            catalogue.forget(partition);
        }
        inner.publish(catalogue);
        if !over.is_empty()
            && let Err(error) = writer.connection().execute_batch("CHECKPOINT")
        {
            tracing::debug!(%error, "checkpoint after retention has to wait");
        }
        Ok(over.len())
    }

    /// How many lines are stored.
    pub fn lines(&self) -> u64 {
        self.inner.view().lines()
    }

    /// Runs `f` with a connection of its own, in one snapshot.
    fn read<T>(
        &self,
        cancel: &Cancel,
        f: impl FnOnce(&Connection) -> Result<T, SearchError>,
    ) -> Result<T, SearchError> {
        let idle = lock(&self.inner.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => {
                let connection = lock(&self.inner.template).try_clone()?;
                // A page's lines are fetched by their place once they are chosen.
                connection.execute_batch("SET late_materialization_max_rows = 1000")?;
                connection
            }
        };
        connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
        *lock(&cancel.0.handle) = Some(connection.interrupt_handle());
        let answer = f(&connection);
        *lock(&cancel.0.handle) = None;
        if connection.execute_batch("ROLLBACK").is_ok() {
            let mut idle = lock(&self.inner.idle);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        answer
    }
}

impl Inner {
    fn publish(&self, catalogue: &Catalogue) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalogue.view());
    }

    fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Ends a search from another thread.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Cancelled>);

#[derive(Default)]
struct Cancelled {
    handle: Mutex<Option<Arc<InterruptHandle>>>,
    ended: std::sync::atomic::AtomicBool,
}

impl Cancel {
    /// Ends it: it answers with what it has so far.
    pub fn cancel(&self) {
        self.0.ended.store(true, std::sync::atomic::Ordering::Release);
        if let Some(handle) = &*lock(&self.0.handle) {
            handle.interrupt();
        }
    }

    /// Whether it was ended.
    pub fn is_cancelled(&self) -> bool {
        self.0.ended.load(std::sync::atomic::Ordering::Acquire)
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// A thread that panicked with one of these locks held left values that are still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl crate::intake::pipeline::Consumer for Store {
    fn name(&self) -> &str {
        "store"
    }

    fn cursor(&self) -> u64 {
        Store::cursor(self)
    }

    fn take(&mut self, batch: &Batch, end: u64) -> Result<(), String> {
        self.store(batch, end).map(|_| ()).map_err(|e| e.to_string())
    }
}
