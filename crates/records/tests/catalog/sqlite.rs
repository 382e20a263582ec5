//! What a catalog in a file must do besides: its file, its age, whose it is.

use std::os::unix::fs::PermissionsExt;

use records::{CatalogOptions, Error, Records, Role, Sync, TaskState};
use uuid::Uuid;

use crate::support::{at, capture, file_catalog, open};

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let catalog = file_catalog().await;
    let session = catalog.new_session(1).await;
    let new = capture(1);
    catalog.record(session.id, vec![new.clone()]).await.unwrap();
    let catalog = catalog.reopened().await;
    assert_eq!(catalog.new_session(session.user_id).await.user_id, 1);
    assert_eq!(catalog.capture(new.id).await.unwrap().unwrap().blob, new.blob);
    assert!(catalog.check_integrity().await.unwrap().is_empty());
    catalog.ping().await.unwrap();
}

#[tokio::test]
async fn a_closed_catalog_is_one_file_and_answers_nobody() {
    let catalog = file_catalog().await;
    let session = catalog.new_session(1).await;
    catalog.records.clone().close().await;
    for beside in ["-wal", "-shm"] {
        let path = format!("{}{beside}", catalog.path().display());
        assert!(!std::path::Path::new(&path).exists(), "{path}");
    }
    assert!(matches!(catalog.end_session(session.id, at(1)).await, Err(Error::Stopped)));
    assert!(matches!(catalog.ping().await, Err(Error::Stopped)));
    catalog.records.clone().close().await;
}

#[tokio::test]
async fn a_write_goes_through_though_nobody_waits_for_it() {
    let catalog = file_catalog().await;
    let session = catalog.new_session(1).await;
    let ending = catalog.records.clone();
    let task = tokio::spawn(async move { ending.end_session(session.id, at(1)).await });
    tokio::task::yield_now().await;
    task.abort();
    catalog.new_session(2).await;
    // Either it had not begun, or it is whole; and the writer lives.
    let ended_at = catalog.session(session.id).await.unwrap().unwrap().ended_at;
    assert!(ended_at.is_none() || ended_at == Some(at(1)));
}

#[tokio::test]
async fn nobody_else_may_read_it() {
    let catalog = file_catalog().await;
    catalog.new_session(1).await;
    for beside in ["", "-wal", "-shm"] {
        let path = format!("{}{beside}", catalog.path().display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

#[tokio::test]
async fn a_later_versions_file_is_refused_and_left_alone() {
    let catalog = file_catalog().await;
    catalog.records.clone().close().await;
    rusqlite::Connection::open(catalog.path()).unwrap().pragma_update(None, "user_version", 1000).unwrap();
    let before = std::fs::read(catalog.path()).unwrap();
    let error = open(&catalog.path()).err().unwrap();
    assert!(matches!(error, Error::NewerSchema { found: 1000, .. }), "{error}");
    assert_eq!(std::fs::read(catalog.path()).unwrap(), before);
}

#[tokio::test]
async fn a_file_of_version_2_is_brought_up_to_date_with_all_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(include_str!("../../src/migrations/0001_first.sql")).unwrap();
    db.execute_batch(include_str!("../../src/migrations/0002_processing.sql")).unwrap();
    db.execute_batch(
        "PRAGMA user_version = 2; PRAGMA application_id = 1179074900;
         INSERT INTO assessment_sessions (id, user_id, created_at) VALUES (zeroblob(16), 7, 1);
         INSERT INTO captures (id, session_id, filename, blob_key, blob_format, content_type, size_bytes, width_px,
             height_px, sha256, capture_trigger, assessment_type, received_at, metadata, sharpness, quarantined_at)
         VALUES (zeroblob(16), zeroblob(16), 'a.jpg', 'b/a.jpg', 'plain', 'image/jpeg', 5, 3, 2, zeroblob(32),
             'INTERVAL', 'PHQ', 2, '{}', 1.5, 9);
         INSERT INTO derivatives VALUES (zeroblob(16), 'thumb', 'image/webp', 'k', 0, 5, 3, 2, zeroblob(32));
         INSERT INTO tasks (id, kind, state, capture_id, user_id, is_ready, available_at, fence, created_at)
         VALUES (zeroblob(16), 'process', 'RETRY', zeroblob(16), 7, 0, 4, 6, 3);
         INSERT INTO idempotency_keys VALUES (7, 'key', zeroblob(32), '{}', 5);",
    )
    .unwrap();
    drop(db);
    let records = open(&path).unwrap();
    let capture = records.capture(Uuid::nil()).await.unwrap().unwrap();
    assert_eq!((capture.filename.as_str(), capture.blob.size_bytes), ("a.jpg", 5));
    let processing = &capture.processing;
    assert_eq!((processing.sharpness, processing.quarantined_at.unwrap().as_microsecond()), (Some(1.5), 9));
    assert_eq!(records.derivatives(Uuid::nil()).await.unwrap()[0].blob_key, "k");
    let task = records.task(Uuid::nil()).await.unwrap().unwrap();
    assert_eq!((task.state, task.user_id, task.available_at.as_microsecond()), (TaskState::Retry, Some(7), 4));
    assert_eq!(records.idempotency_record(7, "key".to_owned()).await.unwrap().unwrap().answer, "{}");
    // What refers to what is as it was: with the capture goes what was made of it.
    records.delete_capture(Uuid::nil(), "user".to_owned(), at(0)).await.unwrap();
    assert!(records.derivatives(Uuid::nil()).await.unwrap().is_empty());
    records.close().await;
    let db = rusqlite::Connection::open(&path).unwrap();
    open(&folder.path().join("new")).unwrap().close().await;
    let new = rusqlite::Connection::open(folder.path().join("new")).unwrap();
    let schema = |db: &rusqlite::Connection| -> String {
        let all =
            "SELECT group_concat(name || coalesce(sql, ''), ';') FROM (SELECT * FROM sqlite_schema ORDER BY name)";
        db.query_row(all, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(schema(&db), schema(&new));
}

/// What makes the file, and how the refusal must go.
fn check_foreign(make: impl Fn(&std::path::Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    make(&path);
    let before = std::fs::read(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, Error::NotACatalog(_)), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before, "not even its log's mode is changed");
}

#[test]
fn another_programs_file_is_refused_and_left_alone() {
    let make = |path: &std::path::Path, sql: &str| {
        rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
    };
    check_foreign(|path| make(path, "CREATE TABLE users (id INTEGER)"));
    check_foreign(|path| make(path, "PRAGMA application_id = 7; PRAGMA user_version = 1; CREATE TABLE t (id INTEGER)"));
    check_foreign(|path| std::fs::write(path, "no database at all, but long enough to be read ".repeat(100)).unwrap());
}

#[tokio::test]
async fn an_empty_file_becomes_a_catalog_and_a_missing_folder_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    std::fs::write(&path, b"").unwrap();
    open(&path).unwrap().ping().await.unwrap();
    open(&folder.path().join("nowhere/catalog.sqlite")).err().expect("no folder");
    open(folder.path()).err().expect("a folder");
}

#[tokio::test]
async fn a_relaxed_catalog_writes_too() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        CatalogOptions { sync: Sync::Relaxed, read_connections: 0, commit_batch_max: 0, event_sinks: Vec::new() };
    let records = Records::open(&folder.path().join("c"), &options).unwrap();
    records.create_user("Anna".to_owned(), String::new(), Role::Admin, at(0)).await.unwrap();
    assert!(!records.is_stopped());
}
