//! A set of positions, kept as few sorted, half-open ranges that do not touch. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// A set of `u64`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// Adds a range; an empty one changes nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let begin = self.0.partition_point(|r| r.end < range.start);
        let end = self.0.partition_point(|r| r.start <= range.end);
        let merged = match (self.0.get(begin), end.checked_sub(1).and_then(|last| self.0.get(last))) {
            (Some(first), Some(last)) if begin < end => first.start.min(range.start)..last.end.max(range.end),
            _ => range,
        };
        self.0.splice(begin..end, [merged]);
    }

    /// Whether all of `range` is in the set.
    pub fn covers(&self, range: &Range<u64>) -> bool {
        range.is_empty() || self.at(range.start).is_some_and(|r| r.end >= range.end)
    }

    /// The parts of `range` that are not in the set, in order.
    pub fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        for have in &self.0[self.0.partition_point(|r| r.end <= range.start)..] {
            if have.start >= range.end {
                break;
            }
            if have.start > at {
                missing.push(at..have.start);
            }
            at = at.max(have.end);
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }

    /// The range that holds `position`.
    pub fn at(&self, position: u64) -> Option<&Range<u64>> {
        self.0.get(self.0.partition_point(|r| r.end <= position)).filter(|r| r.start <= position)
    }

    /// The first position at or after `position` that is not in the set.
    pub fn next_missing(&self, position: u64) -> u64 {
        self.at(position).map_or(position, |r| r.end)
    }

    /// One more than the greatest; 0 when empty.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |r| r.end)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().cloned()
    }
}

impl From<Vec<(u64, u64)>> for Ranges {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut set = Self::default();
        for (start, end) in pairs {
            set.insert(start..end);
        }
        set
    }
}

impl From<Ranges> for Vec<(u64, u64)> {
    fn from(set: Ranges) -> Self {
        set.0.into_iter().map(|r| (r.start, r.end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(inserts in prop::collection::vec((0..60u64, 0..12u64), 0..30), probe in (0..60u64, 0..20u64)) {
            let mut model = std::collections::BTreeSet::new();
            let mut set = Ranges::default();
            for (start, length) in inserts {
                set.insert(start..start + length);
                model.extend(start..start + length);
            }
            prop_assert_eq!(set.iter().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            // Normal form: sorted, apart, none empty.
            let ranges: Vec<_> = set.iter().collect();
            prop_assert!(ranges.windows(2).all(|w| w[0].end < w[1].start));
            prop_assert!(ranges.iter().all(|r| !r.is_empty()));
            let probe = probe.0..probe.0 + probe.1;
            prop_assert_eq!(set.covers(&probe), probe.clone().all(|p| model.contains(&p)));
            prop_assert_eq!(
                set.missing(probe.clone()).into_iter().flatten().collect::<Vec<_>>(),
                probe.clone().filter(|p| !model.contains(p)).collect::<Vec<_>>()
            );
            prop_assert_eq!(set.next_missing(probe.start), (probe.start..).find(|p| !model.contains(p)).unwrap());
            prop_assert_eq!(set.end(), model.last().map_or(0, |l| l + 1));
            let json = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<Ranges>(&json).unwrap(), set);
        }
    }
}
