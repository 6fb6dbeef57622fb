//! The rules that are in force, swapped whole while events are matched.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::rules::Loaded;

/// The rules in force. An event that is being matched finishes with the rules it began with; the next one meets the new
/// ones; none waits.
#[derive(Debug)]
pub struct Live(ArcSwap<Loaded>);

impl Live {
    /// Puts `rules` in force.
    pub fn new(rules: Loaded) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    /// The rules in force: take them once for each event, or each batch.
    pub fn rules(&self) -> Guard<Arc<Loaded>> {
        self.0.load()
    }

    /// The rules in force, to keep.
    pub fn keep(&self) -> Arc<Loaded> {
        self.0.load_full()
    }

    /// Puts `rules` in force and gives back those that were.
    pub fn swap(&self, rules: Loaded) -> Arc<Loaded> {
        self.0.swap(Arc::new(rules))
    }
}
