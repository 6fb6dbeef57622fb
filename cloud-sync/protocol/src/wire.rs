//! Bodies of the endpoints, one struct each. A field that is added later must be optional: the two ends are updated on
//! different days.
use crate::{Hash, Head, Micros, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Paths of the endpoints.
pub mod path {
    /// `POST` [`super::EnrolRequest`] → [`super::EnrolResponse`]; the only one without a client certificate.
    pub const ENROL: &str = "/wire/v1/enrol";
    /// `POST` [`super::CertificateRequest`] → [`super::CertificateResponse`].
    pub const CERTIFICATE: &str = "/wire/v1/certificate";
    /// `GET` → [`super::Cursor`].
    pub const CURSOR: &str = "/wire/v1/cursor";
    /// `POST` [`super::EpochStart`] → [`super::EpochAnswer`]; 409 [`super::Refusal`].
    pub const EPOCH: &str = "/wire/v1/epoch";
    /// `POST` [`super::Batch`] → [`super::Cursor`]; 409 [`super::Refusal`].
    pub const TRANSACTIONS: &str = "/wire/v1/transactions";
    /// `POST` a segment → [`super::TelemetryCursor`]; 409 [`super::TelemetryRefusal`].
    pub const TELEMETRY: &str = "/wire/v1/telemetry";
    /// `GET ?after=V` → [`super::Checkpoint`].
    pub const REFERENCE: &str = "/wire/v1/reference";
    /// `GET` → [`super::Desired`].
    pub const DESIRED: &str = "/wire/v1/desired";
    /// `POST` [`super::Reported`] → 204.
    pub const REPORTED: &str = "/wire/v1/reported";
    /// `PUT`, `GET`, `HEAD` of `/{sha256}`: bytes.
    pub const OBJECTS: &str = "/wire/v1/objects";
}

/// Epoch of a telemetry segment.
pub const HEADER_EPOCH: &str = "x-sent-epoch";
/// Number of a telemetry segment.
pub const HEADER_SEGMENT: &str = "x-sent-segment";

/// Codes of [`WireError`] and [`Refusal`] that either end acts upon.
pub mod code {
    /// 409: the batch or segment does not begin where the cloud stands.
    pub const GAP: &str = "gap";
    /// 409: the batch continues another chain than the cloud's.
    pub const FORK: &str = "fork";
    /// 409: the cloud already knows a later epoch of this box.
    pub const OLD_EPOCH: &str = "old_epoch";
    /// 409: the cloud was not told of this epoch.
    pub const UNKNOWN_EPOCH: &str = "unknown_epoch";
    /// 409: the box was restored to a point before what the cloud keeps.
    pub const TOO_OLD: &str = "too_old";
    /// 403: the box's certificate was revoked.
    pub const BOX_REVOKED: &str = "box_revoked";
    /// 403: the claim is unknown, used or ended.
    pub const CLAIM_INVALID: &str = "claim_invalid";
    /// 400: the body cannot be read.
    pub const MALFORMED: &str = "malformed";
    /// 413: the body is over its bound.
    pub const TOO_LARGE: &str = "too_large";
    /// 401: no client certificate, or one of another root.
    pub const UNAUTHENTICATED: &str = "unauthenticated";
    /// 503: try later.
    pub const UNAVAILABLE: &str = "unavailable";
    /// 500: the cloud's fault.
    pub const INTERNAL: &str = "internal";
}

/// Every error answer of the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct WireError {
    /// One of [`code`], for machines.
    pub code: String,
    /// For people.
    pub message: String,
}

impl WireError {
    /// An error of a code.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> WireError {
        WireError { code: code.into(), message: message.into() }
    }
}

/// An organisation, as enrolment names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationRef {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Base currency.
    pub currency: String,
}

/// A branch, as enrolment names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchRef {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// IANA time zone.
    pub timezone: String,
}

/// `POST /wire/v1/enrol`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// Secret of the claim code, see [`crate::claim`].
    pub claim: String,
    /// Certificate request of the key the box made for itself, PEM. The subject it asks for is ignored.
    pub csr_pem: String,
    /// Name the box gives itself.
    pub box_name: String,
    /// Version of its program.
    pub version: String,
    /// Organisation a box that already works stand-alone was set up with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationRef>,
    /// Its branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchRef>,
}

/// Answer to [`EnrolRequest`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolResponse {
    /// Id of the box: the certificate's common name, and part of every hash from now on.
    pub box_id: Uuid,
    /// Client certificate with its chain, PEM.
    pub certificate_pem: String,
    /// Root of the cloud, PEM: what the box trusts from now on, and nothing else.
    pub ca_pem: String,
    /// Organisation the box belongs to.
    pub organization: OrganizationRef,
    /// Branch it stands in.
    pub branch: BranchRef,
    /// Key that opens the organisation's secret columns, 32 bytes in base64.
    pub data_key: String,
    /// `mqtts://host:port`.
    pub mqtt_url: String,
    /// The certificate ends.
    pub expires_at: Micros,
}

/// The key stays out of logs.
impl std::fmt::Debug for EnrolResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrolResponse")
            .field("box_id", &self.box_id)
            .field("organization", &self.organization)
            .field("branch", &self.branch)
            .field("mqtt_url", &self.mqtt_url)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// `POST /wire/v1/certificate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest {
    /// Certificate request, PEM.
    pub csr_pem: String,
}

/// Answer to [`CertificateRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateResponse {
    /// Client certificate with its chain, PEM.
    pub certificate_pem: String,
    /// It ends.
    pub expires_at: Micros,
}

/// Where the cloud stands with one box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Newest epoch it was told of; 0 before the first contact.
    pub epoch: u64,
    /// Last sequence it has committed in that epoch; 0 for none.
    pub sequence: u64,
    /// Its hash; zero for none.
    pub hash: Hash,
    /// Where telemetry stands.
    #[serde(default)]
    pub telemetry: TelemetryCursor,
}

impl Cursor {
    /// The chain's end without telemetry.
    pub fn head(&self) -> Head {
        Head { epoch: self.epoch, sequence: self.sequence, hash: self.hash }
    }
}

/// Where the cloud stands with one box's telemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TelemetryCursor {
    /// Epoch. Segments are numbered from 1 in each epoch.
    pub epoch: u64,
    /// Last segment it has committed; 0 for none.
    pub segment: u64,
}

/// `POST /wire/v1/transactions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Epoch of all of them.
    pub epoch: u64,
    /// In order, without a hole.
    pub transactions: Vec<Transaction>,
}

/// Body of a 409 about transactions or epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `gap`, `fork`, `old_epoch` or `unknown_epoch`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Where the cloud stands.
    pub cursor: Cursor,
}

/// Body of a 409 about telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryRefusal {
    /// `gap`, `old_epoch` or `unknown_epoch`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Where the cloud stands.
    pub cursor: TelemetryCursor,
}

/// `POST /wire/v1/epoch`: the box begins an epoch (its first, or after a restore), or asks for the next page of what it
/// lost. Saying the same again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The new epoch, greater than any the cloud knows.
    pub epoch: u64,
    /// Epoch the box stood in before; 0 for its very first.
    pub previous_epoch: u64,
    /// Last sequence of it the box still has; 0 for none.
    pub previous_sequence: u64,
    /// Its hash; zero for none.
    pub hash: Hash,
    /// Distinguishes two restores that chose the same epoch: random, made with the epoch.
    #[serde(default)]
    pub token: Uuid,
    /// Where the next page of lost transactions begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
}

/// A place in a box's whole history, over its epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Epoch.
    pub epoch: u64,
    /// Sequence in it.
    pub sequence: u64,
}

/// Answer to [`EpochStart`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochAnswer {
    /// Where the cloud stands now: in the new epoch.
    pub cursor: Cursor,
    /// Transactions beyond the point the box was restored to, in order, as the box once sealed them.
    pub lost: Vec<Transaction>,
    /// Hand this back as [`EpochStart::after`] for the next page; `None` when `lost` ends here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Position>,
}

/// `GET /wire/v1/reference?after=V`: the cloud's rows that changed after a version, applied in one transaction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The version asked for. 0: `rows` begin a whole copy.
    pub from: u64,
    /// The version the box stands at once it has applied this.
    pub to: u64,
    /// Nothing newer follows; otherwise ask again with `to`.
    pub complete: bool,
    /// In the order they must be applied.
    pub rows: Vec<ReferenceRow>,
    /// The box's own edits that were refused and are answered by `rows`, newest first; the newest
    /// [`crate::limits::CHECKPOINT_REFUSED`] at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedEdit>,
}

/// An edit of this box that the cloud did not take. The row as it stands comes down beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedEdit {
    /// Organisation of the row.
    pub organization_id: Uuid,
    /// Table.
    pub table: String,
    /// Key columns.
    pub key: Map<String, Value>,
    /// Why, in words for a person.
    pub cause: String,
    /// Who decided: a person's name, or `cloud`.
    pub by: String,
    /// When.
    pub at: Micros,
}

/// One row the cloud owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRow {
    /// Organisation it belongs to.
    pub organization_id: Uuid,
    /// Table.
    pub table: String,
    /// Key columns.
    pub key: Map<String, Value>,
    /// Cloud's version of the row.
    pub version: i64,
    /// The row is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// All columns but `organization_id` and `version`; empty when deleted.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub row: Map<String, Value>,
}

/// `GET /wire/v1/desired`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// Version of the document, from 1; 0 when nobody wanted anything yet.
    pub version: i64,
    /// What the cloud wants.
    pub document: Value,
    /// The cloud's clock when it answered: a box with a wrong clock still judges by it whether a command has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Micros>,
    /// Commands that are neither done nor ended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
}

/// A command. The box runs an id at most once, and not after it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Id.
    pub id: Uuid,
    /// `restart`, `collect_diagnostics`, `sync_now`, …
    pub kind: String,
    /// Arguments.
    #[serde(default)]
    pub arguments: Value,
    /// Not begun after this, by the box's clock corrected to the cloud's.
    pub expires_at: Micros,
}

/// `POST /wire/v1/reported`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// Version of the desired document the box has applied.
    pub version: i64,
    /// What the box is.
    pub document: Value,
    /// Commands whose state changed and was not yet acknowledged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandState>,
    /// How the box is.
    pub status: BoxStatus,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandState {
    /// Id.
    pub id: Uuid,
    /// State.
    pub state: CommandPhase,
    /// What the box says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Since when.
    pub at: Micros,
}

/// State of a command, in the order it goes through them. `queued` is the cloud's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandPhase {
    /// Not yet fetched.
    Queued,
    /// The box has it.
    Delivered,
    /// It runs.
    Running,
    /// It worked.
    Done,
    /// It did not.
    Failed,
    /// It came too late and was not run.
    Expired,
}

impl CommandPhase {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            CommandPhase::Queued => "queued",
            CommandPhase::Delivered => "delivered",
            CommandPhase::Running => "running",
            CommandPhase::Done => "done",
            CommandPhase::Failed => "failed",
            CommandPhase::Expired => "expired",
        }
    }

    /// Nothing changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, CommandPhase::Done | CommandPhase::Failed | CommandPhase::Expired)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    Ok,
    /// Works, but somebody should look.
    Warn,
    /// Does not work.
    Bad,
    /// Nothing is known.
    #[default]
    Unknown,
}

/// How a box says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxStatus {
    /// How bad.
    pub level: Level,
    /// Why, in words.
    pub cause: String,
    /// Since when.
    pub since: Micros,
    /// Version of its program.
    pub version: String,
    /// Its clock when it said so.
    pub at: Micros,
    /// Last local sequence.
    #[serde(default)]
    pub sequence: u64,
    /// Transactions waiting to be sent.
    #[serde(default)]
    pub waiting: u64,
    /// When the oldest of them was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Micros>,
    /// Telemetry bytes waiting.
    #[serde(default)]
    pub spool_bytes: u64,
    /// Telemetry points dropped, ever.
    #[serde(default)]
    pub dropped_points: u64,
    /// Transactions in the box's own quarantine.
    #[serde(default)]
    pub quarantined: u64,
    /// Reference version it has applied.
    #[serde(default)]
    pub reference: u64,
    /// Open alerts.
    #[serde(default)]
    pub alerts: u32,
}
