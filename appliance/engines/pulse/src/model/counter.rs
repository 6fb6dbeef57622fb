//! From counters that only grow to rates per second.
//!
//! A counter goes back for two reasons: it wrapped at its width, or its owner restarted. Guessing between them is how
//! charts get spikes of terabits; so a wrap is believed only of a 32-bit counter whose owner is known not to have
//! restarted, and everything else that goes back yields no rate for that interval (RFC 2578 §7.1.6, RFC 3635 §3.2.2).

use crate::model::SECOND;

/// How many bits a counter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Counter32: wraps in 34 s on a full gigabit line.
    Bits32,
    /// Counter64: does not wrap in practice (RFC 2863 §3.1.6), so one that goes back was reset.
    Bits64,
}

/// The last reading of a counter of whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counter {
    last: Option<(i64, u64)>,
}

impl Counter {
    /// Takes a reading at `at` (µs) and answers the rate per second since the one before, where one is known.
    /// `restarted` says that the owner restarted in between.
    pub fn advance(&mut self, at: i64, value: u64, width: Width, restarted: bool) -> Option<f64> {
        let (before_at, before) = match self.last {
            Some(last) if at > last.0 => last,
            Some(_) => return None,
            None => {
                self.last = Some((at, value));
                return None;
            }
        };
        self.last = Some((at, value));
        if restarted {
            return None;
        }
        let grown = if value >= before {
            value - before
        } else if width == Width::Bits32 && before <= u64::from(u32::MAX) {
            (1 << 32) - before + value
        } else {
            return None;
        };
        Some(per_second(grown as f64, at - before_at))
    }
}

/// The last reading of a counter that may hold fractions, as Prometheus exporters have them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Total {
    last: Option<(i64, f64)>,
}

impl Total {
    /// Takes a reading and answers the rate per second since the one before. A total that goes back was reset to zero,
    /// so what it shows has grown since (the rule of Prometheus' `rate`).
    pub fn advance(&mut self, at: i64, value: f64) -> Option<f64> {
        if !value.is_finite() || value < 0.0 {
            return None;
        }
        let (before_at, before) = match self.last {
            Some(last) if at > last.0 => last,
            Some(_) => return None,
            None => {
                self.last = Some((at, value));
                return None;
            }
        };
        self.last = Some((at, value));
        let grown = if value >= before { value - before } else { value };
        Some(per_second(grown, at - before_at))
    }
}

fn per_second(grown: f64, micros: i64) -> f64 {
    grown * SECOND as f64 / micros as f64
}

/// Whether an agent restarted between two readings of its `sysUpTime` (hundredths of a second, 32 bits). The up-time
/// itself wraps after 497 days, which is not a restart: then the sum of the old value and the elapsed time passes 2^32.
pub fn restarted(before: u32, now: u32, elapsed_micros: i64) -> bool {
    if now >= before {
        return false;
    }
    // A minute of grace: agents count time with clocks of their own.
    let reached = i64::from(before) + elapsed_micros / 10_000 + 6_000;
    reached < (1 << 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rate_over_a_wrap() {
        let mut counter = Counter::default();
        assert_eq!(counter.advance(0, u64::from(u32::MAX) - 99, Width::Bits32, false), None);
        assert_eq!(counter.advance(SECOND, 100, Width::Bits32, false), Some(200.0));
    }

    #[test]
    fn a_restart_yields_no_rate_and_the_next_reading_does() {
        let mut counter = Counter::default();
        counter.advance(0, 5_000, Width::Bits64, false);
        assert_eq!(counter.advance(SECOND, 10, Width::Bits64, true), None);
        assert_eq!(counter.advance(2 * SECOND, 30, Width::Bits64, false), Some(20.0));
    }

    #[test]
    fn sixty_four_bits_going_back_is_a_reset() {
        let mut counter = Counter::default();
        counter.advance(0, 5_000, Width::Bits64, false);
        assert_eq!(counter.advance(SECOND, 4_999, Width::Bits64, false), None);
    }

    #[test]
    fn up_time_tells_restart_from_wrap() {
        assert!(!restarted(100, 200, SECOND));
        assert!(restarted(1_000_000, 500, 60 * SECOND));
        assert!(!restarted(u32::MAX - 1_000, 4_000, 50 * SECOND));
    }

    proptest! {
        /// Whatever a real 32-bit counter does, the rates add up to what it counted as long as its owner lives.
        #[test]
        fn rates_add_up(start in 0u64..(1 << 32), steps in prop::collection::vec((1i64..600, 0u64..(1 << 31)), 1..50)) {
            let mut counter = Counter::default();
            let (mut at, mut truth) = (0i64, start);
            counter.advance(at, truth % (1 << 32), Width::Bits32, false);
            for (seconds, grown) in steps {
                at += seconds * SECOND;
                truth += grown;
                let rate = counter.advance(at, truth % (1 << 32), Width::Bits32, false).expect("the owner lives");
                let counted = rate * seconds as f64;
                prop_assert!((counted - grown as f64).abs() <= 1e-6 * (grown as f64).max(1.0));
            }
        }

        /// No reading whatever makes a rate that is negative or not a number.
        #[test]
        fn rates_are_sane(readings in prop::collection::vec((any::<i32>(), any::<u64>(), any::<bool>(), any::<bool>()), 0..60)) {
            let mut counter = Counter::default();
            let mut total = Total::default();
            for (at, value, wide, restart) in readings {
                let width = if wide { Width::Bits64 } else { Width::Bits32 };
                for rate in [counter.advance(i64::from(at), value, width, restart), total.advance(i64::from(at), value as f64)]
                    .into_iter()
                    .flatten()
                {
                    prop_assert!(rate.is_finite() && rate >= 0.0);
                }
            }
        }
    }
}
