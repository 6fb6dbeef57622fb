//! Users: one's own organisation's, and those of customers, who flow down to their boxes.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use sent_contract::identity::{Named, NewUser, User, UserPatch};
use sent_core::{
    Problem, Scope, id,
    identity::{self, Rights},
    live::Disconnect,
};
use uuid::Uuid;

use super::{Answer, auth::Login, filter, organizations::must_manage, session::off_thread};
use crate::{
    Cloud,
    audit::Change,
    db::{Tenancy, Tx},
    error::Result,
    fleet,
};

/// `GET /api/users`.
pub async fn users(State(cloud): State<Arc<Cloud>>, Extension(scope): Extension<Scope>) -> Answer<Vec<User>> {
    let mut tx = cloud.db.begin(Tenancy::One(scope.organization)).await?;
    let users = select(&mut tx, scope.organization, None).await?;
    tx.commit().await?;
    Ok(Json(users))
}

/// `GET /api/fleet/organizations/{id}/users`.
pub async fn customer_users(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
) -> Answer<Vec<User>> {
    let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
    must_manage(&mut tx, organization).await?;
    let users = select(&mut tx, organization, None).await?;
    tx.commit().await?;
    Ok(Json(users))
}

async fn select(tx: &mut Tx, organization: Uuid, only: Option<Uuid>) -> Result<Vec<User>> {
    let rows = sqlx::query!(
        "SELECT u.id, u.email, u.name, u.disabled, u.role_id, r.name AS role, u.branch_id, b.name AS \"branch?\",
                EXISTS (SELECT FROM factors f WHERE f.organization_id = u.organization_id AND f.user_id = u.id
                        AND f.confirmed_at IS NOT NULL) AS \"totp!\",
                (SELECT max(created_at) FROM sessions s
                 WHERE s.organization_id = u.organization_id AND s.user_id = u.id) AS last_login
         FROM users u
         JOIN roles r ON r.organization_id = u.organization_id AND r.id = u.role_id
         LEFT JOIN branches b ON b.organization_id = u.organization_id AND b.id = u.branch_id
         WHERE u.organization_id = $1 AND ($2::uuid IS NULL OR u.id = $2) ORDER BY u.name, u.id",
        organization,
        only
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| User {
            id: row.id,
            email: row.email,
            name: row.name,
            role: Named { id: row.role_id, name: row.role },
            branch: row.branch_id.zip(row.branch).map(|(id, name)| Named { id, name }),
            disabled: row.disabled != 0,
            totp: row.totp,
            last_login: row.last_login,
            pending: false,
        })
        .collect())
}

/// `POST /api/users`.
pub async fn create_user(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Json(new): Json<NewUser>,
) -> Answer<User> {
    let mut change = Change::begin(&cloud, &scope, "user.create").await?;
    let user = make(&mut change, &cloud, scope.organization, new, Some(&login.rights)).await?;
    change.commit().await?;
    Ok(Json(user))
}

/// `POST /api/fleet/organizations/{id}/users`.
pub async fn create_customer_user(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Path(organization): Path<Uuid>,
    Json(new): Json<NewUser>,
) -> Answer<User> {
    let mut change = Change::begin(&cloud, &scope, "fleet.user.create").await?;
    must_manage(&mut change, organization).await?;
    if organization == scope.organization {
        return Err(Problem::invalid("your own people are on the users page").into());
    }
    let user = make(&mut change, &cloud, organization, new, None).await?;
    let touched = change.commit().await?;
    fleet::ring_reference(&cloud, &touched).await;
    Ok(Json(user))
}

/// Makes a user. `within` bounds the rights of its role: nobody makes somebody mightier than themselves.
async fn make(tx: &mut Tx, cloud: &Cloud, organization: Uuid, new: NewUser, within: Option<&Rights>) -> Result<User> {
    let name = filter::name("name", &new.name)?;
    let email = filter::name("email", &new.email)?.to_lowercase();
    if email.split_once('@').is_none_or(|(local, host)| local.is_empty() || host.is_empty()) {
        return Err(Problem::field("email", "this is no e-mail address").into());
    }
    identity::check_password_rules(&new.password)?;
    check_role(tx, organization, new.role, within).await?;
    if let Some(branch) = new.branch {
        sqlx::query_scalar!("SELECT 1 FROM branches WHERE organization_id = $1 AND id = $2", organization, branch)
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| Problem::field("branch", "the organisation has no such branch"))?;
    }
    let password = new.password;
    let hash = off_thread(cloud, move || identity::hash_password(&password)).await??;
    let user = id::new(&*cloud.clock);
    sqlx::query!(
        "INSERT INTO users (organization_id, id, email, name, password_hash, role_id, branch_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        organization,
        user,
        email,
        name,
        hash,
        new.role,
        new.branch
    )
    .execute(&mut *tx)
    .await?;
    select(tx, organization, Some(user)).await?.pop().ok_or_else(|| Problem::not_found("user").into())
}

async fn check_role(tx: &mut Tx, organization: Uuid, role: Uuid, within: Option<&Rights>) -> Result<()> {
    let rights =
        // Shared until the end, so that nobody removes it meanwhile.
        sqlx::query_scalar!(
            "SELECT rights FROM roles WHERE organization_id = $1 AND id = $2 FOR SHARE",
            organization,
            role
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| Problem::field("role", "the organisation has no such role"))?;
    let rights: Rights = serde_json::from_str(&rights)?;
    match within {
        Some(own) if !own.include(&rights) => Err(Problem::field("role", "this role can do more than you can").into()),
        _ => Ok(()),
    }
}

/// `PATCH /api/users/{id}`.
pub async fn patch_user(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Path(user): Path<Uuid>,
    Json(patch): Json<UserPatch>,
) -> Answer<User> {
    if user == login.user && (patch.disabled == Some(true) || patch.role.is_some()) {
        return Err(Problem::conflict("nobody locks themselves out; ask another owner").into());
    }
    let name = patch.name.as_deref().map(|n| filter::name("name", n)).transpose()?;
    let hash = match patch.password {
        Some(password) => {
            identity::check_password_rules(&password)?;
            Some(off_thread(&cloud, move || identity::hash_password(&password)).await??)
        }
        None => None,
    };
    let mut change = Change::begin(&cloud, &scope, "user.update").await?;
    let present = sqlx::query_scalar!(
        "SELECT role_id FROM users WHERE organization_id = $1 AND id = $2",
        scope.organization,
        user
    )
    .fetch_optional(&mut *change)
    .await?
    .ok_or_else(|| Problem::not_found("user"))?;
    // Neither may a mighty user be changed by a lesser one, nor be made.
    check_role(&mut change, scope.organization, present, Some(&login.rights)).await?;
    if let Some(role) = patch.role {
        check_role(&mut change, scope.organization, role, Some(&login.rights)).await?;
    }
    sqlx::query!(
        "UPDATE users SET name = coalesce($3, name), role_id = coalesce($4, role_id),
                disabled = coalesce($5, disabled), password_hash = coalesce($6, password_hash)
         WHERE organization_id = $1 AND id = $2",
        scope.organization,
        user,
        name,
        patch.role,
        patch.disabled.map(i16::from),
        hash
    )
    .execute(&mut *change)
    .await?;
    let ends = patch.disabled == Some(true) || hash.is_some();
    if ends {
        sqlx::query!("DELETE FROM sessions WHERE organization_id = $1 AND user_id = $2", scope.organization, user)
            .execute(&mut *change)
            .await?;
    }
    let row = select(&mut change, scope.organization, Some(user)).await?.pop();
    change.commit().await?;
    if ends || patch.role.is_some() {
        cloud.hub.close(|i| i.user == user, Disconnect::EXPIRED);
    }
    Ok(Json(row.ok_or_else(|| Problem::not_found("user"))?))
}
