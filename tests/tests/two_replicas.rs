//! Two replicas behind one database: sessions, boxes and live events do not care which one they meet, and one may die.

use sent_contract::{
    Page,
    fleet::{BoxCounts, FleetEntry},
    pulse::{LivePoints, Series},
};
use sent_tests::{
    Cluster, Result, Setup, appliance, compare,
    ears::{Ears, Heard},
    ensure, until,
};

use crate::{box_id, projected, sales, same_rows};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas() -> Result<()> {
    let mut cluster = Cluster::start(Setup { replicas: 2, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let other = cluster.office("Eastgate").await?;
    let (mut one, one_face) = cluster.appliance(&office, "box-1").await?;
    let (mut two, two_face) = cluster.appliance(&other, "box-2").await?;
    let (one_id, two_id, cloud) = (box_id(&one)?, box_id(&two)?, cluster.postgres.owner().await?);

    // A login at one is a login at the other, and so is a logout.
    let second = cluster.fleet.moved(cluster.replicas[1].console())?;
    let counts: BoxCounts = second.get("/api/fleet/boxes/counts").await?;
    ensure!(counts.total == 2, "{counts:?}");
    let guest =
        sent_tests::Face::login(cluster.replicas[1].console(), sent_tests::cluster::MSP.0, sent_tests::cluster::MSP.1)
            .await?;
    let guest_elsewhere = guest.moved(cluster.replicas[0].console())?;
    guest.change(reqwest::Method::DELETE, "/api/session", &serde_json::json!({})).await?;
    let answer = guest_elsewhere.send(reqwest::Method::GET, "/api/fleet/boxes", None).await?;
    ensure!(answer.status == 401, "logged out at one replica, still in at the other: {}", answer.status);

    // A box's readings move before whoever watches it, at whichever replica.
    for (face, watched) in [(&second, one_id), (&cluster.fleet, two_id)] {
        let series = until("the cloud knows the box's series", 60, || async {
            let series: Vec<Series> = face.get(&format!("/api/fleet/boxes/{watched}/series")).await?;
            Ok(series.into_iter().find(|s| s.metric == "cpu_usage_ratio"))
        })
        .await?;
        let channel = format!("fleet.live.{watched}");
        let mut ears = Ears::open(face, &[&channel]).await?;
        let first = ears.until("readings of the box", |heard| heard.channel == channel && says(heard, &series)).await?;
        let points: LivePoints = serde_json::from_value(first.data)?;
        ears.until("newer readings", |heard| {
            heard.data["at"].as_i64().is_some_and(|at| at > points.at) && says(heard, &series)
        })
        .await?;
    }

    tokio::try_join!(sales(&one_face, 40), sales(&two_face, 40))?;
    appliance::synced(&one_face, 30).await?;
    appliance::synced(&two_face, 30).await?;

    // One dies in the middle of the work; boxes and people go on with the other.
    let both = async {
        tokio::try_join!(sales(&one_face, 30), sales(&two_face, 30))?;
        appliance::synced(&one_face, 60).await?;
        appliance::synced(&two_face, 60).await
    };
    let death = async {
        cluster.replicas[0].kill()?;
        let entries: Page<FleetEntry> = second.get("/api/fleet/entries?limit=10").await?;
        ensure!(!entries.items.is_empty(), "the other replica shows nothing");
        Ok::<_, anyhow::Error>(())
    };
    tokio::try_join!(both, death)?;
    projected(&cloud, one_id, 70, 60).await?;
    projected(&cloud, two_id, 70, 60).await?;

    cluster.replicas[0].start().await?;
    sales(&one_face, 5).await?;
    appliance::synced(&one_face, 30).await?;
    until("an entry is seen at either replica", 30, || async {
        for console in [cluster.replicas[0].console(), cluster.replicas[1].console()] {
            let face = cluster.fleet.moved(console)?;
            let page: Page<FleetEntry> = face.get(&format!("/api/fleet/entries?box={one_id}&limit=500")).await?;
            if page.items.len() != 75 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;

    for (appliance, face, id, wanted) in [(&mut one, &one_face, one_id, 75), (&mut two, &two_face, two_id, 70)] {
        let same = same_rows(&cloud, appliance, face, id).await?;
        ensure!(compare::count(&same, "entries") == wanted, "{same:#?}");
    }
    cluster.passed();
    Ok(())
}

/// Whether there is a value of a series among live readings.
fn says(heard: &Heard, series: &Series) -> bool {
    serde_json::from_value::<LivePoints>(heard.data.clone())
        .is_ok_and(|live| live.points.iter().any(|(id, _)| *id == series.id))
}
