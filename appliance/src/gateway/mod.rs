//! The one router: pages, API, live bus, over TCP or in process.
//!
//! Every request passes [`authenticate`]: a session cookie or an API token becomes a [`Scope`] in the request's extensions,
//! or nothing does; [`Routes`] then refuses what needs a scope or a right. A changing request that came by cookie must carry
//! the session's CSRF token and, if it says where it comes from, come from here.

mod account;
mod administration;
pub mod forward;
mod overview;
mod session;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, Request, State, WebSocketUpgrade, connect_info::Connected},
    http::{HeaderMap, Method, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    serve::IncomingStream,
};
use data_encoding::BASE64;
use futures::future::join_all;
use sent_contract::identity::Me;
use sent_core::{
    Problem, Scope,
    error::Kind,
    identity::{self as secrets},
    live::{self, Hub},
    route::{Access, Listed, Route, Routes, end_after_refusal},
};
use sent_store::{Store, identity::Stage};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

use crate::{settings::Settings, supervisor::Supervisor, sync::SyncHandle};

/// Name of the session cookie.
pub const COOKIE: &str = "sent_session";

/// What the handlers of the gateway itself need.
#[derive(Clone)]
pub struct Gateway {
    /// Business rows.
    pub store: Store,
    /// Live bus.
    pub hub: Arc<Hub>,
    /// Engines and workers.
    pub supervisor: Supervisor,
    /// The sync agent.
    pub sync: SyncHandle,
    /// Settings.
    pub settings: Arc<Settings>,
    /// Ends with the program.
    pub shutdown: CancellationToken,
    /// When the program started.
    pub started: sent_core::Timestamp,
    /// The real list of routes in this process, engines' included.
    pub list: Arc<[Route]>,
    /// Sockets of the workers, which know their own.
    pub workers: Arc<[PathBuf]>,
}

/// The session cookie of a request, half-open logins included.
#[derive(Clone)]
pub struct Cookie {
    /// The secret.
    pub secret: String,
}

/// The gateway's own routes and those of the engines in this process.
pub(crate) fn routes(engines: Routes) -> Routes<Gateway> {
    Routes::new()
        .merge(session::routes())
        .merge(account::routes())
        .merge(administration::routes())
        .merge(overview::routes())
        .get("/api/routes", Access::Right("routes.read"), list)
        .get("/healthz", Access::Public, || async { "ok\n" })
        .merge(engines.with_state(()))
}

/// Builds the router. `engines` are the routes of engines in this process, `gateway.list` is filled in here.
pub fn router(mut gateway: Gateway, engines: Routes, workers: Router) -> Router {
    let routes = routes(engines);
    gateway.list = routes.list().into();
    let secure = !gateway.settings.gateway.certificate.as_os_str().is_empty();
    let limit = gateway.settings.gateway.body_mib * 1024 * 1024;
    routes
        .into_router()
        .route("/connection/websocket", axum::routing::any(websocket))
        .with_state(gateway.clone())
        .merge(workers)
        .layer(DefaultBodyLimit::max(limit))
        .layer(middleware::from_fn_with_state(gateway, authenticate))
        .layer(CompressionLayer::new().br(false))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        ))
        .merge(sent_assets::appliance())
        .layer(Extension(Secure(secure)))
        .layer(middleware::from_fn(end_after_refusal))
}

/// Whether the gateway itself speaks TLS, so that the cookie may ask for it.
#[derive(Clone, Copy)]
pub struct Secure(pub bool);

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// The caller's address; empty over a Unix socket or in process.
pub fn address(request: &Request) -> String {
    request.extensions().get::<ConnectInfo<Peer>>().map(|c| c.0.0.ip().to_string()).unwrap_or_default()
}

/// The session cookie's value.
pub fn cookie(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == COOKIE && !value.is_empty() && value.len() <= 128)
        .map(|(_, value)| value.to_owned())
}

/// The API token of a request. Log agents present theirs as what they believe to be a secret of Elasticsearch or Splunk:
/// `Splunk T`, `ApiKey base64(id:T)`, or the password of `Basic`.
fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let value = value.trim();
    let pair = || {
        let text = String::from_utf8(BASE64.decode(value.as_bytes()).ok()?).ok()?;
        text.split_once(':').map(|(_, secret)| secret.to_owned())
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "splunk" => Some(value.to_owned()),
        "apikey" => Some(pair().unwrap_or_else(|| value.to_owned())),
        "basic" => pair(),
        _ => None,
    }
}

/// A page of another origin must not speak for a logged-in user.
fn foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|o| o.to_str().ok()) else { return false };
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    origin.split_once("://").is_none_or(|(_, from)| from != host)
}

async fn authenticate(State(gateway): State<Gateway>, mut request: Request, next: Next) -> Response {
    match identify(&gateway, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

async fn identify(gateway: &Gateway, request: &mut Request) -> Result<(), Problem> {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && foreign(request.headers()) {
        return Err(Problem::new(Kind::Forbidden, "this request comes from another site"));
    }
    if let Some(secret) = token(request.headers()) {
        let scope = gateway.store.token_scope(&secret).await?;
        let scope = scope.ok_or_else(|| {
            Problem::new(Kind::Unauthenticated, "this token is unknown, ended, or its owner is locked")
        })?;
        request.extensions_mut().insert(scope);
        return Ok(());
    }
    let Some(secret) = cookie(request.headers()) else { return Ok(()) };
    let Some(session) = gateway.store.session(&secret).await? else { return Ok(()) };
    if session.stage == Stage::Open {
        let login = request.uri().path() == "/api/session" && *request.method() == Method::POST;
        if changes && !login {
            let token = request.headers().get("x-sent-csrf").and_then(|h| h.to_str().ok()).unwrap_or_default();
            if !secrets::same(token, &session.me.csrf) {
                return Err(Problem::new(Kind::Forbidden, "the page is older than your login; load it again"));
            }
        }
        request.extensions_mut().insert(session.scope.clone());
        request.extensions_mut().insert::<Me>(session.me.clone());
    }
    request.extensions_mut().insert(Cookie { secret });
    Ok(())
}

/// A worker that does not answer makes the list wait: one that is not whole would say that a route is not there.
async fn list(State(gateway): State<Gateway>) -> Result<Json<Vec<Listed>>, Problem> {
    let mut listed: Vec<Listed> = gateway.list.iter().map(Listed::from).collect();
    let asked = join_all(gateway.workers.iter().map(|socket| forward::routes(socket))).await;
    for routes in asked {
        listed.extend(routes?);
    }
    Ok(Json(listed))
}

async fn websocket(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    scope: Option<Extension<Scope>>,
    cookie: Option<Extension<Cookie>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    if foreign(&headers) {
        return Problem::new(Kind::Forbidden, "this connection comes from another site").into_response();
    }
    let access = match scope {
        Some(Extension(scope)) => live::Access::Known(live::Identity {
            user: scope.actor.id().unwrap_or_default(),
            login: cookie.map(|c| secrets::digest(&c.secret)).unwrap_or_default(),
            organizations: vec![scope.organization],
            rights: scope.rights,
        }),
        None => {
            let store = gateway.store.clone();
            live::Access::Token(Arc::new(move |token| {
                let store = store.clone();
                Box::pin(async move {
                    let scope = store.token_scope(&token).await.ok().flatten()?;
                    Some(live::Identity {
                        user: scope.actor.id().unwrap_or_default(),
                        login: secrets::digest(&token),
                        organizations: vec![scope.organization],
                        rights: scope.rights,
                    })
                })
            }))
        }
    };
    let (hub, shutdown) = (gateway.hub.clone(), gateway.shutdown.clone());
    live::upgrade(upgrade).on_upgrade(move |socket| live::serve(socket, hub, access, shutdown))
}
