//! The box's first page, and the sync badge.

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use sent_contract::{
    Level, Status,
    home::{Attention, Home},
    sync::{Quarantined, Refused, SyncStatus},
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};
use sent_store::{AuditFilter, Store, StoreError};

use super::Gateway;

/// Share of the disk above which the box asks for attention, and above which it is in trouble.
const DISK: (f64, f64) = (0.90, 0.97);

/// Alerts that the first page names at most; the alerts page has them all.
const ALERTS: u32 = 20;

pub(super) fn routes() -> Routes<Gateway> {
    Routes::new()
        .get("/api/home", Access::Right("home.read"), home)
        .get("/api/sync", Access::Right("sync.read"), sync)
        .get("/api/sync/quarantine", Access::Right("sync.quarantine.read"), quarantine)
        .post("/api/sync/quarantine/{id}/apply", Access::Right("sync.quarantine.write"), apply_quarantined)
        .post("/api/sync/quarantine/{id}/drop", Access::Right("sync.quarantine.write"), drop_quarantined)
        .get("/api/sync/refused", Access::Right("sync.read"), refused)
        .post("/api/sync/now", Access::Right("sync.now"), sync_now)
}

async fn sync(State(g): State<Gateway>) -> Result<Json<SyncStatus>, Problem> {
    Ok(Json(g.sync.status(&g.store).await?))
}

async fn quarantine(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
) -> Result<Json<Vec<Quarantined>>, Problem> {
    Ok(Json(g.store.quarantine(&scope).await?))
}

async fn apply_quarantined(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    Path(identity): Path<String>,
) -> Result<StatusCode, Problem> {
    // Why it still does not fit is what somebody who decides must read; nothing of it is a fault of the program.
    g.store.apply_quarantined(&scope, &identity).await.map_err(|error| match error {
        StoreError::Corrupt(why) => Problem::conflict(why),
        error => Problem::from(error),
    })?;
    g.sync.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn drop_quarantined(
    State(g): State<Gateway>,
    Extension(scope): Extension<Scope>,
    Path(identity): Path<String>,
) -> Result<StatusCode, Problem> {
    g.store.drop_quarantined(&scope, &identity).await?;
    g.sync.wake();
    Ok(StatusCode::NO_CONTENT)
}

async fn refused(State(g): State<Gateway>, Extension(scope): Extension<Scope>) -> Result<Json<Vec<Refused>>, Problem> {
    Ok(Json(g.store.refused(&scope).await?))
}

async fn sync_now(State(g): State<Gateway>, Extension(scope): Extension<Scope>) -> Result<StatusCode, Problem> {
    g.store
        .write(&scope, "sync.now", |tx| -> Result<(), StoreError> {
            tx.event();
            Ok(())
        })
        .await?;
    g.sync.wake();
    Ok(StatusCode::ACCEPTED)
}

/// The newest open alerts that nobody has taken on and nothing silences.
async fn alerts(store: &Store, scope: &Scope) -> Result<Vec<Attention>, StoreError> {
    store
        .read(scope, |db| {
            let mut query = db.prepare_cached(
                "SELECT title, severity, raised_at FROM alerts
                 WHERE resolved_at IS NULL AND acknowledged_by IS NULL AND state <> 'silenced'
                 ORDER BY raised_at DESC, id DESC LIMIT ?1",
            )?;
            let rows = query.query_map([ALERTS], |row| {
                let severity: String = row.get(1)?;
                let level = if severity == "bad" { Level::Bad } else { Level::Warn };
                let cause = "alert not acknowledged".to_owned();
                Ok(Attention {
                    status: Status { level, cause, since: row.get(2)? },
                    title: row.get(0)?,
                    link: "/alerts".to_owned(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
}

async fn home(State(g): State<Gateway>, Extension(scope): Extension<Scope>) -> Result<Json<Home>, Problem> {
    let identity = g.store.identity()?;
    let sync = g.sync.status(&g.store).await?;
    let services = g.supervisor.services();
    let machine = g.supervisor.machine();
    let activity = g.store.audit(&scope, AuditFilter { limit: 12, people: true, ..AuditFilter::default() }).await?;

    let mut attention: Vec<Attention> = Vec::new();
    let mut notice =
        |status: Status, title: String, link: &str| attention.push(Attention { status, title, link: link.to_owned() });
    for service in services.iter().filter(|s| s.status.level != Level::Ok) {
        notice(service.status.clone(), format!("{} needs attention", service.name), "/settings");
    }
    if sync.enrolled && sync.status.level != Level::Ok {
        let left_over = sync.quarantined > 0 && sync.status.cause == sent_sync::left_over(sync.quarantined);
        let (title, link) = if left_over {
            ("A restore left something to decide", "/quarantine")
        } else {
            ("The cloud is not up to date", "/sync")
        };
        notice(sync.status.clone(), title.to_owned(), link);
    }
    let restored = g.store.unfinished_restore().await?;
    if restored.sleeping_tokens > 0 {
        let cause = format!("{} API tokens sleep until their owners wake or end them", restored.sleeping_tokens);
        let title = "This box was restored from a backup".to_owned();
        notice(Status { level: Level::Warn, cause, since: g.started.0 }, title, "/me");
    }
    let (used, total) = machine.disk;
    // A share for a page; a disk's size fits an f64 to within bytes.
    let share = if total == 0 { 0.0 } else { used as f64 / total as f64 };
    if share > DISK.0 {
        let level = if share > DISK.1 { Level::Bad } else { Level::Warn };
        notice(
            Status { level, cause: format!("disk {:.0} % full", share * 100.0), since: machine.at.0 },
            "The disk is filling up".to_owned(),
            "/monitoring",
        );
    }
    if scope.rights.allow("pulse.read") {
        attention.extend(alerts(&g.store, &scope).await?);
    }
    let worst = attention.iter().map(|a| &a.status).max_by_key(|s| s.level);
    let status =
        worst.cloned().unwrap_or(Status { level: Level::Ok, cause: "all is well".to_owned(), since: g.started.0 });
    Ok(Json(Home {
        status,
        name: identity.name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: g.started.0,
        sync,
        services,
        attention,
        disk: machine.disk,
        cpu: machine.cpu,
        memory: machine.memory,
        activity,
    }))
}
