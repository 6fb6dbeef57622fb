//! Cloud-owned rows, handed down as checkpoints.
//!
//! Versions become visible in the order they were given (the counter's row lock is held until commit), so "everything
//! after V" is complete at any moment. A page ends where a version ends, because all rows of one transaction share a
//! version: a box that has applied a checkpoint stands at a state the cloud was in.

use std::sync::Arc;

use axum::extract::{Query, State, rejection::QueryRejection};
use sent_protocol::{Checkpoint, ReferenceRow, RefusedEdit, limits};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::caller::{Answer, Caller};
use crate::{
    Cloud,
    db::{to_i64, to_u64},
    error::{Error, Fault, Result},
};

/// `?after=`.
#[derive(Debug, Default, Deserialize)]
pub struct After {
    /// Version the box stands at; 0 for a whole copy.
    #[serde(default)]
    after: u64,
}

/// `GET /wire/v1/reference`.
pub async fn checkpoint(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Answer<Checkpoint>, Fault> {
    let Query(After { after }) = after.map_err(|e| Fault::malformed(e.body_text()))?;
    let mut tx = caller.begin(&cloud).await?;
    let head =
        sqlx::query_scalar!("SELECT version FROM reference_heads WHERE organization_id = $1", caller.organization)
            .fetch_optional(&mut *tx)
            .await?
            .unwrap_or(0);
    // A box that stands beyond the cloud has met a cloud that was restored: it takes a whole copy.
    let from = if after > to_u64(head) { 0 } else { after };
    let to = page_end(&mut tx, &caller, from, head).await?;
    let rows = sqlx::query!(
        "SELECT table_name, key, version, deleted, row FROM reference_current
         WHERE organization_id = $1 AND version > $2 AND version <= $3
         ORDER BY version, table_name, key",
        caller.organization,
        to_i64(from)?,
        to
    )
    .fetch_all(&mut *tx)
    .await?;
    let refused = refused(&mut tx, &caller, from, to).await?;
    tx.commit().await?;
    let rows = rows
        .into_iter()
        .map(|row| {
            Ok(ReferenceRow {
                organization_id: caller.organization,
                table: row.table_name,
                key: object(row.key)?,
                version: row.version,
                deleted: row.deleted,
                row: row.row.map(object).transpose()?.unwrap_or_default(),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Answer(Checkpoint { from, to: to_u64(to), complete: to == head, rows, refused }))
}

/// The version a page after `from` ends at: the one its last row has, and all of that one.
async fn page_end(tx: &mut crate::db::Tx, caller: &Caller, from: u64, head: i64) -> Result<i64> {
    let cut = sqlx::query_scalar!(
        "SELECT version FROM reference_current WHERE organization_id = $1 AND version > $2 AND version <= $3
         ORDER BY version OFFSET $4 LIMIT 1",
        caller.organization,
        to_i64(from)?,
        head,
        limits::CHECKPOINT_ROWS as i64 - 1
    )
    .fetch_optional(&mut *tx)
    .await?;
    Ok(cut.unwrap_or(head))
}

/// The box's edits whose refusal lies in this page: it hears of each with the row that answers it.
async fn refused(tx: &mut crate::db::Tx, caller: &Caller, from: u64, to: i64) -> Result<Vec<RefusedEdit>> {
    let rows = sqlx::query!(
        "SELECT table_name, key, cause, decided_by AS \"by!\", decided_at AS \"at!\" FROM proposals
         WHERE box_id = $1 AND state = 'refused' AND answered > $2 AND answered <= $3
         ORDER BY answered DESC, id DESC LIMIT $4",
        caller.box_id,
        to_i64(from)?,
        to,
        limits::CHECKPOINT_REFUSED as i64
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(RefusedEdit {
                organization_id: caller.organization,
                table: row.table_name,
                key: object(row.key)?,
                cause: row.cause,
                by: row.by,
                at: row.at,
            })
        })
        .collect()
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(Error::Stored(format!("a reference row is no object: {other}"))),
    }
}
