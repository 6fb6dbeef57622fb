//! Polling network gear over SNMP v2c and v3.
//!
//! One poll asks for the up-time, walks the interface tables by GETBULK (RFC 3416 §4.2.3), and where the agent has them
//! the processor and storage tables of HOST-RESOURCES-MIB. Counters become rates against the poll before; the up-time
//! tells a wrapped counter from a restarted agent.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use sent_contract::pulse::CheckKind;
use snmp2::{
    AsyncSession, Error, Oid, Value,
    v3::{Auth, AuthErrorKind, AuthProtocol, Cipher, KeyExtension, Security},
};
use tokio::time::{Instant, timeout};

use super::{Failure, Reading, resolve, shown};
use crate::model::{
    counter::{Counter, Width, restarted},
    sample::Sample,
};

const UP_TIME: &[u64] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
const SYSTEM_NAME: &[u64] = &[1, 3, 6, 1, 2, 1, 1, 5, 0];

// IF-MIB (RFC 2863): the ifTable and its extension by 64-bit counters.
const DESCRIPTION: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 2];
const OPERATING: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 8];
const IN_OCTETS: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 10];
const IN_DISCARDS: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 13];
const IN_ERRORS: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 14];
const OUT_OCTETS: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 16];
const OUT_DISCARDS: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 19];
const OUT_ERRORS: &[u64] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 20];
const NAME: &[u64] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1];
const HC_IN_OCTETS: &[u64] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6];
const HC_OUT_OCTETS: &[u64] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10];
const HIGH_SPEED: &[u64] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 15];
const ALIAS: &[u64] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 18];

// HOST-RESOURCES-MIB (RFC 2790).
const STORAGE_TYPE: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1, 2];
const STORAGE_NAME: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1, 3];
const STORAGE_UNIT: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1, 4];
const STORAGE_SIZE: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1, 5];
const STORAGE_USED: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1, 6];
const PROCESSOR_LOAD: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 3, 3, 1, 2];
const IS_MEMORY: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 1, 2];
const IS_DISK: &[u64] = &[1, 3, 6, 1, 2, 1, 25, 2, 1, 4];

/// Columns asked for at once, and rows of each: an answer of 48 numbers fits an Ethernet frame.
const COLUMNS: usize = 4;
const ROWS: u32 = 12;
/// Rows of a table that are read.
const MOST_ROWS: usize = 4_096;
/// A question is asked so often before the agent counts as silent.
const TRIES: u32 = 3;

/// What polls of one agent remember of each other.
#[derive(Debug, Default)]
pub struct Memory {
    up_time: Option<(i64, u32)>,
    counters: HashMap<(u64, &'static str), Counter>,
}

/// A value of an answer, detached from its bytes.
#[derive(Clone, Debug, PartialEq)]
enum Datum {
    Number(i64),
    Counter32(u32),
    Counter64(u64),
    Ticks(u32),
    Text(String),
    Object(Vec<u64>),
    Nothing,
}

impl Datum {
    fn counter(&self) -> Option<(u64, Width)> {
        match self {
            Self::Counter32(n) => Some((u64::from(*n), Width::Bits32)),
            Self::Counter64(n) => Some((*n, Width::Bits64)),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n as f64),
            Self::Counter32(n) | Self::Ticks(n) => Some(f64::from(*n)),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }
}

/// Rows of a table: index, then column by its place in what was asked for.
type Rows = BTreeMap<u64, HashMap<usize, Datum>>;

/// Polls an agent.
pub async fn run(kind: &CheckKind, memory: &mut Memory, limit: Duration, at: i64) -> Result<Reading, Failure> {
    let CheckKind::Snmp { host, port, version, user, auth, privacy } = kind else {
        return Err(Failure::new("this is no SNMP check"));
    };
    let address = resolve(host, port.unwrap_or(161)).await?;
    // Any number does; this one differs from poll to poll, so that a late answer to an old question is not taken.
    let first = (at.unsigned_abs() & 0x3fff_ffff) as i32;
    let cannot = |e| Failure(format!("no socket for SNMP can be opened: {e}"));
    let session = if version == "3" {
        let security = security(user, auth.as_ref(), privacy.as_ref())?;
        AsyncSession::new_v3(address, first, security).await.map_err(cannot)?
    } else {
        AsyncSession::new_v2c(address, user.as_bytes(), first).await.map_err(cannot)?
    };
    let mut agent = Agent { session, patience: limit.mul_f64(0.9) / TRIES };
    if version == "3" {
        agent.init().await?;
    }
    let start = Instant::now();
    let system = agent.get(&[UP_TIME, SYSTEM_NAME]).await?;
    let latency = start.elapsed();
    let Some(Datum::Ticks(up_time)) = system.first() else {
        return Err(Failure::new("the agent does not tell its up-time"));
    };
    let fresh = memory.up_time.is_some_and(|(then, before)| restarted(before, *up_time, at - then));
    memory.up_time = Some((at, *up_time));

    let name = system.get(1).and_then(Datum::text).unwrap_or(host);
    let mut reading = Reading::ok(format!("{name} answers in {}", shown(latency)), latency);
    if fresh {
        reading.cause = format!("{name} restarted {} s ago", up_time / 100);
    }
    reading.samples.push(Sample::new("uptime_seconds", "seconds", host, f64::from(*up_time) / 100.0));
    interfaces(&mut agent, host, memory, fresh, at, &mut reading.samples).await?;
    resources(&mut agent, host, &mut reading.samples).await?;
    Ok(reading)
}

async fn interfaces(
    agent: &mut Agent,
    host: &str,
    memory: &mut Memory,
    fresh: bool,
    at: i64,
    samples: &mut Vec<Sample>,
) -> Result<(), Failure> {
    let columns = [
        NAME,
        ALIAS,
        DESCRIPTION,
        OPERATING,
        HIGH_SPEED,
        HC_IN_OCTETS,
        HC_OUT_OCTETS,
        IN_OCTETS,
        OUT_OCTETS,
        IN_ERRORS,
        OUT_ERRORS,
        IN_DISCARDS,
        OUT_DISCARDS,
    ];
    let rows = agent.walk(&columns).await?;
    let mut taken = HashSet::new();
    for (index, row) in &rows {
        let text = |column: usize| row.get(&column).and_then(Datum::text);
        let mut name = text(0).or(text(2)).map_or_else(|| index.to_string(), str::to_owned);
        // Some agents give many interfaces one name.
        if !taken.insert(name.clone()) {
            name = format!("{name} #{index}");
        }
        let label = |sample: Sample| {
            let sample = sample.with("interface", name.clone());
            match text(1) {
                Some(alias) => sample.with("alias", alias),
                None => sample,
            }
        };
        if let Some(state) = row.get(&3).and_then(Datum::number) {
            // ifOperStatus: 1 is up.
            samples.push(label(Sample::new("net_up", "count", host, f64::from(u8::from((state - 1.0).abs() < 0.5)))));
        }
        // ifHighSpeed is in megabits a second.
        let speed = row.get(&4).and_then(Datum::number).filter(|s| *s > 0.0).map(|s| s * 1e6 / 8.0);
        for (metric, used, unit, wide, narrow) in [
            ("net_receive_bytes_per_second", Some("net_receive_used_ratio"), "bytes_per_second", 5, 7),
            ("net_transmit_bytes_per_second", Some("net_transmit_used_ratio"), "bytes_per_second", 6, 8),
            ("net_receive_errors_per_second", None, "per_second", 9, 9),
            ("net_transmit_errors_per_second", None, "per_second", 10, 10),
            ("net_receive_discards_per_second", None, "per_second", 11, 11),
            ("net_transmit_discards_per_second", None, "per_second", 12, 12),
        ] {
            let reading = [wide, narrow].into_iter().find_map(|column| row.get(&column).and_then(Datum::counter));
            let Some((value, width)) = reading else { continue };
            let counter = memory.counters.entry((*index, metric)).or_default();
            let Some(rate) = counter.advance(at, value, width, fresh) else { continue };
            samples.push(label(Sample::new(metric, unit, host, rate)));
            if let (Some(used), Some(speed)) = (used, speed) {
                samples.push(label(Sample::new(used, "ratio", host, (rate / speed).min(1.0))));
            }
        }
    }
    memory.counters.retain(|(index, _), _| rows.contains_key(index));
    Ok(())
}

async fn resources(agent: &mut Agent, host: &str, samples: &mut Vec<Sample>) -> Result<(), Failure> {
    let processors = agent.walk(&[PROCESSOR_LOAD]).await?;
    let loads: Vec<f64> = processors.values().filter_map(|row| row.get(&0).and_then(Datum::number)).collect();
    if !loads.is_empty() {
        let mean = loads.iter().sum::<f64>() / loads.len() as f64 / 100.0;
        samples.push(Sample::new("cpu_usage_ratio", "ratio", host, mean.clamp(0.0, 1.0)));
    }
    let storage = agent.walk(&[STORAGE_TYPE, STORAGE_NAME, STORAGE_UNIT, STORAGE_SIZE, STORAGE_USED]).await?;
    for row in storage.values() {
        let number = |column: usize| row.get(&column).and_then(Datum::number);
        let (Some(unit), Some(size), Some(used)) = (number(2), number(3), number(4)) else { continue };
        let (Some(Datum::Object(kind)), Some(name)) = (row.get(&0), row.get(&1).and_then(Datum::text)) else {
            continue;
        };
        if size <= 0.0 {
            continue;
        }
        let label = |sample: Sample| if kind == IS_DISK { sample.with("mount", name) } else { sample };
        let (bytes, total, ratio) = match kind.as_slice() {
            IS_DISK => ("disk_used_bytes", "disk_total_bytes", "disk_used_ratio"),
            IS_MEMORY => ("memory_used_bytes", "memory_total_bytes", "memory_used_ratio"),
            _ => continue,
        };
        samples.push(label(Sample::new(bytes, "bytes", host, used * unit)));
        samples.push(label(Sample::new(total, "bytes", host, size * unit)));
        samples.push(label(Sample::new(ratio, "ratio", host, (used / size).clamp(0.0, 1.0))));
    }
    Ok(())
}

/// The other end.
struct Agent {
    session: AsyncSession,
    /// How long one question waits for its answer.
    patience: Duration,
}

enum Question<'a> {
    Get(&'a [&'a Oid<'a>]),
    Bulk(&'a [&'a Oid<'a>]),
}

impl Agent {
    /// Learns the engine's id and time (RFC 3414 §4).
    async fn init(&mut self) -> Result<(), Failure> {
        for _ in 0..TRIES {
            match timeout(self.patience, self.session.init()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(e)) => return Err(explain(&e)),
                Err(_) => {}
            }
        }
        Err(silent())
    }

    async fn get(&mut self, names: &[&[u64]]) -> Result<Vec<Datum>, Failure> {
        let names: Vec<Oid<'static>> = names.iter().map(|name| oid(name)).collect::<Result<_, _>>()?;
        let references: Vec<&Oid<'_>> = names.iter().collect();
        Ok(self.ask(&Question::Get(&references)).await?.into_iter().map(|(_, datum)| datum).collect())
    }

    /// Reads columns of a table.
    async fn walk(&mut self, columns: &[&[u64]]) -> Result<Rows, Failure> {
        let mut rows = Rows::new();
        for (group, some) in columns.chunks(COLUMNS).enumerate() {
            let mut open: Vec<(usize, &[u64], Vec<u64>)> =
                some.iter().enumerate().map(|(n, column)| (group * COLUMNS + n, *column, column.to_vec())).collect();
            while !open.is_empty() {
                let cursors: Vec<Oid<'static>> =
                    open.iter().map(|(_, _, cursor)| oid(cursor)).collect::<Result<_, _>>()?;
                let references: Vec<&Oid<'_>> = cursors.iter().collect();
                let answer = self.ask(&Question::Bulk(&references)).await?;
                let width = open.len();
                let mut moved = vec![false; width];
                let mut ended = vec![false; width];
                for (place, (name, datum)) in answer.into_iter().enumerate() {
                    let (column, prefix, cursor) = &mut open[place % width];
                    // An agent that answers with a name that does not come after the one asked for would go on for ever.
                    if ended[place % width] || datum == Datum::Nothing || !name.starts_with(prefix) || name <= *cursor {
                        ended[place % width] = true;
                        continue;
                    }
                    if let [index] = name[prefix.len()..] {
                        rows.entry(index).or_default().insert(*column, datum);
                    }
                    *cursor = name;
                    moved[place % width] = true;
                }
                let mut place = 0;
                open.retain(|_| {
                    place += 1;
                    moved[place - 1] && !ended[place - 1]
                });
                if rows.len() > MOST_ROWS {
                    return Err(Failure(format!("the agent has tables of more than {MOST_ROWS} rows")));
                }
            }
        }
        Ok(rows)
    }

    async fn ask(&mut self, question: &Question<'_>) -> Result<Vec<(Vec<u64>, Datum)>, Failure> {
        let mut updated = 0;
        let mut lost = 0;
        while lost < TRIES {
            match timeout(self.patience, self.once(question)).await {
                Ok(Ok(answer)) => return Ok(answer),
                // The engine's time was learned from the answer, or the answer was to a question that was given up.
                Ok(Err(Error::AuthUpdated | Error::RequestIdMismatch)) if updated < 8 => updated += 1,
                Ok(Err(e)) => return Err(explain(&e)),
                Err(_) => lost += 1,
            }
        }
        Err(silent())
    }

    async fn once(&mut self, question: &Question<'_>) -> Result<Vec<(Vec<u64>, Datum)>, Error> {
        let answer = match question {
            Question::Get(names) => self.session.get_many(names).await?,
            Question::Bulk(names) => self.session.getbulk(names, 0, ROWS).await?,
        };
        if answer.error_status != 0 {
            return Err(Error::ValueOutOfRange);
        }
        Ok(answer.varbinds.map(|(name, value)| (arcs(&name), detach(value))).collect())
    }
}

fn silent() -> Failure {
    Failure::new("no answer: the address, the port or the community is wrong, or the agent is down")
}

fn oid(arcs: &[u64]) -> Result<Oid<'static>, Failure> {
    Oid::from(arcs).map_err(|_| Failure::new("the agent names an object that cannot be asked for"))
}

fn arcs(oid: &Oid<'_>) -> Vec<u64> {
    oid.iter().map(Iterator::collect).unwrap_or_default()
}

fn detach(value: Value<'_>) -> Datum {
    match value {
        Value::Integer(n) => Datum::Number(n),
        Value::Unsigned32(n) => Datum::Number(i64::from(n)),
        Value::Counter32(n) => Datum::Counter32(n),
        Value::Counter64(n) => Datum::Counter64(n),
        Value::Timeticks(n) => Datum::Ticks(n),
        Value::OctetString(bytes) => Datum::Text(String::from_utf8_lossy(bytes).trim_matches(['\0', ' ']).to_owned()),
        Value::ObjectIdentifier(oid) => Datum::Object(arcs(&oid)),
        _ => Datum::Nothing,
    }
}

fn explain(error: &Error) -> Failure {
    Failure(match error {
        Error::AuthFailure(
            AuthErrorKind::SignatureMismatch | AuthErrorKind::NotAuthenticated | AuthErrorKind::UsernameMismatch,
        )
        | Error::Crypto(_) => "the agent refuses the user or its pass phrases".to_owned(),
        Error::AuthFailure(kind) => format!("the agent refuses: {kind}"),
        Error::AsnWrongType => "the agent refuses the user, its pass phrases or its protocols".to_owned(),
        Error::CommunityMismatch => "the agent answers with another community".to_owned(),
        Error::Receive | Error::Send => "nothing listens for SNMP there".to_owned(),
        other => format!("the agent's answer cannot be read: {other}"),
    })
}

fn security(
    user: &str,
    auth: Option<&(String, String)>,
    privacy: Option<&(String, String)>,
) -> Result<Security, Failure> {
    let phrase = auth.map_or("", |(_, phrase)| phrase.as_str());
    let mut security = Security::new(user.as_bytes(), phrase.as_bytes());
    let Some((protocol, _)) = auth else {
        return Ok(security.with_auth(Auth::NoAuthNoPriv));
    };
    if phrase.is_empty() {
        return Err(Failure::new("the pass phrase is missing: write it again"));
    }
    security = security.with_auth_protocol(match protocol.as_str() {
        "md5" => AuthProtocol::Md5,
        "sha1" => AuthProtocol::Sha1,
        "sha224" => AuthProtocol::Sha224,
        "sha256" => AuthProtocol::Sha256,
        "sha384" => AuthProtocol::Sha384,
        "sha512" => AuthProtocol::Sha512,
        other => return Err(Failure(format!("{other} is no authentication protocol"))),
    });
    let Some((protocol, phrase)) = privacy else {
        return Ok(security.with_auth(Auth::AuthNoPriv));
    };
    if phrase.is_empty() {
        return Err(Failure::new("the pass phrase for privacy is missing: write it again"));
    }
    let cipher = match protocol.as_str() {
        "des" => Cipher::Des,
        "aes128" => Cipher::Aes128,
        "aes192" => Cipher::Aes192,
        "aes256" => Cipher::Aes256,
        other => return Err(Failure(format!("{other} is no privacy protocol"))),
    };
    // Net-SNMP and most agents lengthen short keys this way (draft-blumenthal-aes-usm-04 §3.1.2.1).
    Ok(security
        .with_key_extension_method(KeyExtension::Blumenthal)
        .with_auth(Auth::AuthPriv { cipher, privacy_password: phrase.as_bytes().to_vec() }))
}
