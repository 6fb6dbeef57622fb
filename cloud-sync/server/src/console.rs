//! The port people speak to: sessions, and the fleet.
//!
//! Every route is in [`routes`] with the right it needs; a caller becomes a [`Scope`](sent_core::Scope) in
//! [`auth::authenticate`] and sees its own organisation and the customers of it, which the database enforces. Every change
//! goes through [`Change`](crate::audit::Change).

mod accounts;
mod actions;
mod auth;
mod boxes;
mod decisions;
mod filter;
mod items;
mod network;
pub mod organizations;
mod packs;
mod page;
mod people;
mod rates;
mod reference;
mod roles;
mod rows;
mod security;
mod series;
mod session;
mod tokens;

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, State, WebSocketUpgrade},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use sent_core::{
    Problem,
    error::Kind,
    live,
    route::{Access, Listed, Routes, end_after_refusal},
};
use tokio_util::sync::CancellationToken;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

pub use auth::Login;

use crate::{
    Cloud,
    db::{Tenancy, run_to_end},
    error::Result,
};

/// JSON of a console request: documents and lists of boxes, no files.
const BODY: usize = 1 << 20;

/// What a handler answers.
type Answer<T> = Result<axum::Json<T>>;

/// Every route of the console, with its right.
pub fn routes() -> Routes<Arc<Cloud>> {
    const BOXES: Access = Access::Right("fleet.box.read");
    const BOX: Access = Access::Right("fleet.box.write");
    const ORGANIZATIONS: Access = Access::Right("fleet.organization.read");
    const ORGANIZATION: Access = Access::Right("fleet.organization.write");
    const SECURITY: Access = Access::Right("fleet.security.read");
    const NETWORK: Access = Access::Right("fleet.network.read");
    const PACKS: Access = Access::Right("fleet.pack.read");
    const PACK: Access = Access::Right("fleet.pack.write");
    const REFERENCES: Access = Access::Right("fleet.reference.read");
    const REFERENCE: Access = Access::Right("fleet.reference.write");
    Routes::new()
        .post("/api/session", Access::Public, session::login)
        .post("/api/session/totp", Access::Public, session::totp)
        .get("/api/session", Access::Session, session::me)
        .delete("/api/session", Access::Session, session::logout)
        .post("/api/me/password", Access::Session, session::change_password)
        .post("/api/me/totp", Access::Session, session::begin_totp)
        .post("/api/me/totp/confirm", Access::Session, session::confirm_totp)
        .delete("/api/me/totp", Access::Session, session::remove_totp)
        .get("/api/tokens", Access::Session, tokens::list)
        .post("/api/tokens", Access::Session, tokens::create)
        .delete("/api/tokens/{id}", Access::Session, tokens::remove)
        .get("/api/users", Access::Right("user.read"), people::users)
        .post("/api/users", Access::Right("user.write"), people::create_user)
        .patch("/api/users/{id}", Access::Right("user.write"), people::patch_user)
        .get("/api/roles", Access::Right("user.read"), roles::list)
        .post("/api/roles", Access::Right("user.write"), roles::create)
        .put("/api/roles/{id}", Access::Right("user.write"), roles::edit)
        .delete("/api/roles/{id}", Access::Right("user.write"), roles::remove)
        .get("/api/audit", Access::Right("audit.read"), rows::audit)
        .add(Method::POST, "/api/audit/verify", Access::Right("audit.read"), false, rows::verify_audit)
        .get("/api/settings", Access::Right("settings.read"), rows::settings)
        .get("/api/routes", Access::Right("routes.read"), list_routes)
        .get("/api/fleet/boxes", BOXES, boxes::list)
        .get("/api/fleet/boxes/counts", BOXES, boxes::counts)
        .get("/api/fleet/boxes/{id}", BOXES, boxes::detail)
        .put("/api/fleet/boxes/{id}/desired", BOX, boxes::set_desired)
        .post("/api/fleet/boxes/{id}/commands", BOX, boxes::command)
        .post("/api/fleet/boxes/{id}/revoke", BOX, boxes::revoke)
        .get("/api/fleet/boxes/{id}/series", BOXES, series::list)
        .get("/api/fleet/boxes/{id}/query", BOXES, series::query)
        .post("/api/fleet/actions", BOX, actions::run)
        .post("/api/fleet/claims", Access::Right("fleet.claim.write"), organizations::claim)
        .get("/api/fleet/organizations", ORGANIZATIONS, organizations::list)
        .post("/api/fleet/organizations", ORGANIZATION, organizations::create)
        .post("/api/fleet/organizations/{id}/branches", ORGANIZATION, organizations::add_branch)
        .get("/api/fleet/organizations/{id}/roles", ORGANIZATIONS, roles::customer_list)
        .post("/api/fleet/organizations/{id}/roles", ORGANIZATION, roles::customer_create)
        .put("/api/fleet/organizations/{id}/roles/{role}", ORGANIZATION, roles::customer_edit)
        .delete("/api/fleet/organizations/{id}/roles/{role}", ORGANIZATION, roles::customer_remove)
        .get("/api/fleet/organizations/{id}/users", ORGANIZATIONS, people::customer_users)
        .post("/api/fleet/organizations/{id}/users", ORGANIZATION, people::create_customer_user)
        .get("/api/fleet/organizations/{id}/accounts", REFERENCES, accounts::list)
        .post("/api/fleet/organizations/{id}/accounts", REFERENCE, accounts::create)
        .put("/api/fleet/organizations/{id}/accounts/{account}", REFERENCE, accounts::edit)
        .post("/api/fleet/organizations/{id}/accounts/{account}/close", REFERENCE, accounts::close)
        .get("/api/fleet/organizations/{id}/rates", REFERENCES, rates::list)
        .put("/api/fleet/organizations/{id}/rates", REFERENCE, rates::set)
        .delete("/api/fleet/organizations/{id}/rates/{currency}/{date}", REFERENCE, rates::remove)
        .get("/api/fleet/organizations/{id}/taxes", REFERENCES, rates::taxes)
        .post("/api/fleet/organizations/{id}/taxes", REFERENCE, rates::create_tax)
        .put("/api/fleet/organizations/{id}/taxes/{tax}", REFERENCE, rates::edit_tax)
        .post("/api/fleet/organizations/{id}/taxes/{tax}/close", REFERENCE, rates::close_tax)
        .get("/api/fleet/organizations/{id}/items", REFERENCES, items::list)
        .post("/api/fleet/organizations/{id}/items", REFERENCE, items::create)
        .put("/api/fleet/organizations/{id}/items/{item}", REFERENCE, items::edit)
        .post("/api/fleet/organizations/{id}/items/{item}/close", REFERENCE, items::close)
        .get("/api/fleet/organizations/{id}/settings", REFERENCES, items::settings)
        .put("/api/fleet/organizations/{id}/settings", REFERENCE, items::set)
        .delete("/api/fleet/organizations/{id}/settings/{key}", REFERENCE, items::unset)
        .get("/api/fleet/entries", Access::Right("fleet.entry.read"), rows::entries)
        .get("/api/fleet/alerts", Access::Right("fleet.alert.read"), rows::alerts)
        .get("/api/fleet/security/counts", SECURITY, security::counts)
        .get("/api/fleet/security/branches", SECURITY, security::branches)
        .get("/api/fleet/security/cases", SECURITY, security::cases)
        .get("/api/fleet/security/alerts", SECURITY, security::alerts)
        .get("/api/fleet/network/detections", NETWORK, network::detections)
        .get("/api/fleet/network/devices", NETWORK, network::devices)
        .get("/api/fleet/network/certificates", NETWORK, network::certificates)
        .get("/api/fleet/packs", PACKS, packs::list)
        .put("/api/fleet/packs/{name}", PACK, packs::upload)
        .delete("/api/fleet/packs/{name}/{version}", PACK, packs::remove)
        .get("/api/fleet/packs/{name}/boxes", PACKS, packs::boxes)
        .post("/api/fleet/packs/{name}/apply", PACK, packs::apply)
        .get("/api/fleet/quarantine", Access::Right("fleet.quarantine.read"), decisions::quarantine)
        .post("/api/fleet/quarantine/{id}/retry", Access::Right("fleet.quarantine.write"), decisions::retry)
        .post("/api/fleet/quarantine/{id}/skip", Access::Right("fleet.quarantine.write"), decisions::skip)
        .get("/api/fleet/proposals", Access::Right("fleet.proposal.read"), decisions::proposals)
        .post("/api/fleet/proposals/{id}/accept", Access::Right("fleet.proposal.write"), decisions::accept)
        .post("/api/fleet/proposals/{id}/refuse", Access::Right("fleet.proposal.write"), decisions::refuse)
}

/// `GET /api/routes`: the real list, with what each route asks of its caller.
async fn list_routes() -> axum::Json<Vec<Listed>> {
    axum::Json(routes().list().iter().map(Listed::from).collect())
}

/// The console: routes, pages, live events, health.
pub fn router(cloud: Arc<Cloud>, pages: Router, stop: CancellationToken) -> Router {
    let api = routes()
        .into_router()
        .layer(DefaultBodyLimit::max(BODY))
        .route("/connection/websocket", get(connect))
        .layer(Extension(stop))
        .layer(middleware::from_fn_with_state(cloud.clone(), auth::authenticate))
        .layer(middleware::map_response(speak_alike))
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .route("/api/{*rest}", axum::routing::any(no_such_route))
        .route("/health", get(health))
        .with_state(cloud);
    let set = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    api.fallback_service(pages)
        .layer(CompressionLayer::new())
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::X_FRAME_OPTIONS, "DENY"))
        .layer(set(header::REFERRER_POLICY, "same-origin"))
        .layer(set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY))
        .layer(set(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"))
        .layer(set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .layer(set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"))
        .layer(middleware::from_fn(run_to_end))
        .layer(middleware::from_fn(end_after_refusal))
}

/// Scripts and connections of our own origin only; WebAssembly may be compiled.
const CONTENT_SECURITY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// What the framework refuses before a handler runs (a path, a query or a body that does not parse) it says in plain
/// text; pages read every error in one shape.
async fn speak_alike(response: Response) -> Response {
    let status = response.status();
    let is_text = response.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() && is_text) {
        return response;
    }
    let said = axum::body::to_bytes(response.into_body(), SAID).await.unwrap_or_default();
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        _ => Kind::Invalid,
    };
    Problem::new(kind, format!("the request cannot be read: {}", String::from_utf8_lossy(&said))).into_response()
}

/// Bytes of a refusal that are passed on.
const SAID: usize = 4 << 10;

async fn no_such_route() -> Problem {
    Problem::new(Kind::NotFound, "there is no such route")
}

/// Ready when the database answers.
async fn health(State(cloud): State<Arc<Cloud>>) -> Result<&'static str> {
    ready(&cloud).await?;
    Ok("ok")
}

async fn ready(cloud: &Cloud) -> Result<()> {
    let tx = cloud.db.begin(Tenancy::All).await?;
    tx.commit().await?;
    Ok(())
}

/// `GET /connection/websocket`.
async fn connect(
    State(cloud): State<Arc<Cloud>>,
    Extension(stop): Extension<CancellationToken>,
    login: Option<Extension<Login>>,
    socket: WebSocketUpgrade,
) -> Response {
    let access = match login {
        Some(Extension(login)) => live::Access::Known(login.identity()),
        None => {
            let cloud = cloud.clone();
            live::Access::Token(Arc::new(move |token| {
                let cloud = cloud.clone();
                Box::pin(async move {
                    let found = auth::by_token(&cloud, &token).await;
                    found.ok().flatten().map(|login| login.identity())
                })
            }))
        }
    };
    let hub = cloud.hub.clone();
    live::upgrade(socket).on_upgrade(move |socket| live::serve(socket, hub, access, stop))
}
