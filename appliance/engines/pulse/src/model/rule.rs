//! Alert rules: which series a rule is about, what it asks of them, and which silence covers it.

use std::{collections::BTreeMap, str::FromStr};

use sent_contract::{
    FieldError,
    pulse::{Rule, Silence},
};
use sent_protocol::series::{Labels, series_id};
use uuid::Uuid;

use crate::model::{
    SECOND,
    alert::{Condition, Terms},
    target::Target,
};

/// What a rule's condition says, as the contract spells it.
impl FromStr for Condition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "above" => Ok(Self::Above),
            "below" => Ok(Self::Below),
            "absent" => Ok(Self::Absent),
            _ => Err(()),
        }
    }
}

/// Whether a rule is about a series: the same metric, and every label of the rule on the series with the same value.
pub fn matches(rule: &Rule, metric: &str, labels: &Labels) -> bool {
    rule.metric == metric && holds(&rule.labels, labels)
}

/// Whether every wanted label is there with its value.
fn holds(wanted: &BTreeMap<String, String>, labels: &Labels) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

/// Whether a silence covers an alert of this rule on a series with these labels at `at`.
pub fn covers(silence: &Silence, rule: Uuid, labels: &Labels, at: i64) -> bool {
    silence.from <= at
        && at < silence.until
        && silence.rule.is_none_or(|id| id == rule)
        && holds(&silence.labels, labels)
}

/// The rule as the alert machine takes it.
pub fn terms(rule: &Rule) -> Option<Terms> {
    Some(Terms {
        condition: rule.condition.parse().ok()?,
        raise: rule.raise,
        clear: rule.clear,
        hold: i64::from(rule.hold_seconds) * SECOND,
        escalate: rule.escalate_after.map(|s| i64::from(s) * SECOND),
    })
}

/// The series a dead-man rule stands for while nothing it is about has ever been measured.
pub fn placeholder(rule: &Rule) -> u64 {
    series_id(&rule.metric, &rule.labels)
}

/// What is wrong with a rule; nothing when it can be kept.
pub fn validate(rule: &Rule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, message: String| errors.push(FieldError { field: field.to_owned(), message });
    if rule.name.trim().is_empty() || rule.name.len() > 200 {
        wrong("name", "give it a name of at most 200 characters".to_owned());
    }
    if rule.metric.trim().is_empty() {
        wrong("metric", "name the metric".to_owned());
    }
    if !matches!(rule.severity.as_str(), "warn" | "bad") {
        wrong("severity", "write warn or bad".to_owned());
    }
    match rule.condition.parse() {
        Err(()) => wrong("condition", "write above, below or absent".to_owned()),
        Ok(_) if !rule.raise.is_finite() || !rule.clear.is_finite() => {
            wrong("raise", "both limits must be numbers".to_owned());
        }
        Ok(Condition::Above) if rule.clear > rule.raise => {
            wrong("clear", "must not be above the limit that raises".to_owned());
        }
        Ok(Condition::Below) if rule.clear < rule.raise => {
            wrong("clear", "must not be below the limit that raises".to_owned());
        }
        Ok(Condition::Absent) if rule.hold_seconds == 0 => {
            wrong("hold_seconds", "say after how many quiet seconds it is raised".to_owned());
        }
        Ok(_) => {}
    }
    if rule.hold_seconds > 7 * 86_400 {
        wrong("hold_seconds", "at most a week".to_owned());
    }
    for (field, targets) in [("notify", &rule.notify), ("escalate_to", &rule.escalate_to)] {
        if targets.len() > 50 {
            wrong(field, "at most 50 of them".to_owned());
        }
        for (index, target) in targets.iter().enumerate() {
            if let Err(e) = target.parse::<Target>() {
                wrong(&format!("{field}.{index}"), e.to_string());
            }
        }
    }
    if rule.escalate_after.is_some() && rule.escalate_to.is_empty() {
        wrong("escalate_to", "say to whom it is escalated".to_owned());
    }
    errors
}

/// The rules every box starts with.
pub fn defaults(mut id: impl FnMut() -> Uuid) -> Vec<Rule> {
    let host = BTreeMap::from([("host".to_owned(), super::sample::SELF.to_owned())]);
    let mut rule = |name: &str, metric: &str, (raise, clear): (f64, f64), hold_seconds: u32, severity: &str| Rule {
        id: id(),
        name: name.to_owned(),
        metric: metric.to_owned(),
        labels: host.clone(),
        condition: "above".to_owned(),
        raise,
        clear,
        hold_seconds,
        severity: severity.to_owned(),
        notify: Vec::new(),
        escalate_after: None,
        escalate_to: Vec::new(),
        paused: false,
    };
    vec![
        rule("Disk nearly full", "disk_used_ratio", (0.90, 0.87), 60, "bad"),
        rule("Memory nearly full", "memory_used_ratio", (0.95, 0.90), 120, "bad"),
        rule("CPU busy", "cpu_usage_ratio", (0.95, 0.85), 600, "warn"),
        // Above 85 °C most processors start to slow themselves down; 80 °C leaves room to act.
        rule("Too hot", "temperature_celsius", (80.0, 75.0), 120, "bad"),
        rule("Clock wrong", "clock_offset_seconds", (5.0, 1.0), 0, "bad"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Rule {
        defaults(Uuid::nil).remove(0)
    }

    #[test]
    fn default_rules_are_valid_and_match_the_box() {
        for rule in defaults(Uuid::nil) {
            assert!(validate(&rule).is_empty(), "{rule:?}");
        }
        let labels =
            |host: &str| Labels::from([("host".to_owned(), host.to_owned()), ("mount".to_owned(), "/".to_owned())]);
        assert!(matches(&disk(), "disk_used_ratio", &labels("this box")));
        assert!(!matches(&disk(), "disk_used_ratio", &labels("10.0.0.1")));
        assert!(!matches(&disk(), "disk_used_bytes", &labels("this box")));
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let mut rule = disk();
        rule.clear = 0.95;
        rule.condition = "above".into();
        rule.notify = vec!["mail:nobody".into()];
        rule.severity = "terrible".into();
        let fields: Vec<String> = validate(&rule).into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["severity", "clear", "notify.0"]);
    }

    #[test]
    fn a_silence_covers_its_time_rule_and_labels() {
        let labels = Labels::from([("host".to_owned(), "a".to_owned())]);
        let silence = Silence {
            id: Uuid::nil(),
            rule: Some(Uuid::max()),
            labels: labels.clone(),
            from: 10,
            until: 20,
            reason: String::new(),
        };
        assert!(covers(&silence, Uuid::max(), &labels, 10));
        assert!(!covers(&silence, Uuid::max(), &labels, 20));
        assert!(!covers(&silence, Uuid::nil(), &labels, 15));
        assert!(!covers(&silence, Uuid::max(), &Labels::new(), 15));
    }
}
