//! Forgets alerts that are long over, and with each what was told of it.
//!
//! A sweep goes in batches, each a transaction of its own, so that a box that was never swept does not hold up its other
//! writes. An alert that is open, or of which somebody is still to be told, stays however old it is. The audit keeps what was
//! removed.

use std::time::Duration;

use sent_contract::Uuid;
use sent_core::Scope;
use sent_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{model::SECOND, store};

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(3_600);
/// Alerts of one transaction.
pub const BATCH: u32 = 200;
const DAY: i64 = 86_400 * SECOND;

/// Sweeps a box.
pub struct Pruner {
    store: Store,
    organization: Uuid,
    days: u32,
}

impl Pruner {
    /// Keeps alerts for so many days after their end; 0 keeps them for ever.
    pub fn new(store: Store, organization: Uuid, days: u32) -> Self {
        Self { store, organization, days }
    }

    /// Sweeps now and then until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        while self.days > 0 && !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                swept = self.sweep() => match swept {
                    Ok(0) => {}
                    Ok(alerts) => tracing::info!(alerts, "alerts that were over for long are forgotten"),
                    Err(error) => tracing::warn!(%error, "old alerts cannot be forgotten now"),
                },
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Forgets all that is old enough; answers how many alerts that were.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        if self.days == 0 {
            return Ok(0);
        }
        let mut swept = 0;
        loop {
            let clock = self.store.clock();
            let before = clock.now().0 - i64::from(self.days) * DAY;
            let scope = Scope::system(self.organization, "pulse", &**clock);
            let prune = move |tx: &sent_store::Tx<'_>| store::prune(tx, before, BATCH);
            let gone = self.store.write(&scope, "pulse.alert.prune", prune).await?;
            swept += u64::from(gone);
            if gone < BATCH {
                return Ok(swept);
            }
        }
    }
}
