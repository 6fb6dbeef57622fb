//! A box is lost and an old backup of it is brought back: it begins a new epoch, gets back from the cloud what the backup
//! lacks, and what only the lost box knew is gone without a doubt about anything else.

use sent_contract::fleet::BoxDetail;
use sent_tests::{Cluster, Result, Setup, appliance, cluster::PASSWORD, compare, ensure, relay::Weather, until};

use crate::{box_id, entry, projected, sales, same_rows};

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
    cluster.wire.set(Weather::Clear);
    appliance.start().await?;
    let face = appliance.login(&office.owner, PASSWORD).await?;
    until("what the backup lacked comes back", 60, || async {
        for id in &between {
            entry(&face, *id).await?;
        }
        Ok(Some(()))
    })
    .await?;
    let after = sales(&face, 4).await?;
    let status = appliance::synced(&face, 30).await?;
    projected(&cloud, box_id, 31, 30).await?;
    ensure!(status.epoch == 2 && status.quarantined == 0, "{status:?}");
    for id in before.iter().chain(&after) {
        entry(&face, *id).await?;
    }
    for id in &lost {
        let answer = face.send(reqwest::Method::GET, &format!("/api/capital/entries/{id}"), None).await?;
        ensure!(answer.status == 404, "an entry that nobody had is there: {}", answer.text());
    }
    let detail: BoxDetail = cluster.fleet.get(&format!("/api/fleet/boxes/{box_id}")).await?;
    let restore = detail.epochs.iter().find(|e| e.epoch == 2);
    ensure!(restore.is_some_and(|e| e.given_back >= 12), "{:?}", detail.epochs);
    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == 31, "{same:#?}");
    appliance.run(&["audit", "verify"])?;

    // The same old backup once more, and this time somebody works on it before the cloud is reached. The numbers that the
    // lost box gave out are not known yet: these entries count in a series of their own, so that nothing collides.
    cluster.wire.set(Weather::Cut);
    std::fs::remove_dir_all(appliance.data())?;
    appliance.run(&["restore", &backup.display().to_string()])?;
    appliance.start().await?;
    let face = appliance.login(&office.owner, PASSWORD).await?;
    let offline = sales(&face, 2).await?;
    cluster.wire.set(Weather::Clear);
    until("all that the backup lacked comes back", 60, || async {
        for id in between.iter().chain(&after) {
            entry(&face, *id).await?;
        }
        Ok(Some(()))
    })
    .await?;
    let later = sales(&face, 1).await?;
    let status = appliance::synced(&face, 30).await?;
    projected(&cloud, box_id, 34, 30).await?;
    ensure!(status.epoch == 3 && status.quarantined == 0, "{status:?}");
    for (ids, series) in [(&before, "JE-"), (&between, "JE-"), (&after, "JE-"), (&offline, "JE.2-"), (&later, "JE-")] {
        for id in ids {
            let number = entry(&face, *id).await?.number;
            ensure!(number.starts_with(series), "{number} is not of the series {series}");
        }
    }
    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == 34, "{same:#?}");
    appliance.stop().await?;
    appliance.run(&["audit", "verify"])?;
    cluster.passed();
    Ok(())
}
