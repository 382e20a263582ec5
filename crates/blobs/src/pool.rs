//! The bounded pool that all disk work goes through: what the app meant by `WORKERS x THREADS`, but a slow phone holds
//! no place in it. Work takes a place only while it touches the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::{Error, Result};

#[derive(Clone)]
pub(crate) struct DiskPool {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    queue_max: usize,
    metrics: Metrics,
}

impl DiskPool {
    pub(crate) fn new(workers: usize, queue_max: usize, metrics: Metrics) -> Self {
        Self { places: Arc::new(Semaphore::new(workers.max(1))), waiting: Arc::default(), queue_max, metrics }
    }

    pub(crate) fn queue(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.queue_max)
    }

    /// Runs `work` when a place is free; [`Error::Overloaded`] at once where too much waits already.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        if self.places.available_permits() == 0 && self.waiting.load(Ordering::Relaxed) >= self.queue_max {
            return Err(Error::Overloaded);
        }
        self.run_always(work).await
    }

    /// Runs `work` however much waits: for what ends something that was begun, where refusing would leave litter.
    pub(crate) async fn run_always<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let place = if let Ok(place) = self.places.clone().try_acquire_owned() {
            place
        } else {
            let waiting = Waiting::new(self);
            let place = self.places.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
            drop(waiting);
            place
        };
        let active = Active::new(&self.metrics);
        tokio::task::spawn_blocking(move || {
            // Both are given back by the thread that did the work, also when nobody waits for the answer any more.
            let _held = (place, active);
            work()
        })
        .await
        .map_err(|error| Error::Io(std::io::Error::other(error)))?
    }
}

/// Counts one operation as under way for as long as it lives.
struct Active(Gauge);

impl Active {
    fn new(metrics: &Metrics) -> Self {
        metrics.disk_active.inc();
        Self(metrics.disk_active.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts one operation as waiting for as long as it lives, so that a client who leaves is not counted for ever.
struct Waiting<'pool> {
    pool: &'pool DiskPool,
    since: Instant,
}

impl<'pool> Waiting<'pool> {
    fn new(pool: &'pool DiskPool) -> Self {
        pool.waiting.fetch_add(1, Ordering::Relaxed);
        pool.metrics.disk_queue.inc();
        Self { pool, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.waiting.fetch_sub(1, Ordering::Relaxed);
        self.pool.metrics.disk_queue.dec();
        self.pool.metrics.disk_wait_seconds.observe(self.since.elapsed().as_secs_f64());
    }
}
