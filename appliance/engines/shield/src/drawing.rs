//! From what engines say to what stands on a page: places between 0 and 1, labels, and colours by number.
//!
//! The page's template only puts things where they are told to be; all that can be wrong about a scale is here, where it can
//! be tested. Every place is finite and between 0 and 1, whatever an engine sends.

use jiff::tz::TimeZone;
use sent_contract::Level;
use sent_core::{
    Timestamp,
    report::{Bar, Block, Column, Curve, Figure, Finding, Period, Section, Told, bytes, percent},
};
use serde::Serialize;

/// Marks on the upright axis.
const MARKS: f64 = 4.0;
/// µs.
const DAY: i64 = 86_400_000_000;

/// The whole report, as the template reads it.
#[derive(Debug, Serialize)]
pub struct Page {
    /// Headline.
    pub title: String,
    /// Whose branch.
    pub organization: String,
    /// Which branch.
    pub branch: String,
    /// Who sends it.
    pub sender: String,
    /// `#rrggbb`
    pub accent: String,
    /// `2 – 8 November 2026`
    pub period: String,
    /// The zone of all times, by name.
    pub zone: String,
    /// When it was made.
    pub made: String,
    /// The file of the logo, or none.
    pub logo: Option<String>,
    /// Last words.
    pub closing: String,
    /// The sentences of the first page, the worst first.
    pub findings: Vec<Finding>,
    /// Engines that did not answer.
    pub missing: Vec<String>,
    /// The sections.
    pub sections: Vec<Part>,
}

/// A section.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Headline.
    pub title: String,
    /// In order.
    pub blocks: Vec<Drawn>,
}

/// One thing on the page.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Drawn {
    /// A paragraph.
    Text {
        /// Its words.
        text: String,
    },
    /// Headline numbers.
    Figures {
        /// From the left.
        figures: Vec<Figure>,
    },
    /// Bars.
    Bars {
        /// What is counted.
        title: String,
        /// From the top.
        bars: Vec<Length>,
    },
    /// Curves.
    Curves {
        /// What is measured.
        title: String,
        /// Marks of the upright axis.
        up: Vec<Mark>,
        /// Marks of the time.
        along: Vec<Mark>,
        /// Each with its runs.
        curves: Vec<Line>,
    },
    /// A table.
    Table {
        /// What is listed.
        title: String,
        /// Heads.
        columns: Vec<Column>,
        /// Rows.
        rows: Vec<Vec<String>>,
        /// What stands below: how many are left out, or that there are none.
        note: Option<String>,
    },
}

/// A bar.
#[derive(Debug, Serialize)]
pub struct Length {
    /// Its name.
    pub label: String,
    /// Its value as it is read.
    pub text: String,
    /// Part of the longest.
    pub share: f64,
    /// How bad.
    pub level: Level,
}

/// A mark on an axis.
#[derive(Debug, PartialEq, Serialize)]
pub struct Mark {
    /// Where: 0 is the left or the bottom.
    pub at: f64,
    /// What it says.
    pub label: String,
}

/// A curve in pieces: where nothing is known there is no line.
#[derive(Debug, PartialEq, Serialize)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Runs of places.
    pub runs: Vec<Vec<(f64, f64)>>,
}

/// Splits what was told into sections, in order, and what is missing.
pub fn arrange(told: Vec<Told>) -> (Vec<Section>, Vec<String>) {
    let (mut sections, mut missing) = (Vec::new(), Vec::new());
    for one in told {
        match one.section {
            Ok(section) => sections.push(section.bounded()),
            Err(why) => missing.push(format!("{}: {why}", one.engine)),
        }
    }
    sections.sort_by(|a, b| a.place.cmp(&b.place).then_with(|| a.title.cmp(&b.title)));
    (sections, missing)
}

/// The sentences of the first page: the worst first, and among equals in the order of the sections.
pub fn findings(sections: &[Section]) -> Vec<Finding> {
    let weight = |level: Level| match level {
        Level::Bad => 0,
        Level::Warn => 1,
        Level::Ok => 2,
        Level::Unknown => 3,
    };
    let mut found: Vec<Finding> = sections.iter().filter_map(|section| section.summary.clone()).collect();
    found.sort_by_key(|finding| weight(finding.level));
    found
}

/// A section as it is drawn.
pub fn part(section: Section, period: Period, zone: &TimeZone) -> Part {
    let blocks = section.blocks.into_iter().map(|block| drawn(block, period, zone)).collect();
    Part { title: section.title, blocks }
}

fn drawn(block: Block, period: Period, zone: &TimeZone) -> Drawn {
    match block {
        Block::Text { text } => Drawn::Text { text },
        Block::Figures { figures } => Drawn::Figures { figures },
        Block::Bars { title, unit, bars } => Drawn::Bars { title, bars: lengths(bars, &unit) },
        Block::Curves { title, unit, curves } => {
            let most = curves.iter().flat_map(|c| &c.points).filter_map(|(_, v)| *v).fold(0.0, f64::max);
            let scale = Scale::over(most, &unit);
            Drawn::Curves {
                title,
                up: scale.marks(&unit),
                along: if period.to.0 - period.from.0 < 2 * DAY { hours(period, zone) } else { days(period, zone) },
                curves: curves.into_iter().map(|curve| line(curve, period, &scale)).collect(),
            }
        }
        Block::Table { title, columns, rows, more, empty } => {
            let note = match (rows.is_empty(), more) {
                (true, _) => Some(empty).filter(|text| !text.is_empty()),
                (false, 0) => None,
                (false, 1) => Some("and one more".to_owned()),
                (false, more) => Some(format!("and {more} more")),
            };
            Drawn::Table { title, columns, rows, note }
        }
    }
}

fn lengths(bars: Vec<Bar>, unit: &str) -> Vec<Length> {
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let share = |value: f64| if most > 0.0 { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    let length = |bar: Bar| Length {
        text: measure(bar.value, unit),
        share: share(bar.value),
        label: bar.label,
        level: bar.level,
    };
    bars.into_iter().map(length).collect()
}

/// A value as people read it.
pub fn measure(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => percent(value).replace(".00", ""),
        "bytes" => bytes(value),
        "bytes/s" => format!("{}/s", bytes(value)),
        "" | "count" => plain(value),
        unit => format!("{} {unit}", plain(value)),
    }
}

/// A number without zeros that say nothing, with thousands apart.
fn plain(value: f64) -> String {
    let text = if value.abs() >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") };
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

/// An upright axis from nothing to a round number that nothing is above.
#[derive(Debug)]
struct Scale {
    step: f64,
    top: f64,
}

impl Scale {
    fn over(most: f64, unit: &str) -> Self {
        // A share of the whole is always drawn against the whole.
        let most = if unit == "ratio" { most.max(1.0) } else { most };
        if !(most.is_finite() && most > 0.0) {
            return Self { step: 1.0 / MARKS, top: 1.0 };
        }
        let rough = most / MARKS;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= rough * 0.999_999);
        let step = step.unwrap_or(10.0 * power);
        let top = step * (most / step * 0.999_999).ceil().max(1.0);
        if step.is_normal() && top.is_normal() { Self { step, top } } else { Self { step: 1.0 / MARKS, top: 1.0 } }
    }

    fn marks(&self, unit: &str) -> Vec<Mark> {
        let count = (self.top / self.step).round().clamp(1.0, 2.0 * MARKS) as u32;
        (0..=count)
            .map(|n| Mark {
                at: f64::from(n) / f64::from(count),
                label: measure(self.top * f64::from(n) / f64::from(count), unit),
            })
            .collect()
    }

    fn at(&self, value: f64) -> f64 {
        (value / self.top).clamp(0.0, 1.0)
    }
}

fn line(curve: Curve, period: Period, scale: &Scale) -> Line {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for (at, value) in curve.points {
        match value.filter(|v| v.is_finite()) {
            Some(value) => {
                if let (Some(x), Some(run)) = (along(at, period), runs.last_mut()) {
                    run.push((x, scale.at(value)));
                }
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    Line { name: curve.name, runs }
}

/// A time's place in the period; none outside of it.
fn along(at: i64, period: Period) -> Option<f64> {
    let length = period.to.0.checked_sub(period.from.0).filter(|length| *length > 0)?;
    let place = at.checked_sub(period.from.0)? as f64 / length as f64;
    (0.0..=1.0).contains(&place).then_some(place)
}

/// Midnights in the period; of a long one every so many, so that their labels have room.
fn days(period: Period, zone: &TimeZone) -> Vec<Mark> {
    let zoned = |at: i64| jiff::Timestamp::from_microsecond(at).ok().map(|t| t.to_zoned_datetime(zone.clone()));
    let Some(first) = zoned(period.from.0) else { return Vec::new() };
    let every = usize::try_from((period.to.0 - period.from.0) / DAY / 10).unwrap_or(0).max(1);
    let midnights = first.date().series(jiff::Span::new().days(1)).map_while(|date| {
        let at = zone.to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight())).compatible().ok()?;
        (at.as_microsecond() < period.to.0).then_some((date, at.as_microsecond()))
    });
    midnights
        .filter_map(|(date, at)| along(at, period).map(|place| (date, place)))
        .step_by(every)
        .map(|(date, place)| Mark { at: place, label: date.strftime("%a %-d").to_string() })
        .collect()
}

/// Marks of a time shorter than two days: the shortest of some steps that leaves their labels room.
fn hours(period: Period, zone: &TimeZone) -> Vec<Mark> {
    const MINUTE: i64 = 60_000_000;
    const STEPS: [i64; 8] = [1, 5, 10, 30, 60, 120, 180, 360];
    let length = period.to.0.saturating_sub(period.from.0);
    let step = STEPS.into_iter().map(|step| step * MINUTE).find(|step| length / step <= 8).unwrap_or(DAY);
    let first = period.from.0.div_euclid(step).saturating_add(1).saturating_mul(step);
    let times =
        std::iter::successors(Some(first), |at| at.checked_add(step)).take_while(|at| *at < period.to.0).take(10);
    times
        .filter_map(|at| {
            let label = jiff::Timestamp::from_microsecond(at)
                .ok()?
                .to_zoned_datetime(zone.clone())
                .strftime("%H:%M")
                .to_string();
            Some(Mark { at: along(at, period)?, label })
        })
        .collect()
}

/// `2 – 8 November 2026`: the first and the last day, in a zone.
pub fn dates(period: Period, zone: &TimeZone) -> String {
    let day = |at: Timestamp| {
        jiff::Timestamp::from_microsecond(at.0).map(|t| t.to_zoned_datetime(zone.clone()).date()).unwrap_or_default()
    };
    let (first, last) = (day(period.from), day(Timestamp(period.to.0.saturating_sub(1))));
    let whole = |date: jiff::civil::Date| date.strftime("%-d %B %Y").to_string();
    if first == last {
        whole(first)
    } else if (first.year(), first.month()) == (last.year(), last.month()) {
        format!("{} – {}", first.day(), whole(last))
    } else if first.year() == last.year() {
        format!("{} – {}", first.strftime("%-d %B"), whole(last))
    } else {
        format!("{} – {}", whole(first), whole(last))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn week() -> Period {
        Period { from: at("2026-11-02T00:00:00Z"), to: at("2026-11-09T00:00:00Z") }
    }

    #[test]
    fn dates_say_no_month_twice() {
        let until = |to: &str| dates(Period { from: at("2026-11-02T00:00:00Z"), to: at(to) }, &TimeZone::UTC);
        assert_eq!(until("2026-11-09T00:00:00Z"), "2 – 8 November 2026");
        assert_eq!(until("2026-11-03T00:00:00Z"), "2 November 2026");
        assert_eq!(until("2026-12-02T00:00:00Z"), "2 November – 1 December 2026");
        assert_eq!(until("2027-01-03T00:00:00Z"), "2 November 2026 – 2 January 2027");
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        let labels = |most, unit| Scale::over(most, unit).marks(unit).into_iter().map(|m| m.label).collect::<Vec<_>>();
        assert_eq!(labels(0.4, "ratio"), ["0 %", "25 %", "50 %", "75 %", "100 %"]);
        assert_eq!(labels(9_300.0, "count"), ["0", "2,500", "5,000", "7,500", "10,000"]);
        assert_eq!(labels(3.1e9, "bytes"), ["0 B", "1.0 GB", "2.0 GB", "3.0 GB", "4.0 GB"]);
        assert_eq!(labels(0.0, "count").last().map(String::as_str), Some("1"));
    }

    #[test]
    fn a_week_has_a_mark_for_each_day() {
        let marks = days(week(), &TimeZone::UTC);
        assert_eq!(
            marks.iter().map(|m| m.label.as_str()).collect::<Vec<_>>(),
            ["Mon 2", "Tue 3", "Wed 4", "Thu 5", "Fri 6", "Sat 7", "Sun 8"]
        );
        assert!(days(Period { to: at("2027-11-02T00:00:00Z"), ..week() }, &TimeZone::UTC).len() <= 12);
    }

    #[test]
    fn an_hour_has_marks_of_minutes() {
        let hour = Period { from: at("2026-11-02T09:03:00Z"), to: at("2026-11-02T10:03:00Z") };
        let labels: Vec<String> =
            hours(hour, &crate::model::zone("Europe/Berlin")).into_iter().map(|m| m.label).collect();
        assert_eq!(labels, ["10:10", "10:20", "10:30", "10:40", "10:50", "11:00"]);
    }

    #[test]
    fn a_curve_breaks_where_nothing_is_known() {
        let from = week().from.0;
        let points = vec![(from, Some(1.0)), (from + DAY, None), (from + 2 * DAY, Some(2.0)), (from - 1, Some(9.0))];
        let line = line(Curve { name: "c".to_owned(), points }, week(), &Scale::over(2.0, "count"));
        assert_eq!(line.runs.len(), 2);
        assert_eq!(line.runs[0], [(0.0, 0.5)]);
    }

    #[test]
    fn the_worst_is_said_first() {
        let section = |place, level, text: &str| Section {
            title: text.to_owned(),
            place,
            summary: Some(Finding { level, text: text.to_owned() }),
            blocks: Vec::new(),
        };
        let told = vec![
            Told { engine: "pulse", section: Ok(section(500, Level::Ok, "there")) },
            Told { engine: "guard", section: Ok(section(200, Level::Bad, "scanned")) },
            Told { engine: "radar", section: Err("no answer within 20 s".to_owned()) },
        ];
        let (sections, missing) = arrange(told);
        assert_eq!(sections.iter().map(|s| s.title.as_str()).collect::<Vec<_>>(), ["scanned", "there"]);
        assert_eq!(missing, ["radar: no answer within 20 s"]);
        assert_eq!(findings(&sections)[0].text, "scanned");
    }

    proptest! {
        #[test]
        fn every_place_is_on_the_page(points in prop::collection::vec((any::<i64>(), prop::option::of(any::<f64>())), 0..50), unit in "ratio|count|bytes|seconds") {
            let block = Block::Curves { title: String::new(), unit, curves: vec![Curve { name: String::new(), points }] };
            let Drawn::Curves { up, along, curves, .. } = drawn(block, week(), &TimeZone::UTC) else { panic!("curves stay curves") };
            let marks = up.iter().chain(&along).map(|mark| mark.at);
            let places = curves[0].runs.iter().flatten().flat_map(|(x, y)| [*x, *y]);
            for place in marks.chain(places) {
                prop_assert!((0.0..=1.0).contains(&place), "{place}");
            }
            prop_assert!((2..=9).contains(&up.len()));
        }
    }
}
