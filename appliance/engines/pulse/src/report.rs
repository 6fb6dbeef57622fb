//! What measuring has to say in a report: whether everything was there, what went wrong, and how busy the box was.
//!
//! Availability is the mean of `check_up` over the time in which a check was measured; a time without measurements counts
//! neither way, and is told.

use std::collections::BTreeMap;

use sent_contract::{
    Level,
    pulse::{Check, CheckKind, Curve as Measured, Series},
};
use sent_core::{
    Problem, Scope, Timestamp,
    report::{Block, Column, Curve, Figure, Finding, MOST_FIGURES, MOST_POINTS, Period, Section, percent},
};

use crate::{
    model::sample::SELF,
    service::Service,
    store::{self, AlertRow},
};

/// Where the section stands among the others.
const PLACE: u16 = 500;
/// Series asked for at once.
const AT_ONCE: usize = 100;
/// A check below this share of the time was not there.
const POOR: f64 = 0.99;

/// How a check did.
#[derive(Clone, Debug, PartialEq)]
struct Uptime {
    name: String,
    what: String,
    /// Share of the measured time, 0 to 1; `None` when nothing was measured.
    share: Option<f64>,
    /// Runs of time in which it failed at least once.
    interruptions: usize,
    /// Share of the time in which something was measured.
    measured: f64,
}

impl Service {
    /// What there is to report about a time.
    pub async fn report(&self, scope: &Scope, period: Period) -> Result<Vec<Section>, Problem> {
        let checks = self.checks(scope).await?.items;
        let all = self.series(scope, None, None, None).items;
        let before = period.before();
        let (alerts, earlier) = self
            .rows()
            .read(scope, move |c| {
                Ok::<_, sent_store::StoreError>((
                    store::alerts_between(c, period.from.0, period.to.0)?,
                    store::alerts_between(c, before.from.0, before.to.0)?.len(),
                ))
            })
            .await?;
        let up = self.curves(scope, &all, "check_up", period).await?;
        let uptimes: Vec<Uptime> = checks.iter().map(|check| uptime(check, &all, &up)).collect();
        let mut busy = Vec::new();
        for (metric, name) in [("cpu_usage_ratio", "Processor"), ("memory_used_ratio", "Memory")] {
            let curves = self.curves(scope, &own(&all), metric, period).await?;
            busy.extend(curves.into_values().next().map(|measured| curve(name, &measured)));
        }
        Ok(section(&uptimes, &alerts, earlier, busy).into_iter().collect())
    }

    /// Curves of a metric by series.
    async fn curves(
        &self,
        scope: &Scope,
        all: &[Series],
        metric: &str,
        period: Period,
    ) -> Result<BTreeMap<String, Measured>, Problem> {
        let ids: Vec<u64> = all.iter().filter(|s| s.metric == metric).filter_map(|s| s.id.parse().ok()).collect();
        let mut found = BTreeMap::new();
        for some in ids.chunks(AT_ONCE) {
            let points = Some(MOST_POINTS);
            let answer = self.query(scope, some.to_vec(), Some(period.from.0), Some(period.to.0), points).await?;
            found.extend(answer.series.into_iter().map(|curve| (curve.id.clone(), curve)));
        }
        Ok(found)
    }
}

/// Series of the box itself.
fn own(all: &[Series]) -> Vec<Series> {
    all.iter().filter(|s| s.labels.get("host").is_some_and(|host| host == SELF)).cloned().collect()
}

fn uptime(check: &Check, all: &[Series], up: &BTreeMap<String, Measured>) -> Uptime {
    let series = all.iter().find(|s| s.metric == "check_up" && s.labels.get("check") == Some(&check.name));
    let measured = series.and_then(|series| up.get(&series.id));
    let values: Vec<Option<(f64, f64)>> = measured
        .map(|curve| curve.avg.iter().zip(&curve.min).map(|(avg, min)| avg.zip(*min)).collect())
        .unwrap_or_default();
    let known: Vec<(f64, f64)> = values.iter().flatten().copied().collect();
    let failed = |value: &Option<(f64, f64)>| value.is_some_and(|(_, min)| min < 1.0);
    let starts = values.iter().enumerate().filter(|(n, v)| failed(v) && (*n == 0 || !failed(&values[n - 1])));
    Uptime {
        name: check.name.clone(),
        what: target(&check.kind),
        share: (!known.is_empty()).then(|| known.iter().map(|(avg, _)| avg).sum::<f64>() / known.len() as f64),
        interruptions: starts.count(),
        measured: if values.is_empty() { 0.0 } else { known.len() as f64 / values.len() as f64 },
    }
}

/// What a check looks at, in a word or two.
fn target(kind: &CheckKind) -> String {
    let value = serde_json::to_value(kind).unwrap_or_default();
    let text = |key: &str| value.get(key).and_then(|v| v.as_str()).map(str::to_owned);
    let place = ["url", "host", "server", "topic"].into_iter().find_map(text).unwrap_or_default();
    format!("{} {place}", text("kind").unwrap_or_default()).trim().to_owned()
}

fn curve(name: &str, measured: &Measured) -> Curve {
    Curve { name: name.to_owned(), points: measured.at.iter().copied().zip(measured.avg.iter().copied()).collect() }
}

fn section(uptimes: &[Uptime], alerts: &[AlertRow], earlier: usize, busy: Vec<Curve>) -> Option<Section> {
    if uptimes.is_empty() && alerts.is_empty() && busy.is_empty() {
        return None;
    }
    let known: Vec<f64> = uptimes.iter().filter_map(|uptime| uptime.share).collect();
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    let poor: Vec<&Uptime> = uptimes.iter().filter(|u| u.share.is_some_and(|share| share < POOR)).collect();
    let open = alerts.iter().filter(|alert| alert.resolved_at.is_none()).count();
    let mut blocks = vec![Block::Figures {
        figures: vec![
            Figure {
                label: "Availability".to_owned(),
                value: mean.map_or_else(|| "not measured".to_owned(), percent),
                note: Some(format!("mean of {} {}", known.len(), plural(known.len(), "check"))),
                level: mean.map_or(Level::Unknown, |mean| if mean < POOR { Level::Warn } else { Level::Ok }),
            },
            Figure {
                label: "Monitoring alerts".to_owned(),
                value: alerts.len().to_string(),
                note: Some(format!("{earlier} in the time before")),
                level: Level::Unknown,
            },
            Figure {
                label: "Still open".to_owned(),
                value: open.to_string(),
                note: None,
                level: if open > 0 { Level::Warn } else { Level::Ok },
            },
        ],
    }];
    blocks.push(checked(uptimes));
    if !alerts.is_empty() {
        blocks.push(raised(alerts));
    }
    if !busy.is_empty() {
        let curves = busy.into_iter().take(MOST_FIGURES).collect();
        blocks.push(Block::Curves { title: "Load of the box".to_owned(), unit: "ratio".to_owned(), curves });
    }
    let summary = match (poor.as_slice(), mean) {
        ([], None) => None,
        ([], Some(mean)) => Some(Finding {
            level: Level::Ok,
            text: format!("What is watched was there {} of the time.", percent(mean)),
        }),
        (poor, _) => {
            let worst = poor.iter().min_by(|a, b| a.share.partial_cmp(&b.share).unwrap_or(std::cmp::Ordering::Equal));
            worst.map(|worst| Finding {
                level: Level::Warn,
                text: format!(
                    "{} of {} checks failed noticeably; {} was there {} of the time.",
                    poor.len(),
                    uptimes.len(),
                    worst.name,
                    worst.share.map(percent).unwrap_or_default()
                ),
            })
        }
    };
    Some(Section { title: "Availability".to_owned(), place: PLACE, summary, blocks })
}

fn checked(uptimes: &[Uptime]) -> Block {
    let mut sorted: Vec<&Uptime> = uptimes.iter().collect();
    let share = |uptime: &Uptime| uptime.share.unwrap_or(2.0);
    sorted.sort_by(|a, b| share(a).total_cmp(&share(b)).then_with(|| a.name.cmp(&b.name)));
    let row = |uptime: &Uptime| {
        let interruptions = uptime.interruptions.to_string();
        vec![
            uptime.name.clone(),
            uptime.what.clone(),
            uptime.share.map_or_else(|| "not measured".to_owned(), percent),
            uptime.share.map_or_else(String::new, |_| interruptions),
            percent(uptime.measured),
        ]
    };
    Block::Table {
        title: "What is watched".to_owned(),
        columns: vec![
            Column::words("Check"),
            Column::words("Looks at"),
            Column::numbers("Was there"),
            Column::numbers("Interruptions"),
            Column::numbers("Measured"),
        ],
        rows: sorted.into_iter().map(row).collect(),
        more: 0,
        empty: "Nothing is watched yet: add checks to see whether what the office needs is there.".to_owned(),
    }
}

fn raised(alerts: &[AlertRow]) -> Block {
    let row = |alert: &AlertRow| {
        let lasted = alert.resolved_at.map_or_else(|| "still open".to_owned(), |end| lasted(end - alert.raised_at));
        vec![alert.title.clone(), alert.severity.clone(), Timestamp(alert.raised_at).rfc3339(), lasted]
    };
    Block::Table {
        title: "Alerts of the monitoring".to_owned(),
        columns: vec![
            Column::words("Alert"),
            Column::words("Severity"),
            Column::words("Raised (UTC)"),
            Column::numbers("Lasted"),
        ],
        rows: alerts.iter().map(row).collect(),
        more: 0,
        empty: String::new(),
    }
}

fn lasted(micros: i64) -> String {
    let minutes = micros / 60_000_000;
    match minutes {
        0 => "under a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[Option<f64>]) -> Measured {
        let at = (0..values.len() as i64).collect();
        Measured { id: "1".to_owned(), at, avg: values.to_vec(), min: values.to_vec(), max: values.to_vec() }
    }

    fn check() -> Check {
        serde_json::from_value(serde_json::json!({
            "id": "00000000-0000-0000-0000-000000000001", "name": "shop", "kind": { "kind": "tcp", "host": "shop.example", "port": 443 },
            "interval": 60, "timeout": 5, "paused": false, "status": { "level": "ok", "cause": "", "since": 0 },
            "last_run": null, "latency_ms": null
        }))
        .unwrap()
    }

    fn of(values: &[Option<f64>]) -> Uptime {
        let labels = BTreeMap::from([("check".to_owned(), "shop".to_owned())]);
        let series = Series {
            id: "1".to_owned(),
            metric: "check_up".to_owned(),
            labels,
            unit: "count".to_owned(),
            last: None,
            last_at: None,
        };
        uptime(&check(), &[series], &BTreeMap::from([("1".to_owned(), measured(values))]))
    }

    #[test]
    fn a_time_without_measurements_counts_neither_way() {
        let uptime = of(&[Some(1.0), None, Some(0.5), Some(0.0), Some(1.0), Some(0.5)]);
        assert_eq!((uptime.share, uptime.interruptions), (Some(0.6), 2));
        assert!((uptime.measured - 5.0 / 6.0).abs() < 1e-9);
        assert_eq!(uptime.what, "tcp shop.example");
        assert_eq!(of(&[None, None]).share, None);
    }

    #[test]
    fn the_worst_is_named_first_and_in_the_summary() {
        let good = Uptime { name: "mail".to_owned(), ..of(&[Some(1.0)]) };
        let poor = of(&[Some(1.0), Some(0.0)]);
        let section = section(&[good, poor], &[], 3, Vec::new()).unwrap();
        let finding = section.summary.unwrap();
        assert_eq!(finding.text, "1 of 2 checks failed noticeably; shop was there 50.00 % of the time.");
        let Block::Table { rows, .. } = &section.blocks[1] else { panic!("{:?}", section.blocks) };
        assert_eq!((rows[0][0].as_str(), rows[0][2].as_str()), ("shop", "50.00 %"));
    }

    #[test]
    fn nothing_measured_is_nothing_to_say() {
        assert_eq!(section(&[], &[], 0, Vec::new()), None);
    }
}
