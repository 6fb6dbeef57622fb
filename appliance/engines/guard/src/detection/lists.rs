//! Listed addresses, networks and domains.
//!
//! A list is a file, one entry a line: an address, a network (`192.0.2.0/24`), or a domain, which stands for all below it
//! too. What follows `#` or `;` is a comment; lines of a hosts file (`0.0.0.0 domain`) are domains. A line that is none of
//! these is counted, never an error. The file's name is the list's name.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;

use super::{Detection, Found, Kind, Lookup, Severity, Talk};

/// Bytes a list may have.
const MOST: u64 = 64 << 20;

/// Addresses, networks and domains.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    addresses: HashSet<IpAddr>,
    /// By the length of their prefix.
    networks: HashMap<u8, HashSet<IpNet>>,
    domains: HashSet<String>,
}

impl Entries {
    /// Of texts; what is none is left out.
    pub fn of(texts: &[String]) -> Self {
        let mut entries = Self::default();
        for text in texts {
            entries.add(text);
        }
        entries
    }

    /// Takes one up; false when it is none.
    pub fn add(&mut self, text: &str) -> bool {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            self.addresses.insert(address);
            return true;
        }
        if let Ok(network) = text.parse::<IpNet>() {
            self.networks.entry(network.prefix_len()).or_default().insert(network.trunc());
            return true;
        }
        let domain = text.strip_prefix("*.").unwrap_or(text).trim_matches('.').to_ascii_lowercase();
        let form = domain.contains('.')
            && domain.len() <= 253
            && domain.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'.' | b'-' | b'_'));
        if form {
            self.domains.insert(domain);
        }
        form
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.addresses.len() + self.networks.values().map(HashSet::len).sum::<usize>() + self.domains.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entry that an address falls under.
    pub fn address(&self, address: IpAddr) -> Option<String> {
        if self.addresses.contains(&address) {
            return Some(address.to_string());
        }
        self.networks.iter().find_map(|(length, networks)| {
            let network = IpNet::new(address, *length).ok()?.trunc();
            networks.contains(&network).then(|| network.to_string())
        })
    }

    /// The entry that a name falls under.
    pub fn domain(&self, name: &str) -> Option<String> {
        if self.domains.is_empty() {
            return None;
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut rest = name.as_str();
        loop {
            if let Some(found) = self.domains.get(rest) {
                return Some(found.clone());
            }
            rest = rest.split_once('.')?.1;
        }
    }
}

/// One list.
#[derive(Clone, Debug)]
pub struct List {
    /// Its name.
    pub name: String,
    /// What it names.
    pub entries: Entries,
    /// Lines that could not be read.
    pub refused: usize,
}

impl List {
    /// Out of a file's text.
    pub fn parse(name: &str, text: &str) -> Self {
        let (mut entries, mut refused) = (Entries::default(), 0);
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default().trim();
            let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
            let Some(first) = words.next() else { continue };
            let entry = match (first, words.next()) {
                ("0.0.0.0" | "127.0.0.1" | "::", Some(domain)) => domain,
                _ => first,
            };
            refused += usize::from(!entries.add(entry));
        }
        Self { name: name.to_owned(), entries, refused }
    }
}

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the list {}: {reason}", file.display())]
pub struct ListError {
    /// Which.
    pub file: PathBuf,
    /// Why.
    pub reason: String,
}

/// All lists; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Lists(Arc<Vec<List>>);

impl Lists {
    /// Of these.
    pub fn new(lists: Vec<List>) -> Self {
        Self(Arc::new(lists))
    }

    /// Reads files. One that cannot be read is told, the others count all the same.
    pub fn read(files: &[PathBuf]) -> (Self, Vec<ListError>) {
        let (mut lists, mut errors) = (Vec::new(), Vec::new());
        for file in files {
            match read(file) {
                Ok(list) => lists.push(list),
                Err(reason) => errors.push(ListError { file: file.clone(), reason }),
            }
        }
        (Self::new(lists), errors)
    }

    /// The lists.
    pub fn iter(&self) -> impl Iterator<Item = &List> {
        self.0.iter()
    }

    pub(super) fn flow(&self, talk: &Talk<'_>, found: &mut Found) {
        for list in self.0.iter() {
            let domain = talk.name.and_then(|name| list.entries.domain(name));
            let entry = domain
                .or_else(|| list.entries.address(talk.destination))
                .map(|entry| (entry, true))
                .or_else(|| list.entries.address(talk.source).map(|entry| (entry, false)));
            let Some((entry, outwards)) = entry else { continue };
            // Whoever is asked from outside and does not answer has done nothing.
            let answered = talk.flow.sides.iter().all(|side| side.packets > 0);
            let severity = match (outwards, answered) {
                (true, true) => Severity::High,
                (true, false) | (false, true) => Severity::Medium,
                (false, false) => Severity::Low,
            };
            let title = match outwards {
                true => format!("{} talks to {}, listed in {}", talk.source, talk.whom(), list.name),
                false => format!("{}, listed in {}, talks to {}", talk.source, list.name, talk.destination),
            };
            let key = format!("{}:{}:{entry}", if outwards { talk.source } else { talk.destination }, list.name);
            found.push(
                Detection::new(Kind::Listed, severity, key, title, (talk.flow.start, talk.flow.end))
                    .fact("list", &list.name)
                    .fact("entry", entry)
                    .fact("answered", if answered { "yes" } else { "no" })
                    .shown_by(talk),
            );
        }
    }

    pub(super) fn lookup(&self, lookup: &Lookup<'_>, found: &mut Found) {
        if lookup.message.response {
            return;
        }
        for list in self.0.iter() {
            for question in &lookup.message.questions {
                let Some(entry) = list.entries.domain(&question.name) else { continue };
                let title = format!("{} looks up {}, listed in {}", lookup.client, question.name, list.name);
                let key = format!("{}:{}:{entry}", lookup.client, list.name);
                let span = (lookup.time, lookup.time);
                let mut detection = Detection::new(Kind::Listed, Severity::Medium, key, title, span)
                    .fact("list", &list.name)
                    .fact("entry", entry)
                    .fact("name", &question.name);
                (detection.source, detection.port) = (Some(lookup.client), Some(53));
                found.push(detection);
            }
        }
    }
}

fn read(file: &Path) -> Result<List, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > MOST {
        return Err(format!("{size} bytes are more than a list may have ({MOST})"));
    }
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    let name = file.file_stem().map_or_else(|| "list".into(), |name| name.to_string_lossy());
    Ok(List::parse(&name, &String::from_utf8_lossy(&bytes)))
}
