//! One event as a flat arena: the values of the fields that rules name, and nothing else.
//!
//! JSON text (RFC 8259) is read once, front to back. Each object key is looked up in [`Paths`], the trie of every path
//! under which a rule's field may lie; a key that leads nowhere costs one look-up and its value is skipped over. Text
//! without escapes stays where it lies in the input. All buffers are kept from event to event, so that a warm arena
//! allocates nothing.
//!
//! A field may lie in more than one place (`EventID` at the top, in `EventData`, in `System`): the place with the
//! lowest [`Rank`] wins whole. Arrays are walked through: a field then has many values, and a rule asks for any of them.
//! A key that is repeated in one object adds a value, so that a second one cannot hide the first.

use std::io::Write as _;

use hashbrown::HashTable;
use memchr::memchr2;

use super::FieldId;

/// Nesting that is followed; a deeper event is refused.
const DEPTH: usize = 64;
const NONE: u32 = u32::MAX;
const ROOT: u32 = 0;
/// A node without edges: what lies under it is skipped.
const DEAD: u32 = 1;

/// Why an event could not be read. Offsets are bytes into the event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The text is not UTF-8.
    #[error("not UTF-8 at byte {0}")]
    Utf8(usize),
    /// The text is not JSON.
    #[error("not JSON at byte {0}")]
    Json(usize),
    /// Arrays and objects lie deeper in each other than is followed.
    #[error("nested deeper than {DEPTH} at byte {0}")]
    Depth(usize),
    /// The event is not an object.
    #[error("an event is a JSON object")]
    NotObject,
    /// An event is addressed by 32 bits.
    #[error("an event of 4 GiB or more")]
    Size,
}

/// Which of several places a field's value is taken from: the lowest wins.
pub(crate) type Rank = u8;

#[derive(Debug, Clone, Copy)]
struct Edge {
    from: u32,
    key: (u32, u32),
    to: u32,
    targets: (u32, u32),
}

/// The trie of paths to the interned fields.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    table: HashTable<u32>,
    edges: Vec<Edge>,
    keys: Vec<u8>,
    /// `any[node]`: where every key that has no edge of its own leads.
    any: Vec<u32>,
    targets: Vec<(FieldId, Rank)>,
    fields: usize,
}

/// A step of a path: a key, or any key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Any,
}

/// Paths while they are gathered; [`Plan::finish`] lays them out.
#[derive(Debug)]
pub(crate) struct Plan {
    paths: Paths,
    wanted: Vec<Vec<(FieldId, Rank)>>,
}

fn hash(node: u32, key: &[u8]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = u64::from(node).wrapping_mul(K) ^ key.len() as u64;
    let mut chunks = key.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks_exact(8) gives 8 bytes"));
        state = (state.rotate_left(5) ^ word).wrapping_mul(K);
    }
    let mut last = 0u64;
    for &byte in chunks.remainder() {
        last = last << 8 | u64::from(byte);
    }
    state = (state.rotate_left(5) ^ last).wrapping_mul(K);
    state ^ state >> 32
}

impl Plan {
    pub(crate) fn new() -> Self {
        let paths = Paths { any: vec![NONE, NONE], ..Paths::default() };
        Self { paths, wanted: Vec::new() }
    }

    /// Declares that `field` may lie at the end of `steps`.
    pub(crate) fn add(&mut self, steps: &[Step<'_>], field: FieldId, rank: Rank) {
        let mut node = ROOT;
        for (depth, step) in steps.iter().enumerate() {
            let last = depth + 1 == steps.len();
            match *step {
                Step::Key(key) => {
                    let edge = self.edge(node, key.as_bytes());
                    if last {
                        let wanted = &mut self.wanted[edge];
                        if !wanted.iter().any(|(known, _)| *known == field) {
                            wanted.push((field, rank));
                        }
                    } else {
                        if self.paths.edges[edge].to == DEAD {
                            self.paths.edges[edge].to = self.node();
                        }
                        node = self.paths.edges[edge].to;
                    }
                }
                Step::Any => {
                    debug_assert!(!last, "a path ends in a key");
                    if self.paths.any[node as usize] == NONE {
                        self.paths.any[node as usize] = self.node();
                    }
                    node = self.paths.any[node as usize];
                }
            }
        }
    }

    fn node(&mut self) -> u32 {
        self.paths.any.push(NONE);
        (self.paths.any.len() - 1) as u32
    }

    fn edge(&mut self, from: u32, key: &[u8]) -> usize {
        if let Some(at) = self.paths.find(from, key) {
            return at as usize;
        }
        let paths = &mut self.paths;
        let start = paths.keys.len() as u32;
        paths.keys.extend_from_slice(key);
        let at = paths.edges.len() as u32;
        paths.edges.push(Edge { from, key: (start, key.len() as u32), to: DEAD, targets: (0, 0) });
        self.wanted.push(Vec::new());
        let (edges, keys) = (&paths.edges, &paths.keys);
        paths.table.insert_unique(hash(from, key), at, |&edge| {
            let edge = &edges[edge as usize];
            hash(edge.from, &keys[edge.key.0 as usize..][..edge.key.1 as usize])
        });
        at as usize
    }

    /// Lays the targets out. `fields` is how many fields there are in all.
    pub(crate) fn finish(mut self, fields: usize) -> Paths {
        for (edge, wanted) in self.paths.edges.iter_mut().zip(&self.wanted) {
            edge.targets = (self.paths.targets.len() as u32, wanted.len() as u32);
            self.paths.targets.extend_from_slice(wanted);
        }
        self.paths.fields = fields;
        self.paths
    }
}

impl Paths {
    fn find(&self, from: u32, key: &[u8]) -> Option<u32> {
        self.table
            .find(hash(from, key), |&at| {
                let edge = &self.edges[at as usize];
                edge.from == from && &self.keys[edge.key.0 as usize..][..edge.key.1 as usize] == key
            })
            .copied()
    }

    /// Where `key` leads from `node`, and which fields end there.
    fn step(&self, node: u32, key: &[u8]) -> (u32, (u32, u32)) {
        if node == DEAD {
            return (DEAD, (0, 0));
        }
        if let Some(at) = self.find(node, key) {
            let edge = &self.edges[at as usize];
            return (edge.to, edge.targets);
        }
        match self.any[node as usize] {
            NONE => (DEAD, (0, 0)),
            next => (next, (0, 0)),
        }
    }
}

/// Where a piece of text lies: in the event itself, or in the arena's own buffer when it had to be unescaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: u32,
    len: u32,
    own: bool,
}

/// A value of a field. Numbers keep their text, as rules compare text with numbers too.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Text(Span),
    Number(f64, Span),
    Bool(bool),
    Null,
    /// An object, or an array without elements: it is there, but it has no value.
    Composite,
}

#[derive(Debug, Clone, Copy, Default)]
struct Head {
    epoch: u32,
    first: u32,
    rank: Rank,
}

/// The reusable arena.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    epoch: u32,
    heads: Vec<Head>,
    values: Vec<(Value, u32)>,
    own: Vec<u8>,
    /// Fields that the event has, in the order in which they were met.
    pub(crate) touched: Vec<FieldId>,
    /// Every text and number of the event, where keywords are asked for.
    pub(crate) words: Vec<Span>,
}

impl Arena {
    /// Reads `event`. `words` says whether all of its text is wanted, not only the interned fields'.
    pub(crate) fn read(&mut self, paths: &Paths, event: &[u8], words: bool) -> Result<(), EventError> {
        if u32::try_from(event.len()).is_err() {
            return Err(EventError::Size);
        }
        std::str::from_utf8(event).map_err(|error| EventError::Utf8(error.valid_up_to()))?;
        self.clear(paths.fields);
        let mut reader = Reader { input: event, at: 0, paths, arena: self, words };
        reader.blank();
        if reader.peek() != Some(b'{') {
            return Err(EventError::NotObject);
        }
        reader.value(ROOT, (0, 0), 0)?;
        reader.blank();
        if reader.at < event.len() { Err(EventError::Json(reader.at)) } else { Ok(()) }
    }

    /// Takes a line that is not structured at all: it has words and no fields.
    pub(crate) fn read_line(&mut self, paths: &Paths, line: &[u8]) -> Result<(), EventError> {
        let len = u32::try_from(line.len()).map_err(|_| EventError::Size)?;
        std::str::from_utf8(line).map_err(|error| EventError::Utf8(error.valid_up_to()))?;
        self.clear(paths.fields);
        self.words.push(Span { start: 0, len, own: false });
        Ok(())
    }

    fn clear(&mut self, fields: usize) {
        if self.epoch == u32::MAX || self.heads.len() != fields {
            self.heads.clear();
            self.heads.resize(fields, Head::default());
            self.epoch = 0;
        }
        self.epoch += 1;
        self.values.clear();
        self.own.clear();
        self.touched.clear();
        self.words.clear();
    }

    /// Whether the event has the field at all, be it null.
    pub(crate) fn has(&self, field: FieldId) -> bool {
        self.heads[field as usize].epoch == self.epoch
    }

    /// The field's values.
    pub(crate) fn values(&self, field: FieldId) -> impl Iterator<Item = Value> + '_ {
        let head = &self.heads[field as usize];
        let mut at = if head.epoch == self.epoch { head.first } else { NONE };
        std::iter::from_fn(move || {
            let (value, next) = *self.values.get(at as usize)?;
            at = next;
            Some(value)
        })
    }

    /// Lets `alias` read what `field` holds, where the event has no `alias` of its own.
    pub(crate) fn alias(&mut self, alias: FieldId, field: FieldId) {
        if self.has(field) && !self.has(alias) {
            self.heads[alias as usize] = self.heads[field as usize];
            self.touched.push(alias);
        }
    }

    pub(crate) fn text<'a>(&'a self, event: &'a [u8], span: Span) -> &'a [u8] {
        let buffer = if span.own { &self.own } else { event };
        &buffer[span.start as usize..][..span.len as usize]
    }

    fn put(&mut self, targets: &[(FieldId, Rank)], value: Value) {
        for &(field, rank) in targets {
            let at = self.values.len() as u32;
            let head = &mut self.heads[field as usize];
            if head.epoch != self.epoch {
                self.touched.push(field);
            } else if head.rank < rank {
                continue;
            }
            let next = if head.epoch == self.epoch && head.rank == rank { head.first } else { NONE };
            *head = Head { epoch: self.epoch, first: at, rank };
            self.values.push((value, next));
        }
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    paths: &'a Paths,
    arena: &'a mut Arena,
    words: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn wrong<T>(&self) -> Result<T, EventError> {
        Err(EventError::Json(self.at))
    }

    fn value(&mut self, node: u32, targets: (u32, u32), depth: usize) -> Result<(), EventError> {
        if depth > DEPTH {
            return Err(EventError::Depth(self.at));
        }
        let value = match self.peek() {
            Some(b'"') => {
                let span = self.string()?;
                if self.words {
                    self.arena.words.push(span);
                }
                Value::Text(span)
            }
            Some(b'{') => {
                self.object(node, depth)?;
                Value::Composite
            }
            Some(b'[') => return self.array(node, targets, depth),
            Some(b't') => self.word(b"true", Value::Bool(true))?,
            Some(b'f') => self.word(b"false", Value::Bool(false))?,
            Some(b'n') => self.word(b"null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return self.wrong(),
        };
        let paths = self.paths;
        self.arena.put(&paths.targets[targets.0 as usize..][..targets.1 as usize], value);
        Ok(())
    }

    fn object(&mut self, node: u32, depth: usize) -> Result<(), EventError> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.wrong();
            }
            let key = self.string()?;
            let (child, targets) = self.paths.step(node, self.arena.text(self.input, key));
            self.blank();
            if self.peek() != Some(b':') {
                return self.wrong();
            }
            self.at += 1;
            self.blank();
            self.value(child, targets, depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.wrong(),
            }
            self.blank();
        }
    }

    fn array(&mut self, node: u32, targets: (u32, u32), depth: usize) -> Result<(), EventError> {
        self.at += 1;
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            let paths = self.paths;
            self.arena.put(&paths.targets[targets.0 as usize..][..targets.1 as usize], Value::Composite);
            return Ok(());
        }
        loop {
            self.value(node, targets, depth + 1)?;
            self.blank();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.wrong(),
            }
            self.blank();
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Result<Value, EventError> {
        if !self.input[self.at..].starts_with(word) {
            return self.wrong();
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, EventError> {
        let start = self.at;
        let mut whole = true;
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' => {}
                b'.' | b'e' | b'E' | b'+' | b'-' => whole = false,
                _ => break,
            }
            self.at += 1;
        }
        let bytes = &self.input[start..self.at];
        let number = match digits(bytes).filter(|_| whole) {
            Some(number) => number,
            None => match std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
                Some(number) => number,
                None => return Err(EventError::Json(start)),
            },
        };
        let span = if whole {
            Span { start: start as u32, len: bytes.len() as u32, own: false }
        } else {
            // The shortest text of the number, so that `1.50` and `15e-1` are the same to a rule.
            let own = &mut self.arena.own;
            let start = own.len() as u32;
            write!(own, "{number}").expect("a vector takes every write");
            Span { start, len: own.len() as u32 - start, own: true }
        };
        if self.words {
            self.arena.words.push(span);
        }
        Ok(Value::Number(number, span))
    }

    fn string(&mut self) -> Result<Span, EventError> {
        self.at += 1;
        let start = self.at;
        match memchr2(b'"', b'\\', &self.input[start..]) {
            None => self.wrong(),
            Some(len) if self.input[start + len] == b'"' => {
                self.at = start + len + 1;
                Ok(Span { start: start as u32, len: len as u32, own: false })
            }
            Some(len) => self.unescape(start, len),
        }
    }

    /// Copies a string with escapes, of which the first `plain` bytes have none.
    fn unescape(&mut self, start: usize, plain: usize) -> Result<Span, EventError> {
        let from = self.arena.own.len();
        self.arena.own.extend_from_slice(&self.input[start..start + plain]);
        self.at = start + plain;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let len = self.arena.own.len() - from;
                    return Ok(Span { start: from as u32, len: len as u32, own: true });
                }
                Some(b'\\') => {
                    let byte = match self.input.get(self.at + 1) {
                        Some(b'u') => {
                            self.code()?;
                            continue;
                        }
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(b'r') => b'\r',
                        Some(b'b') => 8,
                        Some(b'f') => 12,
                        Some(&byte @ (b'"' | b'\\' | b'/')) => byte,
                        _ => return self.wrong(),
                    };
                    self.arena.own.push(byte);
                    self.at += 2;
                }
                Some(_) => match memchr2(b'"', b'\\', &self.input[self.at..]) {
                    Some(len) => {
                        self.arena.own.extend_from_slice(&self.input[self.at..self.at + len]);
                        self.at += len;
                    }
                    None => return self.wrong(),
                },
                None => return self.wrong(),
            }
        }
    }

    /// `\uXXXX`, and the pair of them above the basic plane. Half a pair becomes U+FFFD, as text must stay UTF-8.
    fn code(&mut self) -> Result<(), EventError> {
        let high = self.hex()?;
        let point = if (0xD800..0xDC00).contains(&high) && self.input[self.at..].starts_with(b"\\u") {
            let before = self.at;
            let low = self.hex()?;
            if (0xDC00..0xE000).contains(&low) {
                0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            } else {
                self.at = before;
                high
            }
        } else {
            high
        };
        let point = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.arena.own.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, EventError> {
        let digits = self.input.get(self.at + 2..self.at + 6).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(text) => {
                self.at += 6;
                u32::from_str_radix(text, 16).map_err(|_| EventError::Json(self.at))
            }
            None => self.wrong(),
        }
    }
}

/// An integer of up to 15 digits, which a double holds exactly.
fn digits(bytes: &[u8]) -> Option<f64> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut sum = 0u64;
    for &digit in digits {
        sum = sum * 10 + u64::from(digit.checked_sub(b'0')?);
    }
    Some(if negative { -(sum as f64) } else { sum as f64 })
}
