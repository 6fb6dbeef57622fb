//! Roles: of one's own organisation, where nobody gives away what they may not do themselves, and of customers, where they
//! flow down to the boxes. A role that somebody has cannot be removed.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use sent_contract::identity::{NewRole, Role};
use sent_core::{
    Problem, Scope, id,
    identity::{self, Rights},
    live::Disconnect,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Answer, auth::Login, filter, reference};
use crate::{Cloud, audit::Change, db::Tx, error::Result};

/// `GET /api/roles`.
pub async fn list(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<Vec<Role>> {
    let mut tx = reference::reading(&cloud, &scope, scope.organization).await?;
    let roles = select(&mut tx, scope.organization, None).await?;
    tx.commit().await?;
    Ok(Json(roles))
}

/// `GET /api/fleet/organizations/{id}/roles`.
pub async fn customer_list(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<Role>> {
    let mut tx = reference::reading(&cloud, &scope, organization).await?;
    let roles = select(&mut tx, organization, None).await?;
    tx.commit().await?;
    Ok(Json(roles))
}

async fn select(tx: &mut Tx, organization: Uuid, only: Option<Uuid>) -> Result<Vec<Role>> {
    let rows = sqlx::query!(
        "SELECT id, name, rights FROM roles WHERE organization_id = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY name",
        organization,
        only
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Role { id: row.id, name: row.name, rights: serde_json::from_str(&row.rights)? }))
        .collect()
}

async fn one(tx: &mut Tx, organization: Uuid, role: Uuid) -> Result<Role> {
    select(tx, organization, Some(role)).await?.pop().ok_or_else(|| Problem::not_found("role").into())
}

fn read(new: NewRole) -> Result<NewRole, Problem> {
    let name = filter::name("name", &new.name)?;
    let mut rights: Vec<String> = new.rights.iter().map(|r| r.trim().to_owned()).filter(|r| !r.is_empty()).collect();
    rights.sort();
    rights.dedup();
    match rights.iter().find(|right| !identity::is_right(right)) {
        Some(bad) => {
            Err(Problem::field("rights", format!("\"{bad}\" is no right like capital.entry.post, capital.* or *")))
        }
        None => Ok(NewRole { name, rights }),
    }
}

/// Nobody hands out, or takes, more than they have.
fn within(login: &Login, rights: &[String]) -> Result<(), Problem> {
    if login.rights.include(&Rights(rights.to_vec())) {
        Ok(())
    } else {
        Err(Problem::field("rights", "this role can do more than you can"))
    }
}

/// Refuses one's own organisation, whose roles decide over the fleet itself.
fn must_be_customer(scope: &Scope, organization: Uuid) -> Result<(), Problem> {
    if organization == scope.organization {
        return Err(Problem::invalid("the roles of your own people are changed at /api/roles"));
    }
    Ok(())
}

/// `POST /api/roles`.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Json(new): Json<NewRole>,
) -> Answer<Role> {
    let new = read(new)?;
    within(&login, &new.rights)?;
    let change = Change::begin(&cloud, &scope, "role.create").await?;
    make(&cloud, change, scope.organization, new).await
}

/// `POST /api/fleet/organizations/{id}/roles`.
pub async fn customer_create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewRole>,
) -> Answer<Role> {
    must_be_customer(&scope, organization)?;
    let new = read(new)?;
    let change = reference::changing(&cloud, &scope, organization, "fleet.role.create").await?;
    make(&cloud, change, organization, new).await
}

async fn make(cloud: &Cloud, mut change: Change, organization: Uuid, new: NewRole) -> Answer<Role> {
    let role = Role { id: id::new(&*cloud.clock), name: new.name, rights: new.rights };
    sqlx::query!(
        "INSERT INTO roles (organization_id, id, name, rights) VALUES ($1, $2, $3, $4)",
        organization,
        role.id,
        role.name,
        serde_json::to_string(&role.rights)?
    )
    .execute(&mut *change)
    .await?;
    reference::finish(cloud, change).await?;
    Ok(Json(role))
}

/// `PUT /api/roles/{id}`.
pub async fn edit(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Path(role): Path<Uuid>,
    Json(new): Json<NewRole>,
) -> Answer<Role> {
    let new = read(new)?;
    within(&login, &new.rights)?;
    let mut change = Change::begin(&cloud, &scope, "role.edit").await?;
    let before = one(&mut change, scope.organization, role).await?;
    within(&login, &before.rights)?;
    let holders = holders(&mut change, scope.organization, role).await?;
    if holders.contains(&login.user) {
        return Err(Problem::conflict("nobody changes the role they have; ask another owner").into());
    }
    let answer = put(&cloud, change, scope.organization, role, new).await?;
    // What they may hear was decided when they connected.
    cloud.hub.close(|i| holders.contains(&i.user), Disconnect::EXPIRED);
    Ok(answer)
}

/// `PUT /api/fleet/organizations/{id}/roles/{role}`.
pub async fn customer_edit(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, role)): Path<(Uuid, Uuid)>,
    Json(new): Json<NewRole>,
) -> Answer<Role> {
    must_be_customer(&scope, organization)?;
    let new = read(new)?;
    let change = reference::changing(&cloud, &scope, organization, "fleet.role.edit").await?;
    put(&cloud, change, organization, role, new).await
}

async fn put(cloud: &Cloud, mut change: Change, organization: Uuid, role: Uuid, new: NewRole) -> Answer<Role> {
    sqlx::query!(
        "UPDATE roles SET name = $3, rights = $4 WHERE organization_id = $1 AND id = $2",
        organization,
        role,
        new.name,
        serde_json::to_string(&new.rights)?
    )
    .execute(&mut *change)
    .await?;
    let role = one(&mut change, organization, role).await?;
    reference::finish(cloud, change).await?;
    Ok(Json(role))
}

/// `DELETE /api/roles/{id}`.
pub async fn remove(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Path(role): Path<Uuid>,
) -> Answer<Value> {
    let mut change = Change::begin(&cloud, &scope, "role.remove").await?;
    let before = one(&mut change, scope.organization, role).await?;
    within(&login, &before.rights)?;
    take(&cloud, change, scope.organization, role).await
}

/// `DELETE /api/fleet/organizations/{id}/roles/{role}`.
pub async fn customer_remove(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path((organization, role)): Path<(Uuid, Uuid)>,
) -> Answer<Value> {
    must_be_customer(&scope, organization)?;
    let change = reference::changing(&cloud, &scope, organization, "fleet.role.remove").await?;
    take(&cloud, change, organization, role).await
}

async fn take(cloud: &Cloud, mut change: Change, organization: Uuid, role: Uuid) -> Answer<Value> {
    // Whoever gives this role to somebody at this moment holds the row shared until then.
    sqlx::query_scalar!("SELECT 1 FROM roles WHERE organization_id = $1 AND id = $2 FOR UPDATE", organization, role)
        .fetch_optional(&mut *change)
        .await?
        .ok_or_else(|| Problem::not_found("role"))?;
    let holders = holders(&mut change, organization, role).await?.len();
    if holders > 0 {
        return Err(Problem::conflict(format!("{holders} people have this role; give them another first")).into());
    }
    sqlx::query!("DELETE FROM roles WHERE organization_id = $1 AND id = $2", organization, role)
        .execute(&mut *change)
        .await?;
    reference::finish(cloud, change).await?;
    Ok(Json(json!({ "state": "removed" })))
}

async fn holders(tx: &mut Tx, organization: Uuid, role: Uuid) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!("SELECT id FROM users WHERE organization_id = $1 AND role_id = $2", organization, role)
        .fetch_all(&mut *tx)
        .await?)
}
