//! What waits for a person: quarantined transactions and proposals of branches.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use sent_contract::{
    Page,
    fleet::{Proposal, Quarantined, Skip},
    identity::Named,
};
use sent_core::{Problem, Scope};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer, filter,
    page::{limit, page},
};
use crate::{
    Cloud,
    audit::Change,
    db::{self, Tenancy, to_u64},
    error::Result,
    fleet, live,
    projector::{self, Retried},
    status,
};

/// `?state=&box=&after=&limit=`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    state: Option<String>,
    #[serde(rename = "box")]
    box_id: Option<Uuid>,
    after: Option<i64>,
    limit: Option<i64>,
}

impl Waiting {
    fn state(&self) -> Option<String> {
        self.state.clone().filter(|s| !s.is_empty())
    }
}

/// `GET /api/fleet/quarantine`.
pub async fn quarantine(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(asked): Query<Waiting>,
) -> Answer<Page<Quarantined>> {
    let most = limit(asked.limit);
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT q.id, q.box_id, b.name AS box_name, q.organization_id, o.name AS organization, q.epoch, q.sequence, q.action,
                q.error, q.state, q.at, q.reason, i.changes AS \"changes?\"
         FROM quarantine q
         JOIN boxes b ON b.id = q.box_id
         JOIN organizations o ON o.organization_id = q.organization_id
         LEFT JOIN inbox i ON i.box_id = q.box_id AND i.epoch = q.epoch AND i.sequence = q.sequence
         WHERE ($1::text IS NULL OR q.state = $1) AND ($2::bigint IS NULL OR q.id < $2)
           AND ($3::uuid IS NULL OR q.box_id = $3)
         ORDER BY q.id DESC LIMIT $4",
        asked.state(),
        asked.after,
        asked.box_id,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let items = rows
        .into_iter()
        .map(|row| Quarantined {
            id: row.id,
            box_ref: Named { id: row.box_id, name: row.box_name },
            organization: Named { id: row.organization_id, name: row.organization },
            epoch: to_u64(row.epoch),
            sequence: to_u64(row.sequence),
            action: row.action,
            error: row.error,
            state: row.state,
            at: row.at,
            // What is no JSON, or past its retention, is shown as nothing.
            changes: row.changes.and_then(|c| serde_json::from_str(&c).ok()).map_or(Value::Null, hide_secrets),
            reason: row.reason,
        })
        .collect();
    Ok(Json(page(items, most, |q: &Quarantined| q.id.to_string())))
}

struct Held {
    organization_id: Uuid,
    box_id: Uuid,
    epoch: i64,
    sequence: i64,
}

/// The transaction, locked, if it still waits.
async fn held(tx: &mut db::Tx, id: i64) -> Result<Held> {
    sqlx::query_as!(
        Held,
        "SELECT organization_id, box_id, epoch, sequence FROM quarantine WHERE id = $1 AND state = 'open' FOR UPDATE",
        id
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Problem::not_found("transaction that waits in quarantine").into())
}

/// `POST /api/fleet/quarantine/{id}/retry`.
pub async fn retry(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<i64>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "fleet.quarantine.retry").await?;
    let at = change.at();
    let held = held(&mut change, id).await?;
    let outcome =
        projector::retry(&mut change, held.organization_id, held.box_id, held.epoch, held.sequence, at).await?;
    match &outcome {
        Retried::Projected => {
            sqlx::query!(
                "UPDATE quarantine SET state = 'retried', decided_at = $2, decided_by = $3 WHERE id = $1",
                id,
                at.0,
                scope.actor.name()
            )
            .execute(&mut *change)
            .await?;
        }
        Retried::Failed(error) => {
            sqlx::query!("UPDATE quarantine SET error = $2 WHERE id = $1", id, error).execute(&mut *change).await?;
        }
    }
    finish(&mut change, &cloud, held.organization_id, held.box_id).await?;
    let touched = change.commit().await?;
    fleet::ring_reference(&cloud, &touched).await;
    match outcome {
        Retried::Projected => Ok(Json(json!({ "state": "retried" }))),
        Retried::Failed(error) => Err(Problem::conflict(format!("it still does not fit: {error}")).into()),
    }
}

/// `POST /api/fleet/quarantine/{id}/skip`.
pub async fn skip(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<i64>,
    Json(skip): Json<Skip>,
) -> Answer<Value> {
    let reason = filter::name("reason", &skip.reason)?;
    let mut change = Change::begin(&cloud, &scope, "fleet.quarantine.skip").await?;
    let at = change.at();
    let held = held(&mut change, id).await?;
    sqlx::query!(
        "UPDATE quarantine SET state = 'skipped', reason = $2, decided_at = $3, decided_by = $4 WHERE id = $1",
        id,
        reason,
        at.0,
        scope.actor.name()
    )
    .execute(&mut *change)
    .await?;
    finish(&mut change, &cloud, held.organization_id, held.box_id).await?;
    change.commit().await?;
    Ok(Json(json!({ "state": "skipped" })))
}

async fn finish(change: &mut Change, cloud: &Cloud, organization: Uuid, box_id: Uuid) -> Result<()> {
    let at = change.at();
    status::refresh(change, &cloud.settings.fleet, at, &[box_id]).await?;
    live::tell(change, organization, "fleet.quarantine", &json!({ "box": box_id })).await
}

/// `GET /api/fleet/proposals`.
pub async fn proposals(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(asked): Query<Waiting>,
) -> Answer<Page<Proposal>> {
    let most = limit(asked.limit);
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT p.id, p.box_id, b.name AS box_name, p.table_name, p.key, p.proposed, p.base_version, p.cause, p.state, p.at,
                c.row AS \"current?\"
         FROM proposals p
         JOIN boxes b ON b.id = p.box_id
         LEFT JOIN reference_current c
             ON c.organization_id = p.organization_id AND c.table_name = p.table_name AND c.key = p.key
         WHERE ($1::text IS NULL OR p.state = $1) AND ($2::bigint IS NULL OR p.id < $2)
           AND ($3::uuid IS NULL OR p.box_id = $3)
         ORDER BY p.id DESC LIMIT $4",
        asked.state(),
        asked.after,
        asked.box_id,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let items = rows
        .into_iter()
        .map(|row| Proposal {
            id: row.id,
            box_ref: Named { id: row.box_id, name: row.box_name },
            current: row.current.map_or(Value::Null, without_secrets),
            proposed: row.proposed.map_or(Value::Null, without_secrets),
            table: row.table_name,
            key: row.key,
            base_version: row.base_version,
            cause: row.cause,
            state: row.state,
            at: row.at,
        })
        .collect();
    Ok(Json(page(items, most, |p: &Proposal| p.id.to_string())))
}

/// Changes without what no page may show.
fn hide_secrets(mut changes: Value) -> Value {
    for change in changes.as_array_mut().into_iter().flatten() {
        for side in ["n", "p"] {
            if let Some(values) = change.get_mut(side) {
                *values = without_secrets(values.take());
            }
        }
    }
    changes
}

/// A row without what no page may show.
fn without_secrets(mut row: Value) -> Value {
    if let Some(hash) = row.get_mut("password_hash") {
        *hash = Value::from("•••");
    }
    row
}

struct Asked {
    organization_id: Uuid,
    box_id: Uuid,
    table_name: String,
    key: Value,
    op: String,
    proposed: Option<Value>,
}

async fn asked(tx: &mut db::Tx, id: i64) -> Result<Asked> {
    sqlx::query_as!(
        Asked,
        "SELECT organization_id, box_id, table_name, key, op, proposed FROM proposals
         WHERE id = $1 AND state = 'open' FOR UPDATE",
        id
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Problem::not_found("open proposal").into())
}

async fn decide(
    change: &mut Change,
    cloud: &Cloud,
    scope: &Scope,
    id: i64,
    asked: &Asked,
    state: &str,
    answered: Option<i64>,
) -> Result<()> {
    let at = change.at();
    sqlx::query!(
        "UPDATE proposals SET state = $2, decided_at = $3, decided_by = $4, answered = $5 WHERE id = $1",
        id,
        state,
        at.0,
        scope.actor.name(),
        answered
    )
    .execute(&mut **change)
    .await?;
    status::refresh(change, &cloud.settings.fleet, at, &[asked.box_id]).await?;
    Ok(())
}

/// `POST /api/fleet/proposals/{id}/accept`: the row becomes what was proposed, and flows down to every box.
pub async fn accept(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<i64>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "fleet.proposal.accept").await?;
    let asked = asked(&mut change, id).await?;
    sqlx::query!(
        "SELECT sent_apply($1, $2, $3, $4, $5)",
        asked.organization_id,
        asked.table_name,
        asked.key,
        asked.op,
        asked.proposed.clone().unwrap_or_else(|| json!({}))
    )
    .execute(&mut *change)
    .await?;
    let answered = answer_down(&mut change, &asked).await?;
    decide(&mut change, &cloud, &scope, id, &asked, "accepted", answered).await?;
    change.commit().await?;
    fleet::ring_all(&cloud, asked.organization_id).await;
    Ok(Json(json!({ "state": "accepted" })))
}

/// `POST /api/fleet/proposals/{id}/refuse`: the row as it is here flows down again, over the branch's edit.
pub async fn refuse(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<i64>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "fleet.proposal.refuse").await?;
    let asked = asked(&mut change, id).await?;
    let answered = answer_down(&mut change, &asked).await?;
    decide(&mut change, &cloud, &scope, id, &asked, "refused", answered).await?;
    change.commit().await?;
    fleet::ring_all(&cloud, asked.organization_id).await;
    Ok(Json(json!({ "state": "refused" })))
}

/// Lets the row flow down even where it did not change: the box that asked waits for an answer. Returns its version.
async fn answer_down(tx: &mut db::Tx, asked: &Asked) -> Result<Option<i64>> {
    let answer =
        sqlx::query_scalar!("SELECT sent_answer($1, $2, $3)", asked.organization_id, asked.table_name, asked.key);
    Ok(answer.fetch_one(&mut *tx).await?)
}
