//! ArcSight's Common Event Format, revision 25: `CEF:0|vendor|product|version|id|name|severity|key=value …`.

use super::{
    names::{self, Symbol},
    normalise::{Normaliser, Reading, of_maker},
    record::{Batch, Kind, offset_in},
};

/// The parts of the head.
const PARTS: usize = 7;

/// Takes the head apart: vendor, product, version, id, name, severity, and the extension that follows. Escapes `\|`
/// and `\\` are undone. `None` when a part is missing.
pub fn head(text: &str) -> Option<([String; 6], &str)> {
    let mut parts: [String; PARTS] = Default::default();
    let mut place = 0;
    let mut chars = text.strip_prefix("CEF:")?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '|' if place == PARTS - 1 => {
                let [_, rest @ ..] = parts;
                return Some((rest, &text[4 + at + 1..]));
            }
            '|' => place += 1,
            '\\' => match chars.next() {
                Some((_, c @ ('|' | '\\'))) => parts[place].push(c),
                Some((_, c)) => parts[place].extend(['\\', c]),
                None => parts[place].push('\\'),
            },
            c => parts[place].push(c),
        }
    }
    // Without an extension the last bar may be missing.
    let [_, rest @ ..] = parts;
    (place == PARTS - 1).then_some((rest, ""))
}

/// Hands out an extension's pairs. A value goes on until the next key, for blanks in it are not escaped.
pub fn extension(text: &str, mut pair: impl FnMut(&str, &str)) {
    let bytes = text.as_bytes();
    let mut value = String::new();
    let mut equals = next_equals(bytes, 0);
    while let Some(at) = equals {
        let key_at = bytes[..at].iter().rposition(|b| !is_key(*b)).map_or(0, |p| p + 1);
        let after = next_equals(bytes, at + 1);
        // The value ends before the blank before the next key.
        let end = match after {
            Some(next) => {
                let next_key = bytes[..next].iter().rposition(|b| !is_key(*b)).map_or(0, |p| p + 1);
                if next_key > at && bytes[next_key - 1] == b' ' { next_key - 1 } else { next }
            }
            None => bytes.len(),
        };
        let raw = text.get(at + 1..end).unwrap_or_default().trim_end_matches(' ');
        if key_at < at {
            if raw.contains('\\') {
                unescape(raw, &mut value);
                pair(&text[key_at..at], &value);
            } else {
                pair(&text[key_at..at], raw);
            }
        }
        equals = after;
    }
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'[' | b']')
}

/// The next `=` that is not escaped and follows a key.
fn next_equals(bytes: &[u8], from: usize) -> Option<usize> {
    let mut start = from;
    loop {
        let at = start + memchr::memchr(b'=', bytes.get(start..)?)?;
        let key = bytes[from..at].iter().rev().take_while(|b| is_key(**b)).count();
        let before = (at - key).checked_sub(1).and_then(|p| bytes.get(p));
        if key > 0 && (at - key == 0 || before == Some(&b' ')) {
            return Some(at);
        }
        start = at + 1;
    }
}

fn unescape(raw: &str, into: &mut String) {
    into.clear();
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => into.push('\n'),
                Some('r') => into.push('\r'),
                Some(c @ ('=' | '\\' | '|')) => into.push(c),
                Some(c) => into.extend(['\\', c]),
                None => into.push('\\'),
            },
            _ => into.push(c),
        }
    }
}

/// Reads an event into the record under way. `false` when it is none.
pub(super) fn read(text: &str, reading: &mut Reading<'_>, normaliser: &mut Normaliser, batch: &mut Batch) -> bool {
    let Some(([vendor, product, version, id, name, severity], rest)) = head(text) else { return false };
    batch.put(names::OBSERVER_VENDOR, &vendor);
    batch.put(names::OBSERVER_PRODUCT, &product);
    batch.put(names::OBSERVER_VERSION, &version);
    batch.put(names::EVENT_CODE, &id);
    batch.put(names::RULE_NAME, &name);
    batch.put(names::EVENT_SEVERITY, &severity);
    let mut labels: Vec<(String, String)> = Vec::new();
    extension(rest, |key, value| match key {
        "rt" | "end" | "start" => {
            if key == "rt" || reading.stamp.is_none() {
                reading.stamp(value);
            }
            batch.put(if key == "start" { names::EVENT_START } else { names::EVENT_END }, value);
        }
        "msg" => batch.set_message(value, offset_in(reading.line, value)),
        _ => match known(key) {
            Some(symbol) => batch.put(symbol, value),
            None if key.ends_with("Label") => labels.push((key[..key.len() - 5].to_owned(), value.to_owned())),
            None => batch.put_named(&mut normaliser.interner, &format!("cef.extensions.{key}"), value, Kind::Text),
        },
    });
    for (key, label) in labels {
        batch.put_named(&mut normaliser.interner, &format!("cef.labels.{key}"), &label, Kind::Text);
    }
    if !batch.has_message() && !name.is_empty() {
        let at = memchr::memmem::find(reading.line.as_bytes(), name.as_bytes());
        batch.set_message(&name, at);
    }
    of_maker(&vendor, &product, batch);
    true
}

/// Common names of CEF's dictionary.
fn known(key: &str) -> Option<Symbol> {
    Some(match key {
        "src" => names::SOURCE_IP,
        "spt" => names::SOURCE_PORT,
        "dst" => names::DESTINATION_IP,
        "dpt" => names::DESTINATION_PORT,
        "suser" => names::SOURCE_USER,
        "duser" => names::USER_NAME,
        "shost" => names::SOURCE_DOMAIN,
        "dhost" => names::DESTINATION_DOMAIN,
        "smac" => names::SOURCE_MAC,
        "dmac" => names::DESTINATION_MAC,
        "proto" => names::NETWORK_TRANSPORT,
        "app" => names::NETWORK_PROTOCOL,
        "act" => names::EVENT_ACTION,
        "outcome" => names::EVENT_OUTCOME,
        "reason" => names::EVENT_REASON,
        "request" => names::URL_ORIGINAL,
        "requestMethod" => names::HTTP_METHOD,
        "requestClientApplication" => names::USER_AGENT,
        "fname" => names::FILE_NAME,
        "filePath" => names::FILE_PATH,
        "fsize" => names::FILE_SIZE,
        "fileHash" => names::FILE_HASH,
        "in" => names::SOURCE_BYTES,
        "out" => names::DESTINATION_BYTES,
        "dvchost" => names::HOST_NAME,
        "sproc" => names::PROCESS_NAME,
        "spid" => names::PROCESS_PID,
        "dproc" => names::DESTINATION_PROCESS,
        "externalId" => names::EVENT_ID,
        "cat" => names::EVENT_CATEGORY,
        "deviceInboundInterface" => names::OBSERVER_INGRESS,
        "deviceOutboundInterface" => names::OBSERVER_EGRESS,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_examples_of_the_standard() {
        let line = r"CEF:0|security|threat\|manager|1.0|100|detected a \\ in message|10|src=10.0.0.1 act=blocked a \\ dst=1.1.1.1 msg=Detected a threat.\nNo action needed. cs1=a\=b cs1Label=rule";
        let (head, rest) = head(line).unwrap();
        assert_eq!(head, ["security", "threat|manager", "1.0", "100", "detected a \\ in message", "10"]);
        let mut pairs = Vec::new();
        extension(rest, |k, v| pairs.push(format!("{k}:{v}")));
        let expected = [
            "src:10.0.0.1",
            "act:blocked a \\",
            "dst:1.1.1.1",
            "msg:Detected a threat.\nNo action needed.",
            "cs1:a=b",
            "cs1Label:rule",
        ];
        assert_eq!(pairs, expected);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-c=|\\\\ :ä]{0,60}") {
            let _ = head(&format!("CEF:{text}"));
            extension(&text, |_, _| {});
        }
    }
}
