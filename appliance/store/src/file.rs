//! Writing a small file so that a cut at any instruction leaves the old content or the new, never half of it.

use std::{fs::File, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use crate::StoreError;

/// Writes `bytes` beside `path`, syncs, renames, syncs the folder. Readable by its owner only.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let io = |e| StoreError::io(path, e);
    let folder = path.parent().ok_or_else(|| io(std::io::Error::from(std::io::ErrorKind::InvalidInput)))?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(partial).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io)?;
    std::fs::rename(partial, path).map_err(io)?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(io)
}
