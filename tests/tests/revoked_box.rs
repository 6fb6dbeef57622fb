//! A box is stolen and revoked: the cloud hears nothing more from it and gives it nothing, the box says so and goes on by
//! itself, and other boxes do not notice.

use sent_contract::{Level, fleet::BoxDetail};
use sent_protocol::path;
use sent_tests::{
    Cluster, Result, Setup, appliance, ensure, until,
    wire::{Stranger, Wire},
};
use serde_json::json;

use crate::{box_id, entry, projected, sales};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_box() -> Result<()> {
    let mut cluster = Cluster::start(Setup::default()).await?;
    let office = cluster.office("Northwind").await?;
    let (stolen, stolen_face) = cluster.appliance(&office, "stolen").await?;
    let (_honest, honest_face) = cluster.appliance(&office, "honest").await?;
    let by_hand =
        Stranger::enrol(cluster.wire_url(), &cluster.claim(&office, "by hand").await?.code, "by hand").await?;
    by_hand.begin().await?;
    let (stolen_id, cloud) = (box_id(&stolen)?, cluster.postgres.owner().await?);
    sales(&stolen_face, 3).await?;
    appliance::synced(&stolen_face, 30).await?;
    projected(&cloud, stolen_id, 3, 30).await?;

    for id in [stolen_id, by_hand.answer.box_id] {
        cluster
            .fleet
            .change(reqwest::Method::POST, &format!("/api/fleet/boxes/{id}/revoke"), &json!({ "reason": "stolen" }))
            .await?;
    }
    let detail: BoxDetail = cluster.fleet.get(&format!("/api/fleet/boxes/{stolen_id}")).await?;
    ensure!(detail.revoked_at.is_some() && detail.row.status.level == Level::Bad, "{:?}", detail.row.status);

    // Every endpoint, on a connection that was open before and on a new one.
    let new = Wire::new(cluster.wire_url(), Some((&by_hand.answer.certificate_pem, &by_hand.key_pem)))?;
    for wire in [&by_hand.wire, &new] {
        for (method, path) in [
            ("GET", path::CURSOR),
            ("POST", path::TRANSACTIONS),
            ("POST", path::EPOCH),
            ("POST", path::TELEMETRY),
            ("GET", path::REFERENCE),
            ("GET", path::DESIRED),
            ("POST", path::REPORTED),
            ("POST", path::CERTIFICATE),
        ] {
            let reply = wire.send(method.parse()?, path, &[], Vec::new()).await?;
            ensure!(
                reply.status == 403 && reply.code() == "box_revoked",
                "{method} {path}: {} {}",
                reply.status,
                reply.code()
            );
        }
        let object = format!("{}/{}", path::OBJECTS, "0".repeat(64));
        ensure!(wire.get(&object).await?.status == 403, "objects are given to a revoked box");
    }

    // The box itself goes on, and says what is the matter.
    let kept = sales(&stolen_face, 4).await?;
    until("the badge says that the box was revoked", 30, || async {
        appliance::hurry(&stolen_face).await?;
        let status = appliance::sync(&stolen_face).await?;
        let told = status.status.level == Level::Bad && status.status.cause.contains("revoked");
        if told { Ok(Some(())) } else { anyhow::bail!("{:?}", status.status) }
    })
    .await?;
    for id in kept {
        entry(&stolen_face, id).await?;
    }
    sales(&honest_face, 5).await?;
    appliance::synced(&honest_face, 30).await?;
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM entries WHERE box_id = $1").bind(stolen_id).fetch_one(&cloud).await?;
    ensure!(count == 3, "{count} entries of a revoked box are in the cloud");
    cluster.passed();
    Ok(())
}
