//! Each modifier of Sigma 2.1, and what values mean without one.

use std::path::Path;

use sent_radar::{Routing, Scratch, rules};

/// Whether a rule with this detection section (indented by four) matches an event.
fn detects(detection: &str, event: &str) -> bool {
    let text = format!("title: Under test\nid: t\nlogsource:\n    category: test\ndetection:\n{detection}\n");
    let loaded = rules::load_text(Path::new("test.yml"), &text, &[]).expect("loads");
    assert_eq!(loaded.faults, [], "{text}");
    !loaded.rules.matches(event.as_bytes(), Routing::None, &mut Scratch::default()).expect("JSON").is_empty()
}

/// Whether `key: value` matches `{"f": …}`.
fn item(key: &str, value: &str, field: &str) -> bool {
    detects(&format!("    s:\n        {key}: {value}\n    condition: s"), &format!(r#"{{"f": {field}}}"#))
}

/// What is wrong with a rule of this one item.
fn refused(key: &str, value: &str) -> String {
    let text = format!(
        "title: Under test\nlogsource:\n    category: test\ndetection:\n    s:\n        {key}: {value}\n    condition: s\n"
    );
    let loaded = rules::load_text(Path::new("test.yml"), &text, &[]).expect("loads");
    assert_eq!(loaded.rules.rules().len(), 0, "{key}: {value} is not refused");
    loaded.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn text_is_compared_without_case_and_whole() {
    assert!(item("f", "Abc", r#""aBC""#));
    assert!(!item("f", "abc", r#""abcd""#));
    assert!(item("f", "ÄRGER", r#""ärger""#));
    assert!(item("f", "''", r#""""#));
    assert!(!item("f", "''", "null"));
}

#[test]
fn wildcards_stand_for_characters_and_backslashes_escape_them() {
    assert!(item("f", "a*c", r#""a\nxc""#));
    assert!(item("f", "a?c", r#""aüc""#));
    assert!(!item("f", "a?c", r#""ac""#));
    assert!(item("f", r"a\*c", r#""a*c""#));
    assert!(!item("f", r"a\*c", r#""abc""#));
    assert!(item("f", r"'\\\\host\share'", r#""\\\\host\\share""#));
    assert!(item("f", r"'*\cmd.exe'", r#""C:\\Windows\\CMD.EXE""#));
    assert!(item("f", "'*'", r#""""#));
    assert!(!item("f", "'*'", "null"));
    assert!(item("f", "'a*b*c'", r#""aXbXbXc""#));
    assert!(!item("f", "'ab*ba'", r#""aba""#));
}

#[test]
fn numbers_and_truth_values_meet_their_text() {
    assert!(item("f", "4624", "4624"));
    assert!(item("f", "4624", r#""4624""#));
    assert!(item("f", "'4624'", "4624"));
    assert!(item("f", "1.5", "15e-1"));
    assert!(!item("f", "1", r#""1x""#));
    assert!(item("f", "true", "true"));
    assert!(item("f", "'True'", "true"));
    assert!(item("f", "false", r#""False""#));
    assert!(!item("f", "true", "false"));
    assert!(item("f|contains", "62", "4624"));
}

#[test]
fn lists_are_any_and_all_makes_them_every() {
    assert!(item("f", "[a, b]", r#""b""#));
    assert!(item("f|contains|all", "[ab, cd]", r#""xcdxab""#));
    assert!(!item("f|contains|all", "[ab, cd]", r#""xab""#));
    assert!(item("f", "b", r#"["a", "b"]"#));
    assert!(!item("f", "b", "[]"));
}

#[test]
fn contains_startswith_endswith() {
    assert!(item("f|contains", "b", r#""aBc""#));
    assert!(item("f|startswith", "ab", r#""ABc""#));
    assert!(!item("f|startswith", "bc", r#""abc""#));
    assert!(item("f|endswith", "bc", r#""aBC""#));
    assert!(!item("f|endswith", "ab", r#""abc""#));
    assert!(item("f|contains", "a*d", r#""xxabcdyy""#));
    assert!(item("f|startswith", "a?c", r#""abcd""#));
    assert!(!item("f|endswith", "a?c", r#""abcd""#));
}

#[test]
fn cased_compares_letters_as_they_are() {
    assert!(item("f|cased", "aBc", r#""aBc""#));
    assert!(!item("f|cased", "aBc", r#""abc""#));
    assert!(item("f|contains|cased", "Bc", r#""aBcd""#));
    assert!(!item("f|startswith|cased", "ab", r#""ABc""#));
    assert!(item("f|endswith|cased", "B?", r#""aBc""#));
}

#[test]
fn re_is_a_search_with_case_and_flags() {
    assert!(item("f|re", "b+c", r#""abbcd""#));
    assert!(!item("f|re", "B+c", r#""abbcd""#));
    assert!(item("f|re|i", "B+C", r#""abbcd""#));
    assert!(!item("f|re", "a.b", r#""a\nb""#));
    assert!(item("f|re|s", "a.b", r#""a\nb""#));
    assert!(!item("f|re", "^b$", r#""a\nb""#));
    assert!(item("f|re|m", "^b$", r#""a\nb""#));
    assert!(item("f|re", r"'(?:powershell|pwsh)\s+-e'", r#""x pwsh  -e""#));
    assert!(item("f|re|i", "kiss", r#""KISS""#));
    assert!(item("f|re", "'^4\\d+$'", "4624"));
}

#[test]
fn a_regular_expression_that_is_none_or_would_explode_is_refused_by_name() {
    assert!(refused("f|re", "'(?=a)b'").contains("test.yml:5: Under test: s: regular expression"));
    assert!(refused("f|re", "'a('").contains("unclosed"));
    assert!(refused("f|re", r"'(\w{1,500}){1,500}'").contains("needs more than"));
}

#[test]
fn cidr_holds_networks_of_both_versions() {
    assert!(item("f|cidr", "10.0.0.0/8", r#""10.200.1.1""#));
    assert!(!item("f|cidr", "10.0.0.0/8", r#""11.0.0.1""#));
    assert!(item("f|cidr", "'fe80::/10'", r#""fe80::1""#));
    assert!(!item("f|cidr", "'::/0'", r#""10.0.0.1""#));
    assert!(item("f|cidr", "0.0.0.0/0", r#""1.2.3.4""#));
    assert!(!item("f|cidr", "10.0.0.0/8", r#""10.x""#));
    assert!(refused("f|cidr", "10.0.0.0/33").contains("an IP network"));
}

#[test]
fn windash_takes_dashes_for_each_other_at_the_start_of_words() {
    for dash in ["-", "/", "–", "—", "―"] {
        assert!(item("f|contains|windash", "' -enc'", &format!(r#""p {dash}enc x""#)), "{dash}");
    }
    assert!(!item("f|contains|windash", "' -enc'", r#""p +enc""#));
    assert!(!item("f|windash", "a-b", r#""a/b""#));
    assert!(item("f|contains|windash", "'-a -b -c -d'", r#""x /a –b -c —d""#));
    assert!(item("f|endswith|windash", "' -s'", r#""x /s""#));
}

#[test]
fn encodings_are_applied_in_their_order() {
    assert!(item("f|base64", "'foobar'", r#""Zm9vYmFy""#));
    assert!(item("f|base64|contains", "'foobar'", r#""x Zm9vYmFy x""#));
    for text in ["L2Jpbi9iYXNo", "Yi9iaW4vYmFzaA==", "eGIvYmluL2Jhc2gK"] {
        assert!(item("f|base64offset|contains", "/bin/bash", &format!(r#""{text}""#)), "{text}");
    }
    assert!(item("f|wide|base64offset|contains", "ping", r#""cABpAG4AZwA=""#));
    assert!(item("f|utf16le|base64|contains", "ping", r#""cABpAG4AZwA=""#));
    assert!(item("f|utf16be|base64|contains", "ping", r#""AHAAaQBuAGc=""#));
    assert!(item("f|utf16|base64|contains", "ping", r#""//5wAGkAbgBnAA==""#));
    assert!(item("f|wide", "ab", r#""a\u0000b\u0000""#));
    assert!(refused("f|base64", "'a*b'").contains("without wildcards"));
}

#[test]
fn exists_asks_whether_there_is_a_value() {
    assert!(item("f|exists", "true", "0"));
    assert!(item("f|exists", "true", r#"{"a": 1}"#));
    assert!(!item("f|exists", "true", "null"));
    assert!(item("g|exists", "false", "0"));
    assert!(!item("f|exists", "false", "0"));
    assert!(refused("f|exists", "maybe").contains("`true` or `false`"));
}

#[test]
fn null_is_a_field_without_a_value() {
    assert!(item("f", "null", "null"));
    assert!(item("g", "null", "1"));
    assert!(!item("f", "null", r#""""#));
    assert!(item("f", "[null, '']", r#""""#));
}

#[test]
fn fieldref_compares_two_fields() {
    let both = |key: &str, event: &str| detects(&format!("    s:\n        {key}: g\n    condition: s"), event);
    assert!(both("f|fieldref", r#"{"f": "Ab", "g": "aB"}"#));
    assert!(!both("f|fieldref|cased", r#"{"f": "Ab", "g": "aB"}"#));
    assert!(!both("f|fieldref", r#"{"f": "a"}"#));
    assert!(both("f|fieldref|startswith", r#"{"f": "abc", "g": "AB"}"#));
    assert!(both("f|fieldref|endswith", r#"{"f": "abc", "g": "bc"}"#));
    assert!(both("f|fieldref|contains", r#"{"f": "abc", "g": "b"}"#));
    assert!(both("f|fieldref", r#"{"f": 7, "g": "7"}"#));
}

#[test]
fn numbers_are_ordered() {
    assert!(item("f|lt", "5", "4.9") && !item("f|lt", "5", "5"));
    assert!(item("f|lte", "5", "5") && !item("f|lte", "5", "5.1"));
    assert!(item("f|gt", "5", r#""6""#) && !item("f|gt", "5", "5"));
    assert!(item("f|gte", "5", "5") && !item("f|gte", "5", r#""x""#));
    assert!(refused("f|gt", "many").contains("a number"));
}

#[test]
fn neq_is_the_negation() {
    assert!(item("f|neq", "a", r#""b""#));
    assert!(!item("f|neq", "a", r#""A""#));
    assert!(item("g|neq", "a", r#""b""#));
    assert!(!item("f|neq", "[a, b]", r#""b""#));
    assert!(!item("f|neq", "a", r#"["a", "b"]"#));
    assert!(item("f|contains|neq", "a", r#""b""#));
}

#[test]
fn parts_of_a_time_are_in_utc() {
    let time = r#""2026-01-01T00:30:15+02:00""#;
    for (part, value) in [("minute", 30), ("hour", 22), ("day", 31), ("month", 12), ("year", 2025), ("week", 1)] {
        assert!(item(&format!("f|{part}"), &value.to_string(), time), "{part}");
        assert!(!item(&format!("f|{part}"), &(value + 1).to_string(), time), "{part}");
    }
    assert!(item("f|hour", "7", r#""2026-01-01 07:00:00.5""#));
    assert!(item("f|year", "1970", "3600") && item("f|year", "2023", "1700000000000"));
    assert!(!item("f|hour", "7", r#""seven""#));
}

#[test]
fn keywords_are_found_in_any_value() {
    let words = |list: &str, event: &str| detects(&format!("    k:\n{list}\n    condition: k"), event);
    assert!(words("        - needle", r#"{"a": {"b": ["x", "a NEEDLE here"]}}"#));
    assert!(!words("        - needle", r#"{"needle": "hay"}"#));
    assert!(words("        - 4625", r#"{"a": 4625}"#));
    assert!(words("        - 'fa?led*root'", r#"{"m": "login failed for root"}"#));
    assert!(words("        '|all': [one, two]", r#"{"a": "one", "b": "two"}"#));
    assert!(!words("        '|all': [one, two]", r#"{"a": "one"}"#));
    assert!(words("        '|re': 'o+ps'", r#"{"a": "ooops"}"#));
}

#[test]
fn conditions_have_their_grammar() {
    let three = |condition: &str, event: &str| {
        detects(
            &format!(
                "    sel_a:\n        a: 1\n    sel_b:\n        b: 1\n    other:\n        c: 1\n    condition: {condition}"
            ),
            event,
        )
    };
    assert!(three("sel_a and not sel_b", r#"{"a": 1}"#) && !three("sel_a and not sel_b", r#"{"a": 1, "b": 1}"#));
    assert!(three("1 of sel_*", r#"{"b": 1}"#) && !three("all of sel_*", r#"{"b": 1}"#));
    assert!(three("2 of them", r#"{"a": 1, "c": 1}"#) && !three("2 of them", r#"{"c": 1}"#));
    assert!(three("not 1 of them", "{}") && three("not sel_a", "{}"));
    assert!(three("(sel_a or sel_b) and other", r#"{"b": 1, "c": 1}"#));
    assert!(three("\n        - sel_a\n        - other", r#"{"c": 1}"#));
}

#[test]
fn fields_lie_under_paths_or_in_windows_events() {
    let field = |name: &str, event: &str| detects(&format!("    s:\n        {name}: v\n    condition: s"), event);
    assert!(field("a.b", r#"{"a": {"b": "v"}}"#) && field("a.b", r#"{"a.b": "v", "a": {"b": "w"}}"#));
    assert!(!field("a.b", r#"{"a.b": "w", "a": {"b": "v"}}"#));
    assert!(field("a.b", r#"{"a": [{"b": "w"}, {"b": "v"}]}"#));
    assert!(field("X", r#"{"Event": {"EventData": {"X": "v"}}}"#));
    assert!(field("X", r#"{"Event": {"UserData": {"Any": {"X": "v"}}}}"#));
    assert!(field("X", r##"{"Event": {"EventData": {"X": {"#text": ["u", "v"]}}}}"##));
    assert!(field("Provider_Name", r##"{"Event": {"System": {"Provider": {"#attributes": {"Name": "v"}}}}}"##));
    assert!(field("Event.EventData.X", r#"{"Event": {"EventData": {"X": "v"}}}"#));
    assert!(
        field("X", r#"{"winlog": {"event_data": {"X": "v"}}}"#) && field("Channel", r#"{"winlog": {"channel": "v"}}"#)
    );
}

#[test]
fn modifiers_that_contradict_each_other_are_refused() {
    assert!(refused("f|contains|startswith", "a").contains("exclude each other"));
    assert!(refused("f|re|base64", "a").contains("exclude each other"));
    assert!(refused("f|i", "a").contains("belong to `re`"));
    assert!(refused("f|nonsense", "a").contains("test.yml:6"));
    assert!(refused("f", "[]").contains("empty"));
}
