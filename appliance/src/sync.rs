//! The sync agent inside the program: started when the box is enrolled, and once it is; its status for badge and pages.

use std::sync::{Arc, Mutex};

use sent_contract::sync::SyncStatus;
use sent_core::Problem;
use sent_store::{Store, spool::Spool};
use sent_sync::{Handle, Ledger as _, StoreLedger};

/// What pages ask of the agent; clones share everything.
#[derive(Clone)]
pub struct SyncHandle {
    agent: Arc<Mutex<Option<Handle>>>,
    spool: Arc<Spool>,
    started: i64,
}

impl SyncHandle {
    /// No agent yet: the box stands alone.
    pub fn new(spool: Arc<Spool>, started: i64) -> Self {
        Self { agent: Arc::default(), spool, started }
    }

    /// The agent runs.
    pub fn joined(&self, handle: Handle) {
        *self.agent.lock().unwrap_or_else(|e| e.into_inner()) = Some(handle);
    }

    /// The agent, if there is one.
    pub fn handle(&self) -> Option<Handle> {
        self.agent.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Hurries the agent, if there is one.
    pub fn wake(&self) {
        if let Some(handle) = self.handle() {
            handle.hurry();
        }
    }

    /// Lets the cloud know soon that the box says something else of itself.
    pub fn tell(&self) {
        if let Some(handle) = self.handle() {
            handle.tell();
        }
    }

    /// How it is.
    pub async fn status(&self, store: &Store) -> Result<SyncStatus, Problem> {
        let badge = self.handle().map(|handle| handle.status());
        // Asked after the badge, so that nothing of it is newer.
        let ledger = StoreLedger::new(store.clone()).state().await.map_err(Problem::internal)?;
        if let Some(badge) = badge {
            return Ok(sent_sync::brought_up_to_date(badge, &ledger));
        }
        let mut status = sent_sync::standalone(&ledger, self.started);
        status.spool_bytes = self.spool.stats().bytes;
        Ok(status)
    }
}
