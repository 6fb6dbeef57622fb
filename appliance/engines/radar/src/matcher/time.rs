//! The parts of a time, as `minute`, `hour`, `day`, `week`, `month` and `year` ask for them: in UTC, weeks as ISO 8601
//! counts them.

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

use super::arena::{Arena, Value};
use super::atom::Part;

/// Above this an epoch is taken as milliseconds, not seconds (the year 33658 in seconds).
const MILLISECONDS: f64 = 1e12;

/// A part of the time that a value tells: text as RFC 3339 or without an offset (then UTC), a number as seconds or
/// milliseconds since 1970.
pub(crate) fn part(arena: &Arena, event: &[u8], value: Value, part: Part) -> Option<i64> {
    let time = match value {
        Value::Text(span) => parse(std::str::from_utf8(arena.text(event, span)).ok()?)?,
        Value::Number(number, _) => {
            let seconds = if number.abs() > MILLISECONDS { number / 1e3 } else { number };
            Timestamp::from_second(seconds.floor() as i64).ok()?.to_zoned_datetime(TimeZone::UTC).datetime()
        }
        Value::Bool(_) | Value::Null | Value::Composite => return None,
    };
    Some(match part {
        Part::Minute => i64::from(time.minute()),
        Part::Hour => i64::from(time.hour()),
        Part::Day => i64::from(time.day()),
        Part::Week => i64::from(time.date().iso_week_date().week()),
        Part::Month => i64::from(time.month()),
        Part::Year => i64::from(time.year()),
    })
}

fn parse(text: &str) -> Option<DateTime> {
    match text.parse::<Timestamp>() {
        Ok(timestamp) => Some(timestamp.to_zoned_datetime(TimeZone::UTC).datetime()),
        Err(_) => text.parse().ok(),
    }
}
