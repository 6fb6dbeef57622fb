//! Changes that wait for their table: noted when a newer box sends them, projected when the cloud has learned the table.

use std::collections::BTreeMap;

use super::{Table, Tables, Waiting, apply, apply::Origin, project, waiting};
use crate::{
    Cloud,
    db::{self, Tenancy, Tx},
    error::Result,
};

/// Notes from where on a box's changes of a table wait. What is noted already began earlier; a table that is known, and
/// was only left out while another one catches up, waits for nothing.
pub async fn note(tx: &mut Tx, origin: Origin, table: &str, first: &Waiting) -> Result<()> {
    let noted = sqlx::query!(
        "INSERT INTO unknown_tables (organization_id, box_id, table_name, epoch, sequence)
         SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM projected_tables WHERE name = $3)
         ON CONFLICT (box_id, table_name) DO NOTHING",
        origin.organization,
        origin.box_id,
        table,
        first.epoch,
        first.sequence
    )
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 1 {
        tracing::warn!(box_id = %origin.box_id, table, "a newer box has a table this cloud does not know; its rows wait");
    }
    Ok(())
}

/// Projects what waited for a table that is known by now, of one box and one table; whether there was any.
pub async fn catch_up(cloud: &Cloud) -> Result<bool> {
    let mut tx = cloud.db.begin(Tenancy::All).await?;
    let found = sqlx::query!(
        "SELECT p.organization_id, p.box_id, p.epoch, p.sequence, u.table_name, u.epoch AS first_epoch,
                u.sequence AS first_sequence
         FROM unknown_tables u
         JOIN projected_tables t ON t.name = u.table_name
         JOIN projections p ON p.box_id = u.box_id
         LIMIT 1 FOR UPDATE OF p SKIP LOCKED"
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(found) = found else { return Ok(false) };
    db::enter(&mut tx, Tenancy::One(found.organization_id)).await?;
    let origin = Origin { organization: found.organization_id, box_id: found.box_id, at: cloud.clock.now() };
    let mut tables = apply::tables(&mut tx).await?;
    let Some(table) = tables.remove(&found.table_name) else { return Ok(false) };
    let end = (found.epoch, found.sequence);
    let mut at = (found.first_epoch, found.first_sequence - 1);
    while at < end {
        let mut page = waiting(&mut tx, found.box_id, at).await?;
        page.retain(|w| (w.epoch, w.sequence) <= end);
        let Some(last) = page.last() else { break };
        at = (last.epoch, last.sequence);
        write_only(&mut tx, table.clone(), origin, &page).await?;
    }
    sqlx::query!("DELETE FROM unknown_tables WHERE box_id = $1 AND table_name = $2", found.box_id, found.table_name)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    tracing::info!(box_id = %origin.box_id, table = found.table_name, "rows that waited for their table are projected");
    Ok(true)
}

/// Writes one table's changes of a page. Whatever does not fit goes to quarantine, as it would have at first.
async fn write_only(tx: &mut Tx, table: Table, origin: Origin, page: &[Waiting]) -> Result<()> {
    let only: Tables = BTreeMap::from([(table.name.clone(), table)]);
    project(tx, &only, origin, page, None).await
}
