//! The agent on a real store against a cloud with real TLS, through everything that goes wrong on a wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test may take the machine's time and write files that need not survive it"
)]
mod cloud;

use cloud::{Cloud, Trouble};
use sent_contract::{Level, sync::SyncStatus};
use sent_core::{Scope, clock::SystemClock};
use sent_protocol::{
    Checkpoint, Command, CommandPhase, Desired, ReferenceRow, Uuid,
    claim::Fingerprint,
    path,
    series::Labels,
    telemetry::{Point, Segment, SeriesDefinition},
};
use sent_store::{Store, StoreError};
use sent_sync::{
    Agent, Config, EnrolError, Enrolment, Handle, Handlers, Identity, Ledger as _, LedgerError, Quiet, Spool,
    StoreLedger, brought_up_to_date, enrol,
};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const BOX: Uuid = Uuid::from_u128(0xb055);

/// Waits for a state, not for a time.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Points in memory with the spool's promise: a number stays bound to its points until it is settled.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Waiting>>);

/// Points that wait, and the number and length of the segment under way.
type Waiting = (Vec<Point>, Option<(u64, usize)>);

impl Memory {
    fn push(&self, points: impl IntoIterator<Item = Point>) {
        self.0.lock().unwrap().0.extend(points);
    }
}

fn definition() -> SeriesDefinition {
    SeriesDefinition::new("host_cpu_percent", Labels::new(), "percent")
}

fn points(range: std::ops::Range<i64>) -> impl Iterator<Item = Point> {
    range.map(|n| Point { series: definition().id, at: n * 1_000_000, value: n as f64 / 100.0 })
}

impl Spool for Memory {
    fn under_way(&self) -> Option<u64> {
        self.0.lock().unwrap().1.map(|(number, _)| number)
    }

    fn next(&mut self, number: u64, _: usize) -> Result<Option<Segment>, LedgerError> {
        let mut inner = self.0.lock().unwrap();
        if inner.0.is_empty() {
            return Ok(None);
        }
        let all = inner.0.len().min(100);
        let (bound, n) = *inner.1.get_or_insert((number, all));
        assert_eq!(bound, number);
        Ok(Some(Segment { points: inner.0[..n].to_vec(), definitions: vec![definition()], gaps: vec![] }))
    }

    fn acknowledge(&mut self, number: u64) -> Result<(), LedgerError> {
        let mut inner = self.0.lock().unwrap();
        if let Some((bound, n)) = inner.1.take() {
            assert_eq!(bound, number);
            inner.0.drain(..n);
        }
        Ok(())
    }

    fn abandon(&mut self) -> Result<(), LedgerError> {
        self.0.lock().unwrap().1 = None;
        Ok(())
    }

    fn waiting_points(&mut self) -> Result<u64, LedgerError> {
        Ok(self.0.lock().unwrap().0.len() as u64)
    }

    fn stats(&mut self) -> (u64, u64) {
        (self.0.lock().unwrap().0.len() as u64 * 17, 0)
    }
}

/// An office with a store and, once it has joined, an agent.
struct Office {
    folder: TempDir,
    store: Store,
    scope: Scope,
    spool: Memory,
    identity: Option<Identity>,
    poll: watch::Sender<Duration>,
}

struct Running {
    handle: Handle,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    async fn settled(&self) -> SyncStatus {
        until("in sync", || {
            let status = self.handle.status();
            (status.status.level == Level::Ok && status.waiting == 0 && status.last_sync.is_some()).then_some(status)
        })
        .await
    }
}

impl Office {
    fn new() -> Office {
        let (folder, store, scope) = sent_store::test::store(&[]).unwrap();
        Office::over(folder, store, scope)
    }

    fn over(folder: TempDir, store: Store, scope: Scope) -> Office {
        let poll = watch::Sender::new(Duration::from_secs(30));
        Office { folder, store, scope, spool: Memory::default(), identity: None, poll }
    }

    async fn join(&mut self, cloud: &Cloud) {
        let claim = cloud.claim(BOX);
        let (identity, answer) = enrol(self.folder.path(), enrolment(cloud, claim)).await.unwrap();
        assert_eq!((identity.box_id, answer.box_id), (BOX, BOX));
        identity.save(self.folder.path()).unwrap();
        self.identity = Some(identity);
    }

    async fn agent(&self, handlers: Handlers) -> Running {
        self.agent_with(handlers, false).await
    }

    async fn agent_with(&self, handlers: Handlers, doorbell: bool) -> Running {
        let config = Config {
            data: Some(self.folder.path().to_owned()),
            identity: self.identity.clone().unwrap(),
            clock: SystemClock::shared(),
            host: Arc::new(Quiet),
            handlers,
            telemetry_every: Duration::from_millis(50),
            poll: self.poll.subscribe(),
            doorbell,
        };
        let ledger = StoreLedger::new(self.store.clone());
        let (agent, handle) = Agent::new(ledger, self.spool.clone(), config).await.unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(agent.run(stop.clone()));
        Running { handle, stop, task }
    }

    async fn write(&self, name: &str) {
        write(&self.store, &self.scope, name).await;
    }

    fn branches(&self) -> Vec<String> {
        branches(&self.store, &self.scope)
    }
}

async fn write(store: &Store, scope: &Scope, name: &str) {
    let name = name.to_owned();
    store
        .write(scope, "branch.create", move |tx| -> Result<(), StoreError> {
            let id = Uuid::now_v7().to_string();
            tx.execute("INSERT INTO branches (id, name, timezone) VALUES (?1, ?2, 'UTC')", [&id, &name])?;
            Ok(())
        })
        .await
        .unwrap();
}

fn branches(store: &Store, scope: &Scope) -> Vec<String> {
    let read = store.read_blocking(scope, |db| -> Result<Vec<String>, StoreError> {
        let mut statement = db.prepare("SELECT name FROM branches ORDER BY name")?;
        Ok(statement.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?)
    });
    read.unwrap()
}

fn enrolment(cloud: &Cloud, claim: sent_protocol::claim::ClaimCode) -> Enrolment {
    Enrolment {
        cloud: cloud.url(),
        claim,
        box_name: "harbour".into(),
        version: "0.1.0".into(),
        organization: None,
        branch: None,
    }
}

#[tokio::test]
async fn a_box_joins_and_everything_that_waited_arrives() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.write("before the cloud").await;
    office.join(&cloud).await;
    let running = office.agent(Handlers::default()).await;
    office.write("after").await;
    let status = running.settled().await;
    assert_eq!((status.status.cause.as_str(), status.enrolled, status.epoch), ("in sync", true, 1));
    let row = office.store.identity().unwrap();
    assert_eq!(row.box_id, BOX, "the store took the cloud's id");
    let cursor = cloud.rows().cursor.unwrap();
    assert_eq!((cursor.sequence, cursor.hash.to_string()), (row.sequence, row.hash));
    running.stop().await;

    // Once is enough, and the code is spent.
    let again = enrol(office.folder.path(), enrolment(&cloud, cloud.claim(BOX))).await;
    assert!(matches!(again, Err(EnrolError::Enrolled(_))));
    let other = tempfile::tempdir().unwrap();
    let spent = format!("CLAIM-0-CODE.{}", cloud.fingerprint).parse().unwrap();
    let refused = enrol(other.path(), enrolment(&cloud, spent)).await;
    assert!(matches!(refused, Err(EnrolError::Refused(cause)) if cause.contains("this code was used")));
}

#[tokio::test]
async fn a_code_is_only_told_to_the_cloud_it_vouches_for() {
    let cloud = Cloud::start().await;
    let claim = cloud.claim(BOX);
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = claim.clone();
    wrong.fingerprint = Fingerprint::of(b"another root");
    let refused = enrol(folder.path(), enrolment(&cloud, wrong)).await;
    assert!(matches!(refused, Err(EnrolError::OtherCloud(_))), "{refused:?}");
    assert!(cloud.rows().answered.is_empty(), "nothing was said");

    // The answer is lost on the way, or the box ends before it has kept all of it: the same code works again, for it asks
    // with the same key.
    cloud.trouble(path::ENROL, Trouble::CutAfter);
    let lost = enrol(folder.path(), enrolment(&cloud, claim.clone())).await;
    assert!(matches!(lost, Err(EnrolError::Unreachable(_))), "{lost:?}");
    enrol(folder.path(), enrolment(&cloud, claim.clone())).await.unwrap();
    assert!(Identity::load(folder.path()).unwrap().is_none(), "whoever asks says when all of it is kept");
    let (identity, _) = enrol(folder.path(), enrolment(&cloud, claim.clone())).await.unwrap();
    identity.save(folder.path()).unwrap();
    let stranger = tempfile::tempdir().unwrap();
    let refused = enrol(stranger.path(), enrolment(&cloud, claim)).await;
    assert!(matches!(refused, Err(EnrolError::Refused(_))), "another key: {refused:?}");
    assert_eq!(Identity::load(folder.path()).unwrap().unwrap().box_id, BOX);
}

#[tokio::test]
async fn nothing_is_lost_or_doubled_whatever_happens_to_a_request() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    let all = [Trouble::CutAfter, Trouble::CutBefore, Trouble::Unavailable, Trouble::Bomb, Trouble::Nonsense];
    for trouble in all {
        for path in [path::TRANSACTIONS, path::TELEMETRY, path::CURSOR, path::EPOCH] {
            cloud.trouble(path, trouble);
        }
    }
    office.spool.push(points(0..250));
    let running = office.agent(Handlers::default()).await;
    for n in 0..20 {
        office.write(&format!("branch {n:02}")).await;
        running.handle.hurry();
    }
    until("all troubles met", || {
        running.handle.hurry();
        let rows = cloud.rows();
        (rows.trouble.is_empty() && rows.points.len() >= 250).then_some(())
    })
    .await;
    running.settled().await;
    let row = office.store.identity().unwrap();
    let rows = cloud.rows();
    assert_eq!(rows.cursor.unwrap().head().hash.to_string(), row.hash);
    assert_eq!(rows.inbox.len() as u64, row.sequence);
    let mut arrived = rows.points.clone();
    arrived.sort_by_key(|p| p.at);
    assert_eq!(arrived, points(0..250).collect::<Vec<_>>(), "each point once");
    assert!(rows.definitions.contains(&definition().id));
}

#[tokio::test]
async fn a_restart_between_commit_and_answer_doubles_no_segment() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    office.spool.push(points(0..50));
    cloud.trouble(path::TELEMETRY, Trouble::CutAfter);
    let running = office.agent(Handlers::default()).await;
    until("the segment is there", || (cloud.rows().points.len() == 50).then_some(())).await;
    running.stop().await;
    office.spool.push(points(50..80));
    let running = office.agent(Handlers::default()).await;
    until("the rest is there", || (cloud.rows().points.len() >= 80).then_some(())).await;
    running.settled().await;
    assert_eq!(cloud.rows().points.len(), 80);
}

#[tokio::test]
async fn a_restored_box_gets_back_what_it_lost() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    let running = office.agent(Handlers::default()).await;
    office.write("in the backup").await;
    running.settled().await;
    let backup = office.folder.path().join("backup.tar.zst");
    sent_store::backup(&office.store, &backup).unwrap();
    for n in 0..5 {
        office.write(&format!("lost {n}")).await;
    }
    running.settled().await;
    let before = office.branches();
    running.stop().await;

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    sent_store::restore(&backup, &data).unwrap();
    let config = sent_store::Config { data: data.clone(), tables: vec![], clock: SystemClock::shared(), readers: 2 };
    let store = Store::open(config).unwrap();
    let restored = Office { identity: office.identity, ..Office::over(folder, store, office.scope.clone()) };
    restored.write("while nobody looked").await;
    let running = restored.agent(Handlers::default()).await;
    let status = running.settled().await;
    assert_eq!((status.epoch, status.quarantined), (2, 0));
    let mut expected = before;
    expected.push("while nobody looked".into());
    expected.sort();
    assert_eq!(restored.branches(), expected);
    assert_eq!(cloud.rows().epochs.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn reference_rows_come_down_as_whole_checkpoints() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    let row = |n: u128, name: &str| {
        let value = json!({"name": name, "timezone": "UTC"});
        let Value::Object(row) = value else { unreachable!() };
        ReferenceRow {
            organization_id: office.scope.organization,
            table: "branches".into(),
            key: [("id".to_string(), json!(Uuid::from_u128(n)))].into_iter().collect(),
            version: 7,
            deleted: false,
            row,
        }
    };
    cloud.rows().reference = vec![
        Checkpoint { from: 0, to: 5, complete: false, rows: vec![row(1, "Oslo"), row(2, "Bergen")], refused: vec![] },
        Checkpoint { from: 5, to: 9, complete: true, rows: vec![row(3, "Narvik")], refused: vec![] },
    ];
    cloud.trouble(path::REFERENCE, Trouble::CutAfter);
    let running = office.agent(Handlers::default()).await;
    until("version 9", || (running.handle.status().reference == 9).then_some(())).await;
    for name in ["Oslo", "Bergen", "Narvik"] {
        assert!(office.branches().iter().any(|b| b == name), "{name}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_command_runs_once_and_is_reported() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let handlers = Handlers::default().on("identify", move |_| {
        let counted = counted.clone();
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok("blinked".into())
        }
    });
    let (known, unknown, late) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    let command = |id, kind: &str, expires_at| Command { id, kind: kind.into(), arguments: Value::Null, expires_at };
    cloud.rows().desired = Desired {
        version: 4,
        document: json!({"log": "debug"}),
        at: None,
        commands: vec![
            command(known, "identify", i64::MAX),
            command(unknown, "levitate", i64::MAX),
            command(late, "identify", 1),
        ],
    };
    // The report is lost, so that it is said again.
    cloud.trouble(path::REPORTED, Trouble::CutAfter);
    let running = office.agent(handlers).await;
    until("all ended", || {
        running.handle.hurry();
        let rows = cloud.rows();
        let ended = |id: &Uuid| rows.phases.get(id).and_then(|p| p.last()).is_some_and(|p| p.is_final());
        [known, unknown, late].iter().all(ended).then_some(())
    })
    .await;
    {
        let rows = cloud.rows();
        let last = |id: &Uuid| *rows.phases[id].last().unwrap();
        assert_eq!(
            [last(&known), last(&unknown), last(&late)],
            [CommandPhase::Done, CommandPhase::Failed, CommandPhase::Expired]
        );
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    until("the document is confirmed", || {
        running.handle.hurry();
        cloud.rows().reported.as_ref().filter(|r| r.version == 4).map(|_| ())
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cloud_is_asked_as_often_as_the_settings_say() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    office.poll.send_replace(Duration::from_secs(3_600));
    let running = office.agent(Handlers::default()).await;
    running.settled().await;
    // No bell is heard and nobody hurries: the next question would come within the hour.
    cloud.rows().desired = Desired { version: 1, document: json!({}), at: None, commands: vec![] };
    office.poll.send_replace(Duration::from_secs(1));
    until("it asks by itself", || cloud.rows().reported.as_ref().filter(|r| r.version == 1).map(|_| ())).await;
    running.stop().await;
}

#[tokio::test]
async fn the_badge_says_what_telemetry_waits_and_is_brought_up_to_date_with_the_ledger() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    office.spool.push(points(0..250));
    let running = office.agent(Handlers::default()).await;
    let handle = running.handle.clone();
    assert_eq!(handle.status().telemetry_waiting, None, "nobody has looked yet");
    until("the cloud has all points", || {
        handle.hurry();
        (handle.status().telemetry_waiting == Some(0)).then_some(())
    })
    .await;
    assert_eq!(cloud.rows().points.len(), 250);
    running.settled().await;
    running.stop().await;
    office.write("later").await;
    let badge = handle.status();
    assert_eq!((badge.waiting, &*badge.status.cause), (0, "in sync"), "it is as old as the last turn");
    let ledger = StoreLedger::new(office.store.clone()).state().await.unwrap();
    let status = brought_up_to_date(badge, &ledger);
    assert_eq!((status.waiting, status.sequence - status.acknowledged), (1, 1));
    assert_eq!((status.status.level, &*status.status.cause), (Level::Ok, "sending; 1 transaction waiting"));
}

#[tokio::test]
async fn a_revoked_box_says_so() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    office.join(&cloud).await;
    let running = office.agent(Handlers::default()).await;
    running.settled().await;
    cloud.rows().revoked = true;
    office.write("after").await;
    let status = until("it is told", || Some(running.handle.status()).filter(|s| s.status.level == Level::Bad)).await;
    assert!(status.status.cause.starts_with("this box was revoked: lost in a taxi"), "{}", status.status.cause);
    assert_eq!(status.waiting, 1);
    running.stop().await;
}

#[tokio::test]
async fn another_cloud_is_not_believed_and_another_box_is_not_let_in() {
    let (cloud, other) = (Cloud::start().await, Cloud::start().await);
    let mut office = Office::new();
    office.join(&cloud).await;
    let mut identity = office.identity.clone().unwrap();
    identity.cloud = other.url();
    office.identity = Some(identity);
    let running = office.agent(Handlers::default()).await;
    let status = until("it sees", || Some(running.handle.status()).filter(|s| s.status.level == Level::Bad)).await;
    assert!(status.status.cause.starts_with("not our cloud"), "{}", status.status.cause);
    assert!(other.rows().answered.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn the_certificate_is_renewed_in_time() {
    let cloud = Cloud::start().await;
    let mut office = Office::new();
    // An hour of its life is over, of an hour and a quarter.
    *cloud.lifetime.lock().unwrap() = Duration::from_secs(4_500);
    office.join(&cloud).await;
    *cloud.lifetime.lock().unwrap() = Duration::from_secs(86_400);
    let first = office.identity.clone().unwrap();
    let running = office.agent(Handlers::default()).await;
    running.settled().await;
    assert_eq!(cloud.rows().renewals, 1);
    let kept = Identity::load(office.folder.path()).unwrap().unwrap();
    assert!(kept.expires_at > first.expires_at);
    assert_eq!(running.handle.status().certificate_expires, Some(kept.expires_at));
    // And the new one is good for something.
    office.write("with the new certificate").await;
    running.settled().await;
    running.stop().await;
}

/// Debian's mosquitto with mutual TLS; ends with this value.
struct Broker {
    process: std::process::Child,
    _folder: TempDir,
    port: u16,
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Broker {
    fn start(cloud: &Cloud) -> Broker {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key, root) = cloud.issue_other("broker");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!(
            "listener {port} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\n\
             use_identity_as_username true\npersistence false\nuser root\n",
            file("root.pem", &root),
            file("certificate.pem", &certificate),
            file("key.pem", &key),
        );
        let path = file("mosquitto.conf", &settings);
        // Debian keeps it where only root's path looks.
        let program =
            ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].into_iter().find(|p| std::path::Path::new(p).exists());
        let process = std::process::Command::new(program.unwrap_or("mosquitto"))
            .args(["-c", &path])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("Debian's mosquitto is installed");
        Broker { process, _folder: folder, port }
    }
}

#[tokio::test]
async fn the_doorbell_is_heard_and_presence_is_told() {
    use rumqttc::{
        AsyncClient, Event, Incoming, MqttOptions, PublishOptions, TlsConfiguration, Transport, mqttbytes::QoS,
    };
    use sent_protocol::topic::{self, Doorbell, DoorbellKind};
    let cloud = Cloud::start().await;
    let broker = Broker::start(&cloud);
    *cloud.mqtt_url.lock().unwrap() = format!("mqtts://127.0.0.1:{}", broker.port);

    let (certificate, key, root) = cloud.issue_other("cloud");
    let mut options = MqttOptions::new("cloud", ("127.0.0.1", broker.port));
    options.set_transport(Transport::tls_with_config(TlsConfiguration::Simple {
        ca: root.into_bytes(),
        alpn: None,
        client_auth: Some((certificate.into_bytes(), key.into_bytes())),
    }));
    let (client, mut session) = AsyncClient::builder(options).capacity(16).build();
    let said: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let heard = said.clone();
    client.try_subscribe(topic::ALL_PRESENCE, QoS::AtLeastOnce).unwrap();
    client.try_subscribe(topic::live(BOX), QoS::AtMostOnce).unwrap();
    let listening = tokio::spawn(async move {
        loop {
            match session.poll().await {
                Ok(Event::Incoming(Incoming::Publish(publish))) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    heard.lock().unwrap().push((text(&publish.topic), text(&publish.payload)));
                }
                Ok(_) => {}
                // The broker may still be starting.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });

    let mut office = Office::new();
    office.join(&cloud).await;
    let running = office.agent_with(Handlers::default(), true).await;
    let hears = |topic: String, word: &'static str| {
        let said = said.clone();
        move || said.lock().unwrap().iter().any(|(t, p)| *t == topic && p.contains(word)).then_some(())
    };
    until("it is online", hears(topic::presence(BOX), "online")).await;
    running.settled().await;
    let version = |v| move |r: &sent_protocol::Reported| r.version == v;
    cloud.rows().desired = Desired { version: 2, document: json!({}), at: None, commands: vec![] };
    // The session may only just stand: a bell that rang too early is rung again.
    until("the bell is answered", || {
        let bell = Doorbell { kind: DoorbellKind::Desired }.payload();
        client.try_publish(topic::doorbell(BOX), bell, PublishOptions::new(QoS::AtLeastOnce)).ok();
        cloud.rows().reported.as_ref().filter(|r| version(2)(r)).map(|_| ())
    })
    .await;
    assert!(!running.handle.is_watched(), "nobody has asked for live values");
    until("somebody watches", || {
        let bell = Doorbell { kind: DoorbellKind::Live }.payload();
        client.try_publish(topic::doorbell(BOX), bell, PublishOptions::new(QoS::AtMostOnce)).ok();
        running.handle.is_watched().then_some(())
    })
    .await;
    running.handle.watched().await;
    until("live values arrive", || {
        running.handle.publish_live(topic::Live { at: 1, points: vec![("4711".to_owned(), 0.5)] });
        hears(topic::live(BOX), "4711")()
    })
    .await;
    running.stop().await;
    until("it says goodbye", hears(topic::presence(BOX), "offline")).await;
    listening.abort();
}
