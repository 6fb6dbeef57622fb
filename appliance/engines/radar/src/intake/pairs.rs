//! `key=value` in a message: logfmt, firewalls, audit records. Values may be quoted; text between pairs is passed over.

use super::{
    names,
    normalise::Normaliser,
    record::{Batch, Kind},
};

/// A message needs this many pairs, or to begin with one, before they count as fields: prose has a `=` now and then.
const FEWEST: usize = 2;

/// Hands out the pairs of a text. A key is letters, digits and `_-./@`, at its beginning or after a blank, a comma or a
/// bracket. Escapes in quoted values are undone in `scratch`.
pub fn each(text: &str, scratch: &mut String, mut pair: impl FnMut(&str, &str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(equals) = memchr::memchr(b'=', &bytes[at..]).map(|e| at + e) {
        let key_at = bytes[at..equals].iter().rposition(|b| !is_key(*b)).map_or(at, |place| at + place + 1);
        let framed =
            key_at == 0 || matches!(bytes[key_at - 1], b' ' | b'\t' | b',' | b';' | b'(' | b'[' | b'{' | b'|' | b'"');
        let begin = equals + 1;
        if key_at == equals || !framed {
            at = begin;
            continue;
        }
        let key = &text[key_at..equals];
        match bytes.get(begin) {
            Some(quote @ (b'"' | b'\'')) => match quoted(text, begin + 1, *quote, scratch) {
                Some((plain, end)) => {
                    pair(key, if plain { &text[begin + 1..end] } else { scratch });
                    at = end + 1;
                }
                // Without an end the rest is the value.
                None => {
                    pair(key, &text[begin + 1..]);
                    return;
                }
            },
            _ => {
                let end = memchr::memchr3(b' ', b'\t', b'\n', &bytes[begin..]).map_or(bytes.len(), |e| begin + e);
                let value = text[begin..end].trim_end_matches([',', ';', ')', ']', '}']);
                pair(key, value);
                at = end;
            }
        }
    }
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b'@')
}

/// Where a quoted value ends, and whether it stands there plainly; otherwise it is in `scratch` without its escapes.
fn quoted(text: &str, begin: usize, quote: u8, scratch: &mut String) -> Option<(bool, usize)> {
    let bytes = text.as_bytes();
    let mut plain = true;
    let mut at = begin;
    let mut from = begin;
    loop {
        at += memchr::memchr2(quote, b'\\', &bytes[at..])?;
        if bytes[at] == quote {
            if !plain {
                scratch.push_str(&text[from..at]);
            }
            return Some((plain, at));
        }
        if plain {
            scratch.clear();
            plain = false;
        }
        scratch.push_str(&text[from..at]);
        let escaped = text[at + 1..].chars().next()?;
        match escaped {
            'n' => scratch.push('\n'),
            't' => scratch.push('\t'),
            'r' => scratch.push('\r'),
            '"' | '\'' | '\\' => scratch.push(escaped),
            // A path of Windows is not escaped.
            other => scratch.extend(['\\', other]),
        }
        at += 1 + escaped.len_utf8();
        from = at;
    }
}

/// Puts the pairs of a message into its record.
pub fn read(message: &str, normaliser: &mut Normaliser, batch: &mut Batch) {
    let bytes = message.as_bytes();
    let Some(first) = memchr::memchr(b'=', bytes) else { return };
    let begins = first > 0 && bytes[..first].iter().all(|b| is_key(*b));
    if !begins && memchr::memchr_iter(b'=', bytes).take(FEWEST).count() < FEWEST {
        return;
    }
    let Normaliser { interner, scratch, .. } = normaliser;
    each(message, scratch, |key, value| {
        if value.is_empty() {
            return;
        }
        match known(key) {
            Some(symbol) if !batch.has(symbol) => batch.put(symbol, value),
            _ => batch.put_named(interner, key, value, Kind::Text),
        }
    });
}

/// The common name of a key that firewalls and programs use.
fn known(key: &str) -> Option<names::Symbol> {
    Some(match key {
        "SRC" | "src" | "srcip" | "src_ip" | "saddr" | "rhost" | "client_ip" | "remip" => names::SOURCE_IP,
        "DST" | "dst" | "dstip" | "dst_ip" | "daddr" => names::DESTINATION_IP,
        "SPT" | "spt" | "srcport" | "src_port" | "sport" => names::SOURCE_PORT,
        "DPT" | "dpt" | "dstport" | "dst_port" | "dport" => names::DESTINATION_PORT,
        "PROTO" | "proto" | "protocol" => names::NETWORK_TRANSPORT,
        "user" | "usr" | "username" | "acct" | "USER" => names::USER_NAME,
        "action" | "act" => names::EVENT_ACTION,
        "exe" => names::PROCESS_EXECUTABLE,
        "comm" => names::PROCESS_NAME,
        "pid" => names::PROCESS_PID,
        "level" | "lvl" | "severity" => names::LOG_LEVEL,
        "url" => names::URL_ORIGINAL,
        "hostname" | "devname" => names::HOST_NAME,
        "IN" => names::OBSERVER_INGRESS,
        "OUT" => names::OBSERVER_EGRESS,
        "res" | "result" => names::EVENT_OUTCOME,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        each(text, &mut String::new(), |k, v| found.push((k.to_owned(), v.to_owned())));
        found
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn reads_what_is_common() {
        assert_eq!(
            found(r#"level=info msg="it \"works\"" path='C:\x y' took=3ms empty= done"#),
            pairs(&[("level", "info"), ("msg", "it \"works\""), ("path", r"C:\x y"), ("took", "3ms"), ("empty", "")])
        );
        assert_eq!(
            found("type=SYSCALL msg=audit(1.5:7): arch=c000003e, res=success)"),
            pairs(&[("type", "SYSCALL"), ("msg", "audit(1.5:7):"), ("arch", "c000003e"), ("res", "success")])
        );
        assert_eq!(found("a==b https://x/?q=1 k=\"open"), pairs(&[("a", "=b"), ("k", "open")]));
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-c=\"'\\\\ ,ä]{0,60}") {
            found(&text);
        }

        #[test]
        fn what_is_written_is_read(written in prop::collection::vec(("[a-z][a-z_.]{0,8}", "[ -~]{0,20}"), 0..8)) {
            let text: Vec<String> = written.iter()
                .map(|(k, v)| format!("{k}=\"{}\"", v.replace('\\', "\\\\").replace('"', "\\\"")))
                .collect();
            prop_assert_eq!(found(&text.join(" ")), written);
        }
    }
}
