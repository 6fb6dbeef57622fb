//! Customers, their branches, and the claims that make their boxes.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use data_encoding::BASE32_NOPAD;
use sent_contract::{
    fleet::{BoxCounts, Claim, NewClaim, NewOrganization, Organization},
    identity::Named,
};
use sent_core::{
    Problem, Scope, id,
    identity::{self, BUILT_IN_ROLES},
};
use sent_protocol::claim::ClaimCode;
use serde::Deserialize;
use uuid::Uuid;

use super::{Answer, boxes, filter};
use crate::{
    Cloud,
    audit::Change,
    db::{Tenancy, Tx, to_u64},
    error::Result,
    fleet,
};

/// Hours a claim counts unless something else is said.
const CLAIM_HOURS: u32 = 24;
/// Most hours a claim may count.
const MOST_CLAIM_HOURS: u32 = 30 * 24;

/// `GET /api/fleet/organizations`.
pub async fn list(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<Vec<Organization>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    let rows = sqlx::query!(
        "SELECT o.organization_id, o.name, o.currency,
                (SELECT count(*) FROM users u WHERE u.organization_id = o.organization_id) AS \"users!\"
         FROM organizations o WHERE o.organization_id <> $1 ORDER BY o.name, o.organization_id",
        scope.organization
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut branches: HashMap<Uuid, Vec<Named>> = HashMap::new();
    for row in
        sqlx::query!("SELECT organization_id, id, name FROM branches ORDER BY name, id").fetch_all(&mut *tx).await?
    {
        branches.entry(row.organization_id).or_default().push(Named { id: row.id, name: row.name });
    }
    let mut counts: HashMap<Uuid, BoxCounts> = HashMap::new();
    let levels =
        sqlx::query!("SELECT organization_id, status_level, count(*) AS \"count!\" FROM box_states GROUP BY 1, 2");
    for row in levels.fetch_all(&mut *tx).await? {
        boxes::add(counts.entry(row.organization_id).or_default(), &row.status_level, to_u64(row.count));
    }
    tx.commit().await?;
    Ok(Json(
        rows.into_iter()
            .map(|row| Organization {
                id: row.organization_id,
                name: row.name,
                currency: row.currency,
                branches: branches.remove(&row.organization_id).unwrap_or_default(),
                boxes: counts.remove(&row.organization_id).unwrap_or_default(),
                users: u32::try_from(row.users).unwrap_or(u32::MAX),
            })
            .collect(),
    ))
}

/// `POST /api/fleet/organizations`.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Json(new): Json<NewOrganization>,
) -> Answer<Organization> {
    let name = filter::name("name", &new.name)?;
    let currency = filter::currency("currency", &new.currency)?;
    if new.branches.is_empty() {
        return Err(Problem::field("branches", "an organisation has at least one branch").into());
    }
    let mut change = Change::begin(&cloud, &scope, "fleet.organization.create").await?;
    let organization = id::new(&*cloud.clock);
    make(&mut change, &cloud, organization, Some(scope.organization), &name, &currency).await?;
    make_roles(&mut change, &cloud, organization, BUILT_IN_ROLES).await?;
    let mut branches = Vec::new();
    for branch in &new.branches {
        let name = filter::name("branches", branch)?;
        branches.push(make_branch(&mut change, &cloud, organization, &name, "UTC").await?);
    }
    change.commit().await?;
    Ok(Json(Organization { id: organization, name, currency, branches, boxes: BoxCounts::default(), users: 0 }))
}

/// Makes an organisation with its tenant and data key.
pub async fn make(
    tx: &mut Tx,
    cloud: &Cloud,
    organization: Uuid,
    parent: Option<Uuid>,
    name: &str,
    currency: &str,
) -> Result<()> {
    // First the tenant: from then on the transaction's tree holds the new organisation.
    sqlx::query!("INSERT INTO tenants (organization_id, parent_id) VALUES ($1, $2)", organization, parent)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "INSERT INTO organizations (organization_id, name, currency, parent_id) VALUES ($1, $2, $3, $4)",
        organization,
        name,
        currency,
        parent
    )
    .execute(&mut *tx)
    .await?;
    fleet::make_data_key(tx, &cloud.master, organization).await?;
    Ok(())
}

/// Makes roles out of names and rights.
pub async fn make_roles(
    tx: &mut Tx,
    cloud: &Cloud,
    organization: Uuid,
    roles: &[(&str, &[&str])],
) -> Result<HashMap<String, Uuid>> {
    let mut made = HashMap::new();
    for (name, rights) in roles {
        let role = id::new(&*cloud.clock);
        sqlx::query!(
            "INSERT INTO roles (organization_id, id, name, rights) VALUES ($1, $2, $3, $4)",
            organization,
            role,
            name,
            serde_json::to_string(rights)?
        )
        .execute(&mut *tx)
        .await?;
        made.insert((*name).to_owned(), role);
    }
    Ok(made)
}

/// Makes a branch.
pub async fn make_branch(tx: &mut Tx, cloud: &Cloud, organization: Uuid, name: &str, timezone: &str) -> Result<Named> {
    let branch = id::new(&*cloud.clock);
    sqlx::query!(
        "INSERT INTO branches (organization_id, id, name, timezone) VALUES ($1, $2, $3, $4)",
        organization,
        branch,
        name,
        timezone
    )
    .execute(&mut *tx)
    .await?;
    Ok(Named { id: branch, name: name.to_owned() })
}

/// `POST /api/fleet/organizations/{id}/branches`.
#[derive(Clone, Debug, Deserialize)]
pub struct NewBranch {
    /// Name.
    pub name: String,
    /// IANA time zone, default UTC.
    #[serde(default)]
    pub timezone: Option<String>,
}

/// `POST /api/fleet/organizations/{id}/branches`.
pub async fn add_branch(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewBranch>,
) -> Answer<Named> {
    let name = filter::name("name", &new.name)?;
    let timezone = filter::name("timezone", new.timezone.as_deref().unwrap_or("UTC"))?;
    let mut change = Change::begin(&cloud, &scope, "fleet.branch.create").await?;
    must_manage(&mut change, organization).await?;
    let branch = make_branch(&mut change, &cloud, organization, &name, &timezone).await?;
    let touched = change.commit().await?;
    fleet::ring_reference(&cloud, &touched).await;
    Ok(Json(branch))
}

/// Refuses an organisation that is not the caller's or a customer of it.
pub async fn must_manage(tx: &mut Tx, organization: Uuid) -> Result<()> {
    sqlx::query_scalar!("SELECT 1 FROM organizations WHERE organization_id = $1", organization)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Problem::not_found("organisation"))?;
    Ok(())
}

/// `POST /api/fleet/claims`.
pub async fn claim(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Json(new): Json<NewClaim>,
) -> Answer<Claim> {
    let name = filter::name("name", &new.name)?;
    let hours = new.hours.unwrap_or(CLAIM_HOURS).clamp(1, MOST_CLAIM_HOURS);
    let mut change = Change::begin(&cloud, &scope, "fleet.claim.create").await?;
    let now = change.at();
    must_manage(&mut change, new.organization).await?;
    let branch = sqlx::query_scalar!(
        "SELECT id FROM branches WHERE organization_id = $1 AND id = $2",
        new.organization,
        new.branch
    )
    .fetch_optional(&mut *change)
    .await?
    .ok_or_else(|| Problem::field("branch", "the organisation has no such branch"))?;
    let box_id = id::new(&*cloud.clock);
    fleet::make_box(&mut change, new.organization, branch, box_id, &name, now).await?;
    let secret = secret();
    let expires_at = now.plus_seconds(i64::from(hours) * 3_600);
    sqlx::query!(
        "INSERT INTO claims (organization_id, id, code_hash, box_id, created_by, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        new.organization,
        id::new(&*cloud.clock),
        identity::digest(&secret),
        box_id,
        scope.actor.name(),
        now.0,
        expires_at.0
    )
    .execute(&mut *change)
    .await?;
    change.commit().await?;
    let code = ClaimCode { secret, fingerprint: cloud.authority.fingerprint() };
    Ok(Json(Claim {
        code: code.to_string(),
        wire_url: cloud.settings.wire.url.clone(),
        box_id,
        expires_at: expires_at.0,
    }))
}

/// 80 random bits in four groups of four letters: nobody guesses it in the life of a claim.
fn secret() -> String {
    let text = BASE32_NOPAD.encode(&rand::random::<[u8; 10]>());
    [&text[0..4], &text[4..8], &text[8..12], &text[12..16]].join("-")
}
