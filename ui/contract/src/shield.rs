//! Reports: how they look, when they are made, and those that were.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Micros;

/// How reports look, and whose they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Id.
    pub id: Uuid,
    /// Name, for the list.
    pub name: String,
    /// Headline of the first page.
    pub title: String,
    /// Who sends the report: name of the company that looks after the branch.
    pub sender: String,
    /// Colour of the company, `#rrggbb`.
    pub accent: String,
    /// What stands at the end: how to reach the sender, for instance.
    pub closing: String,
    /// Its logo as a data URL (`data:image/png;base64,…`): PNG, JPEG or SVG.
    pub logo: Option<String>,
}

/// A template as it is sent: the id is the server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTemplate {
    /// Name.
    pub name: String,
    /// Headline.
    pub title: String,
    /// Who sends it.
    pub sender: String,
    /// Colour.
    pub accent: String,
    /// End.
    #[serde(default)]
    pub closing: String,
    /// Logo.
    #[serde(default)]
    pub logo: Option<String>,
}

/// When a report is made by itself: once a week, about the seven days before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Id.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// Template.
    pub template: Uuid,
    /// 1 is Monday, 7 is Sunday.
    pub weekday: u8,
    /// Time of day in the branch's zone, `HH:MM`.
    pub at: String,
    /// Who gets it by mail.
    pub recipients: Vec<String>,
    /// Whether it rests.
    pub paused: bool,
    /// When the next one is made; none while it rests.
    pub next: Option<Micros>,
}

/// A schedule as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSchedule {
    /// Name.
    pub name: String,
    /// Template.
    pub template: Uuid,
    /// Day.
    pub weekday: u8,
    /// Time of day.
    pub at: String,
    /// Who gets it.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// Whether it rests.
    #[serde(default)]
    pub paused: bool,
}

/// A report that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Id.
    pub id: Uuid,
    /// The schedule that made it, or none: somebody asked for it.
    pub schedule: Option<Uuid>,
    /// Headline.
    pub title: String,
    /// About the time from here …
    pub from: Micros,
    /// … up to, and without, here.
    pub to: Micros,
    /// When it was made.
    pub made_at: Micros,
    /// By whom.
    pub made_by: String,
    /// Pages.
    pub pages: u32,
    /// Bytes of the PDF.
    pub bytes: u64,
    /// SHA-256 of the PDF, hex.
    pub sha256: String,
    /// Parts of the box that did not answer, each with the reason.
    pub missing: Vec<String>,
    /// Who gets it by mail.
    pub recipients: Vec<String>,
    /// `none`, `waiting`, `sent` or `failed`.
    pub mail: String,
    /// Why the last attempt to mail it failed.
    pub mail_error: Option<String>,
}

/// Asks for a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewReport {
    /// Template; none is the plain one of every box.
    #[serde(default)]
    pub template: Option<Uuid>,
    /// From; with none, seven whole days up to last midnight in the branch's zone.
    #[serde(default)]
    pub from: Option<Micros>,
    /// To.
    #[serde(default)]
    pub to: Option<Micros>,
    /// Who gets it by mail.
    #[serde(default)]
    pub recipients: Vec<String>,
}
