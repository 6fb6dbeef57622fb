//! Enrolment and renewal.
//!
//! A claim counts once: the row is taken inside the transaction that makes the box's certificate known. A box that has
//! already worked stand-alone brings its organisation and branch; when the cloud does not know that organisation it is
//! adopted as a customer of the claim's MSP, because the ids are part of every transaction the box has sealed.

use std::sync::Arc;

use axum::extract::State;
use data_encoding::BASE64;
use http::StatusCode;
use sent_core::identity;
use sent_protocol::{
    BranchRef, CertificateRequest, CertificateResponse, EnrolRequest, EnrolResponse, OrganizationRef, code,
};
use uuid::Uuid;

use super::caller::{Answer, Caller, Whole};
use crate::{
    Cloud,
    authority::Issued,
    db::{self, Tenancy, Tx},
    error::{Error, Fault, Result},
    fleet,
};

/// `POST /wire/v1/enrol`.
pub async fn enrol(State(cloud): State<Arc<Cloud>>, body: Whole) -> Result<Answer<EnrolResponse>, Fault> {
    let request: EnrolRequest = body.json().await?;
    let now = cloud.clock.now();
    let code_hash = identity::digest(&request.claim.trim().to_ascii_uppercase());
    let mut tx = cloud.db.begin_presented(&code_hash).await?;
    let claim = sqlx::query!(
        "SELECT id, organization_id, box_id FROM claims
         WHERE code_hash = $1 AND used_at IS NULL AND expires_at > $2",
        code_hash,
        now.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(claim) = claim else { return Err(invalid_claim()) };
    db::enter(&mut tx, Tenancy::One(claim.organization_id)).await?;
    let taken = sqlx::query!("UPDATE claims SET used_at = $2 WHERE id = $1 AND used_at IS NULL", claim.id, now.0)
        .execute(&mut *tx)
        .await?;
    if taken.rows_affected() != 1 {
        return Err(invalid_claim());
    }
    let organization = match &request.organization {
        Some(own) if own.id != claim.organization_id => {
            adopt(&mut tx, &cloud, own, claim.organization_id, claim.box_id).await?;
            own.id
        }
        _ => claim.organization_id,
    };
    let branch = place(&mut tx, organization, claim.box_id, request.branch.as_ref()).await?;
    let issued =
        cloud.authority.issue_box(&request.csr_pem, claim.box_id, cloud.settings.fleet.certificate_days, now)?;
    note_certificate(&mut tx, claim.box_id, &issued).await?;
    sqlx::query!(
        "UPDATE boxes SET enrolled_at = $2, version = $3, revoked_at = NULL WHERE id = $1",
        claim.box_id,
        now.0,
        clean(&request.version)
    )
    .execute(&mut *tx)
    .await?;
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

/// Text of a stranger as PostgreSQL keeps it: without NUL, bounded.
fn clean(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(200).collect()
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

/// Takes in the organisation a stand-alone box was set up with, and moves the claimed box into it.
async fn adopt(
    tx: &mut Tx,
    cloud: &Cloud,
    own: &OrganizationRef,
    claimed_for: Uuid,
    box_id: Uuid,
) -> Result<(), Fault> {
    let known = sqlx::query_scalar!(
        "SELECT coalesce(parent_id, organization_id) AS \"msp!\" FROM tenants WHERE organization_id = $1",
        own.id
    )
    .fetch_optional(&mut *tx)
    .await?;
    let msp = sqlx::query_scalar!(
        "SELECT coalesce(parent_id, organization_id) AS \"msp!\" FROM tenants WHERE organization_id = $1",
        claimed_for
    )
    .fetch_one(&mut *tx)
    .await?;
    match known {
        // It was adopted before, with another of its boxes.
        Some(manager) if manager == msp && own.id != msp => {}
        Some(_) => {
            return Err(Fault::new(
                StatusCode::FORBIDDEN,
                code::CLAIM_INVALID,
                "this box was set up for an organisation that belongs to somebody else",
            ));
        }
        None => {
            sqlx::query!("INSERT INTO tenants (organization_id, parent_id) VALUES ($1, $2)", own.id, msp)
                .execute(&mut *tx)
                .await?;
            db::enter(tx, Tenancy::One(own.id)).await?;
            // The box's own row is on its way up as a proposal based on version 0: it continues this one.
            db::set(tx, "sent.origin_box", &box_id.to_string()).await?;
            db::set(tx, "sent.origin_base", "0").await?;
            sqlx::query!(
                "INSERT INTO organizations (organization_id, name, currency, parent_id) VALUES ($1, $2, $3, $4)",
                own.id,
                clean(&own.name),
                clean(&own.currency),
                msp
            )
            .execute(&mut *tx)
            .await?;
            db::set(tx, "sent.origin_box", "").await?;
            db::set(tx, "sent.origin_base", "").await?;
            fleet::make_data_key(tx, &cloud.master, own.id).await?;
        }
    }
    db::enter(tx, Tenancy::Both(claimed_for, own.id)).await?;
    fleet::move_box(tx, box_id, own.id).await?;
    db::enter(tx, Tenancy::One(own.id)).await?;
    Ok(())
}

/// The branch the box stands in: the one it brings, made when it is new, or the claim's.
async fn place(tx: &mut Tx, organization: Uuid, box_id: Uuid, own: Option<&BranchRef>) -> Result<BranchRef> {
    if let Some(own) = own {
        sqlx::query!(
            "INSERT INTO branches (organization_id, id, name, timezone) VALUES ($1, $2, $3, $4)
             ON CONFLICT (organization_id, id) DO NOTHING",
            organization,
            own.id,
            clean(&own.name),
            clean(&own.timezone)
        )
        .execute(&mut *tx)
        .await?;
        sqlx::query!("UPDATE boxes SET branch_id = $2 WHERE id = $1", box_id, own.id).execute(&mut *tx).await?;
    }
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
