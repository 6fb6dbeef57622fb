//! A box is lost and an old backup of it is brought back: it begins a new epoch, gets back from the cloud what the backup
//! lacks, and what only the lost box knew is gone without a doubt about anything else.

use sent_contract::{Uuid, fleet::BoxDetail};
use sent_tests::{Cluster, Result, Setup, appliance, compare, ensure, relay::Weather, until};

use crate::{box_id, entry, projected, sales};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restored_backup() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    let (box_id, cloud) = (box_id(&appliance)?, cluster.postgres.owner().await?);

    let before = sales(&face, 15).await?;
    appliance::synced(&face, 30).await?;
    let backup = cluster.folder().join("box.backup");
    appliance.run(&["backup", &backup.display().to_string()])?;

    // The cloud has these, the backup has not.
    let between = sales(&face, 12).await?;
    appliance::synced(&face, 30).await?;
    projected(&cloud, box_id, 27, 30).await?;
    // Nobody but the box has these.
    cluster.wire.set(Weather::Cut);
    let lost = sales(&face, 3).await?;
    appliance.kill()?;
    std::fs::remove_dir_all(appliance.data())?;

    appliance.run(&["restore", &backup.display().to_string()])?;
    appliance.start().await?;
    // Before the cloud is reached the box works with what it has.
    let face = appliance.login(&office.owner, sent_tests::cluster::PASSWORD).await?;
    let offline = sales(&face, 2).await?;
    cluster.wire.set(Weather::Clear);

    until("what the backup lacked comes back", 60, || async {
        appliance::hurry(&face).await?;
        for id in &between {
            entry(&face, *id).await?;
        }
        Ok(Some(()))
    })
    .await?;
    let status = appliance::synced(&face, 30).await?;
    projected(&cloud, box_id, 29, 30).await?;
    ensure!(status.epoch == 2, "the box is in epoch {}", status.epoch);

    for id in before.iter().chain(&offline) {
        entry(&face, *id).await?;
    }
    for id in &lost {
        let answer = face.send(reqwest::Method::GET, &format!("/api/capital/entries/{id}"), None).await?;
        ensure!(answer.status == 404, "an entry that nobody had is there: {}", answer.text());
    }
    let detail: BoxDetail = cluster.fleet.get(&format!("/api/fleet/boxes/{box_id}")).await?;
    let restore = detail.epochs.iter().find(|e| e.epoch == 2);
    ensure!(restore.is_some_and(|e| e.given_back >= 12), "{:?}", detail.epochs);
    // Numbers that were given twice, offline and by the lost box, are told apart: what no longer fitted is on the box's
    // own list, and nothing of it is missing in silence.
    let mine: Vec<Uuid> = before.iter().chain(&between).chain(&offline).copied().collect();
    appliance.stop().await?;
    let same = compare::rows(&cloud, appliance.data(), box_id).await?;
    ensure!(
        compare::count(&same, "entries") + usize::try_from(status.quarantined)? >= mine.len(),
        "{same:#?} {status:?}"
    );
    appliance.run(&["audit", "verify"])?;
    cluster.passed();
    Ok(())
}
