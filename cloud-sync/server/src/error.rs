//! What can go wrong in the cloud, and its two faces: [`Problem`] for the console, [`Fault`] for the wire.
//!
//! What the caller reads says what to do; what went wrong inside goes to the log.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use sent_core::{Problem, error::Kind};
use sent_protocol::{Refusal, TelemetryRefusal, WireError, body::BodyError, code};

/// Anything that fails inside the cloud.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL refused or cannot be reached.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A sealed value cannot be opened: another master key, or a changed row.
    #[error("a stored secret cannot be opened; is the master key the one it was sealed with?")]
    Sealed,
    /// The master key is not 32 bytes.
    #[error("the master key must be 32 bytes in hex or base64; set keys.master or SENT_MASTER_KEY")]
    MasterKey,
    /// A certificate cannot be made or read.
    #[error("certificate: {0}")]
    Certificate(String),
    /// A certificate request cannot be accepted.
    #[error("certificate request: {0}")]
    Request(String),
    /// A setting cannot be used.
    #[error("setting {key}: {message}")]
    Setting {
        /// Which.
        key: &'static str,
        /// Why.
        message: String,
    },
    /// A migration does not apply.
    #[error("migration {name}: {message}")]
    Migration {
        /// Its file.
        name: String,
        /// Why.
        message: String,
    },
    /// Sockets and files.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The object store.
    #[error("object store: {0}")]
    Objects(#[from] object_store::Error),
    /// A number that does not fit.
    #[error("a number is out of range")]
    OutOfRange,
    /// Something stored is not what it must be.
    #[error("stored data: {0}")]
    Stored(String),
    /// The caller's fault, with the words for the caller.
    #[error(transparent)]
    Problem(#[from] Problem),
}

/// Short.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Problem(problem) => problem,
            Error::Database(e) if is_unreachable(&e) => {
                Self::new(Kind::Unavailable, "the database cannot be reached; try again shortly")
                    .with_detail(e)
                    .with_retry_after(5)
            }
            Error::Database(sqlx::Error::Database(e)) if e.is_unique_violation() => {
                Self::conflict("something with this name is there already").with_detail(e)
            }
            // 23P01: periods that must not overlap; the schema's trigger says in words which.
            Error::Database(sqlx::Error::Database(e)) if e.code().as_deref() == Some("23P01") => {
                Self::conflict(e.message())
            }
            other => Self::internal(other),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Stored(error.to_string())
    }
}

fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => true,
        // Class 57: operator intervention (shutdown, starting up); 53: out of resources; 08: connection.
        sqlx::Error::Database(e) => {
            e.code().is_some_and(|c| c.starts_with("57") || c.starts_with("53") || c.starts_with("08"))
        }
        _ => false,
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Problem::from(self).into_response()
    }
}

/// A refusal on the wire.
#[derive(Debug)]
pub enum Fault {
    /// A plain error.
    Error(StatusCode, WireError),
    /// 409 with where the cloud stands.
    Refused(Refusal),
    /// 409 about telemetry.
    TelemetryRefused(TelemetryRefusal),
}

impl Fault {
    /// An error of a status and code.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self::Error(status, WireError::new(code, message))
    }

    /// The body cannot be read.
    pub fn malformed(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code::MALFORMED, message.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Database(e) if is_unreachable(&e) => {
                tracing::warn!(error = %e, "database out of reach");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    code::UNAVAILABLE,
                    "the cloud's database is out of reach; try later",
                )
            }
            Error::Request(message) => Self::malformed(format_args!("certificate request: {message}")),
            Error::OutOfRange => Self::malformed("a number is out of range"),
            other => {
                tracing::error!(error = %other, "wire request failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "the cloud failed; try later")
            }
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        if error.is_too_large() {
            Self::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, error.to_string())
        } else {
            Self::malformed(error)
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Error(status, error) => (status, Json(error)).into_response(),
            Self::Refused(refusal) => (StatusCode::CONFLICT, Json(refusal)).into_response(),
            Self::TelemetryRefused(refusal) => (StatusCode::CONFLICT, Json(refusal)).into_response(),
        }
    }
}
