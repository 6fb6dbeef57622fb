//! The Prometheus text format, version 0.0.4, and what OpenMetrics adds to it: read and written.
//!
//! A page is read strictly, as Prometheus reads it: one bad line refuses the page and the error names the line, because
//! half a page would look like sources that went quiet. Reading borrows from the page and its cost is linear in it.

use std::{borrow::Cow, collections::HashMap, fmt::Write};

use sent_protocol::series::Labels;

/// What a metric is, as `# TYPE` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, a sum and a count.
    Histogram,
    /// Quantiles, a sum and a count.
    Summary,
    /// Not said.
    #[default]
    Untyped,
}

/// One line of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Line<'a> {
    /// Metric name.
    pub name: &'a str,
    /// Labels in the page's order.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// Value; may be infinite or not a number.
    pub value: f64,
    /// The exporter's own time in milliseconds, where it gave one.
    pub at_millis: Option<i64>,
    /// Type of the family the line belongs to.
    pub kind: Type,
}

impl Line<'_> {
    /// Whether the value only grows: counters, and sum, count and buckets of histograms and summaries.
    pub fn grows(&self) -> bool {
        match self.kind {
            Type::Counter => true,
            Type::Histogram | Type::Summary => ["_sum", "_count", "_bucket"].iter().any(|s| self.name.ends_with(s)),
            Type::Gauge => false,
            Type::Untyped => self.name.ends_with("_total"),
        }
    }

    /// Whether this is one bucket of a histogram.
    pub fn is_bucket(&self) -> bool {
        self.kind == Type::Histogram && self.name.ends_with("_bucket")
    }
}

/// Why a page is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the metrics page: {what}")]
pub struct PageError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Reads a page; more than `most` lines with values refuse it.
pub fn parse(page: &str, most: usize) -> Result<Vec<Line<'_>>, PageError> {
    let mut types: HashMap<&str, Type> = HashMap::new();
    let mut lines = Vec::new();
    for (index, text) in page.lines().enumerate() {
        let fail = |what| PageError { line: index + 1, what };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if let Some(comment) = text.strip_prefix('#') {
            let mut words = comment.split_ascii_whitespace();
            match words.next() {
                Some("TYPE") => {
                    let name = words.next().ok_or_else(|| fail("a type without a name"))?;
                    types.insert(name, kind(words.next().unwrap_or_default()));
                }
                Some("EOF") => break,
                _ => {}
            }
            continue;
        }
        if lines.len() >= most {
            return Err(fail("too many values on one page"));
        }
        let mut line = Cursor { text }.line().map_err(fail)?;
        line.kind = family(&types, line.name);
        lines.push(line);
    }
    Ok(lines)
}

fn kind(word: &str) -> Type {
    match word {
        "counter" => Type::Counter,
        "gauge" | "info" | "stateset" => Type::Gauge,
        "histogram" | "gaugehistogram" => Type::Histogram,
        "summary" => Type::Summary,
        _ => Type::Untyped,
    }
}

/// The type of the family a name belongs to: its own, or that of the name without the family's suffix.
fn family(types: &HashMap<&str, Type>, name: &str) -> Type {
    if let Some(kind) = types.get(name) {
        return *kind;
    }
    ["_bucket", "_sum", "_count", "_total"]
        .iter()
        .filter_map(|suffix| name.strip_suffix(suffix))
        .find_map(|base| types.get(base).copied())
        .unwrap_or_default()
}

/// What is left of one line.
struct Cursor<'a> {
    text: &'a str,
}

impl<'a> Cursor<'a> {
    fn line(mut self) -> Result<Line<'a>, &'static str> {
        let name = self.name(true).ok_or("a metric name is missing")?;
        self.space();
        let mut labels = Vec::new();
        if self.take('{') {
            loop {
                self.space();
                if self.take('}') {
                    break;
                }
                let label = self.name(false).ok_or("a label name is missing")?;
                self.space();
                if !self.take('=') {
                    return Err("a label without a value");
                }
                self.space();
                labels.push((label, self.quoted()?));
                self.space();
                if !self.take(',') && !self.text.starts_with('}') {
                    return Err("labels are not separated");
                }
            }
            self.space();
        }
        let value = number(self.word().ok_or("a value is missing")?)?;
        self.space();
        let mut at_millis = None;
        if !self.text.is_empty() && !self.text.starts_with('#') {
            let time = self.word().ok_or("a time is missing")?;
            at_millis = Some(match time.parse::<i64>() {
                Ok(millis) => millis,
                // OpenMetrics writes seconds with a fraction.
                Err(_) => (time.parse::<f64>().map_err(|_| "the time is not a number")? * 1_000.0) as i64,
            });
            self.space();
        }
        // An OpenMetrics exemplar may follow; anything else may not.
        if !self.text.is_empty() && !self.text.starts_with('#') {
            return Err("something follows the value");
        }
        Ok(Line { name, labels, value, at_millis, kind: Type::Untyped })
    }

    fn name(&mut self, colon: bool) -> Option<&'a str> {
        let end = self
            .text
            .bytes()
            .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':')))
            .unwrap_or(self.text.len());
        let (name, rest) = self.text.split_at(end);
        if name.is_empty() || name.as_bytes()[0].is_ascii_digit() {
            return None;
        }
        self.text = rest;
        Some(name)
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        if !self.take('"') {
            return Err("a label's value is not quoted");
        }
        let mut unescaped: Option<String> = None;
        let mut start = 0;
        let bytes = self.text.as_bytes();
        let mut at = 0;
        loop {
            match bytes.get(at) {
                None => return Err("a label's value does not end"),
                Some(b'"') => {
                    let tail = &self.text[start..at];
                    let value = match unescaped {
                        Some(mut text) => {
                            text.push_str(tail);
                            Cow::Owned(text)
                        }
                        None => Cow::Borrowed(tail),
                    };
                    self.text = &self.text[at + 1..];
                    return Ok(value);
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[start..at]);
                    match bytes.get(at + 1) {
                        Some(b'n') => text.push('\n'),
                        Some(b'"') => text.push('"'),
                        Some(b'\\') => text.push('\\'),
                        _ => return Err("an escape that does not exist"),
                    }
                    at += 2;
                    start = at;
                }
                Some(_) => at += 1,
            }
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let end = self.text.find([' ', '\t']).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        (!word.is_empty()).then_some(word)
    }

    fn space(&mut self) {
        self.text = self.text.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, c: char) -> bool {
        match self.text.strip_prefix(c) {
            Some(rest) => {
                self.text = rest;
                true
            }
            None => false,
        }
    }
}

fn number(word: &str) -> Result<f64, &'static str> {
    word.parse::<f64>().map_err(|_| "the value is not a number")
}

/// One family of a page to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Metric name.
    pub name: String,
    /// One line of help.
    pub help: String,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// Labels and value of each series.
    pub values: Vec<(Labels, f64)>,
}

/// Writes a page.
pub fn render(families: &[Family]) -> String {
    let mut page = String::new();
    for family in families {
        let name = clean(&family.name, true);
        // Writing to a string does not fail.
        let _ = writeln!(page, "# HELP {name} {}", family.help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(page, "# TYPE {name} {}", family.kind);
        for (labels, value) in &family.values {
            page.push_str(&name);
            let mut separator = '{';
            for (label, text) in labels {
                let _ = write!(page, "{separator}{}=\"", clean(label, false));
                separator = ',';
                for c in text.chars() {
                    match c {
                        '"' | '\\' => page.extend(['\\', c]),
                        '\n' => page.push_str("\\n"),
                        _ => page.push(c),
                    }
                }
                page.push('"');
            }
            if separator == ',' {
                page.push('}');
            }
            let _ = match value {
                v if v.is_nan() => writeln!(page, " NaN"),
                v if v.is_infinite() => writeln!(page, " {}Inf", if *v > 0.0 { '+' } else { '-' }),
                v => writeln!(page, " {v}"),
            };
        }
    }
    page
}

/// A name with every character the format does not allow replaced by `_`.
fn clean(name: &str, colon: bool) -> Cow<'_, str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
    let digit = name.starts_with(|c: char| c.is_ascii_digit());
    if !name.is_empty() && !digit && name.chars().all(good) {
        return Cow::Borrowed(name);
    }
    let mut cleaned = String::with_capacity(name.len() + 1);
    if digit || name.is_empty() {
        cleaned.push('_');
    }
    cleaned.extend(name.chars().map(|c| if good(c) { c } else { '_' }));
    Cow::Owned(cleaned)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "what is compared was never calculated")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = r#"
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400",} 3

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054 # {trace="a"} 0.04
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
# EOF
"#;

    #[test]
    fn reads_the_format_page() {
        let lines = parse(PAGE, 100).expect("a good page");
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0].at_millis, Some(1_395_066_363_000));
        assert!(lines[0].grows() && !lines[3].grows());
        assert_eq!(lines[2].labels[0].1, "C:\\DIR\\FILE.TXT");
        assert_eq!(lines[2].labels[1].1, "Cannot find file:\n\"FILE.TXT\"");
        assert!(lines[4].value.is_infinite());
        assert!(lines[5].is_bucket() && lines[6].grows());
    }

    #[test]
    fn names_the_bad_line() {
        for (page, line) in [
            ("a 1\nb\n", 2),
            ("a{b=1} 2", 1),
            ("a{b=\"1} 2", 1),
            ("1a 2", 1),
            ("a 1 2 3", 1),
            ("a x", 1),
            ("a{b=\"\\x\"} 1", 1),
        ] {
            assert_eq!(parse(page, 100).expect_err(page).line, line, "{page}");
        }
        assert_eq!(parse("a 1\nb 2", 1).expect_err("bounded").line, 2);
    }

    fn label() -> impl Strategy<Value = (String, String)> {
        ("[a-zA-Z_][a-zA-Z0-9_]{0,8}", any::<String>().prop_map(|s| s.replace(['\r', '\u{85}', '\u{2028}'], "")))
    }

    proptest! {
        /// Whatever arrives, the parser answers and keeps its bound.
        #[test]
        fn any_text_is_answered(page in any::<String>()) {
            if let Ok(lines) = parse(&page, 10) {
                prop_assert!(lines.len() <= 10);
            }
        }

        /// Text that looks like a page is answered too.
        #[test]
        fn mutilated_pages_are_answered(cut in 0usize..PAGE.len(), insert in "[ -~\n]{0,6}") {
            let mut page = PAGE.to_owned();
            if page.is_char_boundary(cut) {
                page.insert_str(cut, &insert);
                page.truncate(page.len() - cut / 7);
            }
            let _ = parse(&page, 100);
        }

        /// What is written is read back the same.
        #[test]
        fn round_trip(
            name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}",
            labels in prop::collection::vec(label(), 0..4),
            value in any::<f64>(),
        ) {
            let labels: Labels = labels.into_iter().collect();
            let page = render(&[Family { name: name.clone(), help: "x".to_owned(), kind: "gauge", values: vec![(labels.clone(), value)] }]);
            let lines = parse(&page, 10).expect("our own page");
            prop_assert_eq!(lines.len(), 1);
            prop_assert_eq!(lines[0].name, &name);
            let read: Labels = lines[0].labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            prop_assert_eq!(read, labels);
            prop_assert!(lines[0].value == value || value.is_nan() && lines[0].value.is_nan());
        }
    }
}
