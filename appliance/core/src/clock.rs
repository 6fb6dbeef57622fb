//! Time comes from here and nowhere else, so that a test can move it and a wrong clock can be noticed.
//!
//! A [`Timestamp`] is microseconds since the Unix epoch, UTC. [`Clock::now`] never goes backwards within a process: when
//! the machine's clock is set back, the last value is held until real time catches up, so that ids and audit entries
//! stay in order.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Later by so many microseconds; saturates.
    pub fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Later by so many seconds; saturates.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_micros(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds from `earlier` to this; negative when this one is earlier.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The UTC calendar date, `YYYY-MM-DD`.
    pub fn date(self) -> String {
        jiff::Timestamp::from_microsecond(self.0)
            .map(|t| jiff::tz::Offset::UTC.to_datetime(t).date().to_string())
            .unwrap_or_else(|_| "0000-00-00".to_owned())
    }

    /// RFC 3339 with microseconds and `Z`.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_microsecond(self.0).map(|t| t.to_string()).unwrap_or_else(|_| self.0.to_string())
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment; never earlier than an answer given before.
    fn now(&self) -> Timestamp;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock, held still when it is set back.
#[derive(Debug, Default)]
pub struct SystemClock {
    latest: AtomicI64,
}

impl SystemClock {
    /// A clock ready to be shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self::default())
    }

    /// What the machine says, even when that is earlier than before: for noticing a clock that was set back.
    pub fn raw() -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let now = std::time::SystemTime::now();
        let micros = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(d) => i64::try_from(d.as_micros()).unwrap_or(i64::MAX),
            Err(e) => -i64::try_from(e.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp(micros)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Self::raw().0;
        let before = self.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp(before.max(now))
    }
}

/// A clock that a test sets.
#[derive(Debug)]
pub struct ManualClock {
    at: AtomicI64,
}

impl ManualClock {
    /// Starts at `at`.
    pub fn new(at: Timestamp) -> Arc<Self> {
        Arc::new(Self { at: AtomicI64::new(at.0) })
    }

    /// Moves to `at`, backwards too.
    pub fn set(&self, at: Timestamp) {
        self.at.store(at.0, Ordering::SeqCst);
    }

    /// Moves on by so many microseconds.
    pub fn advance(&self, micros: i64) {
        self.at.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.at.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_utc() {
        let t = Timestamp(1_763_900_000_123_456);
        assert_eq!(t.date(), "2025-11-23");
        assert_eq!(t.rfc3339(), "2025-11-23T12:13:20.123456Z");
        assert_eq!(t.plus_seconds(1).since(t), 1_000_000);
    }

    #[test]
    fn system_clock_never_goes_back() {
        let clock = SystemClock { latest: AtomicI64::new(i64::MAX - 1) };
        assert_eq!(clock.now(), Timestamp(i64::MAX - 1));
    }
}
