//! Opening the file: pragmas, migrations, tenant views, and the one row that says who this box is.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use sent_core::{
    clock::SharedClock,
    table::{SyncClass, Table},
};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    StoreError,
    tenancy::{self, Columns, Session},
};

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// How to open a store.
#[derive(Clone)]
pub struct Config {
    /// Data folder of the box.
    pub data: PathBuf,
    /// Tables of all engines; the store adds its own.
    pub tables: Vec<Table>,
    /// Where time comes from.
    pub clock: SharedClock,
    /// Reader connections.
    pub readers: usize,
}

/// The tables that belong to the store itself.
pub(crate) const OWN_TABLES: &[Table] = &[
    Table::new("organizations", &[], SyncClass::Down),
    Table::new("branches", &["id"], SyncClass::Down),
    Table::new("roles", &["id"], SyncClass::Down),
    Table::new("users", &["id"], SyncClass::Down).with_secret(&["password_hash"]),
    Table::new("organization_settings", &["key"], SyncClass::Down),
    Table::new("factors", &["user_id"], SyncClass::Local).with_enciphered(&["secret"]),
    Table::new("recovery_codes", &["user_id", "digest"], SyncClass::Local).with_secret(&["digest"]),
    Table::new("api_tokens", &["id"], SyncClass::Local).with_secret(&["digest"]),
];

/// Where in the data folder a cloud's answer to this box's claim is kept. It is written last of all when a box joins, so a
/// box without it stands alone.
pub const IDENTITY: &str = "identity/identity.json";

/// Name of the SQLite file in the data folder.
pub(crate) const FILE: &str = "business.sqlite";

/// Who this box is and where its chains end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxRow {
    /// Box id; part of every transaction's hash.
    pub box_id: Uuid,
    /// Name.
    pub name: String,
    /// Organisation the box belongs to.
    pub organization: Uuid,
    /// Branch it stands in.
    pub branch: Option<Uuid>,
    /// Epoch.
    pub epoch: u64,
    /// Last transaction.
    pub sequence: u64,
    /// Its hash, hex.
    pub hash: String,
    /// Last transaction of this epoch the cloud has.
    pub acknowledged: u64,
    /// Last audit entry.
    pub audit_sequence: i64,
    /// Its hash, hex.
    pub audit_hash: String,
    /// Where this epoch began.
    pub previous_epoch: u64,
    /// Its last sequence that is still here.
    pub previous_sequence: u64,
    /// Its hash, hex.
    pub previous_hash: String,
    /// Tells two restores to the same epoch apart.
    pub epoch_token: Uuid,
    /// The cloud has not been told of this epoch yet.
    pub epoch_open: bool,
}

/// A box to be made in an empty data folder.
#[derive(Clone, Debug)]
pub struct NewBox {
    /// Box id.
    pub box_id: Uuid,
    /// Name.
    pub name: String,
    /// Organisation id.
    pub organization: Uuid,
    /// Branch id.
    pub branch: Option<Uuid>,
}

/// 64 zeros: the hash before the first.
pub(crate) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

pub(crate) fn path(data: &Path) -> PathBuf {
    data.join(FILE)
}

/// Opens a connection with everything but migrations.
pub(crate) fn open(data: &Path, session: &Session, writable: bool) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path(data), flags)?;
    // Another process may hold the write lock for as long as its transaction takes.
    connection.busy_timeout(std::time::Duration::from_secs(15))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -8000; PRAGMA journal_size_limit = 67108864;",
    )?;
    if !writable {
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -2000;")?;
    }
    connection.set_prepared_statement_cache_capacity(128);
    session.install(&connection)?;
    session.privileged(|| session.learn(&connection))?;
    Ok(connection)
}

/// Runs what has not run, refuses what was changed since, and derives the tenant views anew when anything ran.
pub(crate) fn migrate(
    connection: &Connection,
    tables: &[Table],
    clock: &SharedClock,
) -> Result<Vec<Columns>, StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS sys_migrations (
            name TEXT PRIMARY KEY, hash TEXT NOT NULL, at INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    )?;
    // One process migrates, the others wait for its lock and then find everything done.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let result = migrate_locked(connection, tables, clock);
    match &result {
        Ok(_) => connection.execute_batch("COMMIT")?,
        Err(_) => connection.execute_batch("ROLLBACK")?,
    }
    result
}

fn migrate_locked(connection: &Connection, tables: &[Table], clock: &SharedClock) -> Result<Vec<Columns>, StoreError> {
    let mut known: Vec<String> = Vec::new();
    let mut changed = false;
    for (name, sql) in BOX {
        let hash = hex::encode(Sha256::digest(sql.as_bytes()));
        let before: Option<String> =
            connection.query_row("SELECT hash FROM sys_migrations WHERE name = ?1", [name], |r| r.get(0)).optional()?;
        match before {
            Some(before) if before == hash => {}
            Some(_) => return Err(StoreError::Migration((*name).to_owned())),
            None => {
                connection.execute_batch(sql)?;
                connection.execute(
                    "INSERT INTO sys_migrations (name, hash, at) VALUES (?1, ?2, ?3)",
                    (name, &hash, clock.now().0),
                )?;
                changed = true;
            }
        }
        known.push((*name).to_owned());
    }
    let mut statement = connection.prepare("SELECT name FROM sys_migrations ORDER BY name")?;
    for name in statement.query_map([], |r| r.get::<_, String>(0))? {
        let name = name?;
        if !known.contains(&name) {
            return Err(StoreError::Migration(name));
        }
    }
    let columns = tenancy::columns(connection, tables)?;
    // The views follow from migrations and declarations; a fingerprint tells whether either moved.
    let fingerprint = hex::encode(Sha256::digest(format!("{columns:?}").as_bytes()));
    let before: Option<String> = if changed {
        None
    } else {
        connection.query_row("SELECT value FROM sys_state WHERE key = 'views'", [], |r| r.get(0)).optional()?
    };
    if before.as_deref() != Some(&fingerprint) {
        for table in &columns {
            tenancy::derive(connection, table)?;
        }
        connection.execute_batch(
            "DROP VIEW IF EXISTS audit;
             CREATE VIEW audit AS SELECT * FROM audit_rows WHERE organization_id = current_organization();",
        )?;
        connection.execute("INSERT OR REPLACE INTO sys_state (key, value) VALUES ('views', ?1)", [&fingerprint])?;
    }
    Ok(columns)
}

/// Reads the row of the box; needs privilege.
pub(crate) fn read_box(connection: &Connection) -> Result<Option<BoxRow>, StoreError> {
    let row = connection
        .prepare_cached(
            "SELECT box_id, name, organization_id, branch_id, epoch, sequence, hash, acknowledged, audit_sequence, audit_hash,
                    previous_epoch, previous_sequence, previous_hash, epoch_token, epoch_open FROM sys_box WHERE id = 1",
        )?
        .query_row([], |r| {
            Ok((
                [r.get::<_, String>(0)?, r.get(2)?, r.get(13)?],
                r.get::<_, Option<String>>(3)?,
                BoxRow {
                    box_id: Uuid::nil(),
                    name: r.get(1)?,
                    organization: Uuid::nil(),
                    branch: None,
                    epoch: unsigned(r.get(4)?),
                    sequence: unsigned(r.get(5)?),
                    hash: r.get(6)?,
                    acknowledged: unsigned(r.get(7)?),
                    audit_sequence: r.get(8)?,
                    audit_hash: r.get(9)?,
                    previous_epoch: unsigned(r.get(10)?),
                    previous_sequence: unsigned(r.get(11)?),
                    previous_hash: r.get(12)?,
                    epoch_token: Uuid::nil(),
                    epoch_open: r.get::<_, i64>(14)? != 0,
                },
            ))
        })
        .optional()?;
    let Some(([box_id, organization, token], branch, mut row)) = row else { return Ok(None) };
    row.box_id = uuid(&box_id)?;
    row.organization = uuid(&organization)?;
    row.epoch_token = uuid(&token)?;
    row.branch = branch.as_deref().map(uuid).transpose()?;
    Ok(Some(row))
}

pub(crate) fn uuid(text: &str) -> Result<Uuid, StoreError> {
    Uuid::parse_str(text).map_err(|_| StoreError::Corrupt(format!("\"{text}\" is no UUID")))
}

/// SQLite has no unsigned integers; sequences are never negative.
pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The other way round; a sequence never reaches 2^63.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
