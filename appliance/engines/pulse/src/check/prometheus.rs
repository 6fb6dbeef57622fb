//! Scraping an exporter.
//!
//! Values keep their names and labels; `host` and `check` say where they come from, and a label of the page with one of
//! these names becomes `exported_…`, as Prometheus does it. Beside each counter its rate is kept as `…_per_second`,
//! except for the buckets of histograms.

use std::collections::HashMap;

use sent_contract::pulse::CheckKind;
use sent_protocol::series::{Labels, series_id};
use tokio::time::Instant;

use super::{
    Failure, Reading,
    http::{explain, read},
    shown,
};
use crate::model::{
    counter::Total,
    exposition::{self, Line},
    kind,
    sample::{Sample, unit_of},
};

/// A page may be so long.
const MOST_PAGE: usize = 16 << 20;
/// A page may hold so many values.
const MOST_LINES: usize = 20_000;

/// Counters of the page before, by series.
#[derive(Debug, Default)]
pub struct Memory {
    totals: HashMap<u64, (Total, i64)>,
}

/// Scrapes a page.
pub async fn run(client: &reqwest::Client, url: &str, memory: &mut Memory, at: i64) -> Result<Reading, Failure> {
    let start = Instant::now();
    let response = client
        .get(url)
        .header("accept", "text/plain;version=0.0.4, application/openmetrics-text;q=0.5")
        .send()
        .await
        .map_err(explain)?;
    let status = response.status();
    if !status.is_success() {
        return Err(Failure(format!("answers {status} instead of metrics")));
    }
    let (body, whole) = read(response, MOST_PAGE).await?;
    let latency = start.elapsed();
    if !whole {
        return Err(Failure(format!("the page is longer than {} MiB", MOST_PAGE >> 20)));
    }
    let page = std::str::from_utf8(&body).map_err(|_| Failure::new("the page is not text"))?;
    let lines = exposition::parse(page, MOST_LINES).map_err(|e| Failure(e.to_string()))?;
    let host = kind::host(&CheckKind::Prometheus { url: url.to_owned() });
    let mut reading = Reading::ok(format!("{} values in {}", lines.len(), shown(latency)), latency);
    for line in &lines {
        take(line, &host, memory, at, &mut reading.samples);
    }
    // Counters that left the page.
    memory.totals.retain(|_, (_, seen)| *seen == at);
    Ok(reading)
}

fn take(line: &Line<'_>, host: &str, memory: &mut Memory, at: i64, samples: &mut Vec<Sample>) {
    let mut labels = Labels::new();
    for (name, value) in &line.labels {
        let name = if matches!(*name, "host" | "check") { format!("exported_{name}") } else { (*name).to_owned() };
        labels.insert(name, value.to_string());
    }
    labels.insert("host".to_owned(), host.to_owned());
    if line.grows() && !line.is_bucket() {
        let (total, seen) = memory.totals.entry(series_id(line.name, &labels)).or_default();
        *seen = at;
        if let Some(rate) = total.advance(at, line.value) {
            let name = format!("{}_per_second", line.name.strip_suffix("_total").unwrap_or(line.name));
            let unit = unit_of(&name);
            samples.push(Sample { metric: name.into(), labels: labels.clone(), unit: unit.into(), value: rate });
        }
    }
    samples.push(Sample {
        metric: line.name.to_owned().into(),
        labels,
        unit: unit_of(line.name).into(),
        value: line.value,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_get_rates_and_labels_do_not_clash() {
        let mut memory = Memory::default();
        let mut read = |page: &str, at| {
            let mut samples = Vec::new();
            for line in exposition::parse(page, 10).expect("a good page") {
                take(&line, "a:1", &mut memory, at, &mut samples);
            }
            samples
        };
        read("# TYPE x_total counter\nx_total{host=\"b\"} 10\n", 0);
        let samples = read("# TYPE x_total counter\nx_total{host=\"b\"} 30\n", 10_000_000);
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[0].metric.as_ref(), samples[0].value), ("x_per_second", 2.0));
        assert_eq!((samples[1].labels["host"].as_str(), samples[1].labels["exported_host"].as_str()), ("a:1", "b"));
    }
}
