//! Watches every series that a rule is about.
//!
//! The evaluator holds the machines ([`crate::model::alert`]) of all rules and series and turns points and the time into
//! [`Outcome`]s. It does no IO: whoever drives it writes the outcomes and what the machines remember in one transaction,
//! and hands the outcomes in again when that failed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sent_contract::{
    Uuid,
    pulse::{Rule, Silence},
};
use sent_protocol::{series::Labels, telemetry::Point};

use crate::{
    model::{
        SECOND,
        alert::{Condition, Context, Effect, Input, Machine, Open, Terms},
        rule,
    },
    recorder::Known,
};

/// A series that was quiet for so long is gone: its alert ends, and a dead-man does not start to watch it.
pub const GONE: i64 = 86_400 * SECOND;
/// When the time jumps further than this between two ticks the box was not watching.
const JUMP: i64 = 60 * SECOND;

/// Something to be written.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule as it was.
    pub rule: Arc<Rule>,
    /// The series.
    pub series: u64,
    /// Its labels.
    pub labels: Labels,
    /// What happens.
    pub effect: Effect,
}

/// What a machine remembers, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Rule.
    pub rule: Uuid,
    /// Series.
    pub series: u64,
    /// Labels of the series.
    pub labels: Labels,
    /// The machine; `None` when nothing has to be remembered any more.
    pub machine: Option<Machine>,
}

struct Watch {
    machine: Machine,
    labels: Labels,
    stored: Option<Machine>,
}

/// All rules' eyes.
#[derive(Default)]
pub struct Evaluator {
    rules: HashMap<Uuid, (Arc<Rule>, Terms)>,
    silences: Vec<Silence>,
    /// The rules about each series that was seen.
    about: HashMap<u64, Vec<Uuid>>,
    watches: HashMap<(Uuid, u64), Watch>,
    ticked: Option<i64>,
    outcomes: Vec<Outcome>,
    /// Memories whose stored form is known to be out of date, with their labels.
    stale: HashMap<(Uuid, u64), Labels>,
}

impl Evaluator {
    /// Goes on where the box stopped. `rules` are those there are now; `open` are the alerts that are open in the store,
    /// with whether somebody had acknowledged them. A machine whose rule or alert is gone starts anew.
    pub fn restore(kept: Vec<Kept>, rules: &[Rule], open: &HashMap<Uuid, bool>, now: i64) -> Self {
        let mut evaluator = Self::default();
        for Kept { rule, series, labels, machine } in kept {
            let machine = machine.filter(|_| rules.iter().any(|one| one.id == rule && !one.paused));
            let Some(mut machine) = machine else {
                evaluator.stale.insert((rule, series), labels);
                continue;
            };
            let stored = Some(machine.clone());
            match machine.open().map(|alert| open.get(&alert.alert)) {
                Some(None) => {
                    evaluator.stale.insert((rule, series), labels);
                    continue;
                }
                Some(Some(true)) => machine.acknowledge(),
                _ => {}
            }
            machine.resume(now);
            evaluator.watches.insert((rule, series), Watch { machine, labels, stored });
        }
        evaluator
    }

    /// The rules from now on. Alerts of rules that are gone, paused or about something else now are over.
    pub fn set_rules(&mut self, rules: Vec<Rule>, known: &[Known], fresh: &mut dyn FnMut() -> Uuid, now: i64) {
        let wanted: HashMap<Uuid, (Arc<Rule>, Terms)> = rules
            .into_iter()
            .filter(|rule| !rule.paused)
            .filter_map(|rule| rule::terms(&rule).map(|terms| (rule.id, (Arc::new(rule), terms))))
            .collect();
        let same = |old: &(Arc<Rule>, Terms), new: &(Arc<Rule>, Terms)| {
            old.0.metric == new.0.metric && old.0.labels == new.0.labels && old.1.condition == new.1.condition
        };
        let retired: HashSet<Uuid> = self
            .watches
            .keys()
            .map(|(rule, _)| *rule)
            .filter(|id| match (self.rules.get(id), wanted.get(id)) {
                (Some(old), Some(new)) => !same(old, new),
                (None, Some(_)) => false,
                (_, None) => true,
            })
            .collect();
        // A machine that was restored belongs to a rule that is not among `self.rules` yet.
        for (id, rule) in &wanted {
            self.rules.entry(*id).or_insert_with(|| rule.clone());
        }
        let keys: Vec<(Uuid, u64)> = self.watches.keys().filter(|(rule, _)| retired.contains(rule)).copied().collect();
        for key in keys {
            self.step(key, Input::Retire, fresh(), now);
            self.unwatch(key);
        }
        self.rules = wanted;
        self.about.clear();
        for one in known.iter().filter(|one| one.last_at.is_some_and(|at| now - at < GONE)) {
            self.meet(one, now);
        }
        let waiting: Vec<(Uuid, u64, Labels)> = self
            .rules
            .values()
            .filter(|(_, terms)| terms.condition == Condition::Absent)
            .filter(|(rule, _)| !self.watches.keys().any(|(id, _)| *id == rule.id))
            .map(|(rule, _)| (rule.id, rule::placeholder(rule), rule.labels.clone()))
            .collect();
        for (id, series, labels) in waiting {
            self.watches.insert((id, series), Watch { machine: Machine::new(now), labels, stored: None });
        }
    }

    /// The silences from now on.
    pub fn set_silences(&mut self, silences: Vec<Silence>) {
        self.silences = silences;
    }

    /// Takes points; `find` says what a series is.
    pub fn points(
        &mut self,
        points: &[Point],
        find: impl Fn(u64) -> Option<Known>,
        fresh: &mut dyn FnMut() -> Uuid,
        now: i64,
    ) {
        for point in points {
            if !self.about.contains_key(&point.series) {
                let Some(known) = find(point.series) else { continue };
                self.meet(&known, now);
            }
            let Some(rules) = self.about.get(&point.series).filter(|rules| !rules.is_empty()) else { continue };
            for id in rules.clone() {
                let key = (id, point.series);
                if !self.watches.contains_key(&key) {
                    // Nothing has to be remembered of a series that is well.
                    let Some((_, terms)) = self.rules.get(&id) else { continue };
                    if terms.condition != Condition::Absent && !terms.beyond(point.value) {
                        continue;
                    }
                    let Some(known) = find(point.series) else { continue };
                    let labels = known.definition.labels.clone();
                    self.watches.insert(key, Watch { machine: Machine::default(), labels, stored: None });
                }
                self.step(key, Input::Point { at: point.at, value: point.value }, fresh(), now);
            }
        }
    }

    /// Lets the time pass.
    pub fn tick(&mut self, fresh: &mut dyn FnMut() -> Uuid, now: i64) {
        let before = self.ticked.replace(now);
        if before.is_some_and(|before| now - before > JUMP) {
            self.watches.values_mut().for_each(|watch| watch.machine.resume(now));
        }
        let keys: Vec<(Uuid, u64)> = self.watches.keys().copied().collect();
        for key in keys {
            let Some((_, terms)) = self.rules.get(&key.0) else { continue };
            let condition = terms.condition;
            let Some(watch) = self.watches.get(&key) else { continue };
            let gone = condition != Condition::Absent && watch.machine.seen().is_some_and(|seen| now - seen > GONE);
            self.step(key, if gone { Input::Retire } else { Input::Tick }, fresh(), now);
        }
    }

    /// Somebody takes care of an alert.
    pub fn acknowledge(&mut self, alert: Uuid, fresh: Uuid, now: i64) -> bool {
        let found = self
            .watches
            .iter()
            .find(|(_, w)| w.machine.open().is_some_and(|open| open.alert == alert))
            .map(|(key, _)| *key);
        let Some(key) = found else { return false };
        self.step(key, Input::Acknowledge, fresh, now);
        true
    }

    /// Series that will not come again.
    pub fn forget(&mut self, series: &[u64], fresh: &mut dyn FnMut() -> Uuid, now: i64) {
        let gone: HashSet<u64> = series.iter().copied().collect();
        let keys: Vec<(Uuid, u64)> = self.watches.keys().filter(|(_, series)| gone.contains(series)).copied().collect();
        for key in keys {
            self.step(key, Input::Retire, fresh(), now);
            self.unwatch(key);
        }
        self.about.retain(|series, _| !gone.contains(series));
    }

    /// What is to be written since the last time.
    pub fn take_outcomes(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.outcomes)
    }

    /// What machines remember that the store does not know yet. With `all` also what may wait a while: hold timers.
    pub fn take_memory(&mut self, all: bool, now: i64) -> Vec<Kept> {
        let mut kept = Vec::new();
        for (key, labels) in std::mem::take(&mut self.stale) {
            let mut watch = self.watches.get_mut(&key);
            let machine =
                watch.as_ref().filter(|watch| !watch.machine.is_blank(now)).map(|watch| watch.machine.clone());
            if let Some(watch) = &mut watch {
                watch.stored.clone_from(&machine);
            }
            kept.push(Kept { rule: key.0, series: key.1, labels, machine });
        }
        for ((rule, series), watch) in &mut self.watches {
            let wanted = (!watch.machine.is_blank(now)).then(|| watch.machine.clone());
            // What an open alert was told and whether it is taken care of must not be lost; its last value may.
            let essence = |machine: &Option<Machine>| machine.as_ref().and_then(Machine::open).map(Open::essence);
            let urgent = essence(&wanted) != essence(&watch.stored);
            if wanted != watch.stored && (urgent || all && !same_timers(wanted.as_ref(), watch.stored.as_ref())) {
                kept.push(Kept { rule: *rule, series: *series, labels: watch.labels.clone(), machine: wanted.clone() });
                watch.stored = wanted;
            }
        }
        let absent: HashSet<Uuid> = self
            .rules
            .values()
            .filter(|(_, terms)| terms.condition == Condition::Absent)
            .map(|(rule, _)| rule.id)
            .collect();
        // A calm machine is made again when it is needed; a dead-man's has to keep watching.
        self.watches
            .retain(|(rule, _), watch| watch.stored.is_some() || !watch.machine.is_blank(now) || absent.contains(rule));
        kept
    }

    /// What was handed out to be written was not: it is handed out again.
    pub fn not_written(&mut self, kept: Vec<Kept>) {
        self.stale.extend(kept.into_iter().map(|one| ((one.rule, one.series), one.labels)));
    }

    /// The alerts that are watched on after a restart.
    pub fn restored_alerts(&self) -> Vec<Uuid> {
        self.watches.values().filter_map(|watch| watch.machine.open()).map(|open| open.alert).collect()
    }

    /// The open alerts, with rule and labels of the series.
    pub fn open_alerts(&self) -> impl Iterator<Item = (&Rule, &Labels, &Open)> {
        self.watches.iter().filter_map(|((rule, _), watch)| {
            let (rule, _) = self.rules.get(rule)?;
            Some((&**rule, &watch.labels, watch.machine.open()?))
        })
    }

    /// Learns which rules are about a series.
    fn meet(&mut self, known: &Known, now: i64) {
        let definition = &known.definition;
        let mut about = Vec::new();
        let mut absent = Vec::new();
        for (id, (rule, terms)) in &self.rules {
            if rule::matches(rule, &definition.name, &definition.labels) {
                about.push(*id);
                if terms.condition == Condition::Absent {
                    absent.push((*id, rule::placeholder(rule)));
                }
            }
        }
        self.about.insert(definition.id, about);
        for (id, placeholder) in absent {
            // The series is there: what stood for it is not needed any more, and its alert goes over to the series.
            let before = (placeholder != definition.id).then(|| self.unwatch((id, placeholder))).flatten();
            if let Some(before) = before
                && let Some(open) = before.machine.open()
                && let Some((rule, _)) = self.rules.get(&id)
            {
                let effect = Effect::Resolve { alert: open.alert, at: now, value: open.value };
                self.outcomes.push(Outcome { rule: rule.clone(), series: placeholder, labels: before.labels, effect });
            }
            let labels = definition.labels.clone();
            self.watches.entry((id, definition.id)).or_insert_with(|| Watch {
                machine: Machine::new(now),
                labels,
                stored: None,
            });
        }
    }

    /// Stops to watch; what was stored of it goes too.
    fn unwatch(&mut self, key: (Uuid, u64)) -> Option<Watch> {
        let watch = self.watches.remove(&key)?;
        if watch.stored.is_some() {
            self.stale.insert(key, watch.labels.clone());
        }
        Some(watch)
    }

    fn step(&mut self, key: (Uuid, u64), input: Input, fresh: Uuid, now: i64) {
        let (Some(watch), Some((rule, terms))) = (self.watches.get_mut(&key), self.rules.get(&key.0)) else { return };
        let silenced = self.silences.iter().any(|silence| rule::covers(silence, key.0, &watch.labels, now));
        for effect in watch.machine.step(terms, input, Context { now, silenced, fresh }) {
            self.outcomes.push(Outcome { rule: rule.clone(), series: key.1, labels: watch.labels.clone(), effect });
        }
    }
}

/// Whether two memories differ in nothing but the time of the last point and the last value.
fn same_timers(a: Option<&Machine>, b: Option<&Machine>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.timers() == b.timers(),
        (None, None) => true,
        _ => false,
    }
}

/// The headline of an alert.
pub fn title(rule: &Rule, labels: &Labels) -> String {
    let host = labels.get("host").map_or("", String::as_str);
    let mut title = rule.name.clone();
    if !host.is_empty() {
        title.push_str(": ");
        title.push_str(host);
    }
    for (name, value) in labels {
        if !matches!(name.as_str(), "host" | "kind") && value != host {
            title.push(' ');
            title.push_str(value);
        }
    }
    title
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sent_protocol::telemetry::SeriesDefinition;

    use super::*;
    use crate::model::rule::defaults;

    struct World {
        evaluator: Evaluator,
        series: HashMap<u64, Known>,
        ids: u128,
    }

    impl World {
        fn new(rules: Vec<Rule>) -> Self {
            let mut world = Self { evaluator: Evaluator::default(), series: HashMap::new(), ids: 100 };
            world.set_rules(rules, 0);
            world
        }

        fn set_rules(&mut self, rules: Vec<Rule>, second: i64) {
            let known: Vec<Known> = self.series.values().cloned().collect();
            let ids = &mut self.ids;
            self.evaluator.set_rules(rules, &known, &mut || fresh(ids), second * SECOND);
        }

        fn point(&mut self, second: i64, mount: &str, value: f64) -> Vec<Outcome> {
            let labels =
                BTreeMap::from([("host".to_owned(), "this box".to_owned()), ("mount".to_owned(), mount.to_owned())]);
            let definition = Arc::new(SeriesDefinition::new("disk_used_ratio", labels, "ratio"));
            let at = second * SECOND;
            let id = definition.id;
            self.series.insert(id, Known { definition, last: Some(value), last_at: Some(at) });
            let (series, ids) = (&self.series, &mut self.ids);
            self.evaluator.points(
                &[Point { series: id, at, value }],
                |id| series.get(&id).cloned(),
                &mut || fresh(ids),
                at,
            );
            self.evaluator.take_outcomes()
        }

        fn tick(&mut self, second: i64) -> Vec<Outcome> {
            let ids = &mut self.ids;
            self.evaluator.tick(&mut || fresh(ids), second * SECOND);
            self.evaluator.take_outcomes()
        }
    }

    fn fresh(ids: &mut u128) -> Uuid {
        *ids += 1;
        Uuid::from_u128(*ids)
    }

    fn disk() -> Rule {
        Rule { hold_seconds: 0, id: Uuid::from_u128(7), ..defaults(Uuid::nil).remove(0) }
    }

    fn dead_man() -> Rule {
        Rule { condition: "absent".to_owned(), hold_seconds: 60, ..disk() }
    }

    #[test]
    fn each_series_has_its_own_alert() {
        let mut world = World::new(vec![disk()]);
        assert_eq!(world.point(1, "/", 0.99).len(), 2, "raised and told");
        assert!(world.point(2, "/var", 0.5).is_empty());
        assert_eq!(world.point(3, "/var", 0.99).len(), 2);
        assert_eq!(world.evaluator.open_alerts().count(), 2);
        assert_eq!(
            title(&disk(), &world.series.values().next().expect("two").definition.labels).split(':').next(),
            Some("Disk nearly full")
        );
    }

    #[test]
    fn a_rule_that_goes_takes_its_alerts_along() {
        let mut world = World::new(vec![disk()]);
        world.point(1, "/", 0.99);
        world.set_rules(vec![Rule { paused: true, ..disk() }], 5);
        let outcomes = world.evaluator.take_outcomes();
        assert!(matches!(outcomes[0].effect, Effect::Resolve { .. }), "{outcomes:?}");
        assert_eq!(world.evaluator.open_alerts().count(), 0);
        world.set_rules(vec![disk()], 6);
        assert_eq!(world.point(7, "/", 0.99).len(), 2);
    }

    #[test]
    fn a_dead_man_waits_for_a_source_that_never_came() {
        let mut world = World::new(vec![dead_man()]);
        (1..60).for_each(|second| assert!(world.tick(second).is_empty()));
        let outcomes = world.tick(60);
        assert!(matches!(outcomes[0].effect, Effect::Raise(_)));
        let outcomes = world.point(70, "/", 0.5);
        assert!(outcomes.iter().any(|o| matches!(o.effect, Effect::Resolve { .. })));
        assert_eq!(world.evaluator.open_alerts().count(), 0);
        (71..130).for_each(|second| assert!(world.tick(second).is_empty()));
        assert!(matches!(world.tick(130)[0].effect, Effect::Raise(_)), "and for one that went");
    }

    #[test]
    fn memory_survives_and_is_small() {
        let mut world = World::new(vec![Rule { hold_seconds: 60, ..disk() }]);
        world.point(1, "/", 0.99);
        assert!(world.evaluator.take_memory(false, SECOND).is_empty(), "a hold timer may wait");
        let kept = world.evaluator.take_memory(true, SECOND);
        assert_eq!(kept.len(), 1);
        world.point(11, "/", 0.99);
        assert!(world.evaluator.take_memory(true, 11 * SECOND).is_empty(), "the timer is the same");

        let mut later = World::new(Vec::new());
        later.evaluator = Evaluator::restore(kept, &[disk()], &HashMap::new(), 31 * SECOND);
        later.set_rules(vec![Rule { hold_seconds: 60, ..disk() }], 31);
        assert!(later.point(41, "/", 0.99).is_empty());
        let outcomes = later.point(61, "/", 0.99);
        let Effect::Raise(open) = &outcomes[0].effect else { panic!("{outcomes:?}") };
        let kept = later.evaluator.take_memory(false, 61 * SECOND);

        let known = HashMap::from([(open.alert, true)]);
        let mut again = World::new(Vec::new());
        again.evaluator = Evaluator::restore(kept.clone(), &[disk()], &known, 100 * SECOND);
        again.set_rules(vec![Rule { hold_seconds: 60, ..disk() }], 100);
        let open_state: Vec<_> = again.evaluator.open_alerts().map(|(_, _, open)| open.state()).collect();
        assert_eq!(open_state, ["acknowledged"]);
        assert!(again.point(101, "/", 0.99).is_empty(), "it is not raised twice");

        let mut lost = Evaluator::restore(kept.clone(), &[disk()], &HashMap::new(), 100 * SECOND);
        assert_eq!(lost.watches.len(), 0, "an alert the store does not know is forgotten");
        assert_eq!(lost.take_memory(false, 100 * SECOND)[0].machine, None, "and so is what was remembered of it");
        assert_eq!(
            Evaluator::restore(kept, &[], &known, 100 * SECOND).watches.len(),
            0,
            "nobody watches for a rule that is gone"
        );
    }
}
