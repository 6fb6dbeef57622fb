//! The inbox into tables, in order, box by box.
//!
//! Any replica may project any box; the row lock on the box's place in `projections`, taken with SKIP LOCKED, makes it one
//! at a time, and the place moves in the transaction that writes the rows. A batch is folded and written set by set. When
//! that fails the batch is halved until the transaction at fault stands alone: that one goes to the visible quarantine and
//! the queue goes on. Each round begins with a full look at the database and takes no input, so a lost wake-up costs a
//! second and a crash costs nothing. While one batch is written the next of the same box is read and parsed ahead: what is
//! in the inbox never changes.
//!
//! A box may be newer than its cloud. Changes of tables the cloud does not know are left out and stay in the inbox; once a
//! newer cloud declares the table they are projected after all ([`later`]).

mod apply;
mod fold;
mod later;
mod prune;

use std::{sync::Arc, time::Duration};

use sent_core::Timestamp;
use sent_protocol::{Change, change};
use serde_json::value::RawValue;
use sqlx::Connection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use fold::{Edit, End, Fold, Misfit, Table, Tables};
pub use prune::prune;

use crate::{
    Cloud,
    db::{Tenancy, Tx},
    error::{Error, Result},
    fleet, live,
};
use apply::Origin;

/// Transactions in one batch.
const BATCH: i64 = 2_000;
/// Boxes that are found behind in one look; each is given one batch.
const LOOK: i64 = 64;
/// Bytes of changes in one batch, unless a single transaction has more.
const BATCH_BYTES: i64 = 8 << 20;
/// A wake-up that got lost costs at most this.
const POLL: Duration = Duration::from_secs(1);

/// Projects until `stop`.
pub async fn run(cloud: Arc<Cloud>, stop: CancellationToken) {
    let mut failures = 0_u32;
    let mut ahead = None;
    while !stop.is_cancelled() {
        let wait = match step(&cloud, &mut ahead).await {
            Ok(true) => {
                failures = 0;
                continue;
            }
            Ok(false) => {
                failures = 0;
                POLL
            }
            Err(error) => {
                failures = (failures + 1).min(5);
                tracing::warn!(%error, "projection paused");
                POLL * 2_u32.pow(failures)
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = cloud.inbox.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn step(cloud: &Arc<Cloud>, ahead: &mut Option<Ahead>) -> Result<bool> {
    Ok(round_with(cloud, ahead).await? || later::catch_up(cloud).await?)
}

/// A batch that is being read while others are written.
struct Ahead {
    box_id: Uuid,
    /// Epoch and sequence it follows.
    after: (i64, i64),
    reading: JoinHandle<Result<Batch>>,
}

/// One batch of some boxes that are behind; whether there were any.
pub async fn round(cloud: &Arc<Cloud>) -> Result<bool> {
    round_with(cloud, &mut None).await
}

/// The same, with what the round before read ahead.
async fn round_with(cloud: &Arc<Cloud>, ahead: &mut Option<Ahead>) -> Result<bool> {
    let behind = look(cloud).await?;
    // A box that is not behind any more was projected by another replica.
    ahead.take_if(|read| behind.iter().all(|(_, box_id)| *box_id != read.box_id));
    let (mut any, mut failed) = (false, None);
    for (organization, box_id) in behind {
        // What fails one box must not keep those after it waiting: the first error is told at the end.
        match advance(cloud, organization, box_id, ahead).await {
            Ok(moved) => any |= moved,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(any), Err)
}

/// Boxes that are behind, drawn by lot, so that no crowd of busy ones starves the others.
async fn look(cloud: &Cloud) -> Result<Vec<(Uuid, Uuid)>> {
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    let rows = sqlx::query!(
        "SELECT p.organization_id, p.box_id
         FROM projections p JOIN wire_cursors c USING (box_id)
         WHERE (p.epoch, p.sequence) < (c.epoch, c.sequence)
         ORDER BY random() LIMIT $1",
        LOOK
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(|row| (row.organization_id, row.box_id)).collect())
}

/// One batch of a box; whether there was one, and no other replica is at it.
async fn advance(cloud: &Arc<Cloud>, organization: Uuid, box_id: Uuid, ahead: &mut Option<Ahead>) -> Result<bool> {
    let mut tx = cloud.db.begin(Tenancy::One(organization)).await?;
    let place = sqlx::query!(
        "SELECT p.epoch, p.sequence, c.epoch AS head_epoch, c.sequence AS head_sequence
         FROM projections p JOIN wire_cursors c USING (box_id)
         WHERE box_id = $1 AND (p.epoch, p.sequence) < (c.epoch, c.sequence)
         FOR UPDATE OF p SKIP LOCKED",
        box_id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(place) = place else { return Ok(false) };
    let origin = Origin { organization, box_id, at: cloud.clock.now() };
    let after = (place.epoch, place.sequence);
    let batch = match ahead.take_if(|read| read.box_id == box_id) {
        Some(read) if read.after == after => read.reading.await.map_err(std::io::Error::other)??,
        _ => Batch { waiting: waiting(&mut tx, box_id, after).await?, folded: None },
    };
    let head = (place.head_epoch, place.head_sequence);
    // An epoch that has just begun has nothing to project yet.
    let end = batch.waiting.last().map_or(head, |last| (last.epoch, last.sequence));
    if end < head && ahead.is_none() {
        let reading = tokio::spawn(read_ahead(cloud.clone(), origin, end));
        *ahead = Some(Ahead { box_id, after: end, reading });
    }
    let tables = apply::tables(&mut tx).await?;
    project(&mut tx, &tables, origin, &batch.waiting, batch.folded).await?;
    sqlx::query!("UPDATE projections SET epoch = $2, sequence = $3 WHERE box_id = $1", box_id, end.0, end.1)
        .execute(&mut *tx)
        .await?;
    live::tell(&mut tx, organization, "fleet.entries", &serde_json::json!({"box": box_id})).await?;
    let answered = fleet::is_touched(&mut tx, organization).await?;
    tx.commit().await?;
    if answered {
        // The box whose proposals were taken waits for their answer, and the others for what changed.
        fleet::ring_all(cloud, organization).await;
    }
    Ok(true)
}

/// Projects until nothing is left, what had to wait for its table too.
pub async fn run_dry(cloud: &Arc<Cloud>) -> Result<()> {
    while step(cloud, &mut None).await? {}
    Ok(())
}

async fn read_ahead(cloud: Arc<Cloud>, origin: Origin, after: (i64, i64)) -> Result<Batch> {
    let mut tx = cloud.db.begin(Tenancy::One(origin.organization)).await?;
    let waiting = waiting(&mut tx, origin.box_id, after).await?;
    let tables = apply::tables(&mut tx).await?;
    tx.commit().await?;
    // What cannot be folded is judged when its turn comes.
    let folded = fold(&tables, &waiting).ok();
    Ok(Batch { waiting, folded })
}

/// Transactions to project, and what is left of them when that is known already.
struct Batch {
    waiting: Vec<Waiting>,
    folded: Option<Fold>,
}

/// A transaction out of the inbox.
struct Waiting {
    epoch: i64,
    sequence: i64,
    action: String,
    changes: String,
}

impl Waiting {
    fn parse(&self) -> Result<Vec<Change>> {
        let raw: &RawValue = serde_json::from_str(&self.changes)?;
        change::parse(raw).map_err(|e| Error::Stored(e.to_string()))
    }
}

async fn waiting(tx: &mut Tx, box_id: Uuid, (epoch, sequence): (i64, i64)) -> Result<Vec<Waiting>> {
    let rows = sqlx::query_as!(
        Waiting,
        "SELECT epoch, sequence, action, changes FROM (
             SELECT epoch, sequence, action, changes, sum(octet_length(changes)) OVER (ORDER BY epoch, sequence) AS bytes,
                    row_number() OVER (ORDER BY epoch, sequence) AS place
             FROM (SELECT * FROM inbox WHERE box_id = $1 AND (epoch, sequence) > ($2, $3)
                   ORDER BY epoch, sequence LIMIT $4) AS next) AS page
         WHERE bytes <= $5 OR place = 1
         ORDER BY epoch, sequence",
        box_id,
        epoch,
        sequence,
        BATCH,
        BATCH_BYTES
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(rows)
}

/// Writes transactions, halving what fails; the one at fault goes to quarantine. `folded` is what is left of all of them,
/// when that is known already.
async fn project(
    tx: &mut Tx,
    tables: &Tables,
    origin: Origin,
    all: &[Waiting],
    mut folded: Option<Fold>,
) -> Result<()> {
    let mut parts = vec![all];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        match attempt(tx, tables, origin, part, folded.take()).await {
            Ok(()) => {}
            Err(error) if !is_data_fault(&error) => return Err(error),
            Err(error) => match part {
                [alone] => quarantine(tx, origin, alone, &error).await?,
                several => {
                    let (first, second) = several.split_at(several.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
            },
        }
    }
    Ok(())
}

/// Writes transactions or leaves nothing of them.
async fn attempt(tx: &mut Tx, tables: &Tables, origin: Origin, part: &[Waiting], folded: Option<Fold>) -> Result<()> {
    let folded = folded.map_or_else(|| fold(tables, part), Ok)?;
    let mut savepoint = tx.begin().await?;
    let written = write(&mut savepoint, tables, origin, part, &folded).await;
    match written {
        Ok(()) => savepoint.commit().await?,
        Err(error) => {
            savepoint.rollback().await?;
            return Err(error);
        }
    }
    Ok(())
}

fn fold(tables: &Tables, part: &[Waiting]) -> Result<Fold> {
    let mut folded = Fold::default();
    for (place, waiting) in part.iter().enumerate() {
        folded.add(tables, place, waiting.parse()?).map_err(|e| Error::Stored(e.to_string()))?;
    }
    Ok(folded)
}

async fn write(tx: &mut Tx, tables: &Tables, origin: Origin, part: &[Waiting], folded: &Fold) -> Result<()> {
    apply::apply(tx, tables, origin, folded).await?;
    propose(tx, origin, part, folded).await?;
    for (table, place) in &folded.unknown {
        later::note(tx, origin, table, &part[*place]).await?;
    }
    Ok(())
}

async fn propose(tx: &mut Tx, origin: Origin, part: &[Waiting], folded: &Fold) -> Result<()> {
    for (place, edits) in &folded.proposals {
        let waiting = &part[*place];
        sqlx::query!(
            "SELECT sent_propose($1, $2, $3, $4, $5::text::jsonb, $6)",
            origin.box_id,
            origin.organization,
            waiting.epoch,
            waiting.sequence,
            serde_json::to_string(edits)?,
            origin.at.0
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Whether the transaction's content is at fault; otherwise the database is, and trying again later helps.
fn is_data_fault(error: &Error) -> bool {
    match error {
        Error::Stored(_) => true,
        Error::Database(sqlx::Error::Database(e)) => {
            // SQLSTATE classes: 08 connection, 25 and 42 a program or a schema that is not the other's (half a migration, a
            // missing grant), 40 serialisation and deadlock, 53 resources, 55 locks, 57 shutdown, 58 disk, XX PostgreSQL's
            // own. No text that a box sends can cause one of them.
            let passing = ["08", "25", "40", "42", "53", "55", "57", "58", "XX"];
            e.code().is_none_or(|code| !passing.iter().any(|class| code.starts_with(class)))
        }
        _ => false,
    }
}

async fn quarantine(tx: &mut Tx, origin: Origin, waiting: &Waiting, error: &Error) -> Result<()> {
    let cause = cause(error);
    tracing::warn!(
        box_id = %origin.box_id, epoch = waiting.epoch, sequence = waiting.sequence, cause,
        "transaction goes to quarantine"
    );
    sqlx::query!(
        "INSERT INTO quarantine (organization_id, box_id, epoch, sequence, action, error, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (box_id, epoch, sequence) DO UPDATE SET error = excluded.error",
        origin.organization,
        origin.box_id,
        waiting.epoch,
        waiting.sequence,
        waiting.action,
        cause,
        origin.at.0
    )
    .execute(&mut *tx)
    .await?;
    live::tell(tx, origin.organization, "fleet.quarantine", &serde_json::json!({"box": origin.box_id})).await
}

/// What a person reads beside a quarantined transaction.
fn cause(error: &Error) -> String {
    match error {
        Error::Stored(message) => message.clone(),
        Error::Database(sqlx::Error::Database(e)) => e.message().to_owned(),
        other => other.to_string(),
    }
}

/// What a retry came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It fits now.
    Projected,
    /// It still does not, and why.
    Failed(String),
}

/// Projects a quarantined transaction after all.
///
/// The queue went on without it, so it is folded together with everything later that touched the same rows: the rows end
/// where the box has them, not where this old transaction left them.
pub async fn retry(
    tx: &mut Tx,
    organization: Uuid,
    box_id: Uuid,
    epoch: i64,
    sequence: i64,
    at: Timestamp,
) -> Result<Retried> {
    let place = sqlx::query!("SELECT epoch, sequence FROM projections WHERE box_id = $1 FOR UPDATE", box_id)
        .fetch_one(&mut *tx)
        .await?;
    let tables = apply::tables(tx).await?;
    let origin = Origin { organization, box_id, at };
    let first = sqlx::query_as!(
        Waiting,
        "SELECT epoch, sequence, action, changes FROM inbox WHERE box_id = $1 AND epoch = $2 AND sequence = $3",
        box_id,
        epoch,
        sequence
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(first) = first else {
        return Ok(Retried::Failed("the transaction is past its retention in the inbox; skip it".to_owned()));
    };
    let mut folded = match fold(&tables, std::slice::from_ref(&first)) {
        Ok(folded) => folded,
        Err(error) => return Ok(Retried::Failed(cause(&error))),
    };
    let touched = folded.keys();
    let mut after = (epoch, sequence);
    loop {
        let later = waiting(tx, box_id, after).await?;
        let Some(last) = later.last() else { break };
        after = (last.epoch, last.sequence);
        for next in later.iter().filter(|n| (n.epoch, n.sequence) <= (place.epoch, place.sequence)) {
            // What cannot be read is in quarantine itself.
            let Ok(changes) = next.parse() else { continue };
            let same = changes.into_iter().filter(|c| {
                tables.get(&c.table).is_some_and(|t| {
                    t.is_up
                        && fold::key_of(t, c)
                            .is_ok_and(|key| touched.get(&c.table).is_some_and(|keys| keys.contains(&key)))
                })
            });
            folded.add(&tables, 0, same.collect()).map_err(|e| Error::Stored(e.to_string()))?;
        }
        if after >= (place.epoch, place.sequence) {
            break;
        }
    }
    let mut savepoint = tx.begin().await?;
    match write(&mut savepoint, &tables, origin, std::slice::from_ref(&first), &folded).await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(Retried::Projected)
        }
        Err(error) if is_data_fault(&error) => {
            savepoint.rollback().await?;
            Ok(Retried::Failed(cause(&error)))
        }
        Err(error) => Err(error),
    }
}
