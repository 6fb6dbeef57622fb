//! Users, roles, audit, settings.

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    http::StatusCode,
};
use sent_contract::{
    Page, Uuid,
    audit::{Entry, Verification},
    home::Setting,
    identity::{NewUser, Role, User, UserPatch},
    reference::OrganizationSetting,
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};
use sent_store::{AuditFilter, StoreError};
use serde::Deserialize;

use super::Gateway;

pub(super) fn routes() -> Routes<Gateway> {
    Routes::new()
        .get("/api/users", Access::Right("user.read"), users)
        .post("/api/users", Access::Right("user.write"), create_user)
        .patch("/api/users/{id}", Access::Right("user.write"), patch_user)
        .get("/api/roles", Access::Right("user.read"), roles)
        .get("/api/audit", Access::Right("audit.read"), audit)
        .post("/api/audit/verify", Access::Right("audit.verify"), verify)
        .get("/api/settings", Access::Right("settings.read"), settings)
        .get("/api/organization/settings", Access::Right("settings.read"), organization_settings)
}

async fn users(State(g): State<Gateway>, Extension(scope): Extension<Scope>) -> Result<Json<Vec<User>>, Problem> {
    Ok(Json(g.store.users(&scope).await?))
}

async fn create_user(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Json<User>), Problem> {
    within_own_rights(&g, &scope, new.role).await?;
    Ok((StatusCode::CREATED, Json(g.store.create_user(&scope, new).await?)))
}

async fn patch_user(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    Path(id): Path<Uuid>,
    Json(patch): Json<UserPatch>,
) -> Result<Json<User>, Problem> {
    if let Some(role) = patch.role {
        within_own_rights(&g, &scope, role).await?;
    }
    Ok(Json(g.store.patch_user(&scope, id, patch).await?))
}

/// Nobody can give somebody more rights than they have.
async fn within_own_rights(g: &Gateway, scope: &Scope, role: Uuid) -> Result<(), Problem> {
    let roles = g.store.roles(scope).await?;
    let rights = roles.into_iter().find(|r| r.id == role).map(|r| sent_core::identity::Rights(r.rights));
    let rights = rights.ok_or_else(|| Problem::field("role", "there is no such role"))?;
    if scope.rights.include(&rights) {
        Ok(())
    } else {
        Err(Problem::field("role", "this role can do more than you can"))
    }
}

async fn roles(State(g): State<Gateway>, Extension(scope): Extension<Scope>) -> Result<Json<Vec<Role>>, Problem> {
    Ok(Json(g.store.roles(&scope).await?))
}

/// Query of the audit timeline.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AuditQuery {
    after: Option<i64>,
    actor: Option<String>,
    action: Option<String>,
    table: Option<String>,
    key: Option<String>,
    #[serde(default)]
    people: bool,
    limit: Option<u32>,
}

async fn audit(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    Query(q): Query<AuditQuery>,
) -> Result<Json<Page<Entry>>, Problem> {
    let given = |text: Option<String>| text.filter(|t| !t.is_empty());
    let limit = q.limit.unwrap_or(100).clamp(1, 1000);
    let filter = AuditFilter {
        before: q.after,
        actor: given(q.actor),
        action: given(q.action),
        table: given(q.table),
        key: given(q.key),
        people: q.people,
        limit,
    };
    let items = g.store.audit(&scope, filter).await?;
    let next = items.last().filter(|_| items.len() == limit as usize).map(|e| e.sequence.to_string());
    Ok(Json(Page { items, next, total: None }))
}

async fn verify(State(g): State<Gateway>, Extension(scope): Extension<Scope>) -> Result<Json<Verification>, Problem> {
    let verification = g.store.verify_audit().await?;
    g.store
        .write(&scope, "audit.verify", |tx| -> Result<(), StoreError> {
            tx.event();
            Ok(())
        })
        .await?;
    Ok(Json(verification))
}

async fn settings(State(g): State<Gateway>) -> Json<Vec<Setting>> {
    Json(g.settings.listing())
}

async fn organization_settings(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Vec<OrganizationSetting>>, Problem> {
    Ok(Json(g.store.organization_settings(&scope).await?))
}
