//! HTTP in and out.

use std::{str::FromStr, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use sent_contract::{
    Micros, Page, Uuid,
    pulse::{Alert, Check, Host, NewCheck, QueryAnswer, Rule, Series, Silence},
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};
use serde::Deserialize;

use crate::{exporter, service::Service};

type App = State<Arc<Service>>;
type Who = Extension<Scope>;
type Answer<T> = Result<Json<T>, Problem>;

const READ: Access = Access::Right("pulse.read");
const CHECK: Access = Access::Right("pulse.check.write");
const RULE: Access = Access::Right("pulse.rule.write");
const SILENCE: Access = Access::Right("pulse.silence.write");

/// All routes of this engine.
pub fn routes(service: Arc<Service>) -> Routes {
    Routes::new()
        .get("/api/pulse/hosts", READ, hosts)
        .get("/api/pulse/checks", READ, checks)
        .post("/api/pulse/checks", CHECK, create_check)
        .put("/api/pulse/checks/{id}", CHECK, change_check)
        .delete("/api/pulse/checks/{id}", CHECK, delete_check)
        // A run measures; it changes no rows.
        .add(Method::POST, "/api/pulse/checks/{id}/run", Access::Right("pulse.check.run"), false, run_check)
        .get("/api/pulse/series", READ, series)
        .get("/api/pulse/query", READ, query)
        .get("/api/pulse/alerts", READ, alerts)
        .post("/api/pulse/alerts/{id}/acknowledge", Access::Right("pulse.alert.acknowledge"), acknowledge)
        .get("/api/pulse/rules", READ, rules)
        .post("/api/pulse/rules", RULE, create_rule)
        .put("/api/pulse/rules/{id}", RULE, change_rule)
        .delete("/api/pulse/rules/{id}", RULE, delete_rule)
        .get("/api/pulse/silences", READ, silences)
        .post("/api/pulse/silences", SILENCE, create_silence)
        .delete("/api/pulse/silences/{id}", SILENCE, delete_silence)
        .get("/metrics", Access::Right("pulse.metrics.read"), metrics)
        .with_state(service)
}

/// A body, or what is wrong with it as a [`Problem`].
fn body<T>(json: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    json.map(|Json(value)| value).map_err(|e| Problem::invalid(e.body_text()))
}

/// An id out of a path; a text that is no id names nothing.
fn named(id: &str, what: &str) -> Result<Uuid, Problem> {
    Uuid::from_str(id).map_err(|_| Problem::not_found(what))
}

async fn hosts(State(service): App, Extension(scope): Who) -> Answer<Page<Host>> {
    service.hosts(&scope).await.map(Json)
}

async fn checks(State(service): App, Extension(scope): Who) -> Answer<Page<Check>> {
    service.checks(&scope).await.map(Json)
}

async fn create_check(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<NewCheck>, JsonRejection>,
) -> Result<(StatusCode, Json<Check>), Problem> {
    Ok((StatusCode::CREATED, Json(service.put_check(&scope, None, body(new)?).await?)))
}

async fn change_check(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
    new: Result<Json<NewCheck>, JsonRejection>,
) -> Answer<Check> {
    service.put_check(&scope, Some(named(&id, "check")?), body(new)?).await.map(Json)
}

async fn delete_check(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_check(&scope, named(&id, "check")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn run_check(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Answer<Check> {
    service.run_check(&scope, named(&id, "check")?).await.map(Json)
}

#[derive(Debug, Default, Deserialize)]
struct SeriesFilter {
    host: Option<String>,
    metric: Option<String>,
    q: Option<String>,
}

async fn series(
    State(service): App,
    Extension(scope): Who,
    Query(filter): Query<SeriesFilter>,
) -> Answer<Page<Series>> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (host, metric, words) = (given(&filter.host), given(&filter.metric), given(&filter.q));
    Ok(Json(service.series(&scope, host.as_deref(), metric.as_deref(), words.as_deref())))
}

#[derive(Debug, Deserialize)]
struct Span {
    series: String,
    from: Option<Micros>,
    to: Option<Micros>,
    points: Option<usize>,
}

/// Series ids out of `1,2,3`.
pub fn ids(text: &str) -> Result<Vec<u64>, Problem> {
    let parse =
        |one: &str| one.trim().parse().map_err(|_| Problem::field("series", "write series ids, separated by commas"));
    text.split(',').filter(|one| !one.trim().is_empty()).map(parse).collect()
}

async fn query(State(service): App, Extension(scope): Who, Query(span): Query<Span>) -> Answer<QueryAnswer> {
    service.query(&scope, ids(&span.series)?, span.from, span.to, span.points).await.map(Json)
}

#[derive(Debug, Deserialize)]
struct AlertFilter {
    state: Option<String>,
}

async fn alerts(State(service): App, Extension(scope): Who, Query(filter): Query<AlertFilter>) -> Answer<Page<Alert>> {
    service.alerts(&scope, filter.state.filter(|state| !state.is_empty())).await.map(Json)
}

async fn acknowledge(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Answer<Alert> {
    service.acknowledge(&scope, named(&id, "alert")?).await.map(Json)
}

async fn rules(State(service): App, Extension(scope): Who) -> Answer<Page<Rule>> {
    service.rules(&scope).await.map(Json)
}

/// A rule as it is sent: the id is the server's.
#[derive(Debug, Deserialize)]
struct NewRule {
    #[serde(default)]
    id: Uuid,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

impl NewRule {
    fn rule(mut self) -> Result<Rule, Problem> {
        self.rest.insert("id".to_owned(), self.id.to_string().into());
        serde_json::from_value(self.rest.into()).map_err(|e| Problem::invalid(e.to_string()))
    }
}

async fn create_rule(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<NewRule>, JsonRejection>,
) -> Result<(StatusCode, Json<Rule>), Problem> {
    Ok((StatusCode::CREATED, Json(service.put_rule(&scope, None, body(new)?.rule()?).await?)))
}

async fn change_rule(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
    new: Result<Json<NewRule>, JsonRejection>,
) -> Answer<Rule> {
    service.put_rule(&scope, Some(named(&id, "rule")?), body(new)?.rule()?).await.map(Json)
}

async fn delete_rule(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_rule(&scope, named(&id, "rule")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn silences(State(service): App, Extension(scope): Who) -> Answer<Page<Silence>> {
    service.silences(&scope).await.map(Json)
}

async fn create_silence(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<Silence>, JsonRejection>,
) -> Result<(StatusCode, Json<Silence>), Problem> {
    Ok((StatusCode::CREATED, Json(service.add_silence(&scope, body(new)?).await?)))
}

async fn delete_silence(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_silence(&scope, named(&id, "silence")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn metrics(State(service): App, Extension(scope): Who) -> Result<impl IntoResponse, Problem> {
    Ok(([(CONTENT_TYPE, exporter::CONTENT_TYPE)], service.metrics(&scope)?))
}
