//! The bounded pool that all disk work goes through: what the app meant by `WORKERS x THREADS`, but a slow phone holds
//! no place in it. Work takes a place only while it touches the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::PoolMetrics;
use crate::{Error, Result};

#[derive(Clone)]
pub(crate) struct DiskPool {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    queue_max: usize,
    metrics: PoolMetrics,
}

/// A place in a pool, given back when it is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _active: Active,
}

impl DiskPool {
    pub(crate) fn new(workers: usize, queue_max: usize, metrics: PoolMetrics) -> Self {
        Self { places: Arc::new(Semaphore::new(workers.max(1))), waiting: Arc::default(), queue_max, metrics }
    }

    pub(crate) fn queue(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.queue_max)
    }

    /// [`Error::Overloaded`] where as much waits as may: asked by whoever has not begun.
    pub(crate) fn refuse_if_full(&self) -> Result<()> {
        if self.places.available_permits() == 0 && self.waiting.load(Ordering::Relaxed) >= self.queue_max {
            return Err(Error::Overloaded);
        }
        Ok(())
    }

    /// Runs `work` when a place is free, however much waits: what was begun is ended, for a refusal would waste all that
    /// a slow phone has sent, or leave litter.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let place = self.place().await?;
        tokio::task::spawn_blocking(move || {
            // Given back by the thread that did the work, also when nobody waits for the answer any more.
            let _held = place;
            work()
        })
        .await
        .map_err(|error| Error::Io(std::io::Error::other(error)))?
    }

    /// Waits for a place, however much waits.
    pub(crate) async fn place(&self) -> Result<Place> {
        let permit = if let Ok(permit) = self.places.clone().try_acquire_owned() {
            permit
        } else {
            let waiting = Waiting::new(self);
            let permit = self.places.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
            drop(waiting);
            permit
        };
        Ok(Place { _permit: permit, _active: Active::new(&self.metrics) })
    }
}

/// Counts one operation as under way for as long as it lives.
struct Active(Gauge);

impl Active {
    fn new(metrics: &PoolMetrics) -> Self {
        metrics.active.inc();
        Self(metrics.active.clone())
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
        pool.metrics.queue.inc();
        Self { pool, since: Instant::now() }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.waiting.fetch_sub(1, Ordering::Relaxed);
        self.pool.metrics.queue.dec();
        self.pool.metrics.wait_seconds.observe(self.since.elapsed().as_secs_f64());
    }
}
