//! Rule files: read, given to pipelines and filters, compiled. What is broken is named with its file and line, and the
//! rest runs.
//!
//! The parser reports what is wrong, seldom where. Documents are therefore cut apart here, parsed one by one, and the
//! line is that of the word the message speaks of, or of the document's first line.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rsigma_eval::pipeline::{
    Pipeline, apply_pipelines, apply_pipelines_to_correlation, merge_pipelines, parse_pipeline,
};
use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, Detections, FilterRule,
    FilterRuleTarget, LogSource, SigmaCollection, SigmaRule, parse_sigma_yaml,
};

use crate::matcher::{Builder, DetectionError, RuleSet};
use crate::model::{Fault, Place, Rule};

/// A larger rule file is refused.
const LARGEST: u64 = 4 << 20;

/// Why nothing could be loaded at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory could not be read.
    #[error("{path}: {error}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A pipeline is not one.
    #[error("{path}: {message}", path = path.display())]
    Pipeline {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// All patterns together are too many.
    #[error("the rules hold more patterns than an automaton can: {0}")]
    Automaton(#[from] aho_corasick::BuildError),
}

/// Rules that run, and what is wrong with the others.
#[derive(Debug)]
pub struct Loaded {
    /// The compiled detection rules.
    pub rules: RuleSet,
    /// The correlation rules, as pipelines left them.
    pub correlations: Vec<(CorrelationRule, Place)>,
    /// Everything that is wrong, by place.
    pub faults: Vec<Fault>,
    /// How many documents were read, broken ones among them.
    pub documents: usize,
}

impl Loaded {
    /// No rules at all.
    pub fn none() -> Self {
        let rules = Builder::new().finish().expect("an automaton without patterns can be built");
        Self { rules, correlations: Vec::new(), faults: Vec::new(), documents: 0 }
    }
}

/// Reads pipelines in pySigma's format, by priority.
///
/// # Errors
/// Where one cannot be read.
pub fn pipelines(paths: &[PathBuf]) -> Result<Vec<Pipeline>, LoadError> {
    let mut pipelines = paths
        .iter()
        .map(|path| {
            let text = read(path)?;
            parse_pipeline(&text)
                .map_err(|error| LoadError::Pipeline { path: path.clone(), message: error.to_string() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    merge_pipelines(&mut pipelines);
    Ok(pipelines)
}

/// Loads every rule file (`.yml`, `.yaml`) under `paths`.
///
/// # Errors
/// Where a path cannot be read, or where the rules cannot be compiled together.
pub fn load(paths: &[PathBuf], pipelines: &[Pipeline]) -> Result<Loaded, LoadError> {
    let mut files = Vec::new();
    for path in paths {
        find(path, true, &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut documents = Documents::default();
    for file in files {
        match read(&file) {
            Ok(text) => documents.parse(&Arc::new(file), &text),
            Err(LoadError::Read { path, error }) => {
                let place = Place { file: Arc::new(path), line: 1 };
                documents.faults.push(Fault { place, rule: None, message: error.to_string(), runs: false });
            }
            Err(error) => return Err(error),
        }
    }
    documents.compile(pipelines)
}

/// Loads rules from text, as if it stood in `file`.
///
/// # Errors
/// Where the rules cannot be compiled together.
pub fn load_text(file: &Path, text: &str, pipelines: &[Pipeline]) -> Result<Loaded, LoadError> {
    let mut documents = Documents::default();
    documents.parse(&Arc::new(file.to_owned()), text);
    documents.compile(pipelines)
}

fn read(path: &Path) -> Result<String, LoadError> {
    let wrong = |error| LoadError::Read { path: path.to_owned(), error };
    let metadata = std::fs::metadata(path).map_err(wrong)?;
    if metadata.len() > LARGEST {
        return Err(wrong(std::io::Error::other(format!("larger than {} MiB", LARGEST >> 20))));
    }
    std::fs::read_to_string(path).map_err(wrong)
}

fn find(path: &Path, named: bool, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    let wrong = |error| LoadError::Read { path: path.to_owned(), error };
    if !std::fs::metadata(path).map_err(wrong)?.is_dir() {
        if named || path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        find(&entry.map_err(wrong)?.path(), false, files)?;
    }
    Ok(())
}

/// A document's text and where it begins.
#[derive(Debug, Clone)]
struct Source {
    file: Arc<PathBuf>,
    first: u32,
    text: Arc<str>,
}

impl Source {
    fn place(&self, line: u32) -> Place {
        Place { file: self.file.clone(), line: self.first + line }
    }

    /// The line (from 0) of what a message speaks of.
    fn locate(&self, message: &str) -> u32 {
        if let Some(line) = yaml_line(message) {
            return line;
        }
        let lower = message.to_ascii_lowercase();
        for word in quoted(message) {
            // A modifier, a key, a value: in that order, for a modifier's name may well stand in a description.
            for needle in [format!("|{word}"), format!("{word}:"), word.to_owned()] {
                if let Some(line) = self.text.lines().position(|line| line.contains(&needle)) {
                    return line as u32;
                }
            }
        }
        for key in ["condition", "timespan", "correlation", "logsource", "detection", "filter"] {
            if lower.contains(key)
                && let Some(line) = self.key(key)
            {
                return line;
            }
        }
        self.start()
    }

    /// The line of a key.
    fn key(&self, key: &str) -> Option<u32> {
        let line = self.text.lines().position(|line| {
            line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(':'))
        });
        line.map(|line| line as u32)
    }

    /// The line of a rule's title, or the first that says anything.
    fn start(&self) -> u32 {
        self.key("title").unwrap_or_else(|| {
            let says = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with(['#', '-']);
            self.text.lines().position(says).unwrap_or(0) as u32
        })
    }

    fn title(&self) -> Option<String> {
        let line = self.text.lines().find_map(|line| line.strip_prefix("title:"))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned())
    }
}

/// The line that a YAML error names, from 0.
fn yaml_line(message: &str) -> Option<u32> {
    let digits: String = message.split("at line ").nth(1)?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u32>().ok()?.checked_sub(1)
}

/// The words that a message puts into quotes of either kind.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    ['\'', '`'].into_iter().flat_map(|quote| message.split(quote).skip(1).step_by(2)).filter(|word| word.len() > 1)
}

#[derive(Debug, Default)]
struct Documents {
    rules: Vec<(SigmaRule, Source)>,
    correlations: Vec<(CorrelationRule, Source)>,
    filters: Vec<(FilterRule, Source)>,
    faults: Vec<Fault>,
    count: usize,
}

impl Documents {
    fn parse(&mut self, file: &Arc<PathBuf>, text: &str) {
        // `action: global` and its kin join documents: such a file is parsed in one piece.
        let joined = text.lines().any(|line| line.starts_with("action:"));
        let mut first = 1;
        let mut rest = text;
        while !rest.is_empty() {
            let end = if joined { rest.len() } else { document_end(rest) };
            let (document, after) = rest.split_at(end);
            let lines = document.matches('\n').count() as u32;
            if document.lines().any(|line| !matches!(line.trim(), "" | "---" | "...") && !line.starts_with('#')) {
                let source = Source { file: file.clone(), first, text: document.into() };
                self.document(source);
            }
            first += lines;
            rest = after;
        }
    }

    fn document(&mut self, source: Source) {
        self.count += 1;
        let parsed = match parse_sigma_yaml(&source.text) {
            Ok(parsed) => parsed,
            Err(error) => SigmaCollection { errors: vec![error.to_string()], ..SigmaCollection::new() },
        };
        let runs = !parsed.is_empty();
        for message in &parsed.errors {
            let place = source.place(source.locate(message));
            self.faults.push(Fault { place, rule: source.title(), message: message.clone(), runs });
        }
        self.rules.extend(parsed.rules.into_iter().map(|rule| (rule, source.clone())));
        self.correlations.extend(parsed.correlations.into_iter().map(|rule| (rule, source.clone())));
        self.filters.extend(parsed.filters.into_iter().map(|rule| (rule, source.clone())));
    }

    fn compile(mut self, pipelines: &[Pipeline]) -> Result<Loaded, LoadError> {
        let mut builder = Builder::new();
        let mut known = HashMap::new();
        let mut used = HashSet::new();
        for (rule, source) in std::mem::take(&mut self.rules) {
            if let Some(id) = &rule.id
                && let Some(first) = known.insert(id.clone(), source.place(source.start()))
            {
                self.warn(&source, &rule.title, format!("id `{id}` is also that of {first}"));
            }
            if let Err((line, message)) = self.rule(&rule, &source, pipelines, &mut builder, &mut used) {
                let place = source.place(line);
                self.faults.push(Fault { place, rule: Some(rule.title.clone()), message, runs: false });
            }
        }
        let filters = std::mem::take(&mut self.filters);
        for (number, (filter, source)) in filters.iter().enumerate() {
            if !used.contains(&number) {
                self.warn(source, &filter.title, "the filter applies to no rule".to_owned());
            }
        }
        let mut correlations = Vec::new();
        for (mut correlation, source) in std::mem::take(&mut self.correlations) {
            match apply_pipelines_to_correlation(pipelines, &mut correlation) {
                Ok(_) => {
                    complete(&mut correlation, source.key("condition").is_some());
                    correlations.push((correlation, source.place(source.start())));
                }
                Err(error) => {
                    let place = source.place(source.start());
                    let (rule, message) = (Some(correlation.title), error.to_string());
                    self.faults.push(Fault { place, rule, message, runs: false });
                }
            }
        }
        self.faults.sort_by(|a, b| a.place.cmp(&b.place));
        Ok(Loaded { rules: builder.finish()?, correlations, faults: self.faults, documents: self.count })
    }

    fn rule(
        &mut self,
        rule: &SigmaRule,
        source: &Source,
        pipelines: &[Pipeline],
        builder: &mut Builder,
        used: &mut HashSet<usize>,
    ) -> Result<(), (u32, String)> {
        let mut mapped = rule.clone();
        apply_pipelines(pipelines, &mut mapped).map_err(|error| (source.start(), error.to_string()))?;
        let at = |source: &Source, error: &DetectionError| source.key(&error.detection).unwrap_or(source.start());
        let mut unresolved = Vec::new();
        let own = builder
            .lower(&mapped.detection, &mut unresolved)
            .map_err(|error| (at(source, &error), error.to_string()))?;
        let mut parts = vec![own];
        for (number, (filter, _)) in self.filters.iter().enumerate() {
            if !concerns(filter, rule) {
                continue;
            }
            used.insert(number);
            let detection = through(filter, &mapped, rule, pipelines).map_err(|message| (source.start(), message))?;
            let part = builder
                .lower(&detection, &mut unresolved)
                .map_err(|error| (source.start(), format!("filter `{}`: {error}", filter.title)))?;
            parts.push(part);
        }
        for text in unresolved {
            self.warn(source, &rule.title, format!("no pipeline gives the placeholders in `{text}` values"));
        }
        let described = Rule {
            id: rule.id.clone().unwrap_or_default(),
            name: rule.name.clone(),
            title: rule.title.clone(),
            level: rule.level,
            author: rule.author.clone(),
            tags: rule.tags.clone(),
            description: rule.description.clone(),
            false_positives: rule.falsepositives.clone(),
            place: source.place(source.start()),
        };
        builder.add(described, mapped.logsource, parts);
        Ok(())
    }

    fn warn(&mut self, source: &Source, rule: &str, message: String) {
        let place = source.place(source.locate(&message));
        self.faults.push(Fault { place, rule: Some(rule.to_owned()), message, runs: true });
    }
}

/// Without a condition a temporal correlation wants all of its rules; the parser has it want any.
fn complete(correlation: &mut CorrelationRule, conditional: bool) {
    let temporal = matches!(correlation.correlation_type, CorrelationType::Temporal | CorrelationType::TemporalOrdered);
    if temporal && !conditional {
        correlation.condition = CorrelationCondition::Threshold {
            predicates: vec![(ConditionOperator::Gte, correlation.rules.len() as u64)],
            field: None,
            percentile: None,
        };
    }
}

/// Where the first document of `text` ends: before the next line that is `---`.
fn document_end(text: &str) -> usize {
    let mut at = text.find('\n').map_or(text.len(), |line| line + 1);
    while at < text.len() {
        let line = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
        if text[at..line].trim_end() == "---" || text[at..line].starts_with("--- ") {
            return at;
        }
        at = line;
    }
    at
}

/// Whether a filter speaks of a rule: by its log source, and by name where it names any.
fn concerns(filter: &FilterRule, rule: &SigmaRule) -> bool {
    let within = |filter: &Option<String>, rule: &Option<String>| match (filter, rule) {
        (None, _) => true,
        (Some(filter), Some(rule)) => filter.eq_ignore_ascii_case(rule),
        (Some(_), None) => false,
    };
    let source = filter.logsource.as_ref().is_none_or(|filter| {
        within(&filter.category, &rule.logsource.category)
            && within(&filter.product, &rule.logsource.product)
            && within(&filter.service, &rule.logsource.service)
    });
    source
        && match &filter.rules {
            FilterRuleTarget::Any => true,
            FilterRuleTarget::Specific(rules) => rules.iter().any(|wanted| {
                rule.id.as_ref() == Some(wanted) || rule.name.as_ref() == Some(wanted) || rule.title == *wanted
            }),
        }
}

/// A filter's detection as the pipelines map it for the rule it filters.
fn through(
    filter: &FilterRule,
    mapped: &SigmaRule,
    rule: &SigmaRule,
    pipelines: &[Pipeline],
) -> Result<Detections, String> {
    let logsource: LogSource = rule.logsource.clone();
    let mut carrier = SigmaRule { detection: filter.detection.clone(), logsource, ..mapped.clone() };
    apply_pipelines(pipelines, &mut carrier).map_err(|error| format!("filter `{}`: {error}", filter.title))?;
    Ok(carrier.detection)
}
