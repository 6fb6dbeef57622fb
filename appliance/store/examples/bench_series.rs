//! Measures the path of telemetry on the box against bare DuckDB, in one run.
//!
//! * `telemetry_append`: points through spool and ingest into DuckDB, tiers and all, against a bare DuckDB `Appender` that
//!   is given the same rows one by one in transactions of the same size. Goal: at least 0.7 of its rate.
//! * `telemetry_query_30d`: 30 days of 200 series out of tiers of a full box. Goal: at most 100 ms.
//!
//! Appends a JSON line for each to `BENCH_OUT` (default `target/bench.jsonl`). `BENCH_POINTS` and `BENCH_DAYS` make it
//! smaller.

use std::{
    error::Error,
    fs::OpenOptions,
    io::Write,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use duckdb::{
    Connection,
    arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, UInt64Array},
    params,
};
use sent_core::clock::{ManualClock, SystemClock, Timestamp};
use sent_protocol::telemetry::Point;
use sent_store::{
    series::{DAY, HOUR, MINUTE, Query, Series, Settings},
    spool::{Limits, Spool},
};
use serde_json::json;

const SERIES: i64 = 200;
const TRANSACTION: usize = 200_000;
const ROUNDS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let count = setting("BENCH_POINTS", 2_000_000)?;
    let days = setting("BENCH_DAYS", 30)?;
    append(usize::try_from(count)?)?;
    query(days)
}

fn append(count: usize) -> Result<(), Box<dyn Error>> {
    let points = measured(count);
    let (mut ratios, mut rates) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let rows = bare_rows(&points)?;
        let columns = bare_columns(&points)?;
        let ours = spooled(&points)?;
        let rate = |time: Duration| count as f64 / time.as_secs_f64();
        println!(
            "round {round}: bare rows {:.0}/s, bare columns {:.0}/s, spool and tiers {:.0}/s",
            rate(rows),
            rate(columns),
            rate(ours)
        );
        ratios.push(rows.as_secs_f64() / ours.as_secs_f64());
        rates.push((rate(ours), rate(rows), rate(columns)));
    }
    let (ours, rows, columns) = rates[ROUNDS - 1];
    let ratio = median(&mut ratios);
    record(json!({
        "name": "telemetry_append", "ours": ours.round(), "reference": rows.round(), "unit": "points/s", "ratio": ratio,
        "goal": 0.7, "met": ratio >= 0.7, "points": count, "bare_columns": columns.round(),
    }))
}

/// What 200 series give every ten seconds, up to now.
fn measured(count: usize) -> Vec<Point> {
    let beats = count as i64 / SERIES;
    let start = SystemClock::raw().0 - beats * 10_000_000;
    (0..count as i64)
        .map(|i| Point {
            series: (i % SERIES).cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15),
            at: start + i / SERIES * 10_000_000,
            value: ((i * 37) % 10_007) as f64 / 16.0,
        })
        .collect()
}

fn bare(path: &Path) -> Result<Connection, Box<dyn Error>> {
    let config = duckdb::Config::default().max_memory("128MB")?.threads(2)?;
    let connection = Connection::open_with_flags(path, config)?;
    connection
        .execute_batch("CREATE TABLE points (series UBIGINT NOT NULL, time BIGINT NOT NULL, value DOUBLE NOT NULL)")?;
    Ok(connection)
}

fn bare_rows(points: &[Point]) -> Result<Duration, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let connection = bare(&dir.path().join("bare.duckdb"))?;
    let begun = Instant::now();
    for chunk in points.chunks(TRANSACTION) {
        connection.execute_batch("BEGIN TRANSACTION")?;
        let mut appender = connection.appender("points")?;
        for point in chunk {
            appender.append_row(params![point.series, point.at, point.value])?;
        }
        appender.flush()?;
        drop(appender);
        connection.execute_batch("COMMIT")?;
    }
    Ok(begun.elapsed())
}

fn bare_columns(points: &[Point]) -> Result<Duration, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let connection = bare(&dir.path().join("bare.duckdb"))?;
    let begun = Instant::now();
    for chunk in points.chunks(TRANSACTION) {
        let columns: [(&str, ArrayRef); 3] = [
            ("series", Arc::new(chunk.iter().map(|p| p.series).collect::<UInt64Array>())),
            ("time", Arc::new(chunk.iter().map(|p| p.at).collect::<Int64Array>())),
            ("value", Arc::new(chunk.iter().map(|p| p.value).collect::<Float64Array>())),
        ];
        connection.execute_batch("BEGIN TRANSACTION")?;
        let mut appender = connection.appender("points")?;
        appender.append_record_batch(RecordBatch::try_from_iter(columns)?)?;
        appender.flush()?;
        drop(appender);
        connection.execute_batch("COMMIT")?;
    }
    Ok(begun.elapsed())
}

/// One thread measures, a thousand points at a time; another one follows. Ends when all is durable in DuckDB.
fn spooled(points: &[Point]) -> Result<Duration, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let clock = SystemClock::shared();
    let spool = Spool::open(&dir.path().join("spool"), Limits::default(), clock.clone())?;
    let series = Series::open(dir.path().join("series.duckdb"), Settings::default(), clock)?;
    let mut follower = series.follower(spool.clone())?;
    let begun = Instant::now();
    let measuring = spool.clone();
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let measured = scope.spawn(move || points.chunks(1_000).try_for_each(|chunk| measuring.append(chunk, &[])));
        let mut stored = 0;
        while !measured.is_finished() {
            // The follower of a box waits a second between batches; a bench lets a tenth of that gather.
            std::thread::sleep(Duration::from_millis(100));
            stored += series.drain(&mut follower)?;
        }
        measured.join().map_err(|_| "the measuring thread panicked")??;
        spool.flush()?;
        stored += series.drain(&mut follower)?;
        if stored == points.len() as u64 { Ok(()) } else { Err(format!("{stored} of {} points", points.len()).into()) }
    })?;
    Ok(begun.elapsed())
}

fn query(days: i64) -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("series.duckdb");
    let now = SystemClock::shared().now().0 / HOUR * HOUR + 30 * MINUTE;
    let clock = ManualClock::new(Timestamp(now));
    drop(Series::open(&path, Settings::default(), clock.clone())?);
    fill(&path, now, days)?;
    let series = Series::open(&path, Settings::default(), clock)?;
    let question = |max_points| Query {
        series: (0..SERIES.cast_unsigned()).collect(),
        from: now - days * DAY,
        to: now,
        max_points,
    };
    let mut times = Vec::new();
    let mut points = 0;
    for _ in 0..20 {
        let begun = Instant::now();
        let answer = series.query_blocking(&question(1_000))?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        points = answer.curves.iter().map(|c| c.at.len()).sum();
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    let value = median(&mut times);
    println!("{days} days of {SERIES} series: {points} points in {value:.1} ms, slowest {slowest:.1} ms");
    record(json!({
        "name": "telemetry_query_30d", "ours": value, "reference": 0, "unit": "ms", "ratio": value / 100.0, "goal": 100,
        "met": value <= 100.0, "days": days, "series": SERIES, "points": points, "slowest": slowest,
        "file_bytes": std::fs::metadata(&path)?.len(),
    }))
}

/// A box that has measured every ten seconds for `days`: three days of points, all minutes and hours.
fn fill(path: &Path, now: i64, days: i64) -> Result<(), Box<dyn Error>> {
    let connection = Connection::open(path)?;
    let minutes_until = now / MINUTE * MINUTE - 2 * MINUTE;
    let hours_until = minutes_until / HOUR * HOUR;
    for (table, width, until) in [("points_1h", HOUR, hours_until), ("points_1m", MINUTE, minutes_until)] {
        let from = now / HOUR * HOUR - days * DAY;
        connection.execute_batch(&format!(
            "INSERT INTO {table} SELECT s, t, 1.0, 9.0, 30.0, 6, 5.0, t + {width} - 1
             FROM range({from}, {until}, {width}) AS times(t), range(0, {SERIES}) AS ids(s) ORDER BY t, s"
        ))?;
    }
    let from = now - 3.min(days) * DAY;
    connection.execute_batch(&format!(
        "INSERT INTO points SELECT s, t, s + t % 97 FROM range({from}, {now}, 10000000) AS times(t), range(0, {SERIES}) AS ids(s) ORDER BY t, s;
         UPDATE marks SET value = {minutes_until} WHERE name = 'minutes_until';
         UPDATE marks SET value = {hours_until} WHERE name = 'hours_until';
         UPDATE marks SET value = {from} WHERE name = 'points_from';"
    ))?;
    Ok(())
}

fn setting(name: &str, default: i64) -> Result<i64, Box<dyn Error>> {
    std::env::var(name).map_or(Ok(default), |text| Ok(text.parse()?))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn record(line: serde_json::Value) -> Result<(), Box<dyn Error>> {
    let path = std::env::var("BENCH_OUT").unwrap_or_else(|_| "target/bench.jsonl".to_owned());
    if let Some(parent) = Path::new(&path).parent() {
        std::fs::create_dir_all(parent)?;
    }
    println!("{line}");
    writeln!(OpenOptions::new().create(true).append(true).open(&path)?, "{line}")?;
    Ok(())
}
