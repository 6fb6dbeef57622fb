//! What is wanted of a box and what it says of itself.
//!
//! Commands go down until the box says they are over; the box runs an id once. A state only moves forward, so an old
//! report that comes late changes nothing.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use sent_protocol::{Command, CommandPhase, Desired, Reported, code, limits};
use serde_json::json;

use super::caller::{Answer, Caller, Whole};
use crate::{
    Cloud,
    db::to_i64,
    error::{Fault, Result},
    live, status, text,
};

/// `GET /wire/v1/desired`.
pub async fn desired(State(cloud): State<Arc<Cloud>>, caller: Caller) -> Result<Answer<Desired>, Fault> {
    let mut tx = caller.begin(&cloud).await?;
    let now = cloud.clock.now();
    let document = sqlx::query!("SELECT desired_version, desired FROM box_documents WHERE box_id = $1", caller.box_id)
        .fetch_one(&mut *tx)
        .await?;
    let commands = sqlx::query!(
        "UPDATE commands SET state = 'delivered', updated_at = CASE WHEN state = 'queued' THEN $2 ELSE updated_at END
         WHERE id IN (SELECT id FROM commands WHERE box_id = $1 AND state IN ('queued', 'delivered') AND expires_at > $2
                      ORDER BY created_at, id LIMIT $3)
         RETURNING id, kind, arguments, expires_at, created_at",
        caller.box_id,
        now.0,
        limits::COMMANDS as i64
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let mut commands = commands;
    commands.sort_by_key(|c| (c.created_at, c.id));
    Ok(Answer(Desired {
        version: document.desired_version,
        document: document.desired,
        at: Some(now.0),
        commands: commands
            .into_iter()
            .map(|c| Command { id: c.id, kind: c.kind, arguments: c.arguments, expires_at: c.expires_at })
            .collect(),
    }))
}

/// `POST /wire/v1/reported`.
pub async fn reported(State(cloud): State<Arc<Cloud>>, caller: Caller, body: Whole) -> Result<StatusCode, Fault> {
    let reported: Reported = body.json().await?;
    let document = serde_json::to_string(&reported.document).map_err(Fault::malformed)?;
    if document.len() > limits::DOCUMENT {
        return Err(Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            code::TOO_LARGE,
            "the reported document is over its bound of 256 KiB",
        ));
    }
    let now = cloud.clock.now();
    let mut tx = caller.begin(&cloud).await?;
    let before = sqlx::query!(
        "SELECT reported_version, reported -> 'radar' AS packs FROM box_documents WHERE box_id = $1 FOR UPDATE",
        caller.box_id
    )
    .fetch_one(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE box_documents SET reported_version = $2, reported = $3::text::jsonb, reported_at = $4 WHERE box_id = $1",
        caller.box_id,
        reported.version,
        text::json(&document),
        now.0
    )
    .execute(&mut *tx)
    .await?;
    // Whoever watches the box sees at once that it took a document, what came of its packs, or that a command is over.
    let mut news =
        reported.version != before.reported_version || reported.document.get("radar") != before.packs.as_ref();
    let level = status::level_name(reported.status.level);
    sqlx::query!(
        "UPDATE box_states SET reported_level = $2, reported_cause = $3, waiting = $4, alerts = $5, last_seen = $6
         WHERE box_id = $1",
        caller.box_id,
        level,
        text::line(&reported.status.cause),
        to_i64(reported.status.waiting)?,
        i32::try_from(reported.status.alerts).unwrap_or(i32::MAX),
        now.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "UPDATE boxes SET version = $2 WHERE id = $1 AND version <> $2",
        caller.box_id,
        text::line(&reported.status.version)
    )
    .execute(&mut *tx)
    .await?;
    for state in reported.commands.iter().filter(|c| c.state != CommandPhase::Queued).take(limits::COMMANDS) {
        let moved = sqlx::query!(
            "UPDATE commands SET state = $3, result = coalesce($4, result), updated_at = $5
             WHERE id = $1 AND box_id = $2 AND state NOT IN ('done', 'failed')
               AND array_position('{queued,delivered,running,done,failed,expired}', state)
                   < array_position('{queued,delivered,running,done,failed,expired}', $3)",
            state.id,
            caller.box_id,
            state.state.as_str(),
            state.result.as_deref().map(|result| text::bounded(result, text::ANSWER)),
            now.0
        )
        .execute(&mut *tx)
        .await?;
        news |= moved.rows_affected() > 0;
    }
    if news {
        live::tell(&mut tx, caller.organization, "fleet.boxes", &json!({ "box": caller.box_id })).await?;
    }
    status::refresh(&mut tx, &cloud.settings.fleet, now, &[caller.box_id]).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
