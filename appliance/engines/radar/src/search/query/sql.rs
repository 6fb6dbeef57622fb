//! From tree to SQL: a predicate with parameters, and what a chunk must hold for any of its lines to satisfy it.
//!
//! Nothing of a query's text is ever part of the SQL: texts are parameters, numbers are printed from parsed numbers, and
//! columns come from the schema. A line that lacks a field does not match a test of it, so `NOT` matches it.

use super::{Match, Piece, Query};
use crate::{
    intake::time,
    search::{
        schema::{self, Column, FIELD, VALUE},
        sketch,
    },
};

/// The columns that hold the text of a line.
const TEXT: [&str; 4] = ["message", "head", "tail", "rest"];
/// What ends a word, in a text folded to lower case.
const EDGE: &str = r"[^0-9a-z\x{80}-\x{10ffff}]";

/// A predicate and the values of its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predicate {
    /// SQL for a `WHERE`.
    pub sql: String,
    /// The values of its `?`s.
    pub values: Vec<String>,
    /// The regular expressions of the query, which the database has still to agree with.
    pub regexes: Vec<String>,
    /// What a chunk must hold.
    pub needs: Needs,
}

/// What a chunk must hold for a line of it to match.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Needs {
    /// Nothing that could be asked.
    #[default]
    Nothing,
    /// All of these hashes.
    Hashes(Vec<u64>),
    /// All of these.
    All(Vec<Needs>),
    /// One of these.
    One(Vec<Needs>),
}

impl Needs {
    /// Whether a chunk may hold a matching line, as far as `holds` knows.
    pub fn met(&self, holds: &mut impl FnMut(u64) -> bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Hashes(hashes) => hashes.iter().all(|hash| holds(*hash)),
            Self::All(needs) => needs.iter().all(|n| n.met(holds)),
            Self::One(needs) => needs.iter().any(|n| n.met(holds)),
        }
    }

    /// Whether it can rule anything out.
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Hashes(hashes) => hashes.is_empty(),
            Self::All(needs) => needs.iter().all(Self::is_nothing),
            Self::One(needs) => needs.iter().any(Self::is_nothing),
        }
    }
}

/// Makes the predicate of a query. `now` gives relative times their place.
pub fn predicate(query: &Query, now: i64) -> Predicate {
    let mut writer = Writer { now, out: Predicate::default() };
    let needs = writer.query(query);
    writer.out.needs = needs;
    writer.out
}

struct Writer {
    now: i64,
    out: Predicate,
}

impl Writer {
    fn push(&mut self, sql: &str) {
        self.out.sql.push_str(sql);
    }

    fn value(&mut self, value: impl Into<String>) {
        self.out.sql.push('?');
        self.out.values.push(value.into());
    }

    fn regex(&mut self, regex: &str) {
        self.value(regex);
        self.out.regexes.push(regex.to_owned());
    }

    fn query(&mut self, query: &Query) -> Needs {
        match query {
            Query::All => {
                self.push("true");
                Needs::Nothing
            }
            Query::And(parts) => Needs::All(self.joined(parts, " AND ")),
            Query::Or(parts) => Needs::One(self.joined(parts, " OR ")),
            Query::Not(inner) => {
                self.push("NOT ");
                self.query(inner);
                Needs::Nothing
            }
            Query::Text(found) => {
                self.push("coalesce(");
                for (place, column) in TEXT.iter().enumerate() {
                    self.push(if place == 0 { "" } else { " OR " });
                    self.push("coalesce(");
                    self.text(column, found);
                    self.push(", false)");
                }
                self.push(", false)");
                match found {
                    Match::Is(text) => Needs::Hashes(sketch::text_needs(text)),
                    _ => Needs::Nothing,
                }
            }
            Query::Field(name, found) => {
                self.push("coalesce(");
                match schema::column(name) {
                    Some(column) => self.column(column, name, found),
                    None => self.rest(name, found),
                }
                self.push(", false)");
                match (found, schema::column(name)) {
                    (Match::Is(_), Some(Column::Time(_))) => Needs::Nothing,
                    (Match::Is(text), _) if name == "message" => Needs::Hashes(sketch::text_needs(text)),
                    (Match::Is(text), _) if network(text).is_none() => Needs::Hashes(sketch::field_needs(name, text)),
                    _ => Needs::Nothing,
                }
            }
        }
    }

    fn joined(&mut self, parts: &[Query], by: &str) -> Vec<Needs> {
        self.push("(");
        let needs = parts.iter().enumerate().map(|(place, part)| {
            self.push(if place == 0 { "" } else { by });
            self.query(part)
        });
        let needs = needs.collect();
        self.push(")");
        needs
    }

    /// A test of a column that holds prose.
    fn text(&mut self, column: &str, found: &Match) {
        match found {
            Match::Is(text) => {
                let text = text.to_lowercase();
                self.push(&format!("(contains(lower({column}), "));
                self.value(text.clone());
                self.push(&format!(") AND regexp_matches(lower({column}), "));
                self.value(format!(
                    "{}{}{}",
                    edge(text.chars().next(), "^"),
                    regex::escape(&text),
                    edge(text.chars().last(), "$")
                ));
                self.push("))");
            }
            Match::Like(pieces) => {
                self.push(&format!("regexp_matches(lower({column}), "));
                let first =
                    matches!(pieces.first(), Some(Piece::Text(text)) if text.starts_with(char::is_alphanumeric));
                let last = matches!(pieces.last(), Some(Piece::Text(text)) if text.ends_with(char::is_alphanumeric));
                let edge = |wanted, end| if wanted { format!("(?:{end}|{EDGE})") } else { String::new() };
                self.value(format!(
                    "{}{}{}",
                    edge(first, "^"),
                    pattern(pieces, r"[^\s\x1f]*", r"[^\s\x1f]"),
                    edge(last, "$")
                ));
                self.push(")");
            }
            Match::Regex(regex) => {
                self.push(&format!("regexp_matches({column}, "));
                self.regex(regex);
                self.push(")");
            }
            Match::Exists => self.push(&format!("{column} IS NOT NULL")),
            Match::Range(low, high) => self.range(column, low.as_ref(), high.as_ref()),
        }
    }

    fn column(&mut self, column: Column, name: &str, found: &Match) {
        match column {
            Column::Text("message") => self.text("message", found),
            Column::Text(column) => {
                let column = format!("\"{column}\"");
                self.short_text(&column, found);
            }
            Column::Number(column) => {
                let quoted = format!("\"{column}\"");
                match found {
                    Match::Is(text) => match text.parse::<i64>() {
                        Ok(number) => self.push(&format!("{quoted} = {number}")),
                        Err(_) => self.rest(name, found),
                    },
                    Match::Exists => self.push(&format!("{quoted} IS NOT NULL")),
                    Match::Range(low, high) => self.range(&quoted, low.as_ref(), high.as_ref()),
                    Match::Like(_) | Match::Regex(_) => self.short_text(&format!("CAST({quoted} AS VARCHAR)"), found),
                }
            }
            Column::Time(column) => {
                let moment = |text: &str| {
                    time::read(text, self.now, 0).or_else(|| time::read(&format!("{text}T00:00:00Z"), self.now, 0))
                };
                match found {
                    Match::Is(text) => {
                        let moment = moment(text).map_or("NULL".to_owned(), |t| t.to_string());
                        self.push(&format!("{column} = {moment}"));
                    }
                    Match::Range(low, high) => {
                        let bound = |bound: &Option<(String, bool)>, signs: [&str; 2]| match bound {
                            None => "true".to_owned(),
                            Some((text, counts)) => {
                                let moment = moment(text).map_or("NULL".to_owned(), |t| t.to_string());
                                format!("{column} {} {moment}", signs[usize::from(*counts)])
                            }
                        };
                        let sql = format!("{} AND {}", bound(low, [">", ">="]), bound(high, ["<", "<="]));
                        self.push(&sql);
                    }
                    _ => self.push("true"),
                }
            }
        }
    }

    /// A test of a value as a whole.
    fn short_text(&mut self, column: &str, found: &Match) {
        match found {
            Match::Is(text) => match network(text) {
                Some(range) => self.push(&network_sql(column, range)),
                None => {
                    self.push(&format!("lower({column}) = "));
                    self.value(text.to_lowercase());
                }
            },
            Match::Like(pieces) => {
                self.push(&format!("regexp_matches(lower({column}), "));
                self.value(format!("(?s)^{}$", pattern(pieces, ".*", ".")));
                self.push(")");
            }
            Match::Regex(_) | Match::Exists => self.text(column, found),
            Match::Range(low, high) => self.range(column, low.as_ref(), high.as_ref()),
        }
    }

    /// A test of a field that has no column.
    fn rest(&mut self, name: &str, found: &Match) {
        let begin = format!("{FIELD}{}{VALUE}", name.to_lowercase());
        // The first value of the field, in its own case.
        let value = |writer: &mut Self| {
            writer.push("nullif(regexp_extract(rest, ");
            writer.value(format!("(?is)\\x1f{}\\x1e([^\\x1f]*)\\x1f", regex::escape(name)));
            writer.push(", 1), '')");
        };
        match found {
            Match::Is(text) if network(text).is_none() => {
                self.push("contains(lower(rest), ");
                self.value(format!("{begin}{}{FIELD}", text.to_lowercase()));
                self.push(")");
            }
            Match::Exists => {
                self.push("contains(lower(rest), ");
                self.value(begin);
                self.push(")");
            }
            Match::Like(pieces) => {
                self.push("regexp_matches(lower(rest), ");
                self.value(format!("{}{}{FIELD}", regex::escape(&begin), pattern(pieces, r"[^\x1f]*", r"[^\x1f]")));
                self.push(")");
            }
            Match::Is(text) => {
                // Each use of the value is a parameter of its own: it is named once instead.
                if let Some(range) = network(text) {
                    self.push("(SELECT ");
                    self.push(&network_sql("v", range));
                    self.push(" FROM (SELECT ");
                    value(self);
                    self.push(" AS v))");
                }
            }
            Match::Regex(regex) => {
                self.push("regexp_matches(");
                value(self);
                self.push(", ");
                self.regex(regex);
                self.push(")");
            }
            Match::Range(low, high) => {
                self.push("(SELECT ");
                self.range("v", low.as_ref(), high.as_ref());
                self.push(" FROM (SELECT ");
                value(self);
                self.push(" AS v))");
            }
        }
    }

    /// Numbers are compared as numbers, all else as text.
    fn range(&mut self, column: &str, low: Option<&(String, bool)>, high: Option<&(String, bool)>) {
        let number =
            |bound: Option<&(String, bool)>| bound.map(|(text, _)| text.parse::<f64>().ok().filter(|n| n.is_finite()));
        let numbers = !matches!(number(low), Some(None)) && !matches!(number(high), Some(None));
        self.push("(true");
        for (bound, signs) in [(low, [">", ">="]), (high, ["<", "<="])] {
            let Some((text, counts)) = bound else { continue };
            let sign = signs[usize::from(*counts)];
            match text.parse::<f64>() {
                Ok(value) if numbers => self.push(&format!(" AND TRY_CAST({column} AS DOUBLE) {sign} {value:?}")),
                _ => {
                    self.push(&format!(" AND lower({column}::VARCHAR) {sign} "));
                    self.value(text.to_lowercase());
                }
            }
        }
        self.push(")");
    }
}

fn edge(c: Option<char>, end: &str) -> String {
    match c {
        Some(c) if c.is_alphanumeric() || !c.is_ascii() => format!("(?:{end}|{EDGE})"),
        _ => String::new(),
    }
}

fn pattern(pieces: &[Piece], many: &str, one: &str) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => regex::escape(&text.to_lowercase()),
        Piece::Many => many.to_owned(),
        Piece::One => one.to_owned(),
    };
    pieces.iter().map(piece).collect()
}

/// `10.0.0.0/8` as the first and the last address.
fn network(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address: u32 = address.parse::<std::net::Ipv4Addr>().ok()?.into();
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    Some((address & mask, address | !mask))
}

fn network_sql(column: &str, (first, last): (u32, u32)) -> String {
    let part = |place: u32, scale: u32| format!("TRY_CAST(split_part({column}, '.', {place}) AS BIGINT) * {scale}");
    let sum = [part(1, 1 << 24), part(2, 1 << 16), part(3, 1 << 8), part(4, 1)].join(" + ");
    format!("({sum} BETWEEN {first} AND {last})")
}
