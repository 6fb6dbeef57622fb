//! Where the field cipher's keys are kept: `master.key` (0600) and, wrapped by it, every organisation's keyring in
//! `keys.json`. Written atomically, so that a cut leaves the old file or the new one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use sent_core::cipher::{Keyring, MasterKey, WrappedKeyring};
use uuid::Uuid;

use crate::StoreError;

/// The keyrings of this box.
pub struct Keys {
    file: PathBuf,
    master: MasterKey,
    rings: RwLock<BTreeMap<Uuid, Arc<Keyring>>>,
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("the keys of this box: {error}"))
}

impl Keys {
    /// Opens the keys of a data folder, making the master key when there is none.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let master = MasterKey::open(&data.join("master.key")).map_err(corrupt)?;
        let file = data.join("keys.json");
        let wrapped: Vec<WrappedKeyring> = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(corrupt)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(StoreError::io(&file, e)),
        };
        let rings = wrapped
            .iter()
            .map(|w| w.unwrap(&master).map(|ring| (ring.organization(), Arc::new(ring))).map_err(corrupt))
            .collect::<Result<_, _>>()?;
        Ok(Self { file, master, rings: RwLock::new(rings) })
    }

    /// The keyring of an organisation, made when there is none.
    pub fn ring(&self, organization: Uuid) -> Result<Arc<Keyring>, StoreError> {
        if let Some(ring) = self.rings.read().unwrap_or_else(|e| e.into_inner()).get(&organization) {
            return Ok(ring.clone());
        }
        let mut rings = self.rings.write().unwrap_or_else(|e| e.into_inner());
        if let Some(ring) = rings.get(&organization) {
            return Ok(ring.clone());
        }
        let ring = Arc::new(Keyring::generate(organization));
        rings.insert(organization, ring.clone());
        self.save(&rings)?;
        Ok(ring)
    }

    /// A new key for an organisation; the old ones still open what they closed.
    pub fn rotate(&self, organization: Uuid) -> Result<u32, StoreError> {
        let old = self.ring(organization)?.wrap(&self.master).map_err(corrupt)?;
        let mut ring = old.unwrap(&self.master).map_err(corrupt)?;
        let version = ring.rotate();
        self.replace(ring)?;
        Ok(version)
    }

    /// Takes over the key the cloud keeps for an organisation.
    pub fn import(
        &self,
        organization: Uuid,
        version: u32,
        key: [u8; sent_core::cipher::KEY],
    ) -> Result<(), StoreError> {
        let old = self.rings.read().unwrap_or_else(|e| e.into_inner()).get(&organization).cloned();
        let ring = match old {
            Some(old) => {
                let mut ring = old.wrap(&self.master).and_then(|w| w.unwrap(&self.master)).map_err(corrupt)?;
                ring.insert(version, key);
                ring
            }
            None => Keyring::with_key(organization, version, key),
        };
        self.replace(ring)
    }

    fn replace(&self, ring: Keyring) -> Result<(), StoreError> {
        let mut rings = self.rings.write().unwrap_or_else(|e| e.into_inner());
        rings.insert(ring.organization(), Arc::new(ring));
        self.save(&rings)
    }

    fn save(&self, rings: &BTreeMap<Uuid, Arc<Keyring>>) -> Result<(), StoreError> {
        let wrapped = rings.values().map(|r| r.wrap(&self.master)).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
        let bytes = serde_json::to_vec_pretty(&wrapped).map_err(corrupt)?;
        crate::file::write_atomically(&self.file, &bytes)
    }
}
