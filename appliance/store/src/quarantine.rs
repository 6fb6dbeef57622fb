//! Transactions of an earlier epoch that the cloud gave back and that no longer fit.
//!
//! Each is kept whole until somebody decides: it is applied again, as the same transaction, once what it needs is there, or it
//! is dropped. Either way it does not come back.

use rusqlite::Connection;
use sent_contract::sync::Quarantined;
use sent_core::Scope;
use sent_protocol::Transaction;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Store, StoreError,
    connection::unsigned,
    reference::{apply_again, remember},
    tenancy::Columns,
    writer::{Terms, Writer},
};

/// Most that are listed at a time.
const MOST: i64 = 1_000;

impl Store {
    /// What is in quarantine for the scope's organisation, in the order in which it was sealed; the first thousand.
    pub async fn quarantine(&self, scope: &Scope) -> Result<Vec<Quarantined>, StoreError> {
        let (store, organization) = (self.clone(), scope.organization);
        self.read_store_async(move |db| list(db, store.columns(), organization)).await
    }

    /// The same, for verbs.
    pub fn quarantine_blocking(&self, scope: &Scope) -> Result<Vec<Quarantined>, StoreError> {
        self.read_store(|db| list(db, self.columns(), scope.organization))
    }

    /// Applies one again. `name` is its identity or enough of its beginning.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is none of that name; whatever still keeps it from fitting, and it stays.
    pub async fn apply_quarantined(&self, scope: &Scope, name: &str) -> Result<(), StoreError> {
        let (scope, name) = (scope.clone(), name.to_owned());
        self.on_writer(move |writer| apply(writer, scope, &name)).await
    }

    /// The same, for verbs.
    ///
    /// # Errors
    /// Those of [`Store::apply_quarantined`].
    pub fn apply_quarantined_blocking(&self, scope: &Scope, name: &str) -> Result<(), StoreError> {
        let (scope, name) = (scope.clone(), name.to_owned());
        self.on_writer_blocking(move |writer| apply(writer, scope, &name))
    }

    /// Drops one for good. `name` is its identity or enough of its beginning.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when there is none of that name.
    pub async fn drop_quarantined(&self, scope: &Scope, name: &str) -> Result<(), StoreError> {
        let (scope, name) = (scope.clone(), name.to_owned());
        self.on_writer(move |writer| give_up(writer, &scope, &name)).await
    }

    /// The same, for verbs.
    ///
    /// # Errors
    /// Those of [`Store::drop_quarantined`].
    pub fn drop_quarantined_blocking(&self, scope: &Scope, name: &str) -> Result<(), StoreError> {
        let (scope, name) = (scope.clone(), name.to_owned());
        self.on_writer_blocking(move |writer| give_up(writer, &scope, &name))
    }
}

fn apply(writer: &mut Writer, scope: Scope, name: &str) -> Result<(), StoreError> {
    let (_, document) = writer.session.privileged(|| named(&writer.connection, scope.organization, name))?;
    let transaction: Transaction = serde_json::from_str(&document).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let scope = Scope { branch: transaction.branch_id, ..scope };
    apply_again(writer, &scope, "sync.quarantine.apply", &transaction).map_err(StoreError::sorted)
}

fn give_up(writer: &mut Writer, scope: &Scope, name: &str) -> Result<(), StoreError> {
    let (identity, document) = writer.session.privileged(|| named(&writer.connection, scope.organization, name))?;
    // The cloud hears that it is settled, by a transaction of that identity which changes nothing.
    let terms = Terms { travels: true, privileged: true, origin: Some(identity.clone()) };
    let dropped = writer.write_as(scope, "sync.quarantine.drop", &terms, |tx| -> Result<(), StoreError> {
        tx.execute("DELETE FROM sys_quarantine WHERE identity = ?1", [&identity])?;
        tx.event();
        remember(tx, &identity, "dropped")
    });
    dropped.map_err(StoreError::sorted)?;
    tracing::warn!(identity, document, "a transaction of an earlier epoch is dropped");
    Ok(())
}

fn list(db: &Connection, tables: &[Columns], organization: Uuid) -> Result<Vec<Quarantined>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT identity, epoch, document, error, at FROM sys_quarantine
         WHERE document ->> '$.organization_id' = ?1 ORDER BY epoch, sequence LIMIT ?2",
    )?;
    let rows = statement.query_map((organization.to_string(), MOST), |r| {
        Ok((r.get(0)?, unsigned(r.get(1)?), r.get::<_, String>(2)?, r.get(3)?, r.get(4)?))
    })?;
    rows.map(|row| {
        let (identity, epoch, document, error, since) = row?;
        let corrupt = |e: serde_json::Error| StoreError::Corrupt(format!("what is in quarantine: {e}"));
        let transaction: Transaction = serde_json::from_str(&document).map_err(corrupt)?;
        let mut changes = serde_json::from_str(transaction.changes.get()).map_err(corrupt)?;
        hide_secrets(&mut changes, tables);
        Ok(Quarantined {
            identity,
            epoch,
            sequence: transaction.sequence,
            action: transaction.action,
            actor: transaction.actor,
            at: transaction.at,
            changes,
            error,
            since,
        })
    })
    .collect()
}

/// Secrets travel, but nobody needs to see them to decide.
fn hide_secrets(changes: &mut Value, tables: &[Columns]) {
    for change in changes.as_array_mut().into_iter().flatten() {
        let Some(table) = tables.iter().find(|c| change.get("t").is_some_and(|t| t == c.table.name)) else { continue };
        for side in ["n", "p"] {
            for secret in &table.secret {
                if let Some(value) = change.get_mut(side).and_then(|values| values.get_mut(&table.names[*secret])) {
                    *value = Value::from("•");
                }
            }
        }
    }
}

/// Identity and document of the one whose identity begins like this.
fn named(db: &Connection, organization: Uuid, name: &str) -> Result<(String, String), StoreError> {
    let mut statement = db.prepare(
        "SELECT identity, document FROM sys_quarantine
         WHERE document ->> '$.organization_id' = ?1 AND substr(identity, 1, length(?2)) = ?2 LIMIT 2",
    )?;
    let found = statement.query_map((organization.to_string(), name), |r| Ok((r.get(0)?, r.get(1)?)))?;
    let mut found: Vec<_> = found.collect::<Result<_, _>>()?;
    match (found.pop(), found.pop()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(StoreError::Refused(format!("nothing in quarantine is called {name}"))),
        (Some(_), Some(_)) => {
            Err(StoreError::Refused(format!("several in quarantine begin with {name}; say more of it")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let (_folder, store, _) = crate::test::store(&[]).unwrap();
        let mut changes = json!([
            { "t": "users", "o": "u", "k": { "id": "u" }, "n": { "name": "Ada", "password_hash": "new" }, "p": { "password_hash": "old" } },
            { "t": "branches", "o": "i", "k": { "id": "b" }, "n": { "name": "Quay 9" } },
            { "t": "unknown", "o": "d", "k": {} },
        ]);
        hide_secrets(&mut changes, store.columns());
        let hidden = json!([
            { "t": "users", "o": "u", "k": { "id": "u" }, "n": { "name": "Ada", "password_hash": "•" }, "p": { "password_hash": "•" } },
            { "t": "branches", "o": "i", "k": { "id": "b" }, "n": { "name": "Quay 9" } },
            { "t": "unknown", "o": "d", "k": {} },
        ]);
        assert_eq!(changes, hidden);
    }
}
