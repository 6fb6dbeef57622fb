//! The query language: what people know from other log searches, read into a tree, and from there into SQL and into the
//! words a chunk must hold.
//!
//! ```text
//! sshd failed                        both words, anywhere in the line
//! "connection reset"                 these words in this order
//! user.name:root OR user.name:admin  a field's value, upper and lower case alike
//! user.name:(root OR admin)          the same
//! -log.level:debug NOT healthcheck   neither
//! source.port:>=1024  event.severity:[3 TO 7]  event.severity:{3 TO *]
//! process.name:ssh*   url.original:/\/login\?.*id=\d+/   source.ip:10.0.0.0/8   user.name:*
//! ```

mod parse;
mod sql;

pub use parse::{QueryError, parse};
pub use sql::{Needs, Predicate, predicate};

/// A query as a tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// Every line.
    All,
    /// All of these.
    And(Vec<Query>),
    /// One of these.
    Or(Vec<Query>),
    /// Not this.
    Not(Box<Query>),
    /// In the text of the line.
    Text(Match),
    /// In a field.
    Field(String, Match),
}

/// What a text or a field's value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Match {
    /// This text; in a line, framed by the ends of words.
    Is(String),
    /// A pattern, its pieces between `*`s and `?`s.
    Like(Vec<Piece>),
    /// A regular expression found in it; RE2's syntax, linear time.
    Regex(String),
    /// Anything.
    Exists,
    /// Between these, `None` being open; the flag says whether the bound itself counts.
    Range(Option<(String, bool)>, Option<(String, bool)>),
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// `*`: any number of characters.
    Many,
    /// `?`: one character.
    One,
}
