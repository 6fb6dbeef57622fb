//! A box that says whatever a test wants it to say: raw requests on the wire, with a certificate or without.

use std::sync::{Arc, Once};

use anyhow::{Context as _, Result};
use rcgen::{CertificateParams, DnType, KeyPair};
use reqwest::{Method, StatusCode};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};
use sent_protocol::{
    Cursor, EnrolRequest, EnrolResponse, EpochAnswer, EpochStart, Hash, Head, Transaction, body, path,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// One TLS provider for this process.
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only when there is one already.
        let _ = ring::default_provider().install_default();
    });
}

/// A client of the wire.
#[derive(Clone, Debug)]
pub struct Wire {
    base: String,
    http: reqwest::Client,
}

/// A box that was enrolled by hand.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// What the cloud answered.
    pub answer: EnrolResponse,
    /// Its key, PEM.
    pub key_pem: String,
    /// Its way to the cloud.
    pub wire: Wire,
}

/// What the wire answered.
#[derive(Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Body, decompressed.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: {}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// The code of an error answer.
    pub fn code(&self) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value.get("code").and_then(|c| c.as_str()).unwrap_or_default().to_owned()
    }
}

/// The test asks what the server does with bad clients; it knows whom it talks to.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

impl Wire {
    /// To `https://host:port`, with a certificate chain and its key in PEM, or without.
    pub fn new(base: &str, identity: Option<(&str, &str)>) -> Result<Self> {
        install_provider();
        let config = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(AnyServer));
        let config = match identity {
            None => config.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes())?)?
            }
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .http1_only()
            .timeout(std::time::Duration::from_secs(60))
            .build()?;
        Ok(Self { base: base.to_owned(), http })
    }

    /// Sends bytes as they are.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], bytes: Vec<u8>) -> Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).body(bytes);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        let (status, zstd) = (response.status(), response.headers().contains_key("content-encoding"));
        let bytes = response.bytes().await?;
        let body = if zstd { body::decompress(&bytes, sent_protocol::limits::BODY)? } else { bytes.to_vec() };
        Ok(Reply { status, body })
    }

    /// Posts a value as a box does.
    pub async fn post(&self, path: &str, value: &impl Serialize) -> Result<Reply> {
        self.send(Method::POST, path, &[("content-encoding", "zstd")], body::encode(value)?).await
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(Method::GET, path, &[], Vec::new()).await
    }
}

/// A certificate request for `name`, and its key.
pub fn request(name: &str) -> Result<(String, KeyPair)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok((params.serialize_request(&key)?.pem()?, key))
}

impl Stranger {
    /// Enrols by a claim code, `CODE.FINGERPRINT`.
    pub async fn enrol(base: &str, claim: &str, name: &str) -> Result<Self> {
        let claim: sent_protocol::claim::ClaimCode = claim.parse()?;
        let (csr_pem, key) = request(name)?;
        let reply = Wire::new(base, None)?
            .post(
                path::ENROL,
                &EnrolRequest {
                    claim: claim.secret,
                    csr_pem,
                    box_name: name.to_owned(),
                    version: "0".into(),
                    organization: None,
                    branch: None,
                },
            )
            .await?;
        anyhow::ensure!(reply.status.is_success(), "enrol: {}: {}", reply.status, String::from_utf8_lossy(&reply.body));
        let answer: EnrolResponse = reply.json()?;
        let key_pem = key.serialize_pem();
        let wire = Wire::new(base, Some((&answer.certificate_pem, &key_pem)))?;
        Ok(Self { answer, key_pem, wire })
    }

    /// Begins its first epoch.
    pub async fn begin(&self) -> Result<Cursor> {
        let start = EpochStart {
            epoch: 1,
            previous_epoch: 0,
            previous_sequence: 0,
            hash: Hash::ZERO,
            token: Uuid::from_u128(rand::random()),
            after: None,
        };
        let answer: EpochAnswer = self.wire.post(path::EPOCH, &start).await?.json()?;
        Ok(answer.cursor)
    }

    /// A transaction after `head` with these changes, JSON text.
    pub fn transaction(&self, head: Head, changes: &str) -> Result<(Transaction, Head)> {
        let mut transaction = Transaction {
            sequence: 0,
            previous_hash: Hash::ZERO,
            hash: Hash::ZERO,
            organization_id: self.answer.organization.id,
            branch_id: Some(self.answer.branch.id),
            actor: "system".into(),
            action: "test.write".into(),
            request_id: Uuid::from_u128(rand::random()),
            at: 1_795_435_200_000_000,
            audit_hash: Hash::ZERO,
            origin: None,
            changes: serde_json::value::RawValue::from_string(changes.to_owned())?,
        };
        let head = transaction.seal(self.answer.box_id, head);
        Ok((transaction, head))
    }
}
