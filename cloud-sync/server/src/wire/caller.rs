//! Who calls, and bodies under their bounds.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::{Bytes, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header, request::Parts};
use sent_protocol::{body, code};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::{
    Cloud,
    db::Tenancy,
    error::{Fault, Result},
    listen::Peer,
};

/// A body must have come whole after so long: 8 MiB at 1 Mbit/s.
const BODY_PATIENCE: Duration = Duration::from_secs(64);
/// The body of a stranger, 64 KiB at most.
const STRANGER_PATIENCE: Duration = Duration::from_secs(10);
/// What places are counted in.
const KIB: usize = 1 << 10;
/// Places of a whole body, in KiB: as much as one may have.
pub const PLACES: u32 = (sent_protocol::limits::BODY_COMPRESSED / KIB) as u32;

/// The box that calls: certificate verified, known, not revoked.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Box.
    pub box_id: Uuid,
    /// Whose.
    pub organization: Uuid,
}

impl Caller {
    /// A transaction that sees the box's own organisation.
    pub async fn begin(&self, cloud: &Cloud) -> Result<Transaction<'static, Postgres>> {
        cloud.db.begin(Tenancy::One(self.organization)).await
    }
}

impl FromRequestParts<Arc<Cloud>> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, cloud: &Arc<Cloud>) -> Result<Self, Fault> {
        let Some(Peer { box_id: Some(box_id), .. }) = parts.extensions.get::<Peer>().copied() else {
            return Err(Fault::new(
                StatusCode::UNAUTHORIZED,
                code::UNAUTHENTICATED,
                "this endpoint wants a client certificate; enrol the box first",
            ));
        };
        let mut tx = cloud.db.begin_presented(&box_id.to_string()).await?;
        let row = sqlx::query!("SELECT organization_id, revoked_at FROM boxes WHERE id = $1", box_id)
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        let Some(row) = row else {
            return Err(Fault::new(
                StatusCode::UNAUTHORIZED,
                code::UNAUTHENTICATED,
                "this cloud does not know the box; enrol it again",
            ));
        };
        if row.revoked_at.is_some() {
            return Err(Fault::new(
                StatusCode::FORBIDDEN,
                code::BOX_REVOKED,
                "the certificate of this box was revoked",
            ));
        }
        cloud.seen.note(box_id, cloud.clock.now());
        Ok(Self { box_id, organization: row.organization_id })
    }
}

/// A whole body of at most [`sent_protocol::limits::BODY_COMPRESSED`] bytes. It takes its place among the bytes that are held
/// at a time before its first byte is read, so that however many boxes send, memory is bounded.
pub struct Whole {
    /// The bytes as they travelled.
    pub bytes: Bytes,
    /// Given back when the body has been worked on.
    pub place: OwnedSemaphorePermit,
}

/// The body of somebody who has shown no certificate: small, soon there, and few of them at a time, none of which takes a
/// place from a box.
pub struct Strangers(pub Whole);

impl FromRequest<Arc<Cloud>> for Whole {
    type Rejection = Fault;

    async fn from_request(request: Request, cloud: &Arc<Cloud>) -> Result<Self, Fault> {
        // Without a length it may become as long as a body may be.
        let length = request.body().size_hint().upper().and_then(|n| usize::try_from(n).ok());
        let places = length.map_or(PLACES, |n| u32::try_from(n.div_ceil(KIB)).unwrap_or(PLACES).clamp(1, PLACES));
        Self::read(request, cloud, &cloud.bodies, places, BODY_PATIENCE).await
    }
}

impl FromRequest<Arc<Cloud>> for Strangers {
    type Rejection = Fault;

    async fn from_request(request: Request, cloud: &Arc<Cloud>) -> Result<Self, Fault> {
        Ok(Self(Whole::read(request, cloud, &cloud.strangers, 1, STRANGER_PATIENCE).await?))
    }
}

impl Whole {
    async fn read(
        request: Request,
        cloud: &Arc<Cloud>,
        places: &Arc<Semaphore>,
        wanted: u32,
        patience: Duration,
    ) -> Result<Self, Fault> {
        let encoding = request.headers().get(header::CONTENT_ENCODING).map(|v| v.as_bytes().to_vec());
        if encoding.is_some_and(|e| !e.eq_ignore_ascii_case(b"zstd")) {
            return Err(Fault::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                code::MALFORMED,
                "bodies are compressed with zstd",
            ));
        }
        let waiting = tokio::time::timeout(patience, places.clone().acquire_many_owned(wanted)).await;
        let Ok(Ok(place)) = waiting else {
            return Err(Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code::UNAVAILABLE,
                "the cloud has its hands full; try later",
            ));
        };
        let read = tokio::time::timeout(patience, Bytes::from_request(request, cloud)).await;
        let bytes =
            read.map_err(|_| Fault::new(StatusCode::REQUEST_TIMEOUT, code::MALFORMED, "the body came too slowly"))?;
        let bytes = bytes.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Fault::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, "the body is over its bound")
            } else {
                Fault::malformed("the body was cut off")
            }
        })?;
        Ok(Self { bytes, place })
    }

    /// Decompresses and parses off the async threads.
    pub async fn json<T: DeserializeOwned + Send + 'static>(self) -> Result<T, Fault> {
        off_thread(move || {
            let value = body::decode::<T>(&self.bytes)?;
            drop(self.place);
            Ok(value)
        })
        .await
    }
}

/// Runs work that takes milliseconds of CPU where it does not hold up other requests.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|e| {
        tracing::error!(error = %e, "a request's work ended unexpectedly");
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "the cloud failed; try later")
    })?
}

/// An answer in JSON, compressed.
pub struct Answer<T>(pub T);

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match body::encode(&self.0) {
            Ok(bytes) => {
                let mut headers = HeaderMap::new();
                headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
                headers.insert(header::CONTENT_ENCODING, http::HeaderValue::from_static("zstd"));
                (headers, bytes).into_response()
            }
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written");
                Fault::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, "the cloud failed; try later")
                    .into_response()
            }
        }
    }
}

/// A header's number.
pub fn number(headers: &HeaderMap, name: &str) -> Result<u64, Fault> {
    headers
        .get(name)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| Fault::malformed(format_args!("the header {name} must be a number")))
}

/// 404 in the wire's words.
pub async fn no_such_endpoint(_: Option<Extension<Peer>>) -> Fault {
    Fault::new(StatusCode::NOT_FOUND, code::MALFORMED, "there is no such endpoint")
}
