//! How dangerous a host or a user looks: each alert weighs by its severity, half as much after a day, a quarter after two.
//!
//! A score says whom to look at first; it is computed when it is asked for and kept nowhere.

use std::collections::BTreeMap;

use sent_contract::{Micros, radar::Risk};

/// µs after which an alert weighs half as much.
const HALF_LIFE: f64 = 86_400e6;
/// Older alerts weigh nothing worth counting: 2⁻¹⁴.
pub const WINDOW: Micros = 14 * 86_400_000_000;

/// Severities, from the least on, with what an alert of each weighs.
pub const SEVERITIES: [(&str, f64); 5] =
    [("informational", 1.0), ("low", 5.0), ("medium", 20.0), ("high", 50.0), ("critical", 100.0)];

/// A severity's place, from the least on.
pub fn rank(severity: &str) -> usize {
    SEVERITIES.iter().position(|(name, _)| *name == severity).unwrap_or(0)
}

/// An alert as far as it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    /// Host, or empty.
    pub host: String,
    /// User, or empty.
    pub user: String,
    /// Severity.
    pub severity: String,
    /// Events.
    pub count: u64,
    /// The last of them.
    pub last_at: Micros,
}

/// What an alert weighs now. A hundred events weigh three times as much as one, no more: a noisy rule is not a hundred
/// burglars.
fn weight(alert: &Weighed, now: Micros) -> f64 {
    let age = now.saturating_sub(alert.last_at).max(0) as f64;
    let repeated = 1.0 + (alert.count.max(1) as f64).log10();
    SEVERITIES[rank(&alert.severity)].1 * repeated * 0.5_f64.powf(age / HALF_LIFE)
}

/// Hosts and users by their score, the highest first.
pub fn scores(alerts: &[Weighed], now: Micros) -> Vec<Risk> {
    let mut found: BTreeMap<(&str, &str), Risk> = BTreeMap::new();
    for alert in alerts {
        for (kind, name) in [("host", &alert.host), ("user", &alert.user)] {
            if name.is_empty() {
                continue;
            }
            let risk = found.entry((kind, name)).or_insert_with(|| Risk {
                kind: kind.to_owned(),
                name: name.clone(),
                score: 0.0,
                alerts: 0,
                severity: alert.severity.clone(),
                last_at: alert.last_at,
            });
            risk.score += weight(alert, now);
            risk.alerts += 1;
            risk.last_at = risk.last_at.max(alert.last_at);
            if rank(&alert.severity) > rank(&risk.severity) {
                risk.severity.clone_from(&alert.severity);
            }
        }
    }
    let mut scores: Vec<Risk> = found.into_values().collect();
    scores.sort_by(|a, b| b.score.total_cmp(&a.score));
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(host: &str, user: &str, severity: &str, age_days: i64) -> Weighed {
        let last_at = -age_days * 86_400_000_000;
        Weighed { host: host.to_owned(), user: user.to_owned(), severity: severity.to_owned(), count: 1, last_at }
    }

    #[test]
    fn a_fresh_alert_outweighs_an_old_one_and_severities_outweigh_counts() {
        let alerts = [
            alert("a", "", "high", 0),
            alert("b", "eve", "high", 1),
            alert("c", "eve", "low", 0),
            alert("c", "", "low", 0),
        ];
        let scores = scores(&alerts, 0);
        let names: Vec<(&str, f64)> = scores.iter().map(|r| (r.name.as_str(), r.score)).collect();
        assert_eq!(names, [("a", 50.0), ("eve", 30.0), ("b", 25.0), ("c", 10.0)]);
        assert_eq!((scores[1].kind.as_str(), scores[1].severity.as_str(), scores[1].alerts), ("user", "high", 2));
    }
}
