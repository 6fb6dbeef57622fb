//! The box's first page.
use crate::{Micros, Status, sync::SyncStatus};
use serde::{Deserialize, Serialize};

/// `GET /api/home`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Home {
    /// One status of the whole box: the worst of what follows.
    pub status: Status,
    /// The box's name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Started.
    pub started: Micros,
    /// Sync.
    pub sync: SyncStatus,
    /// Engines and workers.
    pub services: Vec<Service>,
    /// What needs a person.
    pub attention: Vec<Attention>,
    /// Disk of the data folder, in bytes: used, total.
    pub disk: (u64, u64),
    /// Share of all cores, 0 to 1.
    pub cpu: f64,
    /// Memory, in bytes: used, total.
    pub memory: (u64, u64),
    /// The last audit entries of what people did, newest first.
    pub activity: Vec<crate::audit::Entry>,
}

/// One engine or worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Engine name.
    pub name: String,
    /// `main` or `worker`.
    pub runs: String,
    /// Health.
    pub status: Status,
    /// Restarts since the box started.
    pub restarts: u32,
    /// Resident memory in bytes (workers only).
    pub memory: Option<u64>,
}

/// A line under "Needs attention".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    /// Cause.
    pub status: Status,
    /// Headline.
    pub title: String,
    /// Where to go.
    pub link: String,
}

/// `GET /api/settings`: the effective settings, secrets redacted, as the reference page lists them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// `gateway.listen`.
    pub key: String,
    /// Effective value as text.
    pub value: String,
    /// Default.
    pub default: String,
    /// What it does.
    pub help: String,
    /// `file`, `default` or `cloud`.
    pub source: String,
}
