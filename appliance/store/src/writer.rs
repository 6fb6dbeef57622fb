//! The one write path and the reader pool.

use std::{
    borrow::Cow,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use rusqlite::Connection;
use sent_core::{Actor, Scope, Timestamp, clock::SharedClock, table::Table};
use tokio::sync::{Semaphore, broadcast, oneshot};
use uuid::Uuid;

use crate::{
    BoxRow, Config, StoreError, Touched, audit,
    capture::Capture,
    connection::{self, OWN_TABLES},
    epoch,
    keys::Keys,
    neighbours::OwnEntries,
    outbox,
    tenancy::{Columns, Session},
};

/// A handle to the store; clones share everything.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    columns: Vec<Columns>,
    keys: Keys,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    readers: Mutex<Vec<Reader>>,
    permits: Semaphore,
    committed: broadcast::Sender<Committed>,
    own: OwnEntries,
}

type Job = Box<dyn FnOnce(&mut Writer) + Send>;

/// What a commit changed, for the pages that watch and for the sync agent.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Organisation.
    pub organization: Uuid,
    /// Action.
    pub action: Cow<'static, str>,
    /// Rows.
    pub rows: Arc<[Touched]>,
    /// Whether something waits for the cloud because of it.
    pub travels: bool,
}

/// The writer connection, alone on its thread.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) session: Session,
    pub(crate) capture: Capture,
    pub(crate) clock: SharedClock,
    pub(crate) columns: Vec<Columns>,
    committed: broadcast::Sender<Committed>,
    unsealed: Unsealed,
    own: OwnEntries,
}

struct Reader {
    connection: Connection,
    session: Session,
}

/// An open write: a connection confined to the scope's organisation.
pub struct Tx<'a> {
    connection: &'a Connection,
    scope: &'a Scope,
    now: Timestamp,
    capture: &'a Capture,
    session: &'a Session,
}

/// Set while a write's closure runs: nothing may be committed then.
///
/// SQLite rolls back by itself when the disk is full or fails, or memory ends (<https://sqlite.org/lang_transaction.html>).
/// Whatever a closure that overlooks such an error writes afterwards would otherwise be committed statement by statement,
/// without audit or outbox, while its caller hears of an error and repeats it.
struct Unsealed(Arc<AtomicBool>);

impl Unsealed {
    fn install(connection: &Connection) -> Result<Self, StoreError> {
        let refuse = Arc::new(AtomicBool::new(false));
        let refused = refuse.clone();
        connection.commit_hook(Some(move || refused.load(Ordering::Relaxed)))?;
        Ok(Self(refuse))
    }

    /// Until the answer is dropped, a commit is a rollback.
    fn hold(&self) -> Held<'_> {
        self.0.store(true, Ordering::Relaxed);
        Held(&self.0)
    }
}

struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Deref for Tx<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Tx<'_> {
    /// Who writes.
    pub fn scope(&self) -> &Scope {
        self.scope
    }

    /// The moment of this write, the same for all of its rows.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The mark of this beginning of an epoch (`3KXRWD`), when this box was restored and has not heard yet what the cloud has
    /// beyond the backup: numbers that count on from what is here may have been given out before, by the lost box or by
    /// another that was restored from the same backup.
    pub fn unsettled(&self) -> Result<Option<String>, StoreError> {
        let row =
            self.session.privileged(|| connection::read_box(self.connection))?.ok_or(StoreError::NotInitialised)?;
        Ok((row.epoch_open && row.previous_sequence > 0).then(|| epoch::mark(&row)))
    }

    /// Leaves an audit entry even if no declared row changes: something happened that must be seen.
    pub fn event(&self) {
        self.capture.event();
    }

    /// Runs `f`; when it fails, everything it did is undone and the write may go on.
    pub fn savepoint<T, E: From<StoreError>>(&self, f: impl FnOnce(&Tx<'_>) -> Result<T, E>) -> Result<T, E> {
        let run = |sql: &str| self.connection.execute_batch(sql).map_err(|e| E::from(StoreError::sorted(e.into())));
        run("SAVEPOINT nested")?;
        let result = f(self);
        if self.connection.is_autocommit() {
            return Err(StoreError::Undone.into());
        }
        if result.is_err() {
            run("ROLLBACK TO nested")?;
        }
        run("RELEASE nested")?;
        result
    }
}

impl Store {
    /// Opens (and migrates) the store of a data folder; makes the folder and the file when they are missing.
    pub fn open(mut config: Config) -> Result<Self, StoreError> {
        std::fs::create_dir_all(&config.data).map_err(|e| StoreError::io(&config.data, e))?;
        let mut tables: Vec<Table> = OWN_TABLES.to_vec();
        tables.append(&mut config.tables);
        config.tables = tables;
        let session = Session::default();
        let connection = connection::open(&config.data, &session, true).map_err(StoreError::sorted)?;
        let columns = session.privileged(|| {
            let columns = connection::migrate(&connection, &config.tables, &config.clock)?;
            session.learn(&connection)?;
            Ok::<_, StoreError>(columns)
        })?;
        let capture = Capture::install(&connection, &columns)?;
        let unsealed = Unsealed::install(&connection)?;
        let (committed, _) = broadcast::channel(1024);
        let own = OwnEntries::default();
        let mut writer = Writer {
            connection,
            session,
            capture,
            clock: config.clock.clone(),
            columns: columns.clone(),
            committed: committed.clone(),
            unsealed,
            own: own.clone(),
        };
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || {
                for job in queue {
                    writer.run(job);
                }
            })
            .map_err(|e| StoreError::io(&config.data, e))?;
        let readers = (0..config.readers.max(1))
            .map(|_| {
                let session = Session::default();
                Ok(Reader { connection: connection::open(&config.data, &session, false)?, session })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        let permits = Semaphore::new(readers.len());
        let keys = Keys::open(&config.data)?;
        let inner = Inner {
            config,
            columns,
            keys,
            jobs: Mutex::new(Some(jobs)),
            readers: Mutex::new(readers),
            permits,
            committed,
            own,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where time comes from.
    pub fn clock(&self) -> &SharedClock {
        &self.inner.config.clock
    }

    /// The data folder.
    pub fn data(&self) -> &std::path::Path {
        &self.inner.config.data
    }

    /// Every declared table, with the columns it really has.
    pub fn columns(&self) -> &[Columns] {
        &self.inner.columns
    }

    /// Keys of the field cipher.
    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// Every commit of this process, after it happened; with [`Store::watch_others`] also those of others. A slow receiver
    /// misses some and must read anew.
    pub fn changes(&self) -> broadcast::Receiver<Committed> {
        self.inner.committed.subscribe()
    }

    /// One transaction: rows, audit entry, outbox entry. What it returns `Ok` is on disk.
    ///
    /// `action` is what the audit calls it (`capital.entry.post`). The closure runs on the writer's thread; an error undoes
    /// everything. A closure that changes nothing leaves no trace.
    pub async fn write<T, E, F>(&self, scope: &Scope, action: &'static str, f: F) -> Result<T, E>
    where
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let scope = scope.clone();
        self.submit(Box::new(move |writer| {
            let _ = answer.send(writer.write(&scope, action, f));
        }))?;
        result.await.map_err(|_| E::from(StoreError::Broken))?
    }

    /// The same, for verbs and tests: blocks the calling thread.
    pub fn write_blocking<T, E, F>(&self, scope: &Scope, action: &'static str, f: F) -> Result<T, E>
    where
        F: FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let scope = scope.clone();
        self.on_writer_blocking(move |writer| writer.write(&scope, action, f))
    }

    /// Reads a consistent snapshot of one organisation's rows.
    pub async fn read<T, E, F>(&self, scope: &Scope, f: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let organization = scope.organization;
        self.read_as(organization, false, f).await
    }

    /// The same, for verbs and tests: blocks the calling thread.
    pub fn read_blocking<T, E, F>(&self, scope: &Scope, f: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E>,
        E: From<StoreError>,
    {
        self.inner.with_reader(scope.organization, false, f)
    }

    /// Who this box is; an error when the folder was never initialised.
    pub fn identity(&self) -> Result<BoxRow, StoreError> {
        self.read_store(connection::read_box)?.ok_or(StoreError::NotInitialised)
    }

    /// Whether this box belongs to a cloud. One that stands alone owns all of its rows: none of them waits for an answer.
    pub fn has_cloud(&self) -> bool {
        self.data().join(connection::IDENTITY).is_file()
    }

    /// Reads across organisations, for the store's own rows.
    pub(crate) fn read_store<T>(&self, f: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.inner.with_reader(Uuid::nil(), true, f)
    }

    /// The same off the async threads.
    pub(crate) async fn read_store_async<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.read_as(Uuid::nil(), true, f).await
    }

    async fn read_as<T, E, F>(&self, organization: Uuid, privileged: bool, f: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = self.inner.clone();
        let _permit = self.inner.permits.acquire().await.map_err(|_| E::from(StoreError::Closed))?;
        tokio::task::spawn_blocking(move || inner.with_reader(organization, privileged, f))
            .await
            .map_err(|_| E::from(StoreError::Broken))?
    }

    /// Returns once the writer's thread has done what it was given before, and its connection answers.
    pub async fn alive(&self) -> Result<(), StoreError> {
        self.on_writer(|writer| writer.session.privileged(|| connection::read_box(&writer.connection)).map(drop)).await
    }

    /// Runs a job of the store itself on the writer's thread.
    pub(crate) fn on_writer_blocking<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Writer) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, result) = mpsc::sync_channel(1);
        self.submit(Box::new(move |writer| {
            let _ = answer.send(f(writer));
        }))?;
        result.recv().map_err(|_| E::from(StoreError::Broken))?
    }

    /// The same for async callers.
    pub(crate) async fn on_writer<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Writer) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        self.submit(Box::new(move |writer| {
            let _ = answer.send(f(writer));
        }))?;
        result.await.map_err(|_| E::from(StoreError::Broken))?
    }

    /// What a watch of other processes' commits shares with the writer: its own entries, and where commits are told.
    pub(crate) fn for_watch(&self) -> (OwnEntries, broadcast::Sender<Committed>) {
        (self.inner.own.clone(), self.inner.committed.clone())
    }

    fn submit(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.inner.jobs.lock().unwrap_or_else(|e| e.into_inner());
        jobs.as_ref().ok_or(StoreError::Closed)?.send(job).map_err(|_| StoreError::Closed)
    }
}

impl Inner {
    fn with_reader<T, E: From<StoreError>>(
        &self,
        organization: Uuid,
        privileged: bool,
        f: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let reader = self.readers.lock().unwrap_or_else(|e| e.into_inner()).pop();
        let reader = match reader {
            Some(reader) => reader,
            // Blocking callers take no permit; they get a connection of their own when the pool is empty.
            None => {
                let session = Session::default();
                Reader { connection: connection::open(&self.config.data, &session, false)?, session }
            }
        };
        reader.session.enter(organization);
        let result = (|| {
            let run = |sql: &str| reader.connection.execute_batch(sql).map_err(|e| E::from(StoreError::from(e)));
            run("BEGIN")?;
            let result =
                if privileged { reader.session.privileged(|| f(&reader.connection)) } else { f(&reader.connection) };
            run("COMMIT")?;
            result
        })();
        let mut pool = self.readers.lock().unwrap_or_else(|e| e.into_inner());
        if pool.len() < self.config.readers.max(1) && reader.connection.is_autocommit() {
            pool.push(reader);
        }
        result
    }
}

/// How a store-internal write differs from an engine's.
pub(crate) struct Terms {
    /// Whether its changes go into the outbox.
    pub(crate) travels: bool,
    /// Whether the closure may touch base tables.
    pub(crate) privileged: bool,
    /// Hash the transaction was first sealed with.
    pub(crate) origin: Option<String>,
}

impl Writer {
    /// Runs a job. One that panics is undone and takes nothing with it; whoever waits for it hears [`StoreError::Broken`].
    fn run(&mut self, job: Job) {
        // What a job leaves half done is the transaction, which is rolled back, and what the capture recorded, which the
        // next write forgets.
        if catch_unwind(AssertUnwindSafe(|| job(self))).is_err() {
            tracing::error!("a write broke off by a fault in the program; nothing unfinished of it is kept");
            self.roll_back();
        }
    }

    /// SQLite may have rolled back on its own; then there is nothing to undo.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(rollback) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%rollback, "a write could not be rolled back");
        }
    }

    fn write<T, E: From<StoreError>>(
        &mut self,
        scope: &Scope,
        action: &'static str,
        f: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_as(scope, action, &Terms { travels: true, privileged: false, origin: None }, f)
    }

    /// The write path itself.
    pub(crate) fn write_as<T, E: From<StoreError>>(
        &mut self,
        scope: &Scope,
        action: &'static str,
        terms: &Terms,
        f: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let store = |e: StoreError| E::from(StoreError::sorted(e));
        self.session.enter(scope.organization);
        self.capture.reset();
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| store(e.into()))?;
        let mut entry = None;
        let outcome = (|| {
            let now = self.clock.now();
            let tx = Tx { connection: &self.connection, scope, now, capture: &self.capture, session: &self.session };
            let value = {
                let _held = self.unsealed.hold();
                if terms.privileged { self.session.privileged(|| f(&tx))? } else { f(&tx)? }
            };
            if self.connection.is_autocommit() {
                return Err(StoreError::Undone.into());
            }
            let sealed = self.seal(scope, action, terms, now).map_err(store)?;
            if let Some((sequence, _)) = &sealed {
                self.own.add(*sequence);
                entry = Some(*sequence);
            }
            self.connection.execute_batch("COMMIT").map_err(|e| store(e.into()))?;
            Ok((value, sealed.map(|(_, committed)| committed)))
        })();
        match outcome {
            Ok((value, committed)) => {
                if let Some(committed) = committed {
                    // Nobody listening is no error.
                    let _ = self.committed.send(committed);
                }
                Ok(value)
            }
            Err(error) => {
                if let Some(sequence) = entry {
                    self.own.remove(sequence);
                }
                self.roll_back();
                Err(error)
            }
        }
    }

    /// Appends audit and outbox entries for what was recorded; answers the audit entry's sequence with what is told of it.
    fn seal(
        &self,
        scope: &Scope,
        action: &'static str,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Option<(i64, Committed)>, StoreError> {
        self.session.privileged(|| {
            // What the box does of its own accord needs no witness; what somebody asked for does.
            let answerable = !matches!(scope.actor, Actor::System { .. });
            let Some(effect) = self.capture.effect(&self.connection, answerable)? else { return Ok(None) };
            // What the cloud gave back is told again even where nothing was left to change: it then is in the history.
            let travels = terms.travels && (effect.travels || terms.origin.is_some());
            let head = connection::read_box(&self.connection)?.ok_or(StoreError::NotInitialised)?;
            let entry = audit::append(&self.connection, &head, scope, action, now, &effect.audit)?;
            let sealed = if travels {
                outbox::append(
                    &self.connection,
                    &head,
                    scope,
                    action,
                    now,
                    &entry,
                    &effect.audit,
                    effect.up,
                    terms.origin.as_deref(),
                )?
            } else {
                (head.sequence, head.hash.clone())
            };
            self.connection
                .prepare_cached(
                    "UPDATE sys_box SET audit_sequence = ?1, audit_hash = ?2, sequence = ?3, hash = ?4 WHERE id = 1",
                )?
                .execute((entry.sequence, &entry.hash, connection::signed(sealed.0), &sealed.1))?;
            let (organization, action) = (scope.organization, action.into());
            Ok(Some((entry.sequence, Committed { organization, action, rows: effect.touched.into(), travels })))
        })
    }
}
