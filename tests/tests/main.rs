//! End to end: real programs, real servers, a real browser, and faults.
//!
//! Each story is a file of its own. `make test` builds the programs and runs them all; `cargo nextest run -p sent-tests
//! wan_outage` runs one. `SENT_KEEP=1` keeps the folder of one that failed.

mod agents;
mod audit_chain;
mod browser_box;
mod browser_fleet;
mod browser_guard;
mod browser_radar;
mod browser_security;
mod centrifuge_client;
mod fleet_packs;
mod full_disk;
mod guard_live;
mod hostile_input;
mod kill_anywhere;
mod other_processes;
mod poison_transaction;
mod radar_reload;
mod radar_restart;
mod reference_data;
mod report_pdf;
mod restored_backup;
mod revoked_box;
mod syslog_tls;
mod tenancy;
mod timescale_migrations;
mod two_replicas;
mod wan_outage;
mod wrong_clock;

use sent_contract::{Uuid, capital::Entry};
use sent_tests::{
    Appliance, Context as _, Face, Result, appliance, books,
    compare::{self, Same},
    new_id, until,
};
use sqlx::PgPool;

/// Posts so many sales; answers their ids.
async fn sales(face: &Face, count: i64) -> Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for n in 1..=count {
        let id = new_id();
        books::post(face, &books::sale(id, 100 * n + 7)).await?;
        ids.push(id);
    }
    Ok(ids)
}

/// Waits until the cloud has projected so many entries of a box.
async fn projected(cloud: &PgPool, box_id: Uuid, wanted: i64, seconds: u64) -> Result<()> {
    let seen = std::sync::atomic::AtomicI64::new(0);
    until("the cloud has projected the entries", seconds, || async {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM entries WHERE box_id = $1").bind(box_id).fetch_one(cloud).await?;
        seen.store(count, std::sync::atomic::Ordering::Relaxed);
        Ok((count >= wanted).then_some(()))
    })
    .await
    .with_context(|| format!("{} of {wanted}", seen.load(std::sync::atomic::Ordering::Relaxed)))
}

/// An entry as the box has it.
async fn entry(face: &Face, id: Uuid) -> Result<Entry> {
    face.get(&format!("/api/capital/entries/{id}")).await
}

/// The box's id, out of its own database.
fn box_id(appliance: &Appliance) -> Result<Uuid> {
    let own = compare::open(appliance.data())?;
    let id: String = own.query_row("SELECT box_id FROM sys_box", [], |row| row.get(0))?;
    Ok(id.parse()?)
}

/// Holds the rows of both sides against each other once everything has arrived; the box is stopped afterwards. What runs by
/// itself on a box may write once more while it stops: then there is another look.
async fn same_rows(cloud: &PgPool, appliance: &mut Appliance, face: &Face, box_id: Uuid) -> Result<Vec<Same>> {
    let mut looks = 5;
    loop {
        let status = appliance::synced(face, 60).await?;
        until("the cloud has projected what it has", 60, || async {
            let (epoch, sequence): (i64, i64) =
                sqlx::query_as("SELECT epoch, sequence FROM projections WHERE box_id = $1")
                    .bind(box_id)
                    .fetch_one(cloud)
                    .await?;
            Ok(((u64::try_from(epoch)?, u64::try_from(sequence)?) >= (status.epoch, status.sequence)).then_some(()))
        })
        .await?;
        appliance.stop().await?;
        looks -= 1;
        match compare::rows(cloud, appliance.data(), box_id).await {
            Ok(same) => return Ok(same),
            Err(error) if looks == 0 => return Err(error),
            Err(_) => appliance.start().await?,
        }
    }
}
