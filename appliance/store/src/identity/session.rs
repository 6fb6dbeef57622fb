//! Logging in, staying logged in, logging out; what is counted against a guesser.
//!
//! An attempt is counted before its password is looked at, and taken back when it was right: however many come at once, no
//! more than the bound are looked at. Passwords are hashed a few at a time, so only as many attempts are ever open.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use sent_contract::identity::{Me, Named};
use sent_core::{
    Actor, Problem, Scope, Timestamp,
    error::Kind,
    id,
    identity::{self as secrets, Rights, SESSION_IDLE_SECONDS, SESSION_SECONDS},
};
use uuid::Uuid;

use super::directory::{Hashing, off_thread};
use crate::{
    Store, StoreError,
    connection::uuid,
    writer::{Terms, Writer},
};

/// Failures in [`WINDOW_SECONDS`] after which an account is asked to wait.
const ACCOUNT_FAILURES: i64 = 5;
/// The same for an address.
const ADDRESS_FAILURES: i64 = 20;
/// Failures older than this are forgotten.
const WINDOW_SECONDS: i64 = 15 * 60;
/// A session's last use is written down at most this often, so that reading pages does not write.
const SEEN_SECONDS: i64 = 60;

/// How far a login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The password was right; a one-time code is wanted.
    Totp,
    /// Logged in.
    Open,
}

/// A fresh session.
#[derive(Clone, Debug)]
pub struct Login {
    /// The cookie's value.
    pub secret: String,
    /// How far it has come.
    pub stage: Stage,
}

/// An existing session.
#[derive(Clone, Debug)]
pub struct Session {
    /// What the request is done under; only meaningful when `stage` is [`Stage::Open`].
    pub scope: Scope,
    /// How far it has come.
    pub stage: Stage,
    /// Who.
    pub me: Me,
}

struct Account {
    id: Uuid,
    organization: Uuid,
    name: String,
    password_hash: String,
    disabled: bool,
    totp: bool,
}

impl Store {
    /// First step: name and password. `address` is the caller's, for counting failures.
    pub async fn login(&self, email: &str, password: &str, address: &str) -> Result<Login, Problem> {
        let email = email.trim().to_lowercase();
        let subjects = [format!("account:{email}"), format!("address:{address}")];
        // Whoever is refused already does not wait for the others' hashes.
        self.refuse_guessers(&subjects).await?;
        let hashing = Hashing::begin().await?;
        let attempt = self.count_attempt(&subjects).await?;
        let account = self.read_store_async(move |db| find_account(db, &email)).await?;
        let password = password.to_owned();
        let account = off_thread(hashing, move || {
            Ok(match account {
                Some(a) => secrets::verify_password(&password, &a.password_hash).then_some(a),
                None => {
                    secrets::verify_nobody(&password);
                    None
                }
            })
        })
        .await?;
        let Some(account) = account.filter(|a| !a.disabled) else {
            return Err(Problem::new(Kind::Unauthenticated, "name and password do not fit, or the account is locked"));
        };
        let stage = if account.totp { Stage::Totp } else { Stage::Open };
        self.open_session(account, stage, attempt, subjects).await
    }

    /// Second step: a one-time code or a recovery code. The session's secret changes.
    pub async fn login_code(&self, secret: &str, code: &str, address: &str) -> Result<Login, Problem> {
        let session = self.session(secret).await?.filter(|s| s.stage == Stage::Totp);
        let session = session.ok_or_else(|| Problem::new(Kind::Unauthenticated, "log in with your password first"))?;
        let subjects = [format!("account:{}", session.me.email.to_lowercase()), format!("address:{address}")];
        let attempt = self.count_attempt(&subjects).await?;
        if !self.check_factor(&session.scope, session.me.id, code).await? {
            return Err(Problem::new(Kind::Unauthenticated, "this code is wrong or was used already"));
        }
        let email = session.me.email.clone();
        let account = self
            .read_store_async(move |db| find_account(db, &email))
            .await?
            .filter(|a| !a.disabled)
            .ok_or_else(|| Problem::new(Kind::Unauthenticated, "the account is locked"))?;
        self.close(secret).await?;
        self.open_session(account, Stage::Open, attempt, subjects).await
    }

    /// The session of a cookie, if it is still good.
    pub async fn session(&self, secret: &str) -> Result<Option<Session>, Problem> {
        let digest = secrets::digest(secret);
        let csrf = secrets::csrf_token(secret);
        let now = self.clock().now();
        let request = id::new(&**self.clock());
        let key = digest.clone();
        let found = self.read_store_async(move |db| read_session(db, &key, &csrf, now, request)).await?;
        if let Some((_, seen)) = &found
            && now.since(*seen) > SEEN_SECONDS * 1_000_000
        {
            self.on_writer(move |w| {
                w.session.privileged(|| {
                    w.connection.execute("UPDATE sys_sessions SET seen_at = ?2 WHERE digest = ?1", (&digest, now.0))?;
                    Ok::<_, StoreError>(())
                })
            })
            .await
            .unwrap_or_else(|error| tracing::warn!(%error, "a session's last use was not written"));
        }
        Ok(found.map(|(s, _)| s))
    }

    /// Ends a session.
    pub async fn logout(&self, scope: &Scope, secret: &str) -> Result<(), Problem> {
        let (scope, digest) = (scope.clone(), secrets::digest(secret));
        self.on_writer(move |w| {
            event(w, &scope, "session.close", |db| {
                db.execute("DELETE FROM sys_sessions WHERE digest = ?1", [&digest])?;
                Ok(())
            })
        })
        .await
        .map_err(Problem::from)
    }

    async fn close(&self, secret: &str) -> Result<(), StoreError> {
        let digest = secrets::digest(secret);
        self.on_writer(move |w| {
            w.session.privileged(|| {
                w.connection.execute("DELETE FROM sys_sessions WHERE digest = ?1", [&digest])?;
                Ok(())
            })
        })
        .await
    }

    /// Ends every session of a user.
    pub async fn end_sessions(&self, user: Uuid) -> Result<(), StoreError> {
        self.on_writer(move |w| {
            w.session.privileged(|| {
                w.connection.execute("DELETE FROM sys_sessions WHERE user_id = ?1", [user.to_string()])?;
                Ok(())
            })
        })
        .await
    }

    /// The scope of an API token, if it is still good and its owner may log in.
    pub async fn token_scope(&self, secret: &str) -> Result<Option<Scope>, Problem> {
        let digest = secrets::digest(secret);
        let now = self.clock().now();
        let request = id::new(&**self.clock());
        self.read_store_async(move |db| read_token(db, &digest, now, request)).await.map_err(Problem::from)
    }

    async fn open_session(
        &self,
        account: Account,
        stage: Stage,
        attempt: Attempt,
        subjects: [String; 2],
    ) -> Result<Login, Problem> {
        let secret = secrets::new_secret("");
        let digest = secrets::digest(&secret);
        let now = self.clock().now();
        let scope = Scope {
            actor: Actor::User { id: account.id, name: account.name },
            ..Scope::system(account.organization, "session", &**self.clock())
        };
        self.on_writer(move |w| {
            let action = match stage {
                Stage::Totp => "session.password",
                Stage::Open => "session.open",
            };
            event(w, &scope, action, |db| {
                for row in attempt.0 {
                    db.execute("DELETE FROM sys_attempts WHERE rowid = ?1", [row])?;
                }
                db.execute("DELETE FROM sys_sessions WHERE created_at < ?1", [now.0 - SESSION_SECONDS * 1_000_000])?;
                db.execute(
                    "INSERT INTO sys_sessions (digest, organization_id, user_id, stage, created_at, seen_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                    (&digest, account.organization.to_string(), account.id.to_string(), stage_word(stage), now.0),
                )?;
                if stage == Stage::Open {
                    db.execute("DELETE FROM sys_attempts WHERE subject = ?1", [&subjects[0]])?;
                    db.execute("INSERT INTO sys_seen (subject, at) VALUES (?1, ?2) ON CONFLICT (subject) DO UPDATE SET at = excluded.at", (format!("user:{}", account.id), now.0))?;
                }
                Ok(())
            })
        })
        .await?;
        Ok(Login { secret, stage })
    }

    async fn refuse_guessers(&self, subjects: &[String; 2]) -> Result<(), Problem> {
        let subjects = subjects.clone();
        let since = self.clock().now().plus_seconds(-WINDOW_SECONDS);
        let counts = self.read_store_async(move |db| attempts(db, &subjects, since)).await?;
        refuse_beyond(counts, since)
    }

    /// Counts an attempt whose outcome is open as a failed one, unless there are too many.
    async fn count_attempt(&self, subjects: &[String; 2]) -> Result<Attempt, Problem> {
        let (subjects, now) = (subjects.clone(), self.clock().now());
        let since = now.plus_seconds(-WINDOW_SECONDS);
        self.on_writer(move |w| {
            w.session.privileged(|| -> Result<Attempt, Problem> {
                let failed = |e: rusqlite::Error| StoreError::sorted(e.into());
                // Workers and verbs write too: the count must not move between the look and the entry.
                let transaction = rusqlite::Transaction::new_unchecked(&w.connection, TransactionBehavior::Immediate)
                    .map_err(failed)?;
                transaction.execute("DELETE FROM sys_attempts WHERE at < ?1", [since.0]).map_err(failed)?;
                refuse_beyond(attempts(&transaction, &subjects, since)?, since)?;
                let mut rows = [0; 2];
                for (row, subject) in rows.iter_mut().zip(&subjects) {
                    transaction
                        .execute("INSERT INTO sys_attempts (subject, at) VALUES (?1, ?2)", (subject, now.0))
                        .map_err(failed)?;
                    *row = transaction.last_insert_rowid();
                }
                transaction.commit().map_err(failed)?;
                Ok(Attempt(rows))
            })
        })
        .await
    }
}

/// An attempt under way: its rows, one of the account and one of the address.
struct Attempt([i64; 2]);

/// How many attempts failed since, and when the first of them did, of the account and of the address.
type Attempts = [(i64, Option<i64>); 2];

fn attempts(db: &Connection, subjects: &[String; 2], since: Timestamp) -> Result<Attempts, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT count(*), min(at) FROM sys_attempts WHERE subject = ?1 AND at > ?2")?;
    let mut counts = Attempts::default();
    for (count, subject) in counts.iter_mut().zip(subjects) {
        *count = statement.query_row((subject, since.0), |r| Ok((r.get(0)?, r.get(1)?)))?;
    }
    Ok(counts)
}

fn refuse_beyond(counts: Attempts, since: Timestamp) -> Result<(), Problem> {
    for ((failures, first), limit) in counts.into_iter().zip([ACCOUNT_FAILURES, ADDRESS_FAILURES]) {
        if failures >= limit {
            let wait = (first.unwrap_or(since.0) - since.0) / 1_000_000;
            let wait = u32::try_from(wait.clamp(1, WINDOW_SECONDS)).unwrap_or(60);
            return Err(Problem::new(
                Kind::TooMany,
                format!("too many failed logins; try again in {} minutes", wait.div_ceil(60)),
            )
            .with_retry_after(wait));
        }
    }
    Ok(())
}

/// A change of the store's own tables that the audit must show although no declared row changes.
pub(super) fn event(
    writer: &mut Writer,
    scope: &Scope,
    action: &'static str,
    f: impl FnOnce(&Connection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    writer.write_as(scope, action, &Terms { travels: false, privileged: true, origin: None }, |tx| {
        f(tx)?;
        tx.event();
        Ok(())
    })
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Totp => "totp",
        Stage::Open => "open",
    }
}

fn find_account(db: &Connection, email: &str) -> Result<Option<Account>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT u.id, u.organization_id, u.name, u.password_hash, u.disabled,
                    EXISTS (SELECT 1 FROM factors_rows f WHERE f.organization_id = u.organization_id AND f.user_id = u.id AND f.confirmed = 1)
             FROM users_rows u WHERE u.email = ?1",
        )?
        .query_row([email], |r| {
            Ok(([r.get::<_, String>(0)?, r.get(1)?, r.get(2)?, r.get(3)?], r.get::<_, i64>(4)? != 0, r.get::<_, i64>(5)? != 0))
        })
        .optional()?;
    let Some(([id, organization, name, password_hash], disabled, totp)) = row else { return Ok(None) };
    Ok(Some(Account { id: uuid(&id)?, organization: uuid(&organization)?, name, password_hash, disabled, totp }))
}

fn read_session(
    db: &Connection,
    digest: &str,
    csrf: &str,
    now: Timestamp,
    request: Uuid,
) -> Result<Option<(Session, Timestamp)>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT s.stage, s.seen_at, u.id, u.email, u.name, o.organization_id, o.name, r.name, r.rights, b.id, b.name, o.currency,
                    EXISTS (SELECT 1 FROM factors_rows f WHERE f.organization_id = u.organization_id AND f.user_id = u.id AND f.confirmed = 1)
             FROM sys_sessions s
             JOIN users_rows u ON u.organization_id = s.organization_id AND u.id = s.user_id AND u.disabled = 0
             JOIN organizations_rows o ON o.organization_id = s.organization_id
             JOIN roles_rows r ON r.organization_id = s.organization_id AND r.id = u.role_id
             LEFT JOIN branches_rows b ON b.organization_id = s.organization_id AND b.id = u.branch_id
             WHERE s.digest = ?1 AND s.seen_at > ?2 AND s.created_at > ?3",
        )?
        .query_row(
            (digest, now.plus_seconds(-SESSION_IDLE_SECONDS).0, now.plus_seconds(-SESSION_SECONDS).0),
            |r| {
                let texts: [String; 8] =
                    [r.get(0)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?, r.get(7)?, r.get(8)?];
                let optional: [Option<String>; 3] = [r.get(9)?, r.get(10)?, r.get(11)?];
                Ok((texts, optional, r.get::<_, i64>(1)?, r.get::<_, i64>(12)? != 0))
            },
        )
        .optional()?;
    let Some((
        [stage, user, email, name, organization, organization_name, role, rights],
        [branch, branch_name, currency],
        seen,
        totp,
    )) = row
    else {
        return Ok(None);
    };
    let rights: Vec<String> = serde_json::from_str(&rights).unwrap_or_default();
    let branch = match (branch, branch_name) {
        (Some(id), Some(name)) => Some(Named { id: uuid(&id)?, name }),
        _ => None,
    };
    let id = uuid(&user)?;
    let scope = Scope {
        organization: uuid(&organization)?,
        branch: branch.as_ref().map(|b| b.id),
        actor: Actor::User { id, name: name.clone() },
        request,
        rights: Rights(rights.clone()),
    };
    let me = Me {
        id,
        email,
        name,
        organization: Named { id: scope.organization, name: organization_name },
        branch,
        role,
        rights,
        csrf: csrf.to_owned(),
        totp,
        face: "box".to_owned(),
        currency,
    };
    let stage = if stage == "open" { Stage::Open } else { Stage::Totp };
    Ok(Some((Session { scope, stage, me }, Timestamp(seen))))
}

fn read_token(db: &Connection, digest: &str, now: Timestamp, request: Uuid) -> Result<Option<Scope>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT t.id, t.name, t.rights, t.organization_id, u.branch_id, r.rights
             FROM api_tokens_rows t
             JOIN users_rows u ON u.organization_id = t.organization_id AND u.id = t.user_id AND u.disabled = 0
             JOIN roles_rows r ON r.organization_id = t.organization_id AND r.id = u.role_id
             WHERE t.digest = ?1 AND t.asleep = 0 AND (t.expires_at IS NULL OR t.expires_at > ?2)",
        )?
        .query_row((digest, now.0), |r| {
            Ok(([r.get::<_, String>(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(5)?], r.get::<_, Option<String>>(4)?))
        })
        .optional()?;
    let Some(([id, name, rights, organization, owner], branch)) = row else { return Ok(None) };
    let own: Vec<String> = serde_json::from_str(&rights).unwrap_or_default();
    let owner = Rights(serde_json::from_str(&owner).unwrap_or_default());
    // The owner's role may have shrunk since the token was made.
    let rights = Rights(own.into_iter().filter(|r| owner.allow(r)).collect());
    Ok(Some(Scope {
        organization: uuid(&organization)?,
        branch: branch.as_deref().map(uuid).transpose()?,
        actor: Actor::Token { id: uuid(&id)?, name },
        request,
        rights,
    }))
}
