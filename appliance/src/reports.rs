//! Asks every engine of the box what it has to report, in this process or behind a worker's socket.
//!
//! All are asked at once and none is waited for longer than [`PATIENCE`]: an engine that hangs costs a report one section,
//! which says so, and never the report.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use axum::{body::Body, extract::Request, http::HeaderValue};
use futures::future::join_all;
use http_body_util::{BodyExt as _, Limited};
use sent_core::{
    Scope,
    engine::{BoxFuture, Engine},
    report::{Period, Section, Sources, Told},
};

use crate::gateway::forward::{self, SCOPE};

/// Where a worker reports.
pub const REPORT: &str = "/report";

/// An engine reads rows and a few thousand points for its section.
const PATIENCE: Duration = Duration::from_secs(20);

/// A bounded section is far smaller.
const MOST_BYTES: usize = 4 << 20;

/// Somebody who can be asked.
pub enum Source {
    /// An engine of this process. It is the supervisor's: one that asks the others would keep all of them, and with them the
    /// store, beyond the end.
    Here(Weak<dyn Engine>),
    /// A worker: its name and its socket.
    Worker(&'static str, PathBuf),
}

/// Everybody. Engines are handed this before all of them are there; it is filled when they are.
#[derive(Clone, Default)]
pub struct Reporters {
    sources: Arc<OnceLock<Vec<Source>>>,
}

impl Reporters {
    /// Says who is there. Only the first word counts.
    pub fn fill(&self, sources: Vec<Source>) {
        // A second call would name the same engines.
        let _ = self.sources.set(sources);
    }
}

impl Sources for Reporters {
    fn ask(&self, scope: &Scope, period: Period) -> BoxFuture<Vec<Told>> {
        let (sources, scope) = (self.sources.clone(), scope.clone());
        Box::pin(async move {
            let asked = sources.get().into_iter().flatten().map(|source| told(source, &scope, period));
            join_all(asked).await.into_iter().flatten().collect()
        })
    }
}

async fn told(source: &Source, scope: &Scope, period: Period) -> Vec<Told> {
    let (engine, answer) = match source {
        Source::Here(engine) => {
            let Some(engine) = engine.upgrade() else { return Vec::new() };
            let report = engine.report(scope, period);
            let answer = async { report.await.map_err(|problem| problem.message) };
            (engine.description().name, tokio::time::timeout(PATIENCE, answer).await)
        }
        Source::Worker(name, socket) => {
            let answer = async { over(socket, scope, period).await.map_err(|error| error.to_string()) };
            (*name, tokio::time::timeout(PATIENCE, answer).await)
        }
    };
    let fault = match answer {
        Ok(Ok(sections)) => {
            return sections.into_iter().map(|section| Told { engine, section: Ok(section.bounded()) }).collect();
        }
        Ok(Err(message)) => message,
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    vec![Told { engine, section: Err(fault) }]
}

async fn over(socket: &std::path::Path, scope: &Scope, period: Period) -> Result<Vec<Section>, forward::Fault> {
    let scope = serde_json::to_string(scope)?;
    let request = Request::builder()
        .uri(format!("{REPORT}?from={}&to={}", period.from.0, period.to.0))
        .header(SCOPE, HeaderValue::from_bytes(scope.as_bytes())?)
        .body(Body::empty())?;
    let answer = forward::ask(socket, request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(serde_json::from_slice(&body)?)
}
