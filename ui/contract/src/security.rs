//! What boxes found in their logs and on their networks, rolled up over the fleet.
use crate::{Micros, Uuid, guard, identity::Named, radar};
use serde::{Deserialize, Serialize};

/// A row of a box with where it is from; flat, so that it also reads as the row alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtBox<T> {
    /// The row.
    #[serde(flatten)]
    pub row: T,
    /// Box.
    pub box_ref: Named,
    /// Branch it stands in.
    pub branch: Named,
    /// Customer.
    pub organization: Named,
}

/// How many there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Severities {
    /// Worst.
    pub critical: u64,
    /// Bad.
    pub high: u64,
    /// In between.
    pub medium: u64,
    /// Harmless, mostly.
    pub low: u64,
    /// Good to know.
    pub informational: u64,
}

impl Severities {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.critical + self.high + self.medium + self.low + self.informational
    }

    /// Name and number of each, the worst first.
    pub fn each(&self) -> [(&'static str, u64); 5] {
        [
            ("critical", self.critical),
            ("high", self.high),
            ("medium", self.medium),
            ("low", self.low),
            ("informational", self.informational),
        ]
    }

    /// The worst there is one of.
    pub fn worst(&self) -> Option<&'static str> {
        self.each().into_iter().find(|(_, number)| *number > 0).map(|(name, _)| name)
    }
}

/// What waits for a person: of one branch, or of all (`GET /api/fleet/security/counts`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityCounts {
    /// Cases that are not closed.
    pub cases: Severities,
    /// Detections that nobody acknowledged.
    pub detections: Severities,
    /// Devices that such a detection is about.
    pub devices: u64,
    /// Certificates of own servers that have ended or end within 30 days.
    pub certificates: u64,
    /// The newest evidence of all of it.
    pub last_at: Option<Micros>,
}

/// A row of `GET /api/fleet/security/branches?organization=&q=&after=&limit=`, the worst first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchSecurity {
    /// Branch.
    pub branch: Named,
    /// Customer.
    pub organization: Named,
    /// Its boxes.
    pub boxes: Vec<Named>,
    /// What waits there.
    #[serde(flatten)]
    pub counts: SecurityCounts,
}

/// A row of `GET /api/fleet/security/cases`: the newest evidence first.
pub type FleetCase = AtBox<radar::Case>;

/// A row of `GET /api/fleet/security/alerts`: the newest evidence first.
pub type FleetAlert = AtBox<radar::Alert>;

/// A row of `GET /api/fleet/network/detections`: the newest evidence first.
pub type FleetDetection = AtBox<guard::Detection>;

/// A row of `GET /api/fleet/network/certificates`: the first to end first.
pub type FleetCertificate = AtBox<guard::Certificate>;

/// A row of `GET /api/fleet/network/devices`: devices that something was detected about, the newest evidence first.
pub type FleetDevice = AtBox<RiskyDevice>;

/// A device, and what was detected about it that nobody acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RiskyDevice {
    /// The device.
    #[serde(flatten)]
    pub device: guard::Device,
    /// Detections by severity.
    pub detections: Severities,
    /// Their kinds.
    pub kinds: Vec<String>,
    /// Their newest evidence.
    pub detected_at: Micros,
}

/// The key of a row among those of all boxes. Ids of alerts follow from what was seen, so that two boxes may have the same.
pub fn key(box_id: Uuid, row: impl std::fmt::Display) -> String {
    format!("{box_id} {row}")
}
