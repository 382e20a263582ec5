//! Chance that can be repeated: `SplitMix64`, the same on every machine and in every version of this program.

/// A stream of numbers that is the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 up to and without 1, in steps of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        // Without 0, whose logarithm is no time.
        -mean * (1.0 - self.unit()).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_spreads_are_those_of_the_distributions() {
        let mut random = Random::new(7);
        let samples: Vec<f64> = (0..200_000).map(|_| random.exponential(2.0)).collect();
        let mean = samples.iter().sum::<f64>() / 200_000.0;
        let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / 200_000.0;
        // Four standard errors: 2/sqrt(200000) and sqrt(8)*4/sqrt(200000).
        assert!((mean - 2.0).abs() < 0.018, "{mean}");
        assert!((variance - 4.0).abs() < 0.11, "{variance}");
        let units = (0..200_000).map(|_| random.unit()).sum::<f64>() / 200_000.0;
        assert!((units - 0.5).abs() < 0.003, "{units}");
    }
}
