//! Logging in and out.

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sent_contract::identity::{LoginAnswer, LoginRequest, Me, TotpRequest};
use sent_core::{
    Problem, Scope,
    error::Kind,
    identity::SESSION_SECONDS,
    route::{Access, Routes},
};
use sent_store::identity::{Login, Stage};
use serde::de::DeserializeOwned;

use super::{COOKIE, Cookie, Gateway, Secure, address};

pub(super) fn routes() -> Routes<Gateway> {
    Routes::new()
        .post("/api/session", Access::Public, login)
        .post("/api/session/totp", Access::Public, code)
        .get("/api/session", Access::Session, me)
        .delete("/api/session", Access::Session, logout)
}

/// Largest body of a login.
const LOGIN_BYTES: usize = 4096;

async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let bytes = axum::body::to_bytes(request.into_body(), LOGIN_BYTES)
        .await
        .map_err(|_| Problem::new(Kind::TooLarge, "this is too large for a login"))?;
    serde_json::from_slice(&bytes).map_err(|e| Problem::invalid(format!("the body is not what this route takes: {e}")))
}

async fn login(
    State(gateway): State<Gateway>,
    Extension(secure): Extension<Secure>,
    request: Request,
) -> Result<Response, Problem> {
    let address = address(&request);
    let LoginRequest { email, password } = body(request).await?;
    let login = gateway.store.login(&email, &password, &address).await?;
    answer(&gateway, login, secure).await
}

async fn code(
    State(gateway): State<Gateway>,
    Extension(secure): Extension<Secure>,
    cookie: Option<Extension<Cookie>>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(Extension(cookie)) = cookie else {
        return Err(Problem::new(Kind::Unauthenticated, "log in with your password first"));
    };
    let address = address(&request);
    let TotpRequest { code } = body(request).await?;
    let login = gateway.store.login_code(&cookie.secret, &code, &address).await?;
    answer(&gateway, login, secure).await
}

async fn answer(gateway: &Gateway, login: Login, secure: Secure) -> Result<Response, Problem> {
    let answer = match login.stage {
        Stage::Totp => LoginAnswer::Totp,
        Stage::Open => {
            let session = gateway.store.session(&login.secret).await?;
            LoginAnswer::Ok { me: session.ok_or_else(|| Problem::internal("a fresh session is not there"))?.me }
        }
    };
    let mut response = Json(answer).into_response();
    response.headers_mut().insert(header::SET_COOKIE, set_cookie(&login.secret, SESSION_SECONDS, secure)?);
    Ok(response)
}

fn set_cookie(value: &str, seconds: i64, Secure(secure): Secure) -> Result<HeaderValue, Problem> {
    let secure = if secure { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}"))
        .map_err(Problem::internal)
}

async fn me(me: Option<Extension<Me>>) -> Result<Json<Me>, Problem> {
    me.map(|Extension(me)| Json(me)).ok_or_else(|| Problem::new(Kind::Forbidden, "a token has no session"))
}

async fn logout(
    State(gateway): State<Gateway>,
    Extension(scope): Extension<Scope>,
    Extension(secure): Extension<Secure>,
    cookie: Option<Extension<Cookie>>,
) -> Result<Response, Problem> {
    if let Some(Extension(cookie)) = cookie {
        gateway.store.logout(&scope, &cookie.secret).await?;
        let digest = sent_core::identity::digest(&cookie.secret);
        gateway.hub.close(|identity| identity.login == digest, sent_core::live::Disconnect::FORCED);
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, set_cookie("", 0, secure)?)]).into_response())
}
