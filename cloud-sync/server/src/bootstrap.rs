//! The first MSP and its owner.
//!
//! Refuses when there is one, so that nobody who can run the program once more becomes owner of a fleet.

use sent_core::{Problem, Scope, id, identity};
use uuid::Uuid;

use crate::{Cloud, audit::Change, console::organizations, db::Tenancy, error::Result};

/// Roles of an MSP: name and rights.
pub const ROLES: &[(&str, &[&str])] = &[
    ("owner", &["*"]),
    ("operator", &["fleet.*", "audit.read", "settings.read", "user.read"]),
    (
        "viewer",
        &[
            "fleet.box.read",
            "fleet.organization.read",
            "fleet.reference.read",
            "fleet.entry.read",
            "fleet.alert.read",
            "fleet.security.read",
            "fleet.network.read",
            "fleet.pack.read",
            "fleet.quarantine.read",
            "fleet.proposal.read",
        ],
    ),
];

/// Who is to own the fleet.
#[derive(Clone, Debug)]
pub struct First {
    /// Name of the MSP.
    pub organization: String,
    /// Its currency.
    pub currency: String,
    /// Login name of the owner.
    pub email: String,
    /// Display name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// Makes an MSP; a second one only when `another` is meant. Answers its id.
pub async fn bootstrap(cloud: &Cloud, first: First, another: bool) -> Result<Uuid> {
    identity::check_password_rules(&first.password)?;
    let organization = id::new(&*cloud.clock);
    let scope = Scope::system(organization, "bootstrap", &*cloud.clock);
    let mut all = cloud.db.begin(Tenancy::All).await?;
    let there = sqlx::query_scalar!("SELECT count(*) AS \"n!\" FROM tenants WHERE parent_id IS NULL")
        .fetch_one(&mut *all)
        .await?;
    all.commit().await?;
    if there > 0 && !another {
        return Err(
            Problem::conflict("this cloud has an MSP already; its owner makes further users in the console").into()
        );
    }
    let mut change = Change::begin(cloud, &scope, "cloud.bootstrap").await?;
    organizations::make(&mut change, cloud, organization, None, &first.organization, &first.currency).await?;
    let roles = organizations::make_roles(&mut change, cloud, organization, ROLES).await?;
    organizations::make_branch(&mut change, cloud, organization, "Head office", "UTC").await?;
    let hash = identity::hash_password(&first.password)?;
    let owner = roles.get("owner").copied().ok_or_else(|| Problem::internal("there is no owner role"))?;
    sqlx::query!(
        "INSERT INTO users (organization_id, id, email, name, password_hash, role_id) VALUES ($1, $2, $3, $4, $5, $6)",
        organization,
        id::new(&*cloud.clock),
        first.email.trim(),
        first.name,
        hash,
        owner
    )
    .execute(&mut *change)
    .await?;
    change.commit().await?;
    Ok(organization)
}
