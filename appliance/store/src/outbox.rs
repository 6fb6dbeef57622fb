//! What waits for the cloud: whole transactions, in order, chained by hash (docs/design/0003).

use rusqlite::{Connection, Row};
use sent_core::{Actor, Scope, Timestamp};
use sent_protocol::{Hash, Head, Transaction};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    BoxRow, Store, StoreError,
    audit::Appended,
    connection::{self, signed, unsigned, uuid},
    reference,
};

/// Bytes of transactions that are held in memory while what waits is chained anew.
const AT_ONCE: usize = 256 << 10;

/// What waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Transactions.
    pub transactions: u64,
    /// When the oldest was made.
    pub oldest: Option<Timestamp>,
}

/// A transaction's place in the chain, without what it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Hash of the one before it.
    pub previous_hash: Hash,
    /// When it was made.
    pub at: Timestamp,
}

fn hash(text: &str) -> Result<Hash, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt(format!("\"{text}\" is no SHA-256")))
}

fn raw(text: String) -> Result<Box<RawValue>, StoreError> {
    RawValue::from_string(text).map_err(|e| StoreError::Corrupt(format!("recorded changes are no JSON: {e}")))
}

/// Seals a transaction onto the chain and returns its sequence and hash; needs privilege and an open write.
#[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename them")]
pub(crate) fn append(
    connection: &Connection,
    head: &BoxRow,
    scope: &Scope,
    action: &str,
    now: Timestamp,
    entry: &Appended,
    audit_changes: &str,
    own: Option<String>,
    origin: Option<&str>,
) -> Result<(u64, String), StoreError> {
    let mut transaction = Transaction {
        sequence: 0,
        previous_hash: Hash::ZERO,
        hash: Hash::ZERO,
        organization_id: scope.organization,
        branch_id: scope.branch.or(head.branch),
        actor: actor_word(&scope.actor),
        action: action.to_owned(),
        request_id: scope.request,
        at: now.0,
        audit_hash: hash(&entry.hash)?,
        origin: origin.map(hash).transpose()?,
        changes: raw(own.clone().unwrap_or_else(|| audit_changes.to_owned()))?,
    };
    let after =
        transaction.seal(head.box_id, Head { epoch: head.epoch, sequence: head.sequence, hash: hash(&head.hash)? });
    insert(connection, head.epoch, &transaction, entry.sequence, own.as_deref())?;
    Ok((after.sequence, after.hash.to_string()))
}

fn insert(
    connection: &Connection,
    epoch: u64,
    t: &Transaction,
    audit_sequence: i64,
    own: Option<&str>,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO sys_outbox (epoch, sequence, audit_sequence, previous_hash, hash, origin, changes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            signed(epoch),
            signed(t.sequence),
            audit_sequence,
            t.previous_hash.to_string(),
            t.hash.to_string(),
            t.origin.map(|o| o.to_string()),
            own,
        ))?;
    Ok(())
}

fn actor_word(actor: &Actor) -> String {
    match actor {
        Actor::User { id, .. } | Actor::Token { id, .. } => id.to_string(),
        Actor::System { .. } => "system".to_owned(),
        Actor::Cloud => "cloud".to_owned(),
    }
}

const SELECT: &str = "SELECT o.sequence, o.previous_hash, o.hash, o.origin, coalesce(o.changes, a.changes),
        a.organization_id, a.branch_id, a.actor_id, a.actor, a.action, a.request, a.at, a.hash, o.audit_sequence,
        o.changes IS NOT NULL, o.epoch
     FROM sys_outbox o JOIN audit_rows a ON a.sequence = o.audit_sequence";

/// What the outbox knows of a transaction besides itself.
struct Filed {
    epoch: i64,
    audit_sequence: i64,
    /// What travels is not what the audit shows.
    own: bool,
}

fn read_row(r: &Row<'_>) -> Result<(Transaction, Filed), StoreError> {
    let text = |i: usize| r.get::<_, String>(i);
    let optional = |i: usize| r.get::<_, Option<String>>(i);
    let actor_id = optional(7)?;
    let name = text(8)?;
    let transaction = Transaction {
        sequence: unsigned(r.get(0)?),
        previous_hash: hash(&text(1)?)?,
        hash: hash(&text(2)?)?,
        origin: optional(3)?.as_deref().map(hash).transpose()?,
        changes: raw(text(4)?)?,
        organization_id: uuid(&text(5)?)?,
        branch_id: optional(6)?.as_deref().map(uuid).transpose()?,
        actor: actor_id.unwrap_or_else(|| if name == "cloud" { name } else { "system".to_owned() }),
        action: text(9)?,
        request_id: uuid(&text(10)?)?,
        at: r.get(11)?,
        audit_hash: hash(&text(12)?)?,
    };
    Ok((transaction, Filed { audit_sequence: r.get(13)?, own: r.get(14)?, epoch: r.get(15)? }))
}

/// Transactions after `after` of the present epoch, in order, until `max_bytes` are reached (at least one).
fn read(db: &Connection, after: u64, max_bytes: usize) -> Result<Vec<Transaction>, StoreError> {
    let head = connection::read_box(db)?.ok_or(StoreError::NotInitialised)?;
    let mut statement =
        db.prepare_cached(&format!("{SELECT} WHERE o.epoch = ?1 AND o.sequence > ?2 ORDER BY o.sequence"))?;
    let mut rows = statement.query((signed(head.epoch), signed(after)))?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(r) = rows.next()? {
        let (transaction, _) = read_row(r)?;
        bytes += transaction.size();
        if !batch.is_empty() && bytes > max_bytes {
            break;
        }
        batch.push(transaction);
    }
    Ok(batch)
}

/// When the oldest that waits was made.
fn oldest_waiting(db: &Connection) -> Result<Option<Timestamp>, StoreError> {
    use rusqlite::OptionalExtension as _;
    let oldest = db
        .prepare_cached(
            "SELECT a.at FROM sys_outbox o JOIN audit_rows a ON a.sequence = o.audit_sequence
             ORDER BY o.epoch, o.sequence LIMIT 1",
        )?
        .query_row([], |r| r.get(0))
        .optional()?;
    Ok(oldest.map(Timestamp))
}

fn count_waiting(db: &Connection) -> Result<Waiting, StoreError> {
    let n = db.prepare_cached("SELECT count(*) FROM sys_outbox")?.query_row([], |r| r.get(0))?;
    Ok(Waiting { transactions: unsigned(n), oldest: oldest_waiting(db)? })
}

impl Store {
    /// The next transactions to send after sequence `after` of the present epoch, up to `max_bytes` (but at least one).
    pub async fn outbox(&self, after: u64, max_bytes: usize) -> Result<Vec<Transaction>, StoreError> {
        self.read_store_async(move |db| read(db, after, max_bytes)).await
    }

    /// The same, blocking.
    pub fn outbox_blocking(&self, after: u64, max_bytes: usize) -> Result<Vec<Transaction>, StoreError> {
        self.read_store(|db| read(db, after, max_bytes))
    }

    /// The first transaction after `after` of the present epoch, blocking. Its changes, which may be megabytes, stay unread.
    pub fn next_link_blocking(&self, after: u64) -> Result<Option<Link>, StoreError> {
        use rusqlite::OptionalExtension as _;
        self.read_store(|db| {
            let head = connection::read_box(db)?.ok_or(StoreError::NotInitialised)?;
            let row: Option<(String, i64)> = db
                .prepare_cached(
                    "SELECT o.previous_hash, a.at FROM sys_outbox o JOIN audit_rows a ON a.sequence = o.audit_sequence
                     WHERE o.epoch = ?1 AND o.sequence > ?2 ORDER BY o.sequence LIMIT 1",
                )?
                .query_row((signed(head.epoch), signed(after)), |r| Ok((r.get(0)?, r.get(1)?)))
                .optional()?;
            row.map(|(previous, at)| Ok(Link { previous_hash: hash(&previous)?, at: Timestamp(at) })).transpose()
        })
    }

    /// The cloud has everything up to `sequence` of `epoch`: it need not wait any longer.
    pub async fn acknowledge(&self, epoch: u64, sequence: u64) -> Result<(), StoreError> {
        self.on_writer(move |writer| {
            let db = &writer.connection;
            writer.session.privileged(|| {
                let transaction = db.unchecked_transaction()?;
                db.prepare_cached("UPDATE sys_box SET acknowledged = max(acknowledged, min(?2, sequence)) WHERE id = 1 AND epoch = ?1")?
                    .execute((signed(epoch), signed(sequence)))?;
                let given_back = db
                    .prepare_cached("DELETE FROM sys_outbox WHERE epoch = ?1 AND sequence <= ?2 RETURNING origin")?
                    .query_map((signed(epoch), signed(sequence)), |r| r.get::<_, Option<String>>(0))?
                    .filter_map(Result::transpose)
                    .collect::<Result<Vec<_>, _>>()?;
                reference::forget_acknowledged(db, &given_back)?;
                transaction.commit()?;
                Ok(())
            })
        })
        .await
        .map_err(StoreError::sorted)
    }

    /// How much waits, and since when.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        self.read_store_async(count_waiting).await
    }

    /// The same, blocking.
    pub fn waiting_blocking(&self) -> Result<Waiting, StoreError> {
        self.read_store(count_waiting)
    }

    /// When the oldest transaction that waits was made: quick, however many do. Blocking.
    pub fn oldest_waiting_blocking(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read_store(oldest_waiting)
    }

    /// A small fact kept by name (the sync agent's cursors).
    pub async fn state(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read_store_async(move |db| {
            use rusqlite::OptionalExtension as _;
            Ok(db.query_row("SELECT value FROM sys_state WHERE key = ?1", [key], |r| r.get(0)).optional()?)
        })
        .await
    }

    /// Keeps a small fact by name.
    pub async fn set_state(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.on_writer(move |writer| {
            writer.session.privileged(|| {
                writer
                    .connection
                    .prepare_cached("INSERT OR REPLACE INTO sys_state (key, value) VALUES (?1, ?2)")?
                    .execute((key, value))?;
                Ok(())
            })
        })
        .await
        .map_err(StoreError::sorted)
    }
}

/// Chains everything that still waits anew, under another box id or epoch, beginning at the epoch's start. Each remembers the
/// hash it had first. Needs privilege and an open transaction.
pub(crate) fn reseal(db: &Connection, box_id: Uuid, epoch: u64, keep_origin: bool) -> Result<Head, StoreError> {
    let mut head = Head::start(epoch);
    let Some(end) = last_waiting(db)? else { return Ok(head) };
    // A box may have been away for months. What is chained anew either has a greater epoch than `end`, or takes the place of
    // what was read before it, for it counts from 1: no link is met twice.
    let mut after = (0, 0);
    while after < end {
        for (mut transaction, filed) in take_waiting(db, &mut after, end)? {
            head = if keep_origin { transaction.reseal(box_id, head) } else { transaction.seal(box_id, head) };
            let changes = filed.own.then(|| transaction.changes.get().to_owned());
            insert(db, epoch, &transaction, filed.audit_sequence, changes.as_deref())?;
        }
    }
    Ok(head)
}

/// Epoch and sequence of a link, as SQLite has them.
type Place = (i64, i64);

fn last_waiting(db: &Connection) -> Result<Option<Place>, StoreError> {
    use rusqlite::OptionalExtension as _;
    let last = "SELECT epoch, sequence FROM sys_outbox ORDER BY epoch DESC, sequence DESC LIMIT 1";
    Ok(db.query_row(last, [], |r| Ok((r.get(0)?, r.get(1)?))).optional()?)
}

/// Takes the next links out of the outbox, about [`AT_ONCE`], and moves `after` past them.
fn take_waiting(db: &Connection, after: &mut Place, end: Place) -> Result<Vec<(Transaction, Filed)>, StoreError> {
    let range = "(o.epoch, o.sequence) > (?1, ?2) AND (o.epoch, o.sequence) <= (?3, ?4)";
    let mut statement = db.prepare_cached(&format!("{SELECT} WHERE {range} ORDER BY o.epoch, o.sequence"))?;
    let begin = *after;
    let mut rows = statement.query((begin.0, begin.1, end.0, end.1))?;
    let (mut taken, mut bytes) = (Vec::new(), 0);
    *after = end;
    while let Some(r) = rows.next()? {
        let (transaction, filed) = read_row(r)?;
        bytes += transaction.size();
        let place = (filed.epoch, signed(transaction.sequence));
        taken.push((transaction, filed));
        if bytes > AT_ONCE {
            *after = place;
            break;
        }
    }
    drop(rows);
    let delete = format!("DELETE FROM sys_outbox AS o WHERE {range}");
    db.prepare_cached(&delete)?.execute((begin.0, begin.1, after.0, after.1))?;
    Ok(taken)
}
