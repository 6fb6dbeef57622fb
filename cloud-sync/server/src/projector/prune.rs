//! The inbox's retention, box by box.
//!
//! A transaction may go when it is older than the retention and nobody will read it again: it is projected, and it lies
//! before the box's oldest transaction in quarantine (a retry folds in what came after), before the oldest that waits for a
//! table this cloud does not know yet, and before what a restored box is being given back. How far a box's inbox is pruned stays known: a box that is restored to a point
//! before it is told so instead of getting its past back with a hole.

use sent_core::Timestamp;
use uuid::Uuid;

use crate::{
    db::{Db, Tenancy},
    error::Result,
};

/// Transactions removed at a time: the locks of a box are held for some milliseconds.
const CHUNK: i64 = 5_000;
const DAY: i64 = 86_400;

/// Removes what is past its retention; how many transactions that were.
pub async fn prune(db: &Db, days: u32, now: Timestamp) -> Result<u64> {
    let before = now.plus_seconds(-i64::from(days) * DAY);
    let mut pruned = 0;
    let mut after = Uuid::nil();
    while let Some(box_id) = next_box(db, after, before).await? {
        loop {
            let removed = chunk(db, box_id, before).await?;
            pruned += removed;
            if removed < CHUNK.unsigned_abs() {
                break;
            }
        }
        after = box_id;
    }
    Ok(pruned)
}

/// The next box, by id, whose oldest transaction is past its retention.
async fn next_box(db: &Db, after: Uuid, before: Timestamp) -> Result<Option<Uuid>> {
    let mut tx = db.begin(Tenancy::All).await?;
    let next = sqlx::query_scalar!(
        "SELECT p.box_id FROM projections p, LATERAL (
             SELECT i.received_at FROM inbox i WHERE i.box_id = p.box_id ORDER BY i.epoch, i.sequence LIMIT 1) AS oldest
         WHERE p.box_id > $1 AND oldest.received_at < $2
         ORDER BY p.box_id LIMIT 1",
        after,
        before.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(next)
}

/// Removes the oldest transactions of a box. They lie in the order they came in, so the primary key finds them.
async fn chunk(db: &Db, box_id: Uuid, before: Timestamp) -> Result<u64> {
    let mut tx = db.begin(Tenancy::All).await?;
    // The wire's lock, in a statement of its own: what follows sees whatever epoch began meanwhile.
    sqlx::query!("SELECT FROM wire_cursors WHERE box_id = $1 FOR UPDATE", box_id).execute(&mut *tx).await?;
    // A box that sends under its new epoch has been given back all it had lost.
    sqlx::query!(
        "DELETE FROM box_lost l USING wire_cursors c WHERE l.box_id = $1 AND c.box_id = $1 AND c.sequence > 0",
        box_id
    )
    .execute(&mut *tx)
    .await?;
    let removed = sqlx::query_scalar!(
        "WITH kept AS (
             SELECT epoch, sequence FROM quarantine WHERE box_id = $1 AND state = 'open'
             UNION ALL SELECT epoch, sequence FROM unknown_tables WHERE box_id = $1
             UNION ALL SELECT lost_epoch, lost_sequence FROM box_lost WHERE box_id = $1
             UNION ALL SELECT epoch, sequence + 1 FROM projections WHERE box_id = $1),
         first_kept AS (SELECT epoch, sequence FROM kept ORDER BY epoch, sequence LIMIT 1),
         oldest AS (
             SELECT epoch, sequence, received_at FROM inbox WHERE box_id = $1 ORDER BY epoch, sequence LIMIT $3),
         gone AS (
             DELETE FROM inbox i USING oldest o, first_kept f
             WHERE i.box_id = $1 AND i.epoch = o.epoch AND i.sequence = o.sequence AND o.received_at < $2
               AND (o.epoch, o.sequence) < (f.epoch, f.sequence)
             RETURNING i.epoch, i.sequence),
         noted AS (
             UPDATE wire_cursors c SET pruned_epoch = l.epoch, pruned_sequence = l.sequence
             FROM (SELECT epoch, sequence FROM gone ORDER BY epoch DESC, sequence DESC LIMIT 1) AS l
             WHERE c.box_id = $1)
         SELECT count(*) AS \"removed!\" FROM gone",
        box_id,
        before.0,
        CHUNK
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(removed.unsigned_abs())
}
