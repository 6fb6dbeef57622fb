//! Boxes as rows: made by a claim, moved by adoption, their keys, and the ring when their reference data changed.

use std::collections::BTreeMap;

use sent_core::Timestamp;
use sent_protocol::topic::DoorbellKind;
use uuid::Uuid;

use crate::{
    Cloud,
    audit::Touched,
    db::{Tenancy, Tx},
    error::Result,
    secret::Master,
};

/// Where an organisation's data key belongs, as the seal knows it.
pub fn key_place(organization: Uuid) -> String {
    format!("organization_keys/{organization}")
}

/// Makes an organisation's data key; its boxes get it at enrolment.
pub async fn make_data_key(tx: &mut Tx, master: &Master, organization: Uuid) -> Result<Vec<u8>> {
    let key: [u8; 32] = rand::random();
    let sealed = master.seal(&key_place(organization), &key)?;
    sqlx::query!("INSERT INTO organization_keys (organization_id, sealed) VALUES ($1, $2)", organization, sealed)
        .execute(&mut *tx)
        .await?;
    Ok(key.to_vec())
}

/// Makes the rows of a box that was just claimed.
pub async fn make_box(
    tx: &mut Tx,
    organization: Uuid,
    branch: Uuid,
    id: Uuid,
    name: &str,
    now: Timestamp,
) -> Result<()> {
    sqlx::query!(
        "INSERT INTO boxes (organization_id, id, branch_id, name) VALUES ($1, $2, $3, $4)",
        organization,
        id,
        branch,
        name
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "INSERT INTO box_states (organization_id, box_id, status_since) VALUES ($1, $2, $3)",
        organization,
        id,
        now.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("INSERT INTO box_documents (organization_id, box_id) VALUES ($1, $2)", organization, id)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("INSERT INTO wire_cursors (organization_id, box_id) VALUES ($1, $2)", organization, id)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("INSERT INTO projections (organization_id, box_id) VALUES ($1, $2)", organization, id)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Moves a box that has not sent anything yet into another organisation.
pub async fn move_box(tx: &mut Tx, id: Uuid, to: Uuid) -> Result<()> {
    sqlx::query!("UPDATE boxes SET organization_id = $2 WHERE id = $1", id, to).execute(&mut *tx).await?;
    sqlx::query!("UPDATE box_states SET organization_id = $2 WHERE box_id = $1", id, to).execute(&mut *tx).await?;
    sqlx::query!("UPDATE box_documents SET organization_id = $2 WHERE box_id = $1", id, to).execute(&mut *tx).await?;
    sqlx::query!("UPDATE wire_cursors SET organization_id = $2 WHERE box_id = $1", id, to).execute(&mut *tx).await?;
    sqlx::query!("UPDATE projections SET organization_id = $2 WHERE box_id = $1", id, to).execute(&mut *tx).await?;
    sqlx::query!("UPDATE commands SET organization_id = $2 WHERE box_id = $1", id, to).execute(&mut *tx).await?;
    Ok(())
}

/// Rings at the boxes of every organisation whose reference data a change touched.
pub async fn ring_reference(cloud: &Cloud, touched: &Touched) {
    let mut tables: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for (organization, table) in &touched.rows {
        tables.entry(*organization).or_default().push(table.clone());
    }
    for (organization, tables) in tables {
        match flows_down(cloud, organization, &tables).await {
            Ok(true) => ring_all(cloud, organization).await,
            Ok(false) => {}
            Err(error) => tracing::debug!(%organization, %error, "no ring; the boxes poll"),
        }
    }
}

async fn flows_down(cloud: &Cloud, organization: Uuid, tables: &[String]) -> Result<bool> {
    let mut tx = cloud.db.begin(Tenancy::One(organization)).await?;
    let any = sqlx::query_scalar!(
        "SELECT EXISTS (SELECT FROM projected_tables WHERE class <> 'up' AND name = ANY($1)) AS \"any!\"",
        tables
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(any)
}

/// Whether this transaction changed reference data of an organisation.
pub async fn is_touched(tx: &mut Tx, organization: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        "SELECT EXISTS (SELECT FROM reference_heads
                        WHERE organization_id = $1 AND transaction = pg_current_xact_id()) AS \"touched!\"",
        organization
    )
    .fetch_one(&mut *tx)
    .await?)
}

/// Rings at all boxes of an organisation. A ring that fails costs a poll interval, so it is only logged.
pub async fn ring_all(cloud: &Cloud, organization: Uuid) {
    match boxes_of(cloud, organization).await {
        Ok(boxes) => boxes.into_iter().for_each(|id| cloud.bell.ring(id, DoorbellKind::Reference)),
        Err(error) => tracing::debug!(%organization, %error, "no ring; the boxes poll"),
    }
}

async fn boxes_of(cloud: &Cloud, organization: Uuid) -> Result<Vec<Uuid>> {
    let mut tx = cloud.db.begin(Tenancy::One(organization)).await?;
    let boxes = sqlx::query_scalar!(
        "SELECT id FROM boxes
         WHERE organization_id = $1 AND enrolled_at IS NOT NULL AND revoked_at IS NULL",
        organization
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(boxes)
}
