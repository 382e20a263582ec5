//! What processing leaves in the store, whatever dies in the middle. What makes the pictures is tried at the socket.

use std::time::Duration;

use intake::FsckOptions;
use jiff::SignedDuration;
use records::{Claim, ClaimTerms, Derivative, Effect, Ending, Finished, Processed, StoredBlob, TaskKind};

use crate::support::{ANNA, House, batch, frame, house};

async fn claim(house: &House) -> Claim {
    let terms = ClaimTerms {
        kind: TaskKind::Process,
        worker: "test".to_owned(),
        lease: SignedDuration::from_secs(30),
        attempts_max: 3,
        takes_back: true,
    };
    house.records.claim_tasks(terms, 1, now(house)).await.unwrap().claims.remove(0)
}

fn now(house: &House) -> jiff::Timestamp {
    jiff::Timestamp::from_second(house.seconds.load(std::sync::atomic::Ordering::Relaxed)).unwrap()
}

/// A house with one uploaded capture, its task claimed.
async fn begun() -> (House, Claim) {
    let house = house().await;
    house.send(batch(ANNA), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    let claim = claim(&house).await;
    (house, claim)
}

/// Publishes a thumbnail as a run under this claim does.
async fn published(house: &House, claim: &Claim) -> Derivative {
    let capture_id = claim.task.capture_id.unwrap();
    let key = blobs::key_at(now(house).as_second(), &format!("{}.{}.derivatives", capture_id.simple(), claim.fence));
    let mut staging = house.derivatives.stage();
    staging.write(frame(claim.fence.unsigned_abs()).into()).await.unwrap();
    let (staged, ()) = staging.finish(|_| ()).await.unwrap();
    let (sha256, size_bytes) = (staged.sha256, staged.size_bytes);
    house.derivatives.publish(vec![(staged, key.clone())]).await.unwrap();
    Derivative {
        size: "thumb".to_owned(),
        content_type: "image/jpeg".to_owned(),
        blob_key: key,
        offset_bytes: 0,
        size_bytes,
        width_px: 16,
        height_px: 8,
        sha256,
    }
}

fn effect(derivative: &Derivative, replacement: Option<StoredBlob>) -> Effect {
    Effect::Processed(Box::new(Processed {
        width_px: 16,
        height_px: 8,
        taken_at: None,
        placeholder: vec![1],
        sharpness: 1.0,
        brightness: 0.5,
        perceptual_hash: 7,
        near_duplicate_bits_max: 6,
        derivatives: vec![derivative.clone()],
        replacement,
    }))
}

async fn finish(house: &House, claim: &Claim, effect: Effect) -> Finished {
    house.records.finish_task(claim.task.id, claim.fence, Ending::Success(effect), now(house)).await.unwrap()
}

/// How many files lie in the store of derivatives.
async fn files(house: &House) -> usize {
    let mut count = 0;
    for folder in house.derivatives.time_folders().await.unwrap() {
        count += house.derivatives.list(folder).await.unwrap().len();
    }
    count
}

async fn fsck(house: &House, repair: bool) -> intake::FsckReport {
    let options = FsckOptions { deep: true, repair, orphan_age_min: Duration::ZERO };
    house.intake.fsck(options, |_| {}).await.unwrap()
}

#[tokio::test]
async fn what_a_run_published_stays_while_it_holds_its_task_and_goes_when_it_has_lost_it() {
    let (house, claim) = begun().await;
    let derivative = published(&house, &claim).await;
    house.intake.recover().await.unwrap();
    assert_eq!(files(&house).await, 1, "it may yet be recorded");
    assert!(fsck(&house, false).await.is_clean());
    house.records.revoke_task(claim.task.id, now(&house)).await.unwrap();
    assert_eq!(finish(&house, &claim, effect(&derivative, None)).await, Finished::Lost);
    assert_eq!(fsck(&house, false).await.derivatives_without_capture, [derivative.blob_key]);
    house.intake.recover().await.unwrap();
    assert_eq!(files(&house).await, 0);
    assert!(fsck(&house, false).await.is_clean());
}

#[tokio::test]
async fn a_zombie_writes_beside_and_not_over_its_successor() {
    let (house, zombie) = begun().await;
    let its = published(&house, &zombie).await;
    house.seconds.fetch_add(3600, std::sync::atomic::Ordering::Relaxed);
    let successor = claim(&house).await;
    assert_eq!(successor.task.id, zombie.task.id);
    let theirs = published(&house, &successor).await;
    assert_eq!(finish(&house, &successor, effect(&theirs, None)).await, Finished::Done);
    assert_eq!(finish(&house, &zombie, effect(&its, None)).await, Finished::Lost);
    house.intake.discard(effect(&its, None)).await;
    let capture_id = zombie.task.capture_id.unwrap();
    assert_eq!(house.records.derivatives(capture_id).await.unwrap(), [theirs]);
    assert_eq!((files(&house).await, house.records.count_effects().await.unwrap()), (1, 1));
    assert!(fsck(&house, false).await.is_clean());
}

#[tokio::test]
async fn deleting_a_capture_takes_its_pictures_with_it_also_while_it_is_processed() {
    let (house, claim) = begun().await;
    let derivative = published(&house, &claim).await;
    assert_eq!(finish(&house, &claim, effect(&derivative, None)).await, Finished::Done);
    house.intake.delete_capture(claim.task.capture_id.unwrap(), "asked for").await.unwrap();
    assert_eq!(files(&house).await, 0);
    house.holds(0).await;

    let (house, claim) = begun().await;
    house.intake.delete_capture(claim.task.capture_id.unwrap(), "asked for").await.unwrap();
    let derivative = published(&house, &claim).await;
    assert_eq!(finish(&house, &claim, effect(&derivative, None)).await, Finished::Lost);
    assert!(house.rows().await.is_empty(), "no resurrection");
    house.intake.recover().await.unwrap();
    assert_eq!(files(&house).await, 0);
}

#[tokio::test]
async fn a_lost_or_damaged_derivative_is_found_and_made_anew() {
    for damage in [false, true] {
        let (house, first) = begun().await;
        let derivative = published(&house, &first).await;
        finish(&house, &first, effect(&derivative, None)).await;
        let path = house.data().join("blobs/.derivatives").join(&derivative.blob_key);
        if damage {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[20] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let capture_id = first.task.capture_id.unwrap();
        let capture = house.records.capture(capture_id).await.unwrap().unwrap();
        house.intake.open_derivative(&capture, &derivative).await.unwrap_err();
        assert_eq!(fsck(&house, true).await.captures_of_lost_derivatives, [capture_id]);
        let second = claim(&house).await;
        assert_eq!(second.task.id, first.task.id);
        let anew = published(&house, &second).await;
        finish(&house, &second, effect(&anew, None)).await;
        house.intake.recover().await.unwrap();
        assert_eq!(files(&house).await, 1, "what it replaced is gone");
        assert!(fsck(&house, false).await.is_clean());
        house.intake.open_derivative(&capture, &anew).await.unwrap();
    }
}

#[tokio::test]
async fn a_replaced_original_is_removed_and_a_replacement_that_was_not_recorded_too() {
    let (house, claim) = begun().await;
    let derivative = published(&house, &claim).await;
    let capture_id = claim.task.capture_id.unwrap();
    let before = house.records.capture(capture_id).await.unwrap().unwrap().blob;
    let key = blobs::key_at(now(&house).as_second(), &format!("{capture_id}.{}.jpg", claim.fence));
    let mut staging = house.blobs.stage();
    staging.write(frame(9).into()).await.unwrap();
    let (staged, ()) = staging.finish(|_| ()).await.unwrap();
    let bare = StoredBlob {
        key: key.clone(),
        format: "plain".to_owned(),
        size_bytes: staged.size_bytes,
        sha256: staged.sha256,
    };
    house.blobs.publish(vec![(staged, key)]).await.unwrap();
    house.intake.recover().await.unwrap();
    assert_eq!(house.files().len(), 2, "a start of the server takes nothing from a worker that still runs");
    assert_eq!(finish(&house, &claim, effect(&derivative, Some(bare.clone()))).await, Finished::Done);
    house.intake.tidy().await;
    let after = house.records.capture(capture_id).await.unwrap().unwrap();
    assert_eq!((after.blob, after.processing.received_sha256), (bare, Some(before.sha256)));
    house.holds(1).await;
    assert!(fsck(&house, false).await.is_clean());
}
