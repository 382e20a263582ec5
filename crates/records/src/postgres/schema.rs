//! The schema on PostgreSQL and its versions, the same numbers as on `SQLite`.
//!
//! Nodes of two versions run side by side while they are replaced one by one. So each version says from which one on a
//! program can still work with it (`compatible_from`), and an older program goes on where it can.

use std::time::Instant;

use super::session::SCHEMA;
use super::{Engine, Session};
use crate::db::{Db, values};
use crate::request::request;
use crate::schema::{MIGRATIONS, known};
use crate::{Error, Result};

/// Two nodes that start at once must not both apply a migration.
const LOCK: i64 = 0x4647_4154;
/// A server that is only just starting may need so many times as long as a request waits.
const START_PATIENCE: u32 = 3;

/// Brings the schema up to date.
pub(super) async fn migrate(engine: &Engine) -> Result<()> {
    let patience = Instant::now() + engine.shared.unavailable_after * START_PATIENCE;
    loop {
        let (request, answer) = request(apply);
        match engine.write(false, request).await {
            Err(Error::Unavailable(_)) if Instant::now() < patience => {}
            Err(error) => return Err(error),
            Ok(()) => return answer.await.map_err(|_| Error::Stopped)?,
        }
    }
}

fn apply(db: &Db<'_>) -> Result<()> {
    let Db::Postgres(session) = db else { return Ok(()) };
    db.scalar::<Option<i64>>("SELECT NULL::bigint FROM pg_advisory_xact_lock(?)", &values![LOCK])?;
    let (found, compatible_from) = version(db)?;
    if found > known() {
        return if compatible_from <= known() {
            tracing::info!(found, known = known(), "the catalog is a newer version's; this one can still work with it");
            Ok(())
        } else {
            Err(Error::NewerSchema { found, known: known() })
        };
    }
    if found == known() {
        return Ok(());
    }
    create(session, found)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let Some(sql) = migration.postgres else { continue };
        session.batch(sql)?;
        db.execute(
            "INSERT INTO schema_versions (version, compatible_from, program, applied_at)
             VALUES (?, ?, ?, (extract(epoch FROM now()) * 1000000)::bigint)",
            &values![migration.version, migration.compatible_from, env!("CARGO_PKG_VERSION")],
        )?;
    }
    Ok(())
}

fn create(session: &Session, found: i64) -> Result<()> {
    if found > 0 {
        return Ok(());
    }
    session.batch(&format!(
        "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
         CREATE TABLE schema_versions (
             version         bigint PRIMARY KEY,
             compatible_from bigint NOT NULL,
             program         text   NOT NULL,
             applied_at      bigint NOT NULL
         )"
    ))
}

/// The version found, and the oldest program's that can work with it; 0 where there is no catalog.
fn version(db: &Db<'_>) -> Result<(i64, i64)> {
    let is_there = "SELECT to_regclass(?::text || '.schema_versions') IS NOT NULL";
    if !db.scalar::<bool>(is_there, &values![SCHEMA])? {
        let foreign = "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = ?)";
        return if db.scalar::<bool>(foreign, &values![SCHEMA])? {
            Err(Error::NotACatalog(format!("the schema '{SCHEMA}' of this database")))
        } else {
            Ok((0, 0))
        };
    }
    let newest = "SELECT version, compatible_from FROM schema_versions ORDER BY version DESC LIMIT 1";
    Ok(db.optional(newest, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.unwrap_or((0, 0)))
}
