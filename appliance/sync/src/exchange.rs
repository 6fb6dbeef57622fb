//! One request and its answer over HTTPS, bounded in size and time, with every failure named for what it is.
use crate::{
    identity::{Identity, IdentityError},
    tls,
};
use reqwest::{Client, Response, StatusCode, header};
use sent_protocol::{WireError, body, code, limits, sync::Fault};
use serde::{Serialize, de::DeserializeOwned};
use std::{error::Error as _, time::Duration};
use url::Url;

/// To the first byte of a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer: a connection that was cut without a word is given up after this.
const SILENCE: Duration = Duration::from_secs(30);
/// For a whole exchange: 8 MiB at 64 kB/s.
const WHOLE: Duration = Duration::from_secs(150);
/// For an object: 32 MiB at 64 kB/s.
const OBJECT: Duration = Duration::from_secs(600);

/// Talks to one cloud.
#[derive(Clone, Debug)]
pub struct Exchange {
    client: Client,
    cloud: Url,
}

/// An answer of the protocol: what was asked for, or a 409 with where the cloud stands.
#[derive(Debug)]
pub enum Outcome<T, R> {
    /// 2xx.
    Done(T),
    /// 409.
    Conflict(R),
}

impl Exchange {
    /// With the box's own certificate.
    pub fn mutual(identity: &Identity) -> Result<Exchange, IdentityError> {
        let config = tls::mutual(identity)?;
        Exchange::new(identity.cloud.clone(), config).map_err(|e| IdentityError::Certificate(e.to_string()))
    }

    /// With a TLS configuration.
    pub fn new(cloud: Url, config: rustls::ClientConfig) -> Result<Exchange, reqwest::Error> {
        let client = Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .timeout(WHOLE)
            .build()?;
        Ok(Exchange { client, cloud })
    }

    /// `GET path?query`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: Option<&str>) -> Result<T, Fault> {
        let mut url = self.url(path)?;
        url.set_query(query);
        let response = self.client.get(url).send().await.map_err(network)?;
        let (status, bytes) = read(response).await?;
        if status.is_success() { parse(&bytes) } else { Err(refusal(status, &bytes)) }
    }

    /// `GET path` of at most so many bytes that are no document.
    pub async fn bytes(&self, path: &str, most: usize) -> Result<Vec<u8>, Fault> {
        let response = self.client.get(self.url(path)?).timeout(OBJECT).send().await.map_err(network)?;
        let (status, bytes) = read_up_to(response, most).await?;
        if status.is_success() { Ok(bytes) } else { Err(refusal(status, &bytes)) }
    }

    /// `POST path` with a JSON body, where a 409 is an answer.
    pub async fn post<B, T, R>(&self, path: &str, value: &B) -> Result<Outcome<T, R>, Fault>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
        R: DeserializeOwned,
    {
        self.post_bytes(path, &[], encode(value)?).await
    }

    /// `POST path` with a JSON body; the answer's body does not matter.
    pub async fn tell<B: Serialize + Sync>(&self, path: &str, value: &B) -> Result<(), Fault> {
        let (status, bytes) = self.send(path, &[], encode(value)?).await?;
        if status.is_success() { Ok(()) } else { Err(refusal(status, &bytes)) }
    }

    /// `POST path` with a body that is compressed already.
    pub async fn post_bytes<T, R>(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        bytes: Vec<u8>,
    ) -> Result<Outcome<T, R>, Fault>
    where
        T: DeserializeOwned,
        R: DeserializeOwned,
    {
        let (status, bytes) = self.send(path, headers, bytes).await?;
        match status {
            StatusCode::CONFLICT => parse(&bytes).map(Outcome::Conflict),
            status if status.is_success() => parse(&bytes).map(Outcome::Done),
            status => Err(refusal(status, &bytes)),
        }
    }

    async fn send(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
        bytes: Vec<u8>,
    ) -> Result<(StatusCode, Vec<u8>), Fault> {
        let mut request = self
            .client
            .post(self.url(path)?)
            .header(
                header::CONTENT_TYPE,
                if headers.is_empty() { "application/json" } else { "application/vnd.apache.arrow.stream" },
            )
            .header(header::CONTENT_ENCODING, "zstd")
            .header(header::ACCEPT_ENCODING, "zstd");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        read(request.body(bytes).send().await.map_err(network)?).await
    }

    fn url(&self, path: &str) -> Result<Url, Fault> {
        self.cloud.join(path).map_err(|e| Fault::Local(format!("the cloud's address is no address: {e}")))
    }
}

fn encode<B: Serialize>(value: &B) -> Result<Vec<u8>, Fault> {
    body::encode(value)
        .map_err(|e| if e.is_too_large() { Fault::TooLarge(e.to_string()) } else { Fault::Local(e.to_string()) })
}

/// Reads an answer under the wire's bounds, and decompresses it when it says that it is compressed.
async fn read(response: Response) -> Result<(StatusCode, Vec<u8>), Fault> {
    read_up_to(response, limits::BODY_COMPRESSED).await
}

async fn read_up_to(mut response: Response, most: usize) -> Result<(StatusCode, Vec<u8>), Fault> {
    let status = response.status();
    let compressed = response.headers().get(header::CONTENT_ENCODING).is_some_and(|v| v == "zstd");
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(network)? {
        if bytes.len() + chunk.len() > most {
            return Err(Fault::Refused("the cloud's answer is over the bound".into()));
        }
        bytes.extend_from_slice(&chunk);
    }
    if compressed {
        bytes = body::decompress(&bytes, limits::BODY).map_err(unreadable)?;
    }
    Ok((status, bytes))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(bytes).map_err(unreadable)
}

fn unreadable(e: impl std::fmt::Display) -> Fault {
    Fault::Refused(format!("the cloud's answer cannot be read: {e}"))
}

/// What an error status means.
fn refusal(status: StatusCode, bytes: &[u8]) -> Fault {
    let error = serde_json::from_slice::<WireError>(bytes)
        .unwrap_or_else(|_| WireError::new("", status.canonical_reason().unwrap_or("an error without a name")));
    let words = if error.message.is_empty() { error.code.clone() } else { error.message.clone() };
    match status {
        StatusCode::FORBIDDEN if error.code == code::BOX_REVOKED => Fault::Revoked(words),
        StatusCode::UNAUTHORIZED => Fault::Untrusted(words),
        StatusCode::PAYLOAD_TOO_LARGE => Fault::TooLarge(words),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Fault::Unavailable(words),
        status if status.is_server_error() => Fault::Unavailable(words),
        status => Fault::Refused(format!("{words} ({})", status.as_u16())),
    }
}

/// What a failure below HTTP means. TLS says whether it is about trust.
fn network(error: reqwest::Error) -> Fault {
    let mut source = error.source();
    let mut deepest = None;
    while let Some(cause) = source {
        match tls_error(cause) {
            // It is the time that is wrong, the box's or the cloud's, not whom it talks to.
            Some(rustls::Error::InvalidCertificate(why)) if is_about_time(why) => {
                return Fault::Network(format!(
                    "its certificate is not valid by this box's clock: set the clock ({why})"
                ));
            }
            Some(rustls::Error::InvalidCertificate(why)) => {
                return Fault::Untrusted(format!("its certificate is not of our cloud ({why})"));
            }
            Some(rustls::Error::AlertReceived(alert)) => return alerted(*alert),
            _ => {}
        }
        deepest = Some(cause.to_string());
        source = cause.source();
    }
    Fault::Network(if error.is_timeout() {
        "no answer in time".into()
    } else {
        deepest.unwrap_or_else(|| error.to_string())
    })
}

fn is_about_time(why: &rustls::CertificateError) -> bool {
    use rustls::CertificateError as Why;
    matches!(why, Why::NotValidYet | Why::NotValidYetContext { .. } | Why::Expired | Why::ExpiredContext { .. })
}

/// The TLS error an error is or holds: connectors wrap it into one `io::Error` or several, which `source` does not show.
fn tls_error<'a>(mut error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    while let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = inner;
    }
    error.downcast_ref()
}

fn alerted(alert: rustls::AlertDescription) -> Fault {
    use rustls::AlertDescription as Alert;
    match alert {
        Alert::CertificateRevoked => Fault::Revoked("the cloud refuses our certificate".into()),
        Alert::CertificateExpired => Fault::Untrusted("our certificate has ended; enrol this box again".into()),
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateRequired
        | Alert::AccessDenied => Fault::Untrusted("it does not take our certificate".into()),
        other => Fault::Network(format!("TLS alert {other:?}")),
    }
}
