//! When whose upload is due: pure, by seed, so that it can be tested without a clock.

use std::time::Duration;

use crate::load::Arrivals;

/// SplitMix64, as in `planner` and `testkit`: one seed, one sequence, in every version.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Above 0, at most 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    fn share(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

/// An upload that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// After the beginning.
    pub(crate) at: Duration,
    pub(crate) user: usize,
}

/// All that is due until `end`, in order.
pub(crate) fn schedule(
    arrivals: Arrivals,
    users: usize,
    interval: Duration,
    end: Duration,
    seed: u64,
) -> Box<dyn Iterator<Item = Due> + Send> {
    if users == 0 || interval.is_zero() {
        return Box::new(std::iter::empty());
    }
    let count = u32::try_from(users).unwrap_or(u32::MAX);
    let within = move |due: &Due| due.at < end;
    let turn = move |round: u64| interval.mul_f64(precise(round));
    match arrivals {
        // Multiplied and not added up: a gap that is rounded to a nanosecond would drift.
        Arrivals::Even => Box::new(
            (0..)
                .flat_map(move |round| {
                    (0..users).map(move |user| Due {
                        at: turn(round) + interval.mul_f64(precise(user as u64) / f64::from(count)),
                        user,
                    })
                })
                .take_while(within),
        ),
        Arrivals::Together => Box::new(
            (0..).flat_map(move |round| (0..users).map(move |user| Due { at: turn(round), user })).take_while(within),
        ),
        Arrivals::Poisson => {
            let mut chance = Chance::new(seed);
            let mean = interval.as_secs_f64() / f64::from(count);
            let mut at = 0.0;
            let next = move || {
                at += -chance.share().ln() * mean;
                let user = usize::try_from(chance.next_u64() % users as u64).unwrap_or_default();
                Due { at: Duration::from_secs_f64(at), user }
            };
            Box::new(std::iter::repeat_with(next).take_while(within))
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "rounds and users of a run are far below 2^53")]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(arrivals: Arrivals, users: usize, seed: u64) -> Vec<Due> {
        schedule(arrivals, users, Duration::from_secs(1), Duration::from_secs(10), seed).collect()
    }

    #[test]
    fn even_arrivals_are_as_many_as_users_and_evenly_apart() {
        let dues = all(Arrivals::Even, 8, 1);
        assert_eq!(dues.len(), 80);
        for pair in dues.windows(2) {
            let gap = pair[1].at.saturating_sub(pair[0].at).as_micros();
            assert!((124_999..=125_001).contains(&gap), "{pair:?}");
        }
        assert_eq!(dues[8].user, 0);
    }

    #[test]
    fn a_class_comes_together() {
        let dues = all(Arrivals::Together, 8, 1);
        assert_eq!(dues.len(), 80);
        assert!(dues.chunks(8).all(|turn| turn.iter().all(|due| due.at == turn[0].at)));
    }

    #[test]
    fn chance_keeps_the_mean_and_the_seed() {
        let dues = all(Arrivals::Poisson, 500, 1);
        // 5,000 are due; the deviation is 71.
        assert!((4_700..5_300).contains(&dues.len()), "{}", dues.len());
        assert_eq!(dues, all(Arrivals::Poisson, 500, 1));
        assert_ne!(dues, all(Arrivals::Poisson, 500, 2));
    }

    #[test]
    fn nobody_is_due_where_there_is_nobody() {
        assert!(all(Arrivals::Even, 0, 1).is_empty());
    }
}
