//! Bytes that arrive in pieces and in any order, each with its place.
//!
//! The byte that came first stays, whatever a later piece says.

/// Pieces put in their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    bytes: Vec<u8>,
    /// Which are there: sorted, apart from each other.
    have: Vec<(usize, usize)>,
}

/// How a piece fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// None of it was there.
    New,
    /// All of it was there, and the same.
    Repeated,
    /// Some of it was there, or it says something else.
    Overlapping,
}

impl Assembly {
    /// Puts a piece into its place.
    pub fn add(&mut self, start: usize, piece: &[u8]) -> Fit {
        let end = start + piece.len();
        if piece.is_empty() {
            return Fit::New;
        }
        let from = self.have.partition_point(|(_, e)| *e <= start);
        let to = self.have.partition_point(|(s, _)| *s < end);
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let fit = match &self.have[from..to] {
            [] => Fit::New,
            [(s, e)] if *s <= start && *e >= end && self.bytes[start..end] == *piece => Fit::Repeated,
            _ => Fit::Overlapping,
        };
        let mut at = start;
        for &(s, e) in self.have[from..to].iter().chain(&[(end, end)]) {
            if at < s {
                self.bytes[at..s].copy_from_slice(&piece[at - start..s - start]);
            }
            at = at.max(e);
        }
        self.insert(start, end);
        fit
    }

    /// Bytes from the beginning on without a hole.
    pub fn prefix(&self) -> &[u8] {
        match self.have.first() {
            Some((0, end)) => &self.bytes[..*end],
            _ => &[],
        }
    }

    /// Where the last piece ends.
    pub fn end(&self) -> usize {
        self.have.last().map_or(0, |(_, end)| *end)
    }

    /// All bytes; holes are zero.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        self.bytes.capacity() + self.have.capacity() * size_of::<(usize, usize)>()
    }

    fn insert(&mut self, start: usize, end: usize) {
        let from = self.have.partition_point(|(_, e)| *e < start);
        let to = self.have.partition_point(|(s, _)| *s <= end);
        if from == to {
            self.have.insert(from, (start, end));
        } else {
            self.have[from] = (self.have[from].0.min(start), self.have[to - 1].1.max(end));
            self.have.drain(from + 1..to);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the obvious model: a map from place to byte into which nobody writes twice.
        #[test]
        fn the_first_byte_stays(pieces in prop::collection::vec((0usize..200, prop::collection::vec(any::<u8>(), 1..40)), 0..30)) {
            let mut assembly = Assembly::default();
            let mut model = vec![None; 256];
            for (start, piece) in &pieces {
                let known = model[*start..start + piece.len()].iter().filter(|byte| byte.is_some()).count();
                let same = (0..piece.len()).all(|at| model[start + at] == Some(piece[at]));
                let expected = if known == 0 { Fit::New } else if same { Fit::Repeated } else { Fit::Overlapping };
                prop_assert_eq!(assembly.add(*start, piece), expected);
                for (at, byte) in piece.iter().enumerate() {
                    model[start + at].get_or_insert(*byte);
                }
            }
            let prefix: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
            prop_assert_eq!(assembly.prefix(), prefix.as_slice());
            prop_assert_eq!(assembly.end(), model.iter().rposition(Option::is_some).map_or(0, |at| at + 1));
            for (at, byte) in assembly.into_bytes().into_iter().enumerate() {
                prop_assert_eq!(byte, model[at].unwrap_or(0));
            }
        }
    }
}
