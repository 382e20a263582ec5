//! What can go wrong with rows, told apart by what the caller should do.

/// A result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a read or write of rows failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such row.
    #[error("not found")]
    NotFound,
    /// The row would break a rule; the text says which, for a person.
    #[error("{0}")]
    Conflict(String),
    /// The disk is full. Nothing was written; it heals by itself once there is room.
    #[error("the catalog's disk is full")]
    Full,
    /// Another process held the catalog for longer than a write waits.
    #[error("the catalog is busy: another process holds it")]
    Busy,
    /// An earlier write failed in doubt: no write is taken until restart.
    #[error("the catalog takes no more writes until restart: an earlier write to disk failed")]
    Stopped,
    /// The commit failed half-way; only recovery after restart can tell whether it holds.
    #[error("whether this write holds is unknown until restart: {0}")]
    OutcomeUnknown(String),
    /// The file was written by a later version.
    #[error("the catalog has schema version {found}, this version of Filmgate knows {known}: use a newer filmgate")]
    NewerSchema {
        /// The version found.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The file is not Filmgate's.
    #[error("{0} is a file of another program, not a Filmgate catalog")]
    NotACatalog(String),
    /// The server of the catalog is away, or the way to it. Nothing was written; it heals by itself.
    #[error("the catalog's server cannot be reached: {0}")]
    Unavailable(String),
    /// A row is not as the schema says.
    #[error("catalog: {0}")]
    Malformed(String),
    /// Anything else that `SQLite` says.
    #[error("catalog: {0}")]
    Engine(rusqlite::Error),
    /// Anything else that PostgreSQL says.
    #[error("catalog: {message} ({code})")]
    Postgres {
        /// Its `SQLSTATE`.
        code: String,
        /// Its sentence.
        message: String,
    },
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match (&error, error.sqlite_error_code()) {
            (rusqlite::Error::QueryReturnedNoRows, _) => Self::NotFound,
            (_, Some(ErrorCode::DiskFull)) => Self::Full,
            (_, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) => Self::Busy,
            _ => Self::Engine(error),
        }
    }
}

impl Error {
    /// Whether the engine reported a failed read, write or fsync of the disk itself.
    pub(crate) fn is_disk_failure(&self) -> bool {
        matches!(self, Self::Engine(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure))
    }

    /// Whether the engine failed, and not the request: it tells nothing of what an earlier run did.
    pub(crate) fn is_of_engine(&self) -> bool {
        !matches!(self, Self::NotFound | Self::Conflict(_))
    }

    /// Whether a UNIQUE rule was broken.
    pub(crate) fn is_duplicate(&self) -> bool {
        const SQLITE_CONSTRAINT_PRIMARYKEY: i32 = 1555;
        const SQLITE_CONSTRAINT_UNIQUE: i32 = 2067;
        match self {
            Self::Engine(rusqlite::Error::SqliteFailure(failure, _)) => {
                [SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE].contains(&failure.extended_code)
            }
            Self::Postgres { code, .. } => code == "23505",
            _ => false,
        }
    }
}

/// Turns a broken UNIQUE rule into a conflict a person understands.
pub(crate) fn duplicate_as(error: Error, message: impl FnOnce() -> String) -> Error {
    if error.is_duplicate() { Error::Conflict(message()) } else { error }
}
