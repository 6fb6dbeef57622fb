//! Rules asked of every record, in the order of the queue, and what they find written down exactly once.
//!
//! * A new alert is written at once; more events of an alert that is known are gathered for two seconds, so that a noisy rule
//!   does not fill the audit.
//! * The cursor and the windows of correlations go to disk together, every two seconds ([`Kept`]), after all that was found
//!   before the cursor is written. After a crash the records since then are asked again, with the windows as they were:
//!   the same alerts come out, with the same ids and positions, and are recognised ([`crate::store::raise`]).
//! * A batch whose alerts could not be written is offered again, and is not asked again.
//! * New rules are taken between two batches. Windows of correlations that are still there go on.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rsigma_parser::CorrelationRule;
use sent_contract::{Uuid, radar::Alert};
use sent_core::{Scope, live::Hub};
use sent_store::{Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::{
    Live, Scratch,
    correlation::{Correlations, Firing, Snapshot},
    document::Document,
    intake::{
        names,
        pipeline::Consumer,
        queue::state,
        record::{Batch, Record},
    },
    model::{
        Rule,
        sighting::{self, About, Evidence, Sighting},
    },
    quiet::Quiet,
    rules::Loaded,
    store,
};

/// Between two checkpoints at least; as long, more events of a known alert may wait.
const KEEP_EVERY: Duration = Duration::from_secs(2);
/// Writing the state down takes at most this part of the time: a large one is written less often.
const KEEP_SHARE: u32 = 20;
/// Different alerts of one write at most; what goes beyond it is counted in one alert a rule that names no host.
const MOST_SIGHTINGS: usize = 500;
/// Alerts that are remembered as written.
const MOST_KNOWN: usize = 20_000;
/// The host of such an alert.
const MANY: &str = "(many)";

/// What is counted. All only grow.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records asked.
    pub asked: AtomicU64,
    /// Matches, correlations included.
    pub matches: AtomicU64,
    /// Matches that exceptions and disabled rules kept quiet.
    pub quiet: AtomicU64,
}

/// Where alerts go.
#[derive(Clone)]
pub struct Book {
    /// Business rows.
    pub store: Store,
    /// The live bus.
    pub hub: Arc<Hub>,
    /// Whose box it is.
    pub organization: Uuid,
}

/// What is on disk of a detector.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Everything before it was asked.
    position: u64,
    /// The windows as they were there.
    windows: Snapshot,
}

/// Asks the rules.
pub struct Detector {
    live: Arc<Live>,
    quiet: Arc<ArcSwap<Quiet>>,
    counts: Arc<Counts>,
    book: Book,
    place: PathBuf,
    rules: Arc<Loaded>,
    correlations: Correlations,
    scratch: Scratch,
    document: Document,
    /// Found and not written yet.
    found: Found,
    /// Alerts that were written lately.
    known: HashSet<Uuid>,
    /// Everything before it was asked: beyond the cursor while a batch could not be written.
    asked: u64,
    cursor: u64,
    kept: u64,
    kept_at: Option<Instant>,
    /// How long writing the state took.
    cost: Duration,
}

impl Detector {
    /// Goes on where the last one stopped, as `place` tells.
    pub fn new(
        live: Arc<Live>,
        quiet: Arc<ArcSwap<Quiet>>,
        counts: Arc<Counts>,
        book: Book,
        place: PathBuf,
    ) -> std::io::Result<Self> {
        let rules = live.keep();
        let mut correlations = correlations(&rules);
        let kept = state::content(&place)?.and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
        let cursor = kept.as_ref().map_or(0, |kept| kept.position);
        if let Some(kept) = kept
            && let Err(error) = correlations.resume(kept.windows)
        {
            tracing::warn!(%error, "the windows of correlations begin anew");
        }
        Ok(Self {
            live,
            quiet,
            counts,
            book,
            place,
            rules,
            correlations,
            scratch: Scratch::default(),
            document: Document::default(),
            found: Found::default(),
            known: HashSet::new(),
            asked: cursor,
            cursor,
            kept: cursor,
            kept_at: None,
            cost: Duration::ZERO,
        })
    }

    /// Takes up new rules.
    fn renew(&mut self) {
        if Arc::ptr_eq(&*self.live.rules(), &self.rules) {
            return;
        }
        let windows = self.correlations.snapshot();
        self.rules = self.live.keep();
        self.correlations = correlations(&self.rules);
        if let Err(error) = self.correlations.resume(windows) {
            tracing::warn!(%error, "the windows of correlations begin anew");
        }
    }

    /// Asks the rules about every record that was not asked about.
    fn ask(&mut self, batch: &Batch) {
        let mut found = std::mem::take(&mut self.found);
        let quiet = self.quiet.load();
        let loaded = self.rules.clone();
        let rule = |number: &u32| &loaded.rules.rules()[*number as usize];
        let mut asked = 0;
        for record in batch.records().filter(|record| record.position() >= self.asked) {
            asked += 1;
            let (text, routing) = self.document.of(&record);
            // The document is ours: what cannot be read is nested too deep, and has no fields rules ask for.
            let Ok(matched) = loaded.rules.matches(text, routing, &mut self.scratch) else { continue };
            if matched.is_empty() {
                continue;
            }
            let (hushed, heard): (Vec<u32>, Vec<u32>) =
                matched.iter().partition(|number| quiet.hushes(rule(number), &record));
            Counts::add(&self.counts.quiet, hushed.len());
            for rule in heard.iter().filter(|number| !self.correlations.silences(**number)).map(rule) {
                found.add(&record, About::rule(rule), || Evidence::of(&record, rule, &[]));
            }
            if !heard.iter().any(|number| self.correlations.concerns(*number)) {
                continue;
            }
            let (Ok(event), Ok(at)) = (serde_json::from_slice(text), Timestamp::from_microsecond(record.time())) else {
                continue;
            };
            for firing in self.correlations.take(&loaded.rules, &heard, &event, at) {
                if quiet.hushes_rule(&firing.rule_id, &record) {
                    Counts::add(&self.counts.quiet, 1);
                    continue;
                }
                let rule = correlation(&loaded, &firing);
                let about = About { group: Some(sighting::group(&firing.group)), ..About::rule(&rule) };
                found.add(&record, about, || Evidence::of(&record, &rule, &firing.group));
            }
        }
        Counts::add(&self.counts.asked, asked);
        Counts::add(&self.counts.matches, std::mem::take(&mut found.events));
        self.found = found;
    }

    /// Writes down what was found.
    fn write(&mut self) -> Result<(), StoreError> {
        if self.found.sightings.is_empty() {
            return Ok(());
        }
        let clock = self.book.store.clock().clone();
        let scope = Scope::system(self.book.organization, "radar", &*clock);
        let rows = self.found.sightings.clone();
        let raised: Vec<Alert> = self.book.store.write_blocking(&scope, "radar.alert.raise", move |tx| {
            store::raise(tx, &rows, &mut || sent_core::id::new(&*clock))
        })?;
        if self.known.len() > MOST_KNOWN {
            self.known.clear();
        }
        self.known.extend(self.found.places.keys().copied());
        self.found = Found::default();
        for alert in raised {
            // Nobody may be there to hear of it; the row is the truth.
            let _ = self.book.hub.publish_value(self.book.organization, "radar.alerts", &alert);
        }
        Ok(())
    }

    /// Writes down what waits, and then the windows and the cursor, if it is time.
    fn keep(&mut self, at_once: bool) {
        let pause = KEEP_EVERY.max(self.cost * KEEP_SHARE);
        let waits = self.kept_at.is_some_and(|at| at.elapsed() < pause);
        if self.asked != self.cursor || self.kept == self.cursor || (!at_once && waits) {
            return;
        }
        if let Err(error) = self.write() {
            tracing::warn!(%error, "more events of alerts cannot be written now; it is tried again");
            self.kept_at = Some(Instant::now());
            return;
        }
        let began = Instant::now();
        let kept = Kept { position: self.cursor, windows: self.correlations.snapshot() };
        let written = serde_json::to_vec(&kept).map_err(Into::into).and_then(|text| state::replace(&self.place, &text));
        match written {
            Ok(()) => self.kept = self.cursor,
            Err(error) => tracing::warn!(%error, "the state of the rules cannot be kept; it is tried again"),
        }
        self.kept_at = Some(Instant::now());
        self.cost = began.elapsed();
    }
}

impl Counts {
    fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl Consumer for Detector {
    fn name(&self) -> &str {
        "rules"
    }

    fn cursor(&self) -> u64 {
        self.cursor
    }

    fn kept(&self) -> u64 {
        self.kept
    }

    fn take(&mut self, batch: &Batch, end: u64) -> Result<(), String> {
        if self.asked < end {
            self.renew();
            self.ask(batch);
            self.asked = end;
        }
        if self.found.places.keys().any(|id| !self.known.contains(id)) {
            self.write().map_err(|error| error.to_string())?;
        }
        self.cursor = end;
        self.keep(false);
        Ok(())
    }

    fn rest(&mut self) {
        self.keep(false);
    }
}

impl Drop for Detector {
    fn drop(&mut self) {
        self.keep(true);
    }
}

fn correlations(rules: &Loaded) -> Correlations {
    // What is wrong with one was said when the rules were loaded.
    Correlations::new(&rules.correlations, &rules.rules, &mut Vec::new())
}

/// A correlation rule as a rule.
fn correlation(loaded: &Loaded, firing: &Firing) -> Rule {
    let is_it =
        |rule: &CorrelationRule| rule.id.as_deref().unwrap_or_default() == firing.rule_id && rule.title == firing.title;
    sighting::of_correlation(firing, loaded.correlations.iter().find(|(rule, _)| is_it(rule)))
}

/// What was found, by what will be one alert.
#[derive(Default)]
struct Found {
    places: HashMap<Uuid, usize>,
    sightings: Vec<Sighting>,
    /// Since it was last counted.
    events: usize,
}

impl Found {
    fn add(&mut self, record: &Record<'_>, about: About, evidence: impl FnOnce() -> Evidence) {
        self.events += 1;
        let host = host(record);
        let user = record.get(names::USER_NAME).unwrap_or_default();
        let mut key = sighting::Key::new(&about, &host, user, record.time());
        let mut id = key.id();
        if self.sightings.len() >= MOST_SIGHTINGS && !self.places.contains_key(&id) {
            key = sighting::Key::new(&about, MANY, "", record.time());
            id = key.id();
        }
        match self.places.entry(id) {
            Entry::Occupied(place) => self.sightings[*place.get()].again(record.position(), record.time()),
            Entry::Vacant(place) => {
                place.insert(self.sightings.len());
                self.sightings.push(Sighting::new(id, key, about, record.position(), record.time(), evidence()));
            }
        }
    }
}

/// The host of a record in lower case: what it says, else who sent it.
fn host(record: &Record<'_>) -> String {
    let said = record.get(names::HOST_NAME).filter(|name| !name.is_empty());
    let said = said.or_else(|| record.get(names::WINLOG_COMPUTER)).unwrap_or_else(|| {
        let source = record.source();
        if source.parse::<std::net::IpAddr>().is_ok() { source } else { "" }
    });
    crate::intake::record::cut(said, sighting::LONGEST_NAME).to_ascii_lowercase()
}
