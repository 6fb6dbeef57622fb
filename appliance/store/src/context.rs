//! What an engine is handed.

use std::{path::PathBuf, sync::Arc};

use sent_core::{clock::SharedClock, live::Hub, mail::Mailer, report::Sources};
use uuid::Uuid;

use crate::{Store, spool::Spool};

/// Everything an engine may use.
#[derive(Clone)]
pub struct Context {
    /// Business rows.
    pub store: Store,
    /// Time.
    pub clock: SharedClock,
    /// Live bus to the pages.
    pub hub: Arc<Hub>,
    /// Points on their way to DuckDB and to the cloud.
    pub spool: Arc<Spool>,
    /// The engine's own folder below the box's data folder.
    pub folder: PathBuf,
    /// The organisation the box belongs to.
    pub organization: Uuid,
    /// Who takes mails, where a server is set.
    pub mail: Option<Arc<Mailer>>,
    /// Everybody who can be asked what there is to report.
    pub sources: Arc<dyn Sources>,
    /// The engine's section of the settings file.
    pub settings: Arc<toml::Table>,
}
