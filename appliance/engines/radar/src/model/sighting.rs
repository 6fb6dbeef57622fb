//! What becomes an alert: matches of one rule about one host and user within ten minutes.
//!
//! The id of an alert follows from what it is about, so that whoever finds the same again finds the same alert; and a
//! sighting knows the queue's position of each event, so that an event is counted once however often it is read.

use rsigma_parser::{CorrelationRule, Level};
use sent_contract::Uuid;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Place, Rule};
use crate::{
    correlation::Firing,
    intake::record::{Record, cut},
};

/// µs of event time that one alert covers.
const SPAN: i64 = 600_000_000;
/// Bytes of a host's or a user's name at most.
pub const LONGEST_NAME: usize = 256;
/// Bytes of the original that are kept as evidence.
const LONGEST_ORIGINAL: usize = 16 << 10;
/// Fields that are kept as evidence, and bytes of each.
const MOST_FIELDS: (usize, usize) = (200, 2_048);

/// What an alert tells of its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The rule's id, or its place where it has none.
    pub rule: String,
    /// Title.
    pub title: String,
    /// Who wrote it.
    pub author: String,
    /// Severity.
    pub severity: &'static str,
    /// ATT&CK techniques.
    pub techniques: Vec<String>,
    /// A correlation's group, as a text.
    pub group: Option<String>,
}

impl About {
    /// What is told of a rule.
    pub fn rule(rule: &Rule) -> Self {
        Self {
            rule: identity(rule),
            title: rule.title.clone(),
            author: rule.author.clone().unwrap_or_default(),
            severity: severity(rule.level),
            techniques: techniques(&rule.tags),
            group: None,
        }
    }
}

/// By what a rule is known: its id, or its place where it has none.
pub fn identity(rule: &Rule) -> String {
    if rule.id.is_empty() { format!("{}:{}", file_name(&rule.place), rule.place.line) } else { rule.id.clone() }
}

fn file_name(place: &Place) -> String {
    place.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A level's name; a rule that gives none is of medium severity.
pub fn severity(level: Option<Level>) -> &'static str {
    level.map_or("medium", |level| level.as_str())
}

/// The techniques among tags: `attack.t1059.001` is `T1059.001`.
pub fn techniques(tags: &[String]) -> Vec<String> {
    let number = |tag: &str| {
        let rest = tag.to_ascii_lowercase().strip_prefix("attack.t")?.to_owned();
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("T{rest}"))
    };
    tags.iter().filter_map(|tag| number(tag)).collect()
}

/// A correlation that came true, as the rule it is.
pub fn of_correlation(firing: &Firing, written: Option<&(CorrelationRule, Place)>) -> Rule {
    let rule = written.map(|(rule, _)| rule);
    Rule {
        id: firing.rule_id.clone(),
        name: rule.and_then(|rule| rule.name.clone()),
        title: firing.title.clone(),
        level: firing.level,
        author: rule.and_then(|rule| rule.author.clone()),
        tags: rule.map(|rule| rule.tags.clone()).unwrap_or_default(),
        description: rule.and_then(|rule| rule.description.clone()),
        false_positives: rule.map(|rule| rule.falsepositives.clone()).unwrap_or_default(),
        place: written.map(|(_, place)| place.clone()).unwrap_or_default(),
    }
}

/// A correlation's group as one text.
pub fn group(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// What one alert is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Host, lower case; may be empty.
    pub host: String,
    /// User; may be empty.
    pub user: String,
    rule: String,
    group: String,
    span: i64,
}

impl Key {
    /// What an event of `time` (µs) is about.
    pub fn new(about: &About, host: &str, user: &str, time: i64) -> Self {
        Self {
            host: cut(host, LONGEST_NAME).to_owned(),
            user: cut(user, LONGEST_NAME).to_owned(),
            rule: about.rule.clone(),
            group: about.group.clone().unwrap_or_default(),
            span: time.div_euclid(SPAN),
        }
    }

    /// The alert's id: version 8 (RFC 9562 §5.8) out of SHA-256 over all of it.
    pub fn id(&self) -> Uuid {
        let mut digest = Sha256::new().chain_update(b"radar.alert").chain_update(self.span.to_be_bytes());
        for part in [&self.rule, &self.host, &self.user, &self.group] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

/// The first event of an alert and what its rule says, as kept on the box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the rule finds.
    pub description: String,
    /// What else it may find.
    pub false_positives: Vec<String>,
    /// The rule's tags.
    pub tags: Vec<String>,
    /// Where the event came from.
    pub source: String,
    /// The event as it arrived, its beginning.
    pub original: String,
    /// Its fields.
    pub fields: Vec<(String, String)>,
    /// A correlation's group.
    pub group: Vec<(String, String)>,
}

impl Evidence {
    /// What is kept of a record.
    pub fn of(record: &Record<'_>, rule: &Rule, group: &[(String, String)]) -> Self {
        Self {
            description: rule.description.clone().unwrap_or_default(),
            false_positives: rule.false_positives.clone(),
            tags: rule.tags.clone(),
            source: record.source().to_owned(),
            original: cut(record.text(), LONGEST_ORIGINAL).to_owned(),
            fields: fields(record),
            group: group.to_vec(),
        }
    }
}

/// A record's fields, as far as they are shown.
pub fn fields(record: &Record<'_>) -> Vec<(String, String)> {
    let (most, longest) = MOST_FIELDS;
    record.fields().take(most).map(|field| (field.name.to_owned(), cut(field.value, longest).to_owned())).collect()
}

/// Events that belong into one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The alert's id.
    pub id: Uuid,
    /// What it is about.
    pub key: Key,
    /// The rule.
    pub about: About,
    /// The queue's position of each event, ascending.
    pub positions: Vec<u64>,
    /// The earliest, µs.
    pub first_at: i64,
    /// The latest, µs.
    pub last_at: i64,
    /// The first event.
    pub evidence: Evidence,
}

impl Sighting {
    /// One with its first event.
    pub fn new(id: Uuid, key: Key, about: About, position: u64, at: i64, evidence: Evidence) -> Self {
        Self { id, key, about, positions: vec![position], first_at: at, last_at: at, evidence }
    }

    /// Another event. Of one that makes a rule match twice (correlations of one name) only the first counts.
    pub fn again(&mut self, position: u64, at: i64) {
        if self.positions.last() != Some(&position) {
            self.positions.push(position);
        }
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
    }

    /// Events after a position, and the last position.
    pub fn after(&self, position: u64) -> (usize, u64) {
        let new = self.positions.len() - self.positions.partition_point(|p| *p <= position);
        (new, self.positions.last().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn about(rule: &str) -> About {
        About {
            rule: rule.to_owned(),
            title: String::new(),
            author: String::new(),
            severity: "low",
            techniques: Vec::new(),
            group: None,
        }
    }

    #[test]
    fn techniques_are_told_from_other_tags() {
        let tags = ["attack.execution", "attack.T1059.001", "cve.2021.44228", "attack.t1003", "attack.g0016"];
        assert_eq!(techniques(&tags.map(str::to_owned)), ["T1059.001", "T1003"]);
    }

    proptest! {
        #[test]
        fn the_same_has_the_same_id_and_others_have_others(a in "[ab]{0,3}", b in "[ab]{0,3}", c in "[ab]{0,3}", d in "[ab]{0,3}") {
            let one = Key::new(&about("r"), &a, &b, 0).id();
            let other = Key::new(&about("r"), &c, &d, SPAN - 1).id();
            prop_assert_eq!(one == other, a == c && b == d);
            prop_assert_ne!(one, Key::new(&about("r"), &a, &b, SPAN).id());
        }

        #[test]
        fn what_is_read_again_is_counted_once(positions in prop::collection::btree_set(0u64..100, 1..30), seen in 0u64..100) {
            let mut all = positions.iter().copied();
            let first = all.next().unwrap();
            let key = Key::new(&about("r"), "h", "u", 0);
            let mut sighting = Sighting::new(key.id(), key, about("r"), first, 0, Evidence::default());
            all.for_each(|p| sighting.again(p, 0));
            let (new, last) = sighting.after(seen);
            prop_assert_eq!(new, positions.iter().filter(|p| **p > seen).count());
            prop_assert_eq!(Some(&last), positions.last());
        }
    }
}
