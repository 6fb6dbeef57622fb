//! Both sides of a row, and of a point, held against each other: nothing lost, nothing twice, nothing changed.

use std::{collections::BTreeMap, fmt::Write as _, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use uuid::Uuid;

/// Columns the cloud adds to a row of a box.
const CLOUDS: &[&str] = &["organization_id", "box_id", "received_at"];
/// Differences that are listed.
const SHOWN: usize = 5;

/// One table, compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Same {
    /// Table.
    pub table: String,
    /// Rows on both sides.
    pub rows: usize,
    /// Sum of each column of money.
    pub sums: BTreeMap<String, Decimal>,
    /// Hash over the hashes of all rows, in the order of their keys.
    pub hash: String,
}

/// One side of a table: key to a row's canonical text.
type Side = BTreeMap<String, String>;

struct Column {
    name: String,
    kind: String,
}

/// Compares every table that goes up: count, sums and a hash of each row. Answers what both sides agree on.
pub async fn rows(cloud: &PgPool, data: &Path, box_id: Uuid) -> Result<Vec<Same>> {
    let own = open(data)?;
    let tables: Vec<(String, Vec<String>)> =
        sqlx::query_as("SELECT name, key_columns FROM projected_tables WHERE class = 'up' ORDER BY name")
            .fetch_all(cloud)
            .await?;
    ensure!(!tables.is_empty(), "the cloud knows no table that comes from a box");
    let mut same = Vec::new();
    for (table, keys) in tables {
        let columns = columns(cloud, &table).await?;
        let (ours, sums) = box_side(&own, &table, &keys, &columns)?;
        let (theirs, their_sums) = cloud_side(cloud, &table, &keys, &columns, box_id).await?;
        agree(&table, &ours, &theirs)?;
        ensure!(sums == their_sums, "{table}: the sums differ: {sums:?} on the box, {their_sums:?} in the cloud");
        let mut hash = Sha256::new();
        for row in ours.values() {
            hash.update(Sha256::digest(row.as_bytes()));
        }
        same.push(Same { table, rows: ours.len(), sums, hash: hex::encode(hash.finalize()) });
    }
    Ok(same)
}

/// Rows of a table on both sides, of an answer of [`rows`].
pub fn count(same: &[Same], table: &str) -> usize {
    same.iter().find(|s| s.table == table).map_or(0, |s| s.rows)
}

/// The box's business rows, for reading. Works beside a running box.
pub fn open(data: &Path) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        data.join("business.sqlite"),
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

async fn columns(cloud: &PgPool, table: &str) -> Result<Vec<Column>> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = $1 ORDER BY column_name",
    )
    .bind(table)
    .fetch_all(cloud)
    .await?;
    let columns = rows.into_iter().map(|(name, kind)| Column { name, kind });
    Ok(columns.filter(|c| !CLOUDS.contains(&c.name.as_str())).collect())
}

/// The same text for the same value, whichever side it comes from.
fn canonical(kind: &str, value: Option<&str>) -> Result<String> {
    let Some(text) = value else { return Ok("∅".to_owned()) };
    Ok(match kind {
        "numeric" => text.parse::<Decimal>().with_context(|| format!("{text} is no decimal"))?.normalize().to_string(),
        "double precision" => format!("{:016x}", text.parse::<f64>()?.to_bits()),
        "uuid" => text.to_ascii_lowercase(),
        _ => text.to_owned(),
    })
}

#[derive(Default)]
struct Reading {
    side: Side,
    sums: BTreeMap<String, Decimal>,
}

impl Reading {
    fn take(&mut self, keys: &[String], columns: &[Column], values: &[Option<String>]) -> Result<()> {
        let (mut key, mut row) = (String::new(), String::new());
        for (column, value) in columns.iter().zip(values) {
            let text = canonical(&column.kind, value.as_deref())?;
            if keys.contains(&column.name) {
                let _ = write!(key, "{}={text} ", column.name);
            }
            let _ = writeln!(row, "{}={text}", column.name);
            if let ("numeric", Some(value)) = (column.kind.as_str(), value) {
                *self.sums.entry(column.name.clone()).or_default() += value.parse::<Decimal>()?;
            }
        }
        if let Some(before) = self.side.insert(key.clone(), row) {
            bail!("{key}is there twice: {before}");
        }
        Ok(())
    }

    fn finish(mut self) -> (Side, BTreeMap<String, Decimal>) {
        for sum in self.sums.values_mut() {
            *sum = sum.normalize();
        }
        (self.side, self.sums)
    }
}

fn box_side(
    own: &Connection,
    table: &str,
    keys: &[String],
    columns: &[Column],
) -> Result<(Side, BTreeMap<String, Decimal>)> {
    let list = columns.iter().map(|c| format!("\"{}\"", c.name)).collect::<Vec<_>>().join(", ");
    let mut statement = own
        .prepare(&format!("SELECT {list} FROM \"{table}_rows\""))
        .with_context(|| format!("{table}: the cloud has a column that the box has not"))?;
    let mut rows = statement.query([])?;
    let mut reading = Reading::default();
    while let Some(row) = rows.next()? {
        let values = (0..columns.len())
            .map(|n| {
                Ok(match row.get_ref(n)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(i) => Some(i.to_string()),
                    ValueRef::Real(r) => Some(r.to_string()),
                    ValueRef::Text(t) => Some(std::str::from_utf8(t)?.to_owned()),
                    ValueRef::Blob(b) => Some(hex::encode(b)),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        reading.take(keys, columns, &values)?;
    }
    Ok(reading.finish())
}

async fn cloud_side(
    cloud: &PgPool,
    table: &str,
    keys: &[String],
    columns: &[Column],
    box_id: Uuid,
) -> Result<(Side, BTreeMap<String, Decimal>)> {
    let list = columns.iter().map(|c| format!("\"{}\"::text", c.name)).collect::<Vec<_>>().join(", ");
    let rows = sqlx::query(AssertSqlSafe(format!("SELECT {list} FROM \"{table}\" WHERE box_id = $1")))
        .bind(box_id)
        .fetch_all(cloud)
        .await?;
    let mut reading = Reading::default();
    for row in rows {
        let values = (0..columns.len()).map(|n| row.try_get::<Option<String>, _>(n)).collect::<Result<Vec<_>, _>>()?;
        reading.take(keys, columns, &values)?;
    }
    Ok(reading.finish())
}

fn agree(table: &str, ours: &Side, theirs: &Side) -> Result<()> {
    let mut differences = Vec::new();
    for (key, row) in ours {
        match theirs.get(key) {
            None => differences.push(format!("{key}is missing in the cloud")),
            Some(other) if other != row => differences.push(format!("{key}differs:\n  box {row}\n  cloud {other}")),
            Some(_) => {}
        }
    }
    differences.extend(theirs.keys().filter(|k| !ours.contains_key(*k)).map(|k| format!("{k}is missing on the box")));
    if differences.is_empty() {
        return Ok(());
    }
    let shown = differences[..differences.len().min(SHOWN)].join("\n");
    bail!(
        "{table}: {} of {} rows on the box and {} in the cloud differ:\n{shown}",
        differences.len(),
        ours.len(),
        theirs.len()
    )
}

/// What one series holds. Sums are exact: of times, and of time times value where values are whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// How many.
    pub count: i64,
    /// Sum of their values.
    pub value: f64,
    /// Sum of their times, µs, decimal.
    pub at: String,
    /// Sum of time in seconds times value, rounded to whole numbers, decimal.
    pub both: String,
}

/// Series by id, as both sides know it.
pub type AllPoints = BTreeMap<i64, Points>;

/// What the box's own series file holds of metrics that begin with `prefix`. The box must have stopped: one process at a
/// time opens the file.
pub fn box_points(file: &Path, prefix: &str) -> Result<AllPoints> {
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly)?;
    let own = duckdb::Connection::open_with_flags(file, config).with_context(|| file.display().to_string())?;
    let mut statement = own.prepare(
        "SELECT p.series, count(*), sum(p.value), CAST(sum(CAST(p.time AS HUGEINT)) AS VARCHAR),
                CAST(sum(CAST(p.time // 1000000 AS HUGEINT) * CAST(round(p.value) AS HUGEINT)) AS VARCHAR)
         FROM points p JOIN (SELECT DISTINCT id FROM series WHERE starts_with(name, ?)) s ON s.id = p.series
         GROUP BY p.series",
    )?;
    let rows = statement.query_map([prefix], |row| {
        let series: u64 = row.get(0)?;
        Ok((
            series.cast_signed(),
            Points { count: row.get(1)?, value: row.get(2)?, at: row.get(3)?, both: row.get(4)? },
        ))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the cloud holds of the same metrics of that box.
pub async fn cloud_points(cloud: &PgPool, box_id: Uuid, prefix: &str) -> Result<AllPoints> {
    let rows = sqlx::query_as::<_, (i64, i64, f64, String, String)>(
        "SELECT s.series, count(*), sum(p.value),
                sum((extract(epoch FROM p.at) * 1000000)::numeric(30, 0))::text,
                sum(trunc(extract(epoch FROM p.at)) * round(p.value)::numeric)::numeric(60, 0)::text
         FROM series s JOIN points_raw p ON p.key = s.key
         WHERE s.box_id = $1 AND starts_with(s.metric, $2)
         GROUP BY s.series",
    )
    .bind(box_id)
    .bind(prefix)
    .fetch_all(cloud)
    .await?;
    Ok(rows.into_iter().map(|(series, count, value, at, both)| (series, Points { count, value, at, both })).collect())
}

/// Holds both against each other; answers how many points there are.
pub fn points(ours: &AllPoints, theirs: &AllPoints) -> Result<i64> {
    let total = |side: &AllPoints| side.values().map(|p| p.count).sum::<i64>();
    for (series, own) in ours {
        let other = theirs.get(series).with_context(|| format!("series {series} is missing in the cloud"))?;
        // Sums of floats depend on their order in the last digits; the other three are exact.
        let near = (own.value - other.value).abs() <= 1e-9 * own.value.abs().max(1.0);
        ensure!(
            own.count == other.count && own.at == other.at && own.both == other.both && near,
            "series {series}: {own:?} on the box, {other:?} in the cloud; {} and {} points in all",
            total(ours),
            total(theirs)
        );
    }
    ensure!(
        ours.len() == theirs.len(),
        "{} series on the box, {} in the cloud; {} and {} points in all",
        ours.len(),
        theirs.len(),
        total(ours),
        total(theirs)
    );
    Ok(total(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_has_one_text() {
        assert_eq!(canonical("numeric", Some("1.50")).unwrap(), canonical("numeric", Some("1.5")).unwrap());
        assert_eq!(
            canonical("double precision", Some("1e-3")).unwrap(),
            canonical("double precision", Some("0.001")).unwrap()
        );
        assert_ne!(canonical("text", None).unwrap(), canonical("text", Some("")).unwrap());
    }

    #[test]
    fn a_difference_is_told() {
        let side =
            |rows: &[(&str, &str)]| rows.iter().map(|(k, r)| ((*k).to_owned(), (*r).to_owned())).collect::<Side>();
        let ours = side(&[("a ", "1"), ("b ", "2")]);
        assert!(agree("t", &ours, &ours.clone()).is_ok());
        for theirs in
            [side(&[("a ", "1")]), side(&[("a ", "1"), ("b ", "3")]), side(&[("a ", "1"), ("b ", "2"), ("c ", "3")])]
        {
            assert!(agree("t", &ours, &theirs).is_err());
        }
    }
}
