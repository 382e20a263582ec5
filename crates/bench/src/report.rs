//! What came of a run, as programs read it. `docs/bench.md` says what each member means; members are added, and none
//! changes its meaning or goes while [`FORMAT`] stays.

use serde::Serialize;

/// The name of this shape.
pub const FORMAT: &str = "filmgate-bench/1";

/// A run's figures. Times are seconds, sizes bytes.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Report {
    pub format: &'static str,
    pub program: String,
    pub url: String,
    /// RFC 3339.
    pub began_at: String,
    pub is_interrupted: bool,
    pub load: LoadFigures,
    pub uploads: Uploads,
    pub quick: Option<Quick>,
    pub slow: Option<SlowFigures>,
    pub client: ClientFigures,
    pub timeline: Timeline,
    /// Latency of what was taken: how many between two bounds.
    pub histogram: Vec<Step>,
    pub percentiles: Percentiles,
    /// Captures stored in all: measured, before it, and by slow uploads; what the server's catalog must have more.
    pub captures_stored_in_all: u64,
    /// Tasks queued in all, likewise.
    pub tasks_queued_in_all: u64,
    /// What whoever reads the figures must know first.
    pub warnings: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct LoadFigures {
    #[serde(rename = "loop")]
    pub kind: &'static str,
    pub users: usize,
    pub sessions: usize,
    pub interval_seconds: f64,
    pub arrivals: &'static str,
    pub duration_seconds: f64,
    pub warm_up_seconds: f64,
    pub photo: &'static str,
    pub photo_bytes: usize,
    pub slow_uploads: usize,
    pub slow_bytes_per_second: u32,
    pub quick_interval_seconds: f64,
    pub give_up_after_seconds: f64,
    pub in_flight_max: usize,
    pub seed: u64,
}

/// What became of the measured uploads.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Uploads {
    pub due: u64,
    pub taken: u64,
    pub refused: u64,
    pub failed: u64,
    pub captures_stored: u64,
    pub tasks_queued: u64,
    pub captures_skipped: u64,
    pub due_per_second: f64,
    pub taken_per_second: f64,
    pub photos_per_second: f64,
    pub bytes_per_second: f64,
    /// Since each was due.
    pub latency_seconds: Times,
    /// Since each was sent.
    pub from_sending_seconds: Times,
    pub refused_after_seconds: Times,
    pub refusals: Vec<Counted>,
    pub failures: Vec<Counted>,
}

/// A code and how often it came.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Counted {
    pub code: String,
    pub count: u64,
    /// What the server said the first time.
    pub words: String,
}

/// Percentiles of a time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Times {
    pub samples: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// The quick route.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Quick {
    pub route: String,
    pub alone: Option<QuickFigures>,
    pub beside: QuickFigures,
    pub p99_ratio: Option<f64>,
}

/// The quick route at one time.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct QuickFigures {
    pub asked: u64,
    pub answered: u64,
    pub refused: u64,
    pub failed: u64,
    pub latency_seconds: Times,
}

/// The slow uploads.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct SlowFigures {
    pub asked_for: usize,
    pub held_at_begin: usize,
    pub held_at_end: usize,
    pub opening_seconds: f64,
    pub captures_stored: u64,
    pub tasks_queued: u64,
    pub let_go: u64,
    pub refusals: Vec<Counted>,
    pub failures: Vec<Counted>,
}

/// What the client used, and whether it kept up.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct ClientFigures {
    pub is_bottleneck: bool,
    /// How late each upload was sent.
    pub lag_seconds: Times,
    pub threads: usize,
    pub cpu_seconds: f64,
    pub cpu_share: f64,
    pub waited_for_cpu_seconds: f64,
    pub connections_opened: u64,
}

/// What happened when, by when uploads were due.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Timeline {
    pub bin_seconds: f64,
    pub bins: Vec<Bin>,
}

/// A piece of the timeline.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Bin {
    pub at_seconds: f64,
    pub due: u64,
    pub taken: u64,
    pub refused: u64,
    pub failed: u64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// How many lie between two times.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Step {
    pub from_seconds: f64,
    pub to_seconds: f64,
    pub count: u64,
}

/// Curves: which share was at most how long.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Percentiles {
    pub latency: Vec<Quantile>,
    pub from_sending: Vec<Quantile>,
    pub quick_alone: Vec<Quantile>,
    pub quick_beside: Vec<Quantile>,
}

/// A point of a curve.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "docs/bench.md says what each member means")]
pub struct Quantile {
    pub quantile: f64,
    pub seconds: f64,
}

impl Report {
    /// Whether every upload and every quick request was answered as it should be.
    pub fn is_clean(&self) -> bool {
        let slow_is_clean = self.slow.as_ref().is_none_or(|slow| slow.refusals.is_empty() && slow.failures.is_empty());
        let quick_is_clean =
            self.quick.as_ref().is_none_or(|quick| quick.beside.refused == 0 && quick.beside.failed == 0);
        self.uploads.refused == 0 && self.uploads.failed == 0 && slow_is_clean && quick_is_clean
    }
}
