//! What the pool measures of itself.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

/// How a photo's decoding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Decoded,
    Undecodable,
    Unsupported,
    Died,
    TimedOut,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Decoded, Self::Undecodable, Self::Unsupported, Self::Died, Self::TimedOut];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Decoded => "decoded",
            Self::Undecodable => "undecodable",
            Self::Unsupported => "unsupported",
            Self::Died => "died",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Metrics of one pool; clones share their values.
#[derive(Clone)]
pub(crate) struct Metrics {
    decodes: Family<Ended, Counter>,
    decode_seconds: Histogram,
    children: Gauge,
    memory_bytes: Gauge,
    waiting: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let decodes = Family::default();
        // All outcomes are there from the start: an alert on one that never came before would not see its first.
        for outcome in Outcome::ALL {
            drop(decodes.get_or_create(&Ended { outcome: outcome.as_str() }));
        }
        Self {
            decodes,
            decode_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            children: Gauge::default(),
            memory_bytes: Gauge::default(),
            waiting: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("decodes", "Photos handed to the decoder, by how it ended", self.decodes.clone());
        registry.register(
            "decode_seconds",
            "Time of one decode in its child process, without waiting for a place",
            self.decode_seconds.clone(),
        );
        registry.register("decoder_children", "Child processes of the decoder alive", self.children.clone());
        registry.register("decoder_memory_bytes", "Bytes of the decoders' budget in use", self.memory_bytes.clone());
        registry.register("decoder_waiting", "Photos waiting for a child or for memory", self.waiting.clone());
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        self.decodes.get_or_create(&Ended { outcome: outcome.as_str() }).inc();
    }

    pub(crate) fn took(&self, time: Duration) {
        self.decode_seconds.observe(time.as_secs_f64());
    }

    pub(crate) fn child(&self) -> Counted {
        Counted::add(&self.children, 1)
    }

    pub(crate) fn memory(&self, bytes: u64) -> Counted {
        Counted::add(&self.memory_bytes, i64::try_from(bytes).unwrap_or(i64::MAX))
    }

    pub(crate) fn waits(&self) -> Counted {
        Counted::add(&self.waiting, 1)
    }
}

/// Counted in a gauge for as long as it lives: a future that is dropped must not leave the gauge up.
pub(crate) struct Counted {
    gauge: Gauge,
    by: i64,
}

impl Counted {
    fn add(gauge: &Gauge, by: i64) -> Self {
        gauge.inc_by(by);
        Self { gauge: gauge.clone(), by }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.dec_by(self.by);
    }
}
