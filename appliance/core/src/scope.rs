//! Who acts, for whom, on whose request. No store without a [`Scope`].

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{clock::Clock, id, identity::Rights};

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Actor {
    /// A logged-in user.
    User {
        /// User id.
        id: Uuid,
        /// Name as it was then: the audit keeps it even when the user is renamed.
        name: String,
    },
    /// An API token.
    Token {
        /// Token id.
        id: Uuid,
        /// Its name.
        name: String,
    },
    /// The box itself: schedules, the command line.
    System {
        /// Which part: `pulse`, `cli`.
        name: String,
    },
    /// The cloud's reference data and commands.
    Cloud,
}

impl Actor {
    /// The name a person reads.
    pub fn name(&self) -> &str {
        match self {
            Self::User { name, .. } | Self::Token { name, .. } | Self::System { name } => name,
            Self::Cloud => "cloud",
        }
    }

    /// The id, where there is one.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::User { id, .. } | Self::Token { id, .. } => Some(*id),
            Self::System { .. } | Self::Cloud => None,
        }
    }
}

/// What every read and write is done under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Whose rows: nothing outside this organisation can be read or changed.
    pub organization: Uuid,
    /// Branch, where the actor belongs to one.
    pub branch: Option<Uuid>,
    /// Who.
    pub actor: Actor,
    /// Names the request in log and audit.
    pub request: Uuid,
    /// What the actor may do.
    pub rights: Rights,
}

impl Scope {
    /// The box itself acting for an organisation, with every right.
    pub fn system(organization: Uuid, part: &str, clock: &dyn Clock) -> Self {
        Self {
            organization,
            branch: None,
            actor: Actor::System { name: part.to_owned() },
            request: id::new(clock),
            rights: Rights::all(),
        }
    }

    /// The cloud acting on the box.
    pub fn cloud(organization: Uuid, clock: &dyn Clock) -> Self {
        Self { actor: Actor::Cloud, ..Self::system(organization, "cloud", clock) }
    }
}
