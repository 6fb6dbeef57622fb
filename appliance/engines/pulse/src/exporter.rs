//! Our own page of metrics, for whoever scrapes this box.
//!
//! It shows the newest value of every series that was measured within the last minutes, with `sent_` before the name.

use std::collections::BTreeMap;

use crate::{
    model::{
        SECOND,
        exposition::{Family, render},
    },
    recorder::Recorder,
};

/// Older values are left out, so that a scraper does not take silence for steadiness (Prometheus' own look-back).
const FRESH: i64 = 300 * SECOND;

/// Content type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page at `now`.
pub fn page(recorder: &Recorder, now: i64) -> String {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for known in recorder.all() {
        let (Some(value), Some(at)) = (known.last, known.last_at) else { continue };
        if now - at > FRESH {
            continue;
        }
        let definition = &known.definition;
        let name = format!("sent_{}", definition.name);
        families
            .entry(name.clone())
            .or_insert_with(|| Family {
                name,
                help: format!("In {}.", unit(&definition.unit)),
                kind: kind(&definition.name),
                values: Vec::new(),
            })
            .values
            .push((definition.labels.clone(), value));
    }
    let dropped = recorder.dropped() as f64;
    let own = Family {
        name: "sent_measurements_dropped_total".to_owned(),
        help: "Measurements that did not fit into memory.".to_owned(),
        kind: "counter",
        values: vec![(BTreeMap::new(), dropped)],
    };
    let families: Vec<Family> = families.into_values().chain([own]).collect();
    render(&families)
}

fn unit(unit: &str) -> &str {
    if unit.is_empty() { "a unit of its own" } else { unit }
}

fn kind(name: &str) -> &'static str {
    if name.ends_with("_total") { "counter" } else { "gauge" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{exposition::parse, sample::Sample};

    #[test]
    fn our_page_can_be_scraped() {
        let recorder = Recorder::default();
        recorder.record(0, vec![Sample::new("old", "count", "h", 1.0)]);
        let sample = |mount: &str| Sample::new("disk_used_ratio", "ratio", "this box", 0.5).with("mount", mount);
        recorder.record(FRESH + 1, vec![sample("/"), sample("/a \"b\"\\")]);
        let page = page(&recorder, FRESH + 1);
        let lines = parse(&page, 100).expect("a good page");
        let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
        assert_eq!(names, ["sent_disk_used_ratio", "sent_disk_used_ratio", "sent_measurements_dropped_total"]);
        assert_eq!(page.matches("# TYPE sent_disk_used_ratio gauge").count(), 1);
    }
}
