//! The pool: who may decode, in which child, with how much memory.
//!
//! **Promises** that there are never more children than places nor more memory handed out than the budget; that both
//! come back however a decode ends, and only when its child can no longer use them; that who came first goes first, so
//! that small photos never keep a large one waiting for ever.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout};

use crate::answer::{body_bytes_max, words};
use crate::metrics::{Counted, Metrics, Outcome as Ended};
use crate::process::Process;
use crate::protocol::{Operation, Outcome, Request, WireRecipe};
use crate::spawner::Spawner;
use crate::{DecodeError, DecoderOptions, Protections};

/// How long a child without work is kept: longer than the pauses within an upload, short enough to give memory back.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// One permit of the memory budget.
const UNIT_BYTES: u64 = 1024 * 1024;

/// As people and the documentation count them.
const MEGABYTE: u64 = 1_000_000;

/// What the clones of a `Decoder` share.
pub(crate) struct Pool {
    options: DecoderOptions,
    recipe: WireRecipe,
    places: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    memory_units_max: u32,
    idle: Mutex<Idle>,
    spawner: Spawner,
    protections: OnceLock<Protections>,
    pub(crate) metrics: Metrics,
}

#[derive(Default)]
struct Idle {
    /// The one that worked last is last, and is taken first: the others may fall idle for good.
    processes: Vec<(Instant, Process)>,
    /// Whether a task watches over them.
    watched: bool,
}

/// What a decode holds while it runs, given back together.
struct Held {
    _place: OwnedSemaphorePermit,
    _memory: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Pool {
    pub(crate) fn new(options: DecoderOptions) -> Self {
        let units = u32::try_from(options.memory_bytes_max / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        // A semaphore takes fewer permits than u32 has on a 32-bit machine, and never fewer than this.
        let memory_units_max = units.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self {
            recipe: WireRecipe::from(&options.recipe),
            places: Arc::new(Semaphore::new(options.processes_max.clamp(1, Semaphore::MAX_PERMITS))),
            memory: Arc::new(Semaphore::new(memory_units_max as usize)),
            memory_units_max,
            idle: Mutex::default(),
            spawner: Spawner::default(),
            protections: OnceLock::new(),
            metrics: Metrics::new(),
            options,
        }
    }

    pub(crate) const fn options(&self) -> &DecoderOptions {
        &self.options
    }

    pub(crate) fn protections(&self) -> Option<&Protections> {
        self.protections.get()
    }

    /// Has a child do something with a photo. `judge` tells whether what came back can be an answer.
    pub(crate) async fn ask<T>(
        self: &Arc<Self>,
        operation: Operation,
        photo: Vec<u8>,
        judge: impl FnOnce(Outcome, Vec<u8>) -> io::Result<T>,
    ) -> Result<T, DecodeError> {
        let (photo, units) = self.weigh(operation, photo).await?;
        let mut lease = self.lease(units).await?;
        let request = Request { operation, recipe: self.recipe.clone(), memory_bytes: u64::from(units) * UNIT_BYTES };
        let body_bytes_max = body_bytes_max(operation, &self.options.recipe, photo.len());
        let began = Instant::now();
        let exchange = lease.process()?.exchange(&request, &photo, body_bytes_max);
        let answered = timeout(self.options.timeout, exchange).await;
        self.metrics.took(began.elapsed());
        let Ok(answered) = answered else {
            lease.kill().await;
            return Err(self.took_too_long());
        };
        let believed = answered.and_then(|(answer, body)| Ok((answer.leaving, believe(answer.outcome, body, judge)?)));
        match believed {
            Ok((leaving, outcome)) => {
                lease.give_back(leaving).await;
                match outcome {
                    Ok(_) => self.metrics.ended(Ended::Decoded),
                    Err(ref error) => self.count(error),
                }
                outcome
            }
            Err(error) => Err(self.died(lease.end(&error, request.memory_bytes).await)),
        }
    }

    /// How much of the budget the photo needs, by its header.
    async fn weigh(&self, operation: Operation, photo: Vec<u8>) -> Result<(Vec<u8>, u32), DecodeError> {
        let recipe = self.options.recipe.clone();
        // The walk over a large photo takes milliseconds, which other connections must not wait for.
        let weighed = tokio::task::spawn_blocking(move || {
            let held_bytes = photo.len() as u64;
            let bytes = match operation {
                Operation::Develop | Operation::Verify => imaging::memory_bytes(&photo, &recipe),
                // It decodes nothing: it takes the photo apart and puts it together again.
                Operation::Strip => Ok(held_bytes.saturating_mul(2)),
            };
            (photo, bytes.map(|bytes| bytes.saturating_add(held_bytes)))
        });
        let (photo, bytes) =
            weighed.await.map_err(|error| self.died(format!("the photo was not looked at: {error}")))?;
        let bytes = bytes.map_err(|error| self.counted(error.into()))?;
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).max(1);
        if units > self.memory_units_max {
            return Err(self.counted(DecodeError::Undecodable(format!(
                "the photo needs {} MB of memory to decode; processing.decode_memory_bytes_max allows {} MB",
                // Up and down: a photo just over a budget does not need 64 MB of 64 MB.
                bytes.div_ceil(MEGABYTE),
                self.options.memory_bytes_max / MEGABYTE,
            ))));
        }
        Ok((photo, units))
    }

    /// A child with its place and its memory, as soon as there is one.
    async fn lease(self: &Arc<Self>, units: u32) -> Result<Lease, DecodeError> {
        let waits = self.metrics.waits();
        let closed = |_| DecodeError::Died("the decoder is closed".to_owned());
        // The place first: memory that waits for a place would be counted as in use.
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(closed)?;
        let memory = Arc::clone(&self.memory).acquire_many_owned(units).await.map_err(closed)?;
        drop(waits);
        let counted = self.metrics.memory(u64::from(units) * UNIT_BYTES);
        let held = Held { _place: place, _memory: memory, _counted: counted };
        let process = match self.take_idle() {
            Some(process) => process,
            None => self.start().await?,
        };
        Ok(Lease { pool: Arc::clone(self), process: Some(process), held: Some(held) })
    }

    fn take_idle(&self) -> Option<Process> {
        loop {
            let (_, mut process) = self.lock_idle().processes.pop()?;
            if process.is_alive() {
                return Some(process);
            }
            tracing::warn!("a decoder died while it had nothing to do");
        }
    }

    async fn start(&self) -> Result<Process, DecodeError> {
        let started = Process::start(&self.options, &self.spawner, self.metrics.child()).await;
        let (process, protections) = started.map_err(|why| self.died(why))?;
        self.protections.get_or_init(|| {
            if protections.all_hold() {
                tracing::info!("decoders run confined: {protections}");
            } else {
                tracing::warn!("decoders run less confined than they could: {protections}");
            }
            protections
        });
        Ok(process)
    }

    /// Starts a child unless one is there, so that what confines it is known.
    pub(crate) async fn warm_up(self: &Arc<Self>) -> Result<(), DecodeError> {
        self.lease(1).await?.give_back(false).await;
        Ok(())
    }

    fn died(&self, why: String) -> DecodeError {
        tracing::warn!("{why}");
        self.counted(DecodeError::Died(why))
    }

    fn took_too_long(&self) -> DecodeError {
        let seconds = self.options.timeout.as_secs_f64();
        tracing::warn!(seconds, "a decoder was killed: it took too long");
        self.metrics.ended(Ended::TimedOut);
        DecodeError::Died(format!("decoding took longer than {seconds} s"))
    }

    fn counted(&self, error: DecodeError) -> DecodeError {
        self.count(&error);
        error
    }

    fn count(&self, error: &DecodeError) {
        self.metrics.ended(match error {
            DecodeError::Undecodable(_) => Ended::Undecodable,
            DecodeError::Unsupported(_) => Ended::Unsupported,
            DecodeError::Died(_) => Ended::Died,
        });
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_idle(self: &Arc<Self>, process: Process) {
        let mut idle = self.lock_idle();
        idle.processes.push((Instant::now(), process));
        if !idle.watched {
            idle.watched = true;
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// Takes out those that were idle too long; says when to look again, or never where none is left.
    fn expired(&self) -> (Vec<Process>, Option<Instant>) {
        let mut idle = self.lock_idle();
        let now = Instant::now();
        let stay = |since: &Instant| now.duration_since(*since) < IDLE_MAX;
        let expired = idle.processes.extract_if(.., |(since, _)| !stay(since)).map(|(_, process)| process).collect();
        let next = idle.processes.iter().map(|(since, _)| *since + IDLE_MAX).min();
        idle.watched = next.is_some();
        (expired, next)
    }
}

/// Takes a child's word for a refusal, and has everything else judged.
fn believe<T>(
    outcome: Outcome,
    body: Vec<u8>,
    judge: impl FnOnce(Outcome, Vec<u8>) -> io::Result<T>,
) -> io::Result<Result<T, DecodeError>> {
    Ok(match outcome {
        Outcome::Undecodable(why) => Err(DecodeError::Undecodable(words(&why))),
        Outcome::Unsupported(why) => Err(DecodeError::Unsupported(words(&why))),
        outcome => Ok(judge(outcome, body)?),
    })
}

/// Ends the children that have been idle too long, until none is idle. It does not keep the pool alive.
async fn watch(pool: Weak<Pool>) {
    loop {
        let Some((expired, next)) = pool.upgrade().map(|pool| pool.expired()) else { return };
        for mut process in expired {
            process.kill().await;
        }
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}

/// A child at work. However this ends, the child is either idle again or dead before its place and memory are free.
struct Lease {
    pool: Arc<Pool>,
    process: Option<Process>,
    held: Option<Held>,
}

impl Lease {
    fn process(&mut self) -> Result<&mut Process, DecodeError> {
        self.process.as_mut().ok_or_else(|| DecodeError::Died("the decoder is gone".to_owned()))
    }

    async fn give_back(mut self, leaving: bool) {
        if leaving {
            self.kill().await;
        } else if let Some(process) = self.process.take() {
            self.pool.put_idle(process);
        }
    }

    async fn kill(&mut self) {
        if let Some(process) = self.process.as_mut() {
            process.kill().await;
        }
        self.process = None;
    }

    async fn end(&mut self, error: &io::Error, memory_bytes: u64) -> String {
        let why = match self.process.as_mut() {
            Some(process) => process.end(error, memory_bytes).await,
            None => "the decoder is gone".to_owned(),
        };
        self.process = None;
        why
    }
}

impl Drop for Lease {
    /// Whoever waited for the photo went away: the child is in the middle of it and of no use any more.
    fn drop(&mut self) {
        let (Some(mut process), held) = (self.process.take(), self.held.take()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                process.kill().await;
                drop(held);
            });
        }
    }
}
