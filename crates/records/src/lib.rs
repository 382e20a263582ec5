//! The rows: users, sign-ins, tokens, camera settings, assessment sessions, captures with their tasks, tombstones and
//! idempotency keys.
//!
//! **Owns** the catalog's schema, its migrations, and every SQL statement of Filmgate.
//! **Promises** that a write whose `await` returned `Ok` survives a power cut (unless opened [`Sync::Relaxed`]), that
//! a write that returned `Err` other than [`Error::OutcomeUnknown`] left nothing, and that after a failed write or
//! fsync of the catalog nothing more is written until the process starts anew ([`Error::Stopped`]).
//! **Leaves** to others: the photos' bytes (`blobs`), whether a capture is wanted (`intake`), who is asking
//! (`identity`).
//!
//! [`Records`] is a concrete facade: a method for each thing the house does with rows. The engines behind it know no
//! table: `sqlite.rs` (one writer thread that commits many requests at once, and a pool of readers) and `postgres.rs`
//! (a pool of connections to a server that several nodes share). A statement is written once, for both (`db.rs`).

mod camera_settings;
mod captures;
mod claims;
mod db;
mod deletion;
mod engine;
mod error;
mod events;
mod host;
mod import;
mod metrics;
mod page;
#[cfg(test)]
mod plans;
mod postgres;
mod processing;
mod remembered;
mod request;
mod schema;
mod seen;
mod sessions;
mod sqlite;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
mod transfer;
mod users;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

use crate::db::Dialect;

pub use camera_settings::{CameraSettings, NewCameraSettings, RecordingMode};
pub use captures::{
    AssessmentType, Capture, CaptureFilter, IdempotencyRecord, LinkOutcome, NewCapture, Processing, Recorded,
    Recording, RecordingError, StoredBlob,
};
pub use claims::{Claim, ClaimTerms, Claimed, Ending, Finished, HandedOver};
pub use error::{Error, Result};
pub use events::{EventKind, EventSink};
pub use host::{HostLink, HostSession, HostSettings};
pub use import::{KnownCaptures, OldCapture, TakenOver};
pub use page::{Cursor, Page};
pub use postgres::PostgresOptions;
pub use processing::{Derivative, Effect, Processed, Store};
pub use seen::SeenCapture;
pub use sessions::{Registered, Session, SessionGate, SettingsChoice};
pub use sqlite::{CatalogOptions, Sync};
pub use tasks::{Task, TaskFilter, TaskKind, TaskState};
pub use tokens::{NewToken, Token, TokenScope};
pub use transfer::{Compared, Progress};
pub use users::{Role, User, UserChange};

/// The catalog, open. Cheap to clone; every clone is the same catalog.
#[derive(Clone)]
pub struct Records {
    engine: engine::Engine,
    sinks: Arc<[EventSink]>,
    task_changes: Arc<tasks::Changes>,
    remembered: Arc<remembered::Remembered>,
}

/// A `UUIDv7` of this moment: ids sort by the time of what they name.
pub fn uuid_at(time: Timestamp) -> Uuid {
    let seconds = u64::try_from(time.as_second()).unwrap_or(0);
    let nanos = u32::try_from(time.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, seconds, nanos))
}

impl Records {
    /// Opens the catalog at `path`, creating it where there is none and bringing an older schema up to date.
    ///
    /// Several processes may have one catalog open (the server and administration commands beside it): `SQLite`'s own
    /// locks order them.
    ///
    /// # Errors
    /// [`Error::NewerSchema`] where a later version of Filmgate wrote it; [`Error::NotACatalog`] where the file is
    /// another program's.
    pub fn open(path: &Path, options: &CatalogOptions) -> Result<Self> {
        let engine = engine::Engine::Sqlite(sqlite::Engine::open(path, options)?);
        Ok(Self::over(engine, options, Arc::default()))
    }

    /// Opens the catalog in a database of a PostgreSQL server, making its tables where there are none and bringing an
    /// older schema up to date. Several nodes share it.
    ///
    /// # Errors
    /// As [`Records::open`]; [`Error::Unavailable`] where the server cannot be reached for a while.
    pub async fn open_postgres(server: &PostgresOptions, options: &CatalogOptions) -> Result<Self> {
        let task_changes = Arc::<tasks::Changes>::default();
        let engine = postgres::Engine::open(server, options.sync, task_changes.clone()).await?;
        Ok(Self::over(engine::Engine::Postgres(engine), options, task_changes))
    }

    fn over(engine: engine::Engine, options: &CatalogOptions, task_changes: Arc<tasks::Changes>) -> Self {
        Self { engine, sinks: options.event_sinks.clone().into(), task_changes, remembered: Arc::default() }
    }

    /// Whether several nodes may work with this catalog at once.
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, engine::Engine::Postgres(_))
    }

    /// Adds the catalog's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.engine.metrics().register(registry);
    }

    /// Whether writes have stopped until restart, because one failed in a way that leaves the disk in doubt.
    pub fn is_stopped(&self) -> bool {
        self.engine.is_stopped()
    }

    /// For how long nothing could be written: another program holds the catalog, or its server is away.
    pub fn held_up(&self) -> std::time::Duration {
        self.engine.held_up()
    }

    /// The version of its schema, and the newest that this program knows.
    pub async fn schema_version(&self) -> Result<(i64, i64)> {
        let found = self.engine.read(|db| match db.dialect() {
            Dialect::Sqlite => db.scalar("PRAGMA user_version", &[]),
            Dialect::Postgres => db.scalar("SELECT max(version) FROM schema_versions", &[]),
        });
        Ok((found.await?, schema::known()))
    }

    /// Other programs of Filmgate's that are connected just now; none where each has its own file.
    pub async fn connected_programs(&self) -> Result<u64> {
        self.engine
            .read(|db| match db.dialect() {
                Dialect::Sqlite => Ok(0),
                Dialect::Postgres => db.scalar(
                    "SELECT count(DISTINCT application_name) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'filmgate/%'
                       AND application_name <> current_setting('application_name')",
                    &[],
                ),
            })
            .await
    }

    /// Waits until every server over this catalog goes by what this process has changed.
    pub async fn noticed(&self) {
        self.engine.noticed().await;
    }

    /// Asks the catalog a trivial question, for readiness checks.
    pub async fn ping(&self) -> Result<()> {
        self.engine.read(|db| db.one("SELECT 1", &[], |_| Ok(()))).await
    }

    /// Asks the engine to check the catalog's own structure; what it found wrong, nothing where all is well.
    pub async fn check_integrity(&self) -> Result<Vec<String>> {
        self.engine
            .read(|db| match db.dialect() {
                Dialect::Sqlite => {
                    let mut lines = db.all("PRAGMA integrity_check(20)", &[], |row| row.get::<String>(0))?;
                    lines.retain(|line| line != "ok");
                    Ok(lines)
                }
                // The server checks its own pages, where they have checksums; it has no question for the rest.
                Dialect::Postgres => Ok(Vec::new()),
            })
            .await
    }

    /// Waits for the writes under way, then closes the catalog and folds its write-ahead log into it.
    pub async fn close(self) {
        self.engine.close().await;
    }
}
