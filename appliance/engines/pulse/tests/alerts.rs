//! From a measurement to a person: alerts, what survives a restart, and what receivers get.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "what is compared was never calculated")]

mod world;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use sent_contract::{
    Level,
    pulse::{Alert, Silence},
};
use sent_core::mail;
use sent_pulse::{notify::webhook::signature, settings::Settings};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use world::World;

/// A receiver of webhooks that refuses the first few, and a page whose answer the test decides.
#[derive(Clone, Default)]
struct Receiver {
    inner: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    refuse: usize,
    refused: usize,
    got: Vec<(String, Value)>,
    broken: bool,
}

impl Receiver {
    async fn start(refuse: usize) -> (Self, String) {
        let receiver = Self::default();
        receiver.with(|inner| inner.refuse = refuse);
        let router = Router::new().route("/hook", post(hook)).route("/page", get(page)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}"))
    }

    fn with<T>(&self, f: impl FnOnce(&mut Received) -> T) -> T {
        f(&mut self.inner.lock().expect("not poisoned"))
    }

    fn stages(&self) -> Vec<String> {
        self.with(|inner| {
            inner.got.iter().map(|(_, body)| body["stage"].as_str().unwrap_or_default().to_owned()).collect()
        })
    }
}

async fn hook(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    receiver.with(|inner| {
        if inner.refused < inner.refuse {
            inner.refused += 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let signed = headers.get("x-sent-signature").and_then(|h| h.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!(signed, format!("sha256={}", signature(b"a shared secret", &body)));
        let id = headers["x-sent-notification"].to_str().expect("text").to_owned();
        inner.got.push((id, serde_json::from_slice(&body).expect("JSON")));
        StatusCode::NO_CONTENT
    })
}

async fn page(State(receiver): State<Receiver>) -> StatusCode {
    if receiver.with(|inner| inner.broken) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
}

fn settings() -> Settings {
    Settings { webhook_secret: "a shared secret".into(), ..Settings::default() }
}

async fn firing(world: &World, state: &str) -> Alert {
    world.until(&format!("an alert that is {state}"), async || world.alerts(state).await.into_iter().next()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn raised_told_and_resolved_with_a_signed_webhook() {
    let world = World::start(settings()).await;
    let (receiver, url) = Receiver::start(0).await;
    receiver.with(|inner| inner.broken = true);
    world.rule(json!({"notify": [format!("webhook:{url}/hook")]})).await;
    world.check("shop", json!({"kind": "http", "url": format!("{url}/page")})).await;
    let alert = firing(&world, "open").await;
    assert_eq!((alert.state.as_str(), alert.severity.as_str(), alert.value), ("firing", "bad", 0.0));
    assert!(alert.title.contains("shop"), "{}", alert.title);
    world.until("the word", async || (receiver.stages() == ["raised"]).then_some(())).await;
    receiver.with(|inner| inner.broken = false);
    firing(&world, "resolved").await;
    world.until("the end", async || (receiver.stages() == ["raised", "resolved"]).then_some(())).await;
    let lines = world
        .until("both recorded", async || {
            let alert = world.alerts("resolved").await.remove(0);
            (alert.notifications.iter().filter(|line| line.contains("sent")).count() == 2)
                .then_some(alert.notifications)
        })
        .await;
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_webhook_is_tried_again_and_each_attempt_is_recorded() {
    let world = World::start(settings()).await;
    let (receiver, url) = Receiver::start(1).await;
    receiver.with(|inner| inner.broken = true);
    world.rule(json!({"notify": [format!("webhook:{url}/hook")]})).await;
    world.check("shop", json!({"kind": "http", "url": format!("{url}/page")})).await;
    world
        .until("the failed attempt", async || {
            let alert = world.alerts("open").await.into_iter().next()?;
            alert.notifications.into_iter().find(|line| line.contains("attempt 1 failed") && line.contains("503"))
        })
        .await;
    world.until("the second attempt", async || (receiver.stages() == ["raised"]).then_some(())).await;
    world
        .until("its record", async || {
            let alert = world.alerts("open").await.into_iter().next()?;
            alert.notifications.into_iter().find(|line| line.contains("sent, attempt 2"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_alert_survives_a_restart_and_is_told_once() {
    let world = World::start(settings()).await;
    let (receiver, url) = Receiver::start(0).await;
    receiver.with(|inner| inner.broken = true);
    world.rule(json!({"notify": [format!("webhook:{url}/hook")]})).await;
    world.check("shop", json!({"kind": "http", "url": format!("{url}/page")})).await;
    let alert = firing(&world, "open").await;
    world.until("the word", async || (receiver.stages() == ["raised"]).then_some(())).await;
    world
        .until("its record", async || world.alerts("open").await[0].notifications[0].contains("sent").then_some(()))
        .await;

    let world = world.restart(settings()).await;
    // It runs again and finds the same.
    world
        .until("a run after the restart", async || {
            let checks: Vec<sent_contract::pulse::Check> = world.list("/api/pulse/checks").await;
            checks.into_iter().find(|check| check.last_run.is_some_and(|at| at > alert.raised_at))
        })
        .await;
    let after = firing(&world, "open").await;
    assert_eq!((after.id, after.raised_at), (alert.id, alert.raised_at), "it is the same alert");
    receiver.with(|inner| inner.broken = false);
    let over = firing(&world, "resolved").await;
    assert_eq!(over.id, alert.id);
    world.until("the end", async || (receiver.stages() == ["raised", "resolved"]).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_acknowledge_and_escalate() {
    let world = World::start(settings()).await;
    let (receiver, url) = Receiver::start(0).await;
    receiver.with(|inner| inner.broken = true);
    let hook = format!("webhook:{url}/hook");
    let now = world.store.clock().now().0;
    let silence: Silence = world
        .post(
            "/api/pulse/silences",
            json!({"labels": {"check": "shop"}, "from": now, "until": now + 3_600_000_000i64, "reason": "moving the router"}),
        )
        .await;
    world.rule(json!({"notify": [hook], "escalate_after": 1, "escalate_to": [hook]})).await;
    world.check("shop", json!({"kind": "http", "url": format!("{url}/page")})).await;
    let alert = firing(&world, "silenced").await;
    assert!(alert.notifications.is_empty());
    assert!(receiver.stages().is_empty());

    let (status, _) = world.call("DELETE", &format!("/api/pulse/silences/{}", silence.id), None).await;
    assert_eq!(status, 204);
    world
        .until("the word and its escalation", async || (receiver.stages() == ["raised", "escalated"]).then_some(()))
        .await;

    let acknowledged: Alert = world.post(&format!("/api/pulse/alerts/{}/acknowledge", alert.id), json!({})).await;
    assert_eq!((acknowledged.state.as_str(), acknowledged.acknowledged_by.as_deref()), ("acknowledged", Some("test")));
    let (status, _) = world.call("POST", &format!("/api/pulse/alerts/{}/acknowledge", alert.id), None).await;
    assert_eq!(status, 409);
    assert_eq!(firing(&world, "acknowledged").await.id, alert.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_man_fires_when_nothing_comes() {
    let world = World::start(settings()).await;
    world
        .rule(json!({"metric": "backup_finished", "condition": "absent", "hold_seconds": 1, "raise": 0, "clear": 0}))
        .await;
    let alert = firing(&world, "open").await;
    assert!(alert.value >= 1.0, "it says how long it has been quiet");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_keeps_measurements_and_says_so() {
    let mut world = World::start(Settings { interval: 1, ..settings() }).await;
    world.until("points", async || (world.points.count() > 0).then_some(())).await;
    world.points.set_full(true);
    let engine = world.pulse.clone();
    use sent_core::engine::Engine;
    world.until("trouble", async || (engine.health().level == Level::Bad).then_some(())).await;
    assert!(engine.health().cause.contains("disk is full"), "{}", engine.health().cause);
    let before = world.points.count();
    world.points.set_full(false);
    world.until("recovery", async || (engine.health().level == Level::Ok).then_some(())).await;
    assert!(world.points.count() > before);
    world.stop().await;
}

/// A mail server that takes everything and keeps what it took.
async fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let mails = Arc::new(Mutex::new(Vec::new()));
    let kept = mails.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                let (read, mut write) = stream.into_split();
                let mut lines = BufReader::new(read).lines();
                write.write_all(b"220 sink\r\n").await?;
                let mut mail: Option<String> = None;
                while let Some(line) = lines.next_line().await? {
                    if let Some(text) = &mut mail {
                        if line == "." {
                            kept.lock().expect("not poisoned").push(mail.take().expect("there is one"));
                            write.write_all(b"250 taken\r\n").await?;
                        } else {
                            text.push_str(&line);
                            text.push('\n');
                        }
                        continue;
                    }
                    let answer: &[u8] = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
                        "EHLO" | "HELO" => b"250 sink\r\n",
                        "DATA" => {
                            mail = Some(String::new());
                            b"354 go on\r\n"
                        }
                        "QUIT" => b"221 bye\r\n",
                        _ => b"250 ok\r\n",
                    };
                    write.write_all(answer).await?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (port, mails)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_arrives() {
    let (port, mails) = mail_server().await;
    let mail = mail::Settings { server: format!("smtp://127.0.0.1:{port}"), from: "SENT <sent@box.example>".into() };
    let world = World::start_with_mail(Settings::default(), &mail).await;
    world.rule(json!({"name": "Shop is closed", "notify": ["mail:it@example.org"]})).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    world.check("shop", json!({"kind": "tcp", "host": "127.0.0.1", "port": closed})).await;
    let mail = world.until("a mail", async || mails.lock().expect("not poisoned").first().cloned()).await;
    assert!(mail.contains("Subject: [SENT] alert: Shop is closed: 127.0.0.1 shop"), "{mail}");
    assert!(mail.contains("To: it@example.org") && mail.contains("From: SENT <sent@box.example>"), "{mail}");
    assert!(mail.contains("Message-ID: <") && mail.contains("@box.example>"), "{mail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mail_server_the_alert_says_so() {
    let world = World::start(Settings::default()).await;
    world.rule(json!({"notify": ["mail:it@example.org"]})).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    world.check("shop", json!({"kind": "tcp", "host": "127.0.0.1", "port": closed})).await;
    world
        .until("the reason", async || {
            let alert = world.alerts("open").await.into_iter().next()?;
            alert.notifications.into_iter().find(|line| line.contains("no mail server is set"))
        })
        .await;
    tokio::time::timeout(Duration::from_secs(20), async { drop(world) }).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_box_leaves_no_audit_entries() {
    let world = World::start(Settings { interval: 1, ..settings() }).await;
    let (receiver, url) = Receiver::start(0).await;
    // Its hold timer never runs out: the machine has something to remember, and nothing to tell.
    world.rule(json!({"hold_seconds": 86_400})).await;
    world.check("shop", json!({"kind": "http", "url": format!("{url}/page")})).await;
    let entries = || world.store.identity().expect("a box").audit_sequence;
    let before = entries();
    let level = |wanted: Level| {
        let world = &world;
        async move {
            let sql = "SELECT level FROM check_states";
            let read = |c: &rusqlite::Connection| {
                let mut statement = c.prepare(sql)?;
                let levels = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
                Ok::<_, sent_store::StoreError>(levels)
            };
            let wanted = if wanted == Level::Ok { "ok" } else { "bad" };
            let what = format!("the state {wanted} on disk");
            let kept = || async {
                let levels = world.store.read_blocking(&world.scope, read).expect("states");
                (levels == [wanted]).then_some(())
            };
            world.until(&what, kept).await;
        }
    };
    level(Level::Ok).await;
    receiver.with(|inner| inner.broken = true);
    level(Level::Bad).await;
    receiver.with(|inner| inner.broken = false);
    level(Level::Ok).await;
    // What the machines remember goes to the disk at the latest with the last beat.
    receiver.with(|inner| inner.broken = true);
    level(Level::Bad).await;
    world.pulse.service().beat(true).await;
    let machines = |c: &rusqlite::Connection| -> Result<i64, sent_store::StoreError> {
        Ok(c.query_row("SELECT count(*) FROM alert_machines", [], |row| row.get(0))?)
    };
    assert_eq!(world.store.read_blocking(&world.scope, machines).expect("machines"), 1);
    assert_eq!(entries(), before);
}
