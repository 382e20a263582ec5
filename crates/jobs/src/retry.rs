//! How long to wait: before a failed task is run again, and before what is out of order is tried again.

use std::fmt::Display;
use std::time::Duration;

use crate::RetryPolicy;

/// Longest wait that a run may ask for.
const ASKED_MAX: Duration = Duration::from_secs(24 * 3600);

/// Wait before the next run of a task that failed in its `attempts`th: doubled each time, with jitter in its upper half
/// so that what failed together does not come back together.
pub(crate) fn delay(policy: &RetryPolicy, attempts: u32, asked: Option<Duration>, random: u64) -> Duration {
    let doubled = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    let full = policy.delay_min.saturating_mul(doubled).min(policy.delay_max);
    let half = full / 2;
    let thousandths = u32::try_from(random % 1001).unwrap_or(0);
    let jittered = half + half * thousandths / 1000;
    jittered.max(asked.unwrap_or_default().min(ASKED_MAX))
}

/// A number nobody can foresee; the middle where the system has none to give.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(500)
}

const TROUBLE_MIN: Duration = Duration::from_millis(100);
const TROUBLE_MAX: Duration = Duration::from_secs(5);

/// Something that is out of order now and may be well again: waits grow, and only the change is logged.
pub(crate) struct Trouble {
    what: String,
    wait: Option<Duration>,
}

impl Trouble {
    pub(crate) fn new(what: String) -> Self {
        Self { what, wait: None }
    }

    /// It failed, once more; how long to wait.
    pub(crate) fn met(&mut self, error: &dyn Display) -> Duration {
        let wait = match self.wait {
            None => {
                tracing::warn!(what = self.what, %error, "tasks: trouble; tried again until it passes");
                TROUBLE_MIN
            }
            Some(before) => (before * 2).min(TROUBLE_MAX),
        };
        self.wait = Some(wait);
        wait
    }

    /// It works.
    pub(crate) fn over(&mut self) {
        if self.wait.take().is_some() {
            tracing::info!(what = self.what, "tasks: the trouble is over");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy =
        RetryPolicy { attempts_max: 9, delay_min: Duration::from_secs(2), delay_max: Duration::from_secs(60) };

    #[test]
    fn the_wait_doubles_up_to_its_limit_with_jitter_in_its_upper_half() {
        for (attempts, most) in [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (40, 60), (u32::MAX, 60)] {
            let most = Duration::from_secs(most);
            assert_eq!(delay(&POLICY, attempts, None, 0), most / 2, "{attempts}");
            assert_eq!(delay(&POLICY, attempts, None, 1000), most, "{attempts}");
            for random in 0..2000 {
                assert!((most / 2..=most).contains(&delay(&POLICY, attempts, None, random)));
            }
        }
    }

    #[test]
    fn a_longer_wait_that_was_asked_for_is_kept_within_reason() {
        let asked = |seconds| delay(&POLICY, 1, Some(Duration::from_secs(seconds)), 1000);
        assert_eq!(asked(1), Duration::from_secs(2));
        assert_eq!(asked(600), Duration::from_secs(600));
        assert_eq!(asked(u64::MAX), ASKED_MAX);
    }

    #[test]
    fn trouble_waits_longer_each_time_until_it_is_over() {
        let mut trouble = Trouble::new("test".to_owned());
        let waits: Vec<_> = (0..8).map(|_| trouble.met(&"no").as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        trouble.over();
        assert_eq!(trouble.met(&"no").as_millis(), 100);
    }
}
