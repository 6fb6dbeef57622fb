use proptest::prelude::*;

use super::*;
use crate::intake::record::Record;

/// 2026-11-23T19:30:42Z
const NOW: i64 = 1_795_462_242_000_000;

fn with<T>(form: Form, line: &[u8], f: impl FnOnce(Record<'_>) -> T) -> T {
    let mut normaliser = Normaliser::new(Arc::new(Names::default()), Options::default());
    let mut batch = Batch::default();
    normaliser.normalise(1, &Arrival { source: "10.0.0.1", received: NOW, form, cut: false, bytes: line }, &mut batch);
    let record = batch.get(0).unwrap();
    assert_eq!(record.original(), line);
    f(record)
}

/// Checks fields, `message`, `@timestamp` (seconds before now) and the log source (`product/category/service`).
fn check(form: Form, line: &str, expected: &[(&str, &str)]) {
    with(form, line.as_bytes(), |record| {
        for (name, value) in expected {
            let found = match *name {
                "message" => record.message().map(str::to_owned),
                "age" => Some(((NOW - record.time()) / 1_000_000).to_string()),
                "log" => {
                    let log = record.log();
                    Some(format!("{}/{}/{}", log.product, log.category, log.service))
                }
                name => record.get_named(name).map(str::to_owned),
            };
            assert_eq!(found.as_deref(), Some(*value), "{name} of {record:#?}");
        }
    });
}

#[test]
fn what_suricata_writes() {
    check(
        Form::Line,
        r#"{"timestamp":"2026-11-23T19:30:41.000000+0000","flow_id":7,"community_id":"1:x=","event_type":"dns","src_ip":"10.0.0.7","src_port":5353,"dest_ip":"10.0.0.1","dest_port":53,"proto":"UDP","dns":{"type":"query","rrname":"shop.example","rrtype":"A"}}"#,
        &[
            ("age", "1"),
            ("log", "suricata/dns/"),
            ("event.action", "dns"),
            ("source.ip", "10.0.0.7"),
            ("destination.port", "53"),
            ("dns.question.name", "shop.example"),
            ("network.community_id", "1:x="),
            ("suricata.eve.dns.type", "query"),
        ],
    );
    check(
        Form::Line,
        r#"{"timestamp":"2026-11-23T19:30:41.000000+0000","event_type":"alert","src_ip":"10.0.0.7","alert":{"signature":"port scan","category":"scan","severity":1}}"#,
        &[("rule.name", "port scan"), ("event.severity", "1"), ("rule.category", "scan"), ("log", "suricata//")],
    );
}

#[test]
fn syslog_with_words_and_pairs() {
    check(
        Form::Syslog,
        "<38>Nov 23 19:30:41 web-1 sshd[4711]: Failed password for invalid user x from fe80::1 port 50022 ssh2",
        &[
            ("age", "1"),
            ("log", "linux//sshd"),
            ("user.name", "x"),
            ("source.ip", "fe80::1"),
            ("source.port", "50022"),
            ("event.outcome", "failure"),
            ("log.level", "informational"),
            ("process.pid", "4711"),
        ],
    );
    check(
        Form::Syslog,
        "<4>Nov 23 19:30:42 fw kernel: DROP IN=eth0 OUT= SRC=1.2.3.4 DST=10.0.0.2 PROTO=TCP SPT=4444 DPT=22",
        &[("source.ip", "1.2.3.4"), ("destination.port", "22"), ("network.transport", "TCP")],
    );
    check(
        Form::Syslog,
        "<166>Nov 23 2026 19:30:42 asa1 : %ASA-6-302013: Built inbound TCP",
        &[
            ("event.code", "302013"),
            ("log", "cisco/firewall/"),
            ("host.name", "asa1"),
            ("log.syslog.severity.code", "6"),
        ],
    );
    check(
        Form::Syslog,
        "<165>1 2026-11-23T19:30:42Z h a - - [x@1 k=\"v\"] @cee:{\"msg\":\"inside\",\"n\":{\"m\":1}}",
        &[("log.syslog.structured_data.x@1.k", "v"), ("n.m", "1"), ("message", "inside")],
    );
    check(
        Form::Syslog,
        "<14>Nov 23 19:30:42 fw CEF:0|Check Point|VPN-1|1|9|Login|5|src=1.1.1.1 duser=ada rt=1795462200000 msg=ok then",
        &[
            ("message", "ok then"),
            ("source.ip", "1.1.1.1"),
            ("user.name", "ada"),
            ("age", "42"),
            ("rule.name", "Login"),
        ],
    );
    check(
        Form::Line,
        "LEEF:1.0|Lancope|StealthWatch|1.0|41|src=10.0.1.8\tusrName=ada",
        &[("user.name", "ada"), ("event.code", "41"), ("log", "lancope//stealthwatch")],
    );
}

#[test]
fn windows_events_of_three_agents_have_the_same_names() {
    let same = [
        ("winlog.event_id", "1"),
        ("event.code", "1"),
        ("winlog.channel", "Microsoft-Windows-Sysmon/Operational"),
        ("host.name", "PC-1"),
        ("winlog.event_data.Image", r"C:\Windows\cmd.exe"),
        ("process.executable", r"C:\Windows\cmd.exe"),
        ("age", "42"),
        ("log", "windows/process_creation/sysmon"),
    ];
    check(
        Form::Json,
        r##"{"Event":{"#attributes":{"xmlns":"x"},"System":{"Provider":{"#attributes":{"Name":"Microsoft-Windows-Sysmon"}},"EventID":1,"TimeCreated":{"#attributes":{"SystemTime":"2026-11-23T19:30:00.000000Z"}},"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC-1"},"EventData":{"Image":"C:\\Windows\\cmd.exe","ProcessId":77}}}"##,
        &[&same[..], &[("process.pid", "77")]].concat(),
    );
    check(
        Form::Json,
        r##"{"Event":{"System":{"EventID":{"#attributes":{"Qualifiers":0},"#text":1},"TimeCreated":{"#attributes":{"SystemTime":"2026-11-23T19:30:00Z"}},"Channel":"Microsoft-Windows-Sysmon/Operational","Computer":"PC-1"},"EventData":{"Image":"C:\\Windows\\cmd.exe"}}}"##,
        &[
            ("winlog.channel", "Microsoft-Windows-Sysmon/Operational"),
            ("winlog.event_data.Image", r"C:\Windows\cmd.exe"),
        ],
    );
    check(
        Form::Json,
        r#"{"@timestamp":"2026-11-23T19:30:00.000Z","message":"Process Create","winlog":{"event_id":"1","channel":"Microsoft-Windows-Sysmon/Operational","computer_name":"PC-1","event_data":{"Image":"C:\\Windows\\cmd.exe"}},"host":{"name":"PC-1"}}"#,
        &[&same[..], &[("message", "Process Create")]].concat(),
    );
    check(
        Form::Line,
        r#"{"EventTime":"2026-11-23 19:30:00","Hostname":"PC-1","EventID":1,"SourceName":"Microsoft-Windows-Sysmon","Channel":"Microsoft-Windows-Sysmon/Operational","Image":"C:\\Windows\\cmd.exe","EventReceivedTime":"2026-11-23 19:30:01","SourceModuleName":"in"}"#,
        &same,
    );
}

#[test]
fn agents_that_send_json() {
    check(
        Form::Json,
        r#"{"appname":"sshd","host":"web-1","message":"hello","severity":"info","procid":7,"timestamp":"2026-11-23T19:30:41Z"}"#,
        &[
            ("host.name", "web-1"),
            ("process.name", "sshd"),
            ("log.level", "info"),
            ("message", "hello"),
            ("age", "1"),
            ("log", "linux//sshd"),
        ],
    );
    check(
        Form::Journal,
        r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795462241000000","_HOSTNAME":"h","SYSLOG_IDENTIFIER":"sudo","MESSAGE":"x","_CMDLINE":"sudo ls","PRIORITY":"5"}"#,
        &[("age", "1"), ("process.command_line", "sudo ls"), ("log", "linux//sudo"), ("log.syslog.severity.code", "5")],
    );
    check(
        Form::Hec,
        r#"{"time":1795462241.25,"host":"h","sourcetype":"syslog","event":"level=warn msg=\"a b\" user=ada","fields":{"region":"eu"}}"#,
        &[("host.name", "h"), ("log.level", "warn"), ("user.name", "ada"), ("region", "eu"), ("log.logger", "syslog")],
    );
    check(Form::Hec, r#"{"event":{"message":"m","a":{"b":[1,2]}}}"#, &[("message", "m"), ("a.b", "1"), ("age", "0")]);
}

#[test]
fn what_is_not_right_is_named() {
    with(Form::Syslog, b"<13>Nov 23 19:30:42 h a: caf\xe9", |r| assert_eq!(r.get(names::DEFECT), Some("invalid_utf8")));
    with(Form::Line, b"{\"a\":1,\"b\":", |r| {
        assert_eq!((r.get_named("a"), r.get(names::DEFECT)), (Some("1"), Some("json")))
    });
    with(Form::Json, b"no json", |r| assert_eq!(r.message(), Some("no json")));
    // A stamp that lies far ahead is not believed.
    with(Form::Syslog, b"<13>1 2099-01-01T00:00:00Z h a - - - x", |r| assert_eq!(r.time(), NOW));
    let long = [&b"<13>"[..], &b"k=v ".repeat(2_500_000)].concat();
    with(Form::Syslog, &long, |r| assert_eq!(r.message().map(str::len), Some(256 << 10)));
}

proptest! {
    #[test]
    fn any_bytes_become_a_record(bytes in prop::collection::vec(any::<u8>(), 0..200), form in 0..5u8) {
        with(Form::from_number(form).unwrap(), &bytes, |record| { let _ = format!("{record:?}"); });
    }

    #[test]
    fn nearly_right_lines_become_records(
        line in "(<1[0-9]>|CEF:|LEEF:|@cee:|\\{\"Event\":)?(1 |Nov 23 19:30:42 |%A-1-B: |[a{}\"|=\\[\\]:,\\\\ é%0-9-]){0,30}",
        form in 0..5u8,
    ) {
        with(Form::from_number(form).unwrap(), line.as_bytes(), |record| {
            if let Some((head, tail)) = record.around_message() {
                assert_eq!(format!("{head}{}{tail}", record.message().unwrap()), line);
            }
        });
    }
}
