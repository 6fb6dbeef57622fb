//! Templates and schedules, and when a week's report is due. Pure: no IO, no clock.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{
    ToSpan as _,
    civil::{Time, Weekday},
    tz::TimeZone,
};
use sent_contract::{
    FieldError, Uuid,
    shield::{NewSchedule, NewTemplate, Template},
};
use sent_core::{Timestamp, mail, report::Period};

/// Bytes of a logo.
pub const MOST_LOGO: usize = 256 << 10;
/// Characters of a name or a headline.
pub const MOST_NAME: usize = 120;
/// Characters of the closing words.
pub const MOST_CLOSING: usize = 2_000;
/// Addresses that get one report.
pub const MOST_RECIPIENTS: usize = 20;
/// The longest time a report is about: a year and a day, µs.
pub const MOST_PERIOD: i64 = 367 * DAY;
/// µs.
const DAY: i64 = 86_400_000_000;

/// A picture, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// `png`, `jpg` or `svg`.
    pub format: &'static str,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Logo {
    /// Reads a data URL. The bytes must be what the URL says they are.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (media_type, data) = url
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(";base64,"))
            .ok_or("a logo is a data URL: data:image/png;base64,…")?;
        if data.len() > MOST_LOGO.div_ceil(3) * 4 {
            return Err("a logo has at most 256 KiB");
        }
        let bytes = STANDARD.decode(data).map_err(|_| "the logo's base64 is broken")?;
        let (format, is_that) = match media_type {
            "image/png" => ("png", bytes.starts_with(b"\x89PNG\r\n\x1a\n")),
            "image/jpeg" => ("jpg", bytes.starts_with(b"\xff\xd8\xff")),
            "image/svg+xml" => ("svg", std::str::from_utf8(&bytes).is_ok_and(|text| text.contains("<svg"))),
            _ => return Err("a logo is PNG, JPEG or SVG"),
        };
        if is_that { Ok(Self { format, bytes }) } else { Err("the logo is not what its media type says") }
    }
}

/// The template of a box that has none: plain, in the organisation's own name.
pub fn plain(organization: &str) -> Template {
    Template {
        id: Uuid::nil(),
        name: "Plain".to_owned(),
        title: "Security report".to_owned(),
        sender: organization.to_owned(),
        accent: "#2563eb".to_owned(),
        closing: String::new(),
        logo: None,
    }
}

/// A template that can be used, or every field that is wrong.
pub fn template(id: Uuid, new: NewTemplate) -> Result<Template, Vec<FieldError>> {
    let mut wrong = Vec::new();
    let mut name = |field: &str, text: String| {
        let text = text.trim().to_owned();
        if text.is_empty() || text.chars().count() > MOST_NAME {
            wrong.push(fault(field, "write between 1 and 120 characters"));
        }
        text
    };
    let (title, sender) = (name("title", new.title), name("sender", new.sender));
    let template = Template {
        id,
        name: name("name", new.name),
        title,
        sender,
        accent: new.accent.to_lowercase(),
        closing: new.closing,
        logo: new.logo.filter(|logo| !logo.is_empty()),
    };
    if !is_colour(&template.accent) {
        wrong.push(fault("accent", "write a colour as #2563eb"));
    }
    if template.closing.chars().count() > MOST_CLOSING {
        wrong.push(fault("closing", "write at most 2,000 characters"));
    }
    if let Some(Err(message)) = template.logo.as_deref().map(Logo::parse) {
        wrong.push(fault("logo", message));
    }
    if wrong.is_empty() { Ok(template) } else { Err(wrong) }
}

fn is_colour(text: &str) -> bool {
    text.len() == 7 && text.starts_with('#') && text[1..].bytes().all(|b| b.is_ascii_hexdigit())
}

/// When and to whom, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Name.
    pub name: String,
    /// Template.
    pub template: Uuid,
    /// 1 is Monday.
    pub weekday: u8,
    /// Minute of the day, local.
    pub minute: u16,
    /// Who gets it.
    pub recipients: Vec<String>,
    /// Whether it rests.
    pub paused: bool,
}

/// A schedule that can be used, or every field that is wrong.
pub fn plan(new: NewSchedule) -> Result<Plan, Vec<FieldError>> {
    let mut wrong = Vec::new();
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > MOST_NAME {
        wrong.push(fault("name", "write between 1 and 120 characters"));
    }
    if !(1..=7).contains(&new.weekday) {
        wrong.push(fault("weekday", "is 1 (Monday) to 7 (Sunday)"));
    }
    let minute = minute_of(&new.at);
    if minute.is_none() {
        wrong.push(fault("at", "write a time of day as 07:30"));
    }
    let recipients = recipients(&new.recipients).unwrap_or_else(|error| {
        wrong.push(error);
        Vec::new()
    });
    match minute {
        Some(minute) if wrong.is_empty() => {
            Ok(Plan { name, template: new.template, weekday: new.weekday, minute, recipients, paused: new.paused })
        }
        _ => Err(wrong),
    }
}

/// Addresses, each once.
pub fn recipients(addresses: &[String]) -> Result<Vec<String>, FieldError> {
    let mut found: Vec<String> = Vec::new();
    for address in addresses.iter().map(|a| a.trim()).filter(|a| !a.is_empty()) {
        if !mail::is_address(address) {
            return Err(fault("recipients", &format!("{address} is no mail address")));
        }
        if !found.iter().any(|known| known.eq_ignore_ascii_case(address)) {
            found.push(address.to_owned());
        }
    }
    if found.len() > MOST_RECIPIENTS {
        return Err(fault("recipients", "a report goes to at most 20 addresses"));
    }
    Ok(found)
}

fn fault(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), message: message.to_owned() }
}

/// `07:30` as minutes since midnight.
pub fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_two_digits = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| is_two_digits(text).then(|| text.parse::<u16>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Minutes since midnight as `07:30`.
pub fn time_of(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The zone of a name out of the IANA database; UTC where it is not known.
pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// The last time at or before `now` that a weekly schedule was due, and the first one after it. A time of day that a change
/// of the clocks skips is due when the clocks go on; one that comes twice is due the first time.
pub fn slots(weekday: u8, minute: u16, zone: &TimeZone, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let weekday = Weekday::from_monday_one_offset(i8::try_from(weekday).ok()?).ok()?;
    let time = Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
    let today = jiff::Timestamp::from_microsecond(now.0).ok()?.to_zoned_datetime(zone.clone()).date();
    let back = today.weekday().since(weekday);
    let moment = |days: i32| -> Option<Timestamp> {
        let day = today.checked_add(days.days()).ok()?;
        let at = zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible().ok()?;
        Some(Timestamp(at.as_microsecond()))
    };
    let candidates = [-7, 0, 7].map(|week| moment(week - i32::from(back)));
    let [Some(before), Some(this), Some(next)] = candidates else { return None };
    Some(if this <= now { (this, next) } else { (before, this) })
}

/// The seven whole days before the day of a moment, in a zone.
pub fn week_before(moment: Timestamp, zone: &TimeZone) -> Option<Period> {
    let day = jiff::Timestamp::from_microsecond(moment.0).ok()?.to_zoned_datetime(zone.clone()).date();
    let midnight = |date: jiff::civil::Date| -> Option<Timestamp> {
        let at = zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight())).compatible().ok()?;
        Some(Timestamp(at.as_microsecond()))
    };
    Some(Period { from: midnight(day.checked_sub(7.days()).ok()?)?, to: midnight(day)? })
}

/// How long a mail waits after so many attempts, µs; `None` when it is given up. Five minutes, doubling to a day: two weeks.
pub fn back_off(attempts: u32) -> Option<i64> {
    const FIRST: i64 = 5 * 60_000_000;
    (attempts < 20).then(|| FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(12)).min(DAY))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_week_is_seven_local_days_also_when_the_clocks_change() {
        let berlin = zone("Europe/Berlin");
        // Summer time ends on 25 October 2026: this week has 169 hours.
        let week = week_before(at("2026-10-26T07:00:00Z"), &berlin).unwrap();
        assert_eq!((week.from, week.to), (at("2026-10-18T22:00:00Z"), at("2026-10-25T23:00:00Z")));
    }

    #[test]
    fn a_schedule_is_due_by_the_clock_on_the_wall() {
        let berlin = zone("Europe/Berlin");
        let monday = |now| slots(1, 7 * 60, &berlin, at(now)).unwrap();
        assert_eq!(monday("2026-10-26T06:00:00Z"), (at("2026-10-26T06:00:00Z"), at("2026-11-02T06:00:00Z")));
        assert_eq!(monday("2026-10-26T05:59:59Z"), (at("2026-10-19T05:00:00Z"), at("2026-10-26T06:00:00Z")));
        // 29 March 2026, a Sunday, has no half past two.
        let skipped = slots(7, 2 * 60 + 30, &berlin, at("2026-03-29T12:00:00Z")).unwrap();
        assert_eq!(skipped.0, at("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn times_of_day_are_strict() {
        assert_eq!([minute_of("07:30"), minute_of("00:00"), minute_of("23:59")], [Some(450), Some(0), Some(1439)]);
        for wrong in ["7:30", "24:00", "12:60", "1230", "+1:00", "12:00:00", ""] {
            assert_eq!(minute_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_logo_is_what_it_says() {
        let url = |kind: &str, bytes: &[u8]| format!("data:{kind};base64,{}", STANDARD.encode(bytes));
        assert_eq!(Logo::parse(&url("image/svg+xml", b"<svg/>")).unwrap().format, "svg");
        for (kind, bytes) in [("image/png", &b"<svg/>"[..]), ("text/html", b"<html>"), ("image/jpeg", b"")] {
            assert!(Logo::parse(&url(kind, bytes)).is_err(), "{kind}");
        }
        assert!(Logo::parse(&url("image/svg+xml", &vec![b'x'; MOST_LOGO + 3])).is_err());
        assert!(Logo::parse("https://example.org/logo.png").is_err());
    }

    #[test]
    fn every_wrong_field_is_named() {
        let new = NewTemplate {
            name: " ".to_owned(),
            title: "x".repeat(121),
            sender: "Acme IT".to_owned(),
            accent: "blue".to_owned(),
            closing: String::new(),
            logo: Some("nothing".to_owned()),
        };
        let fields: Vec<String> = template(Uuid::nil(), new).unwrap_err().into_iter().map(|e| e.field).collect();
        assert_eq!(fields, ["title", "name", "accent", "logo"]);
        assert_eq!(recipients(&["ada@example.org".into(), " ADA@example.org".into()]).unwrap().len(), 1);
        assert!(recipients(&["nobody".into()]).is_err());
    }

    proptest! {
        /// Whatever the time and the zone: due at or before now, again after it, seven local days apart.
        #[test]
        fn slots_surround_now(weekday in 1u8..=7, minute in 0u16..1_440, hours in 0i64..400_000, place in 0usize..5) {
            let zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"];
            let (zone, now) = (zone(zones[place]), Timestamp(hours * 3_600_000_000));
            let (due, next) = slots(weekday, minute, &zone, now).unwrap();
            prop_assert!(due <= now && now < next);
            let length = next.0 - due.0;
            prop_assert!((6 * DAY..=8 * DAY).contains(&length), "{length}");
            prop_assert!(week_before(now, &zone).unwrap().to <= now);
        }

        #[test]
        fn a_data_url_never_panics(text in ".{0,200}", kind in "image/(png|jpeg|svg\\+xml)") {
            let _ = Logo::parse(&text);
            let _ = Logo::parse(&format!("data:{kind};base64,{text}"));
        }
    }
}
