//! API tokens of one's own.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use sent_contract::identity::{CreatedToken, NewToken, Token};
use sent_core::{
    Problem, Scope, id,
    identity::{self, Rights},
    live::Disconnect,
};
use uuid::Uuid;

use super::{Answer, auth::Login};
use crate::{Cloud, audit::Change, db::Tenancy};

/// Longest life of a token that ends, in days.
const MOST_DAYS: u32 = 3_660;

/// `GET /api/tokens`.
pub async fn list(State(cloud): State<Arc<Cloud>>, Extension(login): Extension<Login>) -> Answer<Vec<Token>> {
    let mut tx = cloud.db.begin(Tenancy::One(login.organization)).await?;
    let tokens = sqlx::query_as!(
        Token,
        "SELECT id, name, rights, created_at, expires_at, last_used, false AS \"asleep!\" FROM api_tokens
         WHERE organization_id = $1 AND user_id = $2 ORDER BY created_at DESC",
        login.organization,
        login.user
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Json(tokens))
}

/// `POST /api/tokens`.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Json(new): Json<NewToken>,
) -> Answer<CreatedToken> {
    let name = super::filter::name("name", &new.name)?;
    let rights = Rights(new.rights);
    if rights.0.is_empty() {
        return Err(Problem::field("rights", "a token needs at least one right").into());
    }
    if !login.rights.include(&rights) {
        return Err(Problem::field("rights", "a token cannot do more than you can").into());
    }
    let mut change = Change::begin(&cloud, &scope, "token.create").await?;
    let now = change.at();
    let secret = identity::new_secret("sent_");
    let token = Token {
        id: id::new(&*cloud.clock),
        name,
        rights: rights.0,
        created_at: now.0,
        expires_at: new.days.map(|days| now.plus_seconds(i64::from(days.min(MOST_DAYS)) * 86_400).0),
        last_used: None,
        asleep: false,
    };
    sqlx::query!(
        "INSERT INTO api_tokens (organization_id, id, user_id, name, rights, token_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        login.organization,
        token.id,
        login.user,
        token.name,
        &token.rights,
        identity::digest(&secret),
        token.created_at,
        token.expires_at
    )
    .execute(&mut *change)
    .await?;
    change.commit().await?;
    Ok(Json(CreatedToken { token, secret }))
}

/// `DELETE /api/tokens/{id}`.
pub async fn remove(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Path(id): Path<Uuid>,
) -> Answer<serde_json::Value> {
    let mut change = Change::begin(&cloud, &scope, "token.remove").await?;
    let digest = sqlx::query_scalar!(
        "DELETE FROM api_tokens WHERE organization_id = $1 AND user_id = $2 AND id = $3 RETURNING token_hash",
        login.organization,
        login.user,
        id
    )
    .fetch_optional(&mut *change)
    .await?
    .ok_or_else(|| Problem::not_found("token"))?;
    change.commit().await?;
    cloud.hub.close(|i| i.login == digest, Disconnect::EXPIRED);
    Ok(Json(serde_json::json!({})))
}
