//! What the cloud desires of this box, key by key.
//!
//! The desired document is shaped as the settings file and lies over it: a key that is not in it is as the file says. What the
//! box cannot honour it refuses key by key, and honours the rest; each value in force is reported under the same name, and each
//! refused one under `refused` with the reason. A key is heeded here only if it takes effect at once, does no harm that an
//! operator could not take back, and cannot cut the box off from the cloud that desires it.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sent_store::series::{Retention, tiers::DAY};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::{
    log,
    packs::{self, Board},
    settings::{self, Settings, Telemetry},
};

/// Name of the store's fact that holds the document that was applied last.
pub const DESIRED: &str = "desired";

const LOG_LEVEL: &str = "log.level";
const POLL: &str = "sync.poll_seconds";
const INTERVAL: &str = "pulse.interval";

/// The settings that may be changed while the box runs.
pub struct Knobs {
    /// Between two questions to the cloud while no doorbell is heard.
    pub poll: watch::Sender<Duration>,
    /// Seconds between kept measurements of the box itself.
    pub interval: watch::Sender<u32>,
    /// How long measurements are kept.
    pub retention: watch::Sender<Retention>,
    /// Packs of rules.
    pub packs: Board,
    /// As the settings file says.
    own: Values,
    refused: Mutex<BTreeMap<String, String>>,
    /// The document in force names a log level.
    desires_level: AtomicBool,
}

/// What a document comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values {
    level: String,
    poll_seconds: u32,
    interval: u32,
    telemetry: Telemetry,
}

impl Values {
    fn retention(&self) -> Retention {
        let days = |days: u32| i64::from(days) * DAY;
        let Telemetry { raw_days, minute_days, hour_days } = self.telemetry;
        Retention { points: days(raw_days), minutes: days(minute_days), hours: days(hour_days) }
    }
}

/// Lays a document over `own`; what it asks for in vain, with the reason.
fn overlay(own: &Values, document: &Value) -> (Values, BTreeMap<String, String>) {
    let (mut values, mut refused) = (own.clone(), BTreeMap::new());
    let mut leaves = Vec::new();
    walk(String::new(), document, &mut leaves);
    for (key, value) in leaves.into_iter().filter(|(key, _)| !packs::is_about_packs(key)) {
        if let Err(cause) = set(&mut values, &key, value) {
            refused.insert(key, cause);
        }
    }
    if let Some(fault) = values.telemetry.fault() {
        for key in ["telemetry.raw_days", "telemetry.minute_days", "telemetry.hour_days"] {
            if document.pointer(&format!("/{}", key.replace('.', "/"))).is_some() {
                refused.entry(key.to_owned()).or_insert_with(|| fault.to_owned());
            }
        }
        values.telemetry = own.telemetry.clone();
    }
    (values, refused)
}

fn walk<'a>(path: String, value: &'a Value, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(path, value, leaves);
            }
        }
        leaf if !path.is_empty() => leaves.push((path, leaf)),
        _ => {}
    }
}

fn set(values: &mut Values, key: &str, value: &Value) -> Result<(), String> {
    if key == LOG_LEVEL {
        let level = value.as_str().ok_or("is a text")?;
        if let Some(fault) = log::fault(level) {
            return Err(fault);
        }
        level.clone_into(&mut values.level);
        return Ok(());
    }
    let place = match key {
        POLL => &mut values.poll_seconds,
        INTERVAL => &mut values.interval,
        "telemetry.raw_days" => &mut values.telemetry.raw_days,
        "telemetry.minute_days" => &mut values.telemetry.minute_days,
        "telemetry.hour_days" => &mut values.telemetry.hour_days,
        _ => return Err("this box heeds no such key".to_owned()),
    };
    let number = value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("is a whole number")?;
    if let Some(fault) = settings::fault(key, number) {
        return Err(fault);
    }
    *place = number;
    Ok(())
}

impl Knobs {
    /// As the settings say.
    pub fn new(settings: &Settings) -> Self {
        let own = Values {
            level: settings.log.level.clone(),
            poll_seconds: settings.sync.poll_seconds,
            interval: settings.pulse.interval,
            telemetry: settings.telemetry.clone(),
        };
        Self {
            poll: watch::Sender::new(Duration::from_secs(own.poll_seconds.into())),
            interval: watch::Sender::new(own.interval),
            retention: watch::Sender::new(own.retention()),
            packs: Board::default(),
            own,
            refused: Mutex::default(),
            desires_level: AtomicBool::new(false),
        }
    }

    /// Makes the box as the document says, where it can.
    pub fn apply(&self, document: &Value) {
        let (values, mut refused) = overlay(&self.own, document);
        refused.extend(self.packs.apply(document));
        self.poll.send_replace(Duration::from_secs(values.poll_seconds.into()));
        self.interval.send_replace(values.interval);
        self.retention.send_replace(values.retention());
        // As long as no level was ever desired, the one that stands is the environment's or a command's.
        let desires_level = document.pointer("/log/level").is_some();
        if (self.desires_level.swap(desires_level, Ordering::Relaxed) || desires_level)
            && let Err(cause) = log::set(&values.level)
        {
            refused.insert(LOG_LEVEL.to_owned(), cause);
        }
        for (key, cause) in &refused {
            tracing::warn!(key, cause, "the cloud desires what this box cannot honour");
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Every value in force, and what was refused.
    pub fn report(&self) -> Value {
        let days = |micros: i64| micros / DAY;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut interval, mut retention) = (*self.interval.borrow(), *self.retention.borrow());
        // Nobody heeds them where monitoring is off or a process of its own.
        if self.interval.receiver_count() == 0 {
            let elsewhere =
                [(INTERVAL, interval != self.own.interval), ("telemetry", retention != self.own.retention())];
            for (key, _) in elsewhere.into_iter().filter(|(_, differs)| *differs) {
                let cause = "monitoring does not run in the box's main process: its settings file says what it does";
                refused.insert(key.to_owned(), cause.to_owned());
            }
            (interval, retention) = (self.own.interval, self.own.retention());
        }
        let Retention { points, minutes, hours } = retention;
        let refused: Map<String, Value> = refused.into_iter().map(|(key, cause)| (key, cause.into())).collect();
        json!({
            "log": { "level": log::level() },
            "sync": { "poll_seconds": self.poll.borrow().as_secs() },
            "pulse": { "interval": interval },
            "telemetry": { "raw_days": days(points), "minute_days": days(minutes), "hour_days": days(hours) },
            "radar": { "packs": self.packs.report() },
            "refused": refused,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own() -> Values {
        Knobs::new(&Settings::default()).own
    }

    #[test]
    fn what_can_be_honoured_is_and_the_rest_is_refused_with_a_reason() {
        let document = json!({
            "log": { "level": "debug", "colour": true },
            "sync": { "poll_seconds": 1 },
            "pulse": { "interval": 60 },
            "telemetry": { "raw_days": 7, "minute_days": "many" },
            "site": "Quay 9",
        });
        let (values, refused) = overlay(&own(), &document);
        let telemetry = Telemetry { raw_days: 7, ..Telemetry::default() };
        assert_eq!(values, Values { level: "debug".into(), interval: 60, telemetry, ..own() });
        let keys: Vec<&str> = refused.keys().map(String::as_str).collect();
        assert_eq!(keys, ["log.colour", "site", "sync.poll_seconds", "telemetry.minute_days"]);
        assert_eq!(refused["sync.poll_seconds"], "is from 5 to 3600");
    }

    #[test]
    fn tiers_that_do_not_grow_are_refused_together() {
        let (values, refused) = overlay(&own(), &json!({ "telemetry": { "raw_days": 60, "hour_days": 800 } }));
        assert_eq!(values, own());
        assert_eq!(refused.len(), 2, "{refused:?}");
    }

    #[test]
    fn a_key_that_is_desired_no_more_is_as_the_settings_say() {
        let knobs = Knobs::new(&Settings::default());
        let heard = knobs.interval.subscribe();
        let desired =
            json!({ "pulse": { "interval": 42 }, "telemetry": { "raw_days": 9 }, "sync": { "poll_seconds": 90 } });
        knobs.apply(&desired);
        let report = knobs.report();
        for key in ["/pulse/interval", "/telemetry/raw_days", "/sync/poll_seconds"] {
            assert_eq!(report.pointer(key), desired.pointer(key), "{key}");
        }
        assert_eq!(*heard.borrow(), 42);
        knobs.apply(&json!({}));
        assert_eq!((knobs.report()["pulse"]["interval"].clone(), *heard.borrow()), (json!(10), 10));
    }

    proptest! {
        #[test]
        fn whatever_is_desired_leaves_values_within_their_bounds(
            numbers in proptest::collection::vec((0..settings::BOUNDS.len(), any::<i64>()), 0..8),
            level in "\\PC{0,12}",
        ) {
            let mut document = json!({ "log": { "level": level } });
            for (n, number) in numbers {
                let (section, key) = settings::BOUNDS[n].0.split_once('.').unwrap();
                // Mostly near the bounds, where it matters.
                document[section][key] = json!(if number % 3 == 0 { number } else { number % 4_000 });
            }
            let (values, _) = overlay(&own(), &document);
            prop_assert!(log::fault(&values.level).is_none());
            prop_assert_eq!(values.telemetry.fault(), None);
            let named = [
                (POLL, values.poll_seconds),
                (INTERVAL, values.interval),
                ("telemetry.raw_days", values.telemetry.raw_days),
                ("telemetry.minute_days", values.telemetry.minute_days),
                ("telemetry.hour_days", values.telemetry.hour_days),
            ];
            for (key, value) in named {
                prop_assert_eq!(settings::fault(key, value), None, "{}", key);
            }
        }
    }
}
