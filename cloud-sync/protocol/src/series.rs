//! Names of telemetry series.
//!
//! A series is a metric name and its labels. Its id is XXH3-64 of the canonical text `name{a="b",c="d"}`: labels sorted
//! by name, `\` and `"` in values escaped by `\`, a newline as `\n`, and bare `name` without labels, so that box and
//! cloud name it alike without asking each other.
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Labels of a series, sorted by name.
pub type Labels = BTreeMap<String, String>;

/// Id of a series.
pub fn series_id(name: &str, labels: &Labels) -> u64 {
    xxh3_64(canonical(name, labels).as_bytes())
}

/// The canonical text of a series: `host_cpu_percent{cpu="0",host="hq"}`.
pub fn canonical(name: &str, labels: &Labels) -> String {
    let mut text = String::with_capacity(name.len() + 24 * labels.len());
    text.push_str(name);
    if labels.is_empty() {
        return text;
    }
    let mut separator = '{';
    for (label, value) in labels {
        text.push(separator);
        separator = ',';
        text.push_str(label);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                _ => text.push(c),
            }
        }
        text.push('"');
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn text_is_canonical() {
        assert_eq!(canonical("up", &labels(&[])), "up");
        assert_eq!(
            canonical("disk", &labels(&[("mount", "/"), ("host", "a\"b\\c\n")])),
            r#"disk{host="a\"b\\c\n",mount="/"}"#
        );
    }

    #[test]
    fn quotes_cannot_forge_another_series() {
        let one = labels(&[("a", "1\",b=\"2")]);
        let two = labels(&[("a", "1"), ("b", "2")]);
        assert_ne!(series_id("m", &one), series_id("m", &two));
    }

    #[test]
    fn id_is_stable() {
        assert_eq!(series_id("", &labels(&[])), 0x2d06_8005_38d3_94c2);
    }
}
