//! A running engine on a real store, with measurements in memory, for the tests that drive it through its routes.
#![allow(dead_code, reason = "each test uses its own part")]

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use axum::{Router, body::Body};
use http_body_util::BodyExt;
use sent_contract::{
    Uuid,
    pulse::{Alert, Check, Curve, QueryAnswer, Rule, Series},
};
use sent_core::{Scope, clock::SystemClock, engine::Engine, live::Hub, mail};
use sent_protocol::telemetry::{Point, SeriesDefinition};
use sent_pulse::{
    Parts, Pulse, TABLES,
    recorder::{Known, Reader, SeriesError, Sink},
    settings::Settings,
};
use sent_store::{Config, NewBox, Store, StoreError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

static PROVIDER: Once = Once::new();

/// One TLS provider for the process, as the program installs it.
pub fn provider() {
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("no other provider is installed");
    });
}

/// Points in memory: the spool's and DuckDB's place in these tests. A full disk can be feigned.
#[derive(Default)]
pub struct Points {
    inner: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    definitions: HashMap<u64, SeriesDefinition>,
    points: Vec<Point>,
    full: bool,
}

impl Points {
    pub fn set_full(&self, full: bool) {
        self.inner.lock().expect("not poisoned").full = full;
    }

    pub fn count(&self) -> usize {
        self.inner.lock().expect("not poisoned").points.len()
    }
}

impl Sink for Points {
    fn append(&self, definitions: &[SeriesDefinition], points: &[Point]) -> Result<(), SeriesError> {
        let mut kept = self.inner.lock().expect("not poisoned");
        if kept.full {
            return Err(SeriesError::new("the disk is full"));
        }
        kept.definitions.extend(definitions.iter().map(|d| (d.id, d.clone())));
        kept.points.extend_from_slice(points);
        Ok(())
    }
}

impl Reader for Points {
    fn list(&self) -> Result<Vec<Known>, SeriesError> {
        let kept = self.inner.lock().expect("not poisoned");
        let last: HashMap<u64, &Point> = kept.points.iter().map(|p| (p.series, p)).collect();
        Ok(kept
            .definitions
            .values()
            .map(|d| {
                let last = last.get(&d.id);
                Known { definition: Arc::new(d.clone()), last: last.map(|p| p.value), last_at: last.map(|p| p.at) }
            })
            .collect())
    }

    fn query(&self, series: &[u64], from: i64, to: i64, _: usize) -> Result<QueryAnswer, SeriesError> {
        let kept = self.inner.lock().expect("not poisoned");
        let curve = |id: &u64| {
            let points: Vec<&Point> =
                kept.points.iter().filter(|p| p.series == *id && (from..to).contains(&p.at)).collect();
            let values: Vec<Option<f64>> = points.iter().map(|p| Some(p.value)).collect();
            Curve {
                id: id.to_string(),
                at: points.iter().map(|p| p.at).collect(),
                avg: values.clone(),
                min: values.clone(),
                max: values,
            }
        };
        Ok(QueryAnswer { tier: "raw".to_owned(), step: 0, series: series.iter().map(curve).collect() })
    }
}

/// A box with this engine.
pub struct World {
    pub folder: TempDir,
    pub store: Store,
    pub scope: Scope,
    pub points: Arc<Points>,
    pub pulse: Pulse,
    router: Router,
    stop: Stop,
    task: Option<JoinHandle<Result<(), String>>>,
}

impl World {
    pub async fn start(settings: Settings) -> Self {
        Self::start_with_mail(settings, &mail::Settings::default()).await
    }

    pub async fn start_with_mail(settings: Settings, mail: &mail::Settings) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mail = mail::Mailer::new(mail).expect("mail settings").map(Arc::new);
        Self::open(folder, settings, mail, Arc::default(), true).await
    }

    async fn open(
        folder: TempDir,
        settings: Settings,
        mail: Option<Arc<mail::Mailer>>,
        points: Arc<Points>,
        first: bool,
    ) -> Self {
        provider();
        let clock = SystemClock::shared();
        let config =
            Config { data: folder.path().to_owned(), tables: TABLES.to_vec(), clock: clock.clone(), readers: 2 };
        let store = Store::open(config).expect("a store");
        let organization = Uuid::from_u128(0x0a);
        let scope = Scope::system(organization, "test", &*clock);
        if first {
            let new = NewBox { box_id: Uuid::from_u128(0xb0), name: "test".into(), organization, branch: None };
            store.initialise(new).expect("a box");
            store
                .write_blocking(&scope, "organization.create", |tx| -> Result<(), StoreError> {
                    tx.execute("INSERT INTO organizations (name, currency) VALUES ('Northwind', 'EUR')", [])?;
                    Ok(())
                })
                .expect("an organisation");
        }
        let parts = Parts {
            store: store.clone(),
            hub: Hub::new(1),
            organization,
            sink: points.clone(),
            reader: points.clone(),
            interval: tokio::sync::watch::Sender::new(settings.interval).subscribe(),
            mail,
            settings,
        };
        let pulse = Pulse::new(parts).expect("an engine");
        let stop = CancellationToken::new();
        let task = tokio::spawn(pulse.run(stop.clone()));
        let router = pulse.routes().into_router();
        Self { folder, store, scope, points, pulse, router, stop: Stop(stop), task: Some(task) }
    }

    /// Stops as the supervisor does, and starts again over what is there.
    pub async fn restart(mut self, settings: Settings) -> Self {
        self.stop().await;
        let Self { folder, store, points, pulse, router, .. } = self;
        drop((store, pulse, router));
        Self::open(folder, settings, None, points, false).await
    }

    pub async fn stop(&mut self) {
        self.stop.0.cancel();
        if let Some(task) = self.task.take() {
            task.await.expect("no panic").expect("a graceful end");
        }
    }

    /// A request as this box's own organisation, with every right.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        self.call_as(self.scope.clone(), method, path, body).await
    }

    pub async fn call_as(&self, scope: Scope, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
        let mut request =
            axum::http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(extensions) = request.extensions_mut() {
            extensions.insert(scope);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let response = self.router.clone().oneshot(request.body(body).expect("a request")).await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.call("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    pub async fn list<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let page: sent_contract::Page<T> = self.get(path).await;
        page.items
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: Value) -> T {
        let (status, body) = self.call("POST", path, Some(body)).await;
        assert!((200..300).contains(&status), "{path}: {status} {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"))
    }

    /// Adds a check that runs every second, and waits for its first run.
    pub async fn check(&self, name: &str, kind: Value) -> Check {
        let check: Check = self
            .post("/api/pulse/checks", serde_json::json!({"name": name, "kind": kind, "interval": 1, "timeout": 1}))
            .await;
        self.until(&format!("a run of {name}"), async || {
            let checks: Vec<Check> = self.list("/api/pulse/checks").await;
            checks.into_iter().find(|one| one.id == check.id && one.last_run.is_some())
        })
        .await
    }

    pub async fn rule(&self, rule: Value) -> Rule {
        let mut whole = serde_json::json!({
            "name": "test", "metric": "check_up", "condition": "below", "raise": 0.5, "clear": 0.5, "hold_seconds": 0, "severity": "bad",
        });
        whole.as_object_mut().expect("an object").extend(rule.as_object().expect("an object").clone());
        self.post("/api/pulse/rules", whole).await
    }

    pub async fn alerts(&self, state: &str) -> Vec<Alert> {
        self.list(&format!("/api/pulse/alerts?state={state}")).await
    }

    /// The newest value of each series of a metric, by the value of one label.
    pub async fn last(&self, metric: &str, label: &str) -> BTreeMap<String, f64> {
        let series: Vec<Series> = self.list(&format!("/api/pulse/series?metric={metric}")).await;
        series.into_iter().filter_map(|s| Some((s.labels.get(label)?.clone(), s.last?))).collect()
    }

    /// Waits until something is so.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), wait).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain for {what}"),
        }
    }
}

/// What a test forgets to stop stops with it.
struct Stop(CancellationToken);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
