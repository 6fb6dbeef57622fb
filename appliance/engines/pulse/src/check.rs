//! Running one check: each kind turns a target into a [`Reading`] or into the reason why there is none.
//!
//! A run does no more than its kind says, ends within the timeout it is given, and keeps nothing but its [`Memory`], which
//! counters need to become rates.

pub mod http;
pub mod mqtt;
pub mod ping;
pub mod prometheus;
pub mod snmp;
pub mod tcp;
pub mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sent_contract::{Level, Uuid, pulse::CheckKind};
use tokio::time::{Instant, timeout};

use crate::model::{kind, sample::Sample};

/// A check with its secrets, as it is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Runnable {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// What and how, secrets in place.
    pub kind: CheckKind,
    /// Seconds between runs.
    pub interval: u32,
    /// Seconds a run may take.
    pub timeout: u32,
    /// Not run.
    pub paused: bool,
}

/// What a run found.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// How well it is.
    pub level: Level,
    /// Why, in words.
    pub cause: String,
    /// How long the answer took.
    pub latency: Option<Duration>,
    /// What was measured besides.
    pub samples: Vec<Sample>,
}

impl Reading {
    /// All is well.
    pub fn ok(cause: impl Into<String>, latency: Duration) -> Self {
        Self { level: Level::Ok, cause: cause.into(), latency: Some(latency), samples: Vec::new() }
    }

    /// Does not work.
    pub fn bad(cause: impl Into<String>) -> Self {
        Self { level: Level::Bad, cause: cause.into(), latency: None, samples: Vec::new() }
    }
}

/// Why a run found nothing, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    fn new(cause: impl Into<String>) -> Self {
        Self(cause.into())
    }
}

/// What runs of one check remember of each other.
#[derive(Debug, Default)]
pub struct Memory {
    snmp: snmp::Memory,
    prometheus: prometheus::Memory,
    link: Option<Arc<mqtt::Link>>,
}

impl Memory {
    /// The memory of an MQTT check: its subscription.
    pub fn of_link(link: Arc<mqtt::Link>) -> Self {
        Self { link: Some(link), ..Self::default() }
    }
}

/// What all runs share.
#[derive(Clone)]
pub struct Tools {
    http: reqwest::Client,
    /// Reports a redirect instead of following it.
    pages: reqwest::Client,
    ping: ping::Pings,
}

impl Tools {
    /// Makes the clients. TLS uses the process' default provider.
    pub fn new() -> Result<Self, Failure> {
        let client = |redirects| {
            reqwest::Client::builder()
                .user_agent(concat!("sent/", env!("CARGO_PKG_VERSION")))
                .redirect(redirects)
                // Each run tells of the way as it is now, not of a connection that was opened long ago.
                .pool_max_idle_per_host(0)
                .build()
                .map_err(|e| Failure(format!("no HTTP client can be made: {e}")))
        };
        Ok(Self {
            http: client(reqwest::redirect::Policy::limited(5))?,
            pages: client(reqwest::redirect::Policy::none())?,
            ping: ping::Pings::default(),
        })
    }

    /// The HTTP client.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }
}

/// Runs a check once. `at` is the time of what it measures.
pub async fn run(check: &Runnable, tools: &Tools, memory: &mut Memory, at: i64) -> Reading {
    let limit = Duration::from_secs(u64::from(check.timeout));
    let found = timeout(limit, dispatch(check, tools, memory, limit, at)).await;
    let mut reading = match found {
        Ok(Ok(reading)) => reading,
        Ok(Err(failure)) => Reading::bad(failure.0),
        Err(_) => Reading::bad(format!("no answer within {} s", check.timeout)),
    };
    let host = kind::host(&check.kind);
    let up = if reading.level == Level::Bad { 0.0 } else { 1.0 };
    reading.samples.push(Sample::new("check_up", "count", &host, up).with("kind", kind::name(&check.kind)));
    if let Some(latency) = reading.latency {
        reading.samples.push(
            Sample::new("check_latency_seconds", "seconds", &host, latency.as_secs_f64())
                .with("kind", kind::name(&check.kind)),
        );
    }
    for sample in &mut reading.samples {
        sample.labels.insert("check".to_owned(), check.name.clone());
    }
    reading
}

async fn dispatch(
    check: &Runnable,
    tools: &Tools,
    memory: &mut Memory,
    limit: Duration,
    at: i64,
) -> Result<Reading, Failure> {
    match &check.kind {
        CheckKind::Ping { host } => ping::run(host, &tools.ping, limit).await,
        CheckKind::Tcp { host, port } => tcp::run(host, *port).await,
        CheckKind::Http { url, status, contains, redirects } => {
            http::run(&tools.pages, url, *status, contains.as_deref(), *redirects).await
        }
        CheckKind::Tls { host, port } => tls::run(host, *port, at).await,
        CheckKind::Snmp { .. } => Box::pin(snmp::run(&check.kind, &mut memory.snmp, limit, at)).await,
        CheckKind::Prometheus { url } => prometheus::run(&tools.http, url, &mut memory.prometheus, at).await,
        CheckKind::Mqtt { .. } => {
            Ok(memory.link.as_ref().map_or_else(|| Reading::bad("not connected yet"), |link| link.reading()))
        }
    }
}

/// The addresses of a host.
async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    // An IPv6 address may be written in the brackets that URLs ask for.
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let found = tokio::net::lookup_host((bare, port))
        .await
        .map_err(|e| Failure(format!("the name {host} cannot be resolved: {e}")))?;
    Ok(found.collect())
}

/// The first address of a host.
async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Failure> {
    addresses(host, port).await?.first().copied().ok_or_else(|| Failure(format!("the name {host} has no address")))
}

/// Connects to the first address of a host that takes it, and says how long that took.
async fn connect(host: &str, port: u16) -> Result<(tokio::net::TcpStream, Duration), Failure> {
    let mut failure = Failure(format!("the name {host} has no address"));
    for address in addresses(host, port).await? {
        let start = Instant::now();
        match tokio::net::TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, start.elapsed())),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                failure = Failure(format!("{host} refuses connections on port {port}"));
            }
            Err(e) => failure = Failure(format!("cannot connect to {host} port {port}: {e}")),
        }
    }
    Err(failure)
}

/// A length of time as a person reads it, with two digits that mean something at least.
fn shown(latency: Duration) -> String {
    let millis = latency.as_secs_f64() * 1_000.0;
    let places = match millis {
        10.0.. => 0,
        1.0.. => 1,
        0.1.. => 2,
        0.01.. => 3,
        // A microsecond is the least that is told.
        _ => 4,
    };
    format!("{millis:.places$} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_time_is_not_shown_as_nothing() {
        let shown = |micros| shown(Duration::from_nanos(micros));
        assert_eq!(shown(41_234), "0.041 ms");
        assert_eq!(shown(4_200), "0.0042 ms");
        assert_eq!(shown(412_340), "0.41 ms");
        assert_eq!(shown(4_123_400), "4.1 ms");
        assert_eq!(shown(41_234_000), "41 ms");
        assert_eq!(shown(1_412_340_000), "1412 ms");
    }
}
