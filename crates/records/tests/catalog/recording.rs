//! Recording: all or none, what the gate saw or nothing, a key once.

use records::{AssessmentType, IdempotencyRecord, NewCameraSettings, NewCapture, Recorded, RecordingError, StoredBlob};
use uuid::Uuid;

use crate::support::{Catalog, at, capture, catalog, chosen, refused};

fn key(text: &str, user_id: i64) -> IdempotencyRecord {
    IdempotencyRecord { user_id, key: text.to_owned(), digest: [1; 32], answer: format!("answer to {text}") }
}

/// Rows of the tables that a recording writes.
async fn counts(catalog: &Catalog) -> [i64; 4] {
    let mut counts = [0; 4];
    for (count, table) in counts.iter_mut().zip(["captures", "tasks", "idempotency_keys", "tombstones"]) {
        *count = catalog.count(&format!("SELECT count(*) FROM {table}")).await;
    }
    counts
}

#[tokio::test]
async fn a_capture_is_kept_with_its_task_and_the_settings_of_its_gate() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await;
    let bare = capture(1);
    catalog.record(session.id, vec![bare.clone()]).await.unwrap();
    let found = catalog.capture(bare.id).await.unwrap().unwrap();
    assert_eq!(found.settings_snapshot, None);

    let settings = catalog.new_settings("one").await;
    catalog.set_session_settings(session.id, Some(settings.id)).await.unwrap();
    let full = NewCapture {
        assessment_type: AssessmentType::Phq,
        assessment_id: Some("\"p1\"".to_owned()),
        blob: StoredBlob { size_bytes: u64::from(u32::MAX) + 1, ..capture(2).blob },
        width_px: u32::MAX,
        captured_at: None,
        ..capture(2)
    };
    assert_eq!(catalog.record(session.id, vec![full.clone()]).await.unwrap(), Recorded::Stored);
    let (found, owner) = catalog.capture_by_filename(full.filename.clone()).await.unwrap().unwrap();
    assert_eq!(owner, 1);
    assert_eq!((found.id, found.session_id, &found.blob), (full.id, session.id, &full.blob));
    assert_eq!((found.width_px, found.height_px), (u32::MAX, 720));
    assert_eq!((found.assessment_type, found.assessment_id), (AssessmentType::Phq, full.assessment_id));
    assert_eq!((found.trigger, found.captured_at, found.received_at), (full.trigger, None, at(2)));
    assert_eq!((found.metadata, found.content_type), (full.metadata, full.content_type));
    let snapshot: serde_json::Value = serde_json::from_str(&found.settings_snapshot.unwrap()).unwrap();
    assert_eq!((&snapshot["setting_name"], &snapshot["id"]), (&"one".into(), &settings.id.to_string().into()));

    assert_eq!(counts(&catalog).await, [2, 2, 0, 0]);
    let pending = catalog.count("SELECT count(*) FROM tasks WHERE state = 'PENDING' AND attempts = 0").await;
    assert_eq!(pending, 2);
    assert!(catalog.capture(Uuid::now_v7()).await.unwrap().is_none());
    assert!(catalog.capture_by_filename("none.jpg".to_owned()).await.unwrap().is_none());
}

#[tokio::test]
async fn all_of_a_request_is_recorded_or_none() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await;
    let first = capture(1);
    catalog.record(session.id, vec![first.clone()]).await.unwrap();
    let before = counts(&catalog).await;
    let same_id = NewCapture { id: first.id, ..capture(3) };
    let same_name = NewCapture { filename: first.filename.clone(), ..capture(3) };
    let same_blob = NewCapture { blob: first.blob.clone(), ..capture(3) };
    let same_task = NewCapture { task_id: first.task_id, ..capture(3) };
    for bad in [same_id, same_name, same_blob, same_task] {
        let mut recording = catalog.recording(session.id, vec![capture(2), bad, capture(4)]).await;
        recording.idempotency = Some(key("k", 1));
        let error = catalog.record_captures(recording).await.unwrap_err();
        assert!(matches!(&error, RecordingError::Catalog(error) if refused(error)), "{error}");
        assert_eq!(counts(&catalog).await, before);
    }
}

#[tokio::test]
async fn what_is_no_longer_as_the_gate_saw_it_is_not_recorded() {
    let catalog = catalog().await;
    let settings = catalog.new_settings("one").await;
    let others = catalog.new_settings("two").await;
    for what in ["nothing", "settings changed", "deactivated", "other settings", "no settings", "ended"] {
        let session = catalog.new_session(1).await;
        catalog.set_session_settings(session.id, Some(settings.id)).await.unwrap();
        catalog.change_camera_settings(settings.id, chosen("one"), None, at(1)).await.unwrap();
        let mut recording = catalog.recording(session.id, vec![capture(1)]).await;
        recording.idempotency = Some(key(what, 1));
        let before = counts(&catalog).await;
        let change = async |chosen: NewCameraSettings| {
            catalog.change_camera_settings(settings.id, chosen, None, at(2)).await.unwrap();
        };
        match what {
            "settings changed" => change(NewCameraSettings { interval_seconds: Some(6), ..chosen("one") }).await,
            "deactivated" => change(NewCameraSettings { is_active: false, ..chosen("one") }).await,
            "other settings" => drop(catalog.set_session_settings(session.id, Some(others.id)).await.unwrap()),
            "no settings" => drop(catalog.set_session_settings(session.id, None).await.unwrap()),
            "ended" => drop(catalog.end_session(session.id, at(3)).await.unwrap()),
            _ => {}
        }
        let outcome = catalog.record_captures(recording).await;
        if what == "nothing" {
            assert_eq!(outcome.unwrap(), Recorded::Stored);
            continue;
        }
        assert!(matches!(outcome, Err(RecordingError::GateChanged)), "{what}: {outcome:?}");
        assert_eq!(counts(&catalog).await, before, "{what}");
    }
    let mut recording = catalog.recording(catalog.new_session(1).await.id, vec![capture(1)]).await;
    recording.gate.session.user_id = 2;
    let outcome = catalog.record_captures(recording.clone()).await;
    assert!(matches!(outcome, Err(RecordingError::GateChanged)), "another's: {outcome:?}");
    recording.gate.session.id = Uuid::now_v7();
    let outcome = catalog.record_captures(recording).await;
    assert!(matches!(outcome, Err(RecordingError::GateChanged)), "nobody's: {outcome:?}");
}

#[tokio::test]
async fn a_key_is_taken_once_by_each_user() {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await;
    let record = async |record: IdempotencyRecord| {
        let mut recording = catalog.recording(session.id, vec![capture(1)]).await;
        recording.idempotency = Some(record);
        catalog.record_captures(recording).await.unwrap()
    };
    assert_eq!(record(key("k", 1)).await, Recorded::Stored);
    let other = IdempotencyRecord { digest: [2; 32], answer: "another".to_owned(), ..key("k", 1) };
    assert_eq!(record(other).await, Recorded::KeyTaken(key("k", 1)));
    assert_eq!(counts(&catalog).await[0], 1);
    assert_eq!(record(key("k", 2)).await, Recorded::Stored);
    assert_eq!(record(key("K", 1)).await, Recorded::Stored);
    assert_eq!(catalog.idempotency_record(1, "k".to_owned()).await.unwrap(), Some(key("k", 1)));
    assert_eq!(catalog.idempotency_record(3, "k".to_owned()).await.unwrap(), None);
    // First wins also where the session has ended since: a retry must get its answer.
    let mut recording = catalog.recording(session.id, vec![capture(1)]).await;
    recording.idempotency = Some(key("k", 1));
    catalog.end_session(session.id, at(5)).await.unwrap();
    assert_eq!(catalog.record_captures(recording).await.unwrap(), Recorded::KeyTaken(key("k", 1)));
}
