//! The matcher: thousands of rules asked of an event at once.
//!
//! - Fields that rules name are interned; of an event only those are kept ([`arena`]).
//! - What rules ask is taken apart into atoms, each asked once for all of them ([`atom`]); one index per field answers
//!   its atoms in one walk over each value ([`index`]).
//! - An atom that is hit wakes the rules that cannot match without it; only those are evaluated ([`expr`]), and only
//!   where the event's log source agrees with theirs.
//!
//! A [`RuleSet`] never changes; it is shared between threads and swapped whole. What changes while an event is matched
//! is the [`Scratch`], one to a thread, which grows to the largest event it has seen and then allocates no more.

mod arena;
mod atom;
mod expr;
mod index;
mod literal;
mod lower;
mod text;
mod time;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

pub use arena::EventError;
pub use lower::{DetectionError, RuleError};
use rsigma_parser::{Detections, LogSource};

use crate::model::Rule;
use crate::source::{Lane, Lanes, Routing};
use arena::{Arena, Paths, Plan, Rank, Step, Value};
use atom::{Atom, AtomId, Folded, Interner};
use expr::{Expr, Program};
use index::Index;
use lower::WORDS;

/// The number of a field in its rule set.
pub(crate) type FieldId = u32;

/// Lanes of sources that events tell themselves are kept up to this many.
const TOLD: usize = 256;

/// Rules, compiled together.
#[derive(Debug)]
pub struct RuleSet {
    /// Tells rule sets apart, so that a scratch fits itself to the one it is used with.
    id: u64,
    rules: Vec<Rule>,
    roots: Vec<u32>,
    program: Program,
    atoms: Vec<Atom>,
    indexes: Vec<Index>,
    /// `wakes[atom]..wakes[atom + 1]`: the rules that an atom wakes, in `woken`.
    wakes: Vec<u32>,
    woken: Vec<u32>,
    /// Rules that may match an event that hits nothing.
    always: Vec<u32>,
    paths: Paths,
    lanes: Lanes,
    aliases: HashMap<String, FieldId>,
    channel: FieldId,
    event_id: FieldId,
    told: [FieldId; 3],
}

/// Gathers rules for a [`RuleSet`].
#[derive(Debug, Default)]
pub(crate) struct Builder {
    atoms: Interner,
    rules: Vec<(Rule, LogSource, Expr)>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let mut atoms = Interner::default();
        let words = atoms.field("");
        debug_assert_eq!(words, WORDS);
        Self { atoms, rules: Vec::new() }
    }

    /// Compiles a detection; `unresolved` receives placeholders without values.
    pub(crate) fn lower(&mut self, of: &Detections, unresolved: &mut Vec<String>) -> Result<Expr, DetectionError> {
        lower::lower(of, &mut self.atoms, unresolved)
    }

    /// Adds a rule that matches where all of `parts` hold.
    pub(crate) fn add(&mut self, rule: Rule, source: LogSource, parts: Vec<Expr>) {
        let (expr, _) = expr::arrange(Expr::And(parts), &self.atoms);
        self.rules.push((rule, source, expr));
    }

    /// Compiles the rules together.
    ///
    /// # Errors
    /// Where all patterns of a field together are more than an automaton can hold.
    pub(crate) fn finish(mut self) -> Result<RuleSet, aho_corasick::BuildError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let channel = self.atoms.field("Channel");
        let event_id = self.atoms.field("EventID");
        let told = ["product", "category", "service"].map(|name| self.atoms.field(name));
        let mut aliases = HashMap::new();
        for (rule, event) in Lanes::fields() {
            for name in [rule, event] {
                aliases.insert(name.to_owned(), self.atoms.field(name));
            }
        }
        let mut program = Program::default();
        let (mut roots, mut always) = (Vec::new(), Vec::new());
        let mut waking: Vec<Vec<u32>> = vec![Vec::new(); self.atoms.atoms.len()];
        for (number, (_, _, expr)) in self.rules.iter().enumerate() {
            roots.push(program.push(expr));
            match expr::necessary(expr, &self.atoms) {
                Some((set, _)) => set.into_iter().for_each(|atom| waking[atom as usize].push(number as u32)),
                None => always.push(number as u32),
            }
        }
        let (mut wakes, mut woken) = (vec![0], Vec::new());
        for rules in waking {
            woken.extend(rules);
            wakes.push(woken.len() as u32);
        }
        let wordy: Vec<bool> = self.rules.iter().map(|(_, _, expr)| asks_words(expr, &self.atoms)).collect();
        let (rules, sources): (Vec<_>, Vec<_>) = self.rules.into_iter().map(|(rule, source, _)| (rule, source)).unzip();
        let mut by_field: Vec<Vec<(AtomId, &atom::Eager)>> = vec![Vec::new(); self.atoms.fields.len()];
        for (id, atom) in self.atoms.atoms.iter().enumerate() {
            if let Atom::Eager(field, eager) = atom {
                by_field[*field as usize].push((id as AtomId, eager));
            }
        }
        let indexes = by_field.into_iter().map(|atoms| Index::new(atoms.into_iter())).collect::<Result<_, _>>()?;
        Ok(RuleSet {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            roots,
            program,
            indexes,
            wakes,
            woken,
            always,
            paths: paths(&self.atoms.fields),
            lanes: Lanes::new(sources, |rule| wordy[rule]),
            aliases,
            channel,
            event_id,
            told,
            atoms: self.atoms.atoms,
            rules,
        })
    }
}

fn asks_words(expr: &Expr, atoms: &Interner) -> bool {
    match expr {
        Expr::Atom(atom) => match &atoms.atoms[*atom as usize] {
            Atom::Eager(field, _) => *field == WORDS,
            Atom::Lazy(lazy) => lazy.field == WORDS,
        },
        Expr::Not(of) => asks_words(of, atoms),
        Expr::And(of) | Expr::Or(of) | Expr::AtLeast(_, of) => of.iter().any(|of| asks_words(of, atoms)),
    }
}

/// Where Windows events keep their fields, nearest first: EVTX turned into JSON, and Winlogbeat.
const MOUNTS: [(&[Step<'static>], Rank); 6] = [
    (&[Step::Key("Event"), Step::Key("EventData")], 2),
    (&[Step::Key("winlog"), Step::Key("event_data")], 2),
    (&[Step::Key("Event"), Step::Key("UserData"), Step::Any], 3),
    (&[Step::Key("winlog"), Step::Key("user_data")], 3),
    (&[Step::Key("Event"), Step::Key("System")], 4),
    (&[Step::Key("Event"), Step::Key("UserData")], 5),
];
/// What Winlogbeat calls the fields of `System`.
const WINLOG: [(&str, &str); 5] = [
    ("EventID", "event_id"),
    ("Channel", "channel"),
    ("Provider_Name", "provider_name"),
    ("Computer", "computer_name"),
    ("EventRecordID", "record_id"),
];

fn paths(fields: &[String]) -> Paths {
    let mut plan = Plan::new();
    for (field, name) in fields.iter().enumerate().skip(1) {
        let field = field as FieldId;
        let segments: Vec<Step<'_>> = name.split('.').map(Step::Key).collect();
        // A key that is written with its dots comes before the path of the same name.
        plan.add(&[Step::Key(name)], field, 0);
        if segments.len() > 1 {
            plan.add(&segments, field, 1);
        }
        for (mount, rank) in MOUNTS {
            let at: Vec<Step<'_>> = mount.iter().chain(&segments).copied().collect();
            plan.add(&at, field, rank);
            // `<Data Qualifiers="">4624</Data>`: an element with attributes keeps its text beside them.
            let text: Vec<Step<'_>> = at.iter().copied().chain([Step::Key("#text")]).collect();
            plan.add(&text, field, rank);
        }
        // `Provider_Name` is the attribute `Name` of the element `Provider`.
        if let Some((element, attribute)) = name.split_once('_') {
            let at = ["Event", "System", element, "#attributes", attribute].map(Step::Key);
            plan.add(&at, field, 4);
        }
        if let Some((_, key)) = WINLOG.iter().find(|(known, _)| known == name) {
            plan.add(&[Step::Key("winlog"), Step::Key(key)], field, 4);
        }
    }
    plan.finish(fields.len())
}

/// What a thread needs to match events: buffers, and the answers for the event at hand.
#[derive(Debug, Default)]
pub struct Scratch {
    set: u64,
    arena: Arena,
    answers: Answers,
    folded: Vec<u8>,
    key: Vec<u8>,
    told: HashMap<Vec<u8>, Lane>,
    matches: Vec<u32>,
}

#[derive(Debug, Default)]
struct Answers {
    /// Twice the ordinal of the event.
    epoch: u32,
    /// By atom: `epoch` where it was found false of this event, `epoch + 1` where true.
    atoms: Vec<u32>,
    /// By rule: `epoch` where this event woke it.
    rules: Vec<u32>,
    awake: Vec<u32>,
    folded: Folded,
}

impl Answers {
    fn begin(&mut self, set: &RuleSet) {
        self.awake.clear();
        if self.epoch >= u32::MAX - 3 || self.atoms.len() != set.atoms.len() || self.rules.len() != set.rules.len() {
            self.atoms.clear();
            self.atoms.resize(set.atoms.len(), 0);
            self.rules.clear();
            self.rules.resize(set.rules.len(), 0);
            self.epoch = 0;
        }
        self.epoch += 2;
    }

    #[inline]
    fn hit(&mut self, set: &RuleSet, lane: &Lane, atom: AtomId) {
        let answer = &mut self.atoms[atom as usize];
        if *answer == self.epoch + 1 {
            return;
        }
        *answer = self.epoch + 1;
        let range = set.wakes[atom as usize] as usize..set.wakes[atom as usize + 1] as usize;
        for &rule in &set.woken[range] {
            self.wake(lane, rule);
        }
    }

    #[inline]
    fn wake(&mut self, lane: &Lane, rule: u32) {
        if self.rules[rule as usize] != self.epoch && lane.mask.has(rule) {
            self.rules[rule as usize] = self.epoch;
            self.awake.push(rule);
        }
    }

    fn truth(&mut self, set: &RuleSet, arena: &Arena, event: &[u8], atom: AtomId) -> bool {
        let answer = self.atoms[atom as usize];
        if answer >= self.epoch {
            return answer > self.epoch;
        }
        let Atom::Lazy(lazy) = &set.atoms[atom as usize] else {
            return false;
        };
        let met = lazy.guards.is_empty() || lazy.guards.iter().any(|&guard| self.atoms[guard as usize] > self.epoch);
        let holds = met && lazy.holds(arena, event, lazy.field == WORDS, &mut self.folded);
        self.atoms[atom as usize] = self.epoch + u32::from(holds);
        holds
    }
}

impl RuleSet {
    /// The rules, in the order in which matches number them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How many rules any event may match without hitting anything they ask for.
    pub fn unindexed(&self) -> usize {
        self.always.len()
    }

    /// How many different questions the rules ask.
    pub fn atoms(&self) -> usize {
        self.atoms.len()
    }

    /// Bytes that the automata and tries take.
    pub fn memory(&self) -> usize {
        self.indexes.iter().map(Index::memory).sum()
    }

    /// The rules that match `event`, an object in JSON; their numbers in ascending order.
    ///
    /// # Errors
    /// Where `event` cannot be read as JSON.
    pub fn matches<'s>(
        &self,
        event: &[u8],
        routing: Routing,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u32], EventError> {
        self.fit(scratch);
        // Whether keywords are asked for is known only once the source is; where any rule of the set asks, text is kept.
        scratch.arena.read(&self.paths, event, self.lanes.all.words)?;
        self.route(event, routing, scratch);
        Ok(&scratch.matches)
    }

    /// The rules that match `event`, be it an object in JSON or, where it does not begin as one, a line of text.
    ///
    /// # Errors
    /// Where `event` begins as an object but cannot be read as one, or is not UTF-8.
    pub fn matches_any<'s>(
        &self,
        event: &[u8],
        routing: Routing,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [u32], EventError> {
        if event.trim_ascii_start().first() == Some(&b'{') {
            self.matches(event, routing, scratch)
        } else {
            self.matches_line(event, scratch)
        }
    }

    /// The rules that match a line of text that has no fields.
    ///
    /// # Errors
    /// Where `line` is not UTF-8.
    pub fn matches_line<'s>(&self, line: &[u8], scratch: &'s mut Scratch) -> Result<&'s [u32], EventError> {
        self.fit(scratch);
        scratch.arena.read_line(&self.paths, line)?;
        self.run(line, &self.lanes.all, &scratch.arena, &mut scratch.answers, &mut scratch.folded);
        self.collect(&mut scratch.answers, &scratch.arena, line, &mut scratch.matches);
        Ok(&scratch.matches)
    }

    fn fit(&self, scratch: &mut Scratch) {
        if scratch.set != self.id {
            *scratch = Scratch { set: self.id, ..Scratch::default() };
        }
    }

    fn route(&self, event: &[u8], routing: Routing, scratch: &mut Scratch) {
        let Scratch { arena, answers, folded, key, told, matches, .. } = scratch;
        let lane = match routing {
            Routing::None => &self.lanes.all,
            Routing::Channel => {
                let channel = arena.values(self.channel).find_map(|value| match value {
                    Value::Text(span) => Some(span),
                    _ => None,
                });
                let id = arena.values(self.event_id).find_map(|value| match value {
                    Value::Number(number, _) => Some(number as i64),
                    Value::Text(span) => std::str::from_utf8(arena.text(event, span)).ok()?.parse().ok(),
                    _ => None,
                });
                match channel {
                    Some(channel) => self.lanes.windows(arena.text(event, channel), id, folded),
                    None => &self.lanes.all,
                }
            }
            Routing::Fields => {
                key.clear();
                for field in self.told {
                    let text = arena.values(field).find_map(|value| atom::scalar(arena, event, value));
                    key.extend_from_slice(text.unwrap_or_default());
                    key.push(0);
                }
                if !told.contains_key(key.as_slice()) {
                    if told.len() == TOLD {
                        told.clear();
                    }
                    let mut parts = key
                        .split(|byte| *byte == 0)
                        .map(|part| std::str::from_utf8(part).ok().map(str::trim).filter(|part| !part.is_empty()));
                    let [product, category, service] = [(); 3].map(|()| parts.next().flatten());
                    told.insert(key.clone(), self.lanes.told(product, category, service));
                }
                &told[key.as_slice()]
            }
        };
        for (rule, own) in &lane.fields {
            if let (Some(&rule), Some(&own)) = (self.aliases.get(rule), self.aliases.get(own)) {
                arena.alias(rule, own);
            }
        }
        self.run(event, lane, arena, answers, folded);
        self.collect(answers, arena, event, matches);
    }

    fn run(&self, event: &[u8], lane: &Lane, arena: &Arena, answers: &mut Answers, folded: &mut Vec<u8>) {
        answers.begin(self);
        for &rule in &self.always {
            answers.wake(lane, rule);
        }
        for &field in &arena.touched {
            let index = &self.indexes[field as usize];
            for value in arena.values(field) {
                index.value(arena, event, value, folded, &mut |atom| answers.hit(self, lane, atom));
            }
        }
        if lane.words {
            for &word in &arena.words {
                self.indexes[WORDS as usize]
                    .word(arena, event, word, folded, &mut |atom| answers.hit(self, lane, atom));
            }
        }
    }

    fn collect(&self, answers: &mut Answers, arena: &Arena, event: &[u8], matches: &mut Vec<u32>) {
        matches.clear();
        let mut awake = std::mem::take(&mut answers.awake);
        for &rule in &awake {
            let root = self.roots[rule as usize];
            if self.program.eval(root, &mut |atom| answers.truth(self, arena, event, atom)) {
                matches.push(rule);
            }
        }
        awake.clear();
        answers.awake = awake;
        matches.sort_unstable();
    }
}
