//! The published rules and regression sets.

mod corpus;

use std::{path::Path, sync::Arc};

use corpus::Corpus;
use sent_radar::{
    Routing, Scratch,
    document::Document,
    events,
    intake::{
        names::Names,
        normalise::{Arrival, Form, Normaliser, Options},
        record::Batch,
    },
    rules,
};

/// A set whose events have outgrown its count: three of its six name files that the rule now lists
/// (`procdump.exe`, `procdump64.exe`, `procdump64a.exe`), and its `match_count` still says one.
const OUTGROWN: (&str, u64) = ("8fbf3271-1ef6-4e94-8210-03c2317947f6", 3);

#[test]
fn every_rule_of_the_corpus_compiles() {
    let corpus = Corpus::unpack();
    let loaded = rules::load(&corpus.all_rules(), &[]).expect("loads");
    let broken: Vec<String> =
        loaded.faults.iter().filter(|fault| !fault.runs).map(std::string::ToString::to_string).collect();
    assert_eq!(broken, Vec::<String>::new());
    assert_eq!(loaded.rules.rules().len(), 3141 + 613);
}

#[test]
fn every_regression_set_gives_its_matches_from_evtx_and_from_json() {
    let corpus = Corpus::unpack();
    let loaded = rules::load(&corpus.all_rules(), &[]).expect("loads");
    let sets = corpus.sets();
    assert_eq!(sets.len(), 101);
    let mut scratch = Scratch::default();
    let mut wrong = Vec::new();
    let mut read: [usize; 2] = [0, 0];
    for set in &sets {
        assert!(!set.files.is_empty(), "set of {} has no events", set.rule);
        for file in &set.files {
            for routing in [Routing::Channel, Routing::None] {
                let count = count(&loaded.rules, file, &set.rule, routing, &mut scratch);
                let wanted = if set.rule == OUTGROWN.0 { Some(OUTGROWN.1) } else { set.count };
                if !wanted.map_or(count > 0, |wanted| count == wanted) {
                    wrong.push(format!("{}: {count} of {:?} {routing:?}", file.display(), set.count));
                }
            }
            read[usize::from(file.extension().is_some_and(|extension| extension == "json"))] += 1;
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "of {} EVTX and {} JSON files", read[0], read[1]);
}

/// What agents send passes through the intake before rules see it: nothing that rules ask for may be lost there.
#[test]
fn the_sets_give_their_matches_as_records_too() {
    let corpus = Corpus::unpack();
    let loaded = rules::load(&corpus.all_rules(), &[]).expect("loads");
    let mut normaliser = Normaliser::new(Arc::new(Names::default()), Options::default());
    let (mut document, mut scratch, mut batch) = (Document::default(), Scratch::default(), Batch::default());
    let mut wrong = Vec::new();
    for set in &corpus.sets() {
        for file in &set.files {
            let mut count = 0;
            events::each(file, |number, event| {
                let bytes = event.expect("readable");
                let arrival =
                    Arrival { source: "", received: 1_795_435_200_000_000, form: Form::Json, cut: false, bytes };
                batch.clear();
                normaliser.normalise(number, &arrival, &mut batch);
                let record = batch.get(0).expect("a record");
                let (text, routing) = document.of(&record);
                let found = loaded.rules.matches(text, routing, &mut scratch).expect("JSON");
                count +=
                    found.iter().filter(|&&found| loaded.rules.rules()[found as usize].id == set.rule).count() as u64;
            })
            .expect("readable");
            let wanted = if set.rule == OUTGROWN.0 { Some(OUTGROWN.1) } else { set.count };
            if !wanted.map_or(count > 0, |wanted| count == wanted) {
                wrong.push(format!("{}: {count} of {:?}", file.display(), set.count));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

fn count(set: &sent_radar::RuleSet, file: &Path, rule: &str, routing: Routing, scratch: &mut Scratch) -> u64 {
    let mut count = 0;
    events::each(file, |number, event| {
        let event = event.unwrap_or_else(|error| panic!("{}: event {number}: {error}", file.display()));
        let found =
            set.matches_any(event, routing, scratch).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        count += found.iter().filter(|&&found| set.rules()[found as usize].id == rule).count() as u64;
    })
    .expect("readable");
    count
}

#[test]
fn the_same_is_found_as_by_the_peer() {
    let corpus = Corpus::unpack();
    let loaded = rules::load(&[corpus.rules()], &[]).expect("loads");
    let mut peer = rsigma_eval::Engine::new();
    peer.add_collection(&rsigma_parser::parse_sigma_directory(&corpus.rules()).expect("parses")).expect("compiles");
    let events = corpus.events();
    assert!(events.len() > 100);
    let mut scratch = Scratch::default();
    let (mut matches, mut state) = (0, 7u64);
    for round in 0..4 {
        for event in &events {
            // From the second round on, some values are another event's.
            let mut event = event.clone();
            for (name, value) in event.iter_mut().filter(|_| round > 0) {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let other = &events[(state >> 33) as usize % events.len()];
                if state >> 62 == 0
                    && let Some(other) = other.get(name)
                {
                    *value = other.clone();
                }
            }
            let event = serde_json::Value::Object(event);
            let json = serde_json::to_vec(&event).expect("JSON");
            let ours = loaded.rules.matches(&json, Routing::None, &mut scratch).expect("JSON");
            let mut ours: Vec<&str> =
                ours.iter().map(|&rule| loaded.rules.rules()[rule as usize].id.as_str()).collect();
            let theirs = peer.evaluate(&rsigma_eval::JsonEvent::borrow(&event));
            let mut theirs: Vec<&str> = theirs.iter().filter_map(|found| found.header.rule_id.as_deref()).collect();
            ours.sort_unstable();
            theirs.sort_unstable();
            assert_eq!(ours, theirs, "{event}");
            matches += ours.len();
        }
    }
    assert!(matches > 500, "{matches}");
}
