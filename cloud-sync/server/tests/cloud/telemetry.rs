//! Points: exactly once, and out again in every tier.

use std::{collections::BTreeMap, time::Duration};

use reqwest::StatusCode;
use sent_core::clock::{Clock, SystemClock};
use sent_protocol::{
    HEADER_EPOCH, HEADER_SEGMENT, TelemetryCursor, TelemetryRefusal, path,
    telemetry::{self, Gap, Point, SeriesDefinition},
};
use serde_json::{Value, json};

use crate::support::{Answered, Replica, TestBox, World, until};

const MINUTE: i64 = 60_000_000;

async fn send(made: &TestBox, epoch: u64, segment: u64, bytes: Vec<u8>) -> Answered {
    let request = made
        .client
        .post(made.url(path::TELEMETRY))
        .header("content-encoding", "zstd")
        .header(HEADER_EPOCH, epoch)
        .header(HEADER_SEGMENT, segment)
        .body(bytes);
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let zstd = answer.headers().contains_key("content-encoding");
    let bytes = answer.bytes().await.unwrap().to_vec();
    let body = if zstd { sent_protocol::body::decompress(&bytes, 1 << 20).unwrap() } else { bytes };
    Answered { status, body }
}

fn definition(host: &str) -> SeriesDefinition {
    let labels = BTreeMap::from([("host".to_owned(), host.to_owned())]);
    SeriesDefinition::new("cpu_usage_ratio", labels, "ratio")
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_count_once_and_roll_up() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let (a, b) = (definition("a"), definition("b"));
    let now = SystemClock::default().now().0;
    let begin = (now - 90 * MINUTE) / MINUTE * MINUTE;
    let points = |from: i64, count: i64| -> Vec<Point> {
        (0..count)
            .flat_map(|n| {
                let at = from + n * 10_000_000;
                [Point { series: a.id, at, value: n as f64 }, Point { series: b.id, at, value: 0.5 }]
            })
            .collect()
    };
    let gap = Gap { from: begin - 100, to: begin - 1, points: 42 };
    let first = telemetry::encode(&points(begin, 360), &[a.clone(), b.clone()], &[gap]).unwrap();
    let second = telemetry::encode(&points(begin + 60 * MINUTE, 60), &[], &[]).unwrap();
    let cursor = |segment| TelemetryCursor { epoch: 1, segment };
    let refused = send(&made, 1, 2, second.clone()).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json::<TelemetryRefusal>().cursor, cursor(0));
    assert_eq!(send(&made, 1, 1, first.clone()).await.json::<TelemetryCursor>(), cursor(1));
    assert_eq!(send(&made, 1, 1, first.clone()).await.json::<TelemetryCursor>(), cursor(1), "again, without effect");
    assert_eq!(send(&made, 1, 2, second).await.json::<TelemetryCursor>(), cursor(2));
    assert_eq!(send(&made, 0, 3, first.clone()).await.code(), "old_epoch");
    assert_eq!(send(&made, 2, 3, first.clone()).await.code(), "unknown_epoch");
    assert_eq!(send(&made, 1, 3, first[..first.len() / 2].to_vec()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.postgres.count("SELECT count(*) FROM points_raw").await, 840);
    assert_eq!(world.postgres.count("SELECT count(*) FROM points_raw_default").await, 0, "each day has its partition");

    sent_cloud::tasks::roll_up(&world.replica.cloud, Duration::ZERO).await.unwrap();
    assert_eq!(world.postgres.count("SELECT count(*) FROM points_dirty").await, 0);
    assert_eq!(world.postgres.count("SELECT sum(count)::bigint FROM points_1m_rows").await, 840);
    assert_eq!(world.postgres.count("SELECT sum(count)::bigint FROM points_1h_rows").await, 840);

    let series: Vec<Value> = world.page.get(&format!("/api/fleet/boxes/{}/series?q=host", made.id)).await;
    assert_eq!(series.len(), 2);
    assert_eq!(series[0]["labels"], json!({ "host": "a" }));
    assert_eq!(series[0]["last"], 59.0);
    for (points, tier) in [(2_000, "raw"), (70, "1m"), (1, "1h")] {
        let route = format!(
            "/api/fleet/boxes/{}/query?series={},{}&from={begin}&to={}&points={points}",
            made.id,
            a.id,
            b.id,
            begin + 70 * MINUTE
        );
        let answer: sent_contract::pulse::QueryAnswer = world.page.get(&route).await;
        assert_eq!(answer.tier, tier);
        assert_eq!(answer.series.len(), 2);
        let curve = &answer.series[0];
        let most = curve.max.iter().flatten().copied().fold(f64::MIN, f64::max);
        assert!((most - 359.0).abs() < 1e-9, "{tier}: {most}");
        assert!(answer.series[1].avg.iter().flatten().all(|v| (v - 0.5).abs() < 1e-9));
    }
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert_eq!(detail["gaps"], json!([[gap.from, gap.to, 42]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn late_points_and_a_wrong_clock_lose_nothing() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let a = definition("a");
    let now = SystemClock::default().now().0;
    let day = 86_400_000_000;
    // Yesterday, ten days ago, long ago, the far future, and times nobody can mean.
    let times = [now - day, now - 10 * day, now - 400 * day, now + 4_000 * day, i64::MIN, i64::MAX];
    let points: Vec<Point> = times.iter().map(|at| Point { series: a.id, at: *at, value: 1.0 }).collect();
    let bytes = telemetry::encode(&points, std::slice::from_ref(&a), &[]).unwrap();
    let answer = send(&made, 1, 1, bytes).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(world.postgres.count("SELECT count(*) FROM points_raw").await, 6);
    // A series that was never defined keeps its points; the name comes later.
    let b = definition("b");
    let bytes = telemetry::encode(&[Point { series: b.id, at: now, value: f64::NAN }], &[], &[]).unwrap();
    assert_eq!(send(&made, 1, 2, bytes).await.status, StatusCode::OK);
    let bytes =
        telemetry::encode(&[Point { series: b.id, at: now, value: 2.0 }], std::slice::from_ref(&b), &[]).unwrap();
    assert_eq!(send(&made, 1, 3, bytes).await.status, StatusCode::OK);
    assert_eq!(world.postgres.count("SELECT count(*) FROM series WHERE metric = 'cpu_usage_ratio'").await, 2);
    sent_cloud::tasks::roll_up(&world.replica.cloud, Duration::ZERO).await.unwrap();
    // Late points of a minute that was rolled up already change it.
    let bytes = telemetry::encode(&[Point { series: a.id, at: now - day + 1, value: 9.0 }], &[], &[]).unwrap();
    assert_eq!(send(&made, 1, 4, bytes).await.status, StatusCode::OK);
    sent_cloud::tasks::roll_up(&world.replica.cloud, Duration::ZERO).await.unwrap();
    assert_eq!(world.postgres.count("SELECT count(*) FROM points_1m_rows WHERE max = 9").await, 1);
    assert_eq!(world.postgres.count("SELECT count(*) FROM points_1h_rows WHERE max = 9").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_leaves_nothing_behind() {
    const POINTS: i64 = 20_000;
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let a = definition("a");
    let now = SystemClock::default().now().0;
    let segment = |number: i64| {
        let points: Vec<Point> = (0..POINTS)
            .map(|n| Point { series: a.id, at: now - (number * POINTS + n) * 1_000, value: n as f64 })
            .collect();
        telemetry::encode(&points, std::slice::from_ref(&a), &[]).unwrap()
    };
    let bytes = segment(0);
    let began = std::time::Instant::now();
    assert_eq!(send(&made, 1, 1, bytes).await.status, StatusCode::OK);
    let whole = began.elapsed();
    // Each hangs up somewhere between its first byte and its answer, and comes again with the same number.
    let mut stored = 1;
    for round in 0..60_u32 {
        let number = stored + 1;
        let bytes = segment(i64::try_from(number).unwrap() - 1);
        let patience = whole.mul_f64(f64::from(round % 20) / 16.0) + Duration::from_micros(u64::from(round));
        let _ = tokio::time::timeout(patience, send(&made, 1, number, bytes.clone())).await;
        // A box that was cut off asks where the cloud stands, and goes on from there.
        if round % 3 == 2 {
            let answer = send(&made, 1, number, bytes).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.code());
        }
        stored = made.get(path::CURSOR).await.json::<sent_protocol::Cursor>().telemetry.segment;
        assert!(stored == number || stored == number - 1);
    }
    // No connection of the pool is one answer late, and none is left inside a transaction.
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let asking_box = made.at(&world.replica);
        asking.spawn(async move { asking_box.get(path::CURSOR).await });
    }
    while let Some(answer) = asking.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.code());
    }
    until("no transaction is left open", || async {
        let open =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sent-cloud' AND state LIKE 'idle in%'";
        (world.postgres.count(open).await == 0).then_some(())
    })
    .await;
    let stored = made.get(path::CURSOR).await.json::<sent_protocol::Cursor>().telemetry.segment;
    assert_eq!(
        world.postgres.count("SELECT count(*) FROM points_raw").await,
        i64::try_from(stored).unwrap() * POINTS,
        "each segment once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_roll_up_two_segments_of_one_minute() {
    let world = World::new(false).await;
    let other = Replica::start(&world.postgres, false).await;
    let customer = world.customer("Northwind").await;
    let boxes = [world.enrolled(&customer, "first").await, world.enrolled(&customer, "second").await];
    let (a, b) = (definition("a"), definition("b"));
    let begin = (SystemClock::default().now().0 - 10 * MINUTE) / MINUTE * MINUTE;
    // Each segment names other series of the same minutes, in turn: one, the other, both.
    for round in 0..12_i64 {
        for made in &boxes {
            let of = [vec![a.id], vec![b.id], vec![a.id, b.id]][usize::try_from(round % 3).unwrap()].clone();
            let at = |minute: i64| begin + minute * MINUTE + round * 1_000;
            let mut points: Vec<Point> = (0..5)
                .flat_map(|minute| of.iter().map(move |series| (*series, minute)))
                .map(|(series, minute)| Point { series, at: at(minute), value: 1.0 })
                .collect();
            points.sort_by_key(|p| (p.series, p.at));
            let bytes = telemetry::encode(&points, &[a.clone(), b.clone()], &[]).unwrap();
            let number = u64::try_from(round).unwrap() + 1;
            assert_eq!(send(made, 1, number, bytes).await.status, StatusCode::OK);
        }
        let (here, there) = tokio::join!(
            sent_cloud::tasks::roll_up(&world.replica.cloud, Duration::ZERO),
            sent_cloud::tasks::roll_up(&other.cloud, Duration::ZERO)
        );
        here.unwrap();
        there.unwrap();
    }
    let points = world.postgres.count("SELECT count(*) FROM points_raw").await;
    assert_eq!(points, 2 * 4 * 5 * (1 + 1 + 2));
    assert_eq!(world.postgres.count("SELECT sum(count)::bigint FROM points_1m_rows").await, points);
    assert_eq!(world.postgres.count("SELECT sum(count)::bigint FROM points_1h_rows").await, points);
}
