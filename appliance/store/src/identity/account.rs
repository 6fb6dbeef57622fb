//! One's own account: password, second factor, tokens.

use rusqlite::{Connection, OptionalExtension as _};
use sent_contract::identity::{CreatedToken, RecoveryCodes, Token, TotpSetup};
use sent_core::{
    Problem, Scope,
    cipher::Field,
    error::Kind,
    id,
    identity::{self as secrets, Rights},
};
use uuid::Uuid;

use super::directory::{Hashing, off_thread};
use crate::{
    Store, StoreError,
    connection::{unsigned, uuid},
};

/// What a new token is to be.
pub use sent_contract::identity::NewToken as TokenRequest;

/// Secrets shown once.
pub type CreatedSecrets = RecoveryCodes;

fn field(user: &str) -> Field<'_> {
    Field { table: "factors", row: user, column: "secret" }
}

impl Store {
    /// Changes one's own password; the present one must be given. Other sessions end.
    ///
    /// It counts here at once. What travels carries the proof that the present password was given, which a cloud accepts
    /// without asking anybody (docs/design/0004).
    pub async fn change_password(
        &self,
        scope: &Scope,
        user: Uuid,
        current: String,
        new: String,
    ) -> Result<(), Problem> {
        let hash = self
            .read(scope, move |db| -> Result<String, StoreError> {
                Ok(db.query_row("SELECT password_hash FROM users WHERE id = ?1", [user.to_string()], |r| r.get(0))?)
            })
            .await?;
        let hash = off_thread(Hashing::begin().await?, move || {
            let proof = secrets::prove_password(&current, &hash)
                .ok_or_else(|| Problem::field("current", "this is not your present password"))?;
            secrets::check_password_rules(&new)?;
            secrets::succeed_password(&new, &proof)
        })
        .await?;
        self.write(scope, "user.password", move |tx| -> Result<(), StoreError> {
            tx.execute("UPDATE users SET password_hash = ?2 WHERE id = ?1", (user.to_string(), hash))?;
            Ok(())
        })
        .await?;
        Ok(self.end_sessions(user).await?)
    }

    /// Begins setting up a second factor; it counts only after [`Store::confirm_totp`].
    pub async fn begin_totp(&self, scope: &Scope, user: Uuid, email: &str, issuer: &str) -> Result<TotpSetup, Problem> {
        let secret = secrets::new_totp_secret();
        let url = secrets::totp_url(&secret, email, issuer)?;
        let key = user.to_string();
        let text = self.encipher(scope.organization, &field(&key), secret.as_bytes())?;
        self.write(scope, "user.totp.begin", move |tx| -> Result<(), Problem> {
            let confirmed: Option<i64> = tx
                .query_row("SELECT confirmed FROM factors WHERE user_id = ?1", [&key], |r| r.get(0))
                .optional()
                .map_err(StoreError::from)?;
            if confirmed == Some(1) {
                return Err(Problem::conflict("a second factor is set up already; remove it first"));
            }
            tx.execute("DELETE FROM factors WHERE user_id = ?1", [&key]).map_err(StoreError::from)?;
            tx.execute("INSERT INTO factors (user_id, secret) VALUES (?1, ?2)", (&key, &text))
                .map_err(StoreError::from)?;
            Ok(())
        })
        .await?;
        Ok(TotpSetup { url, secret })
    }

    /// Confirms the second factor with a first code and makes recovery codes.
    pub async fn confirm_totp(&self, scope: &Scope, user: Uuid, code: &str) -> Result<RecoveryCodes, Problem> {
        let now = self.clock().now();
        let (store, organization) = (self.clone(), scope.organization);
        let (code, key) = (code.to_owned(), user.to_string());
        let codes = secrets::recovery_codes();
        let digests: Vec<String> = codes.iter().map(|c| secrets::digest(&secrets::canonical_code(c))).collect();
        self.write(scope, "user.totp.confirm", move |tx| -> Result<(), Problem> {
            let (text, _) = read_factor(tx, &key, 0)?.ok_or_else(|| Problem::conflict("begin the set-up first"))?;
            let secret = store.decipher(organization, &field(&key), &text)?;
            let secret = std::str::from_utf8(&secret).map_err(Problem::internal)?;
            let step = secrets::check_totp(secret, &code, now)
                .ok_or_else(|| Problem::field("code", "this code is wrong; check the clock of your phone"))?;
            let store = |e: rusqlite::Error| Problem::from(StoreError::from(e));
            tx.execute(
                "UPDATE factors SET confirmed = 1, last_step = ?2 WHERE user_id = ?1",
                (&key, step_number(step)),
            )
            .map_err(store)?;
            tx.execute("DELETE FROM recovery_codes WHERE user_id = ?1", [&key]).map_err(store)?;
            for digest in digests {
                tx.execute("INSERT INTO recovery_codes (user_id, digest) VALUES (?1, ?2)", (&key, digest))
                    .map_err(store)?;
            }
            Ok(())
        })
        .await?;
        Ok(RecoveryCodes { codes })
    }

    /// Removes the second factor.
    pub async fn remove_totp(&self, scope: &Scope, user: Uuid) -> Result<(), Problem> {
        let key = user.to_string();
        self.write(scope, "user.totp.remove", move |tx| -> Result<(), Problem> {
            let n = tx.execute("DELETE FROM factors WHERE user_id = ?1", [&key]).map_err(StoreError::from)?;
            tx.execute("DELETE FROM recovery_codes WHERE user_id = ?1", [&key]).map_err(StoreError::from)?;
            if n == 0 && read_factor(tx, &key, 0)?.is_none() {
                tx.event();
            }
            Ok(())
        })
        .await
    }

    /// Whether a one-time code or a recovery code is right; it is used up by that.
    pub(super) async fn check_factor(&self, scope: &Scope, user: Uuid, code: &str) -> Result<bool, Problem> {
        let now = self.clock().now();
        let (this, organization, key) = (self.clone(), scope.organization, user.to_string());
        let (code, digest) = (code.to_owned(), secrets::digest(&secrets::canonical_code(code)));
        self.write(scope, "session.code", move |tx| -> Result<bool, Problem> {
            let store = |e: rusqlite::Error| Problem::from(StoreError::from(e));
            let unused: i64 = tx
                .query_row(
                    "SELECT count(*) FROM recovery_codes WHERE user_id = ?1 AND digest = ?2 AND used_at IS NULL",
                    (&key, &digest),
                    |r| r.get(0),
                )
                .map_err(store)?;
            if unused > 0 {
                tx.execute(
                    "UPDATE recovery_codes SET used_at = ?3 WHERE user_id = ?1 AND digest = ?2",
                    (&key, &digest, now.0),
                )
                .map_err(store)?;
                return Ok(true);
            }
            let Some((text, last)) = read_factor(tx, &key, 1)? else { return Ok(false) };
            let secret = this.decipher(organization, &field(&key), &text)?;
            let secret = std::str::from_utf8(&secret).map_err(Problem::internal)?;
            match secrets::check_totp(secret, &code, now).map(step_number) {
                Some(step) if step > last => {
                    tx.execute("UPDATE factors SET last_step = ?2 WHERE user_id = ?1", (&key, step)).map_err(store)?;
                    Ok(true)
                }
                _ => Ok(false),
            }
        })
        .await
    }

    /// Tokens of a user.
    pub async fn tokens(&self, scope: &Scope, user: Uuid) -> Result<Vec<Token>, Problem> {
        self.read(scope, move |db| -> Result<_, StoreError> {
            let mut statement = db.prepare_cached(
                "SELECT id, name, rights, created_at, expires_at, asleep FROM api_tokens WHERE user_id = ?1 ORDER BY created_at DESC",
            )?;
            let rows = statement.query_map([user.to_string()], |r| {
                Ok((r.get::<_, String>(0)?, r.get(1)?, r.get::<_, String>(2)?, r.get(3)?, r.get(4)?, r.get::<_, i64>(5)?))
            })?;
            rows.map(|row| {
                let (id, name, rights, created_at, expires_at, asleep) = row?;
                let rights = serde_json::from_str(&rights).unwrap_or_default();
                Ok(Token { id: uuid(&id)?, name, rights, created_at, expires_at, last_used: None, asleep: asleep != 0 })
            })
            .collect()
        })
        .await
        .map_err(Problem::from)
    }

    /// Makes a token with a subset of its owner's rights. The secret is in the answer and nowhere else.
    pub async fn create_token(
        &self,
        scope: &Scope,
        user: Uuid,
        request: TokenRequest,
    ) -> Result<CreatedToken, Problem> {
        let rights = Rights(request.rights);
        if request.name.trim().is_empty() || request.name.len() > 100 {
            return Err(Problem::field("name", "say what the token is for, in at most 100 characters"));
        }
        if rights.0.is_empty() || rights.0.len() > 100 {
            return Err(Problem::field("rights", "a token needs at least one right"));
        }
        if !scope.rights.include(&rights) {
            return Err(Problem::new(Kind::Forbidden, "a token cannot do more than you can"));
        }
        let now = self.clock().now();
        let secret = secrets::new_secret("sent_");
        let token = Token {
            id: id::new(&**self.clock()),
            name: request.name.trim().to_owned(),
            rights: rights.0,
            created_at: now.0,
            expires_at: request.days.map(|d| now.plus_seconds(i64::from(d) * 86_400).0),
            last_used: None,
            asleep: false,
        };
        let (digest, row) = (secrets::digest(&secret), token.clone());
        self.write(scope, "token.create", move |tx| -> Result<(), StoreError> {
            let rights = serde_json::to_string(&row.rights).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            tx.execute(
                "INSERT INTO api_tokens (id, user_id, name, digest, rights, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                (row.id.to_string(), user.to_string(), row.name, digest, rights, row.created_at, row.expires_at),
            )?;
            Ok(())
        })
        .await?;
        Ok(CreatedToken { token, secret })
    }

    /// Wakes a token that a restore put to sleep: its owner says that it was not ended since.
    pub async fn wake_token(&self, scope: &Scope, user: Uuid, token: Uuid) -> Result<(), Problem> {
        self.write(scope, "token.wake", move |tx| -> Result<(), Problem> {
            let key = (token.to_string(), user.to_string());
            let asleep: Option<i64> = tx
                .query_row("SELECT asleep FROM api_tokens WHERE id = ?1 AND user_id = ?2", (&key.0, &key.1), |r| {
                    r.get(0)
                })
                .optional()
                .map_err(StoreError::from)?;
            match asleep {
                None => Err(Problem::not_found("token")),
                Some(0) => Err(Problem::conflict("this token is awake")),
                Some(_) => {
                    tx.execute("UPDATE api_tokens SET asleep = 0 WHERE id = ?1", [&key.0]).map_err(StoreError::from)?;
                    Ok(())
                }
            }
        })
        .await
    }

    /// What a restore left for people to do, over all organisations of the box.
    pub async fn unfinished_restore(&self) -> Result<UnfinishedRestore, StoreError> {
        self.read_store_async(unfinished_restore).await
    }

    /// The same, for verbs.
    pub fn unfinished_restore_blocking(&self) -> Result<UnfinishedRestore, StoreError> {
        self.read_store(unfinished_restore)
    }

    /// Ends a token.
    pub async fn delete_token(&self, scope: &Scope, user: Uuid, token: Uuid) -> Result<(), Problem> {
        self.write(scope, "token.delete", move |tx| -> Result<(), Problem> {
            let there: i64 = tx
                .query_row(
                    "SELECT count(*) FROM api_tokens WHERE id = ?1 AND user_id = ?2",
                    (token.to_string(), user.to_string()),
                    |r| r.get(0),
                )
                .map_err(StoreError::from)?;
            if there == 0 {
                return Err(Problem::not_found("token"));
            }
            tx.execute("DELETE FROM api_tokens WHERE id = ?1", [token.to_string()]).map_err(StoreError::from)?;
            Ok(())
        })
        .await
    }
}

/// What people have to do after a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct UnfinishedRestore {
    /// API tokens that sleep until their owners wake or end them.
    pub sleeping_tokens: u64,
    /// Users with a second factor and no recovery code.
    pub without_recovery_codes: u64,
}

fn unfinished_restore(db: &Connection) -> Result<UnfinishedRestore, StoreError> {
    let counted = db.query_row(
        "SELECT (SELECT count(*) FROM api_tokens_rows WHERE asleep = 1),
                (SELECT count(*) FROM factors_rows f WHERE f.confirmed = 1 AND NOT EXISTS (
                    SELECT 1 FROM recovery_codes_rows r WHERE r.organization_id = f.organization_id
                        AND r.user_id = f.user_id AND r.used_at IS NULL))",
        [],
        |r| Ok((r.get(0)?, r.get(1)?)),
    )?;
    Ok(UnfinishedRestore { sleeping_tokens: unsigned(counted.0), without_recovery_codes: unsigned(counted.1) })
}

fn read_factor(db: &Connection, user: &str, confirmed: i64) -> Result<Option<(String, i64)>, StoreError> {
    Ok(db
        .query_row(
            "SELECT secret, last_step FROM factors WHERE user_id = ?1 AND confirmed >= ?2",
            (user, confirmed),
            |r| Ok((r.get(0)?, r.get(1)?)),
        )
        .optional()?)
}

/// Steps of 30 s since 1970 fit into 63 bits for longer than the sun lasts.
fn step_number(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}
