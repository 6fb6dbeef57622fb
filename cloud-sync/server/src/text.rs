//! Text of boxes and strangers as PostgreSQL keeps it: without NUL, which neither text nor jsonb holds, and bounded, so that
//! nobody can store a megabyte where a person reads a line.

/// Characters of a name, a version, a cause: what a person reads in one line.
pub const LINE: usize = 200;

/// Characters of what a box answers to a command.
pub const ANSWER: usize = 16_384;

/// The first `most` characters, NUL shown as U+FFFD.
pub fn bounded(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// One [`LINE`] of text.
pub fn line(text: &str) -> String {
    bounded(text, LINE)
}

/// JSON text whose escaped NULs are U+FFFD. An escaped backslash before `u0000` is no NUL and stays.
pub fn json(text: &str) -> String {
    const NUL: &str = "u0000";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        let (before, escape) = rest.split_at(place);
        out.push_str(before);
        if let Some(after) = escape[1..].strip_prefix(NUL) {
            out.push_str("\\ufffd");
            rest = after;
        } else {
            let length = 1 + escape[1..].chars().next().map_or(0, char::len_utf8);
            out.push_str(&escape[..length]);
            rest = &escape[length..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn a_line_is_cut_between_characters() {
        assert_eq!(line(&"ß".repeat(300)), "ß".repeat(LINE));
        assert_eq!(line("a\0b"), "a\u{fffd}b");
    }

    proptest! {
        #[test]
        fn json_loses_its_nuls_and_nothing_else(text in "[\\\\\0\"u0fé]{0,12}") {
            let written = serde_json::to_string(&text).unwrap();
            let read: Value = serde_json::from_str(&json(&written)).unwrap();
            prop_assert_eq!(read, Value::String(text.replace('\0', "\u{fffd}")));
        }
    }
}
