//! Questions to the tiers. A question reads one snapshot: the coarse tier up to its mark, the finer ones from there on.

use std::{collections::HashMap, fmt::Write as _};

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
        let sql = curves_sql(&query.series, tier, step, from..to, &marks);
        let mut places: HashMap<u64, usize> = HashMap::with_capacity(curves.len());
        curves.iter().enumerate().rev().for_each(|(place, curve)| {
            places.insert(curve.series, place);
        });
        for batch in connection.prepare(&sql)?.stream_arrow([])? {
            collect(&batch, &places, &mut curves)?;
        }
        for place in 0..curves.len() {
            // A series that was asked for twice is answered twice.
            let first = places[&curves[place].series];
            if first != place {
                curves[place] = curves[first].clone();
            }
        }
        curves.iter_mut().for_each(|curve| curve.mark_breaks(step));
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

fn curves_sql(series: &[u64], tier: Tier, step: i64, range: std::ops::Range<i64>, marks: &Marks) -> String {
    let ids = series.iter().fold(String::new(), |mut text, id| {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{separator}{id}");
        text
    });
    // The row that `from` lies in is wanted whole.
    let from = tiers::floor(range.start, tier.width());
    let to = range.end;
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
    // A point alone keeps its own time; a bucket has that of its beginning.
    let time = if tier == Tier::Raw { "min(time)" } else { "time - time % $step" };
    format!(
        "SELECT series, {time} AS begins, sum(sum) / sum(count), min(min), max(max)
         FROM ({}) GROUP BY series, time - time % $step ORDER BY series, begins",
        parts.join(" UNION ALL ")
    )
    .replace("$step", &step.to_string())
}

fn collect(batch: &RecordBatch, places: &HashMap<u64, usize>, curves: &mut [Curve]) -> Result<(), SeriesError> {
    let series: &UInt64Array = column(batch, 0)?;
    let time: &Int64Array = column(batch, 1)?;
    let [avg, min, max]: [&Float64Array; 3] = [column(batch, 2)?, column(batch, 3)?, column(batch, 4)?];
    let mut row = 0;
    while row < batch.num_rows() {
        // Rows come by series: a curve takes a whole run.
        let id = series.value(row);
        let run = series.values()[row..].iter().take_while(|s| **s == id).count();
        if let Some(curve) = places.get(&id).and_then(|place| curves.get_mut(*place)) {
            curve.at.extend_from_slice(&time.values()[row..row + run]);
            for i in row..row + run {
                let (low, high) = (min.value(i), max.value(i));
                // The sum of huge values is beyond an f64; their middle is not.
                let mean = Some(avg.value(i)).filter(|v| v.is_finite()).unwrap_or(low / 2.0 + high / 2.0);
                curve.avg.push(Some(mean.max(low).min(high)));
                curve.min.push(Some(low));
                curve.max.push(Some(high));
            }
        }
        row += run;
    }
    Ok(())
}

fn column<T: Array + 'static>(batch: &RecordBatch, place: usize) -> Result<&T, SeriesError> {
    let found = batch.columns().get(place);
    found.and_then(|c| c.as_any().downcast_ref()).ok_or_else(|| {
        let kind = found.map_or(DataType::Null, |c| c.data_type().clone());
        SeriesError::Damaged(format!("column {place} of an answer is {kind}"))
    })
}
