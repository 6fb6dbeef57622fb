//! Correlation: what several matches within a time mean together.
//!
//! Windows, groups, aliases and chains are `rsigma_eval`'s; it is handed the matches that our matcher found, and only
//! those that some correlation speaks of, so that the hot path does not know of it. The state is kept by the rules' own
//! ids: it goes to disk as a [`Snapshot`] and goes on after a restart or a reload of rules.
//!
//! Source: Sigma correlation rules specification 2.1.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use rsigma_eval::event::{Event, EventValue, JsonEvent};
use rsigma_eval::{
    CorrelationConfig, CorrelationEngine, CorrelationSnapshot, DetectionBody, EvaluationResult, ResultBody, RuleHeader,
};
use rsigma_parser::{ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, Level};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::matcher::RuleSet;
use crate::model::{Fault, Place};

/// Groups that are kept at most, over all correlations; beyond it the oldest are forgotten.
const GROUPS: usize = 100_000;
/// Entries that one group keeps at most; an older one is dropped first, so that a flood can only be counted short.
const ENTRIES: usize = 100_000;

/// A correlation that came true.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Firing {
    /// The correlation rule's id; empty where it has none.
    pub rule_id: String,
    /// Its title.
    pub title: String,
    /// How severe it is.
    pub level: Option<Level>,
    /// What it counts.
    pub kind: CorrelationType,
    /// The fields it groups by, with their values here.
    pub group: Vec<(String, String)>,
    /// What was counted, summed or measured.
    pub value: f64,
    /// The length of the window in seconds.
    pub seconds: u64,
}

/// The state of all windows, to be kept over a restart.
#[derive(Debug, Serialize, Deserialize)]
pub struct Snapshot(CorrelationSnapshot);

/// Why a snapshot cannot be taken up again.
#[derive(Debug, thiserror::Error)]
#[error("the correlation state was written by another version")]
pub struct SnapshotError;

/// The correlations of a rule set, with their windows.
pub struct Correlations {
    engine: CorrelationEngine,
    /// By the number of a rule: the names by which correlations speak of it.
    spoken: HashMap<u32, Vec<String>>,
    /// Rules whose own matches are not reported, because every correlation that speaks of them stands for them.
    silent: HashSet<u32>,
    /// By a percentile's title and id: what its value must satisfy. The engine reports the value whatever it is.
    percentiles: HashMap<(String, String), Vec<(ConditionOperator, u64)>>,
}

impl std::fmt::Debug for Correlations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Correlations").field("spoken", &self.spoken).field("silent", &self.silent).finish()
    }
}

impl Correlations {
    /// Compiles `rules` over the detections of `set`; what is wrong with one goes to `faults`, and the others run.
    pub fn new(rules: &[(CorrelationRule, Place)], set: &RuleSet, faults: &mut Vec<Fault>) -> Self {
        let config = CorrelationConfig {
            max_state_entries: GROUPS,
            max_group_entries: Some(ENTRIES),
            ..CorrelationConfig::default()
        };
        let mut numbers: HashMap<&str, Vec<u32>> = HashMap::new();
        for (number, rule) in set.rules().iter().enumerate() {
            let names = rule.name.iter().map(String::as_str).chain((!rule.id.is_empty()).then_some(rule.id.as_str()));
            names.for_each(|name| numbers.entry(name).or_default().push(number as u32));
        }
        let others: HashMap<&str, &CorrelationRule> = rules
            .iter()
            .flat_map(|(rule, _)| rule.id.iter().chain(&rule.name).map(move |name| (name.as_str(), rule)))
            .collect();
        let mut this = Self {
            engine: CorrelationEngine::new(config),
            spoken: HashMap::new(),
            silent: HashSet::new(),
            percentiles: HashMap::new(),
        };
        let mut heard = HashSet::new();
        for (rule, place) in rules {
            let unknown = rule
                .rules
                .iter()
                .find(|name| !numbers.contains_key(name.as_str()) && !others.contains_key(name.as_str()));
            let wrong = match unknown {
                Some(name) => Some(format!("there is no rule `{name}`")),
                None if circular(rule, &others) => Some("the correlation leads back to itself".to_owned()),
                None if over_percentile(rule, &others) => {
                    Some("a correlation over a `value_percentile` is not supported".to_owned())
                }
                None => this.engine.add_correlation(rule).err().map(|error| error.to_string()),
            };
            if let Some(message) = wrong {
                let (place, rule) = (place.clone(), Some(rule.title.clone()));
                faults.push(Fault { place, rule, message, runs: false });
                continue;
            }
            if let (CorrelationType::ValuePercentile, CorrelationCondition::Threshold { predicates, .. }) =
                (rule.correlation_type, &rule.condition)
            {
                let key = (rule.title.clone(), rule.id.clone().unwrap_or_default());
                this.percentiles.insert(key, predicates.clone());
            }
            for name in &rule.rules {
                for &number in numbers.get(name.as_str()).into_iter().flatten() {
                    let names = this.spoken.entry(number).or_default();
                    if !names.contains(name) {
                        names.push(name.clone());
                    }
                    if rule.generate {
                        heard.insert(number);
                    }
                }
            }
        }
        this.silent = this.spoken.keys().copied().filter(|number| !heard.contains(number)).collect();
        this
    }

    /// Whether a match of this rule means anything to a correlation.
    pub fn concerns(&self, rule: u32) -> bool {
        self.spoken.contains_key(&rule)
    }

    /// Whether a match of this rule is not reported on its own (`generate: false`).
    pub fn silences(&self, rule: u32) -> bool {
        self.silent.contains(&rule)
    }

    /// Takes up that `rules` matched `event` at `at`, and gives the correlations that came true by it.
    pub fn take(&mut self, set: &RuleSet, rules: &[u32], event: &Value, at: Timestamp) -> Vec<Firing> {
        let detections: Vec<EvaluationResult> = rules
            .iter()
            .filter_map(|rule| Some((&set.rules()[*rule as usize], self.spoken.get(rule)?)))
            .flat_map(|(rule, names)| {
                names.iter().map(|name| EvaluationResult {
                    header: RuleHeader {
                        rule_title: rule.title.clone(),
                        rule_id: Some(name.clone()),
                        level: rule.level,
                        tags: Vec::new(),
                        custom_attributes: Default::default(),
                        enrichments: None,
                    },
                    body: ResultBody::Detection(DetectionBody {
                        matched_selections: Vec::new(),
                        matched_fields: Vec::new(),
                        event: None,
                    }),
                })
            })
            .collect();
        if detections.is_empty() {
            return Vec::new();
        }
        let results = self.engine.process_with_detections(&Windows(event), detections, at.as_second());
        let firings = results.into_iter().filter_map(|result| match result.body {
            ResultBody::Detection(_) => None,
            ResultBody::Correlation(body) => Some(Firing {
                rule_id: result.header.rule_id.unwrap_or_default(),
                title: result.header.rule_title,
                level: result.header.level,
                kind: body.correlation_type,
                group: body.group_key,
                value: body.aggregated_value,
                seconds: body.timespan_secs,
            }),
        });
        firings.filter(|firing| self.satisfied(firing)).collect()
    }

    fn satisfied(&self, firing: &Firing) -> bool {
        let predicates = self.percentiles.get(&(firing.title.clone(), firing.rule_id.clone()));
        firing.kind != CorrelationType::ValuePercentile
            || predicates.is_none_or(|predicates| {
                predicates.iter().all(|(operator, bound)| {
                    let order = firing.value.total_cmp(&(*bound as f64));
                    match operator {
                        ConditionOperator::Lt => order.is_lt(),
                        ConditionOperator::Lte => order.is_le(),
                        ConditionOperator::Gt => order.is_gt(),
                        ConditionOperator::Gte => order.is_ge(),
                        ConditionOperator::Eq => order.is_eq(),
                        ConditionOperator::Neq => order.is_ne(),
                    }
                })
            })
    }

    /// The state of all windows.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.engine.export_state())
    }

    /// Goes on from a state; windows of correlations that there are no more are dropped.
    ///
    /// # Errors
    /// Where the state was written by another version.
    pub fn resume(&mut self, snapshot: Snapshot) -> Result<(), SnapshotError> {
        if self.engine.import_state(snapshot.0) { Ok(()) } else { Err(SnapshotError) }
    }
}

/// Whether a correlation counts what a percentile reports: the engine would count values that do not satisfy it.
fn over_percentile(rule: &CorrelationRule, others: &HashMap<&str, &CorrelationRule>) -> bool {
    let mut below = rule.rules.iter().filter_map(|name| others.get(name.as_str()));
    below.any(|other| other.correlation_type == CorrelationType::ValuePercentile)
}

fn circular(rule: &CorrelationRule, others: &HashMap<&str, &CorrelationRule>) -> bool {
    let own = |name: &str| rule.id.as_deref() == Some(name) || rule.name.as_deref() == Some(name);
    let mut seen = HashSet::new();
    let mut waiting: Vec<&str> = rule.rules.iter().map(String::as_str).collect();
    while let Some(name) = waiting.pop() {
        if own(name) {
            return true;
        }
        if seen.insert(name)
            && let Some(other) = others.get(name)
        {
            waiting.extend(other.rules.iter().map(String::as_str));
        }
    }
    false
}

/// Where Windows events keep their fields, nearest first.
const MOUNTS: [&str; 4] = ["/Event/EventData", "/winlog/event_data", "/Event/System", "/winlog"];

/// An event whose fields are found where the matcher finds them.
struct Windows<'a>(&'a Value);

impl Event for Windows<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        // A value found is copied out of its lookup, which borrows no longer than the lookup's own wrapper.
        let own = |value: &'_ Value| JsonEvent::borrow(value).get_field(path).map(|value| value.to_json());
        std::iter::once(self.0)
            .chain(MOUNTS.iter().filter_map(|mount| self.0.pointer(mount)))
            .find_map(own)
            .map(|value| owned(&value))
    }

    fn any_string_value(&self, test: &dyn Fn(&str) -> bool) -> bool {
        JsonEvent::borrow(self.0).any_string_value(test)
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let event = JsonEvent::borrow(self.0);
        event.all_string_values().into_iter().map(|text| Cow::Owned(text.into_owned())).collect()
    }

    fn to_json(&self) -> Value {
        self.0.clone()
    }
}

fn owned(value: &Value) -> EventValue<'static> {
    match value {
        Value::String(text) => EventValue::Str(Cow::Owned(text.clone())),
        Value::Number(number) => match number.as_i64() {
            Some(number) => EventValue::Int(number),
            None => EventValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Bool(truth) => EventValue::Bool(*truth),
        Value::Array(values) => EventValue::Array(values.iter().map(owned).collect()),
        Value::Null | Value::Object(_) => EventValue::Null,
    }
}

/// Where events tell their time, surest first.
const TIMES: [&str; 9] = [
    "/@timestamp",
    "/Event/System/TimeCreated/#attributes/SystemTime",
    "/timestamp",
    "/EventTime",
    "/eventTime",
    "/TimeCreated",
    "/UtcTime",
    "/time",
    "/_time",
];
/// Above this an epoch is taken as milliseconds.
const MILLISECONDS: f64 = 1e12;

/// The time that an event tells: RFC 3339, or a date and time without an offset (then UTC), or an epoch in seconds or
/// milliseconds.
pub fn time(event: &Value) -> Option<Timestamp> {
    TIMES.iter().filter_map(|place| event.pointer(place)).find_map(|value| match value {
        Value::String(text) => text.parse().ok().or_else(|| {
            let local: DateTime = text.parse().ok()?;
            Some(local.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp())
        }),
        Value::Number(number) => {
            let number = number.as_f64()?;
            let seconds = if number.abs() > MILLISECONDS { number / 1e3 } else { number };
            Timestamp::from_millisecond((seconds * 1e3) as i64).ok()
        }
        _ => None,
    })
}
