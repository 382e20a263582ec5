//! Promise 16: SIGTERM drains, a second one or a deadline ends it; and every start goes on where the last one ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testkit::api::{Capture, upload_request};
use testkit::server::{Server, ServerBuilder};
use testkit::{Api, Connection, Request, Shot, photo, process};

use crate::support::{
    await_upload_under_way, builder, has_files, holds_within, server, sign_in, sign_in_request, stored_file,
};

/// An upload of which half has been sent, and the other half.
fn half_sent(server: &Server) -> (Connection, Vec<u8>) {
    let person = &server.demo().participant;
    let request = upload_request(&person.cookie, &person.session_id, &[Shot::interval(photo::jpeg_bytes(200_000, 1))]);
    let mut bytes = request.bytes(&server.address().to_string());
    let rest = bytes.split_off(bytes.len() / 2);
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write(&bytes).unwrap();
    await_upload_under_way(server);
    (connection, rest)
}

fn refuses_connections(server: &Server) -> bool {
    holds_within(Duration::from_secs(5), || Connection::open(server.address()).is_err())
}

fn ended_within(server: &mut Server, limit: Duration) -> bool {
    holds_within(limit, || !server.is_running())
}

#[test]
fn an_upload_under_way_is_finished_and_nobody_new_is_let_in() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = server();
        let mut idle = Connection::open(server.address()).unwrap();
        assert_eq!(idle.send(&Request::get("/readyz")).unwrap().status, 200);
        let (mut connection, rest) = half_sent(&server);
        process::signal(server.pid(), signal);
        assert!(refuses_connections(&server));
        let (_, closed) = idle.read_whatever(Duration::from_secs(5));
        assert!(closed, "who only waits is sent away");
        assert!(server.is_running(), "the upload is waited for");
        connection.write(&rest).unwrap();
        let answer = connection.read_response(false).unwrap();
        let stored = testkit::api::captures(&answer).unwrap();
        assert_eq!(answer.header("connection"), Some("close"));
        let status = server.terminate(Duration::from_secs(10)).unwrap();
        assert!(status.success(), "{status}");
        let again = server.start_again().unwrap();
        assert_eq!(again.participant().file(&stored[0].filename).unwrap().body, photo::jpeg_bytes(200_000, 1));
    }
}

/// Sends the signal, and a second one or none; the server must end in the middle of an upload that never ends.
fn is_cut(builder: ServerBuilder, second_signal: bool) {
    let mut server = builder.start().unwrap();
    let (mut connection, _rest) = half_sent(&server);
    let began = Instant::now();
    process::signal(server.pid(), Signal::TERM);
    assert!(refuses_connections(&server));
    if second_signal {
        process::signal(server.pid(), Signal::TERM);
    }
    assert!(ended_within(&mut server, Duration::from_secs(10)), "{}", server.log_tail(20));
    let took = began.elapsed();
    let (answer, closed) = connection.read_whatever(Duration::from_secs(5));
    assert!(closed && !answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(took < Duration::from_secs(8), "{took:?}");
    let again = server.start_again().unwrap();
    assert!(again.participant().list().unwrap().is_empty());
    assert!(again.fsck(true).unwrap().is_clean());
    let staged = std::fs::read_dir(again.data().join("blobs/.staging")).unwrap().count();
    assert_eq!(staged, 0, "what was cut off is cleared away");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    is_cut(builder().env("FILMGATE__SERVER__DRAIN_DEADLINE_MS", "3600000"), true);
}

#[test]
fn a_deadline_ends_it_too() {
    is_cut(builder().env("FILMGATE__SERVER__DRAIN_DEADLINE_MS", "300"), false);
}

/// Uploads until the server is gone; what it answered with a 200.
fn upload_until_gone(api: &mut Api, client: u64, stop: &AtomicBool) -> Vec<(Capture, Vec<u8>)> {
    let mut stored = Vec::new();
    for number in 0.. {
        let photo = photo::jpeg_bytes(30_000, client * 100_000 + number);
        match api.upload_photo(&photo) {
            Ok(answer) if answer.status == 200 => {
                stored.push((testkit::api::captures(&answer).unwrap().remove(0), photo));
            }
            _ if stop.load(Ordering::Relaxed) => break,
            outcome => panic!("before the signal: {outcome:?}"),
        }
    }
    stored
}

#[test]
fn under_load_every_answer_counts() {
    const CLIENTS: u64 = 8;
    let mut server = server();
    let api = server.participant();
    let stop = AtomicBool::new(false);
    let mut stored = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (mut api, stop) = (api.clone(), &stop);
                scope.spawn(move || upload_until_gone(&mut api, client, stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
        let status = server.terminate(Duration::from_secs(20)).unwrap();
        assert!(status.success(), "{status}");
        for client in clients {
            stored.extend(client.join().unwrap());
        }
    });
    let again = server.start_again().unwrap();
    assert!(again.fsck(true).unwrap().is_clean());
    let mut api = again.participant();
    for (capture, photo) in &stored {
        assert_eq!(&api.file(&capture.filename).unwrap().body, photo);
    }
    // Those that were stored and whose answer the client no longer read may be there beside them: none, as it drained.
    assert_eq!(api.list().unwrap().len(), stored.len());
    assert!(stored.len() as u64 > CLIENTS);
    println!("{} uploads answered before the end", stored.len());
}

#[test]
fn after_kill_9_everything_goes_on() {
    const KILLS: usize = 5;
    let mut server = server();
    let person = server.demo().participant.clone();
    let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
    let cookie = sign_in(&server, &person.username, &person.password);
    for round in 0..KILLS {
        let mut api = Api::new(server.address(), &cookie, &person.session_id);
        let photo = photo::jpeg_bytes(30_000, round as u64);
        let answer = api.upload_photo(&photo).unwrap();
        kept.push((testkit::api::captures(&answer).unwrap().remove(0).filename, photo));
        // Dies in the middle of another one.
        let _half = half_sent(&server);
        server.kill();
        server = server.start_again().unwrap();
        let demo = server.demo();
        assert_eq!((&demo.participant.password, &demo.participant.session_id), (&person.password, &person.session_id));
        let mut api = Api::new(server.address(), &cookie, &person.session_id);
        assert_eq!(api.list().unwrap().len(), kept.len(), "the cookie still counts");
        for (filename, photo) in &kept {
            assert_eq!(&api.file(filename).unwrap().body, photo);
        }
        let again = sign_in_request(&person.username, &person.password).send(server.address()).unwrap();
        assert_eq!(again.status, 200);
        assert!(server.fsck(true).unwrap().is_clean());
    }
    println!("{KILLS} kills");
}

#[test]
fn photos_whose_catalog_is_lost_are_not_touched() {
    if !crate::support::is_of_files("a lost catalog") {
        return;
    }
    if !has_files("photos whose catalog is lost are not touched") {
        return;
    }
    let mut server = server();
    let stored =
        testkit::api::captures(&server.participant().upload_photo(&photo::jpeg_bytes(9_000, 3)).unwrap()).unwrap();
    server.terminate(Duration::from_secs(10)).unwrap();
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        match std::fs::remove_file(server.data().join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    for cut_short in [false, true] {
        if cut_short {
            std::fs::write(server.data().join("catalog.sqlite"), "x").unwrap();
        }
        let Err(refused) = server.start_again() else { panic!("a server without its catalog started") };
        assert!(format!("{refused:#}").contains("restore it from a backup"), "{refused:#}");
        assert!(stored_file(&server, &stored[0].filename).is_file());
    }
}

/// What a load balancer hears, and what everybody else does, from the signal on until the door closes.
#[test]
fn it_says_that_it_is_leaving_while_everything_is_still_served() {
    const DELAY: Duration = Duration::from_secs(3);
    let mut server = builder().env("FILMGATE__SERVER__DRAIN_DELAY_MS", "3000").start().unwrap();
    let mut kept_alive = Connection::open(server.address()).unwrap();
    assert_eq!(kept_alive.send(&Request::get("/readyz")).unwrap().status, 200);
    let began = Instant::now();
    process::signal(server.pid(), Signal::TERM);
    let not_ready = || Request::get("/readyz").send(server.address()).is_ok_and(|answer| answer.status == 503);
    assert!(holds_within(DELAY, not_ready), "{}", server.log_tail(20));
    let answer = kept_alive.send(&Request::get("/readyz")).unwrap();
    assert!(answer.text().contains("draining"), "{}", answer.text());
    assert_eq!(kept_alive.send(&Request::get("/livez")).unwrap().status, 200);
    // New connections are taken, photos stored and shown.
    let photo = photo::jpeg_bytes(30_000, 8);
    let stored = testkit::api::captures(&server.participant().upload_photo(&photo).unwrap()).unwrap();
    assert_eq!(server.participant().file(&stored[0].filename).unwrap().body, photo);
    assert!(began.elapsed() < DELAY, "too slow a machine to see it: {:?}", began.elapsed());
    assert!(ended_within(&mut server, Duration::from_secs(10)), "{}", server.log_tail(20));
    assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
    assert!(Connection::open(server.address()).is_err());
}

#[test]
fn a_second_signal_does_not_wait_for_the_delay() {
    let delay = builder().env("FILMGATE__SERVER__DRAIN_DELAY_MS", "3600000");
    let mut server = delay.env("FILMGATE__SERVER__DRAIN_DEADLINE_MS", "3600000").start().unwrap();
    let (mut connection, _rest) = half_sent(&server);
    process::signal(server.pid(), Signal::TERM);
    let not_ready = || Request::get("/readyz").send(server.address()).is_ok_and(|answer| answer.status == 503);
    assert!(holds_within(Duration::from_secs(10), not_ready), "{}", server.log_tail(20));
    assert!(server.is_running());
    process::signal(server.pid(), Signal::TERM);
    assert!(ended_within(&mut server, Duration::from_secs(10)), "{}", server.log_tail(20));
    let (answer, closed) = connection.read_whatever(Duration::from_secs(5));
    assert!(closed && !answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}
