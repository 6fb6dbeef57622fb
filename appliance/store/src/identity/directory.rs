//! Organisations, branches, roles and users.

use rusqlite::{Connection, OptionalExtension as _};
use sent_contract::{
    identity::{Named, NewUser, Role, User, UserPatch},
    reference::OrganizationSetting,
};
use sent_core::{Problem, Scope, identity as secrets};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

use crate::{Store, StoreError, Tx, connection::uuid};

/// First rows of a new organisation: itself, a branch, the built-in roles.
pub fn found_organization(
    tx: &Tx<'_>,
    name: &str,
    currency: &str,
    branch: Uuid,
    branch_name: &str,
    timezone: &str,
    mut new_id: impl FnMut() -> Uuid,
) -> Result<(), StoreError> {
    tx.execute("INSERT INTO organizations (name, currency) VALUES (?1, ?2)", (name, currency))?;
    tx.execute(
        "INSERT INTO branches (id, name, timezone) VALUES (?1, ?2, ?3)",
        (branch.to_string(), branch_name, timezone),
    )?;
    for (role, rights) in secrets::BUILT_IN_ROLES {
        let rights = serde_json::to_string(rights).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        tx.execute("INSERT INTO roles (id, name, rights) VALUES (?1, ?2, ?3)", (new_id().to_string(), role, rights))?;
    }
    Ok(())
}

/// A user's id by login name, in the scope's organisation.
pub fn find_user(db: &Connection, email: &str) -> Result<Option<Uuid>, StoreError> {
    let id: Option<String> = db.query_row("SELECT id FROM users WHERE email = ?1", [email], |r| r.get(0)).optional()?;
    id.as_deref().map(uuid).transpose()
}

fn check_email(email: &str) -> Result<(), Problem> {
    let (user, host) = email.split_once('@').unwrap_or(("", ""));
    if user.is_empty()
        || host.is_empty()
        || email.len() > 254
        || email.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err(Problem::field("email", "this is no e-mail address"));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.trim().is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(Problem::field("name", "give a name of at most 200 characters"));
    }
    Ok(())
}

impl Store {
    /// Roles of the organisation.
    pub async fn roles(&self, scope: &Scope) -> Result<Vec<Role>, Problem> {
        self.read(scope, |db| -> Result<_, StoreError> {
            let mut statement = db.prepare_cached("SELECT id, name, rights FROM roles ORDER BY name")?;
            let rows = statement.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get::<_, String>(2)?)))?;
            rows.map(|row| {
                let (id, name, rights) = row?;
                Ok(Role { id: uuid(&id)?, name, rights: serde_json::from_str(&rights).unwrap_or_default() })
            })
            .collect()
        })
        .await
        .map_err(Problem::from)
    }

    /// What holds for the whole organisation, by key. The cloud owns it.
    pub async fn organization_settings(&self, scope: &Scope) -> Result<Vec<OrganizationSetting>, Problem> {
        self.read(scope, |db| -> Result<_, StoreError> {
            let mut statement = db.prepare_cached("SELECT key, value FROM organization_settings ORDER BY key")?;
            let rows = statement.query_map([], |r| Ok(OrganizationSetting { key: r.get(0)?, value: r.get(1)? }))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
        .map_err(Problem::from)
    }

    /// Users of the organisation.
    pub async fn users(&self, scope: &Scope) -> Result<Vec<User>, Problem> {
        let organization = scope.organization;
        let mut users = self.read(scope, |db| -> Result<_, StoreError> { list(db, None) }).await?;
        let ids: Vec<String> = users.iter().map(|u| format!("user:{}", u.id)).collect();
        let seen = self
            .read_store_async(move |db| {
                let _ = organization;
                let mut statement = db.prepare_cached("SELECT at FROM sys_seen WHERE subject = ?1")?;
                ids.iter().map(|id| Ok(statement.query_row([id], |r| r.get::<_, i64>(0)).optional()?)).collect::<Result<
                    Vec<_>,
                    StoreError,
                >>(
                )
            })
            .await?;
        let has_cloud = self.has_cloud();
        for (user, seen) in users.iter_mut().zip(seen) {
            user.last_login = seen;
            user.pending &= has_cloud;
        }
        Ok(users)
    }

    /// Makes a user. The password is hashed before the write begins.
    pub async fn create_user(&self, scope: &Scope, new: NewUser) -> Result<User, Problem> {
        let (scope, store) = (scope.clone(), self.clone());
        off_thread(Hashing::begin().await?, move || store.create_user_blocking(&scope, new)).await
    }

    /// The same, for verbs.
    pub fn create_user_blocking(&self, scope: &Scope, new: NewUser) -> Result<User, Problem> {
        check_email(&new.email)?;
        check_name(&new.name)?;
        secrets::check_password_rules(&new.password)?;
        let hash = secrets::hash_password(&new.password)?;
        let id = sent_core::id::new(&**self.clock());
        let mut user = self.write_blocking(scope, "user.create", move |tx| -> Result<User, Problem> {
            known_role(tx, new.role)?;
            if find_user(tx, &new.email)?.is_some() {
                return Err(Problem::field("email", "somebody has this address already"));
            }
            let inserted = tx
                .execute(
                    "INSERT INTO users (id, email, name, password_hash, role_id, branch_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (
                        id.to_string(),
                        new.email.trim(),
                        new.name.trim(),
                        &hash,
                        new.role.to_string(),
                        new.branch.map(|b| b.to_string()),
                    ),
                )
                .map_err(|e| StoreError::sorted(e.into()));
            match inserted {
                // The address exists in another organisation of this box: say no more than that.
                Err(StoreError::Duplicate(_)) => return Err(Problem::field("email", "this address cannot be used here")),
                other => other?,
            };
            one(tx, id)
        })?;
        user.pending &= self.has_cloud();
        Ok(user)
    }

    /// Changes a user; absent fields stay. Locking or a new password ends the user's sessions.
    pub async fn patch_user(&self, scope: &Scope, id: Uuid, patch: UserPatch) -> Result<User, Problem> {
        if let Some(name) = &patch.name {
            check_name(name)?;
        }
        let hash = match patch.password.clone() {
            None => None,
            Some(password) => Some(
                off_thread(Hashing::begin().await?, move || {
                    secrets::check_password_rules(&password)?;
                    secrets::hash_password(&password)
                })
                .await?,
            ),
        };
        let ends_sessions = hash.is_some() || patch.disabled == Some(true);
        let me = scope.actor.id();
        let mut user = self
            .write(scope, "user.change", move |tx| -> Result<User, Problem> {
                let before = one(tx, id)?;
                if me == Some(id) && (patch.disabled == Some(true) || patch.role.is_some_and(|r| r != before.role.id)) {
                    return Err(Problem::conflict("you cannot lock yourself out or change your own role"));
                }
                if let Some(role) = patch.role {
                    known_role(tx, role)?;
                }
                tx.execute(
                    "UPDATE users SET name = coalesce(?2, name), role_id = coalesce(?3, role_id),
                            disabled = coalesce(?4, disabled), password_hash = coalesce(?5, password_hash) WHERE id = ?1",
                    (
                        id.to_string(),
                        patch.name.as_deref().map(str::trim),
                        patch.role.map(|r| r.to_string()),
                        patch.disabled.map(i64::from),
                        hash,
                    ),
                )
                .map_err(StoreError::from)?;
                one(tx, id)
            })
            .await?;
        if ends_sessions {
            self.end_sessions(id).await?;
        }
        user.pending &= self.has_cloud();
        Ok(user)
    }
}

/// Passwords hashed at a time. Each takes 19 MiB and a core (OWASP's first choice for argon2id), and anybody may ask for one.
const HASHES: usize = 2;

static HASHING: Semaphore = Semaphore::const_new(HASHES);

/// The place of one of those who hash now.
pub(super) struct Hashing(#[expect(dead_code, reason = "it is held")] SemaphorePermit<'static>);

impl Hashing {
    /// Waits for a place.
    pub(super) async fn begin() -> Result<Self, Problem> {
        HASHING.acquire().await.map(Self).map_err(Problem::internal)
    }
}

/// Runs work that hashes off the async threads, in the place it was given.
pub(super) async fn off_thread<T: Send + 'static>(
    place: Hashing,
    f: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    // The work goes on when nobody waits for it any more, and keeps its place until it has ended.
    let work = tokio::task::spawn_blocking(move || {
        let _place = place;
        f()
    });
    work.await.map_err(Problem::internal)?
}

fn known_role(db: &Connection, role: Uuid) -> Result<(), Problem> {
    let n: i64 = db
        .query_row("SELECT count(*) FROM roles WHERE id = ?1", [role.to_string()], |r| r.get(0))
        .map_err(StoreError::from)?;
    if n == 1 { Ok(()) } else { Err(Problem::field("role", "there is no such role")) }
}

fn one(db: &Connection, id: Uuid) -> Result<User, Problem> {
    list(db, Some(id))?.into_iter().next().ok_or_else(|| Problem::not_found("user"))
}

fn list(db: &Connection, id: Option<Uuid>) -> Result<Vec<User>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT u.id, u.email, u.name, u.role_id, coalesce(r.name, ''), u.branch_id, b.name, u.disabled, u.version,
                EXISTS (SELECT 1 FROM factors f WHERE f.user_id = u.id AND f.confirmed = 1)
         FROM users u LEFT JOIN roles r ON r.id = u.role_id LEFT JOIN branches b ON b.id = u.branch_id
         WHERE ?1 IS NULL OR u.id = ?1 ORDER BY u.name, u.email",
    )?;
    let rows = statement.query_map([id.map(|i| i.to_string())], |r| {
        Ok((
            [r.get::<_, String>(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?],
            [r.get::<_, Option<String>>(5)?, r.get(6)?],
            r.get::<_, i64>(7)? != 0,
            r.get::<_, i64>(8)? <= 0,
            r.get::<_, i64>(9)? != 0,
        ))
    })?;
    rows.map(|row| {
        let ([id, email, name, role_id, role], [branch_id, branch], disabled, pending, totp) = row?;
        let branch = match (branch_id, branch) {
            (Some(id), Some(name)) => Some(Named { id: uuid(&id)?, name }),
            _ => None,
        };
        Ok(User {
            id: uuid(&id)?,
            email,
            name,
            role: Named { id: uuid(&role_id)?, name: role },
            branch,
            disabled,
            totp,
            last_login: None,
            pending,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_passwords_are_hashed_at_a_time_than_there_are_places() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = (0..12).map(|_| {
            let (now, most) = (now.clone(), most.clone());
            tokio::spawn(async move {
                off_thread(Hashing::begin().await?, move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    secrets::verify_nobody("a guess");
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                })
                .await
            })
        });
        for work in work.collect::<Vec<_>>() {
            work.await.unwrap().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= HASHES);
    }
}
