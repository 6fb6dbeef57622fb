//! A cloud in this process: real TLS with a root of its own, the wire's real judgements, its rows in memory, and every
//! kind of trouble on demand.
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, PublicKeyData as _,
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use sent_protocol::{
    claim::Fingerprint,
    cursor::{
        BatchVerdict, EpochRecord, EpochVerdict, SegmentVerdict, judge_batch, judge_epoch, judge_segment, lineage,
    },
    *,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// The connection is cut before anything is done.
    CutBefore,
    /// Everything is done and committed, and the connection is cut in the middle of the answer.
    CutAfter,
    /// 503.
    Unavailable,
    /// 400 with no JSON in it.
    Nonsense,
    /// A decompression bomb for an answer.
    Bomb,
}

#[derive(Default)]
pub struct Rows {
    /// Claims, and the key that used each.
    pub claims: BTreeMap<String, (Uuid, Option<Vec<u8>>)>,
    pub issued: u32,
    pub cursor: Option<Cursor>,
    pub epochs: Vec<EpochRecord>,
    pub inbox: BTreeMap<Position, Transaction>,
    pub points: Vec<telemetry::Point>,
    pub definitions: BTreeSet<u64>,
    pub reference: Vec<Checkpoint>,
    pub desired: Desired,
    pub reported: Option<Reported>,
    pub phases: BTreeMap<Uuid, Vec<CommandPhase>>,
    pub renewals: u32,
    pub revoked: bool,
    pub trouble: VecDeque<(&'static str, Trouble)>,
    pub answered: BTreeMap<String, u32>,
}

pub struct Cloud {
    pub rows: Mutex<Rows>,
    pub address: SocketAddr,
    root_pem: String,
    root_key: String,
    pub fingerprint: Fingerprint,
    /// How long a certificate lives, from an hour ago.
    pub lifetime: Mutex<Duration>,
    pub mqtt_url: Mutex<String>,
}

type Caller = Option<Uuid>;

impl Cloud {
    pub async fn start() -> Arc<Cloud> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let root_key = KeyPair::generate().unwrap();
        let mut root = CertificateParams::new(vec![]).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "test root");
        let root = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::from_ca_cert_der(root.der(), &root_key).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".into(), "localhost".into()]).unwrap();
        let server = server.signed_by(&server_key, &issuer).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap();
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![server.der().clone(), root.der().clone()],
                PrivateKeyDer::from_pem_slice(server_key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let cloud = Arc::new(Cloud {
            rows: Mutex::default(),
            address,
            fingerprint: Fingerprint::of(root.der()),
            root_pem: root.pem(),
            root_key: root_key.serialize_pem(),
            lifetime: Mutex::new(Duration::from_secs(86_400)),
            mqtt_url: Mutex::new("mqtts://127.0.0.1:1".into()),
        });
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(tls)), cloud.clone()));
        cloud
    }

    pub fn url(&self) -> Url {
        format!("https://{}", self.address).parse().unwrap()
    }

    pub fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap()
    }

    pub fn claim(&self, box_id: Uuid) -> claim::ClaimCode {
        let mut rows = self.rows();
        let secret = format!("CLAIM-{}-CODE", rows.issued);
        rows.issued += 1;
        rows.claims.insert(secret.clone(), (box_id, None));
        drop(rows);
        format!("{secret}.{}", self.fingerprint).parse().unwrap()
    }

    /// The next request of this path meets this.
    pub fn trouble(&self, path: &'static str, trouble: Trouble) {
        self.rows().trouble.push_back((path, trouble));
    }

    /// A certificate for 127.0.0.1 and for a client alike, its key, and the root, as PEM.
    pub fn issue_other(&self, name: &str) -> (String, String, String) {
        let key = KeyPair::generate().unwrap();
        let root_key = KeyPair::from_pem(&self.root_key).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.root_pem, &root_key).unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem(), self.root_pem.clone())
    }

    fn issue(&self, csr_pem: &str, box_id: Uuid) -> (String, Micros) {
        let mut csr = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        let now = std::time::SystemTime::now();
        let end = now - Duration::from_secs(3_600) + *self.lifetime.lock().unwrap();
        csr.params.not_before = (now - Duration::from_secs(3_600)).into();
        csr.params.not_after = end.into();
        csr.params.distinguished_name = rcgen::DistinguishedName::new();
        csr.params.distinguished_name.push(DnType::CommonName, box_id.to_string());
        csr.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let root_key = KeyPair::from_pem(&self.root_key).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.root_pem, &root_key).unwrap();
        let micros = end.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        (csr.signed_by(&issuer).unwrap().pem(), i64::try_from(micros).unwrap())
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, cloud: Arc<Cloud>) {
    let router = Router::new()
        .route(path::ENROL, post(enrol))
        .route(path::CERTIFICATE, post(certificate))
        .route(path::CURSOR, get(cursor))
        .route(path::EPOCH, post(epoch))
        .route(path::TRANSACTIONS, post(transactions))
        .route(path::TELEMETRY, post(segment))
        .route(path::REFERENCE, get(reference))
        .route(path::DESIRED, get(desired))
        .route(path::REPORTED, post(reported))
        .route("/wire/v1/objects/{hash}", get(|Path(_): Path<String>| async { StatusCode::NOT_FOUND }))
        .layer(axum::middleware::from_fn_with_state(cloud.clone(), gate))
        .with_state(cloud);
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(socket).await else { return };
            let caller: Caller = stream.get_ref().1.peer_certificates().and_then(|chain| {
                let (_, certificate) = x509_parser::parse_x509_certificate(&chain[0]).ok()?;
                certificate.subject().iter_common_name().next()?.as_str().ok()?.parse().ok()
            });
            let service = TowerToHyperService::new(router.layer(Extension(caller)));
            // A connection that is cut is part of the story.
            let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Who may come in, and what goes wrong.
async fn gate(State(cloud): State<Arc<Cloud>>, request: Request, next: axum::middleware::Next) -> Response {
    let path = request.uri().path().to_owned();
    let caller = request.extensions().get::<Caller>().copied().flatten();
    if path != path::ENROL && caller.is_none() {
        return error(StatusCode::UNAUTHORIZED, code::UNAUTHENTICATED, "no client certificate");
    }
    let trouble = {
        let mut rows = cloud.rows();
        if rows.revoked {
            return error(StatusCode::FORBIDDEN, code::BOX_REVOKED, "lost in a taxi");
        }
        *rows.answered.entry(path.clone()).or_default() += 1;
        let found = rows.trouble.iter().position(|(p, _)| *p == path);
        found.and_then(|i| rows.trouble.remove(i)).map(|(_, t)| t)
    };
    match trouble {
        None => next.run(request).await,
        Some(Trouble::CutBefore) => cut(),
        Some(Trouble::CutAfter) => {
            next.run(request).await;
            cut()
        }
        Some(Trouble::Unavailable) => error(StatusCode::SERVICE_UNAVAILABLE, code::UNAVAILABLE, "moving house"),
        Some(Trouble::Nonsense) => (StatusCode::BAD_REQUEST, "<html>").into_response(),
        Some(Trouble::Bomb) => {
            let bomb = zstd::bulk::compress(&vec![b' '; 256 << 20], 1).unwrap();
            ([(header::CONTENT_ENCODING, "zstd")], bomb).into_response()
        }
    }
}

/// An answer that breaks off in its middle.
fn cut() -> Response {
    let pieces = vec![Ok(Bytes::from_static(b"{\"epoch\":")), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    json(status, &WireError::new(code, message))
}

fn json<T: serde::Serialize>(status: StatusCode, value: &T) -> Response {
    (status, [(header::CONTENT_ENCODING, "zstd")], body::encode(value).unwrap()).into_response()
}

fn nothing() -> Cursor {
    Cursor { epoch: 0, sequence: 0, hash: Hash::ZERO, telemetry: TelemetryCursor::default() }
}

async fn enrol(State(cloud): State<Arc<Cloud>>, bytes: Bytes) -> Response {
    let request: EnrolRequest = body::decode(&bytes).unwrap();
    let key = CertificateSigningRequestParams::from_pem(&request.csr_pem).unwrap().public_key.der_bytes().to_vec();
    let box_id = cloud.rows().claims.get_mut(&request.claim).and_then(|(box_id, user)| {
        let first = user.get_or_insert_with(|| key.clone());
        (*first == key).then_some(*box_id)
    });
    let Some(box_id) = box_id else {
        return error(StatusCode::FORBIDDEN, code::CLAIM_INVALID, "this code was used or has ended");
    };
    let (certificate_pem, expires_at) = cloud.issue(&request.csr_pem, box_id);
    let organization = request.organization.unwrap_or(OrganizationRef {
        id: Uuid::from_u128(0x0a),
        name: "Northwind Ltd".into(),
        currency: "EUR".into(),
    });
    let branch = BranchRef { id: Uuid::from_u128(0x0b), name: "HQ".into(), timezone: "UTC".into() };
    let answer = EnrolResponse {
        box_id,
        certificate_pem,
        ca_pem: cloud.root_pem.clone(),
        organization,
        branch,
        data_key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
        mqtt_url: cloud.mqtt_url.lock().unwrap().clone(),
        expires_at,
    };
    json(StatusCode::OK, &answer)
}

async fn certificate(State(cloud): State<Arc<Cloud>>, Extension(caller): Extension<Caller>, bytes: Bytes) -> Response {
    let request: CertificateRequest = body::decode(&bytes).unwrap();
    let (certificate_pem, expires_at) = cloud.issue(&request.csr_pem, caller.unwrap());
    cloud.rows().renewals += 1;
    json(StatusCode::OK, &CertificateResponse { certificate_pem, expires_at })
}

async fn cursor(State(cloud): State<Arc<Cloud>>) -> Response {
    let cursor = cloud.rows().cursor.unwrap_or_else(nothing);
    json(StatusCode::OK, &cursor)
}

async fn epoch(State(cloud): State<Arc<Cloud>>, bytes: Bytes) -> Response {
    const PAGE: usize = 2;
    let start: EpochStart = body::decode(&bytes).unwrap();
    let mut rows = cloud.rows();
    let mut cursor = rows.cursor.unwrap_or_else(nothing);
    let point = Position { epoch: start.previous_epoch, sequence: start.previous_sequence };
    let current = rows.epochs.iter().find(|e| e.epoch == cursor.epoch);
    match judge_epoch(&cursor, current, rows.inbox.get(&point).map(|t| t.hash), &start) {
        EpochVerdict::Refuse(refusal) => return json(StatusCode::CONFLICT, &refusal),
        EpochVerdict::Continue => {}
        EpochVerdict::Begin(record) => {
            rows.epochs.push(record);
            cursor = Cursor { epoch: start.epoch, sequence: 0, hash: Hash::ZERO, ..cursor };
            rows.cursor = Some(cursor);
        }
    }
    let past = lineage(&rows.epochs, point);
    let within = |p: &Position| past.iter().any(|l| l.epoch == p.epoch && p.sequence <= l.sequence);
    let mut seen: BTreeSet<Hash> = rows.inbox.iter().filter(|(p, _)| within(p)).map(|(_, t)| t.identity()).collect();
    let beyond = rows.inbox.iter().filter(|(p, _)| !within(p) && p.epoch < start.epoch);
    let mut lost: Vec<_> = beyond.filter(|(_, t)| seen.insert(t.identity())).collect();
    lost.retain(|(p, _)| start.after.is_none_or(|after| **p > after));
    let next = (lost.len() > PAGE).then(|| *lost[PAGE - 1].0);
    let lost = lost.into_iter().take(PAGE).map(|(_, t)| t.clone()).collect();
    json(StatusCode::OK, &EpochAnswer { cursor, lost, next })
}

async fn transactions(State(cloud): State<Arc<Cloud>>, Extension(caller): Extension<Caller>, bytes: Bytes) -> Response {
    let batch: Batch = body::decode(&bytes).unwrap();
    let mut rows = cloud.rows();
    let mut cursor = rows.cursor.unwrap_or_else(nothing);
    match judge_batch(caller.unwrap(), &cursor, &batch) {
        BatchVerdict::Refuse(refusal) => return json(StatusCode::CONFLICT, &refusal),
        BatchVerdict::Known => {}
        BatchVerdict::Accept { from, head } => {
            for transaction in &batch.transactions[from..] {
                change::parse(&transaction.changes).unwrap();
                let position = Position { epoch: batch.epoch, sequence: transaction.sequence };
                assert!(rows.inbox.insert(position, transaction.clone()).is_none(), "{position:?} came twice");
            }
            (cursor.sequence, cursor.hash) = (head.sequence, head.hash);
            rows.cursor = Some(cursor);
        }
    }
    json(StatusCode::OK, &cursor)
}

async fn segment(State(cloud): State<Arc<Cloud>>, headers: HeaderMap, bytes: Bytes) -> Response {
    let number = |name: &str| headers[name].to_str().unwrap().parse::<u64>().unwrap();
    let segment = telemetry::decode(&bytes).unwrap();
    let mut rows = cloud.rows();
    let mut cursor = rows.cursor.unwrap_or_else(nothing);
    match judge_segment(&cursor, number(HEADER_EPOCH), number(HEADER_SEGMENT)) {
        SegmentVerdict::Refuse(refusal) => return json(StatusCode::CONFLICT, &refusal),
        SegmentVerdict::Known => {}
        SegmentVerdict::Accept(after) => {
            rows.points.extend(segment.points);
            rows.definitions.extend(segment.definitions.iter().map(|d| d.id));
            cursor.telemetry = after;
            rows.cursor = Some(cursor);
        }
    }
    json(StatusCode::OK, &cursor.telemetry)
}

async fn reference(State(cloud): State<Arc<Cloud>>, request: Request) -> Response {
    let after: u64 = request.uri().query().unwrap().strip_prefix("after=").unwrap().parse().unwrap();
    let rows = cloud.rows();
    let nothing = Checkpoint { from: after, to: after, complete: true, rows: vec![], refused: vec![] };
    json(StatusCode::OK, rows.reference.iter().find(|c| c.from == after).unwrap_or(&nothing))
}

async fn desired(State(cloud): State<Arc<Cloud>>) -> Response {
    let desired = cloud.rows().desired.clone();
    json(StatusCode::OK, &desired)
}

async fn reported(State(cloud): State<Arc<Cloud>>, bytes: Bytes) -> Response {
    let reported: Reported = body::decode(&bytes).unwrap();
    let mut rows = cloud.rows();
    for state in &reported.commands {
        rows.phases.entry(state.id).or_default().push(state.state);
        if state.state.is_final() {
            rows.desired.commands.retain(|c| c.id != state.id);
        }
    }
    rows.reported = Some(reported);
    StatusCode::NO_CONTENT.into_response()
}
