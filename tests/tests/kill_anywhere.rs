//! `kill -9` of box, cloud, PostgreSQL and broker, fifty times at moments drawn from a seed, while entries are posted and
//! points measured: what was acknowledged is there, once, on both sides.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sent_contract::{
    Uuid,
    pulse::{Check, CheckKind, NewCheck},
};
use sent_tests::{
    Appliance, Cluster, Face, Result, Setup, appliance, books, compare, ensure,
    exporter::{Exporter, PREFIX},
    until,
};

use crate::{box_id, new_id, projected, same_rows};

/// How often something is killed.
const KILLS: usize = 50;
/// Clerks who post at the same time.
const CLERKS: u64 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_anywhere() -> Result<()> {
    let seed = std::env::var("SENT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_123);
    eprintln!("SENT_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let mut cluster = Cluster::start(Setup { seed, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    let (box_id, face) = (box_id(&appliance)?, Arc::new(face));
    let exporter = Exporter::start(40).await?;
    let check: Check = face
        .post(
            "/api/pulse/checks",
            &NewCheck {
                name: "exporter".into(),
                kind: CheckKind::Prometheus { url: exporter.url().to_owned() },
                interval: Some(1),
                timeout: Some(1),
                paused: false,
            },
        )
        .await?;

    let closing = Arc::new(AtomicBool::new(false));
    let posted = Arc::new(Mutex::new(Vec::new()));
    let clerks: Vec<_> =
        (0..CLERKS).map(|n| tokio::spawn(clerk(seed ^ n, face.clone(), posted.clone(), closing.clone()))).collect();

    for _ in 0..KILLS {
        // The moment is drawn, not waited for: whatever happens then is killed.
        tokio::time::sleep(Duration::from_millis(dice.random_range(20..500))).await;
        match dice.random_range(0..10) {
            0..4 => {
                appliance.kill()?;
                appliance.start().await?;
            }
            4..7 => {
                cluster.replicas[0].kill()?;
                cluster.replicas[0].start().await?;
            }
            7..9 => {
                cluster.postgres.kill()?;
                cluster.postgres.gone().await?;
                cluster.postgres.resume().await?;
            }
            _ => {
                if let Some(broker) = &mut cluster.broker {
                    broker.kill()?;
                    broker.resume().await?;
                }
            }
        }
    }
    closing.store(true, Ordering::Relaxed);
    for clerk in clerks {
        clerk.await??;
    }
    let posted = posted.lock().expect("no clerk panicked").clone();
    ensure!(posted.len() > KILLS, "only {} entries were posted between {KILLS} kills", posted.len());

    let stop = NewCheck { name: check.name, kind: check.kind, interval: Some(1), timeout: Some(1), paused: true };
    face.change(reqwest::Method::PUT, &format!("/api/pulse/checks/{}", check.id), &stop).await?;
    let cloud = cluster.postgres.owner().await?;
    appliance::synced(&face, 60).await?;
    projected(&cloud, box_id, i64::try_from(posted.len())?, 60).await?;
    settle(&mut appliance, &face, &cloud, box_id).await?;

    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == posted.len(), "{} entries were acknowledged: {same:#?}", posted.len());
    let own = compare::open(appliance.data())?;
    for id in &posted {
        let times: i64 =
            own.query_row("SELECT count(*) FROM entries_rows WHERE id = ?1", [id.to_string()], |row| row.get(0))?;
        ensure!(times == 1, "entry {id} is there {times} times");
    }
    let (numbers, last): (i64, i64) =
        own.query_row("SELECT count(DISTINCT number), max(sequence) FROM entries_rows", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    ensure!(numbers == last && numbers == i64::try_from(posted.len())?, "{numbers} numbers up to {last}");
    appliance.run(&["audit", "verify"])?;
    let quarantined: i64 = sqlx::query_scalar("SELECT count(*) FROM quarantine").fetch_one(&cloud).await?;
    ensure!(quarantined == 0, "{quarantined} transactions are in quarantine");
    cluster.passed();
    Ok(())
}

/// Posts until told to stop. An entry keeps its id until it is acknowledged, as a page does after a lost answer.
async fn clerk(seed: u64, face: Arc<Face>, posted: Arc<Mutex<Vec<Uuid>>>, closing: Arc<AtomicBool>) -> Result<()> {
    let mut dice = StdRng::seed_from_u64(seed);
    while !closing.load(Ordering::Relaxed) {
        let sale = books::sale(new_id(), dice.random_range(1..100_000));
        until("an entry is posted", 60, || async {
            books::post(&face, &sale).await?;
            Ok(Some(()))
        })
        .await?;
        posted.lock().expect("no clerk panicked").push(sale.id);
        tokio::time::sleep(Duration::from_millis(dice.random_range(5..40))).await;
    }
    Ok(())
}

/// Waits until both sides hold the same points. The box's file can be read only while it stands still, so it is stopped
/// for each look.
async fn settle(appliance: &mut Appliance, face: &Face, cloud: &sqlx::PgPool, box_id: Uuid) -> Result<()> {
    let mut outcome = Ok(0);
    for _ in 0..6 {
        until("the cloud takes the rest of the points", 60, || async {
            appliance::hurry(face).await?;
            // Not known yet is not nothing: a box that has just started has looked nowhere.
            Ok((appliance::sync(face).await?.telemetry_waiting == Some(0)).then_some(()))
        })
        .await?;
        appliance.stop().await?;
        let ours = compare::box_points(&appliance.data().join("pulse/series.duckdb"), PREFIX)?;
        let theirs = compare::cloud_points(cloud, box_id, PREFIX).await?;
        outcome = compare::points(&ours, &theirs);
        appliance.start().await?;
        if outcome.is_ok() {
            break;
        }
    }
    let points = outcome?;
    ensure!(points > 0, "nothing was measured");
    Ok(())
}
