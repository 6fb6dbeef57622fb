//! Who this box is to the cloud: its key, its certificate and the one root it trusts.
//!
//! All of it is one file, `DATA/identity/identity.json`, readable by its owner alone and replaced by renaming, so that key
//! and certificate never stand beside a stranger's. The key is made here and never leaves the box.
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sent_protocol::{BranchRef, EnrolResponse, Micros, OrganizationRef, Uuid};
use sent_store::IDENTITY;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};
use url::Url;

const PENDING: &str = "pending-key.pem";

/// An enrolled box.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Id, the certificate's common name.
    pub box_id: Uuid,
    /// The cloud's wire address.
    pub cloud: Url,
    /// The broker, `mqtts://host:port`.
    pub mqtt_url: String,
    /// Whose box it is.
    pub organization: OrganizationRef,
    /// Where it stands.
    pub branch: BranchRef,
    /// The certificate begins.
    pub issued_at: Micros,
    /// The certificate ends.
    pub expires_at: Micros,
    pub(crate) certificate_pem: String,
    pub(crate) ca_pem: String,
    pub(crate) key_pem: String,
}

/// The key stays out of logs.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("box_id", &self.box_id)
            .field("cloud", &self.cloud.as_str())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why an identity cannot be made, read or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The disk.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not an identity.
    #[error("{path} is no identity: {cause}; enrol this box again")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The certificate is not one, or not for this key.
    #[error("the cloud's certificate cannot be used: {0}")]
    Certificate(String),
    /// The key could not be made.
    #[error("no key could be made: {0}")]
    Key(#[from] rcgen::Error),
}

impl Identity {
    /// Reads the identity of a data folder; `None` when the box was never enrolled.
    pub fn load(data: &Path) -> Result<Option<Identity>, IdentityError> {
        let path = data.join(IDENTITY);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| IdentityError::Malformed { path, cause: e.to_string() }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::Io { path, source }),
        }
    }

    /// Keeps it, and forgets the pending key.
    pub fn save(&self, data: &Path) -> Result<(), IdentityError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| IdentityError::Certificate(e.to_string()))?;
        write_secret(&data.join(IDENTITY), &bytes)?;
        let pending = folder(data).join(PENDING);
        match fs::remove_file(&pending) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(IdentityError::Io { path: pending, source }),
            _ => Ok(()),
        }
    }

    /// Makes it of the cloud's answer.
    pub(crate) fn from_answer(cloud: Url, key: &KeyPair, answer: &EnrolResponse) -> Result<Identity, IdentityError> {
        let (issued_at, expires_at) = validity(&answer.certificate_pem, key)?;
        Ok(Identity {
            box_id: answer.box_id,
            cloud,
            mqtt_url: answer.mqtt_url.clone(),
            organization: answer.organization.clone(),
            branch: answer.branch.clone(),
            issued_at,
            expires_at,
            certificate_pem: answer.certificate_pem.clone(),
            ca_pem: answer.ca_pem.clone(),
            key_pem: key.serialize_pem(),
        })
    }

    /// The same box with a new key and certificate.
    pub(crate) fn renewed(&self, key: &KeyPair, certificate_pem: String) -> Result<Identity, IdentityError> {
        let (issued_at, expires_at) = validity(&certificate_pem, key)?;
        Ok(Identity { issued_at, expires_at, certificate_pem, key_pem: key.serialize_pem(), ..self.clone() })
    }

    /// When to renew: two thirds into the certificate's life.
    pub fn renew_at(&self) -> Micros {
        self.issued_at.saturating_add(self.expires_at.saturating_sub(self.issued_at) / 3 * 2)
    }

    /// Client certificate and key for TLS.
    pub(crate) fn client(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), IdentityError> {
        let chain = certificates(&self.certificate_pem)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|e| IdentityError::Certificate(e.to_string()))?;
        Ok((chain, key))
    }

    /// The root it trusts.
    pub(crate) fn roots(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        certificates(&self.ca_pem)
    }
}

/// The key to enrol with: the one a broken-off enrolment left, or a new one. Kept before it is used, so that an answer
/// that was lost on the way can be asked for again with the same key.
pub(crate) fn pending_key(data: &Path) -> Result<KeyPair, IdentityError> {
    let path = folder(data).join(PENDING);
    match fs::read_to_string(&path) {
        Ok(pem) => {
            return KeyPair::from_pem(&pem).map_err(|e| IdentityError::Malformed { path, cause: e.to_string() });
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(IdentityError::Io { path, source }),
    }
    let key = new_key()?;
    write_secret(&path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

/// A P-256 key.
pub(crate) fn new_key() -> Result<KeyPair, IdentityError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// A certificate request of a key, PEM. Who it is for is the cloud's decision.
pub(crate) fn request(key: &KeyPair) -> Result<String, IdentityError> {
    Ok(CertificateParams::default().serialize_request(key)?.pem()?)
}

pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|e| IdentityError::Certificate(e.to_string()))?;
    if chain.is_empty() { Err(IdentityError::Certificate("it is empty".into())) } else { Ok(chain) }
}

/// When the first certificate begins and ends; it must be for this key.
fn validity(pem: &str, key: &KeyPair) -> Result<(Micros, Micros), IdentityError> {
    let chain = certificates(pem)?;
    let first = chain.first().ok_or_else(|| IdentityError::Certificate("it is empty".into()))?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(first).map_err(|e| IdentityError::Certificate(e.to_string()))?;
    if certificate.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(IdentityError::Certificate("it is for another key".into()));
    }
    let validity = certificate.validity();
    let micros = |seconds: i64| seconds.saturating_mul(1_000_000);
    Ok((micros(validity.not_before.timestamp()), micros(validity.not_after.timestamp())))
}

fn folder(data: &Path) -> PathBuf {
    data.join("identity")
}

/// Writes a file only its owner can read, whole or not at all.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), IdentityError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let fresh = path.with_added_extension("new");
    let write = || -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        let mut options = fs::OpenOptions::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
            builder.mode(0o700);
            options.mode(0o600);
        }
        builder.recursive(true).create(folder)?;
        match fs::remove_file(&fresh) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = options.write(true).create_new(true).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|source| IdentityError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_key_survives_and_is_ours_alone() {
        let data = tempfile::tempdir().unwrap();
        let first = pending_key(data.path()).unwrap();
        let again = pending_key(data.path()).unwrap();
        assert_eq!(first.public_key_raw(), again.public_key_raw());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(folder(data.path())), 0o700);
            assert_eq!(mode(folder(data.path()).join(PENDING)), 0o600);
        }
        assert!(Identity::load(data.path()).unwrap().is_none());
        #[expect(clippy::disallowed_methods, reason = "it is meant to be broken")]
        fs::write(data.path().join(IDENTITY), b"{").unwrap();
        assert!(matches!(Identity::load(data.path()), Err(IdentityError::Malformed { .. })));
    }
}
