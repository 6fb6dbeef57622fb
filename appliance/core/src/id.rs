//! Ids are UUIDv7 (RFC 9562 §5.7): they sort by the time they were made, which keeps b-trees compact and lists in order.

use uuid::Uuid;

use crate::clock::Clock;

/// A new id at the clock's present.
pub fn new(clock: &dyn Clock) -> Uuid {
    let micros = clock.now().0.max(0).unsigned_abs();
    let seconds = micros / 1_000_000;
    // The remainder is below 10^6, so the product is below 10^9.
    let nanos = (micros % 1_000_000) as u32 * 1_000;
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    #[test]
    fn ids_sort_by_time() {
        let clock = ManualClock::new(Timestamp(1_000_000));
        let a = new(&*clock);
        clock.advance(2_000);
        let b = new(&*clock);
        assert!(a < b);
        assert_eq!(a.get_version_num(), 7);
    }
}
