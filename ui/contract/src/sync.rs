//! The sync badge and its page.
use crate::{Micros, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET /api/sync`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SyncStatus {
    /// One status with its cause.
    pub status: Status,
    /// Whether this box has been enrolled.
    pub enrolled: bool,
    /// Cloud's address.
    pub cloud: Option<String>,
    /// Last answer of the cloud that moved the cursor or confirmed there was nothing to move.
    pub last_sync: Option<Micros>,
    /// Transactions waiting.
    pub waiting: u64,
    /// Oldest waiting transaction.
    pub oldest: Option<Micros>,
    /// Epoch of this box.
    pub epoch: u64,
    /// Sequence of the last local transaction.
    pub sequence: u64,
    /// Sequence the cloud has.
    pub acknowledged: u64,
    /// Bytes of telemetry in the spool, sent or not.
    pub spool_bytes: u64,
    /// Points that the cloud does not have yet; `None` until that is known.
    #[serde(default)]
    pub telemetry_waiting: Option<u64>,
    /// Points dropped because the spool was full, ever.
    pub dropped_points: u64,
    /// Version of the cloud's reference data that is applied here.
    pub reference: u64,
    /// Transactions of an earlier epoch that could not be brought back.
    pub quarantined: u64,
    /// Client certificate ends.
    pub certificate_expires: Option<Micros>,
}

/// A row of `GET /api/sync/refused`: an edit of this box that the cloud did not take. The row is again as the cloud has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Table.
    pub table: String,
    /// Key columns.
    pub key: Value,
    /// Why, in words for a person.
    pub cause: String,
    /// Who decided: a person's name, or `cloud`.
    pub by: String,
    /// When.
    pub at: Micros,
}

/// A row of `GET /api/sync/quarantine`: a transaction of an earlier epoch that the cloud gave back and that no longer fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Hash it was first sealed with, hex: its name.
    pub identity: String,
    /// Epoch it was sealed in; 0 when this box never sealed it.
    pub epoch: u64,
    /// Its place there.
    pub sequence: u64,
    /// What was done.
    pub action: String,
    /// By whom: id of a user or token, `system` or `cloud`.
    pub actor: String,
    /// When.
    pub at: Micros,
    /// Its row changes, as they travel, but with secrets hidden.
    pub changes: Value,
    /// Why it does not fit.
    pub error: String,
    /// In quarantine since.
    pub since: Micros,
}
