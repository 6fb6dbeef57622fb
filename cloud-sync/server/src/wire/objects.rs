//! Files by content hash.
//!
//! An object is under its organisation's prefix and named by its SHA-256; what arrives is hashed while it streams, and is
//! only put in place when the hash is right. A second upload of the same object changes nothing.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use object_store::{ObjectStoreExt, PutPayload, path::Path as ObjectPath};
use sent_protocol::{Hash, code};
use sha2::{Digest, Sha256};

use super::caller::Caller;
use crate::{
    Cloud,
    error::{Error, Fault, Result},
};

/// Bytes of one part: S3's least.
const PART: usize = 5 << 20;

/// Where an object of an organisation is.
pub fn location(organization: uuid::Uuid, hash: &Hash) -> ObjectPath {
    let hash = hash.to_string();
    ObjectPath::from(format!("{organization}/{}/{hash}", &hash[..2]))
}

fn parse(hash: &str) -> Result<Hash, Fault> {
    hash.parse().map_err(|_| Fault::malformed("an object is named by its SHA-256 in 64 hexadecimal digits"))
}

fn missing() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, "not_found", "the cloud does not have this object")
}

/// `HEAD /wire/v1/objects/{sha256}`.
pub async fn head(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(hash): Path<String>,
) -> Result<Response, Fault> {
    match cloud.objects.head(&location(caller.organization, &parse(&hash)?)).await {
        Ok(meta) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_LENGTH, meta.size.into());
            Ok((StatusCode::OK, headers).into_response())
        }
        Err(object_store::Error::NotFound { .. }) => Err(missing()),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// `GET /wire/v1/objects/{sha256}`.
pub async fn get(State(cloud): State<Arc<Cloud>>, caller: Caller, Path(hash): Path<String>) -> Result<Response, Fault> {
    match cloud.objects.get(&location(caller.organization, &parse(&hash)?)).await {
        Ok(found) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_LENGTH, found.meta.size.into());
            headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/octet-stream"));
            Ok((headers, Body::from_stream(found.into_stream())).into_response())
        }
        Err(object_store::Error::NotFound { .. }) => Err(missing()),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// `PUT /wire/v1/objects/{sha256}`.
pub async fn put(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(hash): Path<String>,
    body: Body,
) -> Result<StatusCode, Fault> {
    let wanted = parse(&hash)?;
    let place = location(caller.organization, &wanted);
    if cloud.objects.head(&place).await.is_ok() {
        return Ok(StatusCode::NO_CONTENT);
    }
    let mut upload = cloud.objects.put_multipart(&place).await.map_err(Error::from)?;
    let mut arriving = body.into_data_stream();
    let mut hasher = Sha256::new();
    let mut part = Vec::new();
    let mut size = 0_u64;
    let outcome = loop {
        match arriving.next().await {
            None => break Ok(()),
            Some(Err(_)) => break Err(Fault::malformed("the object was cut off")),
            Some(Ok(piece)) => {
                size += piece.len() as u64;
                if size > cloud.settings.objects.largest {
                    break Err(Fault::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        code::TOO_LARGE,
                        format!("the object is over {} bytes", cloud.settings.objects.largest),
                    ));
                }
                hasher.update(&piece);
                part.extend_from_slice(&piece);
                if part.len() >= PART
                    && let Err(error) = upload.put_part(PutPayload::from(std::mem::take(&mut part))).await
                {
                    break Err(Error::from(error).into());
                }
            }
        }
    };
    let outcome = outcome.and_then(|()| {
        if Hash(hasher.finalize().into()) == wanted {
            Ok(())
        } else {
            Err(Fault::malformed("the object does not have the hash it is named by"))
        }
    });
    if let Err(fault) = outcome {
        // A part that stays behind is removed by the store's own lifecycle; the object itself never appears.
        if let Err(error) = upload.abort().await {
            tracing::debug!(%error, "an abandoned upload stays behind");
        }
        return Err(fault);
    }
    if !part.is_empty() || size == 0 {
        upload.put_part(PutPayload::from(part)).await.map_err(Error::from)?;
    }
    upload.complete().await.map_err(Error::from)?;
    Ok(StatusCode::CREATED)
}
