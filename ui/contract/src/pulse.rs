//! Hosts, checks, series, alerts.
use crate::{Micros, Status, Uuid};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A row of `GET /api/pulse/hosts`: anything that is measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Name (`this box`, an SNMP address, a scrape target, an MQTT prefix).
    pub name: String,
    /// `host`, `snmp`, `prometheus`, `mqtt`, `check`.
    pub kind: String,
    /// Health.
    pub status: Status,
    /// Last point.
    pub last_seen: Option<Micros>,
    /// Series it has.
    pub series: u64,
    /// A few headline numbers: label, value, unit.
    pub facts: Vec<(String, f64, String)>,
}

/// What is checked, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum CheckKind {
    /// ICMP echo.
    Ping {
        /// Host name or address.
        host: String,
    },
    /// TCP connect.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// HTTP GET.
    Http {
        /// URL.
        url: String,
        /// Expected status; default any 2xx.
        #[serde(default)]
        status: Option<u16>,
        /// Text the body must hold.
        #[serde(default)]
        contains: Option<String>,
        /// Redirects that are followed at most; 0: the redirect is the answer. Default 10, or 0 when a 3xx is expected.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirects: Option<u8>,
    },
    /// Days until the certificate ends.
    Tls {
        /// Host name.
        host: String,
        /// Port.
        port: u16,
    },
    /// SNMP poll: system and interface counters.
    Snmp {
        /// Address.
        host: String,
        /// UDP port, default 161.
        #[serde(default)]
        port: Option<u16>,
        /// `2c` or `3`.
        version: String,
        /// Community (v2c) or user (v3).
        user: String,
        /// v3 authentication: protocol (`sha1`, `sha256`, …) and pass phrase. Write-only.
        #[serde(default)]
        auth: Option<(String, String)>,
        /// v3 privacy: protocol (`aes128`, …) and pass phrase. Write-only.
        #[serde(default)]
        privacy: Option<(String, String)>,
    },
    /// Scrape of a Prometheus exporter.
    Prometheus {
        /// URL of the metrics page.
        url: String,
    },
    /// MQTT sensors: numbers published below a topic filter.
    Mqtt {
        /// `mqtt://host:port`.
        broker: String,
        /// Topic filter.
        topic: String,
    },
}

/// A check as stored and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// What and how.
    pub kind: CheckKind,
    /// Seconds between runs.
    pub interval: u32,
    /// Seconds until a run counts as failed.
    pub timeout: u32,
    /// Not run.
    pub paused: bool,
    /// Health.
    pub status: Status,
    /// Last run.
    pub last_run: Option<Micros>,
    /// Last latency in milliseconds.
    pub latency_ms: Option<f64>,
}

/// `POST /api/pulse/checks`, `PUT /api/pulse/checks/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewCheck {
    /// Name.
    pub name: String,
    /// What and how.
    pub kind: CheckKind,
    /// Seconds, default 60.
    #[serde(default)]
    pub interval: Option<u32>,
    /// Seconds, default 10.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// Not run.
    #[serde(default)]
    pub paused: bool,
}

/// A series, as `GET /api/pulse/series?host=&metric=&q=` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// XXH3-64 of name and labels, as a decimal string (JavaScript has no u64).
    pub id: String,
    /// Metric name, Prometheus style (`cpu_usage_ratio`).
    pub metric: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Unit (`ratio`, `bytes`, `seconds`, `celsius`, `count`, …).
    pub unit: String,
    /// Last value.
    pub last: Option<f64>,
    /// Last point.
    pub last_at: Option<Micros>,
}

/// `GET /api/pulse/query?series=1,2&from=&to=&points=`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueryAnswer {
    /// `raw`, `1m` or `1h`.
    pub tier: String,
    /// Bucket width in µs.
    pub step: i64,
    /// One for each series asked for.
    pub series: Vec<Curve>,
}

/// A series' points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Series id.
    pub id: String,
    /// Times.
    pub at: Vec<Micros>,
    /// Averages; `None` is a gap.
    pub avg: Vec<Option<f64>>,
    /// Minima.
    pub min: Vec<Option<f64>>,
    /// Maxima.
    pub max: Vec<Option<f64>>,
}

/// An alert rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Metric name.
    pub metric: String,
    /// Labels that must match exactly.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `above`, `below` or `absent` (dead-man).
    pub condition: String,
    /// Raises beyond this.
    pub raise: f64,
    /// Clears on this side (hysteresis).
    pub clear: f64,
    /// Must hold for so many seconds before it raises.
    pub hold_seconds: u32,
    /// `warn` or `bad`.
    pub severity: String,
    /// Where it goes: `mail:someone@example.org`, `webhook:https://…`.
    #[serde(default)]
    pub notify: Vec<String>,
    /// Seconds without acknowledgement until `escalate_to` is notified.
    #[serde(default)]
    pub escalate_after: Option<u32>,
    /// Second line.
    #[serde(default)]
    pub escalate_to: Vec<String>,
    /// Not evaluated.
    #[serde(default)]
    pub paused: bool,
}

/// A row of `GET /api/pulse/alerts?state=open`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Id.
    pub id: Uuid,
    /// Rule.
    pub rule: Uuid,
    /// Headline.
    pub title: String,
    /// `firing`, `acknowledged`, `silenced`, `flapping`, `resolved`.
    pub state: String,
    /// `warn` or `bad`.
    pub severity: String,
    /// Series id.
    pub series: String,
    /// Value when it was raised, or last.
    pub value: f64,
    /// Raised.
    pub raised_at: Micros,
    /// Resolved.
    pub resolved_at: Option<Micros>,
    /// Who acknowledged.
    pub acknowledged_by: Option<String>,
    /// What was sent to whom and how it went.
    pub notifications: Vec<String>,
}

/// `POST /api/pulse/silences`, and a row of their list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Id (made by the server when nil).
    #[serde(default)]
    pub id: Uuid,
    /// Rule, or none for all.
    #[serde(default)]
    pub rule: Option<Uuid>,
    /// Labels that must match.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// From.
    pub from: Micros,
    /// Until.
    pub until: Micros,
    /// Why.
    pub reason: String,
}

/// Push on the live channel `pulse.live`: the newest value of each series that changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LivePoints {
    /// When.
    pub at: Micros,
    /// Series id and value.
    pub points: Vec<(String, f64)>,
}
