//! The engine under its facade: one commit for many, and what a failure in the middle means for each.

use std::sync::mpsc;

use rusqlite::{Connection, ffi};
use tokio::task::JoinHandle;

use crate::db::Db;
use crate::engine::Engine;
use crate::{CatalogOptions, Error, Records, Result, SettingsChoice, Sync};

struct Catalog {
    records: Records,
    _folder: tempfile::TempDir,
}

fn catalog_with(options: &CatalogOptions) -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    Catalog { records: Records::open(&folder.path().join("c"), options).unwrap(), _folder: folder }
}

fn catalog() -> Catalog {
    catalog_with(&CatalogOptions::default())
}

fn add(db: &Connection, name: &str) -> Result<()> {
    db.execute("INSERT INTO users (username, password_hash, role, created_at) VALUES (?, '', 'admin', 0)", [name])?;
    Ok(())
}

fn of_a_file<T>(request: impl Fn(&Connection) -> Result<T>) -> impl Fn(&Db<'_>) -> Result<T> {
    move |db| match db {
        Db::Sqlite(db) => request(db),
        Db::Postgres(_) => panic!("a catalog in a file"),
    }
}

async fn write<T: Send + 'static>(
    engine: Engine,
    request: impl Fn(&Connection) -> Result<T> + Send + 'static,
) -> Result<T> {
    engine.write(of_a_file(request)).await
}

/// More than a page holds.
fn add_much(db: &Connection) -> Result<()> {
    add(db, &"much ".repeat(20_000))
}

impl Catalog {
    fn engine(&self) -> Engine {
        self.records.engine.clone()
    }

    async fn write<T: Send + 'static>(&self, request: impl Fn(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        write(self.engine(), request).await
    }

    async fn read<T: Send + 'static>(&self, query: impl Fn(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        self.engine().read(of_a_file(query)).await
    }

    /// Hands the writer all of these at once, so that they share a transaction; what each was told.
    async fn batch(&self, requests: Vec<fn(&Connection) -> Result<()>>) -> Vec<Result<()>> {
        let (begun, begins) = mpsc::channel();
        let (go_on, waits) = mpsc::channel();
        let engine = self.engine();
        // Occupies the writer until all of them wait.
        let first = tokio::spawn(async move {
            let hold = move |_: &Connection| {
                begun.send(()).unwrap();
                waits.recv().unwrap();
                Ok::<_, Error>(())
            };
            write(engine, hold).await
        });
        tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();
        let waiting = requests.len();
        let tasks: Vec<JoinHandle<Result<()>>> = requests
            .into_iter()
            .map(|request| {
                let engine = self.engine();
                tokio::spawn(async move { write(engine, request).await })
            })
            .collect();
        // On one thread each task runs to where it waits for the writer, in turn.
        for _ in 0..=waiting {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.engine().metrics().write_queue.get(), i64::try_from(waiting).unwrap());
        go_on.send(()).unwrap();
        first.await.unwrap().unwrap();
        let mut told = Vec::new();
        for task in tasks {
            told.push(task.await.unwrap());
        }
        told
    }

    fn readers(&self) -> std::sync::Arc<tokio::sync::Semaphore> {
        match self.engine() {
            Engine::Sqlite(engine) => engine.all_readers(),
            Engine::Postgres(_) => panic!("a catalog in a file"),
        }
    }

    async fn names(&self) -> String {
        let sql = "SELECT coalesce(group_concat(username), '') FROM (SELECT username FROM users ORDER BY id)";
        self.read(move |db| Ok(db.query_row(sql, [], |row| row.get(0))?)).await.unwrap()
    }
}

fn told(outcomes: &[Result<()>]) -> String {
    let word = |outcome: &Result<()>| match outcome {
        Ok(()) => "ok",
        Err(Error::Full) => "full",
        Err(Error::Busy) => "busy",
        Err(Error::Stopped) => "stopped",
        Err(Error::Conflict(_)) => "conflict",
        Err(Error::OutcomeUnknown(_)) => "unknown",
        Err(Error::Engine(_)) => "engine",
        Err(other) => panic!("{other}"),
    };
    outcomes.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What a batch is told, and whose rows hold.
async fn check(requests: Vec<fn(&Connection) -> Result<()>>, expect: &str, names: &str) -> Catalog {
    let catalog = catalog();
    let outcomes = catalog.batch(requests).await;
    assert_eq!((told(&outcomes).as_str(), catalog.names().await.as_str()), (expect, names));
    catalog
}

#[tokio::test]
async fn one_that_fails_takes_nobody_with_it() {
    let refuse: fn(&Connection) -> Result<()> = |db| {
        add(db, "half of it")?;
        Err(Error::Conflict("no".to_owned()))
    };
    check(vec![|db| add(db, "a"), refuse, |db| add(db, "b")], "ok conflict ok", "a,b").await;
    check(vec![|db| add(db, "a"), |db| add(db, "a"), |db| add(db, "b")], "ok engine ok", "a,b").await;
}

#[tokio::test]
async fn a_disk_full_in_the_middle_is_everybodys_and_passes() {
    let full: fn(&Connection) -> Result<()> = |db| {
        db.pragma_update(None, "max_page_count", 1)?;
        add_much(db)
    };
    let room: fn(&Connection) -> Result<()> = |db| Ok(db.pragma_update(None, "max_page_count", 1_000_000)?);
    let catalog = check(vec![|db| add(db, "a"), full, |db| add(db, "b")], "full full full", "").await;
    assert!(!catalog.records.is_stopped());
    assert_eq!(told(&catalog.batch(vec![room, |db| add(db, "c")]).await), "ok ok");
    assert_eq!(catalog.names().await, "c");
}

#[tokio::test]
async fn a_transaction_that_the_engine_rolled_back_holds_for_nobody() {
    let rolls_back: fn(&Connection) -> Result<()> =
        |db| Ok(db.execute("INSERT OR ROLLBACK INTO users VALUES (1, 'x', '', 'nonsense', 1, 0)", []).map(drop)?);
    // Also where the one it happened to says nothing.
    let swallows: fn(&Connection) -> Result<()> = |db| {
        db.execute("ROLLBACK", [])?;
        Ok(())
    };
    check(vec![|db| add(db, "a"), rolls_back, |db| add(db, "b")], "engine engine engine", "").await;
    let catalog = check(vec![|db| add(db, "a"), swallows, |db| add(db, "b")], "engine engine engine", "").await;
    assert_eq!(told(&catalog.batch(vec![|db| add(db, "c")]).await), "ok");
    assert_eq!(catalog.names().await, "c");
}

#[tokio::test]
async fn a_refusal_for_what_was_then_lost_is_not_told() {
    let taken: fn(&Connection) -> Result<()> = |db| match add(db, "a") {
        Err(_) => Err(Error::Conflict("'a' is taken".to_owned())),
        ok => ok,
    };
    let full: fn(&Connection) -> Result<()> = |db| {
        db.pragma_update(None, "max_page_count", 1)?;
        add_much(db)
    };
    check(vec![|db| add(db, "a"), taken, full], "full full full", "").await;
}

#[tokio::test]
async fn a_failing_disk_ends_all_writing_and_no_reading() {
    let fails: fn(&Connection) -> Result<()> =
        |_| Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_WRITE), None).into());
    let catalog = check(vec![|db| add(db, "a"), fails, |db| add(db, "b")], "stopped stopped stopped", "").await;
    assert!(catalog.records.is_stopped());
    assert_eq!(told(&[catalog.write(|db| add(db, "c")).await]), "stopped");
    catalog.records.ping().await.unwrap();
    catalog.records.clone().close().await;
}

#[tokio::test]
async fn a_writer_that_panics_is_stopped_and_says_so() {
    let catalog = catalog();
    let outcome = catalog.write(|_| -> Result<()> { panic!("a mistake of ours") }).await;
    assert_eq!(told(&[outcome]), "stopped");
    assert_eq!(told(&[catalog.write(|db| add(db, "c")).await]), "stopped");
    for _ in 0..400 {
        if catalog.records.is_stopped() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("readiness never hears of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_share_a_commit_and_one_among_them_fails_alone() {
    let catalog = catalog_with(&CatalogOptions { commit_batch_max: 64, ..CatalogOptions::default() });
    let writes: Vec<_> = (0..200)
        .map(|number| {
            let engine = catalog.engine();
            tokio::spawn(async move {
                let request = move |db: &Connection| {
                    add(db, &format!("user {number}"))?;
                    if number == 100 { Err(Error::Conflict("no".to_owned())) } else { Ok(()) }
                };
                write(engine, request).await
            })
        })
        .collect();
    for (number, write) in writes.into_iter().enumerate() {
        assert_eq!(write.await.unwrap().is_ok(), number != 100, "{number}");
    }
    let mut registry = prometheus_client::registry::Registry::default();
    catalog.records.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let of = |name: &str| -> f64 {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    assert!((of("commit_requests_sum") - 200.0).abs() < 0.5);
    assert!(of("commit_requests_count") < 200.0, "no two shared a commit");
    assert!(of("catalog_write_queue").abs() < 0.5);
    let names = catalog.names().await;
    assert_eq!(names.split(',').count(), 199);
    assert!(!names.contains("user 100,"));
}

#[tokio::test]
async fn what_durability_and_privacy_rest_on_is_really_set() {
    fn pragma(db: &Connection, name: &str) -> Result<String> {
        Ok(db.query_row(&format!("PRAGMA {name}"), [], |row| {
            let value: rusqlite::types::Value = row.get(0)?;
            Ok(format!("{value:?}"))
        })?)
    }
    let expect = |name: &str, sync: Sync| match (name, sync) {
        ("journal_mode", _) => "Text(\"wal\")",
        ("synchronous" | "temp_store", Sync::Durable) | ("temp_store", Sync::Relaxed) => "Integer(2)",
        _ => "Integer(1)",
    };
    let names = ["journal_mode", "synchronous", "secure_delete", "foreign_keys", "temp_store"];
    for sync in [Sync::Durable, Sync::Relaxed] {
        let catalog = catalog_with(&CatalogOptions { sync, ..CatalogOptions::default() });
        for name in names {
            let set = catalog.write(move |db| pragma(db, name)).await.unwrap();
            assert_eq!(set, expect(name, sync), "{name}, {sync:?}");
        }
        let query_only = catalog.read(|db| pragma(db, "query_only")).await.unwrap();
        assert_eq!(query_only, "Integer(1)");
        catalog.read(|db| add(db, "a")).await.expect_err("a reader writes nothing");
    }
}

#[tokio::test]
async fn what_gates_an_upload_is_answered_from_memory_until_it_changes() {
    let catalog = catalog();
    let now = jiff::Timestamp::UNIX_EPOCH;
    catalog.write(|db| add(db, "a")).await.unwrap();
    let id = uuid::Uuid::now_v7();
    catalog.records.register_session(id, 1, SettingsChoice::Chosen(None), now).await.unwrap();
    let readers = catalog.readers();
    let mut held = None;
    // Without a reader only memory can answer; the engine forgets for moments, so perhaps not the first time.
    let gate = loop {
        held.take();
        catalog.records.session_gate(id).await.unwrap().unwrap();
        held = Some(readers.clone().acquire_many_owned(4).await.unwrap());
        let asked = catalog.records.session_gate(id);
        if let Ok(gate) = tokio::time::timeout(std::time::Duration::from_millis(20), asked).await {
            break gate.unwrap().unwrap();
        }
    };
    assert_eq!((gate.session.id, gate.session.ended_at), (id, None));
    drop(held);
    catalog.records.end_session(id, now).await.unwrap();
    let gate = catalog.records.session_gate(id).await.unwrap().unwrap();
    assert_eq!(gate.session.ended_at, Some(now));
}
