//! Reference data down, proposals up.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use sent_protocol::{Checkpoint, path};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Customer, PASSWORD, Page, TestBox, World, entry};

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
    for expected in ["Northwind", "Main street", "Assets:Bank", "ann@north.example", "accountant", "$argon2id-sha256$"]
    {
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

/// What an answer refuses: its status, and the field it blames.
async fn refused(world: &World, method: Method, path: &str, body: &Value) -> (u16, String) {
    let answer = world.page.send(method, path, Some(body)).await;
    let status = answer.status().as_u16();
    let error: Value = answer.json().await.unwrap();
    (status, error["fields"][0]["field"].as_str().unwrap_or_default().to_owned())
}

async fn put(world: &World, path: &str, body: &Value) -> Value {
    let answer = world.page.send(Method::PUT, path, Some(body)).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

async fn remove(world: &World, path: &str) {
    world.page.send(Method::DELETE, path, None).await.error_for_status().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_taxes_items_and_settings_flow_down_as_they_are_edited() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let at = |rest: &str| format!("/api/fleet/organizations/{}/{rest}", customer.id);

    // 28 digits survive every JSON on the way.
    let exact = "0.9123456789012345678901234567";
    put(&world, &at("rates"), &json!({ "currency": "USD", "date": "2026-01-01", "rate": "0.5" })).await;
    put(&world, &at("rates"), &json!({ "currency": "USD", "date": "2026-01-01", "rate": exact })).await;
    put(&world, &at("rates"), &json!({ "currency": "GBP", "date": "2026-01-01", "rate": "1.1" })).await;
    let rates: Value = world.page.get(&at("rates")).await;
    assert_eq!((&rates[0]["currency"], &rates[1]["rate"]), (&json!("GBP"), &json!(exact)));
    remove(&world, &at("rates/GBP/2026-01-01")).await;
    let audit: Value = world.page.get("/api/audit?action=fleet.rate.set&limit=2").await;
    assert_eq!(audit["items"][1]["changes"][0]["new"]["rate"], exact);
    for (body, field) in [
        (json!({ "currency": "EUR", "date": "2026-01-01", "rate": "1" }), "currency"),
        (json!({ "currency": "1", "date": "2026-01-01", "rate": "1" }), "currency"),
        (json!({ "currency": "USD", "date": "1.1.2026", "rate": "1" }), "date"),
        (json!({ "currency": "USD", "date": "2026-01-01", "rate": "0" }), "rate"),
    ] {
        assert_eq!(refused(&world, Method::PUT, &at("rates"), &body).await, (422, field.into()));
    }

    let tax = |code: &str, rate: &str, from: &str| json!({ "code": code, "name": "Value added tax", "rate": rate, "valid_from": from });
    let first: Value = world.page.post(&at("taxes"), &tax("VAT", "19", "2021-01-01")).await;
    let second: Value = world.page.post(&at("taxes"), &tax("VAT", "20.5", "2026-07-01")).await;
    let taxes: Value = world.page.get(&at("taxes")).await;
    assert_eq!((&taxes[0]["id"], &taxes[0]["valid_to"]), (&second["id"], &Value::Null), "newest first");
    assert_eq!(
        (&taxes[1]["id"], &taxes[1]["valid_to"]),
        (&first["id"], &json!("2026-06-30")),
        "the one before has ended"
    );
    // Two rates of one code never hold on one day, whoever asks for it.
    assert_eq!(refused(&world, Method::POST, &at("taxes"), &tax("VAT", "7", "2026-01-01")).await.0, 409);
    let close = |id: &Value| at(&format!("taxes/{}/close", id.as_str().unwrap()));
    assert_eq!(refused(&world, Method::POST, &close(&first["id"]), &json!({ "on": null })).await.0, 409);
    assert_eq!(
        refused(&world, Method::POST, &close(&second["id"]), &json!({ "on": "2026-06-30" })).await,
        (422, "on".into())
    );
    world.page.post::<Value>(&close(&second["id"]), &json!({ "on": "2027-12-31" })).await;
    let path = at(&format!("taxes/{}", second["id"].as_str().unwrap()));
    assert_eq!(refused(&world, Method::PUT, &path, &tax("GST", "20", "2026-07-01")).await, (422, "code".into()));
    assert_eq!(put(&world, &path, &tax("VAT", "20", "2026-07-01")).await["rate"], "20");
    assert_eq!(
        refused(&world, Method::POST, &at("taxes"), &tax("VAT", "101", "2030-01-01")).await,
        (422, "rate".into())
    );

    let item = |sku: &str, tax: &str| json!({ "sku": sku, "name": "Chair", "unit": "piece", "price": "149.90", "currency": "EUR", "tax": tax });
    let chair: Value = world.page.post(&at("items"), &item("A-1", "VAT")).await;
    assert_eq!(refused(&world, Method::POST, &at("items"), &item("A-1", "VAT")).await.0, 409);
    assert_eq!(refused(&world, Method::POST, &at("items"), &item("A-2", "NONE")).await, (422, "tax".into()));
    let path = at(&format!("items/{}", chair["id"].as_str().unwrap()));
    assert_eq!(put(&world, &path, &item("A-1b", "")).await["tax"], Value::Null);
    world.page.post::<Value>(&format!("{path}/close"), &json!({ "on": "2026-12-31" })).await;

    put(&world, &at("settings"), &json!({ "key": "invoice.footer", "value": "Thank you\nGoodbye" })).await;
    put(&world, &at("settings"), &json!({ "key": "entry.description.required", "value": "true" })).await;
    remove(&world, &at("settings/invoice.footer")).await;
    assert_eq!(refused(&world, Method::DELETE, &at("settings/invoice.footer"), &json!({})).await.0, 404);
    assert_eq!(
        refused(&world, Method::PUT, &at("settings"), &json!({ "key": "Footer", "value": "" })).await,
        (422, "key".into())
    );

    let mut rows = BTreeMap::new();
    follow(&made, &mut rows, 0).await;
    let of =
        |table: &str| rows.iter().filter(|(k, _)| k.starts_with(table)).map(|(_, v)| v.clone()).collect::<Vec<_>>();
    assert_eq!(of("fx_rates"), [json!({ "currency": "USD", "date": "2026-01-01", "rate": exact })], "money is text");
    assert_eq!(of("organization_settings"), [json!({ "key": "entry.description.required", "value": "true" })]);
    assert_eq!(of("tax_rates").len(), 2);
    let items = of("items");
    assert_eq!(
        (&items[0]["sku"], &items[0]["price"], &items[0]["valid_to"]),
        (&json!("A-1b"), &json!("149.90"), &json!("2026-12-31"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn postings_hold_an_account_to_what_they_rely_on() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let path = |id: Uuid| format!("/api/fleet/organizations/{}/accounts/{id}", customer.id);
    let (bank, cash) =
        (account(&world, &customer, "Assets:Bank").await, account(&world, &customer, "Assets:Cash").await);
    // An entry of 2026-03-01 in EUR, its lines moved to the bank.
    let changes =
        entry(Uuid::from_u128(1), 1, 100).to_string().replace(&Uuid::from_u128(9).to_string(), &bank.to_string());
    made.write("capital.entry.post", &serde_json::from_str(&changes).unwrap()).await;
    world.replica.project().await;
    let body = |name: &str, kind: &str, currency: Option<&str>, from: Option<&str>| json!({ "name": name, "kind": kind, "currency": currency, "valid_from": from });
    for (body, field) in [
        (body("Assets:Bank", "equity", None, None), "kind"),
        (body("Assets:Bank", "asset", Some("USD"), None), "currency"),
        (body("Assets:Bank", "asset", None, Some("2026-03-02")), "valid_from"),
        (body("Assets::Bank", "asset", None, None), "name"),
    ] {
        assert_eq!(refused(&world, Method::PUT, &path(bank), &body).await, (422, field.into()));
    }
    assert_eq!(refused(&world, Method::PUT, &path(bank), &body("Assets:Cash", "asset", None, None)).await.0, 409);
    let edited = put(&world, &path(bank), &body("Assets:Giro", "asset", Some("EUR"), Some("2026-03-01"))).await;
    assert_eq!((&edited["name"], &edited["currency"]), (&json!("Assets:Giro"), &json!("EUR")));
    let close = |id: Uuid| format!("{}/close", path(id));
    assert_eq!(refused(&world, Method::POST, &close(bank), &json!({ "on": "2026-02-28" })).await, (422, "on".into()));
    let closed: Value = world.page.post(&close(bank), &json!({ "on": "2026-03-31" })).await;
    assert_eq!(closed["valid_to"], "2026-03-31");
    assert_eq!(put(&world, &path(cash), &body("Equity:Cash", "equity", None, None)).await["kind"], "equity");
    assert_eq!(refused(&world, Method::POST, &close(Uuid::nil()), &json!({ "on": null })).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_account_made_twice_asks_nobody() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let id = account(&world, &customer, "Assets:Bank").await;
    assert_eq!(id, sent_core::chart::account_id(customer.id, "Assets:Bank", 0), "as a branch would name it");
    let before = checkpoint(&made, 0).await.to;
    let same = json!([{ "t": "accounts", "o": "i", "k": { "id": id }, "v": 0,
        "n": { "id": id, "name": "Assets:Bank", "code": null, "kind": "asset", "currency": null, "valid_from": null, "valid_to": null } }]);
    made.write("capital.account.create", &same).await;
    world.replica.project().await;
    let open: Value = world.page.get("/api/fleet/proposals?state=open").await;
    assert_eq!(open["items"], json!([]));
    let answer = checkpoint(&made, before).await;
    assert_eq!(answer.rows.len(), 1, "the box hears that its row is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_a_role_more_than_they_have() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mine: Vec<Value> = world.page.get("/api/roles").await;
    let role = |name: &str| mine.iter().find(|r| r["name"] == name).unwrap()["id"].clone();
    let made: Value =
        world.page.post("/api/roles", &json!({ "name": "desk", "rights": ["user.*", "audit.read", "fleet.*"] })).await;
    let user = json!({ "email": "otto@msp.example", "name": "Otto", "password": PASSWORD, "role": made["id"] });
    world.page.post::<Value>("/api/users", &user).await;
    let otto = Page::login(&world.replica, "otto@msp.example").await;
    let status = |method: Method, path: String, body: Value| {
        let otto = &otto;
        async move { otto.send(method, &path, Some(&body)).await.status().as_u16() }
    };
    let path = |id: &Value| format!("/api/roles/{}", id.as_str().unwrap());
    let all = json!({ "name": "all", "rights": ["*"] });
    assert_eq!(status(Method::POST, "/api/roles".into(), all.clone()).await, 422, "more than he has");
    assert_eq!(
        status(Method::PUT, path(&role("owner")), json!({ "name": "owner", "rights": [] })).await,
        422,
        "nor less of a mightier one"
    );
    assert_eq!(status(Method::DELETE, path(&role("owner")), json!({})).await, 422);
    assert_eq!(
        status(Method::PUT, path(&made["id"]), json!({ "name": "desk", "rights": ["user.*"] })).await,
        409,
        "his own"
    );
    let own = format!("/api/fleet/organizations/{}/roles", world.msp);
    assert_eq!(status(Method::POST, own, all.clone()).await, 422, "nor by the customers' way");
    // A customer's roles are another world.
    let theirs = format!("/api/fleet/organizations/{}/roles", customer.id);
    assert_eq!(status(Method::POST, theirs.clone(), all).await, 200);
    let bad = json!({ "name": "x", "rights": ["Capital"] });
    assert_eq!(refused(&world, Method::POST, &theirs, &bad).await, (422, "rights".into()));

    // In use it stays; given back it goes, and what it was flows down as gone.
    assert_eq!(refused(&world, Method::DELETE, &path(&made["id"]), &json!({})).await.0, 409);
    let clerk: Value =
        world.page.post(&theirs, &json!({ "name": "clerk", "rights": ["capital.entry.post", "home.read"] })).await;
    let at = format!("{theirs}/{}", clerk["id"].as_str().unwrap());
    let edited = put(&world, &at, &json!({ "name": "clerk", "rights": ["home.read", "capital.*", "home.read"] })).await;
    assert_eq!(edited["rights"], json!(["capital.*", "home.read"]));
    let till = world.enrolled(&customer, "till").await;
    let mut rows = BTreeMap::new();
    let after = follow(&till, &mut rows, 0).await;
    assert!(format!("{rows:?}").contains("clerk"));
    remove(&world, &at).await;
    follow(&till, &mut rows, after).await;
    assert!(!format!("{rows:?}").contains("clerk"));
}
