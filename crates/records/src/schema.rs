//! The schema and its versions, and how a file gets the newest. Migrations only go forward; `PRAGMA user_version` says
//! which was the last.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::{Error, Result};

/// "FGAT": marks the file as a Filmgate catalog.
const APPLICATION_ID: i64 = 0x4647_4154;

/// One step of the schema.
pub(crate) struct Migration {
    /// The version that a catalog has after it.
    pub(crate) version: i64,
    /// The oldest version of a program that can still work with it: nodes are replaced one by one.
    pub(crate) compatible_from: i64,
    pub(crate) sqlite: &'static str,
    /// `None`: the next one holds it all.
    pub(crate) postgres: Option<&'static str>,
}

/// Every migration in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, compatible_from: 1, sqlite: include_str!("migrations/0001_first.sql"), postgres: None },
    Migration {
        version: 2,
        compatible_from: 2,
        sqlite: include_str!("migrations/0002_processing.sql"),
        postgres: Some(include_str!("migrations/postgres/0002_first.sql")),
    },
    Migration {
        version: 3,
        compatible_from: 2,
        sqlite: include_str!("migrations/0003_rowids.sql"),
        // Nothing changes there: the numbers are the same on both.
        postgres: Some(""),
    },
    Migration {
        version: 4,
        // An older one leaves the new columns empty.
        compatible_from: 2,
        sqlite: include_str!("migrations/0004_host_keys.sql"),
        postgres: Some(include_str!("migrations/0004_host_keys.sql")),
    },
    // A later version that older ones can still work with: nodes of both run side by side in a test.
    #[cfg(feature = "next-schema")]
    Migration {
        version: 5,
        compatible_from: 2,
        sqlite: include_str!("migrations/next/0005_next.sql"),
        postgres: Some(include_str!("migrations/next/0005_next.sql")),
    },
];

/// The version that this program knows.
pub(crate) fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Refuses another program's file and a later version's; else the version found.
pub(crate) fn check(db: &Connection, path: &Path) -> Result<i64> {
    let number = |sql: &str| -> Result<i64> {
        db.query_row(sql, [], |row| row.get(0)).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Error::NotACatalog(path.display().to_string()),
            _ => error.into(),
        })
    };
    let application = number("PRAGMA application_id")?;
    let found = number("PRAGMA user_version")?;
    if application != APPLICATION_ID && number("SELECT count(*) FROM sqlite_schema")? > 0 {
        return Err(Error::NotACatalog(path.display().to_string()));
    }
    if found > known() {
        return Err(Error::NewerSchema { found, known: known() });
    }
    Ok(found)
}

/// Brings the schema up to date, in one transaction.
pub(crate) fn migrate(db: &mut Connection, path: &Path) -> Result<()> {
    // Immediate: two processes that start at once must not both apply a migration.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = check(&tx, path)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        tx.execute_batch(migration.sqlite)?;
    }
    tx.pragma_update(None, "user_version", known())?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.commit()?;
    Ok(())
}
