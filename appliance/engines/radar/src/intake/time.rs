//! The times that logs carry, read without a library because every line has one: RFC 3339 and its relatives, the BSD
//! form without a year, and seconds since 1970 in four sizes. Answers are µs since 1970 UTC and the bytes that were read.

/// µs of a second.
const SECOND: i64 = 1_000_000;
/// µs of a day.
const DAY: i64 = 86_400 * SECOND;

/// A time and how many bytes of the text it took.
pub type Read = (i64, usize);

/// `2026-11-23T19:30:42.123456Z`, also with a blank for the `T`, a comma for the point, `/` for the `-`, and a zone of
/// `Z`, `+hh:mm`, `+hhmm`, `+hh`, ` +hhmm`, ` UTC` or none, which then is `offset` seconds east.
pub fn iso(text: &str, offset: i32) -> Option<Read> {
    let b = text.as_bytes();
    if b.len() < 19 || !matches!(b[4], b'-' | b'/') || b[7] != b[4] || !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = digits(b, 0, 4)?;
    let (month, day) = (digits(b, 5, 2)?, digits(b, 8, 2)?);
    let (clock, mut at) = clock(b, 11)?;
    let local = date(year, month, day)?.checked_add(clock)?;
    let zone = match zone(&b[at..]) {
        Some((seconds, read)) => {
            at += read;
            seconds
        }
        None => offset,
    };
    Some((local - i64::from(zone) * SECOND, at))
}

/// `Nov  3 19:30:42`, the year left out as RFC 3164 §4.1.2 has it, or put before or after the day as Cisco does it; with
/// or without a fraction. The year that is left out is the one that brings the time nearest to `now`.
pub fn bsd(text: &str, now: i64, offset: i32) -> Option<Read> {
    let b = text.as_bytes();
    let month = month(b.get(..3)?)?;
    let mut at = blanks(b, 3)?;
    let mut year = None;
    let mut day = number(b, &mut at, 4)?;
    if day > 31 {
        year = Some(day);
        at = blanks(b, at)?;
        day = number(b, &mut at, 2)?;
    }
    at = blanks(b, at)?;
    if year.is_none() && b.get(at + 4) == Some(&b' ') {
        year = Some(digits(b, at, 4)?);
        at += 5;
    }
    let (clock, mut at) = clock(b, at)?;
    let shift = i64::from(offset) * SECOND;
    if year.is_none() && b.get(at) == Some(&b' ') && b.get(at + 5) == Some(&b' ') {
        // `Oct 11 22:14:15 2026 `, as some appliances do.
        year = digits(b, at + 1, 4).filter(|y| (1970..2200).contains(y));
        at += if year.is_some() { 5 } else { 0 };
    }
    if let Some(year) = year {
        return Some((date(year, month, day)? + clock - shift, at));
    }
    let (this_year, ..) = civil(now.div_euclid(DAY));
    let nearest = [this_year - 1, this_year, this_year + 1]
        .into_iter()
        .filter_map(|year| date(year, month, day).map(|d| d + clock - shift))
        .min_by_key(|time| time.abs_diff(now));
    // The 29th of February of a year that has none.
    nearest.map(|time| (time, at))
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size; seconds may have a fraction.
pub fn epoch(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || whole.len() > 19 || !whole.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i64 = whole.parse().ok()?;
    match whole.len() {
        0..=11 => value.checked_mul(SECOND)?.checked_add(micros(fraction.as_bytes()).0),
        12..=14 => value.checked_mul(1_000),
        15..=17 => Some(value),
        _ => Some(value / 1_000),
    }
}

/// Any of the forms, filling the whole text.
pub fn read(text: &str, now: i64, offset: i32) -> Option<i64> {
    let text = text.trim();
    let whole = |read: Option<Read>| read.filter(|(_, length)| *length == text.len()).map(|(time, _)| time);
    whole(iso(text, offset))
        .or_else(|| epoch(text))
        .or_else(|| whole(bsd(text, now, offset)))
        .or_else(|| date_command(text, now, offset))
}

/// A date whose zone is a name or comes after it, as CEF and LEEF allow: `Nov 23 2026 19:30:42 UTC`.
fn date_command(text: &str, now: i64, offset: i32) -> Option<i64> {
    let (time, read) = bsd(text, now, offset)?;
    let (seconds, length) = zone(&text.as_bytes()[read..])?;
    (read + length == text.len()).then(|| time + i64::from(offset - seconds) * SECOND)
}

/// `hh:mm:ss` and a fraction, as µs of the day. A leap second is the last one of its minute.
fn clock(b: &[u8], at: usize) -> Option<(i64, usize)> {
    let (hour, minute, second) = (digits(b, at, 2)?, digits(b, at + 3, 2)?, digits(b, at + 6, 2)?);
    let sound =
        b.get(at + 2) == Some(&b':') && b.get(at + 5) == Some(&b':') && hour < 24 && minute < 60 && second <= 60;
    if !sound {
        return None;
    }
    let whole = (hour * 3_600 + minute * 60 + second.min(59)) * SECOND;
    let at = at + 8;
    match b.get(at) {
        Some(b'.' | b',') if b.get(at + 1).is_some_and(u8::is_ascii_digit) => {
            let (fraction, read) = micros(&b[at + 1..]);
            Some((whole + fraction, at + 1 + read))
        }
        _ => Some((whole, at)),
    }
}

/// A fraction's digits as µs, and how many digits there are.
fn micros(digits: &[u8]) -> (i64, usize) {
    let mut value = 0;
    let mut scale = SECOND / 10;
    let mut read = 0;
    for digit in digits.iter().take_while(|d| d.is_ascii_digit()) {
        value += i64::from(digit - b'0') * scale;
        scale /= 10;
        read += 1;
    }
    (value, read)
}

/// Seconds east of Greenwich.
fn zone(b: &[u8]) -> Option<(i32, usize)> {
    let (b, blank) = match b.strip_prefix(b" ") {
        Some(rest) => (rest, 1),
        None => (b, 0),
    };
    match b.first()? {
        b'Z' | b'z' if blank == 0 => Some((0, 1)),
        b'U' if b.starts_with(b"UTC") => Some((0, blank + 3)),
        b'G' if b.starts_with(b"GMT") => Some((0, blank + 3)),
        sign @ (b'+' | b'-') => {
            let hours = digits(b, 1, 2)?;
            let colon = usize::from(b.get(3) == Some(&b':'));
            let minutes = digits(b, 3 + colon, 2);
            let read = if minutes.is_some() { 5 + colon } else { 3 };
            let seconds = (hours * 3_600 + minutes.unwrap_or(0) * 60) as i32;
            (hours < 24 && minutes.unwrap_or(0) < 60)
                .then_some((if *sign == b'-' { -seconds } else { seconds }, blank + read))
        }
        _ => None,
    }
}

fn digits(b: &[u8], at: usize, count: usize) -> Option<i64> {
    let mut value = 0;
    for digit in b.get(at..at + count)? {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(value)
}

fn number(b: &[u8], at: &mut usize, most: usize) -> Option<i64> {
    let length = b[(*at).min(b.len())..].iter().take(most).take_while(|d| d.is_ascii_digit()).count();
    let value = if length == 0 { None } else { digits(b, *at, length) };
    *at += length;
    value
}

/// Past one or two blanks.
fn blanks(b: &[u8], at: usize) -> Option<usize> {
    match (b.get(at)?, b.get(at + 1)) {
        (b' ', Some(b' ')) => Some(at + 2),
        (b' ', _) => Some(at + 1),
        _ => None,
    }
}

fn month(name: &[u8]) -> Option<i64> {
    const MONTHS: &[u8; 36] = b"janfebmaraprmayjunjulaugsepoctnovdec";
    let at = MONTHS.chunks(3).position(|m| m.eq_ignore_ascii_case(name))?;
    Some(at as i64 + 1)
}

/// Midnight of a day, µs; `None` for a day that is not in the calendar or not in the years 1970 to 9999.
fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    // Days from 1 March of year 0, whose leap day is its last (H. Hinnant, "chrono-compatible date algorithms").
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let of_year = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(days * DAY)
}

/// Year, month and day of a day since 1970.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let day = of_year - (153 * m + 2) / 5 + 1;
    let month = if m < 10 { m + 3 } else { m - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-23T19:30:42Z
    const NOW: i64 = 1_795_462_242 * SECOND;

    #[test]
    fn reads_iso_forms() {
        for (text, micros) in [
            ("2026-11-23T19:30:42Z", 0),
            ("2026-11-23T19:30:42.5Z", 500_000),
            ("2026-11-23 19:30:42,123456789Z", 123_456),
            ("2026-11-23T20:30:42+01:00", 0),
            ("2026-11-23T14:00:42-0530", 0),
            ("2026/11/23 19:30:42 UTC", 0),
            ("2026-11-23 21:30:42 +02", 0),
            ("2026-11-23T19:30:42", 0),
        ] {
            assert_eq!(iso(text, 0), Some((NOW + micros, text.len())), "{text}");
        }
        assert_eq!(iso("2026-11-23T20:30:42", 3_600), Some((NOW, 19)));
        assert_eq!(iso("2026-02-29T00:00:00Z", 0), None);
    }

    #[test]
    fn the_year_that_is_left_out_is_the_nearest() {
        assert_eq!(bsd("Nov 23 19:30:42 host", NOW, 0), Some((NOW, 15)));
        assert_eq!(bsd("Nov  3 19:30:42", NOW, 0), Some((NOW - 20 * DAY, 15)));
        assert_eq!(bsd("Nov 23 2026 19:30:42", NOW, 0), Some((NOW, 20)));
        assert_eq!(bsd("Nov 23 20:30:42.250 x", NOW, 3_600), Some((NOW + 250_000, 19)));
        let new_year = date(2027, 1, 1).unwrap() + 5 * SECOND;
        assert_eq!(bsd("Dec 31 23:59:59", new_year, 0), Some((new_year - 6 * SECOND, 15)));
        assert_eq!(bsd("Nov 31 00:00:00", NOW, 0), None);
    }

    #[test]
    fn tells_epochs_apart_by_size() {
        for text in ["1795462242", "1795462242000", "1795462242000000", "1795462242000000000", "1795462242.0"] {
            assert_eq!(epoch(text), Some(NOW), "{text}");
        }
        assert_eq!(read("Nov 23 2026 19:30:42 UTC", 0, 3_600), Some(NOW));
        assert_eq!(epoch("99999999999999999999"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "\\PC{0,40}", now in any::<i64>(), offset in -86_400..86_400i32) {
            let now = now / 4;
            let _ = (iso(&text, offset), bsd(&text, now, offset), epoch(&text), read(&text, now, offset));
        }

        #[test]
        fn nearly_right_text_is_answered(text in "[0-9A-Za-z:. +Z-]{0,30}", at in 0..20usize) {
            let mut long = "2026-11-23T19:30:42.1+01:00 Nov 23 2026 19:30:42".to_owned();
            long.insert_str(at, &text);
            let _ = (iso(&long, 0), bsd(&long, NOW, 0), read(&long, NOW, 0), bsd(&long[28.min(long.len())..], NOW, 0));
        }

        #[test]
        fn the_calendar_goes_both_ways(day in 0i64..2_932_896) {
            let (y, m, d) = civil(day);
            prop_assert_eq!(date(y, m, d), Some(day * DAY));
        }
    }
}
