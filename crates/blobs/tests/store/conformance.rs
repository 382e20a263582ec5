//! Each sentence of the store's contract.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use blobs::{BlobsOptions, Error, Part, key_at};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::support::{Engine, FOLDER, Store, bytes, key};

/// Each case over each engine.
macro_rules! cases {
    ($($case:ident)*) => {
        mod in_a_folder {
            $(#[tokio::test] async fn $case() { super::$case(crate::support::Engine::Folder).await })*
        }
        mod in_a_bucket {
            $(#[tokio::test] async fn $case() { super::$case(crate::support::Engine::S3).await })*
        }
    };
}

cases! {
    what_is_published_reads_back_whatever_its_size
    what_looks_at_the_end_sees_the_whole_from_its_start
    what_is_dropped_before_it_is_published_leaves_nothing
    several_are_published_all_or_none
    what_is_no_key_is_refused_by_every_door
    other_bytes_than_those_stored_are_damaged
    a_part_is_looked_at_and_opened_without_what_is_around_it
    deleting_is_idempotent_and_unpublishing_goes_through
    what_is_set_aside_is_kept_and_goes_by_age
    folders_are_listed_oldest_first_with_what_lies_in_them
    a_disk_below_its_free_room_takes_nothing_and_still_reads_and_deletes
    more_work_than_may_wait_is_refused_at_the_door_and_what_was_begun_waits
    a_future_dropped_in_the_middle_leaves_no_file_and_no_count
    a_store_is_empty_until_something_is_published
    an_upload_that_a_crash_cut_off_is_found
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Written in pieces of this size.
async fn check_round_trip(engine: Engine, length: usize, piece: usize) {
    let store = engine.store();
    let whole = bytes(length);
    let mut staging = store.blobs.stage();
    for piece in whole.chunks(piece) {
        staging.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let (staged, ()) = staging.finish(|_| ()).await.unwrap();
    assert_eq!((staged.size_bytes, staged.sha256), (length as u64, sha256(&whole)), "{length} in {piece}");
    let published = store.blobs.publish(vec![(staged, key("a.jpg"))]).await.unwrap();
    assert_eq!(published[0].key, key("a.jpg"));
    assert_eq!(store.read(&key("a.jpg"), sha256(&whole)).await.unwrap(), whole, "{length} in {piece}");
    let found = store.blobs.look(key("a.jpg"), Part::WHOLE, true).await.unwrap();
    assert_eq!((found.size_bytes, found.sha256), (length as u64, Some(sha256(&whole))));
    assert_eq!(store.blobs.look(key("a.jpg"), Part::WHOLE, false).await.unwrap().sha256, None);
    store.nothing_is_staged().await;
}

async fn what_is_published_reads_back_whatever_its_size(engine: Engine) {
    for length in [0, 1, 32_767, 32_768, 32_769, 65_536, 1_000_000] {
        check_round_trip(engine, length, 8_192).await;
        check_round_trip(engine, length, 1_000_000).await;
    }
    for (length, piece) in [(40_000, 1), (98_304, 32_768), (98_305, 32_769)] {
        check_round_trip(engine, length, piece).await;
    }
    // Around what a bucket is sent in one, and in parts.
    for length in [8 << 20, (8 << 20) + 1, (16 << 20) + 12_345] {
        check_round_trip(engine, length, 1 << 20).await;
    }
}

async fn what_looks_at_the_end_sees_the_whole_from_its_start(engine: Engine) {
    let store = engine.store();
    for length in [0, 50_000, 700_000] {
        let mut staging = store.blobs.stage();
        staging.write(bytes(length).into()).await.unwrap();
        let look = |whole: &mut dyn blobs::Look| {
            let mut seen = Vec::new();
            whole.read_to_end(&mut seen).unwrap();
            seen
        };
        let (staged, seen) = staging.finish(look).await.unwrap();
        assert!(seen == bytes(length), "{length}");
        assert!(staged.read().await.unwrap().1 == bytes(length), "{length}");
    }
}

async fn what_is_dropped_before_it_is_published_leaves_nothing(engine: Engine) {
    let store = engine.store();
    for length in [0, 10, 32_768, 100_000] {
        let mut staging = store.blobs.stage();
        staging.write(bytes(length).into()).await.unwrap();
        drop(staging);
        drop(store.stage(&bytes(length)).await);
    }
    store.nothing_is_staged().await;
    assert!(store.blobs.time_folders().await.unwrap().is_empty());
}

async fn several_are_published_all_or_none(engine: Engine) {
    let store = engine.store();
    if store.refuses_to_replace().await {
        check_none_is_published(&store).await;
    }
    let blobs = vec![(store.stage(b"a").await, key("a.jpg")), (store.stage(b"c").await, key("c.jpg"))];
    let keys: Vec<String> = store.blobs.publish(blobs).await.unwrap().into_iter().map(|blob| blob.key).collect();
    assert_eq!(keys, [key("a.jpg"), key("c.jpg")]);
    assert!(store.blobs.publish(Vec::new()).await.unwrap().is_empty());
    let blobs = vec![(store.stage(b"d").await, key("d.jpg")), (store.stage(b"e").await, "no key".to_owned())];
    store.blobs.publish(blobs).await.unwrap_err();
    assert!(!store.is_there(&key("d.jpg")).await);
    store.nothing_is_staged().await;
}

async fn check_none_is_published(store: &Store) {
    store.publish(b"first", &key("b.jpg")).await.unwrap();
    let blobs = vec![
        (store.stage(b"new a").await, key("a.jpg")),
        (store.stage(b"new b").await, key("b.jpg")),
        (store.stage(b"new c").await, key("c.jpg")),
    ];
    store.blobs.publish(blobs).await.unwrap_err();
    assert_eq!(store.read(&key("b.jpg"), sha256(b"first")).await.unwrap(), b"first", "never overwritten");
    assert!(!store.is_there(&key("a.jpg")).await, "taken back");
    assert!(!store.is_there(&key("c.jpg")).await);
    store.nothing_is_staged().await;
}

async fn what_is_no_key_is_refused_by_every_door(engine: Engine) {
    let store = engine.store();
    let long = "a/".repeat(40);
    let bad = [
        "",
        "a",
        "a/b",
        "a/b/c/d",
        "/a/b",
        "/a/b/c",
        "a/b/",
        "a//c",
        "../b/c",
        "a/../c",
        "a/b/..",
        "a/b/.",
        "./b/c",
        ".staging/b/c",
        "a/.b/c",
        "a/b/.c",
        "a/b/c\0d",
        "a/b/ü",
        "a/b/c d",
        "a/b/c\\d",
        "a\n/b/c",
        "a/b/c%2fd",
        &long,
    ];
    for bad in bad {
        let refused = |error: Error| assert!(matches!(error, Error::BadKey(_)), "{bad:?}: {error}");
        refused(store.publish(b"x", bad).await.unwrap_err());
        refused(store.blobs.delete(bad.to_owned()).await.unwrap_err());
        refused(store.blobs.look(bad.to_owned(), Part::WHOLE, false).await.unwrap_err());
        refused(store.blobs.open_verified(bad.to_owned(), Part::WHOLE, [0; 32]).await.unwrap_err());
        refused(store.blobs.quarantine(bad.to_owned()).await.unwrap_err());
    }
    for bad in ["", "..", "a/..", "../..", ".staging", "a/b/c", "/a"] {
        let error = store.blobs.list(bad.to_owned()).await.unwrap_err();
        assert!(matches!(error, Error::BadKey(_)), "{bad:?}: {error}");
    }
    for bad in ["", "..", "a/b", ".hidden"] {
        let error = store.blobs.quarantine_note(bad.to_owned(), String::new()).await.unwrap_err();
        assert!(matches!(error, Error::BadKey(_)), "{bad:?}: {error}");
    }
    store.nothing_is_staged().await;
    assert!(store.blobs.time_folders().await.unwrap().is_empty());
}

async fn other_bytes_than_those_stored_are_damaged(engine: Engine) {
    let store = engine.store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    let error = store.blobs.open_verified(key("a.jpg"), Part::WHOLE, sha256(b"phoTo")).await.unwrap_err();
    assert!(matches!(error, Error::Damaged), "{error}");
    let error = store.blobs.open_verified(key("b.jpg"), Part::WHOLE, sha256(b"photo")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound), "{error}");
}

async fn a_part_is_looked_at_and_opened_without_what_is_around_it(engine: Engine) {
    let store = engine.store();
    let whole = bytes(100_000);
    store.publish(&whole, &key("a.jpg")).await.unwrap();
    for (offset, size, there) in
        [(0, 10, 10), (40_000, 50_000, 50_000), (99_999, 1, 1), (99_990, 20, 10), (100_001, 5, 0)]
    {
        let part = Part { offset_bytes: offset as u64, size_bytes: size };
        let want = &whole[offset.min(whole.len())..(offset + there).min(whole.len())];
        let found = store.blobs.look(key("a.jpg"), part, true).await.unwrap();
        assert_eq!((found.size_bytes, found.sha256), (there as u64, Some(sha256(want))), "{part:?}");
        let (file, size_bytes) = store.blobs.open_verified(key("a.jpg"), part, sha256(want)).await.unwrap();
        let (_, piece) = store.blobs.read_piece(file, there).await.unwrap();
        assert_eq!((piece.as_slice(), size_bytes), (want, there as u64), "{part:?}");
    }
    // Damage beside a part is none of its business.
    let mut damaged = whole.clone();
    damaged[5] ^= 1;
    store.blobs.delete(key("a.jpg")).await.unwrap();
    store.publish(&damaged, &key("a.jpg")).await.unwrap();
    let (hit, spared) = (Part { offset_bytes: 0, size_bytes: 6 }, Part { offset_bytes: 6, size_bytes: 6 });
    let error = store.blobs.open_verified(key("a.jpg"), hit, sha256(&whole[..6])).await.unwrap_err();
    assert!(matches!(error, Error::Damaged), "{error}");
    store.blobs.open_verified(key("a.jpg"), spared, sha256(&whole[6..12])).await.unwrap();
}

async fn deleting_is_idempotent_and_unpublishing_goes_through(engine: Engine) {
    let store = engine.store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    for _ in 0..2 {
        store.blobs.delete(key("a.jpg")).await.unwrap();
        assert!(!store.is_there(&key("a.jpg")).await);
    }
    store.blobs.delete(key_at(0, "never.jpg")).await.unwrap();

    let mut published = store.publish(b"b", &key("b.jpg")).await.unwrap();
    published.insert(0, blobs::PublishedBlob { key: "no key".to_owned() });
    store.blobs.unpublish(published).await.unwrap_err();
    assert!(!store.is_there(&key("b.jpg")).await, "one that cannot go keeps no other");
}

async fn what_is_set_aside_is_kept_and_goes_by_age(engine: Engine) {
    let store = engine.store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    store.blobs.quarantine(key("a.jpg")).await.unwrap();
    assert!(!store.is_there(&key("a.jpg")).await);
    // Put back and set aside again: both are kept.
    store.publish(b"again", &key("a.jpg")).await.unwrap();
    store.blobs.quarantine(key("a.jpg")).await.unwrap();
    for text in ["one", "another"] {
        store.blobs.quarantine_note("a.json".to_owned(), text.to_owned()).await.unwrap();
    }
    assert_eq!(store.blobs.clear_quarantine(Duration::from_secs(60)).await.unwrap(), 0);
    assert_eq!(store.blobs.clear_quarantine(Duration::ZERO).await.unwrap(), 3);
    assert_eq!(store.blobs.clear_quarantine(Duration::ZERO).await.unwrap(), 0);
    let error = store.blobs.quarantine(key("a.jpg")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound), "{error}");
}

async fn folders_are_listed_oldest_first_with_what_lies_in_them(engine: Engine) {
    let store = engine.store();
    for (seconds, name) in [(86_400, "c.jpg"), (0, "a.jpg"), (59, "b.jpg"), (-1, "z.jpg"), (4_102_444_800, "d.jpg")] {
        store.publish(name.as_bytes(), &key_at(seconds, name)).await.unwrap();
    }
    let folders = store.blobs.time_folders().await.unwrap();
    assert_eq!(folders, ["1969-12-31/2359", "1970-01-01/0000", "1970-01-02/0000", "2100-01-01/0000"]);
    let mut listed = store.blobs.list("1970-01-01/0000".to_owned()).await.unwrap();
    listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<&str> = listed.iter().map(|blob| blob.key.as_str()).collect();
    assert_eq!(keys, ["1970-01-01/0000/a.jpg", "1970-01-01/0000/b.jpg"]);
    assert!(listed.iter().all(|blob| blob.age < Duration::from_secs(60)), "{listed:?}");
    assert_eq!(store.blobs.newest_time_folders(2).await.unwrap(), folders[2..]);
    assert_eq!(store.blobs.newest_time_folders(0).await.unwrap(), folders[4..]);
    assert!(store.blobs.list("2001-01-01/0000".to_owned()).await.unwrap().is_empty(), "nothing lies where nothing is");
}

async fn a_store_is_empty_until_something_is_published(engine: Engine) {
    let store = engine.store();
    assert!(store.blobs.is_empty().await.unwrap());
    store.blobs.quarantine_note("a.json".to_owned(), "note".to_owned()).await.unwrap();
    assert!(store.blobs.is_empty().await.unwrap(), "what was set aside does not count");
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    assert!(!store.blobs.is_empty().await.unwrap());
}

/// A node that dies in the middle of a large photo. In a folder there is only its staging file, which is another's.
async fn an_upload_that_a_crash_cut_off_is_found(engine: Engine) {
    let store = std::sync::Arc::new(engine.store());
    let mut found = 0;
    for wait_ms in [5, 10, 20, 40, 80, 160, 320, 640].into_iter().cycle().take(40) {
        let (dying, whole) = (store.clone(), bytes(24 << 20));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let name = format!("{wait_ms}.jpg");
            runtime.spawn(async move { dying.publish(&whole, &key(&name)).await.map(|_| ()) });
            std::thread::sleep(Duration::from_millis(wait_ms));
            runtime.shutdown_background();
        });
        tokio::time::sleep(Duration::from_millis(wait_ms + 50)).await;
        found = store.blobs.abort_abandoned(Duration::ZERO).await.unwrap();
        if found > 0 || engine == Engine::Folder {
            break;
        }
    }
    assert_eq!(found > 0, engine == Engine::S3);
    assert_eq!(store.blobs.abort_abandoned(Duration::ZERO).await.unwrap(), 0);
}

#[test]
fn keys_name_the_minute() {
    fn check(seconds: i64, folder: &str) {
        assert_eq!(key_at(seconds, "n"), format!("{folder}/n"));
    }
    check(0, "1970-01-01/0000");
    check(-1, "1969-12-31/2359");
    check(59, "1970-01-01/0000");
    check(60, "1970-01-01/0001");
    check(86_399, "1970-01-01/2359");
    check(86_400, "1970-01-02/0000");
    check(951_782_400, "2000-02-29/0000");
    check(951_868_800, "2000-03-01/0000");
    check(1_077_926_400, "2004-02-28/0000");
    check(1_078_012_800, "2004-02-29/0000");
    check(1_709_251_199, "2024-02-29/2359");
    check(1_709_251_200, "2024-03-01/0000");
    check(1_735_689_599, "2024-12-31/2359");
    check(1_735_689_600, "2025-01-01/0000");
    check(4_107_542_399, "2100-02-28/2359");
    check(4_107_542_400, "2100-03-01/0000");
    check(253_402_300_799, "9999-12-31/2359");
    check(crate::support::NOW, FOLDER);
}

async fn a_disk_below_its_free_room_takes_nothing_and_still_reads_and_deletes(engine: Engine) {
    let store = engine.store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    let full = BlobsOptions { free_bytes_min: u64::MAX, ..BlobsOptions::default() };
    let full = store.again(full);
    let error = full.stage().finish(|_| ()).await.err().unwrap();
    assert!(matches!(error, Error::Full), "{error}");
    full.open_verified(key("a.jpg"), Part::WHOLE, sha256(b"photo")).await.unwrap();
    full.delete(key("a.jpg")).await.unwrap();
    store.nothing_is_staged().await;
}

/// One place to work, nowhere to wait, and somebody who works.
async fn more_work_than_may_wait_is_refused_at_the_door_and_what_was_begun_waits(engine: Engine) {
    let store = engine.store_with(BlobsOptions { disk_workers: 1, disk_queue_max: 0, ..BlobsOptions::default() });
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    // So large that it waits in a file and not in memory.
    let mut large = store.blobs.stage();
    large.write(bytes(400_000).into()).await.unwrap();
    let slow = tokio::spawn(large.finish(move |_| {
        begun.send(()).unwrap();
        waits.recv().unwrap();
    }));
    tokio::task::spawn_blocking(move || begins.recv().unwrap()).await.unwrap();

    let error = store.blobs.refuse_if_full().unwrap_err();
    assert!(matches!(error, Error::Overloaded), "{error}");
    if engine == Engine::Folder {
        let error = store.blobs.open_verified(key("a.jpg"), Part::WHOLE, sha256(b"photo")).await.unwrap_err();
        assert!(matches!(error, Error::Overloaded), "{error}");
    }
    // Let in before, and whole now: it waits.
    let begun = tokio::spawn({
        let mut staging = store.blobs.stage();
        async move {
            staging.write(bytes(400_000).into()).await?;
            staging.finish(|_| ()).await
        }
    });
    while store.blobs.queue() != (1, 0) {
        tokio::task::yield_now().await;
    }

    let deleting = tokio::spawn({
        let blobs = store.blobs.clone();
        async move { blobs.delete(key("a.jpg")).await }
    });
    // A bucket does not wait for the disk.
    while engine == Engine::Folder && store.blobs.queue() != (2, 0) {
        tokio::task::yield_now().await;
    }
    go_on.send(()).unwrap();
    deleting.await.unwrap().unwrap();
    drop(slow.await.unwrap().unwrap());
    let (staged, ()) = begun.await.unwrap().unwrap();
    assert_eq!((staged.size_bytes, staged.sha256), (400_000, sha256(&bytes(400_000))));
    drop(staged);
    store.blobs.refuse_if_full().unwrap();
    assert_eq!(store.blobs.queue(), (0, 0));
    store.nothing_is_staged().await;
}

async fn a_future_dropped_in_the_middle_leaves_no_file_and_no_count(engine: Engine) {
    let store = engine.store_with(BlobsOptions { disk_workers: 1, ..BlobsOptions::default() });
    let polls = AtomicU64::new(0);
    for round in 0..60 {
        let work = async {
            let mut staging = store.blobs.stage();
            for _ in 0..3 {
                staging.write(bytes(300_000).into()).await.unwrap();
            }
            let (staged, ()) = staging.finish(|_| ()).await.unwrap();
            drop(staged);
        };
        let mut work = std::pin::pin!(work);
        let mut left = round % 6;
        // Polls it so many times and then lets it go, wherever it is.
        std::future::poll_fn(|context| {
            if left == 0 || work.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(());
            }
            left -= 1;
            polls.fetch_add(1, Ordering::Relaxed);
            std::task::Poll::Pending
        })
        .await;
    }
    assert!(polls.load(Ordering::Relaxed) > 0, "none was let go in the middle");
    store.nothing_is_staged().await;
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
}
