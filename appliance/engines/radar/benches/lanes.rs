//! How many events a second this matcher and `rsigma-eval` take, in one run over the same rules and events, reading of
//! JSON included, and whether they find the same.
//!
//! The rules are SigmaHQ's main folder; the events are those of its regression sets without nesting, and as many again,
//! nineteen times, with values changed for those of other events of the same number. Lanes: *structured* asks every
//! rule; *routed* tells both engines the log source in each event; *raw* hands over the event as a line of text.
//! `BENCH_ROUNDS` makes it longer or shorter.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rsigma_eval::event::PlainEvent;
use rsigma_eval::{Engine, JsonEvent, LogSourceExtractor};
use rsigma_parser::parse_sigma_directory;
use sent_radar::{Routing, Scratch, rules};
use serde_json::{Map, Value};

#[path = "../tests/corpus/mod.rs"]
#[allow(dead_code, reason = "the tests ask for more of it")]
mod corpus;

/// Turns of each engine; the best counts.
const ROUNDS: u32 = 5;
/// How often the events come again, changed.
const VARIANTS: usize = 19;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::var("BENCH_ROUNDS").map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let corpus = corpus::Corpus::unpack();
    let folder = corpus.rules();
    let plain = variants(&corpus.events())?;
    let told: Vec<Vec<u8>> = plain.iter().map(|line| tell(line)).collect::<Result<_, _>>()?;
    let began = Instant::now();
    let ours = rules::load(std::slice::from_ref(&folder), &[])?;
    println!(
        "{} rules, {} atoms, {} always asked, {:.1} MB of automata, loaded in {:.1} s; {} events of {} B",
        ours.rules.rules().len(),
        ours.rules.atoms(),
        ours.rules.unindexed(),
        ours.rules.memory() as f64 / 1e6,
        began.elapsed().as_secs_f64(),
        plain.len(),
        plain.iter().map(Vec::len).sum::<usize>() / plain.len(),
    );
    let theirs = engine(&folder)?;
    let mut routed = engine(&folder)?;
    routed.set_logsource_extractor(Some(LogSourceExtractor::new()));
    let mut scratch = Scratch::default();
    let mut json = |routing: Routing, engine: &Engine, events: &[Vec<u8>], lane: (&str, f64)| {
        compare(
            lane,
            events,
            rounds,
            |event, ids| {
                let found = ours.rules.matches(event, routing, &mut scratch).expect("JSON");
                if let Some(ids) = ids {
                    ids.extend(found.iter().map(|rule| ours.rules.rules()[*rule as usize].id.clone()));
                }
                found.len()
            },
            |event, ids| {
                let value: Value = serde_json::from_slice(event).expect("JSON");
                let found = engine.evaluate(&JsonEvent::borrow(&value));
                if let Some(ids) = ids {
                    ids.extend(found.iter().filter_map(|result| result.header.rule_id.clone()));
                }
                found.len()
            },
        )
    };
    json(Routing::None, &theirs, &plain, ("structured", 2.0))?;
    json(Routing::Fields, &routed, &told, ("routed", 1.5))?;
    let mut scratch = Scratch::default();
    compare(
        ("raw", 1.5),
        &plain,
        rounds,
        |event, ids| {
            let found = ours.rules.matches_line(event, &mut scratch).expect("text");
            if let Some(ids) = ids {
                ids.extend(found.iter().map(|rule| ours.rules.rules()[*rule as usize].id.clone()));
            }
            found.len()
        },
        |event, ids| {
            let found = theirs.evaluate(&PlainEvent::new(String::from_utf8_lossy(event).into_owned()));
            if let Some(ids) = ids {
                ids.extend(found.iter().filter_map(|result| result.header.rule_id.clone()));
            }
            found.len()
        },
    )
}

/// The events as JSON lines, and their variants: four of ten values are those of another event of the same number.
fn variants(events: &[Map<String, Value>]) -> Result<Vec<Vec<u8>>, serde_json::Error> {
    let mut pool: HashMap<(String, &str), Vec<&Value>> = HashMap::new();
    let number = |event: &Map<String, Value>| event.get("EventID").map(Value::to_string).unwrap_or_default();
    for event in events {
        for (name, value) in event {
            pool.entry((number(event), name)).or_default().push(value);
        }
    }
    let mut lines = events.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
    let mut state = 7u64;
    // Knuth's linear congruence, MMIX: the same events in each run.
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for event in (0..VARIANTS).flat_map(|_| events) {
        let mut changed = event.clone();
        for (name, value) in changed.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "EventID" | "Channel")) {
            if draw(10) < 4
                && let Some(others) = pool.get(&(number(event), name.as_str()))
            {
                *value = others[draw(others.len())].clone();
            }
        }
        lines.push(serde_json::to_vec(&changed)?);
    }
    Ok(lines)
}

fn engine(folder: &Path) -> Result<Engine, Box<dyn std::error::Error>> {
    let mut engine = Engine::new();
    engine.add_collection(&parse_sigma_directory(folder)?)?;
    Ok(engine)
}

/// The event with its product, category and service, as a router before the engine would know them.
fn tell(line: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut event: Value = serde_json::from_slice(line)?;
    let category = match event["EventID"].as_i64() {
        Some(1) => "process_creation",
        Some(3) => "network_connection",
        Some(7) => "image_load",
        Some(10) => "process_access",
        Some(11) => "file_event",
        Some(13) => "registry_set",
        Some(17 | 18) => "pipe_created",
        Some(22) => "dns_query",
        _ => "other",
    };
    event["product"] = "windows".into();
    event["category"] = category.into();
    serde_json::to_vec(&event)
}

type Ids<'a> = Option<&'a mut Vec<String>>;

fn compare(
    (name, goal): (&str, f64),
    events: &[Vec<u8>],
    rounds: u32,
    mut ours: impl FnMut(&[u8], Ids<'_>) -> usize,
    mut theirs: impl FnMut(&[u8], Ids<'_>) -> usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut differ: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut matches = 0;
    for event in events {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        ours(event, Some(&mut a));
        theirs(event, Some(&mut b));
        matches += a.len();
        for id in a.iter().filter(|id| !b.contains(id)) {
            differ.entry(id.clone()).or_default().0 += 1;
        }
        for id in b.iter().filter(|id| !a.contains(id)) {
            differ.entry(id.clone()).or_default().1 += 1;
        }
    }
    // Turn by turn, so that whatever else the machine does meets both; the best turn of each counts.
    let (mut best_ours, mut best_theirs) = (Duration::MAX, Duration::MAX);
    for _ in 0..rounds {
        best_ours = best_ours.min(turn(events, &mut ours));
        best_theirs = best_theirs.min(turn(events, &mut theirs));
    }
    let rate = |time: Duration| events.len() as f64 / time.as_secs_f64();
    let (ours, theirs) = (rate(best_ours), rate(best_theirs));
    println!(
        "  {name:>10}: ours {ours:>8.0}/s, rsigma-eval {theirs:>8.0}/s, ratio {:>5.2}; {matches} matches, {} rules differ",
        ours / theirs,
        differ.len(),
    );
    for (id, (a, b)) in &differ {
        println!("            {id}: only ours {a}, only rsigma-eval {b}");
    }
    let ratio = ours / theirs;
    let line = serde_json::json!({
        "name": format!("radar_{name}"), "ours": ours.round(), "reference": theirs.round(), "unit": "events/s",
        "ratio": ratio, "goal": goal, "met": ratio >= goal && differ.is_empty(),
    });
    let path = std::env::var_os("BENCH_OUT").unwrap_or_else(|| "target/bench.jsonl".into());
    Ok(writeln!(File::options().create(true).append(true).open(path)?, "{line}")?)
}

fn turn(events: &[Vec<u8>], of: &mut impl FnMut(&[u8], Ids<'_>) -> usize) -> Duration {
    let began = busy();
    for event in events {
        black_box(of(black_box(event), None));
    }
    busy().saturating_sub(began)
}

/// How long this thread has been on a processor, so that whatever else runs on the machine does not count; the time of
/// day where the system does not tell.
fn busy() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    match text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => BEGAN.get_or_init(Instant::now).elapsed(),
    }
}
