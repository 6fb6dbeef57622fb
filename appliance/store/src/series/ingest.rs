//! The one writer: a batch of the spool and the cursor behind it become durable in one DuckDB transaction, so a point is
//! in the tiers exactly once, wherever the process dies.
//!
//! **Roll-up.** The mark `minutes_until` lies a minute and a bit behind the present. A point is in the minute tier exactly
//! if its time is before the mark: when the mark moves, the raw points between its old and its new place are added up; a
//! point that arrives late, before the mark, is added up with its batch. Rows of one minute add up, so nothing is ever
//! read again or rewritten. Hours are made of minutes in the same way. A question reads the coarse tier up to its mark
//! and the finer one from there on.
//!
//! **A clock that was wrong.** When the present is well before the mark, the rows behind it are deleted and the mark moves
//! back, as long as the raw points are still there. Retention moves by at most [`RETENTION_STEP`] at a time, so that a
//! clock which jumped years ahead does not cost the history before somebody sets it right.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use duckdb::{
    Connection,
    arrow::{
        array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array},
        datatypes::{DataType, Field, Schema},
        error::ArrowError,
    },
    params,
};
use sent_core::clock::Timestamp;
use sent_protocol::telemetry::SeriesDefinition;

use super::{
    Retention, SeriesError,
    tiers::{self, DAY, HOUR, MINUTE, Row, floor},
};
use crate::spool::{Batch, Columns};

/// Points may arrive this much behind the present before they count as late; late ones only cost a row more.
const LATENESS: i64 = 75_000_000;
/// The present may be this much before the mark before the mark moves back.
const REWIND: i64 = 10 * MINUTE;
/// How far one pass moves a tier's beginning.
const RETENTION_STEP: i64 = DAY / 4;
/// A tier's beginning moves by at least this much, so that deletions come in few, large pieces.
const RETENTION_GRAIN: i64 = HOUR;
/// Definitions named in one statement.
const DEFINITIONS: usize = 1_000;

/// The marks, as in table `marks`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The minute tier is complete before this.
    pub minutes_until: i64,
    /// The hour tier is complete before this.
    pub hours_until: i64,
    /// Raw points before this were deleted.
    pub points_from: i64,
    /// Minutes before this were deleted.
    pub minutes_from: i64,
    /// Hours before this were deleted.
    pub hours_from: i64,
}

impl Marks {
    /// Reads them.
    pub fn read(connection: &Connection) -> Result<Self, SeriesError> {
        let mut marks = Self::default();
        let mut statement = connection.prepare("SELECT name, value FROM marks")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let value = row.get(1)?;
            match row.get::<_, String>(0)?.as_str() {
                "minutes_until" => marks.minutes_until = value,
                "hours_until" => marks.hours_until = value,
                "points_from" => marks.points_from = value,
                "minutes_from" => marks.minutes_from = value,
                "hours_from" => marks.hours_from = value,
                _ => {}
            }
        }
        Ok(marks)
    }

    fn write(&self, connection: &Connection, before: &Self) -> Result<(), SeriesError> {
        let named = |m: &Self| {
            [
                ("minutes_until", m.minutes_until),
                ("hours_until", m.hours_until),
                ("points_from", m.points_from),
                ("minutes_from", m.minutes_from),
                ("hours_from", m.hours_from),
            ]
        };
        for ((name, value), (_, old)) in named(self).into_iter().zip(named(before)) {
            if value != old {
                connection.execute("UPDATE marks SET value = ? WHERE name = ?", params![value, name])?;
            }
        }
        Ok(())
    }
}

/// The writer's connection and what it knows of the tables.
pub struct Writer {
    connection: Connection,
    marks: Marks,
    cursors: HashMap<String, u64>,
}

/// The last point of a series.
pub type Last = (i64, f64);

impl Writer {
    /// Takes over a connection.
    pub fn new(connection: Connection) -> Result<Self, SeriesError> {
        let marks = Marks::read(&connection)?;
        let cursors = read_cursors(&connection)?;
        Ok(Self { connection, marks, cursors })
    }

    /// Where the reader of the spool goes on, by process.
    pub fn cursors(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.cursors.iter().map(|(p, c)| (p.clone(), *c))
    }

    /// Stores a batch, the definitions that are new, and the cursors. Returns the last points of the batch's series.
    pub fn store(
        &mut self,
        batch: &Batch,
        definitions: &[SeriesDefinition],
        now: Timestamp,
    ) -> Result<HashMap<u64, Last>, SeriesError> {
        let points = sorted(&batch.points);
        let mut marks = self.marks;
        let cursors = &self.cursors;
        transaction(&self.connection, |connection| {
            move_marks(connection, &mut marks, now)?;
            append_points(connection, &points)?;
            append_rows(connection, "points_1m", &tiers::add_up(&points, MINUTE, marks.minutes_until))?;
            append_rows(connection, "points_1h", &tiers::add_up(&points, HOUR, marks.hours_until))?;
            define(connection, definitions)?;
            for gap in &batch.gaps {
                connection.execute("INSERT INTO gaps VALUES (?, ?, ?)", params![gap.from, gap.to, gap.points])?;
            }
            for (process, position) in &batch.cursors {
                if cursors.contains_key(process) {
                    connection
                        .execute("UPDATE cursors SET position = ? WHERE process = ?", params![position, process])?;
                } else {
                    connection.execute("INSERT INTO cursors VALUES (?, ?)", params![process, position])?;
                }
            }
            marks.write(connection, &self.marks)
        })?;
        self.marks = marks;
        self.cursors.extend(batch.cursors.iter().map(|(p, c)| (p.clone(), *c)));
        // Sorted by time within a series: the last one stays.
        Ok(points.iter().map(|&(series, at, value)| (series, (at, value))).collect())
    }

    /// Deletes what a tier need not keep any longer. Returns how many rows.
    pub fn retain(&mut self, retention: &Retention, now: Timestamp) -> Result<usize, SeriesError> {
        let mut marks = self.marks;
        let deleted = transaction(&self.connection, |connection| {
            let mut deleted = 0;
            let until = now.0.saturating_sub(retention.points).min(marks.minutes_until);
            deleted += delete_before(connection, "points", until, &mut marks.points_from)?;
            let until = now.0.saturating_sub(retention.minutes).min(marks.hours_until);
            deleted += delete_before(connection, "points_1m", until, &mut marks.minutes_from)?;
            let until = now.0.saturating_sub(retention.hours);
            deleted += delete_before(connection, "points_1h", until, &mut marks.hours_from)?;
            let gone = marks.hours_from;
            connection.execute("DELETE FROM gaps WHERE ended < ?", [gone])?;
            marks.write(connection, &self.marks)?;
            Ok(deleted)
        })?;
        self.marks = marks;
        if deleted > 0 {
            // Without it the freed pages would only be used again after the next 16 MB of log.
            if let Err(error) = self.connection.execute_batch("CHECKPOINT") {
                tracing::debug!(%error, "checkpoint after retention has to wait");
            }
        }
        Ok(deleted)
    }
}

/// Runs `f` in a transaction.
fn transaction<T>(
    connection: &Connection,
    f: impl FnOnce(&Connection) -> Result<T, SeriesError>,
) -> Result<T, SeriesError> {
    connection.execute_batch("BEGIN TRANSACTION")?;
    let done = f(connection).and_then(|value| {
        connection.execute_batch("COMMIT")?;
        Ok(value)
    });
    if done.is_err() {
        // A failed commit has rolled back already; the first error is the one that tells.
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}

/// The points that are measurements, by series and time: neighbours compress well, and runs add up in one pass.
fn sorted(columns: &Columns) -> Vec<(u64, i64, f64)> {
    let points = columns.series.iter().zip(&columns.at).zip(&columns.value);
    let mut points: Vec<_> = points
        .map(|((series, at), value)| (*series, *at, *value))
        // The spool lets nothing else in; a foreign file must not poison the sums.
        .filter(|(_, at, value)| *at >= 0 && value.is_finite())
        .collect();
    points.sort_by_key(|(series, at, _)| (*series, *at));
    points
}

/// Moves the marks to the present and adds up what they pass.
fn move_marks(connection: &Connection, marks: &mut Marks, now: Timestamp) -> Result<(), SeriesError> {
    let minute = floor(now.0.saturating_sub(LATENESS).max(0), MINUTE);
    if minute > marks.minutes_until {
        let sql = "INSERT INTO points_1m
            SELECT series, time - time % 60000000 AS minute, min(value), max(value), sum(value), count(*), arg_max(value, time), max(time)
            FROM points WHERE time >= ? AND time < ? GROUP BY series, minute ORDER BY minute, series";
        connection.execute(sql, params![marks.minutes_until, minute])?;
        marks.minutes_until = minute;
    } else if minute.saturating_add(REWIND) < marks.minutes_until {
        let hour = floor(minute, HOUR).min(marks.hours_until);
        if marks.points_from <= minute && marks.minutes_from <= hour {
            tracing::warn!(from = marks.minutes_until, to = minute, "the clock was set back: summaries are made again");
            connection.execute("DELETE FROM points_1m WHERE time >= ?", [minute])?;
            connection.execute("DELETE FROM points_1h WHERE time >= ?", [hour])?;
            marks.minutes_until = minute;
            marks.hours_until = hour;
        }
    }
    let hour = floor(marks.minutes_until, HOUR);
    if hour > marks.hours_until {
        let sql = "INSERT INTO points_1h
            SELECT series, time - time % 3600000000 AS hour, min(min), max(max), sum(sum), sum(count)::BIGINT, arg_max(last, last_time), max(last_time)
            FROM points_1m WHERE time >= ? AND time < ? GROUP BY series, hour ORDER BY hour, series";
        connection.execute(sql, params![marks.hours_until, hour])?;
        marks.hours_until = hour;
    }
    Ok(())
}

fn append_points(connection: &Connection, points: &[(u64, i64, f64)]) -> Result<(), SeriesError> {
    let columns: [ArrayRef; 3] = [
        Arc::new(points.iter().map(|p| p.0).collect::<UInt64Array>()),
        Arc::new(points.iter().map(|p| p.1).collect::<Int64Array>()),
        Arc::new(points.iter().map(|p| p.2).collect::<Float64Array>()),
    ];
    append(connection, "points", columns.into())
}

fn append_rows(connection: &Connection, table: &str, rows: &[Row]) -> Result<(), SeriesError> {
    let columns: [ArrayRef; 8] = [
        Arc::new(rows.iter().map(|r| r.series).collect::<UInt64Array>()),
        Arc::new(rows.iter().map(|r| r.at).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.min).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.max).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.sum).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.count).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.last).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.last_at).collect::<Int64Array>()),
    ];
    append(connection, table, columns.into())
}

/// Appends columns to a table. The appender joins the connection's transaction.
fn append(connection: &Connection, table: &str, columns: Vec<ArrayRef>) -> Result<(), SeriesError> {
    if columns.first().is_none_or(|c| c.is_empty()) {
        return Ok(());
    }
    let fields: Vec<_> = columns.iter().map(|c| field(c.data_type())).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    let mut appender = connection.appender(table)?;
    appender.append_record_batch(batch.map_err(|e: ArrowError| SeriesError::Damaged(e.to_string()))?)?;
    appender.flush()?;
    Ok(())
}

/// Columns go by their place; names are not looked at.
fn field(kind: &DataType) -> Field {
    Field::new("", kind.clone(), false)
}

/// Definitions in one statement of removal a thousand and one append for all: an exporter may bring tens of thousands at
/// once, and DuckDB takes a quarter of a megabyte for each statement of a transaction that inserts.
fn define(connection: &Connection, definitions: &[SeriesDefinition]) -> Result<(), SeriesError> {
    let by_id: BTreeMap<u64, &SeriesDefinition> = definitions.iter().map(|d| (d.id, d)).collect();
    let ids: Vec<String> = by_id.keys().map(u64::to_string).collect();
    for some in ids.chunks(DEFINITIONS) {
        connection.execute(&format!("DELETE FROM series WHERE id IN ({})", some.join(", ")), [])?;
    }
    let labels = by_id
        .values()
        .map(|d| serde_json::to_string(&d.labels).map_err(|e| SeriesError::Damaged(e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let columns: [ArrayRef; 4] = [
        Arc::new(by_id.keys().copied().collect::<UInt64Array>()),
        Arc::new(by_id.values().map(|d| Some(d.name.as_str())).collect::<StringArray>()),
        Arc::new(labels.iter().map(|l| Some(l.as_str())).collect::<StringArray>()),
        Arc::new(by_id.values().map(|d| Some(d.unit.as_str())).collect::<StringArray>()),
    ];
    append(connection, "series", columns.into())
}

/// Deletes the rows before `until`, a step at a time. `from` is the tier's beginning.
fn delete_before(connection: &Connection, table: &str, until: i64, from: &mut i64) -> Result<usize, SeriesError> {
    let oldest: Option<i64> = connection.query_row(&format!("SELECT min(time) FROM {table}"), [], |row| row.get(0))?;
    let Some(oldest) = oldest else { return Ok(0) };
    // Points that were late beyond the beginning go with the next step, and do not hold it back.
    let begin = if *from == 0 { oldest } else { *from };
    let until = until.min(begin.saturating_add(RETENTION_STEP));
    if until.saturating_sub(begin) < RETENTION_GRAIN {
        return Ok(0);
    }
    let deleted = connection.execute(&format!("DELETE FROM {table} WHERE time < ?"), [until])?;
    *from = until;
    Ok(deleted)
}

fn read_cursors(connection: &Connection) -> Result<HashMap<String, u64>, SeriesError> {
    let mut statement = connection.prepare("SELECT process, position FROM cursors")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
