//! What logs have to say in a report: what rules found, how it ended, and about whom.
//!
//! Alerts are told by case, the worst first; a case that was closed as no trouble is told too, and says so, because a
//! customer wants to know that somebody looked.

use rusqlite::{Connection, params};
use sent_contract::{Level, radar::Risk};
use sent_core::{
    Problem, Scope, Timestamp,
    report::{Bar, Block, Column, Figure, Finding, Period, Section},
};
use sent_store::StoreError;

use crate::{model::risk, service::Service, store};

/// Where the section stands among the others.
const PLACE: u16 = 100;
/// Cases that are read; the section counts the others.
const CASES: u32 = 20;
/// Hosts and users that are told.
const RISKS: usize = 10;
/// Severities, the worst first, with what a reader calls them and how bad they are.
const SEVERITIES: [(&str, &str, Level); 5] = [
    ("critical", "Critical", Level::Bad),
    ("high", "High", Level::Bad),
    ("medium", "Medium", Level::Warn),
    ("low", "Low", Level::Unknown),
    ("informational", "Informational", Level::Unknown),
];

/// A case with what happened in it within the time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    title: String,
    severity: String,
    host: String,
    user: String,
    state: String,
    verdict: String,
    events: u64,
    last_at: i64,
}

/// What is read about a time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    /// Alerts by severity, in the order of [`SEVERITIES`].
    alerts: [u64; 5],
    /// Alerts of the time before.
    earlier: u64,
    /// Cases that had alerts, and how many of them are not closed.
    cases: (u64, u64),
    /// The worst of them.
    worst: Vec<Told>,
    /// Who looks dangerous at its end.
    risks: Vec<Risk>,
    /// Rules that run.
    rules: u64,
}

impl Service {
    /// What there is to report about a time. Nothing, where no rule runs and nothing was found.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn report(&self, scope: &Scope, period: Period) -> Result<Vec<Section>, Problem> {
        let found = self.store().read(scope, move |c| read(c, period)).await?;
        Ok(section(&found).into_iter().collect())
    }
}

fn read(c: &Connection, period: Period) -> Result<Found, StoreError> {
    const WITHIN: &str = "a.last_at >= ?1 AND a.first_at < ?2";
    let number = |sql: &str, of: Period| -> Result<u64, StoreError> {
        let count: i64 = c.prepare_cached(sql)?.query_row(params![of.from.0, of.to.0], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let mut found = Found {
        earlier: number(&format!("SELECT count(*) FROM radar_alerts a WHERE {WITHIN}"), period.before())?,
        risks: store::risks(c, period.to.0)?,
        ..Found::default()
    };
    let mut counted =
        c.prepare_cached(&format!("SELECT a.severity, count(*) FROM radar_alerts a WHERE {WITHIN} GROUP BY 1"))?;
    let mut rows = counted.query(params![period.from.0, period.to.0])?;
    while let Some(row) = rows.next()? {
        let severity: String = row.get(0)?;
        if let Some(place) = SEVERITIES.iter().position(|(name, ..)| *name == severity) {
            found.alerts[place] = row.get::<_, i64>(1)?.unsigned_abs();
        }
    }
    let cases = |state: &str| {
        format!(
            "SELECT count(DISTINCT c.id) FROM radar_alerts a JOIN radar_cases c ON c.id = a.case_id \
             WHERE {WITHIN} AND c.state <> '{state}'"
        )
    };
    found.cases = (number(&cases(""), period)?, number(&cases("closed"), period)?);
    found.rules = store::rules(c)?.iter().filter(|rule| rule.enabled && rule.kind != "broken").count() as u64;
    let worst = format!(
        "SELECT c.title, c.severity, c.host, c.user, c.state, c.verdict, sum(a.count), max(a.last_at) \
         FROM radar_alerts a JOIN radar_cases c ON c.id = a.case_id WHERE {WITHIN} GROUP BY c.id \
         ORDER BY CASE c.severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END, \
         max(a.last_at) DESC LIMIT {CASES}"
    );
    let mut told = c.prepare_cached(&worst)?;
    let told = told.query_map(params![period.from.0, period.to.0], |row| {
        Ok(Told {
            title: row.get(0)?,
            severity: row.get(1)?,
            host: row.get(2)?,
            user: row.get(3)?,
            state: row.get(4)?,
            verdict: row.get(5)?,
            events: row.get::<_, i64>(6)?.unsigned_abs(),
            last_at: row.get(7)?,
        })
    })?;
    found.worst = told.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

fn section(found: &Found) -> Option<Section> {
    let alerts: u64 = found.alerts.iter().sum();
    if alerts == 0 && found.earlier == 0 && found.rules == 0 {
        return None;
    }
    let (cases, open) = found.cases;
    let serious = found.alerts[0] + found.alerts[1];
    let mut blocks = vec![Block::Figures {
        figures: vec![
            Figure {
                label: "Alerts".to_owned(),
                value: alerts.to_string(),
                note: Some(format!("{} in the time before", found.earlier)),
                level: Level::Unknown,
            },
            Figure {
                label: "High or critical".to_owned(),
                value: serious.to_string(),
                note: None,
                level: if serious > 0 { Level::Bad } else { Level::Ok },
            },
            Figure {
                label: "Cases still open".to_owned(),
                value: open.to_string(),
                note: Some(format!("of {cases}")),
                level: if open > 0 { Level::Warn } else { Level::Ok },
            },
            Figure {
                label: "Rules that watched".to_owned(),
                value: found.rules.to_string(),
                note: None,
                level: Level::Unknown,
            },
        ],
    }];
    if alerts > 0 {
        let bar = |((_, label, level), count): (&(&str, &str, Level), &u64)| Bar {
            label: (*label).to_owned(),
            value: *count as f64,
            level: *level,
        };
        blocks.push(Block::Bars {
            title: "Alerts by severity".to_owned(),
            unit: "count".to_owned(),
            bars: SEVERITIES.iter().zip(&found.alerts).map(bar).collect(),
        });
    }
    blocks.push(Block::Table {
        title: "What was found in the logs".to_owned(),
        columns: ["Finding", "Severity", "About", "Last seen (UTC)", "Where it stands"]
            .map(Column::words)
            .into_iter()
            .chain([Column::numbers("Events")])
            .collect(),
        rows: found.worst.iter().map(row).collect(),
        more: cases.saturating_sub(found.worst.len() as u64),
        empty: "No rule found anything.".to_owned(),
    });
    if !found.risks.is_empty() {
        let bar = |risk: &Risk| Bar {
            label: format!("{} {}", risk.kind, risk.name),
            value: risk.score.round(),
            level: if risk::rank(&risk.severity) >= risk::rank("high") { Level::Bad } else { Level::Warn },
        };
        blocks.push(Block::Bars {
            title: "Hosts and users by risk".to_owned(),
            unit: "count".to_owned(),
            bars: found.risks.iter().take(RISKS).map(bar).collect(),
        });
    }
    let summary = Some(match (open, alerts) {
        (0, 0) => {
            Finding { level: Level::Ok, text: format!("{} rules watched the logs and found nothing.", found.rules) }
        }
        (0, _) => {
            Finding { level: Level::Ok, text: format!("{alerts} alerts in the logs; all of them were dealt with.") }
        }
        _ => Finding {
            level: if serious > 0 { Level::Bad } else { Level::Warn },
            text: format!("{open} of {cases} cases found in the logs are still open; {serious} alerts are serious."),
        },
    });
    Some(Section { title: "Security alerts".to_owned(), place: PLACE, summary, blocks })
}

fn row(told: &Told) -> Vec<String> {
    let about: Vec<&str> = [told.host.as_str(), &told.user].into_iter().filter(|name| !name.is_empty()).collect();
    let stands = match (told.state.as_str(), told.verdict.as_str()) {
        ("closed", "true_positive") => "closed: real",
        ("closed", "false_positive") => "closed: false alarm",
        ("closed", "benign") => "closed: harmless",
        ("closed", _) => "closed",
        ("working", _) => "being looked at",
        _ => "open",
    };
    vec![
        told.title.clone(),
        told.severity.clone(),
        about.join(" · "),
        Timestamp(told.last_at).rfc3339(),
        stands.to_owned(),
        told.events.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(state: &str, verdict: &str) -> Told {
        Told {
            title: "Password guessed".to_owned(),
            severity: "high".to_owned(),
            host: "till-1".to_owned(),
            user: String::new(),
            state: state.to_owned(),
            verdict: verdict.to_owned(),
            events: 12,
            last_at: 0,
        }
    }

    #[test]
    fn a_week_without_rules_is_silent_and_one_without_finds_says_so() {
        assert_eq!(section(&Found::default()), None);
        let quiet = section(&Found { rules: 12, ..Found::default() }).unwrap();
        assert_eq!(quiet.summary.unwrap().text, "12 rules watched the logs and found nothing.");
    }

    #[test]
    fn open_cases_are_told_first_and_as_bad_as_they_are() {
        let found = Found {
            alerts: [0, 3, 1, 0, 0],
            cases: (22, 2),
            worst: vec![told("open", ""), told("closed", "false_positive")],
            rules: 12,
            ..Found::default()
        };
        let section = section(&found).unwrap();
        let finding = section.summary.unwrap();
        assert_eq!(finding.level, Level::Bad);
        assert_eq!(finding.text, "2 of 22 cases found in the logs are still open; 3 alerts are serious.");
        let Some(Block::Table { rows, more, .. }) = section.blocks.iter().find(|b| matches!(b, Block::Table { .. }))
        else {
            panic!("no table");
        };
        assert_eq!(*more, 20);
        assert_eq!(rows[0][2], "till-1");
        assert_eq!((rows[0][4].as_str(), rows[1][4].as_str()), ("open", "closed: false alarm"));
    }
}
