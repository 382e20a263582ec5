//! The embedded engine: SQLite in write-ahead mode, one writer thread, a pool of readers. Knows no table.
//!
//! Many requests are made durable by one fsync: the writer takes whatever waits, runs each request in a savepoint of
//! one `BEGIN IMMEDIATE` transaction, commits, and only then lets each requester go on. A request that fails rolls
//! back to its savepoint and takes nobody with it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

use crate::metrics::Metrics;
use crate::{Error, Result, schema};

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// The log is fsynced before a commit returns.
    Durable,
    /// The log is written and not fsynced: a power cut may take the last commits. For measurements.
    Relaxed,
}

/// How to open a catalog.
#[derive(Clone, Debug)]
pub struct CatalogOptions {
    /// What a commit waits for.
    pub sync: Sync,
    /// Connections for reading, so many reads run at once.
    pub read_connections: usize,
    /// Most writes made durable by one commit.
    pub commit_batch_max: usize,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self { sync: Sync::Durable, read_connections: 4, commit_batch_max: 256 }
    }
}

/// Runs a request inside the open transaction (`None`: there is none to be had) and hands back what to do once the
/// commit's fate is known.
type Write = Box<dyn FnOnce(Option<&Connection>) -> Finish + Send>;
type Finish = Box<dyn FnOnce(Result<(), &Fate>) + Send>;

/// Why a whole batch did not commit.
enum Fate {
    Full,
    Busy,
    Stopped,
    Unknown(String),
    Other(String),
}

impl Fate {
    fn to_error(&self) -> Error {
        match self {
            Self::Full => Error::Full,
            Self::Busy => Error::Busy,
            Self::Stopped => Error::Stopped,
            Self::Unknown(text) => Error::OutcomeUnknown(text.clone()),
            Self::Other(text) => Error::Conflict(format!("the catalog refused the commit: {text}")),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    // In an Option so that close() can hang up; the writer ends when nobody can send any more.
    writes: Mutex<Option<mpsc::Sender<Write>>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    read_permits: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Engine {
    pub(crate) fn open(path: &Path, options: &CatalogOptions) -> Result<Self> {
        let mut connection = connect(path, options.sync)?;
        schema::migrate(&mut connection, &path.display().to_string())?;
        let readers = (0..options.read_connections.max(1))
            .map(|_| {
                let reader = connect(path, options.sync)?;
                reader.pragma_update(None, "query_only", true)?;
                // The writer alone folds the log into the file, so that a stopped catalog is not written by a reader.
                reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
                Ok(reader)
            })
            .collect::<Result<Vec<_>>>()?;
        let metrics = Metrics::new();
        let stopped = Arc::new(AtomicBool::new(false));
        let (writes, queue) = mpsc::channel();
        let writer = Writer {
            connection,
            queue,
            batch_max: options.commit_batch_max.max(1),
            stopped: stopped.clone(),
            metrics: metrics.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("catalog-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::Conflict(format!("cannot start the catalog's writer: {error}")))?;
        Ok(Self {
            shared: Arc::new(Shared {
                writes: Mutex::new(Some(writes)),
                writer: Mutex::new(Some(thread)),
                read_permits: Arc::new(Semaphore::new(readers.len())),
                readers: Mutex::new(readers),
                stopped,
                metrics,
            }),
        })
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// Runs `request` in the writer's next transaction; returns once that is durable.
    pub(crate) async fn write<T, E, F>(&self, request: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    {
        let (answer, wait) = oneshot::channel();
        let job: Write = Box::new(move |db| {
            let outcome = db.map(|db| in_savepoint(db, request));
            Box::new(move |committed| {
                let outcome = match (outcome, committed) {
                    // What the request itself found stands whatever became of the others.
                    (Some(Err(error)), _) => Err(error),
                    (_, Err(fate)) => Err(fate.to_error().into()),
                    (Some(outcome), Ok(())) => outcome,
                    (None, Ok(())) => Err(Error::Stopped.into()),
                };
                // Nobody waiting any more is fine: the work is done and durable all the same.
                drop(answer.send(outcome));
            })
        });
        {
            let writes = self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(writes) = writes.as_ref() else { return Err(Error::Stopped.into()) };
            self.shared.metrics.write_queue.inc();
            if writes.send(job).is_err() {
                return Err(Error::Stopped.into());
            }
        }
        wait.await.unwrap_or_else(|_| Err(Error::Stopped.into()))
    }

    /// Runs `query` on one of the readers, off the async threads: a page that must come from a slow disk holds up
    /// nobody else.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = self.shared.read_permits.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || {
            let reader = shared.readers.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(Error::Stopped)?;
            let answer = query(&reader);
            shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            drop(permit);
            answer
        })
        .await
        .map_err(|error| Error::Conflict(format!("a read of the catalog did not finish: {error}")))?
    }

    pub(crate) async fn close(self) {
        drop(self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.shared.read_permits.close();
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let thread = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && let Err(error) = tokio::task::spawn_blocking(move || thread.join()).await
        {
            tracing::error!(%error, "the catalog's writer did not end");
        }
    }
}

fn in_savepoint<T, E: From<Error>>(db: &Connection, request: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
    let run = |sql: &str| -> Result<(), E> {
        db.prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map_err(|error| Error::from(error).into())
            .map(|_| ())
    };
    run("SAVEPOINT request")?;
    let outcome = request(db);
    if outcome.is_err() {
        run("ROLLBACK TO request")?;
    }
    run("RELEASE request")?;
    outcome
}

fn connect(path: &Path, sync: Sync) -> Result<Connection> {
    let path = PathBuf::from(path);
    let db = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // A command beside the server may hold the lock for a moment; wait for it rather than fail.
    db.busy_timeout(Duration::from_secs(10))?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", if sync == Sync::Durable { "FULL" } else { "NORMAL" })?;
    db.pragma_update(None, "foreign_keys", true)?;
    // A deleted patient's row must not stay readable in free pages.
    db.pragma_update(None, "secure_delete", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "wal_autocheckpoint", 4000)?;
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

struct Writer {
    connection: Connection,
    queue: mpsc::Receiver<Write>,
    batch_max: usize,
    stopped: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Writer {
    fn run(self) {
        while let Ok(first) = self.queue.recv() {
            let mut batch = vec![first];
            batch.extend(self.queue.try_iter().take(self.batch_max - 1));
            self.metrics.write_queue.dec_by(i64::try_from(batch.len()).unwrap_or(0));
            self.commit(batch);
        }
    }

    fn commit(&self, batch: Vec<Write>) {
        let started = Instant::now();
        let size = batch.len();
        let mut finishes = Vec::with_capacity(size);
        let outcome = self.transact(batch, &mut finishes);
        match &outcome {
            Ok(()) => {
                self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                #[allow(clippy::cast_precision_loss)] // a batch counts a few hundred
                self.metrics.commit_requests.observe(size as f64);
            }
            Err(_) => {
                self.metrics.write_failures.inc();
            }
        }
        for finish in finishes {
            finish(outcome.as_ref().map(|()| ()));
        }
    }

    fn transact(&self, batch: Vec<Write>, finishes: &mut Vec<Finish>) -> Result<(), Fate> {
        if self.stopped.load(Ordering::Acquire) {
            finishes.extend(batch.into_iter().map(|write| write(None)));
            return Err(Fate::Stopped);
        }
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            let fate = self.judge(error.into(), false);
            finishes.extend(batch.into_iter().map(|write| write(None)));
            return Err(fate);
        }
        let mut lost = false;
        for write in batch {
            finishes.push(write((!lost).then_some(&self.connection)));
            // Some failures (a full disk in the middle of a statement) make SQLite roll back the whole transaction;
            // what ran on would commit alone, and what ran before would be told it holds.
            lost = lost || self.connection.is_autocommit();
        }
        if lost {
            return Err(Fate::Busy);
        }
        let committed = self.connection.execute_batch("COMMIT").map_err(Error::from);
        if committed.is_err() && !self.connection.is_autocommit() {
            // A transaction left open would swallow the next batch into this one's fate.
            if let Err(error) = self.connection.execute_batch("ROLLBACK") {
                tracing::error!(%error, "catalog: rollback failed");
            }
        }
        committed.map_err(|error| self.judge(error, true))
    }

    /// Decides what a failure means for everybody after it. A failed write or fsync is final: asked again, the
    /// kernel says yes to pages it has dropped.
    fn judge(&self, error: Error, at_commit: bool) -> Fate {
        match error {
            Error::Full => Fate::Full,
            Error::Busy => Fate::Busy,
            error if error.is_disk_failure() => {
                self.stopped.store(true, Ordering::Release);
                if let Err(error) = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
                    tracing::error!(%error, "catalog: cannot keep the log from being folded in at exit");
                }
                tracing::error!(%error, "catalog: a write to disk failed; no more writes until restart");
                if at_commit { Fate::Unknown(error.to_string()) } else { Fate::Stopped }
            }
            error => Fate::Other(error.to_string()),
        }
    }
}
