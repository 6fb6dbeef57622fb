//! The verbs `radar check` and `radar match`, which need no box, and `radar search`.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use rsigma_parser::Level;
use sent_contract::radar::Found;
use serde::Serialize;

use crate::correlation::{self, Correlations, Firing};
use crate::events::{self, FileError};
use crate::matcher::{RuleSet, Scratch};
use crate::rules::{self, LoadError};
use crate::source::Routing;

/// What can be asked of it.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Names what is wrong with Sigma rules, with file and line.
    Check(CheckArgs),
    /// Asks Sigma rules of events: a JSON line for each match.
    Match(MatchArgs),
    /// Searches the logs of a box, whether or not it runs.
    Search(SearchArgs),
}

/// What to look for.
#[derive(Clone, Debug, Args)]
pub struct SearchArgs {
    /// What to look for: words, "a phrase", field:value, field:[1 TO 9], /expression/, AND, OR, NOT; nothing: every line.
    #[arg(default_value = "")]
    pub query: String,
    /// Since when: a time (2026-11-23T12:00:00Z), or how long ago (30m, 12h, 7d).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Until when, excluded.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Lines at most, the newest.
    #[arg(long, default_value_t = 100)]
    pub most: usize,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

impl SearchArgs {
    /// The times asked for, µs.
    ///
    /// # Errors
    /// Where a text is no time.
    pub fn times(&self, now: i64) -> Result<(Option<i64>, Option<i64>), VerbError> {
        let read = |text: &Option<String>| text.as_deref().map(|text| moment(text, now)).transpose();
        Ok((read(&self.from)?, read(&self.to)?))
    }

    /// Writes what was found, the oldest first, as a log reads.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn show(&self, found: &Found, out: &mut impl Write, notes: &mut impl Write) -> Result<(), VerbError> {
        for hit in found.items.iter().rev() {
            if self.json {
                serde_json::to_writer(&mut *out, hit).map_err(std::io::Error::from)?;
                out.write_all(b"\n")?;
            } else {
                let at = jiff::Timestamp::from_microsecond(hit.at).unwrap_or_default();
                writeln!(out, "{at}  {}", hit.original)?;
            }
        }
        out.flush()?;
        if !found.complete {
            writeln!(notes, "time ran out before all lines were looked at: narrow the time or the query")?;
        } else if found.next.is_some() {
            writeln!(notes, "there are more lines: ask for more with --most, or end with --to")?;
        }
        Ok(())
    }
}

/// A time, or how long ago it was.
fn moment(text: &str, now: i64) -> Result<i64, VerbError> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let ago = units.iter().find_map(|(unit, seconds)| {
        let count: i64 = text.strip_suffix(*unit)?.parse().ok()?;
        count.checked_mul(*seconds)?.checked_mul(1_000_000)
    });
    match (ago, text.parse::<jiff::Timestamp>()) {
        (Some(ago), _) => Ok(now.saturating_sub(ago)),
        (None, Ok(time)) => Ok(time.as_microsecond()),
        (None, Err(_)) => Err(VerbError::Time(text.to_owned())),
    }
}

/// What to check.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Rule files, and folders of them.
    #[arg(required = true)]
    pub rules: Vec<PathBuf>,
    /// Processing pipelines, in pySigma's format.
    #[arg(long, value_name = "FILE")]
    pub pipeline: Vec<PathBuf>,
}

/// What to ask of what.
#[derive(Clone, Debug, Args)]
pub struct MatchArgs {
    /// Rule files, and folders of them.
    #[arg(long, required = true, value_name = "DIR")]
    pub rules: Vec<PathBuf>,
    /// Processing pipelines, in pySigma's format.
    #[arg(long, value_name = "FILE")]
    pub pipeline: Vec<PathBuf>,
    /// How an event's log source is found.
    #[arg(long, value_enum, default_value_t = RoutingName::Channel)]
    pub routing: RoutingName,
    /// Files of events: JSON lines, one JSON document, EVTX, or lines of text.
    #[arg(required = true)]
    pub events: Vec<PathBuf>,
}

/// How an event's log source is found.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoutingName {
    /// Every rule is asked.
    None,
    /// By channel and id of a Windows event.
    Channel,
    /// By the event's fields `product`, `category` and `service`.
    Fields,
}

/// Does what is asked: findings go to `out`, what is odd and what was counted to `notes`. Answers whether all is well:
/// every rule runs, every event was read.
///
/// # Errors
/// See [`check`] and [`matches`].
pub fn run(command: &Command, out: &mut impl Write, notes: &mut impl Write) -> Result<bool, VerbError> {
    match command {
        Command::Check(args) => {
            let found = check(&args.rules, &args.pipeline, out)?;
            out.flush()?;
            writeln!(notes, "{} rules run, {} are broken, {} warnings", found.rules, found.broken, found.warnings)?;
            Ok(found.broken == 0)
        }
        Command::Match(args) => {
            let routing = match args.routing {
                RoutingName::None => Routing::None,
                RoutingName::Channel => Routing::Channel,
                RoutingName::Fields => Routing::Fields,
            };
            let done = matches(&args.rules, &args.pipeline, &args.events, routing, out, notes)?;
            writeln!(notes, "{} events, {} unreadable, {} matches", done.events, done.unreadable, done.matches)?;
            Ok(done.unreadable == 0)
        }
        Command::Search(_) => Err(VerbError::NeedsBox),
    }
}

/// Why a verb ended early.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// Rules or pipelines could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A file of events could not be read.
    #[error(transparent)]
    Events(#[from] FileError),
    /// A text is no time.
    #[error("{0:?} is no time: write 2026-11-23T12:00:00Z, or how long ago, as in 30m, 12h, 7d")]
    Time(String),
    /// There is nothing to search in.
    #[error("a search needs the data folder of a box")]
    NeedsBox,
    /// What was found could not be written.
    #[error("output: {0}")]
    Output(#[from] std::io::Error),
}

/// What `check` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Rules that run.
    pub rules: usize,
    /// Rules that do not.
    pub broken: usize,
    /// What is odd about rules that run.
    pub warnings: usize,
}

/// `radar check RULES…`: writes a line `FILE:LINE: RULE: MESSAGE` for each thing that is wrong.
///
/// # Errors
/// Where a path cannot be read.
pub fn check(paths: &[PathBuf], pipelines: &[PathBuf], out: &mut impl Write) -> Result<Checked, VerbError> {
    let mut loaded = rules::load(paths, &rules::pipelines(pipelines)?)?;
    Correlations::new(&loaded.correlations, &loaded.rules, &mut loaded.faults);
    for fault in &loaded.faults {
        writeln!(out, "{fault}")?;
    }
    let warnings = loaded.faults.iter().filter(|fault| fault.runs).count();
    let rules = loaded.rules.rules().len() + loaded.correlations.len();
    Ok(Checked { rules, broken: loaded.faults.len() - warnings, warnings })
}

/// What `match` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Matched {
    /// Events that were read.
    pub events: u64,
    /// Events that could not be.
    pub unreadable: u64,
    /// Matches that were written.
    pub matches: u64,
}

/// A match, as it is written.
#[derive(Debug, Serialize)]
struct Line<'a> {
    rule_id: &'a str,
    title: &'a str,
    level: Option<&'a str>,
    author: Option<&'a str>,
    event: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
}

/// `radar match --rules DIR [--pipeline FILE] EVENTS…`: writes a JSON object for each rule that matches an event, with
/// the event's number (from 0 in its file; where there are several files, the file too). Faults go to `notes`.
///
/// # Errors
/// Where rules or a file of events cannot be read, or the output cannot be written.
pub fn matches(
    paths: &[PathBuf],
    pipelines: &[PathBuf],
    events: &[PathBuf],
    routing: Routing,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<Matched, VerbError> {
    let mut loaded = rules::load(paths, &rules::pipelines(pipelines)?)?;
    let mut correlations = Correlations::new(&loaded.correlations, &loaded.rules, &mut loaded.faults);
    for fault in &loaded.faults {
        writeln!(notes, "{fault}")?;
    }
    let mut scratch = Scratch::default();
    let mut done = Matched::default();
    for path in events {
        let shown = path.to_string_lossy();
        let file = (events.len() > 1).then_some(&*shown);
        let mut failed = None;
        events::each(path, |number, event| {
            done.events += 1;
            let found = event.and_then(|event| {
                let found =
                    loaded.rules.matches_any(event, routing, &mut scratch).map_err(|error| error.to_string())?;
                Ok((event, found))
            });
            let written = match found {
                Ok((event, found)) => {
                    let mut report = |line: Line<'_>| -> std::io::Result<()> {
                        done.matches += 1;
                        serde_json::to_writer(&mut *out, &line)?;
                        out.write_all(b"\n")
                    };
                    let own = found.iter().filter(|rule| !correlations.silences(**rule)).try_for_each(|&rule| {
                        let rule = &loaded.rules.rules()[rule as usize];
                        let author = rule.author.as_deref();
                        report(Line {
                            rule_id: &rule.id,
                            title: &rule.title,
                            level: name(rule.level),
                            author,
                            event: number,
                            file,
                        })
                    });
                    own.and_then(|()| {
                        correlate(&mut correlations, &loaded.rules, found, event).into_iter().try_for_each(|firing| {
                            let level = name(firing.level);
                            report(Line {
                                rule_id: &firing.rule_id,
                                title: &firing.title,
                                level,
                                author: None,
                                event: number,
                                file,
                            })
                        })
                    })
                }
                Err(message) => {
                    done.unreadable += 1;
                    writeln!(notes, "{shown}: event {number}: {message}")
                }
            };
            if let Err(error) = written {
                failed.get_or_insert(error);
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
    }
    out.flush()?;
    Ok(done)
}

fn name(level: Option<Level>) -> Option<&'static str> {
    level.map(|level| level.as_str())
}

/// The correlations that an event's matches make come true, at the time that the event tells.
fn correlate(correlations: &mut Correlations, set: &RuleSet, found: &[u32], event: &[u8]) -> Vec<Firing> {
    if !found.iter().any(|rule| correlations.concerns(*rule)) {
        return Vec::new();
    }
    let Ok(event) = serde_json::from_slice(event) else { return Vec::new() };
    match correlation::time(&event) {
        Some(at) => correlations.take(set, found, &event, at),
        None => Vec::new(),
    }
}
