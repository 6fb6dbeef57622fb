//! Each kind of correlation, and that windows go on after a restart.

use std::path::Path;

use jiff::Timestamp;
use sent_radar::correlation::{self, Correlations, Firing, Snapshot};
use sent_radar::model::Fault;
use sent_radar::rules::{Loaded, load_text};
use sent_radar::{Routing, Scratch};
use serde_json::{Value, json};

const RULES: &str = "title: Failed\nid: 11111111-0000-0000-0000-000000000001\nname: failed\nlogsource:\n    category: test\ndetection:\n    s:\n        what: failed\n    condition: s\n---\ntitle: Success\nid: 11111111-0000-0000-0000-000000000002\nname: success\nlogsource:\n    category: test\ndetection:\n    s:\n        what: success\n    condition: s\n";

struct Story {
    loaded: Loaded,
    correlations: Correlations,
    scratch: Scratch,
}

impl Story {
    fn of(correlation: &str) -> Self {
        let (story, faults) = Self::told(correlation);
        assert_eq!(faults, []);
        story
    }

    fn told(correlation: &str) -> (Self, Vec<Fault>) {
        let text = format!("{RULES}---\ntitle: Correlated\nid: corr\nlevel: high\ncorrelation:\n{correlation}");
        let mut loaded = load_text(Path::new("r.yml"), &text, &[]).expect("loads");
        let mut faults = std::mem::take(&mut loaded.faults);
        let correlations = Correlations::new(&loaded.correlations, &loaded.rules, &mut faults);
        (Self { loaded, correlations, scratch: Scratch::default() }, faults)
    }

    /// Takes up an event at a second.
    fn at(&mut self, second: i64, event: Value) -> Vec<Firing> {
        let text = event.to_string();
        let found = self.loaded.rules.matches(text.as_bytes(), Routing::None, &mut self.scratch).expect("JSON");
        let at = Timestamp::from_second(1_700_000_000 + second).expect("in range");
        self.correlations.take(&self.loaded.rules, found, &event, at)
    }

    /// Whether each of these events makes the correlation true.
    fn tells(&mut self, events: &[(i64, Value)]) -> Vec<bool> {
        events.iter().map(|(second, event)| !self.at(*second, event.clone()).is_empty()).collect()
    }
}

fn failed(user: &str) -> Value {
    json!({"what": "failed", "user": user})
}

#[test]
fn event_count_counts_within_a_group_and_a_window() {
    let mut story = Story::of(
        "    type: event_count\n    rules: [failed]\n    group-by: [user]\n    timespan: 1m\n    condition:\n        gte: 3\n",
    );
    let told =
        story.tells(&[(0, failed("a")), (1, failed("a")), (2, failed("b")), (3, failed("a")), (200, failed("a"))]);
    assert_eq!(told, [false, false, false, true, false]);
}

#[test]
fn a_firing_tells_its_group_and_value() {
    let mut story = Story::of(
        "    type: event_count\n    rules: [11111111-0000-0000-0000-000000000001]\n    group-by: [user]\n    timespan: 1m\n    condition:\n        gte: 2\n",
    );
    story.at(0, failed("a"));
    let fired = story.at(1, failed("a"));
    assert_eq!(fired.len(), 1);
    assert_eq!((fired[0].rule_id.as_str(), fired[0].value, fired[0].seconds), ("corr", 2.0, 60));
    assert_eq!(fired[0].group, [("user".to_owned(), "a".to_owned())]);
}

#[test]
fn value_count_counts_different_values() {
    let mut story = Story::of(
        "    type: value_count\n    rules: [failed]\n    group-by: [host]\n    timespan: 1m\n    condition:\n        field: user\n        gt: 1\n",
    );
    let event = |user: &str| json!({"what": "failed", "host": "h", "user": user});
    assert_eq!(story.tells(&[(0, event("a")), (1, event("a")), (2, event("b"))]), [false, false, true]);
}

#[test]
fn temporal_wants_all_rules_in_any_order() {
    let mut story =
        Story::of("    type: temporal\n    rules: [failed, success]\n    group-by: [user]\n    timespan: 1m\n");
    let success = json!({"what": "success", "user": "a"});
    assert_eq!(story.tells(&[(0, success.clone()), (10, failed("b")), (20, failed("a"))]), [false, false, true]);
    assert_eq!(story.tells(&[(500, success), (600, failed("a"))]), [false, false]);
}

#[test]
fn temporal_ordered_wants_them_in_order() {
    let mut story =
        Story::of("    type: temporal_ordered\n    rules: [failed, success]\n    group-by: [user]\n    timespan: 1m\n");
    let success = json!({"what": "success", "user": "a"});
    assert_eq!(story.tells(&[(0, success.clone()), (10, failed("a")), (20, success)]), [false, false, true]);
}

#[test]
fn temporal_takes_a_condition_over_rules() {
    let mut story = Story::of(
        "    type: temporal\n    rules: [failed, success]\n    group-by: [user]\n    timespan: 1m\n    condition: failed or success\n",
    );
    assert_eq!(story.tells(&[(0, failed("a"))]), [true]);
}

#[test]
fn sums_averages_medians_and_percentiles_measure_a_field() {
    let measure = |kind: &str, condition: &str, values: &[f64]| {
        let mut story = Story::of(&format!(
            "    type: {kind}\n    rules: [failed]\n    timespan: 1m\n    condition:\n        field: bytes\n{condition}"
        ));
        values
            .iter()
            .enumerate()
            .map(|(second, bytes)| !story.at(second as i64, json!({"what": "failed", "bytes": bytes})).is_empty())
            .collect::<Vec<_>>()
    };
    assert_eq!(measure("value_sum", "        gt: 100\n", &[60.0, 40.0, 1.0]), [false, false, true]);
    assert_eq!(measure("value_avg", "        gte: 50\n", &[10.0, 60.0, 80.0]), [false, false, true]);
    assert_eq!(
        measure("value_median", "        gte: 50\n", &[10.0, 10.0, 60.0, 60.0, 60.0]),
        [false, false, false, false, true]
    );
    assert_eq!(
        measure("value_percentile", "        percentile: 90\n        gte: 80\n", &[1.0, 2.0, 100.0]),
        [false, false, true]
    );
}

#[test]
fn aliases_name_one_thing_by_two_fields() {
    let mut story = Story::of(
        "    type: temporal\n    rules: [failed, success]\n    aliases:\n        who:\n            failed: user\n            success: account\n    group-by: [who]\n    timespan: 1m\n",
    );
    let other = json!({"what": "success", "account": "b"});
    let same = json!({"what": "success", "account": "a"});
    assert_eq!(story.tells(&[(0, failed("a")), (1, other), (2, same)]), [false, false, true]);
}

#[test]
fn generate_says_whether_the_rules_matches_stand_alone() {
    let with = |generate: bool| {
        Story::of(&format!("    type: event_count\n    rules: [failed]\n    timespan: 1m\n    generate: {generate}\n    condition:\n        gte: 3\n")).correlations
    };
    assert!(with(false).silences(0) && !with(true).silences(0));
    assert!(!with(false).silences(1) && with(true).concerns(0) && !with(true).concerns(1));
}

#[test]
fn groups_lie_in_windows_events_too() {
    let mut story = Story::of(
        "    type: event_count\n    rules: [failed]\n    group-by: [user, Computer]\n    timespan: 1m\n    condition:\n        gte: 2\n",
    );
    let event =
        |user: &str| json!({"Event": {"System": {"Computer": "pc"}, "EventData": {"what": "failed", "user": user}}});
    assert_eq!(story.tells(&[(0, event("a")), (1, event("b")), (2, event("a"))]), [false, false, true]);
}

#[test]
fn windows_go_on_after_a_restart() {
    let text = "    type: event_count\n    rules: [failed]\n    group-by: [user]\n    timespan: 1m\n    condition:\n        gte: 3\n";
    let mut before = Story::of(text);
    assert_eq!(before.tells(&[(0, failed("a")), (1, failed("a"))]), [false, false]);
    let disk = serde_json::to_vec(&before.correlations.snapshot()).expect("serialises");
    let mut after = Story::of(text);
    after.correlations.resume(serde_json::from_slice::<Snapshot>(&disk).expect("reads")).expect("same version");
    assert_eq!(after.tells(&[(2, failed("a")), (3, failed("b"))]), [true, false]);
}

#[test]
fn a_correlation_that_cannot_be_is_named() {
    let faults = |text: &str| Story::told(text).1.iter().map(ToString::to_string).collect::<String>();
    assert!(
        faults("    type: event_count\n    rules: [nobody]\n    timespan: 1m\n    condition:\n        gte: 3\n")
            .contains("there is no rule `nobody`")
    );
    assert!(faults("    type: temporal\n    rules: [corr]\n    timespan: 1m\n").contains("leads back to itself"));
    assert!(
        faults("    type: event_count\n    rules: [failed]\n    timespan: soon\n    condition:\n        gte: 3\n")
            .contains("r.yml:")
    );
}

#[test]
fn events_tell_their_time() {
    let second = |event: Value| correlation::time(&event).map(Timestamp::as_second);
    assert_eq!(second(json!({"@timestamp": "2026-01-01T00:00:00Z"})), Some(1_767_225_600));
    assert_eq!(second(json!({"UtcTime": "2026-01-01 00:00:00.123"})), Some(1_767_225_600));
    assert_eq!(
        second(
            json!({"Event": {"System": {"TimeCreated": {"#attributes": {"SystemTime": "2026-01-01T00:00:00.5Z"}}}}})
        ),
        Some(1_767_225_600)
    );
    assert_eq!(second(json!({"timestamp": 1_767_225_600_000i64})), Some(1_767_225_600));
    assert_eq!(second(json!({"when": "now"})), None);
}
