//! Shield's SQL. Everything here runs inside a transaction the caller opened.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sent_contract::{
    Micros, Uuid,
    shield::{Report, Template},
};
use sent_core::table::{SyncClass, Table};
use sent_store::{StoreError, Tx};

use crate::model::Plan;

/// The tables of this engine.
pub const TABLES: &[Table] = &[
    Table::new("report_templates", &["id"], SyncClass::Down),
    Table::new("report_schedules", &["id"], SyncClass::Up),
    Table::new("reports", &["id"], SyncClass::Up),
    Table::new("report_mails", &["id"], SyncClass::Up),
];

type Result<T> = std::result::Result<T, StoreError>;

fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e)))
}

fn list(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e)))
}

fn json(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

/// Name of the organisation, and name and zone of a branch.
pub fn place(c: &Connection, branch: Option<Uuid>) -> Result<(String, String, String)> {
    let organization: String = c.query_row("SELECT name FROM organizations", [], |row| row.get(0))?;
    let named = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let branch: Option<(String, String)> = match branch {
        Some(id) => {
            c.query_row("SELECT name, timezone FROM branches WHERE id = ?1", [id.to_string()], named).optional()?
        }
        None => None,
    };
    let (name, zone) = branch.unwrap_or_else(|| (organization.clone(), "UTC".to_owned()));
    Ok((organization, name, zone))
}

const TEMPLATE: &str = "SELECT id, name, title, sender, accent, closing, logo FROM report_templates";

fn template_row(row: &Row<'_>) -> rusqlite::Result<Template> {
    Ok(Template {
        id: uuid(row, 0)?,
        name: row.get(1)?,
        title: row.get(2)?,
        sender: row.get(3)?,
        accent: row.get(4)?,
        closing: row.get(5)?,
        logo: row.get(6)?,
    })
}

/// Templates by name.
pub fn templates(c: &Connection) -> Result<Vec<Template>> {
    let mut statement = c.prepare_cached(&format!("{TEMPLATE} ORDER BY name, id"))?;
    let found = statement.query_map([], template_row)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// One template.
pub fn template(c: &Connection, id: Uuid) -> Result<Option<Template>> {
    let mut statement = c.prepare_cached(&format!("{TEMPLATE} WHERE id = ?1"))?;
    Ok(statement.query_row([id.to_string()], template_row).optional()?)
}

/// Adds a template, or changes it; false when there is none to change.
pub fn put_template(tx: &Tx<'_>, t: &Template, exists: bool) -> Result<bool> {
    let sql = if exists {
        "UPDATE report_templates SET name = ?2, title = ?3, sender = ?4, accent = ?5, closing = ?6, logo = ?7 WHERE id = ?1"
    } else {
        "INSERT INTO report_templates (id, name, title, sender, accent, closing, logo) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
    };
    if exists && template(tx, t.id)?.is_none() {
        return Ok(false);
    }
    tx.execute(sql, params![t.id.to_string(), t.name, t.title, t.sender, t.accent, t.closing, t.logo])?;
    Ok(true)
}

/// Removes a template; false when there is none.
pub fn delete_template(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    if template(tx, id)?.is_none() {
        return Ok(false);
    }
    tx.execute("DELETE FROM report_templates WHERE id = ?1", [id.to_string()])?;
    Ok(true)
}

/// Schedules that use a template.
pub fn uses(c: &Connection, template: Uuid) -> Result<i64> {
    let sql = "SELECT count(*) FROM report_schedules WHERE template_id = ?1";
    Ok(c.query_row(sql, [template.to_string()], |row| row.get(0))?)
}

/// A schedule as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Id.
    pub id: Uuid,
    /// When and to whom.
    pub plan: Plan,
    /// What was due until then is made.
    pub done_until: Micros,
}

const SCHEDULE: &str =
    "SELECT id, name, template_id, weekday, minute, recipients, paused, done_until FROM report_schedules";

fn schedule_row(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept {
        id: uuid(row, 0)?,
        plan: Plan {
            name: row.get(1)?,
            template: uuid(row, 2)?,
            weekday: row.get(3)?,
            minute: row.get(4)?,
            recipients: list(row, 5)?,
            paused: row.get(6)?,
        },
        done_until: row.get(7)?,
    })
}

/// Schedules by name.
pub fn schedules(c: &Connection) -> Result<Vec<Kept>> {
    let mut statement = c.prepare_cached(&format!("{SCHEDULE} ORDER BY name, id"))?;
    let found = statement.query_map([], schedule_row)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// One schedule.
pub fn schedule(c: &Connection, id: Uuid) -> Result<Option<Kept>> {
    let mut statement = c.prepare_cached(&format!("{SCHEDULE} WHERE id = ?1"))?;
    Ok(statement.query_row([id.to_string()], schedule_row).optional()?)
}

/// Adds a schedule.
pub fn add_schedule(tx: &Tx<'_>, kept: &Kept) -> Result<()> {
    let Kept { id, plan: p, done_until } = kept;
    tx.execute(
        "INSERT INTO report_schedules (id, name, template_id, weekday, minute, recipients, paused, done_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            id.to_string(),
            p.name,
            p.template.to_string(),
            p.weekday,
            p.minute,
            json(&p.recipients),
            p.paused,
            done_until
        ],
    )?;
    Ok(())
}

/// Changes a schedule; false when there is none. What was due before the change stays undone.
pub fn change_schedule(tx: &Tx<'_>, kept: &Kept) -> Result<bool> {
    let Kept { id, plan: p, done_until } = kept;
    if schedule(tx, *id)?.is_none() {
        return Ok(false);
    }
    tx.execute(
        "UPDATE report_schedules SET name = ?2, template_id = ?3, weekday = ?4, minute = ?5, recipients = ?6, paused = ?7,
                done_until = max(done_until, ?8)
         WHERE id = ?1",
        params![
            id.to_string(),
            p.name,
            p.template.to_string(),
            p.weekday,
            p.minute,
            json(&p.recipients),
            p.paused,
            done_until
        ],
    )?;
    Ok(true)
}

/// Removes a schedule; false when there is none. Its reports stay.
pub fn delete_schedule(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    if schedule(tx, id)?.is_none() {
        return Ok(false);
    }
    tx.execute("DELETE FROM report_schedules WHERE id = ?1", [id.to_string()])?;
    Ok(true)
}

/// Notes that what was due until then is made.
pub fn done(tx: &Tx<'_>, id: Uuid, until: Micros) -> Result<()> {
    let sql = "UPDATE report_schedules SET done_until = ?2 WHERE id = ?1 AND done_until < ?2";
    tx.execute(sql, params![id.to_string(), until])?;
    Ok(())
}

const REPORT: &str = "SELECT r.id, r.schedule_id, r.title, r.from_at, r.to_at, r.made_at, r.made_by, r.pages, r.bytes,
        r.sha256, r.missing, r.recipients,
        CASE WHEN m.waiting > 0 THEN 'waiting' WHEN m.failed > 0 THEN 'failed' WHEN m.sent > 0 THEN 'sent' ELSE 'none' END,
        m.error
     FROM reports AS r LEFT JOIN (
         SELECT report_id, sum(state = 'waiting') AS waiting, sum(state = 'failed') AS failed, sum(state = 'sent') AS sent,
                max(error) FILTER (WHERE state <> 'sent') AS error
         FROM report_mails GROUP BY report_id) AS m ON m.report_id = r.id";

fn report_row(row: &Row<'_>) -> rusqlite::Result<Report> {
    let schedule: Option<String> = row.get(1)?;
    Ok(Report {
        id: uuid(row, 0)?,
        schedule: schedule.and_then(|id| id.parse().ok()),
        title: row.get(2)?,
        from: row.get(3)?,
        to: row.get(4)?,
        made_at: row.get(5)?,
        made_by: row.get(6)?,
        pages: row.get(7)?,
        bytes: row.get::<_, i64>(8)?.unsigned_abs(),
        sha256: row.get(9)?,
        missing: list(row, 10)?,
        recipients: list(row, 11)?,
        mail: row.get(12)?,
        mail_error: row.get(13)?,
    })
}

/// Reports, newest first.
pub fn reports(c: &Connection, most: u32) -> Result<Vec<Report>> {
    let mut statement = c.prepare_cached(&format!("{REPORT} ORDER BY r.made_at DESC, r.id DESC LIMIT ?1"))?;
    let found = statement.query_map([most], report_row)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// One report.
pub fn report(c: &Connection, id: Uuid) -> Result<Option<Report>> {
    let mut statement = c.prepare_cached(&format!("{REPORT} WHERE r.id = ?1"))?;
    Ok(statement.query_row([id.to_string()], report_row).optional()?)
}

/// Ids of all reports.
pub fn ids(c: &Connection) -> Result<Vec<Uuid>> {
    let mut statement = c.prepare_cached("SELECT id FROM reports")?;
    let found = statement.query_map([], |row| uuid(row, 0))?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// Adds a report with its mails, each `(id, recipient)`.
pub fn add_report(tx: &Tx<'_>, r: &Report, mails: &[(Uuid, String)]) -> Result<()> {
    tx.execute(
        "INSERT INTO reports (id, schedule_id, title, from_at, to_at, made_at, made_by, pages, bytes, sha256, missing, recipients)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            r.id.to_string(),
            r.schedule.map(|id| id.to_string()),
            r.title,
            r.from,
            r.to,
            r.made_at,
            r.made_by,
            r.pages,
            i64::try_from(r.bytes).unwrap_or(i64::MAX),
            r.sha256,
            json(&r.missing),
            json(&r.recipients)
        ],
    )?;
    for (id, recipient) in mails {
        tx.execute(
            "INSERT INTO report_mails (id, report_id, recipient, state, next_at) VALUES (?1, ?2, ?3, 'waiting', ?4)",
            params![id.to_string(), r.id.to_string(), recipient, r.made_at],
        )?;
    }
    Ok(())
}

/// Removes a report and what is still to be mailed of it; false when there is none.
pub fn delete_report(tx: &Tx<'_>, id: Uuid) -> Result<bool> {
    if report(tx, id)?.is_none() {
        return Ok(false);
    }
    tx.execute("DELETE FROM report_mails WHERE report_id = ?1", [id.to_string()])?;
    tx.execute("DELETE FROM reports WHERE id = ?1", [id.to_string()])?;
    Ok(true)
}

/// A mail that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its id.
    pub id: Uuid,
    /// What is sent.
    pub report: Uuid,
    /// To whom.
    pub recipient: String,
    /// Attempts so far.
    pub attempts: u32,
}

/// Mails that are due, the oldest first.
pub fn due(c: &Connection, now: Micros, most: u32) -> Result<Vec<Due>> {
    let mut statement = c.prepare_cached(
        "SELECT id, report_id, recipient, attempts FROM report_mails
         WHERE state = 'waiting' AND next_at <= ?1 ORDER BY next_at LIMIT ?2",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Due { id: uuid(row, 0)?, report: uuid(row, 1)?, recipient: row.get(2)?, attempts: row.get(3)? })
    };
    let found = statement.query_map(params![now, most], read)?.collect::<rusqlite::Result<_>>()?;
    Ok(found)
}

/// How an attempt went: sent, or wrong with the time of the next one, or given up.
pub fn attempted(tx: &Tx<'_>, id: Uuid, error: Option<&str>, next_at: Option<Micros>) -> Result<()> {
    let state = match (error, next_at) {
        (None, _) => "sent",
        (Some(_), Some(_)) => "waiting",
        (Some(_), None) => "failed",
    };
    tx.execute(
        "UPDATE report_mails SET state = ?2, attempts = attempts + 1, error = ?3, next_at = coalesce(?4, next_at) WHERE id = ?1",
        params![id.to_string(), state, error, next_at],
    )?;
    Ok(())
}
