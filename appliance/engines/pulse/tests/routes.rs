//! The routes: rights, tenancy, audit, secrets, and what bad input gets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use std::collections::BTreeSet;

use sent_contract::{
    Page, Uuid,
    pulse::{Check, QueryAnswer, Rule, Series},
};
use sent_core::{Scope, engine::Engine, identity::Rights, route::Access};
use sent_pulse::{service::Service, settings::Settings};
use sent_store::StoreError;
use serde_json::{Value, json};
use world::World;

fn audit(world: &World) -> i64 {
    let count = |c: &rusqlite::Connection| -> Result<i64, StoreError> {
        Ok(c.query_row("SELECT count(*) FROM audit", [], |r| r.get(0))?)
    };
    world.store.read_blocking(&world.scope, count).expect("a count")
}

fn snmp() -> Value {
    json!({
        "kind": "snmp", "host": "127.0.0.1", "port": 1, "version": "3", "user": "monitor",
        "auth": ["sha256", "a secret phrase"], "privacy": ["aes128", "another secret"],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_names_its_right_and_refuses_without_it() {
    let world = World::start(Settings::default()).await;
    let mut nobody = world.scope.clone();
    nobody.rights = Rights(Vec::new());
    let routes = world.pulse.routes();
    let mut rights = BTreeSet::new();
    for route in routes.list() {
        let Access::Right(right) = route.access else { panic!("{} {} names no right", route.method, route.path) };
        rights.insert(right);
        let path = route.path.replace("{id}", &Uuid::nil().to_string());
        let (status, body) = world.call_as(nobody.clone(), route.method.as_str(), &path, Some(json!({}))).await;
        assert_eq!(status, 403, "{} {path}: {body}", route.method);
        assert!(body.contains(right), "{body}");
    }
    let wanted = [
        "pulse.alert.acknowledge",
        "pulse.check.run",
        "pulse.check.write",
        "pulse.metrics.read",
        "pulse.read",
        "pulse.rule.write",
        "pulse.silence.write",
    ];
    assert_eq!(rights.into_iter().collect::<Vec<_>>(), wanted);
    assert_eq!(routes.list().len(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_sees_and_changes_nothing() {
    let world = World::start(Settings { interval: 1, ..Settings::default() }).await;
    let check: Check =
        world.post("/api/pulse/checks", json!({"name": "mine", "kind": {"kind": "ping", "host": "127.0.0.1"}})).await;
    let rule = world.rule(json!({})).await;
    world.until("series", async || (!world.list::<Series>("/api/pulse/series").await.is_empty()).then_some(())).await;
    let mine: Series = world.list("/api/pulse/series").await.remove(0);
    let other = Scope::system(Uuid::from_u128(0x2a), "other", &**world.store.clock());
    for path in ["hosts", "checks", "series", "alerts", "rules", "silences"] {
        let (status, body) = world.call_as(other.clone(), "GET", &format!("/api/pulse/{path}"), None).await;
        let page: Page<Value> = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {status}: {e}"));
        assert!(page.items.is_empty(), "{path}: {body}");
    }
    let check_body = json!({"name": "theirs", "kind": {"kind": "ping", "host": "127.0.0.1"}});
    let rule_body = serde_json::to_value(&rule).expect("JSON");
    for (method, path, body) in [
        ("GET", format!("/api/pulse/query?series={}", mine.id), None),
        ("GET", "/metrics".to_owned(), None),
        ("POST", "/api/pulse/checks".to_owned(), Some(check_body.clone())),
        ("PUT", format!("/api/pulse/checks/{}", check.id), Some(check_body)),
        ("DELETE", format!("/api/pulse/checks/{}", check.id), None),
        ("POST", format!("/api/pulse/checks/{}/run", check.id), None),
        ("PUT", format!("/api/pulse/rules/{}", rule.id), Some(rule_body)),
        ("DELETE", format!("/api/pulse/rules/{}", rule.id), None),
    ] {
        let (status, answer) = world.call_as(other.clone(), method, &path, body).await;
        assert!(matches!(status, 403 | 404), "{method} {path}: {status} {answer}");
    }
    assert_eq!(world.list::<Rule>("/api/pulse/rules").await, [rule]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_leave_audit_entries_and_secrets_leave_nothing() {
    let world = World::start(Settings::default()).await;
    let before = audit(&world);
    let check: Check = world.post("/api/pulse/checks", json!({"name": "switch", "kind": snmp(), "paused": true})).await;
    assert!(audit(&world) > before);
    let shown = serde_json::to_string(&check).expect("JSON");
    assert!(!shown.contains("secret") && shown.contains('•'), "{shown}");

    // Sent back as it was shown, only the name changes.
    let mut new = serde_json::to_value(&check).expect("JSON");
    new["name"] = "core switch".into();
    let path = format!("/api/pulse/checks/{}", check.id);
    let before = audit(&world);
    let (status, body) = world.call("PUT", &path, Some(new)).await;
    assert_eq!(status, 200, "{body}");
    assert!(audit(&world) > before);
    let read = |c: &rusqlite::Connection| -> Result<(String, String, String), StoreError> {
        let (kind, secret) = c.query_row("SELECT kind, secret FROM checks", [], |r| Ok((r.get(0)?, r.get(1)?)))?;
        let audit = c.query_row("SELECT group_concat(changes) FROM audit", [], |r| r.get(0))?;
        Ok((kind, secret, audit))
    };
    let (kind, sealed, audit_text) = world.store.read_blocking(&world.scope, read).expect("rows");
    for text in [&kind, &sealed, &audit_text] {
        assert!(!text.contains("a secret phrase") && !text.contains("another secret"), "{text}");
    }
    let book = sent_pulse::book::Book::new(world.store.clone(), world.scope.organization);
    let stored = world.store.read_blocking(&world.scope, sent_pulse::store::checks).expect("rows").remove(0);
    let opened = serde_json::to_value(book.runnable(stored).kind).expect("JSON");
    assert_eq!(opened["auth"][1], "a secret phrase");

    let before = audit(&world);
    assert_eq!(world.call("DELETE", &path, None).await.0, 204);
    assert!(audit(&world) > before);
    assert_eq!(world.call("DELETE", &path, None).await.0, 404);
}

/// How many values of all tables were encrypted with a key of this version.
fn encrypted_with(world: &World, version: u32) -> usize {
    let c = rusqlite::Connection::open(world.store.data().join("business.sqlite")).expect("the file");
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let tables: Vec<String> =
        c.prepare(tables).and_then(|mut s| s.query_map([], |row| row.get(0))?.collect()).expect("tables");
    let mut found = 0;
    for table in tables {
        let mut statement = c.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let cells = (0..columns).map(|i| row.get_ref(i).expect("a cell"));
            let marked = |text: &[u8]| {
                let mark = format!("v1:{version}:");
                text.windows(mark.len()).any(|window| window == mark.as_bytes())
            };
            found += cells.filter(|cell| cell.as_bytes_or_null().ok().flatten().is_some_and(marked)).count();
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_encrypts_every_secret_anew() {
    let world = World::start(Settings::default()).await;
    for name in ["switch", "router"] {
        let _: Check = world.post("/api/pulse/checks", json!({"name": name, "kind": snmp(), "paused": true})).await;
    }
    assert_eq!(encrypted_with(&world, 1), 2, "only where it is kept: neither in the audit nor in what travels");
    let (before, waiting) = (audit(&world), world.store.waiting_blocking().expect("a count"));

    // Another process rotates, as the verb does beside a running box.
    let other = sent_store::Store::open(sent_store::Config {
        data: world.store.data().to_owned(),
        tables: sent_pulse::TABLES.to_vec(),
        clock: world.store.clock().clone(),
        readers: 1,
    })
    .expect("the same folder");
    let done = other.rotate_key_blocking(&world.scope).expect("a new key");
    assert_eq!((done.version, done.renewed, done.unreadable), (2, 2, 0));
    assert_eq!((encrypted_with(&world, 1), encrypted_with(&world, 2)), (0, 2), "no enciphered column is left out");
    assert_eq!(audit(&world), before + 1);
    assert_eq!(world.store.waiting_blocking().expect("a count"), waiting, "nothing of it travels");

    // The running engine opens what was encrypted anew, and encrypts with the new key.
    let book = sent_pulse::book::Book::new(world.store.clone(), world.scope.organization);
    for stored in world.store.read_blocking(&world.scope, sent_pulse::store::checks).expect("rows") {
        let opened = serde_json::to_value(book.runnable(stored).kind).expect("JSON");
        assert_eq!(opened["auth"][1], "a secret phrase");
    }
    let _: Check = world.post("/api/pulse/checks", json!({"name": "third", "kind": snmp(), "paused": true})).await;
    assert_eq!(encrypted_with(&world, 2), 3);
    assert_eq!(other.rotate_key_blocking(&world.scope).expect("another key").renewed, 3);

    // The key that the cloud gives a box that joins takes nothing away from what was kept before.
    let done = world.store.adopt_key_blocking(&world.scope, [7; 32]).expect("the cloud's key");
    assert_eq!((done.version, done.renewed), (4, 3));
    assert_eq!(world.store.adopt_key_blocking(&world.scope, [7; 32]).expect("again").renewed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_declared_is_not_encrypted() {
    let world = World::start(Settings::default()).await;
    let field = sent_core::cipher::Field { table: "rules", row: "a", column: "name" };
    let refused = world.store.encipher(world.scope.organization, &field, b"x").expect_err("undeclared");
    assert!(refused.to_string().contains("rules.name is not declared"), "{refused}");
    world.store.decipher(world.scope.organization, &field, "v1:1:AAAA").expect_err("undeclared");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_clear_answers() {
    let world = World::start(Settings::default()).await;
    let ping = json!({"kind": "ping", "host": "127.0.0.1"});
    for (method, path, body, status, word) in [
        ("POST", "/api/pulse/checks", json!({}), 422, "name"),
        ("POST", "/api/pulse/checks", json!({"name": "", "kind": ping}), 422, "name"),
        ("POST", "/api/pulse/checks", json!({"name": "x", "kind": {"kind": "smoke"}}), 422, "smoke"),
        ("POST", "/api/pulse/checks", json!({"name": "x", "kind": ping, "interval": 0}), 422, "interval"),
        (
            "POST",
            "/api/pulse/checks",
            json!({"name": "x", "kind": ping, "interval": 4_294_967_295u32}),
            422,
            "interval",
        ),
        ("PUT", "/api/pulse/checks/nonsense", json!({"name": "x", "kind": ping}), 404, "check"),
        ("POST", "/api/pulse/rules", json!({"name": "x"}), 422, "metric"),
        ("POST", "/api/pulse/silences", json!({"from": 1, "until": 2, "reason": "x"}), 422, "until"),
        ("GET", "/api/pulse/alerts?state=terrible", json!(null), 422, "state"),
        ("GET", "/api/pulse/query?series=x", json!(null), 422, "series"),
        ("GET", "/api/pulse/query?series=", json!(null), 422, "series"),
        ("GET", "/api/pulse/query?series=1&from=5&to=5", json!(null), 422, "before"),
        ("POST", "/api/pulse/alerts/0/acknowledge", json!(null), 404, "alert"),
    ] {
        let (got, answer) = world.call(method, path, (!body.is_null()).then_some(body)).await;
        assert_eq!(got, status, "{method} {path}: {answer}");
        assert!(answer.contains(word), "{method} {path}: {answer}");
    }
    let _: Check = world.post("/api/pulse/checks", json!({"name": "twice", "kind": ping, "paused": true})).await;
    let (status, body) = world.call("POST", "/api/pulse/checks", Some(json!({"name": "twice", "kind": ping}))).await;
    assert_eq!(status, 409, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn default_rules_are_added_once() {
    let world = World::start(Settings::default()).await;
    Service::add_default_rules(&world.store, &world.scope).expect("rules");
    Service::add_default_rules(&world.store, &world.scope).expect("rules");
    let rules: Vec<Rule> = world.list("/api/pulse/rules").await;
    assert_eq!(rules.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn series_are_found_and_drawn() {
    let world = World::start(Settings { interval: 1, ..Settings::default() }).await;
    let series = world
        .until("the processors", async || {
            world
                .list::<Series>("/api/pulse/series?q=CPU+usage&host=this+box")
                .await
                .into_iter()
                .find(|s| s.metric == "cpu_usage_ratio")
        })
        .await;
    assert_eq!(series.unit, "ratio");
    let answer = world
        .until("points", async || {
            let answer: QueryAnswer = world.get(&format!("/api/pulse/query?series={},1", series.id)).await;
            (!answer.series[0].at.is_empty()).then_some(answer)
        })
        .await;
    assert_eq!(answer.series[0].id, series.id);
    assert!(answer.series[1].at.is_empty());
}
