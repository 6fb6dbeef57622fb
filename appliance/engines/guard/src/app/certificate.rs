//! What an X.509 certificate says about itself (RFC 5280).

use ring::digest;
use serde::Serialize;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, oid_registry::OidRegistry, prelude::FromDer,
    public_key::PublicKey,
};

use crate::wire::text;

/// Names of one certificate that are kept.
const NAMES: usize = 64;
/// Bytes of one name.
const NAME: usize = 512;

/// A certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// SHA-256 of its DER form, in hexadecimal.
    pub sha256: String,
    /// For whom, as a distinguished name; empty when it could not be read.
    pub subject: String,
    /// By whom.
    pub issuer: String,
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// Names it is good for: DNS names, mail addresses, IP addresses, URIs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Good from, seconds since 1970 UTC.
    pub not_before: i64,
    /// Good until, seconds since 1970 UTC.
    pub not_after: i64,
    /// Kind and size of its key: `rsa-2048`, `ec-256`.
    pub key: String,
    /// How it is signed.
    pub signature: String,
    /// Subject and issuer are one.
    pub self_signed: bool,
    /// What is weak: `rsa key of 1024 bits`, `signed with sha1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weak: Vec<String>,
}

impl Certificate {
    /// Reads DER. What cannot be read leaves the hash alone.
    pub fn parse(der: &[u8]) -> Self {
        let sha256 = hex::encode(digest::digest(&digest::SHA256, der));
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => Self { sha256, ..Self::of(&certificate) },
            Err(_) => Self { sha256, ..Self::default() },
        }
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        let (key, mut weak) = key(certificate);
        let signature = signature(certificate);
        if ["md2", "md4", "md5", "sha1"].iter().any(|hash| signature.to_ascii_lowercase().contains(hash)) {
            weak.push(format!("signed with {signature}"));
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| extension.value.general_names.iter().filter_map(name).take(NAMES).collect());
        Self {
            sha256: String::new(),
            subject: text(certificate.subject().to_string().as_bytes(), 4 * NAME),
            issuer: text(certificate.issuer().to_string().as_bytes(), 4 * NAME),
            serial: hex::encode(certificate.raw_serial().get(..32).unwrap_or(certificate.raw_serial())),
            names: names.unwrap_or_default(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key,
            signature,
            self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            weak,
        }
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        let texts = [&self.sha256, &self.subject, &self.issuer, &self.serial, &self.key, &self.signature];
        let lists = self.names.iter().chain(&self.weak).map(|name| size_of::<String>() + name.capacity());
        texts.iter().map(|text| text.capacity()).sum::<usize>() + lists.sum::<usize>()
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some(text(name.as_bytes(), NAME))
        }
        GeneralName::IPAddress(bytes) => match *bytes {
            bytes if bytes.len() == 4 => {
                <[u8; 4]>::try_from(bytes).ok().map(|four| std::net::Ipv4Addr::from(four).to_string())
            }
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|six| std::net::Ipv6Addr::from(six).to_string()),
        },
        _ => None,
    }
}

/// The key's kind and size, and what is weak about it: NIST SP 800-131A retires RSA below 2,048 and curves below 224 bits.
fn key(certificate: &X509Certificate<'_>) -> (String, Vec<String>) {
    let mut weak = Vec::new();
    let key = certificate.public_key();
    let described = match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            if bits < 2048 {
                weak.push(format!("rsa key of {bits} bits"));
            }
            format!("rsa-{bits}")
        }
        Ok(PublicKey::EC(point)) => {
            let bits = point.key_size();
            if bits < 224 {
                weak.push(format!("elliptic key of {bits} bits"));
            }
            format!("ec-{bits}")
        }
        Ok(PublicKey::DSA(_)) => {
            weak.push("dsa key".into());
            "dsa".into()
        }
        _ => registered(&key.algorithm.algorithm),
    };
    (described, weak)
}

fn signature(certificate: &X509Certificate<'_>) -> String {
    registered(&certificate.signature_algorithm.algorithm)
}

/// The short name of an object identifier, or its numbers.
fn registered(oid: &x509_parser::oid_registry::Oid<'_>) -> String {
    use std::sync::LazyLock;
    static REGISTRY: LazyLock<OidRegistry<'static>> = LazyLock::new(|| OidRegistry::default().with_all_crypto());
    REGISTRY.get(oid).map_or_else(|| text(oid.to_id_string().as_bytes(), NAME), |entry| entry.sn().to_owned())
}
