//! Backup of a running box, and restore.
//!
//! A backup is one file: a Zstandard-compressed tar of a consistent copy of the business database (SQLite's online backup),
//! the master key and identity, and the objects. Telemetry is not in it: the cloud has it, and it ages out.
//!
//! A restored box is not the box that made the last transactions. It therefore begins a new epoch: what still waited is
//! chained anew, and the cloud gives back what the backup lacks (docs/design/0002, "Epochs").

use std::{
    fs::File,
    io::{Read, Write},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, backup::Backup};

use crate::{
    Store, StoreError,
    connection::{self, FILE},
    epoch,
    tenancy::Session,
};

/// Folders and files of a data folder that a backup holds besides the database.
const PARTS: &[&str] = &["master.key", "keys.json", "identity", "objects", "sent.toml"];

/// Zstandard level of a backup.
const LEVEL: i32 = 6;

/// What a backup holds, or what a restore brought back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BackupReport {
    /// Bytes of the backup file.
    pub bytes: u64,
    /// Epoch of the box: for a restore, the new one.
    pub epoch: u64,
    /// Last transaction in it.
    pub sequence: u64,
    /// Last audit entry in it.
    pub audit_sequence: i64,
}

/// Writes a backup of a box that may be running to `target`, atomically. `target` must not be inside the data folder.
pub fn backup(store: &Store, target: &Path) -> Result<BackupReport, StoreError> {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = tempfile::tempdir_in(folder).map_err(|e| StoreError::io(folder, e))?;
    let copy = work.path().join(FILE);
    copy_database(&connection::path(store.data()), &copy)?;
    let session = Session::default();
    let database = connection::open(work.path(), &session, false)?;
    let row = session.privileged(|| connection::read_box(&database))?.ok_or(StoreError::NotInitialised)?;
    drop(database);

    let partial = work.path().join("backup.partial");
    let file = File::create(&partial).map_err(|e| StoreError::io(&partial, e))?;
    let io = |e| StoreError::io(&partial, e);
    let encoder = zstd::Encoder::new(file, LEVEL).map_err(io)?;
    let mut archive = tar::Builder::new(encoder);
    archive.append_path_with_name(&copy, FILE).map_err(io)?;
    for part in PARTS {
        let path = store.data().join(part);
        if path.is_dir() {
            archive.append_dir_all(part, &path).map_err(io)?;
        } else if path.is_file() {
            archive.append_path_with_name(&path, part).map_err(io)?;
        }
    }
    let file = archive.into_inner().and_then(zstd::Encoder::finish).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&partial, target).map_err(|e| StoreError::io(target, e))?;
    let bytes = target.metadata().map_err(|e| StoreError::io(target, e))?.len();
    Ok(BackupReport { bytes, epoch: row.epoch, sequence: row.sequence, audit_sequence: row.audit_sequence })
}

fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = Connection::open(from)?;
    source.busy_timeout(Duration::from_secs(15))?;
    let mut target = Connection::open(to)?;
    Backup::new(&source, &mut target)?.run_to_completion(1024, Duration::ZERO, None)?;
    Ok(())
}

/// Brings a backup back into an empty or missing data folder and begins a new epoch.
pub fn restore(source: &Path, data: &Path) -> Result<BackupReport, StoreError> {
    if connection::path(data).exists() {
        return Err(StoreError::Initialised);
    }
    std::fs::create_dir_all(data).map_err(|e| StoreError::io(data, e))?;
    let file = File::open(source).map_err(|e| StoreError::io(source, e))?;
    let bytes = file.metadata().map_err(|e| StoreError::io(source, e))?.len();
    let decoder = zstd::Decoder::new(file).map_err(|e| StoreError::io(source, e))?;
    unpack(tar::Archive::new(decoder), data)
        .map_err(|e| StoreError::Corrupt(format!("{} is no whole backup: {e}", source.display())))?;
    if !connection::path(data).exists() {
        return Err(StoreError::Corrupt(format!("{} holds no box", source.display())));
    }
    let session = Session::default();
    let database = connection::open(data, &session, true)?;
    session.privileged(|| {
        let transaction = database.unchecked_transaction()?;
        let row = connection::read_box(&database)?.ok_or(StoreError::NotInitialised)?;
        let epoch = row.epoch + 1;
        epoch::begin(&database, &row, epoch)?;
        transaction.commit()?;
        Ok(BackupReport { bytes, epoch, sequence: row.sequence, audit_sequence: row.audit_sequence })
    })
}

fn unpack<R: Read>(mut archive: tar::Archive<R>, data: &Path) -> std::io::Result<()> {
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.into_owned();
        let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
        let ours = path
            .components()
            .next()
            .is_some_and(|c| c.as_os_str() == FILE || PARTS.iter().any(|p| c.as_os_str() == *p));
        if !plain || !ours || !(entry.header().entry_type().is_file() || entry.header().entry_type().is_dir()) {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("{} does not belong there", path.display()),
            ));
        }
        let target = data.join(&path);
        if entry.header().entry_type().is_dir() {
            std::fs::create_dir_all(&target)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&target)?;
        std::io::copy(&mut entry, &mut file)?;
        file.flush()?;
        file.sync_all()?;
    }
    Ok(())
}
