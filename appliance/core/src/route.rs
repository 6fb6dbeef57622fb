//! Routes that cannot forget their right.
//!
//! A [`Routes`] is built only out of method, path, right and handler. The gateway mounts it behind the layer that turns a
//! session into a [`Scope`](crate::Scope) and checks the right before the handler runs; [`Routes::list`] is the real list that
//! tests walk.

use std::collections::BTreeSet;

use axum::{
    Extension, Router,
    extract::Request,
    handler::Handler,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodFilter, on},
};
use http::Method;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Problem, Scope, error::Kind};

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: login, the pages themselves, health.
    Public,
    /// Anybody who is logged in: one's own account.
    Session,
    /// Whoever has this right.
    Right(&'static str),
}

/// One route as tests and the reference page see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// What it asks.
    pub access: Access,
    /// Whether it changes rows, and so must leave an audit entry.
    pub changes: bool,
}

/// A row of `GET /api/routes`: a [`Route`] as it goes over a wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Method.
    pub method: String,
    /// Path with `{parameters}`.
    pub path: String,
    /// `public`, `session`, or the right it asks for.
    pub access: String,
    /// Whether it changes rows, and so must leave an audit entry.
    pub changes: bool,
}

impl From<&Route> for Listed {
    fn from(route: &Route) -> Self {
        let access = match route.access {
            Access::Public => "public",
            Access::Session => "session",
            Access::Right(right) => right,
        };
        Self {
            method: route.method.to_string(),
            path: route.path.to_owned(),
            access: access.to_owned(),
            changes: route.changes,
        }
    }
}

/// A router together with the list of what is in it.
pub struct Routes<S = ()> {
    router: Router<S>,
    list: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet.
    pub fn new() -> Self {
        Self { router: Router::new(), list: Vec::new() }
    }

    /// A route that reads.
    pub fn get<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::GET, path, access, false, handler)
    }

    /// A POST that changes rows.
    pub fn post<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::POST, path, access, true, handler)
    }

    /// A PUT that changes rows.
    pub fn put<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::PUT, path, access, true, handler)
    }

    /// A PATCH that changes rows.
    pub fn patch<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::PATCH, path, access, true, handler)
    }

    /// A DELETE that changes rows.
    pub fn delete<H, T>(self, path: &'static str, access: Access, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        self.add(Method::DELETE, path, access, true, handler)
    }

    /// Any route; `changes` says whether rows change.
    pub fn add<H, T>(mut self, method: Method, path: &'static str, access: Access, changes: bool, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("only the standard methods are used");
        let guarded = on(filter, handler).layer(middleware::from_fn(
            move |scope: Option<Extension<Scope>>, request: Request, next: Next| {
                check(access, scope.map(|e| e.0), request, next)
            },
        ));
        self.router = self.router.route(path, guarded);
        self.list.push(Route { method, path, access, changes });
        self
    }

    /// Both sets together.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.list.extend(other.list);
        self
    }

    /// With its state given.
    pub fn with_state<S2: Clone + Send + Sync + 'static>(self, state: S) -> Routes<S2> {
        Routes { router: self.router.with_state(state), list: self.list }
    }

    /// For what is not kept by organisation: whoever is of another one than the box's is refused.
    #[must_use]
    pub fn only_for(mut self, organization: Uuid) -> Self {
        self.router = self.router.layer(middleware::from_fn(
            move |scope: Option<Extension<Scope>>, request: Request, next: Next| async move {
                match scope {
                    Some(Extension(scope)) if scope.organization != organization => {
                        Problem::new(Kind::Forbidden, "this belongs to the organisation of the box").into_response()
                    }
                    _ => next.run(request).await,
                }
            },
        ));
        self
    }

    /// What is in it.
    pub fn list(&self) -> &[Route] {
        &self.list
    }

    /// The router. Without a [`Scope`] in the request's extensions every route but the public ones answers 401.
    pub fn into_router(self) -> Router<S> {
        self.router
    }
}

/// The rights that these routes ask for, each once, in order of its name.
pub fn rights(routes: &[Route]) -> Vec<&'static str> {
    let asked = routes.iter().filter_map(|route| match route.access {
        Access::Right(right) => Some(right),
        Access::Public | Access::Session => None,
    });
    asked.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A body of at most so many bytes has arrived with its head, or will be drained by the server.
const DRAINED: u64 = 16 << 10;

/// Middleware that tells the caller when its connection ends with this answer (RFC 9112 §9.6): a refusal may come before a
/// long body was read, the server then closes the line, and a client that was not told would lose its next request on it.
pub async fn end_after_refusal(request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let is_long =
        length.map_or_else(|| request.headers().contains_key(header::TRANSFER_ENCODING), |bytes| bytes > DRAINED);
    let mut response = next.run(request).await;
    if is_long && (response.status().is_client_error() || response.status().is_server_error()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn check(access: Access, scope: Option<Scope>, request: Request, next: Next) -> Response {
    let refusal = match (access, scope) {
        (Access::Public, _) | (Access::Session, Some(_)) => None,
        (Access::Right(right), Some(scope)) => (!scope.rights.allow(right))
            .then(|| Problem::new(Kind::Forbidden, format!("your role does not have the right {right}"))),
        (_, None) => Some(Problem::new(Kind::Unauthenticated, "log in first")),
    };
    match refusal {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}
