//! Login, logout, one's own password and second factor.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header};
use sent_contract::identity::{
    LoginAnswer, LoginRequest, Me, Named, PasswordChange, RecoveryCodes, TotpRequest, TotpSetup,
};
use sent_core::{
    Actor, Problem, Scope, Timestamp,
    error::Kind,
    id,
    identity::{self, Rights, SESSION_SECONDS},
    live::Disconnect,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Answer,
    auth::{Address, COOKIE, Login, Pending, cookie},
};
use crate::{
    Cloud,
    audit::Change,
    db::{self, Tenancy, Tx},
    error::{Error, Result},
};

/// Failures are counted over so many seconds.
const WINDOW: i64 = 15 * 60;
/// Failures an account may have in that time.
const PER_ACCOUNT: i64 = 5;
/// Failures an address may have in that time.
const PER_ADDRESS: i64 = 20;

/// A password waits so long for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Works on passwords off the async threads, a few at a time: each costs 20 ms of CPU and 19 MiB.
pub async fn off_thread<T: Send + 'static>(cloud: &Cloud, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let busy = || Problem::new(Kind::Unavailable, "too many logins at once; try again shortly").with_retry_after(5);
    let turn = tokio::time::timeout(PATIENCE, cloud.passwords.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return Err(busy().into()) };
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Io(std::io::Error::other(e)))
}

/// `POST /api/session`.
pub async fn login(
    State(cloud): State<Arc<Cloud>>,
    Extension(Address(address)): Extension<Address>,
    headers: HeaderMap,
    Json(request): Json<LoginRequest>,
) -> Result<Response> {
    let email = request.email.trim().to_lowercase();
    let attempt = Attempt::begin(&cloud, &email, &address).await?;
    let candidates = candidates(&cloud, &email).await?;
    let password = request.password;
    let user = off_thread(&cloud, move || {
        if candidates.is_empty() {
            identity::verify_nobody(&password);
        }
        candidates.into_iter().find(|user| identity::verify_password(&password, &user.password_hash))
    })
    .await?;
    let Some(user) = user else {
        return Err(Problem::new(Kind::Unauthenticated, "e-mail or password is wrong").into());
    };
    let scope = user.scope(&cloud);
    let mut change = Change::begin(&cloud, &scope, "session.login").await?;
    let pending = sqlx::query_scalar!(
        "SELECT EXISTS (SELECT FROM factors WHERE organization_id = $1 AND user_id = $2 AND confirmed_at IS NOT NULL) AS \"on!\"",
        user.organization,
        user.id
    )
    .fetch_one(&mut *change)
    .await?;
    // A login rotates: whatever session the browser had is over.
    if let Some(old) = cookie(&headers) {
        end(&mut change, &identity::digest(old)).await?;
    }
    let secret = begin(&mut change, &user, pending, &address, &headers).await?;
    attempt.succeeded(&mut change).await?;
    change.commit().await?;
    let answer = if pending {
        LoginAnswer::Totp
    } else {
        LoginAnswer::Ok { me: present(&cloud, user.organization, user.id, &identity::csrf_token(&secret)).await? }
    };
    Ok(with_cookie(&cloud, Json(answer), &secret))
}

/// `POST /api/session/totp`.
pub async fn totp(
    State(cloud): State<Arc<Cloud>>,
    Extension(Address(address)): Extension<Address>,
    pending: Option<Extension<Pending>>,
    headers: HeaderMap,
    Json(request): Json<TotpRequest>,
) -> Result<Response> {
    let Some(Extension(pending)) = pending else {
        return Err(Problem::new(Kind::Unauthenticated, "log in with your password first").into());
    };
    let user = user(&cloud, pending.organization, pending.user).await?;
    let attempt = Attempt::begin(&cloud, &user.email, &address).await?;
    let mut change = Change::begin(&cloud, &user.scope(&cloud), "session.totp").await?;
    if !take_code(&cloud, &mut change, &user, &request.code).await? {
        return Err(Problem::new(Kind::Unauthenticated, "this code is wrong or was used before").into());
    }
    end(&mut change, &pending.digest).await?;
    let secret = begin(&mut change, &user, false, &address, &headers).await?;
    attempt.succeeded(&mut change).await?;
    change.commit().await?;
    let me = present(&cloud, user.organization, user.id, &identity::csrf_token(&secret)).await?;
    Ok(with_cookie(&cloud, Json(LoginAnswer::Ok { me }), &secret))
}

/// `GET /api/session`.
pub async fn me(State(cloud): State<Arc<Cloud>>, Extension(login): Extension<Login>) -> Answer<Me> {
    let mut me = present(&cloud, login.organization, login.user, &login.csrf).await?;
    me.rights = login.rights.0;
    Ok(Json(me))
}

/// `DELETE /api/session`.
pub async fn logout(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
) -> Result<Response> {
    let mut change = Change::begin(&cloud, &scope, "session.logout").await?;
    end(&mut change, &login.digest).await?;
    change.commit().await?;
    cloud.hub.close(|i| i.login == login.digest, Disconnect::EXPIRED);
    Ok(with_cookie(&cloud, Json(serde_json::json!({})), ""))
}

/// `POST /api/me/password`.
pub async fn change_password(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Json(request): Json<PasswordChange>,
) -> Answer<serde_json::Value> {
    identity::check_password_rules(&request.new)?;
    let user = user(&cloud, login.organization, login.user).await?;
    let PasswordChange { current, new } = request;
    let old = user.password_hash.clone();
    let hash =
        off_thread(&cloud, move || identity::verify_password(&current, &old).then(|| identity::hash_password(&new)))
            .await?;
    let Some(hash) = hash else { return Err(Problem::field("current", "this is not your present password").into()) };
    let hash = hash?;
    let mut change = Change::begin(&cloud, &scope, "me.password").await?;
    sqlx::query!(
        "UPDATE users SET password_hash = $3 WHERE organization_id = $1 AND id = $2",
        login.organization,
        login.user,
        hash
    )
    .execute(&mut *change)
    .await?;
    // Whoever knew the old password is out.
    end_others(&mut change, &login).await?;
    change.commit().await?;
    cloud.hub.close(|i| i.user == login.user && i.login != login.digest, Disconnect::EXPIRED);
    Ok(Json(serde_json::json!({})))
}

/// `POST /api/me/totp`.
pub async fn begin_totp(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
) -> Answer<TotpSetup> {
    let secret = identity::new_totp_secret();
    let sealed = cloud.master.seal(&factor_place(login.user), secret.as_bytes())?;
    let mut change = Change::begin(&cloud, &scope, "me.totp.begin").await?;
    let begun = sqlx::query!(
        "INSERT INTO factors AS f (organization_id, user_id, secret) VALUES ($1, $2, $3)
         ON CONFLICT (organization_id, user_id) DO UPDATE SET secret = excluded.secret, last_step = 0
         WHERE f.confirmed_at IS NULL",
        login.organization,
        login.user,
        sealed
    )
    .execute(&mut *change)
    .await?;
    if begun.rows_affected() == 0 {
        return Err(Problem::conflict("a second factor is set up already; remove it first").into());
    }
    change.commit().await?;
    Ok(Json(TotpSetup { url: identity::totp_url(&secret, &login.email, "SENT cloud")?, secret }))
}

/// `POST /api/me/totp/confirm`.
pub async fn confirm_totp(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
    Json(request): Json<TotpRequest>,
) -> Answer<RecoveryCodes> {
    let user = user(&cloud, login.organization, login.user).await?;
    let mut change = Change::begin(&cloud, &scope, "me.totp.confirm").await?;
    let now = change.at();
    let Some(factor) = factor(&mut change, &user, false).await? else {
        return Err(Problem::conflict("begin with a new secret first").into());
    };
    let secret = open_factor(&cloud, &user, &factor.secret)?;
    let Some(step) = identity::check_totp(&secret, &request.code, now) else {
        return Err(Problem::field("code", "this code does not fit; is the clock of your phone right?").into());
    };
    let codes = identity::recovery_codes();
    let hashes: Vec<String> = codes.iter().map(|c| identity::digest(&identity::canonical_code(c))).collect();
    sqlx::query!(
        "UPDATE factors SET confirmed_at = $3, last_step = $4 WHERE organization_id = $1 AND user_id = $2",
        user.organization,
        user.id,
        now.0,
        db::to_i64(step)?
    )
    .execute(&mut *change)
    .await?;
    sqlx::query!("DELETE FROM recovery_codes WHERE organization_id = $1 AND user_id = $2", user.organization, user.id)
        .execute(&mut *change)
        .await?;
    sqlx::query!(
        "INSERT INTO recovery_codes (organization_id, user_id, code_hash) SELECT $1, $2, h FROM unnest($3::text[]) AS h",
        user.organization,
        user.id,
        &hashes
    )
    .execute(&mut *change)
    .await?;
    end_others(&mut change, &login).await?;
    change.commit().await?;
    Ok(Json(RecoveryCodes { codes }))
}

/// `DELETE /api/me/totp`.
pub async fn remove_totp(
    State(cloud): State<Arc<Cloud>>,
    Extension(scope): Extension<Scope>,
    Extension(login): Extension<Login>,
) -> Answer<serde_json::Value> {
    let mut change = Change::begin(&cloud, &scope, "me.totp.remove").await?;
    sqlx::query!(
        "DELETE FROM recovery_codes WHERE organization_id = $1 AND user_id = $2",
        login.organization,
        login.user
    )
    .execute(&mut *change)
    .await?;
    sqlx::query!("DELETE FROM factors WHERE organization_id = $1 AND user_id = $2", login.organization, login.user)
        .execute(&mut *change)
        .await?;
    change.commit().await?;
    Ok(Json(serde_json::json!({})))
}

/// A user as login needs it.
struct User {
    organization: Uuid,
    id: Uuid,
    name: String,
    email: String,
    password_hash: String,
}

impl User {
    fn scope(&self, cloud: &Cloud) -> Scope {
        Scope {
            organization: self.organization,
            branch: None,
            actor: Actor::User { id: self.id, name: self.name.clone() },
            request: id::new(&*cloud.clock),
            rights: Rights::default(),
        }
    }
}

/// Users of that login name. Only an MSP's own people use the console; a customer's log in at their boxes.
async fn candidates(cloud: &Cloud, email: &str) -> Result<Vec<User>> {
    let mut tx = cloud.db.begin_presented(email).await?;
    let rows = sqlx::query_as!(
        User,
        "SELECT u.organization_id AS organization, u.id, u.name, u.email, u.password_hash
         FROM users u JOIN tenants t ON t.organization_id = u.organization_id
         WHERE lower(u.email) = $1 AND u.disabled = 0 AND t.parent_id IS NULL LIMIT 8",
        email
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rows)
}

async fn user(cloud: &Cloud, organization: Uuid, id: Uuid) -> Result<User> {
    let mut tx = cloud.db.begin(Tenancy::One(organization)).await?;
    let row = sqlx::query_as!(
        User,
        "SELECT organization_id AS organization, id, name, email, password_hash FROM users
         WHERE organization_id = $1 AND id = $2 AND disabled = 0",
        organization,
        id
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    row.ok_or_else(|| Problem::new(Kind::Unauthenticated, "log in again").into())
}

fn account(email: &str) -> Vec<u8> {
    Sha256::digest(email.as_bytes()).to_vec()
}

/// A login under way. It is written down as failed before anything is tried, and taken back when it succeeds: a thousand
/// guesses at the same moment are counted like a thousand in turn.
struct Attempt(i64);

impl Attempt {
    /// Writes the attempt down; refuses when it is one too many.
    async fn begin(cloud: &Cloud, email: &str, address: &str) -> Result<Self> {
        let now = cloud.clock.now();
        let account = account(&email.to_lowercase());
        let id = sqlx::query_scalar!(
            "INSERT INTO login_failures (account, address, at) VALUES ($1, $2, $3) RETURNING id",
            account,
            address,
            now.0
        )
        .fetch_one(cloud.db.pool())
        .await?;
        // In a statement of its own: it sees whatever was written down before it, by any replica.
        let row = sqlx::query!(
            "SELECT (SELECT count(*) FROM login_failures WHERE account = $1 AND at > $3) AS \"account!\",
                    (SELECT count(*) FROM login_failures WHERE address = $2 AND at > $3) AS \"address!\"",
            account,
            address,
            now.plus_seconds(-WINDOW).0
        )
        .fetch_one(cloud.db.pool())
        .await?;
        if row.account > PER_ACCOUNT || row.address > PER_ADDRESS {
            // Nothing was tried, so nothing failed.
            take_back(&mut *cloud.db.pool().acquire().await?, id).await?;
            let wait = u32::try_from(WINDOW).unwrap_or(u32::MAX);
            return Err(Problem::new(Kind::TooMany, "too many failed logins; wait a quarter of an hour")
                .with_retry_after(wait)
                .into());
        }
        Ok(Self(id))
    }

    async fn succeeded(self, tx: &mut Tx) -> Result<()> {
        take_back(tx, self.0).await
    }
}

async fn take_back(tx: &mut Tx, id: i64) -> Result<()> {
    sqlx::query!("DELETE FROM login_failures WHERE id = $1", id).execute(&mut *tx).await?;
    Ok(())
}

/// Makes a session and answers its secret.
async fn begin(change: &mut Change, user: &User, pending: bool, address: &str, headers: &HeaderMap) -> Result<String> {
    let now = change.at();
    let secret = identity::new_secret("");
    let agent: String =
        headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("").chars().take(200).collect();
    sqlx::query!(
        "INSERT INTO sessions (organization_id, token_hash, user_id, pending_totp, created_at, seen_at, expires_at, address, agent)
         VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)",
        user.organization,
        identity::digest(&secret),
        user.id,
        pending,
        now.0,
        now.plus_seconds(SESSION_SECONDS).0,
        address,
        agent
    )
    .execute(&mut **change)
    .await?;
    Ok(secret)
}

async fn end(tx: &mut Tx, digest: &str) -> Result<()> {
    sqlx::query!("DELETE FROM sessions WHERE token_hash = $1", digest).execute(&mut *tx).await?;
    Ok(())
}

async fn end_others(tx: &mut Tx, login: &Login) -> Result<()> {
    sqlx::query!(
        "DELETE FROM sessions WHERE organization_id = $1 AND user_id = $2 AND token_hash <> $3",
        login.organization,
        login.user,
        login.digest
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

fn with_cookie(cloud: &Cloud, answer: impl IntoResponse, secret: &str) -> Response {
    let secure = if cloud.settings.console.secure_cookies { "; Secure" } else { "" };
    let age = if secret.is_empty() { 0 } else { SESSION_SECONDS };
    let cookie = format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}");
    let mut response = answer.into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

async fn present(cloud: &Cloud, organization: Uuid, user: Uuid, csrf: &str) -> Result<Me> {
    let mut tx = cloud.db.begin(Tenancy::One(organization)).await?;
    let row = sqlx::query!(
        "SELECT u.email, u.name, u.branch_id, b.name AS \"branch?\", r.name AS role, r.rights, o.name AS organization,
                EXISTS (SELECT FROM factors f WHERE f.organization_id = u.organization_id AND f.user_id = u.id
                        AND f.confirmed_at IS NOT NULL) AS \"totp!\"
         FROM users u
         JOIN organizations o ON o.organization_id = u.organization_id
         JOIN roles r ON r.organization_id = u.organization_id AND r.id = u.role_id
         LEFT JOIN branches b ON b.organization_id = u.organization_id AND b.id = u.branch_id
         WHERE u.organization_id = $1 AND u.id = $2",
        organization,
        user
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Me {
        id: user,
        email: row.email,
        name: row.name,
        organization: Named { id: organization, name: row.organization },
        branch: row.branch_id.zip(row.branch).map(|(id, name)| Named { id, name }),
        role: row.role,
        rights: serde_json::from_str(&row.rights)?,
        csrf: csrf.to_owned(),
        totp: row.totp,
        face: "fleet".to_owned(),
        currency: None,
    })
}

fn factor_place(user: Uuid) -> String {
    format!("factors/{user}/secret")
}

struct Factor {
    secret: Vec<u8>,
    last_step: i64,
}

async fn factor(tx: &mut Tx, user: &User, confirmed: bool) -> Result<Option<Factor>> {
    // Locked, so that one code cannot be used twice at the same moment.
    Ok(sqlx::query_as!(
        Factor,
        "SELECT secret, last_step FROM factors
         WHERE organization_id = $1 AND user_id = $2 AND (confirmed_at IS NOT NULL) = $3 FOR UPDATE",
        user.organization,
        user.id,
        confirmed
    )
    .fetch_optional(&mut *tx)
    .await?)
}

fn open_factor(cloud: &Cloud, user: &User, sealed: &[u8]) -> Result<String> {
    String::from_utf8(cloud.master.open(&factor_place(user.id), sealed)?).map_err(|_| Error::Sealed)
}

/// Whether the code counts: a TOTP code of a later step than the last, or an unused recovery code. It is used up.
async fn take_code(cloud: &Cloud, tx: &mut Tx, user: &User, code: &str) -> Result<bool> {
    let Some(factor) = factor(tx, user, true).await? else { return Ok(false) };
    let secret = open_factor(cloud, user, &factor.secret)?;
    let now: Timestamp = cloud.clock.now();
    if let Some(step) = identity::check_totp(&secret, code, now) {
        let step = db::to_i64(step)?;
        if step <= factor.last_step {
            return Ok(false);
        }
        sqlx::query!(
            "UPDATE factors SET last_step = $3 WHERE organization_id = $1 AND user_id = $2",
            user.organization,
            user.id,
            step
        )
        .execute(&mut *tx)
        .await?;
        return Ok(true);
    }
    let used = sqlx::query!(
        "UPDATE recovery_codes SET used_at = $4
         WHERE organization_id = $1 AND user_id = $2 AND code_hash = $3 AND used_at IS NULL",
        user.organization,
        user.id,
        identity::digest(&identity::canonical_code(code)),
        now.0
    )
    .execute(&mut *tx)
    .await?;
    Ok(used.rows_affected() == 1)
}
