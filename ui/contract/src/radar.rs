//! Logs: alerts and their cases, rules, exceptions, searches, and how the intake is doing.
use crate::{Micros, Status, Uuid};
use serde::{Deserialize, Serialize};

/// A row of `GET /api/radar/alerts`: a rule that matched, once for each host and user within a few minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Id.
    pub id: Uuid,
    /// The rule's id.
    pub rule: String,
    /// The rule's title.
    pub title: String,
    /// Who wrote the rule: shown wherever a match is, as rule licences ask for.
    pub author: String,
    /// `informational`, `low`, `medium`, `high`, `critical`.
    pub severity: String,
    /// ATT&CK techniques: `T1059.001`.
    pub techniques: Vec<String>,
    /// The host it is about; empty when the event names none.
    pub host: String,
    /// The user it is about; empty when the event names none.
    pub user: String,
    /// The case it belongs to.
    pub case: Uuid,
    /// Where that case stands: `open`, `working`, `closed`.
    pub case_state: String,
    /// Whose that case is; empty: nobody's.
    pub owner: String,
    /// Events that matched.
    pub count: u64,
    /// The first of them.
    pub first_at: Micros,
    /// The last of them.
    pub last_at: Micros,
}

/// `GET /api/radar/alerts/{id}`: with its evidence, the first event that matched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertDetail {
    /// The alert.
    pub alert: Alert,
    /// What the rule finds.
    pub description: String,
    /// What else it may find.
    pub false_positives: Vec<String>,
    /// Tags of the rule.
    pub tags: Vec<String>,
    /// Where the event came from: an address, a file, `journal`.
    pub source: String,
    /// The event as it arrived.
    pub original: String,
    /// Its fields, by name; a name may stand several times.
    pub fields: Vec<(String, String)>,
    /// What a correlation groups by, with the values here; empty for other rules.
    pub group: Vec<(String, String)>,
}

/// A row of `GET /api/radar/cases`: alerts of one rule about one host and user, to be worked on together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Id.
    pub id: Uuid,
    /// Headline.
    pub title: String,
    /// The rule's id.
    pub rule: String,
    /// `informational` to `critical`.
    pub severity: String,
    /// `open`, `working`, `closed`.
    pub state: String,
    /// How a closed case ended: `true_positive`, `false_positive`, `benign`; empty while it is not closed.
    pub verdict: String,
    /// Whose it is.
    pub owner: String,
    /// The host it is about; may be empty.
    pub host: String,
    /// The user it is about; may be empty.
    pub user: String,
    /// ATT&CK techniques.
    pub techniques: Vec<String>,
    /// Its first event.
    pub opened_at: Micros,
    /// Its last event.
    pub last_at: Micros,
    /// When it was closed.
    pub closed_at: Option<Micros>,
    /// Alerts in it.
    pub alerts: u64,
    /// Events that matched, of all of them.
    pub events: u64,
}

/// `GET /api/radar/cases/counts`: cases that are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseCounts {
    /// Severities, the worst first, with how many cases each has; one without cases is left out.
    pub severities: Vec<(String, u64)>,
    /// Those that are nobody's.
    pub unowned: u64,
}

/// `GET /api/radar/cases/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseDetail {
    /// The case.
    pub case: Case,
    /// Its alerts, newest first.
    pub alerts: Vec<Alert>,
    /// What was said, oldest first.
    pub comments: Vec<Comment>,
}

/// `PATCH /api/radar/cases/{id}`: what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseChange {
    /// `open`, `working`, `closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// For a case that is closed: `true_positive`, `false_positive`, `benign`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Whose it is; empty: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// `informational` to `critical`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
}

/// What somebody said about a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// Id.
    pub id: Uuid,
    /// When.
    pub at: Micros,
    /// Who.
    pub author: String,
    /// What.
    pub text: String,
}

/// `POST /api/radar/cases/{id}/comments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewComment {
    /// What.
    pub text: String,
}

/// A row of `GET /api/radar/rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its id; of a rule without one, its place.
    pub id: String,
    /// Title.
    pub title: String,
    /// `detection` or `correlation`; `broken` when it does not run.
    pub kind: String,
    /// `informational` to `critical`; empty when the rule does not say.
    pub severity: String,
    /// Who wrote it.
    pub author: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The pack it came with; empty: the box's own.
    pub pack: String,
    /// Its place within the rules or the pack: `windows/x.yml:3`.
    pub place: String,
    /// Whether its matches raise alerts.
    pub enabled: bool,
    /// What is wrong with it; a rule that runs may have a warning here.
    pub error: String,
}

/// `PATCH /api/radar/rules/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleChange {
    /// Whether its matches raise alerts.
    pub enabled: bool,
}

/// `POST /api/radar/rules/test`: what an event would set off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTest {
    /// The event as it would arrive: a JSON object, a syslog line, CEF, LEEF, plain text.
    pub event: String,
    /// Sigma YAML to try; left out, the box's own rules are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
}

/// A rule that a tried event matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleMatch {
    /// The rule's id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// Its severity.
    pub severity: String,
    /// Who wrote it.
    pub author: String,
}

/// What a tried event set off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleTried {
    /// The rules that match.
    pub matches: Vec<RuleMatch>,
    /// What is wrong with the rules given, with the line.
    pub faults: Vec<String>,
    /// The event as rules see it.
    pub fields: Vec<(String, String)>,
}

/// `POST /api/radar/rules/hunt`: a rule asked of the stored logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunt {
    /// Sigma YAML.
    pub rules: String,
    /// From when on.
    pub from: Micros,
    /// Until when, excluded.
    pub to: Micros,
}

/// What a hunt found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunted {
    /// Lines that were asked.
    pub lines: u64,
    /// Matches in all.
    pub matches: u64,
    /// The first of them.
    pub hits: Vec<(RuleMatch, Hit)>,
    /// Whether all lines were asked; otherwise time ran out.
    pub complete: bool,
    /// What is wrong with the rules.
    pub faults: Vec<String>,
}

/// A pack of rules, `GET /api/radar/packs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Name.
    pub name: String,
    /// Which version of it.
    pub version: String,
    /// Whether its rules run.
    pub enabled: bool,
    /// Rules in it.
    pub rules: u64,
    /// When it was installed.
    pub installed_at: Micros,
}

/// `PATCH /api/radar/packs/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackChange {
    /// Whether its rules run.
    pub enabled: bool,
}

/// When matches raise no alert, `GET /api/radar/exceptions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Id; the server's.
    #[serde(default)]
    pub id: Uuid,
    /// The rule it is for; empty: all rules.
    #[serde(default)]
    pub rule: String,
    /// Fields that must all have these values, upper and lower case alike; `*` stands for any text within one.
    #[serde(default)]
    pub fields: Vec<(String, String)>,
    /// Why.
    pub reason: String,
    /// When it ends; left out, it does not.
    #[serde(default)]
    pub expires_at: Option<Micros>,
    /// Who made it; the server's.
    #[serde(default)]
    pub author: String,
    /// When; the server's.
    #[serde(default)]
    pub created_at: Micros,
}

/// A line that was found, `GET /api/radar/search`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// When it happened.
    pub at: Micros,
    /// When it was received.
    pub received: Micros,
    /// Its place in the queue: a line has its own for ever.
    pub position: u64,
    /// Its message; empty when it has none.
    pub message: String,
    /// As it arrived.
    pub original: String,
    /// Its fields, by name; a name may stand several times.
    pub fields: Vec<(String, String)>,
}

/// A page of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Newest first.
    pub items: Vec<Hit>,
    /// Cursor of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Whether nothing newer than the last line is missing; otherwise time ran out at `reached`.
    pub complete: bool,
    /// Nothing newer than this is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Micros>,
}

/// `GET /api/radar/histogram`: how many lines match, over time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Width of a bar.
    pub step: Micros,
    /// Beginning and lines of each bar, in order; bars without lines are left out.
    pub bars: Vec<(Micros, u64)>,
    /// Whether everything was counted; otherwise nothing is missing after `reached`.
    pub complete: bool,
    /// See `complete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached: Option<Micros>,
}

/// `GET /api/radar/values`: what a field holds in the lines that match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Values {
    /// Values and how many lines have them, most frequent first.
    pub values: Vec<(String, u64)>,
    /// Lines that have the field.
    pub lines: u64,
    /// Whether everything was counted.
    pub complete: bool,
}

/// How dangerous a host or user looks, `GET /api/radar/risk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    /// `host` or `user`.
    pub kind: String,
    /// Which.
    pub name: String,
    /// The score: what its alerts weigh, less the older they are.
    pub score: f64,
    /// Alerts that count.
    pub alerts: u64,
    /// The worst of their severities.
    pub severity: String,
    /// The last of them.
    pub last_at: Micros,
}

/// One way in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// `syslog UDP`, `syslog TCP`, `syslog TLS`, `files`, `journal`, `HTTP`.
    pub name: String,
    /// Its address, or what it follows.
    pub at: String,
}

/// `GET /api/radar/status`. What is counted is since the engine began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadarStatus {
    /// Health.
    pub status: Status,
    /// Ways in that are open.
    pub ways: Vec<Way>,
    /// Messages taken.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages that were longer than allowed; their ends are gone.
    pub cut: u64,
    /// Datagrams that found the queue full and are gone.
    pub dropped: u64,
    /// Datagrams that the kernel dropped before anybody read them.
    pub dropped_by_kernel: u64,
    /// Times a sender was made to wait.
    pub pushed_back: u64,
    /// Connections refused.
    pub refused: u64,
    /// Bytes that wait in the queue, and the bound.
    pub queue: (u64, u64),
    /// Bytes of the queue that damage took.
    pub damaged: u64,
    /// Lines stored and searchable.
    pub stored: u64,
    /// Records that rules were asked about.
    pub asked: u64,
    /// Matches.
    pub matches: u64,
    /// Matches that exceptions kept quiet.
    pub quiet: u64,
    /// Batches that could not be stored at once and were tried again.
    pub failures: u64,
    /// Rules that run.
    pub rules: u64,
    /// Rules that do not, because they are broken.
    pub broken: u64,
}
