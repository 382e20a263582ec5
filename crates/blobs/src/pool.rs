//! The bounded pools: of threads, that all disk work goes through, and of places, for requests to a bucket. What the app
//! meant by `WORKERS x THREADS`, but a slow phone holds no place in it: work takes one only while it touches the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::metrics::PoolMetrics;
use crate::{Error, Result};

/// A thread that has nothing to do stays for so long: where the system gives no new ones, there are some to work.
const IDLE_TIME: Duration = Duration::from_secs(3600);

/// Threads of its own: the next piece of work is begun by the one that ended the last, and nobody is woken for it.
#[derive(Clone)]
pub(crate) struct DiskPool(Arc<Threads>);

struct Threads {
    /// For its threads alone; none only while it is dropped.
    runtime: Option<Runtime>,
    workers: usize,
    active: AtomicUsize,
    line: Arc<Line>,
}

impl DiskPool {
    pub(crate) fn new(workers: usize, queue_max: usize, metrics: PoolMetrics) -> Result<Self> {
        let workers = workers.max(1);
        let mut builder = Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(workers).thread_name("disk").thread_keep_alive(IDLE_TIME).build()?;
        let line = Line::new(queue_max, metrics);
        Ok(Self(Arc::new(Threads { runtime: Some(runtime), workers, active: AtomicUsize::new(0), line })))
    }

    pub(crate) fn queue(&self) -> (usize, usize) {
        self.0.line.queue()
    }

    /// [`Error::Overloaded`] where as much waits as may: asked by whoever has not begun.
    pub(crate) fn refuse_if_full(&self) -> Result<()> {
        self.0.line.refuse_if_full(self.0.active.load(Ordering::Relaxed) >= self.0.workers)
    }

    /// Runs `work` when a thread is free, however much waits: what was begun is ended, for a refusal would waste all that
    /// a slow phone has sent, or leave litter. Dropped before it began, it is not begun.
    pub(crate) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        let (tell, outcome) = oneshot::channel();
        let _abandoned = self.begin(Box::new(move |active| {
            let done = work();
            // Whoever is told may ask at once whether a thread is free.
            drop(active);
            // Nobody waiting any more is fine: it is done all the same.
            drop(tell.send(done));
        }))?;
        outcome.await.map_err(|_| Error::Io(std::io::Error::other("a piece of disk work broke off")))?
    }

    /// Without types, so that it is compiled once and not for each piece of work.
    fn begin(&self, work: Box<dyn FnOnce(Active) + Send>) -> Result<Abandoned> {
        let threads = self.0.clone();
        let waiting = threads.line.wait();
        let runtime = self.0.runtime.as_ref().ok_or(Error::Stopped)?;
        Ok(Abandoned(runtime.spawn_blocking(move || {
            drop(waiting);
            work(Active::of(threads));
        })))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // It may be one of its own threads that has the last of it, or an async one: neither may wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Nobody waits any more for what was not begun.
struct Abandoned(JoinHandle<()>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Counts one operation as under way for as long as it lives.
struct Active(Arc<Threads>);

impl Active {
    fn of(threads: Arc<Threads>) -> Self {
        threads.active.fetch_add(1, Ordering::Relaxed);
        threads.line.metrics.active.inc();
        Self(threads)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
        self.0.line.metrics.active.dec();
    }
}

/// Places without threads, for work that waits for somebody else.
pub(crate) struct Places {
    permits: Arc<Semaphore>,
    line: Arc<Line>,
}

/// One of them, given back when it is dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    active: Gauge,
}

impl Places {
    pub(crate) fn new(places: usize, queue_max: usize, metrics: PoolMetrics) -> Self {
        Self { permits: Arc::new(Semaphore::new(places.max(1))), line: Line::new(queue_max, metrics) }
    }

    pub(crate) fn queue(&self) -> (usize, usize) {
        self.line.queue()
    }

    /// As [`DiskPool::refuse_if_full`].
    pub(crate) fn refuse_if_full(&self) -> Result<()> {
        self.line.refuse_if_full(self.permits.available_permits() == 0)
    }

    /// Waits for a place, however much waits.
    pub(crate) async fn place(&self) -> Result<Place> {
        let waiting = self.line.wait();
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
        drop(waiting);
        self.line.metrics.active.inc();
        Ok(Place { _permit: permit, active: self.line.metrics.active.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.active.dec();
    }
}

/// Who waits.
struct Line {
    waiting: AtomicUsize,
    queue_max: usize,
    metrics: PoolMetrics,
}

impl Line {
    fn new(queue_max: usize, metrics: PoolMetrics) -> Arc<Self> {
        Arc::new(Self { waiting: AtomicUsize::new(0), queue_max, metrics })
    }

    fn queue(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.queue_max)
    }

    fn refuse_if_full(&self, all_work: bool) -> Result<()> {
        let is_full = all_work && self.waiting.load(Ordering::Relaxed) >= self.queue_max;
        if is_full { Err(Error::Overloaded) } else { Ok(()) }
    }

    fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.metrics.queue.inc();
        Waiting { line: self.clone(), since: Instant::now() }
    }
}

/// Counts one operation as waiting for as long as it lives, so that a client who leaves is not counted for ever.
struct Waiting {
    line: Arc<Line>,
    since: Instant,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.line.waiting.fetch_sub(1, Ordering::Relaxed);
        self.line.metrics.queue.dec();
        self.line.metrics.wait_seconds.observe(self.since.elapsed().as_secs_f64());
    }
}
