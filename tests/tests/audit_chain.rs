//! Somebody with the disk in hand changes or removes an audit entry: the first broken link is found and named, on the box
//! and in the cloud.

use rusqlite::Connection;
use sent_contract::audit::Verification;
use sent_tests::{Cluster, Face, Result, Setup, ensure};
use serde_json::json;

use crate::sales;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_chain() -> Result<()> {
    let mut cluster = Cluster::start(Setup { broker: false, ..Setup::default() }).await?;
    let office = cluster.office("Northwind").await?;
    let (mut appliance, face) = cluster.appliance(&office, "box").await?;
    sales(&face, 20).await?;
    let whole = verify(&face).await?;
    ensure!(whole.broken.is_none() && whole.entries >= 20, "{whole:?}");
    // On a running box too.
    appliance.run(&["audit", "verify"])?;
    appliance.stop().await?;

    let file = appliance.data().join("business.sqlite");
    let copy = cluster.folder().join("untouched.sqlite");
    // The WAL is folded into the file when the last connection closes.
    std::fs::copy(&file, &copy)?;
    let middle = i64::try_from(whole.entries / 2)?;
    for (crime, sql) in [
        ("changed", "UPDATE audit_rows SET changes = replace(changes, 'EUR', 'USD') WHERE sequence = ?1"),
        ("changed", "UPDATE audit_rows SET actor = 'nobody' WHERE sequence = ?1"),
        ("changed", "UPDATE audit_rows SET at = at + 1 WHERE sequence = ?1"),
        ("removed", "DELETE FROM audit_rows WHERE sequence = ?1"),
    ] {
        std::fs::copy(&copy, &file)?;
        let own = Connection::open(&file)?;
        own.pragma_update(None, "foreign_keys", false)?;
        let honest = own.execute(sql, [middle]);
        ensure!(honest.is_err(), "the database itself lets an audit entry be {crime}");
        own.execute_batch("DROP TRIGGER audit_rows_keep; DROP TRIGGER audit_rows_stay;")?;
        // An entry whose amounts are in it, so that a change is one.
        let at: i64 = own.query_row(
            "SELECT sequence FROM audit_rows WHERE changes LIKE '%EUR%' AND sequence >= ?1 ORDER BY sequence LIMIT 1",
            [middle],
            |row| row.get(0),
        )?;
        ensure!(own.execute(sql, [at])? == 1, "nothing was {crime}");
        drop(own);
        let (status, said) = appliance.attempt(&["audit", "verify"])?;
        ensure!(status.code() == Some(3), "{crime}: {status}: {said}");
        let found = (at..=at + 1).any(|n| said.contains(&n.to_string()));
        ensure!(found, "{crime} at {at}, but it says: {said}");
        let (_, json) = appliance.attempt(&["audit", "verify", "--json"])?;
        let told: Verification = serde_json::from_str(&json)?;
        ensure!(told.broken.is_some_and(|b| (at..=at + 1).contains(&b.sequence)), "{json}");
    }
    std::fs::copy(&copy, &file)?;
    appliance.run(&["audit", "verify"])?;

    // The cloud's own chain.
    let told = verify(&cluster.fleet).await?;
    ensure!(told.broken.is_none() && told.entries > 10, "{told:?}");
    let cloud = cluster.postgres.owner().await?;
    let organization: uuid::Uuid =
        cluster.fleet.get::<sent_contract::identity::Me>("/api/session").await?.organization.id;
    let mut connection = cloud.acquire().await?;
    sqlx::raw_sql("SET session_replication_role = replica").execute(&mut *connection).await?;
    let at: i64 = sqlx::query_scalar(
        "UPDATE audit SET action = action || '!' WHERE organization_id = $1
         AND sequence = (SELECT max(sequence) / 2 FROM audit WHERE organization_id = $1) RETURNING sequence",
    )
    .bind(organization)
    .fetch_one(&mut *connection)
    .await?;
    let told = verify(&cluster.fleet).await?;
    ensure!(told.broken.as_ref().is_some_and(|b| b.sequence == at), "{told:?}, changed at {at}");
    cluster.passed();
    Ok(())
}

async fn verify(face: &Face) -> Result<Verification> {
    face.post("/api/audit/verify", &json!({})).await
}
