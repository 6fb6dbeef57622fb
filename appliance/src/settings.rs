//! The box's settings: one TOML file, unknown keys refused, every key documented in `sent.example.toml`.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use sent_contract::home::Setting;
use sent_core::{
    mail::Settings as Mail,
    settings::{self, SettingsError},
};
use serde::{Deserialize, Serialize};

/// The documented example: the reference page, and by a test the defaults.
pub const EXAMPLE: &str = include_str!("../sent.example.toml");

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `[gateway]`.
    pub gateway: Gateway,
    /// `[store]`.
    pub store: StoreSettings,
    /// `[spool]`.
    pub spool: SpoolSettings,
    /// `[engines]`.
    pub engines: Engines,
    /// `[workers]`.
    pub workers: Workers,
    /// `[sync]`.
    pub sync: Sync,
    /// `[log]`.
    pub log: Log,
    /// `[mail]`.
    pub mail: Mail,
    /// `[guard]`: bounds are checked where they are used ([`sent_guard::settings`]).
    pub guard: sent_guard::settings::Settings,
    /// `[pulse]`.
    pub pulse: Pulse,
    /// `[radar]`.
    pub radar: Radar,
    /// `[telemetry]`.
    pub telemetry: Telemetry,
}

/// Where pages and API are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gateway {
    /// Address and port.
    pub listen: SocketAddr,
    /// Certificate chain, PEM; empty: no TLS.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// Largest body, MiB.
    pub body_mib: usize,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8480)),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            body_mib: 64,
        }
    }
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSettings {
    /// SQLite connections for reading.
    pub readers: usize,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { readers: 4 }
    }
}

/// The telemetry spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpoolSettings {
    /// Bound on disk, MiB.
    pub max_mib: u64,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self { max_mib: 512 }
    }
}

/// Which engines run where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engines {
    /// In processes of their own.
    pub workers: Vec<String>,
    /// Not at all.
    pub disabled: Vec<String>,
}

/// Limits of workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workers {
    /// cgroup v2 `cpu.weight`.
    pub cpu_weight: u32,
    /// Memory bound, MiB.
    pub memory_mib: u64,
}

impl Default for Workers {
    fn default() -> Self {
        Self { cpu_weight: 20, memory_mib: 512 }
    }
}

/// The sync agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sync {
    /// Seconds between polls.
    pub poll_seconds: u32,
    /// MQTT doorbell.
    pub doorbell: bool,
}

impl Default for Sync {
    fn default() -> Self {
        Self { poll_seconds: 30, doorbell: true }
    }
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Filter.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

/// Monitoring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pulse {
    /// Seconds between measurements of the box itself.
    pub interval: u32,
    /// Signs webhooks.
    pub webhook_secret: String,
    /// Days alerts are kept after their end.
    pub alerts_days: u32,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { interval: 10, webhook_secret: String::new(), alerts_days: 365 }
    }
}

/// Logs. What the keys mean is checked where they are used ([`sent_radar::settings`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Radar {
    /// Syslog over UDP.
    pub syslog_udp: String,
    /// Syslog over TCP.
    pub syslog_tcp: String,
    /// Syslog over TLS.
    pub syslog_tls: String,
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Who signs clients' certificates.
    pub clients: PathBuf,
    /// Files that are followed.
    pub files: Vec<String>,
    /// The machine's journal.
    pub journal: bool,
    /// Minutes east of Greenwich.
    pub utc_offset: i32,
    /// Days logs are kept.
    pub days: u32,
    /// Logs kept for other times.
    pub classes: Vec<String>,
    /// Days closed cases are kept.
    pub cases_days: u32,
    /// Bound of the queue, MiB.
    pub queue_mib: u64,
    /// Memory of the database, MiB.
    pub memory_mib: u32,
    /// Bytes of a message, KiB.
    pub longest_kib: usize,
}

impl Default for Radar {
    fn default() -> Self {
        let own = sent_radar::settings::Settings::default();
        Self {
            syslog_udp: own.syslog_udp,
            syslog_tcp: own.syslog_tcp,
            syslog_tls: own.syslog_tls,
            certificate: own.certificate,
            key: own.key,
            clients: own.clients,
            files: own.files,
            journal: own.journal,
            utc_offset: own.utc_offset,
            days: own.days,
            classes: own.classes,
            cases_days: own.cases_days,
            queue_mib: own.queue_mib,
            memory_mib: own.memory_mib,
            longest_kib: own.longest_kib,
        }
    }
}

/// How long measurements are kept on the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Days of every point.
    pub raw_days: u32,
    /// Days of a row a minute.
    pub minute_days: u32,
    /// Days of a row an hour.
    pub hour_days: u32,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { raw_days: 3, minute_days: 30, hour_days: 730 }
    }
}

/// Numbers that have bounds, wherever they come from: the settings file or the cloud.
pub const BOUNDS: &[(&str, RangeInclusive<u32>)] = &[
    ("sync.poll_seconds", 5..=3_600),
    ("pulse.interval", 1..=300),
    ("telemetry.raw_days", 1..=90),
    ("telemetry.minute_days", 1..=1_100),
    ("telemetry.hour_days", 1..=36_500),
];

/// What is wrong with the number of a key, if it has bounds and lies beyond them.
pub fn fault(key: &str, value: u32) -> Option<String> {
    let (_, range) = BOUNDS.iter().find(|(bounded, _)| *bounded == key)?;
    (!range.contains(&value)).then(|| format!("is from {} to {}", range.start(), range.end()))
}

impl Telemetry {
    /// A coarser tier goes back at least as far as a finer one: it stands in for what that no longer has.
    pub fn fault(&self) -> Option<&'static str> {
        let ordered = self.raw_days <= self.minute_days && self.minute_days <= self.hour_days;
        (!ordered).then_some("raw_days, minute_days and hour_days do not grow in this order")
    }
}

/// Reads the settings of a box: the file given, or `DATA/sent.toml` if there is one, or the defaults.
pub fn load(file: Option<&Path>, data: &Path) -> Result<Settings, SettingsError> {
    let own = data.join("sent.toml");
    let path = match file {
        Some(file) => file,
        None if own.exists() => &own,
        None => return Ok(Settings::default()),
    };
    let read: Settings = settings::read(path)?;
    match read.fault() {
        None => Ok(read),
        Some(message) => Err(SettingsError::Parse { path: path.display().to_string(), message }),
    }
}

/// Keys whose values are never shown.
const SECRET: &[&str] = &["mail.server", "pulse.webhook_secret"];

impl Settings {
    /// What is wrong beyond the form, if anything is.
    fn fault(&self) -> Option<String> {
        let numbers = [
            ("sync.poll_seconds", self.sync.poll_seconds),
            ("pulse.interval", self.pulse.interval),
            ("telemetry.raw_days", self.telemetry.raw_days),
            ("telemetry.minute_days", self.telemetry.minute_days),
            ("telemetry.hour_days", self.telemetry.hour_days),
        ];
        numbers
            .iter()
            .find_map(|(key, value)| fault(key, *value).map(|fault| format!("{key} {fault}, not {value}")))
            .or_else(|| self.telemetry.fault().map(|fault| format!("[telemetry]: {fault}")))
    }

    /// Every key with its effective value, for the settings page.
    pub fn listing(&self) -> Vec<Setting> {
        let effective = toml::Value::try_from(self).unwrap_or(toml::Value::Boolean(false));
        settings::reference(EXAMPLE)
            .into_iter()
            .map(|k| {
                let value = k.key.split('.').try_fold(&effective, |v, part| v.get(part)).map(show).unwrap_or_default();
                let default = k.default.trim_matches('"').to_owned();
                let source = if value == default { "default" } else { "file" }.to_owned();
                let hidden = SECRET.contains(&k.key.as_str()) && !value.is_empty();
                Setting {
                    value: if hidden { "•".to_owned() } else { value },
                    key: k.key,
                    default,
                    help: k.help,
                    source,
                }
            })
            .collect()
    }
}

fn show(value: &toml::Value) -> String {
    match value {
        toml::Value::String(s) => s.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_defaults_and_every_key_is_explained() {
        let example: Settings = settings::parse(EXAMPLE, "sent.example.toml").expect("the example parses");
        assert_eq!(example, Settings::default());
        for key in settings::reference(EXAMPLE) {
            assert!(!key.help.is_empty(), "{} has no comment", key.key);
        }
        let written = toml::to_string(&Settings::default()).expect("serialises");
        let listed: Vec<String> = settings::reference(EXAMPLE).into_iter().map(|k| k.key).collect();
        for key in settings::reference(&written) {
            assert!(listed.contains(&key.key), "{} is not in the example file", key.key);
        }
    }

    #[test]
    fn the_reference_page_is_made_from_the_example() {
        let page = settings::reference_page("Settings of a box", EXAMPLE);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/settings.md");
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(there, page, "docs/reference/settings.md: write it anew with `sent settings --reference`");
    }

    #[test]
    fn unknown_keys_are_refused_and_named() {
        let error = settings::parse::<Settings>("[gateway]\nlisten_on = 1\n", "x.toml").expect_err("refused");
        assert!(error.to_string().contains("listen_on"), "{error}");
    }

    #[test]
    fn numbers_beyond_their_bounds_are_refused() {
        for wrong in ["[sync]\npoll_seconds = 4", "[pulse]\ninterval = 0", "[telemetry]\nraw_days = 40"] {
            let settings: Settings = settings::parse(wrong, "x.toml").expect("the form is right");
            assert!(settings.fault().is_some(), "{wrong}");
        }
        assert_eq!(Settings::default().fault(), None);
    }

    #[test]
    fn a_secret_is_not_listed() {
        let settings =
            Settings { mail: Mail { server: "smtp://u:p@h".into(), ..Mail::default() }, ..Settings::default() };
        assert!(settings.listing().iter().all(|s| !s.value.contains("u:p")));
    }
}
