//! A catalog in a file.

use std::path::{Path, PathBuf};

use records::{CatalogOptions, Records};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use crate::rows::{Cell, Plan, TABLES};

/// The file, made where it is not there. Statistics it has none: Filmgate never asks `SQLite` for any.
pub async fn make(folder: &Path, plan: &Plan) -> PathBuf {
    let file = folder.join(format!("many_rows_{}.sqlite", plan.captures));
    if file.exists() {
        return file;
    }
    std::fs::create_dir_all(folder).unwrap();
    let part = file.with_extension("part");
    std::fs::remove_file(&part).ok();
    Records::open(&part, &CatalogOptions::default()).unwrap().close().await;
    fill(&part, plan);
    std::fs::rename(part, &file).unwrap();
    file
}

fn fill(file: &Path, plan: &Plan) {
    let mut db = Connection::open(file).unwrap();
    // Nobody else looks at it yet, and what breaks off is thrown away.
    db.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;
                      PRAGMA cache_size = -500000; PRAGMA locking_mode = EXCLUSIVE",
    )
    .unwrap();
    let before = schema(&db);
    let transaction = db.transaction().unwrap();
    // Those that come with a PRIMARY KEY or a UNIQUE stay: they have no words of their own.
    for (name, _) in before.iter().filter(|(_, sql)| is_index(sql)) {
        transaction.execute_batch(&format!("DROP INDEX {name}")).unwrap();
    }
    for table in TABLES {
        let marks = vec!["?"; table.columns.len()].join(", ");
        let insert = format!("INSERT INTO {} ({}) VALUES ({marks})", table.name, table.columns.join(", "));
        let mut insert = transaction.prepare(&insert).unwrap();
        for row in table.rows(plan) {
            insert.execute(params_from_iter(&row)).unwrap();
        }
    }
    for (_, sql) in before.iter().filter(|(_, sql)| is_index(sql)) {
        transaction.execute_batch(sql).unwrap();
    }
    transaction.commit().unwrap();
    assert_eq!(schema(&db), before, "the schema is not as it was");
    db.execute_batch("PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL").unwrap();
}

fn is_index(sql: &str) -> bool {
    sql.starts_with("CREATE INDEX") || sql.starts_with("CREATE UNIQUE INDEX")
}

/// Everything's name and words.
fn schema(db: &Connection) -> Vec<(String, String)> {
    let mut statement = db.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Int(value) => ToSqlOutput::Owned(Value::Integer(i64::try_from(*value).unwrap())),
            Self::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
            Self::Uuid(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value.as_bytes())),
        })
    }
}
