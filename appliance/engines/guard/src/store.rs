//! The SQL of devices, detections and certificates.

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use sent_contract::{
    Uuid,
    guard::{Certificate, Detection, Device},
};
use sent_core::table::{SyncClass, Table};
use sent_store::{StoreError, Tx};
use serde::{Serialize, de::DeserializeOwned};

use crate::{detection, view};

/// The tables of this engine.
pub const TABLES: &[Table] = &[
    Table::new("guard_devices", &["mac"], SyncClass::Up),
    Table::new("guard_detections", &["id"], SyncClass::Up),
    Table::new("guard_certificates", &["server", "port", "sha256"], SyncClass::Up),
];

type Result<T> = std::result::Result<T, StoreError>;

const DETECTION: &str = "id, kind, severity, title, state, facts, mac, source, destination, port, community_id, started_at, \
                         last_at, count, acknowledged_by";

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, e.into()))
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(format!("a value cannot be written as JSON: {e}")))
}

/// Adds a device, or brings it up to date.
pub fn put_device(tx: &Tx<'_>, device: &Device) -> Result<()> {
    let known = tx.prepare_cached("SELECT 1 FROM guard_devices WHERE mac = ?1")?.exists([&device.mac])?;
    let sql = if known {
        "UPDATE guard_devices SET maker = ?2, addresses = ?3, names = ?4, system = ?5, system_basis = ?6, roles = ?7,
            last_seen = ?9 WHERE mac = ?1 AND ?8 IS NOT NULL"
    } else {
        "INSERT INTO guard_devices (mac, maker, addresses, names, system, system_basis, roles, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    };
    tx.prepare_cached(sql)?.execute(params![
        device.mac,
        device.maker,
        text(&device.addresses)?,
        text(&device.names)?,
        device.system,
        device.system_basis,
        text(&device.roles)?,
        device.first_seen,
        device.last_seen,
    ])?;
    Ok(())
}

/// All devices, those seen last first.
pub fn devices(connection: &Connection) -> Result<Vec<Device>> {
    let sql =
        "SELECT mac, maker, addresses, names, system, system_basis, roles, first_seen, last_seen FROM guard_devices
               ORDER BY last_seen DESC, mac";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| {
        Ok(view::named(Device {
            mac: row.get(0)?,
            random: false,
            name: None,
            maker: row.get(1)?,
            addresses: json(row, 2)?,
            names: json(row, 3)?,
            system: row.get(4)?,
            system_basis: row.get(5)?,
            roles: json(row, 6)?,
            first_seen: row.get(7)?,
            last_seen: row.get(8)?,
        }))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Keeps a certificate; one that is known stays as it is.
pub fn put_certificate(tx: &Tx<'_>, certificate: &Certificate) -> Result<()> {
    let c = certificate;
    let known = "SELECT 1 FROM guard_certificates WHERE server = ?1 AND port = ?2 AND sha256 = ?3";
    if tx.prepare_cached(known)?.exists(params![c.server, c.port, c.sha256])? {
        return Ok(());
    }
    let sql =
        "INSERT INTO guard_certificates (server, port, sha256, name, subject, issuer, names, not_before, not_after,
                   public_key, signature, self_signed, weak, own, first_seen)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    tx.prepare_cached(sql)?.execute(params![
        c.server,
        c.port,
        c.sha256,
        c.name,
        c.subject,
        c.issuer,
        text(&c.names)?,
        c.not_before,
        c.not_after,
        c.key,
        c.signature,
        c.self_signed,
        text(&c.weak)?,
        c.own,
        c.first_seen,
    ])?;
    Ok(())
}

/// All certificates, the first to end first.
pub fn certificates(connection: &Connection, most: usize) -> Result<Vec<Certificate>> {
    let sql = "SELECT server, port, sha256, name, subject, issuer, names, not_before, not_after, public_key, signature,
                   self_signed, weak, own, first_seen
               FROM guard_certificates ORDER BY not_after, server, port, sha256 LIMIT ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
        Ok(Certificate {
            server: row.get(0)?,
            port: row.get(1)?,
            sha256: row.get(2)?,
            name: row.get(3)?,
            subject: row.get(4)?,
            issuer: row.get(5)?,
            names: json(row, 6)?,
            not_before: row.get(7)?,
            not_after: row.get(8)?,
            key: row.get(9)?,
            signature: row.get(10)?,
            self_signed: row.get(11)?,
            weak: json(row, 12)?,
            own: row.get(13)?,
            first_seen: row.get(14)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Keeps a detection under `id`; one that is open for the same trouble is brought up to date instead.
pub fn put_detection(tx: &Tx<'_>, id: Uuid, detection: &detection::Detection) -> Result<()> {
    let micros = |nanoseconds: i64| nanoseconds.div_euclid(1_000);
    let d = detection;
    let open = "SELECT id FROM guard_detections WHERE key = ?1 AND state = 'open'";
    let open: Option<String> = tx.prepare_cached(open)?.query_row([&d.key], |row| row.get(0)).optional()?;
    if let Some(open) = open {
        let sql = "UPDATE guard_detections SET severity = ?2, title = ?3, facts = ?4, community_id = ?5,
                       last_at = max(last_at, ?6), count = count + 1 WHERE id = ?1";
        let (facts, last) = (text(&d.facts)?, micros(d.end));
        tx.prepare_cached(sql)?.execute(params![open, d.severity.name(), d.title, facts, d.community_id, last])?;
        return Ok(());
    }
    let sql =
        "INSERT INTO guard_detections (id, key, kind, severity, title, facts, mac, source, destination, port, protocol,
                   community_id, started_at, last_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    tx.prepare_cached(sql)?.execute(params![
        id.to_string(),
        d.key,
        d.kind.name(),
        d.severity.name(),
        d.title,
        text(&d.facts)?,
        d.mac.map(|mac| mac.to_string()),
        d.source.map(|address| address.to_string()),
        d.destination.map(|address| address.to_string()),
        d.port,
        d.protocol,
        d.community_id,
        micros(d.start),
        micros(d.end),
    ])?;
    Ok(())
}

fn shown(row: &Row<'_>) -> rusqlite::Result<Detection> {
    let id: String = row.get(0)?;
    Ok(Detection {
        id: Uuid::parse_str(&id).map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, e.into()))?,
        kind: row.get(1)?,
        severity: row.get(2)?,
        title: row.get(3)?,
        state: row.get(4)?,
        facts: json(row, 5)?,
        mac: row.get(6)?,
        source: row.get(7)?,
        destination: row.get(8)?,
        port: row.get(9)?,
        community_id: row.get(10)?,
        started_at: row.get(11)?,
        last_at: row.get(12)?,
        count: row.get::<_, i64>(13)?.unsigned_abs(),
        acknowledged_by: row.get(14)?,
    })
}

/// Which detections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `open` or `acknowledged`.
    pub state: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// The device.
    pub mac: Option<String>,
    /// Behind this one: its last evidence and its id.
    pub after: Option<(i64, String)>,
}

/// Detections, the newest evidence first.
pub fn detections(connection: &Connection, filter: &Filter, most: usize) -> Result<Vec<Detection>> {
    let sql = format!(
        "SELECT {DETECTION} FROM guard_detections
         WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR kind = ?2) AND (?3 IS NULL OR mac = ?3)
           AND (?4 IS NULL OR (last_at, id) < (?4, ?5))
         ORDER BY last_at DESC, id DESC LIMIT ?6"
    );
    let (at, id) = filter.after.clone().unzip();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![filter.state, filter.kind, filter.mac, at, id, most], shown)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// A detection.
pub fn detection(connection: &Connection, id: Uuid) -> Result<Option<Detection>> {
    let sql = format!("SELECT {DETECTION} FROM guard_detections WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id.to_string()], shown).optional()?)
}

/// Somebody has seen to a detection; false when somebody had before.
pub fn acknowledge(tx: &Tx<'_>, id: Uuid, who: &str, now: i64) -> Result<bool> {
    let open = "SELECT 1 FROM guard_detections WHERE id = ?1 AND state = 'open'";
    if !tx.prepare_cached(open)?.exists([id.to_string()])? {
        return Ok(false);
    }
    let sql =
        "UPDATE guard_detections SET state = 'acknowledged', acknowledged_by = ?2, acknowledged_at = ?3 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute(params![id.to_string(), who, now])?;
    Ok(true)
}

/// Deletes detections whose last evidence is older, at most so many; answers how many.
pub fn forget_detections(tx: &Tx<'_>, before: i64, most: usize) -> Result<usize> {
    let sql = "SELECT id FROM guard_detections WHERE last_at < ?1 ORDER BY last_at LIMIT ?2";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = tx.prepare_cached(sql)?;
    let old: Vec<String> =
        statement.query_map(params![before, most], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for id in &old {
        tx.prepare_cached("DELETE FROM guard_detections WHERE id = ?1")?.execute([id])?;
    }
    Ok(old.len())
}
