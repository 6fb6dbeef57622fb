//! What other processes commit: verbs beside a running box, and workers.
//!
//! SQLite counts the commits of others for each connection (`PRAGMA data_version`); asking costs a look into shared memory. Only
//! when the count has moved are the audit's new entries read, and those that this process did not write itself are told
//! exactly as its own are ([`Store::changes`]).

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use uuid::Uuid;

use crate::{
    Store, StoreError, Touched,
    connection::{self, uuid},
    tenancy::{Columns, Session},
    writer::Committed,
};

/// Between two looks at the count. A person does not notice a fifth of a second; a look takes some microseconds.
const LOOK: Duration = Duration::from_millis(200);
/// Entries that are read at a time.
const PAGE: i64 = 256;

/// The audit entries that this process wrote and that the watch has not come past yet.
#[derive(Clone, Default)]
pub(crate) struct OwnEntries {
    watched: Arc<AtomicBool>,
    sequences: Arc<Mutex<BTreeSet<i64>>>,
}

impl OwnEntries {
    /// Before its commit: the watch must not find it earlier.
    pub(crate) fn add(&self, sequence: i64) {
        if self.watched.load(Ordering::Acquire) {
            self.set().insert(sequence);
        }
    }

    /// It was not committed, so its number may become somebody else's.
    pub(crate) fn remove(&self, sequence: i64) {
        self.set().remove(&sequence);
    }

    /// Whether this process wrote it. Forgets it and all before it.
    fn take(&self, sequence: i64) -> bool {
        let mut set = self.set();
        let own = set.contains(&sequence);
        *set = set.split_off(&(sequence + 1));
        own
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<i64>> {
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches for as long as it lives.
#[must_use]
#[derive(Debug)]
pub struct Watching {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and has nothing to tell.
            let _ = thread.join();
        }
    }
}

impl Store {
    /// Tells through [`Store::changes`] what other processes commit from now on, until the answer is dropped.
    pub fn watch_others(&self) -> Result<Watching, StoreError> {
        let session = Session::default();
        let connection = connection::open(self.data(), &session, false)?;
        let (own, told) = self.for_watch();
        own.watched.store(true, Ordering::Release);
        let mut watch = Watch {
            version: session.privileged(|| data_version(&connection))?,
            last: session.privileged(|| head(&connection))?,
            tables: self.columns().iter().map(|c| (c.table.name, c.clone())).collect(),
            connection,
            session,
            own,
            told,
        };
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("store-watch".to_owned())
            .spawn(move || {
                while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
                    if let Err(error) = watch.look() {
                        tracing::warn!(%error, "what other processes write cannot be followed");
                    }
                }
                watch.own.watched.store(false, Ordering::Release);
                watch.own.set().clear();
            })
            .map_err(|e| StoreError::io(self.data(), e))?;
        Ok(Watching { stop: Some(stop), thread: Some(thread) })
    }
}

struct Watch {
    connection: Connection,
    session: Session,
    tables: HashMap<&'static str, Columns>,
    own: OwnEntries,
    told: broadcast::Sender<Committed>,
    version: i64,
    /// The last audit entry that was looked at.
    last: i64,
}

/// What is read of a recorded change.
#[derive(Deserialize)]
struct Recorded<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
    o: char,
    #[serde(borrow)]
    k: &'a RawValue,
}

fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.prepare_cached("PRAGMA data_version")?.query_row([], |r| r.get(0))?)
}

/// The newest entry; 0 in a folder that holds no box yet.
fn head(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection::read_box(connection)?.map_or(0, |head| head.audit_sequence))
}

impl Watch {
    fn look(&mut self) -> Result<(), StoreError> {
        let version = self.session.privileged(|| data_version(&self.connection))?;
        if version == self.version {
            return Ok(());
        }
        // Taken before the entries: what comes while they are read moves the count again.
        self.version = version;
        loop {
            let session = self.session.clone();
            let (seen, told) = session.privileged(|| self.page())?;
            for committed in told {
                // Nobody listening is no error.
                let _ = self.told.send(committed);
            }
            if seen < PAGE {
                return Ok(());
            }
        }
    }

    /// Reads the next entries: how many there were, and those of other processes.
    fn page(&mut self) -> Result<(i64, Vec<Committed>), StoreError> {
        let sequences: Vec<i64> = self
            .connection
            .prepare_cached("SELECT sequence FROM audit_rows WHERE sequence > ?1 ORDER BY sequence LIMIT ?2")?
            .query_map((self.last, PAGE), |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        let mut told = Vec::new();
        for sequence in &sequences {
            self.last = *sequence;
            if !self.own.take(*sequence) {
                told.push(self.entry(*sequence)?);
            }
        }
        Ok((i64::try_from(sequences.len()).unwrap_or(PAGE), told))
    }

    fn entry(&self, sequence: i64) -> Result<Committed, StoreError> {
        let sql = "SELECT organization_id, action, changes FROM audit_rows WHERE sequence = ?1";
        let (organization, action, changes): (String, String, String) =
            self.connection.prepare_cached(sql)?.query_row([sequence], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        let recorded: Vec<Recorded<'_>> = serde_json::from_str(&changes)
            .map_err(|e| StoreError::Corrupt(format!("recorded changes are no JSON: {e}")))?;
        let organization: Uuid = uuid(&organization)?;
        let mut travels = false;
        // A table that only a newer program knows is nothing to pages of this one.
        let rows = recorded.iter().filter_map(|change| {
            let columns = self.tables.get(&*change.t)?;
            travels |= columns.table.class.travels();
            Some(Touched { table: columns.table.name, op: change.o, key: change.k.get().to_owned() })
        });
        let rows: Vec<Touched> = rows.collect();
        Ok(Committed { organization, action: action.into(), rows: rows.into(), travels })
    }
}
