//! The verbs `sent pulse …`. They work on the data folder, without a running server; one that runs takes up what they
//! changed within seconds.

use std::{io::Write, process::ExitCode};

use clap::{Args, Subcommand, ValueEnum};
use sent_contract::{
    Level, Uuid,
    pulse::{Alert, Check, CheckKind, NewCheck},
};
use sent_core::{Problem, Scope, Timestamp};
use sent_store::{Store, StoreError};
use serde::Serialize;

use crate::{
    book::{Book, written},
    check::{self, Memory, Tools},
    model::{SECOND, kind},
    recorder::{Known, Reader},
    routes::ids,
    store, view,
};

/// What can be asked of it.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// How things stand: checks and open alerts.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// All checks.
    Checks {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Changes checks.
    #[command(subcommand)]
    Check(CheckCommand),
    /// Runs a check once, now.
    Run {
        /// Name or id.
        check: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// All series.
    Series {
        /// Only this host's.
        #[arg(long)]
        host: Option<String>,
        /// Only this metric.
        #[arg(long)]
        metric: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Points of series.
    Query {
        /// Series ids, separated by commas.
        series: String,
        /// The last so many seconds.
        #[arg(long, default_value_t = 3_600)]
        last: i64,
        /// At most about so many points each.
        #[arg(long, default_value_t = 60)]
        points: usize,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Alerts, newest first.
    Alerts {
        /// Only these: open, firing, acknowledged, silenced, flapping, resolved.
        #[arg(long)]
        state: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Changes of checks.
#[derive(Clone, Debug, Subcommand)]
pub enum CheckCommand {
    /// Adds a check.
    Add(Box<Add>),
    /// Removes a check.
    Remove {
        /// Name or id.
        check: String,
    },
}

/// A check to be added.
#[derive(Clone, Debug, Args)]
pub struct Add {
    /// Kind.
    #[arg(value_enum)]
    pub kind: KindName,
    /// Host, host:port, or address; for MQTT the broker.
    pub target: String,
    /// Name; the target when it is left out.
    #[arg(long)]
    pub name: Option<String>,
    /// Seconds between runs.
    #[arg(long)]
    pub interval: Option<u32>,
    /// Seconds a run may take.
    #[arg(long)]
    pub timeout: Option<u32>,
    /// SNMP: community (2c) or user (3). Default: public.
    #[arg(long)]
    pub user: Option<String>,
    /// SNMP 3: authentication protocol and pass phrase, `sha256:…`.
    #[arg(long)]
    pub auth: Option<String>,
    /// SNMP 3: privacy protocol and pass phrase, `aes128:…`.
    #[arg(long)]
    pub privacy: Option<String>,
    /// HTTP: text the page must hold.
    #[arg(long)]
    pub contains: Option<String>,
    /// HTTP: redirects that are followed at most; 0: the redirect is the answer.
    #[arg(long)]
    pub redirects: Option<u8>,
    /// HTTP: status it must answer.
    #[arg(long)]
    pub status: Option<u16>,
    /// MQTT: topic filter.
    #[arg(long, default_value = "#")]
    pub topic: String,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Kinds of checks.
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum KindName {
    /// ICMP echo.
    Ping,
    /// TCP connect.
    Tcp,
    /// HTTP GET.
    Http,
    /// Days until a certificate ends.
    Tls,
    /// Network gear.
    Snmp,
    /// Exporter.
    Prometheus,
    /// Sensors.
    Mqtt,
}

/// Runs a verb. `reader` opens the series' store, which only some verbs need. Exit code 2 says that something is wrong
/// with what is measured, 0 that nothing is.
pub fn run(
    command: Command,
    store: &Store,
    scope: &Scope,
    reader: impl FnOnce() -> Result<Box<dyn Reader>, Problem>,
    out: &mut dyn Write,
) -> Result<ExitCode, Problem> {
    match command {
        Command::Status { json } => status(store, scope, json, out),
        Command::Checks { json } => {
            let checks = checks(store, scope)?;
            show(out, json, &checks, |out| checks.iter().try_for_each(|check| check_line(out, check)))
        }
        Command::Check(CheckCommand::Add(add)) => add_check(*add, store, scope, out),
        Command::Check(CheckCommand::Remove { check }) => {
            let id = find(store, scope, &check)?.id;
            store.write_blocking(scope, "pulse.check.delete", move |tx| store::delete_check(tx, id))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { check, json } => run_check(store, scope, &check, json, out),
        Command::Series { host, metric, json } => {
            let all = reader()?.list().map_err(|e| Problem::invalid(e.to_string()))?;
            let wanted = |known: &Known| {
                host.as_deref().is_none_or(|host| known.host() == host)
                    && metric.as_deref().is_none_or(|metric| known.definition.name == metric)
            };
            let all: Vec<_> = all.into_iter().filter(wanted).map(view::series).collect();
            show(out, json, &all, |out| {
                all.iter().try_for_each(|one| {
                    let labels: Vec<String> =
                        one.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
                    let last = one.last.map_or_else(|| "-".to_owned(), |last| last.to_string());
                    writeln!(out, "{:>20}  {}{{{}}}  {last} {}", one.id, one.metric, labels.join(","), one.unit)
                })
            })
        }
        Command::Query { series, last, points, json } => {
            let to = store.clock().now().0;
            let answer = reader()?
                .query(&ids(&series)?, to - last.max(1).saturating_mul(SECOND), to, points.max(1))
                .map_err(|e| Problem::invalid(e.to_string()))?;
            show(out, json, &answer, |out| {
                answer.series.iter().try_for_each(|curve| {
                    writeln!(out, "{} ({})", curve.id, answer.tier)?;
                    curve.at.iter().zip(&curve.avg).try_for_each(|(at, value)| {
                        let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
                        writeln!(out, "  {}  {value}", Timestamp(*at).rfc3339())
                    })
                })
            })
        }
        Command::Alerts { state, json } => {
            let alerts = alerts(store, scope, state)?;
            show(out, json, &alerts, |out| alerts.iter().try_for_each(|alert| alert_line(out, alert)))
        }
    }
}

fn add_check(add: Add, store: &Store, scope: &Scope, out: &mut dyn Write) -> Result<ExitCode, Problem> {
    let target = add.target;
    let kind = match add.kind {
        KindName::Ping => CheckKind::Ping { host: target.clone() },
        KindName::Tcp => with_port(&target, |host, port| CheckKind::Tcp { host, port })?,
        KindName::Tls => with_port(&target, |host, port| CheckKind::Tls { host, port })?,
        KindName::Http => CheckKind::Http {
            url: target.clone(),
            status: add.status,
            contains: add.contains,
            redirects: add.redirects,
        },
        KindName::Prometheus => CheckKind::Prometheus { url: target.clone() },
        KindName::Mqtt => CheckKind::Mqtt { broker: target.clone(), topic: add.topic },
        KindName::Snmp => {
            let (host, port) = match target.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
                Some((host, Ok(port))) => (host.to_owned(), Some(port)),
                _ => (target.clone(), None),
            };
            let version = if add.auth.is_some() { "3" } else { "2c" }.to_owned();
            let user = add.user.unwrap_or_else(|| "public".to_owned());
            CheckKind::Snmp { host, port, version, user, auth: pair(add.auth)?, privacy: pair(add.privacy)? }
        }
    };
    let name = add.name.unwrap_or(target);
    let new = NewCheck { name, kind, interval: add.interval, timeout: add.timeout, paused: false };
    let prepared = Book::new(store.clone(), scope.organization).prepare(None, new)?;
    let stored = written(store.write_blocking(scope, prepared.action(), move |tx| prepared.put(tx)))?;
    let check = view::check(stored, None);
    show(out, add.json, &check, |out| writeln!(out, "{}  {}", check.id, check.name))
}

#[derive(Serialize)]
struct Summary {
    checks: Vec<Check>,
    alerts: Vec<Alert>,
}

fn status(store: &Store, scope: &Scope, json: bool, out: &mut dyn Write) -> Result<ExitCode, Problem> {
    let summary = Summary { checks: checks(store, scope)?, alerts: alerts(store, scope, Some("open".to_owned()))? };
    show(out, json, &summary, |out| {
        let bad = summary.checks.iter().filter(|check| check.status.level == Level::Bad).count();
        writeln!(out, "{} checks, {bad} of them bad; {} open alerts", summary.checks.len(), summary.alerts.len())?;
        summary
            .checks
            .iter()
            .filter(|check| check.status.level != Level::Ok)
            .try_for_each(|check| check_line(out, check))?;
        summary.alerts.iter().try_for_each(|alert| alert_line(out, alert))
    })?;
    let wrong = !summary.alerts.is_empty() || summary.checks.iter().any(|check| check.status.level == Level::Bad);
    Ok(ExitCode::from(if wrong { 2 } else { 0 }))
}

fn run_check(store: &Store, scope: &Scope, check: &str, json: bool, out: &mut dyn Write) -> Result<ExitCode, Problem> {
    let stored = find(store, scope, check)?;
    if matches!(stored.kind, CheckKind::Mqtt { .. }) {
        return Err(Problem::invalid("sensors are not asked, they publish: look at the check's series"));
    }
    let runnable = Book::new(store.clone(), scope.organization).runnable(stored);
    let tools = Tools::new().map_err(|e| Problem::internal(e.0))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Problem::internal)?;
    let at = store.clock().now().0;
    let reading = runtime.block_on(check::run(&runnable, &tools, &mut Memory::default(), at));

    #[derive(Serialize)]
    struct Shown<'a> {
        check: &'a str,
        level: Level,
        cause: &'a str,
        latency_ms: Option<f64>,
        values: Vec<(String, f64)>,
    }
    let values =
        reading.samples.iter().map(|s| (sent_protocol::series::canonical(&s.metric, &s.labels), s.value)).collect();
    let latency_ms = reading.latency.map(|latency| latency.as_secs_f64() * 1_000.0);
    let shown = Shown { check: &runnable.name, level: reading.level, cause: &reading.cause, latency_ms, values };
    show(out, json, &shown, |out| {
        writeln!(out, "{}: {:?}: {}", shown.check, shown.level, shown.cause)?;
        shown.values.iter().try_for_each(|(series, value)| writeln!(out, "  {series} {value}"))
    })?;
    Ok(ExitCode::from(if reading.level == Level::Bad { 2 } else { 0 }))
}

fn checks(store: &Store, scope: &Scope) -> Result<Vec<Check>, Problem> {
    let (stored, mut states) =
        store.read_blocking(scope, |c| Ok::<_, StoreError>((store::checks(c)?, store::states(c)?)))?;
    Ok(stored
        .into_iter()
        .map(|check| {
            let state = states.remove(&check.id);
            view::check(check, state)
        })
        .collect())
}

fn alerts(store: &Store, scope: &Scope, state: Option<String>) -> Result<Vec<Alert>, Problem> {
    view::known_state(state.as_deref())?;
    let (rows, told) = store.read_blocking(scope, move |c| view::alerts(c, state.as_deref()))?;
    Ok(rows.into_iter().map(|row| view::alert(row, &told, None)).collect())
}

/// A check by id or name.
fn find(store: &Store, scope: &Scope, wanted: &str) -> Result<store::Stored, Problem> {
    let id = wanted.parse::<Uuid>().ok();
    let all = store.read_blocking(scope, store::checks)?;
    all.into_iter()
        .find(|check| Some(check.id) == id || check.name == wanted)
        .ok_or_else(|| Problem::not_found("check"))
}

fn with_port(target: &str, make: impl FnOnce(String, u16) -> CheckKind) -> Result<CheckKind, Problem> {
    let parts = target.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let (host, port) = parts.ok_or_else(|| Problem::invalid("write host:port"))?;
    Ok(make(host, port))
}

fn pair(text: Option<String>) -> Result<Option<(String, String)>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let (protocol, phrase) = text.split_once(':').ok_or_else(|| Problem::invalid("write protocol:pass-phrase"))?;
    Ok(Some((protocol.to_owned(), phrase.to_owned())))
}

fn check_line(out: &mut dyn Write, check: &Check) -> std::io::Result<()> {
    writeln!(
        out,
        "{:8} {:10} {}: {}",
        format!("{:?}", check.status.level).to_lowercase(),
        kind::name(&check.kind),
        check.name,
        check.status.cause
    )
}

fn alert_line(out: &mut dyn Write, alert: &Alert) -> std::io::Result<()> {
    writeln!(
        out,
        "{:12} {:4} {}  {} (since {})",
        alert.state,
        alert.severity,
        alert.id,
        alert.title,
        Timestamp(alert.raised_at).rfc3339()
    )
}

fn show<T: Serialize>(
    out: &mut dyn Write,
    json: bool,
    value: &T,
    text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<ExitCode, Problem> {
    let written = if json {
        serde_json::to_writer_pretty(&mut *out, value).map_err(std::io::Error::from).and_then(|()| writeln!(out))
    } else {
        text(out)
    };
    written.map_err(Problem::internal)?;
    Ok(ExitCode::SUCCESS)
}
