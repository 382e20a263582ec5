//! Counting while it runs, in memory that does not grow with the requests.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::client::Failure;
use crate::load::Verdict;
use crate::report::Times;

/// Different refusals that are kept apart; a server that puts something new into each code would fill the memory.
const REFUSALS_MAX: usize = 50;
/// Three digits, from a microsecond to an hour.
const HOUR_US: u64 = 3_600_000_000;
/// Pieces of the timeline, at most.
const BINS_MAX: f64 = 60.0;

/// A histogram of times.
#[derive(Clone, Debug)]
pub(crate) struct Clockings(Histogram<u64>);

impl Clockings {
    pub(crate) fn new() -> Self {
        Self::with_digits(3)
    }

    #[allow(clippy::expect_used, reason = "bounds and digits are constants, and a test makes both histograms")]
    fn with_digits(digits: u8) -> Self {
        Self(Histogram::new_with_bounds(1, HOUR_US, digits).expect("bounds that fit"))
    }

    pub(crate) fn push(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(HOUR_US).max(1));
    }

    pub(crate) fn times(&self) -> Times {
        let at = |quantile: f64| if self.0.is_empty() { 0.0 } else { seconds(self.0.value_at_quantile(quantile)) };
        Times {
            samples: self.0.len(),
            mean: if self.0.is_empty() { 0.0 } else { self.0.mean() / 1e6 },
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: at(1.0),
        }
    }

    /// The curve by percentiles, closer together towards the end, as far as the samples carry it.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.iter_quantiles(5).map(|step| (step.quantile_iterated_to(), seconds(step.value_iterated_to()))).collect()
    }

    /// Counts between powers of 10^(1/10): what a histogram on a logarithmic axis shows.
    pub(crate) fn steps(&self) -> Vec<(f64, f64, u64)> {
        let mut steps = Vec::new();
        if self.0.is_empty() {
            return steps;
        }
        let bound = |step: i32| 10_f64.powf(f64::from(step) / 10.0);
        let mut step = 0;
        while bound(step + 1) < micro(self.0.min()) {
            step += 1;
        }
        let mut below = 0;
        while bound(step) <= micro(self.0.max()) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "microseconds below an hour")]
            let up_to = self.0.count_between(0, bound(step + 1).ceil() as u64 - 1);
            steps.push((bound(step) / 1e6, bound(step + 1) / 1e6, up_to - below));
            below = up_to;
            step += 1;
        }
        steps
    }
}

#[allow(clippy::cast_precision_loss, reason = "at most an hour of microseconds")]
fn micro(value: u64) -> f64 {
    value as f64
}

fn seconds(value: u64) -> f64 {
    micro(value) / 1e6
}

/// A piece of the timeline, by when its uploads were due.
#[derive(Clone, Debug)]
pub(crate) struct Bin {
    pub(crate) due: u64,
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) latency: Clockings,
}

/// What came of one upload.
pub(crate) struct Outcome {
    pub(crate) verdict: Result<Verdict, Failure>,
    /// Since it was due.
    pub(crate) latency: Duration,
    /// Since it was sent.
    pub(crate) from_sending: Duration,
    /// How late it was sent.
    pub(crate) lag: Duration,
    /// When its answer came, after the measuring began.
    pub(crate) answered_at: Duration,
}

/// The measured uploads.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    window: Duration,
    bin: f64,
    pub(crate) bins: Vec<Bin>,
    pub(crate) due: u64,
    pub(crate) taken: u64,
    pub(crate) taken_in_time: u64,
    pub(crate) stored_in_time: u64,
    pub(crate) stored: u64,
    pub(crate) queued: u64,
    pub(crate) skipped: u64,
    pub(crate) refusals: BTreeMap<String, (u64, String)>,
    pub(crate) failures: BTreeMap<Failure, u64>,
    pub(crate) latency: Clockings,
    pub(crate) from_sending: Clockings,
    pub(crate) refused_after: Clockings,
    pub(crate) lag: Clockings,
}

impl Tally {
    pub(crate) fn new(window: Duration) -> Self {
        let lengths = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
        let fits = |length: &f64| window.as_secs_f64() / length <= BINS_MAX;
        Self {
            window,
            bin: lengths.into_iter().find(fits).unwrap_or(3600.0),
            bins: Vec::new(),
            due: 0,
            taken: 0,
            taken_in_time: 0,
            stored_in_time: 0,
            stored: 0,
            queued: 0,
            skipped: 0,
            refusals: BTreeMap::new(),
            failures: BTreeMap::new(),
            latency: Clockings::new(),
            from_sending: Clockings::new(),
            refused_after: Clockings::new(),
            lag: Clockings::new(),
        }
    }

    pub(crate) const fn bin_seconds(&self) -> f64 {
        self.bin
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refusals.values().map(|(count, _)| count).sum()
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// An upload became due, so long after the measuring began.
    pub(crate) fn due(&mut self, at: Duration) {
        self.due += 1;
        if let Some(bin) = self.bin(at) {
            bin.due += 1;
        }
    }

    pub(crate) fn push(&mut self, due_at: Duration, outcome: Outcome) {
        self.lag.push(outcome.lag);
        let is_in_time = outcome.answered_at <= self.window;
        match outcome.verdict {
            Ok(Verdict::Taken { stored, queued, skipped }) => {
                self.taken += 1;
                self.stored += stored;
                self.queued += queued;
                self.skipped += skipped;
                if is_in_time {
                    self.taken_in_time += 1;
                    self.stored_in_time += stored + queued;
                }
                self.latency.push(outcome.latency);
                self.from_sending.push(outcome.from_sending);
                if let Some(bin) = self.bin(due_at) {
                    bin.taken += 1;
                    bin.latency.push(outcome.latency);
                }
            }
            Ok(Verdict::Refused { code, words }) => {
                self.refused_after.push(outcome.from_sending);
                let is_known = self.refusals.contains_key(&code) || self.refusals.len() < REFUSALS_MAX;
                let code = if is_known { code } else { "others".to_owned() };
                self.refusals.entry(code).or_insert((0, words)).0 += 1;
                if let Some(bin) = self.bin(due_at) {
                    bin.refused += 1;
                }
            }
            Err(failure) => {
                *self.failures.entry(failure).or_default() += 1;
                if let Some(bin) = self.bin(due_at) {
                    bin.failed += 1;
                }
            }
        }
    }

    fn bin(&mut self, at: Duration) -> Option<&mut Bin> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below BINS_MAX, checked below")]
        let index = (at.as_secs_f64() / self.bin) as usize;
        if index > 4096 {
            return None;
        }
        while self.bins.len() <= index {
            let latency = Clockings::with_digits(2);
            self.bins.push(Bin { due: 0, taken: 0, refused: 0, failed: 0, latency });
        }
        self.bins.get_mut(index)
    }
}

/// The quick route, asked alone or beside the load.
#[derive(Clone, Debug)]
pub(crate) struct QuickTally {
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    pub(crate) latency: Clockings,
}

impl QuickTally {
    pub(crate) fn new() -> Self {
        Self { asked: 0, answered: 0, refused: 0, failed: 0, latency: Clockings::new() }
    }

    pub(crate) fn push(&mut self, outcome: Result<bool, Failure>, latency: Duration) {
        self.asked += 1;
        match outcome {
            Ok(true) => {
                self.answered += 1;
                self.latency.push(latency);
            }
            Ok(false) => self.refused += 1,
            Err(_) => self.failed += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_keeps_every_sample_and_three_digits() {
        let mut clockings = Clockings::new();
        for millisecond in 1..=1000 {
            clockings.push(Duration::from_millis(millisecond));
        }
        let times = clockings.times();
        assert_eq!(times.samples, 1000);
        for (found, wanted) in [(times.p50, 0.5), (times.p99, 0.99), (times.max, 1.0)] {
            assert!((found / wanted - 1.0).abs() < 0.002, "{found} is not {wanted}");
        }
        let steps = clockings.steps();
        assert_eq!(steps.iter().map(|(_, _, count)| count).sum::<u64>(), 1000);
        assert!(steps.iter().all(|(from, to, _)| from < to), "{steps:?}");
        assert!(clockings.curve().windows(2).all(|pair| pair[0].1 <= pair[1].1));
    }

    #[test]
    fn the_timeline_has_at_most_so_many_pieces() {
        for seconds in [1, 30, 3_600, 86_400] {
            let tally = Tally::new(Duration::from_secs(seconds));
            assert!(Duration::from_secs(seconds).as_secs_f64() / tally.bin_seconds() <= BINS_MAX);
        }
    }
}
