//! The engine under the facade: `SQLite` in a file, or PostgreSQL. What differs stands behind this door.

use std::time::Duration;

use crate::db::Db;
use crate::metrics::Metrics;
use crate::remembered::Version;
use crate::request::{RequestError, request};
use crate::{Error, Result, postgres, sqlite};

/// What a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touches {
    /// Anything; what is remembered of the catalog is asked anew afterwards.
    Anything,
    /// Captures, tasks, and what belongs to them: nothing that is remembered.
    CapturesAlone,
}

#[derive(Clone)]
pub(crate) enum Engine {
    Sqlite(sqlite::Engine),
    Postgres(postgres::Engine),
}

impl Engine {
    pub(crate) fn metrics(&self) -> &Metrics {
        match self {
            Self::Sqlite(engine) => engine.metrics(),
            Self::Postgres(engine) => engine.metrics(),
        }
    }

    /// Whether writes have stopped until restart.
    pub(crate) fn is_stopped(&self) -> bool {
        match self {
            Self::Sqlite(engine) => engine.is_stopped(),
            Self::Postgres(engine) => engine.is_closed(),
        }
    }

    /// For how long nothing could be written: another program holds the file, or the server is away.
    pub(crate) fn held_up(&self) -> Duration {
        match self {
            Self::Sqlite(engine) => engine.held_up(),
            Self::Postgres(engine) => engine.away(),
        }
    }

    /// Runs `request` in a transaction; returns once that is durable. It may be run several times, each from the
    /// beginning. Where it is not known whether the commit holds: [`Error::OutcomeUnknown`].
    pub(crate) async fn write<T, E, F>(&self, request: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: RequestError + Send + 'static,
        F: Fn(&Db<'_>) -> Result<T, E> + Send + 'static,
    {
        self.transact(Touches::Anything, false, request).await
    }

    /// As [`Engine::write`], for a request that may be run again after a commit in doubt: because it changes nothing
    /// the second time, or because it looks ([`Db::is_in_doubt`]).
    pub(crate) async fn write_again<T, E, F>(&self, request: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: RequestError + Send + 'static,
        F: Fn(&Db<'_>) -> Result<T, E> + Send + 'static,
    {
        self.transact(Touches::Anything, true, request).await
    }

    /// As [`Engine::write_again`], for what is written all the time: it changes captures, tasks, and what belongs to
    /// them alone.
    pub(crate) async fn write_captures<T, E, F>(&self, request: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: RequestError + Send + 'static,
        F: Fn(&Db<'_>) -> Result<T, E> + Send + 'static,
    {
        self.transact(Touches::CapturesAlone, true, request).await
    }

    async fn transact<T, E, F>(&self, touches: Touches, may_run_after_doubt: bool, ask: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: RequestError + Send + 'static,
        F: Fn(&Db<'_>) -> Result<T, E> + Send + 'static,
    {
        let (request, answer) = request(ask);
        match self {
            Self::Sqlite(engine) => engine.write(touches, request)?,
            Self::Postgres(engine) => engine.write(may_run_after_doubt, request).await?,
        }
        // A writer that has ended drops what waits for it.
        answer.await.unwrap_or_else(|_| Err(Error::Stopped.into()))
    }

    /// The version of what is remembered; none where nothing may be: several nodes share the catalog, or it is not
    /// known just now whether another process has written.
    pub(crate) fn version(&self) -> Option<Version> {
        match self {
            Self::Sqlite(engine) => engine.version(),
            Self::Postgres(_) => None,
        }
    }

    /// Waits until other processes remember nothing from before this one's last change.
    pub(crate) async fn noticed(&self) {
        if let Self::Sqlite(engine) = self {
            engine.noticed().await;
        }
    }

    /// What is remembered holds no longer.
    pub(crate) fn begin_version(&self) {
        if let Self::Sqlite(engine) = self {
            engine.begin_version();
        }
    }

    /// Runs `query` off the async threads. Its statements may see the changes of others in between.
    pub(crate) async fn read<T, F>(&self, query: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Db<'_>) -> Result<T> + Send + 'static,
    {
        let (request, answer) = request(query);
        match self {
            Self::Sqlite(engine) => engine.read(request).await?,
            Self::Postgres(engine) => engine.read(request).await?,
        }
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// Runs `look` on one moment of the catalog, however long it takes.
    pub(crate) async fn snapshot<T, F>(&self, look: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Db<'_>) -> Result<T> + Send + 'static,
    {
        let mut look = Some(look);
        let (request, answer) = request(move |db| look.take().ok_or(Error::Stopped)?(db));
        match self {
            Self::Sqlite(engine) => engine.snapshot(request).await?,
            Self::Postgres(engine) => engine.snapshot(request).await?,
        }
        answer.await.map_err(|_| Error::Stopped)?
    }

    pub(crate) async fn close(self) {
        match self {
            Self::Sqlite(engine) => engine.close().await,
            Self::Postgres(engine) => engine.close(),
        }
    }
}
