//! The section `[radar]` of the settings file.

use std::{net::SocketAddr, path::PathBuf};

use serde::Deserialize;

use crate::{
    intake::queue,
    search::{self, Class},
};

/// The class of logs that no other class holds.
const REST: &str = "rest";

/// What can be set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address for syslog over UDP; empty: none.
    pub syslog_udp: String,
    /// Address for syslog over TCP; empty: none.
    pub syslog_tcp: String,
    /// Address for syslog over TLS; empty: none.
    pub syslog_tls: String,
    /// Certificate chain for TLS, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Certificates that sign those of clients, PEM; empty: clients need none.
    pub clients: PathBuf,
    /// Patterns of files that are followed.
    pub files: Vec<String>,
    /// Whether the machine's journal is followed.
    pub journal: bool,
    /// Minutes east of Greenwich, for times without a zone.
    pub utc_offset: i32,
    /// Days logs are kept.
    pub days: u32,
    /// Logs kept for other times: `firewall=90 cisco/firewall/ */firewall/`.
    pub classes: Vec<String>,
    /// Days closed cases are kept, with their alerts; 0 for ever.
    pub cases_days: u32,
    /// Bound of the queue on disk, MiB.
    pub queue_mib: u64,
    /// Memory of the stored logs' database, MiB.
    pub memory_mib: u32,
    /// Bytes of a message at most, KiB.
    pub longest_kib: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            syslog_udp: String::new(),
            syslog_tcp: String::new(),
            syslog_tls: String::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            clients: PathBuf::new(),
            files: Vec::new(),
            journal: false,
            utc_offset: 0,
            days: 30,
            classes: Vec::new(),
            cases_days: 365,
            queue_mib: 2_048,
            memory_mib: 160,
            longest_kib: 64,
        }
    }
}

/// Why the section cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the settings section [radar] is wrong: {0}")]
pub struct SettingsError(pub String);

impl Settings {
    /// Reads the section.
    pub fn read(section: &toml::Table) -> Result<Self, SettingsError> {
        let settings: Self =
            section.clone().try_into().map_err(|e: toml::de::Error| SettingsError(e.message().to_owned()))?;
        for (name, text) in [
            ("syslog_udp", &settings.syslog_udp),
            ("syslog_tcp", &settings.syslog_tcp),
            ("syslog_tls", &settings.syslog_tls),
        ] {
            address(text).map_err(|()| SettingsError(format!("{name} is an address and a port, not {text:?}")))?;
        }
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        let has_identity = named(&settings.certificate) && named(&settings.key);
        if !settings.syslog_tls.is_empty() && !has_identity {
            return Err(SettingsError("syslog_tls needs a certificate and a key".to_owned()));
        }
        let bounds = [
            ("days", u64::from(settings.days), 1..=3_650),
            ("cases_days", u64::from(settings.cases_days), 0..=36_500),
            ("queue_mib", settings.queue_mib, 64..=1 << 20),
            ("memory_mib", u64::from(settings.memory_mib), 64..=1 << 16),
            ("longest_kib", settings.longest_kib as u64, 1..=8_192),
            ("utc_offset", u64::from(settings.utc_offset.unsigned_abs()), 0..=840),
        ];
        if let Some((name, _, range)) = bounds.iter().find(|(_, value, range)| !range.contains(value)) {
            return Err(SettingsError(format!("{name} is from {} to {}", range.start(), range.end())));
        }
        settings.logs()?;
        Ok(settings)
    }

    /// Address of a listener; `None` where none is set.
    pub fn listener(text: &str) -> Option<SocketAddr> {
        address(text).ok().flatten()
    }

    /// How large the queue may grow.
    pub fn limits(&self) -> queue::Limits {
        queue::Limits { most_bytes: self.queue_mib << 20, ..queue::Limits::default() }
    }

    /// How logs are kept.
    pub fn logs(&self) -> Result<search::Settings, SettingsError> {
        let mut classes = self.classes.iter().map(|text| class(text)).collect::<Result<Vec<_>, _>>()?;
        classes.push(Class { name: REST.to_owned(), days: self.days, logs: Vec::new() });
        Ok(search::Settings { classes, memory_mb: self.memory_mib, ..search::Settings::default() })
    }
}

fn address(text: &str) -> Result<Option<SocketAddr>, ()> {
    if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| ()) }
}

/// `name=days product/category/service …`; a part that is empty or `*` fits all.
fn class(text: &str) -> Result<Class, SettingsError> {
    let wrong =
        || SettingsError(format!("a class of logs is written `name=days product/category/service …`, not {text:?}"));
    let mut words = text.split_ascii_whitespace();
    let (name, days) = words.next().and_then(|head| head.split_once('=')).ok_or_else(wrong)?;
    let days = days.parse().ok().filter(|days| (1..=3_650).contains(days)).ok_or_else(wrong)?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let mut logs = Vec::new();
    for word in words {
        let mut parts = word.split('/').map(|part| if part == "*" { String::new() } else { part.to_owned() });
        let (Some(product), Some(category), Some(service), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        logs.push((product, category, service));
    }
    if !is_name || name == REST || logs.is_empty() {
        return Err(wrong());
    }
    Ok(Class { name: name.to_owned(), days, logs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_and_what_is_wrong_is_refused() {
        assert_eq!(Settings::read(&toml::Table::new()), Ok(Settings::default()));
        for wrong in [
            "syslog = 5",
            "syslog_udp = \"514\"",
            "syslog_tls = \"127.0.0.1:6514\"",
            "days = 0",
            "queue_mib = 1",
            "classes = [\"a\"]",
            "classes = [\"A=3 x//\"]",
            "classes = [\"a=3 x/y\"]",
            "classes = [\"rest=3 //\"]",
        ] {
            assert!(Settings::read(&wrong.parse().expect("toml")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn classes_come_before_the_rest() {
        let settings =
            Settings { classes: vec!["firewall=90 cisco/firewall/ */*/pf".to_owned()], ..Settings::default() };
        let classes = settings.logs().unwrap().classes;
        assert_eq!(classes[0].logs[1], (String::new(), String::new(), "pf".to_owned()));
        assert_eq!(
            classes.iter().map(|c| (c.name.as_str(), c.days)).collect::<Vec<_>>(),
            [("firewall", 90), ("rest", 30)]
        );
    }
}
