//! What is logged, and how that changes while the program runs.
//!
//! One filter belongs to the program. It starts as the settings say; the cloud may change it by a command or by the
//! desired document, and what is in force can always be asked.

use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, Registry, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _};

struct Filter {
    handle: reload::Handle<EnvFilter, Registry>,
    level: Mutex<String>,
}

static FILTER: OnceLock<Filter> = OnceLock::new();

/// Begins to log to standard error. `SENT_LOG` wins over `level`.
pub fn start(level: &str) -> anyhow::Result<()> {
    let level = std::env::var("SENT_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&level).context("log.level")?;
    let (filter, handle) = reload::Layer::new(filter);
    tracing_subscriber::registry()
        .with(filter)
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .try_init()
        .context("logging was started twice")?;
    FILTER.set(Filter { handle, level: Mutex::new(level) }).ok().context("logging was started twice")
}

/// What is wrong with a level, if anything is.
pub fn fault(level: &str) -> Option<String> {
    EnvFilter::try_new(level).err().map(|error| format!("{level:?} is not a log level: {error}"))
}

/// Logs from now on what `level` says: a level, or a filter such as `info,sent_sync=debug`.
pub fn set(level: &str) -> Result<(), String> {
    let next = EnvFilter::try_new(level).map_err(|error| format!("{level:?} is not a log level: {error}"))?;
    let filter = FILTER.get().ok_or("nothing is logged in this process")?;
    filter.handle.reload(next).map_err(|error| error.to_string())?;
    level.clone_into(&mut filter.level.lock().unwrap_or_else(PoisonError::into_inner));
    tracing::info!(level, "the log level changed");
    Ok(())
}

/// What is logged now.
pub fn level() -> Option<String> {
    FILTER.get().map(|filter| filter.level.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(set("sent=loudest").is_err_and(|cause| cause.contains("loudest")));
    }
}
