//! What events out measure of themselves. Sinks are known by name; no address and no path is.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Outcome;

type Labels<const N: usize> = [(&'static str, String); N];

#[derive(Clone)]
pub(crate) struct Metrics {
    attempts: Family<Labels<2>, Counter>,
    seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    pub(crate) celery_queue_length: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            attempts: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15))),
            celery_queue_length: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("event_attempts", "Attempts to deliver an event, by sink and outcome", self.attempts.clone());
        registry.register("event_attempt_seconds", "Time of one attempt to deliver an event", self.seconds.clone());
        registry.register(
            "celery_queue_length",
            "Messages in Celery's queue after the newest event: one that only grows has no worker",
            self.celery_queue_length.clone(),
        );
    }

    /// Counts an attempt. `sink` is one of the configured names: a name from elsewhere would be a label without limit.
    pub(crate) fn attempted(&self, sink: &str, outcome: &Outcome, took: Duration) {
        let word = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Retry { .. } => "retry",
            Outcome::Failed { .. } => "failed",
        };
        self.attempts.get_or_create(&[("sink", sink.to_owned()), ("outcome", word.to_owned())]).inc();
        self.seconds.get_or_create(&[("sink", sink.to_owned())]).observe(took.as_secs_f64());
    }
}
