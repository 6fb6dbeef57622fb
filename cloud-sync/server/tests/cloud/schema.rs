//! The schema holds what the program relies on.

use sent_cloud::db::Tenancy;
use uuid::Uuid;

use crate::support::{Postgres, Replica, World, customer, make_msp};

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_table_is_under_forced_row_level_security() {
    let postgres = Postgres::start().await;
    let mut owner = postgres.owner().await;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'tenants'
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity
                    AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'tenancy'))",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(open.is_empty(), "without a policy: {open:?}");
    let (superuser, bypass): (bool, bool) =
        sqlx::query_as("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'sent_app'")
            .fetch_one(&mut owner)
            .await
            .unwrap();
    assert!(!superuser && !bypass);
    // The only tables without an organisation hold nothing of one.
    let plain: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
           AND NOT c.relispartition AND c.relname !~ '^points_'
           AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'organization_id')
         ORDER BY 1",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert_eq!(plain, ["cloud_secrets", "login_failures", "projected_tables", "sent_migrations"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_filter_shows_and_changes_nothing_of_others() {
    let world = World::new(false).await;
    let northwind = world.customer("Northwind").await;
    let southwind = world.customer("Southwind").await;
    let db = &world.replica.cloud.db;
    let count = |tenancy: Tenancy| async move {
        let mut tx = db.begin(tenancy).await.unwrap();
        let n: i64 = sqlx::query_scalar("SELECT count(*) FROM branches").fetch_one(&mut *tx).await.unwrap();
        n
    };
    assert_eq!(count(Tenancy::One(northwind.id)).await, 1);
    assert_eq!(count(Tenancy::Tree(world.msp)).await, 3);
    assert_eq!(count(Tenancy::One(Uuid::nil())).await, 0);
    assert_eq!(count(Tenancy::All).await, 3);
    // Outside a transaction of ours there is no scope, so there is nothing.
    let bare: i64 = sqlx::query_scalar("SELECT count(*) FROM branches").fetch_one(db.pool()).await.unwrap();
    assert_eq!(bare, 0);
    let mut tx = db.begin(Tenancy::One(northwind.id)).await.unwrap();
    let changed = sqlx::query("UPDATE branches SET name = 'mine'").execute(&mut *tx).await.unwrap();
    assert_eq!(changed.rows_affected(), 1);
    let stolen = sqlx::query("UPDATE branches SET organization_id = $1").bind(southwind.id).execute(&mut *tx).await;
    assert!(stolen.unwrap_err().to_string().contains("row-level security"));
    let mut tx = db.begin(Tenancy::One(northwind.id)).await.unwrap();
    let read = sqlx::query("SELECT * FROM points_raw").execute(&mut *tx).await;
    assert!(read.unwrap_err().to_string().contains("permission denied"));
    let mut tx = db.begin(Tenancy::One(northwind.id)).await.unwrap();
    assert!(sqlx::query("DELETE FROM audit").execute(&mut *tx).await.is_err());
    let mut tx = db.begin(Tenancy::One(northwind.id)).await.unwrap();
    assert!(sqlx::query("SELECT sent_declare('x', 'up', '{}')").execute(&mut *tx).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_costs_the_same_however_many_tenants_there_are() {
    let world = World::new(false).await;
    let mut owner = world.postgres.owner().await;
    for statement in [
        "INSERT INTO tenants SELECT md5(n::text)::uuid, (SELECT organization_id FROM tenants LIMIT 1)
         FROM generate_series(1, 2000) AS n",
        "INSERT INTO branches (organization_id, id, name)
         SELECT organization_id, md5(organization_id || n::text)::uuid, 'x' FROM tenants, generate_series(1, 20) AS n",
        "ANALYZE",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    let db = &world.replica.cloud.db;
    let plan = |tenancy: Tenancy| async move {
        let mut tx = db.begin(tenancy).await.unwrap();
        let lines: Vec<String> = sqlx::query_scalar("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT id FROM branches")
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        lines.join("\n")
    };
    // An index finds one organisation; of all, nobody asks which they are; of a tree, a hash table knows.
    let one = plan(Tenancy::One(world.msp)).await;
    assert!(one.contains("Index Cond: ((organization_id >= $"), "{one}");
    let all = plan(Tenancy::All).await;
    assert!(all.contains("hashed SubPlan") && all.contains("never executed"), "{all}");
    let tree = plan(Tenancy::Tree(world.msp)).await;
    assert!(tree.contains("hashed SubPlan") && !tree.contains("= ANY"), "{tree}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_msps_do_not_meet() {
    let postgres = Postgres::start().await;
    let replica = Replica::start(&postgres, false).await;
    let north = make_msp(&replica, "North MSP", "owner@north.example").await;
    let south = make_msp(&replica, "South MSP", "owner@south.example").await;
    let page = crate::support::Page::login(&replica, "owner@north.example").await;
    let theirs = customer(&page, "Northwind").await;
    for (msp, expected) in [(north, 1_i64), (south, 0)] {
        let mut tx = replica.cloud.db.begin(Tenancy::Tree(msp)).await.unwrap();
        let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM organizations WHERE organization_id = $1")
            .bind(theirs.id)
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(seen, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_dictionary_is_the_schema() {
    let postgres = Postgres::start().await;
    let mut owner = postgres.owner().await;
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT c.relname::text, a.attname::text,
                format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
           AND c.relname <> 'sent_migrations' AND a.attnum > 0 AND NOT a.attisdropped
         ORDER BY c.oid, a.attnum",
    )
    .fetch_all(&mut owner)
    .await
    .unwrap();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/cloud/schema.sql");
    let text = std::fs::read_to_string(file).unwrap();
    let mut described = Vec::new();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("CREATE TABLE ") {
            table = name.trim_end_matches(" (").to_owned();
        } else if line.starts_with("    ") && !line.starts_with("    PRIMARY KEY") {
            let (definition, comment) =
                line.split_once("--").unwrap_or_else(|| panic!("{table}: {line} has no comment"));
            assert!(!comment.trim().is_empty(), "{table}: {line}");
            let (column, kind) = definition.trim().split_once(' ').unwrap();
            described.push((table.clone(), column.to_owned(), kind.trim().trim_end_matches(',').to_owned()));
        }
    }
    assert_eq!(described, columns);
}
