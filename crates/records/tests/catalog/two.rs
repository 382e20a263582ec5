//! A second process on the same file.

use std::time::Duration;

use records::{NewToken, Recorded, Role, TokenScope};
use uuid::Uuid;

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

#[tokio::test]
async fn what_either_takes_away_the_other_refuses_a_moment_later() {
    let catalog = catalog().await;
    let beside = catalog.beside().await;
    let anna = catalog.create_user("Anna".to_owned(), String::new(), Role::Admin, at(1)).await.unwrap();
    let token = NewToken {
        id: Uuid::now_v7(),
        name: "a token".to_owned(),
        scope: TokenScope::User,
        user_id: Some(anna.id),
        secret_hash: [1; 32],
        expires_at: None,
    };
    let token = catalog.create_token(token, at(1)).await.unwrap();
    catalog.create_sign_in([2; 32], anna.id, at(1), at(100)).await.unwrap();
    let session = catalog.new_session(anna.id).await;
    let seen = async || {
        let gate = catalog.session_gate(session.id).await.unwrap().unwrap();
        let token = catalog.token_by_secret([1; 32], at(2)).await.unwrap();
        let sign_in = catalog.signed_in([2; 32], at(2)).await.unwrap();
        (gate.session.ended_at, token.is_some(), sign_in.is_some())
    };
    for _ in 0..10 {
        assert_eq!(seen().await, (None, true, true));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    beside.end_session(session.id, at(5)).await.unwrap();
    beside.revoke_token(token.id, at(5)).await.unwrap();
    beside.end_sign_in([2; 32]).await.unwrap();
    // Whatever is asked meanwhile.
    let asking = async {
        loop {
            seen().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! { () = beside.noticed() => {}, () = asking => {} }
    assert_eq!(seen().await, (Some(at(5)), false, false));
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
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!ending.is_finished());
    catalog.ping().await.expect("reads go on");
    held.rollback().unwrap();
    ending.await.unwrap().unwrap();
}
