//! IBM's Log Event Extended Format: `LEEF:1.0|vendor|product|version|id|` with pairs between tabs, `LEEF:2.0` with a
//! delimiter of the sender's choice in a further part.

use super::{
    names::{self, Symbol},
    normalise::{Normaliser, Reading, of_maker},
    record::{Batch, Kind, offset_in},
};

/// A head: its parts and what comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Maker.
    pub vendor: &'a str,
    /// Product.
    pub product: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What happened.
    pub id: &'a str,
    /// Between pairs.
    pub delimiter: char,
    /// The pairs.
    pub pairs: &'a str,
}

/// Takes the head apart; `None` when it is none.
pub fn head(text: &str) -> Option<Head<'_>> {
    let rest = text.strip_prefix("LEEF:")?;
    let (format, rest) = rest.split_once('|')?;
    let (vendor, rest) = rest.split_once('|')?;
    let (product, rest) = rest.split_once('|')?;
    let (version, rest) = rest.split_once('|')?;
    let (id, rest) = rest.split_once('|').unwrap_or((rest, ""));
    let (delimiter, pairs) = match rest.split_once('|') {
        Some((mark, pairs)) if format.starts_with('2') => match delimiter(mark) {
            Some(delimiter) => (delimiter, pairs),
            // A bar in a value, and no delimiter named.
            None => ('\t', rest),
        },
        _ => ('\t', rest),
    };
    Some(Head { vendor, product, version, id, delimiter, pairs })
}

/// `^`, `x5E`, `0x5e`, or nothing for a tab.
fn delimiter(mark: &str) -> Option<char> {
    let mut chars = mark.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some('\t'),
        (Some(c), None) => Some(c),
        _ => {
            let hex = mark.strip_prefix("0x").or_else(|| mark.strip_prefix('x'))?;
            u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)
        }
    }
}

/// Hands out the pairs.
pub fn pairs(head: &Head<'_>, mut pair: impl FnMut(&str, &str)) {
    for part in head.pairs.split(head.delimiter) {
        if let Some((key, value)) = part.split_once('=') {
            let key = key.trim();
            if !key.is_empty() {
                pair(key, value.trim_end());
            }
        }
    }
}

/// Reads an event into the record under way. `false` when it is none.
pub(super) fn read(text: &str, reading: &mut Reading<'_>, normaliser: &mut Normaliser, batch: &mut Batch) -> bool {
    let Some(head) = head(text) else { return false };
    batch.put(names::OBSERVER_VENDOR, head.vendor);
    batch.put(names::OBSERVER_PRODUCT, head.product);
    batch.put(names::OBSERVER_VERSION, head.version);
    batch.put(names::EVENT_CODE, head.id);
    pairs(&head, |key, value| match key {
        "devTime" => reading.stamp(value),
        "msg" | "message" => batch.set_message(value, offset_in(reading.line, value)),
        _ => match known(key) {
            Some(symbol) => batch.put(symbol, value),
            None => batch.put_named(&mut normaliser.interner, &format!("leef.{key}"), value, Kind::Text),
        },
    });
    of_maker(head.vendor, head.product, batch);
    true
}

/// LEEF's predefined keys.
fn known(key: &str) -> Option<Symbol> {
    Some(match key {
        "src" => names::SOURCE_IP,
        "dst" => names::DESTINATION_IP,
        "srcPort" => names::SOURCE_PORT,
        "dstPort" => names::DESTINATION_PORT,
        "srcMAC" => names::SOURCE_MAC,
        "dstMAC" => names::DESTINATION_MAC,
        "srcBytes" => names::SOURCE_BYTES,
        "dstBytes" => names::DESTINATION_BYTES,
        "proto" => names::NETWORK_TRANSPORT,
        "usrName" => names::USER_NAME,
        "accountName" => names::SOURCE_USER,
        "identHostName" => names::HOST_NAME,
        "cat" => names::EVENT_CATEGORY,
        "sev" => names::EVENT_SEVERITY,
        "policy" => names::RULE_NAME,
        "resource" => names::FILE_PATH,
        "url" => names::URL_ORIGINAL,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        pairs(&head(text).unwrap(), |k, v| found.push(format!("{k}:{v}")));
        found
    }

    #[test]
    fn both_versions() {
        assert_eq!(
            found("LEEF:1.0|Lancope|StealthWatch|1.0|41|src=10.0.1.8\tdst=10.0.0.5\tmsg=a b"),
            ["src:10.0.1.8", "dst:10.0.0.5", "msg:a b"]
        );
        assert_eq!(found("LEEF:2.0|Lancope|StealthWatch|1.0|41|^|src=10.0.1.8^dst=a=b"), ["src:10.0.1.8", "dst:a=b"]);
        assert_eq!(found("LEEF:2.0|A|B|1|2|x5E|k=v^l=w"), ["k:v", "l:w"]);
        assert_eq!(found("LEEF:2.0|A|B|1|2|k=v|w\tl=x"), ["k:v|w", "l:x"]);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[a-c=|x0-9\t ä]{0,60}") {
            if let Some(head) = head(&format!("LEEF:{text}")) {
                pairs(&head, |_, _| {});
            }
        }
    }
}
