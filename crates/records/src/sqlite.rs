//! The embedded engine: `SQLite` in write-ahead mode, one writer thread, a pool of readers. Knows no table.
//!
//! Many requests are made durable by one fsync: the writer takes whatever waits, runs it in one `BEGIN IMMEDIATE`
//! transaction, commits, and only then lets each requester go on. A request that fails takes nobody with it: where it
//! had written something, all begin anew, each in a savepoint of its own. (In a savepoint every page is copied before
//! it is changed, which costs more than most of what is written, and hardly any request fails half-way.)

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};
use tokio::sync::Semaphore;

use crate::db::Db;
use crate::engine::Touches;
use crate::metrics::Metrics;
use crate::remembered::{LOOK_INTERVAL, Version};
use crate::request::Request;
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
    /// Who hears of what happens to captures.
    pub event_sinks: Vec<crate::EventSink>,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self { sync: Sync::Durable, read_connections: 4, commit_batch_max: 256, event_sinks: Vec::new() }
    }
}

/// A request in the writer's line.
struct Write {
    request: Box<dyn Request>,
    touches: Touches,
}

/// How a request went.
struct Ran {
    failed: bool,
    /// What it met that may be everybody's.
    met: Option<Fate>,
}

impl Write {
    /// Runs it in the open transaction, perhaps not for the first time.
    fn run(&mut self, db: &Connection, is_in_savepoint: bool) -> Ran {
        if !is_in_savepoint {
            return Ran::of(self.request.run(&Db::Sqlite(db)));
        }
        self.run_in_savepoint(db).unwrap_or_else(|error| {
            let ran = Ran::of(Err(Some(&error)));
            self.request.fail(error);
            ran
        })
    }

    /// What it wrote is taken back where it failed.
    fn run_in_savepoint(&mut self, db: &Connection) -> Result<Ran> {
        execute(db, "SAVEPOINT request")?;
        let ran = Ran::of(self.request.run(&Db::Sqlite(db)));
        // Where the engine rolled everything back there is no savepoint any more, and the request's own error says why.
        if ran.failed && db.is_autocommit() {
            return Ok(ran);
        }
        if ran.failed {
            execute(db, "ROLLBACK TO request")?;
        }
        execute(db, "RELEASE request")?;
        Ok(ran)
    }

    /// Answers, once the fate of the transaction is known.
    fn finish(mut self, committed: Result<(), &Fate>) {
        if let Err(fate) = committed {
            // Also where the request itself was refused: what it saw may have been of others in the batch, and is gone
            // with them.
            self.request.fail(fate.to_error());
        }
        self.request.answer();
    }
}

impl Ran {
    fn of(outcome: Result<(), Option<&Error>>) -> Self {
        Self { failed: outcome.is_err(), met: outcome.err().flatten().map(Fate::of) }
    }
}

enum Message {
    Write(Write),
    /// Somebody wants to know whether another process has written.
    Look,
}

/// Which state of the catalog this is, as far as [`Remembered`](crate::remembered::Remembered) answers depend on it.
struct Versions {
    number: AtomicU64,
    opened_at: Instant,
    /// Microseconds after `opened_at` until which the writer's last look at other processes is fresh enough.
    fresh_until_us: AtomicU64,
    /// Microseconds after `opened_at` of the last change of this process; 0: none yet.
    changed_us: AtomicU64,
    is_look_wanted: AtomicBool,
}

impl Versions {
    fn new() -> Self {
        Self {
            number: AtomicU64::new(0),
            opened_at: Instant::now(),
            fresh_until_us: AtomicU64::new(0),
            changed_us: AtomicU64::new(0),
            is_look_wanted: AtomicBool::new(false),
        }
    }

    fn begin_new(&self) {
        self.number.fetch_add(1, Ordering::AcqRel);
    }

    fn since_opened_us(&self, at: Instant) -> u64 {
        u64::try_from(at.duration_since(self.opened_at).as_micros()).unwrap_or(u64::MAX)
    }
}

/// Why a whole batch did not commit.
enum Fate {
    Full,
    Busy,
    Stopped,
    /// A read, write or fsync of the disk failed.
    Disk(String),
    Unknown(String),
    Other(ffi::Error, String),
}

impl Fate {
    fn to_error(&self) -> Error {
        match self {
            Self::Full => Error::Full,
            Self::Busy => Error::Busy,
            Self::Stopped | Self::Disk(_) => Error::Stopped,
            Self::Unknown(text) => Error::OutcomeUnknown(text.clone()),
            Self::Other(code, text) => Error::Engine(rusqlite::Error::SqliteFailure(*code, Some(text.clone()))),
        }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Full => Self::Full,
            Error::Busy => Self::Busy,
            error if error.is_disk_failure() => Self::Disk(error.to_string()),
            Error::Engine(inner) => {
                let code = inner.sqlite_error().copied().unwrap_or(ffi::Error::new(ffi::SQLITE_ERROR));
                Self::Other(code, inner.to_string())
            }
            error => Self::Other(ffi::Error::new(ffi::SQLITE_ERROR), error.to_string()),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    // In an Option so that close() can hang up; the writer ends when nobody can send any more.
    writes: Mutex<Option<mpsc::Sender<Message>>>,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    read_permits: Arc<Semaphore>,
    stopped: Arc<AtomicBool>,
    held_up: HeldUp,
    versions: Arc<Versions>,
    metrics: Metrics,
}

/// Since when the writer has waited for another program to let go of the catalog; none where it does not.
type HeldUp = Arc<Mutex<Option<Instant>>>;

impl Engine {
    pub(crate) fn open(path: &Path, options: &CatalogOptions) -> Result<Self> {
        let mut connection = connect(path)?;
        // Before anything is set: the mode of its log stands in the file, which may be another program's.
        schema::check(&connection, path)?;
        set_up(&connection, options.sync)?;
        schema::migrate(&mut connection, path)?;
        let readers = (0..options.read_connections.max(1))
            .map(|_| {
                let reader = connect(path)?;
                set_up(&reader, options.sync)?;
                reader.pragma_update(None, "query_only", true)?;
                // The writer alone folds the log into the file, so that a stopped catalog is not written by a reader.
                reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
                Ok(reader)
            })
            .collect::<Result<Vec<_>>>()?;
        let metrics = Metrics::new();
        let stopped = Arc::new(AtomicBool::new(false));
        let held_up = HeldUp::default();
        let versions = Arc::new(Versions::new());
        let (writes, queue) = mpsc::channel();
        let writer = Writer {
            connection,
            queue,
            batch_max: options.commit_batch_max.max(1),
            stopped: stopped.clone(),
            held_up: held_up.clone(),
            versions: versions.clone(),
            others: None,
            looked_at: None,
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
                held_up,
                versions,
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

    /// For how long another program has kept the writer from beginning.
    pub(crate) fn held_up(&self) -> Duration {
        let since = *self.shared.held_up.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The version of the catalog; none while it is not known whether another process has written.
    pub(crate) fn version(&self) -> Option<Version> {
        let versions = &self.shared.versions;
        let now = versions.since_opened_us(Instant::now());
        if now < versions.fresh_until_us.load(Ordering::Acquire) {
            // After the look: whoever is held up between the two must not go by what an earlier look said.
            return Some(Version(versions.number.load(Ordering::Acquire)));
        }
        if !versions.is_look_wanted.swap(true, Ordering::AcqRel) {
            // Where the writer has ended nobody looks, and nothing is remembered.
            let _ended = self.send(Message::Look).is_err();
        }
        None
    }

    /// Waits until other processes have had the time to look.
    pub(crate) async fn noticed(&self) {
        let versions = &self.shared.versions;
        let changed_us = versions.changed_us.load(Ordering::Acquire);
        if changed_us > 0 {
            let noticed_at = versions.opened_at + Duration::from_micros(changed_us) + LOOK_INTERVAL;
            tokio::time::sleep_until(noticed_at.into()).await;
        }
    }

    /// What is remembered holds no longer.
    pub(crate) fn begin_version(&self) {
        self.shared.versions.begin_new();
    }

    fn send(&self, message: Message) -> Result<()> {
        let writes = self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.as_ref().ok_or(Error::Stopped)?.send(message).map_err(|_| Error::Stopped)
    }

    /// Hands `request` to the writer's next transaction; answered once that is durable. It may be run twice, from the
    /// beginning, the first time taken back.
    pub(crate) fn write(&self, touches: Touches, request: Box<dyn Request>) -> Result<()> {
        let queue = &self.shared.metrics.write_queue;
        queue.inc();
        self.send(Message::Write(Write { request, touches })).inspect_err(|_| {
            queue.dec();
        })
    }

    /// Runs `query` on one of the readers, off the async threads: a page that must come from a slow disk holds up
    /// nobody else.
    pub(crate) async fn read(&self, mut query: Box<dyn Request>) -> Result<()> {
        self.with_reader(move |reader| {
            query.run(&Db::Sqlite(reader)).ok();
            query.answer();
            Ok(())
        })
        .await
    }

    /// Runs `look` on one of the readers, which sees one moment.
    pub(crate) async fn snapshot(&self, mut look: Box<dyn Request>) -> Result<()> {
        self.with_reader(move |reader| {
            reader.execute_batch("BEGIN")?;
            look.run(&Db::Sqlite(reader)).ok();
            reader.execute_batch("ROLLBACK")?;
            look.answer();
            Ok(())
        })
        .await
    }

    async fn with_reader(&self, work: impl FnOnce(&Connection) -> Result<()> + Send + 'static) -> Result<()> {
        let permit = self.shared.read_permits.clone().acquire_owned().await.map_err(|_| Error::Stopped)?;
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || {
            let reader = shared.readers.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or(Error::Stopped)?;
            let outcome = work(&reader);
            shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
            drop(permit);
            outcome
        })
        .await
        .map_err(|error| Error::Conflict(format!("a read of the catalog did not finish: {error}")))?
    }

    #[cfg(test)]
    pub(crate) fn all_readers(&self) -> Arc<Semaphore> {
        self.shared.read_permits.clone()
    }

    pub(crate) async fn close(self) {
        // The readers first: whoever closes last must be the writer, or the log is not folded into the file.
        self.shared.read_permits.close();
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).clear();
        drop(self.shared.writes.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && let Err(error) = tokio::task::spawn_blocking(move || thread.join()).await
        {
            tracing::error!(%error, "the catalog's writer did not end");
        }
    }
}

fn execute(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

fn connect(path: &Path) -> Result<Connection> {
    // SQLite would make it readable for everybody; its log takes the file's permissions. Where this fails, SQLite
    // says why.
    OpenOptions::new().append(true).create_new(true).mode(0o600).open(path).ok();
    let path = PathBuf::from(path);
    let db = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // A command beside the server may hold the lock for a moment; wait for it rather than fail.
    db.busy_timeout(Duration::from_secs(10))?;
    db.set_prepared_statement_cache_capacity(128);
    // Without this it plans some statements anew for each value that is bound, which costs more than to run them.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(db)
}

fn set_up(db: &Connection, sync: Sync) -> Result<()> {
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", if sync == Sync::Durable { "FULL" } else { "NORMAL" })?;
    db.pragma_update(None, "foreign_keys", true)?;
    // A deleted patient's row must not stay readable in free pages.
    db.pragma_update(None, "secure_delete", true)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "wal_autocheckpoint", 4000)?;
    Ok(())
}

struct Writer {
    connection: Connection,
    queue: mpsc::Receiver<Message>,
    batch_max: usize,
    stopped: Arc<AtomicBool>,
    held_up: HeldUp,
    versions: Arc<Versions>,
    /// What the engine says of other connections' commits, at the last look.
    others: Option<i64>,
    looked_at: Option<Instant>,
    metrics: Metrics,
}

impl Writer {
    fn run(mut self) {
        while let Ok(first) = self.queue.recv() {
            let messages = std::iter::once(first).chain(self.queue.try_iter().take(self.batch_max - 1));
            let mut batch = Vec::new();
            let mut is_look_wanted = false;
            for message in messages {
                match message {
                    Message::Write(write) => batch.push(write),
                    Message::Look => is_look_wanted = true,
                }
            }
            if !batch.is_empty() {
                self.metrics.write_queue.dec_by(i64::try_from(batch.len()).unwrap_or(0));
                self.commit(batch);
            }
            // Also unasked while there is much to do, before somebody has to ask.
            if is_look_wanted || self.looked_at.is_some_and(|at| at.elapsed() > LOOK_INTERVAL / 2) {
                self.look();
            }
        }
    }

    /// Learns whether another process has written: its commits are the only ones of other connections, for the readers
    /// write nothing.
    fn look(&mut self) {
        let versions = &self.versions;
        versions.is_look_wanted.store(false, Ordering::Release);
        let now = Instant::now();
        let found = self
            .connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)));
        // Where the engine does not say, nothing is remembered until it does.
        let Ok(found) = found else { return };
        if self.others.replace(found) != Some(found) {
            versions.begin_new();
        }
        self.looked_at = Some(now);
        versions.fresh_until_us.store(versions.since_opened_us(now + LOOK_INTERVAL), Ordering::Release);
    }

    fn commit(&self, mut batch: Vec<Write>) {
        let started = Instant::now();
        let size = batch.len();
        let outcome = self.transact(&mut batch);
        // Also where the outcome is not known, and before anybody hears of it.
        if batch.iter().any(|write| write.touches == Touches::Anything) {
            self.versions.changed_us.store(self.versions.since_opened_us(Instant::now()).max(1), Ordering::Release);
            self.versions.begin_new();
        }
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
        for write in batch {
            write.finish(outcome.as_ref().copied());
        }
    }

    fn transact(&self, batch: &mut [Write]) -> Result<(), Fate> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(Fate::Stopped);
        }
        let ran = match self.run_all(batch, false) {
            Ok(Whole::Yes) => Ok(()),
            // Somebody's failure left something behind in the transaction: again, so that it can be taken back alone.
            Ok(Whole::No) => {
                self.roll_back();
                self.run_all(batch, true).map(drop)
            }
            Err(fate) => Err(fate),
        };
        if let Err(fate) = ran {
            self.roll_back();
            return Err(self.heed(fate));
        }
        execute(&self.connection, "COMMIT").map_err(|error| {
            self.roll_back();
            match self.heed(Fate::of(&error.into())) {
                fate @ (Fate::Full | Fate::Busy) => fate,
                // The commit may have reached the disk before what failed.
                Fate::Disk(text) | Fate::Other(_, text) | Fate::Unknown(text) => Fate::Unknown(text),
                Fate::Stopped => Fate::Stopped,
            }
        })
    }

    fn run_all(&self, batch: &mut [Write], in_savepoints: bool) -> Result<Whole, Fate> {
        let db = &self.connection;
        self.begin().map_err(|error| Fate::of(&error.into()))?;
        for write in batch {
            let before = db.total_changes();
            let Ran { failed, met } = write.run(db, in_savepoints);
            // Some failures (a full disk in the middle of a statement) make SQLite roll back the whole transaction;
            // what ran on would commit alone, and what ran before would be told it holds. A failing disk is final.
            if db.is_autocommit() || matches!(met, Some(Fate::Disk(_))) {
                let rolled_back = || Fate::Other(ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK), "rolled back".to_owned());
                return Err(met.unwrap_or_else(rolled_back));
            }
            if failed && !in_savepoints && db.total_changes() != before {
                return Ok(Whole::No);
            }
        }
        Ok(Whole::Yes)
    }

    fn begin(&self) -> rusqlite::Result<()> {
        let wait = |since| *self.held_up.lock().unwrap_or_else(PoisonError::into_inner) = since;
        wait(Some(Instant::now()));
        let begun = execute(&self.connection, "BEGIN IMMEDIATE");
        // Where it gave up, the next to write will wait as well; until then nobody knows.
        wait(None);
        begun
    }

    /// A transaction left open would swallow the next batch into this one's fate.
    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "catalog: rollback failed");
        }
    }

    /// Draws the consequence for everybody after it. A failed write or fsync is final: asked again, the kernel says
    /// yes to pages it has dropped.
    fn heed(&self, fate: Fate) -> Fate {
        if let Fate::Disk(error) = &fate {
            self.stopped.store(true, Ordering::Release);
            if let Err(error) = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
                tracing::error!(%error, "catalog: cannot keep the log from being folded in at exit");
            }
            tracing::error!(%error, "catalog: the disk failed; no more writes until restart");
        }
        fate
    }
}

/// Whether what is in the transaction is what all the requests that succeeded wrote, and no more.
enum Whole {
    Yes,
    No,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A writer that a panic ended answers nobody any more: readiness must say so.
        if std::thread::panicking() {
            self.stopped.store(true, Ordering::Release);
        }
    }
}
