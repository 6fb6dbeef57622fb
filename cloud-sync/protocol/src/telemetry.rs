//! Telemetry segments: points, definitions of their series, and records of what was lost.
//!
//! A segment is one Arrow IPC stream under one Zstandard frame: a schema message, whose metadata carries definitions
//! and gaps as JSON, and one record batch sorted by series and time. A point's bits survive exactly, NaN payloads,
//! infinities and negative zero included.
//!
//! | column | type | holds |
//! | --- | --- | --- |
//! | `series` | UInt64 | id |
//! | `mode` | UInt8 | how the value is written: 0 by its bits, k + 1 as an integer scaled by 10ᵏ |
//! | `at0` … `at7` | UInt8 | byte planes, least first, of the zigzag of the time's residual |
//! | `value0` … `value7` | UInt8 | byte planes of the value's residual |
//!
//! * The residual of a time is its distance from the point before, less the distance between the first two points of its
//!   series; a sampler's beat leaves only its jitter. The first point of a series is told from the first of the series
//!   before.
//! * The residual of a scaled value is the zigzag of its difference from the value before, both as integers scaled by
//!   10ᵏ; that of a bit value is the exclusive or with the bits before. A mode is chosen for a series, and a point that
//!   does not fit falls back to its bits alone.
//!
//! Planes of bytes put what hardly changes side by side, which is where the entropy coder finds it.
//!
//! [`decode`] trusts nothing: sizes are bounded before anything is allocated, and every offset is checked against the
//! body before it is followed.
use crate::{
    Micros,
    body::{self, BodyError},
    limits,
    series::{Labels, series_id},
};
use arrow_array::{ArrayRef, RecordBatch, UInt8Array, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::Arc};

/// One measured value.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Series, see [`series_id`].
    pub series: u64,
    /// When.
    pub at: Micros,
    /// Value.
    pub value: f64,
}

/// Two points are the same when their bits are: NaN equals itself, and zero differs from negative zero.
impl PartialEq for Point {
    fn eq(&self, other: &Point) -> bool {
        self.series == other.series && self.at == other.at && self.value.to_bits() == other.value.to_bits()
    }
}
impl Eq for Point {}

/// What a series is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesDefinition {
    /// Id, the hash of name and labels.
    pub id: u64,
    /// Metric.
    pub name: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// `percent`, `bytes`, `celsius`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

impl SeriesDefinition {
    /// Defines a series and gives it its id.
    pub fn new(name: impl Into<String>, labels: Labels, unit: impl Into<String>) -> SeriesDefinition {
        let name = name.into();
        SeriesDefinition { id: series_id(&name, &labels), name, labels, unit: unit.into() }
    }
}

/// Points that were dropped because the spool was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// First dropped point.
    pub from: Micros,
    /// Last dropped point.
    pub to: Micros,
    /// How many.
    pub points: u64,
}

/// A segment that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sorted by series, then time.
    pub points: Vec<Point>,
    /// Series the reader may not know.
    pub definitions: Vec<SeriesDefinition>,
    /// What was lost.
    pub gaps: Vec<Gap>,
}

/// Why a segment cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Torn, not Zstandard, or over the bounds of a body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// More than a segment may hold.
    #[error("segment holds {found} {what}, at most {bound} may be in one")]
    TooMany {
        /// Points, series or gaps.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many may be.
        bound: usize,
    },
    /// Not the Arrow stream this is.
    #[error("segment is malformed: {0}")]
    Malformed(&'static str),
    /// Definitions or gaps cannot be read.
    #[error("segment's definitions are malformed: {0}")]
    Definitions(#[source] serde_json::Error),
    /// A definition whose id is not the hash of its name and labels would let one series be written under another's name.
    #[error("definition of {name} does not match its id")]
    ForgedDefinition {
        /// Its metric.
        name: String,
    },
    /// The Arrow writer failed.
    #[error("segment cannot be written: {0}")]
    Arrow(#[from] ArrowError),
}

impl SegmentError {
    /// Whether the answer is 413 rather than 400.
    pub fn is_too_large(&self) -> bool {
        match self {
            SegmentError::Body(body) => body.is_too_large(),
            SegmentError::TooMany { .. } => true,
            _ => false,
        }
    }
}

/// Key of the schema's metadata.
const METADATA: &str = "sent";
/// Greatest power of ten tried: what sensors report has at most so many decimals.
const MAX_SCALE: usize = 6;
const POWERS: [f64; MAX_SCALE + 1] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
/// `series`, `mode`, eight planes of time, eight of value.
const COLUMNS: usize = 18;

#[derive(Serialize)]
struct MetadataOut<'a> {
    definitions: &'a [SeriesDefinition],
    gaps: &'a [Gap],
}

#[derive(Deserialize)]
struct MetadataIn {
    definitions: Vec<SeriesDefinition>,
    gaps: Vec<Gap>,
}

/// Writes a segment. Points may come in any order; those of one series and one time keep theirs.
pub fn encode(points: &[Point], definitions: &[SeriesDefinition], gaps: &[Gap]) -> Result<Vec<u8>, SegmentError> {
    at_most("points", points.len(), limits::SEGMENT_POINTS)?;
    at_most("series", definitions.len(), limits::SEGMENT_SERIES)?;
    at_most("gaps", gaps.len(), limits::SEGMENT_GAPS)?;
    let mut sorted = points.to_vec();
    sorted.sort_by_key(|p| (p.series, p.at));

    let mut rows = Rows::with_capacity(sorted.len());
    let mut before_series = 0;
    for series in sorted.chunk_by(|a, b| a.series == b.series) {
        rows.push(series, before_series);
        before_series = series[0].at;
    }

    let metadata = serde_json::to_string(&MetadataOut { definitions, gaps }).map_err(SegmentError::Definitions)?;
    let fields = column_names()
        .enumerate()
        .map(|(i, name)| Field::new(name, if i == 0 { DataType::UInt64 } else { DataType::UInt8 }, false))
        .collect::<Vec<_>>();
    let schema = Arc::new(Schema::new_with_metadata(fields, HashMap::from([(METADATA.to_string(), metadata)])));
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(COLUMNS);
    columns.push(Arc::new(UInt64Array::from(rows.series)));
    columns.push(Arc::new(UInt8Array::from(rows.modes)));
    for residuals in [&rows.times, &rows.values] {
        for plane in 0..8 {
            columns.push(Arc::new(residuals.iter().map(|r| Some((r >> (8 * plane)) as u8)).collect::<UInt8Array>()));
        }
    }
    // Built from iterators of `Some`, so no column has a null.
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    let bytes = body::compress(&writer.into_inner()?)?;
    if bytes.len() > limits::BODY_COMPRESSED {
        return Err(BodyError::Compressed { size: bytes.len(), bound: limits::BODY_COMPRESSED }.into());
    }
    Ok(bytes)
}

/// Reads a segment under the wire's bounds.
pub fn decode(bytes: &[u8]) -> Result<Segment, SegmentError> {
    if bytes.len() > limits::BODY_COMPRESSED {
        return Err(BodyError::Compressed { size: bytes.len(), bound: limits::BODY_COMPRESSED }.into());
    }
    let stream = body::decompress(bytes, limits::BODY)?;
    let (message, rest) = next_message(&stream)?.ok_or(SegmentError::Malformed("it is empty"))?;
    let metadata = read_schema(&message)?;
    let (message, rest) = next_message(rest)?.ok_or(SegmentError::Malformed("it has no batch"))?;
    let points = read_batch(&message)?;
    if next_message(rest)?.is_some() {
        return Err(SegmentError::Malformed("it has a second batch"));
    }
    Ok(Segment { points, definitions: metadata.definitions, gaps: metadata.gaps })
}

fn at_most(what: &'static str, found: usize, bound: usize) -> Result<(), SegmentError> {
    if found > bound { Err(SegmentError::TooMany { what, found, bound }) } else { Ok(()) }
}

fn column_names() -> impl Iterator<Item = String> {
    let planes = ["at", "value"].into_iter().flat_map(|name| (0..8).map(move |plane| format!("{name}{plane}")));
    ["series".to_string(), "mode".to_string()].into_iter().chain(planes)
}

/// Columns before they are split into planes.
struct Rows {
    series: Vec<u64>,
    modes: Vec<u8>,
    times: Vec<u64>,
    values: Vec<u64>,
}

impl Rows {
    fn with_capacity(points: usize) -> Rows {
        Rows {
            series: Vec::with_capacity(points),
            modes: Vec::with_capacity(points),
            times: Vec::with_capacity(points),
            values: Vec::with_capacity(points),
        }
    }

    /// Adds one series, whose points are sorted by time. `before` is the first time of the series before it.
    fn push(&mut self, series: &[Point], before: Micros) {
        let mode = choose_mode(series);
        let mut times = Times::new(before);
        let mut value = 0.0;
        for point in series {
            self.series.push(point.series);
            self.times.push(zigzag(times.residual(point.at)));
            let scaled = mode.checked_sub(1).and_then(|k| scaled(point.value, k));
            match scaled {
                Some(n) => {
                    self.modes.push(mode);
                    self.values.push(zigzag(n.wrapping_sub(scaled_or_zero(value, mode - 1))));
                }
                None => {
                    self.modes.push(0);
                    self.values.push(point.value.to_bits() ^ value.to_bits());
                }
            }
            value = point.value;
        }
    }
}

/// Predicts the times of one series; the same steps on both ends.
struct Times {
    last: Micros,
    /// Distance between the first two points, once they are known.
    beat: Option<i64>,
    first: bool,
}

impl Times {
    fn new(before: Micros) -> Times {
        Times { last: before, beat: None, first: true }
    }

    fn prediction(&self) -> Micros {
        self.last.wrapping_add(self.beat.unwrap_or(0))
    }

    fn advance(&mut self, at: Micros) {
        if self.first {
            self.first = false;
        } else if self.beat.is_none() {
            self.beat = Some(at.wrapping_sub(self.last));
        }
        self.last = at;
    }

    fn residual(&mut self, at: Micros) -> i64 {
        let residual = at.wrapping_sub(self.prediction());
        self.advance(at);
        residual
    }

    fn time(&mut self, residual: i64) -> Micros {
        let at = self.prediction().wrapping_add(residual);
        self.advance(at);
        at
    }
}

/// The smallest scale that nine in ten values of the series have; 0 when there is none.
fn choose_mode(series: &[Point]) -> u8 {
    let tolerated = series.len() / 10;
    let fits = |k: &usize| {
        let mut misfits = 0;
        series.iter().all(|p| {
            misfits += usize::from(scaled(p.value, *k as u8).is_none());
            misfits <= tolerated
        })
    };
    (0..=MAX_SCALE).find(fits).map_or(0, |k| k as u8 + 1)
}

/// `value · 10ᵏ`, when it is an integer from which the division gives back every bit of the value.
fn scaled(value: f64, k: u8) -> Option<i64> {
    // 2⁵³: the integers below it are exact as f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let n = (value * POWERS[usize::from(k)]).round();
    if n.abs() < EXACT && unscaled(n as i64, k).to_bits() == value.to_bits() { Some(n as i64) } else { None }
}

fn unscaled(n: i64, k: u8) -> f64 {
    n as f64 / POWERS[usize::from(k)]
}

/// What a difference is told from when the value before was written by its bits.
fn scaled_or_zero(value: f64, k: u8) -> i64 {
    scaled(value, k).unwrap_or(0)
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// An encapsulated message of the stream with its body.
struct Message<'a> {
    header: arrow_ipc::Message<'a>,
    body: &'a [u8],
}

/// Takes the next message off the stream; `None` at its end.
fn next_message(stream: &[u8]) -> Result<Option<(Message<'_>, &[u8])>, SegmentError> {
    const TORN: SegmentError = SegmentError::Malformed("it ends in the middle of a message");
    let Some((prefix, rest)) = stream.split_first_chunk::<8>() else {
        return if stream.is_empty() { Ok(None) } else { Err(TORN) };
    };
    // Arrow columnar format, "Encapsulated message format": 0xFFFFFFFF, then the metadata's length; 0 ends the stream.
    if prefix[..4] != [0xff; 4] {
        return Err(SegmentError::Malformed("a message has no continuation mark"));
    }
    let length = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
    if length == 0 {
        return if rest.is_empty() { Ok(None) } else { Err(SegmentError::Malformed("something follows its end")) };
    }
    let (metadata, rest) = rest.split_at_checked(length).ok_or(TORN)?;
    let header = arrow_ipc::root_as_message(metadata)
        .map_err(|_| SegmentError::Malformed("a message's metadata cannot be read"))?;
    let body = usize::try_from(header.bodyLength()).map_err(|_| TORN)?;
    let (body, rest) = rest.split_at_checked(body).ok_or(TORN)?;
    Ok(Some((Message { header, body }, rest)))
}

/// Checks that the schema is exactly ours and reads its metadata.
fn read_schema(message: &Message<'_>) -> Result<MetadataIn, SegmentError> {
    const OTHER: SegmentError = SegmentError::Malformed("its schema is another one");
    let schema = message.header.header_as_schema().ok_or(OTHER)?;
    let fields = schema.fields().ok_or(OTHER)?;
    if fields.len() != COLUMNS || schema.endianness() != arrow_ipc::Endianness::Little {
        return Err(OTHER);
    }
    for (i, (field, name)) in fields.iter().zip(column_names()).enumerate() {
        let int = field.type_as_int().ok_or(OTHER)?;
        let width = if i == 0 { 64 } else { 8 };
        let ours = field.name() == Some(name.as_str())
            && int.bitWidth() == width
            && !int.is_signed()
            && field.dictionary().is_none();
        if !ours {
            return Err(OTHER);
        }
    }
    let metadata = schema.custom_metadata().ok_or(OTHER)?;
    let text = metadata.iter().find(|m| m.key() == Some(METADATA)).and_then(|m| m.value()).ok_or(OTHER)?;
    let read: MetadataIn = serde_json::from_str(text).map_err(SegmentError::Definitions)?;
    at_most("series", read.definitions.len(), limits::SEGMENT_SERIES)?;
    at_most("gaps", read.gaps.len(), limits::SEGMENT_GAPS)?;
    if let Some(forged) = read.definitions.iter().find(|d| d.id != series_id(&d.name, &d.labels)) {
        return Err(SegmentError::ForgedDefinition { name: forged.name.chars().take(80).collect() });
    }
    Ok(read)
}

/// Reads the points of the batch.
fn read_batch(message: &Message<'_>) -> Result<Vec<Point>, SegmentError> {
    const OTHER: SegmentError = SegmentError::Malformed("its batch does not match its schema");
    let batch = message.header.header_as_record_batch().ok_or(OTHER)?;
    let length = usize::try_from(batch.length()).map_err(|_| OTHER)?;
    at_most("points", length, limits::SEGMENT_POINTS)?;
    let (nodes, buffers) = (batch.nodes().ok_or(OTHER)?, batch.buffers().ok_or(OTHER)?);
    // A column without nulls is two buffers: a validity bitmap, empty or not, and the values.
    let plain = batch.compression().is_none()
        && nodes.len() == COLUMNS
        && buffers.len() == 2 * COLUMNS
        && nodes.iter().all(|n| n.length() == batch.length() && n.null_count() == 0);
    if !plain {
        return Err(OTHER);
    }
    let column = |i: usize, width: usize| -> Result<&[u8], SegmentError> {
        let buffer = buffers.get(2 * i + 1);
        let offset = usize::try_from(buffer.offset()).map_err(|_| OTHER)?;
        let bytes = message.body.get(offset..).and_then(|b| b.get(..length * width)).ok_or(OTHER)?;
        if usize::try_from(buffer.length()).is_ok_and(|n| n >= bytes.len()) { Ok(bytes) } else { Err(OTHER) }
    };
    let series = column(0, 8)?.as_chunks::<8>().0;
    let modes = column(1, 1)?;
    let gather = |first: usize| -> Result<Vec<u64>, SegmentError> {
        let mut residuals = vec![0u64; length];
        for plane in 0..8 {
            for (residual, byte) in residuals.iter_mut().zip(column(first + plane, 1)?) {
                *residual |= u64::from(*byte) << (8 * plane);
            }
        }
        Ok(residuals)
    };
    let (time_residuals, value_residuals) = (gather(2)?, gather(10)?);

    let mut points = Vec::with_capacity(length);
    let mut current: Option<u64> = None;
    let mut first_of_series = 0;
    let mut times = Times::new(0);
    let mut value = 0.0f64;
    for (((series, mode), time), residual) in series.iter().zip(modes).zip(time_residuals).zip(value_residuals) {
        let series = u64::from_le_bytes(*series);
        let begins = current != Some(series);
        if begins {
            if current.is_some_and(|before| before > series) {
                return Err(SegmentError::Malformed("its series are not sorted"));
            }
            current = Some(series);
            times = Times::new(first_of_series);
            value = 0.0;
        }
        let last = times.last;
        let at = times.time(unzigzag(time));
        if begins {
            first_of_series = at;
        } else if at < last {
            return Err(SegmentError::Malformed("its times are not sorted"));
        }
        value = match mode.checked_sub(1) {
            None => f64::from_bits(residual ^ value.to_bits()),
            Some(k) if usize::from(k) <= MAX_SCALE => {
                unscaled(scaled_or_zero(value, k).wrapping_add(unzigzag(residual)), k)
            }
            Some(_) => {
                return Err(SegmentError::Malformed("a value is written in an unknown way"));
            }
        };
        points.push(Point { series, at, value });
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A small generator of its own: the sizes below must not move when a library's does. SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn unit(&mut self) -> f64 {
            (self.next() >> 11) as f64 / (1u64 << 53) as f64
        }

        /// Roughly normal, standard deviation 1.
        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
        }
    }

    fn series(metric: &str, host: usize, item: usize, unit: &str) -> SeriesDefinition {
        let labels = [("host", format!("branch-{host}")), ("item", item.to_string())];
        SeriesDefinition::new(metric, labels.map(|(a, b)| (a.to_string(), b)).into(), unit)
    }

    /// Ten hosts for ten minutes as a collector sees them: each host has a tick with jitter of its own and one time for
    /// all it reads at that tick; percentages rounded to 0.01, byte counters, page-sized memory, temperatures, loads,
    /// round-trip times in microseconds, and states that hardly change. Every 1, 2, 5 or 10 s.
    fn office(random: &mut Random) -> (Vec<Point>, Vec<SeriesDefinition>) {
        let (mut points, mut definitions) = (Vec::new(), Vec::new());
        for host in 0..10 {
            let period = [1, 1, 2, 5, 10][host % 5] * 1_000_000;
            let cpu: Vec<_> = (0..8).map(|i| series("host_cpu_percent", host, i, "percent")).collect();
            let network: Vec<_> = (0..8).map(|i| series("host_network_bytes", host, i, "bytes")).collect();
            let memory: Vec<_> = (0..4).map(|i| series("host_memory_bytes", host, i, "bytes")).collect();
            let heat: Vec<_> = (0..6).map(|i| series("host_temperature_celsius", host, i, "celsius")).collect();
            let load: Vec<_> = (0..3).map(|i| series("host_load", host, i, "")).collect();
            let ping: Vec<_> = (0..4).map(|i| series("ping_seconds", host, i, "seconds")).collect();
            let state: Vec<_> = (0..10).map(|i| series("check_up", host, i, "")).collect();
            let mut counters = [0u64; 8].map(|_| random.next() >> 24);
            let mut levels = [0.0f64; 31];
            let start = 1_790_000_000_000_000 + (random.next() % 1_000_000) as i64;
            for tick in 0..600_000_000 / period {
                let at = start + tick * period + (random.normal() * 300.0) as i64;
                let mut push = |d: &SeriesDefinition, value: f64| points.push(Point { series: d.id, at, value });
                for (i, d) in cpu.iter().enumerate() {
                    levels[i] = (levels[i] * 0.8 + random.normal().abs() * 4.0).clamp(0.0, 100.0);
                    push(d, (levels[i] * 100.0).round() / 100.0);
                }
                for (i, d) in network.iter().enumerate() {
                    let burst = if random.unit() < 0.1 { 2e6 } else { 2e4 };
                    counters[i] += (burst * random.unit()) as u64;
                    push(d, counters[i] as f64);
                }
                for (i, d) in memory.iter().enumerate() {
                    levels[8 + i] += random.normal() * 300.0;
                    push(d, 4096.0 * (1_500_000.0 + levels[8 + i]).round());
                }
                for (i, d) in heat.iter().enumerate() {
                    levels[12 + i] = levels[12 + i] * 0.95 + random.normal() * 0.3;
                    push(d, 45.0 + (levels[12 + i] * 2.0).round() / 2.0);
                }
                for (i, d) in load.iter().enumerate() {
                    levels[18 + i] = levels[18 + i] * 0.98 + random.unit() * 0.05;
                    push(d, (levels[18 + i] * 100.0).round() / 100.0);
                }
                for d in &ping {
                    push(d, (12_000.0 + random.normal().abs() * 900.0).round() / 1e6);
                }
                for d in &state {
                    push(d, if random.unit() < 0.001 { 0.0 } else { 1.0 });
                }
            }
            for group in [cpu, network, memory, heat, load, ping, state] {
                definitions.extend(group);
            }
        }
        (points, definitions)
    }

    #[test]
    fn an_offices_points_take_at_most_five_bytes() {
        let (points, definitions) = office(&mut Random(1));
        let bytes = encode(&points, &definitions, &[]).unwrap();
        let each = bytes.len() as f64 / points.len() as f64;
        println!(
            "{} points of {} series in {} bytes: {each:.2} bytes a point",
            points.len(),
            definitions.len(),
            bytes.len()
        );
        assert!(each <= 5.0, "{each:.2} bytes a point");
        let read = decode(&bytes).unwrap();
        let mut sorted = points;
        sorted.sort_by_key(|p| (p.series, p.at));
        assert_eq!(read, Segment { points: sorted, definitions, gaps: vec![] });
    }

    #[test]
    fn any_arrow_reader_can_open_it() {
        let (points, definitions) = office(&mut Random(2));
        let stream = body::decompress(&encode(&points, &definitions, &[]).unwrap(), limits::BODY).unwrap();
        let mut reader = arrow_ipc::reader::StreamReader::try_new(&stream[..], None).unwrap();
        assert_eq!(reader.schema().fields().len(), COLUMNS);
        assert_eq!(reader.next().unwrap().unwrap().num_rows(), points.len());
        assert!(reader.next().is_none());
    }

    #[test]
    fn a_forged_definition_is_refused() {
        let mut definition = series("host_cpu_percent", 1, 1, "percent");
        definition.id ^= 1;
        let bytes = encode(&[], &[definition], &[]).unwrap();
        assert!(matches!(decode(&bytes), Err(SegmentError::ForgedDefinition { .. })));
    }

    #[test]
    fn bounds_hold_on_both_ends() {
        let point = Point { series: 1, at: 1, value: 1.0 };
        let many = vec![point; limits::SEGMENT_POINTS];
        assert_eq!(decode(&encode(&many, &[], &[]).unwrap()).unwrap().points.len(), many.len());
        assert!(matches!(
            encode(&vec![point; limits::SEGMENT_POINTS + 1], &[], &[]),
            Err(SegmentError::TooMany { .. })
        ));
        let bomb = zstd::bulk::compress(&vec![0xff; limits::BODY + 1], 1).unwrap();
        assert!(decode(&bomb).is_err_and(|e| e.is_too_large()));
        assert!(decode(&vec![0; limits::BODY_COMPRESSED + 1]).is_err_and(|e| e.is_too_large()));
    }

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            (-100_000i64..100_000, 0u8..8).prop_map(|(n, k)| n as f64 / 10f64.powi(k.into())),
            prop::sample::select(vec![
                0.0,
                -0.0,
                f64::NAN,
                f64::INFINITY,
                f64::NEG_INFINITY,
                9e15,
                9_007_199_254_740_993.0
            ]),
        ]
    }

    fn any_points() -> impl Strategy<Value = Vec<Point>> {
        let at = prop_oneof![any::<i64>(), 0i64..1000, Just(i64::MIN), Just(i64::MAX)];
        let point = (prop_oneof![0u64..4, any::<u64>()], at, any_value());
        prop::collection::vec(point.prop_map(|(series, at, value)| Point { series, at, value }), 0..60)
    }

    proptest! {
        /// Every bit of every point comes back.
        #[test]
        fn points_round_trip(mut points in any_points(), gap in any::<(i64, i64, u64)>()) {
            let gaps = [Gap { from: gap.0, to: gap.1, points: gap.2 }];
            let read = decode(&encode(&points, &[], &gaps).unwrap()).unwrap();
            points.sort_by_key(|p| (p.series, p.at));
            prop_assert_eq!(read, Segment { points, definitions: vec![], gaps: gaps.to_vec() });
        }

        /// Damage inside the compression reaches the Arrow reader; it answers with an error or with other points.
        #[test]
        fn damage_never_panics(
            points in any_points(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut stream = body::decompress(&encode(&points, &[], &[]).unwrap(), limits::BODY).unwrap();
            for (at, byte) in damage {
                let at = at.index(stream.len());
                stream[at] = byte;
            }
            if let Some(cut) = cut {
                stream.truncate(cut.index(stream.len()));
            }
            let _ = decode(&body::compress(&stream).unwrap());
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
            let _ = decode(&body::compress(&bytes).unwrap());
        }
    }
}
