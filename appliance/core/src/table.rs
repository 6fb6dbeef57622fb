//! What an engine declares of each table it owns. View, tenancy, capture, sending and projection follow from it.

use serde::{Deserialize, Serialize};

/// Who owns a table's rows and which way they travel (docs/design/0002).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncClass {
    /// The box owns it; rows travel up.
    Up,
    /// The cloud owns it; rows come down, a local edit travels up as a proposal.
    Down,
    /// The cloud owns it and somebody decides on every edit.
    Proposal,
    /// Stays on the box.
    Local,
    /// What a part of the box remembers of its own work, written every few seconds. It stays on the box, and no change of it
    /// is recorded: neither in the audit nor for the pages that watch.
    State,
}

impl SyncClass {
    /// Whether a change is recorded: in the audit, and for the pages that watch.
    pub const fn is_recorded(self) -> bool {
        !matches!(self, Self::State)
    }

    /// Whether a change made on the box is for the cloud.
    pub const fn travels(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::Proposal)
    }

    /// Whether the cloud gives the rows.
    pub const fn is_of_cloud(self) -> bool {
        matches!(self, Self::Down | Self::Proposal)
    }
}

/// A table. The base table `{name}_rows` is made by a migration with `organization_id TEXT NOT NULL` as its first column
/// and `PRIMARY KEY (organization_id, …key)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Name of the view that engines use.
    pub name: &'static str,
    /// Key columns besides `organization_id`; empty when there is one row an organisation.
    pub key: &'static [&'static str],
    /// Sync class.
    pub class: SyncClass,
    /// Columns whose values are never written into the audit (shown as `"•"` when they changed).
    pub secret: &'static [&'static str],
    /// Columns that hold text of the field cipher. They are secret, and never travel: only this box opens them.
    pub enciphered: &'static [&'static str],
}

impl Table {
    /// A table without secret or enciphered columns.
    pub const fn new(name: &'static str, key: &'static [&'static str], class: SyncClass) -> Self {
        Self { name, key, class, secret: &[], enciphered: &[] }
    }

    /// The same with secret columns.
    pub const fn with_secret(mut self, secret: &'static [&'static str]) -> Self {
        self.secret = secret;
        self
    }

    /// The same with enciphered columns. Nothing else may be encrypted into: the store refuses an undeclared column.
    pub const fn with_enciphered(mut self, enciphered: &'static [&'static str]) -> Self {
        self.enciphered = enciphered;
        self
    }
}
