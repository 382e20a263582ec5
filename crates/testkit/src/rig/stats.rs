//! Figures from samples.

use std::time::Duration;

/// Durations gathered one by one.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub fn extend(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sample below which `share` (of 100) of all lie, in milliseconds; 0 without samples.
    pub fn percentile_ms(&self, share: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * share).div_ceil(100).max(1) - 1;
        sorted.get(at).map_or(0.0, |sample| sample.as_secs_f64() * 1000.0)
    }

    pub fn max_ms(&self) -> f64 {
        self.percentile_ms(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut samples = Samples::default();
        assert!(samples.percentile_ms(99).abs() < f64::EPSILON);
        for ms in (1..=100).rev() {
            samples.push(Duration::from_millis(ms));
        }
        for (share, want) in [(50, 50.0), (99, 99.0), (100, 100.0)] {
            assert!((samples.percentile_ms(share) - want).abs() < 1e-9);
        }
    }
}
