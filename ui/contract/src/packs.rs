//! Packs of Sigma rules, kept by the fleet and run by boxes.
use crate::{Micros, Uuid, identity::Named};
use serde::{Deserialize, Serialize};

/// A row of `GET /api/fleet/packs`: a pack with its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetPack {
    /// Name: 1 to 60 lower-case letters, digits and dashes.
    pub name: String,
    /// The versions that are kept here, the newest first; none of a pack that only boxes have.
    pub versions: Vec<PackVersion>,
    /// Boxes that are to have it.
    pub wanted: u64,
    /// Boxes on which its rules run.
    pub running: u64,
    /// Boxes that are to have it and say why they cannot.
    pub failed: u64,
}

/// A version of a pack; it never changes. Also the answer of
/// `PUT /api/fleet/packs/{name}?version=&licence=&attribution=`, whose body is the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackVersion {
    /// Version.
    pub version: String,
    /// SHA-256 of its archive, hexadecimal.
    pub sha256: String,
    /// Bytes of its archive.
    pub bytes: u64,
    /// Rule files in it.
    pub files: u32,
    /// Under what terms its rules stand.
    pub licence: String,
    /// Who wrote them, and where they are from.
    pub attribution: String,
    /// When it came here.
    pub uploaded_at: Micros,
    /// Who brought it.
    pub uploaded_by: String,
    /// Boxes that are to have this version.
    pub wanted: u64,
    /// Boxes on which the rules of this version run.
    pub running: u64,
}

/// What a box is meant to do with a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackWish {
    /// Version.
    pub version: String,
    /// Whether its rules are to run.
    pub enabled: bool,
}

/// A row of `GET /api/fleet/packs/{name}/boxes?organization=&branch=&q=&after=&limit=`: a box that has the pack, or is to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackBox {
    /// Box.
    pub box_ref: Named,
    /// Its branch.
    pub branch: Named,
    /// Customer.
    pub organization: Named,
    /// What it is meant to do; nothing: somebody installed the pack at the box.
    pub wanted: Option<PackWish>,
    /// The version it has.
    pub version: Option<String>,
    /// Whether the rules of that run.
    pub enabled: bool,
    /// Rules of it that the box knows.
    pub rules: u64,
    /// Those of them that are broken and do not run.
    pub broken: u64,
    /// `running`, `off`, `waiting`, `failed`, `own`.
    pub state: String,
    /// Why it waits or failed; otherwise empty.
    pub cause: String,
    /// When it was installed.
    pub installed_at: Option<Micros>,
}

/// `POST /api/fleet/packs/{name}/apply?dry_run=true|false`; answered by a [`crate::fleet::BulkOutcome`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackAction {
    /// These boxes …
    #[serde(default)]
    pub boxes: Vec<Uuid>,
    /// … or those that match this filter (the query string of the list of boxes).
    #[serde(default)]
    pub filter: Option<String>,
    /// Pins this version.
    #[serde(default)]
    pub version: Option<String>,
    /// Switches its rules.
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Takes the pack away.
    #[serde(default)]
    pub remove: bool,
    /// Only where the pack is wanted already.
    #[serde(default)]
    pub only_wanted: bool,
}
