//! From text to tree. Bounded in length, depth and terms; an error says where it stands.

use super::{Match, Piece, Query};

/// Bytes of a query at most.
const LONGEST: usize = 8_192;
/// Brackets within each other at most.
const DEEPEST: usize = 32;
/// Words, values and ranges at most.
const MOST_TERMS: usize = 256;

/// What is wrong with a query, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at character {at}")]
pub struct QueryError {
    /// Which character of the query, counted from 1.
    pub at: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a query. Nothing at all means every line.
pub fn parse(text: &str) -> Result<Query, QueryError> {
    let mut parser = Parser { text, at: 0, terms: 0 };
    if text.len() > LONGEST {
        return Err(parser.wrong(LONGEST, "the query is too long"));
    }
    parser.blank();
    if parser.rest().is_empty() || parser.rest() == "*" {
        return Ok(Query::All);
    }
    let query = parser.any_of(0, None)?;
    match parser.peek() {
        None => Ok(query),
        Some(_) => Err(parser.wrong(parser.at, "there is no '(' for this ')'")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    terms: usize,
}

impl<'a> Parser<'a> {
    fn any_of(&mut self, depth: usize, field: Option<&str>) -> Result<Query, QueryError> {
        if depth > DEEPEST {
            return Err(self.wrong(self.at, "too many brackets within each other"));
        }
        let mut parts = vec![self.all_of(depth, field)?];
        while self.operator("OR", "||") {
            parts.push(self.all_of(depth, field)?);
        }
        Ok(joined(parts, Query::Or))
    }

    fn all_of(&mut self, depth: usize, field: Option<&str>) -> Result<Query, QueryError> {
        let mut parts = vec![self.not(depth, field)?];
        loop {
            let named = self.operator("AND", "&&");
            self.blank();
            let ends = matches!(self.peek(), None | Some(')')) || self.sees("OR", "||");
            if ends && !named {
                return Ok(joined(parts, Query::And));
            }
            parts.push(self.not(depth, field)?);
        }
    }

    fn not(&mut self, depth: usize, field: Option<&str>) -> Result<Query, QueryError> {
        self.blank();
        let marked =
            matches!(self.peek(), Some('-' | '!')) && self.rest()[1..].starts_with(|c: char| !c.is_whitespace());
        if marked {
            self.at += 1;
        }
        if marked || self.operator("NOT", "!") {
            if depth > DEEPEST {
                return Err(self.wrong(self.at, "too many brackets within each other"));
            }
            return Ok(Query::Not(Box::new(self.not(depth + 1, field)?)));
        }
        self.primary(depth, field)
    }

    fn primary(&mut self, depth: usize, field: Option<&str>) -> Result<Query, QueryError> {
        self.blank();
        if self.peek() == Some('(') {
            return self.group(depth, field);
        }
        if field.is_none()
            && let Some(name) = self.name()
        {
            self.at += name.len() + 1;
            if self.peek() == Some('(') {
                return self.group(depth, Some(name));
            }
            let found = self.test(true)?;
            return Ok(Query::Field(name.to_owned(), found));
        }
        let found = self.test(field.is_some())?;
        Ok(match (field, found) {
            (Some(name), found) => Query::Field(name.to_owned(), found),
            (None, Match::Exists) => Query::All,
            (None, found) => Query::Text(found),
        })
    }

    fn group(&mut self, depth: usize, field: Option<&str>) -> Result<Query, QueryError> {
        let begin = self.at;
        self.at += 1;
        let inner = self.any_of(depth + 1, field)?;
        self.blank();
        if self.peek() != Some(')') {
            return Err(self.wrong(begin, "this '(' is not closed"));
        }
        self.at += 1;
        Ok(inner)
    }

    /// A field's name, if one stands here before a `:`. An address with a port and a URL are words.
    fn name(&self) -> Option<&'a str> {
        let rest = self.rest();
        let end = rest.find(':')?;
        let name = &rest[..end];
        let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '@'))
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'@' | b'#' | b'/'));
        (sound && !rest[end + 1..].starts_with("//")).then_some(name)
    }

    fn test(&mut self, in_field: bool) -> Result<Match, QueryError> {
        self.terms += 1;
        if self.terms > MOST_TERMS {
            return Err(self.wrong(self.at, "too many terms"));
        }
        match self.peek() {
            Some('"') => self.quoted().map(Match::Is),
            Some('/') => self.regex(in_field),
            Some('[' | '{') if in_field => self.range(),
            Some('<' | '>') if in_field => self.comparison(),
            _ => self.bare(),
        }
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let begin = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if value.is_empty() => return Err(self.wrong(begin, "there is nothing between these quotes")),
                '"' => {
                    self.at = begin + at + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => value.push(c),
                    Some((_, c)) => value.extend(['\\', c]),
                    None => break,
                },
                c => value.push(c),
            }
        }
        Err(self.wrong(begin, "this quote is not closed"))
    }

    fn regex(&mut self, in_field: bool) -> Result<Match, QueryError> {
        let begin = self.at;
        let mut escaped = false;
        let end = self.rest().char_indices().skip(1).find(|(_, c)| {
            let ends = *c == '/' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            // A path, when it stands alone.
            return if in_field {
                Err(self.wrong(begin, "this regular expression has no '/' at its end"))
            } else {
                self.bare()
            };
        };
        let after = self.rest()[end + 1..].chars().next();
        if after.is_some_and(|c| !c.is_whitespace() && c != ')') {
            return self.bare();
        }
        let pattern = self.rest()[1..end].replace("\\/", "/");
        if let Err(error) = regex_syntax::parse(&pattern) {
            let (problem, within) = match &error {
                regex_syntax::Error::Parse(e) => (e.kind().to_string(), e.span().start.offset),
                regex_syntax::Error::Translate(e) => (e.kind().to_string(), e.span().start.offset),
                other => (other.to_string(), 0),
            };
            return Err(
                self.wrong(begin + 1 + within.min(end), &format!("this regular expression cannot be read: {problem}"))
            );
        }
        self.at = begin + end + 1;
        Ok(Match::Regex(pattern))
    }

    fn range(&mut self) -> Result<Match, QueryError> {
        let begin = self.at;
        let low_counts = self.peek() == Some('[');
        self.at += 1;
        let low = self.bound(begin)?;
        if !self.operator("TO", "..") {
            return Err(self.wrong(self.at, "a range is written [1 TO 5]"));
        }
        let high = self.bound(begin)?;
        self.blank();
        let high_counts = match self.peek() {
            Some(']') => true,
            Some('}') => false,
            _ => return Err(self.wrong(begin, "this range is not closed")),
        };
        self.at += 1;
        Ok(Match::Range(low.map(|v| (v, low_counts)), high.map(|v| (v, high_counts))))
    }

    fn bound(&mut self, begin: usize) -> Result<Option<String>, QueryError> {
        self.blank();
        if self.peek() == Some('"') {
            return self.quoted().map(Some);
        }
        let rest = self.rest();
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, ']' | '}')).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.wrong(begin, "this range is not closed"));
        }
        self.at += end;
        Ok((&rest[..end] != "*").then(|| rest[..end].to_owned()))
    }

    fn comparison(&mut self) -> Result<Match, QueryError> {
        let begin = self.at;
        let below = self.peek() == Some('<');
        self.at += 1;
        let counts = self.peek() == Some('=');
        self.at += usize::from(counts);
        let value = if self.peek() == Some('"') { self.quoted()? } else { self.word().to_owned() };
        if value.is_empty() {
            return Err(self.wrong(begin, "there is no value to compare with"));
        }
        let bound = Some((value, counts));
        Ok(if below { Match::Range(None, bound) } else { Match::Range(bound, None) })
    }

    /// Up to a blank or a bracket.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.find(|c: char| {
            let ends = !escaped && (c.is_whitespace() || matches!(c, '(' | ')'));
            escaped = c == '\\' && !escaped;
            ends
        });
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    fn bare(&mut self) -> Result<Match, QueryError> {
        let begin = self.at;
        let word = self.word();
        if word.is_empty() {
            return Err(self.wrong(begin, "a word or a value is missing here"));
        }
        if matches!(word, "AND" | "OR" | "NOT" | "&&" | "||") {
            return Err(self.wrong(begin, "a word or a value is missing here; to search for this one put it in quotes"));
        }
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut chars = word.chars();
        while let Some(c) = chars.next() {
            let wild = match c {
                '\\' => {
                    match chars.next() {
                        Some(
                            c @ ('\\' | '*' | '?' | ':' | '(' | ')' | '"' | '/' | '[' | ']' | '{' | '}' | ' ' | '-'
                            | '!'),
                        ) => text.push(c),
                        Some(c) => text.extend(['\\', c]),
                        None => text.push('\\'),
                    }
                    continue;
                }
                '*' => Piece::Many,
                '?' => Piece::One,
                c => {
                    text.push(c);
                    continue;
                }
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            if wild != Piece::Many || pieces.last() != Some(&Piece::Many) {
                pieces.push(wild);
            }
        }
        if pieces.is_empty() {
            return Ok(Match::Is(text));
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(if pieces == [Piece::Many] { Match::Exists } else { Match::Like(pieces) })
    }

    fn sees(&self, word: &str, sign: &str) -> bool {
        let rest = self.rest();
        rest.starts_with(sign) && sign != "!"
            || rest.strip_prefix(word).is_some_and(|after| after.starts_with(|c: char| c.is_whitespace() || c == '('))
    }

    fn operator(&mut self, word: &str, sign: &str) -> bool {
        self.blank();
        if !self.sees(word, sign) {
            return false;
        }
        self.at += if self.rest().starts_with(word) { word.len() } else { sign.len() };
        true
    }

    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn wrong(&self, at: usize, problem: &str) -> QueryError {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        QueryError { at: before.chars().count() + 1, problem: problem.to_owned() }
    }
}

fn joined(mut parts: Vec<Query>, join: fn(Vec<Query>) -> Query) -> Query {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is(text: &str) -> Match {
        Match::Is(text.to_owned())
    }

    fn field(name: &str, found: Match) -> Query {
        Query::Field(name.to_owned(), found)
    }

    #[test]
    fn reads_what_people_write() {
        let word = |text| Query::Text(is(text));
        let many = |text: &str| Match::Like(vec![Piece::Text(text.to_owned()), Piece::Many]);
        for (text, expected) in [
            ("", Query::All),
            (" * ", Query::All),
            ("sshd failed", Query::And(vec![word("sshd"), word("failed")])),
            ("\"a \\\"b\\\" c\"", word("a \"b\" c")),
            ("a OR b AND c", Query::Or(vec![word("a"), Query::And(vec![word("b"), word("c")])])),
            ("-a NOT b", Query::And(vec![Query::Not(word("a").into()), Query::Not(word("b").into())])),
            ("(a OR b) c", Query::And(vec![Query::Or(vec![word("a"), word("b")]), word("c")])),
            ("user.name:root", field("user.name", is("root"))),
            ("u:(a OR \"b c\")", Query::Or(vec![field("u", is("a")), field("u", is("b c"))])),
            ("p:ssh*", field("p", many("ssh"))),
            ("u:*", field("u", Match::Exists)),
            ("n:>=10", field("n", Match::Range(Some(("10".into(), true)), None))),
            ("n:[1 TO *}", field("n", Match::Range(Some(("1".into(), true)), None))),
            ("n:{a TO b]", field("n", Match::Range(Some(("a".into(), false)), Some(("b".into(), true))))),
            ("u:/lo(g|b)\\/x/", field("u", Match::Regex("lo(g|b)/x".into()))),
            ("10.0.0.1:443 https://x/y", Query::And(vec![word("10.0.0.1:443"), word("https://x/y")])),
            (r"f:C:\Windows\\x", field("f", is(r"C:\Windows\x"))),
            ("/var/log/x", word("/var/log/x")),
            ("ORDER NOTE", Query::And(vec![word("ORDER"), word("NOTE")])),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_error_says_where() {
        for (text, at) in [
            ("a (b", 3),
            ("a)", 2),
            ("é \"b", 3),
            ("a OR", 3),
            ("n:[1 5]", 6),
            ("u:/a(/", 5),
            ("u:", 3),
            ("a AND OR b", 7),
        ] {
            assert_eq!(parse(text).map_err(|e| e.at), Err(at), "{text}: {:?}", parse(text));
        }
        assert!(parse(&"(".repeat(1_000)).is_err());
        assert!(parse(&"-".repeat(5_000)).is_err());
        assert!(parse(&"a ".repeat(1_000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn nearly_right_text_is_answered(text in "([ab:\\[\\]{}()\"/*?\\\\<>=!-]| OR | AND | NOT | TO |é){0,30}") {
            let _ = parse(&text);
        }
    }
}
