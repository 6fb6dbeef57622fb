//! Backup of a running box, and restore.
//!
//! A backup is one file: a Zstandard-compressed tar of a consistent copy of the business database (SQLite's online backup),
//! the master key and identity, and the objects. Telemetry is not in it: the cloud has it, and it ages out.
//!
//! A restored box is not the box that made the last transactions. It therefore begins a new epoch: what still waited is
//! chained anew, and the cloud gives back what the backup lacks (docs/design/0002, "Epochs").

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use crate::{
    Store, StoreError,
    connection::{self, FILE},
    epoch,
    tenancy::Session,
};

/// Folders and files of a data folder that a backup holds besides the database.
const PARTS: &[&str] = &["master.key", "keys.json", "identity", "objects", "sent.toml"];

/// Where a restore makes the parts ready, within the data folder so that moving them is a renaming.
const MADE_READY: &str = ".restoring";

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
    /// What the restore took back; nothing in a backup.
    pub taken_back: TakenBack,
}

/// Ways in that were kept on the box alone: which of them were revoked or used since the backup, nobody knows any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TakenBack {
    /// Sessions that ended.
    pub sessions: usize,
    /// API tokens that sleep until their owners wake them.
    pub tokens: usize,
    /// Recovery codes that are void.
    pub recovery_codes: usize,
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
        pack(&mut archive, &store.data().join(part), Path::new(part)).map_err(io)?;
    }
    let file = archive.into_inner().and_then(zstd::Encoder::finish).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&partial, target).map_err(|e| StoreError::io(target, e))?;
    let bytes = target.metadata().map_err(|e| StoreError::io(target, e))?.len();
    Ok(BackupReport {
        bytes,
        epoch: row.epoch,
        sequence: row.sequence,
        audit_sequence: row.audit_sequence,
        taken_back: TakenBack::default(),
    })
}

/// Packs a file, or a folder with all below it. Left out is what has a dot before its name, for it is still being written
/// (uploads into `objects/.staging`), and what goes while it is looked at.
fn pack<W: Write>(archive: &mut tar::Builder<W>, path: &Path, name: &Path) -> std::io::Result<()> {
    let found = |e: std::io::Error| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) };
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) => return found(error),
    };
    if metadata.is_dir() {
        archive.append_dir(name, path)?;
        for entry in std::fs::read_dir(path)? {
            let entry = entry?.file_name();
            if !entry.as_encoded_bytes().starts_with(b".") {
                pack(archive, &path.join(&entry), &name.join(&entry))?;
            }
        }
    } else if metadata.is_file() {
        match File::open(path) {
            Ok(mut file) => archive.append_file(name, &mut file)?,
            Err(error) => return found(error),
        }
    }
    Ok(())
}

fn copy_database(from: &Path, to: &Path) -> Result<(), StoreError> {
    let source = Connection::open(from)?;
    source.busy_timeout(Duration::from_secs(15))?;
    let mut target = Connection::open(to)?;
    Backup::new(&source, &mut target)?.run_to_completion(1024, Duration::ZERO, None)?;
    Ok(())
}

/// Brings a backup back into a data folder that holds no box, and begins a new epoch. What stands there under the name of a
/// part of the backup is replaced.
///
/// All of it is made ready in a folder within and then moved into place, the database last: a folder that was cut off on the
/// way holds no box, and the same again begins anew.
pub fn restore(source: &Path, data: &Path) -> Result<BackupReport, StoreError> {
    let io = |e| StoreError::io(data, e);
    if holds_box(data) {
        return Err(StoreError::Initialised);
    }
    let file = File::open(source).map_err(|e| StoreError::io(source, e))?;
    let bytes = file.metadata().map_err(|e| StoreError::io(source, e))?.len();
    let decoder = zstd::Decoder::new(file).map_err(|e| StoreError::io(source, e))?;
    let made = data.join(MADE_READY);
    clear(&made).and_then(|()| std::fs::create_dir_all(&made)).map_err(io)?;
    unpack(tar::Archive::new(decoder), &made)
        .map_err(|e| StoreError::Corrupt(format!("{} is no whole backup: {e}", source.display())))?;
    if !connection::path(&made).exists() {
        return Err(StoreError::Corrupt(format!("{} holds no box", source.display())));
    }
    let report = begin_epoch(&made, bytes)?;
    move_in(&made, data).map_err(io)?;
    Ok(report)
}

/// Whether a box lives in this folder. What cannot be read counts as one: nothing is written over it.
fn holds_box(data: &Path) -> bool {
    let path = connection::path(data);
    if !path.exists() {
        return false;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // A verb on an empty folder leaves a database without a box.
    let boxes = Connection::open_with_flags(path, flags).and_then(|database| {
        let tables = "SELECT count(*) FROM sqlite_master WHERE name = 'sys_box'";
        if database.query_row(tables, [], |r| r.get::<_, i64>(0))? == 0 {
            return Ok(0);
        }
        database.query_row("SELECT count(*) FROM sys_box", [], |r| r.get::<_, i64>(0))
    });
    boxes.map_or(true, |n| n > 0)
}

/// Begins a new epoch in an unpacked backup, and takes back the ways in of then (docs/design/0004): a cookie or a token may be
/// in other hands by now and was revoked because of it, a recovery code may have been used.
fn begin_epoch(data: &Path, bytes: u64) -> Result<BackupReport, StoreError> {
    let session = Session::default();
    let database = connection::open(data, &session, true)?;
    let report = session.privileged(|| {
        let transaction = database.unchecked_transaction()?;
        let row = connection::read_box(&database)?.ok_or(StoreError::NotInitialised)?;
        let epoch = row.epoch + 1;
        epoch::begin(&database, &row, epoch)?;
        let taken_back = TakenBack {
            sessions: database.execute("DELETE FROM sys_sessions", [])?,
            tokens: database.execute("UPDATE api_tokens_rows SET asleep = 1", [])?,
            recovery_codes: database.execute("DELETE FROM recovery_codes_rows WHERE used_at IS NULL", [])?,
        };
        transaction.commit()?;
        let (sequence, audit_sequence) = (row.sequence, row.audit_sequence);
        Ok::<_, StoreError>(BackupReport { bytes, epoch, sequence, audit_sequence, taken_back })
    })?;
    // The last connection that closes brings the write-ahead log into the database and removes it.
    database.close().map_err(|(_, e)| StoreError::sorted(e.into()))?;
    Ok(report)
}

/// Moves what was made ready into place, the database last and once everything else is durable.
fn move_in(made: &Path, data: &Path) -> std::io::Result<()> {
    sync_folders(made)?;
    for part in PARTS {
        let (from, to) = (made.join(part), data.join(part));
        if from.exists() {
            clear(&to)?;
            std::fs::rename(from, to)?;
        }
    }
    for suffix in ["-wal", "-shm", ""] {
        clear(&data.join(format!("{FILE}{suffix}")))?;
    }
    File::open(data)?.sync_all()?;
    std::fs::rename(connection::path(made), connection::path(data))?;
    clear(made)?;
    File::open(data)?.sync_all()?;
    // The folder itself may be new.
    match data.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Makes the names in a folder and all below it durable.
fn sync_folders(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Removes a file or a folder, if it is there.
fn clear(path: &Path) -> std::io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(m) if m.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
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
                ErrorKind::InvalidData,
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
