//! Questions to the tiers. A question reads one snapshot: the coarse tier up to its mark, the finer ones from there on.
//!
//! The database only finds the rows; they are summed up here, into one bucket a step, as they stream by. A step is mostly a
//! row already, and grouping and sorting them in the database took five times as long as reading them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
};

use duckdb::{
    Connection,
    arrow::{
        array::{Array, Float64Array, Int64Array, RecordBatch, UInt64Array},
        datatypes::DataType,
    },
};
use sent_protocol::telemetry::{Gap, SeriesDefinition};

use super::{
    Answer, Curve, Query, SeriesError,
    ingest::{Last, Marks},
    tiers::{self, DAY, Kept, Tier},
};

/// Points of all curves of an answer together: 32 bytes each.
const ANSWER_POINTS: usize = 1_000_000;
/// Series of one question.
const MOST_SERIES: usize = 5_000;
/// How far back the last value of a series is looked for.
const LAST_WITHIN: i64 = 30 * DAY;

/// Answers a question.
pub fn answer(connection: &Connection, query: &Query) -> Result<Answer, SeriesError> {
    if query.series.len() > MOST_SERIES {
        return Err(SeriesError::TooMany { asked: query.series.len(), bound: MOST_SERIES });
    }
    let from = query.from.max(0);
    let to = query.to.max(from);
    let marks = Marks::read(connection)?;
    let max_points = query.max_points.clamp(1, ANSWER_POINTS / query.series.len().max(1));
    let kept = Kept { points: marks.points_from, minutes: marks.minutes_from };
    let (tier, step) = tiers::choose(from, to, max_points, kept);
    let mut curves: Vec<Curve> = query.series.iter().map(|id| Curve { series: *id, ..Curve::default() }).collect();
    if !curves.is_empty() && from < to {
        // The row that `from` lies in is wanted whole.
        let range = tiers::floor(from, tier.width())..to;
        let sql = rows_sql(&query.series, tier, range.clone(), &marks);
        let mut sums = Sums::new(&query.series, step, &range);
        for batch in connection.prepare(&sql)?.stream_arrow([])? {
            sums.add(&batch)?;
        }
        for curve in &mut curves {
            sums.draw(curve, tier == Tier::Raw);
            curve.mark_breaks(step);
        }
    }
    Ok(Answer { tier, step, curves })
}

/// The last points of all series, as far as the last month knows them.
pub fn last(connection: &Connection) -> Result<HashMap<u64, Last>, SeriesError> {
    let marks = Marks::read(connection)?;
    let from = marks.hours_until.saturating_sub(LAST_WITHIN).max(0);
    let Marks { hours_until, minutes_until, .. } = marks;
    let sql = format!(
        "SELECT series, max(last_time), arg_max(last, last_time) FROM (
            SELECT series, last_time, last FROM points_1h WHERE time >= {from} AND time < {hours_until}
            UNION ALL SELECT series, last_time, last FROM points_1m WHERE time >= {hours_until} AND time < {minutes_until}
            UNION ALL SELECT series, time, value FROM points WHERE time >= {minutes_until}
        ) GROUP BY series"
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All definitions.
pub fn definitions(connection: &Connection) -> Result<HashMap<u64, SeriesDefinition>, SeriesError> {
    let mut statement = connection.prepare("SELECT id, name, labels, unit FROM series")?;
    let mut rows = statement.query([])?;
    let mut found = HashMap::new();
    while let Some(row) = rows.next()? {
        let labels: String = row.get(2)?;
        let labels = serde_json::from_str(&labels).map_err(|e| SeriesError::Damaged(e.to_string()))?;
        let definition = SeriesDefinition { id: row.get(0)?, name: row.get(1)?, labels, unit: row.get(3)? };
        found.insert(definition.id, definition);
    }
    Ok(found)
}

/// Gaps that touch a range.
pub fn gaps(connection: &Connection, from: i64, to: i64) -> Result<Vec<Gap>, SeriesError> {
    let sql = "SELECT began, ended, points FROM gaps WHERE ended >= ? AND began < ? ORDER BY began, ended";
    let mut statement = connection.prepare(sql)?;
    let rows =
        statement.query_map([from, to], |row| Ok(Gap { from: row.get(0)?, to: row.get(1)?, points: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn rows_sql(series: &[u64], tier: Tier, range: Range<i64>, marks: &Marks) -> String {
    let ids = series.iter().fold(String::new(), |mut text, id| {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{id}");
        text
    });
    let Range { start: from, end: to } = range;
    let hours_until = if tier == Tier::Hour { marks.hours_until } else { 0 };
    let minutes_until = if tier == Tier::Raw { 0 } else { marks.minutes_until };
    let mut parts = Vec::new();
    let mut part = |table: &str, columns: &str, from: i64, to: i64| {
        if from < to {
            parts.push(format!(
                "SELECT {columns} FROM {table} WHERE time >= {from} AND time < {to} AND series IN ({ids})"
            ));
        }
    };
    let rows = "series, time, min, max, sum, count";
    part("points_1h", rows, from, to.min(hours_until));
    part("points_1m", rows, from.max(hours_until), to.min(minutes_until));
    part(
        "points",
        "series, time, value AS min, value AS max, value AS sum, 1::BIGINT AS count",
        from.max(minutes_until),
        to,
    );
    parts.join(" UNION ALL ")
}

/// What the rows of one step add up to.
#[derive(Clone, Copy)]
struct Bucket {
    /// Earliest row.
    time: i64,
    min: f64,
    max: f64,
    sum: f64,
    count: i64,
}

impl Bucket {
    const EMPTY: Self = Self { time: i64::MAX, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, count: 0 };
}

/// Ids of series are hashes themselves.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id;
    }

    fn finish(&self) -> u64 {
        // The table takes its two hashes from both ends.
        self.0 ^ self.0.rotate_left(32)
    }
}

/// Rows of some series, summed up by step. A series that has no row takes no room.
struct Sums {
    step: i64,
    /// Number of the first step since the epoch, and how many there are.
    first: i64,
    steps: usize,
    buckets: HashMap<u64, Vec<Bucket>, BuildHasherDefault<AsIs>>,
}

impl Sums {
    fn new(series: &[u64], step: i64, range: &Range<i64>) -> Self {
        let first = range.start / step;
        // At most as many as an answer has points, by the choice of the step.
        let steps = usize::try_from((range.end - 1) / step - first + 1).unwrap_or_default();
        Self { step, first, steps, buckets: series.iter().map(|id| (*id, Vec::new())).collect() }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), SeriesError> {
        let series: &UInt64Array = column(batch, 0)?;
        let [time, count]: [&Int64Array; 2] = [column(batch, 1)?, column(batch, 5)?];
        let [min, max, sum]: [&Float64Array; 3] = [column(batch, 2)?, column(batch, 3)?, column(batch, 4)?];
        for row in 0..batch.num_rows() {
            let at = time.value(row);
            let Some(buckets) = self.buckets.get_mut(&series.value(row)) else { continue };
            if buckets.is_empty() {
                buckets.resize(self.steps, Bucket::EMPTY);
            }
            let place = usize::try_from(at / self.step - self.first).ok();
            let Some(bucket) = place.and_then(|place| buckets.get_mut(place)) else { continue };
            bucket.time = bucket.time.min(at);
            bucket.min = bucket.min.min(min.value(row));
            bucket.max = bucket.max.max(max.value(row));
            bucket.sum += sum.value(row);
            bucket.count += count.value(row);
        }
        Ok(())
    }

    /// Fills a curve. A point alone keeps its own time; a bucket has that of its beginning.
    fn draw(&self, curve: &mut Curve, own_time: bool) {
        let Some(buckets) = self.buckets.get(&curve.series) else { return };
        for (bucket, number) in buckets.iter().zip(self.first..).filter(|(bucket, _)| bucket.count > 0) {
            // The sum of huge values is beyond an f64; their middle is not.
            let mean = Some(bucket.sum / bucket.count as f64).filter(|v| v.is_finite());
            let mean = mean.unwrap_or(bucket.min / 2.0 + bucket.max / 2.0);
            curve.at.push(if own_time { bucket.time } else { number * self.step });
            curve.avg.push(Some(mean.max(bucket.min).min(bucket.max)));
            curve.min.push(Some(bucket.min));
            curve.max.push(Some(bucket.max));
        }
    }
}

fn column<T: Array + 'static>(batch: &RecordBatch, place: usize) -> Result<&T, SeriesError> {
    let found = batch.columns().get(place);
    found.and_then(|c| c.as_any().downcast_ref()).ok_or_else(|| {
        let kind = found.map_or(DataType::Null, |c| c.data_type().clone());
        SeriesError::Damaged(format!("column {place} of an answer is {kind}"))
    })
}
