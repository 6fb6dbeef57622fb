//! The claim code a person types: `K7QM-2XHV-9RTD.fingerprint`.
//!
//! The part before the dot is the secret that claims the box, once. The part after it names the root certificate the
//! box must find at the end of the cloud's chain before it says anything: the first 128 bits of the root's SHA-256 in
//! lower-case base32 without padding, 26 characters.
use crate::Hash;
use data_encoding::BASE32_NOPAD;
use std::{fmt, str::FromStr};

/// A claim code in its two halves.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimCode {
    /// The secret as it was typed, without spaces, in upper case.
    pub secret: String,
    /// The root it vouches for.
    pub fingerprint: Fingerprint,
}

/// First 128 bits of the SHA-256 of a DER-encoded root certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 16]);

/// Text that is not a claim code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a claim code is CODE.FINGERPRINT as the console shows it; copy it whole")]
pub struct InvalidClaim;

impl Fingerprint {
    /// Of a root certificate.
    pub fn of(root_der: &[u8]) -> Fingerprint {
        let mut first = [0; 16];
        first.copy_from_slice(&Hash::of(root_der).0[..16]);
        Fingerprint(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Fingerprint, InvalidClaim> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| InvalidClaim)?;
        Ok(Fingerprint(bytes.try_into().map_err(|_| InvalidClaim)?))
    }
}

impl FromStr for ClaimCode {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<ClaimCode, InvalidClaim> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (secret, fingerprint) = text.split_once('.').ok_or(InvalidClaim)?;
        let known = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !(8..=64).contains(&secret.len()) || !secret.chars().all(known) {
            return Err(InvalidClaim);
        }
        Ok(ClaimCode { secret: secret.to_ascii_uppercase(), fingerprint: fingerprint.parse()? })
    }
}

impl fmt::Display for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.secret, self.fingerprint)
    }
}

/// The secret stays out of logs.
impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClaimCode(….{})", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_round_trip() {
        let fingerprint = Fingerprint::of(b"root");
        assert_eq!(fingerprint.to_string().len(), 26);
        let code: ClaimCode = format!(" k7qm-2xhv-9rtd.{fingerprint}\n").parse().unwrap();
        assert_eq!(code.secret, "K7QM-2XHV-9RTD");
        assert_eq!(code.fingerprint, fingerprint);
        assert_eq!(code.to_string().parse(), Ok(code.clone()));
        assert!(!format!("{code:?}").contains("K7QM"));
    }

    #[test]
    fn half_a_code_is_refused() {
        for text in ["", ".", "K7QM-2XHV-9RTD", "K7QM-2XHV-9RTD.", "K7QM-2XHV-9RTD.abc", ".aaaaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            assert_eq!(text.parse::<ClaimCode>(), Err(InvalidClaim), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            let _ = text.parse::<ClaimCode>();
        }
    }
}
