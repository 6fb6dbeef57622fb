//! Whether a web page answers as it should.

use tokio::time::Instant;

use super::{Failure, Reading, shown};
use crate::model::{kind, sample::Sample};
use sent_contract::pulse::CheckKind;

/// A body is searched up to here.
const MOST_BODY: usize = 1 << 20;

/// Gets a page.
pub async fn run(
    client: &reqwest::Client,
    url: &str,
    status: Option<u16>,
    contains: Option<&str>,
) -> Result<Reading, Failure> {
    let start = Instant::now();
    let response = client.get(url).send().await.map_err(explain)?;
    let latency = start.elapsed();
    let got = response.status();
    let host = kind::host(&CheckKind::Http { url: url.to_owned(), status: None, contains: None });
    let sample = Sample::new("http_status", "count", &host, f64::from(got.as_u16()));
    let good = status.map_or(got.is_success(), |wanted| got.as_u16() == wanted);
    let mut reading = if !good {
        let wanted = status.map_or_else(|| "a status of success".to_owned(), |s| s.to_string());
        Reading { latency: Some(latency), ..Reading::bad(format!("answers {got}, not {wanted}")) }
    } else {
        match contains {
            Some(text) if !holds(response, text).await? => {
                Reading { latency: Some(latency), ..Reading::bad(format!("answers {got}, but without “{text}”")) }
            }
            _ => Reading::ok(format!("answers {got} in {}", shown(latency)), latency),
        }
    };
    reading.samples.push(sample);
    Ok(reading)
}

async fn holds(response: reqwest::Response, text: &str) -> Result<bool, Failure> {
    let (body, _) = read(response, MOST_BODY).await?;
    Ok(body.windows(text.len().max(1)).any(|window| window == text.as_bytes()) || text.is_empty())
}

/// Reads a body up to a bound, and says whether that was all of it.
pub async fn read(mut response: reqwest::Response, most: usize) -> Result<(Vec<u8>, bool), Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(explain)? {
        let room = most - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok((body, false));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((body, true))
}

/// An error of the client in words: the last cause says what happened, and the address may hold a password.
pub fn explain(error: reqwest::Error) -> Failure {
    let kind = if error.is_connect() {
        "cannot connect"
    } else if error.is_redirect() {
        "redirects in circles"
    } else if error.is_body() || error.is_decode() {
        "the answer breaks off"
    } else {
        "no answer"
    };
    let error = error.without_url();
    let mut last: &dyn std::error::Error = &error;
    while let Some(source) = last.source() {
        last = source;
    }
    Failure(format!("{kind}: {last}"))
}
