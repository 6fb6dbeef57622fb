//! What a caller sees of an error, and the only map from it to HTTP.
//!
//! An engine's own error enum converts into a [`Problem`]. The message of a [`Problem`] is for the reader and says what
//! to do; the `detail` is for the log and never leaves the machine.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use sent_contract::{ApiError, FieldError};

/// What kind of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nobody is logged in.
    Unauthenticated,
    /// Logged in, but without the right, or without the CSRF token.
    Forbidden,
    /// Not there, or not this organisation's.
    NotFound,
    /// The request does not make sense.
    Invalid,
    /// It made sense, but not in the present state.
    Conflict,
    /// Larger than allowed.
    TooLarge,
    /// Slow down.
    TooMany,
    /// A part that is needed is down or full; try again later.
    Unavailable,
    /// Our fault.
    Internal,
}

impl Kind {
    /// The machine-readable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error on its way to the caller.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// Kind.
    pub kind: Kind,
    /// For the reader: lower case, what to do.
    pub message: String,
    /// Errors beside their fields.
    pub fields: Vec<FieldError>,
    /// For the log only.
    pub detail: Option<String>,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), fields: Vec::new(), detail: None, retry_after: None }
    }

    /// The request does not make sense.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// One field is wrong.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut problem = Self::invalid(message.clone());
        problem.fields.push(FieldError { field: field.into(), message });
        problem
    }

    /// Not there.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// Not in the present state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// Our fault; `detail` goes to the log.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        let mut problem = Self::new(
            Kind::Internal,
            "something went wrong on our side; try again, and name the request id if it stays",
        );
        problem.detail = Some(detail.to_string());
        problem
    }

    /// With what the log should say.
    pub fn with_detail(mut self, detail: impl std::fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// With a time after which to try again.
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(detail) = &self.detail {
            tracing::warn!(kind = self.kind.code(), detail, "request failed");
        }
        let body =
            ApiError { code: self.kind.code().to_owned(), message: self.message, fields: self.fields, request: None };
        let mut response = (self.kind.status(), Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
