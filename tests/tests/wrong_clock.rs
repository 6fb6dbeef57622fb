//! A box whose clock is wrong by minutes, by years, into the past and into the future: it works, it says so, it sends what
//! it may, and nothing is lost or out of order when the clock is right again.

use sent_contract::Level;
use sent_tests::{Cluster, Result, Setup, appliance, compare, ensure, until};

use crate::{box_id, entry, projected, sales, same_rows};

/// Debian's libfaketime.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
/// What the clock is off by, and whether certificates are still valid then.
const CLOCKS: [(&str, bool); 4] = [("-40m", true), ("+2h", true), ("-1100d", false), ("+1100d", false)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_clock() -> Result<()> {
    if !std::path::Path::new(FAKETIME).is_file() {
        eprintln!("skipped: libfaketime is not installed (scripts/deps.sh installs it)");
        return Ok(());
    }
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    let (box_id, cloud) = (box_id(&appliance)?, cluster.postgres.owner().await?);
    let mut posted = sales(&face, 3).await?;
    appliance::synced(&face, 30).await?;

    for (offset, reaches) in CLOCKS {
        appliance.stop().await?;
        appliance.set_variables(&[
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME", offset),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_NO_CACHE", "1"),
        ]);
        appliance.start().await?;
        let face = appliance.login(&office.owner, sent_tests::cluster::PASSWORD).await?;
        posted.extend(sales(&face, 4).await?);
        for id in &posted {
            entry(&face, *id).await?;
        }
        if reaches {
            appliance::synced(&face, 30).await?;
        }
        let status = until("the badge names the clock", 45, || async {
            appliance::hurry(&face).await?;
            let status = appliance::sync(&face).await?;
            let named = status.status.level != Level::Ok && status.status.cause.contains("clock");
            if named { Ok(Some(status)) } else { anyhow::bail!("{:?}", status.status) }
        })
        .await;
        ensure!(status.is_ok(), "{offset}: {:#}", status.err().map_or_else(String::new, |e| format!("{e:#}")));
    }

    appliance.stop().await?;
    appliance.set_variables(&[]);
    appliance.start().await?;
    let face = appliance.login(&office.owner, sent_tests::cluster::PASSWORD).await?;
    posted.extend(sales(&face, 2).await?);
    appliance::synced(&face, 60).await?;
    projected(&cloud, box_id, i64::try_from(posted.len())?, 60).await?;
    let badge = until("the badge is well again", 60, || async {
        let status = appliance::sync(&face).await?;
        Ok((status.status.level == Level::Ok).then_some(status))
    })
    .await?;
    ensure!(badge.quarantined == 0 && badge.epoch == 1, "{badge:?}");
    let same = same_rows(&cloud, &mut appliance, &face, box_id).await?;
    ensure!(compare::count(&same, "entries") == posted.len(), "{same:#?}");
    appliance.run(&["audit", "verify"])?;
    cluster.passed();
    Ok(())
}
