//! The captures, unpacked once into the target folder.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use flate2::read::GzDecoder;

/// Where the corpus stands beside the project; `SENT_CORPORA` names another place.
fn archive() -> PathBuf {
    let corpora = std::env::var_os("SENT_CORPORA").map_or_else(
        || {
            let here = Path::new(env!("CARGO_MANIFEST_DIR"));
            let mut beside = here.ancestors().map(|folder| folder.join("../shared/corpora"));
            beside.find(|folder| folder.exists()).unwrap_or_else(|| here.join("../shared/corpora"))
        },
        PathBuf::from,
    );
    corpora.join("pcap-zeek.tar.gz")
}

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let unpacked = place.join("pcap-zeek");
    if !unpacked.exists() {
        let archive = archive();
        let file = File::open(&archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
        let folder = tempfile::tempdir_in(place).expect("a folder for captures");
        tar::Archive::new(GzDecoder::new(file)).unpack(folder.path()).expect("the archive is whole");
        // Whole or not at all; another process may have been faster.
        if std::fs::rename(folder.path(), &unpacked).is_ok() {
            let _ = folder.keep();
        }
    }
    unpacked
});

/// All captures, by name.
pub fn all() -> Vec<(String, PathBuf)> {
    let root = FOLDER.join("zeek");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if ["pcap", "pcapng", "cap", "gz"].iter().any(|kind| path.extension().is_some_and(|is| is == *kind))
            {
                let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}
