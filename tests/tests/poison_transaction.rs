//! Rows the box takes and the cloud's database refuses: each goes to the visible quarantine with its error, the queue goes
//! on without it, and a person retries it or skips it with a reason.

use sent_contract::{
    Page,
    fleet::{FleetEntry, Quarantined, Skip},
};
use sent_tests::{Cluster, Result, Setup, appliance, books, compare, ensure, until};
use serde_json::json;

use crate::{box_id, new_id, projected, sales};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_transaction() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    let (box_id, cloud) = (box_id(&appliance)?, cluster.postgres.owner().await?);
    sqlx::raw_sql("ALTER TABLE entries ADD CONSTRAINT no_poison CHECK (description NOT LIKE 'poison%')")
        .execute(&cloud)
        .await?;

    let mut poison = Vec::new();
    for n in 0..2 {
        sales(&face, 5).await?;
        let id = new_id();
        let lines = [("Assets:Cash", 1_300, "EUR"), ("Income:Sales", -1_300, "EUR")];
        books::post(&face, &books::entry(id, "2026-10-05", &format!("poison {n}"), &lines)).await?;
        poison.push(id);
    }
    sales(&face, 5).await?;

    appliance::synced(&face, 30).await?;
    projected(&cloud, box_id, 15, 30).await?;
    let open = || async {
        let page: Page<Quarantined> = cluster.fleet.get("/api/fleet/quarantine?state=open").await?;
        Ok::<_, anyhow::Error>(page.items)
    };
    let held = until("both are in quarantine", 30, || async {
        let held = open().await?;
        Ok((held.len() == 2).then_some(held))
    })
    .await?;
    for row in &held {
        ensure!(row.error.contains("no_poison") && row.box_ref.id == box_id, "{row:?}");
        ensure!(row.changes.to_string().contains("poison"), "one cannot see what is in it: {row:?}");
    }
    // A retry that changes nothing leaves it where it is.
    let retry = format!("/api/fleet/quarantine/{}/retry", held[0].id);
    cluster.fleet.send_json(reqwest::Method::POST, &retry, &json!({})).await?;
    ensure!(open().await?.len() == 2, "a retry against the same refusal took it out");

    // Skipping wants a reason.
    let skip = format!("/api/fleet/quarantine/{}/skip", held[1].id);
    let answer = cluster.fleet.send_json(reqwest::Method::POST, &skip, &Skip { reason: " ".into() }).await?;
    ensure!(answer.status.is_client_error(), "skipped without a reason: {}", answer.text());
    cluster.fleet.change(reqwest::Method::POST, &skip, &Skip { reason: "entered by mistake".into() }).await?;

    sqlx::raw_sql("ALTER TABLE entries DROP CONSTRAINT no_poison").execute(&cloud).await?;
    cluster.fleet.change(reqwest::Method::POST, &retry, &json!({})).await?;
    ensure!(open().await?.is_empty(), "something is still in quarantine");
    let skipped: Page<Quarantined> = cluster.fleet.get("/api/fleet/quarantine?state=skipped").await?;
    ensure!(skipped.items.iter().any(|q| q.reason.as_deref() == Some("entered by mistake")), "{skipped:?}");

    projected(&cloud, box_id, 16, 30).await?;
    let entries: Page<FleetEntry> = cluster.fleet.get("/api/fleet/entries?limit=100").await?;
    let there = |id| entries.items.iter().any(|e| e.id == id);
    ensure!(poison.iter().filter(|id| there(**id)).count() == 1, "the retried one is there, the skipped one is not");

    // Both sides differ by exactly the one that was skipped.
    appliance.stop().await?;
    let verdict = compare::rows(&cloud, appliance.data(), box_id).await;
    let told = verdict.err().map(|e| format!("{e:#}")).unwrap_or_default();
    ensure!(told.contains("1 of 17 rows on the box and 16 in the cloud differ"), "{told}");
    cluster.passed();
    Ok(())
}
