//! Deleting captures, and what is remembered of them.

use records::{AssessmentType, IdempotencyRecord, TaskState};
use uuid::Uuid;

use crate::support::{Catalog, at, capture, catalog, not_found};

async fn delete(catalog: &Catalog, id: Uuid, seconds: i64) -> records::Result<records::Capture> {
    catalog.delete_capture(id, "asked for".to_owned(), at(seconds)).await
}

#[tokio::test]
async fn a_deleted_capture_calls_off_its_task_and_leaves_a_tombstone() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    let (kept, gone) = (capture(1), capture(2));
    catalog.record(session, vec![kept.clone(), gone.clone()]).await.unwrap();
    assert_eq!(delete(&catalog, gone.id, 5).await.unwrap().blob, gone.blob);
    not_found(delete(&catalog, gone.id, 6).await);
    assert!(catalog.capture(gone.id).await.unwrap().is_none());
    // What is left of the task is ids.
    let task = catalog.task_now(gone.task_id).await;
    assert_eq!((task.state, task.finished_at, task.payload), (TaskState::Revoked, Some(at(5)), None));
    assert_eq!(catalog.task_now(kept.task_id).await.state, TaskState::Pending);
    for (capture, is_buried) in [(&gone, true), (&kept, false)] {
        assert_eq!(catalog.is_tombstone(capture.id).await.unwrap(), is_buried);
        assert_eq!(catalog.blob_is_buried(capture.blob.key.clone()).await.unwrap(), is_buried);
    }
}

#[tokio::test]
async fn what_belongs_to_no_assessment_goes_and_the_rest_stays() {
    let catalog = catalog().await;
    let (mine, other) = (catalog.new_session(1).await.id, catalog.new_session(1).await.id);
    let captures = [capture(1), capture(2), capture(3), capture(4)];
    let ids = captures.clone().map(|capture| capture.id);
    let [one, two, three, four] = captures;
    catalog.record(mine, vec![one, two, three]).await.unwrap();
    catalog.record(other, vec![four]).await.unwrap();
    catalog.link_captures(mine, vec![ids[1]], AssessmentType::Phq, "1".to_owned(), at(3)).await.unwrap();
    let mut gone: Vec<Uuid> = catalog
        .delete_unlinked_captures(mine, "cleanup".to_owned(), at(5))
        .await
        .unwrap()
        .into_iter()
        .map(|capture| capture.id)
        .collect();
    gone.sort_unstable();
    let mut expect = vec![ids[0], ids[2]];
    expect.sort_unstable();
    assert_eq!(gone, expect);
    assert_eq!(catalog.capture_counts(vec![mine, other]).await.unwrap(), [1, 1]);
    assert!(catalog.delete_unlinked_captures(mine, "cleanup".to_owned(), at(6)).await.unwrap().is_empty());
}

#[tokio::test]
async fn keys_of_blobs_are_found_by_folder_and_by_tombstone() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    let keys = ["a/00/1", "a/00/2", "a/000/3", "a/00-/4", "a/01/5", "b/00/6"];
    let mut ids = Vec::new();
    for key in keys {
        let mut capture = capture(1);
        key.clone_into(&mut capture.blob.key);
        ids.push(capture.id);
        catalog.record(session, vec![capture]).await.unwrap();
    }
    let mut found = catalog.blob_keys_in("a/00".to_owned()).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, ["a/00/1", "a/00/2"]);
    assert!(catalog.blob_keys_in("c/00".to_owned()).await.unwrap().is_empty());

    for (seconds, id) in (10..).zip(&ids) {
        delete(&catalog, *id, seconds).await.unwrap();
    }
    let buried = async |after: &str, before: Option<i64>| {
        catalog.buried_blob_keys(after.to_owned(), before.map(at), 3).await.unwrap()
    };
    assert_eq!(buried("", None).await, ["a/00-/4", "a/00/1", "a/00/2"]);
    assert_eq!(buried("a/00/2", None).await, ["a/000/3", "a/01/5", "b/00/6"]);
    assert_eq!(buried("", Some(11)).await, ["a/00/1"]);
    assert!(buried("b/00/6", None).await.is_empty());
}

#[tokio::test]
async fn what_is_past_its_time_is_forgotten_and_nothing_else() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    for seconds in [10, 20] {
        let new = capture(1);
        let mut recording = catalog.recording(session, vec![new.clone()]).await;
        let (digest, answer) = ([0; 32], String::new());
        recording.idempotency = Some(IdempotencyRecord { user_id: 1, key: seconds.to_string(), digest, answer });
        recording.now = at(seconds);
        catalog.record_captures(recording).await.unwrap();
        delete(&catalog, new.id, seconds).await.unwrap();
    }
    assert_eq!(catalog.forget_before(at(10)).await.unwrap(), (0, 0));
    assert_eq!(catalog.forget_before(at(11)).await.unwrap(), (1, 1));
    assert!(catalog.idempotency_record(1, "10".to_owned()).await.unwrap().is_none());
    assert!(catalog.idempotency_record(1, "20".to_owned()).await.unwrap().is_some());
    assert_eq!(catalog.buried_blob_keys(String::new(), None, 10).await.unwrap().len(), 1);
}
