//! From a cookie or a token to a [`Scope`].
//!
//! Sessions are in the database, so a login on one replica is a login on all. The row is found by what the caller presents
//! (row-level security lets it be seen by that alone), and only then is it known whose it is. Every change by cookie
//! carries the CSRF token that follows from the session's secret.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, header};
use sent_core::{
    Actor, Problem, Scope,
    error::Kind,
    id,
    identity::{self, Rights, SESSION_IDLE_SECONDS},
    live::Identity,
};
use uuid::Uuid;

use crate::{
    Cloud,
    db::{self, Tenancy},
    error::{Error, Result},
    listen::Peer,
};

/// The cookie.
pub const COOKIE: &str = "sent_session";
/// The header every change by cookie carries.
const CSRF: &str = "x-sent-csrf";
/// The time of the last request is written at most this often.
const SEEN_EVERY: i64 = 60_000_000;

/// Who is logged in, and how.
#[derive(Clone, Debug)]
pub struct Login {
    /// User.
    pub user: Uuid,
    /// Name.
    pub name: String,
    /// Login name.
    pub email: String,
    /// Organisation.
    pub organization: Uuid,
    /// Branch.
    pub branch: Option<Uuid>,
    /// Role's name.
    pub role: String,
    /// Rights of this login.
    pub rights: Rights,
    /// SHA-256 of the session's or token's secret.
    pub digest: String,
    /// Token, if it is not a session.
    pub token: Option<(Uuid, String)>,
    /// CSRF token of a session.
    pub csrf: String,
}

/// A session whose second step is open.
#[derive(Clone, Debug)]
pub struct Pending {
    /// SHA-256 of its secret.
    pub digest: String,
    /// Organisation.
    pub organization: Uuid,
    /// User.
    pub user: Uuid,
}

/// Where a request comes from, as far as we believe it.
#[derive(Clone, Debug)]
pub struct Address(pub String);

impl Login {
    /// Who it is for the live hub.
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.user,
            login: self.digest.clone(),
            organizations: vec![self.organization],
            rights: self.rights.clone(),
        }
    }

    fn actor(&self) -> Actor {
        match &self.token {
            Some((id, name)) => Actor::Token { id: *id, name: format!("{} ({name})", self.name) },
            None => Actor::User { id: self.user, name: self.name.clone() },
        }
    }
}

/// Puts [`Scope`] and [`Login`] (or [`Pending`]) and [`Address`] into the request.
pub async fn authenticate(State(cloud): State<Arc<Cloud>>, mut request: Request, next: Next) -> Response {
    let address = address(&cloud, &request);
    request.extensions_mut().insert(Address(address));
    match find(&cloud, request.headers()).await {
        Ok(Found::Nobody) => {}
        Ok(Found::Pending(pending)) => {
            request.extensions_mut().insert(pending);
        }
        Ok(Found::Login(login)) => {
            let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
            // Logging in replaces the session, so it asks for nothing of the old one.
            let logs_in = request.uri().path() == "/api/session" && request.method() == Method::POST;
            if login.token.is_none() && !safe && !logs_in && !has_csrf(request.headers(), &login.csrf) {
                return Problem::new(Kind::Forbidden, "this page is out of date; load it again").into_response();
            }
            request.extensions_mut().insert(Scope {
                organization: login.organization,
                branch: login.branch,
                actor: login.actor(),
                request: id::new(&*cloud.clock),
                rights: login.rights.clone(),
            });
            request.extensions_mut().insert(*login);
        }
        Err(error) => return Problem::from(error).into_response(),
    }
    next.run(request).await
}

fn has_csrf(headers: &HeaderMap, expected: &str) -> bool {
    headers.get(CSRF).and_then(|v| v.to_str().ok()).is_some_and(|given| identity::same(given, expected))
}

fn address(cloud: &Cloud, request: &Request) -> String {
    let forwarded = cloud.settings.console.trust_forwarded.then(|| {
        // The last entry is the one our own load balancer added.
        let value = request.headers().get("x-forwarded-for")?.to_str().ok()?;
        value.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
    });
    let peer = request.extensions().get::<Peer>().map(|p| p.address.ip());
    forwarded.flatten().or(peer).map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
}

enum Found {
    Nobody,
    Pending(Pending),
    Login(Box<Login>),
}

async fn find(cloud: &Cloud, headers: &HeaderMap) -> Result<Found> {
    let bearer =
        headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    if let Some(token) = bearer {
        return Ok(by_token(cloud, token).await?.map_or(Found::Nobody, |login| Found::Login(Box::new(login))));
    }
    match cookie(headers) {
        Some(secret) => by_session(cloud, secret).await,
        None => Ok(Found::Nobody),
    }
}

/// The session's secret out of the request.
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE && (20..=128).contains(&value.len())).then_some(value)
    })
}

async fn by_session(cloud: &Cloud, secret: &str) -> Result<Found> {
    let digest = identity::digest(secret);
    let now = cloud.clock.now();
    let mut tx = cloud.db.begin_presented(&digest).await?;
    let row = sqlx::query!(
        "SELECT organization_id, user_id, pending_totp, seen_at, expires_at FROM sessions WHERE token_hash = $1",
        digest
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(Found::Nobody) };
    if row.expires_at <= now.0 || now.0 - row.seen_at > SESSION_IDLE_SECONDS * 1_000_000 {
        return Ok(Found::Nobody);
    }
    if row.pending_totp {
        return Ok(Found::Pending(Pending { digest, organization: row.organization_id, user: row.user_id }));
    }
    db::enter(&mut tx, Tenancy::One(row.organization_id)).await?;
    let Some(person) = person(&mut tx, row.organization_id, row.user_id).await? else { return Ok(Found::Nobody) };
    if now.0 - row.seen_at > SEEN_EVERY {
        sqlx::query!("UPDATE sessions SET seen_at = $2 WHERE token_hash = $1", digest, now.0).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    let csrf = identity::csrf_token(secret);
    Ok(Found::Login(Box::new(Login { digest, csrf, ..person })))
}

/// Whose API token it is.
pub async fn by_token(cloud: &Cloud, secret: &str) -> Result<Option<Login>> {
    let digest = identity::digest(secret);
    let now = cloud.clock.now();
    let mut tx = cloud.db.begin_presented(&digest).await?;
    let row = sqlx::query!(
        "SELECT organization_id, id, user_id, name, rights, last_used FROM api_tokens
         WHERE token_hash = $1 AND (expires_at IS NULL OR expires_at > $2)",
        digest,
        now.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    db::enter(&mut tx, Tenancy::One(row.organization_id)).await?;
    let Some(person) = person(&mut tx, row.organization_id, row.user_id).await? else { return Ok(None) };
    if row.last_used.is_none_or(|at| now.0 - at > SEEN_EVERY) {
        sqlx::query!("UPDATE api_tokens SET last_used = $2 WHERE id = $1", row.id, now.0).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    // What the owner may no longer do, the token may not either.
    let rights = Rights(row.rights.into_iter().filter(|right| person.rights.allow(right)).collect());
    Ok(Some(Login { digest, rights, token: Some((row.id, row.name)), ..person }))
}

async fn person(tx: &mut db::Tx, organization: Uuid, user: Uuid) -> Result<Option<Login>> {
    let row = sqlx::query!(
        "SELECT u.name, u.email, u.branch_id, r.name AS role, r.rights
         FROM users u JOIN roles r ON r.organization_id = u.organization_id AND r.id = u.role_id
         WHERE u.organization_id = $1 AND u.id = $2 AND u.disabled = 0",
        organization,
        user
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let rights =
        serde_json::from_str(&row.rights).map_err(|e| Error::Stored(format!("rights of {}: {e}", row.role)))?;
    Ok(Some(Login {
        user,
        name: row.name,
        email: row.email,
        organization,
        branch: row.branch_id,
        role: row.role,
        rights,
        digest: String::new(),
        token: None,
        csrf: String::new(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_cookie_among_others() {
        let mut headers = HeaderMap::new();
        let secret = "s".repeat(43);
        headers.insert(header::COOKIE, format!("a=b; {COOKIE}={secret}; c").parse().unwrap());
        assert_eq!(cookie(&headers), Some(secret.as_str()));
        headers.insert(header::COOKIE, format!("{COOKIE}=short").parse().unwrap());
        assert_eq!(cookie(&headers), None);
    }
}
