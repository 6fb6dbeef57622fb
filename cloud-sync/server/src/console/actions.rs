//! One action on many boxes, tried first.
//!
//! The dry run and the run are the same code in the same kind of transaction; the dry run is rolled back. What it said is
//! what would have happened.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use sent_contract::{
    fleet::{BoxRow, BulkAction, BulkOutcome},
    identity::Named,
};
use sent_core::{Problem, Scope};
use sent_protocol::topic::DoorbellKind;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Answer,
    boxes::{self, COMMAND_SECONDS, NewCommand},
    filter::{self, Boxes},
};
use crate::{
    Cloud,
    audit::Change,
    error::{Error, Result},
};

/// Most boxes of one action.
const MOST: i64 = 10_000;

/// `?dry_run=`.
#[derive(Debug, Default, Deserialize)]
pub struct DryRun {
    /// Change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What is to be done.
enum Action {
    Command(NewCommand),
    AddTag(String),
    RemoveTag(String),
    Merge(Value),
    Revoke,
}

impl Action {
    fn parse(asked: &BulkAction) -> Result<Self, Problem> {
        let tag = || {
            let tag = asked.arguments.get("tag").and_then(Value::as_str).unwrap_or_default();
            filter::name("arguments.tag", tag)
        };
        match asked.action.as_str() {
            "tag:add" => Ok(Self::AddTag(tag()?)),
            "tag:remove" => Ok(Self::RemoveTag(tag()?)),
            "revoke" => Ok(Self::Revoke),
            "desired:merge" if asked.arguments.is_object() => Ok(Self::Merge(asked.arguments.clone())),
            "desired:merge" => Err(Problem::field("arguments", "the document to merge must be a JSON object")),
            other => match other.strip_prefix("command:") {
                Some(kind) if boxes::COMMANDS.contains(&kind) => Ok(Self::Command(NewCommand {
                    kind: kind.to_owned(),
                    arguments: asked.arguments.clone(),
                    expires_in: Some(asked.expires_in.unwrap_or(COMMAND_SECONDS)),
                })),
                _ => Err(Problem::field("action", "this action is not known")),
            },
        }
    }

    fn ring(&self) -> Option<DoorbellKind> {
        match self {
            Self::Command(_) => Some(DoorbellKind::Command),
            Self::Merge(_) => Some(DoorbellKind::Desired),
            Self::AddTag(_) | Self::RemoveTag(_) | Self::Revoke => None,
        }
    }
}

/// What became of one box.
enum Done {
    Yes(String),
    No(String),
}

/// `POST /api/fleet/actions`.
pub async fn run(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Query(DryRun { dry_run }): Query<DryRun>,
    Json(asked): Json<BulkAction>,
) -> Answer<BulkOutcome> {
    let action = Action::parse(&asked)?;
    let mut change = Change::begin(&cloud, &scope, "fleet.action").await?;
    let rows = chosen(&mut change, &asked.boxes, asked.filter.as_deref()).await?;
    let mut outcome = BulkOutcome { dry_run, affected: Vec::new(), skipped: Vec::new() };
    let mut rings = Vec::new();
    for row in rows {
        let named = Named { id: row.id, name: row.name.clone() };
        match apply(&mut change, &cloud, &scope, &action, &row).await? {
            Done::Yes(words) => {
                rings.push(row.id);
                outcome.affected.push((named, words));
            }
            Done::No(words) => outcome.skipped.push((named, words)),
        }
    }
    if dry_run {
        drop(change);
        return Ok(Json(outcome));
    }
    change.commit().await?;
    if let Some(kind) = action.ring() {
        for id in rings {
            cloud.bell.ring(id, kind);
        }
    }
    Ok(Json(outcome))
}

/// The boxes that are named, or those that match a filter.
pub async fn chosen(change: &mut Change, boxes: &[Uuid], filter: Option<&str>) -> Result<Vec<BoxRow>> {
    if !boxes.is_empty() {
        let mut rows = Vec::new();
        for id in boxes.iter().take(MOST as usize) {
            let found = boxes::select(change, &Boxes::default(), Some(*id), 1).await?;
            rows.extend(found);
        }
        return Ok(rows);
    }
    let Some(filter) = filter else {
        return Err(Problem::invalid("name the boxes, or a filter; an empty filter means all of them").into());
    };
    let filter = Boxes { after: None, limit: None, ..Boxes::parse(filter)? };
    boxes::select(change, &filter, None, MOST).await
}

async fn apply(change: &mut Change, cloud: &Cloud, scope: &Scope, action: &Action, row: &BoxRow) -> Result<Done> {
    match action {
        Action::Command(new) => match boxes::queue(change, cloud, scope, row.id, new).await {
            Ok(_) => Ok(Done::Yes(format!("gets the command {}", new.kind))),
            Err(Error::Problem(_)) => Ok(Done::No("it is revoked and takes no commands".to_owned())),
            Err(error) => Err(error),
        },
        Action::AddTag(tag) if row.tags.contains(tag) => Ok(Done::No("has the tag already".to_owned())),
        Action::AddTag(tag) => {
            sqlx::query!("UPDATE boxes SET tags = array_append(tags, $2) WHERE id = $1", row.id, tag)
                .execute(&mut **change)
                .await?;
            Ok(Done::Yes(format!("gets the tag {tag}")))
        }
        Action::RemoveTag(tag) if !row.tags.contains(tag) => Ok(Done::No("does not have the tag".to_owned())),
        Action::RemoveTag(tag) => {
            sqlx::query!("UPDATE boxes SET tags = array_remove(tags, $2) WHERE id = $1", row.id, tag)
                .execute(&mut **change)
                .await?;
            Ok(Done::Yes(format!("loses the tag {tag}")))
        }
        Action::Merge(patch) => {
            let desired = sqlx::query_scalar!("SELECT desired FROM box_documents WHERE box_id = $1 FOR UPDATE", row.id)
                .fetch_one(&mut **change)
                .await?;
            let mut merged = desired.clone();
            merge(&mut merged, patch);
            if merged == desired {
                return Ok(Done::No("wants that already".to_owned()));
            }
            let version = boxes::write_desired(change, row.id, &merged).await?;
            Ok(Done::Yes(format!("wants version {version}")))
        }
        Action::Revoke => {
            let at = change.at();
            match boxes::withdraw(change, cloud, row.id, at).await {
                Ok(()) => Ok(Done::Yes("its certificate is withdrawn; it must be enrolled again".to_owned())),
                Err(Error::Problem(_)) => Ok(Done::No("is revoked already".to_owned())),
                Err(error) => Err(error),
            }
        }
    }
}

/// JSON merge patch (RFC 7396): objects merge, null removes, anything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_as_rfc_7396_says() {
        // Examples of RFC 7396 appendix A.
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a"]), json!({"a": 1}), json!({"a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target;
            merge(&mut merged, &patch);
            assert_eq!(merged, result);
        }
    }
}
