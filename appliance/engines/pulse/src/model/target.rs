//! Where a notification goes, and when another try is due.

use std::{fmt, str::FromStr};

use sent_core::mail::is_address;
use url::Url;

use crate::model::SECOND;

/// One place that hears of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// `mail:someone@example.org`
    Mail(String),
    /// `webhook:https://example.org/hook`
    Webhook(Url),
}

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither kind.
    #[error("write mail:someone@example.org or webhook:https://example.org/hook")]
    Kind,
    /// Not an address.
    #[error("{0} is not a mail address")]
    Address(String),
    /// Not a URL that can be posted to.
    #[error("{0} is not an http or https address")]
    Url(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(address) = text.strip_prefix("mail:") {
            let address = address.trim();
            return if is_address(address) {
                Ok(Self::Mail(address.to_owned()))
            } else {
                Err(TargetError::Address(address.to_owned()))
            };
        }
        let Some(url) = text.strip_prefix("webhook:") else { return Err(TargetError::Kind) };
        match Url::parse(url.trim()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self::Webhook(url)),
            _ => Err(TargetError::Url(url.to_owned())),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(address) => write!(f, "mail:{address}"),
            Self::Webhook(url) => write!(f, "webhook:{url}"),
        }
    }
}

/// After so many attempts a notification is given up; with the waits below that is about nine hours.
pub const ATTEMPTS: u32 = 14;

/// Microseconds to wait after so many failed attempts: 15 s doubling up to an hour; `None` when it is given up.
pub fn back_off(failed: u32) -> Option<i64> {
    (failed < ATTEMPTS).then(|| (15 << failed.saturating_sub(1).min(8)).min(3_600) * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_parse_and_print() {
        for text in ["mail:it@example.org", "webhook:https://example.org/hook?x=1"] {
            assert_eq!(text.parse::<Target>().expect("good").to_string(), text);
        }
        for text in ["", "it@example.org", "mail:nobody", "webhook:ftp://example.org/", "webhook:nonsense", "sms:1"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<i64> = (1..).map_while(back_off).collect();
        assert!(waits.is_sorted());
        assert_eq!(waits.first(), Some(&(15 * SECOND)));
        assert_eq!(waits.last(), Some(&(3_600 * SECOND)));
        assert_eq!(waits.len() as u32, ATTEMPTS - 1);
    }
}
