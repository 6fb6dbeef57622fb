//! A box is lost and an old backup of it is brought back: it begins a new epoch, gets back from the cloud what the backup
//! lacks, and what only the lost box knew is gone without a doubt about anything else.

use std::collections::BTreeSet;

use sent_contract::{Uuid, fleet::BoxDetail};
use sent_tests::{
    Cluster, Context as _, Face, Result, Setup, appliance, cluster::PASSWORD, compare, ensure, relay::Weather, until,
};

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
    for (ids, series) in [(&before, "JE-"), (&between, "JE-"), (&after, "JE-"), (&offline, "JE.2"), (&later, "JE-")] {
        for id in ids {
            let number = entry(&face, *id).await?.number;
            ensure!(number.starts_with(series), "{number} is not of the series {series}");
        }
    }
    let first = offline_series(&face, &offline).await?;
    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == 34, "{same:#?}");

    // And a third time, again worked on before the cloud is reached: epoch 2 once more as far as it knows, and yet no number
    // of the restore before. What that one posted comes back and fits.
    cluster.wire.set(Weather::Cut);
    std::fs::remove_dir_all(appliance.data())?;
    appliance.run(&["restore", &backup.display().to_string()])?;
    appliance.start().await?;
    let face = appliance.login(&office.owner, PASSWORD).await?;
    let again = sales(&face, 3).await?;
    let second = offline_series(&face, &again).await?;
    ensure!(first != second, "two restores of one backup count in one series: {first}");
    cluster.wire.set(Weather::Clear);
    until("what the other restore posted comes back", 60, || async {
        for id in between.iter().chain(&after).chain(&offline).chain(&later) {
            entry(&face, *id).await?;
        }
        Ok(Some(()))
    })
    .await?;
    let status = appliance::synced(&face, 30).await?;
    projected(&cloud, box_id, 37, 30).await?;
    ensure!(status.epoch == 4 && status.quarantined == 0, "{status:?}");
    ensure!(offline_series(&face, &offline).await? == first, "a number changed");
    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == 37, "{same:#?}");
    appliance.stop().await?;
    appliance.run(&["audit", "verify"])?;
    cluster.passed();
    Ok(())
}

/// The one series of entries that were posted before the cloud was reached; it counts from 1 without a gap.
async fn offline_series(face: &Face, ids: &[Uuid]) -> Result<String> {
    let mut series = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    for id in ids {
        let number = entry(face, *id).await?.number;
        let (own, _) = number.split_once('-').context("a number names its series")?;
        let (_, sequence) = number.rsplit_once('-').context("a number counts")?;
        series.insert(own.to_owned());
        numbers.insert(sequence.parse::<usize>()?);
    }
    ensure!(numbers.into_iter().eq(1..=ids.len()), "a gap in {series:?}");
    ensure!(series.len() == 1, "{series:?}");
    series.pop_first().context("no entry")
}
