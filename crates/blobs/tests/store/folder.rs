//! What a folder on disk must do besides.

use std::fs::{self, FileTimes};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use blobs::{Blobs, BlobsOptions, Error};
use bytes::Bytes;

use crate::support::{FOLDER, bytes, files_in, key, store, store_with};

/// More than is held in memory.
const IN_A_FILE: usize = 300_000;

#[tokio::test]
async fn nobody_else_may_look() {
    let store = store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    store.blobs.quarantine_note("n.json".to_owned(), String::new()).await.unwrap();
    let staged = store.stage(&bytes(IN_A_FILE)).await;
    let staging = store.root().join(".staging");
    let staged_name = files_in(&staging).remove(0);
    for path in [
        &store.root(),
        &staging,
        &staging.join(staged_name),
        &store.root().join(".quarantine/n.json"),
        &store.root().join(FOLDER),
        store.root().join(FOLDER).parent().unwrap(),
        &store.root().join(key("a.jpg")),
    ] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
    drop(staged);
}

#[tokio::test]
async fn nothing_touches_the_disk_before_it_is_worth_a_file() {
    let store = store();
    let mut staging = store.blobs.stage();
    staging.write(bytes(256 * 1024 - 1).into()).await.unwrap();
    store.nothing_is_staged().await;
    staging.write("x".into()).await.unwrap();
    assert_eq!(files_in(&store.root().join(".staging")).len(), 1);
}

#[tokio::test]
async fn one_that_crawls_keeps_little_in_memory() {
    let store = store();
    let mut staging = store.blobs.stage();
    staging.write(bytes(8 * 1024 - 1).into()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    store.nothing_is_staged().await;
    staging.write("x".into()).await.unwrap();
    assert_eq!(files_in(&store.root().join(".staging")).len(), 1);
}

#[tokio::test]
async fn memory_for_fast_ones_has_an_end() {
    const MOST: usize = 64 * 1024 * 1024;
    let store = store();
    let mut fast = Vec::new();
    while files_in(&store.root().join(".staging")).is_empty() {
        let mut staging = store.blobs.stage();
        staging.write(bytes(200_000).into()).await.unwrap();
        fast.push(staging);
    }
    let held = (fast.len() - 1) * 200_000;
    assert!((MOST / 2..=MOST).contains(&held), "{held}");
    fast.clear();
    store.nothing_is_staged().await;
    let mut staging = store.blobs.stage();
    staging.write(bytes(200_000).into()).await.unwrap();
    store.nothing_is_staged().await;
}

#[tokio::test]
async fn the_next_start_clears_what_was_staged() {
    let store = store();
    let staged = store.stage(&bytes(IN_A_FILE)).await;
    let next = Blobs::open(&store.root(), BlobsOptions::default()).unwrap();
    assert_eq!(next.clear_staging(std::time::Duration::ZERO).await.unwrap(), 1);
    let error = store.blobs.publish(vec![(staged, key("a.jpg"))]).await.unwrap_err();
    assert!(matches!(error, Error::NotFound), "{error}");
}

/// A form may take hours; its photo is on its way to its row only from the moment it is published.
#[tokio::test]
async fn age_counts_from_publishing_and_not_from_writing() {
    let store = store();
    let staged = store.stage(&bytes(IN_A_FILE)).await;
    let path = store.root().join(".staging").join(files_in(&store.root().join(".staging")).remove(0));
    let long_ago = SystemTime::now() - Duration::from_secs(7200);
    fs::File::open(&path).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
    store.blobs.publish(vec![(staged, key("a.jpg"))]).await.unwrap();
    let listed = store.blobs.list(FOLDER.to_owned()).await.unwrap();
    assert!(listed[0].age < Duration::from_secs(60), "{listed:?}");

    fs::File::open(store.root().join(key("a.jpg")))
        .unwrap()
        .set_times(FileTimes::new().set_modified(long_ago))
        .unwrap();
    store.blobs.quarantine(key("a.jpg")).await.unwrap();
    assert_eq!(store.blobs.clear_quarantine(Duration::from_secs(60)).await.unwrap(), 0, "so does time in quarantine");
    let aside = store.root().join(".quarantine/a.jpg");
    fs::File::open(aside).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
    assert_eq!(store.blobs.clear_quarantine(Duration::from_secs(60)).await.unwrap(), 1);
}

#[tokio::test]
async fn files_closed_between_writes_are_read_back_before_they_are_published() {
    let store = store_with(BlobsOptions { open_staging_files_max: 0, ..BlobsOptions::default() });
    let whole = bytes(IN_A_FILE);
    let staged = store.stage(&whole).await;
    assert!(!holds_open(&store.root().join(".staging")), "no descriptor is held");
    let sha256 = staged.sha256;
    store.blobs.publish(vec![(staged, key("a.jpg"))]).await.unwrap();
    assert_eq!(store.read(&key("a.jpg"), sha256).await.unwrap(), whole);

    let staged = store.stage(&whole).await;
    let path = store.root().join(".staging").join(files_in(&store.root().join(".staging")).remove(0));
    let mut changed = whole.clone();
    changed[50_000] ^= 1;
    fs::write(&path, &changed).unwrap();
    let error = store.blobs.publish(vec![(staged, key("b.jpg"))]).await.unwrap_err();
    assert!(matches!(error, Error::Damaged), "{error}");
    assert!(!store.is_there(&key("b.jpg")).await);
    store.nothing_is_staged().await;
}

fn holds_open(folder: &Path) -> bool {
    fs::read_dir("/proc/self/fd").unwrap().flatten().any(|fd| {
        let target: PathBuf = fs::read_link(fd.path()).unwrap_or_default();
        target.starts_with(folder)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn photos_of_one_moment_share_fsyncs_of_their_folder() {
    const PHOTOS: usize = 200;
    let store = store();
    let mut staged = Vec::new();
    for number in 0..PHOTOS {
        staged.push((store.stage(&bytes(number)).await, key(&format!("{number}.jpg"))));
    }
    let publishing: Vec<_> = staged
        .into_iter()
        .map(|blob| {
            let blobs = store.blobs.clone();
            tokio::spawn(async move { blobs.publish(vec![blob]).await })
        })
        .collect();
    for outcome in publishing {
        outcome.await.unwrap().unwrap();
    }
    assert_eq!(files_in(&store.root().join(FOLDER)).len(), PHOTOS);
    let fsyncs = store.metric("directory_fsync_seconds_count");
    assert!((1.0..200.0).contains(&fsyncs), "{fsyncs} fsyncs of the folder for {PHOTOS} photos");
    assert!((store.metric("file_fsync_seconds_count") - 200.0).abs() < 0.5);
}

#[tokio::test]
async fn deleting_again_waits_for_the_disk_again() {
    let store = store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    let fsyncs = store.metric("directory_fsync_seconds_count");
    for deletion in [1.0, 2.0] {
        store.blobs.delete(key("a.jpg")).await.unwrap();
        let now = store.metric("directory_fsync_seconds_count");
        assert!((now - fsyncs - deletion).abs() < 0.5, "an earlier one may have been cut off before its fsync");
    }
}

#[tokio::test]
async fn without_durability_nothing_is_fsynced_and_all_else_holds() {
    let store = store_with(BlobsOptions { durable: false, ..BlobsOptions::default() });
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    store.publish(b"other", &key("a.jpg")).await.unwrap_err();
    store.blobs.delete(key("a.jpg")).await.unwrap();
    assert!(store.metric("directory_fsync_seconds_count") + store.metric("file_fsync_seconds_count") < 0.5);
}

/// A small disk of its own, unmounted with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("NOT RUN: a small disk needs the right to mount one; the fault rigs fill one all the same");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().ok();
    }
}

/// How many photos fit before the disk says that it is full; then one more once there is room.
async fn check_full(options: &str, photo: &[u8]) {
    let Some(disk) = SmallDisk::mount(options) else { return };
    let blobs = Blobs::open(&disk.0.path().join("blobs"), BlobsOptions::default()).unwrap();
    let stage = async |number: usize| {
        let mut staging = blobs.stage();
        staging.write(Bytes::copy_from_slice(photo)).await?;
        let (staged, ()) = staging.finish(|_| ()).await?;
        blobs.publish(vec![(staged, key(&format!("{number}.jpg")))]).await
    };
    let mut stored = 0;
    let error = loop {
        match stage(stored).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full), "{options}: {error}");
    assert!(stored > 2, "{options}: {stored} photos fit");
    assert!(files_in(&blobs.root().join(".staging")).is_empty(), "{options}");
    assert_eq!(files_in(&blobs.root().join(FOLDER)).len(), stored, "{options}: nothing half-visible");
    assert!(!blobs.is_stopped());
    blobs.delete(key("0.jpg")).await.unwrap();
    stage(stored).await.unwrap();
    drop(blobs);
}

#[tokio::test]
async fn a_full_disk_is_full_and_heals() {
    check_full("size=1m", &bytes(100_000)).await;
    check_full("size=16m,nr_inodes=16", &bytes(10)).await;
}
