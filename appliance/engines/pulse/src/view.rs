//! Rows and measurements as pages see them.

use std::collections::BTreeMap;

use rusqlite::Connection;
use sent_contract::{
    Level, Page, Status, Uuid,
    pulse::{Alert, Check, Host, Series},
};
use sent_core::Problem;
use sent_store::StoreError;

use crate::{
    model::{kind, sample::SELF},
    recorder::Known,
    runner::State,
    store::{self, AlertRow, Stored},
};

/// Alerts in one answer.
const MOST_ALERTS: u32 = 500;

/// What was sent about alerts, in words.
pub type Told = BTreeMap<Uuid, Vec<String>>;

/// A whole list as one page.
pub fn page<T>(items: Vec<T>) -> Page<T> {
    Page { total: Some(items.len() as u64), items, next: None }
}

/// A check and how it stands.
pub fn check(stored: Stored, state: Option<State>) -> Check {
    let status = match (&state, stored.paused) {
        (state, true) => {
            Status { level: Level::Unknown, cause: "paused".to_owned(), since: state.as_ref().map_or(0, |s| s.since) }
        }
        (Some(state), false) => Status { level: state.level, cause: state.cause.clone(), since: state.since },
        (None, false) => Status { level: Level::Unknown, cause: "not run yet".to_owned(), since: 0 },
    };
    Check {
        id: stored.id,
        name: stored.name,
        kind: stored.kind,
        interval: stored.interval,
        timeout: stored.timeout,
        paused: stored.paused,
        status,
        last_run: state.as_ref().and_then(|s| s.last_run),
        latency_ms: state.and_then(|s| s.latency).map(|l| l.as_secs_f64() * 1_000.0),
    }
}

/// An alert, what was told of it, and its value now where it is open.
pub fn alert(row: AlertRow, told: &Told, now: Option<f64>) -> Alert {
    Alert {
        id: row.id,
        rule: row.rule,
        title: row.title,
        state: row.state,
        severity: row.severity,
        series: row.series,
        value: now.or(row.value).unwrap_or(0.0),
        raised_at: row.raised_at,
        resolved_at: row.resolved_at,
        acknowledged_by: row.acknowledged_by,
        notifications: told.get(&row.id).cloned().unwrap_or_default(),
    }
}

/// Alerts by state, newest first, with what was told of them.
pub fn alerts(c: &Connection, state: Option<&str>) -> Result<(Vec<AlertRow>, Told), StoreError> {
    let rows = store::alerts(c, state, MOST_ALERTS)?;
    let told = store::told(c, &rows.iter().map(|row| row.id).collect::<Vec<_>>())?;
    Ok((rows, told))
}

/// Refuses a state that alerts do not have.
pub fn known_state(state: Option<&str>) -> Result<(), Problem> {
    match state {
        None | Some("open" | "firing" | "acknowledged" | "silenced" | "flapping" | "resolved") => Ok(()),
        Some(_) => Err(Problem::field("state", "write open, firing, acknowledged, silenced, flapping or resolved")),
    }
}

/// A series.
pub fn series(known: Known) -> Series {
    let definition = known.definition;
    Series {
        id: definition.id.to_string(),
        metric: definition.name.clone(),
        labels: definition.labels.clone(),
        unit: definition.unit.clone(),
        last: known.last,
        last_at: known.last_at,
    }
}

/// What belongs to one host: its series, and its checks with how they stand.
type Belongings = (Vec<Known>, Vec<(Stored, Option<State>)>);

/// Hosts out of series, checks with their states, and the status each open alert gives its host; the box first.
pub fn hosts(
    series: Vec<Known>,
    checks: Vec<(Stored, Option<State>)>,
    alerts: &[(String, Status)],
    started: i64,
) -> Vec<Host> {
    let mut hosts: BTreeMap<(bool, String), Belongings> = BTreeMap::new();
    let key = |name: &str| (name != SELF, name.to_owned());
    for known in series {
        hosts.entry(key(known.host())).or_default().0.push(known);
    }
    for check in checks {
        hosts.entry(key(&kind::host(&check.0.kind))).or_default().1.push(check);
    }
    let host = |((other, name), (series, checks)): ((bool, String), Belongings)| {
        let kinds = checks.iter().map(|(check, _)| kind::host_kind(&check.kind));
        let kind = if other { kinds.max_by_key(|kind| *kind != "check").unwrap_or("check") } else { "host" };
        let last_seen = series.iter().filter_map(|known| known.last_at).max();
        let status = worst(&name, &checks, alerts).unwrap_or_else(|| match last_seen {
            Some(_) => Status { level: Level::Ok, cause: "all is well".to_owned(), since: started },
            None => Status { level: Level::Unknown, cause: "nothing measured yet".to_owned(), since: started },
        });
        Host { kind: kind.to_owned(), status, last_seen, series: series.len() as u64, facts: facts(&series), name }
    };
    hosts.into_iter().map(host).collect()
}

/// The one status of a host: the worst of its alerts and checks.
fn worst(name: &str, checks: &[(Stored, Option<State>)], alerts: &[(String, Status)]) -> Option<Status> {
    let alerts = alerts.iter().filter(|(host, _)| host == name).map(|(_, status)| status.clone());
    let checks = checks.iter().filter(|(check, _)| !check.paused).filter_map(|(check, state)| {
        let state = state.as_ref()?;
        Some(Status { level: state.level, cause: format!("{}: {}", check.name, state.cause), since: state.since })
    });
    // Not knowing is less bad than knowing of trouble.
    let order = [Level::Ok, Level::Unknown, Level::Warn, Level::Bad];
    alerts.chain(checks).max_by_key(|status| order.iter().position(|level| *level == status.level))
}

/// The headline numbers of a host.
fn facts(series: &[Known]) -> Vec<(String, f64, String)> {
    let headline = [
        ("CPU", "cpu_usage_ratio", "ratio"),
        ("Memory", "memory_used_ratio", "ratio"),
        ("Disk", "disk_used_ratio", "ratio"),
        ("Temperature", "temperature_celsius", "celsius"),
        ("Answer", "check_latency_seconds", "seconds"),
        ("Certificate", "tls_expires_seconds", "seconds"),
        ("Up", "uptime_seconds", "seconds"),
    ];
    headline
        .into_iter()
        .filter_map(|(label, metric, unit)| {
            let values = series.iter().filter(|known| known.definition.name == metric).filter_map(|known| known.last);
            // Of several disks the fullest counts, of several certificates the one that ends first.
            let worst = values.reduce(if metric == "tls_expires_seconds" { f64::min } else { f64::max })?;
            Some((label.to_owned(), worst, unit.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sent_protocol::{series::Labels, telemetry::SeriesDefinition};

    use super::*;

    fn known(host: &str, metric: &str, last: f64) -> Known {
        let labels = Labels::from([("host".to_owned(), host.to_owned())]);
        Known {
            definition: Arc::new(SeriesDefinition::new(metric, labels, "ratio")),
            last: Some(last),
            last_at: Some(5),
        }
    }

    #[test]
    fn the_box_is_first_and_a_host_has_one_status() {
        let ping = Stored {
            id: Uuid::nil(),
            name: "router".to_owned(),
            kind: sent_contract::pulse::CheckKind::Ping { host: "10.0.0.1".to_owned() },
            interval: 60,
            timeout: 10,
            paused: false,
            secret: None,
        };
        let state = State { level: Level::Warn, cause: "slow".to_owned(), since: 3, last_run: None, latency: None };
        let alert = ("this box".to_owned(), Status { level: Level::Bad, cause: "full".to_owned(), since: 4 });
        let series = vec![known("10.0.0.1", "check_latency_seconds", 0.2), known("this box", "disk_used_ratio", 0.97)];
        let hosts = hosts(series, vec![(ping, Some(state))], &[alert], 1);
        assert_eq!(hosts[0].name, "this box");
        assert_eq!((hosts[0].kind.as_str(), hosts[0].status.cause.as_str()), ("host", "full"));
        assert_eq!(hosts[0].facts, [("Disk".to_owned(), 0.97, "ratio".to_owned())]);
        assert_eq!((hosts[1].kind.as_str(), hosts[1].status.cause.as_str()), ("check", "router: slow"));
    }
}
