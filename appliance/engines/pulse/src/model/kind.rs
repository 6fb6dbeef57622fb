//! What a check is, seen three ways: as a person sends it, as it is kept, and as pages see it.
//!
//! A check holds secrets (pass phrases, communities, passwords inside addresses). They are write-only: what is shown has
//! [`MASK`] in their place, and an update that sends the mask back keeps what was stored. The public part and the secrets
//! are kept apart, so that the secrets can be encrypted and never travel.

use std::collections::BTreeMap;

use sent_contract::{
    FieldError,
    pulse::{CheckKind, NewCheck},
};
use url::Url;

/// Stands for a secret that is there.
pub const MASK: &str = "•";
/// Seconds between runs when nothing is said.
pub const INTERVAL: u32 = 60;
/// Seconds a run may take when nothing is said.
pub const TIMEOUT: u32 = 10;
/// Most redirects that an HTTP check may follow.
const MOST_REDIRECTS: u8 = 20;
/// Shortest pass phrase of SNMPv3 (RFC 3414 §11.2).
const PASS_PHRASE: usize = 8;

/// Secrets of a check by field.
pub type Secrets = BTreeMap<String, String>;

/// Authentication protocols of SNMPv3 by name.
pub const AUTH_PROTOCOLS: [&str; 6] = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];
/// Privacy protocols of SNMPv3 by name.
pub const PRIVACY_PROTOCOLS: [&str; 4] = ["des", "aes128", "aes192", "aes256"];

/// The kind's name, as `kind` in JSON.
pub fn name(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Ping { .. } => "ping",
        CheckKind::Tcp { .. } => "tcp",
        CheckKind::Http { .. } => "http",
        CheckKind::Tls { .. } => "tls",
        CheckKind::Snmp { .. } => "snmp",
        CheckKind::Prometheus { .. } => "prometheus",
        CheckKind::Mqtt { .. } => "mqtt",
    }
}

/// The kind of host its measurements make: `snmp`, `prometheus`, `mqtt` or `check`.
pub fn host_kind(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Snmp { .. } => "snmp",
        CheckKind::Prometheus { .. } => "prometheus",
        CheckKind::Mqtt { .. } => "mqtt",
        _ => "check",
    }
}

/// The host its measurements are labelled with.
pub fn host(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Ping { host }
        | CheckKind::Tcp { host, .. }
        | CheckKind::Tls { host, .. }
        | CheckKind::Snmp { host, .. } => host.clone(),
        CheckKind::Http { url, .. } | CheckKind::Prometheus { url } => authority(url),
        CheckKind::Mqtt { broker, topic } => {
            let fixed: Vec<&str> = topic.split('/').take_while(|level| !matches!(*level, "#" | "+")).collect();
            if fixed.is_empty() { authority(broker) } else { fixed.join("/") }
        }
    }
}

/// Host and, where it is not the scheme's own, port of an address.
pub fn authority(url: &str) -> String {
    match Url::parse(url) {
        Ok(url) => match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_owned(),
            (None, _) => url.to_string(),
        },
        Err(_) => url.to_owned(),
    }
}

/// Every secret of a kind: the field's name and the place of its value.
fn visit(kind: &mut CheckKind, mut at: impl FnMut(&'static str, &mut String)) {
    match kind {
        CheckKind::Ping { .. } | CheckKind::Tcp { .. } | CheckKind::Tls { .. } => {}
        CheckKind::Http { url, .. } | CheckKind::Prometheus { url } | CheckKind::Mqtt { broker: url, .. } => {
            if let Ok(mut parsed) = Url::parse(url)
                && let Some(password) = parsed.password()
            {
                let mut text = percent_decode(password);
                at("password", &mut text);
                // An address that has a host takes a password.
                if parsed.set_password(Some(&text)).is_ok() {
                    *url = String::from(parsed);
                }
            }
        }
        CheckKind::Snmp { version, user, auth, privacy, .. } => {
            if version != "3" {
                at("community", user);
            }
            if let Some((_, phrase)) = auth {
                at("auth", phrase);
            }
            if let Some((_, phrase)) = privacy {
                at("privacy", phrase);
            }
        }
    }
}

/// Text of a part of an address.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok()))
            .flatten();
        match escape {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Takes the secrets out of a kind. Where the sender gave the mask or nothing, the secret in `kept` stays.
pub fn split(mut kind: CheckKind, kept: &Secrets) -> (CheckKind, Secrets) {
    let mut secrets = Secrets::new();
    visit(&mut kind, |field, value| {
        let secret = match value.as_str() {
            MASK | "" => kept.get(field).cloned(),
            given => Some(given.to_owned()),
        };
        if let Some(secret) = secret {
            secrets.insert(field.to_owned(), secret);
        }
        *value = MASK.to_owned();
    });
    (kind, secrets)
}

/// Puts the secrets back into a kind, for the one that runs it.
pub fn join(mut kind: CheckKind, secrets: &Secrets) -> CheckKind {
    visit(&mut kind, |field, value| *value = secrets.get(field).cloned().unwrap_or_default());
    kind
}

/// Interval and timeout with their defaults; a run is given at most its interval and a minute.
pub fn times(check: &NewCheck) -> (u32, u32) {
    let interval = check.interval.unwrap_or(INTERVAL);
    (interval, check.timeout.unwrap_or(TIMEOUT.min(interval)))
}

/// What is wrong with a check; `secrets` are those it will be kept with.
pub fn validate(check: &NewCheck, secrets: &Secrets) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong =
        |field: &str, message: &str| errors.push(FieldError { field: field.to_owned(), message: message.to_owned() });
    if check.name.trim().is_empty() || check.name.len() > 200 {
        wrong("name", "give it a name of at most 200 characters");
    }
    let (interval, timeout) = times(check);
    if !(1..=86_400).contains(&interval) {
        wrong("interval", "between 1 second and a day");
    }
    if !(1..=60).contains(&timeout) || timeout > interval {
        wrong("timeout", "between 1 and 60 seconds, and not longer than the interval");
    }
    let bad_host =
        |host: &str| host.is_empty() || host.len() > 253 || host.contains(|c: char| c.is_whitespace() || c == '/');
    let bad_url =
        |url: &str, schemes: &[&str]| !Url::parse(url).is_ok_and(|u| schemes.contains(&u.scheme()) && u.has_host());
    match &check.kind {
        CheckKind::Ping { host } if bad_host(host) => wrong("kind.host", "write a host name or an address"),
        CheckKind::Tcp { host, port } | CheckKind::Tls { host, port } => {
            if bad_host(host) {
                wrong("kind.host", "write a host name or an address");
            }
            if *port == 0 {
                wrong("kind.port", "write a port between 1 and 65535");
            }
        }
        CheckKind::Http { url, status, contains, redirects } => {
            if bad_url(url, &["http", "https"]) {
                wrong("kind.url", "write an http or https address");
            }
            if status.is_some_and(|s| !(100..600).contains(&s)) {
                wrong("kind.status", "write a status between 100 and 599");
            }
            if contains.as_ref().is_some_and(|text| text.len() > 1_000) {
                wrong("kind.contains", "at most 1,000 characters");
            }
            if redirects.is_some_and(|most| most > MOST_REDIRECTS) {
                wrong("kind.redirects", "write a number between 0 and 20");
            }
        }
        CheckKind::Prometheus { url } if bad_url(url, &["http", "https"]) => {
            wrong("kind.url", "write an http or https address");
        }
        CheckKind::Mqtt { broker, topic } => {
            if bad_url(broker, &["mqtt", "mqtts"]) {
                wrong("kind.broker", "write mqtt://host:port or mqtts://host:port");
            }
            if !filter_is_good(topic) {
                wrong("kind.topic", "write a topic filter: + for one level, # only as the last");
            }
        }
        CheckKind::Snmp { host, port, version, user, auth, privacy } => {
            if bad_host(host) {
                wrong("kind.host", "write a host name or an address");
            }
            if *port == Some(0) {
                wrong("kind.port", "write a port between 1 and 65535");
            }
            match version.as_str() {
                "2c" => {
                    if !secrets.contains_key("community") {
                        wrong("kind.user", "write the community");
                    }
                    if auth.is_some() || privacy.is_some() {
                        wrong("kind.auth", "only version 3 has authentication and privacy");
                    }
                }
                "3" => {
                    if user.is_empty() || user.len() > 32 {
                        wrong("kind.user", "write a user of at most 32 characters");
                    }
                    if privacy.is_some() && auth.is_none() {
                        wrong("kind.privacy", "privacy needs authentication");
                    }
                    for (field, given, known) in
                        [("auth", auth, &AUTH_PROTOCOLS[..]), ("privacy", privacy, &PRIVACY_PROTOCOLS[..])]
                    {
                        let Some((protocol, _)) = given else { continue };
                        if !known.contains(&protocol.as_str()) {
                            wrong(&format!("kind.{field}"), &format!("write one of {}", known.join(", ")));
                        }
                        if secrets.get(field).is_none_or(|phrase| phrase.len() < PASS_PHRASE) {
                            wrong(&format!("kind.{field}"), "a pass phrase has at least 8 characters");
                        }
                    }
                }
                _ => wrong("kind.version", "write 2c or 3"),
            }
        }
        CheckKind::Ping { .. } | CheckKind::Prometheus { .. } => {}
    }
    errors
}

/// Whether this is a topic filter (MQTT 5.0 §4.7).
fn filter_is_good(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    !filter.is_empty()
        && filter.len() <= 1_024
        && !filter.contains('\0')
        && levels.iter().enumerate().all(|(n, level)| match *level {
            "#" => n + 1 == levels.len(),
            "+" => true,
            other => !other.contains(['#', '+']),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snmp(phrase: &str) -> CheckKind {
        CheckKind::Snmp {
            host: "10.0.0.1".into(),
            port: None,
            version: "3".into(),
            user: "monitor".into(),
            auth: Some(("sha256".into(), phrase.into())),
            privacy: Some(("aes128".into(), "second-secret".into())),
        }
    }

    fn check(kind: CheckKind) -> NewCheck {
        NewCheck { name: "x".into(), kind, interval: None, timeout: None, paused: false }
    }

    #[test]
    fn secrets_leave_and_come_back() {
        let (shown, secrets) = split(snmp("first-secret"), &Secrets::new());
        assert!(!serde_json::to_string(&shown).expect("json").contains("secret"));
        assert_eq!(join(shown.clone(), &secrets), snmp("first-secret"));
        let (_, kept) = split(shown, &secrets);
        assert_eq!(kept, secrets, "the mask keeps what was stored");
        let (_, changed) = split(snmp("third-secret"), &secrets);
        assert_eq!(changed["auth"], "third-secret");
    }

    #[test]
    fn passwords_in_addresses_are_secret() {
        let kind = CheckKind::Prometheus { url: "http://u:p%40ss@example.org:9100/metrics".into() };
        let (shown, secrets) = split(kind.clone(), &Secrets::new());
        assert_eq!(secrets["password"], "p@ss");
        assert!(!format!("{shown:?}").contains("ss@"));
        assert_eq!(join(shown.clone(), &secrets), kind);
        assert_eq!(split(shown, &secrets).1, secrets);
        assert_eq!(host(&kind), "example.org:9100");
    }

    #[test]
    fn mqtt_hosts_are_prefixes() {
        let mqtt = |topic: &str| CheckKind::Mqtt { broker: "mqtt://b:1883".into(), topic: topic.into() };
        assert_eq!(host(&mqtt("house/kitchen/#")), "house/kitchen");
        assert_eq!(host(&mqtt("#")), "b:1883");
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let wrong = |kind| validate(&check(kind), &Secrets::new()).into_iter().map(|e| e.field).collect::<Vec<_>>();
        assert_eq!(wrong(CheckKind::Ping { host: "a b".into() }), ["kind.host"]);
        assert_eq!(wrong(CheckKind::Tcp { host: "a".into(), port: 0 }), ["kind.port"]);
        assert_eq!(wrong(CheckKind::Prometheus { url: "ftp://a".into() }), ["kind.url"]);
        assert_eq!(wrong(CheckKind::Mqtt { broker: "mqtt://a".into(), topic: "a/#/b".into() }), ["kind.topic"]);
        assert_eq!(wrong(snmp("short")), ["kind.auth", "kind.privacy"], "no pass phrase is kept for either");
        let mut late = check(CheckKind::Ping { host: "a".into() });
        (late.interval, late.timeout) = (Some(5), Some(6));
        assert_eq!(validate(&late, &Secrets::new())[0].field, "timeout");
    }
}
