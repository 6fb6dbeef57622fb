//! Changes by people, and the chain of who made them.
//!
//! A [`Change`] is a transaction in which the database itself collects every changed row (migration 0008). Its commit
//! turns them into one entry of the actor's organisation, chained by hash; the database refuses a commit that leaves
//! collected rows without an entry, so no route can forget it. A change that touches nothing leaves no entry.

use std::ops::{Deref, DerefMut};

use sent_contract::audit::{self, Broken, Verification};
use sent_core::{Actor, Scope, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::{
    Cloud,
    db::{self, Tenancy, Tx},
    error::{Error, Result},
};

/// Hash before the first entry.
const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Entries read at a time by the verification.
const PAGE: i64 = 1_000;

/// A transaction that changes rows for somebody.
pub struct Change {
    tx: Transaction<'static, Postgres>,
    organization: Uuid,
    actor: Actor,
    request: Uuid,
    action: &'static str,
    at: Timestamp,
}

/// What a committed change touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Organisations and tables.
    pub rows: Vec<(Uuid, String)>,
}

impl Change {
    /// Begins a change for the caller: its organisation and the customers of it.
    pub async fn begin(cloud: &Cloud, scope: &Scope, action: &'static str) -> Result<Self> {
        let mut tx = cloud.db.begin(Tenancy::Tree(scope.organization)).await?;
        db::set(&mut tx, "sent.audited", "on").await?;
        Ok(Self {
            tx,
            organization: scope.organization,
            actor: scope.actor.clone(),
            request: scope.request,
            action,
            at: cloud.clock.now(),
        })
    }

    /// When the change is made.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Writes the entry and commits.
    pub async fn commit(mut self) -> Result<Touched> {
        let collected = collect(&mut self.tx, self.organization).await?;
        let touched = Touched { rows: collected.iter().map(|(org, c)| (*org, c.table.clone())).collect() };
        if !collected.is_empty() {
            let changes: Vec<&audit::Change> = collected.iter().map(|(_, c)| c).collect();
            let changes = serde_json::to_string(&changes)?;
            self.append(&changes).await?;
        }
        self.tx.commit().await?;
        Ok(touched)
    }

    async fn append(&mut self, changes: &str) -> Result<()> {
        // The head's row lock orders the entries of one organisation.
        let head = sqlx::query!(
            "INSERT INTO audit_heads AS h (organization_id, sequence, hash) VALUES ($1, 1, $2)
             ON CONFLICT (organization_id) DO UPDATE SET sequence = h.sequence + 1
             RETURNING sequence, hash",
            self.organization,
            ZERO
        )
        .fetch_one(&mut *self.tx)
        .await?;
        let link = Link {
            organization: self.organization,
            sequence: head.sequence,
            at: self.at.0,
            actor: self.actor.name(),
            actor_id: self.actor.id(),
            action: self.action,
            request: self.request,
        };
        let hash = link.hash(&head.hash, changes)?;
        sqlx::query!(
            "INSERT INTO audit (organization_id, sequence, at, actor, actor_id, action, request_id, changes, previous_hash, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self.organization,
            head.sequence,
            self.at.0,
            self.actor.name(),
            self.actor.id(),
            self.action,
            self.request,
            changes,
            head.hash,
            hash
        )
        .execute(&mut *self.tx)
        .await?;
        sqlx::query!("UPDATE audit_heads SET hash = $2 WHERE organization_id = $1", self.organization, hash)
            .execute(&mut *self.tx)
            .await?;
        Ok(())
    }
}

impl Deref for Change {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}

/// Takes the rows the database collected.
async fn collect(tx: &mut Tx, own: Uuid) -> Result<Vec<(Uuid, audit::Change)>> {
    let rows = sqlx::query!(
        "WITH taken AS (DELETE FROM audit_changes WHERE transaction = pg_current_xact_id()
                        RETURNING ordinal, organization_id, table_name, op, key, old, new)
         SELECT organization_id AS \"organization!\", table_name AS \"table!\", op AS \"op!\", key AS \"key!\",
                old AS \"old!\", new AS \"new!\"
         FROM taken ORDER BY ordinal"
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let mut key = object(row.key)?;
            if row.organization != own {
                key.insert("organization_id".to_owned(), row.organization.to_string().into());
            }
            let change =
                audit::Change { table: row.table, op: row.op, key, old: object(row.old)?, new: object(row.new)? };
            Ok((row.organization, change))
        })
        .collect()
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        other => Err(Error::Stored(format!("not an object: {other}"))),
    }
}

/// What of an entry is hashed beside its changes. Names and order are fixed.
#[derive(Serialize)]
struct Link<'a> {
    organization: Uuid,
    sequence: i64,
    at: i64,
    actor: &'a str,
    actor_id: Option<Uuid>,
    action: &'a str,
    request: Uuid,
}

impl Link<'_> {
    /// `SHA-256(previous ‖ header JSON ‖ changes)`, hex.
    fn hash(&self, previous: &str, changes: &str) -> Result<String> {
        let mut hasher = Sha256::new();
        hasher.update(previous.as_bytes());
        hasher.update(serde_json::to_vec(self)?);
        hasher.update(changes.as_bytes());
        Ok(hex::encode(hasher.finalize()))
    }
}

/// What `GET /api/audit` filters by.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Entries before this sequence.
    pub after: Option<i64>,
    /// Part of the actor's name.
    pub actor: Option<String>,
    /// Beginning of the action.
    pub action: Option<String>,
    /// Changed table.
    pub table: Option<String>,
    /// Part of the changed row's key.
    pub key: Option<String>,
    /// At most so many.
    pub limit: Option<i64>,
}

/// Entries, newest first.
pub async fn list(tx: &mut Tx, organization: Uuid, filter: &Filter, limit: i64) -> Result<Vec<audit::Entry>> {
    let rows = sqlx::query!(
        "SELECT sequence, at, actor, actor_id, action, request_id, changes, hash FROM audit
         WHERE organization_id = $1 AND ($2::bigint IS NULL OR sequence < $2)
           AND ($3::text IS NULL OR strpos(lower(actor), lower($3)) > 0)
           AND ($4::text IS NULL OR starts_with(action, $4))
           AND ($5::text IS NULL OR changes::jsonb @> jsonb_build_array(jsonb_build_object('table', $5)))
           AND ($6::text IS NULL OR jsonb_path_query_array(changes::jsonb, '$[*].key')::text LIKE '%' || $6 || '%')
         ORDER BY sequence DESC LIMIT $7",
        organization,
        filter.after,
        filter.actor,
        filter.action,
        filter.table,
        filter.key,
        limit
    )
    .fetch_all(&mut *tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(audit::Entry {
                sequence: row.sequence,
                at: row.at,
                actor: row.actor,
                actor_id: row.actor_id,
                action: row.action,
                request: row.request_id,
                changes: serde_json::from_str(&row.changes)?,
                hash: row.hash,
            })
        })
        .collect()
}

/// Walks an organisation's chain to its first broken link.
pub async fn verify(tx: &mut Tx, organization: Uuid) -> Result<Verification> {
    let mut previous = ZERO.to_owned();
    let mut expected = 1_i64;
    let broken = |sequence, cause: &str| Some(Broken { sequence, cause: cause.to_owned() });
    loop {
        let rows = sqlx::query!(
            "SELECT sequence, at, actor, actor_id, action, request_id, changes, previous_hash, hash FROM audit
             WHERE organization_id = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3",
            organization,
            expected,
            PAGE
        )
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let entries = db::to_u64(expected - 1);
            if row.sequence != expected {
                return Ok(Verification { entries, broken: broken(expected, "missing") });
            }
            let link = Link {
                organization,
                sequence: row.sequence,
                at: row.at,
                actor: &row.actor,
                actor_id: row.actor_id,
                action: &row.action,
                request: row.request_id,
            };
            if row.previous_hash != previous {
                return Ok(Verification { entries, broken: broken(expected, "out of order") });
            }
            if link.hash(&previous, &row.changes)? != row.hash {
                return Ok(Verification { entries, broken: broken(expected, "changed") });
            }
            previous = row.hash;
            expected += 1;
        }
    }
    let head = sqlx::query!("SELECT sequence, hash FROM audit_heads WHERE organization_id = $1", organization)
        .fetch_optional(&mut *tx)
        .await?;
    let entries = db::to_u64(expected - 1);
    let whole = head.map_or(entries == 0, |h| h.sequence == expected - 1 && h.hash == previous);
    Ok(Verification { entries, broken: if whole { None } else { broken(expected, "missing") } })
}
