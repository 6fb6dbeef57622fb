//! What radar speaks of: rules and what is wrong with them, what they find, and whom to look at first.

pub mod risk;
pub mod sighting;

use std::path::PathBuf;
use std::sync::Arc;

use rsigma_parser::Level;

/// A rule as its matches are shown: the author and the id go wherever a match goes, as rule licences ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The rule's UUID; an empty text where it has none.
    pub id: String,
    /// The name by which correlations may refer to it.
    pub name: Option<String>,
    /// Its title.
    pub title: String,
    /// How severe a match is.
    pub level: Option<Level>,
    /// Who wrote it.
    pub author: Option<String>,
    /// Its tags, `attack.t1059.001` among them.
    pub tags: Vec<String>,
    /// What it finds.
    pub description: Option<String>,
    /// What else it may find.
    pub false_positives: Vec<String>,
    /// Where it is written.
    pub place: Place,
}

/// A line of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Something that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The rule's title or id, as far as it could be read.
    pub rule: Option<String>,
    /// What.
    pub message: String,
    /// Whether the rule runs nevertheless.
    pub runs: bool,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, if self.runs { "warning: " } else { "" })?;
        if let Some(rule) = &self.rule {
            write!(f, "{rule}: ")?;
        }
        f.write_str(&self.message)
    }
}
