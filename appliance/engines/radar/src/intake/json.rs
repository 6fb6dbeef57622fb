//! JSON objects as flat fields: `{"a":{"b":[1,2]}}` is `a.b=1`, `a.b=2`. Read in one pass without building a document;
//! the shapes of the agents that send such objects are told apart by what stands in them.

use super::{
    names::{self, Symbol},
    normalise::{Form, Normaliser, Reading, of_maker},
    record::{Batch, Kind, LogSource, offset_in},
    text, windows,
};

/// Objects and lists within each other at most; what is deeper is passed over.
const DEEPEST: usize = 32;
/// Bytes of a path at most.
const LONGEST_PATH: usize = 512;

/// Why the text ended to be JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub struct NotJson {
    /// Byte of the text.
    pub at: usize,
}

/// Walks over the first JSON value of `text`. `leaf` gets each value that is no object and no list, with the path of
/// keys to it; an empty path when the value stands alone. Answers with the bytes read.
///
/// # Errors
/// Where it is not JSON; what came before was handed out.
pub fn each(text: &str, leaf: impl FnMut(&str, &str, Kind)) -> Result<usize, NotJson> {
    let mut walk = Walk { text, at: 0, path: String::new(), key: String::new(), value: String::new(), leaf };
    walk.value(0)?;
    Ok(walk.at)
}

struct Walk<'a, F> {
    text: &'a str,
    at: usize,
    path: String,
    key: String,
    value: String,
    leaf: F,
}

impl<F: FnMut(&str, &str, Kind)> Walk<'_, F> {
    fn value(&mut self, depth: usize) -> Result<(), NotJson> {
        self.blank();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => {
                let plain = string(self.text, &mut self.at, &mut self.value)?;
                if depth <= DEEPEST {
                    let value = plain.map_or(self.value.as_str(), |range| &self.text[range]);
                    (self.leaf)(&self.path, value, Kind::Text);
                }
                Ok(())
            }
            Some(b't') => self.word("true", Kind::Boolean, depth),
            Some(b'f') => self.word("false", Kind::Boolean, depth),
            Some(b'n') => self.word("null", Kind::Null, depth),
            Some(b'-' | b'0'..=b'9') => {
                let rest = &self.text.as_bytes()[self.at..];
                let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                let length = rest.iter().take_while(|b| plain(b)).count();
                let number = &self.text[self.at..self.at + length];
                if !number.ends_with(|c: char| c.is_ascii_digit()) {
                    return Err(self.not_json());
                }
                self.at += length;
                if depth <= DEEPEST {
                    (self.leaf)(&self.path, number, Kind::Number);
                }
                Ok(())
            }
            _ => Err(self.not_json()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        if depth > 4 * DEEPEST {
            return Err(self.not_json());
        }
        self.blank();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.blank();
            if self.peek() != Some(b'"') {
                return Err(self.not_json());
            }
            let plain = string(self.text, &mut self.at, &mut self.key)?;
            let key = plain.map_or(self.key.as_str(), |range| &self.text[range]);
            let before = self.path.len();
            // The marks that say "attribute" and "text of an element" in XML made JSON carry no meaning of their own.
            if !matches!(key, "#attributes" | "#text") && before + key.len() < LONGEST_PATH {
                if before > 0 {
                    self.path.push('.');
                }
                self.path.push_str(key);
            }
            self.blank();
            if !self.take(b':') {
                return Err(self.not_json());
            }
            let done = self.value(depth + 1);
            self.path.truncate(before);
            done?;
            self.blank();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.not_json());
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), NotJson> {
        self.at += 1;
        if depth > 4 * DEEPEST {
            return Err(self.not_json());
        }
        self.blank();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.blank();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.not_json());
            }
        }
    }

    fn word(&mut self, word: &str, kind: Kind, depth: usize) -> Result<(), NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.not_json());
        }
        self.at += word.len();
        if depth <= DEEPEST {
            (self.leaf)(&self.path, if kind == Kind::Null { "" } else { word }, kind);
        }
        Ok(())
    }

    fn blank(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn not_json(&self) -> NotJson {
        NotJson { at: self.at }
    }
}

/// Reads a string at its quote. Answers with where it stands when it has no escapes, else it is in `into`.
fn string(text: &str, at: &mut usize, into: &mut String) -> Result<Option<std::ops::Range<usize>>, NotJson> {
    let bytes = text.as_bytes();
    let begin = *at + 1;
    let mut from = begin;
    let mut plain = true;
    loop {
        let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[from..]).map(|f| from + f) else {
            return Err(NotJson { at: bytes.len() });
        };
        if plain {
            into.clear();
        }
        if bytes[found] == b'"' {
            *at = found + 1;
            if plain {
                return Ok(Some(begin..found));
            }
            into.push_str(&text[from..found]);
            return Ok(None);
        }
        plain = false;
        into.push_str(&text[from..found]);
        let escape = *bytes.get(found + 1).ok_or(NotJson { at: found })?;
        from = found + 2;
        match escape {
            b'n' => into.push('\n'),
            b't' => into.push('\t'),
            b'r' => into.push('\r'),
            b'b' => into.push('\u{8}'),
            b'f' => into.push('\u{c}'),
            b'"' | b'\\' | b'/' => into.push(char::from(escape)),
            b'u' => {
                let unit = unit(bytes, from).ok_or(NotJson { at: found })?;
                from += 4;
                let low = (0xd800..0xdc00).contains(&unit).then(|| unit_after(bytes, from)).flatten();
                if let Some(low) = low {
                    from += 6;
                    let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    into.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                } else {
                    into.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
            }
            _ => return Err(NotJson { at: found }),
        }
    }
}

fn unit(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

fn unit_after(bytes: &[u8], at: usize) -> Option<u32> {
    let escaped = bytes.get(at..at + 2)? == b"\\u";
    escaped.then(|| unit(bytes, at + 2)).flatten().filter(|low| (0xdc00..0xe000).contains(low))
}

/// Whose object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Windows events as the `evtx` crate gives them: `Event.System`, `Event.EventData`.
    Evtx,
    /// NXLog's flat Windows events.
    Nxlog,
    /// The journal's upper-case names.
    Journal,
    /// Splunk's envelope.
    Hec,
    /// Suricata's EVE, which guard writes too.
    Eve,
    /// Elastic's names, Vector's, or any.
    Any,
}

impl Shape {
    fn of(text: &str, form: Form) -> Self {
        let has = |name: &str| memchr::memmem::find(text.as_bytes(), name.as_bytes()).is_some();
        match form {
            Form::Journal => Self::Journal,
            Form::Hec => Self::Hec,
            _ if has("\"EventData\"") && has("\"System\"") || has("\"UserData\"") && has("\"System\"") => Self::Evtx,
            _ if has("\"EventID\"") && (has("\"SourceModuleName\"") || has("\"EventReceivedTime\"")) => Self::Nxlog,
            _ if has("\"__REALTIME_TIMESTAMP\"") => Self::Journal,
            _ if has("\"event_type\"") && (has("\"flow_id\"") || has("\"src_ip\"")) => Self::Eve,
            _ => Self::Any,
        }
    }
}

/// What becomes of a value.
pub(super) enum Place<'p> {
    /// The time of the record; kept as a field too when it cannot be read.
    Time,
    /// Its message.
    Message,
    /// A field.
    Known(Symbol),
    /// Two fields.
    Both(Symbol, Symbol),
    /// A field named so.
    Named(&'p str),
    /// A field of this prefix.
    Under(&'static str, &'p str),
    /// A field of this prefix, and a common name for it.
    UnderAnd(&'static str, &'p str, Symbol),
}

/// Reads an object into the record under way. `false` when it is none: nothing was put then.
pub fn object(
    text: &str,
    form: Form,
    reading: &mut Reading<'_>,
    normaliser: &mut Normaliser,
    batch: &mut Batch,
) -> bool {
    if !text.starts_with('{') {
        return false;
    }
    let shape = Shape::of(text, form);
    let mut any = false;
    let mut event = None;
    let mut name = String::new();
    let read = each(text, |path, value, kind| {
        any = true;
        let place = match shape {
            Shape::Evtx => windows::evtx(path),
            Shape::Nxlog => windows::nxlog(path),
            Shape::Journal => journal(path),
            Shape::Hec if path == "event" => {
                event = Some(value.to_owned());
                return;
            }
            Shape::Hec => hec(path),
            Shape::Eve => eve(path),
            Shape::Any => common(path),
        };
        let mut under = |prefix: &str, rest: &str, batch: &mut Batch| {
            name.clear();
            name.extend([prefix, rest]);
            batch.put_named(&mut normaliser.interner, &name, value, kind);
        };
        match place {
            Place::Time => reading.stamp(value),
            Place::Message if !batch.has_message() => batch.set_message(value, offset_in(reading.line, value)),
            Place::Message => under("", path, batch),
            Place::Known(symbol) => batch.put_kind(symbol, value, kind),
            Place::Both(one, other) => {
                batch.put_kind(one, value, kind);
                if !batch.has(other) {
                    batch.put_kind(other, value, kind);
                }
            }
            Place::Named(path) => under("", path, batch),
            Place::Under(prefix, rest) => under(prefix, rest, batch),
            Place::UnderAnd(prefix, rest, symbol) => {
                under(prefix, rest, batch);
                if !batch.has(symbol) && !matches!(value, "" | "-") {
                    batch.put_kind(symbol, value, kind);
                }
            }
        }
    });
    if read.is_err() {
        if !any {
            return false;
        }
        batch.put(names::DEFECT, "json");
    }
    if let Some(event) = event {
        // What Splunk's agents send as text is a line of its own.
        if event.starts_with('<') {
            let found = super::syslog::parse(&event, reading.now, reading.offset);
            reading.stamp = reading.stamp.or(found.time);
            batch.put(names::HOST_NAME, found.host);
        }
        normaliser.content(&event, reading, batch);
    }
    if let Shape::Eve = shape {
        finish_eve(batch);
    } else {
        finish(batch);
    }
    true
}

/// The log source of an EVE event follows from what it is about.
fn finish_eve(batch: &mut Batch) {
    let category = match batch.current(names::EVENT_ACTION).unwrap_or_default() {
        "dns" => "dns",
        "flow" => "firewall",
        "http" => "proxy",
        _ => "",
    };
    batch.set_log(LogSource { product: "suricata", category, service: "" });
}

/// Suricata's EVE by the names that Elastic's module gives it.
fn eve(path: &str) -> Place<'_> {
    match path {
        "timestamp" => Place::Time,
        "event_type" => Place::Known(names::EVENT_ACTION),
        "src_ip" => Place::Known(names::SOURCE_IP),
        "src_port" => Place::Known(names::SOURCE_PORT),
        "dest_ip" => Place::Known(names::DESTINATION_IP),
        "dest_port" => Place::Known(names::DESTINATION_PORT),
        "dest_name" => Place::Known(names::DESTINATION_DOMAIN),
        "ether.src_mac" => Place::Known(names::SOURCE_MAC),
        "proto" => Place::Known(names::NETWORK_TRANSPORT),
        "app_proto" => Place::Known(names::NETWORK_PROTOCOL),
        "community_id" => Place::Named("network.community_id"),
        "in_iface" => Place::Known(names::OBSERVER_INGRESS),
        "flow.bytes_toserver" => Place::Known(names::SOURCE_BYTES),
        "flow.bytes_toclient" => Place::Known(names::DESTINATION_BYTES),
        "flow.start" => Place::Known(names::EVENT_START),
        "flow.end" => Place::Known(names::EVENT_END),
        "dns.rrname" => Place::Known(names::DNS_QUESTION_NAME),
        "dns.rrtype" => Place::Named("dns.question.type"),
        "dns.rcode" => Place::Named("dns.response_code"),
        "http.hostname" => Place::Named("url.domain"),
        "http.url" => Place::Known(names::URL_ORIGINAL),
        "http.http_method" => Place::Known(names::HTTP_METHOD),
        "http.http_user_agent" => Place::Known(names::USER_AGENT),
        "http.http_refer" => Place::Known(names::HTTP_REFERRER),
        "http.status" => Place::Known(names::HTTP_STATUS),
        "tls.sni" => Place::Named("tls.client.server_name"),
        "tls.ja4" => Place::Named("tls.client.ja4"),
        "tls.subject" => Place::Named("tls.server.subject"),
        "tls.issuerdn" => Place::Named("tls.server.issuer"),
        "alert.signature" => Place::Known(names::RULE_NAME),
        "alert.category" => Place::Named("rule.category"),
        "alert.signature_id" => Place::Named("rule.id"),
        "alert.severity" => Place::Known(names::EVENT_SEVERITY),
        _ => Place::Under("suricata.eve.", path),
    }
}

/// The log source, from what the fields say.
fn finish(batch: &mut Batch) {
    if batch.has(names::WINLOG_CHANNEL) || batch.has(names::WINLOG_EVENT_ID) {
        let channel = batch.current(names::WINLOG_CHANNEL).unwrap_or_default();
        let log = windows::log_source(channel, batch.current(names::WINLOG_EVENT_ID).unwrap_or_default());
        batch.set_log(log);
    } else if let (Some(vendor), Some(product)) =
        (batch.current(names::OBSERVER_VENDOR), batch.current(names::OBSERVER_PRODUCT))
    {
        let (vendor, product) = (vendor.to_owned(), product.to_owned());
        of_maker(&vendor, &product, batch);
    } else if let Some(program) = batch.current(names::PROCESS_NAME) {
        let log: LogSource<'static> = text::of_program(program);
        batch.set_log(log);
    }
}

/// Elastic's names are kept; Vector's and the names that everybody uses get theirs.
fn common(path: &str) -> Place<'_> {
    match path {
        "@timestamp" | "timestamp" | "time" | "ts" | "datetime" | "eventTime" => Place::Time,
        "message" | "msg" | "MESSAGE" | "log" | "@message" => Place::Message,
        "host" | "hostname" | "host.hostname" | "beat.hostname" | "agent.hostname" => Place::Known(names::HOST_NAME),
        "appname" | "program" | "ident" => Place::Known(names::PROCESS_NAME),
        "procid" => Place::Known(names::PROCESS_PID),
        "msgid" => Place::Known(names::MESSAGE_ID),
        "facility" => Place::Named("log.syslog.facility.name"),
        "severity" | "level" | "loglevel" | "lvl" => Place::Known(names::LOG_LEVEL),
        "file" | "log.file.path" => Place::Known(names::LOG_FILE_PATH),
        "winlog.event_id" => Place::Both(names::WINLOG_EVENT_ID, names::EVENT_CODE),
        "winlog.computer_name" => Place::Both(names::WINLOG_COMPUTER, names::HOST_NAME),
        "winlog.provider_name" => Place::Both(names::WINLOG_PROVIDER, names::EVENT_PROVIDER),
        _ => match path.strip_prefix("winlog.event_data.") {
            Some(name) => windows::data(name),
            None => Place::Named(path),
        },
    }
}

/// systemd.journal-fields(7).
fn journal(path: &str) -> Place<'_> {
    match path {
        "__REALTIME_TIMESTAMP" => Place::Time,
        "MESSAGE" => Place::Message,
        "_HOSTNAME" => Place::Known(names::HOST_NAME),
        "SYSLOG_IDENTIFIER" => Place::Known(names::PROCESS_NAME),
        "_PID" => Place::Known(names::PROCESS_PID),
        "_EXE" => Place::Known(names::PROCESS_EXECUTABLE),
        "_CMDLINE" => Place::Known(names::PROCESS_COMMAND_LINE),
        "_UID" => Place::Known(names::USER_ID),
        "PRIORITY" => Place::Known(names::SEVERITY),
        "SYSLOG_FACILITY" => Place::Known(names::FACILITY),
        "_SYSTEMD_UNIT" => Place::Known(names::SERVICE_NAME),
        "CONTAINER_NAME" => Place::Known(names::CONTAINER_NAME),
        _ => Place::Under("journal.", path),
    }
}

/// Splunk's envelope; `fields` and `event` hold what counts.
fn hec(path: &str) -> Place<'_> {
    match path {
        "time" => Place::Time,
        "host" => Place::Known(names::HOST_NAME),
        "source" => Place::Known(names::LOG_FILE_PATH),
        "sourcetype" => Place::Known(names::LOG_LOGGER),
        "index" => Place::Named("splunk.index"),
        _ => match path.strip_prefix("event.").or_else(|| path.strip_prefix("fields.")) {
            Some(inner) => common(inner),
            None => Place::Named(path),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let _ = each(text, |path, value, _| found.push((path.to_owned(), value.to_owned())));
        found
    }

    /// What serde_json makes of the same text, flattened.
    fn flat(value: &serde_json::Value, path: &str, into: &mut Vec<(String, String)>) {
        use serde_json::Value;
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flat(value, &path, into);
            }),
            Value::Array(list) => list.iter().for_each(|value| flat(value, path, into)),
            Value::Null => into.push((path.to_owned(), String::new())),
            Value::String(text) => into.push((path.to_owned(), text.clone())),
            other => into.push((path.to_owned(), other.to_string())),
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "\\PC{0,12}".prop_map(Into::into),
            "[\"\\\\\n\té]{0,6}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map("[a-z\"]{1,4}", inner, 0..5)
                    .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_serde(value in json()) {
            let mut expected = Vec::new();
            flat(&value, "", &mut expected);
            prop_assert_eq!(found(&value.to_string()), expected);
        }

        #[test]
        fn any_text_is_answered(text in "[\\[\\]{}\":,\\\\u0-9a-ftrue. -]{0,60}") {
            found(&text);
            found(&format!("{{\"a\":{text}"));
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(each(&deep, |_, _, _| {}).is_err());
        assert_eq!(found(r#"{"a":"\ud83d\ude00\ud83d"}"#)[0].1, "\u{1f600}\u{fffd}");
    }
}
