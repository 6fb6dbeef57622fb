//! The matcher against an evaluator that takes the specification by its word: one rule at a time, one value at a time,
//! with nothing shared and nothing clever. Rules and events are random, over few letters so that they meet.

use std::path::Path;

use proptest::prelude::*;
use sent_radar::{Routing, Scratch, rules};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone)]
struct Item {
    field: &'static str,
    operator: &'static str,
    all: bool,
    cased: bool,
    negated: bool,
    values: Vec<Wanted>,
}

#[derive(Debug, Clone)]
enum Wanted {
    Text(String),
    Number(i64),
    Null,
}

#[derive(Debug, Clone)]
enum Condition {
    Detection(usize),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    /// So many of all detections; 0 for all of them.
    Of(usize),
}

#[derive(Debug, Clone)]
struct Rule {
    /// Each detection: alternatives of items that all hold.
    detections: Vec<Vec<Vec<Item>>>,
    condition: Condition,
}

// ---- as YAML -------------------------------------------------------------------------------------------------------

fn yaml(rule: &Rule, id: usize) -> String {
    let mut text = format!("title: R{id}\nid: r{id}\nlogsource:\n    category: t\ndetection:\n");
    for (number, alternatives) in rule.detections.iter().enumerate() {
        text += &format!("    d{number}:\n");
        for items in alternatives {
            for (at, item) in items.iter().enumerate() {
                let mut key = item.field.to_owned();
                if !item.operator.is_empty() {
                    key += &format!("|{}", item.operator);
                }
                for (set, name) in [(item.cased, "cased"), (item.all, "all"), (item.negated, "neq")] {
                    if set {
                        key += &format!("|{name}");
                    }
                }
                let values: Vec<Value> = item
                    .values
                    .iter()
                    .map(|value| match value {
                        Wanted::Text(text) => json!(text),
                        Wanted::Number(number) => json!(number),
                        Wanted::Null => Value::Null,
                    })
                    .collect();
                // JSON is YAML.
                text += &format!("        {} {}: {}\n", if at == 0 { "-" } else { " " }, json!(key), json!(values));
            }
        }
    }
    text + &format!("    condition: {}\n", condition(&rule.condition, rule.detections.len()))
}

fn condition(of: &Condition, count: usize) -> String {
    match of {
        Condition::Detection(number) => format!("d{}", number % count),
        Condition::Not(of) => format!("not ({})", condition(of, count)),
        Condition::And(a, b) => format!("({}) and ({})", condition(a, count), condition(b, count)),
        Condition::Or(a, b) => format!("({}) or ({})", condition(a, count), condition(b, count)),
        Condition::Of(0) => "all of them".to_owned(),
        Condition::Of(number) => format!("{} of them", number % count + 1),
    }
}

// ---- by the word ---------------------------------------------------------------------------------------------------

fn holds(rule: &Rule, event: &Map<String, Value>) -> bool {
    let found: Vec<bool> = rule
        .detections
        .iter()
        .map(|alternatives| alternatives.iter().any(|items| items.iter().all(|item| item_holds(item, event))))
        .collect();
    decide(&rule.condition, &found)
}

fn decide(of: &Condition, found: &[bool]) -> bool {
    match of {
        Condition::Detection(number) => found[number % found.len()],
        Condition::Not(of) => !decide(of, found),
        Condition::And(a, b) => decide(a, found) && decide(b, found),
        Condition::Or(a, b) => decide(a, found) || decide(b, found),
        Condition::Of(0) => found.iter().all(|found| *found),
        Condition::Of(number) => found.iter().filter(|found| **found).count() > number % found.len(),
    }
}

fn item_holds(item: &Item, event: &Map<String, Value>) -> bool {
    let values: Vec<&Value> = match event.get(item.field) {
        None => Vec::new(),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(value) => vec![value],
    };
    let present = event.get(item.field).is_some_and(|value| match value {
        Value::Array(values) => values.is_empty() || values.iter().any(|value| !value.is_null()),
        value => !value.is_null(),
    });
    let mut each = item.values.iter().map(|wanted| match wanted {
        Wanted::Null if item.operator.is_empty() => !present,
        wanted => values.iter().any(|value| value_holds(item, wanted, value)),
    });
    let held = if item.all { each.all(|held| held) } else { each.any(|held| held) };
    held != item.negated
}

fn value_holds(item: &Item, wanted: &Wanted, value: &Value) -> bool {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return false,
    };
    let number = match value {
        Value::Bool(_) => None,
        _ => text.parse::<f64>().ok(),
    };
    if let Wanted::Number(bound) = wanted {
        let bound = *bound as f64;
        return number.is_some_and(|number| match item.operator {
            "lt" => number < bound,
            "lte" => number <= bound,
            "gt" => number > bound,
            "gte" => number >= bound,
            _ => (number - bound).abs() < 1e-9,
        });
    }
    let Wanted::Text(pattern) = wanted else { return false };
    let (open_start, open_end) = match item.operator {
        "contains" => (true, true),
        "startswith" => (false, true),
        "endswith" => (true, false),
        _ => (false, false),
    };
    let mut units = units(pattern);
    if open_start {
        units.insert(0, Unit::Many);
    }
    if open_end {
        units.push(Unit::Many);
    }
    let letters: Vec<char> = text.chars().collect();
    wild(&units, &letters, item.cased)
}

#[derive(Clone, Copy)]
enum Unit {
    Letter(char),
    One,
    Many,
}

fn units(pattern: &str) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        units.push(match letter {
            '*' => Unit::Many,
            '?' => Unit::One,
            '\\' => match letters.next_if(|next| "*?\\".contains(*next)) {
                Some(escaped) => Unit::Letter(escaped),
                None => Unit::Letter('\\'),
            },
            letter => Unit::Letter(letter),
        });
    }
    units
}

fn wild(units: &[Unit], letters: &[char], cased: bool) -> bool {
    match units {
        [] => letters.is_empty(),
        [Unit::Many, rest @ ..] => (0..=letters.len()).any(|from| wild(rest, &letters[from..], cased)),
        [Unit::One, rest @ ..] => !letters.is_empty() && wild(rest, &letters[1..], cased),
        [Unit::Letter(wanted), rest @ ..] => {
            let same = |a: char, b: char| a == b || (!cased && a.to_lowercase().eq(b.to_lowercase()));
            letters.first().is_some_and(|letter| same(*letter, *wanted)) && wild(rest, &letters[1..], cased)
        }
    }
}

// ---- at random -----------------------------------------------------------------------------------------------------

const FIELDS: [&str; 4] = ["a", "b", "c", "x.y"];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[abAB]{0,4}", 2 => "[abAüÜ \\-/]{0,5}", 1 => "[0-2]{1,2}", 1 => Just("true".to_owned())]
}

fn item() -> impl Strategy<Value = Item> {
    let pattern = prop_oneof![3 => text(), 2 => "[abA*?]{1,5}", 1 => "[ab\\\\*?]{1,5}"];
    let wanted = prop_oneof![
        6 => pattern.prop_map(Wanted::Text),
        1 => (0..3i64).prop_map(Wanted::Number),
    ];
    let texts = proptest::collection::vec(wanted, 1..4);
    let field = proptest::sample::select(&FIELDS[..]);
    let operator = proptest::sample::select(&["", "", "contains", "startswith", "endswith"][..]);
    let flags = (any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1));
    let plain =
        (field.clone(), operator, texts, flags).prop_map(|(field, operator, mut values, (all, cased, negated))| {
            // A number compares as text where an operator on text is named, and case is a matter of text.
            for value in &mut values {
                if let (Wanted::Number(number), true) = (&*value, !operator.is_empty() || cased) {
                    *value = Wanted::Text(number.to_string());
                }
            }
            Item { field, operator, all: all && values.len() > 1, cased, negated, values }
        });
    let ordered = (field.clone(), proptest::sample::select(&["lt", "lte", "gt", "gte"][..]), 0..30i64).prop_map(
        |(field, operator, bound)| Item {
            field,
            operator,
            all: false,
            cased: false,
            negated: false,
            values: vec![Wanted::Number(bound)],
        },
    );
    let null = field.prop_map(|field| Item {
        field,
        operator: "",
        all: false,
        cased: false,
        negated: false,
        values: vec![Wanted::Null],
    });
    prop_oneof![8 => plain, 1 => ordered, 1 => null]
}

fn decision() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![(0..4usize).prop_map(Condition::Detection), (0..4usize).prop_map(Condition::Of)];
    leaf.prop_recursive(3, 8, 2, |of| {
        prop_oneof![
            of.clone().prop_map(|of| Condition::Not(Box::new(of))),
            (of.clone(), of.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (of.clone(), of).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
        ]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let items = proptest::collection::vec(item(), 1..3).prop_map(|mut items| {
        // A mapping has each key once.
        items.sort_by_key(|item| (item.field, item.operator, item.all, item.cased, item.negated));
        items.dedup_by_key(|item| (item.field, item.operator, item.all, item.cased, item.negated));
        items
    });
    let detection = proptest::collection::vec(items, 1..3);
    (proptest::collection::vec(detection, 1..4), decision())
        .prop_map(|(detections, condition)| Rule { detections, condition })
}

fn event() -> impl Strategy<Value = Map<String, Value>> {
    let scalar = prop_oneof![
        6 => text().prop_map(Value::from),
        1 => (0..30i64).prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    let value = prop_oneof![5 => scalar.clone(), 1 => proptest::collection::vec(scalar, 0..3).prop_map(Value::from)];
    proptest::collection::btree_map(proptest::sample::select(&FIELDS[..]), value, 0..4)
        .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_matcher_finds_what_the_specification_says(
        of in proptest::collection::vec(rule(), 1..12),
        events in proptest::collection::vec(event(), 1..12),
    ) {
        let text: String = of.iter().enumerate().map(|(id, rule)| format!("---\n{}", yaml(rule, id))).collect();
        let loaded = rules::load_text(Path::new("random.yml"), &text, &[]).expect("loads");
        prop_assert_eq!(&loaded.faults, &[], "{}", text);
        let mut scratch = Scratch::default();
        for event in &events {
            let wanted: Vec<u32> = (0..of.len()).filter(|rule| holds(&of[*rule], event)).map(|rule| rule as u32).collect();
            let json = serde_json::to_vec(event).expect("JSON");
            let found = loaded.rules.matches(&json, Routing::None, &mut scratch).expect("JSON");
            prop_assert_eq!(found, &wanted, "{}\n{}", String::from_utf8_lossy(&json), text);
        }
    }

    #[test]
    fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let loaded = rules::load_text(Path::new("r.yml"), "title: T\nlogsource: {}\ndetection:\n    k: [a]\n    condition: k\n", &[]).expect("loads");
        let mut scratch = Scratch::default();
        let _ = loaded.rules.matches(&bytes, Routing::Channel, &mut scratch);
        let _ = loaded.rules.matches_line(&bytes, &mut scratch);
    }

    #[test]
    fn what_serde_reads_is_read_and_what_it_refuses_is_refused(text in r#"[\{\}\[\]":, a\\nu0-9eE.+-]{0,24}"#) {
        let object = format!("{{{text}}}");
        let loaded = rules::load_text(Path::new("r.yml"), "title: T\nlogsource: {}\ndetection:\n    k: {a: 1}\n    condition: k\n", &[]).expect("loads");
        let ours = loaded.rules.matches(object.as_bytes(), Routing::None, &mut Scratch::default()).is_ok();
        let serde = serde_json::from_str::<Map<String, Value>>(&object).is_ok();
        // Numbers with leading zeros or a bare point are read by us; nothing that serde reads is refused.
        prop_assert!(ours || !serde, "{}", object);
    }
}
