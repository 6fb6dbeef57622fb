//! Business rows into the inbox.
//!
//! One PostgreSQL transaction: the box's cursor row is locked, `sent_protocol::cursor::judge_batch` verifies the chain and
//! says what is new or why nothing is taken, what is new is appended in one statement, the cursor moves. What the changes
//! mean is the projector's matter: a transaction that cannot be projected is accepted all the same.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use sent_protocol::{
    Batch, Cursor, Refusal, TelemetryCursor, Transaction,
    cursor::{BatchVerdict, judge_batch},
};
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
    if let Some(stranger) = batch.transactions.iter().find(|t| t.organization_id != caller.organization) {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            "wrong_organization",
            format!("transaction {} belongs to another organisation than this box", stranger.sequence),
        ));
    }
    let mut tx = caller.begin(&cloud).await?;
    let cursor = lock_cursor(&mut tx, caller.box_id).await?;
    let box_id = caller.box_id;
    let judged = off_thread(move || match judge_batch(box_id, &cursor, &batch) {
        BatchVerdict::Accept { from, head } => {
            let new = &batch.transactions[from..];
            Ok(Some((Rows::of(new)?, new.last().map(|t| t.at), head)))
        }
        BatchVerdict::Known => Ok(None),
        BatchVerdict::Refuse(refusal) => Err(Fault::Refused(refusal)),
    });
    let Some((rows, made_at, head)) = judged.await? else { return Ok(Answer(cursor)) };
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

/// A batch in columns, as UNNEST takes it.
#[derive(Default)]
struct Rows {
    sequence: Vec<i64>,
    hash: Vec<String>,
    origin: Vec<Option<String>>,
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
            rows.origin.push(t.origin.map(|origin| origin.to_string()));
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
        "INSERT INTO inbox (organization_id, box_id, epoch, received_at, sequence, hash, origin, action, made_at, header, changes)
         SELECT $1, $2, $3, $4, r.*
         FROM unnest($5::bigint[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[], $11::text[]) AS r",
        caller.organization,
        caller.box_id,
        to_i64(epoch)?,
        now,
        &rows.sequence,
        &rows.hash,
        &rows.origin as &[Option<String>],
        &rows.action,
        &rows.made_at,
        &rows.header,
        &rows.changes
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}
