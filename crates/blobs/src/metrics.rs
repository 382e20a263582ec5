//! What the store measures of itself.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Metrics of one open store; clones share their values.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) file_fsync_seconds: Histogram,
    pub(crate) directory_fsync_seconds: Histogram,
    pub(crate) disk: PoolMetrics,
    pub(crate) staging_files: Gauge,
}

/// Metrics of a pool of places.
#[derive(Clone, Debug)]
pub(crate) struct PoolMetrics {
    pub(crate) wait_seconds: Histogram,
    pub(crate) queue: Gauge,
    pub(crate) active: Gauge,
}

impl PoolMetrics {
    pub(crate) fn new() -> Self {
        Self { wait_seconds: times(), queue: Gauge::default(), active: Gauge::default() }
    }
}

/// From 50 µs to some 6 s.
pub(crate) fn times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 18))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            file_fsync_seconds: times(),
            directory_fsync_seconds: times(),
            disk: PoolMetrics::new(),
            staging_files: Gauge::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("file_fsync_seconds", "Time of one fsync of a photo", self.file_fsync_seconds.clone());
        registry.register(
            "directory_fsync_seconds",
            "Time of one fsync of a directory, shared by the photos renamed into it meanwhile",
            self.directory_fsync_seconds.clone(),
        );
        registry.register(
            "disk_wait_seconds",
            "Time that disk work waited for a worker",
            self.disk.wait_seconds.clone(),
        );
        registry.register("disk_queue", "Disk operations waiting for a worker", self.disk.queue.clone());
        registry.register("disk_active", "Disk operations under way", self.disk.active.clone());
        registry.register("staging_files", "Staging files on disk", self.staging_files.clone());
    }
}
