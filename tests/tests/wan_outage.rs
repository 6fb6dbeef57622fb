//! The line is cut while an office works: 10,000 entries are posted and a million points measured. Afterwards both sides
//! have the same of everything.

use sent_contract::{
    Level,
    pulse::{Check, CheckKind, NewCheck},
};
use sent_tests::{
    Cluster, Result, Setup, appliance, bail, books, compare, ensure,
    exporter::{Exporter, PREFIX},
    relay::Weather,
    until,
};

use crate::{box_id, projected, sales, same_rows};

/// Values of one scrape: the most a page may hold.
const SERIES: usize = 20_000;
/// Points at least.
const POINTS: usize = 1_000_000;
/// Entries that come by file, and one by one.
const ENTRIES: (u64, i64) = (9_800, 200);
/// Transactions of a file.
const FILE: u64 = 1_400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wan_outage() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    let (box_id, cloud) = (box_id(&appliance)?, cluster.postgres.owner().await?);
    appliance::synced(&face, 30).await?;

    cluster.wire.set(Weather::Cut);
    cluster.mqtt.set(Weather::Cut);

    let exporter = Exporter::start(SERIES).await?;
    let check: Check = face
        .post(
            "/api/pulse/checks",
            &NewCheck {
                name: "exporter".into(),
                kind: CheckKind::Prometheus { url: exporter.url().to_owned() },
                interval: Some(3_600),
                timeout: Some(30),
                paused: false,
            },
        )
        .await?;
    let measure = async {
        // Every run scrapes a whole page; the check's own first run may be among them.
        while exporter.pages() < POINTS.div_ceil(SERIES) as u64 {
            face.change(reqwest::Method::POST, &format!("/api/pulse/checks/{}/run", check.id), &serde_json::json!({}))
                .await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let work = async {
        for first in (0..ENTRIES.0).step_by(usize::try_from(FILE)?) {
            let report = books::import(&face, books::sheet(first, FILE)).await?;
            ensure!(report.posted == FILE, "{report:?}");
        }
        // A file that is imported twice changes nothing.
        let again = books::import(&face, books::sheet(0, FILE)).await?;
        ensure!(again.posted == 0 && again.unchanged == FILE, "{again:?}");
        sales(&face, ENTRIES.1).await?;
        Ok::<_, anyhow::Error>(())
    };
    tokio::try_join!(measure, work)?;

    let entries = i64::try_from(ENTRIES.0)? + ENTRIES.1;
    let before: i64 = sqlx::query_scalar("SELECT count(*) FROM entries").fetch_one(&cloud).await?;
    ensure!(before == 0, "{before} entries came through a line that was cut");
    let status = until("the badge says that the cloud is out of reach", 60, || async {
        let status = appliance::sync(&face).await?;
        Ok((status.status.level != Level::Ok).then_some(status))
    })
    .await?;
    ensure!(status.waiting > 0 && !status.status.cause.is_empty(), "{status:?}");
    let balance = books::balance(&face).await?;

    cluster.wire.set(Weather::Clear);
    cluster.mqtt.set(Weather::Clear);
    appliance::synced(&face, 120).await?;
    projected(&cloud, box_id, entries, 120).await?;
    let scraped = i64::try_from(exporter.pages())? * i64::try_from(SERIES)?;
    until("the cloud has every point", 90, || async {
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM points_raw p JOIN series s ON s.key = p.key WHERE s.box_id = $1 AND starts_with(s.metric, $2)",
        )
        .bind(box_id)
        .bind(PREFIX)
        .fetch_one(&cloud)
        .await?;
        if count >= scraped {
            return Ok(Some(()));
        }
        bail!("{count} of {scraped}; {:?}", appliance::sync(&face).await?)
    })
    .await?;
    ensure!(books::balance(&face).await? == balance, "the balance changed although nobody posted");

    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(i64::try_from(compare::count(&same, "entries"))? == entries, "{same:#?}");
    let ours = compare::box_points(&appliance.data().join("pulse/series.duckdb"), PREFIX)?;
    let theirs = compare::cloud_points(&cloud, box_id, PREFIX).await?;
    let points = compare::points(&ours, &theirs)?;
    ensure!(points >= i64::try_from(POINTS)?, "only {points} points were measured");
    cluster.passed();
    Ok(())
}
