//! What time it is, and whether the clock is to be believed.
//!
//! Leases in the catalog end by the clock on the wall. A clock that jumps ahead by years would end every one of them,
//! and a process that was stopped for a while would find its own ended before it can renew them. Both are seen here,
//! by comparing with a clock that cannot be set: for one lease after that nothing is taken back, so that whoever lives
//! can say so first.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::Clock;

pub(crate) struct Times {
    clock: Clock,
    lease: Duration,
    seen: Mutex<Seen>,
}

struct Seen {
    wall: Timestamp,
    steady: Instant,
    careful_until: Instant,
    heartbeat: Instant,
}

impl Times {
    pub(crate) fn new(clock: Clock, lease: Duration) -> Self {
        let steady = Instant::now();
        let seen = Seen { wall: clock(), steady, careful_until: steady, heartbeat: steady };
        Self { clock, lease, seen: Mutex::new(seen) }
    }

    /// The time by the clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.look().0
    }

    /// The time by the clock, and whether leases that have run out by it may be taken back.
    pub(crate) fn look(&self) -> (Timestamp, bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, steady) = ((self.clock)(), Instant::now());
        let went = wall.duration_since(seen.wall).as_millis();
        let passed = i128::try_from(steady.duration_since(seen.steady).as_millis()).unwrap_or(i128::MAX);
        if went.abs_diff(passed) > (self.lease / 4).as_millis() {
            tracing::warn!(jump_ms = i64::try_from(went - passed).unwrap_or(i64::MAX), "the clock jumped");
            seen.careful_until = steady + self.lease;
        }
        (seen.wall, seen.steady) = (wall, steady);
        let beats = steady.duration_since(seen.heartbeat) < self.lease * 2 / 3;
        (wall, beats && steady >= seen.careful_until)
    }

    /// Every claim of this process was renewed just now, or there is none.
    pub(crate) fn beat(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).heartbeat = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    #[test]
    fn nothing_is_taken_back_after_a_jump_or_without_a_heartbeat() {
        let second = Arc::new(AtomicI64::new(1_800_000_000));
        let clock: Clock = {
            let second = second.clone();
            Arc::new(move || Timestamp::from_second(second.load(Ordering::Relaxed)).unwrap())
        };
        for jump in [320_000_000, -320_000_000, 3600, -3600] {
            let times = Times::new(clock.clone(), Duration::from_secs(60));
            assert!(times.look().1);
            second.fetch_add(5, Ordering::Relaxed);
            assert!(times.look().1, "a little is no jump");
            second.fetch_add(jump, Ordering::Relaxed);
            let (now, believed) = times.look();
            assert_eq!(now.as_second(), second.load(Ordering::Relaxed));
            assert!(!believed, "{jump}");
            assert!(!times.look().1, "not yet");
            let mut seen = times.seen.lock().unwrap();
            seen.careful_until = Instant::now();
            drop(seen);
            assert!(times.look().1);
            times.seen.lock().unwrap().heartbeat = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
            assert!(!times.look().1);
            times.beat();
            assert!(times.look().1);
        }
    }
}
