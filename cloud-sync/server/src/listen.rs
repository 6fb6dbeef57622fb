//! Sockets to routers: plain or TLS, with a bound on how long a stranger may dawdle, and a graceful end.
//!
//! The wire asks for a client certificate and lets a caller without one in (to enrol); who it is travels with every
//! request of the connection as [`Peer`]. A certificate of another root ends the handshake.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    authority::{self, Authority, Identity},
    error::{Error, Result},
};

/// A handshake, or the head of a request, must be complete after so long.
const PATIENCE: Duration = Duration::from_secs(15);
/// Open requests get so long to end at shutdown.
const FAREWELL: Duration = Duration::from_secs(20);

/// Who is at the other end of a connection; an extension of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// The box its verified client certificate names.
    pub box_id: Option<Uuid>,
}

/// The server certificate of the wire, replaced without a restart.
#[derive(Debug)]
pub struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    /// With a first certificate.
    pub fn new(identity: Identity) -> Result<Arc<Self>> {
        Ok(Arc::new(Self(RwLock::new(certified(identity.issued.chain, identity.key)?))))
    }

    /// Uses another one from the next handshake on.
    pub fn replace(&self, identity: Identity) -> Result<()> {
        let next = certified(identity.issued.chain, identity.key)?;
        *self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = next;
        Ok(())
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone())
    }
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<CertifiedKey>> {
    let key = ring::sign::any_supported_type(&key).map_err(|e| Error::Certificate(e.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// TLS of the wire: our server certificate, client certificates of our root, or none.
pub fn wire_tls(authority: &Authority, current: Arc<Current>) -> Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.root().clone()).map_err(|e| Error::Certificate(e.to_string()))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|e| Error::Certificate(e.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Certificate(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(current);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// TLS of the console out of two files.
pub fn file_tls(certificate: &std::path::Path, key: &std::path::Path) -> Result<Arc<ServerConfig>> {
    let bad = |e: rustls_pki_types::pem::Error| Error::Certificate(e.to_string());
    let chain = CertificateDer::pem_file_iter(certificate).map_err(bad)?.collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(bad)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::Certificate(e.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| Error::Certificate(e.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves `router` until `stop`, then lets open requests end. With `most` connections open, the next waits for one to end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    most: usize,
    stop: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let graceful = Arc::new(GracefulShutdown::new());
    let places = Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        let accepting = async {
            let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((place, listener.accept().await?))
        };
        let (place, (stream, address)) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepting => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, mostly: give connections time to end.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            let Some((stream, box_id)) = shake_hands(stream, acceptor, address).await else { return };
            converse(stream, Peer { address, box_id }, router, watcher).await;
        });
    }
    drop(listener);
    if let Ok(graceful) = Arc::try_unwrap(graceful)
        && tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err()
    {
        tracing::warn!(after = ?FAREWELL, "requests were still open and are cut");
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

async fn shake_hands(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    address: SocketAddr,
) -> Option<(Box<dyn Stream>, Option<Uuid>)> {
    let Some(acceptor) = acceptor else { return Some((Box::new(stream), None)) };
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let box_id = stream.get_ref().1.peer_certificates().and_then(|c| c.first()).and_then(authority::box_of);
            Some((Box::new(stream), box_id))
        }
        Ok(Err(error)) => {
            tracing::debug!(%address, %error, "handshake failed");
            None
        }
        Err(_) => None,
    }
}

async fn converse(stream: Box<dyn Stream>, peer: Peer, router: Router, watcher: hyper_util::server::graceful::Watcher) {
    let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(address = %peer.address, %error, "connection ended");
    }
}
