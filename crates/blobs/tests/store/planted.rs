//! Links, pipes and sockets planted in the folder by somebody who can write there: nothing leads out, nothing hangs.

use std::os::unix::fs::symlink;
use std::path::Path;

use blobs::{Error, Part};
use rustix::fs::{CWD, FileType, Mode};

use crate::support::{FOLDER, Store, files_in, key, store};

async fn check_refused(store: &Store, what: &str) {
    let refused = |door: &str, error: Error| assert!(matches!(error, Error::BadKey(_)), "{what}, {door}: {error}");
    refused("open", store.blobs.open_verified(key("a.jpg"), Part::WHOLE, [0; 32]).await.unwrap_err());
    refused("look", store.blobs.look(key("a.jpg"), Part::WHOLE, true).await.unwrap_err());
}

async fn check_folder_refused(store: &Store, what: &str) {
    check_refused(store, what).await;
    let outside = store.outside();
    std::fs::write(outside.join("a.jpg"), b"not ours").unwrap();
    for (door, outcome) in [
        ("publish", store.publish(b"photo", &key("new.jpg")).await.map(|_| ())),
        ("delete", store.blobs.delete(key("a.jpg")).await),
        ("quarantine", store.blobs.quarantine(key("a.jpg")).await),
        ("list", store.blobs.list(FOLDER.to_owned()).await.map(|_| ())),
    ] {
        assert!(matches!(outcome, Err(Error::BadKey(_))), "{what}, {door}: {outcome:?}");
    }
    assert_eq!(store.blobs.time_folders().await.unwrap(), [""; 0], "{what}");
    assert_eq!(std::fs::read(outside.join("a.jpg")).unwrap(), b"not ours", "{what}");
    let strays: Vec<String> = files_in(&outside).into_iter().filter(|name| name != "a.jpg").collect();
    assert!(strays.is_empty() || strays == ["0800"], "{what}: {strays:?}");
    store.nothing_is_staged().await;
}

fn make(path: &Path, kind: FileType) {
    rustix::fs::mknodat(CWD, path, kind, Mode::RWXU, 0).unwrap();
}

#[tokio::test]
async fn as_a_photo() {
    let store = store();
    store.publish(b"photo", &key("b.jpg")).await.unwrap();
    let planted = store.root().join(key("a.jpg"));
    let outside = store.outside().join("secret");
    std::fs::write(&outside, b"secret").unwrap();

    symlink(&outside, &planted).unwrap();
    check_refused(&store, "a link").await;
    let error = store.publish(b"photo", &key("a.jpg")).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)), "nothing is put in the place of a link: {error}");
    store.blobs.delete(key("a.jpg")).await.unwrap();

    symlink(&outside, &planted).unwrap();
    store.blobs.quarantine(key("a.jpg")).await.unwrap();
    assert_eq!(std::fs::read(&outside).unwrap(), b"secret", "the link went and not what it leads to");

    for kind in [FileType::Fifo, FileType::Socket] {
        make(&planted, kind);
        check_refused(&store, &format!("{kind:?}")).await;
        store.blobs.delete(key("a.jpg")).await.unwrap();
    }
    std::fs::create_dir(&planted).unwrap();
    check_refused(&store, "a folder").await;
    assert_eq!(store.blobs.list(FOLDER.to_owned()).await.unwrap().len(), 1, "a folder is no photo");
}

#[tokio::test]
async fn as_the_folder_of_a_minute() {
    let store = store();
    let minute = store.root().join(FOLDER);
    std::fs::create_dir(minute.parent().unwrap()).unwrap();
    symlink(store.outside(), &minute).unwrap();
    check_folder_refused(&store, "a link").await;
    std::fs::remove_file(&minute).unwrap();
    make(&minute, FileType::Fifo);
    check_folder_refused(&store, "a pipe").await;
}

#[tokio::test]
async fn as_the_folder_of_a_minute_that_was_a_good_one() {
    let store = store();
    store.publish(b"photo", &key("b.jpg")).await.unwrap();
    std::fs::remove_dir_all(store.root().join(FOLDER)).unwrap();
    symlink(store.outside(), store.root().join(FOLDER)).unwrap();
    check_folder_refused(&store, "a link").await;
}

#[tokio::test]
async fn as_the_folder_of_a_day() {
    let store = store();
    let day = store.root().join(FOLDER.split_once('/').unwrap().0);
    std::fs::create_dir(store.outside().join("0800")).unwrap();
    symlink(store.outside(), &day).unwrap();
    check_folder_refused(&store, "a link").await;
    assert!(files_in(&store.outside().join("0800")).is_empty());
    std::fs::remove_file(&day).unwrap();
    make(&day, FileType::Fifo);
    check_folder_refused(&store, "a pipe").await;
}

#[tokio::test]
async fn as_a_note_in_quarantine() {
    let store = store();
    let outside = store.outside().join("secret");
    std::fs::write(&outside, b"secret").unwrap();
    symlink(&outside, store.root().join(".quarantine/n.json")).unwrap();
    store.blobs.quarantine_note("n.json".to_owned(), "note".to_owned()).await.unwrap_err();
    assert_eq!(std::fs::read(&outside).unwrap(), b"secret");
}

/// What people and programs leave lying about keeps nobody from starting.
#[tokio::test]
async fn strangers_are_left_alone() {
    let store = store();
    store.publish(b"photo", &key("a.jpg")).await.unwrap();
    let folder = store.root().join(FOLDER);
    for name in [".hidden", "photo (copy).jpg", "ü.jpg"] {
        std::fs::write(folder.join(name), b"x").unwrap();
    }
    for stranger in ["lost+found", "lost+found/0000", ".staging/folder", ".quarantine/folder"] {
        std::fs::create_dir(store.root().join(stranger)).unwrap();
    }
    assert_eq!(store.blobs.time_folders().await.unwrap(), [FOLDER]);
    let listed = store.blobs.list(FOLDER.to_owned()).await.unwrap();
    assert_eq!(listed.iter().map(|blob| &*blob.key).collect::<Vec<_>>(), [key("a.jpg")]);
    assert_eq!(store.blobs.clear_staging(std::time::Duration::ZERO).await.unwrap(), 0);
    assert_eq!(store.blobs.clear_quarantine(std::time::Duration::ZERO).await.unwrap(), 0);
}
