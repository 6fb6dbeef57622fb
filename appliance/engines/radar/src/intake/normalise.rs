//! From what arrived to a record: which form it has, what it says, and under which names of the Elastic Common Schema.
//!
//! A pure function of the bytes, where they came from and when. It is run again over stored originals when a new rule is
//! tried on history, so it must give the same record each time.

use std::{net::IpAddr, sync::Arc};

use super::{
    cef, json, leef,
    names::{self, Interner, Names},
    pairs,
    record::{Batch, Kind, LogSource, cut, offset_in},
    syslog::{self, Syslog},
    text, windows,
};

/// What is known of a line before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Form {
    /// A syslog message, with all that may be inside one.
    Syslog = 0,
    /// A line of a file or a body: JSON, CEF, LEEF, key=value, syslog without a head, or plain text.
    Line = 1,
    /// A JSON object of a journal: `journalctl -o json`.
    Journal = 2,
    /// A JSON object of an agent that is told apart by what is in it.
    Json = 3,
    /// One event of Splunk's HTTP event collector, envelope included.
    Hec = 4,
}

impl Form {
    /// The form with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Syslog, Self::Line, Self::Journal, Self::Json, Self::Hec].get(usize::from(number)).copied()
    }
}

/// Something that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// Where it came from: an address, a file, a unit.
    pub source: &'a str,
    /// When, µs since 1970 UTC.
    pub received: i64,
    /// What it should be.
    pub form: Form,
    /// Whether it was longer than the bound and was cut.
    pub cut: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// How times without a zone are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Seconds east of Greenwich where the devices' clocks stand.
    pub utc_offset: i32,
}

/// Makes records of arrivals. One for each thread; it keeps the names it met.
#[derive(Debug)]
pub struct Normaliser {
    options: Options,
    pub(super) interner: Interner,
    pub(super) scratch: String,
}

/// A stamp may lie this much after its receipt, µs: a day, for clocks that are set to another zone.
const AHEAD: i64 = 86_400_000_000;

impl Normaliser {
    /// One that gives names out of `names`.
    pub fn new(names: Arc<Names>, options: Options) -> Self {
        Self { options, interner: Interner::new(names), scratch: String::new() }
    }

    /// Adds the record of an arrival to `batch`.
    pub fn normalise(&mut self, position: u64, arrival: &Arrival<'_>, batch: &mut Batch) {
        let lossy;
        let line = match std::str::from_utf8(arrival.bytes) {
            Ok(line) => line,
            Err(_) => {
                lossy = String::from_utf8_lossy(arrival.bytes);
                &*lossy
            }
        };
        batch.begin(position, arrival.received, arrival.source, arrival.bytes);
        if arrival.cut {
            batch.put(names::DEFECT, "cut");
        }
        let mut reading = Reading { line, now: arrival.received, offset: self.options.utc_offset, stamp: None };
        match arrival.form {
            Form::Syslog => self.syslog(&mut reading, batch),
            Form::Line => {
                // Whoever sends over a network has an address, and no path.
                if arrival.source.parse::<IpAddr>().is_err() {
                    batch.put(names::LOG_FILE_PATH, arrival.source);
                }
                if !self.structured(line, &mut reading, batch) {
                    self.syslog(&mut reading, batch);
                }
            }
            Form::Journal | Form::Json | Form::Hec => {
                if !json::object(line, arrival.form, &mut reading, self, batch) {
                    self.content(line, &mut reading, batch);
                }
            }
        }
        let stamp = reading.stamp.filter(|t| (0..=arrival.received.saturating_add(AHEAD)).contains(t));
        batch.set_time(stamp.unwrap_or(arrival.received));
    }

    fn syslog(&mut self, reading: &mut Reading<'_>, batch: &mut Batch) {
        let found = syslog::parse(reading.line, reading.now, reading.offset);
        reading.stamp = found.time;
        self.head(&found, batch);
        self.content(found.message, reading, batch);
    }

    fn head(&mut self, found: &Syslog<'_>, batch: &mut Batch) {
        if !found.host.is_empty() {
            batch.put(names::HOST_NAME, found.host);
        }
        if let Some(priority) = found.priority {
            let severity = found.cisco_severity.unwrap_or(priority % 8);
            batch.put_number(names::FACILITY, u64::from(priority / 8));
            batch.put_number(names::SEVERITY, u64::from(severity));
            batch.put(names::LOG_LEVEL, syslog::SEVERITIES[usize::from(severity % 8)]);
        }
        if !found.app.is_empty() {
            batch.put(names::PROCESS_NAME, found.app);
            batch.set_log(text::of_program(found.app));
        }
        if !found.process.is_empty() {
            batch.put(names::PROCESS_PID, found.process);
        }
        if !found.cisco.is_empty() {
            batch.put(names::OBSERVER_VENDOR, "cisco");
            batch.put(names::EVENT_PROVIDER, found.cisco);
            batch.put(names::EVENT_CODE, found.message_id);
            batch.set_log(text::of_cisco(found.cisco));
        } else if !found.message_id.is_empty() {
            batch.put(names::MESSAGE_ID, found.message_id);
        }
        if !found.data.is_empty() {
            let mut scratch = std::mem::take(&mut self.scratch);
            let mut name = String::new();
            syslog::elements(found.data, &mut scratch, |id, parameter, value| {
                name.clear();
                name.extend(["log.syslog.structured_data.", id, ".", parameter]);
                batch.put_named(&mut self.interner, &name, value, Kind::Text);
            });
            self.scratch = scratch;
        }
    }

    /// What stands in a message: one of the forms with names, or words.
    pub(super) fn content(&mut self, message: &str, reading: &mut Reading<'_>, batch: &mut Batch) {
        if self.structured(message, reading, batch) {
            if !batch.has_message() {
                batch.set_message(message, offset_in(reading.line, message));
            }
            return;
        }
        batch.set_message(message, offset_in(reading.line, message));
        text::words(message, batch);
        pairs::read(message, self, batch);
    }

    /// JSON, CEF or LEEF. Answers whether it was one.
    fn structured(&mut self, text: &str, reading: &mut Reading<'_>, batch: &mut Batch) -> bool {
        let start = text.trim_start_matches([' ', '\u{feff}']);
        match start.as_bytes() {
            [b'{', ..] => json::object(start, Form::Json, reading, self, batch),
            [b'@', ..] => {
                let json = start.strip_prefix("@cee:").map(str::trim_start);
                json.is_some_and(|json| json::object(json, Form::Json, reading, self, batch))
            }
            [b'C', b'E', b'F', b':', ..] => cef::read(start, reading, self, batch),
            [b'L', b'E', b'E', b'F', b':', ..] => leef::read(start, reading, self, batch),
            _ => false,
        }
    }
}

/// A line while it is read.
#[derive(Debug)]
pub struct Reading<'a> {
    /// All of it.
    pub line: &'a str,
    /// When it was received, µs.
    pub now: i64,
    /// Seconds east, for times without a zone.
    pub offset: i32,
    /// The time it says of itself, µs.
    pub stamp: Option<i64>,
}

impl Reading<'_> {
    /// Takes a time in any form; what cannot be read changes nothing.
    pub fn stamp(&mut self, text: &str) {
        if let Some(time) = super::time::read(text, self.now, self.offset) {
            self.stamp = Some(time);
        }
    }
}

/// Marks a record's log as of a maker: the lower-case first word.
pub(super) fn of_maker(vendor: &str, product: &str, batch: &mut Batch) {
    let word = |text: &str| text.split([' ', '-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    let (vendor, product) = (word(cut(vendor, 64)), cut(product, 64).to_ascii_lowercase());
    batch.set_log(LogSource { product: &vendor, category: "", service: &product });
    if vendor == "microsoft" && product.contains("windows") {
        batch.set_log(windows::LOG);
    }
}

#[cfg(test)]
#[path = "normalise_tests.rs"]
mod tests;
