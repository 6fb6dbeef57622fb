//! Epochs: a box whose past forked begins anew from the last link it shares with the cloud.
//!
//! What the cloud acknowledged is the only link both ends surely have, so a new epoch leaves from there, and everything
//! that was not acknowledged is chained again under the new epoch, each transaction remembering the hash it had first.
//! An epoch the cloud was never told of leaves no trace: the next one begins where it began.

use rusqlite::Connection;
use sent_protocol::Head;
use uuid::Uuid;

use crate::{
    BoxRow, Store, StoreError,
    connection::{self, signed},
    outbox,
};

/// Letters of a mark: none that makes a word or looks like a digit.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// What tells this beginning of an epoch from every other, in a few letters: `3KXRWD` for the third. Two restores of one backup
/// have the same number, and neither knows of the other until both have met the cloud; their random tokens differ.
pub(crate) fn mark(row: &BoxRow) -> String {
    let letters =
        row.epoch_token.as_bytes().iter().take(5).map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()]));
    std::iter::once(row.epoch.to_string()).chain(letters.map(String::from)).collect()
}

/// Begins `epoch`; needs privilege and an open transaction.
pub(crate) fn begin(db: &Connection, row: &BoxRow, epoch: u64) -> Result<Head, StoreError> {
    let (previous_epoch, previous_sequence, previous_hash) = if row.epoch_open {
        (row.previous_epoch, row.previous_sequence, row.previous_hash.clone())
    } else {
        (row.epoch, row.acknowledged, acknowledged_hash(db, row)?)
    };
    let end = outbox::reseal(db, row.box_id, epoch, true)?;
    db.execute(
        "UPDATE sys_box SET epoch = ?1, sequence = ?2, hash = ?3, acknowledged = 0, previous_epoch = ?4,
                previous_sequence = ?5, previous_hash = ?6, epoch_token = ?7, epoch_open = 1 WHERE id = 1",
        (
            signed(epoch),
            signed(end.sequence),
            end.hash.to_string(),
            signed(previous_epoch),
            signed(previous_sequence),
            previous_hash,
            Uuid::from_bytes(rand::random()).to_string(),
        ),
    )?;
    // How far giving back had come belongs to the epoch before; reference data may have moved on since.
    db.execute("DELETE FROM sys_state WHERE key IN ('reference', 'sync.given_back')", [])?;
    Ok(end)
}

/// Hash of the last link the cloud acknowledged: what waits continues it.
fn acknowledged_hash(db: &Connection, row: &BoxRow) -> Result<String, StoreError> {
    use rusqlite::OptionalExtension as _;
    let waiting = db
        .query_row("SELECT previous_hash FROM sys_outbox ORDER BY epoch, sequence LIMIT 1", [], |r| r.get(0))
        .optional()?;
    Ok(waiting.unwrap_or_else(|| row.hash.clone()))
}

impl Store {
    /// Another copy of this box went on where the cloud knows it: begins `epoch` here, from the last acknowledged link.
    pub async fn begin_epoch(&self, epoch: u64) -> Result<(), StoreError> {
        self.on_writer(move |writer| {
            let db = &writer.connection;
            writer.session.privileged(|| {
                let transaction = db.unchecked_transaction()?;
                let row = connection::read_box(db)?.ok_or(StoreError::NotInitialised)?;
                if epoch <= row.epoch {
                    return Err(StoreError::Refused(format!("epoch {epoch} does not follow epoch {}", row.epoch)));
                }
                begin(db, &row, epoch)?;
                transaction.commit()?;
                Ok(())
            })
        })
        .await
        .map_err(StoreError::sorted)
    }
}
