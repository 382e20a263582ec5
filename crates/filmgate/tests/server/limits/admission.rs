//! What is under way at once, in all and of each user: who comes too much is told when to come again.

use std::io::Read;

use testkit::api::upload_request;
use testkit::{Connection, Person, Request, Response, Server, Shot, photo};

use super::limited;
use crate::support::{GRACE, assert_nothing_left, assert_refused, chunked, clear, holds_within};

/// A limit, what is held under it while another comes, and how that one is refused.
struct Case {
    name: &'static str,
    settings: &'static [(&'static str, &'static str)],
    /// Body lengths of uploads that the participant began, and of those that the other one began.
    held: [&'static [usize]; 2],
    /// Bytes of the photo that comes now, and whether its length is announced.
    photo_bytes: usize,
    is_announced: bool,
    status: u16,
    code: &'static str,
}

const SMALL_REQUESTS: [(&str, &str); 2] =
    [("INGEST__UPLOAD_BYTES_MAX", "1000000"), ("INGEST__REQUEST_BYTES_MAX", "1000000")];

fn upload(person: &Person, photo_bytes: usize) -> Request {
    upload_request(&person.cookie, &person.session_id, &[Shot::interval(photo::jpeg_bytes(photo_bytes, 1))])
}

/// An upload that was let in, and of whose body nothing has come: the server asked for it.
fn begun(server: &Server, person: &Person, body_bytes: usize) -> Connection {
    let request = upload(person, 2_000).header("Expect", "100-continue");
    let request = request.header("Content-Length", &body_bytes.to_string());
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write_head(&request).unwrap();
    let mut asked = [0; 25];
    connection.stream().read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    connection
}

fn send(server: &Server, person: &Person, case: &Case) -> Response {
    let mut request = upload(person, case.photo_bytes);
    if !case.is_announced {
        request.body = request.body.map(|body| chunked(&body, &[10_000]));
        request = request.header("Transfer-Encoding", "chunked");
    }
    request.send(server.address()).unwrap()
}

fn check(case: &Case) {
    let all = [case.settings, if case.photo_bytes > 10_000 { &SMALL_REQUESTS } else { &[] }].concat();
    let server = limited(&all);
    let demo = server.demo();
    let people = [&demo.participant, &demo.other];
    let begin = |(person, lengths): (&&Person, &&[usize])| -> Vec<Connection> {
        lengths.iter().map(|length| begun(&server, person, *length)).collect()
    };
    let held: Vec<Vec<Connection>> = people.iter().zip(&case.held).map(begin).collect();

    let answer = send(&server, &demo.participant, case);
    assert_refused(&server, case.name, &answer, case.status, case.code);
    let wait = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    assert!(wait.is_some_and(|seconds| (1..=60).contains(&seconds)), "{}: {:?}", case.name, answer.headers);
    for _ in 0..20 {
        assert!(server.participant().is_up("/livez"), "{}: not alive", case.name);
    }
    // One user's limit is nobody else's.
    let others = send(&server, &demo.other, case).status;
    assert_eq!(others, if case.status == 429 { 200 } else { 503 }, "{}: the other user", case.name);

    drop(held);
    let is_let_in = || send(&server, &demo.participant, case).status == 200;
    assert!(holds_within(GRACE, is_let_in), "{}: the places were not given back", case.name);
}

#[test]
fn who_comes_too_much_is_told_when_to_come_again() {
    let cases = [
        Case {
            name: "uploads of one user",
            settings: &[("INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "2")],
            held: [&[5_000, 5_000], &[5_000]],
            photo_bytes: 2_000,
            is_announced: true,
            status: 429,
            code: "too_many_uploads",
        },
        Case {
            name: "uploads in all",
            settings: &[("INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "3"), ("INGEST__UPLOADS_IN_FLIGHT_MAX", "3")],
            held: [&[5_000], &[5_000, 5_000]],
            photo_bytes: 2_000,
            is_announced: true,
            status: 503,
            code: "overloaded",
        },
        Case {
            name: "bytes of one user",
            settings: &[("INGEST__BYTES_IN_FLIGHT_PER_USER_MAX", "1000000")],
            held: [&[900_000], &[]],
            photo_bytes: 200_000,
            is_announced: true,
            status: 429,
            code: "too_many_uploads",
        },
        Case {
            name: "bytes of one user, of unknown length",
            settings: &[("INGEST__BYTES_IN_FLIGHT_PER_USER_MAX", "1000000")],
            held: [&[900_000], &[]],
            photo_bytes: 200_000,
            is_announced: false,
            status: 429,
            code: "too_many_uploads",
        },
        Case {
            name: "bytes in all",
            settings: &[
                ("INGEST__BYTES_IN_FLIGHT_PER_USER_MAX", "1000000"),
                ("INGEST__BYTES_IN_FLIGHT_MAX", "1500000"),
            ],
            held: [&[700_000], &[700_000]],
            photo_bytes: 200_000,
            is_announced: true,
            status: 503,
            code: "overloaded",
        },
        Case {
            name: "bytes in all, of unknown length",
            settings: &[
                ("INGEST__BYTES_IN_FLIGHT_PER_USER_MAX", "1000000"),
                ("INGEST__BYTES_IN_FLIGHT_MAX", "1500000"),
            ],
            held: [&[700_000], &[700_000]],
            photo_bytes: 200_000,
            is_announced: false,
            status: 503,
            code: "overloaded",
        },
    ];
    cases.iter().for_each(check);
    println!("limits: {} kinds of too much at once", cases.len());
}

#[test]
fn a_full_house_is_not_ready_and_does_not_stay_so() {
    let server = limited(&[("INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "1"), ("INGEST__UPLOADS_IN_FLIGHT_MAX", "1")]);
    let mut api = server.participant();
    assert!(api.is_up("/readyz"));
    let held = begun(&server, &server.demo().participant, 5_000);
    let answer = api.get("/readyz").unwrap();
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.text().contains("ingest.uploads_in_flight_max"), "{answer:?}");
    drop(held);
    assert!(holds_within(GRACE, || api.is_up("/readyz")), "still not ready");
    assert_eq!(api.upload_photo(&photo::jpeg_bytes(2_000, 1)).unwrap().status, 200);
    clear(&server);
}

#[test]
fn the_last_places_are_for_frames_of_events() {
    let server = limited(&[("INGEST__UPLOADS_IN_FLIGHT_PER_USER_MAX", "5"), ("INGEST__UPLOADS_IN_FLIGHT_MAX", "5")]);
    let person = &server.demo().participant;
    let sent =
        |trigger: &str| upload(person, 2_000).header("Filmgate-Trigger", trigger).send(server.address()).unwrap();
    let held: Vec<_> = (0..4).map(|_| begun(&server, person, 5_000)).collect();
    let refused = sent("interval");
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (503, Some("interval_frames_refused")),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert_eq!(sent("BUTTON_CLICK").status, 200);
    // A refusal is pressure: within a second or two fewer frames of the timer are asked for, on every answer to an upload.
    let is_asked =
        || sent("INTERVAL").header("filmgate-interval-ms").is_some_and(|ms| ms.parse::<u64>().unwrap() > 1_000);
    assert!(holds_within(GRACE, is_asked), "nothing is asked for");
    let event = sent("BUTTON_CLICK");
    assert_eq!((event.status, event.header("filmgate-interval-ms").is_some()), (200, true), "{event:?}");
    let other = Request::get("/livez").send(server.address()).unwrap();
    assert_eq!(other.header("filmgate-interval-ms"), None, "no answer to an upload");
    drop(held);
    assert!(holds_within(GRACE, || sent("INTERVAL").status == 200), "the places were not given back");
    clear(&server);
}

#[test]
fn one_connection_too_many_is_told_to_come_again() {
    let server = limited(&[("SERVER__CONNECTIONS_MAX", "8")]);
    let mut held: Vec<Connection> = (0..8).map(|_| Connection::open(server.address()).unwrap()).collect();
    for connection in &mut held {
        let answer = connection.send(&Request::get("/livez")).unwrap();
        assert_eq!(answer.status, 200);
    }
    let answer = upload(&server.demo().participant, 2_000).send(server.address()).unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
    assert_eq!(held[0].send(&Request::get("/livez")).unwrap().status, 200, "who is inside is served on");
    drop(held);
    assert!(holds_within(GRACE, || server.participant().is_up("/livez")), "the places were not given back");
    assert_nothing_left(&server);
}
