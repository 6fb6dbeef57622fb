//! Searches: pages of lines, a histogram to brush, the values of a field. All walk the chunks newest first, in groups
//! that grow, and stop at their page, their deadline or the end.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    ops::Range,
    time::{Duration, Instant},
};

use duckdb::{Connection, Row, params_from_iter};

use super::{
    Cancel, SearchError, Store,
    catalogue::Candidate,
    query::{self, Predicate, Query},
    schema::{self, Column, FIELD, VALUE},
};
use crate::intake::names::{HOT, KNOWN};

/// Lines of a page at most.
const MOST_HITS: usize = 1_000;
/// Chunks of one statement at most: 16 × 65,536 lines.
const MOST_CHUNKS: usize = 16;
/// Bars of a histogram at most.
const MOST_BARS: i64 = 2_000;
/// Different values that are counted at most.
const MOST_VALUES: usize = 50_000;

/// The place of a line in the order of pages: newest first, of one time the last received first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its time, µs.
    pub time: i64,
    /// Its position.
    pub position: u64,
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct Search {
    /// The query.
    pub query: Query,
    /// Times, µs, the end excluded.
    pub times: Range<i64>,
    /// How long it may take.
    pub within: Duration,
    /// Ends it early.
    pub cancel: Cancel,
}

impl Search {
    /// Everything that a query's text asks for, in at most five seconds.
    pub fn new(text: &str) -> Result<Self, SearchError> {
        let query = query::parse(text)?;
        Ok(Self { query, times: i64::MIN..i64::MAX, within: Duration::from_secs(5), cancel: Cancel::default() })
    }
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Its place.
    pub key: Key,
    /// When it was received, µs.
    pub received: i64,
    /// Its message, if it has one.
    pub message: Option<String>,
    /// The bytes that arrived.
    pub original: Vec<u8>,
    /// Its fields, by name; a name may stand several times.
    pub fields: Vec<(String, String)>,
}

/// A page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Newest first.
    pub hits: Vec<Hit>,
    /// Where the next page goes on; `None` when there is none.
    pub next: Option<Key>,
    /// Everything of the asked time was looked at, or the page is full. Otherwise time ran out, and what is older than
    /// `reached` was not looked at.
    pub complete: bool,
    /// Nothing newer than this is missing, µs.
    pub reached: Option<i64>,
    /// Lines of the chunks that were read.
    pub read: u64,
    /// Lines of the chunks that sketches ruled out.
    pub ruled_out: u64,
}

/// A bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Its beginning, µs.
    pub at: i64,
    /// Lines.
    pub lines: u64,
}

/// How many lines match, over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Width of a bar, µs.
    pub step: i64,
    /// In the order of time; bars without lines are left out.
    pub bars: Vec<Bar>,
    /// Whether everything was counted; otherwise nothing is missing after `reached`.
    pub complete: bool,
    /// See `complete`, µs.
    pub reached: Option<i64>,
}

/// The values of a field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// Most frequent first.
    pub values: Vec<(String, u64)>,
    /// Lines that have the field.
    pub lines: u64,
    /// Whether everything was counted.
    pub complete: bool,
}

impl Store {
    /// The next `most` lines of a search, after the line `before` of the last page.
    pub fn page(&self, search: &Search, before: Option<Key>, most: usize) -> Result<Page, SearchError> {
        let most = most.clamp(1, MOST_HITS);
        let predicate = query::predicate(&search.query, self.inner.clock.now().0);
        let times = match before {
            Some(key) => search.times.start..search.times.end.min(key.time.saturating_add(1)),
            None => search.times.clone(),
        };
        let mut walk = Walk::new(self, search, &predicate, &times);
        let mut page = Page { complete: true, ruled_out: walk.ruled_out, ..Page::default() };
        let columns = hit_columns();
        self.read(&search.cancel, |connection| {
            understands(connection, &predicate)?;
            while let Some(group) = walk.next() {
                // Nothing in this group or after it can be newer than what is on the page.
                let latest = group.candidates[0].chunk.latest;
                if page.hits.len() == most && page.hits.last().is_some_and(|hit| hit.key.time > latest) {
                    walk.back(&group);
                    break;
                }
                let mut sql = format!("SELECT {columns} FROM \"{}\" WHERE {}", group.table, group.filter(&times));
                // Writing to a string cannot fail.
                let _ = write!(sql, " AND {}", predicate.sql);
                if let Some(Key { time, position }) = before {
                    let _ = write!(sql, " AND (time < {time} OR (time = {time} AND position < {position}))");
                }
                if page.hits.len() == most
                    && let Some(hit) = page.hits.last()
                {
                    let _ = write!(sql, " AND time >= {}", hit.key.time);
                }
                let _ = write!(sql, " ORDER BY time DESC, position DESC LIMIT {most}");
                let found = rows(connection, &sql, &predicate, hit);
                if walk.ended(&found) {
                    break;
                }
                page.hits.extend(found?);
                page.hits.sort_by_key(|hit| std::cmp::Reverse(hit.key));
                page.hits.truncate(most);
            }
            Ok(())
        })?;
        page.read = walk.read;
        if walk.cut_short {
            page.complete = false;
            page.reached = walk.reached;
            // Lines older than what was not looked at may have newer ones before them that are not known yet.
            let reached = walk.reached.unwrap_or(i64::MAX);
            page.hits.retain(|hit| hit.key.time > reached);
        }
        page.next = page.hits.last().map(|hit| hit.key).filter(|_| page.hits.len() == most);
        Ok(page)
    }

    /// How many lines match in each of about `bars` equal parts of the time asked for. Both ends of it must be given.
    pub fn histogram(&self, search: &Search, bars: i64) -> Result<Histogram, SearchError> {
        let width = search.times.end.saturating_sub(search.times.start).max(1);
        let step = (width / bars.clamp(1, MOST_BARS)).max(1_000);
        let predicate = query::predicate(&search.query, self.inner.clock.now().0);
        let mut walk = Walk::new(self, search, &predicate, &search.times);
        let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
        self.read(&search.cancel, |connection| {
            understands(connection, &predicate)?;
            while let Some(mut group) = walk.next() {
                // A chunk that lies in one bar need not be read when every line counts.
                group.candidates.retain(|c| {
                    let (first, last) = (c.chunk.earliest.div_euclid(step), c.chunk.latest.div_euclid(step));
                    let known = search.query == Query::All
                        && first == last
                        && c.chunk.earliest >= search.times.start
                        && c.chunk.latest < search.times.end;
                    if known {
                        *counts.entry(first * step).or_default() += c.chunk.lines;
                    }
                    !known
                });
                if group.candidates.is_empty() {
                    continue;
                }
                let sql = format!(
                    "SELECT time - ((time % {step}) + {step}) % {step} AS bar, count(*) FROM \"{}\" WHERE {} AND {} GROUP BY bar",
                    group.table,
                    group.filter(&search.times),
                    predicate.sql
                );
                let found = rows(connection, &sql, &predicate, |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)));
                if walk.ended(&found) {
                    break;
                }
                for (bar, lines) in found? {
                    *counts.entry(bar).or_default() += lines.unsigned_abs();
                }
            }
            Ok(())
        })?;
        let bars = counts.into_iter().map(|(at, lines)| Bar { at, lines }).collect();
        Ok(Histogram { step, bars, complete: !walk.cut_short, reached: walk.reached.filter(|_| walk.cut_short) })
    }

    /// The most frequent values of a field in the lines that match, and how often each occurs.
    pub fn values(&self, search: &Search, field: &str, most: usize) -> Result<Values, SearchError> {
        let predicate = query::predicate(&search.query, self.inner.clock.now().0);
        let (value, parameter) = match schema::column(field) {
            Some(Column::Text(column) | Column::Number(column) | Column::Time(column)) => {
                (format!("\"{column}\"::VARCHAR"), None)
            }
            None => {
                let pattern = format!("(?is)\\x1f{}\\x1e([^\\x1f]*)\\x1f", regex::escape(field));
                ("nullif(regexp_extract(rest, ?, 1), '')".to_owned(), Some(pattern))
            }
        };
        let mut walk = Walk::new(self, search, &predicate, &search.times);
        let with_field =
            Predicate { values: parameter.into_iter().chain(predicate.values.clone()).collect(), ..predicate.clone() };
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut answer = Values { complete: true, ..Values::default() };
        self.read(&search.cancel, |connection| {
            understands(connection, &predicate)?;
            while let Some(group) = walk.next() {
                let sql = format!(
                    "SELECT {value} AS v, count(*) FROM \"{}\" WHERE {} AND {} GROUP BY v HAVING v IS NOT NULL",
                    group.table,
                    group.filter(&search.times),
                    predicate.sql
                );
                let found =
                    rows(connection, &sql, &with_field, |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
                if walk.ended(&found) {
                    break;
                }
                for (value, lines) in found? {
                    answer.lines += lines.unsigned_abs();
                    if counts.len() < MOST_VALUES || counts.contains_key(&value) {
                        *counts.entry(value).or_default() += lines.unsigned_abs();
                    } else {
                        answer.complete = false;
                    }
                }
            }
            Ok(())
        })?;
        answer.complete &= !walk.cut_short;
        answer.values = counts.into_iter().collect();
        answer.values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        answer.values.truncate(most);
        Ok(answer)
    }

    /// As [`page`](Self::page), off the calling task's thread; ended at its deadline, or when the answer is no longer
    /// waited for.
    pub async fn page_async(&self, search: Search, before: Option<Key>, most: usize) -> Result<Page, SearchError> {
        let store = self.clone();
        off_thread(search, move |search| store.page(search, before, most)).await
    }

    /// As [`histogram`](Self::histogram), off the calling task's thread.
    pub async fn histogram_async(&self, search: Search, bars: i64) -> Result<Histogram, SearchError> {
        let store = self.clone();
        off_thread(search, move |search| store.histogram(search, bars)).await
    }

    /// As [`values`](Self::values), off the calling task's thread.
    pub async fn values_async(&self, search: Search, field: String, most: usize) -> Result<Values, SearchError> {
        let store = self.clone();
        off_thread(search, move |search| store.values(search, &field, most)).await
    }
}

async fn off_thread<T: Send + 'static>(
    search: Search,
    f: impl FnOnce(&Search) -> Result<T, SearchError> + Send + 'static,
) -> Result<T, SearchError> {
    struct Ends(Cancel);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let ends = Ends(search.cancel.clone());
    let within = search.within;
    let mut running = tokio::task::spawn_blocking(move || f(&search));
    let ran = match tokio::time::timeout(within, &mut running).await {
        Ok(ran) => ran,
        Err(_) => {
            ends.0.cancel();
            running.await
        }
    };
    ran.map_err(|_| SearchError::Closed)?
}

/// Chunks that one statement reads.
struct Group {
    table: String,
    candidates: Vec<Candidate>,
}

impl Group {
    /// The lines of its chunks within these times. The outer bounds are what DuckDB's zone maps see.
    fn filter(&self, times: &Range<i64>) -> String {
        let mut runs: Vec<(u64, u64)> = self.candidates.iter().map(|c| (c.chunk.first, c.chunk.last)).collect();
        runs.sort_unstable();
        let first = runs.first().map_or(0, |r| r.0);
        let last = runs.last().map_or(0, |r| r.1);
        let mut sql = format!("position BETWEEN {first} AND {last}");
        if runs.len() > 1 {
            let parts: Vec<_> = runs.iter().map(|(a, b)| format!("position BETWEEN {a} AND {b}")).collect();
            let _ = write!(sql, " AND ({})", parts.join(" OR "));
        }
        let (earliest, latest) = self
            .candidates
            .iter()
            .fold((i64::MAX, i64::MIN), |(e, l), c| (e.min(c.chunk.earliest), l.max(c.chunk.latest)));
        if times.start > earliest {
            let _ = write!(sql, " AND time >= {}", times.start);
        }
        if times.end <= latest {
            let _ = write!(sql, " AND time < {}", times.end);
        }
        sql
    }
}

/// The way through the chunks, newest first.
struct Walk<'a> {
    candidates: std::vec::IntoIter<Candidate>,
    size: usize,
    ends: Instant,
    cancel: &'a Cancel,
    read: u64,
    ruled_out: u64,
    /// The latest time of what was not looked at.
    reached: Option<i64>,
    cut_short: bool,
}

impl<'a> Walk<'a> {
    fn new(store: &Store, search: &'a Search, predicate: &Predicate, times: &Range<i64>) -> Self {
        let (candidates, ruled_out) = store.inner.view().candidates(times, &predicate.needs);
        Self {
            candidates: candidates.into_iter(),
            size: 1,
            ends: Instant::now() + search.within,
            cancel: &search.cancel,
            read: 0,
            ruled_out,
            reached: None,
            cut_short: false,
        }
    }

    /// The next chunks of one partition; `None` at the end, or when time is up.
    fn next(&mut self) -> Option<Group> {
        let upcoming = self.candidates.as_slice();
        let first = upcoming.first()?;
        self.reached = Some(first.chunk.latest);
        if self.cancel.is_cancelled() || Instant::now() >= self.ends {
            self.cut_short = true;
            return None;
        }
        let count = upcoming.iter().take(self.size).take_while(|c| c.partition == first.partition).count();
        self.size = (self.size * 2).min(MOST_CHUNKS);
        let candidates: Vec<_> = self.candidates.by_ref().take(count).collect();
        self.read += candidates.iter().map(|c| c.chunk.lines).sum::<u64>();
        Some(Group { table: candidates[0].partition.table(), candidates })
    }

    /// A group was not read after all.
    fn back(&mut self, group: &Group) {
        self.read -= group.candidates.iter().map(|c| c.chunk.lines).sum::<u64>();
    }

    /// Whether a statement was ended by the deadline or by the caller.
    fn ended<T>(&mut self, found: &Result<T, SearchError>) -> bool {
        let ended = found.is_err() && (self.cancel.is_cancelled() || Instant::now() >= self.ends);
        self.cut_short |= ended;
        ended
    }
}

/// RE2 leaves out some of what the parser's library allows: such an expression is the query's fault, not a failure.
fn understands(connection: &Connection, predicate: &Predicate) -> Result<(), SearchError> {
    for regex in &predicate.regexes {
        let tried = connection.query_row("SELECT regexp_matches('', ?)", [regex], |row| row.get::<_, bool>(0));
        if let Err(error) = tried {
            let problem = format!("the regular expression /{regex}/ is not understood: {error}");
            return Err(super::QueryError { at: 1, problem }.into());
        }
    }
    Ok(())
}

pub(super) fn rows<T>(
    connection: &Connection,
    sql: &str,
    predicate: &Predicate,
    read: fn(&Row<'_>) -> duckdb::Result<T>,
) -> Result<Vec<T>, SearchError> {
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params_from_iter(&predicate.values), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn hit_columns() -> String {
    let mut columns =
        "time, position, received, message, head, tail, raw, source, product, category, service, rest".to_owned();
    for name in &KNOWN[..HOT] {
        let _ = write!(columns, ", \"{name}\"::VARCHAR");
    }
    columns
}

pub(super) fn hit(row: &Row<'_>) -> duckdb::Result<Hit> {
    let message: Option<String> = row.get(3)?;
    let (head, tail): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
    let raw: Option<Vec<u8>> = row.get(6)?;
    let original = raw.unwrap_or_else(|| {
        let mut text = head.unwrap_or_default();
        if let Some(tail) = tail {
            text.push_str(message.as_deref().unwrap_or_default());
            text.push_str(&tail);
        }
        text.into_bytes()
    });
    let mut fields = Vec::new();
    for (name, place) in
        [("log.source.address", 7), ("logsource.product", 8), ("logsource.category", 9), ("logsource.service", 10)]
    {
        fields.extend(row.get::<_, Option<String>>(place)?.map(|value| (name.to_owned(), value)));
    }
    for (place, name) in KNOWN[..HOT].iter().enumerate() {
        fields.extend(row.get::<_, Option<String>>(12 + place)?.map(|value| ((*name).to_owned(), value)));
    }
    let rest: Option<String> = row.get(11)?;
    let pairs = rest.iter().flat_map(|rest| rest.split(FIELD)).filter_map(|pair| pair.split_once(VALUE));
    fields.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(Hit { key: Key { time: row.get(0)?, position: row.get(1)? }, received: row.get(2)?, message, original, fields })
}
