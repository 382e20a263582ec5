//! A catalog copied into another one, and compared with it.

use records::{Effect, IdempotencyRecord, NewToken, Recorded, Records, Role, TaskKind, TokenScope};
use uuid::Uuid;

use crate::support::{Catalog, at, capture, catalog, catalog_heard_by, chosen, file_catalog};

/// Rows in every table, more than one step of some.
async fn full() -> Catalog {
    let catalog = catalog_heard_by(&["one"]).await;
    let user = catalog.create_user("Ada Zoë".to_owned(), "hash".to_owned(), Role::Admin, at(1)).await.unwrap();
    catalog.create_sign_in([9; 32], user.id, at(1), at(100_000)).await.unwrap();
    let token = NewToken {
        id: Uuid::now_v7(),
        name: "a token".to_owned(),
        scope: TokenScope::User,
        user_id: Some(user.id),
        secret_hash: [8; 32],
        expires_at: None,
    };
    catalog.create_token(token, at(2)).await.unwrap();
    let settings = records::NewCameraSettings { is_default: true, ..chosen("the default") };
    catalog.create_camera_settings(Uuid::now_v7(), settings, at(1)).await.unwrap();
    let session = catalog.new_session(user.id).await.id;
    let captures: Vec<_> = (0..1_201).map(capture).collect();
    let doomed = captures[5].id;
    let mut recording = catalog.recording(session, captures).await;
    recording.idempotency = Some(IdempotencyRecord {
        user_id: user.id,
        key: "a key".to_owned(),
        digest: [3; 32],
        answer: "an answer".to_owned(),
    });
    assert_eq!(catalog.record_captures(recording).await.unwrap(), Recorded::Stored);
    let claim = catalog.claim(TaskKind::Process, 1, at(2_000)).await.remove(0);
    let effect = Effect::Processed(Box::new(crate::effects::processed(0x0f0f, "t/1")));
    catalog.succeed(&claim, effect, at(2_001)).await;
    catalog.delete_capture(doomed, "no reason".to_owned(), at(2_002)).await.unwrap();
    catalog
}

async fn copy(from: &Records, to: &Records) -> u64 {
    let copied = from.copy_to(to, |_| ()).await.unwrap();
    let compared = from.compare(to, |_| ()).await.unwrap();
    assert!(compared.is_same(), "{compared:?}");
    assert_eq!(compared.same, copied);
    copied
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_and_back_every_row_is_the_same() {
    // Between engines, where there is another one.
    let (first, file, back) = (full().await, file_catalog().await, catalog().await);
    assert!(!first.is_empty().await.unwrap() && file.is_empty().await.unwrap());
    let copied = copy(&first, &file).await;
    assert_eq!(copy(&file, &back).await, copied);
    assert!(first.compare(&back, |_| ()).await.unwrap().is_same());
    // Both go on from there: the next user gets a number of their own.
    for catalog in [&file, &back] {
        let name = "somebody else".to_owned();
        let user = catalog.create_user(name, String::new(), Role::Participant, at(3)).await.unwrap();
        assert!(catalog.user_by_name("ADA ZOë".to_owned()).await.unwrap().is_some_and(|(ada, _)| ada.id != user.id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_broke_off_goes_on() {
    let (first, second) = (full().await, file_catalog().await);
    let (stop, stopped) = std::sync::mpsc::channel();
    let broken = first.copy_to(&second, move |progress| {
        if progress.done > 600 {
            stop.send(()).unwrap();
            panic!("broken off");
        }
    });
    broken.await.unwrap_err();
    stopped.recv().unwrap();
    let compared = first.compare(&second, |_| ()).await.unwrap();
    assert!(!compared.is_same() && compared.same > 0, "{compared:?}");
    copy(&first, &second).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_is_named_and_no_value_told() {
    let (first, second) = (full().await, file_catalog().await);
    first.copy_to(&second, |_| ()).await.unwrap();
    let (session, newest) = {
        let newest = second.captures(records::CaptureFilter::default(), None, 1).await.unwrap().items.remove(0);
        (newest.session_id, newest)
    };
    let outside = rusqlite::Connection::open(second.path()).unwrap();
    outside.execute("UPDATE captures SET capture_trigger = 'SECRETWORD' WHERE id = ?", [newest.id.as_bytes()]).unwrap();
    outside.execute("DELETE FROM idempotency_keys", []).unwrap();
    second.create_user("SECRETWORD".to_owned(), String::new(), Role::Admin, at(1)).await.unwrap();
    let compared = first.compare(&second, |_| ()).await.unwrap();
    let told = compared.differences.join("\n");
    let expect =
        format!("users 2 is not of this catalog\ncaptures {} differs\nidempotency_keys: a row is missing", newest.id);
    assert_eq!(told, expect);
    assert!(second.session(session).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_meanwhile_is_not_half_in_the_copy() {
    let (first, second) = (full().await, file_catalog().await);
    let (writer, session) = (first.records.clone(), first.new_session(7).await.id);
    let before = first.count_captures().await.unwrap();
    let writing = tokio::spawn(async move {
        for second in 5_000.. {
            let gate = writer.session_gate(session).await.unwrap().unwrap();
            let captures = vec![capture(second), capture(second)];
            let recording = records::Recording { gate, captures, idempotency: None, now: at(second) };
            writer.record_captures(recording).await.unwrap();
        }
    });
    first.copy_to(&second, |_| ()).await.unwrap();
    writing.abort();
    let copied = second.count_captures().await.unwrap();
    assert!(copied >= before && (copied - before) % 2 == 0, "{before} {copied}");
    // Each has the task that was recorded with it.
    let without =
        "SELECT count(*) FROM captures WHERE id NOT IN (SELECT capture_id FROM tasks WHERE capture_id IS NOT NULL)";
    assert_eq!(second.count(without).await, 0);
}
