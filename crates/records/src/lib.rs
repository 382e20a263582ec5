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
//! [`Records`] is a concrete facade: a method for each thing the house does with rows. The engine behind it
//! (`sqlite.rs`: one writer thread that commits many requests at once, and a pool of readers) knows no table.

mod camera_settings;
mod captures;
mod claims;
mod deletion;
mod error;
mod events;
mod metrics;
mod page;
#[cfg(test)]
mod plans;
mod processing;
mod schema;
mod sessions;
mod sqlite;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::{NoContext, Uuid};

pub use camera_settings::{CameraSettings, NewCameraSettings, RecordingMode};
pub use captures::{
    AssessmentType, Capture, CaptureFilter, IdempotencyRecord, LinkOutcome, NewCapture, Processing, Recorded,
    Recording, RecordingError, StoredBlob,
};
pub use claims::{Claim, ClaimTerms, Claimed, Ending, Finished, HandedOver};
pub use error::{Error, Result};
pub use events::{EventKind, EventSink};
pub use page::{Cursor, Page};
pub use processing::{Derivative, Effect, Processed, Store};
pub use sessions::{Registered, Session, SessionGate, SettingsChoice};
pub use sqlite::{CatalogOptions, Sync};
pub use tasks::{Task, TaskFilter, TaskKind, TaskState};
pub use tokens::{NewToken, Token, TokenScope};
pub use users::{Role, User, UserChange};

/// The catalog, open. Cheap to clone; every clone is the same catalog.
#[derive(Clone)]
pub struct Records {
    engine: sqlite::Engine,
    sinks: Arc<[EventSink]>,
    task_changes: Arc<tasks::Changes>,
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
        Ok(Self {
            engine: sqlite::Engine::open(path, options)?,
            sinks: options.event_sinks.clone().into(),
            task_changes: Arc::default(),
        })
    }

    /// Adds the catalog's metrics to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.engine.metrics().register(registry);
    }

    /// Whether writes have stopped until restart, because one failed in a way that leaves the disk in doubt.
    pub fn is_stopped(&self) -> bool {
        self.engine.is_stopped()
    }

    /// For how long another program has held the catalog, so that nothing can be written.
    pub fn held_up(&self) -> std::time::Duration {
        self.engine.held_up()
    }

    /// Asks the catalog a trivial question, for readiness checks.
    pub async fn ping(&self) -> Result<()> {
        self.engine.read(|db| Ok(db.query_row("SELECT 1", [], |_| Ok(()))?)).await
    }

    /// Asks the engine to check the catalog's own structure; what it found wrong, nothing where all is well.
    pub async fn check_integrity(&self) -> Result<Vec<String>> {
        self.engine
            .read(|db| {
                let mut statement = db.prepare("PRAGMA integrity_check(20)")?;
                let lines = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
                Ok(lines.into_iter().filter(|line| line != "ok").collect())
            })
            .await
    }

    /// Waits for the writes under way, then closes the catalog and folds its write-ahead log into it.
    pub async fn close(self) {
        self.engine.close().await;
    }
}
