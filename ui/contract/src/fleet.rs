//! The fleet face.
use crate::{Micros, Status, Uuid, identity::Named};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A row of `GET /api/fleet/boxes?status=&organization=&tag=&q=&after=&limit=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxRow {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Customer.
    pub organization: Named,
    /// Branch.
    pub branch: Named,
    /// One status with its cause, since when.
    pub status: Status,
    /// Version it reports.
    pub version: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Transactions in the inbox that are not projected, plus what the box says waits there.
    pub behind: u64,
    /// Seconds between a row's commit on the box and here, last measured.
    pub lag_seconds: Option<f64>,
    /// Last contact of any kind.
    pub last_seen: Option<Micros>,
    /// Open alerts it reports.
    pub alerts: u32,
}

/// Counts for the chips above the list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoxCounts {
    /// All.
    pub total: u64,
    /// Healthy.
    pub ok: u64,
    /// Degraded.
    pub warn: u64,
    /// Offline, revoked or broken.
    pub bad: u64,
    /// Never seen.
    pub unknown: u64,
}

/// `GET /api/fleet/boxes/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxDetail {
    /// The row.
    pub row: BoxRow,
    /// Epoch and sequence here.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
    /// Restores seen: epoch, when, from where.
    pub epochs: Vec<EpochRow>,
    /// Version and document wanted.
    pub desired_version: i64,
    /// Document.
    pub desired: Value,
    /// Version and document reported.
    pub reported_version: i64,
    /// Document.
    pub reported: Value,
    /// When reported.
    pub reported_at: Option<Micros>,
    /// Newest first.
    pub commands: Vec<Command>,
    /// Certificate end.
    pub certificate_expires: Option<Micros>,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
    /// Enrolled.
    pub enrolled_at: Option<Micros>,
    /// Telemetry gaps: from, to, points lost.
    pub gaps: Vec<(Micros, Micros, u64)>,
}

/// One epoch of a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    /// Epoch.
    pub epoch: u64,
    /// Began.
    pub started_at: Micros,
    /// Sequence of the previous epoch it was restored to.
    pub restored_to: Option<u64>,
    /// Transactions given back.
    pub given_back: u64,
}

/// A command to a box.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Id.
    pub id: Uuid,
    /// `restart`, `collect_diagnostics`, `sync_now`, `verify_audit`, `identify`, `set_log_level`.
    pub kind: String,
    /// Arguments.
    pub arguments: Value,
    /// `queued`, `delivered`, `running`, `done`, `failed`, `expired`.
    pub state: String,
    /// What the box said.
    pub result: Option<String>,
    /// Made.
    pub created_at: Micros,
    /// Not run after this.
    pub expires_at: Micros,
    /// State changed.
    pub updated_at: Micros,
    /// By whom.
    pub created_by: String,
}

/// `POST /api/fleet/actions?dry_run=true|false`: one action on all boxes that match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkAction {
    /// These boxes …
    #[serde(default)]
    pub boxes: Vec<Uuid>,
    /// … or those that match this filter (the list's query string).
    #[serde(default)]
    pub filter: Option<String>,
    /// `command:KIND`, `tag:add`, `tag:remove`, `desired:merge`, `revoke`.
    pub action: String,
    /// Its arguments.
    #[serde(default)]
    pub arguments: Value,
    /// Commands expire after so many seconds (default 3600).
    #[serde(default)]
    pub expires_in: Option<u32>,
}

/// What a bulk action does, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BulkOutcome {
    /// Nothing was changed.
    pub dry_run: bool,
    /// Box, and what happens to it in words.
    pub affected: Vec<(Named, String)>,
    /// Box, and why not.
    pub skipped: Vec<(Named, String)>,
}

/// `POST /api/fleet/claims`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewClaim {
    /// Customer.
    pub organization: Uuid,
    /// Branch.
    pub branch: Uuid,
    /// Name of the box to be.
    pub name: String,
    /// Hours until it ends, default 24.
    #[serde(default)]
    pub hours: Option<u32>,
}

/// A claim code, shown once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// `K7QM-2XHV-9RTD-….FINGERPRINT`: code and the cloud's fingerprint.
    pub code: String,
    /// Wire address to give the box.
    pub wire_url: String,
    /// Box id it will become.
    pub box_id: Uuid,
    /// Ends.
    pub expires_at: Micros,
}

/// A customer, as `GET /api/fleet/organizations` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Base currency.
    pub currency: String,
    /// Branches.
    pub branches: Vec<Named>,
    /// Boxes by level.
    pub boxes: BoxCounts,
    /// Users.
    pub users: u32,
}

/// `POST /api/fleet/organizations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewOrganization {
    /// Name.
    pub name: String,
    /// Base currency.
    pub currency: String,
    /// First branches.
    pub branches: Vec<String>,
}

/// A row of `GET /api/fleet/quarantine`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Id.
    pub id: i64,
    /// Box.
    pub box_ref: Named,
    /// Customer.
    pub organization: Named,
    /// Epoch.
    pub epoch: u64,
    /// Sequence.
    pub sequence: u64,
    /// Action of the transaction.
    pub action: String,
    /// The database's error.
    pub error: String,
    /// `open`, `retried`, `skipped`.
    pub state: String,
    /// When.
    pub at: Micros,
    /// Its changes.
    pub changes: Value,
    /// Reason for skipping.
    pub reason: Option<String>,
}

/// `POST /api/fleet/quarantine/{id}/skip`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skip {
    /// Why; kept in the audit.
    pub reason: String,
}

/// A row of `GET /api/fleet/entries?organization=&box=` : journal entries as projected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetEntry {
    /// Id.
    pub id: Uuid,
    /// Box.
    pub box_ref: Named,
    /// Customer.
    pub organization: Named,
    /// Number.
    pub number: String,
    /// ISO date.
    pub date: String,
    /// Description.
    pub description: String,
    /// Posted on the box.
    pub posted_at: Micros,
    /// Projected here.
    pub received_at: Micros,
    /// Sum of its debits: currency, amount.
    pub debits: Vec<(String, crate::Decimal)>,
}

/// A proposal of a branch, waiting for a decision: `GET /api/fleet/proposals`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Id.
    pub id: i64,
    /// Box.
    pub box_ref: Named,
    /// Table.
    pub table: String,
    /// Key.
    pub key: Value,
    /// Row as it is here.
    pub current: Value,
    /// Row as proposed.
    pub proposed: Value,
    /// Version it was based on.
    pub base_version: i64,
    /// Why it was not simply taken.
    pub cause: String,
    /// `open`, `accepted`, `refused`.
    pub state: String,
    /// When.
    pub at: Micros,
}

/// A row of `GET /api/fleet/alerts`: an alert of a box, as projected; flat, so that a plain alert reads as one too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxAlert {
    /// Box.
    #[serde(default)]
    pub box_ref: Option<Named>,
    /// Customer.
    #[serde(default)]
    pub organization: Option<Named>,
    /// The alert.
    #[serde(flatten)]
    pub alert: crate::pulse::Alert,
}
