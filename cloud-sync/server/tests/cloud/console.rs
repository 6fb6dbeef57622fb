//! Sessions, rights, tenancy of every route, the audit chain.

use futures::{SinkExt, StreamExt};
use reqwest::{Client, Method, StatusCode};
use sent_contract::audit::Verification;
use sent_core::route::Access;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use uuid::Uuid;

use crate::support::{PASSWORD, Page, Replica, World, cookie_of, customer, entry, make_msp};

/// A path with an id in its place, and in the place of whatever else it asks for.
fn fill(path: &str, id: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { id.to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_who_calls_and_for_its_right() {
    let world = World::new(false).await;
    let roles: Vec<Value> = world.page.get("/api/roles").await;
    let viewer = roles.iter().find(|r| r["name"] == "viewer").unwrap();
    let user = json!({ "email": "vera@msp.example", "name": "Vera", "password": PASSWORD, "role": viewer["id"] });
    world.page.post::<Value>("/api/users", &user).await;
    let vera = Page::login(&world.replica, "vera@msp.example").await;
    let rights: Vec<String> = serde_json::from_value(viewer["rights"].clone()).unwrap();
    let base = format!("http://{}", world.replica.console);
    let stranger = Client::new();
    for route in sent_cloud::console::routes().list() {
        let path = fill(route.path, &Uuid::nil().to_string());
        if route.access == Access::Public {
            continue;
        }
        let answer =
            stranger.request(route.method.clone(), format!("{base}{path}")).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{} {path}", route.method);
        if let Access::Right(right) = route.access
            && !rights.iter().any(|r| r == right)
        {
            let answer = vera.send(route.method.clone(), &path, Some(&json!({}))).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{} {path}", route.method);
        }
        if route.method != Method::GET {
            let answer = world.page.send_bare(route.method.clone(), &path).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{} {path} without CSRF token", route.method);
        }
    }
    let answer = stranger.get(format!("{base}/api/nonsense")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    for header in ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"] {
        assert!(answer.headers().contains_key(header), "{header}");
    }
    assert_eq!(stranger.get(format!("{base}/health")).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_shows_or_changes_another_msps_rows() {
    let world = World::new(false).await;
    let northwind = world.customer("Northwind").await;
    let mut made = world.enrolled(&northwind, "till").await;
    made.write("a", &entry(Uuid::from_u128(1), 1, 100)).await;
    made.write("b", &json!([{ "t": "nonsense", "o": "i", "k": { "id": 1 } }])).await;
    world.replica.project().await;
    make_msp(&world.replica, "South MSP", "owner@south.example").await;
    let south = Page::login(&world.replica, "owner@south.example").await;
    let quarantined: Value = world.page.get("/api/fleet/quarantine").await;
    let held = quarantined["items"][0]["id"].to_string();
    let before = world.postgres.count("SELECT sum(sequence)::bigint FROM audit_heads").await;
    let ids = [made.id.to_string(), northwind.id.to_string(), held];
    let bodies = json!({ "name": "x", "reason": "x", "email": "x@y.z", "password": "long enough to be one",
        "role": Uuid::nil(), "organization": northwind.id, "branch": northwind.branch, "boxes": [made.id], "action": "revoke",
        // One body that every route of reference data takes.
        "kind": "asset", "code": "X", "currency": "USD", "date": "2026-01-01", "rate": "1", "valid_from": "2026-01-01",
        "sku": "X", "unit": "x", "price": "1", "key": "x.y", "value": "x", "rights": ["*"], "on": "2026-01-01" });
    for route in sent_cloud::console::routes().list() {
        if !route.path.starts_with("/api/fleet") {
            continue;
        }
        for id in &ids {
            let mut path = fill(route.path, id);
            if path.ends_with("/query") {
                path.push_str("?series=1&from=0&to=10");
            }
            if route.path == "/api/fleet/organizations" && route.method == Method::POST {
                continue; // makes one of its own
            }
            let answer = south.send(route.method.clone(), &path, Some(&bodies)).await;
            let status = answer.status();
            let text = answer.text().await.unwrap();
            assert!(!status.is_server_error(), "{} {path}: {status} {text}", route.method);
            let own = made.id.to_string();
            for secret in ["Northwind", "till", "Entry 1", &own].into_iter().filter(|s| !path.contains(s)) {
                assert!(!text.contains(secret), "{} {path} shows {secret}: {text}", route.method);
            }
        }
    }
    // The command of a box is the one route whose kind is another.
    let restart = json!({ "kind": "restart" });
    south.send(Method::POST, &format!("/api/fleet/boxes/{}/commands", made.id), Some(&restart)).await;
    let after = world.postgres.count("SELECT sum(sequence)::bigint FROM audit_heads").await;
    assert_eq!(before, after, "and it changed nothing");
    let detail: Value = world.page.get(&format!("/api/fleet/boxes/{}", made.id)).await;
    assert_eq!(detail["revoked_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_audit_and_a_broken_link_is_found() {
    let world = World::new(false).await;
    let customer = world.customer("Northwind").await;
    let made = world.enrolled(&customer, "till").await;
    let route = format!("/api/fleet/boxes/{}", made.id);
    world.page.post::<Value>(&format!("{route}/commands"), &json!({ "kind": "identify" })).await;
    world.page.post::<Value>(&format!("{route}/revoke"), &json!({})).await;
    let audit: Value = world.page.get("/api/audit?limit=100").await;
    let items = audit["items"].as_array().unwrap();
    let actions: Vec<&str> = items.iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "fleet.box.revoke",
            "fleet.box.command",
            "fleet.claim.create",
            "fleet.organization.create",
            "session.login",
            "cloud.bootstrap"
        ]
    );
    assert_eq!(items[0]["actor"], "Olivia Owner");
    assert_eq!(items[0]["changes"][0]["old"]["revoked_at"], Value::Null);
    assert!(items[0]["changes"][0]["new"]["revoked_at"].is_i64());
    let text = audit.to_string();
    assert!(!text.contains("argon2id") && text.contains("•••"), "secrets are not told");
    let found: Value = world.page.get(&format!("/api/audit?table=boxes&key={}", made.id)).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 2);
    let verify = || async { world.page.post::<Verification>("/api/audit/verify", &json!({})).await };
    assert_eq!(verify().await, Verification { entries: 6, broken: None });
    // The database itself refuses a change of an entry; whoever gets round that is found.
    let mut owner = world.postgres.owner().await;
    assert!(sqlx::query("UPDATE audit SET actor = 'x'").execute(&mut owner).await.is_err());
    sqlx::query("ALTER TABLE audit DISABLE TRIGGER immutable").execute(&mut owner).await.unwrap();
    sqlx::query("UPDATE audit SET actor = 'Nobody' WHERE sequence = 4").execute(&mut owner).await.unwrap();
    let broken = verify().await.broken.unwrap();
    assert_eq!((broken.sequence, broken.cause.as_str()), (4, "changed"));
    sqlx::query("DELETE FROM audit WHERE sequence = 3").execute(&mut owner).await.unwrap();
    assert_eq!(verify().await.broken.unwrap().sequence, 3);
    sqlx::query("DELETE FROM audit WHERE sequence >= 3").execute(&mut owner).await.unwrap();
    assert_eq!(verify().await.broken.unwrap().sequence, 3, "a chain cut at its end is found too");
    // A change without an entry cannot be committed at all.
    let mut tx = world.replica.cloud.db.begin(sent_cloud::db::Tenancy::Tree(world.msp)).await.unwrap();
    sent_cloud::db::set(&mut tx, "sent.audited", "on").await.unwrap();
    sqlx::query("UPDATE boxes SET name = 'other'").execute(&mut *tx).await.unwrap();
    assert!(tx.commit().await.unwrap_err().to_string().contains("leaves no audit entry"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_factor_counts_once_and_a_session_rotates() {
    let world = World::new(false).await;
    let other = Replica::start(&world.postgres, false).await;
    let setup: Value = world.page.post("/api/me/totp", &json!({})).await;
    let secret = setup["secret"].as_str().unwrap();
    let code = || totp(secret, world.replica.cloud.clock.now().0);
    let wrong = world.page.send(Method::POST, "/api/me/totp/confirm", Some(&json!({ "code": "000000" }))).await;
    assert_eq!(wrong.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let confirmed = code();
    let recovery: Value = world.page.post("/api/me/totp/confirm", &json!({ "code": confirmed })).await;
    let client = Client::new();
    let base = format!("http://{}", other.console);
    let login = json!({ "email": "OWNER@msp.example", "password": PASSWORD });
    let first = client.post(format!("{base}/api/session")).json(&login).send().await.unwrap();
    let half = cookie_of(&first);
    assert_eq!(first.json::<Value>().await.unwrap(), json!({ "state": "totp" }));
    let cookie = |c: &str| format!("sent_session={c}");
    let step = |code: String, half: String| {
        let request = client.post(format!("http://{}/api/session/totp", world.replica.console));
        request.header("cookie", cookie(&half)).json(&json!({ "code": code })).send()
    };
    // Half a login is none.
    let me = client.get(format!("{base}/api/session")).header("cookie", cookie(&half)).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::UNAUTHORIZED);
    // The code of the confirmation has been used.
    assert_eq!(step(confirmed, half.clone()).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let recovery = recovery["codes"][0].as_str().unwrap().to_lowercase();
    let answer = step(recovery.clone(), half.clone()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let whole = cookie_of(&answer);
    assert_ne!(whole, half);
    // The first half is over, and the code with it; the session works at both replicas.
    assert_eq!(step(recovery, half).await.unwrap().status(), StatusCode::UNAUTHORIZED);
    for replica in [&world.replica, &other] {
        let me = client
            .get(format!("http://{}/api/session", replica.console))
            .header("cookie", cookie(&whole))
            .send()
            .await
            .unwrap();
        let me: Value = me.json().await.unwrap();
        assert_eq!((&me["totp"], &me["face"], &me["role"]), (&json!(true), &json!("fleet"), &json!("owner")));
    }
}

/// What an authenticator shows.
fn totp(secret: &str, now_micros: i64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("a").build().unwrap();
    totp.generate(u64::try_from(now_micros).unwrap() / 1_000_000).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slowed_down() {
    let world = World::new(false).await;
    let client = Client::new();
    let url = format!("http://{}/api/session", world.replica.console);
    let attempt =
        |email: &str, password: &str| client.post(&url).json(&json!({ "email": email, "password": password })).send();
    for _ in 0..5 {
        assert_eq!(attempt("owner@msp.example", "wrong password").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let refused = attempt("owner@msp.example", PASSWORD).await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "even with the right one");
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(attempt("nobody@msp.example", "wrong password").await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_can_do_what_it_was_given_and_no_more() {
    let world = World::new(false).await;
    let made: Value =
        world.page.post("/api/tokens", &json!({ "name": "monitor", "rights": ["fleet.box.read"], "days": 30 })).await;
    let secret = made["secret"].as_str().unwrap();
    let client = Client::new();
    let base = format!("http://{}", world.replica.console);
    let get = |route: &str| client.get(format!("{base}{route}")).bearer_auth(secret).send();
    assert_eq!(get("/api/fleet/boxes").await.unwrap().status(), StatusCode::OK);
    assert_eq!(get("/api/fleet/entries").await.unwrap().status(), StatusCode::FORBIDDEN);
    let id = made["token"]["id"].as_str().unwrap();
    world.page.send(Method::DELETE, &format!("/api/tokens/{id}"), None).await.error_for_status().unwrap();
    assert_eq!(get("/api/fleet/boxes").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    // An operator cannot make an owner.
    let roles: Vec<Value> = world.page.get("/api/roles").await;
    let role = |name: &str| roles.iter().find(|r| r["name"] == name).unwrap()["id"].clone();
    let user = |email: &str, role: Value| json!({ "email": email, "name": "Otto", "password": PASSWORD, "role": role });
    world.page.post::<Value>("/api/users", &user("otto@msp.example", role("operator"))).await;
    let otto = Page::login(&world.replica, "otto@msp.example").await;
    let refused = otto.send(Method::POST, "/api/tokens", Some(&json!({ "name": "x", "rights": ["*"] }))).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let refused = world.page.send(Method::POST, "/api/users", Some(&user("OTTO@msp.example", role("viewer")))).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT, "a login name exists once");
    // Locked, his session ends at once.
    let users: Vec<Value> = world.page.get("/api/users").await;
    let id = users.iter().find(|u| u["email"] == "otto@msp.example").unwrap()["id"].as_str().unwrap();
    let locked = world.page.send(Method::PATCH, &format!("/api/users/{id}"), Some(&json!({ "disabled": true }))).await;
    assert_eq!(locked.json::<Value>().await.unwrap()["disabled"], true);
    assert_eq!(otto.send(Method::GET, "/api/session", None).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_hears_of_a_projection_at_another_replica() {
    let world = World::new(true).await;
    let other = Replica::start(&world.postgres, true).await;
    let customer = customer(&world.page, "Northwind").await;
    let mut made = world.enrolled(&customer, "till").await;
    let mut request = format!("ws://{}/connection/websocket", other.console).into_client_request().unwrap();
    request.headers_mut().insert("cookie", format!("sent_session={}", world.page.cookie).parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    for command in [json!({ "id": 1, "connect": {} }), json!({ "id": 2, "subscribe": { "channel": "fleet.entries" } })]
    {
        socket.send(Message::text(command.to_string())).await.unwrap();
        let answer = socket.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(!answer.contains("error"), "{answer}");
    }
    made.write("capital.entry.post", &entry(Uuid::from_u128(1), 1, 100)).await;
    let heard = tokio::time::timeout(std::time::Duration::from_secs(30), async {
        loop {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            if text.contains("\"pub\"") {
                return text;
            }
        }
    });
    assert!(heard.await.unwrap().contains(&made.id.to_string()));
}
