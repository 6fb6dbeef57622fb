//! Edits of cloud-owned rows that the cloud refused: what was asked, and why not.
//!
//! Only the last refusal of a row is kept, and only the newest [`KEPT`] of all: they tell a person why an edit went away, and
//! nothing counts on them. They are written with the checkpoint that brings the row back, so neither is seen without the other.

use rusqlite::Connection;
use sent_contract::sync::Refused;
use sent_core::Scope;
use sent_protocol::RefusedEdit;

use crate::{Store, StoreError};

/// Most that are kept.
const KEPT: i64 = 100;

/// Writes down what a checkpoint refuses; needs privilege and an open write.
pub(crate) fn keep(db: &Connection, edits: &[RefusedEdit]) -> Result<(), StoreError> {
    // The newest come first, and the newest of a row is to stay.
    for edit in edits.iter().rev() {
        let key = serde_json::to_string(&edit.key).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        db.prepare_cached(
            "INSERT INTO sys_refused (organization_id, table_name, key, cause, by, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (organization_id, table_name, key)
             DO UPDATE SET cause = excluded.cause, by = excluded.by, at = excluded.at",
        )?
        .execute((edit.organization_id.to_string(), &edit.table, key, &edit.cause, &edit.by, edit.at))?;
        tracing::warn!(table = edit.table, cause = edit.cause, by = edit.by, "the cloud refused an edit of this box");
    }
    if !edits.is_empty() {
        db.execute(
            "DELETE FROM sys_refused WHERE (organization_id, table_name, key) IN
                (SELECT organization_id, table_name, key FROM sys_refused ORDER BY at DESC LIMIT -1 OFFSET ?1)",
            [KEPT],
        )?;
    }
    Ok(())
}

impl Store {
    /// Edits of the scope's organisation that the cloud refused, newest first.
    pub async fn refused(&self, scope: &Scope) -> Result<Vec<Refused>, StoreError> {
        let organization = scope.organization.to_string();
        self.read_store_async(move |db| list(db, &organization)).await
    }

    /// The same, for verbs.
    pub fn refused_blocking(&self, scope: &Scope) -> Result<Vec<Refused>, StoreError> {
        self.read_store(|db| list(db, &scope.organization.to_string()))
    }
}

fn list(db: &Connection, organization: &str) -> Result<Vec<Refused>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT table_name, key, cause, by, at FROM sys_refused WHERE organization_id = ?1 ORDER BY at DESC, table_name, key",
    )?;
    let rows = statement
        .query_map([organization], |r| Ok((r.get(0)?, r.get::<_, String>(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))?;
    rows.map(|row| {
        let (table, key, cause, by, at) = row?;
        let key = serde_json::from_str(&key).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        Ok(Refused { table, key, cause, by, at })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use sent_protocol::Checkpoint;
    use serde_json::json;

    use super::*;

    fn edit(scope: &Scope, id: i64, cause: &str, at: i64) -> RefusedEdit {
        let key = json!({ "id": id }).as_object().cloned().unwrap_or_default();
        RefusedEdit {
            organization_id: scope.organization,
            table: "users".into(),
            key,
            cause: cause.into(),
            by: "cloud".into(),
            at,
        }
    }

    #[tokio::test]
    async fn the_last_refusal_of_a_row_stays_and_no_more_than_the_newest() {
        let (_folder, store, scope) = crate::test::store(&[]).unwrap();
        let tell = |to: u64, refused: Vec<RefusedEdit>| {
            let store = store.clone();
            async move {
                let page = Checkpoint { from: to - 1, to, complete: true, rows: vec![], refused };
                store.apply_reference(page).await.unwrap();
            }
        };
        tell(1, vec![edit(&scope, 1, "later", 20), edit(&scope, 1, "earlier", 10)]).await;
        let listed = store.refused(&scope).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!((listed[0].cause.as_str(), listed[0].at), ("later", 20));
        tell(2, (0..150).map(|n| edit(&scope, 100 + n, "no", 100 + n)).collect()).await;
        let listed = store.refused(&scope).await.unwrap();
        assert_eq!((listed.len(), listed[0].at, listed[99].at), (100, 249, 150));
        let (_, other, _) = crate::test::store(&[]).unwrap();
        assert!(other.refused(&scope).await.unwrap().is_empty());
    }
}
