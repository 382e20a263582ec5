//! What the catalog measures of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Metrics of one open catalog; clones share their values.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) commit_seconds: Histogram,
    pub(crate) commit_requests: Histogram,
    pub(crate) write_queue: Gauge,
    pub(crate) write_failures: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            commit_requests: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            write_queue: Gauge::default(),
            write_failures: Counter::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "commit_seconds",
            "Time of one commit of the catalog, its fsync included",
            self.commit_seconds.clone(),
        );
        registry.register("commit_requests", "Writes made durable by one commit", self.commit_requests.clone());
        registry.register("catalog_write_queue", "Writes waiting for the catalog", self.write_queue.clone());
        registry.register("catalog_write_failures", "Commits that failed", self.write_failures.clone());
    }
}
