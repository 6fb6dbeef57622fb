//! The disk fills up: the box says so, goes on reading, loses nothing it acknowledged, and recovers with the space.

use std::{io::Write as _, path::PathBuf};

use sent_contract::{Level, home::Home};
use sent_tests::{
    Cluster, Result, Setup, appliance, books, compare, ensure,
    program::{Launch, is_root},
    until,
};

use crate::{box_id, entry, new_id, projected, sales, same_rows};

/// Size of the box's disk.
const DISK: &str = "96m";

/// A small disk; goes away with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&at)?;
        let size = format!("size={DISK}");
        Launch::new("mount").arguments(["-t", "tmpfs", "-o", &size, "tmpfs", &at.display().to_string()]).run()?;
        Ok(Self(at))
    }

    /// Takes all the space that is left.
    fn fill(&self) -> Result<()> {
        let mut ballast = std::fs::OpenOptions::new().create(true).append(true).open(self.0.join("ballast"))?;
        for size in [1 << 20, 4 << 10, 512, 1] {
            let block = vec![0_u8; size];
            while ballast.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.join("ballast"))?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Launch::new("umount").arguments(["--lazy", &self.0.display().to_string()]).run();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk() -> Result<()> {
    if !is_root() {
        eprintln!("skipped: only root can mount a disk that is small");
        return Ok(());
    }
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let disk = Disk::mount(cluster.folder().join("box"))?;
    let mut appliance = cluster.blank("box")?;
    cluster.enrol(&office, &appliance, "box").await?;
    appliance.start().await?;
    let face = cluster.arrived(&office, &appliance).await?;
    let (box_id, cloud) = (box_id(&appliance)?, cluster.postgres.owner().await?);
    let mut acknowledged = sales(&face, 10).await?;

    disk.fill()?;
    // What the files had in reserve is used up first; every answer counts.
    let refusal = until("a write is refused", 60, || async {
        let answer =
            face.send_json(reqwest::Method::POST, "/api/capital/entries", &books::sale(new_id(), 4_200)).await?;
        if answer.status.is_success() {
            disk.fill()?;
            let made: sent_contract::capital::Entry = answer.json()?;
            return Ok(Some(Err(made.id)));
        }
        Ok(Some(Ok(answer)))
    });
    let mut refusal = refusal.await?;
    for _ in 0..2_000 {
        match refusal {
            Ok(_) => break,
            Err(id) => acknowledged.push(id),
        }
        disk.fill()?;
        let answer =
            face.send_json(reqwest::Method::POST, "/api/capital/entries", &books::sale(new_id(), 4_200)).await?;
        refusal = if answer.status.is_success() {
            Err(answer.json::<sent_contract::capital::Entry>()?.id)
        } else {
            Ok(answer)
        };
    }
    let Ok(answer) = refusal else { anyhow::bail!("the disk never filled up") };
    ensure!(
        answer.status == 503 && answer.code().as_deref() == Some("unavailable"),
        "{}: {}",
        answer.status,
        answer.text()
    );
    ensure!(answer.text().contains("disk"), "the answer does not say what is wrong: {}", answer.text());

    // It keeps reading, and says so on its first page.
    for id in &acknowledged {
        entry(&face, *id).await?;
    }
    until("the first page says that the disk is full", 60, || async {
        let home: Home = face.get("/api/home").await?;
        let told = home.attention.iter().any(|a| a.status.level == Level::Bad && a.status.cause.contains("disk"));
        Ok(told.then_some(()))
    })
    .await?;
    // It survives a power cut in that state, too.
    appliance.kill()?;
    appliance.launch()?;
    let alive = appliance.ready().await;

    disk.empty()?;
    if alive.is_err() {
        // A box that could not even start on a full disk starts with some space.
        appliance.kill()?;
        appliance.start().await?;
    }
    let face = until("it lets people in again", 60, || async {
        Ok(Some(appliance.login(&office.owner, sent_tests::cluster::PASSWORD).await?))
    })
    .await?;
    acknowledged.extend(sales(&face, 5).await?);
    for id in &acknowledged {
        entry(&face, *id).await?;
    }
    appliance::synced(&face, 60).await?;
    projected(&cloud, box_id, i64::try_from(acknowledged.len())?, 60).await?;
    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == acknowledged.len(), "{same:#?}");
    appliance.run(&["audit", "verify"])?;
    drop(disk);
    cluster.passed();
    Ok(())
}
