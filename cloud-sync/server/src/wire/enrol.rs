//! Enrolment and renewal.
//!
//! A claim counts once: for the key that used it first. The row is taken inside the transaction that makes the box's
//! certificate known, and a box whose answer was lost asks again with the same key and is answered again.
//!
//! A claim opens the organisation it was made for and no other. A box that has already worked stand-alone brings its
//! organisation and branch: when the cloud does not know that organisation it is adopted as a customer of the claim's MSP,
//! because the ids are part of every transaction the box has sealed; when the cloud does know it, the claim must be one of
//! its own, for the box's own word would otherwise be enough to get at any customer's data key.

use std::sync::Arc;

use axum::extract::State;
use data_encoding::BASE64;
use http::StatusCode;
use sent_core::{Timestamp, identity};
use sent_protocol::{
    BranchRef, CertificateRequest, CertificateResponse, EnrolRequest, EnrolResponse, OrganizationRef, code,
};
use uuid::Uuid;

use super::caller::{Answer, Caller, Strangers, Whole};
use crate::{
    Cloud,
    authority::{self, Issued},
    db::{self, Tenancy, Tx},
    error::{Error, Fault, Result},
    fleet, text,
};

/// `POST /wire/v1/enrol`.
pub async fn enrol(
    State(cloud): State<Arc<Cloud>>,
    Strangers(body): Strangers,
) -> Result<Answer<EnrolResponse>, Fault> {
    let request: EnrolRequest = body.json().await?;
    let now = cloud.clock.now();
    let code_hash = identity::digest(&request.claim.trim().to_ascii_uppercase());
    let mut tx = cloud.db.begin_presented(&code_hash).await?;
    let claim = sqlx::query!(
        "SELECT id, organization_id, box_id FROM claims WHERE code_hash = $1 AND expires_at > $2",
        code_hash,
        now.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(claim) = claim else { return Err(invalid_claim()) };
    let key_hash = authority::requested_key(&request.csr_pem)?;
    db::enter(&mut tx, Tenancy::One(claim.organization_id)).await?;
    let used = sqlx::query!("SELECT used_at, key_hash FROM claims WHERE id = $1 FOR UPDATE", claim.id)
        .fetch_one(&mut *tx)
        .await?;
    let organization = match used.used_at {
        None => {
            take(&mut tx, claim.id, now, &key_hash).await?;
            join(&mut tx, &cloud, &request, claim.organization_id, claim.box_id).await?
        }
        Some(_) if used.key_hash.as_deref() == Some(&*key_hash) => {
            // The box is where it was put then, which may be the organisation it brought.
            let organization = request.organization.as_ref().map_or(claim.organization_id, |own| own.id);
            db::enter(&mut tx, Tenancy::One(organization)).await?;
            organization
        }
        Some(_) => return Err(invalid_claim()),
    };
    // A box that was revoked stays out, and so does one that asks again as if it stood somewhere else.
    let joined = sqlx::query!(
        "UPDATE boxes SET enrolled_at = coalesce(enrolled_at, $3), version = $4
         WHERE id = $1 AND organization_id = $2 AND revoked_at IS NULL",
        claim.box_id,
        organization,
        now.0,
        text::line(&request.version)
    )
    .execute(&mut *tx)
    .await?;
    if joined.rows_affected() != 1 {
        return Err(invalid_claim());
    }
    let branch = place(&mut tx, organization, claim.box_id).await?;
    let issued =
        cloud.authority.issue_box(&request.csr_pem, claim.box_id, cloud.settings.fleet.certificate_days, now)?;
    note_certificate(&mut tx, claim.box_id, &issued).await?;
    let own = sqlx::query!("SELECT name, currency FROM organizations WHERE organization_id = $1", organization)
        .fetch_one(&mut *tx)
        .await?;
    let data_key = data_key(&mut tx, &cloud, organization).await?;
    tx.commit().await?;
    tracing::info!(box_id = %claim.box_id, %organization, name = request.box_name, "box enrolled");
    cloud.seen.note(claim.box_id, now);
    let mqtt = &cloud.settings.mqtt;
    Ok(Answer(EnrolResponse {
        box_id: claim.box_id,
        certificate_pem: issued.chain_pem,
        ca_pem: cloud.authority.root_pem().to_owned(),
        organization: OrganizationRef { id: organization, name: own.name, currency: own.currency },
        branch,
        data_key: BASE64.encode(&data_key),
        mqtt_url: if mqtt.box_url.is_empty() { mqtt.url.clone() } else { mqtt.box_url.clone() },
        expires_at: issued.expires_at.0,
    }))
}

/// `POST /wire/v1/certificate`.
pub async fn renew(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    body: Whole,
) -> Result<Answer<CertificateResponse>, Fault> {
    let request: CertificateRequest = body.json().await?;
    let days = cloud.settings.fleet.certificate_days;
    let issued = cloud.authority.issue_box(&request.csr_pem, caller.box_id, days, cloud.clock.now())?;
    let mut tx = caller.begin(&cloud).await?;
    note_certificate(&mut tx, caller.box_id, &issued).await?;
    tx.commit().await?;
    Ok(Answer(CertificateResponse { certificate_pem: issued.chain_pem, expires_at: issued.expires_at.0 }))
}

fn invalid_claim() -> Fault {
    Fault::new(
        StatusCode::FORBIDDEN,
        code::CLAIM_INVALID,
        "the claim code is unknown, used or has ended; ask for a new one",
    )
}

async fn note_certificate(tx: &mut Tx, box_id: Uuid, issued: &Issued) -> Result<()> {
    sqlx::query!(
        "UPDATE boxes SET certificate_expires = $2, certificate_serial = $3 WHERE id = $1",
        box_id,
        issued.expires_at.0,
        issued.serial
    )
    .execute(&mut *tx)
    .await?;
    Ok(())
}

/// The claim is used, by this key.
async fn take(tx: &mut Tx, claim: Uuid, now: Timestamp, key_hash: &str) -> Result<()> {
    sqlx::query!("UPDATE claims SET used_at = $2, key_hash = $3 WHERE id = $1", claim, now.0, key_hash)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Puts the box where it belongs; answers its organisation.
async fn join(
    tx: &mut Tx,
    cloud: &Cloud,
    request: &EnrolRequest,
    claimed_for: Uuid,
    box_id: Uuid,
) -> Result<Uuid, Fault> {
    let Some(own) = &request.organization else { return Ok(claimed_for) };
    if own.id != claimed_for {
        adopt(tx, cloud, own, claimed_for, box_id).await?;
    }
    if let Some(branch) = &request.branch {
        stand_in(tx, own.id, box_id, branch).await?;
    }
    Ok(own.id)
}

/// Takes in the organisation a stand-alone box was set up with, and moves the claimed box into it. One that is here already
/// is joined by a claim of its own and by nothing else.
async fn adopt(
    tx: &mut Tx,
    cloud: &Cloud,
    own: &OrganizationRef,
    claimed_for: Uuid,
    box_id: Uuid,
) -> Result<(), Fault> {
    let adopted = sqlx::query!(
        "INSERT INTO tenants (organization_id, parent_id)
         SELECT $1, coalesce(parent_id, organization_id) FROM tenants WHERE organization_id = $2
         ON CONFLICT (organization_id) DO NOTHING RETURNING parent_id AS \"msp!\"",
        own.id,
        claimed_for
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(adopted) = adopted else {
        return Err(Fault::new(
            StatusCode::FORBIDDEN,
            code::CLAIM_INVALID,
            "this box was set up for an organisation that the cloud knows; make a claim for that organisation",
        ));
    };
    db::enter(tx, Tenancy::One(own.id)).await?;
    // The box's own row is on its way up as a proposal based on version 0: it continues this one.
    db::set(tx, "sent.origin_box", &box_id.to_string()).await?;
    db::set(tx, "sent.origin_base", "0").await?;
    sqlx::query!(
        "INSERT INTO organizations (organization_id, name, currency, parent_id) VALUES ($1, $2, $3, $4)",
        own.id,
        text::line(&own.name),
        text::line(&own.currency),
        adopted.msp
    )
    .execute(&mut *tx)
    .await?;
    db::set(tx, "sent.origin_box", "").await?;
    db::set(tx, "sent.origin_base", "").await?;
    fleet::make_data_key(tx, &cloud.master, own.id).await?;
    db::enter(tx, Tenancy::Tree(adopted.msp)).await?;
    fleet::move_box(tx, box_id, own.id).await?;
    db::enter(tx, Tenancy::One(own.id)).await?;
    Ok(())
}

/// Puts the box into the branch it brings, which is made when it is new. A branch that is here already must be the claim's:
/// a claim opens no other.
async fn stand_in(tx: &mut Tx, organization: Uuid, box_id: Uuid, own: &BranchRef) -> Result<(), Fault> {
    let made = sqlx::query!(
        "INSERT INTO branches (organization_id, id, name, timezone) VALUES ($1, $2, $3, $4)
         ON CONFLICT (organization_id, id) DO NOTHING",
        organization,
        own.id,
        text::line(&own.name),
        text::line(&own.timezone)
    )
    .execute(&mut *tx)
    .await?;
    let moved = sqlx::query!(
        "UPDATE boxes SET branch_id = $2 WHERE id = $1 AND ($3 OR branch_id = $2)",
        box_id,
        own.id,
        made.rows_affected() == 1
    )
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    Err(Fault::new(
        StatusCode::FORBIDDEN,
        code::CLAIM_INVALID,
        "this box was set up for another branch; make a claim for that branch",
    ))
}

/// The branch the box stands in.
async fn place(tx: &mut Tx, organization: Uuid, box_id: Uuid) -> Result<BranchRef> {
    let row = sqlx::query!(
        "SELECT b.id, b.name, b.timezone FROM branches b JOIN boxes x ON x.branch_id = b.id
         WHERE x.id = $1 AND b.organization_id = $2",
        box_id,
        organization
    )
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| Error::Stored(format!("box {box_id} stands in no branch")))?;
    Ok(BranchRef { id: row.id, name: row.name, timezone: row.timezone })
}

async fn data_key(tx: &mut Tx, cloud: &Cloud, organization: Uuid) -> Result<Vec<u8>> {
    let sealed = sqlx::query_scalar!("SELECT sealed FROM organization_keys WHERE organization_id = $1", organization)
        .fetch_optional(&mut *tx)
        .await?;
    match sealed {
        Some(sealed) => cloud.master.open(&fleet::key_place(organization), &sealed),
        None => fleet::make_data_key(tx, &cloud.master, organization).await,
    }
}
