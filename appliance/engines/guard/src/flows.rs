//! Flows in DuckDB: written in batches by one thread, read in snapshots.
//!
//! The file belongs to this engine alone. A batch is one transaction; what was not yet written when the process is killed
//! is lost, since packets cannot be asked for again.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use duckdb::{Config, Connection, Row, ToSql, appender_params_from_iter, params_from_iter, types::Value};
use sent_contract::guard::{End, Flow as Shown, Link, Spell, Spoken, Talker, Traffic};

use crate::{device::Mac, flow::Flow, record::Protocol};

/// The numbered migrations, in order.
const MIGRATIONS: &[(&str, &str)] = &[("0001_flows", include_str!("../../../../migrations/flows/0001_flows.sql"))];
/// The file's name.
const FILE: &str = "flows.duckdb";
/// Connections kept for readers.
const IDLE: usize = 4;
/// Ends of each side, and pairs of them, that a drawing is made of.
const ENDS: usize = 50;
const LINKS: usize = 400;
/// Columns of time, and applications that have their own part of each.
const COLUMNS: i64 = 96;
const APPS: usize = 4;
/// Flows and bytes of a group; a long flow is counted by its first part.
const SUMS: &str = "count(*) FILTER (WHERE part = 0), sum(bytes_out)::UBIGINT, sum(bytes_in)::UBIGINT";
/// Columns as a page has them.
const SHOWN: &str = "id, community_id, part, started, ended, protocol, src, sport, src_mac, dst, dport, dst_mac, name, app, \
                     state, ja4, packets_out, packets_in, bytes_out, bytes_in";

/// Why flows cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum FlowsError {
    /// DuckDB refused.
    #[error("{0}")]
    Database(#[from] duckdb::Error),
    /// The file was made by a newer program, or a migration was changed.
    #[error(
        "the file of flows does not fit this program (migration {0}): use the version that wrote it, or a newer one"
    )]
    Migration(String),
}

impl From<FlowsError> for sent_core::Problem {
    fn from(error: FlowsError) -> Self {
        Self::internal(error)
    }
}

/// A flow on its way to disk.
#[derive(Debug)]
pub struct Stored {
    /// It.
    pub flow: Flow,
    /// What its destination is called.
    pub name: Option<String>,
}

/// Which flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Ended at this time or later, µs.
    pub from: Option<i64>,
    /// Ended before, µs.
    pub to: Option<i64>,
    /// Each of them is one of the ends.
    pub addresses: Vec<String>,
    /// Either end's MAC address.
    pub mac: Option<String>,
    /// The port that was asked.
    pub port: Option<u16>,
    /// What is spoken.
    pub app: Option<String>,
    /// A part of the name.
    pub words: Option<String>,
    /// Its community id.
    pub flow: Option<String>,
    /// Before this one.
    pub after: Option<u64>,
}

/// The file.
pub struct Flows {
    template: Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
}

impl Flows {
    /// Opens or makes the file of a folder. Answers it with its writer, of which there is one.
    pub fn open(folder: &Path) -> Result<(Self, Writer), FlowsError> {
        let config = Config::default()
            .max_memory("64MB")?
            .threads(1)?
            .with("preserve_insertion_order", "false")?
            .with("checkpoint_threshold", "16MB")?
            // No files beyond its own, and nothing out of the network.
            .with("autoinstall_known_extensions", "false")?
            .with("autoload_known_extensions", "false")?
            .enable_external_access(false)?;
        let connection = Connection::open_with_flags(folder.join(FILE), config)?;
        migrate(&connection)?;
        let next = connection.query_row("SELECT coalesce(max(id) + 1, 1) FROM flows", [], |row| row.get(0))?;
        let flows = Self { template: Mutex::new(connection.try_clone()?), idle: Mutex::default() };
        Ok((flows, Writer { connection, next }))
    }

    /// Flows, the newest first.
    pub fn list(&self, filter: &Filter, limit: usize) -> Result<Vec<Shown>, FlowsError> {
        let (condition, values) = condition(filter);
        let sql = format!("SELECT {SHOWN} FROM flows WHERE {condition} ORDER BY id DESC LIMIT {limit}");
        self.read(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), shown)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Who talks to whom, the most bytes first.
    pub fn talkers(&self, filter: &Filter, limit: usize) -> Result<Vec<Talker>, FlowsError> {
        let (condition, values) = condition(filter);
        let sql = format!(
            "SELECT src, dst, arg_max(name, ended), mode(app), count(*) FILTER (WHERE part = 0), sum(bytes_out)::UBIGINT,
                sum(bytes_in)::UBIGINT
             FROM flows WHERE {condition} GROUP BY src, dst ORDER BY sum(bytes_out) + sum(bytes_in) DESC, src, dst LIMIT {limit}"
        );
        self.read(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let rows = statement.query_map(params_from_iter(values), |row| {
                Ok(Talker {
                    src: row.get(0)?,
                    src_name: None,
                    dst: row.get(1)?,
                    dst_name: row.get(2)?,
                    app: row.get(3)?,
                    flows: row.get(4)?,
                    bytes_out: row.get(5)?,
                    bytes_in: row.get(6)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What flows add up to. `name` and `mac` of an end are left to who knows devices.
    pub fn traffic(&self, filter: &Filter) -> Result<Traffic, FlowsError> {
        let (condition, values) = condition(filter);
        let most = "ORDER BY sum(bytes_out) + sum(bytes_in) DESC, 1";
        let grouped = |by: &str, limit: usize| {
            format!("SELECT {by}, {SUMS} FROM flows WHERE {condition} GROUP BY {by} {most} LIMIT {limit}")
        };
        let step = match (filter.from, filter.to) {
            (Some(from), Some(to)) if from < to => ((to - from) / COLUMNS).max(1),
            _ => 0,
        };
        self.read(|connection| {
            let ask = |sql: &str, before: &[Value]| {
                let values = before.iter().chain(&values).cloned();
                connection.prepare(sql).map(|statement| (statement, params_from_iter(values.collect::<Vec<_>>())))
            };
            let (mut statement, given) = ask(&grouped("app", usize::MAX >> 1), &[])?;
            let apps: Vec<Spoken> = statement
                .query_map(given, |row| {
                    Ok(Spoken { app: row.get(0)?, flows: row.get(1)?, bytes_out: row.get(2)?, bytes_in: row.get(3)? })
                })?
                .collect::<Result<_, _>>()?;
            let ends = |by: &str| -> Result<Vec<End>, FlowsError> {
                let (mut statement, given) = ask(&grouped(by, ENDS), &[])?;
                let rows = statement.query_map(given, end)?;
                Ok(rows.collect::<Result<_, _>>()?)
            };
            let (top_sources, top_destinations) = (ends("src")?, ends(ASKED)?);
            let counted = format!("SELECT count(DISTINCT src), count(DISTINCT {ASKED}) FROM flows WHERE {condition}");
            let (mut statement, given) = ask(&counted, &[])?;
            let (sources, destinations) = statement.query_row(given, |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (mut statement, given) = ask(&grouped(&format!("src, {ASKED}, app"), LINKS), &[])?;
            let links = statement.query_map(given, link)?.collect::<Result<_, _>>()?;
            let columns = if step == 0 {
                Vec::new()
            } else {
                let first: Vec<Value> =
                    apps.iter().filter_map(|spoken| spoken.app.clone().map(Value::Text)).take(APPS).collect();
                let named = vec!["?"; first.len()].join(", ");
                let part = if first.is_empty() {
                    "NULL::VARCHAR".to_owned()
                } else {
                    format!("CASE WHEN app IN ({named}) THEN app END")
                };
                // Columns begin at multiples of their width, so that they stand still while the range rolls on.
                let sql = format!(
                    "SELECT ended // {step} * {step}, {part}, sum(bytes_out + bytes_in)::UBIGINT
                     FROM flows WHERE {condition} GROUP BY ALL ORDER BY 1, 2"
                );
                let (mut statement, given) = ask(&sql, &first)?;
                let spell = |row: &Row<'_>| Ok(Spell { at: row.get(0)?, app: row.get(1)?, bytes: row.get(2)? });
                statement.query_map(given, spell)?.collect::<Result<_, _>>()?
            };
            Ok(Traffic {
                flows: apps.iter().map(|spoken| spoken.flows).sum(),
                bytes_out: apps.iter().map(|spoken| spoken.bytes_out).sum(),
                bytes_in: apps.iter().map(|spoken| spoken.bytes_in).sum(),
                sources,
                destinations,
                top_sources,
                top_destinations,
                apps,
                links,
                step,
                columns,
            })
        })
    }

    fn read<T>(&self, f: impl FnOnce(&Connection) -> Result<T, FlowsError>) -> Result<T, FlowsError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.template.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?,
        };
        let answer = f(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
        answer
    }
}

/// Writes flows.
pub struct Writer {
    connection: Connection,
    next: u64,
}

impl Writer {
    /// Writes a batch: all of it or nothing.
    pub fn write(&mut self, flows: &[Stored]) -> Result<(), FlowsError> {
        self.connection.execute_batch("BEGIN TRANSACTION")?;
        let written = self.append(flows);
        let ended = self.connection.execute_batch(if written.is_ok() { "COMMIT" } else { "ROLLBACK" });
        written?;
        ended?;
        self.next += flows.len() as u64;
        Ok(())
    }

    fn append(&self, flows: &[Stored]) -> Result<(), FlowsError> {
        let mut appender = self.connection.appender("flows")?;
        for (id, stored) in (self.next..).zip(flows) {
            appender.append_row(appender_params_from_iter(row(id, stored)))?;
        }
        Ok(appender.flush()?)
    }

    /// Deletes what ended before, µs.
    pub fn forget(&mut self, before: i64) -> Result<(), FlowsError> {
        self.connection.execute("DELETE FROM flows WHERE ended < ?", [before])?;
        Ok(())
    }
}

/// Runs the migrations that this file has not seen.
fn migrate(connection: &Connection) -> Result<(), FlowsError> {
    connection
        .execute_batch("CREATE TABLE IF NOT EXISTS migrations (name VARCHAR NOT NULL, digest VARCHAR NOT NULL)")?;
    let mut statement = connection.prepare("SELECT name, digest FROM migrations ORDER BY name")?;
    let ran: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let digest = |sql: &str| hex::encode(ring::digest::digest(&ring::digest::SHA256, sql.as_bytes()));
    for (place, (name, known)) in ran.iter().enumerate() {
        let ours = MIGRATIONS.get(place).is_some_and(|(ours, sql)| ours == name && digest(sql) == *known);
        if !ours {
            return Err(FlowsError::Migration(name.clone()));
        }
    }
    for (name, sql) in MIGRATIONS.iter().skip(ran.len()) {
        let run =
            format!("BEGIN TRANSACTION; {sql}; INSERT INTO migrations VALUES ('{name}', '{}'); COMMIT", digest(sql));
        if let Err(error) = connection.execute_batch(&run) {
            // The transaction may be over already; then there is nothing to roll back.
            let _ = connection.execute_batch("ROLLBACK");
            return Err(error.into());
        }
    }
    Ok(())
}

fn row(id: u64, stored: &Stored) -> Vec<Box<dyn ToSql>> {
    let flow = &stored.flow;
    let ((source, sport), (destination, dport)) = (flow.initiator(), flow.responder());
    let address = |address: crate::packet::Address| address.ip(flow.key.six).to_string();
    let mac = |side: usize| flow.macs.map(|macs| Mac(macs[side]).to_string());
    let tls = flow.facts.as_ref().and_then(|facts| facts.tls.as_ref());
    let [ours, theirs] = flow.sides;
    vec![
        Box::new(id),
        Box::new(flow.community_id()),
        Box::new(flow.part),
        Box::new(flow.start.div_euclid(1_000)),
        Box::new(flow.end.div_euclid(1_000)),
        Box::new(flow.key.protocol),
        Box::new(address(source)),
        Box::new(sport),
        Box::new(mac(0)),
        Box::new(address(destination)),
        Box::new(dport),
        Box::new(mac(1)),
        Box::new(flow.key.vlan),
        Box::new(flow.tunnel.map(|tunnel| tunnel.name())),
        Box::new(stored.name.clone()),
        Box::new(flow.app.map(|app| app.name())),
        Box::new(flow.state.name()),
        Box::new(tls.and_then(|tls| tls.ja4.clone())),
        Box::new(ours.packets),
        Box::new(theirs.packets),
        Box::new(ours.octets),
        Box::new(theirs.octets),
    ]
}

fn condition(filter: &Filter) -> (String, Vec<Value>) {
    let mut parts = vec!["true".to_owned()];
    let mut values = Vec::new();
    let mut part = |sql: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.extend(std::iter::repeat_n(value, sql.matches('?').count()));
            parts.push(sql.to_owned());
        }
    };
    part("ended >= ?", filter.from.map(Value::BigInt));
    part("ended < ?", filter.to.map(Value::BigInt));
    for address in &filter.addresses {
        part("(src = ? OR dst = ?)", Some(Value::Text(address.clone())));
    }
    part("(src_mac = ? OR dst_mac = ?)", filter.mac.clone().map(Value::Text));
    part("dport = ?", filter.port.map(Value::USmallInt));
    part("app = ?", filter.app.clone().map(Value::Text));
    part("contains(lower(name), ?)", filter.words.as_ref().map(|words| Value::Text(words.to_lowercase())));
    part("community_id = ?", filter.flow.clone().map(Value::Text));
    part("id < ?", filter.after.map(Value::UBigInt));
    (parts.join(" AND "), values)
}

/// Who was asked: the name it was looked up by, or its address.
const ASKED: &str = "coalesce(name, dst)";

fn end(row: &Row<'_>) -> Result<End, duckdb::Error> {
    let (flows, bytes_out, bytes_in) = (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(End { key: row.get(0)?, name: None, mac: None, flows, bytes_out, bytes_in })
}

fn link(row: &Row<'_>) -> Result<Link, duckdb::Error> {
    Ok(Link {
        source: row.get(0)?,
        destination: row.get(1)?,
        app: row.get(2)?,
        bytes_out: row.get(4)?,
        bytes_in: row.get(5)?,
    })
}

fn shown(row: &Row<'_>) -> Result<Shown, duckdb::Error> {
    let protocol: u8 = row.get(5)?;
    Ok(Shown {
        id: row.get(0)?,
        community_id: row.get(1)?,
        part: row.get(2)?,
        start: row.get(3)?,
        end: row.get(4)?,
        proto: match Protocol::of(protocol) {
            Protocol::Named(name) => name.to_owned(),
            Protocol::Numbered(number) => number.to_string(),
        },
        src: row.get(6)?,
        sport: row.get(7)?,
        src_mac: row.get(8)?,
        dst: row.get(9)?,
        dport: row.get(10)?,
        dst_mac: row.get(11)?,
        name: row.get(12)?,
        app: row.get(13)?,
        state: row.get(14)?,
        ja4: row.get(15)?,
        packets_out: row.get(16)?,
        packets_in: row.get(17)?,
        bytes_out: row.get(18)?,
        bytes_in: row.get(19)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        frames::{Wire, inside, outside},
        settings::Settings,
    };

    #[test]
    fn flows_are_found_again_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut wire = Wire::new(&Settings::default());
        for life in 0..2u8 {
            let (_flows, mut writer) = Flows::open(folder.path()).expect("opens");
            let batch: Vec<Stored> = (0..30u16)
                .map(|port| {
                    let (client, server) = ((inside(7 + life), 40_000 + port), (outside(9), 443 + port % 2));
                    let flow = wire.flow_of(client, server, b"hi", b"hello");
                    Stored { flow, name: (port < 10).then(|| "Shop.example.com".to_owned()) }
                })
                .collect();
            writer.write(&batch).expect("writes");
        }
        let (flows, mut writer) = Flows::open(folder.path()).expect("opens");
        let all = flows.list(&Filter::default(), 100).expect("lists");
        assert_eq!(all.iter().map(|flow| flow.id).collect::<Vec<_>>(), (1..=60).rev().collect::<Vec<_>>());
        let count = |filter: Filter| flows.list(&filter, 100).expect("lists").len();
        let some = |text: &str| Some(text.to_owned());
        let addresses = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(count(Filter { addresses: addresses(&["192.168.1.7"]), ..Filter::default() }), 30);
        assert_eq!(count(Filter { addresses: addresses(&["192.168.1.7", &all[0].dst]), ..Filter::default() }), 30);
        assert_eq!(count(Filter { addresses: addresses(&["192.168.1.7", "192.168.1.8"]), ..Filter::default() }), 0);
        assert_eq!(count(Filter { mac: Some(Mac(inside(8).mac).to_string()), ..Filter::default() }), 30);
        assert_eq!(count(Filter { port: Some(443), after: Some(31), ..Filter::default() }), 15);
        assert_eq!(count(Filter { words: some("SHOP"), ..Filter::default() }), 20);
        assert_eq!(count(Filter { flow: Some(all[0].community_id.clone()), ..Filter::default() }), 1);
        assert_eq!(count(Filter { words: some("' OR 1=1"), ..Filter::default() }), 0);
        let talkers = flows.talkers(&Filter::default(), 10).expect("adds up");
        assert_eq!(talkers.len(), 2);
        assert_eq!((talkers[0].flows, talkers[0].dst_name.as_deref()), (30, Some("Shop.example.com")));
        assert_eq!(talkers[0].bytes_out, all.iter().take(30).map(|flow| flow.bytes_out).sum::<u64>());
        let (from, to) = (all[59].end, all[0].end + 1);
        let traffic = flows.traffic(&Filter { from: Some(from), to: Some(to), ..Filter::default() }).expect("adds up");
        assert_eq!((traffic.flows, traffic.sources, traffic.destinations), (60, 2, 2));
        assert_eq!(traffic.bytes_out, all.iter().map(|flow| flow.bytes_out).sum::<u64>());
        let bytes = |out: u64, back: u64| out + back;
        let whole = bytes(traffic.bytes_out, traffic.bytes_in);
        assert_eq!(traffic.links.iter().map(|link| bytes(link.bytes_out, link.bytes_in)).sum::<u64>(), whole);
        assert_eq!(traffic.columns.iter().map(|column| column.bytes).sum::<u64>(), whole);
        assert_eq!(traffic.top_destinations.iter().map(|end| end.flows).collect::<Vec<_>>(), [40, 20]);
        assert!(traffic.columns.iter().all(|column| column.at % traffic.step == 0));
        let none = flows.traffic(&Filter { app: some("gopher"), ..Filter::default() }).expect("adds up");
        assert_eq!(none, Traffic::default());
        let middle = all[30].end;
        writer.forget(middle).expect("deletes");
        assert!(flows.list(&Filter::default(), 100).expect("lists").iter().all(|flow| flow.end >= middle));
    }
}
