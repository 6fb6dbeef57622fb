//! A real PostgreSQL, real replicas of the cloud on real sockets, and boxes that speak the wire.
//!
//! The first test makes a migrated data folder; every test starts a server of its own on a copy of it, and the server dies
//! with the test.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client, Identity, Method, Response, StatusCode};
use sent_cloud::{
    Cloud, Settings,
    bootstrap::{First, bootstrap},
    console, db, listen, migrate, wire,
};
use sent_core::clock::{Clock, SystemClock};
use sent_protocol::{
    Batch, Cursor, EnrolRequest, EnrolResponse, EpochAnswer, EpochStart, Hash, Head, Transaction, body,
    claim::{ClaimCode, Fingerprint},
    path,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A state must be reached after so long, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for a state.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn binaries() -> PathBuf {
    std::env::var_os("PG_BIN").map_or_else(|| "/usr/lib/postgresql/15/bin".into(), PathBuf::from)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A program of PostgreSQL's, as a user it accepts, that does not outlive us.
fn postgres_program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(binaries().join(name)).current_dir("/tmp").stdin(Stdio::null());
    command
}

fn give(path: &Path) {
    if is_root() {
        assert!(Command::new("chown").args(["-R", "postgres:postgres"]).arg(path).status().unwrap().success());
    }
}

/// A running PostgreSQL.
pub struct Postgres {
    server: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one with a migrated database `sent`.
    pub async fn start() -> Self {
        let template = template().await;
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
        let data = folder.path().join("data");
        assert!(Command::new("cp").arg("-a").arg(&template).arg(&data).status().unwrap().success());
        give(folder.path());
        let (server, port) = start(&data, folder.path()).await;
        Self { server, folder, port }
    }

    /// URL of a database as superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/sent", self.port)
    }

    /// A connection that no policy binds.
    pub async fn owner(&self) -> PgConnection {
        db::options(&self.url()).unwrap().connect().await.unwrap()
    }

    /// A scalar seen by the owner.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let mut owner = self.owner().await;
        let count = sqlx::query_scalar(sql).fetch_one(&mut owner).await.unwrap();
        owner.close().await.unwrap();
        count
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = &self.folder;
    }
}

async fn start(data: &Path, sockets: &Path) -> (Child, u16) {
    let port = free_port();
    let log = std::fs::File::create(sockets.join("log")).unwrap();
    let server = postgres_program("postgres")
        .arg("-D")
        .arg(data)
        .args(["-p", &port.to_string(), "-k"])
        .arg(sockets)
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=100"])
        .stderr(log)
        .spawn()
        .unwrap();
    let options = db::options(&format!("postgres://postgres@127.0.0.1:{port}/postgres")).unwrap();
    until("PostgreSQL answers", || async { options.connect().await.ok() }).await.close().await.unwrap();
    (server, port)
}

/// A data folder with the migrated database, made once for this set of migrations.
async fn template() -> PathBuf {
    let mut hash = Sha256::new();
    for migration in migrate::MIGRATIONS {
        hash.update(migration.sql);
    }
    let name = format!("sent-postgres-{}-{}", nix::unistd::geteuid(), &hex::encode(hash.finalize())[..16]);
    let ready = Path::new("/tmp").join(&name);
    let lock = std::fs::File::create(Path::new("/tmp").join(format!("{name}.lock"))).unwrap();
    let _held = nix::fcntl::Flock::lock(lock, nix::fcntl::FlockArg::LockExclusive).map_err(|(_, e)| e).unwrap();
    if ready.exists() {
        return ready;
    }
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o711)).unwrap();
    give(folder.path());
    let data = folder.path().join("data");
    let made = postgres_program("initdb")
        .arg("-D")
        .arg(&data)
        .args(["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"])
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let (mut server, port) = start(&data, folder.path()).await;
    let url = format!("postgres://postgres@127.0.0.1:{port}");
    let mut admin = db::options(&format!("{url}/postgres")).unwrap().connect().await.unwrap();
    sqlx::query("CREATE DATABASE sent").execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    let mut owner = db::options(&format!("{url}/sent")).unwrap().connect().await.unwrap();
    migrate::migrate(&mut owner).await.unwrap();
    assert!(migrate::migrate(&mut owner).await.unwrap().is_empty(), "migrating again changes nothing");
    owner.close().await.unwrap();
    // A fast shutdown, so that the copies need no recovery.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(server.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    server.wait().unwrap();
    std::fs::rename(&data, &ready).unwrap();
    ready
}

/// A replica of the cloud on its own sockets.
pub struct Replica {
    /// What it runs on.
    pub cloud: Arc<Cloud>,
    /// Its wire.
    pub wire: SocketAddr,
    /// Its console.
    pub console: SocketAddr,
    stop: CancellationToken,
    _objects: tempfile::TempDir,
}

impl Replica {
    /// Starts one; with `background`, it projects and tends as in production.
    pub async fn start(postgres: &Postgres, background: bool) -> Self {
        Self::start_with(postgres, background, |_| {}).await
    }

    /// Starts one with other settings.
    pub async fn start_with(postgres: &Postgres, background: bool, change: impl FnOnce(&mut Settings)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let objects = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.database.url = postgres.url();
        settings.database.connections = 10;
        settings.keys.master = "5e".repeat(32);
        settings.console.secure_cookies = false;
        settings.objects.url = format!("file://{}", objects.path().display());
        settings.objects.largest = 8 << 20;
        change(&mut settings);
        let cloud = Cloud::open(settings, SystemClock::shared()).await.unwrap();
        let stop = CancellationToken::new();
        let wire_listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let console_listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (wire, console) = (wire_listener.local_addr().unwrap(), console_listener.local_addr().unwrap());
        let tls = cloud.wire_tls().unwrap();
        let most = cloud.settings.wire.connections;
        tokio::spawn(listen::serve(wire_listener, Some(tls), wire::router(cloud.clone()), most, stop.clone()));
        let pages = console::router(cloud.clone(), axum::Router::new(), stop.clone());
        tokio::spawn(listen::serve(console_listener, None, pages, cloud.settings.console.connections, stop.clone()));
        if background {
            tokio::spawn(cloud.clone().run(stop.clone()));
        }
        Self { cloud, wire, console, stop, _objects: objects }
    }

    /// Projects until nothing is left.
    pub async fn project(&self) {
        sent_cloud::projector::run_dry(&self.cloud).await.unwrap();
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// PostgreSQL, one replica and an MSP with its owner logged in.
pub struct World {
    /// The owner's browser.
    pub page: Page,
    /// The replica.
    pub replica: Replica,
    /// The MSP.
    pub msp: Uuid,
    /// PostgreSQL; last, so that it ends last.
    pub postgres: Postgres,
}

/// Password of everybody.
pub const PASSWORD: &str = "correct horse battery";

impl World {
    /// A new world; with `background`, the replica works by itself.
    pub async fn new(background: bool) -> Self {
        let postgres = Postgres::start().await;
        let replica = Replica::start(&postgres, background).await;
        let msp = make_msp(&replica, "North MSP", "owner@msp.example").await;
        let page = Page::login(&replica, "owner@msp.example").await;
        Self { page, replica, msp, postgres }
    }

    /// A customer with one branch.
    pub async fn customer(&self, name: &str) -> Customer {
        customer(&self.page, name).await
    }

    /// An enrolled box of a customer, in epoch 1.
    pub async fn enrolled(&self, customer: &Customer, name: &str) -> TestBox {
        let mut made = TestBox::enrol(&self.replica, &self.page, customer, name).await;
        made.begin_epoch(1).await;
        made
    }
}

/// Makes an MSP.
pub async fn make_msp(replica: &Replica, name: &str, email: &str) -> Uuid {
    let first = First {
        organization: name.into(),
        currency: "EUR".into(),
        email: email.into(),
        name: "Olivia Owner".into(),
        password: PASSWORD.into(),
    };
    bootstrap(&replica.cloud, first, true).await.unwrap()
}

/// A customer.
pub struct Customer {
    /// Organisation.
    pub id: Uuid,
    /// Its branch.
    pub branch: Uuid,
}

/// Makes a customer by the console.
pub async fn customer(page: &Page, name: &str) -> Customer {
    let new = json!({ "name": name, "currency": "EUR", "branches": ["Main street"] });
    let made: sent_contract::fleet::Organization = page.post("/api/fleet/organizations", &new).await;
    Customer { id: made.id, branch: made.branches[0].id }
}

/// A browser with a session.
pub struct Page {
    client: Client,
    base: String,
    /// The session's secret.
    pub cookie: String,
    csrf: String,
}

impl Page {
    /// Logs in.
    pub async fn login(replica: &Replica, email: &str) -> Self {
        let client = Client::new();
        let base = format!("http://{}", replica.console);
        let login = json!({ "email": email, "password": PASSWORD });
        let answer = client.post(format!("{base}/api/session")).json(&login).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = cookie_of(&answer);
        let answer: Value = answer.json().await.unwrap();
        let csrf = answer["me"]["csrf"].as_str().unwrap_or_default().to_owned();
        Self { client, base, cookie, csrf }
    }

    /// The same browser at another replica.
    pub fn at(&self, replica: &Replica) -> Self {
        Self {
            client: self.client.clone(),
            base: format!("http://{}", replica.console),
            cookie: self.cookie.clone(),
            csrf: self.csrf.clone(),
        }
    }

    /// Any request.
    pub async fn send(&self, method: Method, route: &str, body: Option<&Value>) -> Response {
        let mut request = self
            .client
            .request(method, format!("{}{route}", self.base))
            .header("cookie", format!("sent_session={}", self.cookie))
            .header("x-sent-csrf", &self.csrf);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    /// A request without the CSRF token.
    pub async fn send_bare(&self, method: Method, route: &str) -> Response {
        let request = self.client.request(method, format!("{}{route}", self.base));
        request.header("cookie", format!("sent_session={}", self.cookie)).json(&json!({})).send().await.unwrap()
    }

    /// GET that must work.
    pub async fn get<T: DeserializeOwned>(&self, route: &str) -> T {
        expect(self.send(Method::GET, route, None).await, route).await
    }

    /// POST that must work.
    pub async fn post<T: DeserializeOwned>(&self, route: &str, body: &Value) -> T {
        expect(self.send(Method::POST, route, Some(body)).await, route).await
    }
}

/// The session out of an answer.
pub fn cookie_of(answer: &Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().trim_start_matches("sent_session=").to_owned()
}

async fn expect<T: DeserializeOwned>(answer: Response, what: &str) -> T {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{what}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{what}: {e}: {text}"))
}

/// What the wire answered.
#[derive(Debug)]
pub struct Answered {
    /// Status.
    pub status: StatusCode,
    /// Body, decompressed.
    pub body: Vec<u8>,
}

impl Answered {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        self.json::<Value>()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// A box that speaks the wire.
pub struct TestBox {
    /// Id.
    pub id: Uuid,
    /// Organisation.
    pub organization: Uuid,
    /// What enrolment answered.
    pub enrolled: EnrolResponse,
    /// End of its chain.
    pub head: Head,
    /// HTTP with its certificate.
    pub client: Client,
    base: String,
    key_pem: String,
}

/// HTTP that trusts the cloud's root and shows `identity`.
pub fn wire_client(root_pem: &str, identity: Option<(&str, &str)>) -> Client {
    let mut builder = Client::builder().tls_certs_only([Certificate::from_pem(root_pem.as_bytes()).unwrap()]);
    if let Some((certificate, key)) = identity {
        builder = builder.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
    }
    builder.build().unwrap()
}

/// Sends a body as it is.
pub async fn send_raw(client: &Client, method: Method, url: String, body: Vec<u8>) -> Answered {
    let answer = client.request(method, url).header("content-encoding", "zstd").body(body).send().await.unwrap();
    let status = answer.status();
    let zstd = answer.headers().get("content-encoding").is_some_and(|e| e == "zstd");
    let bytes = answer.bytes().await.unwrap().to_vec();
    let body = if zstd { body::decompress(&bytes, sent_protocol::limits::BODY).unwrap() } else { bytes };
    Answered { status, body }
}

impl TestBox {
    /// Claims a box in the console and enrols it.
    pub async fn enrol(replica: &Replica, page: &Page, customer: &Customer, name: &str) -> Self {
        let new = json!({ "organization": customer.id, "branch": customer.branch, "name": name });
        let claim: sent_contract::fleet::Claim = page.post("/api/fleet/claims", &new).await;
        let made = Self::enrol_with(replica, &claim.code, json!({})).await.unwrap();
        assert_eq!(made.id, claim.box_id);
        made
    }

    /// Enrols with a claim code, a new key and further fields.
    pub async fn enrol_with(replica: &Replica, code: &str, more: Value) -> Result<Self, Answered> {
        Self::enrol_key(replica, code, &rcgen::KeyPair::generate().unwrap(), more).await
    }

    /// Enrols with a claim code, a key and further fields.
    pub async fn enrol_key(replica: &Replica, code: &str, key: &rcgen::KeyPair, more: Value) -> Result<Self, Answered> {
        let claim: ClaimCode = code.parse().unwrap();
        assert_eq!(claim.fingerprint, Fingerprint::of(replica.cloud.authority.root()));
        let csr = rcgen::CertificateParams::default().serialize_request(key).unwrap().pem().unwrap();
        let mut request = serde_json::to_value(EnrolRequest {
            claim: claim.secret,
            csr_pem: csr,
            box_name: "test".into(),
            version: "0.1.0".into(),
            organization: None,
            branch: None,
        })
        .unwrap();
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let base = format!("https://localhost:{}", replica.wire.port());
        let stranger = wire_client(replica.cloud.authority.root_pem(), None);
        let url = format!("{base}{}", path::ENROL);
        let answer = send_raw(&stranger, Method::POST, url, body::encode(&request).unwrap()).await;
        if answer.status != StatusCode::OK {
            return Err(answer);
        }
        let enrolled: EnrolResponse = answer.json();
        let key_pem = key.serialize_pem();
        let client = wire_client(&enrolled.ca_pem, Some((&enrolled.certificate_pem, &key_pem)));
        Ok(Self {
            id: enrolled.box_id,
            organization: enrolled.organization.id,
            enrolled,
            head: Head::start(0),
            client,
            base,
            key_pem,
        })
    }

    /// The same box at another replica.
    pub fn at(&self, replica: &Replica) -> Self {
        Self {
            id: self.id,
            organization: self.organization,
            enrolled: self.enrolled.clone(),
            head: self.head,
            client: wire_client(&self.enrolled.ca_pem, Some((&self.enrolled.certificate_pem, &self.key_pem))),
            base: format!("https://localhost:{}", replica.wire.port()),
            key_pem: self.key_pem.clone(),
        }
    }

    /// URL of an endpoint.
    pub fn url(&self, endpoint: &str) -> String {
        format!("{}{endpoint}", self.base)
    }

    /// POST of JSON.
    pub async fn post(&self, endpoint: &str, value: &impl Serialize) -> Answered {
        send_raw(&self.client, Method::POST, self.url(endpoint), body::encode(value).unwrap()).await
    }

    /// GET.
    pub async fn get(&self, endpoint: &str) -> Answered {
        send_raw(&self.client, Method::GET, self.url(endpoint), Vec::new()).await
    }

    /// Begins a first epoch.
    pub async fn begin_epoch(&mut self, epoch: u64) -> EpochAnswer {
        let start = EpochStart {
            epoch,
            previous_epoch: 0,
            previous_sequence: 0,
            hash: Hash::ZERO,
            token: Uuid::from_u128(rand::random()),
            after: None,
        };
        let answer = self.post(path::EPOCH, &start).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.code());
        self.head = Head::start(epoch);
        answer.json()
    }

    /// Seals a transaction as the next of the chain.
    pub fn seal(&mut self, action: &str, changes: &Value) -> Transaction {
        let mut transaction = Transaction {
            sequence: 0,
            previous_hash: Hash::ZERO,
            hash: Hash::ZERO,
            organization_id: self.organization,
            branch_id: None,
            actor: "system".into(),
            action: action.into(),
            request_id: Uuid::from_u128(rand::random()),
            at: SystemClock::default().now().0,
            audit_hash: Hash::of(b"audit"),
            origin: None,
            changes: RawValue::from_string(changes.to_string()).unwrap(),
        };
        self.head = transaction.seal(self.id, self.head);
        transaction
    }

    /// Sends transactions.
    pub async fn send(&self, transactions: Vec<Transaction>) -> Answered {
        self.post(path::TRANSACTIONS, &Batch { epoch: self.head.epoch, transactions }).await
    }

    /// Seals and sends one transaction that must be taken.
    pub async fn write(&mut self, action: &str, changes: &Value) -> Cursor {
        let transaction = self.seal(action, changes);
        let answer = self.send(vec![transaction]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }
}

/// Changes of a posted entry: two lines of `cents`, and the entry.
pub fn entry(id: Uuid, number: u64, cents: i64) -> Value {
    let amount =
        |cents: i64| format!("{}{}.{:02}", if cents < 0 { "-" } else { "" }, cents.abs() / 100, cents.abs() % 100);
    let line = |position: i64, cents: i64| {
        json!({ "t": "lines", "o": "i", "k": { "entry_id": id, "position": position }, "n": {
            "entry_id": id, "position": position, "account_id": Uuid::from_u128(9), "amount": amount(cents),
            "currency": "EUR", "base": amount(cents), "memo": null, "system": 0 } })
    };
    json!([
        line(0, cents),
        line(1, -cents),
        { "t": "entries", "o": "i", "k": { "id": id }, "n": {
            "id": id, "branch_id": null, "series": "JE", "year": 2026, "sequence": number,
            "number": format!("JE-2026-{number:04}"), "date": "2026-03-01", "description": format!("Entry {number}"),
            "posted_at": 1_770_000_000_000_000_i64 + i64::try_from(number).unwrap(), "reverses": null,
            "external_id": null, "a_column_of_a_newer_box": 1 } }
    ])
}
