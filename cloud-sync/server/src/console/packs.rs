//! Packs of Sigma rules: kept here, pinned and switched box by box.
//!
//! A version of a pack never changes; its archive is an object named by its hash. What a box is to run is part of its
//! desired document, `radar.packs.NAME = {version, sha256, enabled}`: a box that is away takes it up when it is back, and
//! its reported document says under the same name what came of it. A box reads objects of its own organisation only, so the
//! archive is put among those of each customer before a box of it is told.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension, Json,
    body::{Body, to_bytes},
    extract::{Path, Query, State},
};
use object_store::{ObjectStoreExt as _, PutPayload};
use sent_contract::{
    Page,
    fleet::{BoxRow, BulkOutcome},
    identity::Named,
    packs::{FleetPack, PackAction, PackBox, PackVersion, PackWish},
};
use sent_core::{Problem, Scope};
use sent_protocol::{Hash, topic::DoorbellKind};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer,
    actions::{DryRun, chosen, merge},
    boxes::write_desired,
    page::page,
    security::Filter,
};
use crate::{
    Cloud,
    audit::Change,
    db::{Tenancy, Tx, to_i64, to_u64},
    error::{Error, Result},
    live,
    pack::{MOST_ARCHIVE, inspect, is_name},
    wire::object_location,
};

/// Characters of a version, of a licence and of an attribution at most.
const MOST_TEXT: [usize; 3] = [60, 20_000, 2_000];

/// `?version=&licence=&attribution=`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct About {
    version: String,
    licence: String,
    attribution: String,
}

/// A text that says something: trimmed, neither empty nor endless.
fn said(field: &str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Problem::field(field, "this may not be empty"));
    }
    if text.chars().count() > most || text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)) {
        return Err(Problem::field(field, format!("at most {most} characters, without control characters")));
    }
    Ok(text.to_owned())
}

/// A pack's name out of the path.
fn named(name: String) -> Result<String, Problem> {
    if is_name(&name) {
        Ok(name)
    } else {
        Err(Problem::field("name", "a pack's name has 1 to 60 lower-case letters, digits and dashes"))
    }
}

/// `GET /api/fleet/packs`: by name, whatever boxes have besides included.
pub async fn list(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<Vec<FleetPack>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let versions = sqlx::query!(
        "SELECT name, version, sha256, bytes, files, licence, attribution, uploaded_at, uploaded_by FROM rule_packs
         WHERE organization_id = $1 ORDER BY name, uploaded_at DESC, version",
        scope.organization
    )
    .fetch_all(&mut *tx)
    .await?;
    // What a person wrote into a document by hand may have any shape.
    let wishes = sqlx::query!(
        "SELECT w.key AS \"name!\", coalesce(w.value ->> 'version', '') AS \"version!\", count(*) AS \"boxes!\",
                count(*) FILTER (WHERE d.reported #>> ARRAY['radar', 'packs', w.key, 'state'] = 'failed') AS \"failed!\"
         FROM box_documents d
         CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(d.desired #> '{radar,packs}')
                                       WHEN 'object' THEN d.desired #> '{radar,packs}' ELSE '{}' END) AS w
         GROUP BY 1, 2"
    )
    .fetch_all(&mut *tx)
    .await?;
    let running =
        sqlx::query!("SELECT name, version, count(*) AS \"boxes!\" FROM radar_packs WHERE enabled = 1 GROUP BY 1, 2")
            .fetch_all(&mut *tx)
            .await?;
    tx.commit().await?;
    let mut names: BTreeSet<String> = versions.iter().map(|row| row.name.clone()).collect();
    names.extend(wishes.iter().map(|row| row.name.clone()));
    names.extend(running.iter().map(|row| row.name.clone()));
    let packs = names.into_iter().map(|name| {
        let wishes: Vec<_> = wishes.iter().filter(|row| row.name == name).collect();
        let running: Vec<_> = running.iter().filter(|row| row.name == name).collect();
        FleetPack {
            wanted: wishes.iter().map(|row| to_u64(row.boxes)).sum(),
            running: running.iter().map(|row| to_u64(row.boxes)).sum(),
            failed: wishes.iter().map(|row| to_u64(row.failed)).sum(),
            versions: versions
                .iter()
                .filter(|row| row.name == name)
                .map(|row| PackVersion {
                    version: row.version.clone(),
                    sha256: row.sha256.clone(),
                    bytes: to_u64(row.bytes),
                    files: row.files.unsigned_abs(),
                    licence: row.licence.clone(),
                    attribution: row.attribution.clone(),
                    uploaded_at: row.uploaded_at,
                    uploaded_by: row.uploaded_by.clone(),
                    wanted: wishes.iter().filter(|w| w.version == row.version).map(|w| to_u64(w.boxes)).sum(),
                    running: running.iter().filter(|r| r.version == row.version).map(|r| to_u64(r.boxes)).sum(),
                })
                .collect(),
            name,
        }
    });
    Ok(Json(packs.collect()))
}

/// `PUT /api/fleet/packs/{name}?version=&licence=&attribution=`: keeps an archive as a version.
pub async fn upload(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(about): Query<About>,
    archive: Body,
) -> Answer<PackVersion> {
    let name = named(name)?;
    let [version, licence, attribution] = MOST_TEXT;
    let (version, licence, attribution) = (
        said("version", &about.version, version)?,
        said("licence", &about.licence, licence)?,
        said("attribution", &about.attribution, attribution)?,
    );
    let archive = to_bytes(archive, MOST_ARCHIVE).await;
    let archive =
        archive.map_err(|_| Problem::field("archive", format!("an archive has at most {} MiB", MOST_ARCHIVE >> 20)))?;
    let looked = archive.clone();
    let looking = tokio::task::spawn_blocking(move || (Hash::of(&looked), inspect(&looked)));
    let (hash, files) = looking.await.map_err(|e| Error::from(Problem::internal(e)))?;
    let files = files.map_err(|fault| Problem::field("archive", fault.to_string()))?;
    let mut change = Change::begin(&cloud, &scope, "fleet.pack.upload").await?;
    let row = PackVersion {
        version,
        sha256: hash.to_string(),
        bytes: archive.len() as u64,
        files,
        licence,
        attribution,
        uploaded_at: change.at().0,
        uploaded_by: scope.actor.name().to_owned(),
        wanted: 0,
        running: 0,
    };
    let kept = sqlx::query!(
        "INSERT INTO rule_packs (organization_id, name, version, sha256, bytes, files, licence, attribution, uploaded_at,
                                 uploaded_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        scope.organization,
        name,
        row.version,
        row.sha256,
        to_i64(row.bytes)?,
        i32::try_from(row.files).map_err(|_| Error::OutOfRange)?,
        row.licence,
        row.attribution,
        row.uploaded_at,
        row.uploaded_by
    )
    .execute(&mut *change)
    .await?;
    if kept.rows_affected() == 0 {
        return Err(
            Problem::field("version", "this version is kept already, and never changes: name it otherwise").into()
        );
    }
    // Before the row: what is listed can be fetched.
    cloud.objects.put(&object_location(scope.organization, &hash), PutPayload::from(archive)).await?;
    change.commit().await?;
    Ok(Json(row))
}

/// `DELETE /api/fleet/packs/{name}/{version}`: no box may be meant to have it.
pub async fn remove(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((name, version)): Path<(String, String)>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "fleet.pack.remove").await?;
    let wanted = sqlx::query_scalar!(
        "SELECT count(*) AS \"boxes!\" FROM box_documents WHERE desired #>> ARRAY['radar', 'packs', $1, 'version'] = $2",
        name,
        version
    )
    .fetch_one(&mut *change)
    .await?;
    let removed = sqlx::query_scalar!(
        "DELETE FROM rule_packs WHERE organization_id = $1 AND name = $2 AND version = $3 RETURNING sha256",
        scope.organization,
        name,
        version
    )
    .fetch_optional(&mut *change)
    .await?
    .ok_or_else(|| Problem::not_found("version of a pack"))?;
    if wanted > 0 {
        let boxes = if wanted == 1 { "1 box is".to_owned() } else { format!("{wanted} boxes are") };
        return Err(Problem::conflict(format!("{boxes} to have this version: give them another one first")).into());
    }
    let shared = sqlx::query_scalar!(
        "SELECT count(*) AS \"n!\" FROM rule_packs WHERE organization_id = $1 AND sha256 = $2",
        scope.organization,
        removed
    )
    .fetch_one(&mut *change)
    .await?;
    change.commit().await?;
    if let (0, Ok(hash)) = (shared, removed.parse::<Hash>())
        && let Err(error) = cloud.objects.delete(&object_location(scope.organization, &hash)).await
    {
        tracing::debug!(%error, "the archive of a removed pack stays behind");
    }
    Ok(Json(json!({ "state": "removed" })))
}

/// `GET /api/fleet/packs/{name}/boxes`: by name.
pub async fn boxes(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(filter): Query<Filter>,
) -> Answer<Page<PackBox>> {
    let most = filter.most();
    let after = filter.row();
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT b.id, b.name, b.branch_id, br.name AS branch, b.organization_id, o.name AS organization,
                d.desired #> ARRAY['radar', 'packs', $1] AS wish, d.reported #> ARRAY['radar', 'packs', $1] AS told,
                d.desired_version > d.reported_version AS \"unheard!\", p.version AS \"version?\", p.enabled AS \"enabled?\",
                p.installed_at AS \"installed_at?\", r.rules AS \"rules!\", r.broken AS \"broken!\"
         FROM boxes b
         JOIN organizations o ON o.organization_id = b.organization_id
         JOIN branches br ON br.organization_id = b.organization_id AND br.id = b.branch_id
         JOIN box_documents d ON d.box_id = b.id
         LEFT JOIN radar_packs p ON p.box_id = b.id AND p.name = $1
         JOIN LATERAL (SELECT count(*) AS rules, count(*) FILTER (WHERE kind = 'broken') AS broken FROM radar_rules
                       WHERE box_id = b.id AND pack = $1) AS r ON true
         WHERE (p.name IS NOT NULL OR d.desired #> ARRAY['radar', 'packs', $1] IS NOT NULL)
           AND ($2::uuid IS NULL OR b.organization_id = $2) AND ($3::uuid IS NULL OR b.branch_id = $3)
           AND ($4::text IS NULL OR strpos(lower(b.name || ' ' || o.name || ' ' || br.name), $4) > 0)
           AND ($5::uuid IS NULL OR (b.name, b.id) > (SELECT a.name, a.id FROM boxes a WHERE a.id = $5))
         ORDER BY b.name, b.id LIMIT $6",
        name,
        filter.organization(),
        filter.branch(),
        filter.text(),
        after,
        most + 1
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let rows = rows.into_iter().map(|row| {
        let wanted = row.wish.as_ref().and_then(wish).map(|(wish, _)| wish);
        let enabled = row.enabled == Some(1);
        let (state, cause) = judge(row.wish.is_some(), row.unheard, row.told.as_ref(), enabled);
        PackBox {
            box_ref: Named { id: row.id, name: row.name },
            branch: Named { id: row.branch_id, name: row.branch },
            organization: Named { id: row.organization_id, name: row.organization },
            wanted,
            version: row.version,
            enabled,
            rules: to_u64(row.rules),
            broken: to_u64(row.broken),
            state: state.to_owned(),
            cause,
            installed_at: row.installed_at,
        }
    });
    Ok(Json(page(rows.collect(), most, |row: &PackBox| row.box_ref.id.to_string())))
}

/// How it stands with a pack on a box: state and cause.
fn judge(is_wanted: bool, unheard: bool, told: Option<&Value>, enabled: bool) -> (&'static str, String) {
    if !is_wanted {
        return ("own", "installed at the box, not from here".to_owned());
    }
    if unheard {
        return ("waiting", "the box has not heard of it yet".to_owned());
    }
    let text = |key: &str| told.and_then(|told| told.get(key)).and_then(Value::as_str).unwrap_or_default();
    match text("state") {
        "failed" => ("failed", text("cause").to_owned()),
        "running" if enabled => ("running", String::new()),
        "off" if !enabled => ("off", String::new()),
        // The box says it has done so, and its rows are on their way.
        "running" | "off" => ("waiting", "the box has told, its rows have not come yet".to_owned()),
        "waiting" => ("waiting", text("cause").to_owned()),
        _ => ("waiting", "the box says nothing of it: its program may be older".to_owned()),
    }
}

/// A wish out of a desired document, with the archive's hash.
fn wish(value: &Value) -> Option<(PackWish, String)> {
    let wish = serde_json::from_value(value.clone()).ok()?;
    Some((wish, value.get("sha256")?.as_str()?.to_owned()))
}

/// `POST /api/fleet/packs/{name}/apply?dry_run=`. As with every bulk action, the dry run is the run rolled back.
pub async fn apply(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(name): Path<String>,
    Query(DryRun { dry_run }): Query<DryRun>,
    Json(asked): Json<PackAction>,
) -> Answer<BulkOutcome> {
    let name = named(name)?;
    let mut change = Change::begin(&cloud, &scope, "fleet.pack.apply").await?;
    let archive = match &asked.version {
        Some(version) => Some(archive_of(&mut change, scope.organization, &name, version).await?),
        None if asked.enabled.is_none() && !asked.remove => {
            return Err(Problem::field("version", "name a version, switch the pack, or take it away").into());
        }
        None => None,
    };
    let mut outcome = BulkOutcome { dry_run, affected: Vec::new(), skipped: Vec::new() };
    let (mut told, mut customers) = (Vec::new(), BTreeSet::new());
    for row in chosen(&mut change, &asked.boxes, asked.filter.as_deref()).await? {
        let named = Named { id: row.id, name: row.name.clone() };
        match on_one(&mut change, &name, &asked, archive.as_deref(), &row).await? {
            Ok(words) => {
                told.push(row.id);
                customers.insert(row.organization.id);
                outcome.affected.push((named, words));
            }
            Err(why) => outcome.skipped.push((named, why)),
        }
    }
    if dry_run {
        drop(change);
        return Ok(Json(outcome));
    }
    for customer in &customers {
        if let Some(hash) = &archive {
            hand_over(&cloud, scope.organization, *customer, hash).await?;
        }
        live::tell(&mut change, *customer, "fleet.boxes", &json!({ "pack": name })).await?;
    }
    change.commit().await?;
    for id in told {
        cloud.bell.ring(id, DoorbellKind::Desired);
    }
    Ok(Json(outcome))
}

/// The hash of a version's archive.
async fn archive_of(tx: &mut Tx, organization: Uuid, name: &str, version: &str) -> Result<String> {
    sqlx::query_scalar!(
        "SELECT sha256 FROM rule_packs WHERE organization_id = $1 AND name = $2 AND version = $3",
        organization,
        name,
        version
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Problem::field("version", "there is no such version of this pack").into())
}

/// Changes what one box is to do; in words, or why not.
async fn on_one(
    change: &mut Change,
    name: &str,
    asked: &PackAction,
    archive: Option<&str>,
    row: &BoxRow,
) -> Result<Result<String, String>> {
    let document = sqlx::query!(
        "SELECT d.desired, b.revoked_at FROM box_documents d JOIN boxes b ON b.id = d.box_id
         WHERE d.box_id = $1 FOR UPDATE OF d",
        row.id
    )
    .fetch_one(&mut **change)
    .await?;
    if document.revoked_at.is_some() {
        return Ok(Err("it is revoked".to_owned()));
    }
    let before = document.desired.pointer(&format!("/radar/packs/{name}")).and_then(wish);
    let (after, words) = match plan(before.as_ref(), asked, archive) {
        Ok(planned) => planned,
        Err(why) => return Ok(Err(why.to_owned())),
    };
    let mut desired = document.desired;
    merge(&mut desired, &json!({ "radar": { "packs": { name: after } } }));
    write_desired(change, row.id, &desired).await?;
    Ok(Ok(words))
}

/// What a wish becomes (null: nothing is wished for any more) and what that means for the box, or why it stays.
fn plan(
    before: Option<&(PackWish, String)>,
    asked: &PackAction,
    archive: Option<&str>,
) -> Result<(Value, String), &'static str> {
    if asked.remove {
        return match before {
            Some(_) => Ok((Value::Null, "loses the pack and its rules".to_owned())),
            None => Err("is not to have the pack"),
        };
    }
    if asked.only_wanted && before.is_none() {
        return Err("is not to have the pack");
    }
    let (version, sha256) = match (&asked.version, archive, before) {
        (Some(version), Some(archive), _) => (version.clone(), archive.to_owned()),
        (_, _, Some((wish, sha256))) => (wish.version.clone(), sha256.clone()),
        _ => return Err("has no version of the pack that could be switched"),
    };
    let was = before.map(|(wish, _)| wish);
    let enabled = asked.enabled.or(was.map(|was| was.enabled)).unwrap_or(true);
    let switch = if enabled { "on" } else { "off" };
    let words = match (was, before.is_some_and(|(_, hash)| *hash == sha256)) {
        (None, _) => format!("gets {version}, switched {switch}"),
        (Some(was), true) if was.version == version && was.enabled == enabled => return Err("is to have that already"),
        (Some(was), true) if was.version == version => format!("{version} is switched {switch}"),
        (Some(was), _) if was.enabled == enabled => format!("goes from {} to {version}", was.version),
        (Some(was), _) => format!("goes from {} to {version}, switched {switch}", was.version),
    };
    Ok((json!({ "version": version, "sha256": sha256, "enabled": enabled }), words))
}

/// Puts an archive among a customer's objects, where its boxes may read it.
async fn hand_over(cloud: &Cloud, from: Uuid, to: Uuid, hash: &str) -> Result<()> {
    let hash: Hash = hash.parse().map_err(|_| Error::Stored(format!("{hash} is no hash of an archive")))?;
    let (from, to) = (object_location(from, &hash), object_location(to, &hash));
    if from == to || cloud.objects.head(&to).await.is_ok() {
        return Ok(());
    }
    Ok(cloud.objects.copy(&from, &to).await?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wished(version: &str, enabled: bool) -> (PackWish, String) {
        (PackWish { version: version.to_owned(), enabled }, format!("hash of {version}"))
    }

    fn pin(version: &str) -> PackAction {
        PackAction { version: Some(version.to_owned()), ..PackAction::default() }
    }

    #[test]
    fn a_wish_changes_as_asked_and_says_so() {
        let (v1, off) = (wished("1", true), wished("1", false));
        let words = |before, asked: &PackAction, archive| plan(before, asked, archive).map(|(_, words)| words);
        assert_eq!(words(None, &pin("1"), Some("hash of 1")).unwrap(), "gets 1, switched on");
        assert_eq!(words(Some(&v1), &pin("2"), Some("hash of 2")).unwrap(), "goes from 1 to 2");
        assert_eq!(words(Some(&v1), &pin("1"), Some("hash of 1")), Err("is to have that already"));
        let switch = |enabled| PackAction { enabled: Some(enabled), ..PackAction::default() };
        assert_eq!(words(Some(&v1), &switch(false), None).unwrap(), "1 is switched off");
        assert_eq!(words(Some(&off), &pin("2"), Some("hash of 2")).unwrap(), "goes from 1 to 2");
        assert!(words(None, &switch(true), None).is_err());
        let only = PackAction { only_wanted: true, ..pin("2") };
        assert!(words(None, &only, Some("hash of 2")).is_err());
        let remove = PackAction { remove: true, ..PackAction::default() };
        assert_eq!(plan(Some(&v1), &remove, None).unwrap().0, Value::Null);
        assert!(words(None, &remove, None).is_err());
    }

    #[test]
    fn one_state_is_told_of_all_there_is_to_know() {
        let told = |state: &str| json!({ "state": state, "cause": "why" });
        assert_eq!(judge(false, false, None, true).0, "own");
        assert_eq!(judge(true, true, Some(&told("running")), true).0, "waiting");
        assert_eq!(judge(true, false, Some(&told("running")), true), ("running", String::new()));
        assert_eq!(judge(true, false, Some(&told("running")), false).0, "waiting");
        assert_eq!(judge(true, false, Some(&told("failed")), true), ("failed", "why".to_owned()));
        assert_eq!(judge(true, false, None, true).0, "waiting");
    }

    proptest! {
        /// Whatever is asked, asking it again changes nothing more.
        #[test]
        fn what_is_done_is_done(wanted in any::<Option<bool>>(), version in any::<Option<bool>>(), enabled in any::<Option<bool>>(),
                                remove in any::<bool>(), only_wanted in any::<bool>()) {
            let before = wanted.map(|enabled| wished("1", enabled));
            let version = version.map(|second| if second { "2" } else { "1" }.to_owned());
            let archive = version.as_ref().map(|version| format!("hash of {version}"));
            let asked = PackAction { version, enabled, remove, only_wanted, ..PackAction::default() };
            if let Ok((after, _)) = plan(before.as_ref(), &asked, archive.as_deref()) {
                prop_assert!(plan(wish(&after).as_ref(), &asked, archive.as_deref()).is_err());
            }
        }
    }
}
