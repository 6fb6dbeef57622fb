//! The arithmetic of tiers: which one answers a question, what late points add up to, and where a curve is broken. Pure.

/// One minute, µs.
pub const MINUTE: i64 = 60_000_000;
/// One hour, µs.
pub const HOUR: i64 = 60 * MINUTE;
/// One day, µs.
pub const DAY: i64 = 24 * HOUR;

/// A resolution in which measurements are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// Every point.
    Raw,
    /// A row a minute.
    Minute,
    /// A row an hour.
    Hour,
}

impl Tier {
    /// As pages call it: `raw`, `1m`, `1h`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Minute => "1m",
            Self::Hour => "1h",
        }
    }

    /// Width of a row, µs; 1 for a point.
    pub fn width(self) -> i64 {
        match self {
            Self::Raw => 1,
            Self::Minute => MINUTE,
            Self::Hour => HOUR,
        }
    }
}

/// The times from which on each tier still has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of the raw tier.
    pub points: i64,
    /// Of the minute tier.
    pub minutes: i64,
}

/// The tier and the step, µs, that draw `from`..`to` with at most `max_points` points.
///
/// The coarsest tier that still gives half as many points as wanted is read, since each finer one costs sixty times as
/// much; but never a tier whose beginning was deleted already, as long as a coarser one goes back farther.
pub fn choose(from: i64, to: i64, max_points: usize, kept: Kept) -> (Tier, i64) {
    let max_points = i64::try_from(max_points.max(1)).unwrap_or(i64::MAX);
    let span = to.saturating_sub(from).max(1);
    let wanted = span / max_points + i64::from(span % max_points != 0);
    let by_width = [Tier::Hour, Tier::Minute].into_iter().find(|t| t.width() <= wanted.saturating_mul(2));
    let by_age = if from < kept.minutes {
        Tier::Hour
    } else if from < kept.points {
        Tier::Minute
    } else {
        Tier::Raw
    };
    let tier = by_width.unwrap_or(Tier::Raw).max(by_age);
    (tier, round_up(wanted, unit(tier, wanted)))
}

/// Steps are whole rows of their tier; raw ones whole seconds once they are longer than one.
fn unit(tier: Tier, wanted: i64) -> i64 {
    match tier {
        Tier::Raw if wanted > 1_000_000 => 1_000_000,
        tier => tier.width(),
    }
}

fn round_up(value: i64, unit: i64) -> i64 {
    (value / unit + i64::from(value % unit != 0)).saturating_mul(unit).max(unit)
}

/// The beginning of the `width` that holds `at`. Times are not negative.
pub fn floor(at: i64, width: i64) -> i64 {
    at - at.rem_euclid(width)
}

/// What the points of one series in one minute or hour add up to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Series.
    pub series: u64,
    /// Beginning.
    pub at: i64,
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Sum.
    pub sum: f64,
    /// How many.
    pub count: i64,
    /// The latest.
    pub last: f64,
    /// When that was.
    pub last_at: i64,
}

/// Adds up points that are sorted by series and time, those before `until` only.
pub fn add_up(points: &[(u64, i64, f64)], width: i64, until: i64) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for &(series, time, value) in points.iter().filter(|p| p.1 < until) {
        let at = floor(time, width);
        match rows.last_mut() {
            Some(row) if row.series == series && row.at == at => {
                row.min = row.min.min(value);
                row.max = row.max.max(value);
                row.sum += value;
                row.count += 1;
                row.last = value;
                row.last_at = time;
            }
            _ => {
                rows.push(Row { series, at, min: value, max: value, sum: value, count: 1, last: value, last_at: time })
            }
        }
    }
    for row in &mut rows {
        // A sum beyond what an f64 holds would poison every sum it is added to.
        row.sum = row.sum.clamp(f64::MIN, f64::MAX);
    }
    rows
}

/// Indices of a curve before which it is broken: where the time since the point before is over three times what is usual
/// for this curve, and over two steps.
pub fn breaks(at: &[i64], step: i64) -> Vec<usize> {
    let mut distances: Vec<i64> = at.windows(2).map(|w| w[1] - w[0]).collect();
    if distances.is_empty() {
        return Vec::new();
    }
    let middle = distances.len() / 2;
    let usual = *distances.select_nth_unstable(middle).1;
    let bound = usual.saturating_mul(3).max(step.saturating_mul(2));
    (1..at.len()).filter(|i| at[*i] - at[*i - 1] > bound).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tiers_follow_range_and_width() {
        let kept = Kept::default();
        assert_eq!(choose(0, HOUR, 1_000, kept), (Tier::Raw, 4_000_000));
        assert_eq!(choose(0, DAY, 1_000, kept), (Tier::Minute, 2 * MINUTE));
        assert_eq!(choose(0, 30 * DAY, 1_000, kept), (Tier::Hour, HOUR));
        assert_eq!(choose(0, 730 * DAY, 1_000, kept), (Tier::Hour, 18 * HOUR));
        assert_eq!(choose(0, 10, 1_000, kept), (Tier::Raw, 1));
    }

    #[test]
    fn what_was_deleted_is_answered_from_farther_up() {
        let kept = Kept { points: 97 * DAY, minutes: 70 * DAY };
        assert_eq!(choose(98 * DAY, 98 * DAY + HOUR, 1_000, kept).0, Tier::Raw);
        assert_eq!(choose(80 * DAY, 80 * DAY + HOUR, 1_000, kept), (Tier::Minute, MINUTE));
        assert_eq!(choose(10 * DAY, 10 * DAY + HOUR, 1_000, kept), (Tier::Hour, HOUR));
    }

    #[test]
    fn a_pause_breaks_the_curve() {
        assert_eq!(breaks(&[0, 10, 20, 90, 100, 110], 10), [3]);
        assert_eq!(breaks(&[0, 60, 120, 180], 10), [0; 0]);
        assert_eq!(breaks(&[5], 10), [0; 0]);
        assert_eq!(breaks(&[], 10), [0; 0]);
    }

    proptest! {
        #[test]
        fn any_question_has_few_enough_points(from in 0..100 * DAY, span in 1..1_000 * DAY, points in 1..5_000usize, a in 0..100 * DAY, b in 0..100 * DAY) {
            let (tier, step) = choose(from, from + span, points, Kept { points: a, minutes: b });
            prop_assert!(step >= tier.width() && step % tier.width() == 0);
            prop_assert!(span / step <= points as i64);
        }

        #[test]
        fn sums_add_up(points in prop::collection::vec((0..3u64, 0..5 * HOUR, -1e3..1e3f64), 0..200), until in 0..6 * HOUR) {
            let mut points = points;
            points.sort_by_key(|p| (p.0, p.1));
            let rows = add_up(&points, MINUTE, until);
            let before: Vec<_> = points.iter().filter(|p| p.1 < until).collect();
            prop_assert_eq!(rows.iter().map(|r| r.count).sum::<i64>(), before.len() as i64);
            prop_assert!((rows.iter().map(|r| r.sum).sum::<f64>() - before.iter().map(|p| p.2).sum::<f64>()).abs() < 1e-6);
            prop_assert!(rows.windows(2).all(|w| (w[0].series, w[0].at) < (w[1].series, w[1].at)));
            prop_assert!(rows.iter().all(|r| r.min <= r.last && r.last <= r.max && floor(r.last_at, MINUTE) == r.at));
        }
    }
}
