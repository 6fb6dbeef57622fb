//! Reference data down, proposals up.

use std::collections::BTreeMap;

use reqwest::StatusCode;
use sent_protocol::{Checkpoint, path};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Customer, TestBox, World};

async fn checkpoint(made: &TestBox, after: u64) -> Checkpoint {
    let answer = made.get(&format!("{}?after={after}", path::REFERENCE)).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()
}

/// A box's copy, brought up to date.
async fn follow(made: &TestBox, rows: &mut BTreeMap<String, Value>, mut after: u64) -> u64 {
    loop {
        let page = checkpoint(made, after).await;
        for row in page.rows {
            assert!(u64::try_from(row.version).unwrap() > page.from && u64::try_from(row.version).unwrap() <= page.to);
            let key = format!("{}{}", row.table, Value::Object(row.key));
            if row.deleted {
                rows.remove(&key);
            } else {
                rows.insert(key, Value::Object(row.row));
            }
        }
        after = page.to;
        if page.complete {
            return after;
        }
    }
}

async fn account(world: &World, customer: &Customer, name: &str) -> Uuid {
    let route = format!("/api/fleet/organizations/{}/accounts", customer.id);
    let made: Value = world.page.post(&route, &json!({ "name": name })).await;
    made["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_gets_its_own_organisations_rows_and_no_others() {
    let world = World::new(false).await;
    let northwind = world.customer("Northwind").await;
    let southwind = world.customer("Southwind").await;
    let made = world.enrolled(&northwind, "till").await;
    account(&world, &northwind, "Assets:Bank").await;
    account(&world, &southwind, "Assets:Secret").await;
    let roles: Value = world.page.get(&format!("/api/fleet/organizations/{}/roles", northwind.id)).await;
    let user = json!({ "email": "Ann@north.example", "name": "Ann", "password": "a long password", "role": roles[0]["id"], "branch": northwind.branch });
    world.page.post::<Value>(&format!("/api/fleet/organizations/{}/users", northwind.id), &user).await;
    let mut rows = BTreeMap::new();
    let at = follow(&made, &mut rows, 0).await;
    let text = format!("{rows:?}");
    for expected in ["Northwind", "Main street", "Assets:Bank", "ann@north.example", "accountant", "$argon2id$"] {
        assert!(text.contains(expected), "{expected} is missing in {text}");
    }
    assert!(!text.contains("Secret") && !text.contains("MSP") && !text.contains("organization_id\""), "{text}");
    assert_eq!(checkpoint(&made, at).await.rows.len(), 0);
    // A box that stands beyond the cloud gets a whole copy.
    assert_eq!(checkpoint(&made, at + 100).await.from, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_commits_never_slip_behind_a_checkpoint() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let mut writing = tokio::task::JoinSet::new();
    for writer in 0..6 {
        let cloud = world.replica.cloud.clone();
        let organization = customer.id;
        writing.spawn(async move {
            for n in 0..15 {
                let tenancy = sent_cloud::db::Tenancy::One(organization);
                let mut tx = cloud.db.begin(tenancy).await.unwrap();
                // Two rows a transaction: a checkpoint must hold both or none.
                for half in ["a", "b"] {
                    sqlx::query("INSERT INTO accounts (organization_id, id, name, kind) VALUES ($1, gen_random_uuid(), $2, 'asset')")
                        .bind(organization)
                        .bind(format!("Assets:{writer}:{n}:{half}"))
                        .execute(&mut *tx)
                        .await
                        .unwrap();
                }
                tx.commit().await.unwrap();
            }
        });
    }
    let mut rows = BTreeMap::new();
    let mut at = 0;
    loop {
        let done = writing.is_empty();
        at = follow(&made, &mut rows, at).await;
        let halves = rows.keys().filter(|k| k.starts_with("accounts")).count();
        assert_eq!(halves % 2, 0, "a checkpoint ended inside a transaction");
        if done {
            break;
        }
        while let Some(finished) = writing.try_join_next() {
            finished.unwrap();
        }
    }
    assert_eq!(rows.keys().filter(|k| k.starts_with("accounts")).count(), 180, "none slipped behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_current_edit_is_taken_and_a_stale_one_waits() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let id = account(&world, &customer, "Assets:Bank").await;
    let mut first = world.enrolled(&customer, "first").await;
    let mut second = world.enrolled(&customer, "second").await;
    let version = checkpoint(&first, 0).await.to;
    let edit = |name: &str, base: u64| json!([{ "t": "accounts", "o": "u", "k": { "id": id }, "n": { "name": name }, "p": {}, "v": base }]);
    // Two edits of the first box in a row, both before it heard of the first one's version.
    first.write("capital.account.rename", &edit("Assets:Giro", version)).await;
    first.write("capital.account.rename", &edit("Assets:Giro 1", version)).await;
    world.replica.project().await;
    // The second box edits the row as it was before.
    second.write("capital.account.rename", &edit("Assets:Konto", version)).await;
    // A new row of the second box.
    let fresh = Uuid::from_u128(99);
    second
        .write(
            "capital.account.create",
            &json!([{ "t": "accounts", "o": "i", "k": { "id": fresh },
            "n": { "id": fresh, "name": "Expenses:Rent", "kind": "expense", "version": 0 }, "v": 0 }]),
        )
        .await;
    world.replica.project().await;
    let list: Vec<Value> = world.page.get(&format!("/api/fleet/organizations/{}/accounts", customer.id)).await;
    let open: Value = world.page.get("/api/fleet/proposals?state=open").await;
    let open = open["items"].as_array().unwrap();
    let names: Vec<&str> = list.iter().map(|a| a["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"Expenses:Rent"), "{names:?}");
    // The first box's second edit follows its own first one; the second box's was made of another row.
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["proposed"]["name"], "Assets:Konto");
    assert_eq!(open[0]["current"]["name"], "Assets:Giro 1");
    let proposal = open[0]["id"].as_i64().unwrap();
    let before = checkpoint(&second, 0).await.to;
    world.page.post::<Value>(&format!("/api/fleet/proposals/{proposal}/refuse"), &json!({})).await;
    let answer = checkpoint(&second, before).await;
    assert_eq!(answer.rows.len(), 1, "the refused box gets the row once more");
    assert_eq!(answer.rows[0].row["name"], "Assets:Giro 1");

    // Another stale edit, accepted this time, flows down to all.
    second.write("capital.account.rename", &edit("Assets:Bank AG", version)).await;
    world.replica.project().await;
    let open: Value = world.page.get("/api/fleet/proposals?state=open").await;
    let proposal = open["items"][0]["id"].as_i64().unwrap();
    world.page.post::<Value>(&format!("/api/fleet/proposals/{proposal}/accept"), &json!({})).await;
    let mut rows = BTreeMap::new();
    follow(&first, &mut rows, 0).await;
    assert!(format!("{rows:?}").contains("Assets:Bank AG"));
}
