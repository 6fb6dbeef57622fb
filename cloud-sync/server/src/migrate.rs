//! Migrations: numbered SQL files, applied once each, under a lock, by the owner of the tables.
//!
//! A number may have two forms, `.plain.sql` and `.timescale.sql`; which one applies is decided by whether the server
//! offers TimescaleDB, when the database is first migrated. A file is applied in one transaction, unless it says
//! `-- transaction: none`: then statement by statement, as continuous aggregates ask.

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::error::{Error, Result};

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// File name.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        /// All migrations, in order.
        pub const MIGRATIONS: &[Migration] = &[
            $(Migration { name: $name, sql: include_str!(concat!("../../../migrations/cloud/", $name)) }),*
        ];
    };
}

migrations![
    "0001_tenancy.sql",
    "0002_reference.sql",
    "0003_identity.sql",
    "0004_fleet.sql",
    "0005_wire.sql",
    "0006_capital.sql",
    "0007_pulse.sql",
    "0008_audit.sql",
    "0009_series.sql",
    "0010_points.plain.sql",
    "0010_points.timescale.sql",
    "0011_radar.sql",
    "0012_guard.sql",
    "0013_shield.sql",
    "0014_security.sql",
];

/// Which form of a migration is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// PostgreSQL alone.
    Plain,
    /// With TimescaleDB.
    Timescale,
}

impl Migration {
    /// `0010`.
    pub fn number(&self) -> &'static str {
        self.name.split('_').next().unwrap_or(self.name)
    }

    /// Whether it applies in a database of that form.
    pub fn applies(&self, form: Form) -> bool {
        match form {
            Form::Plain => !self.name.ends_with(".timescale.sql"),
            Form::Timescale => !self.name.ends_with(".plain.sql"),
        }
    }

    /// Whether its statements must run outside a transaction.
    pub fn is_alone(&self) -> bool {
        self.sql.lines().any(|line| line.trim() == "-- transaction: none")
    }
}

/// Applies what is missing; answers the names of what was applied.
pub async fn migrate(connection: &mut PgConnection) -> Result<Vec<&'static str>> {
    // Two replicas that start together must not migrate together. The lock ends with the connection at the latest.
    connection.execute("SELECT pg_advisory_lock(hashtext('sent migrations'))").await?;
    let applied = migrate_locked(connection).await;
    connection.execute("SELECT pg_advisory_unlock(hashtext('sent migrations'))").await?;
    applied
}

async fn migrate_locked(connection: &mut PgConnection) -> Result<Vec<&'static str>> {
    connection
        .execute(
            "CREATE TABLE IF NOT EXISTS sent_migrations (
                number text PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let form = form(connection).await?;
    let mut done = Vec::new();
    for migration in MIGRATIONS.iter().filter(|m| m.applies(form)) {
        let hash = hex::encode(Sha256::digest(migration.sql.as_bytes()));
        let known: Option<(String, String)> =
            sqlx::query_as("SELECT name, sha256 FROM sent_migrations WHERE number = $1")
                .bind(migration.number())
                .fetch_optional(&mut *connection)
                .await?;
        match known {
            Some((name, known)) if name == migration.name && known == hash => continue,
            Some((name, _)) => {
                return Err(Error::Migration {
                    name: migration.name.to_owned(),
                    message: format!(
                        "{name} was applied with another text; a migration is never changed, add a new one"
                    ),
                });
            }
            None => {}
        }
        apply(connection, migration, &hash)
            .await
            .map_err(|e| Error::Migration { name: migration.name.to_owned(), message: e.to_string() })?;
        done.push(migration.name);
    }
    Ok(done)
}

async fn form(connection: &mut PgConnection) -> Result<Form> {
    let applied: Option<String> = sqlx::query_scalar(
        "SELECT name FROM sent_migrations WHERE name LIKE '%.plain.sql' OR name LIKE '%.timescale.sql' ORDER BY number LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(name) = applied {
        return Ok(if name.ends_with(".plain.sql") { Form::Plain } else { Form::Timescale });
    }
    let offered: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')")
            .fetch_one(&mut *connection)
            .await?;
    Ok(if offered { Form::Timescale } else { Form::Plain })
}

async fn apply(connection: &mut PgConnection, migration: &Migration, hash: &str) -> Result<(), sqlx::Error> {
    let record = "INSERT INTO sent_migrations (number, name, sha256) VALUES ($1, $2, $3)";
    if migration.is_alone() {
        for statement in statements(migration.sql) {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
        sqlx::query(record).bind(migration.number()).bind(migration.name).bind(hash).execute(&mut *connection).await?;
        return Ok(());
    }
    let mut tx = connection.begin().await?;
    sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
    sqlx::query(record).bind(migration.number()).bind(migration.name).bind(hash).execute(&mut *tx).await?;
    tx.commit().await
}

/// Splits SQL at the semicolons that end statements: not those in quotes, dollar quotes or comments.
pub fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut empty = true;
    while at < bytes.len() {
        match bytes[at] {
            b'-' if bytes[at..].starts_with(b"--") => at = after(sql, at, "\n"),
            b'/' if bytes[at..].starts_with(b"/*") => at = after(sql, at + 2, "*/"),
            quote @ (b'\'' | b'"') => {
                empty = false;
                at = after(sql, at + 1, if quote == b'\'' { "'" } else { "\"" });
            }
            b'$' => {
                empty = false;
                at = match dollar_tag(&sql[at..]) {
                    Some(tag) => after(sql, at + tag.len(), tag),
                    None => at + 1,
                };
            }
            b';' => {
                if !empty {
                    found.push(sql[start..at].trim());
                }
                at += 1;
                start = at;
                empty = true;
            }
            other => {
                empty &= other.is_ascii_whitespace();
                at += 1;
            }
        }
    }
    if !empty {
        found.push(sql[start..].trim());
    }
    found
}

fn after(sql: &str, from: usize, end: &str) -> usize {
    sql.get(from..).and_then(|rest| rest.find(end)).map_or(sql.len(), |n| from + n + end.len())
}

/// `$$` or `$name$` at the beginning of the text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text[1..end];
    let starts_well = !name.starts_with(|c: char| c.is_ascii_digit());
    (starts_well && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_file_of_the_folder_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/cloud");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().file_name().into_string().unwrap())
            .filter(|f| f.ends_with(".sql") && f.as_bytes()[0].is_ascii_digit())
            .collect();
        files.sort();
        assert_eq!(files, MIGRATIONS.iter().map(|m| m.name).collect::<Vec<_>>());
    }

    #[test]
    fn splits_where_statements_end() {
        let sql = "-- a; b\nSELECT ';', \"a;b\", 1 /* ; */;\n;DO $x$ BEGIN; END $x$;\nSELECT $$;$$, $1";
        assert_eq!(
            statements(sql),
            ["-- a; b\nSELECT ';', \"a;b\", 1 /* ; */", "DO $x$ BEGIN; END $x$", "SELECT $$;$$, $1"]
        );
        assert!(statements(" -- nothing\n ; /* ; */ ").is_empty());
    }

    proptest! {
        #[test]
        fn never_panics(sql in "[-/*'\"$;a \\n✓]{0,60}") {
            let joined: usize = statements(&sql).iter().map(|s| s.len()).sum();
            prop_assert!(joined <= sql.len());
        }
    }
}
