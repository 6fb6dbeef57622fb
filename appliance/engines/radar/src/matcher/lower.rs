//! From a parsed rule to an expression over atoms: what each modifier means.
//!
//! Modifiers that rewrite a value (`windash`, `wide`, `base64` …) are applied in the order in which the rule writes
//! them; the one that says how to compare comes last, wherever it is written. What cannot mean anything is refused
//! rather than guessed at.
//!
//! Source: Sigma specification 2.1, appendix "Modifiers", and "Detection".

use regex::RegexBuilder;
use rsigma_parser::{
    ConditionExpr, Detection, DetectionItem, Detections, Modifier, Quantifier, SigmaString, SigmaValue,
};

use super::atom::{AtomId, Check, Eager, Interner, Network, Order, Part, Relation};
use super::expr::Expr;
use super::text::{self, Glob, Pattern, Unit};
use super::{FieldId, literal};

/// A compiled regular expression may take so many bytes; one that would take more is refused.
const REGEX_SIZE: usize = 4 << 20;
/// More spellings of a pattern's dashes than this are not written out but matched as a class.
const SPELLINGS: usize = 125;
/// The field that stands for all of the event's text.
pub(crate) const WORDS: FieldId = 0;

/// Why a rule cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The condition names a detection that the rule does not have.
    #[error("the condition names `{0}`, which is not a detection of the rule")]
    UnknownDetection(String),
    /// A selector of the condition fits no detection.
    #[error("`{0}` in the condition fits no detection of the rule")]
    EmptySelector(String),
    /// Modifiers that contradict each other.
    #[error("modifiers `{0}` and `{1}` exclude each other")]
    Conflict(&'static str, &'static str),
    /// A modifier that has nothing to work on.
    #[error("modifier `{0}` {1}")]
    Modifier(&'static str, &'static str),
    /// A value that its modifiers cannot take.
    #[error("value `{value}` is not {wanted}")]
    Value {
        /// The value as the rule writes it.
        value: String,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// A detection without content.
    #[error("an empty detection matches nothing and everything")]
    Empty,
    /// A regular expression that is wrong, or that is not a regular language (look-around, back-references).
    #[error("regular expression: {0}")]
    Regex(String),
    /// A regular expression that would take too much memory.
    #[error("regular expression `{0}` needs more than {size} MiB", size = REGEX_SIZE >> 20)]
    Explodes(String),
    /// Array blocks are an extension that Sigma 2.1 does not have.
    #[error("array blocks (`field[any]`) are not part of Sigma 2.1")]
    Arrays,
}

/// An error in the detection of this name; `condition` stands for the condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detection}: {error}")]
pub struct DetectionError {
    /// The detection.
    pub detection: String,
    /// What is wrong with it.
    pub error: RuleError,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Operator {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
    Regex,
    Cidr,
    Exists,
    Reference(Relation),
    Ordered(Order),
    Time(Part),
}

#[derive(Debug)]
struct Modifiers {
    operator: Operator,
    named: &'static str,
    rewrites: Vec<Modifier>,
    all: bool,
    cased: bool,
    negated: bool,
    expand: bool,
    flags: [bool; 3],
}

impl Modifiers {
    fn new(modifiers: &[Modifier]) -> Result<Self, RuleError> {
        let mut this = Self {
            operator: Operator::Equals,
            named: "",
            rewrites: Vec::new(),
            all: false,
            cased: false,
            negated: false,
            expand: false,
            flags: [false; 3],
        };
        for &modifier in modifiers {
            match modifier {
                Modifier::All => this.all = true,
                Modifier::Cased => this.cased = true,
                Modifier::Neq => this.negated = true,
                Modifier::Expand => this.expand = true,
                Modifier::IgnoreCase => this.flags[0] = true,
                Modifier::Multiline => this.flags[1] = true,
                Modifier::DotAll => this.flags[2] = true,
                Modifier::Base64
                | Modifier::Base64Offset
                | Modifier::Wide
                | Modifier::Utf16
                | Modifier::Utf16be
                | Modifier::WindAsh => this.rewrites.push(modifier),
                Modifier::Contains => this.compare(Operator::Contains, "contains")?,
                Modifier::StartsWith => this.compare(Operator::StartsWith, "startswith")?,
                Modifier::EndsWith => this.compare(Operator::EndsWith, "endswith")?,
                Modifier::Re => this.compare(Operator::Regex, "re")?,
                Modifier::Cidr => this.compare(Operator::Cidr, "cidr")?,
                Modifier::Exists => this.compare(Operator::Exists, "exists")?,
                Modifier::FieldRef => this.compare(Operator::Reference(Relation::Equals), "fieldref")?,
                Modifier::Gt => this.compare(Operator::Ordered(Order::Gt), "gt")?,
                Modifier::Gte => this.compare(Operator::Ordered(Order::Gte), "gte")?,
                Modifier::Lt => this.compare(Operator::Ordered(Order::Lt), "lt")?,
                Modifier::Lte => this.compare(Operator::Ordered(Order::Lte), "lte")?,
                Modifier::Minute => this.compare(Operator::Time(Part::Minute), "minute")?,
                Modifier::Hour => this.compare(Operator::Time(Part::Hour), "hour")?,
                Modifier::Day => this.compare(Operator::Time(Part::Day), "day")?,
                Modifier::Week => this.compare(Operator::Time(Part::Week), "week")?,
                Modifier::Month => this.compare(Operator::Time(Part::Month), "month")?,
                Modifier::Year => this.compare(Operator::Time(Part::Year), "year")?,
            }
        }
        this.check()
    }

    fn compare(&mut self, operator: Operator, name: &'static str) -> Result<(), RuleError> {
        let relation = match operator {
            Operator::Contains => Some(Relation::Contains),
            Operator::StartsWith => Some(Relation::StartsWith),
            Operator::EndsWith => Some(Relation::EndsWith),
            _ => None,
        };
        self.operator = match (self.operator, relation) {
            (Operator::Equals, _) => operator,
            (Operator::Reference(Relation::Equals), Some(relation)) => Operator::Reference(relation),
            _ => return Err(RuleError::Conflict(self.named, name)),
        };
        self.named = name;
        Ok(())
    }

    fn check(self) -> Result<Self, RuleError> {
        let text =
            matches!(self.operator, Operator::Equals | Operator::Contains | Operator::StartsWith | Operator::EndsWith);
        if let (false, Some(rewrite)) = (text, self.rewrites.first()) {
            return Err(RuleError::Conflict(self.named, name(*rewrite)));
        }
        if self.flags != [false; 3] && self.operator != Operator::Regex {
            return Err(RuleError::Modifier("i, m, s", "belong to `re`"));
        }
        if self.all && matches!(self.operator, Operator::Exists) {
            return Err(RuleError::Conflict("exists", "all"));
        }
        let wide = self
            .rewrites
            .iter()
            .filter(|rewrite| matches!(rewrite, Modifier::Wide | Modifier::Utf16 | Modifier::Utf16be));
        if wide.count() > 1 {
            return Err(RuleError::Modifier("wide, utf16, utf16be", "are encodings of which a value has one"));
        }
        if self.rewrites.contains(&Modifier::Base64) && self.rewrites.contains(&Modifier::Base64Offset) {
            return Err(RuleError::Conflict("base64", "base64offset"));
        }
        Ok(self)
    }
}

fn name(modifier: Modifier) -> &'static str {
    match modifier {
        Modifier::Base64 => "base64",
        Modifier::Base64Offset => "base64offset",
        Modifier::Wide => "wide",
        Modifier::Utf16 => "utf16",
        Modifier::Utf16be => "utf16be",
        _ => "windash",
    }
}

/// Compiles a detection section. `unresolved` receives placeholders that no pipeline gave values to.
pub(crate) fn lower(
    detections: &Detections,
    atoms: &mut Interner,
    unresolved: &mut Vec<String>,
) -> Result<Expr, DetectionError> {
    let mut lowering = Lowering { atoms, unresolved };
    let conditions = detections
        .conditions
        .iter()
        .map(|condition| lowering.condition(condition, detections))
        .collect::<Result<Vec<_>, _>>()?;
    if conditions.is_empty() {
        return Err(DetectionError { detection: "condition".into(), error: RuleError::Empty });
    }
    Ok(any(conditions))
}

fn any(mut of: Vec<Expr>) -> Expr {
    if of.len() == 1 { of.remove(0) } else { Expr::Or(of) }
}

fn every(mut of: Vec<Expr>) -> Expr {
    if of.len() == 1 { of.remove(0) } else { Expr::And(of) }
}

struct Lowering<'a> {
    atoms: &'a mut Interner,
    unresolved: &'a mut Vec<String>,
}

impl Lowering<'_> {
    fn condition(&mut self, condition: &ConditionExpr, rule: &Detections) -> Result<Expr, DetectionError> {
        let mut each = |of: &[ConditionExpr]| -> Result<Vec<Expr>, DetectionError> {
            of.iter().map(|condition| self.condition(condition, rule)).collect()
        };
        let wrong = |error| DetectionError { detection: "condition".into(), error };
        Ok(match condition {
            ConditionExpr::And(of) => every(each(of)?),
            ConditionExpr::Or(of) => any(each(of)?),
            ConditionExpr::Not(of) => Expr::Not(Box::new(self.condition(of, rule)?)),
            ConditionExpr::Identifier(name) => {
                let detection = rule.named.get(name).ok_or_else(|| wrong(RuleError::UnknownDetection(name.clone())))?;
                self.named(name, detection)?
            }
            ConditionExpr::Selector { quantifier, pattern } => {
                let mut names: Vec<&String> =
                    rule.named.keys().filter(|name| pattern.matches_detection_name(name)).collect();
                names.sort();
                if names.is_empty() {
                    return Err(wrong(RuleError::EmptySelector(format!("{quantifier} of {pattern}"))));
                }
                let of =
                    names.into_iter().map(|name| self.named(name, &rule.named[name])).collect::<Result<Vec<_>, _>>()?;
                match quantifier {
                    Quantifier::Any | Quantifier::Count(1) => any(of),
                    Quantifier::All => every(of),
                    Quantifier::Count(count) => Expr::AtLeast(u32::try_from(*count).unwrap_or(u32::MAX), of),
                }
            }
        })
    }

    fn named(&mut self, name: &str, detection: &Detection) -> Result<Expr, DetectionError> {
        self.detection(detection).map_err(|error| DetectionError { detection: name.to_owned(), error })
    }

    fn detection(&mut self, detection: &Detection) -> Result<Expr, RuleError> {
        match detection {
            Detection::AllOf(items) if items.is_empty() => Err(RuleError::Empty),
            Detection::AllOf(items) => {
                items.iter().map(|item| self.item(item)).collect::<Result<Vec<_>, _>>().map(every)
            }
            Detection::AnyOf(of) | Detection::And(of) if of.is_empty() => Err(RuleError::Empty),
            Detection::AnyOf(of) => of.iter().map(|of| self.detection(of)).collect::<Result<Vec<_>, _>>().map(any),
            Detection::And(of) => of.iter().map(|of| self.detection(of)).collect::<Result<Vec<_>, _>>().map(every),
            Detection::Keywords(values) if values.is_empty() => Err(RuleError::Empty),
            Detection::Keywords(values) => {
                let modifiers = Modifiers::new(&[])?;
                let of = values.iter().map(|value| self.value(WORDS, value, &modifiers)).collect::<Result<_, _>>();
                of.map(any)
            }
            Detection::ArrayMatch { .. } | Detection::Conditional { .. } => Err(RuleError::Arrays),
        }
    }

    fn item(&mut self, item: &DetectionItem) -> Result<Expr, RuleError> {
        let modifiers = Modifiers::new(&item.field.modifiers)?;
        let field = match &item.field.name {
            Some(name) => self.atoms.field(&rsigma_parser::fieldpath::unescape_brackets(name)),
            None => WORDS,
        };
        if modifiers.operator == Operator::Exists {
            if field == WORDS {
                return Err(RuleError::Modifier("exists", "needs a field"));
            }
            let wanted = match item.values.as_slice() {
                [SigmaValue::Bool(wanted)] => *wanted,
                [SigmaValue::String(text)] if text.original.eq_ignore_ascii_case("true") => true,
                [SigmaValue::String(text)] if text.original.eq_ignore_ascii_case("false") => false,
                values => return Err(unfit(values.first(), "`true` or `false`")),
            };
            let present = self.eager(field, Eager::Present);
            return Ok(if wanted { present } else { Expr::Not(Box::new(present)) });
        }
        if item.values.is_empty() {
            return Err(RuleError::Empty);
        }
        let of = item.values.iter().map(|value| self.value(field, value, &modifiers)).collect::<Result<Vec<_>, _>>()?;
        let all = if modifiers.all { every(of) } else { any(of) };
        // As pySigma has it: `neq` is no more than the negation, so a field that is not there differs too.
        Ok(if modifiers.negated { Expr::Not(Box::new(all)) } else { all })
    }

    fn value(&mut self, field: FieldId, value: &SigmaValue, modifiers: &Modifiers) -> Result<Expr, RuleError> {
        match modifiers.operator {
            Operator::Regex => self.regex(field, &written(value), modifiers.flags),
            Operator::Cidr => {
                let network = Network::parse(&written(value)).ok_or_else(|| unfit(Some(value), "an IP network"))?;
                self.fielded(field, "cidr")?;
                Ok(self.eager(field, Eager::Cidr(network)))
            }
            Operator::Ordered(order) => {
                let bound = number(value).ok_or_else(|| unfit(Some(value), "a number"))?;
                self.fielded(field, "lt, lte, gt, gte")?;
                Ok(self.eager(field, Eager::Ordered(order, bound.to_bits())))
            }
            Operator::Time(part) => {
                let wanted = number(value).filter(|number| number.fract() == 0.0);
                let wanted = wanted.ok_or_else(|| unfit(Some(value), "a whole number"))? as i64;
                self.fielded(field, "a part of a time")?;
                let guard = self.atoms.eager(field, Eager::Scalar);
                Ok(self.lazy(field, format!("time {part:?} {wanted}"), vec![guard], Check::Time(part, wanted)))
            }
            Operator::Reference(relation) => {
                self.fielded(field, "fieldref")?;
                let SigmaValue::String(other) = value else { return Err(unfit(Some(value), "the name of a field")) };
                let other = other.as_plain().ok_or_else(|| unfit(Some(value), "the name of a field"))?;
                let key = format!("fieldref {relation:?} {} {other}", modifiers.cased);
                let other = self.atoms.field(&other);
                let guard = self.atoms.eager(field, Eager::Scalar);
                // The other field is interned so that it is read; nothing is asked of it beforehand.
                let check = Check::Reference { field: other, relation, cased: modifiers.cased };
                Ok(self.lazy(field, key, vec![guard], check))
            }
            Operator::Exists => Err(RuleError::Conflict("exists", "another operator")),
            Operator::Equals | Operator::Contains | Operator::StartsWith | Operator::EndsWith => {
                self.text(field, value, modifiers)
            }
        }
    }

    fn fielded(&self, field: FieldId, name: &'static str) -> Result<(), RuleError> {
        if field == WORDS { Err(RuleError::Modifier(name, "needs a field")) } else { Ok(()) }
    }

    fn text(&mut self, field: FieldId, value: &SigmaValue, modifiers: &Modifiers) -> Result<Expr, RuleError> {
        let exact = modifiers.operator == Operator::Equals && modifiers.rewrites.is_empty() && field != WORDS;
        let string = match value {
            SigmaValue::Integer(number) if exact => {
                return Ok(self.eager(field, Eager::Number((*number as f64).to_bits())));
            }
            SigmaValue::Float(number) if exact => return Ok(self.eager(field, Eager::Number(number.to_bits()))),
            SigmaValue::Bool(truth) if exact => return Ok(self.eager(field, Eager::Bool(*truth))),
            SigmaValue::Null if exact => return Ok(self.lazy(field, "null".into(), Vec::new(), Check::Null)),
            SigmaValue::Null => return Err(unfit(Some(value), "text")),
            SigmaValue::Integer(_) | SigmaValue::Float(_) | SigmaValue::Bool(_) => {
                SigmaString::from_raw(&written(value))
            }
            SigmaValue::String(string) => string.clone(),
        };
        if modifiers.expand && placeholder(&string.original) {
            self.unresolved.push(string.original.clone());
            return Ok(self.lazy(field, "never".into(), Vec::new(), Check::Never));
        }
        let mut contains = field == WORDS || modifiers.operator == Operator::Contains;
        let mut patterns = vec![text::pattern(&string)];
        for rewrite in &modifiers.rewrites {
            contains |= *rewrite == Modifier::Base64Offset;
            patterns = rewritten(patterns, *rewrite, value)?;
        }
        let mut of = Vec::new();
        for mut pattern in patterns {
            if contains || modifiers.operator == Operator::EndsWith {
                pattern.insert(0, Unit::Many);
            }
            if contains || modifiers.operator == Operator::StartsWith {
                pattern.push(Unit::Many);
            }
            match text::spell_dashes(&pattern, SPELLINGS) {
                Some(spellings) => {
                    of.extend(spellings.into_iter().map(|units| self.pattern(field, units, modifiers.cased)))
                }
                None => of.push(self.pattern(field, pattern, modifiers.cased)),
            }
        }
        Ok(any(of))
    }

    /// The atom of a pattern: an eager one where it has no wildcards but at its ends and case is no matter.
    fn pattern(&mut self, field: FieldId, mut units: Pattern, cased: bool) -> Expr {
        units.dedup_by(|a, b| *a == Unit::Many && *b == Unit::Many);
        let start = usize::from(units.first() == Some(&Unit::Many));
        let end = units.len() - usize::from(units.len() > start && units.last() == Some(&Unit::Many));
        if units == [Unit::Many] {
            return self.eager(field, Eager::Scalar);
        }
        let open = (start > 0, end < units.len());
        if let Some(bytes) = text::plain(&units[start..end]) {
            let folded = text::fold(&bytes);
            let eager = match open {
                (true, true) => Eager::Contains(folded),
                (false, true) => Eager::StartsWith(folded),
                (true, false) => Eager::EndsWith(folded),
                (false, false) => Eager::Equals(folded),
            };
            if !cased {
                return self.eager(field, eager);
            }
            let guard = self.atoms.eager(field, eager);
            return self.lazy(field, format!("cased {units:?}"), vec![guard], Check::CasedGlob(Glob::new(&units)));
        }
        let guard = match Glob::new(&units).literal() {
            Some(literal) => Eager::Contains(text::fold(&literal)),
            None => Eager::Scalar,
        };
        let guard = self.guard(field, guard);
        if cased {
            return self.lazy(field, format!("cased {units:?}"), guard, Check::CasedGlob(Glob::new(&units)));
        }
        let units = fold_units(units);
        self.lazy(field, format!("glob {units:?}"), guard, Check::Glob(Glob::new(&units)))
    }

    fn regex(&mut self, field: FieldId, source: &str, flags: [bool; 3]) -> Result<Expr, RuleError> {
        let [ignore_case, multi_line, dot_all] = flags;
        let regex = RegexBuilder::new(source)
            .case_insensitive(ignore_case)
            .multi_line(multi_line)
            .dot_matches_new_line(dot_all)
            .size_limit(REGEX_SIZE)
            .dfa_size_limit(REGEX_SIZE)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => RuleError::Explodes(source.to_owned()),
                error => RuleError::Regex(first_words(&error.to_string())),
            })?;
        let hir = regex_syntax::ParserBuilder::new()
            .case_insensitive(ignore_case)
            .multi_line(multi_line)
            .dot_matches_new_line(dot_all)
            .build()
            .parse(source)
            .map_err(|error| RuleError::Regex(first_words(&error.to_string())))?;
        let guards = match literal::required(&hir) {
            Some(literals) => {
                literals.into_iter().map(|literal| self.atoms.eager(field, Eager::Contains(literal))).collect()
            }
            None => self.guard(field, Eager::Scalar),
        };
        Ok(self.lazy(field, format!("re {flags:?} {source}"), guards, Check::Regex(regex)))
    }

    /// Words have no presence that could be indexed, so only literals guard there.
    fn guard(&mut self, field: FieldId, eager: Eager) -> Vec<AtomId> {
        if field == WORDS && eager == Eager::Scalar { Vec::new() } else { vec![self.atoms.eager(field, eager)] }
    }

    fn eager(&mut self, field: FieldId, eager: Eager) -> Expr {
        Expr::Atom(self.atoms.eager(field, eager))
    }

    fn lazy(&mut self, field: FieldId, key: String, guards: Vec<AtomId>, check: Check) -> Expr {
        Expr::Atom(self.atoms.lazy(field, key, guards, check))
    }
}

fn rewritten(patterns: Vec<Pattern>, rewrite: Modifier, value: &SigmaValue) -> Result<Vec<Pattern>, RuleError> {
    let bytes = |pattern: &Pattern| text::plain(pattern).ok_or_else(|| unfit(Some(value), "text without wildcards"));
    let units = |bytes: Vec<u8>| bytes.into_iter().map(Unit::Byte).collect::<Pattern>();
    let mut out = Vec::new();
    for pattern in patterns {
        match rewrite {
            Modifier::WindAsh => out.push(text::windash(pattern)),
            Modifier::Base64 => out.push(units(text::base64(&bytes(&pattern)?))),
            Modifier::Base64Offset => out.extend(text::base64_offsets(&bytes(&pattern)?).map(units)),
            _ => {
                let bytes = bytes(&pattern)?;
                let text = std::str::from_utf8(&bytes).map_err(|_| unfit(Some(value), "text"))?;
                out.push(units(match rewrite {
                    Modifier::Utf16be => text::utf16(text, u16::to_be_bytes),
                    // With its mark, in the order of most machines.
                    Modifier::Utf16 => [vec![0xFF, 0xFE], text::utf16(text, u16::to_le_bytes)].concat(),
                    _ => text::utf16(text, u16::to_le_bytes),
                }));
            }
        }
    }
    Ok(out)
}

fn fold_units(units: Pattern) -> Pattern {
    let mut out = Pattern::with_capacity(units.len());
    let mut run = Vec::new();
    for unit in units {
        if let Unit::Byte(byte) = unit {
            run.push(byte);
        } else {
            out.extend(text::fold(&run).into_iter().map(Unit::Byte));
            run.clear();
            out.push(unit);
        }
    }
    out.extend(text::fold(&run).into_iter().map(Unit::Byte));
    out
}

/// Whether text still has a placeholder such as `%admins%`.
fn placeholder(text: &str) -> bool {
    let mut parts = text.split('%');
    parts.next();
    let inner: Vec<&str> = parts.collect();
    inner.len() > 1
        && inner[..inner.len() - 1].iter().any(|name| !name.is_empty() && !name.contains(char::is_whitespace))
}

fn written(value: &SigmaValue) -> String {
    match value {
        SigmaValue::String(text) => text.original.clone(),
        other => other.to_string(),
    }
}

fn number(value: &SigmaValue) -> Option<f64> {
    match value {
        SigmaValue::Integer(number) => Some(*number as f64),
        SigmaValue::Float(number) => Some(*number),
        SigmaValue::String(text) => text.original.parse().ok(),
        SigmaValue::Bool(_) | SigmaValue::Null => None,
    }
}

fn unfit(value: Option<&SigmaValue>, wanted: &'static str) -> RuleError {
    RuleError::Value { value: value.map(written).unwrap_or_default(), wanted }
}

/// The last line of a library's drawing of an error, which is the one that says what is wrong.
fn first_words(message: &str) -> String {
    message.lines().last().unwrap_or(message).trim().trim_start_matches("error: ").to_owned()
}
