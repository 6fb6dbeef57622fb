//! The public rules and events, unpacked once into the target folder. They stay outside the repository.

use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Map, Value};

/// The unpacked SigmaHQ corpus.
pub struct Corpus {
    folder: PathBuf,
}

/// One published regression set.
pub struct Set {
    /// The rule that must match.
    pub rule: String,
    /// How often; at least once where it is not said.
    pub count: Option<u64>,
    /// The events as EVTX and as JSON, whichever there are.
    pub files: Vec<PathBuf>,
}

impl Corpus {
    /// Unpacks the corpus: `$SENT_CORPORA`, or `shared/corpora` beside the repository.
    pub fn unpack() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/corpora");
        let corpora = std::env::var_os("SENT_CORPORA").map_or(root, PathBuf::from);
        let file = std::fs::File::open(corpora.join("sigma.tar.gz")).expect("the corpora lie beside the repository");
        let length = file.metadata().expect("a file has a length").len();
        let targets = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Another archive is another folder.
        let folder = targets.join(format!("sigma-{length}"));
        if !folder.is_dir() {
            let fresh = tempfile::tempdir_in(targets).expect("a temporary folder");
            tar::Archive::new(GzDecoder::new(file)).unpack(fresh.path()).expect("the corpus unpacks");
            // Another test may have been first: then its folder is as good.
            if std::fs::rename(fresh.path(), &folder).is_ok() {
                let _ = fresh.keep();
            }
        }
        assert!(folder.is_dir(), "{} cannot be made", folder.display());
        Self { folder }
    }

    fn root(&self) -> PathBuf {
        self.folder.join("sigma")
    }

    /// The main rule folder.
    pub fn rules(&self) -> PathBuf {
        self.root().join("rules")
    }

    /// All rule folders.
    pub fn all_rules(&self) -> Vec<PathBuf> {
        ["rules", "rules-emerging-threats", "rules-threat-hunting"].map(|folder| self.root().join(folder)).into()
    }

    /// The regression sets.
    pub fn sets(&self) -> Vec<Set> {
        let mut infos = Vec::new();
        find(&self.root().join("regression_data"), &mut infos);
        infos.sort();
        infos.iter().map(|info| set(info)).collect()
    }

    /// Every event of the regression sets, as fields without nesting: what an agent would send.
    pub fn events(&self) -> Vec<Map<String, Value>> {
        let mut events = Vec::new();
        for file in self.sets().iter().flat_map(|set| &set.files) {
            if file.extension().is_some_and(|extension| extension == "json") {
                sent_radar::events::each(file, |_, event| {
                    events.push(flat(&serde_json::from_slice(event.expect("readable")).expect("JSON")));
                })
                .expect("readable");
            }
        }
        events
    }
}

fn flat(event: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    let system = event.pointer("/Event/System").and_then(Value::as_object).into_iter().flatten();
    for (name, value) in system {
        match value.pointer("/#attributes").and_then(Value::as_object) {
            Some(attributes) => {
                fields.extend(attributes.iter().map(|(key, value)| (format!("{name}_{key}"), value.clone())));
            }
            None => _ = fields.insert(name.clone(), value.clone()),
        }
    }
    let data = event.pointer("/Event/EventData").and_then(Value::as_object).into_iter().flatten();
    fields.extend(data.map(|(name, value)| (name.clone(), value.clone())));
    fields
}

fn find(folder: &Path, infos: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, infos);
        } else if path.file_name().is_some_and(|name| name == "info.yml") {
            infos.push(path);
        }
    }
}

fn set(info: &Path) -> Set {
    let text = std::fs::read_to_string(info).expect("readable");
    let lines = || text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let after = |text: &str| lines().find_map(|line| line.strip_prefix(text).map(|rest| rest.trim().to_owned()));
    let metadata = lines().skip_while(|line| *line != "rule_metadata:").find_map(|line| line.strip_prefix("- id:"));
    let folder = info.parent().expect("a file lies in a folder");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file != info);
    files.sort();
    Set {
        rule: metadata.expect("a set names its rule").trim().to_owned(),
        count: after("match_count:").map(|count| count.parse().expect("a number")),
        files,
    }
}
