//! Business rows into the inbox.
//!
//! One PostgreSQL transaction: the box's cursor row is locked, what is there already is skipped, a gap, a fork or another
//! epoch is refused with the cursor, the chain is verified, the rest is appended in one statement, the cursor moves. What
//! the changes mean is the projector's matter: a transaction that cannot be projected is accepted all the same.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use sent_protocol::{Batch, Cursor, Head, Refusal, TelemetryCursor, Transaction, chain::BrokenLink, code};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::caller::{Answer, Caller, Whole, off_thread};
use crate::{
    Cloud,
    db::{Tx, to_i64, to_u64},
    error::{Error, Fault, Result},
    text,
};

/// `POST /wire/v1/transactions`.
pub async fn receive(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Whole) -> Result<Answer<Cursor>, Fault> {
    let batch: Batch = body.json().await?;
    let mut tx = caller.begin(&cloud).await?;
    let cursor = lock_cursor(&mut tx, caller.box_id).await?;
    if batch.epoch != cursor.epoch {
        let code = if batch.epoch < cursor.epoch { code::OLD_EPOCH } else { code::UNKNOWN_EPOCH };
        return Err(refuse(code, format!("the cloud stands in epoch {}", cursor.epoch), cursor));
    }
    if let Some(stranger) = batch.transactions.iter().find(|t| t.organization_id != caller.organization) {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            "wrong_organization",
            format!("transaction {} belongs to another organisation than this box", stranger.sequence),
        ));
    }
    let known = batch.transactions.iter().take_while(|t| t.sequence <= cursor.sequence).count();
    if let Some(last) = known.checked_sub(1).map(|i| &batch.transactions[i])
        && !is_ours(&mut tx, caller.box_id, &cursor, last).await?
    {
        return Err(refuse(code::FORK, format!("transaction {} is not the one the cloud has", last.sequence), cursor));
    }
    let box_id = caller.box_id;
    let checked = off_thread(move || {
        let mut transactions = batch.transactions;
        let new = transactions.split_off(known);
        let head = verify(&transactions, &new, box_id, cursor)?;
        Ok((Rows::of(&new)?, new.last().map(|t| t.at), head))
    });
    let (rows, made_at, head) = checked.await?;
    if rows.sequence.is_empty() {
        return Ok(Answer(cursor));
    }
    let now = cloud.clock.now();
    append(&mut tx, &caller, head.epoch, &rows, now.0).await?;
    sqlx::query!(
        "UPDATE wire_cursors SET sequence = $2, hash = $3 WHERE box_id = $1",
        box_id,
        to_i64(head.sequence)?,
        head.hash.to_string()
    )
    .execute(&mut *tx)
    .await?;
    // The box's clock may be wrong; a negative lag would say more about it than about the wire.
    let lag = made_at.map(|at| now.0.saturating_sub(at).max(0));
    sqlx::query!("UPDATE box_states SET lag_micros = $2 WHERE box_id = $1", box_id, lag).execute(&mut *tx).await?;
    sqlx::query!("SELECT pg_notify('sent_inbox', '')").execute(&mut *tx).await?;
    tx.commit().await?;
    cloud.inbox.notify_one();
    Ok(Answer(Cursor { epoch: head.epoch, sequence: head.sequence, hash: head.hash, telemetry: cursor.telemetry }))
}

/// The box's cursor, locked until the end of the transaction.
pub async fn lock_cursor(tx: &mut Tx, box_id: Uuid) -> Result<Cursor> {
    let row = sqlx::query!(
        "SELECT epoch, sequence, hash, telemetry_epoch, telemetry_segment FROM wire_cursors WHERE box_id = $1 FOR UPDATE",
        box_id
    )
    .fetch_one(&mut *tx)
    .await?;
    Ok(Cursor {
        epoch: to_u64(row.epoch),
        sequence: to_u64(row.sequence),
        hash: row.hash.parse().map_err(|_| Error::Stored("a cursor's hash".to_owned()))?,
        telemetry: TelemetryCursor { epoch: to_u64(row.telemetry_epoch), segment: to_u64(row.telemetry_segment) },
    })
}

/// A 409 that tells where the cloud stands.
pub fn refuse(code: &str, message: String, cursor: Cursor) -> Fault {
    Fault::Refused(Refusal { code: code.to_owned(), message, cursor })
}

/// Whether a transaction that should be known is the one the inbox has.
async fn is_ours(tx: &mut Tx, box_id: Uuid, cursor: &Cursor, last: &Transaction) -> Result<bool> {
    if last.sequence == cursor.sequence {
        return Ok(last.hash == cursor.hash);
    }
    let hash = sqlx::query_scalar!(
        "SELECT hash FROM inbox WHERE box_id = $1 AND epoch = $2 AND sequence = $3",
        box_id,
        to_i64(cursor.epoch)?,
        to_i64(last.sequence)?
    )
    .fetch_optional(&mut *tx)
    .await?;
    // Past its retention nothing is left to compare with; the chain behind it still is.
    Ok(hash.is_none_or(|hash| hash == last.hash.to_string()))
}

/// Verifies the links among what is skipped, and from the cursor to the end of what is new.
fn verify(known: &[Transaction], new: &[Transaction], box_id: Uuid, cursor: Cursor) -> Result<Head, Fault> {
    for pair in known.windows(2) {
        if pair[1].previous_hash != pair[0].hash || pair[1].sequence != pair[0].sequence + 1 {
            return Err(refuse(code::FORK, "the batch does not hang together".to_owned(), cursor));
        }
    }
    let mut head = cursor.head();
    for transaction in new {
        head = transaction.follow(box_id, head).map_err(|broken| match broken {
            BrokenLink::Sequence { .. } => refuse(code::GAP, broken.to_string(), cursor),
            BrokenLink::Fork { .. } => refuse(code::FORK, broken.to_string(), cursor),
            BrokenLink::Content { .. } => Fault::malformed(broken),
        })?;
    }
    Ok(head)
}

/// A batch in columns, as UNNEST takes it.
#[derive(Default)]
struct Rows {
    sequence: Vec<i64>,
    hash: Vec<String>,
    action: Vec<String>,
    made_at: Vec<i64>,
    header: Vec<String>,
    changes: Vec<String>,
}

impl Rows {
    fn of(transactions: &[Transaction]) -> Result<Self, Fault> {
        let mut rows = Self::default();
        for t in transactions {
            rows.sequence.push(to_i64(t.sequence)?);
            rows.hash.push(t.hash.to_string());
            rows.action.push(text::line(&t.action));
            rows.made_at.push(t.at);
            rows.header.push(header(t)?);
            rows.changes.push(t.changes.get().to_owned());
        }
        Ok(rows)
    }
}

fn header(transaction: &Transaction) -> Result<String> {
    let mut bare = transaction.clone();
    bare.changes = RawValue::from_string("null".to_owned())?;
    Ok(serde_json::to_string(&bare)?)
}

/// A transaction as it came, out of its two stored parts.
pub fn restore(header: &str, changes: String) -> Result<Transaction> {
    let mut transaction: Transaction = serde_json::from_str(header)?;
    transaction.changes = RawValue::from_string(changes)?;
    Ok(transaction)
}

async fn append(tx: &mut Tx, caller: &Caller, epoch: u64, rows: &Rows, now: i64) -> Result<()> {
    sqlx::query!(
        "INSERT INTO inbox (organization_id, box_id, epoch, received_at, sequence, hash, action, made_at, header, changes)
         SELECT $1, $2, $3, $4, r.* FROM unnest($5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[]) AS r",
        caller.organization,
        caller.box_id,
        to_i64(epoch)?,
        now,
        &rows.sequence,
        &rows.hash,
        &rows.action,
        &rows.made_at,
        &rows.header,
        &rows.changes
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
