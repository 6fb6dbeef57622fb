//! How an engine's measurements get to disk and back: into the spool, out of the DuckDB behind it.

use std::{path::Path, sync::Arc};

use sent_contract::pulse::{Curve, QueryAnswer};
use sent_core::clock::SharedClock;
use sent_protocol::telemetry::{Point, SeriesDefinition};
use sent_pulse::recorder::{Known, Reader, SeriesError as Fault, Sink};
use sent_store::{
    series::{Filter, Ingest, Query, Retention, Series, Settings},
    spool::Spool,
};
use tokio::sync::watch;

/// The file of an engine's series.
const FILE: &str = "series.duckdb";

/// An engine's points: into the spool, out of DuckDB.
pub struct Measurements {
    spool: Arc<Spool>,
    series: Series,
    /// Follows the spool for as long as somebody measures.
    _ingest: Option<Ingest>,
    /// Keeps the tiers as long as is said at the time.
    keeping: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Measurements {
    fn drop(&mut self) {
        if let Some(keeping) = &self.keeping {
            keeping.abort();
        }
    }
}

impl Measurements {
    /// Opens the series of an engine's folder and follows the spool. `retention` is heeded as it changes; needs a runtime.
    pub fn follow(
        folder: &Path,
        spool: Arc<Spool>,
        clock: SharedClock,
        mut retention: watch::Receiver<Retention>,
    ) -> Result<Self, String> {
        let settings = Settings { retention: *retention.borrow_and_update(), ..Settings::default() };
        let series = Series::open(folder.join(FILE), settings, clock).map_err(|e| e.to_string())?;
        let ingest = series.follow(spool.clone()).map_err(|e| e.to_string())?;
        let kept = series.clone();
        let keeping = tokio::spawn(async move {
            while retention.changed().await.is_ok() {
                kept.keep(*retention.borrow_and_update());
            }
        });
        Ok(Self { spool, series, _ingest: Some(ingest), keeping: Some(keeping) })
    }

    /// Opens the series to be read once; fails while a running box has the file.
    pub fn open(folder: &Path, spool: Arc<Spool>, clock: SharedClock) -> Result<Self, String> {
        let series = Series::open(folder.join(FILE), Settings::default(), clock)
            .map_err(|e| format!("{e}; while the box runs, ask its page or its API"))?;
        Ok(Self { spool, series, _ingest: None, keeping: None })
    }
}

impl Sink for Measurements {
    fn append(&self, definitions: &[SeriesDefinition], points: &[Point]) -> Result<(), Fault> {
        let appended = self.spool.append(points, definitions);
        appended.map_err(|e| Fault { message: e.to_string(), stored: e.stored })
    }
}

impl Reader for Measurements {
    fn list(&self) -> Result<Vec<Known>, Fault> {
        let listed = self.series.list(&Filter::default());
        Ok(listed
            .into_iter()
            .map(|l| Known {
                definition: Arc::new(l.definition),
                last: l.last.map(|(_, value)| value),
                last_at: l.last.map(|(at, _)| at),
            })
            .collect())
    }

    fn query(&self, series: &[u64], from: i64, to: i64, points: usize) -> Result<QueryAnswer, Fault> {
        let query = Query { series: series.to_vec(), from, to, max_points: points };
        let answer = self.series.query_blocking(&query).map_err(Fault::new)?;
        let curves = answer.curves.into_iter().map(|c| Curve {
            id: c.series.to_string(),
            at: c.at,
            avg: c.avg,
            min: c.min,
            max: c.max,
        });
        Ok(QueryAnswer { tier: answer.tier.name().to_owned(), step: answer.step, series: curves.collect() })
    }
}
