//! Secrets the replicas share through the database: sealed with AES-256-GCM under the master key.
//!
//! A sealed value is nonce ‖ ciphertext ‖ tag, with the place it belongs to as associated data, so that a value moved to
//! another row does not open. The master key itself is only ever in the settings or the environment.

use std::sync::Arc;

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};

use crate::error::{Error, Result};

/// Bytes of an AES-GCM nonce.
const NONCE: usize = 12;

/// The master key.
#[derive(Clone)]
pub struct Master {
    cipher: Arc<Aes256Gcm>,
}

impl Master {
    /// Out of 32 bytes in hex or base64.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        let bytes = HEXLOWER_PERMISSIVE
            .decode(text.as_bytes())
            .or_else(|_| BASE64.decode(text.as_bytes()))
            .or_else(|_| BASE64_NOPAD.decode(text.as_bytes()))
            .map_err(|_| Error::MasterKey)?;
        let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| Error::MasterKey)?;
        Ok(Self { cipher: Arc::new(cipher) })
    }

    /// Seals a value for its place.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>> {
        // 96 random bits: NIST SP 800-38D §8.3 allows 2^32 messages a key, far beyond what a fleet seals.
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: place.as_bytes() };
        let sealed = self.cipher.encrypt(&nonce.into(), payload).map_err(|_| Error::Sealed)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens a value of its place.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE>().ok_or(Error::Sealed)?;
        let payload = Payload { msg: body, aad: place.as_bytes() };
        self.cipher.decrypt(&(*nonce).into(), payload).map_err(|_| Error::Sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_32_bytes() {
        assert!(Master::parse(&"ab".repeat(32)).is_ok());
        assert!(Master::parse(&BASE64.encode(&[7; 32])).is_ok());
        for text in ["", "ab", "not a key", &"ab".repeat(31)] {
            assert!(matches!(Master::parse(text), Err(Error::MasterKey)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn opens_only_whole_and_in_its_place(plain: Vec<u8>, at: prop::sample::Index, bit in 0u8..8) {
            let master = Master::parse(&"5c".repeat(32)).unwrap();
            let mut sealed = master.seal("here", &plain).unwrap();
            prop_assert_eq!(master.open("here", &sealed).unwrap(), plain);
            prop_assert!(master.open("there", &sealed).is_err());
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(master.open("here", &sealed).is_err());
        }
    }
}
