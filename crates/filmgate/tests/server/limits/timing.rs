//! How long a client may take. The limits are short here, and what is asserted is what happens, not when.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::Duration;

use testkit::{Connection, Form, Request, Response, Server, photo};

use super::limited;
use crate::support::{
    assert_nothing_left, assert_refused, assert_stored, clear, holds_within, is_of_folders, upload_of,
};

/// Longer than any limit here by far: whatever has not happened by then does not happen.
const LONG: Duration = Duration::from_secs(20);

const SHORT: &[(&str, &str)] = &[
    ("SERVER__HEADER_READ_TIMEOUT_MS", "600"),
    ("SERVER__BODY_IDLE_TIMEOUT_MS", "600"),
    ("SERVER__BODY_GRACE_MS", "600"),
    ("SERVER__BODY_RATE_MIN_BYTES_PER_SECOND", "10000"),
    ("SERVER__BODY_TOTAL_TIMEOUT_MS", "2000"),
    ("SERVER__WRITE_TIMEOUT_MS", "600"),
    ("SERVER__LINGER_TIMEOUT_MS", "2000"),
];

/// Sends the head, then these pieces with a pause after each, from another thread: the answer may overtake them.
fn dripped(server: &Server, head: &Request, pieces: impl Iterator<Item = Vec<u8>> + Send, pause: Duration) -> Response {
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write_head(head).unwrap();
    let mut stream = connection.stream().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            for piece in pieces {
                if stream.write_all(&piece).is_err() {
                    break;
                }
                thread::sleep(pause);
            }
        });
        connection.read_response(false).unwrap()
    })
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let server = limited(SHORT);
    let request = upload_of(&server, &photo::jpeg_bytes(300_000, 1));
    let body = request.body.clone().unwrap();
    let in_chunks = request.clone().header("Transfer-Encoding", "chunked");
    let silent_after =
        |head: &Request, sent: &[u8]| dripped(&server, head, [sent.to_vec()].into_iter(), Duration::ZERO);
    let slowly = |head: &Request, bytes: &[u8], step: usize, pause_ms: u64| {
        dripped(&server, head, bytes.chunks(step).map(<[u8]>::to_vec), Duration::from_millis(pause_ms))
    };
    // Fast enough on average, and never silent: only the whole time ends it.
    let endless = {
        let opening = Form::new().text("session_id", &server.demo().participant.session_id).without_closing();
        let front = [&opening.bytes()[..], b"--", testkit::form::BOUNDARY.as_bytes()].concat();
        let front =
            [&front[..], b"\r\nContent-Disposition: form-data; name=\"capture_0\"; filename=\"a\"\r\n\r\n"].concat();
        let framed = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let photo = framed(&[7; 2_000]);
        std::iter::once(framed(&front)).chain(std::iter::repeat_n(photo, 400))
    };
    let cases: [(&str, Response); 8] = [
        ("headers, then silence", silent_after(&request, b"")),
        ("headers for chunks, then silence", silent_after(&in_chunks, b"")),
        ("half a chunk's size, then silence", silent_after(&in_chunks, b"1")),
        ("the first part, then silence", silent_after(&request, &body[..200])),
        ("most of a photo, then silence", silent_after(&request, &body[..200_000])),
        ("all but the last byte, then silence", silent_after(&request, &body[..body.len() - 3])),
        ("a byte at a time", slowly(&request, &body[..1_000], 1, 20)),
        ("endless", dripped(&server, &in_chunks, endless, Duration::from_millis(20))),
    ];
    for (name, answer) in &cases {
        assert_refused(&server, name, answer, 408, "body_timeout");
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
    }
    // A slow camera that keeps the pace is no slow peer.
    let photo = photo::jpeg_bytes(30_000, 2);
    let request = upload_of(&server, &photo);
    let answer = slowly(&request, request.body.as_deref().unwrap(), 1_000, 20);
    assert_stored(&server, "50 KB a second", &answer, &[&photo]);
    clear(&server);
    println!("limits: {} bodies given up", cases.len());
}

#[test]
fn a_header_that_does_not_end_is_closed() {
    let server = limited(SHORT);
    let open = || Connection::open(server.address()).unwrap();
    let unfinished = b"POST /assessment/camera/upload HTTP/1.1\r\nHost: camera.example\r\nX-Note: ";
    let silent_after = |bytes: &[u8]| {
        let mut connection = open();
        connection.write(bytes).unwrap();
        connection
    };
    let mut kept = open();
    assert_eq!(kept.send(&Request::get("/livez")).unwrap().status, 200);
    let mut cases = [
        ("nothing at all", open()),
        ("half a line", silent_after(&unfinished[..20])),
        ("no empty line", silent_after(unfinished)),
        ("empty lines alone", silent_after(b"\r\n\r\n")),
        ("half the next request", {
            kept.write(unfinished).unwrap();
            kept
        }),
        ("nothing behind an answer", {
            let mut connection = open();
            assert_eq!(connection.send(&Request::get("/livez")).unwrap().status, 200);
            connection
        }),
    ];
    for (name, connection) in &mut cases {
        let (bytes, is_closed) = connection.read_whatever(LONG);
        assert!(is_closed && bytes.is_empty(), "{name}: {}", bytes.escape_ascii());
    }
    // A byte now and then does not keep it open.
    let mut connection = open();
    let long = [&unfinished[..], &[b'n'; 1_000]].concat();
    let sent = connection.drip(&long, 1, Duration::from_millis(20));
    assert!(sent < long.len(), "a header dripped for 20 s was waited for");
    assert_nothing_left(&server);
    println!("limits: {} headers closed", cases.len() + 1);
}

/// Sockets the server has open: a connection it closed is not among them, whatever the client still holds.
fn sockets(server: &Server) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().flatten();
    open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
}

#[test]
fn a_client_that_never_reads_its_answer_is_closed() {
    // Its sockets are counted, and a bucket's are among them.
    if !is_of_folders("the count of sockets") {
        return;
    }
    let server = limited(SHORT);
    let idle = sockets(&server);
    let photo = photo::jpeg_bytes(30_000_000, 1);
    let stored =
        assert_stored(&server, "30 MB", &upload_of(&server, &photo).send(server.address()).unwrap(), &[&photo]);
    let request = Request::get(&format!("/assessment/camera/file/{}", stored[0].filename))
        .cookie(&server.demo().participant.cookie);
    let mut connections: Vec<Connection> = (0..4).map(|_| Connection::open(server.address()).unwrap()).collect();
    for connection in &mut connections {
        connection.write_request(&request).unwrap();
    }
    assert!(holds_within(LONG, || sockets(&server) >= idle + 4), "the four were never accepted");
    assert!(holds_within(LONG, || sockets(&server) == idle), "{} sockets, idle {idle}", sockets(&server));
    for connection in &mut connections {
        let (bytes, is_closed) = connection.read_whatever(LONG);
        assert!(is_closed && bytes.len() < photo.len(), "{} bytes were there, closed: {is_closed}", bytes.len());
    }
    assert!(server.participant().is_up("/livez"));
    clear(&server);
    println!("limits: 4 unread answers closed");
}

/// Slow peers cost a good one nothing but their places.
#[test]
fn slow_peers_do_not_hold_up_a_good_one() {
    let server = limited(&[]);
    let request = upload_of(&server, &photo::jpeg_bytes(300_000, 1));
    let body = request.body.clone().unwrap();
    let begun: Vec<Connection> = (0..200)
        .map(|index| {
            let mut connection = Connection::open(server.address()).unwrap();
            if index % 2 == 0 {
                connection.write_head(&request).unwrap();
                connection.write(&body[..40_000]).unwrap();
            } else {
                connection.write(b"POST /assessment").unwrap();
            }
            connection
        })
        .collect();
    let mut api = server.participant();
    for seed in 0..20 {
        let photo = photo::jpeg_bytes(50_000, seed);
        assert_stored(&server, "a good client", &api.upload_photo(&photo).unwrap(), &[&photo]);
        assert!(api.is_up("/livez"));
    }
    drop(begun);
    clear(&server);
    println!("limits: 20 uploads beside 200 slow peers");
}
