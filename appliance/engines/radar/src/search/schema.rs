//! The tables of radar's DuckDB file: fixed ones out of `migrations/logs`, and one table of logs for each
//! class and day of receipt, so that retention is dropping a table.

use duckdb::Connection;

use super::SearchError;
use crate::intake::names::{HOT, KNOWN};

/// Numbered migrations of the fixed tables.
const MIGRATIONS: &[(&str, &str)] = &[("0001_logs", include_str!("../../../../../migrations/logs/0001_logs.sql"))];

/// Hot columns that hold numbers; what is no number there is kept with the rest.
const NUMBERS: &[&str] = &[
    "process.pid",
    "source.port",
    "destination.port",
    "http.response.status_code",
    "log.syslog.facility.code",
    "log.syslog.severity.code",
];

/// Between the fields of `rest`, and between a name and its value.
pub const FIELD: char = '\u{1f}';
/// See [`FIELD`].
pub const VALUE: char = '\u{1e}';

/// A column of the log tables beside the hot ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Text.
    Text(&'static str),
    /// A whole number.
    Number(&'static str),
    /// A time, µs.
    Time(&'static str),
}

/// The column a field's name stands for; `None` for one that is kept in `rest`.
pub fn column(name: &str) -> Option<Column> {
    match name {
        "@timestamp" => return Some(Column::Time("time")),
        "event.ingested" => return Some(Column::Time("received")),
        "message" => return Some(Column::Text("message")),
        "log.source.address" => return Some(Column::Text("source")),
        "logsource.product" => return Some(Column::Text("product")),
        "logsource.category" => return Some(Column::Text("category")),
        "logsource.service" => return Some(Column::Text("service")),
        _ => {}
    }
    let known = KNOWN[..HOT].iter().find(|known| **known == name)?;
    Some(if is_number(known) { Column::Number(known) } else { Column::Text(known) })
}

/// Whether a hot column holds numbers.
pub fn is_number(name: &str) -> bool {
    NUMBERS.contains(&name)
}

/// Makes the table of a partition.
pub fn create_partition(table: &str) -> String {
    let mut sql = format!(
        "CREATE TABLE IF NOT EXISTS \"{table}\" (position UBIGINT NOT NULL, time BIGINT NOT NULL, received BIGINT NOT NULL, \
         source VARCHAR, product VARCHAR, category VARCHAR, service VARCHAR, head VARCHAR, message VARCHAR, tail VARCHAR, \
         raw BLOB, rest VARCHAR"
    );
    for name in &KNOWN[..HOT] {
        let kind = if is_number(name) { "BIGINT" } else { "VARCHAR" };
        sql.push_str(&format!(", \"{name}\" {kind}"));
    }
    sql.push(')');
    sql
}

/// Runs the migrations that a file has not seen.
pub fn migrate(connection: &Connection) -> Result<(), SearchError> {
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS migrations (name VARCHAR NOT NULL, digest UINTEGER NOT NULL)")?;
    let mut statement = connection.prepare("SELECT name, digest FROM migrations ORDER BY name")?;
    let ran: Vec<(String, u32)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    for (place, (name, digest)) in ran.iter().enumerate() {
        let ours = MIGRATIONS.get(place).map(|(name, sql)| (*name, crc32fast::hash(sql.as_bytes())));
        if ours != Some((name.as_str(), *digest)) {
            return Err(SearchError::Migration(name.clone()));
        }
    }
    for (name, sql) in &MIGRATIONS[ran.len()..] {
        let digest = crc32fast::hash(sql.as_bytes());
        let run = format!("BEGIN TRANSACTION; {sql}; INSERT INTO migrations VALUES ('{name}', {digest}); COMMIT");
        if let Err(error) = connection.execute_batch(&run) {
            // The transaction may be over already; then there is nothing to roll back.
            let _ = connection.execute_batch("ROLLBACK");
            return Err(error.into());
        }
    }
    Ok(())
}
