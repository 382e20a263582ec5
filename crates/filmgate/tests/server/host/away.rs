//! The app's database is stopped under load: who was verified goes on, nobody else comes in, and when it returns every
//! capture stands in it once.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testkit::Request;
use testkit::rig::postgres::{NEED, Postgres, Stop};

use super::app::{App, Database, Keys, as_user, soon, stored, upload_of};
use crate::support::{code_of, holds_within};

/// How long it is away; `FILMGATE_TEST_AWAY_SECONDS` for longer.
fn away() -> Duration {
    let seconds = std::env::var("FILMGATE_TEST_AWAY_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

#[test]
fn uploads_of_verified_sessions_go_on_and_every_capture_arrives_once() {
    if let Some(what) = NEED.missing() {
        println!("NOT RUN: an app's database that is stopped; it lacks {what}");
        return;
    }
    // Its own: no other test may see it stop.
    let app = App::of(Arc::new(Postgres::start().unwrap()), Keys::Integer);
    let server = app.written().env("FILMGATE__JOBS__RETRY_DELAY_MIN_MS", "100").start().unwrap();
    let forgetful = app.beside().env("FILMGATE__HOST__VERIFIED_FOR_SECONDS", "1").start().unwrap();
    let (first_id, first) = stored(&server, 1, "42", 0);
    stored(&forgetful, 1, "42", 0);
    soon("the first is there", || app.captures("1 = 1") == [first.clone()]);

    let (is_over, sent) = (AtomicBool::new(false), AtomicUsize::new(1));
    let filenames = Mutex::new(vec![first]);
    let slowest = Mutex::new(Duration::ZERO);
    let App { database: Database::Postgres(postgres, name), .. } = app else { unreachable!() };
    let mut postgres = Arc::into_inner(postgres).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let seed = sent.fetch_add(1, Ordering::Relaxed);
                    let began = Instant::now();
                    let (_, filename) = stored(&server, 1, "42", seed as u64);
                    filenames.lock().unwrap().push(filename);
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = slowest.max(began.elapsed());
                    drop(slowest);
                    thread::sleep(Duration::from_millis(20));
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        postgres.stop(Stop::Fast).unwrap();
        let stopped = Instant::now();
        thread::sleep(Duration::from_secs(1));
        let during = filenames.lock().unwrap().len();
        // A session, and a user, that nobody verified; and whoever asks for another's learns no more than they.
        for (user, session) in [(1, "43"), (2, "42"), (2, "43"), (1, "99"), (9, "42")] {
            let refused = as_user(&server, user, &upload_of(session, 1));
            assert_eq!(
                (refused.status, code_of(&refused).as_str()),
                (503, "host_unavailable"),
                "{user} {session}: {refused:?}"
            );
            assert!(refused.header("retry-after").is_some(), "{refused:?}");
        }
        // What the app has linked cannot be known: nothing is deleted.
        let cleanup = as_user(&server, 1, &Request::post("/assessment/camera/cleanup/42"));
        assert_eq!((cleanup.status, code_of(&cleanup).as_str()), (503, "host_unavailable"), "{cleanup:?}");
        // Filmgate's own administrators need no app to be themselves.
        let own = Request::get("/api/v1/captures").cookie(&server.demo().admin.cookie).send(server.address()).unwrap();
        assert_eq!(own.status, 200);
        // Belief ends.
        soon("disbelieved", || as_user(&forgetful, 1, &upload_of("42", 1)).status == 503);
        thread::sleep(away().saturating_sub(stopped.elapsed()));
        assert!(filenames.lock().unwrap().len() > during, "uploads went on");
        postgres.start_again().unwrap();
        thread::sleep(Duration::from_millis(500));
        is_over.store(true, Ordering::Relaxed);
    });
    let mut expected = filenames.into_inner().unwrap();
    expected.sort();
    let app = App::again(postgres, name, Keys::Integer);
    let back = Instant::now();
    // At most half a minute between two tries.
    let arrived = holds_within(Duration::from_secs(45), || app.captures("1 = 1") == expected);
    let there = app.captures("1 = 1");
    assert!(arrived, "{} of {}", there.len(), expected.len());
    println!(
        "{} uploads, slowest {:?}; all in the app's table {:?} after its return",
        expected.len(),
        slowest.into_inner().unwrap(),
        back.elapsed()
    );
    thread::sleep(Duration::from_millis(300));
    assert_eq!(app.captures("1 = 1"), expected, "once each");
    let count =
        |server| as_user(server, 1, &Request::get("/assessment/camera/session/42")).json()["total_captures"].clone();
    assert_eq!(count(&server), expected.len());
    soon("strangers are known again", || as_user(&server, 2, &upload_of("43", 1)).status == 200);
    let linked = as_user(&server, 1, &Request::get("/assessment/camera/session/42")).json();
    assert!(linked["captures"].as_array().unwrap().iter().any(|capture| capture["id"] == first_id.as_str()));
}
