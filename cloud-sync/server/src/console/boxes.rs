//! Boxes: the list, the counts, one box, what is wanted of it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use sent_contract::{
    Level, Page, Status,
    fleet::{BoxCounts, BoxDetail, BoxRow, Command, EpochRow},
    identity::Named,
};
use sent_core::{Problem, Scope, Timestamp, id};
use sent_protocol::{limits, topic::DoorbellKind};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer,
    filter::Boxes,
    page::{limit, page},
};
use crate::{
    Cloud,
    audit::Change,
    db::{Tenancy, Tx, to_u64},
    error::{Error, Result},
    live, status,
};

/// Commands a box knows.
pub const COMMANDS: [&str; 6] =
    ["restart", "collect_diagnostics", "sync_now", "verify_audit", "identify", "set_log_level"];
/// A command ends after so many seconds unless something else is said.
pub const COMMAND_SECONDS: u32 = 3_600;
/// Longest a command may wait.
const MOST_COMMAND_SECONDS: u32 = 30 * 86_400;

/// A level of the contract out of its name.
pub fn level(name: &str) -> Level {
    match name {
        "ok" => Level::Ok,
        "warn" => Level::Warn,
        "bad" => Level::Bad,
        _ => Level::Unknown,
    }
}

/// `GET /api/fleet/boxes`.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(filter): Query<Boxes>,
) -> Answer<Page<BoxRow>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let most = limit(filter.limit);
    let rows = select(&mut tx, &filter, None, most + 1).await?;
    let mut page = page(rows, most, |row| row.id.to_string());
    if filter.after.is_none() && page.next.is_none() {
        page.total = Some(page.items.len() as u64);
    }
    tx.commit().await?;
    Ok(Json(page))
}

/// Rows that match, by name.
pub async fn select(tx: &mut Tx, filter: &Boxes, only: Option<Uuid>, most: i64) -> Result<Vec<BoxRow>> {
    let rows = sqlx::query!(
        "SELECT b.id, b.name, b.organization_id, o.name AS organization, b.branch_id, br.name AS branch, b.tags, b.version,
                s.status_level, s.status_cause, s.status_since, s.last_seen, s.lag_micros, s.alerts,
                s.waiting + CASE WHEN p.epoch = c.epoch THEN c.sequence - p.sequence ELSE c.sequence END AS \"behind!\"
         FROM boxes b
         JOIN organizations o ON o.organization_id = b.organization_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN box_states s ON s.box_id = b.id
         JOIN wire_cursors c ON c.box_id = b.id
         JOIN projections p ON p.box_id = b.id
         WHERE ($1::uuid IS NULL OR b.id = $1)
           AND ($2::text IS NULL OR s.status_level = $2)
           AND ($3::uuid IS NULL OR b.organization_id = $3)
           AND ($4::text IS NULL OR $4 = ANY (b.tags))
           AND ($5::text IS NULL OR strpos(lower(b.name || ' ' || o.name || ' ' || br.name || ' ' || s.status_cause
                || ' ' || b.id::text), $5) > 0)
           AND ($6::uuid IS NULL OR (b.name, b.id) > (SELECT a.name, a.id FROM boxes a WHERE a.id = $6))
           AND ($7::uuid IS NULL OR b.branch_id = $7)
         ORDER BY b.name, b.id LIMIT $8",
        only,
        filter.level(),
        filter.organization()?,
        filter.tag(),
        filter.text(),
        filter.after,
        filter.branch()?,
        most
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| BoxRow {
            id: row.id,
            name: row.name,
            organization: Named { id: row.organization_id, name: row.organization },
            branch: Named { id: row.branch_id, name: row.branch },
            status: Status { level: level(&row.status_level), cause: row.status_cause, since: row.status_since },
            version: row.version,
            tags: row.tags,
            behind: to_u64(row.behind),
            lag_seconds: row.lag_micros.map(|lag| lag as f64 / 1e6),
            last_seen: row.last_seen,
            alerts: row.alerts.unsigned_abs(),
        })
        .collect())
}

/// `GET /api/fleet/boxes/counts`.
pub async fn counts(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<BoxCounts> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!("SELECT status_level, count(*) AS \"count!\" FROM box_states GROUP BY 1")
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    let mut counts = BoxCounts::default();
    for row in rows {
        add(&mut counts, &row.status_level, to_u64(row.count));
    }
    Ok(Json(counts))
}

/// Adds boxes of a level.
pub fn add(counts: &mut BoxCounts, name: &str, boxes: u64) {
    counts.total += boxes;
    match level(name) {
        Level::Ok => counts.ok += boxes,
        Level::Warn => counts.warn += boxes,
        Level::Bad => counts.bad += boxes,
        Level::Unknown => counts.unknown += boxes,
    }
}

/// `GET /api/fleet/boxes/{id}`.
pub async fn detail(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<Uuid>,
) -> Answer<BoxDetail> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let row = select(&mut tx, &Boxes::default(), Some(id), 1).await?.pop().ok_or_else(|| Problem::not_found("box"))?;
    let facts = sqlx::query!(
        "SELECT b.certificate_expires, b.revoked_at, b.enrolled_at, c.epoch, c.sequence,
                d.desired_version, d.desired, d.reported_version, d.reported, d.reported_at
         FROM boxes b JOIN wire_cursors c ON c.box_id = b.id JOIN box_documents d ON d.box_id = b.id WHERE b.id = $1",
        id
    )
    .fetch_one(&mut *tx)
    .await?;
    let epochs = sqlx::query!(
        "SELECT epoch, started_at, restored_to, given_back FROM box_epochs WHERE box_id = $1 ORDER BY epoch DESC LIMIT 50",
        id
    )
    .fetch_all(&mut *tx)
    .await?;
    let commands = sqlx::query_as!(
        Command,
        "SELECT id, kind, arguments, state, result, created_at, expires_at, updated_at, created_by
         FROM commands WHERE box_id = $1 ORDER BY created_at DESC, id DESC LIMIT 50",
        id
    )
    .fetch_all(&mut *tx)
    .await?;
    let gaps =
        sqlx::query!("SELECT from_at, to_at, points FROM gaps WHERE box_id = $1 ORDER BY from_at DESC LIMIT 100", id)
            .fetch_all(&mut *tx)
            .await?;
    tx.commit().await?;
    Ok(Json(BoxDetail {
        row,
        epoch: to_u64(facts.epoch),
        sequence: to_u64(facts.sequence),
        epochs: epochs
            .into_iter()
            .map(|e| EpochRow {
                epoch: to_u64(e.epoch),
                started_at: e.started_at,
                restored_to: e.restored_to.map(to_u64),
                given_back: to_u64(e.given_back),
            })
            .collect(),
        desired_version: facts.desired_version,
        desired: facts.desired,
        reported_version: facts.reported_version,
        reported: facts.reported,
        reported_at: facts.reported_at,
        commands,
        certificate_expires: facts.certificate_expires,
        revoked_at: facts.revoked_at,
        enrolled_at: facts.enrolled_at,
        gaps: gaps.into_iter().map(|g| (g.from_at, g.to_at, to_u64(g.points))).collect(),
    }))
}

/// `PUT /api/fleet/boxes/{id}/desired`: the whole document.
pub async fn set_desired(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<Uuid>,
    Json(document): Json<Value>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "fleet.box.desired").await?;
    let version = write_desired(&mut change, id, &document).await?;
    change.commit().await?;
    cloud.bell.ring(id, DoorbellKind::Desired);
    Ok(Json(json!({ "version": version })))
}

/// Writes a desired document; answers its version.
pub async fn write_desired(tx: &mut Tx, id: Uuid, document: &Value) -> Result<i64> {
    if !document.is_object() {
        return Err(Problem::invalid("the document must be a JSON object").into());
    }
    let text = serde_json::to_string(document)?;
    if text.len() > limits::DOCUMENT {
        return Err(Problem::invalid("the document is over its bound of 256 KiB").into());
    }
    if text.contains("\\u0000") {
        return Err(Problem::invalid("the document holds a NUL character").into());
    }
    sqlx::query_scalar!(
        "UPDATE box_documents SET desired = $2, desired_version = desired_version + 1 WHERE box_id = $1
         RETURNING desired_version",
        id,
        document
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Problem::not_found("box").into())
}

/// `POST /api/fleet/boxes/{id}/commands`.
#[derive(Clone, Debug, Deserialize)]
pub struct NewCommand {
    /// One of [`COMMANDS`].
    pub kind: String,
    /// Arguments.
    #[serde(default)]
    pub arguments: Value,
    /// Seconds until it ends.
    #[serde(default)]
    pub expires_in: Option<u32>,
}

/// `POST /api/fleet/boxes/{id}/commands`.
pub async fn command(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<Uuid>,
    Json(new): Json<NewCommand>,
) -> Answer<Command> {
    let mut change = Change::begin(&cloud, &scope, "fleet.box.command").await?;
    let command = queue(&mut change, &cloud, &scope, id, &new).await?;
    change.commit().await?;
    cloud.bell.ring(id, DoorbellKind::Command);
    Ok(Json(command))
}

/// Queues a command for a box that is not revoked.
pub async fn queue(tx: &mut Change, cloud: &Cloud, scope: &Scope, id: Uuid, new: &NewCommand) -> Result<Command> {
    if !COMMANDS.contains(&new.kind.as_str()) {
        return Err(Problem::field("kind", format!("use one of {}", COMMANDS.join(", "))).into());
    }
    let now = tx.at();
    let seconds = new.expires_in.unwrap_or(COMMAND_SECONDS).clamp(1, MOST_COMMAND_SECONDS);
    let arguments = if new.arguments.is_null() { json!({}) } else { new.arguments.clone() };
    let command = Command {
        id: id::new(&*cloud.clock),
        kind: new.kind.clone(),
        arguments,
        state: "queued".to_owned(),
        result: None,
        created_at: now.0,
        expires_at: now.plus_seconds(i64::from(seconds)).0,
        updated_at: now.0,
        created_by: scope.actor.name().to_owned(),
    };
    let queued = sqlx::query!(
        "INSERT INTO commands (organization_id, id, box_id, kind, arguments, created_at, expires_at, updated_at, created_by)
         SELECT b.organization_id, $2, b.id, $3, $4, $5, $6, $5, $7 FROM boxes b WHERE b.id = $1 AND b.revoked_at IS NULL",
        id,
        command.id,
        command.kind,
        command.arguments,
        command.created_at,
        command.expires_at,
        command.created_by
    )
    .execute(&mut **tx)
    .await?;
    if queued.rows_affected() == 0 {
        return Err(Problem::not_found("box that takes commands").into());
    }
    Ok(command)
}

/// `POST /api/fleet/boxes/{id}/revoke`.
pub async fn revoke(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<Uuid>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "fleet.box.revoke").await?;
    let at = change.at();
    withdraw(&mut change, &cloud, id, at).await?;
    change.commit().await?;
    Ok(Json(json!({})))
}

/// Withdraws a box's certificate: from the next request on it is refused.
pub async fn withdraw(tx: &mut Tx, cloud: &Cloud, id: Uuid, at: Timestamp) -> Result<()> {
    let organization = sqlx::query_scalar!(
        "UPDATE boxes SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING organization_id",
        id,
        at.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(organization) = organization else {
        return Err(Error::from(Problem::conflict("there is no such box, or it is revoked already")));
    };
    status::refresh(tx, &cloud.settings.fleet, at, &[id]).await?;
    live::tell(tx, organization, "fleet.boxes", &json!({ "box": id })).await
}
