//! Alerts by webhook: a JSON document, posted and signed.
//!
//! `x-sent-signature` is `sha256=` and the HMAC-SHA256 (RFC 2104) of the body in hexadecimal. The body holds the
//! notification's id and the time, so that a receiver can refuse what it has already seen and what is old.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use url::Url;

use crate::{check::http::explain, store::Notification};
use sent_protocol::series::Labels;

/// What is posted.
#[derive(Debug, Serialize)]
struct Body<'a> {
    id: String,
    sent_at: i64,
    stage: &'a str,
    alert: Alert<'a>,
}

#[derive(Debug, Serialize)]
struct Alert<'a> {
    id: String,
    rule: String,
    title: &'a str,
    state: &'a str,
    severity: &'a str,
    series: &'a str,
    labels: &'a Labels,
    value: Option<f64>,
    raised_at: i64,
    resolved_at: Option<i64>,
}

/// Posts notifications.
pub struct Poster {
    http: reqwest::Client,
    secret: Vec<u8>,
}

impl Poster {
    /// Signs with `secret`, when there is one.
    pub fn new(http: reqwest::Client, secret: &str) -> Self {
        Self { http, secret: secret.as_bytes().to_vec() }
    }

    /// Posts one notification. Any status of success is taken as received.
    pub async fn send(&self, url: Url, notification: &Notification, now: i64) -> Result<(), String> {
        let alert = &notification.alert;
        let body = serde_json::to_vec(&Body {
            id: notification.id.to_string(),
            sent_at: now,
            stage: &notification.stage,
            alert: Alert {
                id: alert.id.to_string(),
                rule: alert.rule.to_string(),
                title: &alert.title,
                state: &alert.state,
                severity: &alert.severity,
                series: &alert.series,
                labels: &alert.labels,
                value: alert.value,
                raised_at: alert.raised_at,
                resolved_at: alert.resolved_at,
            },
        })
        .map_err(|e| format!("the message cannot be written: {e}"))?;
        let mut request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("x-sent-notification", notification.id.to_string());
        if !self.secret.is_empty() {
            request = request.header("x-sent-signature", format!("sha256={}", signature(&self.secret, &body)));
        }
        let response = request.body(body).send().await.map_err(|e| explain(e).0)?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("the receiver answers {status}")) }
    }
}

/// The signature of a body, in hexadecimal.
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length (RFC 2104 §2)");
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_rfc_4231_does() {
        // RFC 4231 §4.3, test case 2.
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
