//! What comes from the cloud: reference rows as whole checkpoints, and transactions that a restored box had lost.
//!
//! Both are applied through the write path, so the audit shows them, but neither travels up again as if the box had made
//! it: a checkpoint does not travel at all, and a given-back transaction travels under the new epoch with the hash it was first
//! sealed with, so that the cloud knows it.

use std::collections::HashMap;

use rusqlite::{Connection, params_from_iter, types::Value as Sql};
use sent_core::Scope;
use sent_protocol::{Change, Checkpoint, Op, ReferenceRow, Transaction};
use serde_json::{Map, Value};

use crate::{
    NewBox, Store, StoreError,
    connection::{self, NO_HASH, signed, unsigned},
    outbox, refused,
    tenancy::{Columns, quoted},
    way,
    writer::{Terms, Tx, Writer},
};

/// What became of the cloud's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows or transactions applied.
    pub applied: u64,
    /// Transactions that no longer fit and were put into the quarantine.
    pub quarantined: u64,
}

impl Store {
    /// Makes this folder's box. The caller then writes the organisation and its first rows through [`Store::write`].
    pub fn initialise(&self, new: NewBox) -> Result<(), StoreError> {
        self.on_writer_blocking(move |writer| {
            let now = writer.clock.now().0;
            let db = &writer.connection;
            writer.session.privileged(|| {
                if connection::read_box(db)?.is_some() {
                    return Err(StoreError::Initialised);
                }
                db.execute(
                    "INSERT INTO sys_box (id, box_id, name, organization_id, branch_id, created_at, epoch, sequence, hash,
                                          audit_sequence, audit_hash, previous_hash, epoch_token)
                     VALUES (1, ?1, ?2, ?3, ?4, ?5, 1, 0, ?6, 0, ?6, ?6, ?7)",
                    (
                        new.box_id.to_string(),
                        &new.name,
                        new.organization.to_string(),
                        new.branch.map(|b| b.to_string()),
                        now,
                        NO_HASH,
                        uuid::Uuid::from_bytes(rand::random()).to_string(),
                    ),
                )?;
                Ok(())
            })
        })
    }

    /// A stand-alone box joins a cloud that gave it this id: everything that waits is chained anew under it.
    pub async fn adopt(&self, box_id: uuid::Uuid, name: String) -> Result<(), StoreError> {
        self.on_writer(move |writer| {
            let db = &writer.connection;
            writer.session.privileged(|| {
                let head = connection::read_box(db)?.ok_or(StoreError::NotInitialised)?;
                if head.acknowledged > 0 || !head.epoch_open {
                    return Err(StoreError::Refused("this box belongs to a cloud already".into()));
                }
                let transaction = db.unchecked_transaction()?;
                let end = outbox::reseal(db, box_id, head.epoch, false)?;
                db.execute(
                    "UPDATE sys_box SET box_id = ?1, name = ?2, sequence = ?3, hash = ?4 WHERE id = 1",
                    (box_id.to_string(), &name, signed(end.sequence), end.hash.to_string()),
                )?;
                transaction.commit()?;
                Ok(())
            })
        })
        .await
        .map_err(StoreError::sorted)
    }

    /// Applies a checkpoint of cloud-owned rows in one transaction and remembers its version as state `reference`.
    pub async fn apply_reference(&self, checkpoint: Checkpoint) -> Result<Applied, StoreError> {
        self.on_writer(move |writer| apply_checkpoint(writer, &checkpoint)).await.map_err(StoreError::sorted)
    }

    /// Version of the last checkpoint applied.
    pub async fn reference_version(&self) -> Result<u64, StoreError> {
        Ok(self.state("reference").await?.and_then(|v| v.parse().ok()).unwrap_or(0))
    }

    /// Applies transactions the cloud gave back after a restore, each in a write of its own. What no longer fits goes to the
    /// quarantine, as does what this box never sealed. Saying the same again changes nothing.
    pub async fn apply_given_back(&self, transactions: Vec<Transaction>) -> Result<Applied, StoreError> {
        self.on_writer(move |writer| {
            let mut outcome = Applied::default();
            for transaction in &transactions {
                if give_back(writer, transaction)? {
                    outcome.applied += 1;
                } else {
                    outcome.quarantined += 1;
                }
            }
            Ok(outcome)
        })
        .await
        .map_err(StoreError::sorted)
    }

    /// The cloud has been told of this epoch.
    pub async fn epoch_told(&self) -> Result<(), StoreError> {
        self.on_writer(|writer| {
            writer.session.privileged(|| {
                let transaction = writer.connection.unchecked_transaction()?;
                transaction.execute("UPDATE sys_box SET epoch_open = 0 WHERE id = 1", [])?;
                forget_settled(&transaction)?;
                transaction.commit()?;
                Ok(())
            })
        })
        .await
        .map_err(StoreError::sorted)
    }

    /// How many given-back transactions did not fit.
    pub async fn quarantined(&self) -> Result<u64, StoreError> {
        self.read_store_async(|db| Ok(unsigned(db.query_row("SELECT count(*) FROM sys_quarantine", [], |r| r.get(0))?)))
            .await
    }
}

fn apply_checkpoint(writer: &mut Writer, checkpoint: &Checkpoint) -> Result<Applied, StoreError> {
    let columns = by_name(writer)?;
    let mut organizations: Vec<uuid::Uuid> = checkpoint.rows.iter().map(|r| r.organization_id).collect();
    organizations.sort_unstable();
    organizations.dedup();
    let mut applied = 0;
    let version = checkpoint.to.to_string();
    // One transaction for each organisation would tear the checkpoint apart, so the first write carries all rows: the base
    // tables are written with each row's own organisation.
    let organization = organizations.first().copied().unwrap_or_default();
    let scope = Scope::cloud(organization, &*writer.clock);
    let terms = Terms { travels: false, privileged: true, origin: None };
    let (rows, refused) = (checkpoint.rows.clone(), checkpoint.refused.clone());
    writer.write_as(&scope, "sync.reference.apply", &terms, |tx| -> Result<(), StoreError> {
        for row in &rows {
            let Some(table) = columns.get(row.table.as_str()) else { continue };
            if !table.table.class.is_of_cloud() {
                return Err(StoreError::Refused(format!("the cloud sent rows of {}, which the box owns", row.table)));
            }
            put_reference(tx, table, row)?;
            applied += 1;
        }
        refused::keep(tx, &refused)?;
        tx.execute("INSERT INTO sys_state (key, value) VALUES ('reference', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [&version])?;
        Ok(())
    })?;
    Ok(Applied { applied, quarantined: 0 })
}

fn by_name(writer: &Writer) -> Result<HashMap<&'static str, Columns>, StoreError> {
    Ok(writer.columns.iter().map(|c| (c.table.name, c.clone())).collect())
}

fn put_reference(tx: &Tx<'_>, columns: &Columns, row: &ReferenceRow) -> Result<(), StoreError> {
    let organization = row.organization_id.to_string();
    if row.deleted {
        return match delete(tx, columns, &organization, &row.key).map_err(StoreError::sorted) {
            // Posted rows name it, so it stays, as one that the cloud does not have.
            Err(StoreError::Refused(_)) => {
                let unknown = Map::from_iter([("version".to_owned(), Value::from(0))]);
                update(tx, columns, &organization, &row.key, &unknown).map(|_| ())
            }
            other => other.map(|_| ()),
        };
    }
    let mut values = row.row.clone();
    values.extend(row.key.clone());
    values.insert("version".to_owned(), Value::from(row.version));
    match upsert(tx, columns, &organization, &row.key, &values).map_err(StoreError::sorted) {
        Err(StoreError::Duplicate(_)) => {
            way::make(tx, columns, &organization, &row.key, &values)?;
            upsert(tx, columns, &organization, &row.key, &values)
        }
        other => other,
    }
}

/// Applies a transaction of an earlier epoch. `false`: it did not fit and is in the quarantine.
fn give_back(writer: &mut Writer, transaction: &Transaction) -> Result<bool, StoreError> {
    let identity = transaction.identity().to_string();
    let known = writer.session.privileged(|| -> Result<bool, StoreError> {
        let known: i64 = writer.connection.query_row(
            "SELECT (SELECT count(*) FROM sys_outbox WHERE origin = ?1 OR hash = ?1)
                  + (SELECT count(*) FROM sys_state WHERE key = 'given-back:' || ?1)
                  + (SELECT count(*) FROM sys_quarantine WHERE identity = ?1)",
            [&identity],
            |r| r.get(0),
        )?;
        Ok(known > 0)
    })?;
    if known {
        return Ok(true);
    }
    let scope = Scope {
        branch: transaction.branch_id,
        request: transaction.request_id,
        ..Scope::cloud(transaction.organization_id, &*writer.clock)
    };
    let epoch = sealed_in(writer, transaction)?;
    let outcome = apply_again(writer, &scope, "sync.given_back.apply", transaction);
    match outcome.map_err(StoreError::sorted) {
        Ok(()) => Ok(true),
        // The page is asked for again.
        Err(error) if !error.is_of_the_data() => Err(error),
        Err(error) => {
            let document = serde_json::to_string(transaction).map_err(|e| StoreError::Corrupt(e.to_string()))?;
            let now = writer.clock.now().0;
            writer.session.privileged(|| {
                writer.connection.execute(
                    "INSERT OR IGNORE INTO sys_quarantine (identity, epoch, sequence, document, error, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    (&identity, signed(epoch.unwrap_or(0)), signed(transaction.sequence), document, error.to_string(), now),
                )
            })?;
            Ok(false)
        }
    }
}

/// Does again what a transaction did, as the same transaction.
pub(crate) fn apply_again(
    writer: &mut Writer,
    scope: &Scope,
    action: &'static str,
    transaction: &Transaction,
) -> Result<(), StoreError> {
    if sealed_in(writer, transaction)?.is_none() {
        return Err(StoreError::Corrupt("its hash is of no epoch of this box".into()));
    }
    let columns = by_name(writer)?;
    let changes = sent_protocol::change::parse(&transaction.changes).map_err(|e| StoreError::Corrupt(e.to_string()))?;
    let identity = transaction.identity().to_string();
    let terms = Terms { travels: true, privileged: true, origin: Some(identity.clone()) };
    writer.write_as(scope, action, &terms, |tx| {
        for change in changes {
            let Some(table) = columns.get(change.table.as_str()) else {
                return Err(StoreError::Corrupt(format!("there is no table {}", change.table)));
            };
            apply_change(tx, table, &transaction.organization_id.to_string(), &change)?;
        }
        tx.execute("DELETE FROM sys_quarantine WHERE identity = ?1", [&identity])?;
        tx.event();
        remember(tx, &identity, "applied")
    })
}

/// Remembers what became of a given-back transaction until the cloud knows it too ([`forget_acknowledged`]). The write goes on
/// to the cloud with the transaction's identity, so that it is given back no more.
pub(crate) fn remember(tx: &Connection, identity: &str, what: &str) -> Result<(), StoreError> {
    tx.execute("INSERT INTO sys_state (key, value) VALUES ('given-back:' || ?1, ?2)", [identity, what])?;
    Ok(())
}

/// The cloud has these transactions under this epoch, which it was told of: their identities are in the history.
pub(crate) fn forget_acknowledged(db: &Connection, identities: &[String]) -> Result<(), StoreError> {
    let mut delete = db.prepare_cached(
        "DELETE FROM sys_state WHERE key = 'given-back:' || ?1 AND (SELECT epoch_open FROM sys_box WHERE id = 1) = 0",
    )?;
    for identity in identities {
        delete.execute([identity])?;
    }
    Ok(())
}

/// Everything was given back. What the cloud has acknowledged already waits no more; needs privilege.
fn forget_settled(db: &Connection) -> Result<(), StoreError> {
    db.execute(
        "DELETE FROM sys_state WHERE key >= 'given-back:' AND key < 'given-back;'
            AND substr(key, length('given-back:') + 1) NOT IN (SELECT origin FROM sys_outbox WHERE origin IS NOT NULL)",
        [],
    )?;
    Ok(())
}

/// The epoch of this box that a transaction was sealed in: its hash covers it.
fn sealed_in(writer: &Writer, transaction: &Transaction) -> Result<Option<u64>, StoreError> {
    let head = writer.session.privileged(|| connection::read_box(&writer.connection))?;
    let head = head.ok_or(StoreError::NotInitialised)?;
    Ok((1..=head.epoch).rev().find(|epoch| transaction.compute_hash(head.box_id, *epoch) == transaction.hash))
}

fn apply_change(tx: &Tx<'_>, columns: &Columns, organization: &str, change: &Change) -> Result<(), StoreError> {
    match change.op {
        Op::Insert => {
            let mut values = change.new.clone();
            values.extend(change.key.clone());
            upsert(tx, columns, organization, &change.key, &values)
        }
        Op::Update => {
            let n = update(tx, columns, organization, &change.key, &change.new)?;
            if n == 1 { Ok(()) } else { Err(StoreError::Refused(format!("the row of {} is not there", change.table))) }
        }
        Op::Delete => delete(tx, columns, organization, &change.key).map(|_| ()),
    }
}

/// JSON as a SQLite value; objects and arrays are kept as text.
pub(crate) fn sql(value: &Value) -> Sql {
    match value {
        Value::Null => Sql::Null,
        Value::Bool(b) => Sql::Integer(i64::from(*b)),
        Value::Number(n) => n.as_i64().map_or_else(|| Sql::Real(n.as_f64().unwrap_or(0.0)), Sql::Integer),
        Value::String(s) => Sql::Text(s.clone()),
        other => Sql::Text(other.to_string()),
    }
}

fn known<'a>(columns: &'a Columns, values: &'a Map<String, Value>) -> Vec<(&'a str, &'a Value)> {
    columns.names[1..].iter().filter_map(|c| values.get_key_value(c.as_str())).map(|(k, v)| (k.as_str(), v)).collect()
}

fn condition(columns: &Columns, key: &Map<String, Value>, first: usize) -> Result<(String, Vec<Sql>), StoreError> {
    let mut text = "organization_id = ?1".to_owned();
    let mut values = Vec::new();
    for (n, name) in columns.table.key.iter().enumerate() {
        let value = key
            .get(*name)
            .ok_or_else(|| StoreError::Corrupt(format!("a key of {} has no {name}", columns.table.name)))?;
        text.push_str(&format!(" AND {} = ?{}", quoted(name), first + n));
        values.push(sql(value));
    }
    Ok((text, values))
}

fn upsert(
    tx: &Connection,
    columns: &Columns,
    organization: &str,
    key: &Map<String, Value>,
    values: &Map<String, Value>,
) -> Result<(), StoreError> {
    if update(tx, columns, organization, key, values)? > 0 {
        return Ok(());
    }
    let values = known(columns, values);
    let names: Vec<String> = values.iter().map(|(n, _)| quoted(n)).collect();
    let marks: Vec<String> = (0..values.len()).map(|i| format!("?{}", i + 2)).collect();
    let separator = if names.is_empty() { "" } else { ", " };
    let text = format!(
        "INSERT INTO {}_rows (organization_id{separator}{}) VALUES (?1{separator}{})",
        columns.table.name,
        names.join(", "),
        marks.join(", ")
    );
    let parameters = std::iter::once(Sql::Text(organization.to_owned())).chain(values.iter().map(|(_, v)| sql(v)));
    tx.prepare_cached(&text)?.execute(params_from_iter(parameters))?;
    Ok(())
}

fn update(
    tx: &Connection,
    columns: &Columns,
    organization: &str,
    key: &Map<String, Value>,
    values: &Map<String, Value>,
) -> Result<usize, StoreError> {
    let values: Vec<_> = known(columns, values).into_iter().filter(|(n, _)| !columns.table.key.contains(n)).collect();
    let set: Vec<String> = values.iter().enumerate().map(|(i, (n, _))| format!("{} = ?{}", quoted(n), i + 2)).collect();
    let (condition, key) = condition(columns, key, values.len() + 2)?;
    let parameters =
        std::iter::once(Sql::Text(organization.to_owned())).chain(values.iter().map(|(_, v)| sql(v))).chain(key);
    if set.is_empty() {
        let text = format!("SELECT count(*) FROM {}_rows WHERE {condition}", columns.table.name);
        let n: i64 = tx.prepare_cached(&text)?.query_row(params_from_iter(parameters), |r| r.get(0))?;
        return Ok(usize::try_from(n).unwrap_or(0));
    }
    // An immutable table refuses even an update that changes nothing, so a row that is there already is only compared.
    let same: Vec<String> =
        values.iter().enumerate().map(|(i, (n, _))| format!("{} IS ?{}", quoted(n), i + 2)).collect();
    let text = format!("SELECT count(*) FROM {}_rows WHERE {condition} AND {}", columns.table.name, same.join(" AND "));
    let parameters: Vec<Sql> = parameters.collect();
    let there: i64 = tx.prepare_cached(&text)?.query_row(params_from_iter(parameters.iter()), |r| r.get(0))?;
    if there > 0 {
        return Ok(1);
    }
    let text = format!("UPDATE {}_rows SET {} WHERE {condition}", columns.table.name, set.join(", "));
    Ok(tx.prepare_cached(&text)?.execute(params_from_iter(parameters.iter()))?)
}

fn delete(
    tx: &Connection,
    columns: &Columns,
    organization: &str,
    key: &Map<String, Value>,
) -> Result<usize, StoreError> {
    let (condition, key) = condition(columns, key, 2)?;
    let text = format!("DELETE FROM {}_rows WHERE {condition}", columns.table.name);
    let parameters = std::iter::once(Sql::Text(organization.to_owned())).chain(key);
    Ok(tx.prepare_cached(&text)?.execute(params_from_iter(parameters))?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Cuts work on the writer's connection off once, `after` so many instructions of SQLite's machine; `None` never.
    fn interrupt(store: &Store, after: Option<u32>) {
        let counted = AtomicU32::new(0);
        let cut = after.map(|after| move || counted.fetch_add(1, Ordering::Relaxed) == after);
        store
            .on_writer_blocking(move |writer| -> Result<(), StoreError> {
                Ok(writer.connection.progress_handler(1, cut)?)
            })
            .unwrap();
    }

    #[tokio::test]
    async fn what_is_cut_off_while_it_comes_back_comes_again_and_is_no_quarantine() {
        let (_folder, store, scope) = crate::test::store(&[]).unwrap();
        let before = store.identity().unwrap();
        store
            .write_blocking(&scope, "branch.create", |tx| -> Result<(), StoreError> {
                tx.execute("INSERT INTO branches (id, name) VALUES ('a', 'lost')", [])?;
                Ok(())
            })
            .unwrap();
        let lost = store.outbox_blocking(before.sequence, 1 << 20).unwrap();
        let (_folder, restored, scope) = crate::test::store(&[]).unwrap();
        let mut cuts = 0;
        let applied = loop {
            interrupt(&restored, Some(cuts * 3));
            match restored.apply_given_back(lost.clone()).await {
                Ok(applied) => break applied,
                Err(_) => cuts += 1,
            }
        };
        interrupt(&restored, None);
        assert!(cuts > 10, "{cuts}");
        assert_eq!(applied, Applied { applied: 1, quarantined: 0 });
        let names: i64 = restored
            .read_blocking(&scope, |db| -> Result<_, StoreError> {
                Ok(db.query_row("SELECT count(*) FROM branches WHERE name = 'lost'", [], |r| r.get(0))?)
            })
            .unwrap();
        assert_eq!(names, 1);
    }
}
