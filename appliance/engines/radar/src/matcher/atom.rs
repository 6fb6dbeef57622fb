//! Atoms: the smallest questions that rules ask of an event, each asked once however many rules ask it.
//!
//! *Eager* atoms are answered by the field's index while its values are walked; to have one answered costs nothing
//! beyond that walk. *Lazy* atoms (regular expressions, globs, what is cased, references to other fields, parts of a
//! time) are answered when a rule wants to know, and only where one of their `guards`, eager atoms without which they
//! cannot hold, has been seen. An answer is kept until the next event.

use std::collections::HashMap;
use std::net::IpAddr;

use regex::Regex;

use super::FieldId;
use super::arena::{Arena, Value};
use super::text::{self, Glob};

/// The number of an atom in its rule set.
pub(crate) type AtomId = u32;

/// A comparison of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Lt,
    Lte,
    Gt,
    Gte,
}

impl Order {
    pub(crate) fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Lt => value < bound,
            Self::Lte => value <= bound,
            Self::Gt => value > bound,
            Self::Gte => value >= bound,
        }
    }
}

/// An IP network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Parses `address/prefix`; an address alone is a network of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
            None => (text.parse().ok()?, None),
        };
        let bits = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { address, prefix })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differ >= u32::from(self.prefix)
    }
}

/// What an eager atom asks of a field. Text is folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Eager {
    Contains(Vec<u8>),
    StartsWith(Vec<u8>),
    EndsWith(Vec<u8>),
    Equals(Vec<u8>),
    /// The bits of a double.
    Number(u64),
    Ordered(Order, u64),
    Bool(bool),
    Cidr(Network),
    /// The field is there and not null.
    Present,
    /// The field has a value that is text, or can be read as text.
    Scalar,
}

/// How a value compares with the referenced one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
}

/// A part of a time in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// What a lazy atom asks of a field.
#[derive(Debug)]
pub(crate) enum Check {
    Regex(Regex),
    /// Over folded text.
    Glob(Glob),
    /// Over the text as it is.
    CasedGlob(Glob),
    Reference {
        field: FieldId,
        relation: Relation,
        cased: bool,
    },
    Time(Part, i64),
    /// The field is missing or null.
    Null,
    Never,
}

#[derive(Debug)]
pub(crate) struct Lazy {
    pub(crate) field: FieldId,
    /// One of these must hold; empty where nothing can be said beforehand.
    pub(crate) guards: Vec<AtomId>,
    pub(crate) check: Check,
}

/// An atom.
#[derive(Debug)]
pub(crate) enum Atom {
    Eager(FieldId, Eager),
    Lazy(Lazy),
}

/// Atoms and fields by what they are, while rules are compiled.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    pub(crate) fields: Vec<String>,
    by_name: HashMap<String, FieldId>,
    pub(crate) atoms: Vec<Atom>,
    eager: HashMap<(FieldId, Eager), AtomId>,
    lazy: HashMap<(FieldId, String), AtomId>,
}

impl Interner {
    pub(crate) fn field(&mut self, name: &str) -> FieldId {
        if let Some(&field) = self.by_name.get(name) {
            return field;
        }
        let field = self.fields.len() as FieldId;
        self.fields.push(name.to_owned());
        self.by_name.insert(name.to_owned(), field);
        field
    }

    pub(crate) fn eager(&mut self, field: FieldId, eager: Eager) -> AtomId {
        let next = self.atoms.len() as AtomId;
        *self.eager.entry((field, eager)).or_insert_with_key(|(field, eager)| {
            self.atoms.push(Atom::Eager(*field, eager.clone()));
            next
        })
    }

    /// A lazy atom; `key` says all that tells it from others of its field.
    pub(crate) fn lazy(&mut self, field: FieldId, key: String, guards: Vec<AtomId>, check: Check) -> AtomId {
        let next = self.atoms.len() as AtomId;
        *self.lazy.entry((field, key)).or_insert_with(|| {
            self.atoms.push(Atom::Lazy(Lazy { field, guards, check }));
            next
        })
    }

    /// How likely an atom is to hold of an event that has its field, by the look of it: orders what is asked first.
    pub(crate) fn likelihood(&self, atom: AtomId) -> f32 {
        match &self.atoms[atom as usize] {
            Atom::Eager(_, eager) => match eager {
                Eager::Contains(text) => 0.7f32.powi(text.len().min(40) as i32),
                Eager::StartsWith(text) => (3.0 * 0.7f32.powi(text.len().min(40) as i32)).min(0.5),
                Eager::EndsWith(text) => 0.6f32.powi(text.len().min(30) as i32),
                Eager::Equals(text) => 0.05 * 0.6f32.powi(text.len().min(20) as i32),
                Eager::Number(_) => 0.02,
                Eager::Ordered(..) | Eager::Bool(_) => 0.3,
                Eager::Cidr(_) => 0.1,
                Eager::Present | Eager::Scalar => 0.9,
            },
            Atom::Lazy(lazy) => match lazy.check {
                Check::Never => 0.0,
                Check::Null => 0.9,
                _ if lazy.guards.is_empty() => 0.6,
                _ => lazy.guards.iter().map(|&guard| self.likelihood(guard)).sum::<f32>().min(0.6) * 0.9,
            },
        }
    }
}

/// Buffers that lazy atoms need.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    value: Vec<u8>,
    other: Vec<u8>,
}

impl Lazy {
    /// Answers the question, its guards having been seen to.
    pub(crate) fn holds(&self, arena: &Arena, event: &[u8], words: bool, folded: &mut Folded) -> bool {
        match &self.check {
            Check::Never => false,
            Check::Null => !arena.values(self.field).any(|value| !matches!(value, Value::Null)),
            Check::Reference { field, relation, cased } => {
                let all = |field| arena.values(field).filter_map(|value| scalar(arena, event, value));
                all(self.field).any(|left| all(*field).any(|right| relate(left, right, *relation, *cased, folded)))
            }
            Check::Time(part, wanted) => {
                arena.values(self.field).any(|value| super::time::part(arena, event, value, *part) == Some(*wanted))
            }
            Check::Regex(regex) => self
                .any_text(arena, event, words, |text| std::str::from_utf8(text).is_ok_and(|text| regex.is_match(text))),
            Check::CasedGlob(glob) => self.any_text(arena, event, words, |text| glob.is_match(text)),
            Check::Glob(glob) => self.any_text(arena, event, words, |text| {
                text::fold_into(text, &mut folded.value);
                glob.is_match(&folded.value)
            }),
        }
    }

    fn any_text(&self, arena: &Arena, event: &[u8], words: bool, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        if words {
            return arena.words.iter().any(|&word| test(arena.text(event, word)));
        }
        arena.values(self.field).any(|value| scalar(arena, event, value).is_some_and(&mut test))
    }
}

/// The value as text, if it is text, a number or a truth value.
pub(crate) fn scalar<'a>(arena: &'a Arena, event: &'a [u8], value: Value) -> Option<&'a [u8]> {
    match value {
        Value::Text(span) | Value::Number(_, span) => Some(arena.text(event, span)),
        Value::Bool(true) => Some(b"true"),
        Value::Bool(false) => Some(b"false"),
        Value::Null | Value::Composite => None,
    }
}

fn relate(left: &[u8], right: &[u8], relation: Relation, cased: bool, folded: &mut Folded) -> bool {
    let (left, right) = if cased {
        (left, right)
    } else {
        text::fold_into(left, &mut folded.value);
        text::fold_into(right, &mut folded.other);
        (&folded.value[..], &folded.other[..])
    };
    match relation {
        Relation::Equals => left == right,
        Relation::Contains => memchr::memmem::find(left, right).is_some(),
        Relation::StartsWith => left.starts_with(right),
        Relation::EndsWith => left.ends_with(right),
    }
}
