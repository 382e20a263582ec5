//! What happens to a photo while it is processed: deleted, fetched, rotten.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use testkit::server::Server;
use testkit::{Api, photo};

use super::{fetch, processed};
use crate::support::{
    as_admin, code_of, files_of_store, has_files, holds_within, participant, program_on, ran, rows_of_catalog,
    with_comment,
};
use crate::tasks::{ended, hasty, idle, queue, task};

#[track_caller]
fn delete(server: &Server, capture_id: &str) {
    let answer = as_admin(server, "DELETE", &format!("/api/v1/captures/{capture_id}"), None);
    assert_eq!(answer.status, 204, "{answer:?}");
}

#[test]
fn what_is_deleted_while_it_is_processed_does_not_come_back() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    // Each takes 300 ms: long enough to be met in the middle, short enough to end by itself.
    let slow: Vec<Vec<u8>> =
        (0..6).map(|seed| with_comment(&photo::jpeg(64, 48, seed), b"FILMGATE-FAULT-SLOW")).collect();
    let ids = queue(&mut api, &slow);
    let mut met = 0;
    for id in &ids {
        let mut seen = task(&server, id);
        holds_within(Duration::from_secs(30), || {
            seen = task(&server, id);
            seen["state"] != "PENDING"
        });
        met += usize::from(seen["state"] == "STARTED");
        delete(&server, seen["capture_id"].as_str().unwrap());
        let after = task(&server, id);
        assert!(after["state"] == "REVOKED" || after["state"] == "SUCCESS", "{after}");
    }
    assert!(met > 0, "none was met while it ran");
    // Whoever still ran one has noticed once another photo is through.
    let next = queue(&mut api, &[photo::jpeg(64, 48, 9)]).remove(0);
    let next = ended(&server, &next);
    assert_eq!(next["state"], "SUCCESS");
    delete(&server, next["capture_id"].as_str().unwrap());
    assert!(rows_of_catalog(&server).is_empty());
    let is_tidy = holds_within(Duration::from_secs(30), || files_of_store(&server).is_empty());
    assert!(is_tidy, "left behind: {:?}", files_of_store(&server));
    for id in &ids {
        assert_ne!(task(&server, id)["state"], "STARTED");
    }
    let fsck = server.fsck(true).unwrap();
    assert!(fsck.is_clean(), "{}", fsck.output);
    println!("{met} of {} were running", ids.len());
}

#[test]
fn a_photo_is_served_all_the_while_another_takes_its_place() {
    let server = hasty().env("FILMGATE__PROCESSING__ORIGINAL", "strip").start().unwrap();
    let mut api = participant(&server);
    let photos: Vec<Vec<u8>> =
        (0..40).map(|seed| with_comment(&photo::jpeg_bytes(100_000, seed), b"a comment that goes")).collect();
    let tasks = queue(&mut api, &photos);
    let filenames = api.listed_filenames().unwrap();
    let is_over = AtomicBool::new(false);
    let fetched: usize = thread::scope(|scope| {
        let fetching: Vec<_> =
            (0..8).map(|_| scope.spawn(|| fetch_until(&is_over, &mut api.clone(), &filenames))).collect();
        // Whatever comes of them: those who fetch must be let go.
        // (Decoders get only what nobody else wants of the processors.)
        let are_over = holds_within(Duration::from_secs(180), || {
            fetching.iter().any(thread::ScopedJoinHandle::is_finished) || all_succeeded(&server, &tasks)
        });
        is_over.store(true, Ordering::Relaxed);
        assert!(are_over, "still at work");
        fetching.into_iter().map(|fetching| fetching.join().unwrap()).sum()
    });
    assert!(all_succeeded(&server, &tasks));
    for filename in &filenames {
        assert!(!holds(&api.file(filename).unwrap().body, b"a comment that goes"));
    }
    println!("{fetched} fetched meanwhile");
}

fn all_succeeded(server: &Server, tasks: &[String]) -> bool {
    tasks.iter().all(|id| task(server, id)["state"] == "SUCCESS")
}

/// Fetches these photos again and again; how often.
fn fetch_until(is_over: &AtomicBool, api: &mut Api, filenames: &[String]) -> usize {
    let mut fetched = 0;
    while !is_over.load(Ordering::Relaxed) {
        for filename in filenames {
            let answer = api.file(filename).unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
            let etag = format!("\"{}\"", testkit::api::sha256(&answer.body));
            assert_eq!(answer.header("etag"), Some(etag.as_str()), "these bytes, or those");
            fetched += 1;
        }
    }
    fetched
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Where the pictures lie that were made of photos.
fn derivatives(server: &Server) -> Vec<std::path::PathBuf> {
    let mut files = files_of_store(server);
    files.retain(|path| path.components().any(|part| part.as_os_str() == ".derivatives"));
    files
}

#[test]
fn a_picture_that_rots_is_not_served_and_is_made_anew() {
    if !has_files("a picture that rots is not served and is made anew") {
        return;
    }
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let (filename, _) = processed(&server, &mut api, &[photo::jpeg(320, 240, 1)]).remove(0);
    let whole = fetch(&api, &filename, "?size=thumb", &[]);
    let files = derivatives(&server);
    assert_eq!(files.len(), 1, "they share a file");
    let rotten: Vec<u8> = fs::read(&files[0]).unwrap().into_iter().map(|byte| byte ^ 1).collect();
    fs::write(&files[0], rotten).unwrap();
    let id = filename.trim_end_matches(".jpg");
    for headers in [vec![], vec![("Range", "bytes=0-9")]] {
        let rotten = fetch(&api, &filename, "?size=thumb", &headers);
        assert_eq!((rotten.status, code_of(&rotten).as_str()), (500, "photo_damaged"));
    }
    let fsck = |args: &[&str]| {
        let data = server.data().to_str().unwrap();
        let mut command = program_on(server.data());
        ran(command.args(["fsck", "--deep", "--data", data]).args(args).envs(server.photo_envs()))
    };
    let found = fsck(&[]);
    assert_eq!(found.status, 1, "{found:?}");
    assert!(found.out.contains("4 derivatives checked") && found.out.contains(id), "{}", found.out);
    assert!(found.out.contains("derivatives are missing or damaged"), "{}", found.out);
    fsck(&["--repair"]);
    let is_whole = || {
        let again = fetch(&api, &filename, "?size=thumb", &[]);
        again.status == 200 && again.body == whole.body
    };
    assert!(holds_within(Duration::from_secs(60), is_whole), "the same photo makes the same picture");
    // The rotten ones lie there until a sweep, or a further repair.
    assert!(holds_within(Duration::from_secs(30), || fsck(&["--repair"]).status == 0), "{:?}", fsck(&[]));
    assert_eq!(fetch(&api, &filename, "", &[]).status, 200);
}

#[test]
fn a_capture_that_is_cleared_takes_its_waiting_task_with_it() {
    let server = idle().start().unwrap();
    let mut api: Api = participant(&server);
    let ids = queue(&mut api, &[photo::jpeg(64, 48, 1), photo::jpeg(64, 48, 2)]);
    let target = format!("/assessment/camera/cleanup/{}", api.session_id);
    let request = testkit::Request::post(&target).cookie(&api.cookie);
    assert_eq!(api.send(&request).unwrap().json()["data"]["captures_cleaned"], 2);
    for id in &ids {
        let seen = task(&server, id);
        assert_eq!((&seen["state"], &seen["error"]), (&"REVOKED".into(), &"its capture was deleted".into()));
    }
    assert!(files_of_store(&server).is_empty());
}
