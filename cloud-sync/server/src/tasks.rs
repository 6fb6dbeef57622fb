//! What runs beside the requests: each task is a full look at the database that takes no input, so any replica may run it,
//! two may run it at once, and one that was missed is made up for by the next.

use std::{future::Future, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{Cloud, db::Tenancy, error::Result, projector, status};

/// Contacts and statuses.
const PULSE: Duration = Duration::from_secs(5);
/// Roll-ups of fresh points.
const ROLL_UP: Duration = Duration::from_secs(5);
/// Partitions, retention, what has expired.
const KEEPING: Duration = Duration::from_secs(3600);
/// Dirty ranges of one roll-up transaction.
const RANGES: i32 = 200;

/// Runs all of them until `stop`.
pub async fn run(cloud: Arc<Cloud>, stop: CancellationToken) {
    let c = &cloud;
    tokio::join!(
        every("status", PULSE, &stop, || look(c)),
        every("roll-up", ROLL_UP, &stop, || roll_up(c)),
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
    let now = cloud.clock.now();
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    // One replica at a time is enough; the others leave it to that one.
    let mine = sqlx::query_scalar!("SELECT pg_try_advisory_xact_lock(hashtext('sent statuses')) AS \"mine!\"")
        .fetch_one(&mut *tx)
        .await?;
    if !mine {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE commands SET state = 'expired', updated_at = $1
         WHERE state IN ('queued', 'delivered') AND expires_at <= $1",
        now.0
    )
    .execute(&mut *tx)
    .await?;
    status::refresh(&mut tx, &cloud.settings.fleet, now, None).await?;
    tx.commit().await?;
    Ok(())
}

/// Brings the roll-ups up to date.
pub async fn roll_up(cloud: &Cloud) -> Result<()> {
    loop {
        let mut tx = cloud.db.begin(Tenancy::All).await?;
        let taken = sqlx::query_scalar!("SELECT sent_roll_up($1) AS \"taken!\"", RANGES).fetch_one(&mut *tx).await?;
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
