//! What shield does, in terms of the model, the store and the page.
//!
//! A report's file is on disk before its row is, so what is listed can be read; a file without a row is what a crash left
//! and goes at the next start. A schedule's row and the report it made are written together, so a week is made once.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sent_contract::{
    Level, Micros, Page, Status, Uuid,
    shield::{NewReport, NewSchedule, NewTemplate, Report, Schedule, Template},
};
use sent_core::{
    Problem, Scope, Timestamp,
    clock::SharedClock,
    error::Kind,
    id,
    mail::{Attachment, Letter, Mailer},
    report::{Period, Sources},
};
use sent_store::{Store, StoreError, file::write_atomically};
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;

use crate::{
    drawing,
    model::{self, Logo, MOST_PERIOD, Plan},
    render::{self, Pdf},
    store::{self, Due, Kept},
};

/// Looked at so often for what is due.
const LOOK: Duration = Duration::from_secs(20);
/// Reports in one list.
const MOST_LISTED: u32 = 500;
/// Mails of one look.
const MOST_MAILS: u32 = 20;

/// What a service stands on.
pub struct Parts {
    /// Business rows.
    pub store: Store,
    /// Whose box it is.
    pub organization: Uuid,
    /// Where the PDFs lie.
    pub folder: PathBuf,
    /// Who takes mails, where a server is set.
    pub mail: Option<Arc<Mailer>>,
    /// Who has something to say.
    pub sources: Arc<dyn Sources>,
}

/// The engine's inside.
pub struct Service {
    parts: Parts,
    clock: SharedClock,
    /// Drawing takes a core and tens of megabytes: one at a time.
    press: AsyncMutex<()>,
    wake: Notify,
    trouble: Mutex<Option<(String, Micros)>>,
    started: Micros,
}

/// What a report is to be.
struct Order {
    template: Option<Uuid>,
    period: Period,
    recipients: Vec<String>,
    schedule: Option<(Uuid, Timestamp)>,
}

impl Service {
    /// Puts the parts together; nothing runs yet.
    pub fn new(parts: Parts) -> Self {
        let clock = parts.store.clock().clone();
        let started = clock.now().0;
        Self { parts, clock, press: AsyncMutex::default(), wake: Notify::new(), trouble: Mutex::default(), started }
    }

    /// Makes and mails what is due until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), Problem> {
        let folder = self.parts.folder.clone();
        let known = self.parts.store.read(&self.system(), store::ids).await?;
        tokio::task::spawn_blocking(move || sweep(&folder, &known)).await.map_err(Problem::internal)?;
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                looked = self.look() => looked,
                () = stop.cancelled() => return Ok(()),
            };
            let trouble = looked.err().map(|problem| {
                tracing::warn!(error = %problem, detail = problem.detail, "reports have to wait");
                (problem.message, self.clock.now().0)
            });
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        Ok(())
    }

    /// Makes and mails what is due now.
    pub async fn look(&self) -> Result<(), Problem> {
        let made = self.make_due().await;
        self.mail_due().await.and(made)
    }

    /// The engine's health.
    pub fn health(&self) -> Status {
        match self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some((cause, since)) => Status { level: Level::Warn, cause, since },
            None => {
                Status { level: Level::Ok, cause: "reports are made when they are due".into(), since: self.started }
            }
        }
    }

    /// Templates by name.
    pub async fn templates(&self, scope: &Scope) -> Result<Page<Template>, Problem> {
        Ok(page(self.parts.store.read(scope, store::templates).await?))
    }

    /// Adds a template, or replaces the one with this id.
    pub async fn put_template(&self, scope: &Scope, id: Option<Uuid>, new: NewTemplate) -> Result<Template, Problem> {
        let exists = id.is_some();
        let template = model::template(id.unwrap_or_else(|| self.fresh()), new).map_err(refuse)?;
        let action = if exists { "shield.template.change" } else { "shield.template.create" };
        let row = template.clone();
        let there = self.parts.store.write(scope, action, move |tx| store::put_template(tx, &row, exists)).await?;
        if there { Ok(template) } else { Err(Problem::not_found("template")) }
    }

    /// Removes a template that no schedule uses.
    pub async fn delete_template(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let gone = move |tx: &sent_store::Tx<'_>| -> Result<Option<bool>, StoreError> {
            if store::uses(tx, id)? > 0 { Ok(None) } else { store::delete_template(tx, id).map(Some) }
        };
        match self.parts.store.write(scope, "shield.template.delete", gone).await? {
            Some(true) => Ok(()),
            Some(false) => Err(Problem::not_found("template")),
            None => Err(Problem::conflict("a schedule uses this template: change or remove the schedule first")),
        }
    }

    /// Schedules by name.
    pub async fn schedules(&self, scope: &Scope) -> Result<Page<Schedule>, Problem> {
        let branch = self.branch(scope)?;
        let (kept, (_, _, zone)) = self
            .parts
            .store
            .read(scope, move |c| Ok::<_, StoreError>((store::schedules(c)?, store::place(c, branch)?)))
            .await?;
        let zone = model::zone(&zone);
        Ok(page(kept.into_iter().map(|kept| self.shown(kept, &zone)).collect()))
    }

    fn shown(&self, kept: Kept, zone: &jiff::tz::TimeZone) -> Schedule {
        let Kept { id, plan, .. } = kept;
        let next = model::slots(plan.weekday, plan.minute, zone, self.clock.now()).map(|(_, next)| next.0);
        Schedule {
            id,
            at: model::time_of(plan.minute),
            name: plan.name,
            template: plan.template,
            weekday: plan.weekday,
            recipients: plan.recipients,
            paused: plan.paused,
            next: next.filter(|_| !plan.paused),
        }
    }

    /// Adds a schedule, or replaces the one with this id. It begins with what is due from now on.
    pub async fn put_schedule(&self, scope: &Scope, id: Option<Uuid>, new: NewSchedule) -> Result<Schedule, Problem> {
        self.own(scope)?;
        let plan: Plan = model::plan(new).map_err(refuse)?;
        let exists = id.is_some();
        let kept = Kept { id: id.unwrap_or_else(|| self.fresh()), plan, done_until: self.clock.now().0 };
        let action = if exists { "shield.schedule.change" } else { "shield.schedule.create" };
        let row = kept.clone();
        let put = move |tx: &sent_store::Tx<'_>| -> Result<Option<bool>, StoreError> {
            if !row.plan.template.is_nil() && store::template(tx, row.plan.template)?.is_none() {
                return Ok(None);
            }
            if exists {
                return store::change_schedule(tx, &row).map(Some);
            }
            store::add_schedule(tx, &row)?;
            Ok(Some(true))
        };
        match self.parts.store.write(scope, action, put).await? {
            None => Err(Problem::field("template", "there is no such template")),
            Some(false) => Err(Problem::not_found("schedule")),
            Some(true) => {
                let branch = self.branch(scope)?;
                let (_, _, zone) = self.parts.store.read(scope, move |c| store::place(c, branch)).await?;
                Ok(self.shown(kept, &model::zone(&zone)))
            }
        }
    }

    /// Removes a schedule. Its reports stay.
    pub async fn delete_schedule(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let gone = self.parts.store.write(scope, "shield.schedule.delete", move |tx| store::delete_schedule(tx, id));
        if gone.await? { Ok(()) } else { Err(Problem::not_found("schedule")) }
    }

    /// Reports, newest first.
    pub async fn reports(&self, scope: &Scope) -> Result<Page<Report>, Problem> {
        Ok(page(self.parts.store.read(scope, |c| store::reports(c, MOST_LISTED)).await?))
    }

    /// One report.
    pub async fn report(&self, scope: &Scope, id: Uuid) -> Result<Report, Problem> {
        let found = self.parts.store.read(scope, move |c| store::report(c, id)).await?;
        found.ok_or_else(|| Problem::not_found("report"))
    }

    /// A report and its PDF. Only the bytes that were made are handed out.
    pub async fn file(&self, scope: &Scope, id: Uuid) -> Result<(Report, Vec<u8>), Problem> {
        let report = self.report(scope, id).await?;
        let path = file(&self.parts.folder, id);
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await.map_err(Problem::internal)?;
        // A restored backup has the rows; the files are what the lost disk had.
        let bytes = read.map_err(|e| gone().with_detail(e))?;
        if hex::encode(Sha256::digest(&bytes)) != report.sha256 {
            return Err(gone().with_detail("the file is not the one that was made"));
        }
        Ok((report, bytes))
    }

    /// Makes a report now.
    pub async fn make(&self, scope: &Scope, new: NewReport) -> Result<Report, Problem> {
        self.own(scope)?;
        let recipients = model::recipients(&new.recipients).map_err(|error| refuse(vec![error]))?;
        let branch = self.branch(scope)?;
        let (_, _, zone) = self.parts.store.read(scope, move |c| store::place(c, branch)).await?;
        let period = match (new.from, new.to) {
            (None, None) => model::week_before(self.clock.now(), &model::zone(&zone))
                .ok_or_else(|| Problem::internal("no week before now"))?,
            (Some(from), Some(to)) => Period { from: Timestamp(from), to: Timestamp(to) },
            _ => return Err(Problem::field("to", "give both ends of the time, or none")),
        };
        let length = period.to.0.checked_sub(period.from.0);
        if !length.is_some_and(|length| (1..=MOST_PERIOD).contains(&length)) || period.from.0 < 0 {
            return Err(Problem::field("to", "is after the beginning, by a year at most"));
        }
        if period.from > self.clock.now() {
            return Err(Problem::field("from", "has not begun yet"));
        }
        let made = self.produce(scope, Order { template: new.template, period, recipients, schedule: None }).await?;
        made.ok_or_else(|| Problem::conflict("the report is there already"))
    }

    /// Removes a report and its file.
    pub async fn delete_report(&self, scope: &Scope, id: Uuid) -> Result<(), Problem> {
        let gone = self.parts.store.write(scope, "shield.report.delete", move |tx| store::delete_report(tx, id));
        if !gone.await? {
            return Err(Problem::not_found("report"));
        }
        let path = file(&self.parts.folder, id);
        // What stays behind without a row goes at the next start.
        let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
        Ok(())
    }

    /// Asks everybody, draws, and keeps. `None`: the schedule has made this one already.
    async fn produce(&self, scope: &Scope, order: Order) -> Result<Option<Report>, Problem> {
        let Order { template, period, recipients, schedule } = order;
        let branch = self.branch(scope)?;
        let wanted = template.filter(|id| !id.is_nil());
        let (found, (organization, branch, zone_name)) = self
            .parts
            .store
            .read(scope, move |c| {
                let found = wanted.map(|id| store::template(c, id)).transpose()?.flatten();
                Ok::<_, StoreError>((found, store::place(c, branch)?))
            })
            .await?;
        let template = match (found, wanted) {
            (Some(template), _) => template,
            (None, None) => model::plain(&organization),
            (None, Some(_)) => return Err(Problem::field("template", "there is no such template")),
        };
        let zone = model::zone(&zone_name);
        let _one = self.press.lock().await;
        let (sections, missing) = drawing::arrange(self.parts.sources.ask(scope, period).await);
        let logo = template.logo.as_deref().map(Logo::parse).transpose().map_err(Problem::invalid)?;
        let now = self.clock.now();
        let id = self.fresh();
        let page = drawing::Page {
            title: template.title.clone(),
            organization,
            branch,
            sender: template.sender,
            accent: template.accent,
            period: drawing::dates(period, &zone),
            zone: zone_name,
            made: drawing::dates(Period { from: now, to: now.plus_micros(1) }, &zone),
            logo: logo.as_ref().map(render::logo_file),
            closing: template.closing,
            findings: drawing::findings(&sections),
            missing: missing.clone(),
            sections: sections.into_iter().map(|section| drawing::part(section, period, &zone)).collect(),
        };
        let path = file(&self.parts.folder, id);
        let drawn = tokio::task::spawn_blocking(move || -> Result<(Pdf, String), Problem> {
            let pdf = render::pdf(&page, logo.as_ref(), &id.to_string(), now)
                .map_err(|e| Problem::new(Kind::Invalid, e.to_string()))?;
            write_atomically(&path, &pdf.bytes)?;
            let sha256 = hex::encode(Sha256::digest(&pdf.bytes));
            Ok((pdf, sha256))
        });
        let (pdf, sha256) = drawn.await.map_err(Problem::internal)??;
        let report = Report {
            id,
            schedule: schedule.map(|(id, _)| id),
            title: template.title,
            from: period.from.0,
            to: period.to.0,
            made_at: now.0,
            made_by: scope.actor.name().to_owned(),
            pages: pdf.pages,
            bytes: pdf.bytes.len() as u64,
            sha256,
            missing,
            mail: if recipients.is_empty() { "none" } else { "waiting" }.to_owned(),
            recipients,
            mail_error: None,
        };
        let mails: Vec<(Uuid, String)> = report.recipients.iter().map(|to| (self.fresh(), to.clone())).collect();
        let row = report.clone();
        let keep = move |tx: &sent_store::Tx<'_>| -> Result<bool, StoreError> {
            if let Some((id, slot)) = schedule {
                let due = store::schedule(tx, id)?.is_some_and(|kept| kept.done_until < slot.0);
                if !due {
                    return Ok(false);
                }
                store::done(tx, id, slot.0)?;
            }
            store::add_report(tx, &row, &mails)?;
            Ok(true)
        };
        let kept = self.parts.store.write(scope, "shield.report.make", keep).await?;
        if !kept {
            let path = file(&self.parts.folder, id);
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await;
            return Ok(None);
        }
        self.wake.notify_one();
        Ok(Some(report))
    }

    /// Makes what schedules want. Of several weeks that a box was off, the last is made.
    async fn make_due(&self) -> Result<(), Problem> {
        let scope = self.system();
        let branch = self.branch(&scope)?;
        let (kept, (_, _, zone)) = self
            .parts
            .store
            .read(&scope, move |c| Ok::<_, StoreError>((store::schedules(c)?, store::place(c, branch)?)))
            .await?;
        let (zone, now) = (model::zone(&zone), self.clock.now());
        let mut outcome = Ok(());
        for Kept { id, plan, done_until } in kept.into_iter().filter(|kept| !kept.plan.paused) {
            let slot = model::slots(plan.weekday, plan.minute, &zone, now).map(|(due, _)| due);
            let Some(slot) = slot.filter(|slot| slot.0 > done_until) else { continue };
            let Some(period) = model::week_before(slot, &zone) else { continue };
            let order = Order {
                template: Some(plan.template),
                period,
                recipients: plan.recipients,
                schedule: Some((id, slot)),
            };
            // One that cannot be made keeps no other from being made.
            if let Err(problem) = self.produce(&scope, order).await {
                outcome = Err(problem);
            }
        }
        outcome
    }

    async fn mail_due(&self) -> Result<(), Problem> {
        let scope = self.system();
        let now = self.clock.now().0;
        for due in self.parts.store.read(&scope, move |c| store::due(c, now, MOST_MAILS)).await? {
            let error = self.mail(&scope, &due).await.err();
            let next_at = error.as_ref().and_then(|_| model::back_off(due.attempts + 1)).map(|wait| now + wait);
            let note = move |tx: &sent_store::Tx<'_>| store::attempted(tx, due.id, error.as_deref(), next_at);
            self.parts.store.write(&scope, "shield.report.mail", note).await?;
        }
        Ok(())
    }

    async fn mail(&self, scope: &Scope, due: &Due) -> Result<(), String> {
        let mailer = self.parts.mail.as_ref().ok_or("no mail server is set ([mail] server)")?;
        let (report, bytes) = self.file(scope, due.report).await.map_err(|problem| problem.message)?;
        let branch = self.branch(scope).map_err(|problem| problem.message)?;
        let place = self.parts.store.read(scope, move |c| store::place(c, branch)).await;
        let (organization, branch, zone) = place.map_err(|e| e.to_string())?;
        let period = Period { from: Timestamp(report.from), to: Timestamp(report.to) };
        let dates = drawing::dates(period, &model::zone(&zone));
        let letter = Letter {
            id: due.id,
            to: due.recipient.clone(),
            subject: format!("{}: {branch}, {dates}", report.title),
            text: format!("{} of {organization}, {branch}, about {dates}.\n\nIt is attached as a PDF.\n", report.title),
            attachments: vec![Attachment { name: file_name(&report), media_type: "application/pdf".to_owned(), bytes }],
        };
        mailer.send(letter).await.map_err(|e| e.to_string())
    }

    fn fresh(&self) -> Uuid {
        id::new(&*self.clock)
    }

    fn system(&self) -> Scope {
        Scope::system(self.parts.organization, "shield", &*self.clock)
    }

    /// The branch that is reported: the box's own.
    fn branch(&self, scope: &Scope) -> Result<Option<Uuid>, Problem> {
        let own = self.parts.store.identity()?;
        Ok(if scope.organization == own.organization { own.branch } else { scope.branch })
    }

    /// What the box saw belongs to the organisation of the box.
    fn own(&self, scope: &Scope) -> Result<(), Problem> {
        if scope.organization == self.parts.organization {
            Ok(())
        } else {
            Err(Problem::new(Kind::Forbidden, "only the organisation of this box is reported by it"))
        }
    }
}

/// The name a report is downloaded and mailed by.
pub fn file_name(report: &Report) -> String {
    let day = jiff::Timestamp::from_microsecond(report.to.saturating_sub(1));
    let day = day.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    let title: String = report.title.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{}-{day}.pdf", title.trim_matches('-').to_lowercase())
}

fn file(folder: &Path, id: Uuid) -> PathBuf {
    folder.join(format!("{id}.pdf"))
}

/// Removes files that no row names.
fn sweep(folder: &Path, known: &[Uuid]) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<Uuid>().ok());
        let is_ours = path.extension().is_some_and(|extension| extension == "pdf");
        if is_ours && named.is_some_and(|id| !known.contains(&id)) {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn gone() -> Problem {
    Problem::new(Kind::NotFound, "the file of this report is not on this box any more; make the report again")
}

fn refuse(fields: Vec<sent_contract::FieldError>) -> Problem {
    let message = fields.first().map(|field| format!("{}: {}", field.field, field.message)).unwrap_or_default();
    Problem { fields, ..Problem::invalid(message) }
}

fn page<T>(items: Vec<T>) -> Page<T> {
    let total = Some(items.len() as u64);
    Page { items, next: None, total }
}
