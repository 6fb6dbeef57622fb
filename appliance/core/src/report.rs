//! What an engine says about a time, so that one report is made of all of them.
//!
//! A section is data (words, figures, bars, curves, tables) and never markup: how it looks is the business of whoever draws
//! it. It travels as JSON, because an engine may run in a process of its own. A section is bounded ([`Section::bounded`]), so
//! that a bad week is told in as many pages as a good one.

use sent_contract::Level;
use serde::{Deserialize, Serialize};

use crate::{Scope, Timestamp, engine::BoxFuture};

/// Rows of a table, bars of a chart.
pub const MOST_ROWS: usize = 20;
/// Blocks of a section.
pub const MOST_BLOCKS: usize = 12;
/// Figures of a row, curves of a chart.
pub const MOST_FIGURES: usize = 6;
/// Points of a curve.
pub const MOST_POINTS: usize = 400;
/// Characters of a text.
pub const MOST_TEXT: usize = 600;

/// The time a report is about: from the first moment up to, and without, the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// First moment.
    pub from: Timestamp,
    /// The moment after the last.
    pub to: Timestamp,
}

impl Period {
    /// The time of the same length before this one, to compare with.
    pub fn before(self) -> Self {
        let length = self.to.0.saturating_sub(self.from.0);
        Self { from: Timestamp(self.from.0.saturating_sub(length)), to: self.from }
    }
}

/// What one engine says about one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Headline: what it is about, in the reader's words.
    pub title: String,
    /// Where it stands among the sections: low comes first. Alarms 100, devices 200, certificates 300, traffic 400,
    /// availability 500.
    pub place: u16,
    /// One sentence for the first page: what the reader must know if nothing else.
    pub summary: Option<Finding>,
    /// What is told, in order.
    pub blocks: Vec<Block>,
}

/// A sentence, and how bad it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub level: Level,
    /// The sentence.
    pub text: String,
}

/// One thing in a section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Block {
    /// A paragraph.
    Text {
        /// Its words.
        text: String,
    },
    /// Headline numbers, side by side.
    Figures {
        /// From the left.
        figures: Vec<Figure>,
    },
    /// Bars, the longest first or in the order of time.
    Bars {
        /// What is counted.
        title: String,
        /// Unit as in pulse's series: `count`, `bytes`, `ratio`, `seconds` …
        unit: String,
        /// From the top.
        bars: Vec<Bar>,
    },
    /// Curves over the period.
    Curves {
        /// What is measured.
        title: String,
        /// Unit.
        unit: String,
        /// Each by name.
        curves: Vec<Curve>,
    },
    /// A table.
    Table {
        /// What is listed.
        title: String,
        /// Heads; a column of numbers stands to the right.
        columns: Vec<Column>,
        /// Rows, each with as many cells as there are columns.
        rows: Vec<Vec<String>>,
        /// Rows that are left out.
        more: u64,
        /// What is said where there is no row.
        empty: String,
    },
}

/// A headline number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub label: String,
    /// As it is read: `99.98 %`, `14`, `3.2 GB`.
    pub value: String,
    /// The time before: `12 the week before`.
    pub note: Option<String>,
    /// How bad; [`Level::Unknown`] is a plain number.
    pub level: Level,
}

/// A bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// How long.
    pub value: f64,
    /// How bad; [`Level::Unknown`] is a plain bar.
    pub level: Level,
}

/// A curve: points in the order of time, `None` where nothing is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Its name.
    pub name: String,
    /// Time (µs since 1970, UTC) and value.
    pub points: Vec<(i64, Option<f64>)>,
}

/// Head of a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its words.
    pub title: String,
    /// Whether its cells are numbers.
    pub number: bool,
}

impl Column {
    /// A column of words.
    pub fn words(title: &str) -> Self {
        Self { title: title.to_owned(), number: false }
    }

    /// A column of numbers.
    pub fn numbers(title: &str) -> Self {
        Self { title: title.to_owned(), number: true }
    }
}

/// What an engine answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Which engine.
    pub engine: &'static str,
    /// Its section, or why there is none although it has something to say.
    pub section: Result<Section, String>,
}

/// Everybody on the box who can be asked, wherever they run.
pub trait Sources: Send + Sync {
    /// Asks all of them at once; an engine may have several sections. Whoever has nothing to say is left out; whoever does
    /// not answer in time is an error.
    fn ask(&self, scope: &Scope, period: Period) -> BoxFuture<Vec<Told>>;
}

/// Nobody to ask: what a worker is handed, since the others are not in its process.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Sources for Nobody {
    fn ask(&self, _scope: &Scope, _period: Period) -> BoxFuture<Vec<Told>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

impl Section {
    /// The section within its bounds: what is too much is left out and counted where there is a place for it.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        cut(&mut self.title);
        if let Some(finding) = &mut self.summary {
            cut(&mut finding.text);
        }
        self.blocks.truncate(MOST_BLOCKS);
        self.blocks.iter_mut().for_each(Block::bound);
        self
    }
}

impl Block {
    fn bound(&mut self) {
        match self {
            Self::Text { text } => cut(text),
            Self::Figures { figures } => {
                figures.truncate(MOST_FIGURES);
                for figure in figures {
                    cut(&mut figure.label);
                    cut(&mut figure.value);
                    figure.note.as_mut().into_iter().for_each(cut);
                }
            }
            Self::Bars { title, unit, bars } => {
                cut(title);
                cut(unit);
                bars.truncate(MOST_ROWS);
                for bar in bars {
                    cut(&mut bar.label);
                    bar.value = if bar.value.is_finite() { bar.value.max(0.0) } else { 0.0 };
                }
            }
            Self::Curves { title, unit, curves } => {
                cut(title);
                cut(unit);
                curves.truncate(MOST_FIGURES);
                for curve in curves {
                    cut(&mut curve.name);
                    let step = curve.points.len().div_ceil(MOST_POINTS).max(1);
                    curve.points = curve.points.iter().step_by(step).copied().collect();
                    for (_, value) in &mut curve.points {
                        *value = value.filter(|v| v.is_finite());
                    }
                }
            }
            Self::Table { title, columns, rows, more, empty } => {
                cut(title);
                cut(empty);
                columns.truncate(MOST_FIGURES);
                columns.iter_mut().for_each(|column| cut(&mut column.title));
                *more += rows.len().saturating_sub(MOST_ROWS) as u64;
                rows.truncate(MOST_ROWS);
                for row in rows {
                    row.resize(columns.len(), String::new());
                    row.iter_mut().for_each(cut);
                }
            }
        }
    }
}

/// Cuts a text at a character, and says that there was more.
fn cut(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(MOST_TEXT) {
        text.truncate(at);
        text.push('…');
    }
}

/// A number of bytes as people read it, in powers of a thousand: `3.2 GB`.
pub fn bytes(count: f64) -> String {
    scaled(count, 1_000.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while value.abs() >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value.abs() < 100.0);
    format!("{value:.digits$} {}", units[unit])
}

/// A share as people read it. What is not all never reads as 100 %: `99.98 %`.
pub fn percent(share: f64) -> String {
    if share >= 1.0 {
        return "100 %".to_owned();
    }
    let floored = (share.max(0.0) * 10_000.0).floor() / 100.0;
    format!("{floored:.2} %")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_time_before_is_as_long() {
        let week = Period { from: Timestamp(700), to: Timestamp(1_400) };
        assert_eq!(week.before(), Period { from: Timestamp(0), to: Timestamp(700) });
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([bytes(0.0), bytes(999.0), bytes(3_240_000_000.0)], ["0 B", "999 B", "3.2 GB"]);
        assert_eq!(
            [percent(1.0), percent(0.999_999), percent(0.5), percent(-1.0)],
            ["100 %", "99.99 %", "50.00 %", "0.00 %"]
        );
    }

    #[test]
    fn what_a_table_leaves_out_is_counted() {
        let rows = (0..50).map(|n| vec![n.to_string(), "x".repeat(2_000), "too much".to_owned()]).collect();
        let columns = vec![Column::numbers("No"), Column::words("What")];
        let table = Block::Table { title: "All".to_owned(), columns, rows, more: 3, empty: "none".to_owned() };
        let section = Section { title: "T".to_owned(), place: 1, summary: None, blocks: vec![table] }.bounded();
        let Block::Table { rows, more, .. } = &section.blocks[0] else { panic!("a table stays one") };
        assert_eq!((rows.len(), *more, rows[0].len()), (MOST_ROWS, 33, 2));
        assert_eq!(rows[0][1].chars().count(), MOST_TEXT + 1);
        assert_eq!(section.clone().bounded(), section, "once is enough");
    }

    proptest! {
        #[test]
        fn a_bounded_curve_is_finite_and_short(points in prop::collection::vec((0i64..1_000_000, prop::option::of(any::<f64>())), 0..3_000)) {
            let curves = vec![Curve { name: "c".to_owned(), points }];
            let block = Block::Curves { title: String::new(), unit: "ratio".to_owned(), curves };
            let section = Section { title: String::new(), place: 1, summary: None, blocks: vec![block] }.bounded();
            let Block::Curves { curves, .. } = &section.blocks[0] else { panic!("curves stay curves") };
            prop_assert!(curves[0].points.len() <= MOST_POINTS);
            prop_assert!(curves[0].points.iter().all(|(_, v)| v.is_none_or(f64::is_finite)));
            // JSON has no other numbers, so it reads back as it was written.
            let text = serde_json::to_string(&section).unwrap();
            prop_assert_eq!(serde_json::from_str::<Section>(&text).unwrap().blocks.len(), 1);
        }
    }
}
