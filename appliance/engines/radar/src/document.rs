//! Records as rules see them: one JSON object, written into a buffer that is used again.
//!
//! A record has the names of the Elastic Common Schema, rules have those of Sigma. Both stand in the object: Windows
//! events under Microsoft's names, which is how rules for Windows are written, everything else under its own name and,
//! where Sigma's taxonomy has a word for it, under that. A name that stands several times is how a list is written: the
//! matcher takes every value. The log source goes first, so that the record's own fields cannot pass for it.
//!
//! Source: the taxonomy appendix of the Sigma specification 2.1.

use std::io::Write as _;

use crate::{
    Routing,
    intake::{
        names::{self, Symbol},
        record::{Kind, Record},
        windows,
    },
};

/// Makes the object. One for each thread.
#[derive(Debug, Default)]
pub struct Document {
    text: Vec<u8>,
}

impl Document {
    /// The object for a record, and how its log source is found.
    pub fn of(&mut self, record: &Record<'_>) -> (&[u8], Routing) {
        self.text.clear();
        self.text.push(b'{');
        let log = record.log();
        let is_windows = log.product == "windows";
        // A program's service says which file its lines once went to, which is no reason to pass rules over.
        for (name, value) in [("product", log.product), ("category", log.category)] {
            if !value.is_empty() {
                self.pair(name, value, Kind::Text);
            }
        }
        if let Some(message) = record.message() {
            self.pair("message", message, Kind::Text);
        }
        let mut has_channel = false;
        for field in record.fields() {
            if let Some(name) = field.name.strip_prefix(windows::DATA) {
                self.pair(name, field.value, field.kind);
                continue;
            }
            if let Some(name) = of_windows(field.symbol) {
                has_channel |= field.symbol == names::WINLOG_CHANNEL;
                self.pair(name, field.value, field.kind);
            }
            self.pair(field.name, field.value, field.kind);
            if !is_windows {
                for name in of_others(field.symbol) {
                    self.pair(name, field.value, field.kind);
                }
            }
        }
        self.text.push(b'}');
        (&self.text, if has_channel { Routing::Channel } else { Routing::Fields })
    }

    fn pair(&mut self, name: &str, value: &str, kind: Kind) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        self.string(name);
        self.text.push(b':');
        match kind {
            Kind::Text => self.string(value),
            Kind::Null => self.text.extend_from_slice(b"null"),
            Kind::Boolean => self.text.extend_from_slice(value.as_bytes()),
            Kind::Number if is_number(value) => self.text.extend_from_slice(value.as_bytes()),
            Kind::Number => self.string(value),
        }
    }

    /// A JSON string (RFC 8259 §7).
    fn string(&mut self, value: &str) {
        self.text.push(b'"');
        let mut from = 0;
        for (at, byte) in value.bytes().enumerate().filter(|(_, byte)| *byte < 0x20 || matches!(byte, b'"' | b'\\')) {
            self.text.extend_from_slice(&value.as_bytes()[from..at]);
            from = at + 1;
            match byte {
                b'"' => self.text.extend_from_slice(b"\\\""),
                b'\\' => self.text.extend_from_slice(b"\\\\"),
                b'\n' => self.text.extend_from_slice(b"\\n"),
                b'\t' => self.text.extend_from_slice(b"\\t"),
                // Writing to memory cannot fail.
                _ => _ = write!(self.text, "\\u{byte:04x}"),
            }
        }
        self.text.extend_from_slice(&value.as_bytes()[from..]);
        self.text.push(b'"');
    }
}

/// Whether a number may stand in JSON as it was written: agents write `007` and `1.`.
fn is_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

/// What rules for Windows call a field of the event's head.
fn of_windows(symbol: Symbol) -> Option<&'static str> {
    Some(match symbol {
        names::WINLOG_EVENT_ID => "EventID",
        names::WINLOG_CHANNEL => "Channel",
        names::WINLOG_PROVIDER => "Provider_Name",
        names::WINLOG_COMPUTER => "Computer",
        names::WINLOG_RECORD => "EventRecordID",
        names::WINLOG_LEVEL => "Level",
        names::WINLOG_TASK => "Task",
        names::WINLOG_OPCODE => "Opcode",
        names::WINLOG_KEYWORDS => "Keywords",
        _ => return None,
    })
}

/// What Sigma's taxonomy calls a common field of other systems.
fn of_others(symbol: Symbol) -> &'static [&'static str] {
    match symbol {
        names::PROCESS_EXECUTABLE => &["Image"],
        names::PROCESS_COMMAND_LINE => &["CommandLine"],
        names::PROCESS_PARENT_EXECUTABLE => &["ParentImage"],
        names::PROCESS_PARENT_COMMAND_LINE => &["ParentCommandLine"],
        names::PROCESS_PID => &["ProcessId"],
        names::USER_NAME => &["User", "cs-username"],
        names::HOST_NAME => &["Computer"],
        names::SOURCE_IP => &["SourceIp", "src_ip", "c-ip"],
        names::SOURCE_PORT => &["SourcePort", "src_port"],
        names::DESTINATION_IP => &["DestinationIp", "dst_ip", "r-ip"],
        names::DESTINATION_PORT => &["DestinationPort", "dst_port"],
        names::DESTINATION_DOMAIN => &["DestinationHostname", "cs-host", "r-dns"],
        names::FILE_PATH => &["TargetFilename"],
        names::URL_ORIGINAL => &["c-uri"],
        names::DNS_QUESTION_NAME => &["QueryName", "query"],
        names::HTTP_STATUS => &["sc-status"],
        names::HTTP_METHOD => &["cs-method"],
        names::HTTP_REFERRER => &["cs-referer"],
        names::USER_AGENT => &["c-useragent"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::intake::{
        names::Names,
        normalise::{Arrival, Form, Normaliser, Options},
        record::Batch,
    };

    fn made(form: Form, line: &[u8]) -> (serde_json::Value, Routing) {
        let mut normaliser = Normaliser::new(Arc::new(Names::default()), Options::default());
        let mut batch = Batch::default();
        let arrival = Arrival { source: "10.0.0.1", received: 1_795_462_242_000_000, form, cut: false, bytes: line };
        normaliser.normalise(1, &arrival, &mut batch);
        let mut document = Document::default();
        let (text, routing) = document.of(&batch.get(0).unwrap());
        (serde_json::from_slice(text).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(text))), routing)
    }

    #[test]
    fn windows_events_have_the_names_that_rules_ask_for() {
        let event = r#"{"winlog":{"channel":"Security","event_id":4688,"event_data":{"NewProcessName":"C:\\x.exe"}}}"#;
        let (document, routing) = made(Form::Json, event.as_bytes());
        assert_eq!(routing, Routing::Channel);
        assert_eq!(document["EventID"], 4688);
        assert_eq!(document["NewProcessName"], "C:\\x.exe");
    }

    #[test]
    fn a_line_has_its_words_and_sigmas_names() {
        let line = b"<38>Nov 23 19:30:41 web-1 sshd[4711]: Failed password for root from 10.9.9.9 port 22 ssh2";
        let (document, routing) = made(Form::Syslog, line);
        assert_eq!(routing, Routing::Fields);
        assert_eq!((&document["product"], &document["User"]), (&"linux".into(), &"root".into()));
        assert_eq!(document["src_ip"], "10.9.9.9");
        assert!(document["message"].as_str().is_some_and(|m| m.starts_with("Failed password")));
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_one_object(line in prop::collection::vec(any::<u8>(), 0..200), form in 0u8..5) {
            let (document, _) = made(Form::from_number(form).unwrap(), &line);
            prop_assert!(document.is_object());
        }

        #[test]
        fn text_comes_through(value in ".{0,60}") {
            let (document, _) = made(Form::Json, serde_json::json!({ "some_name": value }).to_string().as_bytes());
            let kept: String = value;
            prop_assert_eq!(document["some_name"].as_str(), Some(kept.as_str()));
        }
    }
}
