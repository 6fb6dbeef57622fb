//! The life of an alert: one machine for each rule and series.
//!
//! ```text
//!          beyond `raise`          held for `hold`           clear (and calm, when flapping)
//!   calm ───────────────▶ holding ───────────────▶ open ───────────────────────────────────▶ calm
//!     ▲                      │ not beyond                 between `raise` and `clear` nothing changes
//!     └──────────────────────┘
//! ```
//!
//! What always holds: a machine has at most one open alert; an alert is told in stages (raised, escalated, resolved) that
//! only go forward, each at most once; what was never told is not told to be resolved; a series that flaps is told a
//! bounded number of times an hour. The machine is handed points and the time and answers with [`Effect`]s; it is kept
//! as JSON, so that hold timers and the history of flapping survive a restart.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::SECOND;

/// How long raises are remembered to tell flapping.
pub const FLAP_WINDOW: i64 = 3_600 * SECOND;
/// More raises than this within the window, and the alert is held as flapping.
pub const FLAP_LIMIT: usize = 4;
/// A flapping alert clears only after being clear for so long without a break.
pub const FLAP_CALM: i64 = 600 * SECOND;
/// A hold timer does not count across a hole in the measurements longer than this.
pub const GAP: i64 = 300 * SECOND;

/// When a rule raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The value is above the limit.
    Above,
    /// The value is below the limit.
    Below,
    /// No value arrives (dead-man).
    Absent,
}

/// What a rule asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// When it raises.
    pub condition: Condition,
    /// Raises beyond this.
    pub raise: f64,
    /// Clears on this side.
    pub clear: f64,
    /// Must hold so long (µs); for a dead-man the quiet time.
    pub hold: i64,
    /// Escalates when nobody acknowledged for so long (µs).
    pub escalate: Option<i64>,
}

impl Terms {
    /// Whether a value is on the side that raises.
    pub fn beyond(&self, value: f64) -> bool {
        match self.condition {
            Condition::Above => value > self.raise,
            Condition::Below => value < self.raise,
            Condition::Absent => false,
        }
    }

    fn cleared(&self, value: f64) -> bool {
        match self.condition {
            Condition::Above => value <= self.clear,
            Condition::Below => value >= self.clear,
            Condition::Absent => true,
        }
    }
}

/// How far an alert was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The first line heard of it.
    Raised,
    /// The second line heard of it.
    Escalated,
    /// It is over.
    Resolved,
}

impl Stage {
    /// As it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
        }
    }
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// Its id.
    pub alert: Uuid,
    /// Raised.
    pub raised_at: i64,
    /// Last value.
    pub value: f64,
    /// Clear without a break since.
    clear_since: Option<i64>,
    /// Held down, because it was raised too often.
    pub flapping: bool,
    /// Somebody takes care.
    pub acknowledged: bool,
    /// A silence covers it.
    pub silenced: bool,
    /// How far it was told, and when.
    told: Option<(Stage, i64)>,
}

impl Open {
    /// It without its last value.
    pub fn essence(&self) -> Self {
        Self { value: 0.0, ..self.clone() }
    }

    /// The state as pages show it.
    pub fn state(&self) -> &'static str {
        if self.acknowledged {
            "acknowledged"
        } else if self.silenced {
            "silenced"
        } else if self.flapping {
            "flapping"
        } else {
            "firing"
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    #[default]
    Calm,
    Holding {
        since: i64,
    },
    Open(Open),
}

/// What a machine is handed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// A measurement.
    Point {
        /// When.
        at: i64,
        /// What.
        value: f64,
    },
    /// Time passed.
    Tick,
    /// A person takes care.
    Acknowledge,
    /// The rule or the series is gone.
    Retire,
}

/// The world around a step.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The time.
    pub now: i64,
    /// Whether a silence covers the alert now.
    pub silenced: bool,
    /// The id an alert raised in this step gets.
    pub fresh: Uuid,
}

/// What a step asks for, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A new alert.
    Raise(Open),
    /// An open alert's state changed.
    Change(Open),
    /// The alert is over.
    Resolve {
        /// Which.
        alert: Uuid,
        /// When.
        at: i64,
        /// Last value.
        value: f64,
    },
    /// Tell it.
    Tell {
        /// Which.
        alert: Uuid,
        /// How far.
        stage: Stage,
        /// Resolved ones are told to the second line too when it had heard of it.
        escalated: bool,
    },
}

impl Effect {
    /// The alert it is about.
    pub fn alert(&self) -> Uuid {
        match self {
            Self::Raise(open) | Self::Change(open) => open.alert,
            Self::Resolve { alert, .. } | Self::Tell { alert, .. } => *alert,
        }
    }
}

/// One rule's eye on one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    phase: Phase,
    /// When it was raised lately; at most [`FLAP_LIMIT`] + 1 of them.
    raises: Vec<i64>,
    /// The last point.
    seen: Option<i64>,
}

impl Machine {
    /// A machine that starts to watch now; a dead-man's quiet time counts from here.
    pub fn new(now: i64) -> Self {
        Self { seen: Some(now), ..Self::default() }
    }

    /// The open alert.
    pub fn open(&self) -> Option<&Open> {
        match &self.phase {
            Phase::Open(open) => Some(open),
            _ => None,
        }
    }

    /// When the last point came.
    pub fn seen(&self) -> Option<i64> {
        self.seen
    }

    /// Whether nothing would be lost if it were forgotten.
    pub fn is_blank(&self, now: i64) -> bool {
        matches!(self.phase, Phase::Calm) && self.raises.iter().all(|at| now - at > FLAP_WINDOW)
    }

    /// What has to survive a restart: the phase and the history, without the last point and value.
    pub fn timers(&self) -> impl PartialEq + use<> {
        let mut phase = self.phase.clone();
        if let Phase::Open(open) = &mut phase {
            *open = open.essence();
        }
        (phase, self.raises.clone())
    }

    /// Somebody acknowledged the alert while nothing ran.
    pub fn acknowledge(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.acknowledged = true;
        }
    }

    /// Goes on after the box itself was not measuring: nothing can be said about the time in between.
    pub fn resume(&mut self, now: i64) {
        if self.seen.is_none_or(|seen| seen < now) && !matches!(self.phase, Phase::Holding { .. }) {
            self.seen = Some(now);
        }
    }

    /// One step.
    pub fn step(&mut self, terms: &Terms, input: Input, context: Context) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Point { at, value } => {
                if terms.condition != Condition::Absent && self.seen.is_some_and(|seen| at < seen) {
                    return effects;
                }
                self.point(terms, at, value, context, &mut effects);
                self.seen = self.seen.max(Some(at));
            }
            Input::Tick => {
                if terms.condition == Condition::Absent {
                    self.quiet(terms, context, &mut effects);
                }
            }
            Input::Acknowledge => {
                if let Phase::Open(open) = &mut self.phase
                    && !open.acknowledged
                {
                    open.acknowledged = true;
                    effects.push(Effect::Change(open.clone()));
                }
            }
            Input::Retire => self.resolve(context.now, context, &mut effects),
        }
        self.attend(terms, context, &mut effects);
        effects
    }

    fn point(&mut self, terms: &Terms, at: i64, value: f64, context: Context, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Calm => {
                if terms.beyond(value) {
                    self.phase = Phase::Holding { since: at };
                    if terms.hold == 0 {
                        self.raise(at, value, context, effects);
                    }
                }
            }
            Phase::Holding { since } => {
                if !terms.beyond(value) {
                    self.phase = Phase::Calm;
                } else if self.seen.is_some_and(|seen| at - seen > GAP) {
                    *since = at;
                } else if at - *since >= terms.hold {
                    self.raise(at, value, context, effects);
                }
            }
            Phase::Open(open) => {
                if terms.condition != Condition::Absent {
                    open.value = value;
                }
                if !terms.cleared(value) {
                    open.clear_since = None;
                    return;
                }
                let since = *open.clear_since.get_or_insert(at);
                if !open.flapping || at - since >= FLAP_CALM {
                    self.resolve(at, context, effects);
                }
            }
        }
    }

    /// A dead-man looks at how long it has been quiet.
    fn quiet(&mut self, terms: &Terms, context: Context, effects: &mut Vec<Effect>) {
        let quiet = context.now - *self.seen.get_or_insert(context.now);
        if quiet < terms.hold {
            return;
        }
        let seconds = quiet as f64 / SECOND as f64;
        match &mut self.phase {
            Phase::Open(open) => {
                open.value = seconds;
                open.clear_since = None;
            }
            _ => self.raise(context.now, seconds, context, effects),
        }
    }

    fn raise(&mut self, at: i64, value: f64, context: Context, effects: &mut Vec<Effect>) {
        self.raises.retain(|raised| at - raised <= FLAP_WINDOW);
        self.raises.push(at);
        let flapping = self.raises.len() > FLAP_LIMIT;
        if flapping {
            // One more than the limit is all that flapping asks for.
            let surplus = self.raises.len() - FLAP_LIMIT - 1;
            self.raises.drain(..surplus);
        }
        let open = Open {
            alert: context.fresh,
            raised_at: at,
            value,
            clear_since: None,
            flapping,
            acknowledged: false,
            silenced: context.silenced,
            told: None,
        };
        effects.push(Effect::Raise(open.clone()));
        self.phase = Phase::Open(open);
    }

    fn resolve(&mut self, at: i64, context: Context, effects: &mut Vec<Effect>) {
        if let Phase::Open(open) = std::mem::take(&mut self.phase) {
            effects.push(Effect::Resolve { alert: open.alert, at, value: open.value });
            if let Some((stage, _)) = open.told
                && !context.silenced
            {
                effects.push(Effect::Tell {
                    alert: open.alert,
                    stage: Stage::Resolved,
                    escalated: stage == Stage::Escalated,
                });
            }
        }
    }

    /// Silence and escalation, which follow the time and not the measurements.
    fn attend(&mut self, terms: &Terms, context: Context, effects: &mut Vec<Effect>) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.silenced != context.silenced {
            open.silenced = context.silenced;
            effects.push(Effect::Change(open.clone()));
        }
        if open.silenced || open.acknowledged {
            return;
        }
        let tell = |open: &mut Open, stage| {
            open.told = Some((stage, context.now));
            Effect::Tell { alert: open.alert, stage, escalated: stage == Stage::Escalated }
        };
        match open.told {
            None => effects.push(tell(open, Stage::Raised)),
            Some((Stage::Raised, at)) if terms.escalate.is_some_and(|after| context.now - at >= after) => {
                effects.push(tell(open, Stage::Escalated));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
