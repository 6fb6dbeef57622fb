//! Whether a web page answers as it should.
//!
//! Redirects are followed as a browser does, up to a bound, and never silently: the cause says how many and where they
//! led. A check that follows none judges the redirect itself.

use reqwest::{
    Client, Response, StatusCode, Url,
    header::{HeaderValue, LOCATION},
};
use tokio::time::Instant;

use super::{Failure, Reading, shown};
use crate::model::{kind, sample::Sample};

/// A body is searched up to here.
const MOST_BODY: usize = 1 << 20;
/// Redirects that are followed when the check does not say.
const REDIRECTS: u8 = 10;

/// Gets a page. The client must not follow redirects by itself.
pub async fn run(
    client: &Client,
    url: &str,
    status: Option<u16>,
    contains: Option<&str>,
    redirects: Option<u8>,
) -> Result<Reading, Failure> {
    // Who expects a redirect wants to see it.
    let most = redirects.unwrap_or(if status.is_some_and(|s| (300..400).contains(&s)) { 0 } else { REDIRECTS });
    let start = Instant::now();
    let (response, followed) = follow(client, url, most).await?;
    let latency = start.elapsed();
    let got = response.status();
    let sample = Sample::new("http_status", "count", &kind::authority(url), f64::from(got.as_u16()));
    let way = match (followed, next(&response)) {
        (0, None) => String::new(),
        (0, Some(to)) => format!(" to {}", bare(to)),
        (1, _) => format!(" after a redirect to {}", bare(response.url().clone())),
        (n, _) => format!(" after {n} redirects to {}", bare(response.url().clone())),
    };
    let good = status.map_or(got.is_success(), |wanted| got.as_u16() == wanted);
    let mut reading = if !good {
        let wanted = status.map_or_else(|| "a status of success".to_owned(), |s| s.to_string());
        Reading { latency: Some(latency), ..Reading::bad(format!("answers {got}{way}, not {wanted}")) }
    } else {
        match contains {
            Some(text) if !holds(response, text).await? => Reading {
                latency: Some(latency),
                ..Reading::bad(format!("answers {got}{way}, but without “{text}”"))
            },
            _ => Reading::ok(format!("answers {got}{way} in {}", shown(latency)), latency),
        }
    };
    reading.samples.push(sample);
    Ok(reading)
}

/// Gets a page and what it redirects to, and says how many redirects that were.
async fn follow(client: &Client, url: &str, most: u8) -> Result<(Response, u8), Failure> {
    let mut response = client.get(url).send().await.map_err(explain)?;
    let mut followed = 0;
    while most > 0
        && let Some(to) = next(&response)
    {
        if followed == most {
            return Err(Failure(format!("redirects more than {most} times, at last to {}", bare(to))));
        }
        response = client.get(to).send().await.map_err(explain)?;
        followed += 1;
    }
    Ok((response, followed))
}

/// Where an answer redirects to (RFC 9110 §15.4).
fn next(response: &Response) -> Option<Url> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| redirects).map(HeaderValue::to_str)?.ok()?;
    let to = response.url().join(location).ok()?;
    matches!(to.scheme(), "http" | "https").then_some(to)
}

/// An address as it may be shown: it may hold a password.
fn bare(mut url: Url) -> Url {
    // Both fail only for addresses without a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url
}

async fn holds(response: Response, text: &str) -> Result<bool, Failure> {
    let (body, _) = read(response, MOST_BODY).await?;
    Ok(body.windows(text.len().max(1)).any(|window| window == text.as_bytes()) || text.is_empty())
}

/// Reads a body up to a bound, and says whether that was all of it.
pub async fn read(mut response: Response, most: usize) -> Result<(Vec<u8>, bool), Failure> {
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
