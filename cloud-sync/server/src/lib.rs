//! The cloud: every row of every box, and the fleet's console.
//!
//! A replica holds no state that another would need: rows, sessions, the authority and the cursors are in PostgreSQL,
//! files in object storage, events go through LISTEN/NOTIFY. Two invariants carry the rest: a cursor is answered only after
//! the commit it tells of, and every transaction of the database says whose rows it may see before it reads one.

pub mod audit;
pub mod authority;
pub mod bootstrap;
pub mod console;
pub mod db;
pub mod doorbell;
pub mod error;
pub mod fleet;
pub mod listen;
pub mod live;
pub mod migrate;
pub mod pack;
pub mod projector;
pub mod secret;
pub mod seen;
pub mod settings;
pub mod status;
pub mod tasks;
pub mod text;
pub mod wire;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use object_store::ObjectStore;
use sent_core::{clock::SharedClock, live::Hub};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

pub use error::{Error, Result};
pub use settings::Settings;

/// Strangers whose bodies are read at a time, 64 KiB each.
const STRANGERS: usize = 64;

/// What every request and every task of a replica shares.
pub struct Cloud {
    /// Settings.
    pub settings: Settings,
    /// PostgreSQL.
    pub db: db::Db,
    /// Time.
    pub clock: SharedClock,
    /// Master key.
    pub master: secret::Master,
    /// Certificates.
    pub authority: authority::Authority,
    /// Files.
    pub objects: Arc<dyn ObjectStore>,
    /// Pages of this replica.
    pub hub: Arc<Hub>,
    /// Rings at boxes.
    pub bell: doorbell::Bell,
    /// Rung when the inbox has something new.
    pub inbox: Notify,
    /// Places for the bodies of boxes, in KiB.
    pub bodies: Arc<Semaphore>,
    /// Places for the bodies of strangers.
    pub strangers: Arc<Semaphore>,
    /// Passwords worked on at a time: each takes 19 MiB and a core.
    pub passwords: Semaphore,
    /// Last contacts.
    pub seen: seen::Seen,
    /// Partitions that are there.
    pub days: seen::Days,
    rings: Mutex<Option<doorbell::Rings>>,
    server_certificate: OnceLock<Arc<listen::Current>>,
}

impl Cloud {
    /// Connects to everything. The database must have been migrated.
    pub async fn open(settings: Settings, clock: SharedClock) -> Result<Arc<Self>> {
        let master = secret::Master::parse(&settings.keys.master)?;
        let db = db::Db::connect(&settings.database).await?;
        let authority = authority::Authority::load(&db, &master, clock.now()).await?;
        let objects = open_objects(&settings.objects.url)?;
        // Differs at each start, so that a page never mistakes a new hub's offsets for the old one's.
        let epoch = clock.now().0.unsigned_abs();
        let (bell, rings) = doorbell::Bell::new();
        Ok(Arc::new(Self {
            bodies: Arc::new(Semaphore::new(settings.wire.bodies.max(1) * wire::PLACES as usize)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            passwords: Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get)),
            settings,
            db,
            clock,
            master,
            authority,
            objects,
            hub: Hub::new(epoch),
            bell,
            rings: Mutex::new(Some(rings)),
            inbox: Notify::new(),
            seen: seen::Seen::default(),
            days: seen::Days::default(),
            server_certificate: OnceLock::new(),
        }))
    }

    /// Runs everything that is not a request until `stop`: projectors, tasks, events, the broker.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..self.settings.fleet.projectors.max(1) {
            running.spawn(projector::run(self.clone(), stop.clone()));
        }
        running.spawn(tasks::run(self.clone(), stop.clone()));
        running.spawn(live::run(self.clone(), stop.clone()));
        if let Some(rings) = self.rings.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.spawn(doorbell::run(self.clone(), rings, stop.clone()));
        }
        running.join_all().await;
        if let Err(error) = self.seen.flush(&self.db).await {
            tracing::debug!(%error, "last contacts were not written");
        }
    }

    /// TLS of the wire with a server certificate of our own, which [`Cloud::renew_server_certificate`] replaces.
    pub fn wire_tls(&self) -> Result<Arc<rustls::ServerConfig>> {
        let identity = self.authority.issue_server(&self.settings.wire.names, self.clock.now())?;
        let current = listen::Current::new(identity)?;
        let current = self.server_certificate.get_or_init(|| current).clone();
        listen::wire_tls(&self.authority, current)
    }

    /// Issues the wire a new server certificate.
    pub fn renew_server_certificate(&self) -> Result<()> {
        match self.server_certificate.get() {
            Some(current) => current.replace(self.authority.issue_server(&self.settings.wire.names, self.clock.now())?),
            None => Ok(()),
        }
    }
}

fn open_objects(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let wrong = |message: String| Error::Setting { key: "objects.url", message };
    let parsed = url::Url::parse(url).map_err(|e| wrong(e.to_string()))?;
    match parsed.scheme() {
        "file" => {
            let path = parsed.to_file_path().map_err(|()| wrong("not a path".to_owned()))?;
            std::fs::create_dir_all(&path)?;
            let store = object_store::local::LocalFileSystem::new_with_prefix(path)?.with_automatic_cleanup(true);
            Ok(Arc::new(store))
        }
        "s3" => {
            let store = object_store::aws::AmazonS3Builder::from_env().with_url(url).build()?;
            let prefix = parsed.path().trim_matches('/');
            if prefix.is_empty() {
                Ok(Arc::new(store))
            } else {
                Ok(Arc::new(object_store::prefix::PrefixStore::new(store, prefix)))
            }
        }
        other => Err(wrong(format!("{other}:// is not known; use file:// or s3://"))),
    }
}
