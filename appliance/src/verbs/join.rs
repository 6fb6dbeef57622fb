//! Joining a cloud.
//!
//! The identity is written last: a box either has all that the cloud gave it, or is not enrolled. Whatever ended in between
//! is done again by the same verb with the same claim, for the cloud answers the same key twice and every step here finds
//! what an earlier attempt left.

use std::{path::Path, process::ExitCode};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use data_encoding::BASE64;
use sent_core::cipher::KEY;
use sent_protocol::{BranchRef, EnrolResponse, OrganizationRef, claim::ClaimCode};
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
    take_up(&store, &name, &answer, runtime)?;
    identity.save(data)?;
    println!("{name}: enrolled with {} for {}, {}", enrol.cloud, answer.organization.name, answer.branch.name);
    Ok(ExitCode::SUCCESS)
}

/// Makes the box of this folder the one the cloud's answer speaks of.
fn take_up(store: &Store, name: &str, answer: &EnrolResponse, runtime: &Runtime) -> anyhow::Result<()> {
    let key = BASE64.decode(answer.data_key.as_bytes()).ok().and_then(|k| k.try_into().ok());
    let key: [u8; KEY] = key.ok_or_else(|| anyhow!("the cloud's data key is not one"))?;
    match store.identity() {
        Err(StoreError::NotInitialised) => store.initialise(NewBox {
            box_id: answer.box_id,
            name: name.to_owned(),
            organization: answer.organization.id,
            branch: Some(answer.branch.id),
        })?,
        Err(error) => return Err(error.into()),
        Ok(row) => {
            let own = row.organization == answer.organization.id;
            ensure!(own, "this box belongs to another organisation than {}", answer.organization.name);
            if row.box_id != answer.box_id || row.name != name {
                runtime.block_on(store.adopt(answer.box_id, name.to_owned()))?;
            }
        }
    }
    store.adopt_key_blocking(&super::scope(store)?, key)?;
    Ok(())
}

type Refs = (Option<OrganizationRef>, Option<BranchRef>);

/// What a box that has worked by itself brings along. One that an earlier attempt made of an empty folder brings nothing: its
/// rows come from the cloud.
fn stand_alone(store: &Store, organization: Uuid, branch: Option<Uuid>) -> anyhow::Result<Refs> {
    let scope = super::scope(store)?;
    let refs = store.read_blocking(&scope, |db| -> Result<Refs, StoreError> {
        let mut statement = db.prepare("SELECT name, currency FROM organizations")?;
        let mut rows = statement
            .query_map([], |r| Ok(OrganizationRef { id: organization, name: r.get(0)?, currency: r.get(1)? }))?;
        let organization = rows.next().transpose()?;
        let branch = branch
            .filter(|_| organization.is_some())
            .map(|id| {
                db.query_row("SELECT name, timezone FROM branches WHERE id = ?1", [id.to_string()], |r| {
                    Ok(BranchRef { id, name: r.get(0)?, timezone: r.get(1)? })
                })
            })
            .transpose()?;
        Ok((organization, branch))
    })?;
    Ok(refs)
}

#[cfg(test)]
mod tests {
    use sent_core::cipher::Field;
    use sent_store::test;

    use super::*;

    const FIELD: Field<'_> = Field { table: "factors", row: "u", column: "secret" };

    fn answer(organization: Uuid) -> EnrolResponse {
        EnrolResponse {
            box_id: Uuid::from_u128(0xb1),
            certificate_pem: String::new(),
            ca_pem: String::new(),
            organization: OrganizationRef { id: organization, name: "Northwind".into(), currency: "EUR".into() },
            branch: BranchRef { id: Uuid::from_u128(0x0b), name: "Quay 9".into(), timezone: "UTC".into() },
            data_key: BASE64.encode(&[7; KEY]),
            mqtt_url: String::new(),
            expires_at: 0,
        }
    }

    #[test]
    fn an_enrolment_that_was_cut_off_after_any_step_is_finished_by_the_next() {
        let runtime = Runtime::new().unwrap();
        let (folder, alone, scope) = test::store(&[]).unwrap();
        let answer = answer(scope.organization);

        // An empty folder, cut off once the box was made.
        let blank = engines::open_store(folder.path().join("blank"), &Settings::default()).unwrap();
        blank
            .initialise(NewBox {
                box_id: answer.box_id,
                name: "till".into(),
                organization: answer.organization.id,
                branch: Some(answer.branch.id),
            })
            .unwrap();
        let refs = stand_alone(&blank, answer.organization.id, Some(answer.branch.id)).unwrap();
        assert_eq!(refs, (None, None), "it asks as it did at first");
        for _ in 0..2 {
            take_up(&blank, "till", &answer, &runtime).unwrap();
        }
        let sealed = blank.encipher(scope.organization, &FIELD, b"a secret").unwrap();
        assert!(sealed.starts_with("v1:1:"), "the cloud's key is the only one: {sealed}");

        // A box that stood alone, cut off once it had its new id, and once it had the key.
        let before = alone.encipher(scope.organization, &FIELD, b"a secret").unwrap();
        runtime.block_on(alone.adopt(answer.box_id, "till".into())).unwrap();
        for _ in 0..2 {
            take_up(&alone, "till", &answer, &runtime).unwrap();
            assert_eq!(alone.identity().unwrap().box_id, answer.box_id);
        }
        assert_eq!(&*alone.decipher(scope.organization, &FIELD, &before).unwrap(), b"a secret");
        let after = alone.encipher(scope.organization, &FIELD, b"a secret").unwrap();
        assert!(after.starts_with("v1:2:"), "{after}");
        let (own, branch) = stand_alone(&alone, scope.organization, scope.branch).unwrap();
        assert!(own.is_some_and(|o| o.name == "Northwind Ltd") && branch.is_some());
    }

    #[test]
    fn a_claim_of_another_organisation_changes_nothing() {
        let (_folder, alone, _) = test::store(&[]).unwrap();
        let before = alone.identity().unwrap();
        let refused = take_up(&alone, "till", &answer(Uuid::from_u128(0x99)), &Runtime::new().unwrap());
        assert!(refused.is_err_and(|e| e.to_string().contains("another organisation")));
        assert_eq!(alone.identity().unwrap(), before);
    }
}
