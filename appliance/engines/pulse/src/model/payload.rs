//! Numbers in what MQTT sensors publish: a bare number, a switch word, or the numbers inside a JSON document.

use serde_json::Value;

/// A message never makes more series than this.
const MOST: usize = 64;
/// How deep a document is followed.
const DEEPEST: usize = 4;

/// The numbers of a payload with the path to each (`""` for a bare number, `battery_level` for a nested one).
/// A payload without numbers has none.
pub fn numbers(payload: &[u8]) -> Vec<(String, f64)> {
    let Ok(text) = std::str::from_utf8(payload) else { return Vec::new() };
    let text = text.trim();
    if let Some(number) = scalar(text) {
        return vec![(String::new(), number)];
    }
    let mut found = Vec::new();
    if let Ok(document) = serde_json::from_str::<Value>(text) {
        collect(&document, String::new(), 0, &mut found);
    }
    found
}

/// A number as sensors write it: `21.5`, `21.5 °C`, `ON`, `true`.
fn scalar(text: &str) -> Option<f64> {
    let first = text.split_ascii_whitespace().next()?;
    let number: f64 = match first.to_ascii_lowercase().as_str() {
        "true" | "on" | "open" | "online" => 1.0,
        "false" | "off" | "closed" | "offline" => 0.0,
        word if word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) => word.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

fn collect(value: &Value, path: String, depth: usize, found: &mut Vec<(String, f64)>) {
    if found.len() >= MOST || depth > DEEPEST {
        return;
    }
    match value {
        Value::Number(n) => found.extend(n.as_f64().filter(|n| n.is_finite()).map(|n| (path, n))),
        Value::Bool(b) => found.push((path, f64::from(u8::from(*b)))),
        Value::String(s) => found.extend(scalar(s).map(|n| (path, n))),
        Value::Object(fields) => {
            // By name, not as the sensor happens to write them: of too many, the same ones are taken each time.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            for (name, field) in fields {
                collect(field, join(&path, name), depth + 1, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, join(&path, &index.to_string()), depth + 1, found);
            }
        }
        Value::Null => {}
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}_{name}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_numbers() {
        assert_eq!(numbers(b"21.5"), [(String::new(), 21.5)]);
        assert_eq!(numbers("21.5 °C".as_bytes()), [(String::new(), 21.5)]);
        assert_eq!(numbers(b" OFF "), [(String::new(), 0.0)]);
        assert_eq!(
            numbers(br#"{"temperature":21.5,"battery":{"level":80},"state":"ON","name":"kitchen"}"#),
            [("battery_level".to_owned(), 80.0), ("state".to_owned(), 1.0), ("temperature".to_owned(), 21.5)]
        );
        assert!(numbers(b"hello").is_empty());
        assert!(numbers(b"nan").is_empty());
        assert!(numbers(&[0xff, 0xfe]).is_empty());
    }

    proptest! {
        #[test]
        fn any_payload_is_bounded_and_finite(payload in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let found = numbers(&payload);
            prop_assert!(found.len() <= MOST);
            prop_assert!(found.iter().all(|(_, n)| n.is_finite()));
        }
    }
}
