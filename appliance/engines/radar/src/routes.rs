//! HTTP in and out.
//!
//! Agents send to `/api/radar/intake/…` as they would to Elasticsearch or Splunk, with an API token for whatever secret
//! they know; the gateway has turned it into a scope by then.

use std::{net::SocketAddr, ops::Range, str::FromStr, sync::Arc};

use axum::{
    Extension, Json, Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Path, Query, Request, State, rejection::JsonRejection},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use sent_contract::{
    Micros, Page, Uuid,
    radar::{
        Alert, AlertDetail, Case, CaseChange, CaseCounts, CaseDetail, Comment, Exception, Found, Histogram, Hunt,
        Hunted, NewComment, Pack, PackChange, RadarStatus, Risk, Rule, RuleChange, RuleTest, RuleTried, Values,
    },
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};
use serde::Deserialize;
use tower::ServiceExt as _;

use crate::{
    intake::http,
    search::{Key, Search},
    service::{MOST, Service, after, unfound},
    store::{AlertFilter, CaseFilter},
};

type App = State<Arc<Service>>;
type Who = Extension<Scope>;
type Answer<T> = Result<Json<T>, Problem>;

const READ: Access = Access::Right("radar.read");
const CASE: Access = Access::Right("radar.case.write");
const RULE: Access = Access::Right("radar.rule.write");
const EXCEPTION: Access = Access::Right("radar.exception.write");
/// The logs themselves: what is in them is more than what was found in them.
const SEARCH: Access = Access::Right("radar.search");
const INTAKE: Access = Access::Right("radar.intake");

/// Where agents send to.
const DOOR: &str = "/api/radar/intake";
/// Bytes of a pack's archive at most.
const MOST_ARCHIVE: usize = 64 << 20;
/// Most bars of a histogram, when nobody says.
const BARS: i64 = 60;

/// All routes of this engine.
pub fn routes(service: Arc<Service>) -> Routes {
    let mut routes = Routes::new()
        .get("/api/radar/status", READ, status)
        .get("/api/radar/alerts", READ, alerts)
        .get("/api/radar/alerts/{id}", READ, alert)
        .get("/api/radar/cases", READ, cases)
        .get("/api/radar/cases/counts", READ, case_counts)
        .get("/api/radar/cases/{id}", READ, case)
        .patch("/api/radar/cases/{id}", CASE, change_case)
        .post("/api/radar/cases/{id}/comments", CASE, comment)
        .get("/api/radar/risk", READ, risks)
        .get("/api/radar/rules", READ, rules)
        .patch("/api/radar/rules", RULE, change_rule)
        // A trial changes no rows, and neither does a hunt.
        .add(Method::POST, "/api/radar/rules/test", READ, false, try_rules)
        .add(Method::POST, "/api/radar/rules/hunt", SEARCH, false, hunt)
        .get("/api/radar/packs", READ, packs)
        .put("/api/radar/packs/{name}", RULE, install)
        .patch("/api/radar/packs/{name}", RULE, change_pack)
        .delete("/api/radar/packs/{name}", RULE, remove_pack)
        .get("/api/radar/exceptions", READ, exceptions)
        .post("/api/radar/exceptions", EXCEPTION, add_exception)
        .delete("/api/radar/exceptions/{id}", EXCEPTION, delete_exception)
        .get("/api/radar/search", SEARCH, search)
        .get("/api/radar/histogram", SEARCH, histogram)
        .get("/api/radar/values", SEARCH, values);
    let door = http::admitted(service.inlet().clone());
    for path in ["/api/radar/intake", "/api/radar/intake/", "/api/radar/intake/{*rest}"] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
            let door = door.clone();
            // Logs are no rows: what arrives is in the queue, not in the audit.
            routes = routes.add(method, path, INTAKE, false, move |request: Request| take(door, request));
        }
    }
    let organization = service.organization();
    // The logs have no organisation of their own.
    routes.with_state(service).only_for(organization)
}

/// Hands a request to the agents' door as if it stood there alone.
async fn take(door: Router, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let rest = path.strip_prefix(DOOR).filter(|rest| rest.starts_with('/')).unwrap_or("/");
    let mut inner = Request::new(body);
    *inner.method_mut() = parts.method;
    *inner.uri_mut() = rest.parse::<Uri>().map_err(|_| Problem::not_found("route"))?;
    *inner.headers_mut() = parts.headers;
    // Nothing else of the outer router may be taken for the inner one's.
    if let Some(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        inner.extensions_mut().insert(*peer);
    }
    let answered = door.oneshot(inner).await;
    Ok(answered.unwrap_or_else(|never| match never {}).into_response())
}

/// A body, or what is wrong with it as a [`Problem`].
fn body<T>(json: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    json.map(|Json(value)| value).map_err(|e| Problem::invalid(e.body_text()))
}

/// An id out of a path; a text that is no id names nothing.
fn named(id: &str, what: &str) -> Result<Uuid, Problem> {
    Uuid::from_str(id).map_err(|_| Problem::not_found(what))
}

/// Where a list goes on; a cursor that is none is the caller's fault.
fn going_on(text: &str) -> Result<Option<(Micros, String)>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    after(text).map(Some).ok_or_else(|| Problem::field("after", "is no cursor of this list"))
}

async fn status(State(service): App) -> Json<RadarStatus> {
    Json(service.status())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    severity: String,
    state: String,
    rule: String,
    host: String,
    user: String,
    owner: String,
    q: String,
    after: String,
    #[serde(alias = "limit")]
    most: Option<u32>,
}

async fn alerts(State(service): App, Extension(scope): Who, Query(listed): Query<Listed>) -> Answer<Page<Alert>> {
    let before = going_on(&listed.after)?;
    let Listed { severity, state, rule, host, user, q: text, most, .. } = listed;
    let filter = AlertFilter { severity, state, rule, host, user, text, before };
    service.alerts(&scope, filter, most.unwrap_or(100).min(MOST)).await.map(Json)
}

async fn alert(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Answer<AlertDetail> {
    service.alert(&scope, named(&id, "alert")?).await.map(Json)
}

async fn cases(State(service): App, Extension(scope): Who, Query(listed): Query<Listed>) -> Answer<Page<Case>> {
    let before = going_on(&listed.after)?;
    let Listed { severity, state, owner, q: text, most, .. } = listed;
    let filter = CaseFilter { state, severity, owner, text, before };
    service.cases(&scope, filter, most.unwrap_or(100).min(MOST)).await.map(Json)
}

async fn case_counts(State(service): App, Extension(scope): Who) -> Answer<CaseCounts> {
    service.case_counts(&scope).await.map(Json)
}

async fn case(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Answer<CaseDetail> {
    service.case(&scope, named(&id, "case")?).await.map(Json)
}

async fn change_case(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
    change: Result<Json<CaseChange>, JsonRejection>,
) -> Answer<Case> {
    service.change_case(&scope, named(&id, "case")?, body(change)?).await.map(Json)
}

async fn comment(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
    new: Result<Json<NewComment>, JsonRejection>,
) -> Result<(StatusCode, Json<Comment>), Problem> {
    let comment = service.comment(&scope, named(&id, "case")?, body(new)?.text).await?;
    Ok((StatusCode::CREATED, Json(comment)))
}

async fn risks(State(service): App, Extension(scope): Who) -> Answer<Page<Risk>> {
    service.risks(&scope).await.map(Json)
}

async fn rules(State(service): App, Extension(scope): Who) -> Answer<Page<Rule>> {
    service.rules(&scope).await.map(Json)
}

/// Which rule. Ids may hold slashes: they stand in the address's query.
#[derive(Debug, Deserialize)]
struct WhichRule {
    id: String,
}

async fn change_rule(
    State(service): App,
    Extension(scope): Who,
    Query(which): Query<WhichRule>,
    change: Result<Json<RuleChange>, JsonRejection>,
) -> Answer<Rule> {
    service.enable_rule(&scope, which.id, body(change)?.enabled).await.map(Json)
}

async fn try_rules(State(service): App, test: Result<Json<RuleTest>, JsonRejection>) -> Answer<RuleTried> {
    service.try_rules(body(test)?).await.map(Json)
}

async fn hunt(State(service): App, hunt: Result<Json<Hunt>, JsonRejection>) -> Answer<Hunted> {
    service.hunt(body(hunt)?).await.map(Json)
}

async fn packs(State(service): App, Extension(scope): Who) -> Answer<Page<Pack>> {
    service.packs(&scope).await.map(Json)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version {
    version: String,
}

async fn install(
    State(service): App,
    Extension(scope): Who,
    Path(name): Path<String>,
    Query(Version { version }): Query<Version>,
    archive: Body,
) -> Answer<Pack> {
    // The usual bound of a body is for forms; all of SigmaHQ's rules in one archive are larger.
    let archive = to_bytes(archive, MOST_ARCHIVE).await;
    let archive =
        archive.map_err(|_| Problem::invalid(format!("an archive has at most {} MiB", MOST_ARCHIVE >> 20)))?;
    service.install(&scope, name, version, archive.into()).await.map(Json)
}

async fn change_pack(
    State(service): App,
    Extension(scope): Who,
    Path(name): Path<String>,
    change: Result<Json<PackChange>, JsonRejection>,
) -> Answer<Pack> {
    service.enable_pack(&scope, name, body(change)?.enabled).await.map(Json)
}

async fn remove_pack(
    State(service): App,
    Extension(scope): Who,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    service.remove_pack(&scope, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn exceptions(State(service): App, Extension(scope): Who) -> Answer<Page<Exception>> {
    service.exceptions(&scope).await.map(Json)
}

async fn add_exception(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<Exception>, JsonRejection>,
) -> Result<(StatusCode, Json<Exception>), Problem> {
    Ok((StatusCode::CREATED, Json(service.add_exception(&scope, body(new)?).await?)))
}

async fn delete_exception(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_exception(&scope, named(&id, "exception")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    q: String,
    from: Option<Micros>,
    to: Option<Micros>,
    after: String,
    most: Option<usize>,
    bars: Option<i64>,
    field: String,
}

impl Asked {
    fn search(&self) -> Result<Search, Problem> {
        let mut search = Search::new(&self.q).map_err(unfound)?;
        search.times = self.times(i64::MIN, i64::MAX);
        Ok(search)
    }

    fn times(&self, from: Micros, to: Micros) -> Range<Micros> {
        self.from.unwrap_or(from)..self.to.unwrap_or(to)
    }
}

async fn search(State(service): App, Query(asked): Query<Asked>) -> Answer<Found> {
    let after = match asked.after.as_str() {
        "" => None,
        text => Some(key(text).ok_or_else(|| Problem::field("after", "is no cursor of a search"))?),
    };
    service.search(asked.search()?, after, asked.most.unwrap_or(100)).await.map(Json)
}

/// Where a search goes on.
pub fn key(text: &str) -> Option<Key> {
    let (time, position) = text.split_once('.')?;
    Some(Key { time: time.parse().ok()?, position: position.parse().ok()? })
}

async fn histogram(State(service): App, Query(asked): Query<Asked>) -> Answer<Histogram> {
    let mut search = asked.search()?;
    let (Some(from), Some(to)) = (asked.from, asked.to) else {
        return Err(Problem::field("from", "a histogram is over a time: give `from` and `to`"));
    };
    if from >= to {
        return Err(Problem::field("to", "lies before `from`"));
    }
    search.times = from..to;
    service.histogram(search, asked.bars.unwrap_or(BARS)).await.map(Json)
}

async fn values(State(service): App, Query(asked): Query<Asked>) -> Answer<Values> {
    if asked.field.is_empty() {
        return Err(Problem::field("field", "name the field whose values are wanted"));
    }
    let search = asked.search()?;
    service.values(search, asked.field, asked.most.unwrap_or(20).min(1_000)).await.map(Json)
}
