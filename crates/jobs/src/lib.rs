//! Tasks: who runs them, again and again until they end.
//!
//! **Owns** the running of tasks by this process: a lane for each kind, claims, heartbeats, retries, dead letters,
//! draining; and the two ways on which a task comes here, the catalog itself or Redis.
//! **Promises** that a task runs at least once and that its effect happens once; that one that kills its worker ends as
//! a dead letter; that a slow kind holds up no other; that neither a full catalog, nor a lost Redis, nor a clock that
//! jumps, ends the running or loses a task; that after [`Jobs::run`] nothing of this process is under way; that where
//! there is nothing to do nothing is written.
//! **Leaves** to others: the rows and what ends one (`records`), what a task does ([`Work`]).

mod embedded;
mod held;
mod lane;
mod metrics;
mod redis;
mod retry;
mod run;
mod stop;
mod times;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use records::{Claim, ClaimTerms, Effect, Records, TaskKind};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::embedded::Embedded;
use crate::held::Held;
use crate::lane::run_lane;
use crate::metrics::Metrics;
use crate::redis::{Redis, Server};
use crate::retry::Trouble;
use crate::stop::Stop;
use crate::times::Times;

/// Tells the time. Passed in, so that tests can say what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How often a failing task is run, and how long it waits in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Runs, the first included; then a dead letter.
    pub attempts_max: u32,
    /// Wait after the first failure; doubled after each further one, with jitter.
    pub delay_min: Duration,
    /// Longest wait.
    pub delay_max: Duration,
}

/// Tasks of one kind: how many at once, and how they are retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Tasks run at once by this process; 0: none.
    pub parallel: usize,
    /// What happens to those that fail.
    pub retry: RetryPolicy,
}

/// Redis as the transport.
#[derive(Clone)]
pub struct RedisOptions {
    /// As in `redis://:password@host:6379/0`.
    pub url: String,
    /// What every key begins with.
    pub key_prefix: String,
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the URL: it may hold a password.
        f.debug_struct("RedisOptions").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}

/// How tasks are run by this process.
#[derive(Clone, Debug)]
pub struct JobsOptions {
    /// Who claims: `serve/<uuid>` or `worker/<uuid>`.
    pub worker: String,
    /// Workers whose name begins with this are known to be dead: what they held is taken back at once.
    pub dead_workers_prefix: Option<String>,
    /// How long a claim holds without a heartbeat.
    pub lease: Duration,
    /// How often to look for what other processes recorded.
    pub poll: Duration,
    /// How long running tasks may go on once the process is told to stop.
    pub drain: Duration,
    /// Captures to be processed.
    pub process: Lane,
    /// Events to be delivered.
    pub deliver: Lane,
    /// Sweeps.
    pub sweep: Lane,
    /// `None`: the catalog itself.
    pub redis: Option<RedisOptions>,
}

/// How a run went.
#[derive(Debug)]
pub enum Outcome {
    /// Done; the effect takes place together with the task's end, or not at all.
    Success(Effect),
    /// Failed in a way that may pass.
    Retry {
        /// For a person.
        error: String,
        /// Not before this; `None`: as the policy says.
        after: Option<Duration>,
    },
    /// Not run after all, and no fault of the task: no attempt is counted, however often.
    Postpone {
        /// For a person.
        error: String,
        /// Not before this.
        after: Duration,
    },
    /// Failed for good: a dead letter.
    Failure {
        /// For a person.
        error: String,
    },
}

/// What runs tasks.
pub trait Work: Send + Sync + 'static {
    /// Runs one task. Dropped in the middle where the lease is lost or the drain is over: what it made outside the
    /// catalog by then must be such that a sweep finds it.
    fn run(&self, claim: Claim) -> impl Future<Output = Outcome> + Send;
    /// The effect of this run did not take place: what it made outside the catalog is to be removed.
    fn discard(&self, claim: Claim, effect: Effect) -> impl Future<Output = ()> + Send;
    /// The task succeeded, its effect holds: what it replaced outside the catalog may go. A crash may come before this;
    /// a sweep does it then.
    fn settled(&self, _claim: Claim) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why tasks cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] records::Error),
    /// The transport cannot be used; the text names no secret.
    #[error("redis: {0}")]
    Redis(String),
}

/// The running of tasks by this process. Cheap to clone.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
    server: Option<Server>,
}

/// What all lanes share.
pub(crate) struct Shared {
    pub(crate) records: Records,
    pub(crate) options: JobsOptions,
    pub(crate) times: Times,
    pub(crate) held: Arc<Held>,
    pub(crate) metrics: Metrics,
}

impl JobsOptions {
    fn lane(&self, kind: TaskKind) -> Lane {
        match kind {
            TaskKind::Process => self.process,
            TaskKind::Deliver => self.deliver,
            TaskKind::Sweep => self.sweep,
        }
    }
}

impl Shared {
    fn lease(&self) -> SignedDuration {
        SignedDuration::try_from(self.options.lease).unwrap_or(SignedDuration::MAX)
    }

    /// On which terms this process claims tasks of a kind now, and the time now.
    fn terms(&self, kind: TaskKind) -> (ClaimTerms, Timestamp) {
        let (now, takes_back) = self.times.look();
        let terms = ClaimTerms {
            kind,
            worker: self.options.worker.clone(),
            lease: self.lease(),
            attempts_max: self.options.lane(kind).retry.attempts_max,
            takes_back,
        };
        (terms, now)
    }
}

impl Jobs {
    /// Opens the transport.
    ///
    /// # Errors
    /// Where Redis refuses us or its URL is none. A Redis that is away is waited for, by the tasks alone.
    pub async fn open(records: Records, options: JobsOptions, clock: Clock) -> Result<Self, Error> {
        let server = match &options.redis {
            Some(redis) => Some(Server::open(redis).await?),
            None => None,
        };
        let times = Times::new(clock, options.lease);
        let shared = Shared { records, options, times, held: Arc::default(), metrics: Metrics::new() };
        Ok(Self { shared: Arc::new(shared), server })
    }

    /// Runs tasks until `stop` says `true`, then lets those under way end, at most for the drain time, and hands the
    /// rest back.
    pub async fn run<W: Work>(self, work: Arc<W>, stop: watch::Receiver<bool>) {
        let stop = Stop::new(stop);
        self.put_in_order(stop.clone()).await;
        let mut lanes = JoinSet::new();
        for kind in TaskKind::ALL {
            let (shared, work, stop) = (self.shared.clone(), work.clone(), stop.clone());
            let is_idle = shared.options.lane(kind).parallel == 0;
            match &self.server {
                // Also where none is run here: what is recorded here goes to the others' workers.
                Some(server) => {
                    let engine = Redis::new(shared.clone(), server, kind, stop.clone());
                    lanes.spawn(run_lane(shared, kind, engine, work, stop));
                }
                None if is_idle => {}
                None => {
                    lanes.spawn(run_lane(shared.clone(), kind, Embedded::new(shared, kind), work, stop));
                }
            }
        }
        // They outlive `stop`: what drains is renewed.
        let (drained, until_drained) = watch::channel(false);
        let mut helpers = JoinSet::new();
        helpers.spawn(held::keep_alive(self.shared.clone(), Stop::new(until_drained.clone())));
        helpers.spawn(count(self.shared.clone(), Stop::new(until_drained)));
        while let Some(ended) = lanes.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a lane ended before its time");
            }
        }
        drained.send_replace(true);
        helpers.join_all().await;
    }

    /// Before the first claim: what the dead held is free, and a sweep will come.
    async fn put_in_order(&self, mut stop: Stop) {
        let mut trouble = Trouble::new("catalog (start)".to_owned());
        while !stop.is_said() {
            let Err(error) = self.try_put_in_order().await else { return trouble.over() };
            stop.sleep(trouble.met(&error)).await;
        }
    }

    /// Takes back what workers held that are known to be dead. [`Jobs::run`] does it first of all; who must know before
    /// that what nobody holds any more asks for it earlier.
    pub async fn take_back(&self) -> records::Result<()> {
        let Shared { records, options, times, .. } = &*self.shared;
        if let Some(prefix) = &options.dead_workers_prefix {
            for kind in TaskKind::ALL {
                let attempts_max = options.lane(kind).retry.attempts_max;
                let taken = records.take_back_from(kind, prefix.clone(), attempts_max, times.now()).await?;
                if taken > 0 {
                    tracing::info!(kind = kind.as_str(), taken, "tasks of an earlier process are taken back");
                }
            }
        }
        Ok(())
    }

    async fn try_put_in_order(&self) -> records::Result<()> {
        self.take_back().await?;
        if self.shared.options.sweep.parallel > 0 {
            self.shared.records.ensure_sweep(self.shared.times.now()).await?;
        }
        Ok(())
    }

    /// Adds the queue's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.shared.metrics.register(registry);
    }
}

/// Between two countings of tasks; and as many times as long as counting took, so that a long queue is not made longer.
const COUNT_EVERY: Duration = Duration::from_secs(5);
const COUNT_SHARE: u32 = 50;

async fn count(shared: Arc<Shared>, mut stop: Stop) {
    let mut trouble = Trouble::new("catalog (counting)".to_owned());
    loop {
        let began = std::time::Instant::now();
        let wait = match shared.records.count_tasks().await {
            Ok(counts) => {
                trouble.over();
                shared.metrics.counted(&counts);
                COUNT_EVERY.max(began.elapsed() * COUNT_SHARE)
            }
            Err(error) => trouble.met(&error).max(COUNT_EVERY),
        };
        if stop.sleep(wait).await {
            return;
        }
    }
}
