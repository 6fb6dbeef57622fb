//! Numbers, money and times as people read them. Money keeps every digit it has: decimals are added up to the currency's
//! own, never taken away.

use js_sys::Date;
use rust_decimal::Decimal;
use sent_contract::Micros;
use wasm_bindgen::JsValue;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Decimal places of a currency (ISO 4217; two where the code is free).
pub fn places(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// `1,284.00`, `−3.50`.
pub fn money(amount: Decimal, currency: &str) -> String {
    let text = unsigned(amount, currency);
    if amount.is_sign_negative() && !amount.is_zero() { format!("\u{2212}{text}") } else { text }
}

/// As reports write it: a negative amount in parentheses, and room for the parenthesis where there is none.
pub fn report(amount: Decimal, currency: &str) -> String {
    let text = unsigned(amount, currency);
    if amount.is_sign_negative() && !amount.is_zero() { format!("({text})") } else { text }
}

fn unsigned(amount: Decimal, currency: &str) -> String {
    let amount = amount.abs().normalize();
    let places = places(currency).max(amount.scale()) as usize;
    let text = amount.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole = grouped(whole);
    if places == 0 { whole } else { format!("{whole}.{fraction:0<places$}") }
}

/// `12,345`.
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

/// `1 entry`, `2 entries`.
pub fn counted(value: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(value), if value == 1 { one } else { many })
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `61.3 GB`.
pub fn bytes(value: f64) -> String {
    scaled(value, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"])
}

/// `61 %`.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value != 0.0 && value.abs() < 10.0 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

/// A measured value with its unit beside it.
pub fn measure(value: f64, unit: &str) -> String {
    match unit {
        "ratio" => percent(value),
        "bytes" => bytes(value),
        "bytes_per_second" | "bytes/s" => format!("{}/s", bytes(value)),
        "bits_per_second" | "bits/s" => scaled(value, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]),
        "seconds" => seconds(value),
        "celsius" => format!("{} °C", short(value)),
        "percent" => format!("{} %", short(value)),
        "volts" => format!("{} V", short(value)),
        "watts" => scaled(value, 1000.0, &["W", "kW", "MW"]),
        "" | "count" | "none" => scaled(value, 1000.0, &["", "k", "M", "G", "T"]).trim_end().to_owned(),
        other => format!("{} {other}", short(value)),
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut value = value;
    let mut unit = 0;
    while value.abs() >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    format!("{} {}", short(value), units[unit])
}

fn short(value: f64) -> String {
    let size = value.abs();
    let places = if size >= 100.0 || value.fract() == 0.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        2
    } else {
        4
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn seconds(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0 s".to_owned()
    } else if size < 0.001 {
        format!("{} µs", short(value * 1e6))
    } else if size < 1.0 {
        format!("{} ms", short(value * 1e3))
    } else if size < 120.0 {
        format!("{} s", short(value))
    } else {
        duration((value * 1e6) as i64)
    }
}

/// A length of time in its largest unit: `41 min`, `19 d`.
pub fn duration(micros: i64) -> String {
    let seconds = micros.unsigned_abs() / 1_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        172_800..63_072_000 => format!("{} d", seconds / 86_400),
        _ => format!("{} y", seconds / 31_536_000),
    }
}

/// A length of time in its two largest units: `6 d 4 h`.
pub fn long_duration(micros: i64) -> String {
    let seconds = micros.unsigned_abs() / 1_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// The present, by the machine the page is open on. Times shown as "4 s ago" are therefore as right as its clock.
pub fn now() -> Micros {
    (Date::now() * 1000.0) as Micros
}

fn date(at: Micros) -> Date {
    Date::new(&JsValue::from_f64(at as f64 / 1000.0))
}

/// `22 Nov`, with the year if it is another one.
pub fn day(at: Micros) -> String {
    let date = date(at);
    let text = format!("{} {}", date.get_date(), month(&date));
    if date.get_full_year() == Date::new_0().get_full_year() {
        text
    } else {
        format!("{text} {}", date.get_full_year())
    }
}

/// `13:41`, or `22 Nov 13:41` if it is not today.
pub fn clock(at: Micros) -> String {
    let date = date(at);
    let time = format!("{:02}:{:02}", date.get_hours(), date.get_minutes());
    if date.to_date_string() == Date::new_0().to_date_string() { time } else { format!("{} {time}", day(at)) }
}

/// `13:41:02`, or `22 Nov 13:41:02` if it is not today.
pub fn precise(at: Micros) -> String {
    format!("{}:{:02}", clock(at), date(at).get_seconds())
}

/// The zone of this browser at that time: `UTC+01:00`.
pub fn zone(at: Micros) -> String {
    let offset = -(date(at).get_timezone_offset() as i64);
    let sign = if offset < 0 { '\u{2212}' } else { '+' };
    if offset == 0 { "UTC".to_owned() } else { format!("UTC{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60) }
}

/// The whole truth: `Mon 23 Nov 2026, 13:41:02 UTC+01:00`.
pub fn absolute(at: Micros) -> String {
    let date = date(at);
    format!(
        "{} {} {} {}, {:02}:{:02}:{:02} {}",
        DAYS[date.get_day() as usize % 7],
        date.get_date(),
        month(&date),
        date.get_full_year(),
        date.get_hours(),
        date.get_minutes(),
        date.get_seconds(),
        zone(at),
    )
}

/// For machines: `2026-11-23T12:41:02.000Z`.
pub fn iso(at: Micros) -> String {
    String::from(date(at).to_iso_string())
}

/// Today's date where the page is open, `2026-11-23`.
pub fn today() -> String {
    let date = Date::new_0();
    format!("{:04}-{:02}-{:02}", date.get_full_year(), date.get_month() + 1, date.get_date())
}

/// An ISO date as people read it: `22 Nov 2026`.
pub fn plain_date(iso: &str) -> String {
    let mut parts = iso.splitn(3, '-');
    let (Some(year), Some(month), Some(day)) = (parts.next(), parts.next(), parts.next()) else {
        return iso.to_owned();
    };
    let month = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    match (month, day.parse::<u8>()) {
        (Some(month), Ok(day)) => format!("{day} {month} {year}"),
        _ => iso.to_owned(),
    }
}

fn month(date: &Date) -> &'static str {
    MONTHS[date.get_month() as usize % 12]
}

/// `AM` for Anna Meyer.
pub fn initials(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|word| word.chars().next());
    let first = words.next();
    let last = words.next_back();
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

/// An action's or a kind's name for people: `capital.entry.post` stays, `collect_diagnostics` becomes
/// `collect diagnostics`.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a decimal")
    }

    #[test]
    fn money_has_its_currencys_places_and_loses_none() {
        assert_eq!(money(decimal("1284"), "EUR"), "1,284.00");
        assert_eq!(money(decimal("-3.5"), "EUR"), "\u{2212}3.50");
        assert_eq!(money(decimal("1234567"), "JPY"), "1,234,567");
        assert_eq!(money(decimal("0.123456789"), "EUR"), "0.123456789");
        assert_eq!(money(decimal("1.5"), "KWD"), "1.500");
        assert_eq!(report(decimal("-12"), "EUR"), "(12.00)");
        assert_eq!(money(decimal("-0.00"), "EUR"), "0.00");
    }

    #[test]
    fn measures_carry_their_unit() {
        assert_eq!(measure(0.61, "ratio"), "61 %");
        assert_eq!(measure(42_800_000.0, "bits_per_second"), "42.8 Mbit/s");
        assert_eq!(measure(0.0123, "seconds"), "12.3 ms");
        assert_eq!(measure(1500.0, "count"), "1.5 k");
        assert_eq!(measure(3.0, "count"), "3");
    }

    #[test]
    fn durations_take_the_largest_unit() {
        assert_eq!(duration(41 * 60_000_000), "41 min");
        assert_eq!(duration(19 * 86_400_000_000), "19 d");
        assert_eq!(long_duration((6 * 24 + 4) * 3_600_000_000), "6 d 4 h");
    }

    #[test]
    fn dates_and_names() {
        assert_eq!(plain_date("2026-11-05"), "5 Nov 2026");
        assert_eq!(plain_date("soon"), "soon");
        assert_eq!(initials("Anna Maria Meyer"), "AM");
        assert_eq!(initials("root"), "R");
    }

    proptest! {
        #[test]
        fn money_reads_back_as_it_was(units in any::<i64>(), scale in 0_u32..12) {
            let amount = Decimal::new(units, scale);
            let text = money(amount, "EUR").replace(',', "").replace('\u{2212}', "-");
            prop_assert_eq!(text.parse::<Decimal>().expect("money is a number"), amount);
        }

        #[test]
        fn plain_date_never_panics(text in any::<String>()) {
            plain_date(&text);
        }
    }
}
