//! What is learned from a simulation.

use serde::Serialize;

/// Percentiles of times, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many times these are of.
    pub samples: usize,
    /// Their mean.
    pub mean: f64,
    /// Half take less.
    pub p50: f64,
    /// 95 of 100 take less.
    pub p95: f64,
    /// 99 of 100 take less.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Percentiles {
    pub(super) fn of(mut samples: Vec<f64>) -> Self {
        if samples.is_empty() {
            return Self::default();
        }
        samples.sort_unstable_by(f64::total_cmp);
        let at = |share: usize| samples[(samples.len() * share).div_ceil(100).max(1) - 1];
        Self {
            samples: samples.len(),
            mean: samples.iter().sum::<f64>() / samples.len() as f64,
            p50: at(50),
            p95: at(95),
            p99: at(99),
            max: at(100),
        }
    }
}

/// The system at one moment, and what happened since the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Moment {
    /// Seconds from the start.
    pub at: f64,
    /// Nodes alive.
    pub nodes: usize,
    /// Tries begun since.
    pub tries: u64,
    /// Uploads answered since.
    pub answered: u64,
    /// 503s since.
    pub refused: u64,
    /// Uploads under way.
    pub in_flight: usize,
    /// Of them, waiting for a core.
    pub waiting_for_core: usize,
    /// Of them, waiting for the disk.
    pub waiting_for_disk: usize,
    /// Of them, waiting for the catalog.
    pub waiting_for_catalog: usize,
    /// Photos not yet processed.
    pub backlog: usize,
    /// The share of the nodes' cores that is busy at this moment.
    pub cores_busy: f64,
}

/// The whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Photos that came.
    pub begun: u64,
    /// Photos answered.
    pub answered: u64,
    /// 503s given; their photos come again.
    pub refused: u64,
    /// Tries cut off by a node that died, or that found none alive; their photos come again.
    pub cut: u64,
    /// Photos that stayed with their client after the last try.
    pub given_up: u64,
    /// Photos under way, or waiting to come again, at the end.
    pub unfinished: u64,
    /// Photos answered a second, after the warm-up.
    pub answered_per_second: f64,
    /// From the first try to the answer, as a participant sees it.
    pub answer_seconds: Percentiles,
    /// From the last byte to the answer, of the try that was answered: what the servers make of it.
    pub server_seconds: Percentiles,
    /// The share of the nodes' cores that uploads used.
    pub cores_used_by_uploads: f64,
    /// The share that decoding used.
    pub cores_used_by_decoding: f64,
    /// The share of the database's cores in use, where it has its own.
    pub database_cores_used: f64,
    /// Commits of SQLite's writer.
    pub commits: u64,
    /// Writes in them.
    pub writes: u64,
    /// Photos processed.
    pub processed: u64,
    /// From the answer until the photo was processed.
    pub processed_after_seconds: Percentiles,
    /// Photos not yet processed at the end.
    pub backlog: usize,
    /// Most uploads under way at once, on all nodes.
    pub in_flight_max: usize,
    /// How it went.
    pub timeline: Vec<Moment>,
}
