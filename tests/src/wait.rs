//! Waiting for a state instead of for a time.

use std::{future::Future, time::Duration};

use anyhow::{Result, anyhow};
use tokio::time::Instant;

/// Between two looks at first; it grows to [`SLOWEST`].
const FASTEST: Duration = Duration::from_millis(10);
/// Between two looks at most.
const SLOWEST: Duration = Duration::from_millis(250);

/// Looks until `probe` finds what is waited for. A probe that fails is asked again: servers come up, and are killed, while
/// somebody waits. At the deadline the last failure is told.
pub async fn until<T, F, L>(what: &str, seconds: u64, mut probe: F) -> Result<T>
where
    F: FnMut() -> L,
    L: Future<Output = Result<Option<T>>>,
{
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut pause = FASTEST;
    let mut last = None;
    loop {
        // A probe that hangs must not outlive the deadline.
        match tokio::time::timeout_at(deadline, probe()).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => last = None,
            Ok(Err(error)) => last = Some(error),
            Err(_) => {}
        }
        if Instant::now() + pause > deadline {
            let story = format!("{what}: not within {seconds} s");
            return Err(match last {
                Some(error) => error.context(story),
                None => anyhow!(story),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(SLOWEST);
    }
}
