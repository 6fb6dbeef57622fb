//! HTTP in and out.

use std::{str::FromStr, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State, rejection::JsonRejection},
    http::{
        StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::IntoResponse,
};
use sent_contract::{
    Page, Uuid,
    shield::{NewReport, NewSchedule, NewTemplate, Report, Schedule, Template},
};
use sent_core::{
    Problem, Scope,
    route::{Access, Routes},
};

use crate::service::{Service, file_name};

type App = State<Arc<Service>>;
type Who = Extension<Scope>;
type Answer<T> = Result<Json<T>, Problem>;

const READ: Access = Access::Right("shield.read");
const MAKE: Access = Access::Right("shield.report.make");
const WRITE: Access = Access::Right("shield.write");

/// All routes of this engine.
pub fn routes(service: Arc<Service>) -> Routes {
    Routes::new()
        .get("/api/shield/templates", READ, templates)
        .post("/api/shield/templates", WRITE, create_template)
        .put("/api/shield/templates/{id}", WRITE, change_template)
        .delete("/api/shield/templates/{id}", WRITE, delete_template)
        .get("/api/shield/schedules", READ, schedules)
        .post("/api/shield/schedules", WRITE, create_schedule)
        .put("/api/shield/schedules/{id}", WRITE, change_schedule)
        .delete("/api/shield/schedules/{id}", WRITE, delete_schedule)
        .get("/api/shield/reports", READ, reports)
        .post("/api/shield/reports", MAKE, make)
        .get("/api/shield/reports/{id}", READ, report)
        .get("/api/shield/reports/{id}/report.pdf", READ, pdf)
        .delete("/api/shield/reports/{id}", WRITE, delete_report)
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

async fn templates(State(service): App, Extension(scope): Who) -> Answer<Page<Template>> {
    service.templates(&scope).await.map(Json)
}

async fn create_template(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<NewTemplate>, JsonRejection>,
) -> Result<(StatusCode, Json<Template>), Problem> {
    Ok((StatusCode::CREATED, Json(service.put_template(&scope, None, body(new)?).await?)))
}

async fn change_template(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
    new: Result<Json<NewTemplate>, JsonRejection>,
) -> Answer<Template> {
    service.put_template(&scope, Some(named(&id, "template")?), body(new)?).await.map(Json)
}

async fn delete_template(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_template(&scope, named(&id, "template")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn schedules(State(service): App, Extension(scope): Who) -> Answer<Page<Schedule>> {
    service.schedules(&scope).await.map(Json)
}

async fn create_schedule(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<NewSchedule>, JsonRejection>,
) -> Result<(StatusCode, Json<Schedule>), Problem> {
    Ok((StatusCode::CREATED, Json(service.put_schedule(&scope, None, body(new)?).await?)))
}

async fn change_schedule(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
    new: Result<Json<NewSchedule>, JsonRejection>,
) -> Answer<Schedule> {
    service.put_schedule(&scope, Some(named(&id, "schedule")?), body(new)?).await.map(Json)
}

async fn delete_schedule(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_schedule(&scope, named(&id, "schedule")?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reports(State(service): App, Extension(scope): Who) -> Answer<Page<Report>> {
    service.reports(&scope).await.map(Json)
}

async fn make(
    State(service): App,
    Extension(scope): Who,
    new: Result<Json<NewReport>, JsonRejection>,
) -> Result<(StatusCode, Json<Report>), Problem> {
    Ok((StatusCode::CREATED, Json(service.make(&scope, body(new)?).await?)))
}

async fn report(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Answer<Report> {
    service.report(&scope, named(&id, "report")?).await.map(Json)
}

async fn pdf(State(service): App, Extension(scope): Who, Path(id): Path<String>) -> Result<impl IntoResponse, Problem> {
    let (report, bytes) = service.file(&scope, named(&id, "report")?).await?;
    let shown_as = format!("inline; filename=\"{}\"", file_name(&report));
    Ok(([(CONTENT_TYPE, "application/pdf".to_owned()), (CONTENT_DISPOSITION, shown_as)], bytes))
}

async fn delete_report(
    State(service): App,
    Extension(scope): Who,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    service.delete_report(&scope, named(&id, "report")?).await?;
    Ok(StatusCode::NO_CONTENT)
}
