//! The alert machine against its promises: stories first, then every story there is.

#![allow(clippy::float_cmp, reason = "what is compared was never calculated")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ABOVE: Terms = Terms { condition: Condition::Above, raise: 90.0, clear: 80.0, hold: 60 * SECOND, escalate: None };

/// Drives one machine by a clock in seconds.
struct Story {
    machine: Machine,
    terms: Terms,
    silenced: bool,
    next: u128,
}

impl Story {
    fn new(terms: Terms) -> Self {
        Self { machine: Machine::new(0), terms, silenced: false, next: 1 }
    }

    fn step(&mut self, second: i64, input: Input) -> Vec<Effect> {
        self.next += 1;
        let context = Context { now: second * SECOND, silenced: self.silenced, fresh: Uuid::from_u128(self.next) };
        self.machine.step(&self.terms, input, context)
    }

    fn point(&mut self, second: i64, value: f64) -> Vec<Effect> {
        self.step(second, Input::Point { at: second * SECOND, value })
    }

    fn tick(&mut self, second: i64) -> Vec<Effect> {
        self.step(second, Input::Tick)
    }
}

fn told(effects: &[Effect]) -> Vec<Stage> {
    effects.iter().filter_map(|e| if let Effect::Tell { stage, .. } = e { Some(*stage) } else { None }).collect()
}

#[test]
fn raises_after_holding_and_clears_beyond_hysteresis() {
    let mut story = Story::new(ABOVE);
    assert!(story.point(1, 95.0).is_empty());
    assert!(story.point(31, 95.0).is_empty());
    let effects = story.point(61, 96.0);
    assert!(matches!(&effects[0], Effect::Raise(open) if open.value == 96.0));
    assert_eq!(told(&effects), [Stage::Raised]);
    assert!(story.point(71, 85.0).is_empty(), "between the limits nothing changes");
    let effects = story.point(81, 80.0);
    assert!(matches!(effects[0], Effect::Resolve { .. }));
    assert_eq!(told(&effects), [Stage::Resolved]);
}

#[test]
fn a_dip_restarts_the_hold_and_so_does_a_hole() {
    let mut story = Story::new(ABOVE);
    story.point(1, 95.0);
    story.point(31, 89.0);
    story.point(41, 95.0);
    assert!(story.point(61, 95.0).is_empty());
    assert!(story.point(461, 95.0).is_empty(), "nothing is known of the hole");
    assert!(!story.point(521, 95.0).is_empty());
}

#[test]
fn hold_timer_survives_a_restart() {
    let mut story = Story::new(ABOVE);
    story.point(1, 95.0);
    let kept = serde_json::to_string(&story.machine).expect("serialises");
    story.machine = serde_json::from_str(&kept).expect("reads back");
    story.machine.resume(31 * SECOND);
    assert!(!story.point(61, 95.0).is_empty());
}

#[test]
fn dead_man_fires_when_quiet_and_not_for_the_time_the_box_was_off() {
    let mut story = Story::new(Terms { condition: Condition::Absent, ..ABOVE });
    story.point(10, 1.0);
    assert!(story.tick(69).is_empty());
    story.machine.resume(1_000 * SECOND);
    assert!(story.tick(1_059).is_empty());
    let effects = story.tick(1_060);
    assert!(matches!(&effects[0], Effect::Raise(open) if open.value == 60.0));
    assert!(story.tick(1_100).is_empty());
    assert_eq!(told(&story.point(1_101, 1.0)), [Stage::Resolved]);
}

#[test]
fn escalates_once_unless_acknowledged() {
    let terms = Terms { hold: 0, escalate: Some(300 * SECOND), ..ABOVE };
    let mut story = Story::new(terms);
    story.point(1, 99.0);
    assert!(story.tick(300).is_empty());
    assert_eq!(told(&story.tick(301)), [Stage::Escalated]);
    assert!(story.tick(900).is_empty());
    let effects = story.point(901, 1.0);
    assert!(effects.iter().any(|e| matches!(e, Effect::Tell { stage: Stage::Resolved, escalated: true, .. })));

    let mut story = Story::new(terms);
    story.point(1, 99.0);
    assert!(matches!(&story.step(2, Input::Acknowledge)[0], Effect::Change(open) if open.state() == "acknowledged"));
    assert!(story.step(3, Input::Acknowledge).is_empty());
    assert!(story.tick(1_000).is_empty());
}

#[test]
fn silence_holds_the_word_back_and_gives_it_when_it_ends() {
    let mut story = Story::new(Terms { hold: 0, ..ABOVE });
    story.silenced = true;
    let effects = story.point(1, 99.0);
    assert!(matches!(&effects[0], Effect::Raise(open) if open.state() == "silenced"));
    assert!(told(&effects).is_empty());
    story.silenced = false;
    assert_eq!(told(&story.tick(50)), [Stage::Raised]);

    let mut quiet = Story::new(Terms { hold: 0, ..ABOVE });
    quiet.silenced = true;
    quiet.point(1, 99.0);
    assert!(told(&quiet.point(2, 1.0)).is_empty(), "what was never told is not told to be over");
}

#[test]
fn flapping_is_held_down() {
    let mut story = Story::new(Terms { hold: 0, ..ABOVE });
    let mut raised = 0;
    for minute in 0..60 {
        raised += usize::from(told(&story.point(minute * 60, 99.0)).contains(&Stage::Raised));
        story.point(minute * 60 + 30, 1.0);
    }
    assert_eq!(raised, FLAP_LIMIT + 1);
    assert_eq!(story.machine.open().map(Open::state), Some("flapping"));
    story.point(3_700, 1.0);
    assert!(!story.point(4_170 + 60, 1.0).is_empty(), "ten calm minutes end it");
}

#[test]
fn retiring_resolves() {
    let mut story = Story::new(Terms { hold: 0, ..ABOVE });
    story.point(1, 99.0);
    assert_eq!(told(&story.step(2, Input::Retire)), [Stage::Resolved]);
    assert!(story.step(3, Input::Retire).is_empty());
}

#[derive(Clone, Debug)]
enum Move {
    Point(f64),
    Tick,
    Acknowledge,
    Silence(bool),
    Restart,
    Retire,
}

fn moves() -> impl Strategy<Value = Vec<(i64, Move)>> {
    let one = prop_oneof![
        8 => prop_oneof![Just(10.0), Just(80.0), Just(85.0), Just(90.0), Just(95.0), -1e12f64..1e12].prop_map(Move::Point),
        4 => Just(Move::Tick),
        1 => Just(Move::Acknowledge),
        1 => any::<bool>().prop_map(Move::Silence),
        1 => Just(Move::Restart),
        1 => Just(Move::Retire),
    ];
    prop::collection::vec((prop_oneof![Just(0i64), 1i64..40, 40i64..900], one), 1..400)
}

proptest! {
    #[test]
    fn promises_hold(
        moves in moves(),
        condition in prop_oneof![Just(Condition::Above), Just(Condition::Below), Just(Condition::Absent)],
        hold in prop_oneof![Just(0i64), 1i64..120],
        escalate in prop::option::of(1i64..600),
    ) {
        let (raise, clear) = if condition == Condition::Below { (80.0, 90.0) } else { (90.0, 80.0) };
        let hold = if condition == Condition::Absent { hold.max(1) } else { hold };
        let terms = Terms { condition, raise, clear, hold: hold * SECOND, escalate: escalate.map(|s| s * SECOND) };
        let mut story = Story::new(terms);
        let mut second = 0;
        let mut open: Option<Uuid> = None;
        let mut stages: BTreeMap<Uuid, Stage> = BTreeMap::new();
        let mut raised_at = Vec::new();

        for (seconds, what) in moves {
            second += seconds;
            let point = if let Move::Point(value) = what { Some(value) } else { None };
            let retired = matches!(what, Move::Retire);
            let effects = match what {
                Move::Point(value) => story.point(second, value),
                Move::Tick => story.tick(second),
                Move::Acknowledge => story.step(second, Input::Acknowledge),
                Move::Retire => story.step(second, Input::Retire),
                Move::Silence(on) => { story.silenced = on; story.tick(second) }
                Move::Restart => {
                    let kept = serde_json::to_string(&story.machine).expect("serialises");
                    story.machine = serde_json::from_str(&kept).expect("reads back");
                    story.machine.resume(second * SECOND);
                    Vec::new()
                }
            };
            for effect in effects {
                match effect {
                    Effect::Raise(alert) => {
                        prop_assert!(open.is_none(), "two open alerts for one rule and series");
                        if condition != Condition::Absent {
                            prop_assert!(point.is_some_and(|v| terms.beyond(v)), "raised without being beyond the limit");
                        }
                        open = Some(alert.alert);
                    }
                    Effect::Change(alert) => prop_assert_eq!(open, Some(alert.alert)),
                    Effect::Resolve { alert, .. } => {
                        prop_assert_eq!(open, Some(alert));
                        prop_assert!(retired || point.is_some_and(|v| terms.cleared(v)), "cleared within the hysteresis");
                        open = None;
                    }
                    Effect::Tell { alert, stage, .. } => {
                        prop_assert!(!story.silenced, "told in spite of the silence");
                        let before = stages.insert(alert, stage);
                        prop_assert!(before.is_none_or(|b| b < stage), "told twice or backwards");
                        prop_assert!(stage != Stage::Resolved || before.is_some(), "resolved was never raised");
                        if stage == Stage::Raised {
                            raised_at.push(second);
                        }
                    }
                }
            }
            prop_assert_eq!(story.machine.open().map(|o| o.alert), open);
        }
        prop_assert!(raised_at.is_sorted());
    }

    /// Within any hour a series is told at most the limit, the one that is flapping, one for each calm spell after it,
    /// and one that a silence had held back.
    #[test]
    fn flapping_is_bounded(moves in moves(), hold in 0i64..30) {
        let mut story = Story::new(Terms { hold: hold * SECOND, ..ABOVE });
        let mut second = 0;
        let mut raised_at = Vec::new();
        for (seconds, what) in moves {
            // Ten times as fast, so that there is something to hold down.
            second += seconds / 10;
            let effects = match what {
                Move::Point(value) => story.point(second, value),
                Move::Silence(on) => { story.silenced = on; story.tick(second) }
                Move::Acknowledge => story.step(second, Input::Acknowledge),
                _ => story.tick(second),
            };
            if told(&effects).contains(&Stage::Raised) {
                raised_at.push(second);
            }
        }
        let most = FLAP_LIMIT + 2 + (FLAP_WINDOW / FLAP_CALM) as usize;
        for (n, start) in raised_at.iter().enumerate() {
            let within = raised_at[n..].iter().take_while(|at| **at - start < 3_600).count();
            prop_assert!(within <= most, "told {within} times in an hour");
        }
    }
}
