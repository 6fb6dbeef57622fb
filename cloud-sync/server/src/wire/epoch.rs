//! Where the cloud stands, and new epochs.
//!
//! A box begins an epoch when it is new and after every restore, and says up to where it still has its history. What is
//! judged and what counts as lost is `sent_protocol::cursor`'s; here it is looked up and carried out under the lock of the
//! box's cursor. What the box has lost is worked out once, when the epoch begins, and given back page by page; the box
//! applies it again under the new epoch. Nothing is removed here: rows keyed alike simply come again.

use std::sync::Arc;

use axum::extract::State;
use sent_protocol::{
    Cursor, EpochAnswer, EpochStart, Hash, Position, Transaction, code,
    cursor::{EpochRecord, EpochVerdict, judge_epoch, lineage},
    limits,
};

use super::{
    caller::{Answer, Caller, Whole},
    transactions::{lock_cursor, refuse, restore},
};
use crate::{
    Cloud,
    db::{Tx, to_i64, to_u64},
    error::{Error, Fault, Result},
};

/// Bytes of changes in one page of what is given back.
const LOST_BYTES: usize = limits::BATCH;

/// `GET /wire/v1/cursor`.
pub async fn cursor(State(cloud): State<Arc<Cloud>>, caller: Caller) -> Result<Answer<Cursor>, Fault> {
    let mut tx = caller.begin(&cloud).await?;
    let cursor = lock_cursor(&mut tx, caller.box_id).await?;
    tx.commit().await?;
    Ok(Answer(cursor))
}

/// `POST /wire/v1/epoch`.
pub async fn start(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Whole) -> Result<Answer<EpochAnswer>, Fault> {
    let start: EpochStart = body.json().await?;
    let mut tx = caller.begin(&cloud).await?;
    let mut cursor = lock_cursor(&mut tx, caller.box_id).await?;
    let point = Position { epoch: start.previous_epoch, sequence: start.previous_sequence };
    let epochs = epochs(&mut tx, &caller).await?;
    let current = epochs.iter().find(|e| e.epoch == cursor.epoch);
    let known = hash_at(&mut tx, &caller, &cursor, point).await?;
    let pruned = pruned(&mut tx, &caller).await?;
    match judge_epoch(&cursor, current, known, &start) {
        EpochVerdict::Continue => {}
        // Before the other refusals: what is gone from the inbox is unknown here, which would be no help to anybody.
        _ if start.epoch > cursor.epoch && point < pruned => {
            return Err(refuse(code::TOO_OLD, too_old(cloud.settings.fleet.inbox_days), cursor));
        }
        EpochVerdict::Refuse(refusal) => return Err(Fault::Refused(refusal)),
        EpochVerdict::Begin(record) => {
            begin(&mut tx, &cloud, &caller, &epochs, record).await?;
            cursor = Cursor { epoch: record.epoch, sequence: 0, hash: Hash::ZERO, ..cursor };
        }
    }
    let (lost, next) = lost(&mut tx, &caller, start.epoch, start.after.unwrap_or_default()).await?;
    tx.commit().await?;
    Ok(Answer(EpochAnswer { cursor, lost, next }))
}

fn too_old(days: u32) -> String {
    format!(
        "this backup is older than the {days} days of transactions the cloud keeps, so what came after it cannot be given \
         back whole; restore a newer one, or enrol this machine as a new box"
    )
}

/// What the cloud was told of the box's epochs.
async fn epochs(tx: &mut Tx, caller: &Caller) -> Result<Vec<EpochRecord>> {
    let rows = sqlx::query!(
        "SELECT epoch, token, coalesce(restored_from, 0) AS \"from!\", coalesce(restored_to, 0) AS \"to!\"
         FROM box_epochs WHERE box_id = $1 ORDER BY epoch",
        caller.box_id
    )
    .fetch_all(&mut *tx)
    .await?;
    let record = |epoch, token, from, to| EpochRecord {
        epoch: to_u64(epoch),
        token,
        previous: Position { epoch: to_u64(from), sequence: to_u64(to) },
    };
    Ok(rows.into_iter().map(|r| record(r.epoch, r.token, r.from, r.to)).collect())
}

/// The hash the cloud has at a position. Of the last transaction it is known for ever, of others while the inbox has them.
async fn hash_at(tx: &mut Tx, caller: &Caller, cursor: &Cursor, at: Position) -> Result<Option<Hash>> {
    if (at.epoch, at.sequence) == (cursor.epoch, cursor.sequence) {
        return Ok(Some(cursor.hash));
    }
    let hash = sqlx::query_scalar!(
        "SELECT hash FROM inbox WHERE box_id = $1 AND epoch = $2 AND sequence = $3",
        caller.box_id,
        to_i64(at.epoch)?,
        to_i64(at.sequence)?
    )
    .fetch_optional(&mut *tx)
    .await?;
    hash.map(|hash| hash.parse().map_err(|_| Error::Stored("a transaction's hash".to_owned()))).transpose()
}

/// Up to where the inbox no longer has anything.
async fn pruned(tx: &mut Tx, caller: &Caller) -> Result<Position> {
    let row = sqlx::query!("SELECT pruned_epoch, pruned_sequence FROM wire_cursors WHERE box_id = $1", caller.box_id)
        .fetch_one(&mut *tx)
        .await?;
    Ok(Position { epoch: to_u64(row.pruned_epoch), sequence: to_u64(row.pruned_sequence) })
}

/// Begins an epoch. The place of telemetry stays that of the epoch before, until the first segment of the new one: a box
/// whose last answer was lost learns from it that its segment is here.
async fn begin(tx: &mut Tx, cloud: &Cloud, caller: &Caller, epochs: &[EpochRecord], record: EpochRecord) -> Result<()> {
    let given_back = list_lost(tx, caller, epochs, &record).await?;
    let EpochRecord { epoch, token, previous } = record;
    let restored = previous.epoch > 0;
    sqlx::query!(
        "INSERT INTO box_epochs (organization_id, box_id, epoch, token, started_at, restored_from, restored_to, given_back)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        caller.organization,
        caller.box_id,
        to_i64(epoch)?,
        token,
        cloud.clock.now().0,
        restored.then_some(to_i64(previous.epoch)?),
        restored.then_some(to_i64(previous.sequence)?),
        to_i64(given_back)?
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE wire_cursors SET epoch = $2, sequence = 0, hash = $3 WHERE box_id = $1",
        caller.box_id,
        to_i64(epoch)?,
        Hash::ZERO.to_string()
    )
    .execute(&mut *tx)
    .await?;
    if restored {
        tracing::warn!(box_id = %caller.box_id, epoch, given_back, "box was restored and begins a new epoch");
    }
    Ok(())
}

/// Works out what the box has lost: transactions outside the history that ends where it was restored to, whose identity is
/// not in that history, each identity once. Answers how many.
async fn list_lost(tx: &mut Tx, caller: &Caller, epochs: &[EpochRecord], record: &EpochRecord) -> Result<u64> {
    let past = lineage(epochs, record.previous);
    let within = past.iter().map(|p| to_i64(p.epoch)).collect::<Result<Vec<_>>>()?;
    let up_to = past.iter().map(|p| to_i64(p.sequence)).collect::<Result<Vec<_>>>()?;
    sqlx::query!("DELETE FROM box_lost WHERE box_id = $1", caller.box_id).execute(&mut *tx).await?;
    let listed = sqlx::query!(
        "INSERT INTO box_lost (organization_id, box_id, epoch, lost_epoch, lost_sequence)
         SELECT $1, $2, $3, lost.first[1], lost.first[2] FROM (
             SELECT min(ARRAY[i.epoch, i.sequence]) AS first
             FROM inbox i LEFT JOIN unnest($4::bigint[], $5::bigint[]) AS p (epoch, sequence) ON p.epoch = i.epoch
             WHERE i.box_id = $2 AND i.epoch < $3
             GROUP BY coalesce(i.origin, i.hash)
             HAVING NOT bool_or(p.epoch IS NOT NULL AND i.sequence <= p.sequence)) AS lost",
        caller.organization,
        caller.box_id,
        to_i64(record.epoch)?,
        &within,
        &up_to
    )
    .execute(&mut *tx)
    .await?;
    Ok(listed.rows_affected())
}

/// One page of what was lost after a position, and where the next begins.
async fn lost(
    tx: &mut Tx,
    caller: &Caller,
    epoch: u64,
    after: Position,
) -> Result<(Vec<Transaction>, Option<Position>)> {
    let rows = sqlx::query!(
        "SELECT epoch AS \"epoch!\", sequence AS \"sequence!\", header AS \"header!\", changes AS \"changes!\",
                more AS \"more!\" FROM (
             SELECT i.epoch, i.sequence, i.header, i.changes, sum(length(i.changes)) OVER w AS bytes, row_number() OVER w AS place,
                    lead(true, 1, false) OVER w AS more
             FROM (SELECT lost_epoch, lost_sequence FROM box_lost
                   WHERE box_id = $1 AND epoch = $2 AND (lost_epoch, lost_sequence) > ($3, $4)
                   ORDER BY lost_epoch, lost_sequence LIMIT $5) AS l
             JOIN inbox i ON i.box_id = $1 AND i.epoch = l.lost_epoch AND i.sequence = l.lost_sequence
             WINDOW w AS (ORDER BY i.epoch, i.sequence)) AS page
         WHERE (bytes <= $6 OR place = 1) AND place <= $7
         ORDER BY epoch, sequence",
        caller.box_id,
        to_i64(epoch)?,
        to_i64(after.epoch)?,
        to_i64(after.sequence)?,
        // One more than a page holds: whether something follows.
        limits::LOST_TRANSACTIONS as i64 + 1,
        LOST_BYTES as i64,
        limits::LOST_TRANSACTIONS as i64
    )
    .fetch_all(&mut *tx)
    .await?;
    let next = rows
        .last()
        .filter(|last| last.more)
        .map(|last| Position { epoch: to_u64(last.epoch), sequence: to_u64(last.sequence) });
    let lost = rows.into_iter().map(|row| restore(&row.header, row.changes)).collect::<Result<Vec<_>>>()?;
    Ok((lost, next))
}
