//! Every kind of check against its real counterpart: the kernel, a TLS server, Debian's snmpd, mosquitto, web servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::float_cmp, reason = "what is compared was never calculated")]

mod world;

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use rumqttc::{AsyncClient, MqttOptions, PublishOptions, QoS};
use sent_contract::{
    Level,
    pulse::{Check, Host, Series},
};
use sent_pulse::settings::Settings;
use serde_json::json;
use tempfile::TempDir;
use world::World;

/// A program that ends with the test.
struct Program(Child);

impl Program {
    fn start(program: &str, arguments: &[&str], folder: &Path) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .env("SNMP_PERSISTENT_DIR", folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{program} is installed: {e}"));
        Self(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a file of a temporary folder that nobody reads yet")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}

fn free_tcp() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

async fn web(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_box_itself() {
    let world = World::start(Settings { interval: 1, ..Settings::default() }).await;
    let host = world
        .until("the box's numbers", async || {
            let hosts: Vec<Host> = world.list("/api/pulse/hosts").await;
            hosts.into_iter().find(|host| {
                host.facts.iter().any(|fact| fact.0 == "CPU") && host.facts.iter().any(|fact| fact.0 == "Memory")
            })
        })
        .await;
    assert_eq!((host.name.as_str(), host.kind.as_str(), host.status.level), ("this box", "host", Level::Ok));
    world.until("points on disk", async || (world.points.count() > 20).then_some(())).await;
    let (status, page) = world.call("GET", "/metrics", None).await;
    assert_eq!(status, 200);
    assert!(page.contains("\nsent_cpu_usage_ratio{host=\"this box\"} "), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ping_reaches_the_loopback_or_says_why_not() {
    let world = World::start(Settings::default()).await;
    let check = world.check("loopback", json!({"kind": "ping", "host": "127.0.0.1"})).await;
    // Where the kernel permits neither kind of ICMP socket, that is what the check has to say.
    if check.status.level == Level::Bad {
        assert!(check.status.cause.contains("may not send ICMP"), "{}", check.status.cause);
    } else {
        assert!(check.latency_ms.is_some_and(|ms| ms < 1_000.0));
        assert_eq!(world.last("ping_loss_ratio", "check").await["loopback"], 0.0);
    }
    let nowhere = world.check("nowhere", json!({"kind": "ping", "host": "no-such-host.invalid"})).await;
    assert_eq!(nowhere.status.level, Level::Bad);
    assert!(nowhere.status.cause.contains("cannot be resolved"), "{}", nowhere.status.cause);
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_and_told() {
    use axum::response::Redirect;
    let world = World::start(Settings::default()).await;
    let elsewhere = web(Router::new().route("/shop", get(|| async { "open" }))).await;
    let shop = format!("{elsewhere}/shop?key=secret");
    let url = web(Router::new()
        .route("/old", get(|| async { Redirect::permanent("/older") }))
        .route("/older", get(async move || Redirect::temporary(&shop)))
        .route("/circle", get(|| async { Redirect::to("/circle") }))
        .route("/nowhere", get(|| async { StatusCode::FOUND })))
    .await;
    let kind = |path: &str, more: serde_json::Value| {
        let mut kind = json!({"kind": "http", "url": format!("{url}{path}")});
        kind.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        kind
    };
    for (n, (kind, level, said)) in [
        (
            kind("/old", json!({"contains": "open"})),
            Level::Ok,
            format!("answers 200 OK after 2 redirects to {elsewhere}/shop in"),
        ),
        (kind("/older", json!({})), Level::Ok, format!("answers 200 OK after a redirect to {elsewhere}/shop in")),
        (
            kind("/old", json!({"redirects": 1})),
            Level::Bad,
            format!("redirects more than 1 times, at last to {elsewhere}/shop"),
        ),
        (
            kind("/old", json!({"redirects": 0})),
            Level::Bad,
            format!("answers 308 Permanent Redirect to {url}/older, not"),
        ),
        (kind("/old", json!({"status": 308})), Level::Ok, format!("answers 308 Permanent Redirect to {url}/older in")),
        (kind("/circle", json!({})), Level::Bad, "redirects more than 10 times".to_owned()),
        (kind("/nowhere", json!({})), Level::Bad, "answers 302 Found, not".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let check = world.check(&format!("check {n}"), kind).await;
        assert_eq!(check.status.level, level, "{:?}", check.status);
        assert!(check.status.cause.starts_with(&said), "{:?} is not {said:?}", check.status.cause);
        assert!(!check.status.cause.contains("secret"), "what follows the question mark may be a password");
    }
    let (status, body) = world
        .call("POST", "/api/pulse/checks", Some(json!({"name": "x", "kind": kind("/", json!({"redirects": 21}))})))
        .await;
    assert!(status == 422 && body.contains("redirects"), "{status} {body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_and_http() {
    let world = World::start(Settings::default()).await;
    let url = web(Router::new()
        .route("/", get(|| async { "all systems go" }))
        .route("/teapot", get(|| async { StatusCode::IM_A_TEAPOT }))
        .route("/slow", get(|| async { tokio::time::sleep(Duration::from_secs(30)).await })))
    .await;
    let port: u16 = url.rsplit(':').next().and_then(|p| p.parse().ok()).expect("a port");
    let level = async |name: &str, kind: serde_json::Value| {
        let check = world.check(name, kind).await;
        (check.status.level, check.status.cause)
    };
    assert_eq!(level("open", json!({"kind": "tcp", "host": "127.0.0.1", "port": port})).await.0, Level::Ok);
    let (closed, cause) = level("closed", json!({"kind": "tcp", "host": "127.0.0.1", "port": free_tcp()})).await;
    assert_eq!(closed, Level::Bad);
    assert!(cause.contains("refuses connections"), "{cause}");
    assert_eq!(level("page", json!({"kind": "http", "url": url, "contains": "systems go"})).await.0, Level::Ok);
    assert_eq!(level("text", json!({"kind": "http", "url": url, "contains": "absent"})).await.0, Level::Bad);
    assert_eq!(level("418", json!({"kind": "http", "url": format!("{url}/teapot"), "status": 418})).await.0, Level::Ok);
    assert_eq!(level("2xx", json!({"kind": "http", "url": format!("{url}/teapot")})).await.0, Level::Bad);
    let (slow, cause) = level("slow", json!({"kind": "http", "url": format!("{url}/slow")})).await;
    assert_eq!(slow, Level::Bad);
    assert!(cause.contains("no answer within 1 s"), "{cause}");
    assert_eq!(world.last("check_up", "check").await["page"], 1.0);
    assert_eq!(world.last("check_up", "check").await["slow"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_check_blocks_nobody() {
    let world = World::start(Settings::default()).await;
    // It accepts and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("an address").port();
    for n in 0..40 {
        let kind = json!({"kind": "http", "url": format!("http://127.0.0.1:{port}/")});
        let _: Check = world
            .post(
                "/api/pulse/checks",
                json!({"name": format!("hung {n}"), "kind": kind, "interval": 60, "timeout": 60}),
            )
            .await;
    }
    let url = web(Router::new().route("/", get(|| async { "ok" }))).await;
    let check = world.check("lively", json!({"kind": "http", "url": url})).await;
    assert_eq!(check.status.level, Level::Ok, "{}", check.status.cause);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_tells_when_a_certificate_ends() {
    let world = World::start(Settings::default()).await;
    let level = async |name: &str, days: i64, names: &[&str]| {
        let port = tls_server(days, names).await;
        let check = world.check(name, json!({"kind": "tls", "host": "localhost", "port": port})).await;
        (check.status.level, check.status.cause)
    };
    assert_eq!(level("long", 100, &["localhost"]).await.0, Level::Ok);
    let (soon, cause) = level("soon", 5, &["localhost"]).await;
    assert_eq!(soon, Level::Warn);
    assert!(cause.contains("ends in"), "{cause}");
    let (ended, cause) = level("ended", -1, &["localhost"]).await;
    assert_eq!(ended, Level::Bad);
    assert!(cause.contains("ended on"), "{cause}");
    let (other, cause) = level("other", 100, &["example.org"]).await;
    assert_eq!(other, Level::Warn);
    assert!(cause.contains("not for localhost"), "{cause}");
    let left = world.last("tls_expires_seconds", "check").await;
    assert!(left["long"] > 98.0 * 86_400.0 && left["long"] < 101.0 * 86_400.0);
    assert!(left["ended"] < 0.0);
}

/// A TLS server whose certificate ends in so many days.
async fn tls_server(days: i64, names: &[&str]) -> u16 {
    world::provider();
    let key = rcgen::KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = rcgen::CertificateParams::new(names).expect("good names");
    let seconds = sent_core::clock::SystemClock::raw().0 / 1_000_000;
    let day = |days: i64| {
        // Civil date from days since the epoch (Hinnant, "chrono-compatible low-level date algorithms").
        let z = (seconds + days * 86_400).div_euclid(86_400) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        rcgen::date_time_ymd(year as i32, month as u8, (doy - (153 * mp + 2) / 5 + 1) as u8)
    };
    parameters.not_before = day(-30);
    parameters.not_after = day(days);
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    tokio::time::sleep(Duration::from_secs(5)).await;
                    drop(stream);
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn snmp_both_versions() {
    let folder = TempDir::new().expect("a folder");
    let port = UdpSocket::bind("127.0.0.1:0").and_then(|s| s.local_addr()).expect("a free port").port();
    let config = folder.path().join("snmpd.conf");
    write(
        &config,
        "rocommunity open-sesame 127.0.0.1\n\
         createUser monitor SHA-256 \"authentication phrase\" AES \"privacy phrase\"\n\
         createUser plain SHA \"authentication phrase\"\n\
         rouser monitor authPriv\n\
         rouser plain authNoPriv\n\
         sysName agent-smith\n",
    );
    let log = folder.path().join("log");
    let _snmpd = Program::start(
        "/usr/sbin/snmpd",
        &[
            "-f",
            "-Lf",
            log.to_str().expect("text"),
            "-C",
            "-c",
            config.to_str().expect("text"),
            "-p",
            folder.path().join("pid").to_str().expect("text"),
            &format!("udp:127.0.0.1:{port}"),
        ],
        folder.path(),
    );
    let world = World::start(Settings::default()).await;
    let snmp = |version: &str, user: &str| json!({"kind": "snmp", "host": "127.0.0.1", "port": port, "version": version, "user": user});
    let mut v3 = snmp("3", "monitor");
    v3["auth"] = json!(["sha256", "authentication phrase"]);
    v3["privacy"] = json!(["aes128", "privacy phrase"]);
    let mut signed = snmp("3", "plain");
    signed["auth"] = json!(["sha1", "authentication phrase"]);
    let mut wrong = v3.clone();
    wrong["auth"] = json!(["sha256", "another phrase"]);
    for (name, kind) in [
        ("v2c", snmp("2c", "open-sesame")),
        ("v3", v3),
        ("v3 signed", signed),
        ("wrong", wrong),
        ("closed", snmp("2c", "wrong")),
    ] {
        let _: Check =
            world.post("/api/pulse/checks", json!({"name": name, "kind": kind, "interval": 2, "timeout": 2})).await;
    }
    for name in ["v2c", "v3", "v3 signed"] {
        let check = world
            .until(&format!("an answer to {name}; the agent says {:?}", fs::read_to_string(&log)), async || {
                let checks: Vec<Check> = world.list("/api/pulse/checks").await;
                checks.into_iter().find(|check| check.name == name && check.status.level == Level::Ok)
            })
            .await;
        assert!(check.status.cause.contains("agent-smith"), "{}", check.status.cause);
        // The loopback has carried our own questions between two polls.
        world
            .until(&format!("rates of {name}"), async || {
                let series: Vec<Series> = world.list("/api/pulse/series?metric=net_receive_bytes_per_second").await;
                series.into_iter().find(|s| {
                    s.labels.get("check").is_some_and(|check| check == name)
                        && s.labels["interface"] == "lo"
                        && s.last.is_some_and(|rate| rate > 0.0)
                })
            })
            .await;
    }
    for (name, word) in [("wrong", "refuses"), ("closed", "no answer")] {
        let check = world
            .until(&format!("a verdict on {name}"), async || {
                let checks: Vec<Check> = world.list("/api/pulse/checks").await;
                checks.into_iter().find(|check| check.name == name && check.status.level == Level::Bad)
            })
            .await;
        assert!(check.status.cause.contains(word), "{name}: {}", check.status.cause);
    }
    let hosts: Vec<Host> = world.list("/api/pulse/hosts").await;
    assert!(
        hosts.iter().any(|host| host.name == "127.0.0.1"
            && host.kind == "snmp"
            && host.facts.iter().any(|fact| fact.0 == "Up"))
    );
    assert!(!world.last("net_up", "interface").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrape_and_our_own_page() {
    let world = World::start(Settings { interval: 1, ..Settings::default() }).await;
    let served = Arc::new(AtomicU64::new(0));
    let count = served.clone();
    let url = web(Router::new().route(
        "/metrics",
        get(async move || {
            let n = count.fetch_add(7, Ordering::Relaxed);
            format!("# TYPE requests_total counter\nrequests_total{{path=\"/a\"}} {n}\n# TYPE temperature_celsius gauge\ntemperature_celsius 21.5\n")
        }),
    ))
    .await;
    world.check("exporter", json!({"kind": "prometheus", "url": format!("{url}/metrics")})).await;
    world
        .until("a rate", async || {
            world.last("requests_per_second", "path").await.get("/a").filter(|rate| **rate > 0.0).copied()
        })
        .await;
    assert_eq!(world.last("temperature_celsius", "check").await["exporter"], 21.5);
    let broken = web(Router::new().route("/metrics", get(|| async { "good 1\nbad line here\n" }))).await;
    let check = world.check("broken", json!({"kind": "prometheus", "url": format!("{broken}/metrics")})).await;
    assert!(check.status.cause.contains("line 2"), "{}", check.status.cause);
    // What we export can be scraped like anybody else's page.
    let (_, page) = world.call("GET", "/metrics", None).await;
    let own = web(Router::new().route("/metrics", get(async move || page.clone()))).await;
    let check = world.check("own", json!({"kind": "prometheus", "url": format!("{own}/metrics")})).await;
    assert_eq!(check.status.level, Level::Ok, "{}", check.status.cause);
}

#[tokio::test(flavor = "multi_thread")]
async fn mqtt_sensors_and_a_broker_that_goes_and_comes() {
    let folder = TempDir::new().expect("a folder");
    let port = free_tcp();
    let config = folder.path().join("mosquitto.conf");
    write(&config, &format!("listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"));
    let broker = || Program::start("/usr/sbin/mosquitto", &["-c", config.to_str().expect("text")], folder.path());
    let first = broker();
    let world = World::start(Settings::default()).await;
    let kind = json!({"kind": "mqtt", "broker": format!("mqtt://127.0.0.1:{port}"), "topic": "house/+"});
    let _: Check =
        world.post("/api/pulse/checks", json!({"name": "sensors", "kind": kind, "interval": 1, "timeout": 1})).await;
    let stands = async |level: Level| {
        world
            .until(&format!("the subscription to be {level:?}"), async || {
                let checks: Vec<Check> = world.list("/api/pulse/checks").await;
                checks.into_iter().find(|check| check.status.level == level)
            })
            .await
    };
    stands(Level::Ok).await;
    publish(port, "house/kitchen", "21.5").await;
    publish(port, "house/cellar", r#"{"humidity": 71, "door": "open"}"#).await;
    publish(port, "garden/tree", "1").await;
    world.until("three numbers", async || (world.last("mqtt_value", "topic").await.len() == 2).then_some(())).await;
    let series: Vec<Series> = world.list("/api/pulse/series?metric=mqtt_value&q=humidity").await;
    assert_eq!((series[0].last, series[0].labels["host"].as_str()), (Some(71.0), "house"));

    drop(first);
    let check = stands(Level::Bad).await;
    assert!(check.status.cause.contains("no connection to the broker"), "{}", check.status.cause);
    let _second = broker();
    stands(Level::Ok).await;
    publish(port, "house/kitchen", "22.5").await;
    world
        .until("the new number", async || {
            world.last("mqtt_value", "topic").await.values().any(|v| *v == 22.5).then_some(())
        })
        .await;
}

async fn publish(port: u16, topic: &str, payload: &str) {
    let (client, mut events) =
        AsyncClient::builder(MqttOptions::new(format!("test-{topic}"), ("127.0.0.1", port))).capacity(4).build();
    client.publish(topic, payload.to_owned(), PublishOptions::new(QoS::AtLeastOnce)).await.expect("queued");
    loop {
        if let Ok(rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_))) = events.poll().await {
            return;
        }
    }
}
