//! Series against a plain model: every point once, in every tier, whatever the order of arrival, the clock or a kill did.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use proptest::prelude::*;
use sent_core::clock::{ManualClock, Timestamp};
use sent_protocol::telemetry::Point;
use tempfile::TempDir;

use super::*;
use crate::spool::Limits;

/// An hour's beginning.
const START: i64 = 1_800_000_000_000_000;
const SECOND: i64 = 1_000_000;

struct Box {
    dir: TempDir,
    clock: Arc<ManualClock>,
    spool: Arc<Spool>,
    series: Series,
    follower: Follower,
}

impl Box {
    fn new(settings: Settings) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = ManualClock::new(Timestamp(START));
        let spool = Spool::open(&dir.path().join("spool"), Limits::default(), clock.clone()).unwrap();
        let series = Series::open(dir.path().join("series.duckdb"), settings, clock.clone()).unwrap();
        let follower = series.follower(spool.clone()).unwrap();
        Self { dir, clock, spool, series, follower }
    }

    fn measure(&mut self, points: &[Point]) {
        self.spool.append(points, &[]).unwrap();
        self.series.drain(&mut self.follower).unwrap();
    }

    fn query(&self, series: &[u64], from: i64, to: i64, max_points: usize) -> Answer {
        self.series.query_blocking(&Query { series: series.to_vec(), from, to, max_points }).unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}"))
    }

    fn number(&self, sql: &str) -> i64 {
        self.series.inner.read(|c| Ok(c.query_row(sql, [], |row| row.get(0))?)).unwrap()
    }
}

fn every(series: u64, from: i64, step: i64, count: i64) -> Vec<Point> {
    (0..count).map(|i| Point { series, at: from + i * step, value: i as f64 }).collect()
}

fn values(curve: &Curve) -> Vec<f64> {
    curve.avg.iter().flatten().copied().collect()
}

#[test]
fn points_come_back_as_curves_of_each_tier() {
    let mut b = Box::new(Settings::default());
    for hour in 0..50 {
        let from = START + hour * HOUR;
        b.clock.set(Timestamp(from + HOUR));
        b.measure(&every(1, from, 10 * SECOND, 360));
    }
    let end = START + 50 * HOUR;
    let raw = b.query(&[1, 2], end - HOUR, end, 1_000);
    assert_eq!((raw.tier, raw.curves[0].at.len(), raw.curves[1].at.len()), (Tier::Raw, 360, 0));
    assert_eq!(values(&raw.curves[0]), (0..360).map(f64::from).collect::<Vec<_>>());
    let minutes = b.query(&[1], end - 10 * HOUR, end, 600);
    assert_eq!((minutes.tier, minutes.step, minutes.curves[0].at.len()), (Tier::Minute, MINUTE, 600));
    assert_eq!(
        (minutes.curves[0].min[1], minutes.curves[0].max[1], minutes.curves[0].avg[1]),
        (Some(6.0), Some(11.0), Some(8.5))
    );
    let hours = b.query(&[1], START, end, 50);
    assert_eq!((hours.tier, hours.step, hours.curves[0].at.len()), (Tier::Hour, HOUR, 50));
    assert!(hours.curves[0].avg.iter().all(|v| *v == Some(179.5)));
    assert_eq!(b.series.latest(&[1, 2]), [Some((end - 10 * SECOND, 359.0)), None]);
    // The newest of the hours are not in the hour tier yet.
    assert!(b.number("SELECT max(time) FROM points_1h") < end - HOUR);
}

#[test]
fn a_pause_breaks_the_curve_and_a_gap_is_kept() {
    let mut b = Box::new(Settings::default());
    let mut points = every(1, START, SECOND, 10);
    points.extend(every(1, START + 100 * SECOND, SECOND, 10));
    b.measure(&points);
    let curve = &b.query(&[1], START, START + 200 * SECOND, 1_000).curves[0];
    assert_eq!((curve.at.len(), curve.avg[10], curve.at[10]), (21, None, START + 9 * SECOND + 200_000));
    let mut batch = Batch::default();
    batch.gaps.push(Gap { from: START, to: START + SECOND, points: 7 });
    b.series.store(&batch).unwrap();
    assert_eq!(b.series.gaps_blocking(START, START + HOUR).unwrap(), batch.gaps);
    assert_eq!(b.series.gaps_blocking(START + HOUR, START + DAY).unwrap(), []);
}

#[test]
fn definitions_and_last_points_survive_a_restart() {
    let mut b = Box::new(Settings::default());
    let define =
        |host: &str, unit: &str| SeriesDefinition::new("cpu", [("host".to_owned(), host.to_owned())].into(), unit);
    let (one, two) = (define("Hall", "percent"), define("\"dock\"\n", "percent"));
    b.spool.append(&every(one.id, START, SECOND, 3), &[one.clone(), two.clone()]).unwrap();
    b.series.drain(&mut b.follower).unwrap();
    let changed = SeriesDefinition { unit: "ratio".to_owned(), ..two.clone() };
    b.spool.append(&[], std::slice::from_ref(&changed)).unwrap();
    b.series.drain(&mut b.follower).unwrap();
    let Box { dir, clock, spool, series, follower } = b;
    drop((series, follower));
    let series = Series::open(dir.path().join("series.duckdb"), Settings::default(), clock).unwrap();
    let listed = series.list(&Filter::default());
    let expected = [
        Listed { definition: changed.clone(), last: None },
        Listed { definition: one.clone(), last: Some((START + 2 * SECOND, 2.0)) },
    ];
    assert_eq!(listed, expected);
    assert_eq!(series.list(&Filter { text: Some("hall".to_owned()), ..Filter::default() }), expected[1..]);
    assert_eq!(series.list(&Filter { labels: changed.labels.clone(), ..Filter::default() }), expected[..1]);
    assert_eq!(series.list(&Filter { name: Some("cp".to_owned()), ..Filter::default() }), []);
    // Definitions read again change nothing, and points stay single.
    assert_eq!(series.drain(&mut series.follower(spool).unwrap()).unwrap(), 0);
    assert_eq!(series.list(&Filter::default()).len(), 2);
}

#[test]
fn huge_values_do_not_stop_the_roll_up() {
    let mut b = Box::new(Settings::default());
    let points: Vec<_> = (0..200).map(|i| Point { series: 1, at: START + i * SECOND, value: f64::MAX }).collect();
    b.measure(&points);
    b.clock.set(Timestamp(START + 3 * HOUR));
    b.measure(&every(1, START + 3 * HOUR, SECOND, 1));
    b.measure(&points);
    let answer = b.query(&[1], START, START + HOUR, 10);
    assert_eq!(answer.tier, Tier::Minute);
    assert!(answer.curves[0].avg.iter().flatten().all(|v| v.is_finite()));
    assert_eq!(b.query(&[1], START, START + HOUR, 1).curves[0].max, [Some(f64::MAX)]);
}

#[test]
fn tiers_keep_what_they_should_and_a_jumping_clock_costs_little() {
    let retention = Retention { points: DAY, minutes: 2 * DAY, hours: 4 * DAY };
    let mut b = Box::new(Settings { retention, ..Settings::default() });
    for hour in 0..8 * 24 {
        let from = START + hour * HOUR;
        b.clock.set(Timestamp(from + HOUR));
        b.measure(&every(1, from, MINUTE, 60));
        b.series.retain().unwrap();
    }
    let end = START + 8 * DAY;
    let oldest = |b: &Box, table: &str| end - b.number(&format!("SELECT min(time) FROM {table}"));
    for (table, keep) in [("points", DAY), ("points_1m", 2 * DAY), ("points_1h", 4 * DAY)] {
        let age = oldest(&b, table);
        assert!((keep..=keep + 2 * HOUR).contains(&age), "{table} goes back {age}");
    }
    // What the raw tier has no more is answered by the next.
    assert_eq!(b.query(&[1], end - 36 * HOUR, end - 35 * HOUR, 1_000).tier, Tier::Minute);
    assert_eq!(b.query(&[1], end - 72 * HOUR, end - 71 * HOUR, 1_000).tier, Tier::Hour);
    b.clock.set(Timestamp(end + 3_650 * DAY));
    b.series.retain().unwrap();
    assert!(oldest(&b, "points_1h") > 3 * DAY);
}

#[test]
fn another_programs_file_is_refused() {
    let b = Box::new(Settings::default());
    let path = b.dir.path().join("series.duckdb");
    let Box { dir: _dir, clock, series, follower, .. } = b;
    drop((series, follower));
    let connection = duckdb::Connection::open(&path).unwrap();
    connection.execute_batch("INSERT INTO migrations VALUES ('9999_future', 'x')").unwrap();
    drop(connection);
    assert!(
        matches!(Series::open(&path, Settings::default(), clock), Err(SeriesError::Migration(name)) if name == "9999_future")
    );
}

#[tokio::test]
async fn the_thread_follows_the_spool_while_others_read() {
    let b = Box::new(Settings::default());
    let ingest = b.series.follow(b.spool.clone()).unwrap();
    b.spool.append(&every(1, START, SECOND, 500), &[]).unwrap();
    let query = Query { series: vec![1], from: START, to: START + HOUR, max_points: 3_600 };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while b.series.query(query.clone()).await.unwrap().curves[0].at.len() < 500 {
        assert!(tokio::time::Instant::now() < deadline, "the points never came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Ending it stores what waits.
    b.spool.append(&every(1, START + 500 * SECOND, SECOND, 500), &[]).unwrap();
    drop(ingest);
    assert_eq!(b.series.query(query).await.unwrap().curves[0].at.len(), 1_000);
}

#[test]
fn a_killed_writer_stores_each_point_once() {
    if let Ok(root) = std::env::var("SENT_TEST_SERIES") {
        return store_until_killed(Path::new(&root));
    }
    let dir = TempDir::new().unwrap();
    let mut first = 0;
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "series::tests::a_killed_writer_stores_each_point_once", "--nocapture"])
            .env("SENT_TEST_SERIES", dir.path())
            .env("SENT_TEST_FIRST", first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut last = first;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            if let Some(n) = line.unwrap().rsplit_once("appended ").and_then(|(_, n)| n.parse::<i64>().ok()) {
                last = n;
                if n >= first + 20_000 + round * 3_700 {
                    break;
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(last > first);
        let clock = ManualClock::new(Timestamp(START));
        let spool = Spool::open(&dir.path().join("spool"), Limits::default(), clock.clone()).unwrap();
        let series = Series::open(dir.path().join("series.duckdb"), Settings::default(), clock).unwrap();
        series.drain(&mut series.follower(spool).unwrap()).unwrap();
        let counted: (i64, i64, i64) = series
            .inner
            .read(|c| {
                let sql = "SELECT count(*), count(DISTINCT time), max(time) + 1 FROM points";
                Ok(c.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
            })
            .unwrap();
        // Appends the child could not report any more are in as well.
        assert!(counted.0 >= last, "{counted:?} of {last}");
        assert_eq!((counted.0, counted.1), (counted.2, counted.2));
        first = counted.2;
    }
}

fn store_until_killed(root: &Path) {
    let first: i64 = std::env::var("SENT_TEST_FIRST").unwrap().parse().unwrap();
    let clock = ManualClock::new(Timestamp(START));
    let spool = Spool::open(&root.join("spool"), Limits::default(), clock.clone()).unwrap();
    let series = Series::open(root.join("series.duckdb"), Settings::default(), clock).unwrap();
    let mut follower = series.follower(spool.clone()).unwrap();
    std::thread::spawn(move || {
        loop {
            series.drain(&mut follower).unwrap();
        }
    });
    for i in 0..10_000 {
        let from = first + i * 100;
        spool.append(&every(1, from, 1, 100), &[]).unwrap();
        println!("appended {}", from + 100);
    }
    // Killed before it gets here.
    std::thread::sleep(Duration::from_secs(600));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The tiers agree with the points, in whatever order those came and however the clock was set meanwhile.
    #[test]
    fn every_tier_counts_every_point_once(
        batches in prop::collection::vec(
            (-90..400i64, prop::collection::vec((0..3u64, 0..400 * 60i64, -100..100i32), 1..60)),
            1..12,
        ),
    ) {
        let mut b = Box::new(Settings::default());
        let mut model: Vec<Point> = Vec::new();
        for (minutes, points) in batches {
            b.clock.set(Timestamp(START + minutes * MINUTE));
            let points: Vec<_> = points
                .into_iter()
                .map(|(series, second, value)| Point { series, at: START + second * SECOND, value: f64::from(value) })
                .collect();
            b.measure(&points);
            model.extend(points);
        }
        prop_assert_eq!(b.count("points"), model.len() as i64);
        let to = START + 400 * MINUTE;
        for (max_points, tier) in [(100_000, Tier::Raw), (400, Tier::Minute), (6, Tier::Hour)] {
            let answer = b.query(&[0, 1, 2], START, to, max_points);
            prop_assert_eq!(answer.tier, tier);
            for curve in &answer.curves {
                let mut expected: BTreeMap<i64, (f64, f64, f64, f64)> = BTreeMap::new();
                for p in model.iter().filter(|p| p.series == curve.series) {
                    let bucket = tiers::floor(p.at, answer.step);
                    let e = expected.entry(bucket).or_insert((f64::MAX, f64::MIN, 0.0, 0.0));
                    *e = (e.0.min(p.value), e.1.max(p.value), e.2 + p.value, e.3 + 1.0);
                }
                let expected: Vec<_> = expected.into_iter().map(|(at, e)| (at, e.0, e.1, e.2 / e.3)).collect();
                let found: Vec<_> = (0..curve.at.len())
                    .filter_map(|i| Some((tiers::floor(curve.at[i], answer.step), curve.min[i]?, curve.max[i]?, curve.avg[i]?)))
                    .collect();
                prop_assert_eq!(found.len(), expected.len());
                for (f, e) in found.iter().zip(&expected) {
                    prop_assert_eq!((f.0, f.1, f.2), (e.0, e.1, e.2));
                    prop_assert!((f.3 - e.3).abs() < 1e-9);
                }
            }
        }
        let rows = b.number("SELECT coalesce(sum(count), 0)::BIGINT FROM points_1m");
        let before = b.number("SELECT count(*) FROM points WHERE time < (SELECT value FROM marks WHERE name = 'minutes_until')");
        prop_assert_eq!(rows, before);
        let rows = b.number("SELECT coalesce(sum(count), 0)::BIGINT FROM points_1h");
        let before = b.number("SELECT count(*) FROM points WHERE time < (SELECT value FROM marks WHERE name = 'hours_until')");
        prop_assert_eq!(rows, before);
    }
}
