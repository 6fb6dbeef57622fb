//! History for a new rule: stored lines become records again, in the order of their arrival, as they were when they were
//! stored, so that a rule sees in them what it would have seen then. Two things differ: the kinds of values are not
//! stored, all are text; and common fields come before the others.

use std::ops::{ControlFlow, Range};

use super::{
    Cancel, SearchError, Store,
    page::{self, Hit},
    query::{self, Query},
};
use crate::intake::{
    names::Interner,
    record::{Batch, Kind, LogSource},
};

/// Records of a batch.
const BATCH: usize = 8_192;

impl Store {
    /// Hands out the lines of `times` (µs, the end excluded) that match `query`, oldest arrival first in each partition,
    /// until `each` breaks or `cancel` is called. A rule's log source makes a good query: chunks that hold none of it are
    /// not read. Answers with how many lines were handed out.
    pub fn replay(
        &self,
        query: &Query,
        times: Range<i64>,
        interner: &mut Interner,
        cancel: &Cancel,
        mut each: impl FnMut(&Batch) -> ControlFlow<()>,
    ) -> Result<u64, SearchError> {
        let predicate = query::predicate(query, self.inner.clock.now().0);
        let (mut candidates, _) = self.inner.view().candidates(&times, &predicate.needs);
        candidates.sort_by(|a, b| (&a.partition, a.chunk.first).cmp(&(&b.partition, b.chunk.first)));
        let columns = page::hit_columns();
        let mut batch = Batch::default();
        let mut lines = 0;
        for candidate in candidates {
            let mut from = candidate.chunk.first;
            loop {
                if cancel.is_cancelled() {
                    return Ok(lines);
                }
                let sql = format!(
                    "SELECT {columns} FROM \"{}\" WHERE position BETWEEN {from} AND {} AND time >= {} AND time < {} AND {} \
                     ORDER BY position LIMIT {BATCH}",
                    candidate.partition.table(),
                    candidate.chunk.last,
                    times.start,
                    times.end,
                    predicate.sql
                );
                let hits = self.read(cancel, |connection| page::rows(connection, &sql, &predicate, page::hit))?;
                let Some(last) = hits.last().map(|hit| hit.key.position) else { break };
                batch.clear();
                hits.iter().for_each(|hit| restore(hit, interner, &mut batch));
                lines += hits.len() as u64;
                if each(&batch).is_break() {
                    return Ok(lines);
                }
                if hits.len() < BATCH || last >= candidate.chunk.last {
                    break;
                }
                from = last + 1;
            }
        }
        Ok(lines)
    }
}

/// Makes a record of a stored line.
fn restore(hit: &Hit, interner: &mut Interner, batch: &mut Batch) {
    let stored = |name: &str| hit.fields.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str());
    batch.begin(hit.key.position, hit.received, stored("log.source.address"), &hit.original);
    batch.set_time(hit.key.time);
    batch.set_log(LogSource {
        product: stored("logsource.product"),
        category: stored("logsource.category"),
        service: stored("logsource.service"),
    });
    if let Some(message) = &hit.message {
        batch.set_message(message, None);
    }
    let own = hit.fields.iter().filter(|(name, _)| !name.starts_with("logsource.") && name != "log.source.address");
    // What the bytes themselves say of their defects was said again just now.
    for (name, value) in own.filter(|(_, value)| value != "invalid_utf8") {
        batch.put_named(interner, name, value, Kind::Text);
    }
}
