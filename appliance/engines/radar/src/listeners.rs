//! The ways in that the settings open. HTTP needs none of them: it comes through the gateway.
//!
//! One that cannot be opened is named and keeps no other closed.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use sent_contract::radar::Way;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    intake::{
        files::Follower,
        inlet::Inlet,
        journal::{self, Journalctl},
        net::{self, Bounds},
    },
    settings::Settings,
};

/// Why a way in cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there, or this program may not.
    #[error("cannot listen on {address} for {name}: {source}")]
    Bind {
        /// What for.
        name: &'static str,
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Certificates or keys.
    #[error("{path}: {message}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Files cannot be followed.
    #[error("files cannot be followed: {0}")]
    Files(io::Error),
}

/// Ways in that are open; dropping them closes them.
pub struct Listeners {
    faults: Vec<ListenError>,
    ways: Vec<Way>,
    tasks: JoinSet<()>,
    follower: Option<Follower>,
}

impl Listeners {
    /// Opens them.
    pub async fn open(settings: &Settings, folder: &Path, inlet: &Inlet, stop: &CancellationToken) -> Self {
        let ways = vec![way("HTTP", "/api/radar/intake")];
        let mut this = Self { faults: Vec::new(), ways, tasks: JoinSet::new(), follower: None };
        let opened = [
            this.udp(settings, inlet, stop),
            this.tcp(settings, inlet, stop).await,
            this.tls(settings, inlet, stop).await,
            this.files(settings, folder, inlet),
        ];
        this.faults = opened.into_iter().filter_map(Result::err).collect();
        if settings.journal {
            this.ways.push(way("journal", "the machine's own"));
            let kept = folder.join("journal.state");
            this.tasks.spawn(journal::follow(Journalctl::default(), inlet.clone(), kept, stop.clone()));
        }
        this
    }

    fn udp(&mut self, settings: &Settings, inlet: &Inlet, stop: &CancellationToken) -> Result<(), ListenError> {
        let Some(address) = Settings::listener(&settings.syslog_udp) else { return Ok(()) };
        let socket = net::bind_udp(address).map_err(bind("syslog over UDP", address))?;
        self.ways.push(way("syslog UDP", &shown(socket.local_addr(), address)));
        self.tasks.spawn(net::serve_udp(socket, inlet.clone(), stop.clone()));
        Ok(())
    }

    async fn tcp(&mut self, settings: &Settings, inlet: &Inlet, stop: &CancellationToken) -> Result<(), ListenError> {
        let Some(address) = Settings::listener(&settings.syslog_tcp) else { return Ok(()) };
        let listener = TcpListener::bind(address).await.map_err(bind("syslog over TCP", address))?;
        self.ways.push(way("syslog TCP", &shown(listener.local_addr(), address)));
        self.tasks.spawn(net::serve_tcp(listener, inlet.clone(), Bounds::default(), stop.clone()));
        Ok(())
    }

    async fn tls(&mut self, settings: &Settings, inlet: &Inlet, stop: &CancellationToken) -> Result<(), ListenError> {
        let Some(address) = Settings::listener(&settings.syslog_tls) else { return Ok(()) };
        let acceptor = acceptor(settings)?;
        let listener = TcpListener::bind(address).await.map_err(bind("syslog over TLS", address))?;
        self.ways.push(way("syslog TLS", &shown(listener.local_addr(), address)));
        self.tasks.spawn(net::serve_tls(listener, acceptor, inlet.clone(), Bounds::default(), stop.clone()));
        Ok(())
    }

    fn files(&mut self, settings: &Settings, folder: &Path, inlet: &Inlet) -> Result<(), ListenError> {
        if !settings.files.is_empty() {
            let started = Follower::start(settings.files.clone(), inlet.clone(), folder.join("files.state"));
            self.follower = Some(started.map_err(ListenError::Files)?);
            self.ways.push(way("files", &settings.files.join(" ")));
        }
        Ok(())
    }

    /// What could not be opened.
    pub fn faults(&self) -> &[ListenError] {
        &self.faults
    }

    /// What is open.
    pub fn ways(&self) -> Vec<Way> {
        self.ways.clone()
    }

    /// Returns when all that serve have ended.
    pub async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

fn way(name: &str, at: &str) -> Way {
    Way { name: name.to_owned(), at: at.to_owned() }
}

/// The address that was taken: the settings may leave the port to the system.
fn shown(taken: io::Result<std::net::SocketAddr>, asked: std::net::SocketAddr) -> String {
    taken.unwrap_or(asked).to_string()
}

fn bind(name: &'static str, address: std::net::SocketAddr) -> impl FnOnce(io::Error) -> ListenError {
    move |source| ListenError::Bind { name, address: address.to_string(), source }
}

/// TLS as RFC 5425 has it: the server shows a certificate, and asks for one where the settings name who signs them.
fn acceptor(settings: &Settings) -> Result<TlsAcceptor, ListenError> {
    let wrong = |path: &Path, message: String| ListenError::Certificate { path: path.to_owned(), message };
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|e| wrong(&settings.key, e.to_string()))?;
    let builder = if settings.clients.as_os_str().is_empty() {
        ServerConfig::builder().with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&settings.clients)? {
            roots.add(certificate).map_err(|e| wrong(&settings.clients, e.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        ServerConfig::builder()
            .with_client_cert_verifier(verifier.map_err(|e| wrong(&settings.clients, e.to_string()))?)
    };
    let config = builder.with_single_cert(chain, key).map_err(|e| wrong(&settings.certificate, e.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let wrong = |message: String| ListenError::Certificate { path: path.to_owned(), message };
    let read = CertificateDer::pem_file_iter(path).map_err(|e| wrong(e.to_string()))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() { Err(wrong("there is no certificate in it".to_owned())) } else { Ok(found) }
}
