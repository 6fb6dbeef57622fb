//! Desired and reported, commands, status, files.

use reqwest::{Method, StatusCode};
use sent_protocol::{BoxStatus, CommandPhase, CommandState, Desired, Hash, Level, Reported, path};
use serde_json::{Value, json};

use crate::support::{World, send_raw};

/// What a box says of itself.
pub fn report(level: Level, cause: &str) -> Reported {
    Reported {
        version: 0,
        document: json!({ "log_level": "info" }),
        commands: Vec::new(),
        status: BoxStatus {
            level,
            cause: cause.into(),
            version: "0.2.0".into(),
            waiting: 3,
            alerts: 2,
            ..BoxStatus::default()
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_down_until_they_are_over() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let route = format!("/api/fleet/boxes/{}", made.id);
    world
        .page
        .send(Method::PUT, &format!("{route}/desired"), Some(&json!({ "log_level": "debug" })))
        .await
        .error_for_status()
        .unwrap();
    let command: Value = world.page.post(&format!("{route}/commands"), &json!({ "kind": "sync_now" })).await;
    let short: Value =
        world.page.post(&format!("{route}/commands"), &json!({ "kind": "restart", "expires_in": 1 })).await;
    let unknown =
        world.page.send(Method::POST, &format!("{route}/commands"), Some(&json!({ "kind": "explode" }))).await;
    assert_eq!(unknown.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let desired: Desired = made.get(path::DESIRED).await.json();
    assert_eq!((desired.version, &desired.document), (1, &json!({ "log_level": "debug" })));
    assert_eq!(desired.commands[0].id.to_string(), command["id"].as_str().unwrap());
    assert!(desired.at.is_some());
    // The answer may have been lost, so it is said again.
    let again: Desired = made.get(path::DESIRED).await.json();
    assert!(again.commands.iter().any(|c| c.id == desired.commands[0].id));
    let mut reported = report(Level::Ok, "");
    reported.version = 1;
    let state = |state, result: Option<&str>| CommandState {
        id: desired.commands[0].id,
        state,
        result: result.map(Into::into),
        at: 1,
    };
    reported.commands = vec![state(CommandPhase::Done, Some("3 sent")), state(CommandPhase::Running, None)];
    assert_eq!(made.post(path::REPORTED, &reported).await.status, StatusCode::NO_CONTENT);
    let after: Desired = made.get(path::DESIRED).await.json();
    assert!(after.commands.iter().all(|c| c.id != desired.commands[0].id));
    // What nobody began in time has expired.
    crate::support::until("the short command has expired", || async {
        sent_cloud::tasks::look(&world.replica.cloud).await.unwrap();
        let detail: Value = world.page.get(&route).await;
        detail["commands"].as_array()?.iter().any(|c| c["id"] == short["id"] && c["state"] == "expired").then_some(())
    })
    .await;
    let detail: Value = world.page.get(&route).await;
    let done = detail["commands"].as_array().unwrap().iter().find(|c| c["id"] == command["id"]).unwrap();
    assert_eq!(
        (done["state"].as_str(), done["result"].as_str()),
        (Some("done"), Some("3 sent")),
        "a state never goes back"
    );
    assert_eq!(detail["reported_version"], 1);
    assert_eq!(
        (&detail["row"]["version"], &detail["row"]["alerts"], &detail["row"]["behind"]),
        (&json!("0.2.0"), &json!(2), &json!(3))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_has_one_status_with_its_cause() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let new = json!({ "organization": customer.id, "branch": customer.branch, "name": "till" });
    let claim: sent_contract::fleet::Claim = world.page.post("/api/fleet/claims", &new).await;
    let route = format!("/api/fleet/boxes/{}", claim.box_id);
    let status = || async {
        let detail: Value = world.page.get(&route).await;
        let s = &detail["row"]["status"];
        (s["level"].as_str().unwrap().to_owned(), s["cause"].as_str().unwrap().to_owned(), s["since"].as_i64().unwrap())
    };
    assert_eq!(status().await.0, "unknown");
    let made = crate::support::TestBox::enrol_with(&world.replica, &claim.code, json!({}))
        .await
        .map_err(|a| a.code())
        .unwrap();
    made.post(path::REPORTED, &report(Level::Ok, "")).await;
    assert_eq!(status().await.0, "ok");
    made.post(path::REPORTED, &report(Level::Warn, "disk 91 % full")).await;
    let (level, cause, since) = status().await;
    assert_eq!((level.as_str(), cause.as_str()), ("warn", "box: disk 91 % full"));
    made.post(path::REPORTED, &report(Level::Warn, "disk 92 % full")).await;
    let (_, cause, still) = status().await;
    assert_eq!((cause.as_str(), still), ("box: disk 92 % full", since));
    // Nothing heard for an hour.
    sent_cloud::tasks::look(&world.replica.cloud).await.unwrap();
    let mut owner = world.postgres.owner().await;
    sqlx::query("UPDATE box_states SET last_seen = last_seen - 3600000000").execute(&mut owner).await.unwrap();
    sent_cloud::tasks::look(&world.replica.cloud).await.unwrap();
    let (level, cause, _) = status().await;
    assert!(level == "bad" && cause.starts_with("offline:"), "{cause}");
    let counts: Value = world.page.get("/api/fleet/boxes/counts").await;
    assert_eq!(counts, json!({ "total": 1, "ok": 0, "warn": 0, "bad": 1, "unknown": 0 }));
    let list: Value = world.page.get("/api/fleet/boxes?status=bad&q=TILL").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let list: Value = world.page.get("/api/fleet/boxes?status=ok").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_action_is_tried_first() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    world.enrolled(&customer, "first").await;
    world.enrolled(&customer, "second").await;
    let tag = json!({ "filter": "?q=first", "action": "tag:add", "arguments": { "tag": "vip" } });
    let dry: Value = world.page.post("/api/fleet/actions?dry_run=true", &tag).await;
    assert_eq!((dry["dry_run"].as_bool(), dry["affected"].as_array().unwrap().len()), (Some(true), 1));
    let list: Value = world.page.get("/api/fleet/boxes?tag=vip").await;
    assert!(list["items"].as_array().unwrap().is_empty(), "a dry run changes nothing");
    world.page.post::<Value>("/api/fleet/actions?dry_run=false", &tag).await;
    let again: Value = world.page.post("/api/fleet/actions?dry_run=false", &tag).await;
    assert_eq!(again["skipped"][0][1], "has the tag already");
    let merge = json!({ "filter": "", "action": "desired:merge", "arguments": { "a": 1 } });
    let done: Value = world.page.post("/api/fleet/actions", &merge).await;
    assert_eq!(done["affected"].as_array().unwrap().len(), 2);
    let nothing = world.page.send(Method::POST, "/api/fleet/actions", Some(&json!({ "action": "revoke" }))).await;
    assert_eq!(nothing.status(), StatusCode::UNPROCESSABLE_ENTITY, "no filter is not all boxes");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_by_what_they_hold() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let other = world.customer("Southwind").await;
    let made = world.enrolled(&customer, "till").await;
    let stranger = world.enrolled(&other, "theirs").await;
    let bytes: Vec<u8> = (0..6_000_000_u32).map(|n| (n % 251) as u8).collect();
    let name = Hash::of(&bytes);
    let url = made.url(&format!("{}/{name}", path::OBJECTS));
    let put = |bytes: Vec<u8>| send_raw(&made.client, Method::PUT, url.clone(), bytes);
    assert_eq!(send_raw(&made.client, Method::GET, url.clone(), vec![]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(put(bytes[1..].to_vec()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        send_raw(&made.client, Method::GET, url.clone(), vec![]).await.status,
        StatusCode::NOT_FOUND,
        "a wrong one leaves nothing"
    );
    assert_eq!(put(vec![0; 9 << 20]).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(put(bytes.clone()).await.status, StatusCode::CREATED);
    assert_eq!(put(bytes.clone()).await.status, StatusCode::NO_CONTENT);
    assert!(send_raw(&made.client, Method::GET, url.clone(), vec![]).await.body == bytes);
    assert_eq!(send_raw(&made.client, Method::HEAD, url.clone(), vec![]).await.status, StatusCode::OK);
    let theirs = stranger.url(&format!("{}/{name}", path::OBJECTS));
    assert_eq!(send_raw(&stranger.client, Method::GET, theirs, vec![]).await.status, StatusCode::NOT_FOUND);
    let nonsense = made.url(&format!("{}/nonsense", path::OBJECTS));
    assert_eq!(send_raw(&made.client, Method::GET, nonsense, vec![]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_cause_stands_in_nobodys_way() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let mut endless = report(Level::Bad, &"disk \u{1} full ".repeat(20_000));
    endless.status.version = "9".repeat(10_000);
    assert_eq!(made.post(path::REPORTED, &endless).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.postgres.count("SELECT max(length(status_cause))::bigint FROM box_states").await, 205);
    // Nor in the way of a quarantined transaction's decision, or of other boxes.
    made.write("x", &json!([{ "t": "checks", "o": "i", "k": { "id": "no id" }, "n": {} }])).await;
    world.replica.project().await;
    assert_eq!(made.post(path::REPORTED, &endless).await.status, StatusCode::NO_CONTENT);
    let list: Value = world.page.get("/api/fleet/quarantine?state=open").await;
    let id = list["items"][0]["id"].as_i64().unwrap();
    let why = json!({ "reason": "made by hand" });
    world.page.post::<Value>(&format!("/api/fleet/quarantine/{id}/skip"), &why).await;
    sent_cloud::tasks::look(&world.replica.cloud).await.unwrap();
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert!(detail["row"]["status"]["cause"].as_str().unwrap().starts_with("box: disk"));
}
