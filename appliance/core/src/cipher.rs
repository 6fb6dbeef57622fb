//! Secrets and personal fields, encrypted one by one with AES-256-GCM (NIST SP 800-38D).
//!
//! Each organisation has data keys, numbered from 1. The newest one encrypts; every one still decrypts, so that a key can
//! be rotated without touching a row. Data keys are stored only wrapped by a master key, which is not stored beside them.
//!
//! What was encrypted belongs to its place: organisation, table, row, column and key version are associated data, so a
//! value that was moved, or altered in one bit, is refused. A nonce is 96 random bits; one key is good for 2³² values.
//!
//! As text: `v1:VERSION:BASE64`, where the Base64 (standard alphabet, no padding) holds nonce, ciphertext and tag.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aes_gcm::{
    Aes256Gcm, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use data_encoding::{BASE64_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
pub use zeroize::Zeroizing;

/// Bytes of a key.
pub const KEY: usize = 32;

const NONCE: usize = 12;
const TAG: usize = 16;

/// Why a secret could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    /// Not what [`Keyring::encrypt`] makes.
    #[error("this is not an encrypted field: expected v1:VERSION:BASE64")]
    Malformed,
    /// Encrypted with a key that this organisation does not have.
    #[error("key version {0} is not among this organisation's keys: restore the keys that belong to this data")]
    UnknownVersion(u32),
    /// The tag does not match.
    #[error("this field was altered, or belongs to another organisation, table, row or column")]
    Refused,
    /// A data key does not unwrap.
    #[error("the master key does not fit this organisation's keys: use the master key they were wrapped with")]
    WrongMasterKey,
    /// Longer than AES-GCM allows.
    #[error("this value is too long to be encrypted")]
    TooLong,
    /// The master key is no key.
    #[error("the master key must be {KEY} bytes, written as 64 hexadecimal digits")]
    MalformedMasterKey,
    /// Others could read the master key.
    #[error("{} can be read by others: chmod 600 it, and rotate the master key if others had access", .0.display())]
    MasterKeyExposed(PathBuf),
    /// The file with the master key.
    #[error("the master key in {}: {source}", .path.display())]
    MasterKeyFile {
        /// Where.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// The place a value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The table's name.
    pub table: &'a str,
    /// The row's key; where it has several columns, any text that tells rows apart.
    pub row: &'a str,
    /// The column's name.
    pub column: &'a str,
}

/// The key that wraps data keys.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; KEY]>);

impl MasterKey {
    /// A new random one.
    pub fn generate() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    /// Out of 64 hexadecimal digits, as settings and files hold it.
    ///
    /// # Errors
    /// [`CipherError::MalformedMasterKey`].
    pub fn parse(text: &str) -> Result<Self, CipherError> {
        let text = Zeroizing::new(text.trim().to_ascii_lowercase());
        let bytes = HEXLOWER.decode(text.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| CipherError::MalformedMasterKey)?;
        let key = bytes.as_slice().try_into().map_err(|_| CipherError::MalformedMasterKey)?;
        Ok(Self(Zeroizing::new(key)))
    }

    /// Reads the file, or makes it, once, readable by its owner only. Of two that make it at the same time both get the
    /// same key, and a crash leaves either no file or a whole one.
    ///
    /// # Errors
    /// When the file can't be read or made, is no key, or can be read by others.
    pub fn open(path: &Path) -> Result<Self, CipherError> {
        let failed = |source| CipherError::MasterKeyFile { path: path.to_owned(), source };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Self::generate().create(path).map_err(failed)?;
                File::open(path).map_err(failed)?
            }
            Err(e) => return Err(failed(e)),
        };
        if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
            return Err(CipherError::MasterKeyExposed(path.to_owned()));
        }
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(failed)?;
        Self::parse(&text)
    }

    /// Writes the key beside `path` and links it there; a file that is already there stays.
    fn create(&self, path: &Path) -> io::Result<()> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(format!(".{:016x}", rand::random::<u64>()));
        let draft = PathBuf::from(draft);
        let written = (|| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            let text = Zeroizing::new(HEXLOWER.encode(&*self.0));
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            match std::fs::hard_link(&draft, path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
                _ => Ok(()),
            }
        })();
        let removed = std::fs::remove_file(&draft);
        written.and(removed)?;
        match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => File::open(".")?.sync_all(),
        }
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

/// One organisation's data keys, ready for use.
#[derive(Clone)]
pub struct Keyring {
    organization: Uuid,
    /// Never empty; the last one is current.
    keys: BTreeMap<u32, Zeroizing<[u8; KEY]>>,
}

/// One organisation's data keys as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKeyring {
    /// Whose.
    pub organization: Uuid,
    /// By version: nonce, wrapped key and tag in Base64.
    pub keys: BTreeMap<u32, String>,
}

impl Keyring {
    /// With one new random key, version 1.
    pub fn generate(organization: Uuid) -> Self {
        Self::with_key(organization, 1, rand::random())
    }

    /// With one given key.
    pub fn with_key(organization: Uuid, version: u32, key: [u8; KEY]) -> Self {
        Self { organization, keys: BTreeMap::from([(version, Zeroizing::new(key))]) }
    }

    /// Whose keys they are.
    pub fn organization(&self) -> Uuid {
        self.organization
    }

    /// The version that encrypts.
    pub fn version(&self) -> u32 {
        self.keys.last_key_value().map_or(0, |(version, _)| *version)
    }

    /// Adds a new random key, which encrypts from now on, and returns its version. The old ones still decrypt.
    pub fn rotate(&mut self) -> u32 {
        let version = self.version() + 1;
        self.keys.insert(version, Zeroizing::new(rand::random()));
        version
    }

    /// Adds a key that was made elsewhere, which encrypts from now on, and returns its version here. The old ones still
    /// decrypt. Nothing happens when it is the current one already.
    pub fn adopt(&mut self, key: [u8; KEY]) -> u32 {
        let version = self.version();
        if self.keys.get(&version).is_some_and(|current| **current == key) {
            return version;
        }
        self.keys.insert(version + 1, Zeroizing::new(key));
        version + 1
    }

    /// Encrypts what belongs to `field`.
    ///
    /// # Errors
    /// [`CipherError::TooLong`], beyond 64 GiB.
    pub fn encrypt(&self, field: &Field<'_>, plain: &[u8]) -> Result<String, CipherError> {
        let (version, key) = self.keys.last_key_value().ok_or(CipherError::UnknownVersion(0))?;
        let sealed = seal(key, &self.associated(field, *version), plain)?;
        Ok(format!("v1:{version}:{sealed}"))
    }

    /// Decrypts what [`Keyring::encrypt`] made for the same field.
    ///
    /// # Errors
    /// When it is no encrypted text, its key is missing, or it was not made for this field.
    pub fn decrypt(&self, field: &Field<'_>, text: &str) -> Result<Zeroizing<Vec<u8>>, CipherError> {
        let (version, sealed) = split(text)?;
        let key = self.keys.get(&version).ok_or(CipherError::UnknownVersion(version))?;
        open(key, &self.associated(field, version), sealed)
    }

    /// The same value under the current key; `None` when it already is.
    ///
    /// # Errors
    /// As [`Keyring::decrypt`] and [`Keyring::encrypt`].
    pub fn renew(&self, field: &Field<'_>, text: &str) -> Result<Option<String>, CipherError> {
        if split(text)?.0 == self.version() {
            return Ok(None);
        }
        let plain = self.decrypt(field, text)?;
        self.encrypt(field, &plain).map(Some)
    }

    /// As it can be stored.
    ///
    /// # Errors
    /// None that can happen to a key's length.
    pub fn wrap(&self, master: &MasterKey) -> Result<WrappedKeyring, CipherError> {
        let wrap = |(version, key): (&u32, &Zeroizing<[u8; KEY]>)| {
            Ok((*version, seal(&master.0, &key_name(self.organization, *version), &**key)?))
        };
        let keys = self.keys.iter().map(wrap).collect::<Result<_, CipherError>>()?;
        Ok(WrappedKeyring { organization: self.organization, keys })
    }

    fn associated(&self, field: &Field<'_>, version: u32) -> Vec<u8> {
        let mut data = key_name(self.organization, version);
        for part in [field.table, field.row, field.column] {
            // With its length, so that no two places read the same.
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<_> = self.keys.keys().collect();
        f.debug_struct("Keyring").field("organization", &self.organization).field("versions", &versions).finish()
    }
}

impl WrappedKeyring {
    /// Ready for use.
    ///
    /// # Errors
    /// [`CipherError::WrongMasterKey`], and [`CipherError::Malformed`] when there is no key in it.
    pub fn unwrap(&self, master: &MasterKey) -> Result<Keyring, CipherError> {
        if self.keys.is_empty() {
            return Err(CipherError::Malformed);
        }
        let unwrap = |(version, sealed): (&u32, &String)| {
            let key = open(&master.0, &key_name(self.organization, *version), sealed);
            let key = key.map_err(|_| CipherError::WrongMasterKey)?;
            let key = key.as_slice().try_into().map_err(|_| CipherError::WrongMasterKey)?;
            Ok((*version, Zeroizing::new(key)))
        };
        let keys = self.keys.iter().map(unwrap).collect::<Result<_, CipherError>>()?;
        Ok(Keyring { organization: self.organization, keys })
    }

    /// The same data keys under another master key.
    ///
    /// # Errors
    /// As [`WrappedKeyring::unwrap`].
    pub fn rewrap(&self, from: &MasterKey, to: &MasterKey) -> Result<Self, CipherError> {
        self.unwrap(from)?.wrap(to)
    }
}

/// What a data key is called; also the beginning of every field's associated data.
fn key_name(organization: Uuid, version: u32) -> Vec<u8> {
    let mut name = b"sent v1".to_vec();
    name.extend_from_slice(organization.as_bytes());
    name.extend_from_slice(&version.to_be_bytes());
    name
}

fn split(text: &str) -> Result<(u32, &str), CipherError> {
    let (version, sealed) = text.strip_prefix("v1:").and_then(|t| t.split_once(':')).ok_or(CipherError::Malformed)?;
    let number: u32 = version.parse().map_err(|_| CipherError::Malformed)?;
    // One spelling for each version.
    if number.to_string() != version {
        return Err(CipherError::Malformed);
    }
    Ok((number, sealed))
}

fn seal(key: &[u8; KEY], associated: &[u8], plain: &[u8]) -> Result<String, CipherError> {
    let nonce: [u8; NONCE] = rand::random();
    let payload = Payload { msg: plain, aad: associated };
    let sealed = Aes256Gcm::new(key.into()).encrypt(&Nonce::from(nonce), payload).map_err(|_| CipherError::TooLong)?;
    Ok(BASE64_NOPAD.encode(&[&nonce[..], &sealed].concat()))
}

fn open(key: &[u8; KEY], associated: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let bytes = BASE64_NOPAD.decode(sealed.as_bytes()).map_err(|_| CipherError::Malformed)?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or(CipherError::Malformed)?;
    if sealed.len() < TAG {
        return Err(CipherError::Malformed);
    }
    let payload = Payload { msg: sealed, aad: associated };
    let plain = Aes256Gcm::new(key.into()).decrypt(&Nonce::from(*nonce), payload);
    plain.map(Zeroizing::new).map_err(|_| CipherError::Refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELD: Field<'_> = Field { table: "users", row: "7", column: "phone" };

    #[test]
    fn master_keys_are_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let made = MasterKey::open(&path).unwrap();
        let read = MasterKey::open(&path).unwrap();
        assert_eq!(made.0, read.0);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(MasterKey::open(&path), Err(CipherError::MasterKeyExposed(_))));
        assert!(matches!(MasterKey::open(&path.join("below")), Err(CipherError::MasterKeyFile { .. })));
        assert!(matches!(MasterKey::parse("abc"), Err(CipherError::MalformedMasterKey)));
    }

    #[test]
    fn rotation_keeps_what_was_written_and_renews_it() {
        let mut keyring = Keyring::generate(Uuid::from_u128(1));
        let old = keyring.encrypt(&FIELD, b"+49 30 1234").unwrap();
        assert!(old.starts_with("v1:1:"));
        assert_eq!(keyring.renew(&FIELD, &old).unwrap(), None);

        assert_eq!(keyring.rotate(), 2);
        assert_eq!(&**keyring.decrypt(&FIELD, &old).unwrap(), b"+49 30 1234");
        let new = keyring.renew(&FIELD, &old).unwrap().unwrap();
        assert!(new.starts_with("v1:2:"));
        assert_eq!(&**keyring.decrypt(&FIELD, &new).unwrap(), b"+49 30 1234");
    }

    #[test]
    fn an_adopted_key_takes_no_old_one_away() {
        let mut keyring = Keyring::generate(Uuid::from_u128(1));
        let old = keyring.encrypt(&FIELD, b"secret").unwrap();
        assert_eq!(keyring.adopt([7; KEY]), 2);
        assert_eq!(keyring.adopt([7; KEY]), 2, "twice is once");
        assert_eq!(&**keyring.decrypt(&FIELD, &old).unwrap(), b"secret");
        assert!(keyring.renew(&FIELD, &old).unwrap().unwrap().starts_with("v1:2:"));
    }

    #[test]
    fn keys_are_stored_wrapped() {
        let (master, other) = (MasterKey::generate(), MasterKey::generate());
        let mut keyring = Keyring::generate(Uuid::from_u128(1));
        keyring.rotate();
        let text = keyring.encrypt(&FIELD, b"secret").unwrap();

        let stored = serde_json::to_string(&keyring.wrap(&master).unwrap()).unwrap();
        let wrapped: WrappedKeyring = serde_json::from_str(&stored).unwrap();
        assert_eq!(&**wrapped.unwrap(&master).unwrap().decrypt(&FIELD, &text).unwrap(), b"secret");
        assert!(matches!(wrapped.unwrap(&other), Err(CipherError::WrongMasterKey)));

        let rewrapped = wrapped.rewrap(&master, &other).unwrap();
        assert_eq!(&**rewrapped.unwrap(&other).unwrap().decrypt(&FIELD, &text).unwrap(), b"secret");

        let mut moved = wrapped.clone();
        moved.organization = Uuid::from_u128(2);
        assert!(matches!(moved.unwrap(&master), Err(CipherError::WrongMasterKey)));
        let mut swapped = wrapped;
        let second = swapped.keys[&2].clone();
        swapped.keys.insert(1, second);
        assert!(matches!(swapped.unwrap(&master), Err(CipherError::WrongMasterKey)));
    }

    fn field(place: &[String; 3]) -> Field<'_> {
        Field { table: &place[0], row: &place[1], column: &place[2] }
    }

    proptest! {
        #[test]
        fn only_its_own_place_reads_it(
            plain: Vec<u8>,
            place in prop::array::uniform3("[a-c/:]{0,3}"),
            other in prop::array::uniform3("[a-c/:]{0,3}"),
            organizations: (bool, bool),
        ) {
            let key = [7; KEY];
            let organization = |b: bool| Uuid::from_u128(u128::from(b));
            let writer = Keyring::with_key(organization(organizations.0), 1, key);
            let reader = Keyring::with_key(organization(organizations.1), 1, key);
            let text = writer.encrypt(&field(&place), &plain).unwrap();
            let read = reader.decrypt(&field(&other), &text);
            if place == other && organizations.0 == organizations.1 {
                prop_assert_eq!(&**read.unwrap(), &plain);
            } else {
                prop_assert!(matches!(read, Err(CipherError::Refused)));
            }
        }

        #[test]
        fn one_changed_or_missing_character_is_refused(plain: Vec<u8>, at: prop::sample::Index, by in 1u8..=255, cut: bool) {
            let keyring = Keyring::generate(Uuid::nil());
            let text = keyring.encrypt(&FIELD, &plain).unwrap();
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= by }
            let changed = String::from_utf8_lossy(&bytes);
            prop_assert!(keyring.decrypt(&FIELD, &changed).is_err());
        }

        #[test]
        fn any_text_gets_an_answer(text: String, sealed in "v1:[0-9]{0,11}:[A-Za-z0-9+/]{0,80}") {
            let keyring = Keyring::generate(Uuid::nil());
            prop_assert!(keyring.decrypt(&FIELD, &text).is_err());
            prop_assert!(keyring.decrypt(&FIELD, &sealed).is_err());
        }
    }
}
