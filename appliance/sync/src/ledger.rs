//! What the agent needs of the store: the durable half of the exchange.
//!
//! Every method that changes something is durable when it returns, and saying it again changes nothing: the agent may
//! crash after any of them and will repeat what the cloud's cursor tells it to.
use sent_protocol::{Checkpoint, EpochStart, Head, Micros, Position, Transaction, Uuid, telemetry::Segment};
use std::future::Future;

/// Why the box itself cannot go on, in words for the badge.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LedgerError(pub String);

/// What is durable on the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerState {
    /// Id that is part of every hash.
    pub box_id: Uuid,
    /// End of the chain.
    pub head: Head,
    /// Last link of this epoch that the cloud acknowledged.
    pub acknowledged: Head,
    /// How this epoch began, with the progress of giving back as `after`.
    pub start: EpochStart,
    /// The cloud has not been told of this epoch, or has not given everything back.
    pub open: bool,
    /// Reference version that is applied.
    pub reference: u64,
    /// Transactions waiting.
    pub waiting: u64,
    /// When the oldest was made.
    pub oldest: Option<Micros>,
    /// Given-back transactions that no longer fitted.
    pub quarantined: u64,
}

/// The store, as the agent sees it.
pub trait Ledger: Send + Sync + 'static {
    /// What is durable.
    fn state(&self) -> impl Future<Output = Result<LedgerState, LedgerError>> + Send;

    /// Transactions after a sequence of the present epoch, in order, up to a budget but at least one.
    fn outbox(
        &self,
        after: u64,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Transaction>, LedgerError>> + Send;

    /// Everything up to here is with the cloud.
    fn acknowledge(&self, head: Head) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Takes the id the cloud knows this box by, and chains what waits under it.
    fn adopt(&self, box_id: Uuid) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Begins an epoch, with a new token, from the last acknowledged link, and chains what waits again.
    fn rebase(&self, epoch: u64) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Applies lost transactions, each once by its identity, then remembers where the next page begins.
    fn give_back(
        &self,
        transactions: Vec<Transaction>,
        next: Option<Position>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// The epoch is open no more.
    fn epoch_told(&self) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Applies a checkpoint and its version in one transaction.
    fn apply_reference(&self, checkpoint: Checkpoint) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// A small fact by name.
    fn get(&self, key: &'static str) -> impl Future<Output = Result<Option<String>, LedgerError>> + Send;

    /// Keeps a small fact by name.
    fn put(&self, key: &'static str, value: String) -> impl Future<Output = Result<(), LedgerError>> + Send;

    /// Returns when something was committed that travels; may return too often, and misses nothing that is committed
    /// while it is awaited.
    fn changed(&self) -> impl Future<Output = ()> + Send;
}

/// The telemetry that waits, as the agent sees it. Called on a blocking thread.
pub trait Spool: Send + 'static {
    /// Number of the segment that is under way.
    fn under_way(&self) -> Option<u64>;

    /// What to send as segment `number`, of about `max_points`, newest first. The same number gives the same until it is
    /// settled, also after a crash; what is handed out is durable.
    fn next(&mut self, number: u64, max_points: usize) -> Result<Option<Segment>, LedgerError>;

    /// What will follow the segment under way once that has arrived, to be prepared meanwhile. A spool that cannot tell says
    /// `None`.
    fn look_ahead(&mut self, _max_points: usize) -> Result<Option<Segment>, LedgerError> {
        Ok(None)
    }

    /// Makes what [`look_ahead`](Self::look_ahead) gave segment `number`; whether it still can be.
    fn begin_ahead(&mut self, _number: u64) -> Result<bool, LedgerError> {
        Ok(false)
    }

    /// The cloud has the segment.
    fn acknowledge(&mut self, number: u64) -> Result<(), LedgerError>;

    /// The cloud will never have the segment under way under its number: its points wait again.
    fn abandon(&mut self) -> Result<(), LedgerError>;

    /// Points that wait.
    fn waiting_points(&mut self) -> Result<u64, LedgerError>;

    /// Bytes that wait, and points dropped because the spool was full.
    fn stats(&mut self) -> (u64, u64);
}

/// A box without telemetry.
impl Spool for () {
    fn under_way(&self) -> Option<u64> {
        None
    }

    fn next(&mut self, _: u64, _: usize) -> Result<Option<Segment>, LedgerError> {
        Ok(None)
    }

    fn acknowledge(&mut self, _: u64) -> Result<(), LedgerError> {
        Ok(())
    }

    fn abandon(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn waiting_points(&mut self) -> Result<u64, LedgerError> {
        Ok(0)
    }

    fn stats(&mut self) -> (u64, u64) {
        (0, 0)
    }
}
