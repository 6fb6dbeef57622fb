//! The cloud's own certificate authority.
//!
//! One root for the whole cloud, P-256, made once and kept in the database with its key sealed, so that every replica
//! issues from the same root. Boxes get client certificates that live for days; the wire listener and the broker get
//! server certificates; the cloud itself gets a client certificate (`cloud`) for the broker. A box's name in its own
//! request is ignored: the common name is the id the claim gave it.

use std::{sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sent_core::Timestamp;
use sent_protocol::claim::Fingerprint;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{
    db::Db,
    error::{Error, Result},
    secret::Master,
};

/// Common name of the cloud's own client certificate.
pub const CLOUD: &str = "cloud";
/// Days the root lives.
const ROOT_DAYS: i64 = 20 * 365;
/// Days a server certificate lives; listeners renew theirs daily, so this only bounds a stolen key.
const SERVER_DAYS: i64 = 90;
/// A certificate begins so much earlier than now, for clocks that are behind.
const BACKDATE_MICROS: i64 = 3_600_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
const PLACE: &str = "cloud_secrets/authority";

/// The authority, ready to issue.
#[derive(Clone)]
pub struct Authority {
    issuer: Arc<Issuer<'static, KeyPair>>,
    root_pem: Arc<str>,
    root_der: CertificateDer<'static>,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Leaf and root, PEM.
    pub chain_pem: String,
    /// Leaf and root, DER.
    pub chain: Vec<CertificateDer<'static>>,
    /// Serial number, hex.
    pub serial: String,
    /// End.
    pub expires_at: Timestamp,
}

/// A certificate with a key we made for it.
pub struct Identity {
    /// The certificate.
    pub issued: Issued,
    /// The key, PEM.
    pub key_pem: String,
    /// The key, DER.
    pub key: PrivateKeyDer<'static>,
}

impl Authority {
    /// The cloud's authority out of the database; the first caller makes it.
    pub async fn load(db: &Db, master: &Master, now: Timestamp) -> Result<Self> {
        let pool = db.pool();
        if let Some(found) = Self::stored(db, master).await? {
            return Ok(found);
        }
        let (certificate, key) = make_root(now)?;
        let sealed = master.seal(PLACE, key.serialize_pem().as_bytes())?;
        // Another replica may have been quicker: then its root counts.
        sqlx::query!(
            "INSERT INTO cloud_secrets (name, public, sealed) VALUES ('authority', $1, $2) ON CONFLICT DO NOTHING",
            certificate.pem(),
            sealed
        )
        .execute(pool)
        .await?;
        Self::stored(db, master).await?.ok_or_else(|| Error::Stored("the authority vanished".to_owned()))
    }

    async fn stored(db: &Db, master: &Master) -> Result<Option<Self>> {
        let row = sqlx::query!("SELECT public, sealed FROM cloud_secrets WHERE name = 'authority'")
            .fetch_optional(db.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        let key = master.open(PLACE, &row.sealed)?;
        let key = String::from_utf8(key).map_err(|_| Error::Sealed)?;
        Self::from_pem(row.public, &key).map(Some)
    }

    fn from_pem(root_pem: String, key_pem: &str) -> Result<Self> {
        let key = KeyPair::from_pem(key_pem).map_err(certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&root_pem, key).map_err(certificate)?;
        let (_, pem) =
            x509_parser::pem::parse_x509_pem(root_pem.as_bytes()).map_err(|e| Error::Certificate(e.to_string()))?;
        Ok(Self { issuer: Arc::new(issuer), root_pem: root_pem.into(), root_der: CertificateDer::from(pem.contents) })
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The root, DER.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root_der
    }

    /// What stands behind the dot of every claim code.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root_der)
    }

    /// Issues a box's client certificate for the key in its request.
    pub fn issue_box(&self, csr_pem: &str, box_id: Uuid, days: u32, now: Timestamp) -> Result<Issued> {
        // Parsing verifies the request's own signature: whoever asks has the key.
        let mut request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(|e| Error::Request(e.to_string()))?;
        let expires_at = now.plus_micros(i64::from(days) * DAY_MICROS);
        let serial = SerialNumber::from(serial_bytes());
        let text = hex::encode(serial.to_bytes());
        request.params = leaf(&box_id.to_string(), now, expires_at, serial, ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = request.signed_by(&*self.issuer).map_err(|e| Error::Request(e.to_string()))?;
        Ok(self.issued(&certificate, text, expires_at))
    }

    /// A server certificate for `names`, with a key made here.
    pub fn issue_server(&self, names: &[String], now: Timestamp) -> Result<Identity> {
        let common = names.first().map_or("sent-cloud", String::as_str);
        self.issue_key(common, names, ExtendedKeyUsagePurpose::ServerAuth, SERVER_DAYS, now)
    }

    /// The cloud's own client certificate for the broker.
    pub fn issue_cloud(&self, now: Timestamp) -> Result<Identity> {
        self.issue_key(CLOUD, &[], ExtendedKeyUsagePurpose::ClientAuth, SERVER_DAYS, now)
    }

    fn issue_key(
        &self,
        common: &str,
        names: &[String],
        usage: ExtendedKeyUsagePurpose,
        days: i64,
        now: Timestamp,
    ) -> Result<Identity> {
        let expires_at = now.plus_micros(days * DAY_MICROS);
        let serial = SerialNumber::from(serial_bytes());
        let text = hex::encode(serial.to_bytes());
        let mut params = leaf(common, now, expires_at, serial, usage);
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(certificate)?),
            });
        }
        let key = KeyPair::generate().map_err(certificate)?;
        let made = params.signed_by(&key, &*self.issuer).map_err(certificate)?;
        Ok(Identity {
            issued: self.issued(&made, text, expires_at),
            key_pem: key.serialize_pem(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }

    fn issued(&self, certificate: &Certificate, serial: String, expires_at: Timestamp) -> Issued {
        Issued {
            chain_pem: format!("{}{}", certificate.pem(), self.root_pem),
            // The root travels too: a box that knows only the claim's fingerprint must find it at the chain's end.
            chain: vec![certificate.der().clone(), self.root_der.clone()],
            serial,
            expires_at,
        }
    }
}

fn certificate(error: rcgen::Error) -> Error {
    Error::Certificate(error.to_string())
}

fn make_root(now: Timestamp) -> Result<(Certificate, KeyPair)> {
    let key = KeyPair::generate().map_err(certificate)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "SENT cloud");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now.plus_micros(-BACKDATE_MICROS), now.plus_micros(ROOT_DAYS * DAY_MICROS));
    params.serial_number = Some(SerialNumber::from(serial_bytes()));
    let root = params.self_signed(&key).map_err(certificate)?;
    Ok((root, key))
}

fn leaf(
    common: &str,
    now: Timestamp,
    expires_at: Timestamp,
    serial: SerialNumber,
    usage: ExtendedKeyUsagePurpose,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    set_validity(&mut params, now.plus_micros(-BACKDATE_MICROS), expires_at);
    params.serial_number = Some(serial);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

/// 127 random bits: positive, as RFC 5280 §4.1.2.2 asks, and never the same twice.
fn serial_bytes() -> Vec<u8> {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes.to_vec()
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_micros(from.0.max(0).unsigned_abs());
    params.not_after = epoch + Duration::from_micros(to.0.max(0).unsigned_abs());
}

/// SHA-256 of the public key a certificate request is for, hex.
pub fn requested_key(csr_pem: &str) -> Result<String> {
    let request = CertificateSigningRequestParams::from_pem(csr_pem).map_err(|e| Error::Request(e.to_string()))?;
    Ok(hex::encode(Sha256::digest(request.public_key.subject_public_key_info())))
}

/// The common name of a certificate, if it is a box's id.
pub fn box_of(certificate: &CertificateDer<'_>) -> Option<Uuid> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Uuid::try_parse(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        let (root, key) = make_root(Timestamp(1_700_000_000_000_000)).unwrap();
        Authority::from_pem(root.pem(), &key.serialize_pem()).unwrap()
    }

    fn request(name: &str) -> String {
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
    }

    #[test]
    fn a_box_gets_the_name_of_its_claim_and_nothing_it_asked_for() {
        let authority = authority();
        let id = Uuid::from_u128(7);
        let issued = authority.issue_box(&request("cloud"), id, 7, Timestamp(1_700_000_000_000_000)).unwrap();
        assert_eq!(box_of(&issued.chain[0]), Some(id));
        let (_, leaf) = x509_parser::parse_x509_certificate(&issued.chain[0]).unwrap();
        assert!(leaf.subject_alternative_name().unwrap().is_none());
        assert!(!leaf.is_ca());
        assert_eq!(leaf.validity().not_after.timestamp(), 1_700_000_000 + 7 * 86_400);
        let (_, root) = x509_parser::parse_x509_certificate(authority.root()).unwrap();
        leaf.verify_signature(Some(root.public_key())).unwrap();
    }

    #[test]
    fn a_broken_request_is_refused() {
        let authority = authority();
        let whole = request("x");
        for text in ["", "-----BEGIN CERTIFICATE REQUEST-----", &whole[..whole.len() / 2]] {
            assert!(matches!(authority.issue_box(text, Uuid::nil(), 7, Timestamp(0)), Err(Error::Request(_))));
        }
    }

    #[test]
    fn the_cloud_itself_is_no_box() {
        let identity = authority().issue_cloud(Timestamp(1_700_000_000_000_000)).unwrap();
        assert_eq!(box_of(&identity.issued.chain[0]), None);
    }
}
