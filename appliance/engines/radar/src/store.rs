//! The SQL of alerts, cases, rules, packs and exceptions. The logs' own store is [`crate::search`].
//!
//! An alert's row holds the queue's position of the last event in it: an event at or before it was counted already,
//! whoever finds it again. There is one case under way for a rule, host and user at a time; the schema holds that too.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sent_contract::{
    Micros, Uuid,
    radar::{Alert, Case, CaseChange, CaseCounts, Comment, Exception, Pack, Rule},
};
use sent_core::table::{SyncClass, Table};
use sent_store::{StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::model::{
    risk::{self, Weighed},
    sighting::{Evidence, Sighting},
};

/// The tables of this engine. The logs and the evidence out of them stay on the box.
pub const TABLES: &[Table] = &[
    Table::new("radar_alerts", &["id"], SyncClass::Up),
    Table::new("radar_evidence", &["alert_id"], SyncClass::Local),
    Table::new("radar_cases", &["id"], SyncClass::Up),
    Table::new("radar_case_comments", &["id"], SyncClass::Up),
    Table::new("radar_rules", &["id"], SyncClass::Up),
    Table::new("radar_packs", &["name"], SyncClass::Up),
    Table::new("radar_exceptions", &["id"], SyncClass::Up),
];

type Result<T> = std::result::Result<T, StoreError>;

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| StoreError::Corrupt(format!("a value cannot be written as JSON: {e}")))
}

fn json<T: for<'a> Deserialize<'a>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, e.into()))
}

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let text: String = row.get(column)?;
    Uuid::parse_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, e.into()))
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

/// A number of SQLite that is never negative.
fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}

/// A number for SQLite. Positions stay below 2⁶³ until the year 2088 and counts for longer.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

const ALERT: &str = "SELECT a.id, a.rule, a.title, a.author, a.severity, a.techniques, a.host, a.user, a.case_id, c.state, c.owner, \
     a.count, a.first_at, a.last_at FROM radar_alerts a JOIN radar_cases c ON c.id = a.case_id";

fn alert_row(row: &Row<'_>) -> rusqlite::Result<Alert> {
    Ok(Alert {
        id: uuid(row, 0)?,
        rule: row.get(1)?,
        title: row.get(2)?,
        author: row.get(3)?,
        severity: row.get(4)?,
        techniques: json(row, 5)?,
        host: row.get(6)?,
        user: row.get(7)?,
        case: uuid(row, 8)?,
        case_state: row.get(9)?,
        owner: row.get(10)?,
        count: count(row, 11)?,
        first_at: row.get(12)?,
        last_at: row.get(13)?,
    })
}

/// Writes down what was found and was not written before; answers the alerts that are new.
pub fn raise(tx: &Tx<'_>, sightings: &[Sighting], fresh: &mut dyn FnMut() -> Uuid) -> Result<Vec<Alert>> {
    let mut raised = Vec::new();
    for sighting in sightings {
        let id = sighting.id.to_string();
        let known = tx
            .prepare_cached("SELECT position, case_id, first_at, last_at FROM radar_alerts WHERE id = ?1")?
            .query_row([&id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
            })
            .optional()?;
        match known {
            Some((position, case, first_at, last_at)) => {
                let (new, last) = sighting.after(position.unsigned_abs());
                if new == 0 {
                    continue;
                }
                let last_at = last_at.max(sighting.last_at);
                tx.prepare_cached(
                    "UPDATE radar_alerts SET count = count + ?2, position = ?3, first_at = ?4, last_at = ?5 WHERE id = ?1",
                )?
                .execute(params![id, number(new as u64), number(last), first_at.min(sighting.first_at), last_at])?;
                touch(tx, &case, last_at)?;
            }
            None => {
                let case = case_for(tx, sighting, fresh)?;
                let (count, last) = (sighting.positions.len(), sighting.after(0).1);
                let about = &sighting.about;
                tx.prepare_cached(
                    "INSERT INTO radar_alerts (id, case_id, rule, title, author, severity, techniques, host, user, count, first_at, \
                     last_at, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                )?
                .execute(params![
                    id,
                    case,
                    about.rule,
                    about.title,
                    about.author,
                    about.severity,
                    text(&about.techniques)?,
                    sighting.key.host,
                    sighting.key.user,
                    number(count as u64),
                    sighting.first_at,
                    sighting.last_at,
                    number(last),
                ])?;
                tx.prepare_cached("INSERT INTO radar_evidence (alert_id, evidence) VALUES (?1, ?2)")?
                    .execute([&id, &text(&sighting.evidence)?])?;
                raised.extend(alert(tx, sighting.id)?);
            }
        }
    }
    Ok(raised)
}

/// A case has an event that is newer than what it had.
fn touch(tx: &Tx<'_>, case: &str, last_at: Micros) -> Result<()> {
    let older = tx
        .prepare_cached("SELECT 1 FROM radar_cases WHERE id = ?1 AND last_at < ?2")?
        .exists(params![case, last_at])?;
    if older {
        tx.prepare_cached("UPDATE radar_cases SET last_at = ?2 WHERE id = ?1")?.execute(params![case, last_at])?;
    }
    Ok(())
}

/// The case that an alert belongs to: the one under way for the same trouble, else a new one.
fn case_for(tx: &Tx<'_>, sighting: &Sighting, fresh: &mut dyn FnMut() -> Uuid) -> Result<String> {
    let (about, key) = (&sighting.about, &sighting.key);
    let under_way = tx
        .prepare_cached("SELECT id FROM radar_cases WHERE rule = ?1 AND host = ?2 AND user = ?3 AND state <> 'closed'")?
        .query_row([&about.rule, &key.host, &key.user], |row| row.get::<_, String>(0))
        .optional()?;
    if let Some(id) = under_way {
        touch(tx, &id, sighting.last_at)?;
        return Ok(id);
    }
    let id = fresh().to_string();
    tx.prepare_cached(
        "INSERT INTO radar_cases (id, title, rule, severity, state, verdict, owner, host, user, techniques, opened_at, last_at) \
         VALUES (?1, ?2, ?3, ?4, 'open', '', '', ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        id,
        about.title,
        about.rule,
        about.severity,
        key.host,
        key.user,
        text(&about.techniques)?,
        sighting.first_at,
        sighting.last_at,
    ])?;
    Ok(id)
}

/// What a list of alerts is narrowed by; an empty text narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Severity.
    pub severity: String,
    /// State of the case, or `active` for what is not closed.
    pub state: String,
    /// Rule.
    pub rule: String,
    /// Host.
    pub host: String,
    /// User.
    pub user: String,
    /// A text in its title, host, user, rule or techniques; upper and lower case alike.
    pub text: String,
    /// Only what is older than this: time and id of the last one shown.
    pub before: Option<(Micros, String)>,
}

/// Alerts, newest first.
pub fn alerts(c: &Connection, filter: &AlertFilter, most: u32) -> Result<Vec<Alert>> {
    let sql = format!(
        "{ALERT} WHERE (?1 = '' OR a.severity = ?1) AND (?2 = '' OR c.state = ?2 OR (?2 = 'active' AND c.state <> 'closed')) \
         AND (?3 = '' OR a.rule = ?3) AND (?4 = '' OR a.host = ?4) AND (?5 = '' OR a.user = ?5) \
         AND (?6 = '' OR instr(lower(concat_ws(' ', a.title, a.host, a.user, a.rule, a.techniques)), lower(?6)) > 0) \
         AND (?7 IS NULL OR a.last_at < ?7 OR (a.last_at = ?7 AND a.id < ?8)) ORDER BY a.last_at DESC, a.id DESC LIMIT ?9"
    );
    let AlertFilter { severity, state, rule, host, user, text, before } = filter;
    let (at, id) = before.clone().unzip();
    rows(c, &sql, params![severity, state, rule, host, user, text, at, id, most], alert_row)
}

/// One alert.
pub fn alert(c: &Connection, id: Uuid) -> Result<Option<Alert>> {
    Ok(c.prepare_cached(&format!("{ALERT} WHERE a.id = ?1"))?.query_row([id.to_string()], alert_row).optional()?)
}

/// What is kept of the first event of an alert.
pub fn evidence(c: &Connection, id: Uuid) -> Result<Option<Evidence>> {
    let sql = "SELECT evidence FROM radar_evidence WHERE alert_id = ?1";
    Ok(c.prepare_cached(sql)?.query_row([id.to_string()], |row| json(row, 0)).optional()?)
}

const CASE: &str = "SELECT c.id, c.title, c.rule, c.severity, c.state, c.verdict, c.owner, c.host, c.user, c.techniques, \
     c.opened_at, c.last_at, c.closed_at, (SELECT count(*) FROM radar_alerts a WHERE a.case_id = c.id), \
     (SELECT coalesce(sum(a.count), 0) FROM radar_alerts a WHERE a.case_id = c.id) FROM radar_cases c";

fn case_row(row: &Row<'_>) -> rusqlite::Result<Case> {
    Ok(Case {
        id: uuid(row, 0)?,
        title: row.get(1)?,
        rule: row.get(2)?,
        severity: row.get(3)?,
        state: row.get(4)?,
        verdict: row.get(5)?,
        owner: row.get(6)?,
        host: row.get(7)?,
        user: row.get(8)?,
        techniques: json(row, 9)?,
        opened_at: row.get(10)?,
        last_at: row.get(11)?,
        closed_at: row.get(12)?,
        alerts: count(row, 13)?,
        events: count(row, 14)?,
    })
}

/// What a list of cases is narrowed by; an empty text narrows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseFilter {
    /// State, or `active` for what is not closed.
    pub state: String,
    /// Severity.
    pub severity: String,
    /// Whose it is.
    pub owner: String,
    /// A text in its title, host, user, rule or techniques; upper and lower case alike.
    pub text: String,
    /// Only what is older than this: time and id of the last one shown.
    pub before: Option<(Micros, String)>,
}

/// Cases, newest first.
pub fn cases(c: &Connection, filter: &CaseFilter, most: u32) -> Result<Vec<Case>> {
    let sql = format!(
        "{CASE} WHERE (?1 = '' OR c.state = ?1 OR (?1 = 'active' AND c.state <> 'closed')) \
         AND (?2 = '' OR c.severity = ?2) AND (?3 = '' OR c.owner = ?3) \
         AND (?4 = '' OR instr(lower(concat_ws(' ', c.title, c.host, c.user, c.rule, c.techniques)), lower(?4)) > 0) \
         AND (?5 IS NULL OR c.last_at < ?5 OR (c.last_at = ?5 AND c.id < ?6)) ORDER BY c.last_at DESC, c.id DESC LIMIT ?7"
    );
    let CaseFilter { state, severity, owner, text, before } = filter;
    let (at, id) = before.clone().unzip();
    rows(c, &sql, params![state, severity, owner, text, at, id, most], case_row)
}

/// How many cases are not closed.
pub fn case_counts(c: &Connection) -> Result<CaseCounts> {
    let sql = "SELECT severity, count(*), sum(owner = '') FROM radar_cases WHERE state <> 'closed' GROUP BY severity";
    let mut found = rows(c, sql, [], |row| Ok((row.get::<_, String>(0)?, count(row, 1)?, count(row, 2)?)))?;
    found.sort_by_key(|(severity, ..)| std::cmp::Reverse(risk::rank(severity)));
    let unowned = found.iter().map(|(.., unowned)| unowned).sum();
    Ok(CaseCounts { severities: found.into_iter().map(|(severity, cases, _)| (severity, cases)).collect(), unowned })
}

/// One case.
pub fn case(c: &Connection, id: Uuid) -> Result<Option<Case>> {
    Ok(c.prepare_cached(&format!("{CASE} WHERE c.id = ?1"))?.query_row([id.to_string()], case_row).optional()?)
}

/// The alerts of a case, newest first.
pub fn alerts_of(c: &Connection, case: Uuid, most: u32) -> Result<Vec<Alert>> {
    let sql = format!("{ALERT} WHERE a.case_id = ?1 ORDER BY a.last_at DESC, a.id DESC LIMIT ?2");
    rows(c, &sql, params![case.to_string(), most], alert_row)
}

/// What was said about a case, oldest first.
pub fn comments(c: &Connection, case: Uuid) -> Result<Vec<Comment>> {
    let sql = "SELECT id, at, author, text FROM radar_case_comments WHERE case_id = ?1 ORDER BY at, id";
    rows(c, sql, [case.to_string()], |row| {
        Ok(Comment { id: uuid(row, 0)?, at: row.get(1)?, author: row.get(2)?, text: row.get(3)? })
    })
}

/// Says something about a case; false when there is none.
pub fn add_comment(tx: &Tx<'_>, case: Uuid, comment: &Comment) -> Result<bool> {
    if !tx.prepare_cached("SELECT 1 FROM radar_cases WHERE id = ?1")?.exists([case.to_string()])? {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO radar_case_comments (id, case_id, at, author, text) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![comment.id.to_string(), case.to_string(), comment.at, comment.author, comment.text],
    )?;
    Ok(true)
}

/// Changes a case; `None` when there is none. An error when it cannot be opened again because another one is under way.
pub fn change_case(tx: &Tx<'_>, id: Uuid, change: &CaseChange) -> Result<Option<Case>> {
    let Some(mut case) = case(tx, id)? else { return Ok(None) };
    if let Some(state) = &change.state {
        if state != "closed" && case.state == "closed" {
            let other = "SELECT 1 FROM radar_cases WHERE rule = ?1 AND host = ?2 AND user = ?3 AND state <> 'closed'";
            if tx.prepare_cached(other)?.exists([&case.rule, &case.host, &case.user])? {
                let why = "another case of the same rule, host and user is under way: work on that one";
                return Err(StoreError::Refused(why.to_owned()));
            }
        }
        case.closed_at = (state == "closed").then(|| case.closed_at.unwrap_or(tx.now().0));
        case.state.clone_from(state);
    }
    case.verdict = match &change.verdict {
        _ if case.state != "closed" => String::new(),
        Some(verdict) => verdict.clone(),
        None => case.verdict,
    };
    if let Some(owner) = &change.owner {
        case.owner.clone_from(owner);
    }
    if let Some(severity) = &change.severity {
        case.severity.clone_from(severity);
    }
    tx.execute(
        "UPDATE radar_cases SET state = ?2, verdict = ?3, owner = ?4, severity = ?5, closed_at = ?6 WHERE id = ?1",
        params![id.to_string(), case.state, case.verdict, case.owner, case.severity, case.closed_at],
    )?;
    Ok(Some(case))
}

/// The alerts since a time that count for risk: not those of false alarms.
pub fn weighed(c: &Connection, since: Micros) -> Result<Vec<Weighed>> {
    let sql = "SELECT a.host, a.user, a.severity, a.count, a.last_at FROM radar_alerts a JOIN radar_cases c ON c.id = a.case_id \
               WHERE a.last_at >= ?1 AND c.verdict NOT IN ('false_positive', 'benign') ORDER BY a.last_at DESC LIMIT ?2";
    rows(c, sql, params![since, MOST_WEIGHED], |row| {
        Ok(Weighed {
            host: row.get(0)?,
            user: row.get(1)?,
            severity: row.get(2)?,
            count: count(row, 3)?,
            last_at: row.get(4)?,
        })
    })
}

/// Alerts that are weighed at most, the newest.
const MOST_WEIGHED: u32 = 50_000;

/// How dangerous hosts and users look.
pub fn risks(c: &Connection, now: Micros) -> Result<Vec<sent_contract::radar::Risk>> {
    Ok(risk::scores(&weighed(c, now - risk::WINDOW)?, now))
}

/// Rules as they were last loaded, by title.
pub fn rules(c: &Connection) -> Result<Vec<Rule>> {
    let sql = "SELECT id, title, kind, severity, author, tags, pack, place, enabled, error FROM radar_rules ORDER BY title, id";
    rows(c, sql, [], |row| {
        Ok(Rule {
            id: row.get(0)?,
            title: row.get(1)?,
            kind: row.get(2)?,
            severity: row.get(3)?,
            author: row.get(4)?,
            tags: json(row, 5)?,
            pack: row.get(6)?,
            place: row.get(7)?,
            enabled: row.get(8)?,
            error: row.get(9)?,
        })
    })
}

/// Makes the rows those of `loaded`; whether a rule is enabled is the row's to say. Answers how many changed.
pub fn put_rules(tx: &Tx<'_>, loaded: &[Rule]) -> Result<usize> {
    let mut known: BTreeMap<String, Rule> = rules(tx)?.into_iter().map(|rule| (rule.id.clone(), rule)).collect();
    let mut changed = 0;
    for rule in loaded {
        let before = known.remove(&rule.id);
        let sql = match &before {
            Some(before) if (Rule { enabled: before.enabled, ..rule.clone() }) == *before => continue,
            Some(_) => {
                "UPDATE radar_rules SET title = ?2, kind = ?3, severity = ?4, author = ?5, tags = ?6, pack = ?7, place = ?8, \
                 error = ?9 WHERE id = ?1"
            }
            None => {
                "INSERT INTO radar_rules (id, title, kind, severity, author, tags, pack, place, error, enabled) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1)"
            }
        };
        let tags = text(&rule.tags)?;
        tx.prepare_cached(sql)?.execute(params![
            rule.id,
            rule.title,
            rule.kind,
            rule.severity,
            rule.author,
            tags,
            rule.pack,
            rule.place,
            rule.error
        ])?;
        changed += 1;
    }
    for gone in known.keys() {
        tx.prepare_cached("DELETE FROM radar_rules WHERE id = ?1")?.execute([gone])?;
        changed += 1;
    }
    Ok(changed)
}

/// Switches a rule; `None` when there is none.
pub fn enable_rule(tx: &Tx<'_>, id: &str, enabled: bool) -> Result<Option<Rule>> {
    tx.execute("UPDATE radar_rules SET enabled = ?2 WHERE id = ?1", params![id, enabled])?;
    Ok(rules(tx)?.into_iter().find(|rule| rule.id == id))
}

/// Ids of rules that are switched off.
pub fn disabled(c: &Connection) -> Result<Vec<String>> {
    rows(c, "SELECT id FROM radar_rules WHERE enabled = 0", [], |row| row.get(0))
}

/// Packs by name.
pub fn packs(c: &Connection) -> Result<Vec<Pack>> {
    let sql = "SELECT p.name, p.version, p.enabled, (SELECT count(*) FROM radar_rules r WHERE r.pack = p.name), p.installed_at \
               FROM radar_packs p ORDER BY p.name";
    rows(c, sql, [], |row| {
        Ok(Pack {
            name: row.get(0)?,
            version: row.get(1)?,
            enabled: row.get(2)?,
            rules: count(row, 3)?,
            installed_at: row.get(4)?,
        })
    })
}

/// Notes that a version of a pack is installed.
pub fn put_pack(tx: &Tx<'_>, name: &str, version: &str) -> Result<()> {
    let there = tx.prepare_cached("SELECT 1 FROM radar_packs WHERE name = ?1")?.exists([name])?;
    let sql = if there {
        "UPDATE radar_packs SET version = ?2, installed_at = ?3 WHERE name = ?1"
    } else {
        "INSERT INTO radar_packs (name, version, enabled, installed_at) VALUES (?1, ?2, 1, ?3)"
    };
    tx.execute(sql, params![name, version, tx.now().0])?;
    Ok(())
}

/// Switches a pack; false when there is none.
pub fn enable_pack(tx: &Tx<'_>, name: &str, enabled: bool) -> Result<bool> {
    let there = tx.prepare_cached("SELECT 1 FROM radar_packs WHERE name = ?1")?.exists([name])?;
    tx.execute("UPDATE radar_packs SET enabled = ?2 WHERE name = ?1", params![name, enabled])?;
    Ok(there)
}

/// Forgets a pack; false when there is none.
pub fn delete_pack(tx: &Tx<'_>, name: &str) -> Result<bool> {
    let there = tx.prepare_cached("SELECT 1 FROM radar_packs WHERE name = ?1")?.exists([name])?;
    tx.execute("DELETE FROM radar_packs WHERE name = ?1", [name])?;
    Ok(there)
}

/// Exceptions that have not ended by `now`, the newest first.
pub fn exceptions(c: &Connection, now: Micros) -> Result<Vec<Exception>> {
    let sql = "SELECT id, rule, fields, reason, expires_at, author, created_at FROM radar_exceptions \
               WHERE expires_at IS NULL OR expires_at > ?1 ORDER BY created_at DESC, id";
    rows(c, sql, [now], |row| {
        Ok(Exception {
            id: uuid(row, 0)?,
            rule: row.get(1)?,
            fields: json(row, 2)?,
            reason: row.get(3)?,
            expires_at: row.get(4)?,
            author: row.get(5)?,
            created_at: row.get(6)?,
        })
    })
}

/// Adds an exception.
pub fn add_exception(tx: &Tx<'_>, exception: &Exception) -> Result<()> {
    tx.execute(
        "INSERT INTO radar_exceptions (id, rule, fields, reason, expires_at, author, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            exception.id.to_string(),
            exception.rule,
            text(&exception.fields)?,
            exception.reason,
            exception.expires_at,
            exception.author,
            exception.created_at
        ],
    )?;
    Ok(())
}

/// Removes an exception; false when there is none.
pub fn delete_exception(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    let there = tx.prepare_cached("SELECT 1 FROM radar_exceptions WHERE id = ?1")?.exists([id.to_string()])?;
    tx.execute("DELETE FROM radar_exceptions WHERE id = ?1", [id.to_string()])?;
    Ok(there)
}

/// Removes closed cases whose last event is older than `before`, at most so many, with all that belongs to them; answers
/// how many. The audit keeps what was removed.
pub fn prune(tx: &Tx<'_>, before: Micros, most: u32) -> Result<u32> {
    let sql = "SELECT id FROM radar_cases WHERE last_at < ?1 AND state = 'closed' ORDER BY last_at LIMIT ?2";
    let over: Vec<String> = rows(tx, sql, params![before, most], |row| row.get(0))?;
    for case in &over {
        let alerts: Vec<String> = rows(tx, "SELECT id FROM radar_alerts WHERE case_id = ?1", [case], |row| row.get(0))?;
        for alert in &alerts {
            tx.prepare_cached("DELETE FROM radar_evidence WHERE alert_id = ?1")?.execute([alert])?;
            tx.prepare_cached("DELETE FROM radar_alerts WHERE id = ?1")?.execute([alert])?;
        }
        tx.prepare_cached("DELETE FROM radar_case_comments WHERE case_id = ?1")?.execute([case])?;
        tx.prepare_cached("DELETE FROM radar_cases WHERE id = ?1")?.execute([case])?;
    }
    // Never more than `most`.
    Ok(u32::try_from(over.len()).unwrap_or(most))
}
