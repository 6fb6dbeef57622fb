//! Joining a cloud.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, anyhow};
use clap::Args;
use data_encoding::BASE64;
use sent_core::cipher::KEY;
use sent_protocol::{BranchRef, OrganizationRef, claim::ClaimCode};
use sent_store::{NewBox, Store, StoreError};
use sent_sync::Enrolment;
use tokio::runtime::Runtime;
use url::Url;
use uuid::Uuid;

use crate::{engines, settings::Settings};

/// `sent enrol`.
#[derive(Debug, Args)]
pub struct Enrol {
    /// The cloud's wire address: https://host:port.
    #[arg(long, value_name = "URL")]
    cloud: Url,
    /// The claim code, as the cloud showed it.
    #[arg(long, value_name = "CODE")]
    claim: String,
    /// Name of the box; default: the one given with the claim.
    #[arg(long)]
    name: Option<String>,
}

/// Enrols the box of a data folder; an empty folder becomes the box the claim is for.
pub fn enrol(enrol: Enrol, data: &Path, settings: &Settings, runtime: &Runtime) -> anyhow::Result<ExitCode> {
    let claim: ClaimCode = enrol.claim.parse().context("this is no claim code")?;
    let store = engines::open_store(data.to_owned(), settings)?;
    let standing = match store.identity() {
        Ok(identity) => Some(identity),
        Err(StoreError::NotInitialised) => None,
        Err(error) => return Err(error.into()),
    };
    let (organization, branch) = match &standing {
        Some(identity) => stand_alone(&store, identity.organization, identity.branch)?,
        None => (None, None),
    };
    let box_name = enrol.name.clone().or_else(|| standing.as_ref().map(|s| s.name.clone())).unwrap_or_default();
    let enrolment = Enrolment {
        cloud: enrol.cloud.clone(),
        claim,
        box_name: box_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        organization,
        branch,
    };
    let (identity, answer) = runtime.block_on(sent_sync::enrol(data, enrolment))?;
    let name = if box_name.is_empty() { answer.branch.name.clone() } else { box_name };
    match standing {
        None => store.initialise(NewBox {
            box_id: identity.box_id,
            name: name.clone(),
            organization: answer.organization.id,
            branch: Some(answer.branch.id),
        })?,
        Some(_) => runtime.block_on(store.adopt(identity.box_id, name.clone()))?,
    }
    let key = BASE64.decode(answer.data_key.as_bytes()).ok().and_then(|k| k.try_into().ok());
    let key: [u8; KEY] = key.ok_or_else(|| anyhow!("the cloud's data key is not one"))?;
    store.adopt_key_blocking(&super::scope(&store)?, key)?;
    println!("{name}: enrolled with {} for {}, {}", enrol.cloud, answer.organization.name, answer.branch.name);
    Ok(ExitCode::SUCCESS)
}

type Refs = (Option<OrganizationRef>, Option<BranchRef>);

fn stand_alone(store: &Store, organization: Uuid, branch: Option<Uuid>) -> anyhow::Result<Refs> {
    let scope = super::scope(store)?;
    let refs = store.read_blocking(&scope, |db| -> Result<Refs, StoreError> {
        let organization = db.query_row("SELECT name, currency FROM organizations", [], |r| {
            Ok(OrganizationRef { id: organization, name: r.get(0)?, currency: r.get(1)? })
        })?;
        let branch = branch
            .map(|id| {
                db.query_row("SELECT name, timezone FROM branches WHERE id = ?1", [id.to_string()], |r| {
                    Ok(BranchRef { id, name: r.get(0)?, timezone: r.get(1)? })
                })
            })
            .transpose()?;
        Ok((Some(organization), branch))
    })?;
    Ok(refs)
}
