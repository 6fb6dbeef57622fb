//! When each check runs next.
//!
//! A check has a phase of its own within its interval, made from its id: a thousand checks with the same interval are
//! spread over it evenly and stay so, however often the box restarts. A check that is still running is never started
//! again, and one that overran skips the turns it missed instead of catching up. Times are microseconds of a clock that
//! only moves forward; the wall clock would stop every check when it is set back.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use crate::model::SECOND;

/// A check that was just made runs within so many microseconds, so that whoever made it sees something.
const FIRST_WITHIN: i64 = 3 * SECOND;

#[derive(Clone, Copy, Debug)]
struct Entry {
    interval: i64,
    due: i64,
    running: bool,
}

/// What is due when.
#[derive(Debug, Default)]
pub struct Schedule {
    entries: HashMap<Uuid, Entry>,
    due: BTreeSet<(i64, Uuid)>,
}

impl Schedule {
    /// Adds a check or changes its interval; it first runs soon after `now`.
    pub fn put(&mut self, id: Uuid, interval_seconds: u32, now: i64) {
        let interval = i64::from(interval_seconds.max(1)) * SECOND;
        let running = match self.entries.get(&id) {
            Some(entry) if entry.interval == interval => return,
            Some(entry) => {
                self.due.remove(&(entry.due, id));
                entry.running
            }
            None => false,
        };
        let due = now + phase(id, interval.min(FIRST_WITHIN));
        self.entries.insert(id, Entry { interval, due, running });
        self.due.insert((due, id));
    }

    /// Forgets a check.
    pub fn remove(&mut self, id: Uuid) {
        if let Some(entry) = self.entries.remove(&id) {
            self.due.remove(&(entry.due, id));
        }
    }

    /// The checks to start now. Each counts as running until [`Self::finished`].
    pub fn take_due(&mut self, now: i64) -> Vec<Uuid> {
        let mut start = Vec::new();
        while let Some(&(due, id)) = self.due.first() {
            if due > now {
                break;
            }
            self.due.remove(&(due, id));
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.due = next(id, entry.interval, now);
            self.due.insert((entry.due, id));
            if !entry.running {
                entry.running = true;
                start.push(id);
            }
        }
        start
    }

    /// A run ended.
    pub fn finished(&mut self, id: Uuid) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.running = false;
        }
    }

    /// When something is due next.
    pub fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(due, _)| *due)
    }
}

/// The first turn of a check after `after`: the check's phase, every `interval`.
fn next(id: Uuid, interval: i64, after: i64) -> i64 {
    let phase = phase(id, interval);
    let turns = (after - phase).div_euclid(interval) + 1;
    phase + turns * interval
}

/// A check's place within an interval, evenly spread over ids (the finaliser of SplitMix64: Steele, Lea and Flood 2014).
fn phase(id: Uuid, interval: i64) -> i64 {
    let (high, low) = id.as_u64_pair();
    let mut z = high ^ low.rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    // The remainder is below the interval, which is positive and fits.
    (z % interval.unsigned_abs().max(1)) as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_thousand_checks_do_not_fire_together() {
        let mut schedule = Schedule::default();
        for n in 0..1_000u128 {
            schedule.put(Uuid::from_u128(n << 64 | n), 60, 0);
        }
        let mut busiest = 0;
        for second in 0..=180 {
            let started = schedule.take_due(second * SECOND);
            if second > 3 {
                busiest = busiest.max(started.len());
            }
            started.into_iter().for_each(|id| schedule.finished(id));
        }
        assert!(busiest < 50, "{busiest} of 1,000 checks in one second of 60");
    }

    proptest! {
        /// Each check runs once an interval, never twice at once, and never catches up.
        #[test]
        fn turns_are_kept(
            ids in prop::collection::btree_set(any::<u128>(), 1..20),
            interval in 1u32..300,
            steps in prop::collection::vec((0i64..400, any::<bool>()), 1..80),
        ) {
            let mut schedule = Schedule::default();
            for id in &ids {
                schedule.put(Uuid::from_u128(*id), interval, 0);
            }
            let mut now = 0;
            let mut running = BTreeSet::new();
            for (seconds, finish) in steps {
                now += seconds * SECOND;
                for id in schedule.take_due(now) {
                    prop_assert!(running.insert(id), "started while running");
                }
                let due = schedule.next_due().expect("there are checks");
                prop_assert!(due > now && due <= now + i64::from(interval).max(3) * SECOND);
                if finish {
                    running.iter().for_each(|id| schedule.finished(*id));
                    running.clear();
                }
            }
        }
    }
}
