//! Where the field cipher's keys are kept: `master.key` (0600) and, wrapped by it, every organisation's keyring in
//! `keys.json`. Written atomically, so that a cut leaves the old file or the new one.
//!
//! Several processes of a box share the file. Whoever changes it holds the lock on `keys.lock` and reads it anew first; whoever
//! reads looks whether it is still the file it knows, so that a key made by a verb is used by a running box at once.

use std::{
    collections::BTreeMap,
    fs::File,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use sent_core::cipher::{KEY, Keyring, MasterKey, WrappedKeyring};
use uuid::Uuid;

use crate::StoreError;

/// The keyrings of this box.
pub(crate) struct Keys {
    file: PathBuf,
    master: MasterKey,
    held: RwLock<Held>,
}

/// What the file held when it was last read.
#[derive(Default)]
struct Held {
    /// Inode, and time of change in nanoseconds: each version is a file of its own. `None`: there is no file.
    stamp: Option<(u64, i64)>,
    rings: BTreeMap<Uuid, Arc<Keyring>>,
}

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("the keys of this box: {error}"))
}

impl Keys {
    /// Opens the keys of a data folder, making the master key when there is none.
    pub(crate) fn open(data: &Path) -> Result<Self, StoreError> {
        let master = MasterKey::open(&data.join("master.key")).map_err(corrupt)?;
        let keys = Self { file: data.join("keys.json"), master, held: RwLock::default() };
        *keys.held.write().unwrap_or_else(PoisonError::into_inner) = keys.read()?;
        Ok(keys)
    }

    /// The keyring of an organisation, made when there is none.
    pub(crate) fn ring(&self, organization: Uuid) -> Result<Arc<Keyring>, StoreError> {
        let stamp = self.stamp()?;
        {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            if held.stamp == stamp
                && let Some(ring) = held.rings.get(&organization)
            {
                return Ok(ring.clone());
            }
        }
        self.change(|rings| {
            let made = || Arc::new(Keyring::generate(organization));
            let there = rings.contains_key(&organization);
            (rings.entry(organization).or_insert_with(made).clone(), !there)
        })
    }

    /// A new key for an organisation; the old ones still open what they closed.
    pub(crate) fn rotate(&self, organization: Uuid) -> Result<Arc<Keyring>, StoreError> {
        let first = self.ring(organization)?;
        self.change(|rings| {
            let mut ring = Keyring::clone(rings.get(&organization).unwrap_or(&first));
            ring.rotate();
            let ring = Arc::new(ring);
            rings.insert(organization, ring.clone());
            (ring, true)
        })
    }

    /// Takes over the key the cloud keeps for an organisation.
    pub(crate) fn adopt(&self, organization: Uuid, key: [u8; KEY]) -> Result<Arc<Keyring>, StoreError> {
        self.change(|rings| {
            let ring = match rings.get(&organization) {
                Some(old) => {
                    let mut ring = Keyring::clone(old);
                    ring.adopt(key);
                    ring
                }
                None => Keyring::with_key(organization, 1, key),
            };
            let ring = Arc::new(ring);
            rings.insert(organization, ring.clone());
            (ring, true)
        })
    }

    /// Reads the file anew and changes what is in it, alone among all processes; `f` says whether there is anything to write.
    fn change<T>(&self, f: impl FnOnce(&mut BTreeMap<Uuid, Arc<Keyring>>) -> (T, bool)) -> Result<T, StoreError> {
        let path = self.file.with_extension("lock");
        let io = |e| StoreError::io(&path, e);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        lock.lock().map_err(io)?;
        let mut now = self.read()?;
        let (value, changed) = f(&mut now.rings);
        if changed {
            self.save(&now.rings)?;
            now.stamp = self.stamp()?;
        }
        *held = now;
        Ok(value)
    }

    fn stamp(&self) -> Result<Option<(u64, i64)>, StoreError> {
        match std::fs::metadata(&self.file) {
            Ok(m) => Ok(Some((m.ino(), m.ctime() * 1_000_000_000 + m.ctime_nsec()))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::io(&self.file, e)),
        }
    }

    fn read(&self) -> Result<Held, StoreError> {
        // Taken before the content: a file that changes in between is read once more, not missed.
        let stamp = self.stamp()?;
        let wrapped: Vec<WrappedKeyring> = match std::fs::read(&self.file) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(corrupt)?,
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(StoreError::io(&self.file, e)),
        };
        let rings = wrapped
            .iter()
            .map(|w| w.unwrap(&self.master).map(|ring| (ring.organization(), Arc::new(ring))).map_err(corrupt))
            .collect::<Result<_, _>>()?;
        Ok(Held { stamp, rings })
    }

    fn save(&self, rings: &BTreeMap<Uuid, Arc<Keyring>>) -> Result<(), StoreError> {
        let wrapped = rings.values().map(|r| r.wrap(&self.master)).collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
        let bytes = serde_json::to_vec_pretty(&wrapped).map_err(corrupt)?;
        crate::file::write_atomically(&self.file, &bytes)
    }
}
