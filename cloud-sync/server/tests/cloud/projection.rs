//! From the inbox to tables.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Replica, World, entry};

fn check(id: u128, name: &str, interval: &Value) -> Value {
    json!({ "t": "checks", "o": "i", "k": { "id": Uuid::from_u128(id) }, "n": {
        "id": Uuid::from_u128(id), "name": name, "kind": "{\"kind\":\"ping\"}", "interval": interval, "timeout": 10, "paused": 0 } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_transaction_waits_aside_and_the_queue_goes_on() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let mut sealed = Vec::new();
    for n in 1..=50_u64 {
        sealed.push(made.seal("capital.entry.post", &entry(Uuid::from_u128(u128::from(n)), n, 100)));
        if n == 20 {
            // Not a number of seconds; a later update mends it.
            sealed.push(made.seal("pulse.check.create", &json!([check(7, "router", &json!("often"))])));
        }
        if n == 30 {
            sealed.push(made.seal("x", &json!([{ "t": "silences", "o": "i", "k": { "id": Uuid::nil() }, "n": {} }])));
        }
    }
    let mend = json!([{ "t": "checks", "o": "u", "k": { "id": Uuid::from_u128(7) }, "n": { "interval": 60 }, "p": { "interval": "often" } }]);
    sealed.push(made.seal("pulse.check.update", &mend));
    assert_eq!(made.send(sealed).await.status, StatusCode::OK);
    world.replica.project().await;

    assert_eq!(world.postgres.count("SELECT count(*) FROM entries").await, 50, "the queue went on");
    let page: Value = world.page.get("/api/fleet/quarantine?state=open").await;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert!(items[0]["error"].as_str().unwrap().contains("null value"));
    assert!(items[1]["error"].as_str().unwrap().contains("integer"), "{}", items[1]["error"]);
    assert_eq!(items[1]["changes"][0]["n"]["name"], "router");
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert_eq!(detail["row"]["behind"], 0);

    // Retried with what came later, it fits.
    let id = items[1]["id"].as_i64().unwrap();
    world.page.post::<Value>(&format!("/api/fleet/quarantine/{id}/retry"), &json!({})).await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM checks WHERE \"interval\" = 60").await, 1);
    // The other one does not, and is skipped with a reason.
    let id = items[0]["id"].as_i64().unwrap();
    let answer = world.page.send(Method::POST, &format!("/api/fleet/quarantine/{id}/retry"), Some(&json!({}))).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    let answer = world
        .page
        .send(Method::POST, &format!("/api/fleet/quarantine/{id}/skip"), Some(&json!({ "reason": " " })))
        .await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    world
        .page
        .post::<Value>(&format!("/api/fleet/quarantine/{id}/skip"), &json!({ "reason": "a trial of the next version" }))
        .await;
    let page: Value = world.page.get("/api/fleet/quarantine?state=skipped").await;
    assert_eq!(page["items"][0]["reason"], "a trial of the next version");
    let page: Value = world.page.get("/api/fleet/quarantine?state=open").await;
    assert!(page["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_and_deletes_follow_the_box() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let key = |id: u128| json!({ "id": Uuid::from_u128(id) });
    made.write("a", &json!([check(1, "one", &json!(30)), check(2, "two", &json!(30)), check(3, "three", &json!(30))]))
        .await;
    world.replica.project().await;
    made.write("b", &json!([{ "t": "checks", "o": "u", "k": key(1), "n": { "name": "uno" } }])).await;
    made.write("c", &json!([{ "t": "checks", "o": "d", "k": key(2), "p": {} }])).await;
    made.write(
        "d",
        &json!([{ "t": "checks", "o": "u", "k": key(1), "n": { "paused": 1 } },
        { "t": "checks", "o": "d", "k": key(3) }, check(3, "tres", &json!(31))]),
    )
    .await;
    world.replica.project().await;
    let mut owner = world.postgres.owner().await;
    let rows: Vec<(String, i32, i16)> = sqlx::query_as("SELECT name, \"interval\", paused FROM checks ORDER BY name")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert_eq!(rows, [("tres".to_owned(), 31, 0), ("uno".to_owned(), 30, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_cannot_touch_anothers_rows() {
    let world = World::new(false).await;
    let northwind = world.customer("Northwind").await;
    let southwind = world.customer("Southwind").await;
    let mut first = world.enrolled(&northwind, "first").await;
    let mut second = world.enrolled(&northwind, "second").await;
    let mut third = world.enrolled(&southwind, "third").await;
    first.write("a", &json!([check(1, "mine", &json!(30))])).await;
    world.replica.project().await;
    let forged = json!({ "t": "checks", "o": "i", "k": { "id": Uuid::from_u128(1), "organization_id": northwind.id, "box_id": first.id },
        "n": { "name": "theirs", "organization_id": northwind.id, "box_id": first.id, "kind": "{}", "interval": 1, "timeout": 1 } });
    for other in [&mut second, &mut third] {
        other.write("a", &json!([forged])).await;
        other
            .write(
                "b",
                &json!([{ "t": "checks", "o": "u", "k": { "id": Uuid::from_u128(1) }, "n": { "name": "changed" } }]),
            )
            .await;
    }
    world.replica.project().await;
    let mut owner = world.postgres.owner().await;
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM checks WHERE box_id = $1")
        .bind(first.id)
        .fetch_all(&mut owner)
        .await
        .unwrap();
    assert_eq!(names, ["mine"]);
    let stray = world.postgres.count(
        "SELECT count(*) FROM checks c JOIN boxes b ON b.id = c.box_id WHERE b.organization_id <> c.organization_id",
    );
    assert_eq!(stray.await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_work_and_count_once() {
    let world = World::new(false).await;
    let other = Replica::start(&world.postgres, false).await;
    let customer = world.customer("Northwind").await;
    let mut boxes = Vec::new();
    for name in ["a", "b", "c"] {
        boxes.push(world.enrolled(&customer, name).await);
    }
    let mut sending = tokio::task::JoinSet::new();
    for (number, mut made) in (0_u64..).zip(boxes) {
        let there = made.at(&other);
        let base = u128::from(number) * 1_000;
        sending.spawn(async move {
            for batch in 0..10_u64 {
                let sealed: Vec<_> = (0..20)
                    .map(|n| {
                        let n = batch * 20 + n + 1;
                        made.seal("capital.entry.post", &entry(Uuid::from_u128(base + u128::from(n)), n, 50))
                    })
                    .collect();
                // Both replicas get each batch, at the same time.
                let (here, there) = tokio::join!(made.send(sealed.clone()), async {
                    let batch = sent_protocol::Batch { epoch: 1, transactions: sealed.clone() };
                    there.post(sent_protocol::path::TRANSACTIONS, &batch).await
                });
                assert_eq!((here.status, there.status), (StatusCode::OK, StatusCode::OK));
            }
        });
    }
    let projecting = async {
        for _ in 0..200 {
            let (a, b) = tokio::join!(
                sent_cloud::projector::round(&world.replica.cloud),
                sent_cloud::projector::round(&other.cloud)
            );
            a.unwrap();
            b.unwrap();
        }
    };
    tokio::join!(projecting, async {
        while let Some(done) = sending.join_next().await {
            done.unwrap()
        }
    });
    tokio::join!(world.replica.project(), other.project());
    assert_eq!(world.postgres.count("SELECT count(*) FROM inbox").await, 600);
    assert_eq!(world.postgres.count("SELECT count(*) FROM entries").await, 600);
    assert_eq!(world.postgres.count("SELECT count(*) FROM lines").await, 1_200);
    assert_eq!(world.postgres.count("SELECT count(*) FROM quarantine").await, 0);
    let page = world.page.at(&other);
    let rows: Value = page.get("/api/fleet/entries?limit=500").await;
    assert_eq!(rows["items"].as_array().unwrap().len(), 500);
    let next = rows["next"].as_str().unwrap();
    let rest: Value = page.get(&format!("/api/fleet/entries?limit=500&after={next}")).await;
    assert_eq!(rest["items"].as_array().unwrap().len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_newer_than_its_cloud_keeps_the_queue_going() {
    let world = World::new(false).await;
    let cloud = &world.replica.cloud;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let gadget = |op: &str, id: u128, name: &str| {
        let id = Uuid::from_u128(id);
        json!({ "t": "gadgets", "o": op, "k": { "id": id }, "n": { "id": id, "name": name } })
    };
    made.write("a", &json!([check(1, "one", &json!(30))])).await;
    made.write("b", &json!([gadget("i", 1, "first"), check(2, "two", &json!(30)), gadget("i", 2, "second")])).await;
    world.replica.project().await;
    made.write("c", &json!([gadget("u", 2, "changed"), check(3, "three", &json!(30))])).await;
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM checks").await, 3, "what is known is there");
    assert_eq!(world.postgres.count("SELECT count(*) FROM quarantine").await, 0);
    sent_cloud::tasks::look(cloud).await.unwrap();
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert!(detail["row"]["status"]["cause"].as_str().unwrap().starts_with("newer:"), "{detail}");
    // What waits is kept, whatever the retention is; what lies before it is not.
    let later = cloud.clock.now().plus_seconds(1);
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 0, later).await.unwrap(), 1);
    assert_eq!(world.postgres.count("SELECT count(*) FROM inbox").await, 2);
    // The cloud is updated.
    let mut owner = world.postgres.owner().await;
    for statement in [
        "CREATE TABLE gadgets (organization_id uuid NOT NULL, box_id uuid NOT NULL, received_at bigint NOT NULL,
             id uuid NOT NULL, name text NOT NULL, PRIMARY KEY (box_id, id))",
        "SELECT sent_declare('gadgets', 'up', '{id}')",
    ] {
        sqlx::query(statement).execute(&mut owner).await.unwrap();
    }
    world.replica.project().await;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM gadgets ORDER BY id").fetch_all(&mut owner).await.unwrap();
    assert_eq!(names, ["first", "changed"]);
    assert_eq!(world.postgres.count("SELECT count(*) FROM unknown_tables").await, 0);
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 0, later).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_schema_is_nobodys_transaction() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    made.write("a", &json!([check(1, "one", &json!(30))])).await;
    let mut owner = world.postgres.owner().await;
    sqlx::query("REVOKE INSERT ON checks FROM sent_app").execute(&mut owner).await.unwrap();
    assert!(sent_cloud::projector::round(&world.replica.cloud).await.is_err());
    assert_eq!(world.postgres.count("SELECT count(*) FROM quarantine").await, 0);
    sqlx::query("GRANT INSERT ON checks TO sent_app").execute(&mut owner).await.unwrap();
    world.replica.project().await;
    assert_eq!(world.postgres.count("SELECT count(*) FROM checks").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_transaction_keeps_what_came_after_it_and_nothing_else() {
    let world = World::new(false).await;
    let cloud = &world.replica.cloud;
    let customer = world.customer("Northwind").await;
    let mut stuck = world.enrolled(&customer, "stuck").await;
    let mut well = world.enrolled(&customer, "well").await;
    for n in 1..=10 {
        let interval = if n == 6 { json!("often") } else { json!(30) };
        stuck.write("a", &json!([check(n, "x", &interval)])).await;
        well.write("a", &json!([check(n, "x", &json!(30))])).await;
    }
    let later = cloud.clock.now().plus_seconds(1);
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 0, later).await.unwrap(), 0, "not before it is projected");
    world.replica.project().await;
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 0, later).await.unwrap(), 5 + 10);
    assert_eq!(world.postgres.count("SELECT min(sequence) FROM inbox").await, 6);
    let id = world.postgres.count("SELECT id FROM quarantine").await;
    let why = json!({ "reason": "a trial" });
    world.page.post::<Value>(&format!("/api/fleet/quarantine/{id}/skip"), &why).await;
    assert_eq!(sent_cloud::projector::prune(&cloud.db, 0, later).await.unwrap(), 5);
}
