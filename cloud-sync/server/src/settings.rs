//! The cloud's settings: one TOML file, every key documented in `sent-cloud.example.toml`, which a test parses and holds
//! against these defaults. Secrets may come from the environment instead.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// The example file, which is the reference page.
pub const EXAMPLE: &str = include_str!("../sent-cloud.example.toml");

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// PostgreSQL.
    pub database: Database,
    /// The port boxes speak to.
    pub wire: Wire,
    /// The port people speak to.
    pub console: Console,
    /// Keys.
    pub keys: Keys,
    /// The MQTT broker.
    pub mqtt: Mqtt,
    /// Object storage.
    pub objects: Objects,
    /// The fleet.
    pub fleet: Fleet,
}

/// PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// URL of a user that is `sent_app` or may become it.
    pub url: String,
    /// URL of the owner, for `migrate`; `url` when empty.
    pub owner_url: String,
    /// Connections of this replica.
    pub connections: u32,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "postgres://sent_app@localhost/sent".to_owned(), owner_url: String::new(), connections: 20 }
    }
}

/// The wire.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wire {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Address boxes are told.
    pub url: String,
    /// Names and addresses the server certificate holds.
    pub names: Vec<String>,
    /// Bodies of the largest size (8 MiB) held at the same time; smaller ones take less of it.
    pub bodies: usize,
    /// Connections open at the same time.
    pub connections: usize,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            url: "https://localhost:8443".to_owned(),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            bodies: 8,
            connections: 10_000,
        }
    }
}

/// The console.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Console {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Certificate chain, PEM; empty for plain HTTP behind a load balancer.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Whether the browser speaks TLS to us or to the load balancer: cookies are then `Secure`.
    pub secure_cookies: bool,
    /// Whether `X-Forwarded-For` of a load balancer in front is believed.
    pub trust_forwarded: bool,
    /// Connections open at the same time.
    pub connections: usize,
}

impl Default for Console {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            secure_cookies: true,
            trust_forwarded: false,
            connections: 2_000,
        }
    }
}

/// Keys.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Master key: 32 bytes in hex or base64.
    pub master: String,
}

/// The key stays out of logs.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// The MQTT broker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Address the cloud connects to; empty: no broker, boxes poll.
    pub url: String,
    /// Address boxes are told; `url` when empty.
    pub box_url: String,
}

/// Object storage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objects {
    /// `file:///path` or `s3://bucket/prefix`; S3 takes its keys from the usual `AWS_*` variables.
    pub url: String,
    /// Largest object in bytes.
    pub largest: u64,
}

impl Default for Objects {
    fn default() -> Self {
        Self { url: "file:///var/lib/sent-cloud/objects".to_owned(), largest: 1 << 30 }
    }
}

/// The fleet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// Seconds without any contact until a box is offline.
    pub offline_after: u32,
    /// Days a projected transaction stays in the inbox, for boxes that are restored from a backup.
    pub inbox_days: u32,
    /// Days a client certificate lives.
    pub certificate_days: u32,
    /// Boxes projected at the same time by this replica.
    pub projectors: usize,
}

impl Default for Fleet {
    fn default() -> Self {
        Self { offline_after: 180, inbox_days: 90, certificate_days: 7, projectors: 2 }
    }
}

impl Settings {
    /// Settings out of a file, or the defaults; then what the environment says.
    pub fn load(file: Option<&std::path::Path>) -> Result<Self, sent_core::settings::SettingsError> {
        let mut settings = match file {
            Some(path) => sent_core::settings::read(path)?,
            None => Self::default(),
        };
        for (variable, place) in [
            ("SENT_DATABASE_URL", &mut settings.database.url),
            ("SENT_DATABASE_OWNER_URL", &mut settings.database.owner_url),
            ("SENT_MASTER_KEY", &mut settings.keys.master),
        ] {
            if let Ok(value) = std::env::var(variable) {
                *place = value;
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_the_defaults() {
        let example: Settings = sent_core::settings::parse(EXAMPLE, "sent-cloud.example.toml").unwrap();
        assert_eq!(example, Settings::default());
        for key in sent_core::settings::reference(EXAMPLE) {
            assert!(!key.help.is_empty(), "{} has no comment", key.key);
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(sent_core::settings::parse::<Settings>("[wire]\nlisten_on = 1\n", "x").is_err());
    }
}
