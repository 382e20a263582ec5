//! What processing changes, and what others hear of it.

use jiff::Timestamp;
use records::{Claim, Derivative, Effect, Ending, Finished, Processed, Store, StoredBlob, TaskKind, TaskState};
use uuid::Uuid;

use crate::support::{Catalog, at, capture, catalog, catalog_heard_by, refused};

const PROCESS: TaskKind = TaskKind::Process;

fn derivative(key: &str) -> Derivative {
    Derivative {
        size: "thumb".to_owned(),
        content_type: "image/jpeg".to_owned(),
        blob_key: key.to_owned(),
        offset_bytes: 0,
        size_bytes: 100,
        width_px: 320,
        height_px: 180,
        sha256: [1; 32],
    }
}

pub fn processed(hash: u64, key: &str) -> Processed {
    Processed {
        width_px: 720,
        height_px: 1280,
        taken_at: Some("2027-01-15T08:00:00".to_owned()),
        placeholder: vec![1, 2, 3],
        sharpness: 12.5,
        brightness: 0.5,
        perceptual_hash: hash,
        near_duplicate_bits_max: 3,
        derivatives: vec![derivative(key)],
        replacement: None,
    }
}

async fn process(catalog: &Catalog, claim: &Claim, processed: Processed, now: Timestamp) -> Finished {
    catalog.succeed(claim, Effect::Processed(Box::new(processed)), now).await
}

async fn claim_of(catalog: &Catalog, task_id: Uuid, now: Timestamp) -> Claim {
    catalog.claim_these(crate::support::terms(PROCESS), vec![task_id], now).await.unwrap().remove(0)
}

/// The payloads of all deliveries: sink and event.
async fn heard(catalog: &Catalog) -> Vec<(String, String)> {
    let mut told: Vec<_> = catalog
        .tasks_of(TaskKind::Deliver)
        .await
        .into_iter()
        .map(|task| {
            let payload: serde_json::Value = serde_json::from_str(&task.payload.unwrap()).unwrap();
            (task.sink.unwrap(), payload["type"].as_str().unwrap().to_owned())
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn an_effect_takes_place_once_and_each_sink_hears_of_it_once() {
    let catalog = catalog_heard_by(&["one", "two"]).await;
    catalog.upload(1, 1, 1).await;
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    let made = processed(u64::MAX, "t/1");
    assert_eq!(process(&catalog, &claim, made.clone(), at(11)).await, Finished::Done);
    assert_eq!(process(&catalog, &claim, made.clone(), at(12)).await, Finished::Lost);
    assert_eq!(catalog.count_effects().await.unwrap(), 1);
    let capture = catalog.capture(claim.task.capture_id.unwrap()).await.unwrap().unwrap();
    let processing = capture.processing;
    assert_eq!((processing.count, processing.processed_at), (1, Some(at(11))));
    assert_eq!(
        (processing.width_px, processing.height_px, processing.taken_at),
        (Some(720), Some(1280), made.taken_at)
    );
    assert_eq!((processing.sharpness, processing.brightness), (Some(12.5), Some(0.5)));
    assert_eq!((processing.perceptual_hash, processing.placeholder), (Some(u64::MAX), Some(vec![1, 2, 3])));
    assert_eq!(catalog.derivatives(capture.id).await.unwrap(), made.derivatives);
    let event = |sink: &str, kind: &str| (sink.to_owned(), format!("capture.{kind}"));
    let expect = [event("one", "processed"), event("one", "stored"), event("two", "processed"), event("two", "stored")];
    assert_eq!(heard(&catalog).await, expect);
}

#[tokio::test]
async fn where_an_effect_is_refused_neither_task_nor_event_changes() {
    let catalog = catalog_heard_by(&["one"]).await;
    catalog.upload(1, 2, 1).await;
    let claims = catalog.claim(PROCESS, 2, at(10)).await;
    process(&catalog, &claims[0], processed(0, "t/1"), at(11)).await;
    let before = heard(&catalog).await;
    // The key is another capture's: a rule of the schema, broken in the middle of the effect.
    let effect = Effect::Processed(Box::new(processed(0, "t/1")));
    let outcome = catalog.finish_task(claims[1].task.id, claims[1].fence, Ending::Success(effect), at(12)).await;
    assert!(outcome.as_ref().is_err_and(refused), "{outcome:?}");
    assert_eq!(catalog.task_now(claims[1].task.id).await, claims[1].task);
    assert_eq!(heard(&catalog).await, before);
    assert_eq!(catalog.count_effects().await.unwrap(), 1);
}

#[tokio::test]
async fn a_capture_deleted_while_it_is_processed_does_not_come_back() {
    let catalog = catalog_heard_by(&["one"]).await;
    catalog.upload(1, 1, 1).await;
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    let capture_id = claim.task.capture_id.unwrap();
    catalog.delete_capture(capture_id, "asked for".to_owned(), at(11)).await.unwrap();
    let held = vec![(claim.task.id, claim.fence)];
    assert_eq!(catalog.renew_leases(held.clone(), jiff::SignedDuration::from_secs(9), at(12)).await.unwrap(), held);
    assert_eq!(process(&catalog, &claim, processed(0, "t/1"), at(13)).await, Finished::Lost);
    assert!(catalog.capture(capture_id).await.unwrap().is_none());
    assert_eq!(catalog.count("SELECT count(*) FROM derivatives").await, 0);
    assert_eq!(catalog.task_now(claim.task.id).await.state, TaskState::Revoked);
    assert_eq!(heard(&catalog).await.len(), 2, "stored and deleted");
    catalog.rederive(capture_id, at(14)).await.unwrap();
    assert!(catalog.claim(PROCESS, 1, at(15)).await.is_empty());
}

#[tokio::test]
async fn what_processing_again_replaces_is_doomed_and_what_is_in_use_is_not() {
    let catalog = catalog().await;
    let task_id = catalog.upload(1, 1, 1).await[0];
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    let capture_id = claim.task.capture_id.unwrap();
    process(&catalog, &claim, processed(0, "t/1"), at(11)).await;
    let doomed = async || catalog.doomed_blobs(Store::Derivatives, String::new(), 10).await.unwrap();
    for (run, key, expect) in [(1, "t/2", vec!["t/1"]), (2, "t/2", vec!["t/1"]), (3, "t/1", vec!["t/2"])] {
        catalog.rederive(capture_id, at(20 * run)).await.unwrap();
        catalog.rederive(capture_id, at(20 * run)).await.unwrap();
        let claim = claim_of(&catalog, task_id, at(20 * run + 1)).await;
        assert_eq!(claim.fence, run + 1, "the number that keys carry never comes twice");
        process(&catalog, &claim, processed(0, key), at(20 * run + 2)).await;
        assert_eq!(doomed().await, expect, "run {run}");
        assert_eq!(catalog.derivatives(capture_id).await.unwrap()[0].blob_key, key);
    }
    catalog.delete_capture(capture_id, "asked for".to_owned(), at(200)).await.unwrap();
    assert_eq!(doomed().await, ["t/1", "t/2"]);
    catalog.forget_doomed(Store::Derivatives, vec!["t/1".to_owned()]).await.unwrap();
    assert_eq!(doomed().await, ["t/2"]);
}

#[tokio::test]
async fn a_capture_is_processed_again_though_its_task_was_forgotten() {
    let catalog = catalog().await;
    catalog.upload(7, 1, 1).await;
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    let capture_id = claim.task.capture_id.unwrap();
    process(&catalog, &claim, processed(0, "t/1"), at(11)).await;
    assert_eq!(catalog.forget_tasks(at(100)).await.unwrap(), 1);
    catalog.rederive(capture_id, at(101)).await.unwrap();
    catalog.rederive(capture_id, at(102)).await.unwrap();
    let claims = catalog.claim(PROCESS, 5, at(103)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].task.capture_id, claims[0].task.user_id), (Some(capture_id), Some(7)));
    assert_eq!(claims[0].task.session_id, claim.task.session_id);
}

#[tokio::test]
async fn a_replaced_original_is_doomed_and_its_digest_kept() {
    let catalog = catalog().await;
    catalog.upload(1, 1, 1).await;
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    let id = claim.task.capture_id.unwrap();
    let before = catalog.capture(id).await.unwrap().unwrap().blob;
    let bare = StoredBlob { key: "b/1".to_owned(), format: "plain".to_owned(), size_bytes: 9, sha256: [9; 32] };
    let made = Processed { replacement: Some(bare.clone()), ..processed(0, "t/1") };
    process(&catalog, &claim, made, at(11)).await;
    let capture = catalog.capture(id).await.unwrap().unwrap();
    assert_eq!((capture.blob, capture.processing.received_sha256), (bare, Some(before.sha256)));
    assert_eq!(catalog.doomed_blobs(Store::Originals, String::new(), 9).await.unwrap(), vec![before.key.clone()]);
    assert!(catalog.blob_is_buried(before.key).await.unwrap());
}

#[tokio::test]
async fn what_cannot_be_decoded_here_is_done_and_says_so() {
    let catalog = catalog_heard_by(&["one"]).await;
    catalog.upload(1, 1, 1).await;
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    let effect = Effect::Unsupported { reason: "no decoder".to_owned() };
    assert_eq!(catalog.succeed(&claim, effect, at(11)).await, Finished::Done);
    let processing = catalog.capture(claim.task.capture_id.unwrap()).await.unwrap().unwrap().processing;
    assert_eq!((processing.count, processing.failure.as_deref()), (1, Some("no decoder")));
    assert_eq!(processing.quarantined_at, None);
    assert_eq!(heard(&catalog).await.len(), 2);
}

/// Frames with these hashes, processed in this order: which are near-duplicates of the one before.
async fn check_neighbours(hashes: [u64; 4], order: [usize; 4], expect: [bool; 4]) {
    let catalog = catalog().await;
    let session = catalog.new_session(1).await.id;
    // A session between them must not count.
    catalog.upload(2, 4, 1).await;
    let captures: Vec<_> = (1..=4).map(capture).collect();
    catalog.record(session, captures.clone()).await.unwrap();
    for (step, index) in (0_i64..).zip(order) {
        let claim = claim_of(&catalog, captures[index].task_id, at(100 + step)).await;
        process(&catalog, &claim, processed(hashes[index], &format!("t/{index}")), at(100 + step)).await;
    }
    for (index, is_near) in expect.into_iter().enumerate() {
        let found = catalog.capture(captures[index].id).await.unwrap().unwrap().processing.near_duplicate_of;
        assert_eq!(found, is_near.then(|| captures[index - 1].id), "frame {index} of {hashes:?} in {order:?}");
    }
}

#[tokio::test]
async fn near_duplicates_are_found_in_whatever_order_frames_are_processed() {
    let hashes = [0b0000, 0b0111, 0b1111, u64::MAX];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        check_neighbours(hashes, order, [false, true, true, false]).await;
        check_neighbours([0, 0b1111, 0, 0], order, [false, false, false, true]).await;
    }
}

#[tokio::test]
async fn processing_again_compares_again_and_deleting_forgets() {
    let catalog = catalog().await;
    let ids = catalog.upload(1, 2, 1).await;
    for (index, id) in ids.iter().enumerate() {
        let claim = claim_of(&catalog, *id, at(10)).await;
        process(&catalog, &claim, processed(0, &format!("t/{index}")), at(11)).await;
    }
    let [first, second] = [0, 1].map(|index: usize| ids[index]);
    let (first, second) =
        (catalog.task_now(first).await.capture_id.unwrap(), catalog.task_now(second).await.capture_id.unwrap());
    let near = async || catalog.capture(second).await.unwrap().unwrap().processing.near_duplicate_of;
    assert_eq!(near().await, Some(first));
    catalog.rederive(first, at(20)).await.unwrap();
    let claim = claim_of(&catalog, ids[0], at(21)).await;
    process(&catalog, &claim, processed(u64::MAX, "t/9"), at(22)).await;
    assert_eq!(near().await, None);
    catalog.rederive(first, at(30)).await.unwrap();
    let claim = claim_of(&catalog, ids[0], at(31)).await;
    process(&catalog, &claim, processed(1, "t/10"), at(32)).await;
    assert_eq!(near().await, Some(first));
    catalog.delete_capture(first, "asked for".to_owned(), at(40)).await.unwrap();
    assert_eq!(near().await, None);
}
