//! A catalog in a database of its own on a server.

use std::fmt::Write as _;

use futures_util::SinkExt;
use records::{CatalogOptions, PostgresOptions, Records};
use tokio_postgres::{Client, NoTls};

use crate::rows::{Cell, Plan, Row, TABLES};

/// Bytes sent at once.
const CHUNK: usize = 1 << 20;

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn name_of(captures: u64) -> String {
    format!("many_rows_{captures}")
}

/// The URL of a server with another database's name in it.
fn url_of(server: &str, database: &str) -> String {
    let (head, query) = server.split_once('?').map_or((server, None), |(head, query)| (head, Some(query)));
    let server = head.rsplit_once('/').unwrap().0;
    query.map_or(format!("{server}/{database}"), |query| format!("{server}/{database}?{query}"))
}

/// The URL of the database, made where it is not there.
pub async fn make(server: &str, plan: &Plan) -> String {
    let name = name_of(plan.captures);
    let maintenance = connect(server).await;
    if maintenance.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.unwrap().is_none() {
        let part = format!("{name}_part");
        let url = url_of(server, &part);
        maintenance.batch_execute(&format!("DROP DATABASE IF EXISTS {part} WITH (FORCE)")).await.unwrap();
        maintenance.batch_execute(&format!("CREATE DATABASE {part}")).await.unwrap();
        let options = PostgresOptions {
            url: url.clone(),
            tls_ca_pem: None,
            connections_max: 1,
            unavailable_after: std::time::Duration::from_secs(5),
        };
        Records::open_postgres(&options, &CatalogOptions::default()).await.unwrap().close().await;
        fill(&connect(&url).await, plan).await;
        // Whoever is still connected, closed a moment ago.
        let sessions = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
        maintenance.query(sessions, &[&part]).await.unwrap();
        maintenance.batch_execute(&format!("ALTER DATABASE {part} RENAME TO {name}")).await.unwrap();
    }
    url_of(server, &name)
}

pub async fn remove(server: &str, captures: u64) {
    let name = name_of(captures);
    connect(server).await.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await.unwrap();
}

async fn fill(db: &Client, plan: &Plan) {
    // An index is made from the rows by sorting them, in memory as far as possible.
    db.batch_execute("SET search_path = filmgate; SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        .await
        .unwrap();
    let before = schema(db).await;
    let indexes = before.iter().filter(|(_, kind, ..)| kind == "index");
    // Keys last to go and first to come: others refer to them.
    let constraints =
        |foreign: bool| before.iter().filter(move |(_, kind, ..)| kind == if foreign { "f" } else { "pu" });
    db.batch_execute("BEGIN").await.unwrap();
    for foreign in [true, false] {
        for (name, _, table, _) in constraints(foreign) {
            db.batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT {name}")).await.unwrap();
        }
    }
    for (name, ..) in indexes.clone() {
        db.batch_execute(&format!("DROP INDEX {name}")).await.unwrap();
    }
    for table in TABLES {
        // Emptied in this transaction, it may be filled with rows that are old at once.
        db.batch_execute(&format!("TRUNCATE {}", table.name)).await.unwrap();
        copy(db, &format!("COPY {} ({}) FROM STDIN (FREEZE)", table.name, table.columns.join(", ")), table.rows(plan))
            .await;
    }
    for (.., sql) in indexes {
        db.batch_execute(sql).await.unwrap();
    }
    for foreign in [false, true] {
        for (name, _, table, definition) in constraints(foreign) {
            db.batch_execute(&format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")).await.unwrap();
        }
    }
    db.batch_execute("COMMIT").await.unwrap();
    assert_eq!(schema(db).await, before, "the schema is not as it was");
    // As autovacuum and the checkpointer would have long done.
    db.batch_execute("VACUUM (ANALYZE)").await.unwrap();
    db.batch_execute("CHECKPOINT").await.unwrap();
}

/// Name, kind (`index`, `pu` for a key, `f` for a foreign one), table and words of all that was made beside tables.
async fn schema(db: &Client) -> Vec<(String, String, String, String)> {
    let rows = "
        SELECT conname::text, CASE contype WHEN 'f' THEN 'f' ELSE 'pu' END, conrelid::regclass::text,
               pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'filmgate'::regnamespace AND contype IN ('p', 'u', 'f')
        AND conrelid <> 'schema_versions'::regclass
        UNION ALL
        SELECT indexrelid::regclass::text, 'index', indrelid::regclass::text, pg_get_indexdef(indexrelid)
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = 'filmgate'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
        ORDER BY 1";
    let read = |row: &tokio_postgres::Row| (row.get(0), row.get(1), row.get(2), row.get(3));
    db.query(rows, &[]).await.unwrap().iter().map(read).collect()
}

async fn copy(db: &Client, sql: &str, rows: impl Iterator<Item = Row>) {
    let sink = db.copy_in::<_, bytes::Bytes>(sql).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    let mut lines = String::with_capacity(CHUNK + 4096);
    for row in rows {
        for (number, cell) in row.iter().enumerate() {
            let between = if number == 0 { "" } else { "\t" };
            match cell {
                Cell::Null => write!(lines, "{between}\\N"),
                Cell::Int(value) => write!(lines, "{between}{value}"),
                Cell::Real(value) => write!(lines, "{between}{value}"),
                // None has a tab, a line's end or a backslash.
                Cell::Text(value) => write!(lines, "{between}{value}"),
                Cell::Bytes(value) => write!(lines, "{between}\\\\x{}", hex::encode(value)),
                Cell::Uuid(value) => write!(lines, "{between}{value}"),
            }
            .unwrap();
        }
        lines.push('\n');
        if lines.len() >= CHUNK {
            let chunk = std::mem::replace(&mut lines, String::with_capacity(CHUNK + 4096));
            sink.send(chunk.into()).await.unwrap();
        }
    }
    sink.send(lines.into()).await.unwrap();
    sink.finish().await.unwrap();
}
