//! What a crash leaves, and the next start puts in order.

use std::fs;
use std::time::Duration;

use intake::Keep;
use jiff::Timestamp;

use crate::support::{ANNA, House, batch, house, keyed};

const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Tasks that are done are none of these tests' concern.
fn keep(idempotency: Duration, quarantine: Duration) -> Keep {
    Keep { idempotency, quarantine, tasks: YEAR }
}

/// Files in quarantine.
fn set_aside(house: &House) -> usize {
    fs::read_dir(house.data().join("blobs/.quarantine")).unwrap().count()
}

/// Puts a file into the store that no row names.
fn plant(house: &House, key: &str) {
    let path = house.data().join("blobs").join(key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, b"orphan").unwrap();
}

async fn upload(house: &House, photos: u64) -> Vec<records::Capture> {
    for seed in 0..photos {
        house.send(batch(ANNA), &house.form(&[(seed, "INTERVAL")])).await.unwrap();
    }
    house.rows().await
}

/// Deletes a row and dies before its bytes are gone.
async fn bury(house: &House, capture: &records::Capture) {
    house.records.delete_capture(capture.id, "asked for".to_owned(), Timestamp::UNIX_EPOCH).await.unwrap();
}

#[tokio::test]
async fn a_crash_is_cleared_up_once() {
    let house = house().await;
    let rows = upload(&house, 3).await;
    bury(&house, &rows[0]).await;
    for name in ["a", "b"] {
        fs::write(house.data().join("blobs/.staging").join(name), b"half").unwrap();
    }
    plant(&house, "2027-01-15/0800/orphan.jpg");
    plant(&house, "2027-01-15/0801/orphan.jpg");
    for (staging_files, files_quarantined) in [(2, 3), (0, 0)] {
        let recovered = house.intake.recover().await.unwrap();
        assert_eq!((recovered.staging_files, recovered.files_quarantined), (staging_files, files_quarantined));
        assert_eq!(set_aside(&house), 2, "orphans are set aside, what was to be deleted is deleted");
        house.holds(2).await;
    }
}

#[tokio::test]
async fn an_old_photo_that_was_to_be_deleted_is_deleted() {
    let house = house().await;
    let rows = upload(&house, 2).await;
    bury(&house, &rows[0]).await;
    for minute in 0..200 {
        fs::create_dir_all(house.data().join(format!("blobs/2028-01-01/{minute:04}"))).unwrap();
    }
    house.intake.recover().await.unwrap();
    house.holds(1).await;
}

/// A form may take hours: its photos lie by when they were published, where recovery looks.
#[tokio::test]
async fn photos_lie_by_the_minute_of_their_publishing() {
    use futures_util::{StreamExt, stream};
    let house = house().await;
    let bytes = house.form(&[(1, "INTERVAL")]).bytes();
    let (early, late) = bytes.split_at(bytes.len() - 3);
    let (late, seconds) = (late.to_vec(), house.seconds.clone());
    let last = stream::once(async move {
        seconds.fetch_add(7200, std::sync::atomic::Ordering::Relaxed);
        Ok(late.into())
    });
    let body = Box::pin(crate::support::body(vec![early.to_vec()]).chain(last));
    let receipt = house.intake.receive(batch(ANNA), body).await.unwrap();
    assert_eq!(receipt.captures[0].timestamp, "2027-01-15T08:00:00.000000");
    let key = &house.rows().await[0].blob.key;
    assert!(key.starts_with("2027-01-15/1000/"), "{key}");
}

#[tokio::test]
async fn what_lies_about_keeps_nobody_from_starting() {
    let house = house().await;
    plant(&house, "2027-01-15/0800/photo (copy).jpg");
    plant(&house, "2027-01-15/0800/.hidden");
    plant(&house, "2027-01-15/0800/folder/inside");
    plant(&house, "lost+found/x");
    // Set aside, put back by a person, set aside again.
    for times in 1..3 {
        plant(&house, "2027-01-15/0800/orphan.jpg");
        assert_eq!(house.intake.recover().await.unwrap().files_quarantined, 1);
        assert_eq!(set_aside(&house), times);
    }
}

#[tokio::test]
async fn the_sweep_forgets_what_is_past_its_time_and_no_bytes() {
    let house = house().await;
    let form = house.form(&[(1, "INTERVAL")]);
    let first = house.send(keyed("k"), &form).await.unwrap();
    let rows = upload(&house, 1).await;
    bury(&house, rows.iter().find(|row| row.id == first.captures[0].id).unwrap()).await;
    plant(&house, "2027-01-15/0800/orphan.jpg");
    house.blobs.quarantine("2027-01-15/0800/orphan.jpg".to_owned()).await.unwrap();

    let swept = house.intake.sweep(keep(YEAR * 100, YEAR)).await.unwrap();
    assert_eq!((swept.tombstones, swept.idempotency_keys, swept.quarantined_files), (0, 0, 0));
    house.seconds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let swept = house.intake.sweep(keep(Duration::ZERO, Duration::ZERO)).await.unwrap();
    assert_eq!((swept.tombstones, swept.idempotency_keys, swept.quarantined_files), (1, 1, 1));
    house.holds(1).await;
}

#[tokio::test]
async fn a_tombstone_is_kept_while_its_bytes_cannot_be_removed() {
    let house = house().await;
    let rows = upload(&house, 1).await;
    bury(&house, &rows[0]).await;
    let path = house.data().join("blobs").join(&rows[0].blob.key);
    fs::remove_file(&path).unwrap();
    // A folder in the photo's place: nothing that deletes a photo removes it.
    fs::create_dir(&path).unwrap();
    house.intake.recover().await.expect("no reason not to start");
    house.intake.sweep(keep(Duration::ZERO, YEAR)).await.unwrap_err();
    assert!(house.records.blob_is_buried(rows[0].blob.key.clone()).await.unwrap());
    fs::remove_dir(&path).unwrap();
    assert_eq!(house.intake.sweep(keep(Duration::ZERO, YEAR)).await.unwrap().tombstones, 1);
}
