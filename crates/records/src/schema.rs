//! The schema and its versions. Migrations only go forward; `PRAGMA user_version` counts those applied.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::{Error, Result};

/// "FGAT": marks the file as a Filmgate catalog.
const APPLICATION_ID: i64 = 0x4647_4154;

/// Every migration in order; the version of a catalog is how many it has had.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/0001_first.sql"), include_str!("migrations/0002_processing.sql")];

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
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
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        if i64::try_from(index).is_ok_and(|index| index >= found) {
            tx.execute_batch(migration)?;
        }
    }
    tx.pragma_update(None, "user_version", known())?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.commit()?;
    Ok(())
}
