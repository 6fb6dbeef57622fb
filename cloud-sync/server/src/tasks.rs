//! What runs beside the requests: each task is a full look at the database that takes no input, so any replica may run it,
//! two may run it at once, and one that was missed is made up for by the next.

use std::{future::Future, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Cloud, db::Tenancy, error::Result, projector, status};

/// Contacts and statuses.
const PULSE: Duration = Duration::from_secs(5);
/// Roll-ups of fresh points, and how long points wait at least for others of their minutes to come too.
const ROLL_UP: Duration = Duration::from_secs(5);
const SETTLED: Duration = Duration::from_secs(10);
/// Partitions, retention, what has expired.
const KEEPING: Duration = Duration::from_secs(3600);
/// Boxes judged in one transaction.
const PAGE: i64 = 500;
/// Dirty ranges of one roll-up transaction.
const RANGES: i32 = 5_000;

/// Runs all of them until `stop`.
pub async fn run(cloud: Arc<Cloud>, stop: CancellationToken) {
    let c = &cloud;
    tokio::join!(
        every("status", PULSE, &stop, || look(c)),
        every("roll-up", ROLL_UP, &stop, || roll_up(c, SETTLED)),
        every("housekeeping", KEEPING, &stop, || keep(c)),
    );
}

async fn every<F: Future<Output = Result<()>>>(
    name: &str,
    interval: Duration,
    stop: &CancellationToken,
    task: impl Fn() -> F,
) {
    while !stop.is_cancelled() {
        if let Err(error) = task().await {
            tracing::warn!(task = name, %error, "a background task failed; it runs again");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(interval) => {}
        }
    }
}

/// Writes contacts, ends commands, judges every box.
pub async fn look(cloud: &Cloud) -> Result<()> {
    cloud.seen.flush(&cloud.db).await?;
    end_commands(cloud).await?;
    let mut after = Uuid::nil();
    // A page that fails must not keep the boxes behind it from being judged: the first error is told at the end.
    let mut failed = None;
    while let Some((boxes, last)) = page(cloud, after).await? {
        after = last;
        match judge(cloud, &boxes).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The next boxes by id, and the last of them.
async fn page(cloud: &Cloud, after: Uuid) -> Result<Option<(Vec<Uuid>, Uuid)>> {
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    let boxes = sqlx::query_scalar!("SELECT id FROM boxes WHERE id > $1 ORDER BY id LIMIT $2", after, PAGE)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(boxes.last().copied().map(|last| (boxes, last)))
}

/// Judges some boxes; not when another replica does just that.
async fn judge(cloud: &Cloud, boxes: &[Uuid]) -> Result<bool> {
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    let mine = sqlx::query_scalar!("SELECT pg_try_advisory_xact_lock(hashtext('sent statuses')) AS \"mine!\"")
        .fetch_one(&mut *tx)
        .await?;
    if mine {
        status::refresh(&mut tx, &cloud.settings.fleet, cloud.clock.now(), boxes).await?;
    }
    tx.commit().await?;
    Ok(mine)
}

async fn end_commands(cloud: &Cloud) -> Result<()> {
    let now = cloud.clock.now();
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    sqlx::query!(
        "UPDATE commands SET state = 'expired', updated_at = $1
         WHERE state IN ('queued', 'delivered') AND expires_at <= $1",
        now.0
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Brings the roll-ups up to date with the points that came at least `settled` ago.
pub async fn roll_up(cloud: &Cloud, settled: Duration) -> Result<()> {
    loop {
        let mut tx = cloud.db.begin(Tenancy::All).await?;
        let taken = sqlx::query_scalar!(
            "SELECT sent_roll_up($1, make_interval(secs => $2)) AS \"taken!\"",
            RANGES,
            settled.as_secs_f64()
        )
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        if taken < RANGES {
            return Ok(());
        }
    }
}

/// Partitions ahead, retention, certificates.
async fn keep(cloud: &Cloud) -> Result<()> {
    let now = cloud.clock.now();
    let today = i32::try_from(now.0.div_euclid(86_400_000_000)).unwrap_or(0);
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    sqlx::query!("SELECT sent_maintain_points('1970-01-01'::date + $1::int)", today).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM sessions WHERE expires_at < $1", now.0).execute(&mut *tx).await?;
    sqlx::query!("DELETE FROM login_failures WHERE at < $1", now.plus_seconds(-86_400).0).execute(&mut *tx).await?;
    tx.commit().await?;
    let pruned = projector::prune(&cloud.db, cloud.settings.fleet.inbox_days, now).await?;
    if pruned > 0 {
        tracing::info!(pruned, "inbox transactions are past their retention");
    }
    cloud.renew_server_certificate()
}
