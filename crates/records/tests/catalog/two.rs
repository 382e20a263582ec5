//! A second process on the same file.

use records::Recorded;

use crate::support::{at, capture, catalog, file_catalog};

#[tokio::test]
async fn both_see_what_either_wrote() {
    let catalog = catalog().await;
    let beside = catalog.beside().await;
    let session = catalog.new_session(1).await;
    assert_eq!(beside.session(session.id).await.unwrap(), Some(session.clone()));
    let recording = catalog.recording(session.id, vec![capture(1)]).await;
    beside.end_session(session.id, at(5)).await.unwrap();
    assert_eq!(catalog.session(session.id).await.unwrap().unwrap().ended_at, Some(at(5)));
    let outcome = catalog.record_captures(recording).await;
    assert!(matches!(outcome, Err(records::RecordingError::GateChanged)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_waits_for_the_other() {
    let catalog = catalog().await;
    let beside = catalog.beside().await;
    let session = catalog.new_session(1).await;
    let mut writes = Vec::new();
    for number in 0..200 {
        let records = if number % 2 == 0 { catalog.records.clone() } else { beside.clone() };
        let recording = catalog.recording(session.id, vec![capture(number)]).await;
        writes.push(tokio::spawn(async move { records.record_captures(recording).await }));
    }
    for write in writes {
        assert_eq!(write.await.unwrap().unwrap(), Recorded::Stored);
    }
    assert_eq!(beside.count_captures().await.unwrap(), 200);
}

#[tokio::test]
async fn a_write_waits_while_another_process_holds_the_catalog() {
    let catalog = file_catalog().await;
    let session = catalog.new_session(1).await;
    let mut other = rusqlite::Connection::open(catalog.path()).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let records = catalog.records.clone();
    let ending = tokio::spawn(async move { records.end_session(session.id, at(1)).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!ending.is_finished());
    catalog.ping().await.expect("reads go on");
    held.rollback().unwrap();
    ending.await.unwrap().unwrap();
}
