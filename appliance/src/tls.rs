//! The gateway over TLS, with the certificate of the settings. The files are read again when they change, so that a renewed
//! certificate needs no restart.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    extract::connect_info::{Connected, IntoMakeServiceWithConnectInfo},
    serve::IncomingStream,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use crate::gateway::Peer;

/// Between two looks at the certificate files.
const RELOAD: Duration = Duration::from_secs(60);
/// A client that does not finish its handshake by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Certificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(|e| e.into_inner()).clone())
    }
}

fn load(certificate: &Path, key: &Path) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .with_context(|| certificate.display().to_string())?
        .collect::<Result<_, _>>()
        .with_context(|| certificate.display().to_string())?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| key.display().to_string())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A listener whose connections have finished their handshake.
pub struct Listener {
    ready: tokio::sync::mpsc::Receiver<(TlsStream<tokio::net::TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task has ended, so no connection will ever come.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

/// Serves a router over TLS until the shutdown.
pub async fn serve(
    listener: TcpListener,
    service: IntoMakeServiceWithConnectInfo<axum::Router, Peer>,
    certificate: &Path,
    key: &Path,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let resolver = Arc::new(Certificate(RwLock::new(load(certificate, key)?)));
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(reload(resolver, certificate.to_owned(), key.to_owned(), shutdown.clone()));

    let address = listener.local_addr()?;
    let (sender, ready) = tokio::sync::mpsc::channel(64);
    let ending = shutdown.clone();
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = ending.cancelled() => return,
            };
            let Ok((stream, peer)) = accepted else { continue };
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    // The server has stopped: nobody is waiting for this connection.
                    let _ = sender.send((stream, peer)).await;
                }
            });
        }
    });
    let ending = shutdown.clone();
    axum::serve(Listener { ready, address }, service)
        .with_graceful_shutdown(async move { ending.cancelled().await })
        .await?;
    Ok(())
}

async fn reload(resolver: Arc<Certificate>, certificate: PathBuf, key: PathBuf, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RELOAD) => {}
            () = shutdown.cancelled() => return,
        }
        match load(&certificate, &key) {
            Ok(new) => *resolver.0.write().unwrap_or_else(|e| e.into_inner()) = new,
            Err(error) => tracing::warn!(%error, "the certificate could not be read again; the old one stays"),
        }
    }
}
