//! What the store in a bucket measures of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::metrics::PoolMetrics;

#[derive(Clone, Debug)]
pub(super) struct Metrics {
    pub(super) request_seconds: Histogram,
    pub(super) failures: Counter,
    pub(super) retries: Counter,
    pub(super) requests: PoolMetrics,
}

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            request_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            failures: Counter::default(),
            retries: Counter::default(),
            requests: PoolMetrics::new(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "s3_request_seconds",
            "Time until S3 began to answer a request",
            self.request_seconds.clone(),
        );
        registry.register("s3_failures", "Requests that S3 did not answer or refused", self.failures.clone());
        registry.register("s3_retries", "Operations tried again", self.retries.clone());
        registry.register("s3_queue", "Operations waiting for their turn", self.requests.queue.clone());
        registry.register("s3_active", "Operations under way", self.requests.active.clone());
    }
}
