//! The app's own database: its users, assessment sessions, camera settings and captures.
//!
//! **Owns** every statement in the app's tables, on PostgreSQL, MySQL, MariaDB and SQLite, and the cache of what they
//! said.
//! **Promises** that every question ends within a limit of time; that the same question is under way once; that an
//! answer is no older than [`HostOptions::cache`] while the database is there, and no older than
//! [`HostOptions::verified_for`] while it is away; that nobody is told of a session or a user that the database did not
//! tell of; that writing a capture again changes nothing.
//! **Leaves** to others: what a session is to Filmgate and where its captures lie (`records`), when a capture is written
//! (`jobs`), what a refusal says (`filmgate`).
//!
//! The app's tables are the app's: nothing is made, altered or locked in them, and but for [`Host::put_capture`] and
//! [`Host::delete_capture`] nothing is written.

mod cache;
pub mod check;
mod engine;
mod error;
mod layout;
mod metrics;
mod options;
mod presence;
mod read;
mod rows;
mod write;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use uuid::Uuid;

use crate::cache::{Cache, Terms};
use crate::engine::Engine;
use crate::layout::Table;
use crate::metrics::Metrics;
use crate::presence::Presence;

pub use engine::check_url;
pub use error::Error;
pub use options::{CAPTURES_COLUMNS, HostOptions, SETTINGS_COLUMNS, SessionNames, TableNames, UserNames, YES, is_name};
pub use rows::{AppCapture, AppCaptureRow, AppLink, AppSession, AppSettings, AppUser, Put, RecordingMode};

/// The table of sessions, in [`uuid_of`].
pub const SESSIONS: &str = "assessment_sessions";
/// The table of camera settings, in [`uuid_of`].
pub const SETTINGS: &str = "camera_settings";
/// The table of captures, in [`uuid_of`].
pub const CAPTURES: &str = "camera_captures";

/// Whose names the ids of rows without a UUID are made of. Never to be changed: ids are kept.
const NAMESPACE: Uuid = Uuid::from_u128(0x8d3f_52a1_6a0c_4f5e_9b7d_2e41_c0de_f117);
/// Whoever writes waits longer than whoever asks: nobody stands behind it.
const WRITES_TAKE_LONGER: u32 = 5;

/// Filmgate's id of a row of the app's: its own where that is a UUID, else one made of its key, always the same.
pub fn uuid_of(table: &str, key: &str) -> Uuid {
    Uuid::try_parse(key).unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE, format!("{table}:{key}").as_bytes()))
}

/// The app's database. Cheap to clone; every clone has the same connections and the same cache.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: HostOptions,
    engine: Engine,
    users: Cache<i64, AppUser>,
    sessions: Cache<String, Arc<AppSession>>,
    presence: Presence,
    layouts: RwLock<Vec<Arc<Table>>>,
    metrics: Metrics,
}

impl Host {
    /// Checks the options. Connects to nothing yet. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Options`] says which of them cannot be.
    pub fn new(options: HostOptions) -> Result<Self, Error> {
        options.check()?;
        let engine =
            Engine::new(&options.database_url, options.connections_max, options.timeout, write_limit(options.timeout))?;
        let terms = Terms {
            fresh: options.cache,
            absent: options.cache_absent.min(options.cache),
            believed: options.verified_for.max(options.cache),
            entries_max: options.cache_entries_max.max(16),
        };
        let shared = Shared {
            engine,
            users: Cache::new(terms),
            sessions: Cache::new(terms),
            presence: Presence::default(),
            layouts: RwLock::default(),
            metrics: Metrics::new(),
            options,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// What is configured.
    pub fn options(&self) -> &HostOptions {
        &self.shared.options
    }

    /// Adds its metrics to a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// Why the database is known to be away; `None`: it is there, as far as is known.
    pub fn away(&self) -> Option<Error> {
        self.shared.presence.away()
    }

    /// Asks it a trivial question, over a connection of its own.
    pub async fn ping(&self) -> Result<(), Error> {
        self.shared.engine.ping(self.shared.options.timeout).await
    }

    /// Waits until it answers again, if it is known to be away.
    pub async fn back(&self) {
        while self.away().is_some() {
            self.look();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.shared.engine.close().await;
    }

    fn write_limit(&self) -> Duration {
        write_limit(self.shared.options.timeout)
    }

    /// While it is away: sees to it that somebody looks whether it is back, in the background.
    fn look(&self) {
        if !self.shared.presence.take_look(Instant::now()) {
            return;
        }
        let host = self.clone();
        tokio::spawn(async move {
            let looked = host.ping().await;
            host.noted(&looked, true);
        });
    }

    /// Takes note of how a question went.
    fn noted<T>(&self, outcome: &Result<T, Error>, looked: bool) {
        let now = Instant::now();
        match outcome {
            Err(error) if error.is_unavailable() => {
                self.shared.presence.is_away(error, now, looked);
                self.shared.metrics.unavailable.set(1);
            }
            outcome => {
                if matches!(outcome, Err(Error::Schema(_))) {
                    self.shared.layouts.write().unwrap_or_else(PoisonError::into_inner).clear();
                }
                self.shared.presence.is_back(now);
                self.shared.metrics.unavailable.set(0);
            }
        }
    }

    /// How a table really is, as it was when first asked.
    async fn table(&self, link: &mut engine::Link, name: &str) -> Result<Arc<Table>, Error> {
        let known = |tables: &[Arc<Table>]| tables.iter().find(|table| table.name == name).cloned();
        if let Some(table) = known(&self.shared.layouts.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(table);
        }
        let table = Arc::new(layout::load(link, self.shared.engine.dialect(), name).await?);
        let mut tables = self.shared.layouts.write().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|other| other.name != name);
        tables.push(table.clone());
        Ok(table)
    }
}

fn write_limit(timeout: Duration) -> Duration {
    (timeout * WRITES_TAKE_LONGER).max(Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_rows_never_change() {
        let uuid = "5b1f0c9e-1d0e-4f0a-8a55-6f1c1d2e3f40";
        assert_eq!(uuid_of(SESSIONS, uuid).to_string(), uuid);
        assert_eq!(uuid_of(SESSIONS, &uuid.replace('-', "")).to_string(), uuid);
        assert_eq!(uuid_of(SESSIONS, "42").to_string(), "bcbfcf9a-ba6f-5c47-b3ac-cf113aed6f81");
        assert_ne!(uuid_of(SESSIONS, "42"), uuid_of(SETTINGS, "42"));
        assert_ne!(uuid_of(SESSIONS, "42"), uuid_of(SESSIONS, "43"));
    }

    #[tokio::test]
    async fn what_cannot_be_configured_is_said_without_the_password() {
        for (url, says) in [
            ("oracle://u:secret@h/x", "begins with"),
            ("", "begins with"),
            ("postgres://u:secret@h:port/x", "cannot be read"),
            ("sqlite://", "names no file"),
        ] {
            let error = Host::new(HostOptions::new(url)).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("secret"), "{url}: {error}");
        }
        let mut options = HostOptions::new("sqlite:app.db");
        options.users.table = "a.b.c".to_owned();
        assert!(Host::new(options).is_err());
        let mut options = HostOptions::new("sqlite:app.db");
        options.captures.renamed = vec![("file".to_owned(), "x".to_owned())];
        assert!(Host::new(options).unwrap_err().to_string().contains("no column of camera_captures"));
        let mut options = HostOptions::new("sqlite:app.db");
        options.users.query = "SELECT 1".to_owned();
        assert!(Host::new(options).is_err());
        for url in ["postgresql+psycopg2://u@h/x", "mysql+pymysql://u@h/x", "mariadb://u@h/x", "sqlite:////tmp/x.db"] {
            assert!(Host::new(HostOptions::new(url)).is_ok(), "{url}");
        }
    }
}
