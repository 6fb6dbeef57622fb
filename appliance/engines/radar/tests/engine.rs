//! The engine as a whole, in this process: from a line to an alert and its case, over reloads and restarts.

use std::{
    io::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use sent_contract::radar::{CaseChange, CaseCounts, Exception, RuleTest};
use sent_core::{Scope, live::Hub};
use sent_radar::{
    Parts, Service, TABLES,
    intake::{normalise::Form, queue::block::Draft},
    settings::Settings,
    store::{AlertFilter, CaseFilter},
};
use sent_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const FAILED: &str = "
title: Failed login
id: 11111111-1111-4111-8111-111111111111
author: Ann
level: low
tags: [attack.t1110]
logsource:
  product: linux
detection:
  words: ['Failed password']
  condition: words
";

const GUESSED: &str = "
title: Guessing
id: 22222222-2222-4222-8222-222222222222
level: high
correlation:
  type: event_count
  generate: true
  rules: [11111111-1111-4111-8111-111111111111]
  group-by: [User]
  timespan: 1h
  condition:
    gte: 4
";

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    scope: Scope,
    running: Option<Running>,
}

struct Running {
    service: Arc<Service>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    fn new() -> Self {
        let (folder, store, scope) = sent_store::test::store(TABLES).expect("a store");
        Self { _folder: folder, store, scope, running: None }
    }

    fn write_rule(&self, name: &str, text: &str) {
        let folder = self.store.data().join("radar/rules");
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = std::fs::File::create(folder.join(name));
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a rule is written");
    }

    fn start(&mut self) -> Arc<Service> {
        self.start_with(Settings { memory_mib: 64, ..Settings::default() })
    }

    fn start_with(&mut self, settings: Settings) -> Arc<Service> {
        let parts = Parts {
            store: self.store.clone(),
            hub: Hub::new(1),
            organization: self.scope.organization,
            folder: self.store.data().join("radar"),
            settings,
        };
        let service = Service::new(parts).expect("opens");
        let (stop, run) = (CancellationToken::new(), service.clone());
        let ending = stop.clone();
        let task = tokio::spawn(async move { run.run(ending).await.expect("runs") });
        self.running = Some(Running { service: service.clone(), stop, task });
        service
    }

    async fn stop(&mut self) {
        let running = self.running.take().expect("runs");
        running.stop.cancel();
        running.task.await.expect("no panic");
        let place = self.store.data().join("radar/queue/lock");
        drop(running.service);
        // Whoever else holds the service lets go of the queue before the next one may have it.
        assert!(place.exists());
    }

    fn service(&self) -> &Service {
        &self.running.as_ref().expect("runs").service
    }

    async fn send(&self, lines: &[&str]) {
        let inlet = self.service().inlet();
        let mut draft = Draft::default();
        for line in lines {
            inlet.draft(&mut draft, Form::Syslog, "10.0.0.9", inlet.now(), line.as_bytes(), false);
        }
        let end = inlet.append(&mut draft).expect("room");
        inlet.queue().durable(end).await.expect("durable");
    }

    async fn asked(&self, records: u64) {
        until(|| async { self.service().status().asked >= records }).await;
    }

    /// Waits until these are the alerts.
    async fn found(&self, wanted: &[Row]) {
        let begin = Instant::now();
        loop {
            let found = self.alerts().await;
            if found == wanted {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{found:?}, not {wanted:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Title, severity, host, user and count of each alert, by title.
    async fn alerts(&self) -> Vec<Row> {
        let page = self.service().alerts(&self.scope, AlertFilter::default(), 100).await.expect("alerts");
        let mut found: Vec<_> =
            page.items.into_iter().map(|a| (a.title, a.severity, a.host, a.user, a.count)).collect();
        found.sort();
        found
    }
}

type Row = (String, String, String, String, u64);

async fn until<F: Future<Output = bool>>(mut probe: impl FnMut() -> F) {
    let begin = Instant::now();
    while !probe().await {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never came to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn failed(user: &str) -> String {
    format!("<38>Nov 23 11:00:00 WEB-1 sshd[7]: Failed password for {user} from 10.1.1.1 port 50022 ssh2")
}

fn alert(title: &str, severity: &str, user: &str, count: u64) -> Row {
    (title.to_owned(), severity.to_owned(), "web-1".to_owned(), user.to_owned(), count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_becomes_an_alert_a_case_and_a_risk() {
    let mut world = World::new();
    world.write_rule("failed.yml", FAILED);
    let service = world.start();
    world.send(&[&failed("eve"), &failed("eve"), "<38>Nov 23 11:00:01 web-1 sshd[7]: Connection closed"]).await;
    world.asked(3).await;
    world.found(&[alert("Failed login", "low", "eve", 2)]).await;

    let scope = &world.scope;
    let listed = service.alerts(scope, AlertFilter::default(), 10).await.unwrap();
    let detail = service.alert(scope, listed.items[0].id).await.unwrap();
    assert_eq!((detail.alert.author.as_str(), detail.alert.techniques.as_slice()), ("Ann", &["T1110".to_owned()][..]));
    assert_eq!(detail.original, failed("eve"));
    let case = service.case(scope, detail.alert.case).await.unwrap();
    assert_eq!((case.case.state.as_str(), case.case.events, case.alerts.len()), ("open", 2, 1));

    for (text, found) in [("FAILED", 1), ("eve", 1), ("t1110", 1), ("mallory", 0)] {
        let filter = AlertFilter { text: text.to_owned(), ..AlertFilter::default() };
        assert_eq!(service.alerts(scope, filter, 10).await.unwrap().items.len(), found, "{text}");
        let filter = CaseFilter { text: text.to_owned(), state: "active".to_owned(), ..CaseFilter::default() };
        assert_eq!(service.cases(scope, filter, 10).await.unwrap().items.len(), found, "{text}");
    }
    let counts = service.case_counts(scope).await.unwrap();
    assert_eq!((counts.severities, counts.unowned), (vec![("low".to_owned(), 1)], 1));

    let closed = CaseChange {
        state: Some("closed".to_owned()),
        verdict: Some("true_positive".to_owned()),
        owner: Some("Bob".to_owned()),
        ..CaseChange::default()
    };
    service.comment(scope, case.case.id, " it was Eve ".to_owned()).await.unwrap();
    let changed = service.change_case(scope, case.case.id, closed).await.unwrap();
    assert!(changed.closed_at.is_some() && changed.owner == "Bob");
    let owned = CaseFilter { owner: "Bob".to_owned(), ..CaseFilter::default() };
    assert_eq!(service.cases(scope, owned, 10).await.unwrap().items.len(), 1);
    assert_eq!(service.alert(scope, detail.alert.id).await.unwrap().alert.owner, "Bob");
    assert_eq!(service.case_counts(scope).await.unwrap(), CaseCounts::default());
    assert_eq!(service.case(scope, case.case.id).await.unwrap().comments[0].text, "it was Eve");
    let wrong = CaseChange { state: Some("gone".to_owned()), ..CaseChange::default() };
    assert!(service.change_case(scope, case.case.id, wrong).await.is_err());
    let risks = service.risks(scope).await.unwrap().items;
    assert_eq!(
        risks.iter().map(|r| r.name.as_str()).collect::<std::collections::BTreeSet<_>>(),
        ["eve", "web-1"].into()
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_and_switches_keep_matches_quiet() {
    let mut world = World::new();
    world.write_rule("failed.yml", FAILED);
    let service = world.start();
    let scope = world.scope.clone();
    let exception = |fields: &[(&str, &str)]| Exception {
        id: Default::default(),
        rule: "11111111-1111-4111-8111-111111111111".to_owned(),
        fields: fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        reason: "the scanner".to_owned(),
        expires_at: None,
        author: String::new(),
        created_at: 0,
    };
    assert!(service.add_exception(&scope, Exception { rule: String::new(), ..exception(&[]) }).await.is_err());
    assert!(service.add_exception(&scope, Exception { expires_at: Some(1), ..exception(&[]) }).await.is_err());
    let added = service.add_exception(&scope, exception(&[("user.name", "SCAN*")])).await.unwrap();
    world.send(&[&failed("scan7"), &failed("eve")]).await;
    world.asked(2).await;
    world.found(&[alert("Failed login", "low", "eve", 1)]).await;
    assert_eq!(service.status().quiet, 1);

    service.delete_exception(&scope, added.id).await.unwrap();
    service.enable_rule(&scope, "11111111-1111-4111-8111-111111111111".to_owned(), false).await.unwrap();
    world.send(&[&failed("eve")]).await;
    world.asked(3).await;
    world.found(&[alert("Failed login", "low", "eve", 1)]).await;
    service.enable_rule(&scope, "11111111-1111-4111-8111-111111111111".to_owned(), true).await.unwrap();
    world.send(&[&failed("scan7")]).await;
    world.asked(4).await;
    until(|| async { world.alerts().await.len() == 2 }).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_go_on_after_a_restart_and_nothing_is_counted_twice() {
    let mut world = World::new();
    world.write_rule("failed.yml", FAILED);
    world.write_rule("guessed.yml", GUESSED);
    world.start();
    world.send(&[&failed("eve"), &failed("eve"), &failed("eve")]).await;
    world.asked(3).await;
    world.stop().await;
    // As after `kill -9`: what the rules remember is older than what they did.
    let state = world.store.data().join("radar/detector.state");
    let before = std::fs::read(&state).expect("the state is kept");

    world.start();
    world.send(&[&failed("eve"), &failed("mallory")]).await;
    world.asked(2).await;
    world.stop().await;
    let found = [
        alert("Failed login", "low", "eve", 4),
        alert("Failed login", "low", "mallory", 1),
        alert("Guessing", "high", "eve", 1),
    ];
    restore(&state, &before);
    world.start();
    world.asked(2).await;
    world.found(&found).await;
    world.stop().await;
}

fn restore(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path).and_then(|mut file| file.write_all(bytes)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_rules_are_taken_up_and_a_broken_one_is_named() {
    let mut world = World::new();
    let service = world.start();
    let scope = world.scope.clone();
    world.send(&[&failed("eve")]).await;
    world.asked(1).await;
    assert!(world.alerts().await.is_empty());
    world.write_rule("broken.yml", "title: Broken\nlogsource: {product: linux}\ndetection:\n  condition: nothing\n");
    world.write_rule("failed.yml", FAILED);
    until(|| async { service.status().rules == 1 && service.status().broken == 1 }).await;
    until(|| async { service.rules(&scope).await.is_ok_and(|rules| rules.items.len() == 2) }).await;
    let rules = service.rules(&scope).await.unwrap().items;
    let broken = rules.iter().find(|rule| rule.kind == "broken").expect("is named");
    assert!(broken.place.starts_with("broken.yml:") && !broken.error.is_empty(), "{broken:?}");
    world.send(&[&failed("eve")]).await;
    world.asked(2).await;
    world.found(&[alert("Failed login", "low", "eve", 1)]).await;

    let tried = RuleTest { event: failed("eve"), rules: None };
    let tried = service.try_rules(tried).await.unwrap();
    assert_eq!(tried.matches.iter().map(|m| m.title.as_str()).collect::<Vec<_>>(), ["Failed login"]);
    assert!(tried.fields.contains(&("user.name".to_owned(), "eve".to_owned())));
    let now = service.inlet().now();
    let hunt = sent_contract::radar::Hunt { rules: FAILED.to_owned(), from: 0, to: now + 86_400_000_000 };
    let hunted = service.hunt(hunt).await.unwrap();
    assert_eq!((hunted.lines, hunted.matches, hunted.complete), (2, 2, true));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_in_that_cannot_be_opened_is_named_and_keeps_none_closed() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let mut world = World::new();
    let udp = "127.0.0.1:0".to_owned();
    let settings = Settings { syslog_tcp: address.clone(), syslog_udp: udp, memory_mib: 64, ..Settings::default() };
    let service = world.start_with(settings);
    until(|| async { service.status().ways.iter().any(|way| way.name == "syslog UDP") }).await;
    until(|| async { service.health().cause.contains(&address) }).await;
    world.send(&[&failed("eve")]).await;
    world.asked(1).await;
    world.stop().await;
}
