//! Where the cloud stands, and new epochs.
//!
//! A box begins an epoch when it is new and after every restore, and says up to where it still has its history. What the
//! cloud has beyond that point it gives back, page by page; the box applies it again under the new epoch. Nothing is
//! removed here: rows keyed alike simply come again.

use std::sync::Arc;

use axum::extract::State;
use sent_protocol::{Cursor, EpochAnswer, EpochStart, Hash, Position, TelemetryCursor, code, limits};

use super::{
    caller::{Answer, Caller, Whole},
    transactions::{lock_cursor, refuse, restore},
};
use crate::{
    Cloud,
    db::{Tx, to_i64, to_u64},
    error::{Fault, Result},
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
    if start.previous_epoch >= start.epoch {
        return Err(Fault::malformed("an epoch comes after the one before it"));
    }
    let mut tx = caller.begin(&cloud).await?;
    let mut cursor = lock_cursor(&mut tx, caller.box_id).await?;
    if start.epoch == cursor.epoch {
        let token = sqlx::query_scalar!(
            "SELECT token FROM box_epochs WHERE box_id = $1 AND epoch = $2",
            caller.box_id,
            to_i64(start.epoch)?
        )
        .fetch_optional(&mut *tx)
        .await?;
        if token != Some(start.token) {
            return Err(refuse(code::OLD_EPOCH, "another restore has taken this epoch".to_owned(), cursor));
        }
    } else if start.epoch < cursor.epoch {
        return Err(refuse(code::OLD_EPOCH, format!("the cloud stands in epoch {}", cursor.epoch), cursor));
    } else {
        if !is_on_the_chain(&mut tx, &caller, &start).await? {
            let message = "the cloud has another history up to that point".to_owned();
            return Err(refuse(code::FORK, message, cursor));
        }
        cursor = begin(&mut tx, &cloud, &caller, &start).await?;
    }
    let after = start.after.unwrap_or(Position { epoch: start.previous_epoch, sequence: start.previous_sequence });
    let (lost, next) = lost(&mut tx, &caller, start.epoch, after).await?;
    tx.commit().await?;
    Ok(Answer(EpochAnswer { cursor, lost, next }))
}

/// Whether the box's history up to the restored point is the cloud's. What the cloud never had, or no longer has, cannot
/// contradict it.
async fn is_on_the_chain(tx: &mut Tx, caller: &Caller, start: &EpochStart) -> Result<bool> {
    if start.previous_sequence == 0 {
        return Ok(true);
    }
    let known = sqlx::query_scalar!(
        "SELECT hash FROM inbox WHERE box_id = $1 AND epoch = $2 AND sequence = $3",
        caller.box_id,
        to_i64(start.previous_epoch)?,
        to_i64(start.previous_sequence)?
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(known.is_none_or(|hash| hash == start.hash.to_string()))
}

async fn begin(tx: &mut Tx, cloud: &Cloud, caller: &Caller, start: &EpochStart) -> Result<Cursor> {
    let given_back = sqlx::query_scalar!(
        "SELECT count(*) AS \"count!\" FROM inbox WHERE box_id = $1 AND (epoch, sequence) > ($2, $3)",
        caller.box_id,
        to_i64(start.previous_epoch)?,
        to_i64(start.previous_sequence)?
    )
    .fetch_one(&mut *tx)
    .await?;
    let restored = start.previous_epoch > 0;
    sqlx::query!(
        "INSERT INTO box_epochs (organization_id, box_id, epoch, token, started_at, restored_from, restored_to, given_back)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        caller.organization,
        caller.box_id,
        to_i64(start.epoch)?,
        start.token,
        cloud.clock.now().0,
        restored.then_some(to_i64(start.previous_epoch)?),
        restored.then_some(to_i64(start.previous_sequence)?),
        given_back
    )
    .execute(&mut *tx)
    .await?;
    let epoch = to_i64(start.epoch)?;
    sqlx::query!(
        "UPDATE wire_cursors SET epoch = $2, sequence = 0, hash = $3, telemetry_epoch = $2, telemetry_segment = 0
         WHERE box_id = $1",
        caller.box_id,
        epoch,
        Hash::ZERO.to_string()
    )
    .execute(&mut *tx)
    .await?;
    if restored {
        tracing::warn!(box_id = %caller.box_id, epoch, given_back, "box was restored and begins a new epoch");
    }
    Ok(Cursor {
        epoch: start.epoch,
        sequence: 0,
        hash: Hash::ZERO,
        telemetry: TelemetryCursor { epoch: start.epoch, segment: 0 },
    })
}

/// One page of what lies beyond `after`, and where the next begins.
async fn lost(
    tx: &mut Tx,
    caller: &Caller,
    epoch: u64,
    after: Position,
) -> Result<(Vec<sent_protocol::Transaction>, Option<Position>)> {
    let most = limits::LOST_TRANSACTIONS;
    let rows = sqlx::query!(
        "SELECT epoch, sequence, header, changes FROM (
             SELECT epoch, sequence, header, changes, sum(length(changes)) OVER (ORDER BY epoch, sequence) AS bytes,
                    row_number() OVER (ORDER BY epoch, sequence) AS place
             FROM inbox WHERE box_id = $1 AND (epoch, sequence) > ($2, $3) AND epoch < $4
             ORDER BY epoch, sequence LIMIT $5) AS page
         WHERE bytes <= $6 OR place = 1
         ORDER BY epoch, sequence",
        caller.box_id,
        to_i64(after.epoch)?,
        to_i64(after.sequence)?,
        to_i64(epoch)?,
        most as i64,
        LOST_BYTES as i64
    )
    .fetch_all(&mut *tx)
    .await?;
    let end = rows.last().map(|r| Position { epoch: to_u64(r.epoch), sequence: to_u64(r.sequence) });
    let mut lost = Vec::with_capacity(rows.len());
    for row in rows {
        lost.push(restore(&row.header, row.changes)?);
    }
    let Some(end) = end else { return Ok((lost, None)) };
    let more = sqlx::query_scalar!(
        "SELECT EXISTS (SELECT FROM inbox WHERE box_id = $1 AND (epoch, sequence) > ($2, $3) AND epoch < $4) AS \"more!\"",
        caller.box_id,
        to_i64(end.epoch)?,
        to_i64(end.sequence)?,
        to_i64(epoch)?
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok((lost, more.then_some(end)))
}
