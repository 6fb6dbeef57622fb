//! When a server's certificate ends.
//!
//! The handshake accepts any certificate, because one that has already ended, or that nobody trusts, is what the check is
//! there to tell; nothing is ever sent over the connection.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sent_contract::Level;
use sent_core::Timestamp;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{Failure, Reading, connect};
use crate::model::{SECOND, sample::Sample};

/// A certificate that ends within so many seconds needs somebody: 14 days.
const SOON: i64 = 14 * 86_400;

/// Shakes hands and reads the certificate. `at` is the present in µs.
pub async fn run(host: &str, port: u16, at: i64) -> Result<Reading, Failure> {
    let (stream, _) = connect(host, port).await?;
    let provider =
        CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
    let seen = Arc::new(Witness { provider: provider.clone(), leaf: Mutex::default() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure(format!("no TLS client can be made: {e}")))?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_no_client_auth();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name =
        ServerName::try_from(bare.to_owned()).map_err(|_| Failure(format!("{host} is no name for a certificate")))?;
    let start = Instant::now();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let latency = start.elapsed();
    let leaf = seen.leaf.lock().unwrap_or_else(PoisonError::into_inner).take();
    // A server that asks for a client's certificate ends the handshake after showing its own.
    let leaf = match (leaf, shaken) {
        (Some(leaf), _) => leaf,
        (None, Err(e)) => return Err(Failure(format!("no TLS handshake: {e}"))),
        (None, Ok(_)) => return Err(Failure::new("the server shows no certificate")),
    };
    let (_, certificate) =
        X509Certificate::from_der(&leaf).map_err(|_| Failure::new("the server's certificate cannot be read"))?;
    let left = certificate.validity().not_after.timestamp() - at / SECOND;
    let until = Timestamp(certificate.validity().not_after.timestamp().saturating_mul(SECOND)).date();
    let days = left.div_euclid(86_400);
    let mut reading = Reading::ok(format!("the certificate ends in {days} days, on {until}"), latency);
    if left <= 0 {
        reading.level = Level::Bad;
        reading.cause = format!("the certificate ended on {until}");
    } else if certificate.validity().not_before.timestamp() > at / SECOND {
        reading.level = Level::Bad;
        reading.cause = "the certificate is not valid yet".to_owned();
    } else if !names(&certificate, bare) {
        reading.level = Level::Warn;
        reading.cause = format!("the certificate is not for {host}; it ends on {until}");
    } else if left < SOON {
        reading.level = Level::Warn;
    }
    reading.samples.push(Sample::new("tls_expires_seconds", "seconds", host, left as f64));
    Ok(reading)
}

/// Whether a certificate names a host (RFC 9525 §6: subject alternative names only, a wildcard is the whole left label).
fn names(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return false };
    let address: Option<IpAddr> = host.parse().ok();
    alternatives.value.general_names.iter().any(|name| match (name, address) {
        (GeneralName::IPAddress(bytes), Some(IpAddr::V4(v4))) => *bytes == v4.octets(),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V6(v6))) => *bytes == v6.octets(),
        (GeneralName::DNSName(name), None) => match name.strip_prefix("*.") {
            Some(rest) => host.split_once('.').is_some_and(|(_, tail)| tail.eq_ignore_ascii_case(rest)),
            None => name.eq_ignore_ascii_case(host),
        },
        _ => false,
    })
}

/// Accepts every certificate and remembers it. Signatures are still verified: the server holds the key it shows.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    leaf: Mutex<Option<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.clone().into_owned());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
