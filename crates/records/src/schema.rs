//! The schema and its versions. Migrations only go forward; `PRAGMA user_version` counts those applied.

use rusqlite::{Connection, TransactionBehavior};

use crate::{Error, Result};

/// "FGAT": marks the file as a Filmgate catalog.
const APPLICATION_ID: i64 = 0x4647_4154;

/// Every migration in order; the version of a catalog is how many it has had.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql")];

/// Brings the schema up to date, in one transaction.
pub(crate) fn migrate(db: &mut Connection, path: &str) -> Result<()> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    // Immediate: two processes that start at once must not both apply a migration.
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i64 = tx.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && tables > 0 {
        return Err(Error::NotACatalog(path.to_owned()));
    }
    if found > known {
        return Err(Error::NewerSchema { found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        if i64::try_from(index).is_ok_and(|index| index >= found) {
            tx.execute_batch(migration)?;
        }
    }
    tx.pragma_update(None, "user_version", known)?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.commit()?;
    Ok(())
}
