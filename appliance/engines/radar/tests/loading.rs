//! Rule files: what is broken is named with file and line; filters, pipelines and collections apply; rules are swapped
//! while events are matched.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rsigma_eval::pipeline::parse_pipeline;
use sent_radar::rules::{Loaded, load, load_text};
use sent_radar::{Live, Routing, Scratch};

fn rule(id: &str, detection: &str) -> String {
    format!(
        "title: Rule {id}\nid: {id}\nlogsource:\n    product: windows\n    category: process_creation\ndetection:\n{detection}\n"
    )
}

fn ids(loaded: &Loaded, event: &str) -> Vec<String> {
    let mut scratch = Scratch::default();
    let found = loaded.rules.matches(event.as_bytes(), Routing::None, &mut scratch).expect("JSON");
    found.iter().map(|rule| loaded.rules.rules()[*rule as usize].id.clone()).collect()
}

fn faults(text: &str) -> Vec<String> {
    let loaded = load_text(Path::new("r.yml"), text, &[]).expect("loads");
    loaded.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn broken_rules_are_named_by_line_and_the_rest_run() {
    let good = rule("good", "    s:\n        f: v\n    condition: s");
    let modifier = rule("m", "    s:\n        f|wrong: v\n    condition: s");
    let condition = rule("c", "    s:\n        f: v\n    condition: s and t");
    let syntax = "title: Broken\n\tid: [\n";
    let text = format!("{good}---\n{modifier}---\n{condition}---\n{syntax}---\n{}", good.replace("good", "last"));
    let loaded = load_text(Path::new("r.yml"), &text, &[]).expect("loads");
    assert_eq!(ids(&loaded, r#"{"f": "v"}"#), ["good", "last"]);
    let lines: Vec<u32> = loaded.faults.iter().map(|fault| fault.place.line).collect();
    let line = |needle: &str| text.lines().position(|line| line.contains(needle)).expect("is there") as u32 + 1;
    assert_eq!(lines, [line("f|wrong"), line("s and t"), line("id: [")], "{:?}", loaded.faults);
    assert!(loaded.faults.iter().all(|fault| !fault.runs));
}

#[test]
fn what_is_not_a_rule_at_all_is_named() {
    assert!(faults("just words\n")[0].starts_with("r.yml:1: "));
    assert!(faults("title: No detection\nlogsource: {}\n")[0].contains("detection"));
    assert_eq!(faults("# only a comment\n---\n"), Vec::<String>::new());
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::File::create(dir.path().join("binary.yml"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[0xFF, 0xFE, 0]))
        .expect("written");
    let loaded = load(&[dir.path().to_owned()], &[]).expect("loads");
    assert_eq!(loaded.faults.len(), 1);
    assert!(load(&[dir.path().join("missing")], &[]).is_err());
}

#[test]
fn odd_rules_run_with_a_warning() {
    let text = rule("r", "    s:\n        f|expand: '%admins%'\n    condition: s");
    assert!(faults(&text)[0].contains("warning: Rule r: no pipeline gives the placeholders in `%admins%` values"));
    let twice = format!("{text}---\n{text}");
    assert!(faults(&twice).iter().any(|fault| fault.contains("id `r` is also that of")));
}

#[test]
fn actions_join_documents() {
    let text = "action: global\nlogsource:\n    product: windows\n---\ntitle: A\nid: a\ndetection:\n    s:\n        f: 1\n    condition: s\n---\naction: repeat\nid: b\ndetection:\n    s:\n        f: 2\n";
    let loaded = load_text(Path::new("r.yml"), text, &[]).expect("loads");
    assert_eq!(loaded.faults, []);
    assert_eq!(ids(&loaded, r#"{"f": 1}"#), ["a"]);
    assert_eq!(ids(&loaded, r#"{"f": 2}"#), ["b"]);
}

#[test]
fn filters_apply_where_source_and_name_agree() {
    let rules = format!(
        "{}---\n{}",
        rule("one", "    selection_a:\n        f: v\n    condition: all of selection_*"),
        rule("two", "    s:\n        f: v\n    condition: s")
    );
    let filter = |rules: &str, product: &str| {
        format!(
            "---\ntitle: Filter\nlogsource:\n    product: {product}\nfilter:\n    rules: {rules}\n    selection_b:\n        user: admin\n    condition: not selection_b\n"
        )
    };
    let admin = r#"{"f": "v", "user": "ADMIN"}"#;
    let found = |filter: String, event: &str| {
        ids(&load_text(Path::new("r.yml"), &(rules.clone() + &filter), &[]).expect("loads"), event)
    };
    assert_eq!(found(String::new(), admin), ["one", "two"]);
    assert_eq!(found(filter("[one]", "windows"), admin), ["two"]);
    assert_eq!(found(filter("any", "windows"), admin), Vec::<String>::new());
    assert_eq!(found(filter("any", "linux"), admin), ["one", "two"]);
    assert_eq!(found(filter("any", "windows"), r#"{"f": "v", "user": "guest"}"#), ["one", "two"]);
    assert!(faults(&(rules.clone() + &filter("[none]", "windows")))[0].contains("applies to no rule"));
}

#[test]
fn pipelines_map_fields_give_values_and_add_conditions() {
    let pipeline = parse_pipeline(
        "name: test\npriority: 10\nvars:\n    admins: [ada, bob]\ntransformations:\n  - id: values\n    type: value_placeholders\n  - id: names\n    type: field_name_mapping\n    mapping:\n        User: user.name\n        Both: [left, right]\n  - id: only\n    type: add_condition\n    conditions:\n        code: 1\n    rule_conditions:\n      - type: logsource\n        category: process_creation\n",
    )
    .expect("a pipeline");
    let text = format!(
        "{}---\n{}",
        rule("who", "    s:\n        User|expand: '%admins%'\n    condition: s"),
        rule("either", "    s:\n        Both: x\n    condition: s")
    );
    let loaded = load_text(Path::new("r.yml"), &text, &[pipeline]).expect("loads");
    assert_eq!(loaded.faults, []);
    assert_eq!(ids(&loaded, r#"{"user": {"name": "Bob"}, "code": 1}"#), ["who"]);
    assert_eq!(ids(&loaded, r#"{"user": {"name": "Bob"}, "code": 2}"#), Vec::<String>::new());
    assert_eq!(ids(&loaded, r#"{"User": "bob", "code": 1}"#), Vec::<String>::new());
    assert_eq!(ids(&loaded, r#"{"right": "x", "code": 1}"#), ["either"]);
}

#[test]
fn sources_exclude_rules_of_other_sources_only() {
    let rules = format!(
        "{}---\n{}---\n{}",
        rule("process", "    s:\n        Image: x\n    condition: s"),
        rule("security", "    s:\n        Image: x\n    condition: s")
            .replace("category: process_creation", "service: security"),
        rule("linux", "    s:\n        Image: x\n    condition: s").replace("windows", "linux")
    );
    let loaded = load_text(Path::new("r.yml"), &rules, &[]).expect("loads");
    let found = |event: &str, routing| {
        let mut scratch = Scratch::default();
        let found = loaded.rules.matches(event.as_bytes(), routing, &mut scratch).expect("JSON");
        found.iter().map(|rule| loaded.rules.rules()[*rule as usize].id.clone()).collect::<Vec<_>>()
    };
    let sysmon = r#"{"Channel": "Microsoft-Windows-Sysmon/Operational", "EventID": 1, "Image": "x"}"#;
    assert_eq!(found(sysmon, Routing::Channel), ["process"]);
    assert_eq!(found(&sysmon.replace(": 1", ": 3"), Routing::Channel), Vec::<String>::new());
    let security = r#"{"Channel": "Security", "EventID": "4688", "NewProcessName": "x"}"#;
    assert_eq!(found(security, Routing::Channel), ["process", "security"]);
    assert_eq!(found(r#"{"Image": "x"}"#, Routing::Channel), ["process", "security", "linux"]);
    assert_eq!(found(sysmon, Routing::None), ["process", "security", "linux"]);
    assert_eq!(found(r#"{"product": "Linux", "Image": "x"}"#, Routing::Fields), ["linux"]);
    assert_eq!(found(r#"{"service": "security", "Image": "x"}"#, Routing::Fields), ["process", "security", "linux"]);
}

#[test]
fn events_that_are_none_are_refused_and_the_next_is_matched() {
    let loaded =
        load_text(Path::new("r.yml"), &rule("r", "    s:\n        f: v\n    condition: s"), &[]).expect("loads");
    let mut scratch = Scratch::default();
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
    let wrong: [&[u8]; 10] = [
        b"",
        b"[]",
        b"{",
        b"{\"f\"}",
        b"{\"f\":}",
        b"{\"f\":\"v}",
        b"{\"f\":\"\\x\"}",
        b"{\"f\":1} x",
        b"{\"f\":\"\xFF\"}",
        deep.as_bytes(),
    ];
    for event in wrong {
        assert!(
            loaded.rules.matches(event, Routing::None, &mut scratch).is_err(),
            "{}",
            String::from_utf8_lossy(event)
        );
        assert_eq!(loaded.rules.matches(br#"{"f":"\u0076"}"#, Routing::None, &mut scratch), Ok(&[0][..]));
    }
    let long = format!(r#"{{"pad": "{}", "f": "v"}}"#, "x".repeat(10 << 20));
    assert_eq!(loaded.rules.matches(long.as_bytes(), Routing::None, &mut scratch), Ok(&[0][..]));
}

#[test]
fn a_swap_of_rules_drops_no_event() {
    let set = |id: &str| {
        load_text(Path::new("r.yml"), &rule(id, "    s:\n        f: v\n    condition: s"), &[]).expect("loads")
    };
    let live = Live::new(set("before"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut scratch = Scratch::default();
                    let mut events = 0u64;
                    loop {
                        let last = done.load(Ordering::Acquire);
                        let loaded = live.rules();
                        let found = loaded.rules.matches(br#"{"f": "v"}"#, Routing::None, &mut scratch).expect("JSON");
                        assert_eq!(found, [0]);
                        events += 1;
                        if last {
                            return (events, loaded.rules.rules()[0].id.clone());
                        }
                    }
                })
            })
            .collect();
        for number in 0..50 {
            live.swap(set(&format!("after-{number}")));
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            let (events, id) = reader.join().expect("no panic");
            assert!(events > 0);
            assert_eq!(id, "after-49");
        }
    });
}
