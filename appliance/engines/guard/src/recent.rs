//! A map that forgets: what was not touched for longest goes when there is no more room.
//!
//! Room is made for a quarter of the entries at once, so that a flood of new keys costs a constant amount each.

use std::{collections::HashMap, hash::Hash};

use foldhash::fast::RandomState;

/// A map of at most so many entries.
#[derive(Clone, Debug)]
pub struct Recent<K, V> {
    entries: HashMap<K, (u64, V), RandomState>,
    room: usize,
    clock: u64,
    forgotten: u64,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// Empty, with room for `room` entries, at least one.
    pub fn new(room: usize) -> Self {
        Self { entries: HashMap::default(), room: room.max(1), clock: 0, forgotten: 0 }
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entries that went for want of room.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// A value, without touching it.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// A value, touched.
    pub fn touch(&mut self, key: &K) -> Option<&mut V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.0 = self.clock;
        Some(&mut entry.1)
    }

    /// A value, touched; made when it was not there.
    pub fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.clock += 1;
        let clock = self.clock;
        let entry = self.entries.entry(key).or_insert_with(|| (clock, make()));
        entry.0 = clock;
        &mut entry.1
    }

    /// Puts a value in; answers the one before it.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if !self.entries.contains_key(&key) {
            self.make_room();
        }
        self.clock += 1;
        self.entries.insert(key, (self.clock, value)).map(|(_, value)| value)
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// All entries, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, (_, value))| (key, value))
    }

    fn make_room(&mut self) {
        if self.entries.len() < self.room {
            return;
        }
        let mut stamps: Vec<u64> = self.entries.values().map(|(stamp, _)| *stamp).collect();
        let (_, last, _) = stamps.select_nth_unstable((self.room / 4).min(self.entries.len() - 1));
        let last = *last;
        let before = self.entries.len();
        self.entries.retain(|_, (stamp, _)| *stamp > last);
        self.forgotten += (before - self.entries.len()) as u64;
    }
}

/// So many different things, and when the first was seen: forgets them all once they are older than a window.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    since: i64,
    /// Sorted hashes.
    seen: Vec<u64>,
}

impl Distinct {
    /// Counts a thing at `now`; answers how many different ones were seen within `window` (both in ns). Counting stops at
    /// `most`.
    pub fn add(&mut self, thing: u64, now: i64, window: i64, most: usize) -> usize {
        // A clock that was set back begins anew too.
        if self.seen.is_empty() || now.saturating_sub(self.since) > window || now < self.since.saturating_sub(window) {
            self.since = now;
            self.seen.clear();
        }
        if self.seen.len() < most
            && let Err(place) = self.seen.binary_search(&thing)
        {
            self.seen.insert(place, thing);
        }
        self.seen.len()
    }

    /// How many were seen.
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// When the first was seen.
    pub const fn since(&self) -> i64 {
        self.since
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Never more than there is room for, and what was touched last stays.
        #[test]
        fn room_holds_and_the_newest_stay(room in 1usize..40, keys in prop::collection::vec(0u32..200, 1..400)) {
            let mut recent = Recent::new(room);
            for (time, key) in keys.iter().enumerate() {
                *recent.entry(*key, || 0) = time;
                prop_assert!(recent.len() <= room);
                prop_assert_eq!(recent.get(key), Some(&time));
            }
            let mut last: Vec<u32> = Vec::new();
            for key in keys.iter().rev() {
                if !last.contains(key) {
                    last.push(*key);
                }
            }
            // At most a quarter, and one, is missing of the newest.
            for key in last.iter().take(room - (room / 4 + 1).min(room)) {
                prop_assert!(recent.get(key).is_some());
            }
            prop_assert_eq!(recent.forgotten() > 0, last.len() > recent.len());
        }

        #[test]
        fn distinct_counts_like_a_set(things in prop::collection::vec((0u64..50, 0i64..10), 0..100), most in 1usize..40) {
            let (mut distinct, mut set, mut now) = (Distinct::default(), std::collections::BTreeSet::new(), 0);
            let mut since = None;
            for (thing, step) in things {
                now += step;
                if since.is_none_or(|since| now - since > 30) {
                    set.clear();
                    since = Some(now);
                }
                if set.len() < most {
                    set.insert(thing);
                }
                prop_assert_eq!(distinct.add(thing, now, 30, most), set.len());
            }
        }
    }
}
