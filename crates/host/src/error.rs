//! Why the app's database gave no answer, told apart by what helps: waiting, or a person.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;

/// Why a question to the app's database has no answer. None of the words holds a URL or a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is away, too slow, or too busy just now: later it may answer.
    #[error("the app's database is away: {0}")]
    Unavailable(String),
    /// Its tables are not as the configuration says, or may not be read: a person has to look.
    #[error("the app's tables are not as configured: {0}")]
    Schema(String),
    /// This one row was refused: too long, or against a rule of the app's.
    #[error("the app's database refused the row: {0}")]
    Rejected(String),
    /// The settings that lead to it cannot be right.
    #[error("{0}")]
    Options(String),
}

impl Error {
    /// Whether waiting may help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn timeout(limit: std::time::Duration) -> Self {
        Self::Unavailable(format!("no answer within {limit:?}"))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => of_database(error.as_ref()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection could be had in time".to_owned()),
            sqlx::Error::Configuration(error) => Self::Options(error.to_string()),
            error @ (sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed) => Self::Unavailable(error.to_string()),
            other => Self::Schema(other.to_string()),
        }
    }
}

fn of_database(error: &dyn DatabaseError) -> Error {
    let message = error.message().to_owned();
    if matches!(
        error.kind(),
        ErrorKind::UniqueViolation
            | ErrorKind::ForeignKeyViolation
            | ErrorKind::NotNullViolation
            | ErrorKind::CheckViolation
    ) {
        return Error::Rejected(message);
    }
    let code = error.code().unwrap_or_default();
    if let Some(mysql) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return of_mysql(mysql.number(), &code, message);
    }
    if code.len() == 5 && error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return match &code[..2] {
            // A text that is no value of the column's type; a row too long.
            "22" | "23" => Error::Rejected(message),
            "42" | "0A" | "3F" => Error::Schema(message),
            // Connection, resources, operator's hand, deadlock, sign-in, no such database: it may come to be.
            _ => Error::Unavailable(message),
        };
    }
    // SQLite: a number, extended codes with more bits above.
    match code.parse::<u32>().map_or(0, |code| code & 0xff) {
        // Permission, aborted, busy, locked, no memory, read-only, interrupted, I/O, corrupt, full, cannot open, protocol.
        3..=11 | 13 | 14 | 15 | 23 | 26 => Error::Unavailable(message),
        18..=20 => Error::Rejected(message),
        _ => Error::Schema(message),
    }
}

fn of_mysql(number: u16, state: &str, message: String) -> Error {
    match (number, state.get(..2).unwrap_or_default()) {
        // Unknown database, and rights: a person's matter, unless somebody is just setting them up.
        (1044 | 1045 | 1049 | 1698, _) => Error::Unavailable(message),
        // A column that must be given and is not.
        (1364, _) | (_, "42") => Error::Schema(message),
        (1265 | 1366 | 1406 | 3140 | 4025, _) | (_, "22" | "23") => Error::Rejected(message),
        _ => Error::Unavailable(message),
    }
}
