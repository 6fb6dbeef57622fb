//! Opening the DuckDB file, small, and handing out connections to readers.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use duckdb::{Config, Connection};

use super::{SeriesError, Settings};
use crate::connection::TELEMETRY;

/// Idle connections kept for readers; each is a few kilobytes.
const IDLE: usize = 4;

/// The open file, for readers. DuckDB's connections read each a snapshot of their own.
pub struct Database {
    /// Only cloned from.
    template: Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
}

impl Database {
    /// Opens or makes the file and brings it up to date. Returns it with the connection of the one writer.
    pub fn open(path: &Path, settings: &Settings) -> Result<(Self, Connection), SeriesError> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| SeriesError::io(parent, e))?;
        }
        let config = Config::default()
            .max_memory(&format!("{}MB", settings.memory_mb))?
            .threads(settings.threads)?
            // Rows are found by their time, never by where they came in.
            .with("preserve_insertion_order", "false")?
            .with("checkpoint_threshold", "16MB")?
            // No files beyond its own, and nothing out of the network.
            .with("autoinstall_known_extensions", "false")?
            .with("autoload_known_extensions", "false")?
            .enable_external_access(false)?;
        let writer = Connection::open_with_flags(path, config)?;
        migrate(&writer)?;
        let database = Self { template: Mutex::new(writer.try_clone()?), idle: Mutex::default() };
        Ok((database, writer))
    }

    /// Runs `f` with a connection of its own, in one snapshot.
    pub fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, SeriesError>) -> Result<T, SeriesError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.template.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?,
        };
        connection.execute_batch("BEGIN TRANSACTION READ ONLY")?;
        let answer = f(&connection);
        // A connection that cannot end its transaction is not used again.
        if connection.execute_batch("ROLLBACK").is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE {
                idle.push(connection);
            }
        }
        answer
    }
}

/// Runs the migrations that this file has not seen.
fn migrate(connection: &Connection) -> Result<(), SeriesError> {
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS migrations (name VARCHAR NOT NULL, digest VARCHAR NOT NULL)")?;
    let mut statement = connection.prepare("SELECT name, digest FROM migrations ORDER BY name")?;
    let ran: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (place, (name, digest)) in ran.iter().enumerate() {
        let ours = TELEMETRY.get(place).map(|(n, sql)| (*n, print(sql)));
        if ours.as_ref().map(|(n, d)| (*n, d.as_str())) != Some((name.as_str(), digest.as_str())) {
            return Err(SeriesError::Migration(name.clone()));
        }
    }
    for (name, sql) in TELEMETRY.iter().skip(ran.len()) {
        let run =
            format!("BEGIN TRANSACTION; {sql}; INSERT INTO migrations VALUES ('{name}', '{}'); COMMIT", print(sql));
        if let Err(error) = connection.execute_batch(&run) {
            // The transaction may be over already; then there is nothing to roll back.
            let _ = connection.execute_batch("ROLLBACK");
            return Err(error.into());
        }
    }
    Ok(())
}

fn print(sql: &str) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(sql.as_bytes()))
}
