//! The audit chain: who, when, what, old → new, each entry carrying the hash of the one before.
//!
//! `hash = SHA-256(previous hash ‖ sequence ‖ organisation ‖ branch ‖ time ‖ actor ‖ actor id ‖ action ‖ request ‖ changes)`, every part
//! preceded by its length, so that no two entries have the same bytes. A changed, removed or inserted entry breaks a link.

use rusqlite::{Connection, Row};
use sent_contract::audit::{Broken, Change, Entry, Verification};
use sent_core::{Scope, Timestamp};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    BoxRow, Store, StoreError,
    connection::{self, NO_HASH, unsigned},
};

/// An entry that was just appended.
pub(crate) struct Appended {
    pub(crate) sequence: i64,
    pub(crate) hash: String,
}

/// Where and how the chain is broken.
pub type Fault = Broken;

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only entries before this sequence.
    pub before: Option<i64>,
    /// Actor's name or id.
    pub actor: Option<String>,
    /// Action, or its beginning.
    pub action: Option<String>,
    /// Table that was touched.
    pub table: Option<String>,
    /// Text that a key contains.
    pub key: Option<String>,
    /// Only what people and their tokens did, not what the box did by itself.
    pub people: bool,
    /// At most so many.
    pub limit: u32,
}

struct Link<'a> {
    sequence: i64,
    organization: &'a str,
    branch: &'a str,
    at: i64,
    actor: &'a str,
    actor_id: &'a str,
    action: &'a str,
    request: &'a str,
    changes: &'a str,
}

fn link_hash(previous: &str, link: &Link<'_>) -> String {
    let mut hash = Sha256::new();
    let numbers = [link.sequence.to_be_bytes(), link.at.to_be_bytes()];
    let texts =
        [previous, link.organization, link.branch, link.actor, link.actor_id, link.action, link.request, link.changes];
    for number in numbers {
        hash.update(number);
    }
    for text in texts {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// Appends an entry after the head; needs privilege and an open write.
pub(crate) fn append(
    connection: &Connection,
    head: &BoxRow,
    scope: &Scope,
    action: &str,
    now: Timestamp,
    changes: &str,
) -> Result<Appended, StoreError> {
    let sequence = head.audit_sequence + 1;
    let organization = scope.organization.to_string();
    let branch = scope.branch.or(head.branch).map(|b| b.to_string());
    let actor_id = scope.actor.id().map(|i| i.to_string());
    let request = scope.request.to_string();
    let hash = link_hash(
        &head.audit_hash,
        &Link {
            sequence,
            organization: &organization,
            branch: branch.as_deref().unwrap_or_default(),
            at: now.0,
            actor: scope.actor.name(),
            actor_id: actor_id.as_deref().unwrap_or_default(),
            action,
            request: &request,
            changes,
        },
    );
    connection
        .prepare_cached(
            "INSERT INTO audit_rows (sequence, organization_id, branch_id, at, actor, actor_id, action, request, changes, previous_hash, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            sequence,
            &organization,
            &branch,
            now.0,
            scope.actor.name(),
            &actor_id,
            action,
            &request,
            changes,
            &head.audit_hash,
            &hash,
        ))?;
    Ok(Appended { sequence, hash })
}

impl Store {
    /// Entries of the scope's organisation, newest first.
    pub async fn audit(&self, scope: &Scope, filter: Filter) -> Result<Vec<Entry>, StoreError> {
        self.read(scope, move |db| list(db, &filter)).await
    }

    /// Walks the whole chain of the box and names the first broken link.
    pub async fn verify_audit(&self) -> Result<Verification, StoreError> {
        self.read_store_async(verify).await
    }

    /// The same, blocking.
    pub fn verify_audit_blocking(&self) -> Result<Verification, StoreError> {
        self.read_store(verify)
    }
}

fn list(db: &Connection, filter: &Filter) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT sequence, at, actor, actor_id, action, request, changes, hash FROM audit
         WHERE sequence < ?1 AND (?2 IS NULL OR actor = ?2 OR actor_id = ?2)
           AND (?3 IS NULL OR action = ?3 OR substr(action, 1, length(?3) + 1) = ?3 || '.')
           AND (?4 IS NULL OR instr(changes, '{{\"t\":\"' || ?4 || '\"') > 0)
           AND (?5 IS NULL OR instr(changes, ?5) > 0)
           {}
         ORDER BY sequence DESC LIMIT ?6",
        // A condition of its own rather than a parameter: only so does the partial index of these rows serve.
        if filter.people { "AND actor_id IS NOT NULL" } else { "" }
    ))?;
    let rows = statement.query_map(
        (
            filter.before.unwrap_or(i64::MAX),
            &filter.actor,
            &filter.action,
            &filter.table,
            &filter.key,
            filter.limit.clamp(1, 1000),
        ),
        entry,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn entry(r: &Row<'_>) -> rusqlite::Result<Entry> {
    let changes: String = r.get(6)?;
    let changes: Vec<sent_protocol::Change> = serde_json::from_str(&changes).unwrap_or_default();
    Ok(Entry {
        sequence: r.get(0)?,
        at: r.get(1)?,
        actor: r.get(2)?,
        actor_id: r.get::<_, Option<String>>(3)?.and_then(|t| Uuid::parse_str(&t).ok()),
        action: r.get(4)?,
        request: Uuid::parse_str(&r.get::<_, String>(5)?).unwrap_or_default(),
        changes: changes
            .into_iter()
            .map(|c| Change { table: c.table, op: c.op.as_str().to_owned(), key: c.key, old: c.old, new: c.new })
            .collect(),
        hash: r.get(7)?,
    })
}

fn verify(db: &Connection) -> Result<Verification, StoreError> {
    let head = connection::read_box(db)?.ok_or(StoreError::NotInitialised)?;
    let mut statement = db.prepare(
        "SELECT sequence, organization_id, branch_id, at, actor, actor_id, action, request, changes, previous_hash, hash
         FROM audit_rows ORDER BY sequence",
    )?;
    let mut rows = statement.query([])?;
    let mut previous = NO_HASH.to_owned();
    let mut entries = 0u64;
    let broken = |sequence: i64, cause: &str, entries: u64| {
        Ok(Verification { entries, broken: Some(Broken { sequence, cause: cause.to_owned() }) })
    };
    while let Some(r) = rows.next()? {
        let text = |i: usize| -> rusqlite::Result<String> { Ok(r.get::<_, Option<String>>(i)?.unwrap_or_default()) };
        let sequence: i64 = r.get(0)?;
        let expected = connection::signed(entries + 1);
        if sequence != expected {
            return broken(expected, "this entry is missing", entries);
        }
        if text(9)? != previous {
            return broken(sequence, "it does not continue the entry before it", entries);
        }
        let hash = link_hash(
            &previous,
            &Link {
                sequence,
                organization: &text(1)?,
                branch: &text(2)?,
                at: r.get(3)?,
                actor: &text(4)?,
                actor_id: &text(5)?,
                action: &text(6)?,
                request: &text(7)?,
                changes: &text(8)?,
            },
        );
        if hash != text(10)? {
            return broken(sequence, "its content was changed", entries);
        }
        previous = hash;
        entries += 1;
    }
    if entries < unsigned(head.audit_sequence) || previous != head.audit_hash {
        return broken(connection::signed(entries + 1), "the newest entries are missing", entries);
    }
    Ok(Verification { entries, broken: None })
}

#[cfg(test)]
mod tests {
    use sent_core::Actor;

    use super::*;

    #[tokio::test]
    async fn what_people_did_is_told_from_what_the_box_did() {
        let (_folder, store, scope) = crate::test::store(&[]).expect("opens");
        let anna = Scope { actor: Actor::User { id: Uuid::from_u128(7), name: "Anna".to_owned() }, ..scope.clone() };
        for (scope, action) in [(&anna, "by.anna"), (&scope, "by.itself")] {
            store
                .write_blocking(scope, action, |tx| -> Result<(), StoreError> {
                    tx.event();
                    Ok(())
                })
                .expect("writes");
        }
        let all = store.audit(&scope, Filter { limit: 2, ..Filter::default() }).await.expect("reads");
        assert_eq!([all[0].action.as_str(), all[1].action.as_str()], ["by.itself", "by.anna"]);
        let people = store.audit(&scope, Filter { limit: 9, people: true, ..Filter::default() }).await.expect("reads");
        assert_eq!(people.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["by.anna"]);
    }
}
