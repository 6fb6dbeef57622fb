//! One's own account: password, second factor, tokens.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use sent_contract::{
    Uuid,
    identity::{CreatedToken, Me, NewToken, PasswordChange, RecoveryCodes, Token, TotpRequest, TotpSetup},
};
use sent_core::{
    Problem, Scope,
    error::Kind,
    route::{Access, Routes},
};

use super::Gateway;

pub(super) fn routes() -> Routes<Gateway> {
    Routes::new()
        .post("/api/me/password", Access::Session, change_password)
        .post("/api/me/totp", Access::Session, begin_totp)
        .post("/api/me/totp/confirm", Access::Session, confirm_totp)
        .delete("/api/me/totp", Access::Session, remove_totp)
        .get("/api/tokens", Access::Session, tokens)
        .post("/api/tokens", Access::Session, create_token)
        .delete("/api/tokens/{id}", Access::Session, delete_token)
        .post("/api/tokens/{id}/wake", Access::Session, wake_token)
}

/// An account belongs to a person: a token cannot change it.
fn person(me: Option<Extension<Me>>) -> Result<Me, Problem> {
    me.map(|Extension(me)| me).ok_or_else(|| Problem::new(Kind::Forbidden, "log in: a token cannot change an account"))
}

async fn change_password(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode, Problem> {
    g.store.change_password(&scope, person(me)?.id, change.current, change.new).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn begin_totp(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
) -> Result<Json<TotpSetup>, Problem> {
    let me = person(me)?;
    Ok(Json(g.store.begin_totp(&scope, me.id, &me.email, &format!("SENT {}", me.organization.name)).await?))
}

async fn confirm_totp(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
    Json(request): Json<TotpRequest>,
) -> Result<Json<RecoveryCodes>, Problem> {
    Ok(Json(g.store.confirm_totp(&scope, person(me)?.id, &request.code).await?))
}

async fn remove_totp(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
) -> Result<StatusCode, Problem> {
    g.store.remove_totp(&scope, person(me)?.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn tokens(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
) -> Result<Json<Vec<Token>>, Problem> {
    Ok(Json(g.store.tokens(&scope, person(me)?.id).await?))
}

async fn create_token(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    Ok((StatusCode::CREATED, Json(g.store.create_token(&scope, person(me)?.id, new).await?)))
}

async fn delete_token(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    g.store.delete_token(&scope, person(me)?.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn wake_token(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    me: Option<Extension<Me>>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    g.store.wake_token(&scope, person(me)?.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
