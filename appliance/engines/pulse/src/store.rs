//! The SQL of checks, rules, silences, alerts and notifications.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, params};
use sent_contract::{
    Level, Micros, Uuid,
    pulse::{CheckKind, NewCheck, Rule, Silence},
};
use sent_core::table::{SyncClass, Table};
use sent_protocol::series::Labels;
use sent_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::{
    alert::{Kept, Outcome, title},
    model::{
        alert::{Effect, Stage},
        kind::times,
    },
    runner::State,
};

/// The tables of this engine.
pub const TABLES: &[Table] = &[
    Table::new("checks", &["id"], SyncClass::Up).with_enciphered(&["secret"]),
    Table::new("check_states", &["check_id"], SyncClass::State),
    Table::new("rules", &["id"], SyncClass::Up),
    Table::new("silences", &["id"], SyncClass::Up),
    Table::new("alerts", &["id"], SyncClass::Up),
    Table::new("notifications", &["id"], SyncClass::Up),
    Table::new("alert_machines", &["rule_id", "series"], SyncClass::State),
];

type Result<T> = std::result::Result<T, StoreError>;

/// A check as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// What and how, secrets masked.
    pub kind: CheckKind,
    /// Seconds between runs.
    pub interval: u32,
    /// Seconds a run may take.
    pub timeout: u32,
    /// Not run.
    pub paused: bool,
    /// The sealed secrets.
    pub secret: Option<String>,
}

/// One attempt to notify.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// When, µs.
    pub at: Micros,
    /// Why it failed; nothing when it went through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A notification with what it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// Id.
    pub id: Uuid,
    /// Alert.
    pub alert: AlertRow,
    /// How far the alert is told: `raised`, `escalated`, `resolved`.
    pub stage: String,
    /// Where it goes.
    pub target: String,
    /// Attempts so far.
    pub attempts: Vec<Attempt>,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRow {
    /// Id.
    pub id: Uuid,
    /// Rule.
    pub rule: Uuid,
    /// Headline.
    pub title: String,
    /// State.
    pub state: String,
    /// Severity.
    pub severity: String,
    /// Series id.
    pub series: String,
    /// Labels of the series.
    pub labels: Labels,
    /// Value.
    pub value: Option<f64>,
    /// Raised.
    pub raised_at: Micros,
    /// Resolved.
    pub resolved_at: Option<Micros>,
    /// Who acknowledged.
    pub acknowledged_by: Option<String>,
}

const ALERT: &str =
    "id, rule_id, title, state, severity, series, labels, value, raised_at, resolved_at, acknowledged_by";

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let text: String = row.get(column)?;
    Uuid::parse_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, e.into()))
}

fn json<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, e.into()))
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(format!("a value cannot be written as JSON: {e}")))
}

fn rows<T>(
    c: &Connection,
    sql: &str,
    p: impl rusqlite::Params,
    f: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = c.prepare_cached(sql)?;
    let found = statement.query_map(p, f)?.collect::<rusqlite::Result<Vec<T>>>()?;
    Ok(found)
}

/// Whether a row is there. SQLite does not count what a statement changes through a view, so writes ask before.
fn there(c: &Connection, sql: &str, p: impl rusqlite::Params) -> Result<bool> {
    Ok(c.prepare_cached(sql)?.exists(p)?)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        id: uuid(row, 0)?,
        name: row.get(1)?,
        kind: json(row, 2)?,
        interval: row.get(3)?,
        timeout: row.get(4)?,
        paused: row.get(5)?,
        secret: row.get(6)?,
    })
}

/// All checks by name.
pub fn checks(c: &Connection) -> Result<Vec<Stored>> {
    rows(c, "SELECT id, name, kind, interval, timeout, paused, secret FROM checks ORDER BY name, id", [], stored)
}

/// One check.
pub fn check(c: &Connection, id: Uuid) -> Result<Option<Stored>> {
    let sql = "SELECT id, name, kind, interval, timeout, paused, secret FROM checks WHERE id = ?1";
    Ok(c.prepare_cached(sql)?.query_row([id.to_string()], stored).optional()?)
}

/// Adds a check or replaces it.
pub fn put_check(
    tx: &Tx<'_>,
    id: Uuid,
    new: &NewCheck,
    masked: &CheckKind,
    secret: Option<&str>,
    exists: bool,
) -> Result<()> {
    let (interval, timeout) = times(new);
    let sql = if exists {
        "UPDATE checks SET name = ?2, kind = ?3, interval = ?4, timeout = ?5, paused = ?6, secret = ?7 WHERE id = ?1"
    } else {
        "INSERT INTO checks (id, name, kind, interval, timeout, paused, secret) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    };
    tx.execute(sql, params![id.to_string(), new.name.trim(), text(masked)?, interval, timeout, new.paused, secret])?;
    Ok(())
}

/// Removes a check; false when there is none.
pub fn delete_check(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    let id = id.to_string();
    if !there(tx, "SELECT 1 FROM checks WHERE id = ?1", [&id])? {
        return Ok(false);
    }
    tx.execute("DELETE FROM check_states WHERE check_id = ?1", [&id])?;
    tx.execute("DELETE FROM checks WHERE id = ?1", [&id])?;
    Ok(true)
}

/// How checks stood when that last changed.
pub fn states(c: &Connection) -> Result<HashMap<Uuid, State>> {
    let found = rows(c, "SELECT check_id, level, cause, since FROM check_states", [], |row| {
        let level: String = row.get(1)?;
        let state =
            State { level: level_of(&level), cause: row.get(2)?, since: row.get(3)?, last_run: None, latency: None };
        Ok((uuid(row, 0)?, state))
    })?;
    Ok(found.into_iter().collect())
}

/// Keeps how a check stands. A check that is gone has no state.
pub fn put_state(tx: &Tx<'_>, id: Uuid, state: &State) -> Result<()> {
    let id = id.to_string();
    if !there(tx, "SELECT 1 FROM checks WHERE id = ?1", [&id])? {
        return Ok(());
    }
    let sql = if there(tx, "SELECT 1 FROM check_states WHERE check_id = ?1", [&id])? {
        "UPDATE check_states SET level = ?2, cause = ?3, since = ?4 WHERE check_id = ?1"
    } else {
        "INSERT INTO check_states (check_id, level, cause, since) VALUES (?1, ?2, ?3, ?4)"
    };
    tx.execute(sql, params![id, level_name(state.level), state.cause, state.since])?;
    Ok(())
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Bad => "bad",
        Level::Unknown => "unknown",
    }
}

fn level_of(name: &str) -> Level {
    match name {
        "ok" => Level::Ok,
        "warn" => Level::Warn,
        "bad" => Level::Bad,
        _ => Level::Unknown,
    }
}

/// All rules by name.
pub fn rules(c: &Connection) -> Result<Vec<Rule>> {
    let sql = "SELECT id, name, metric, labels, condition, \"raise\", clear, hold_seconds, severity, notify, escalate_after, \
               escalate_to, paused FROM rules ORDER BY name, id";
    rows(c, sql, [], |row| {
        Ok(Rule {
            id: uuid(row, 0)?,
            name: row.get(1)?,
            metric: row.get(2)?,
            labels: json(row, 3)?,
            condition: row.get(4)?,
            raise: row.get(5)?,
            clear: row.get(6)?,
            hold_seconds: row.get(7)?,
            severity: row.get(8)?,
            notify: json(row, 9)?,
            escalate_after: row.get(10)?,
            escalate_to: json(row, 11)?,
            paused: row.get(12)?,
        })
    })
}

/// Adds a rule or replaces it; false when the one to replace is not there.
pub fn put_rule(tx: &Tx<'_>, rule: &Rule, exists: bool) -> Result<bool> {
    if exists && !there(tx, "SELECT 1 FROM rules WHERE id = ?1", [rule.id.to_string()])? {
        return Ok(false);
    }
    let sql = if exists {
        "UPDATE rules SET name = ?2, metric = ?3, labels = ?4, condition = ?5, \"raise\" = ?6, clear = ?7, hold_seconds = ?8, \
         severity = ?9, notify = ?10, escalate_after = ?11, escalate_to = ?12, paused = ?13 WHERE id = ?1"
    } else {
        "INSERT INTO rules (id, name, metric, labels, condition, \"raise\", clear, hold_seconds, severity, notify, \
         escalate_after, escalate_to, paused) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    };
    tx.execute(
        sql,
        params![
            rule.id.to_string(),
            rule.name.trim(),
            rule.metric.trim(),
            text(&rule.labels)?,
            rule.condition,
            rule.raise,
            rule.clear,
            rule.hold_seconds,
            rule.severity,
            text(&rule.notify)?,
            rule.escalate_after,
            text(&rule.escalate_to)?,
            rule.paused,
        ],
    )?;
    Ok(true)
}

/// Removes a rule; false when there is none.
pub fn delete_rule(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    let there = there(tx, "SELECT 1 FROM rules WHERE id = ?1", [id.to_string()])?;
    tx.execute("DELETE FROM rules WHERE id = ?1", [id.to_string()])?;
    Ok(there)
}

/// All silences that are not over, the next to end first.
pub fn silences(c: &Connection, now: Micros) -> Result<Vec<Silence>> {
    let sql =
        "SELECT id, rule_id, labels, from_at, until_at, reason FROM silences WHERE until_at > ?1 ORDER BY until_at, id";
    rows(c, sql, [now], |row| {
        let rule: Option<String> = row.get(1)?;
        Ok(Silence {
            id: uuid(row, 0)?,
            rule: rule.map(|_| uuid(row, 1)).transpose()?,
            labels: json(row, 2)?,
            from: row.get(3)?,
            until: row.get(4)?,
            reason: row.get(5)?,
        })
    })
}

/// Adds a silence.
pub fn add_silence(tx: &Tx<'_>, silence: &Silence) -> Result<()> {
    tx.execute(
        "INSERT INTO silences (id, rule_id, labels, from_at, until_at, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            silence.id.to_string(),
            silence.rule.map(|id| id.to_string()),
            text(&silence.labels)?,
            silence.from,
            silence.until,
            silence.reason
        ],
    )?;
    Ok(())
}

/// Removes a silence; false when there is none.
pub fn delete_silence(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    let there = there(tx, "SELECT 1 FROM silences WHERE id = ?1", [id.to_string()])?;
    tx.execute("DELETE FROM silences WHERE id = ?1", [id.to_string()])?;
    Ok(there)
}

fn alert_row(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
    Ok(AlertRow {
        id: uuid(row, 0)?,
        rule: uuid(row, 1)?,
        title: row.get(2)?,
        state: row.get(3)?,
        severity: row.get(4)?,
        series: row.get(5)?,
        labels: json(row, 6)?,
        value: row.get(7)?,
        raised_at: row.get(8)?,
        resolved_at: row.get(9)?,
        acknowledged_by: row.get(10)?,
    })
}

/// Alerts, newest first. `state` is one of the states, or `open` for all that are not over.
pub fn alerts(c: &Connection, state: Option<&str>, most: u32) -> Result<Vec<AlertRow>> {
    let wanted = match state {
        None => "1 = 1 OR ?1 IS NULL",
        Some("open") => "resolved_at IS NULL AND ?1 IS NOT NULL",
        Some(_) => "state = ?1",
    };
    let sql = format!("SELECT {ALERT} FROM alerts WHERE {wanted} ORDER BY raised_at DESC, id DESC LIMIT ?2");
    rows(c, &sql, params![state, most], alert_row)
}

/// Alerts that were raised from one time up to, and without, another; newest first.
pub fn alerts_between(c: &Connection, from: Micros, to: Micros) -> Result<Vec<AlertRow>> {
    let sql =
        format!("SELECT {ALERT} FROM alerts WHERE raised_at >= ?1 AND raised_at < ?2 ORDER BY raised_at DESC, id DESC");
    rows(c, &sql, [from, to], alert_row)
}

/// One alert.
pub fn alert(c: &Connection, id: Uuid) -> Result<Option<AlertRow>> {
    let sql = format!("SELECT {ALERT} FROM alerts WHERE id = ?1");
    Ok(c.prepare_cached(&sql)?.query_row([id.to_string()], alert_row).optional()?)
}

/// The open alerts, each with whether it is acknowledged.
pub fn open_alerts(c: &Connection) -> Result<HashMap<Uuid, bool>> {
    let found = rows(c, "SELECT id, acknowledged_by IS NOT NULL FROM alerts WHERE resolved_at IS NULL", [], |row| {
        Ok((uuid(row, 0)?, row.get(1)?))
    })?;
    Ok(found.into_iter().collect())
}

/// Somebody takes care of an open alert; false when there is none that nobody had taken yet.
pub fn acknowledge(tx: &Tx<'_>, id: Uuid, who: &str) -> Result<bool> {
    let open = "SELECT 1 FROM alerts WHERE id = ?1 AND resolved_at IS NULL AND acknowledged_by IS NULL";
    if !there(tx, open, [id.to_string()])? {
        return Ok(false);
    }
    let sql = "UPDATE alerts SET state = 'acknowledged', acknowledged_by = ?2 WHERE id = ?1";
    tx.execute(sql, params![id.to_string(), who])?;
    Ok(true)
}

/// Ends an alert that nothing watches any more.
pub fn close(tx: &Tx<'_>, id: Uuid, now: Micros) -> Result<()> {
    tx.execute(
        "UPDATE alerts SET state = 'resolved', resolved_at = ?2 WHERE id = ?1 AND resolved_at IS NULL",
        params![id.to_string(), now],
    )?;
    Ok(())
}

/// Removes alerts that ended before a time, at most so many, each with what was told of it; answers how many. One of which
/// somebody is still to be told stays.
pub fn prune(tx: &Tx<'_>, before: Micros, most: u32) -> Result<u32> {
    // What ended before was raised before: the index of the newest finds it.
    let sql = "SELECT id FROM alerts WHERE raised_at < ?1 AND resolved_at < ?1 AND NOT EXISTS \
               (SELECT 1 FROM notifications n WHERE n.alert_id = alerts.id AND n.state = 'pending') \
               ORDER BY raised_at LIMIT ?2";
    let over: Vec<String> = rows(tx, sql, params![before, most], |row| row.get(0))?;
    for id in &over {
        tx.prepare_cached("DELETE FROM notifications WHERE alert_id = ?1")?.execute([id])?;
        tx.prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute([id])?;
    }
    // Never more than `most`.
    Ok(u32::try_from(over.len()).unwrap_or(most))
}

/// Writes what the alert machines decided and what they remember. `fresh` makes ids of notifications.
pub fn apply(tx: &Tx<'_>, outcomes: &[Outcome], memory: &[Kept], mut fresh: impl FnMut() -> Uuid) -> Result<()> {
    for outcome in outcomes {
        // One outcome that no longer fits (its alert was removed by hand) must not hold the others up.
        let written = tx.savepoint(|tx| apply_one(tx, outcome, &mut fresh));
        match written.map_err(StoreError::sorted) {
            Err(e @ (StoreError::Duplicate(_) | StoreError::Refused(_))) => {
                tracing::warn!(rule = outcome.rule.name, error = %e, "an alert's change does not fit and is left out");
            }
            other => other?,
        }
    }
    for kept in memory {
        let key = (kept.rule.to_string(), kept.series.to_string());
        let Some(machine) = &kept.machine else {
            tx.execute("DELETE FROM alert_machines WHERE rule_id = ?1 AND series = ?2", params![key.0, key.1])?;
            continue;
        };
        let known = "SELECT 1 FROM alert_machines WHERE rule_id = ?1 AND series = ?2";
        let sql = if there(tx, known, params![key.0, key.1])? {
            "UPDATE alert_machines SET machine = ?3, labels = ?4 WHERE rule_id = ?1 AND series = ?2"
        } else {
            "INSERT INTO alert_machines (rule_id, series, machine, labels) VALUES (?1, ?2, ?3, ?4)"
        };
        tx.execute(sql, params![key.0, key.1, text(machine)?, text(&kept.labels)?])?;
    }
    Ok(())
}

fn apply_one(tx: &Tx<'_>, outcome: &Outcome, fresh: &mut impl FnMut() -> Uuid) -> Result<()> {
    let rule = &outcome.rule;
    match &outcome.effect {
        Effect::Raise(open) => {
            tx.execute(
                "INSERT INTO alerts (id, rule_id, title, state, severity, series, labels, value, raised_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    open.alert.to_string(),
                    rule.id.to_string(),
                    title(rule, &outcome.labels),
                    open.state(),
                    rule.severity,
                    outcome.series.to_string(),
                    text(&outcome.labels)?,
                    open.value,
                    open.raised_at
                ],
            )?;
        }
        Effect::Change(open) => {
            tx.execute(
                "UPDATE alerts SET state = ?2 WHERE id = ?1 AND resolved_at IS NULL AND state <> ?2",
                params![open.alert.to_string(), open.state()],
            )?;
        }
        Effect::Resolve { alert, at, value } => {
            tx.execute(
                "UPDATE alerts SET state = 'resolved', resolved_at = ?2, value = ?3 WHERE id = ?1 AND resolved_at IS NULL",
                params![alert.to_string(), at, value],
            )?;
        }
        Effect::Tell { alert, stage, escalated } => {
            let first = (*stage != Stage::Escalated).then_some(&rule.notify).into_iter().flatten();
            let second = escalated.then_some(&rule.escalate_to).into_iter().flatten();
            let mut told = Vec::new();
            for target in first.chain(second) {
                if told.contains(&target) {
                    continue;
                }
                told.push(target);
                tx.execute(
                    "INSERT INTO notifications (id, alert_id, stage, target, state, created_at, next_at) \
                     VALUES (?1, ?2, ?3, ?4, 'pending', ?5, ?5)",
                    params![fresh().to_string(), alert.to_string(), stage.name(), target, tx.now().0],
                )?;
            }
        }
    }
    Ok(())
}

/// What the alert machines remembered.
pub fn memory(c: &Connection) -> Result<Vec<Kept>> {
    let found = rows(c, "SELECT rule_id, series, machine, labels FROM alert_machines", [], |row| {
        let series: String = row.get(1)?;
        Ok((uuid(row, 0)?, series, row.get::<_, String>(2)?, json(row, 3)?))
    })?;
    // A machine that cannot be read was written by another version: it starts anew.
    Ok(found
        .into_iter()
        .filter_map(|(rule, series, machine, labels)| {
            Some(Kept { rule, series: series.parse().ok()?, labels, machine: serde_json::from_str(&machine).ok() })
        })
        .collect())
}

/// The notifications that are due, oldest first.
pub fn due(c: &Connection, now: Micros, most: u32) -> Result<Vec<Notification>> {
    let columns: Vec<String> = ALERT.split(", ").map(|column| format!("a.{column}")).collect();
    let sql = format!(
        "SELECT {}, n.id, n.stage, n.target, n.attempts FROM notifications n JOIN alerts a ON a.id = n.alert_id \
         WHERE n.state = 'pending' AND n.next_at <= ?1 ORDER BY n.next_at, n.id LIMIT ?2",
        columns.join(", ")
    );
    rows(c, &sql, params![now, most], |row| {
        Ok(Notification {
            alert: alert_row(row)?,
            id: uuid(row, 11)?,
            stage: row.get(12)?,
            target: row.get(13)?,
            attempts: json(row, 14)?,
        })
    })
}

/// When the next notification is due.
pub fn next_due(c: &Connection) -> Result<Option<Micros>> {
    Ok(c.query_row("SELECT min(next_at) FROM notifications WHERE state = 'pending'", [], |row| row.get(0))?)
}

/// Records attempts. `next_at` is the time of another one; without it the notification is sent, or given up when the
/// last attempt failed.
pub fn record_attempts(tx: &Tx<'_>, id: Uuid, attempts: &[Attempt], next_at: Option<Micros>) -> Result<()> {
    let last = attempts.last();
    let sent_at = last.filter(|attempt| attempt.error.is_none()).map(|attempt| attempt.at);
    let state = match (sent_at, next_at) {
        (Some(_), _) => "sent",
        (None, Some(_)) => "pending",
        (None, None) => "failed",
    };
    tx.execute(
        "UPDATE notifications SET state = ?2, sent_at = ?3, next_at = coalesce(?4, next_at), attempts = ?5 \
         WHERE id = ?1 AND state = 'pending'",
        params![id.to_string(), state, sent_at, next_at, text(&attempts)?],
    )?;
    Ok(())
}

/// What was sent to whom about some alerts and how it went, in words.
pub fn told(c: &Connection, alerts: &[Uuid]) -> Result<BTreeMap<Uuid, Vec<String>>> {
    let mut told: BTreeMap<Uuid, Vec<String>> = BTreeMap::new();
    for alert in alerts {
        let lines = rows(
            c,
            "SELECT stage, target, state, attempts FROM notifications WHERE alert_id = ?1 ORDER BY created_at, id",
            [alert.to_string()],
            |row| {
                let (stage, target, state): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let attempts: Vec<Attempt> = json(row, 3)?;
                let error = attempts.last().and_then(|attempt| attempt.error.as_deref());
                Ok(match (state.as_str(), error) {
                    ("sent", _) => format!("{stage} to {target}: sent, attempt {}", attempts.len()),
                    ("failed", e) => {
                        format!("{stage} to {target}: given up after {} attempts: {}", attempts.len(), e.unwrap_or(""))
                    }
                    (_, Some(e)) => {
                        format!("{stage} to {target}: attempt {} failed: {e}; will be tried again", attempts.len())
                    }
                    (_, None) => format!("{stage} to {target}: on its way"),
                })
            },
        )?;
        told.insert(*alert, lines);
    }
    Ok(told)
}
