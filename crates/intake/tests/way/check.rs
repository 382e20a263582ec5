//! fsck: rows against files, files against rows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use intake::{FsckOptions, FsckReport};
use jiff::Timestamp;
use records::Capture;

use crate::support::{ANNA, House, batch, house};

/// What is broken before the check.
#[derive(Clone, Copy, Debug)]
enum Damage {
    None,
    FileGone,
    FolderGone,
    FileIsALink,
    OneByteFewer,
    OneBitFlipped,
    FileOfNobody,
    FileOfADeletedCapture,
}

fn file_of(house: &House, capture: &Capture) -> PathBuf {
    house.data().join("blobs").join(&capture.blob.key)
}

async fn break_it(house: &House, capture: &Capture, damage: Damage) {
    let file = file_of(house, capture);
    let mut bytes = fs::read(&file).unwrap();
    match damage {
        Damage::None => {}
        Damage::FileGone => fs::remove_file(file).unwrap(),
        Damage::FolderGone => fs::remove_dir_all(file.parent().unwrap()).unwrap(),
        Damage::FileIsALink => {
            fs::rename(&file, house.data().join("elsewhere")).unwrap();
            symlink(house.data().join("elsewhere"), file).unwrap();
        }
        Damage::OneByteFewer => fs::write(file, &bytes[1..]).unwrap(),
        Damage::OneBitFlipped => {
            bytes[100] ^= 1;
            fs::write(file, bytes).unwrap();
        }
        Damage::FileOfNobody => fs::write(file.with_file_name("nobodys.jpg"), b"x").unwrap(),
        Damage::FileOfADeletedCapture => {
            house.records.delete_capture(capture.id, "x".to_owned(), Timestamp::UNIX_EPOCH).await.unwrap();
        }
    }
}

/// How many of each kind a report names: missing, wrong size, damaged, nobody's, deleted.
fn counts(report: &FsckReport) -> [usize; 5] {
    [
        report.captures_without_file.len(),
        report.captures_of_wrong_size.len(),
        report.captures_damaged.len(),
        report.files_without_capture.len(),
        report.files_of_deleted_captures.len(),
    ]
}

async fn fsck(house: &House, deep: bool, repair: bool) -> FsckReport {
    let options = FsckOptions { deep, repair, orphan_age_min: Duration::ZERO };
    let report = house.intake.fsck(options, |_| ()).await.unwrap();
    assert_eq!(report.is_clean(), counts(&report) == [0; 5]);
    report
}

/// What a check finds in a house of two captures; then it is repaired, and these are left.
async fn check(damage: Damage, deep: bool, expect: [usize; 5], left: usize, aside: usize) {
    let house = house().await;
    for minute in [0, 60] {
        house.seconds.fetch_add(minute, std::sync::atomic::Ordering::Relaxed);
        house.send(batch(ANNA), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    }
    let capture = house.rows().await.remove(0);
    break_it(&house, &capture, damage).await;
    for _ in 0..2 {
        let report = fsck(&house, deep, false).await;
        assert_eq!((counts(&report), report.repaired), (expect, 0), "{damage:?}: looking changes nothing");
    }
    let report = fsck(&house, deep, true).await;
    assert_eq!(counts(&report), expect, "{damage:?}");
    // The row that is set aside makes its link a file of a deleted capture in the same run.
    assert!(report.repaired >= expect.iter().sum::<usize>() as u64, "{damage:?}: {report:?}");
    for _ in 0..2 {
        let report = fsck(&house, deep, true).await;
        assert_eq!((counts(&report), report.repaired), ([0; 5], 0), "{damage:?}: the second time");
        house.holds(left).await;
        let set_aside = fs::read_dir(house.data().join("blobs/.quarantine")).unwrap().count();
        assert_eq!(set_aside, aside, "{damage:?}");
    }
}

#[tokio::test]
async fn each_damage_is_found_and_set_aside_once() {
    check(Damage::None, true, [0, 0, 0, 0, 0], 2, 0).await;
    check(Damage::FileGone, false, [1, 0, 0, 0, 0], 1, 1).await;
    check(Damage::FolderGone, false, [1, 0, 0, 0, 0], 1, 1).await;
    check(Damage::OneByteFewer, false, [0, 1, 0, 0, 0], 1, 2).await;
    check(Damage::OneBitFlipped, true, [0, 0, 1, 0, 0], 1, 2).await;
    check(Damage::FileOfNobody, false, [0, 0, 0, 1, 0], 2, 1).await;
    check(Damage::FileOfADeletedCapture, false, [0, 0, 0, 0, 1], 1, 0).await;
}

#[tokio::test]
async fn a_link_in_a_photos_place_goes_and_not_what_it_leads_to() {
    let house = house().await;
    house.send(batch(ANNA), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    let capture = house.rows().await.remove(0);
    break_it(&house, &capture, Damage::FileIsALink).await;
    assert_eq!(counts(&fsck(&house, true, false).await)[0], 1);
    fsck(&house, true, true).await;
    assert!(fsck(&house, true, true).await.is_clean());
    house.holds(0).await;
    assert!(house.data().join("elsewhere").exists());
}

#[tokio::test]
async fn only_a_deep_check_reads_the_bytes_and_damaged_ones_are_never_served() {
    let house = house().await;
    house.send(batch(ANNA), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    let capture = house.rows().await.remove(0);
    house.intake.open_photo(&capture).await.unwrap();
    break_it(&house, &capture, Damage::OneBitFlipped).await;
    assert!(fsck(&house, false, false).await.is_clean());
    let refusal = house.intake.open_photo(&capture).await.unwrap_err();
    assert!(matches!(refusal, intake::FileRefusal::Damaged), "{refusal}");
    // What is known of the row is kept beside the bytes.
    fsck(&house, true, true).await;
    let aside = house.data().join("blobs/.quarantine");
    let note = fs::read_to_string(aside.join(format!("{}.json", capture.id))).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(note["blob_key"], capture.blob.key);
    assert!(aside.join(&capture.filename).exists());
}

#[tokio::test]
async fn a_repair_that_was_cut_off_is_gone_on_with() {
    let house = house().await;
    house.send(batch(ANNA), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    let capture = house.rows().await.remove(0);
    break_it(&house, &capture, Damage::OneBitFlipped).await;
    // Cut off after the file was set aside and before the row was.
    house.blobs.quarantine(capture.blob.key.clone()).await.unwrap();
    assert_eq!(counts(&fsck(&house, true, true).await), [1, 0, 0, 0, 0]);
    assert!(fsck(&house, true, true).await.is_clean());
    house.holds(0).await;
}

#[tokio::test]
async fn beside_a_server_the_young_are_not_judged() {
    let house = house().await;
    house.send(batch(ANNA), &house.form(&[(1, "INTERVAL")])).await.unwrap();
    let capture = house.rows().await.remove(0);
    break_it(&house, &capture, Damage::FileOfNobody).await;
    let mut heard = 0;
    let heard = std::sync::Mutex::new(&mut heard);
    let options = FsckOptions { deep: true, repair: true, orphan_age_min: Duration::from_secs(900) };
    let report = house.intake.fsck(options, |done| **heard.lock().unwrap() = done).await.unwrap();
    assert!(report.is_clean());
    assert_eq!((report.captures_checked, report.files_checked), (1, 2));
    assert_eq!(**heard.lock().unwrap(), 1);
}
