//! `sent --sim N`: N simulated boxes with a real wire, for the cloud's sake.
//!
//! Each has an identity of its own (a key, a claim, a certificate, kept in the data folder and used again) and the real
//! sync agent with its real exchange. Only what a box stands on is simulated: an empty ledger in memory, and
//! sensors that make `--series` points every `--every` seconds. What is measured is the lag: from a
//! point's time to the cloud's acknowledgement of it.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::Args;
use sent_contract::fleet::{Claim, NewClaim};
use sent_core::clock::{SharedClock, SystemClock};
use sent_protocol::{
    Checkpoint, EpochStart, Hash, Head, Position, Transaction,
    telemetry::{Point, Segment, SeriesDefinition},
};
use sent_sync::{Agent, Config, Enrolment, Handlers, Identity, Ledger, LedgerError, LedgerState, Quiet, Spool};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

/// Boxes that enrol at the same time.
const ENROLLING: usize = 8;
/// An agent looks for new points this often.
const LOOK: Duration = Duration::from_secs(1);
/// A simulated box asks the cloud as often as a real one without a doorbell.
const POLL: Duration = Duration::from_secs(30);

/// Options of a simulation.
#[derive(Clone, Debug, Args)]
pub struct Simulation {
    /// Simulate so many boxes instead of being one.
    #[arg(long, value_name = "N")]
    pub sim: Option<u32>,
    /// The cloud's console, where claims are made.
    #[arg(long, value_name = "URL", requires = "sim")]
    pub console: Option<Url>,
    /// API token of somebody who may claim boxes.
    #[arg(long, value_name = "TOKEN", requires = "sim", env = "SENT_FLEET_TOKEN")]
    pub token: Option<String>,
    /// Customer the boxes belong to.
    #[arg(long, value_name = "ID", requires = "sim")]
    pub organisation: Option<Uuid>,
    /// Branch they stand in.
    #[arg(long, value_name = "ID", requires = "sim")]
    pub branch: Option<Uuid>,
    /// Series of each box.
    #[arg(long, default_value_t = 50, requires = "sim")]
    pub series: u32,
    /// Seconds between the points of a series.
    #[arg(long, default_value_t = 10, requires = "sim")]
    pub every: u32,
    /// Stop after so many seconds; default: never.
    #[arg(long, requires = "sim")]
    pub seconds: Option<u64>,
}

/// What a simulation has measured, printed as one JSON line at its end.
#[derive(Debug, Serialize)]
struct Report {
    boxes: u32,
    points_made: u64,
    points_acknowledged: u64,
    segments: u64,
    lag_p50_seconds: f64,
    lag_p99_seconds: f64,
    lag_max_seconds: f64,
    /// The same of what was measured while the boxes came up.
    start_lag_max_seconds: f64,
}

#[derive(Default)]
struct Figures {
    /// Points that are older were measured while the boxes came up, µs.
    since: i64,
    start_lag: f64,
    made: u64,
    acknowledged: u64,
    lags: Vec<f64>,
}

type Shared = Arc<Mutex<Figures>>;

/// Runs the boxes until told to stop, or until the time is over.
pub async fn run(simulation: Simulation, data: &Path, shutdown: CancellationToken) -> anyhow::Result<()> {
    let count = simulation.sim.unwrap_or_default();
    if count == 0 || simulation.series == 0 || simulation.every == 0 {
        bail!("boxes, series and seconds between points are at least 1");
    }
    let clock = SystemClock::shared();
    let identities = join_all(&simulation, data, count).await?;
    println!("READY {count} boxes are enrolled");
    let figures = Shared::default();
    let mut agents = Vec::new();
    for (number, identity) in identities.into_iter().enumerate() {
        let sensors = Sensors::new(number, &simulation, clock.clone(), figures.clone());
        let config = Config {
            data: None,
            handlers: Handlers::default(),
            host: Arc::new(Quiet),
            clock: clock.clone(),
            telemetry_every: LOOK,
            poll: watch::Sender::new(POLL).subscribe(),
            doorbell: false,
            identity: identity.clone(),
        };
        let ledger = Memory::new(&identity, &*clock);
        let (agent, _) = Agent::new(ledger, sensors, config).await.map_err(|e| anyhow::anyhow!(e.0))?;
        agents.push(tokio::spawn(agent.run(shutdown.clone())));
        // A fleet does not come up in the same instant.
        tokio::time::sleep(Duration::from_secs(u64::from(simulation.every)) / count).await;
    }
    // What was measured while the boxes came up belongs to the start, when it is acknowledged later too.
    {
        let mut figures = figures.lock().unwrap_or_else(|e| e.into_inner());
        *figures = Figures { since: clock.now().0, start_lag: figures.start_lag, ..Figures::default() };
    }
    match simulation.seconds {
        Some(seconds) => {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
                () = shutdown.cancelled() => {}
            }
        }
        None => shutdown.cancelled().await,
    }
    println!("{}", serde_json::to_string(&report(count, &figures))?);
    shutdown.cancel();
    for agent in agents {
        agent.await?;
    }
    Ok(())
}

fn report(boxes: u32, figures: &Shared) -> Report {
    let mut figures = figures.lock().unwrap_or_else(|e| e.into_inner());
    figures.lags.sort_by(f64::total_cmp);
    let at = |share: f64| {
        // An index: the share of a length is not negative.
        let index = (figures.lags.len() as f64 * share) as usize;
        figures.lags.get(index.min(figures.lags.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    Report {
        boxes,
        points_made: figures.made,
        points_acknowledged: figures.acknowledged,
        segments: figures.lags.len() as u64,
        lag_p50_seconds: at(0.50),
        lag_p99_seconds: at(0.99),
        lag_max_seconds: at(1.0),
        start_lag_max_seconds: figures.start_lag,
    }
}

async fn join_all(simulation: &Simulation, data: &Path, count: u32) -> anyhow::Result<Vec<Identity>> {
    let mut identities: BTreeMap<u32, Identity> = BTreeMap::new();
    let mut joining = tokio::task::JoinSet::new();
    for number in 0..count {
        let folder = data.join("sim").join(format!("{number:05}"));
        if let Some(identity) = Identity::load(&folder)? {
            identities.insert(number, identity);
            continue;
        }
        if joining.len() >= ENROLLING
            && let Some(joined) = joining.join_next().await
        {
            let (number, identity) = joined??;
            identities.insert(number, identity);
        }
        joining.spawn(join(simulation.clone(), folder, number));
    }
    while let Some(joined) = joining.join_next().await {
        let (number, identity) = joined??;
        identities.insert(number, identity);
    }
    Ok(identities.into_values().collect())
}

async fn join(simulation: Simulation, folder: PathBuf, number: u32) -> anyhow::Result<(u32, Identity)> {
    let wanted = "--sim needs --console, --token, --organisation and --branch to claim its boxes";
    let console = simulation.console.context(wanted)?;
    let name = format!("Simulated {number:05}");
    let claim = NewClaim {
        organization: simulation.organisation.context(wanted)?,
        branch: simulation.branch.context(wanted)?,
        name: name.clone(),
        hours: Some(1),
    };
    let answer = reqwest::Client::new()
        .post(console.join("/api/fleet/claims")?)
        .bearer_auth(simulation.token.context(wanted)?)
        .json(&claim)
        .send()
        .await?;
    if !answer.status().is_success() {
        bail!("the console refused a claim: {}", answer.text().await?);
    }
    let claim: Claim = answer.json().await?;
    std::fs::create_dir_all(&folder)?;
    let enrolment = Enrolment {
        cloud: claim.wire_url.parse()?,
        claim: claim.code.parse()?,
        box_name: name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        organization: None,
        branch: None,
    };
    let (identity, _) = sent_sync::enrol(&folder, enrolment).await?;
    identity.save(&folder)?;
    Ok((number, identity))
}

/// Sensors and the spool behind them.
struct Sensors {
    series: Vec<SeriesDefinition>,
    every: i64,
    clock: SharedClock,
    figures: Shared,
    /// When the next points are due, µs.
    due: i64,
    defined: bool,
    waiting: Vec<Point>,
    under_way: Option<(u64, Segment)>,
}

impl Sensors {
    fn new(number: usize, simulation: &Simulation, clock: SharedClock, figures: Shared) -> Self {
        let series = (0..simulation.series)
            .map(|n| {
                let labels = [("sensor".to_owned(), format!("{n:03}")), ("box".to_owned(), format!("{number:05}"))];
                SeriesDefinition::new("simulated_reading", labels.into_iter().collect(), "celsius")
            })
            .collect();
        let due = clock.now().0;
        Self {
            series,
            every: i64::from(simulation.every) * 1_000_000,
            due,
            clock,
            figures,
            defined: false,
            waiting: Vec::new(),
            under_way: None,
        }
    }

    fn measure(&mut self) {
        let now = self.clock.now().0;
        while self.due <= now {
            let at = self.due;
            for (n, series) in self.series.iter().enumerate() {
                // A slow wave with two decimals, as sensors send them; each series has its own phase.
                let wave = (at as f64 / 6e8 + n as f64).sin() * 5.0 + 21.0;
                self.waiting.push(Point { series: series.id, at, value: (wave * 100.0).round() / 100.0 });
            }
            self.due += self.every;
            self.figures.lock().unwrap_or_else(|e| e.into_inner()).made += self.series.len() as u64;
        }
    }
}

impl Spool for Sensors {
    fn under_way(&self) -> Option<u64> {
        self.under_way.as_ref().map(|(number, _)| *number)
    }

    fn next(&mut self, number: u64, _: usize) -> Result<Option<Segment>, LedgerError> {
        self.measure();
        if self.under_way.is_none() && !self.waiting.is_empty() {
            let definitions = if self.defined { Vec::new() } else { self.series.clone() };
            self.under_way =
                Some((number, Segment { points: std::mem::take(&mut self.waiting), definitions, gaps: Vec::new() }));
        }
        Ok(self.under_way.as_ref().map(|(_, segment)| segment.clone()))
    }

    fn acknowledge(&mut self, _: u64) -> Result<(), LedgerError> {
        let Some((_, segment)) = self.under_way.take() else { return Ok(()) };
        self.defined = true;
        let oldest = segment.points.iter().map(|p| p.at).min().unwrap_or_default();
        let lag = (self.clock.now().0 - oldest) as f64 / 1e6;
        let mut figures = self.figures.lock().unwrap_or_else(|e| e.into_inner());
        if figures.since == 0 || oldest < figures.since {
            figures.start_lag = figures.start_lag.max(lag);
            return Ok(());
        }
        figures.acknowledged += segment.points.len() as u64;
        figures.lags.push(lag);
        Ok(())
    }

    fn abandon(&mut self) -> Result<(), LedgerError> {
        if let Some((_, segment)) = self.under_way.take() {
            self.waiting.splice(0..0, segment.points);
        }
        Ok(())
    }

    fn waiting_points(&mut self) -> Result<u64, LedgerError> {
        self.measure();
        let under_way = self.under_way.as_ref().map_or(0, |(_, segment)| segment.points.len());
        Ok((self.waiting.len() + under_way) as u64)
    }

    fn stats(&mut self) -> (u64, u64) {
        (0, 0)
    }
}

/// A ledger that forgets everything with the process. It begins an epoch of its own each time, numbered by the clock, as a
/// box that was flashed anew would.
struct Memory {
    state: Mutex<LedgerState>,
    facts: Mutex<HashMap<&'static str, String>>,
}

impl Memory {
    fn new(identity: &Identity, clock: &dyn sent_core::Clock) -> Self {
        // Seconds since the epoch: positive since 1970.
        let epoch = u64::try_from(clock.now().0 / 1_000_000).unwrap_or(1);
        let start = EpochStart {
            epoch,
            previous_epoch: 0,
            previous_sequence: 0,
            hash: Hash::ZERO,
            token: Uuid::from_bytes(rand::random()),
            after: None,
        };
        let state = LedgerState {
            box_id: identity.box_id,
            head: Head::start(epoch),
            acknowledged: Head::start(epoch),
            start,
            open: true,
            reference: 0,
            waiting: 0,
            oldest: None,
            quarantined: 0,
        };
        Self { state: Mutex::new(state), facts: Mutex::default() }
    }

    fn change(&self, f: impl FnOnce(&mut LedgerState)) {
        f(&mut self.state.lock().unwrap_or_else(|e| e.into_inner()));
    }
}

impl Ledger for Memory {
    async fn state(&self) -> Result<LedgerState, LedgerError> {
        Ok(self.state.lock().unwrap_or_else(|e| e.into_inner()).clone())
    }

    async fn outbox(&self, _: u64, _: usize) -> Result<Vec<Transaction>, LedgerError> {
        Ok(Vec::new())
    }

    async fn acknowledge(&self, head: Head) -> Result<(), LedgerError> {
        self.change(|s| s.acknowledged = head);
        Ok(())
    }

    async fn adopt(&self, box_id: Uuid) -> Result<(), LedgerError> {
        self.change(|s| s.box_id = box_id);
        Ok(())
    }

    async fn rebase(&self, epoch: u64) -> Result<(), LedgerError> {
        self.change(|s| {
            s.head = Head::start(epoch);
            s.acknowledged = Head::start(epoch);
            s.start.epoch = epoch;
            s.start.token = Uuid::from_bytes(rand::random());
            s.open = true;
        });
        Ok(())
    }

    async fn give_back(&self, _: Vec<Transaction>, next: Option<Position>) -> Result<(), LedgerError> {
        self.change(|s| s.start.after = next);
        Ok(())
    }

    async fn epoch_told(&self) -> Result<(), LedgerError> {
        self.change(|s| s.open = false);
        Ok(())
    }

    async fn apply_reference(&self, checkpoint: Checkpoint) -> Result<(), LedgerError> {
        self.change(|s| s.reference = checkpoint.to);
        Ok(())
    }

    async fn get(&self, key: &'static str) -> Result<Option<String>, LedgerError> {
        Ok(self.facts.lock().unwrap_or_else(|e| e.into_inner()).get(key).cloned())
    }

    async fn put(&self, key: &'static str, value: String) -> Result<(), LedgerError> {
        self.facts.lock().unwrap_or_else(|e| e.into_inner()).insert(key, value);
        Ok(())
    }

    async fn changed(&self) {
        std::future::pending().await
    }
}
