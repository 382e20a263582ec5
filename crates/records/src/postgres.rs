//! The engine for several nodes: PostgreSQL 15 or later, a pool of connections. Knows no table.
//!
//! **Promises** that a request whose transaction could not be committed is run again, for as long as it may wait
//! (`unavailable_after`): on another connection where one was lost, at once where two requests met; that a write whose
//! commit was sent and never answered is either proven by the request itself when it is run again
//! ([`Db::is_in_doubt`]) or reported as [`Error::OutcomeUnknown`]; that an error tells neither a password nor a value
//! of a row.
//! **Leaves** to the server: isolation (READ COMMITTED) and durability. A request that reads what must not change
//! before it is committed says so ([`Db::for_share`]).
//!
//! Every request is one transaction: the server commits those of one moment together by itself.

mod schema;
mod session;
mod wake;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::Config;

use self::session::{Failure, Uncommitted, failure_of};
pub(crate) use self::session::{Session, value};
use crate::db::Db;
use crate::metrics::Metrics;
use crate::request::Request;
use crate::tasks::Changes;
use crate::{Error, Result, Sync};

/// How to reach a catalog on a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresOptions {
    /// As in `postgres://user:password@host:5432/database`.
    pub url: String,
    /// Certificate authorities that the server's certificate is checked against, as PEM; `None`: the system's own.
    pub tls_ca_pem: Option<Vec<u8>>,
    /// Connections at once.
    pub connections_max: usize,
    /// How long a request waits for a server that is away.
    pub unavailable_after: Duration,
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the URL: it may hold a password.
        f.debug_struct("PostgresOptions").field("connections_max", &self.connections_max).finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// Whether a catalog's URL names a PostgreSQL server.
    pub fn is_url(url: &str) -> bool {
        url.starts_with("postgres://") || url.starts_with("postgresql://")
    }

    /// Whether it can be read; if not, why, without any value in it.
    pub fn check_url(url: &str) -> Result<(), String> {
        let why = |error: &tokio_postgres::Error| {
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            format!("is no address of a PostgreSQL database: {cause}")
        };
        let config = url.parse::<Config>().map_err(|error| why(&error))?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none() {
            return Err("is no address of a PostgreSQL database: host or database is missing".to_owned());
        }
        Ok(())
    }

    /// Where the server is, without a password: for messages.
    pub fn place(&self) -> String {
        self.url.parse().map_or_else(|_| "an URL that cannot be read".to_owned(), |config| session::place(&config))
    }
}

/// Between two tries to reach a server that is away.
const AGAIN: Duration = Duration::from_millis(100);
/// How often two requests may meet before one is given up.
const MEETINGS_MAX: u32 = 20;
/// A UNIQUE rule broken again and again is nobody's haste.
const DUPLICATES_MAX: u32 = 3;

#[derive(Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    unavailable_after: Duration,
    closed: AtomicBool,
    /// Since when no request has got through.
    away: Mutex<Option<Instant>>,
    metrics: Metrics,
    waking: Mutex<Option<JoinHandle<()>>>,
}

/// How one run of a request went.
enum Run {
    /// To its end, whose outcome it keeps itself. `is_engine_error`: that is an error which proves nothing of a run
    /// before it.
    Done { is_engine_error: bool },
    /// The engine failed around it.
    Failed(Error),
    /// Nothing was committed: the connection was lost, or another request was in the way.
    Again(Error, Failure),
    /// The commit was sent, and nothing was heard of it.
    InDoubt(Error),
}

impl Engine {
    pub(crate) async fn open(options: &PostgresOptions, sync: Sync, changes: Arc<Changes>) -> Result<Self> {
        let config = session::config(options, sync)?;
        let tls = session::tls(options)?;
        let manager = Manager::from_config(
            config.clone(),
            tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(options.connections_max.max(1))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unavailable(error.to_string()))?;
        let shared = Arc::new(Shared {
            pool,
            unavailable_after: options.unavailable_after,
            closed: AtomicBool::new(false),
            away: Mutex::default(),
            metrics: Metrics::new(),
            waking: Mutex::default(),
        });
        let engine = Self { shared };
        schema::migrate(&engine).await?;
        let waking = tokio::spawn(wake::run(config, tls, changes));
        *engine.shared.waking.lock().unwrap_or_else(PoisonError::into_inner) = Some(waking);
        Ok(engine)
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// For how long no request has reached the server.
    pub(crate) fn away(&self) -> Duration {
        let since = *self.shared.away.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn heard(&self, reached: bool) {
        let mut away = self.shared.away.lock().unwrap_or_else(PoisonError::into_inner);
        match (*away, reached) {
            (Some(since), true) => {
                let seconds = since.elapsed().as_secs();
                tracing::info!(seconds, "catalog: the PostgreSQL server is back");
                *away = None;
            }
            (None, false) => *away = Some(Instant::now()),
            _ => {}
        }
    }

    /// A connection, as soon as there is one.
    async fn connection(&self, deadline: Instant) -> Result<Object> {
        loop {
            if self.is_closed() {
                return Err(Error::Stopped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let timeouts = Timeouts { wait: Some(left), create: Some(left), recycle: Some(left) };
            let error = match self.shared.pool.timeout_get(&timeouts).await {
                Ok(connection) => return Ok(connection),
                Err(error) => session::pool_error(&error),
            };
            // A wrong password or a missing database does not mend itself in a moment.
            if !matches!(error, Error::Unavailable(_)) || left <= AGAIN {
                return Err(error);
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.unavailable_after
    }

    /// Runs `query` on a connection of the pool, off the async threads.
    pub(crate) async fn read(&self, query: Box<dyn Request>) -> Result<()> {
        self.run(false, query, |session, query| match query.run(&Db::Postgres(session)) {
            Ok(()) => Run::Done { is_engine_error: false },
            Err(error) => Run::refused(error),
        })
        .await
    }

    /// Runs `request` in a transaction of its own. `again`: a request that was perhaps committed may be run again.
    pub(crate) async fn write(&self, again: bool, request: Box<dyn Request>) -> Result<()> {
        let metrics = &self.shared.metrics;
        metrics.write_queue.inc();
        let counted = metrics.clone();
        let outcome = self.run(again, request, move |session, request| transact(session, request, &counted)).await;
        metrics.write_queue.dec();
        outcome
    }

    /// Answers `request`, or fails where its own outcome does not count.
    async fn run(
        &self,
        may_rerun_in_doubt: bool,
        mut request: Box<dyn Request>,
        run: impl Fn(&Session, &mut dyn Request) -> Run + Clone + Send + 'static,
    ) -> Result<()> {
        let deadline = self.deadline();
        let (mut doubt, mut meetings) = (None::<String>, 0);
        loop {
            let given_up = |error: Error, doubt: Option<String>| match doubt {
                Some(doubt) => Error::OutcomeUnknown(doubt),
                None => error,
            };
            let connection = match self.connection(deadline).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.heard(!matches!(error, Error::Unavailable(_)));
                    return Err(given_up(error, doubt));
                }
            };
            let session = Session::new(connection, Handle::current(), doubt.is_some());
            let go = run.clone();
            let ran = tokio::task::spawn_blocking(move || {
                let outcome = go(&session, &mut *request);
                session.put_back(matches!(outcome, Run::Done { .. } | Run::Failed(_) | Run::Again(_, Failure::Met)));
                (outcome, request)
            });
            let (outcome, returned) =
                ran.await.map_err(|error| Error::Conflict(format!("a request to the catalog broke off: {error}")))?;
            request = returned;
            self.heard(!matches!(outcome, Run::Again(_, Failure::Lost) | Run::InDoubt(_)));
            match outcome {
                Run::Done { is_engine_error } => {
                    if is_engine_error && let Some(doubt) = doubt {
                        return Err(Error::OutcomeUnknown(doubt));
                    }
                    request.answer();
                    return Ok(());
                }
                Run::Failed(error) => return Err(if error.is_of_engine() { given_up(error, doubt) } else { error }),
                Run::Again(error, Failure::Met) => {
                    meetings += 1;
                    if meetings >= if error.is_duplicate() { DUPLICATES_MAX } else { MEETINGS_MAX } {
                        return Err(given_up(error, doubt));
                    }
                    // Not in step with whom it met.
                    tokio::time::sleep(Duration::from_millis(1 + u64::from(meetings) * jitter_ms())).await;
                }
                Run::Again(error, _) => {
                    if Instant::now() + AGAIN >= deadline {
                        return Err(given_up(error, doubt));
                    }
                    tokio::time::sleep(AGAIN).await;
                }
                Run::InDoubt(error) => {
                    let text = error.to_string();
                    if !may_rerun_in_doubt || Instant::now() + AGAIN >= deadline {
                        return Err(Error::OutcomeUnknown(text));
                    }
                    doubt = Some(text);
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Runs `look` on a connection that sees one moment. Where that is lost, so is what it looked at.
    pub(crate) async fn snapshot(&self, mut look: Box<dyn Request>) -> Result<()> {
        let session = Session::new(self.connection(self.deadline()).await?, Handle::current(), false).patient();
        let looking = tokio::task::spawn_blocking(move || {
            let begin =
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0";
            let begun = session.batch(begin);
            if begun.is_ok() {
                look.run(&Db::Postgres(&session)).ok();
            }
            let is_good = session.batch("ROLLBACK").is_ok();
            session.put_back(is_good);
            look.answer();
            begun
        });
        looking.await.map_err(|error| Error::Conflict(format!("a look at the catalog broke off: {error}")))?
    }

    pub(crate) fn close(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let waking = self.shared.waking.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waking) = waking {
            waking.abort();
        }
        self.shared.pool.close();
    }
}

/// 0 to 7, from the clock: enough to keep two apart.
fn jitter_ms() -> u64 {
    u64::from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_micros()) % 8,
    )
}

impl Run {
    /// A request that failed before its commit, with what is the catalog's in its error.
    fn refused(error: Option<&Error>) -> Self {
        let again = match error {
            Some(Error::Unavailable(text)) => Some((Error::Unavailable(text.clone()), Failure::Lost)),
            Some(Error::Postgres { code, message }) => failure_of(code)
                .map(|failure| (Error::Postgres { code: code.clone(), message: message.clone() }, failure)),
            _ => None,
        };
        match again {
            Some((error, failure)) => Self::Again(error, failure),
            None => Self::Done { is_engine_error: error.is_some_and(Error::is_of_engine) },
        }
    }

    /// The engine failed before the commit, and not the request.
    fn failed(error: Error) -> Self {
        match Self::refused(Some(&error)) {
            Self::Done { .. } => Self::Failed(error),
            again => again,
        }
    }
}

fn transact(session: &Session, request: &mut dyn Request, metrics: &Metrics) -> Run {
    if let Err(error) = session.batch("BEGIN") {
        return Run::failed(error);
    }
    if let Err(error) = request.run(&Db::Postgres(session)) {
        let run = Run::refused(error);
        // On a lost connection the server rolls back by itself.
        if !matches!(run, Run::Again(_, Failure::Lost))
            && let Err(error) = session.batch("ROLLBACK")
        {
            session.spoil();
            tracing::debug!(%error, "catalog: rollback failed; its connection is closed");
        }
        return run;
    }
    let began = Instant::now();
    match session.commit() {
        Ok(()) => {
            metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
            metrics.commit_requests.observe(1.0);
            Run::Done { is_engine_error: false }
        }
        Err(uncommitted) => {
            metrics.write_failures.inc();
            match uncommitted {
                Uncommitted::InDoubt(error) => Run::InDoubt(error),
                Uncommitted::Certain(error) => Run::failed(error),
            }
        }
    }
}
