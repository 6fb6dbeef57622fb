//! What keeps matches quiet: rules that are switched off, and exceptions that have not ended.
//!
//! Asked only where a rule matched already, so that what nobody excepted costs nothing.

use std::collections::{HashMap, HashSet};

use sent_contract::{Micros, radar::Exception};
use sent_core::clock::SharedClock;

use crate::{
    intake::{record::Record, windows},
    model::{Rule, sighting},
};

/// Rules and exceptions as they stand; made anew when either changes.
pub struct Quiet {
    clock: SharedClock,
    disabled: HashSet<String>,
    /// By rule; the empty rule stands for all.
    exceptions: HashMap<String, Vec<Hush>>,
}

#[derive(Debug)]
struct Hush {
    fields: Vec<(String, String)>,
    expires_at: Option<Micros>,
}

impl Quiet {
    /// What keeps matches quiet from now on.
    pub fn new(clock: SharedClock, disabled: Vec<String>, exceptions: Vec<Exception>) -> Self {
        let mut by_rule: HashMap<String, Vec<Hush>> = HashMap::new();
        for exception in exceptions {
            let fields = exception.fields.into_iter().map(|(name, value)| (name, value.to_lowercase())).collect();
            by_rule.entry(exception.rule).or_default().push(Hush { fields, expires_at: exception.expires_at });
        }
        Self { clock, disabled: disabled.into_iter().collect(), exceptions: by_rule }
    }

    /// Whether a match of this rule is kept quiet.
    pub fn hushes(&self, rule: &Rule, record: &Record<'_>) -> bool {
        if self.disabled.is_empty() && self.exceptions.is_empty() {
            return false;
        }
        self.hushes_rule(&sighting::identity(rule), record)
    }

    /// The same by the rule's id.
    pub fn hushes_rule(&self, rule: &str, record: &Record<'_>) -> bool {
        let of = |rule: &str| self.exceptions.get(rule).into_iter().flatten();
        self.disabled.contains(rule)
            || of(rule).chain(of("").filter(|_| !rule.is_empty())).any(|hush| {
                hush.expires_at.is_none_or(|end| end > self.clock.now().0)
                    && hush.fields.iter().all(|(name, value)| fits(record, name, value))
            })
    }
}

/// Whether one of a field's values fits; a field may be named as the search names it or as rules do.
fn fits(record: &Record<'_>, name: &str, wanted: &str) -> bool {
    let windows = windows::name_of(name);
    record
        .fields()
        .filter(|field| field.name == name || field.name == windows)
        .any(|field| like(wanted.as_bytes(), field.value.to_lowercase().as_bytes()))
}

/// Whether a text is a pattern's, `*` standing for any text. Linear but for the last `*`.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_stand_for_texts() {
        for (pattern, text, is) in [
            ("root", "root", true),
            ("root", "roots", false),
            ("*", "", true),
            (r"c:\windows\*.exe", r"c:\windows\system32\cmd.exe", true),
            ("*backup*", "nightly-backup-2", true),
            ("a*b*c", "a-c", false),
        ] {
            assert_eq!(like(pattern.as_bytes(), text.as_bytes()), is, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_is_what_the_expression_is(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            let expression = format!("^{}$", pattern.replace('*', ".*"));
            let wanted = regex::Regex::new(&expression).unwrap().is_match(&text);
            prop_assert_eq!(like(pattern.as_bytes(), text.as_bytes()), wanted);
        }
    }
}
