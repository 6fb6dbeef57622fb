//! Ledger and spool on the box's real store.
use crate::{Ledger, LedgerError, LedgerState, Spool};
use sent_protocol::{Checkpoint, EpochStart, Hash, Head, Position, Transaction, Uuid, telemetry::Segment};
use sent_store::{
    Committed, Store, StoreError,
    spool::{self, CloudReader, Shipment, SpoolError},
};
use std::sync::Arc;
use tokio::sync::{Mutex, broadcast};

/// Progress of giving back; the store forgets it when an epoch begins.
const GIVEN_BACK: &str = "sync.given_back";

/// [`Ledger`] of a [`Store`].
pub struct StoreLedger {
    store: Store,
    changes: Mutex<broadcast::Receiver<Committed>>,
}

impl StoreLedger {
    /// Over a store that is open.
    pub fn new(store: Store) -> StoreLedger {
        StoreLedger { changes: Mutex::new(store.changes()), store }
    }
}

fn words(error: StoreError) -> LedgerError {
    LedgerError(error.to_string())
}

fn hash(text: &str) -> Result<Hash, LedgerError> {
    text.parse().map_err(|e| LedgerError(format!("the store's chain is damaged: {e}")))
}

impl Ledger for StoreLedger {
    async fn state(&self) -> Result<LedgerState, LedgerError> {
        let store = self.store.clone();
        let (row, next) = tokio::task::spawn_blocking(move || {
            let row = store.identity()?;
            // The oldest that waits: its link names the last that was acknowledged.
            let next = store.next_link_blocking(row.acknowledged)?;
            Ok::<_, StoreError>((row, next))
        })
        .await
        .map_err(|_| LedgerError("the store broke off".into()))?
        .map_err(words)?;
        let after = match self.store.state(GIVEN_BACK).await.map_err(words)? {
            Some(text) => Some(serde_json::from_str::<Position>(&text).map_err(|e| LedgerError(e.to_string()))?),
            None => None,
        };
        let head = Head { epoch: row.epoch, sequence: row.sequence, hash: hash(&row.hash)? };
        let acknowledged = match &next {
            Some(next) => Head { epoch: row.epoch, sequence: row.acknowledged, hash: next.previous_hash },
            None => head,
        };
        Ok(LedgerState {
            box_id: row.box_id,
            head,
            acknowledged,
            start: EpochStart {
                epoch: row.epoch,
                previous_epoch: row.previous_epoch,
                previous_sequence: row.previous_sequence,
                hash: hash(&row.previous_hash)?,
                token: row.epoch_token,
                after,
            },
            open: row.epoch_open,
            reference: self.store.reference_version().await.map_err(words)?,
            waiting: head.sequence - acknowledged.sequence,
            oldest: next.map(|link| link.at.0),
            quarantined: self.store.quarantined().await.map_err(words)?,
        })
    }

    async fn outbox(&self, after: u64, max_bytes: usize) -> Result<Vec<Transaction>, LedgerError> {
        self.store.outbox(after, max_bytes).await.map_err(words)
    }

    async fn acknowledge(&self, head: Head) -> Result<(), LedgerError> {
        self.store.acknowledge(head.epoch, head.sequence).await.map_err(words)
    }

    async fn adopt(&self, box_id: Uuid) -> Result<(), LedgerError> {
        let store = self.store.clone();
        let name = tokio::task::spawn_blocking(move || store.identity().map(|row| row.name))
            .await
            .map_err(|_| LedgerError("the store broke off".into()))?
            .map_err(words)?;
        self.store.adopt(box_id, name).await.map_err(words)
    }

    async fn rebase(&self, epoch: u64) -> Result<(), LedgerError> {
        self.store.begin_epoch(epoch).await.map_err(words)
    }

    async fn give_back(&self, transactions: Vec<Transaction>, next: Option<Position>) -> Result<(), LedgerError> {
        self.store.apply_given_back(transactions).await.map_err(words)?;
        if let Some(next) = next {
            let text = serde_json::to_string(&next).map_err(|e| LedgerError(e.to_string()))?;
            self.store.set_state(GIVEN_BACK, &text).await.map_err(words)?;
        }
        Ok(())
    }

    async fn epoch_told(&self) -> Result<(), LedgerError> {
        self.store.epoch_told().await.map_err(words)
    }

    async fn apply_reference(&self, checkpoint: Checkpoint) -> Result<(), LedgerError> {
        self.store.apply_reference(checkpoint).await.map(drop).map_err(words)
    }

    async fn get(&self, key: &'static str) -> Result<Option<String>, LedgerError> {
        self.store.state(key).await.map_err(words)
    }

    async fn put(&self, key: &'static str, value: String) -> Result<(), LedgerError> {
        self.store.set_state(key, &value).await.map_err(words)
    }

    async fn changed(&self) {
        let mut changes = self.changes.lock().await;
        loop {
            match changes.recv().await {
                Ok(change) if !change.travels => {}
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
                // The store has closed; nothing will ever change.
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

/// [`Spool`] of the box's spool folder.
pub struct StoreSpool {
    spool: Arc<spool::Spool>,
    reader: CloudReader,
}

impl StoreSpool {
    /// Goes on where the cloud's reader stood.
    pub fn open(spool: Arc<spool::Spool>) -> Result<StoreSpool, SpoolError> {
        Ok(StoreSpool { reader: CloudReader::open(spool.clone())?, spool })
    }
}

fn spooled(error: SpoolError) -> LedgerError {
    LedgerError(error.to_string())
}

fn segment(shipment: Shipment) -> Segment {
    Segment { points: shipment.points.points().collect(), definitions: shipment.definitions, gaps: shipment.gaps }
}

impl Spool for StoreSpool {
    fn under_way(&self) -> Option<u64> {
        self.reader.under_way()
    }

    fn next(&mut self, number: u64, max_points: usize) -> Result<Option<Segment>, LedgerError> {
        Ok(self.reader.next(number, max_points).map_err(spooled)?.map(segment))
    }

    fn look_ahead(&mut self, max_points: usize) -> Result<Option<Segment>, LedgerError> {
        Ok(self.reader.look_ahead(max_points).map_err(spooled)?.map(segment))
    }

    fn begin_ahead(&mut self, number: u64) -> Result<bool, LedgerError> {
        self.reader.begin_ahead(number).map_err(spooled)
    }

    fn acknowledge(&mut self, number: u64) -> Result<(), LedgerError> {
        self.reader.acknowledge(number).map_err(spooled)
    }

    fn abandon(&mut self) -> Result<(), LedgerError> {
        self.reader.abandon().map_err(spooled)
    }

    fn waiting_points(&mut self) -> Result<u64, LedgerError> {
        Ok(self.reader.backlog().map_err(spooled)?.points)
    }

    fn stats(&mut self) -> (u64, u64) {
        let stats = self.spool.stats();
        (stats.bytes, stats.dropped)
    }
}
