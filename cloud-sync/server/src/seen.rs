//! When each box last called, and which days have partitions: notes of one replica that cost nothing when lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use sent_core::Timestamp;
use uuid::Uuid;

use crate::{
    db::{Db, Tenancy},
    error::Result,
};

/// Last contacts that are not in the database yet. Written in one statement every few seconds instead of one a request.
#[derive(Debug, Default)]
pub struct Seen(Mutex<BTreeMap<Uuid, Timestamp>>);

impl Seen {
    /// A box called.
    pub fn note(&self, box_id: Uuid, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(box_id, at);
    }

    /// Writes what was noted.
    pub async fn flush(&self, db: &Db) -> Result<()> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() {
            return Ok(());
        }
        let (boxes, times): (Vec<Uuid>, Vec<i64>) = noted.into_iter().map(|(id, at)| (id, at.0)).unzip();
        let mut tx = db.begin(Tenancy::All).await?;
        sqlx::query!(
            "UPDATE box_states s SET last_seen = greatest(s.last_seen, n.at)
             FROM unnest($1::uuid[], $2::bigint[]) AS n (box_id, at) WHERE s.box_id = n.box_id",
            &boxes,
            &times
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Days (since the epoch) whose partitions are known to be there.
#[derive(Debug, Default)]
pub struct Days(Mutex<BTreeSet<i64>>);

impl Days {
    /// Whether the day's partition is known to be there.
    pub fn contains(&self, day: i64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&day)
    }

    /// It is.
    pub fn add(&self, day: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(day);
    }
}
