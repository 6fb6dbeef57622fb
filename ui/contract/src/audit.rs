//! The audit timeline.
use crate::{Micros, Uuid};
use serde::{Deserialize, Serialize};

/// One entry of `GET /api/audit?after=&actor=&action=&table=&key=&people=&limit=` (newest first).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Place in the chain.
    pub sequence: i64,
    /// When.
    pub at: Micros,
    /// Who: name of user, token, `system` or `cloud`.
    pub actor: String,
    /// Actor's id.
    pub actor_id: Option<Uuid>,
    /// What: `capital.entry.post`.
    pub action: String,
    /// Request id.
    pub request: Uuid,
    /// Old → new, row by row.
    pub changes: Vec<Change>,
    /// This entry's hash, hex.
    pub hash: String,
}

/// One row's change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Table.
    pub table: String,
    /// `i`, `u` or `d`.
    pub op: String,
    /// Key columns.
    pub key: serde_json::Map<String, serde_json::Value>,
    /// Old values (changed columns only, for an update).
    #[serde(default)]
    pub old: serde_json::Map<String, serde_json::Value>,
    /// New values.
    #[serde(default)]
    pub new: serde_json::Map<String, serde_json::Value>,
}

/// `POST /api/audit/verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Entries read.
    pub entries: u64,
    /// The first broken link, if any.
    pub broken: Option<Broken>,
}

/// A broken link of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// Its sequence.
    pub sequence: i64,
    /// What is wrong: changed, missing, out of order.
    pub cause: String,
}
