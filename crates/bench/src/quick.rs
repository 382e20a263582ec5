//! The quick route, asked by the clock.
//!
//! **Promises** threads of its own: on those that hold ten thousand slow uploads a request waits for its turn before it is
//! sent, and its answer before it is seen. That wait is this client's, and would be told as the server's.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::drive::{Run, by_clock, place};
use crate::load::Arrivals;
use crate::schedule::schedule;

/// Most quick requests under way at once.
pub(crate) const IN_FLIGHT_MAX: u32 = 1024;

/// Its connections live as long as it does.
pub(crate) struct Asker(Option<Runtime>);

impl Asker {
    pub(crate) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        Ok(Self(Some(builder.worker_threads(1).thread_name("quick").enable_all().build()?)))
    }

    /// Asks from `warm_up` before `begin`, for `how_long` after it, and waits for the answers.
    pub(crate) fn ask(&self, run: &Arc<Run>, begin: Instant, warm_up: Duration, how_long: Duration) -> JoinHandle<()> {
        let (run, handle) = (run.clone(), self.0.as_ref().map(|runtime| runtime.handle().clone()));
        tokio::task::spawn_blocking(move || {
            let Some(handle) = handle else { return };
            let first = begin.checked_sub(warm_up).unwrap_or(begin);
            let places = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
            let dues = schedule(Arrivals::Even, 1, run.load.quick_interval, warm_up + how_long, 0);
            by_clock(first, dues, &run.stop, |due| {
                let Some(permit) = place(&handle, &places, &run.held_back) else { return };
                let run = run.clone();
                handle.spawn(async move {
                    run.ask_quickly(begin, first + due.at).await;
                    drop(permit);
                });
            });
            let _all = handle.block_on(places.acquire_many(IN_FLIGHT_MAX)).is_ok();
        })
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        // Dropped on an async thread, where nothing may be waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
