//! The index of one field: every eager atom of it, answered in one walk over a value.
//!
//! - what a value *contains* is found by one Aho-Corasick automaton of all patterns of all rules, each byte one step.
//!   The automaton knows of a long pattern only a window, and the rest is compared where the window is met: its table
//!   stays small enough for the processor's caches, which is worth more than the comparisons cost;
//! - what it *starts with* or *equals* by walking a trie from its front, what it *ends with* by walking one from its
//!   end, both only as far as any pattern goes on;
//! - numbers by binary search.
//!
//! Patterns are folded. ASCII is folded by the automaton and the tries themselves; a value with other letters is folded
//! into a buffer first.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use aho_corasick::automaton::Automaton;
use aho_corasick::{Anchored, MatchKind, StartKind, dfa::DFA};

use super::arena::{Arena, Span, Value};
use super::atom::{AtomId, Eager, Network, Order, scalar};
use super::text;

const NONE: u32 = u32::MAX;
/// Bytes of a pattern that the automaton knows.
const WINDOW: usize = 4;

/// Patterns found by their windows.
#[derive(Debug)]
struct Contains {
    automaton: DFA,
    /// `found[window]..found[window + 1]`: the patterns of a window, in `patterns`.
    found: Vec<u32>,
    patterns: Vec<Found>,
    /// The bytes of the patterns that are longer than their windows.
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    atom: AtomId,
    start: u32,
    /// 0 where the window is all of the pattern.
    len: u32,
    /// Bytes from the pattern's start to the end of its window.
    reach: u32,
}

impl Contains {
    fn new(patterns: Vec<(AtomId, &[u8])>) -> Result<Self, aho_corasick::BuildError> {
        let mut windows: BTreeMap<&[u8], Vec<_>> = BTreeMap::new();
        for (atom, pattern) in patterns {
            let at = window(pattern);
            let window = &pattern[at..(at + WINDOW).min(pattern.len())];
            windows.entry(window).or_default().push((atom, pattern, at + window.len()));
        }
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .start_kind(StartKind::Unanchored)
            .ascii_case_insensitive(true)
            .build(windows.keys())?;
        let mut this = Self { automaton, found: vec![0], patterns: Vec::new(), bytes: Vec::new() };
        for (window, patterns) in windows {
            for (atom, pattern, reach) in patterns {
                let (start, rest) = (this.bytes.len() as u32, if pattern.len() > window.len() { pattern } else { &[] });
                this.bytes.extend_from_slice(rest);
                this.patterns.push(Found { atom, start, len: rest.len() as u32, reach: reach as u32 });
            }
            this.found.push(this.patterns.len() as u32);
        }
        Ok(this)
    }

    #[inline]
    fn run(&self, text: &[u8], hit: &mut impl FnMut(AtomId)) {
        let automaton = &self.automaton;
        let mut state = automaton.start_state(Anchored::No).expect("built with an unanchored start");
        for (at, &byte) in text.iter().enumerate() {
            state = automaton.next_state(Anchored::No, state, byte);
            if automaton.is_special(state) && automaton.is_match(state) {
                for number in 0..automaton.match_len(state) {
                    self.met(text, at + 1, automaton.match_pattern(state, number).as_usize(), hit);
                }
            }
        }
    }

    /// Reports the patterns of a window that ends at `end`.
    #[inline]
    fn met(&self, text: &[u8], end: usize, window: usize, hit: &mut impl FnMut(AtomId)) {
        for found in &self.patterns[self.found[window] as usize..self.found[window + 1] as usize] {
            if found.len == 0 {
                hit(found.atom);
                continue;
            }
            let pattern = &self.bytes[found.start as usize..][..found.len as usize];
            let there = end.checked_sub(found.reach as usize).and_then(|from| text.get(from..from + pattern.len()));
            if there.is_some_and(|there| there.eq_ignore_ascii_case(pattern)) {
                hit(found.atom);
            }
        }
    }
}

/// Where the window of a pattern begins: where it is least likely to be met by chance. Letters that words are
/// full of and the separators of paths count least.
fn window(pattern: &[u8]) -> usize {
    let rare = |byte: &u8| match byte {
        b'a' | b'e' | b'i' | b'o' | b's' | b't' | b'r' | b'n' | b' ' | b'\\' | b'.' => 1u32,
        b'j' | b'k' | b'q' | b'x' | b'z' | b'b' | b'f' | b'g' | b'v' | b'y' => 4,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let score = |at: &usize| pattern[*at..*at + WINDOW].iter().map(rare).sum::<u32>();
    (0..(pattern.len() + 1).saturating_sub(WINDOW)).max_by_key(score).unwrap_or(0)
}

/// A trie that is walked along text and knows the atoms on its way.
#[derive(Debug)]
struct Trie {
    /// The first step, by byte.
    root: Box<[u32; 256]>,
    nodes: Vec<Node>,
    labels: Vec<u8>,
    next: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    edges: u32,
    count: u16,
    /// The atom of the text up to here.
    here: AtomId,
    /// The atom of the text up to here where that is all of it.
    whole: AtomId,
}

#[derive(Debug, Default)]
struct Sprout {
    children: BTreeMap<u8, Sprout>,
    here: Option<AtomId>,
    whole: Option<AtomId>,
}

impl Sprout {
    fn grow(&mut self, path: impl Iterator<Item = u8>) -> &mut Sprout {
        path.fold(self, |sprout, byte| sprout.children.entry(byte).or_default())
    }
}

impl Trie {
    fn new(sprout: &Sprout) -> Self {
        let mut trie = Self { root: Box::new([NONE; 256]), nodes: Vec::new(), labels: Vec::new(), next: Vec::new() };
        let mut waiting = VecDeque::from([sprout]);
        let mut given = 1u32;
        while let Some(sprout) = waiting.pop_front() {
            trie.nodes.push(Node {
                edges: trie.labels.len() as u32,
                count: sprout.children.len() as u16,
                here: sprout.here.unwrap_or(NONE),
                whole: sprout.whole.unwrap_or(NONE),
            });
            for (&label, child) in &sprout.children {
                trie.labels.push(label);
                trie.next.push(given);
                given += 1;
                waiting.push_back(child);
            }
        }
        for at in 0..trie.nodes[0].count as usize {
            trie.root[trie.labels[at] as usize] = trie.next[at];
        }
        trie
    }

    #[inline]
    fn walk(&self, text: impl ExactSizeIterator<Item = u8>, hit: &mut impl FnMut(AtomId)) {
        let mut node = &self.nodes[0];
        let mut left = text.len();
        let mut first = true;
        for byte in text {
            let byte = byte.to_ascii_lowercase();
            let at = if std::mem::take(&mut first) {
                self.root[byte as usize]
            } else {
                let edges = node.edges as usize..node.edges as usize + node.count as usize;
                match self.labels[edges.clone()].iter().position(|&label| label == byte) {
                    Some(at) => self.next[edges.start + at],
                    None => NONE,
                }
            };
            if at == NONE {
                return;
            }
            left -= 1;
            node = &self.nodes[at as usize];
            if node.here != NONE {
                hit(node.here);
            }
        }
        if left == 0 && node.whole != NONE {
            hit(node.whole);
        }
    }
}

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    contains: Option<Contains>,
    front: Option<Trie>,
    back: Option<Trie>,
    numbers: Vec<(f64, AtomId)>,
    ordered: Vec<(Order, f64, AtomId)>,
    truths: [Option<AtomId>; 2],
    networks: Vec<(Network, AtomId)>,
    present: Option<AtomId>,
    scalar: Option<AtomId>,
}

impl Index {
    /// Builds the index of a field's eager atoms.
    pub(crate) fn new<'a>(atoms: impl Iterator<Item = (AtomId, &'a Eager)>) -> Result<Self, aho_corasick::BuildError> {
        let mut index = Self::default();
        let mut patterns = Vec::new();
        let (mut front, mut back) = (Sprout::default(), Sprout::default());
        for (atom, eager) in atoms {
            match eager {
                Eager::Contains(text) => patterns.push((atom, text.as_slice())),
                Eager::StartsWith(text) => front.grow(text.iter().copied()).here = Some(atom),
                Eager::Equals(text) => front.grow(text.iter().copied()).whole = Some(atom),
                Eager::EndsWith(text) => back.grow(text.iter().rev().copied()).here = Some(atom),
                Eager::Number(bits) => index.numbers.push((f64::from_bits(*bits), atom)),
                Eager::Ordered(order, bits) => index.ordered.push((*order, f64::from_bits(*bits), atom)),
                Eager::Bool(truth) => index.truths[usize::from(*truth)] = Some(atom),
                Eager::Cidr(network) => index.networks.push((*network, atom)),
                Eager::Present => index.present = Some(atom),
                Eager::Scalar => index.scalar = Some(atom),
            }
        }
        index.numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
        let some = |sprout: &Sprout| (!sprout.children.is_empty() || sprout.whole.is_some()).then(|| Trie::new(sprout));
        index.front = some(&front);
        index.back = some(&back);
        if !patterns.is_empty() {
            index.contains = Some(Contains::new(patterns)?);
        }
        Ok(index)
    }

    /// Bytes of memory that the automaton takes.
    pub(crate) fn memory(&self) -> usize {
        self.contains.as_ref().map_or(0, |contains| contains.automaton.memory_usage() + contains.bytes.len())
            + [&self.front, &self.back]
                .into_iter()
                .flatten()
                .map(|trie| trie.nodes.len() * size_of::<Node>() + trie.labels.len() * 5 + 1024)
                .sum::<usize>()
    }

    /// Reports each atom that a value of the field answers; one may be reported more than once.
    pub(crate) fn value(
        &self,
        arena: &Arena,
        event: &[u8],
        value: Value,
        folded: &mut Vec<u8>,
        hit: &mut impl FnMut(AtomId),
    ) {
        if let (Some(atom), false) = (self.present, matches!(value, Value::Null)) {
            hit(atom);
        }
        let Some(text) = scalar(arena, event, value) else {
            return;
        };
        if let Some(atom) = self.scalar {
            hit(atom);
        }
        self.text(text, folded, hit);
        if !self.numbers.is_empty() || !self.ordered.is_empty() {
            self.number(value, text, hit);
        }
        if self.truths != [None, None]
            && let Some(atom) = truth(value, text).and_then(|truth| self.truths[usize::from(truth)])
        {
            hit(atom);
        }
        if !self.networks.is_empty() {
            self.address(text, hit);
        }
    }

    /// Reports what a word of the event answers, where this is the index of keywords.
    pub(crate) fn word(
        &self,
        arena: &Arena,
        event: &[u8],
        word: Span,
        folded: &mut Vec<u8>,
        hit: &mut impl FnMut(AtomId),
    ) {
        self.text(arena.text(event, word), folded, hit);
    }

    fn text(&self, text: &[u8], folded: &mut Vec<u8>, hit: &mut impl FnMut(AtomId)) {
        let text = if text.is_ascii() {
            text
        } else {
            text::fold_into(text, folded);
            folded.as_slice()
        };
        if let Some(front) = &self.front {
            front.walk(text.iter().copied(), hit);
        }
        if let Some(back) = &self.back {
            back.walk(text.iter().rev().copied(), hit);
        }
        if let Some(contains) = &self.contains {
            contains.run(text, hit);
        }
    }

    fn number(&self, value: Value, text: &[u8], hit: &mut impl FnMut(AtomId)) {
        let number = match value {
            Value::Number(number, _) => number,
            Value::Text(_) if text.first().is_some_and(|first| matches!(first, b'0'..=b'9' | b'-' | b'+' | b'.')) => {
                match std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
                    Some(number) => number,
                    None => return,
                }
            }
            _ => return,
        };
        let from = self.numbers.partition_point(|(known, _)| *known < number);
        for (known, atom) in &self.numbers[from..] {
            if *known > number {
                break;
            }
            hit(*atom);
        }
        for (order, bound, atom) in &self.ordered {
            if order.holds(number, *bound) {
                hit(*atom);
            }
        }
    }

    fn address(&self, text: &[u8], hit: &mut impl FnMut(AtomId)) {
        let Some(address) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<IpAddr>().ok()) else {
            return;
        };
        for (network, atom) in &self.networks {
            if network.contains(address) {
                hit(*atom);
            }
        }
    }
}

/// A truth value, or the text by which products write one.
fn truth(value: Value, text: &[u8]) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(truth),
        Value::Text(_) => [("true", true), ("1", true), ("yes", true), ("false", false), ("0", false), ("no", false)]
            .iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, truth)| *truth),
        _ => None,
    }
}
