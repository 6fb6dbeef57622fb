//! A person at one of the two faces: HTTP with the session's cookie and its CSRF token, as the pages do it.

use std::{sync::Mutex, time::Duration};

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, StatusCode, header};
use sent_contract::identity::{LoginAnswer, LoginRequest, Me};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Name of the session cookie.
pub const COOKIE: &str = "sent_session";
/// Header of the CSRF token.
pub const CSRF: &str = "x-sent-csrf";
/// Nothing here takes longer on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser's worth of state towards one face.
#[derive(Debug)]
pub struct Face {
    base: String,
    http: reqwest::Client,
    session: Mutex<Session>,
}

#[derive(Clone, Debug, Default)]
struct Session {
    cookie: Option<String>,
    csrf: Option<String>,
    token: Option<String>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: header::HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of an answer that went well.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.status.is_success() {
            bail!("{}: {}", self.status, self.text());
        }
        serde_json::from_slice(&self.body).with_context(|| format!("an answer that is not understood: {}", self.text()))
    }

    /// The `code` of an error answer.
    pub fn code(&self) -> Option<String> {
        let value: Value = serde_json::from_slice(&self.body).ok()?;
        Some(value.get("code")?.as_str()?.to_owned())
    }
}

impl Face {
    /// Nobody yet, at `http://host:port`.
    pub fn new(base: impl Into<String>) -> Result<Self> {
        crate::wire::install_provider();
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { base: base.into().trim_end_matches('/').to_owned(), http, session: Mutex::default() })
    }

    /// Somebody who is logged in.
    pub async fn login(base: impl Into<String>, email: &str, password: &str) -> Result<Self> {
        let face = Self::new(base)?;
        face.log_in(email, password).await?;
        Ok(face)
    }

    /// Somebody who has an API token instead of a session.
    pub fn with_token(base: impl Into<String>, token: &str) -> Result<Self> {
        let face = Self::new(base)?;
        face.edit(|session| session.token = Some(token.to_owned()));
        Ok(face)
    }

    /// The same session at another address: another replica.
    pub fn moved(&self, base: impl Into<String>) -> Result<Self> {
        let face = Self::new(base)?;
        let session = self.state();
        face.edit(|other| *other = session);
        Ok(face)
    }

    /// The face's address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The session's cookie, as a browser would send it.
    pub fn cookie(&self) -> Option<String> {
        self.state().cookie.map(|value| format!("{COOKIE}={value}"))
    }

    /// Forgets the CSRF token, as a forged form would not have it.
    pub fn forget_csrf(&self) {
        self.edit(|session| session.csrf = None);
    }

    fn state(&self) -> Session {
        self.session.lock().expect("nothing panics while it is held").clone()
    }

    fn edit(&self, change: impl FnOnce(&mut Session)) {
        change(&mut self.session.lock().expect("nothing panics while it is held"));
    }

    /// Logs in.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<Me> {
        let request = LoginRequest { email: email.to_owned(), password: password.to_owned() };
        let answer: LoginAnswer = self.post("/api/session", &request).await.context("logging in")?;
        match answer {
            LoginAnswer::Ok { me } => {
                self.edit(|session| session.csrf = Some(me.csrf.clone()));
                Ok(me)
            }
            LoginAnswer::Totp => bail!("a one-time code is wanted"),
        }
    }

    /// One request with whatever this face has.
    pub async fn send(&self, method: Method, path: &str, body: Option<(&str, Vec<u8>)>) -> Result<Answer> {
        let session = self.state();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(cookie) = &session.cookie {
            request = request.header(header::COOKIE, format!("{COOKIE}={cookie}"));
        }
        if let Some(csrf) = &session.csrf {
            request = request.header(CSRF, csrf);
        }
        if let Some(token) = &session.token {
            request = request.bearer_auth(token);
        }
        if let Some((kind, bytes)) = body {
            request = request.header(header::CONTENT_TYPE, kind).body(bytes);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        for set in headers.get_all(header::SET_COOKIE) {
            if let Some((COOKIE, value)) = set.to_str().ok().and_then(|s| s.split(';').next()?.split_once('=')) {
                self.edit(|session| session.cookie = (!value.is_empty()).then(|| value.to_owned()));
            }
        }
        Ok(Answer { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// A request with a JSON body.
    pub async fn send_json(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Answer> {
        self.send(method, path, Some(("application/json", serde_json::to_vec(body)?))).await
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.send(Method::GET, path, None).await?;
        answer.json().with_context(|| format!("GET {path}"))
    }

    /// Posts JSON, reads JSON.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        let answer = self.send_json(Method::POST, path, body).await?;
        answer.json().with_context(|| format!("POST {path}"))
    }

    /// Changes something; the answer must be a success, whatever it says.
    pub async fn change(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Answer> {
        let answer = self.send_json(method.clone(), path, body).await?;
        if !answer.status.is_success() {
            bail!("{method} {path}: {}: {}", answer.status, answer.text());
        }
        Ok(answer)
    }
}
