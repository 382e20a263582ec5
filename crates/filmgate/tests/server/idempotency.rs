//! Promise 12: a request that is sent again gets its first answer, and stores nothing twice.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::random::Random;
use testkit::{Api, Connection, Form, Person, Request, Response, photo};

use crate::support::{
    Shared, as_admin, assert_members, await_upload_under_way, code_of, holds_within, made, new_session, new_settings,
    participant, server, session_with, unique,
};

static SERVER: Shared = Shared::new();

/// A form of two photos for a session.
fn form(session_id: &str) -> Form {
    Form::new()
        .text("session_id", session_id)
        .json("metadata_0", &json!({"trigger": "INTERVAL"}))
        .file("capture_0", "a.jpg", "image/jpeg", &photo::jpeg_bytes(20_000, 1))
        .json("metadata_1", &json!({"trigger": "MANUAL"}))
        .file("capture_1", "b.jpg", "image/jpeg", &photo::jpeg_bytes(20_000, 2))
}

fn keyed(api: &Api, key: &str, form: &Form) -> Request {
    Request::post("/assessment/camera/upload").cookie(&api.cookie).header("Idempotency-Key", key).form(form)
}

/// Fails unless the answer is the first one again, to the byte.
#[track_caller]
fn assert_replayed(answer: &Response, first: &Response) {
    assert_eq!((answer.status, answer.text()), (200, first.text()));
    assert_eq!(answer.header("idempotency-replayed"), Some("true"));
}

#[track_caller]
fn assert_first(answer: &Response) {
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, None), "{answer:?}");
}

#[test]
fn the_same_parts_get_the_same_answer_however_they_are_sent() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let key = unique("key");
    let first = api.send(&keyed(&api, &key, &form(&api.session_id))).unwrap();
    assert_first(&first);
    let photos = [photo::jpeg_bytes(20_000, 1), photo::jpeg_bytes(20_000, 2)];
    let session_id = api.session_id.clone();
    let other_order = Form::new()
        .file("capture_1", "b.jpg", "image/jpeg", &photos[1])
        .file("capture_0", "a.jpg", "image/jpeg", &photos[0])
        .json("metadata_1", &json!({"trigger": "MANUAL"}))
        .json("metadata_0", &json!({"trigger": "INTERVAL"}))
        .text("session_id", &session_id);
    let chunked = {
        let form = form(&session_id);
        let mut request = keyed(&api, &key, &form).header("Transfer-Encoding", "chunked");
        request.body = Some(crate::support::chunked(&form.bytes(), &[1_000]));
        request
    };
    let again = [
        keyed(&api, &key, &form(&session_id)),
        keyed(&api, &key, &form(&session_id).boundary("another-boundary")),
        keyed(&api, &key, &form(&session_id).preamble(b"a preamble\r\n").epilogue(b"an epilogue")),
        keyed(&api, &key, &other_order),
        keyed(&api, &format!("\"{key}\""), &form(&session_id)),
        chunked,
    ];
    for request in &again {
        assert_replayed(&api.send(request).unwrap(), &first);
    }
    assert_eq!(api.list().unwrap().len(), 2);
    println!("{} ways to send it again", again.len());
}

#[test]
fn other_parts_under_the_same_key_are_refused() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let key = unique("key");
    let session_id = api.session_id.clone();
    let first = api.send(&keyed(&api, &key, &form(&session_id))).unwrap();
    assert_first(&first);
    let mut flipped = photo::jpeg_bytes(20_000, 2);
    flipped[1_000] ^= 1;
    let one = || {
        Form::new()
            .text("session_id", &session_id)
            .json("metadata_0", &json!({"trigger": "INTERVAL"}))
            .file("capture_0", "a.jpg", "image/jpeg", &photo::jpeg_bytes(20_000, 1))
            .json("metadata_1", &json!({"trigger": "MANUAL"}))
    };
    let second_session = participant(&server).session_id;
    let others = [
        one(),
        one().file("capture_1", "b.jpg", "image/jpeg", &flipped),
        one().file("capture_2", "b.jpg", "image/jpeg", &photo::jpeg_bytes(20_000, 2)),
        form(&session_id).text("more", "a field"),
        form(&second_session),
    ];
    for form in &others {
        let answer = api.send(&keyed(&api, &key, form)).unwrap();
        assert_eq!((answer.status, code_of(&answer).as_str()), (422, "idempotency_key_reused"), "{answer:?}");
        assert_members(&answer.json(), ["status", "error", "code", "request_id"]);
    }
    assert_eq!(api.list().unwrap().len(), 2);
    assert_replayed(&api.send(&keyed(&api, &key, &form(&session_id))).unwrap(), &first);
    println!("{} other requests under one key", others.len());
}

#[test]
fn one_that_still_runs_is_a_conflict() {
    let server = server();
    let mut api = participant(&server);
    let request = keyed(&api, &unique("key"), &form(&api.session_id));
    let bytes = request.bytes(&server.address().to_string());
    let mut slow = Connection::open(server.address()).unwrap();
    slow.write(&bytes[..bytes.len() / 2]).unwrap();
    await_upload_under_way(&server);
    let conflict = api.send(&request).unwrap();
    assert_eq!(conflict.status, 409, "{conflict:?}");
    assert_eq!(code_of(&conflict), "idempotency_key_in_progress");
    assert!(conflict.header("retry-after").is_some());
    slow.write(&bytes[bytes.len() / 2..]).unwrap();
    let first = slow.read_response(false).unwrap();
    assert_first(&first);
    assert_replayed(&api.send(&request).unwrap(), &first);
    assert_eq!(api.list().unwrap().len(), 2);
}

#[test]
fn a_key_whose_request_broke_off_is_free_again() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let request = keyed(&api, &unique("key"), &form(&api.session_id));
    let bytes = request.bytes(&server.address().to_string());
    for part in 1..6 {
        let mut broken = Connection::open(server.address()).unwrap();
        broken.write(&bytes[..bytes.len() * part / 6]).unwrap();
        broken.reset().unwrap();
    }
    let mut answer = Response::default();
    let stored = holds_within(Duration::from_secs(5), || {
        answer = api.send(&request).unwrap();
        answer.status == 200
    });
    assert!(stored, "{answer:?}");
    assert_first(&answer);
    assert_eq!(api.list().unwrap().len(), 2);
}

#[test]
fn a_refused_request_keeps_no_key() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let key = unique("key");
    let bad = Form::new().text("session_id", &api.session_id).file("capture_0", "a.jpg", "image/jpeg", b"no photo");
    assert_eq!(api.send(&keyed(&api, &key, &bad)).unwrap().status, 415);
    assert_first(&api.send(&keyed(&api, &key, &form(&api.session_id))).unwrap());
}

#[test]
fn a_key_is_one_users_own() {
    let server = SERVER.get();
    let key = unique("key");
    let mine = participant(&server);
    let other: &Person = &server.demo().other;
    let theirs = Api::new(server.address(), &other.cookie, &new_session(&server, other, &Value::Null));
    let mut ids = Vec::new();
    for mut api in [mine, theirs] {
        let first = api.send(&keyed(&api, &key, &form(&api.session_id))).unwrap();
        assert_first(&first);
        assert_replayed(&api.send(&keyed(&api, &key, &form(&api.session_id))).unwrap(), &first);
        ids.push(first.json()["captures"][0]["id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn an_answer_of_nothing_but_skipped_is_kept_too() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let settings = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}));
    let session_id = session_with(&server, person, &settings);
    let mut api = Api::new(server.address(), &person.cookie, &session_id);
    let key = unique("key");
    let first = api.send(&keyed(&api, &key, &form(&session_id))).unwrap();
    assert_first(&first);
    assert_eq!(first.json()["skipped"].as_array().unwrap().len(), 2);
    // Wanted by now; the answer was another.
    let target = format!("/api/v1/camera-settings/{}", settings["id"].as_str().unwrap());
    made(&server, "PATCH", &target, &json!({"is_active": false}));
    assert_replayed(&api.send(&keyed(&api, &key, &form(&session_id))).unwrap(), &first);
    assert_eq!(api.list().unwrap().len(), 0);
}

#[test]
fn single_uploads_are_recognised_too() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let interval = json!({"recording_mode": "INTERVAL", "interval_seconds": 1});
    let sessions = [new_session(&server, person, &interval), new_session(&server, person, &interval)];
    let mut api = Api::new(server.address(), &person.cookie, &sessions[0]);
    let key = unique("key");
    let image =
        Form::new().text("trigger", "INTERVAL").file("image", "a.jpg", "image/jpeg", &photo::jpeg_bytes(9_000, 1));
    let request = |session_id: &str| {
        Request::post(&format!("/assessment/camera/upload-single/{session_id}"))
            .cookie(&person.cookie)
            .header("Idempotency-Key", &key)
            .form(&image)
    };
    let first = api.send(&request(&sessions[0])).unwrap();
    assert_first(&first);
    assert_replayed(&api.send(&request(&sessions[0])).unwrap(), &first);
    let elsewhere = api.send(&request(&sessions[1])).unwrap();
    assert_eq!((elsewhere.status, code_of(&elsewhere).as_str()), (422, "idempotency_key_reused"));
    assert_eq!(api.list().unwrap().len(), 1);
}

#[test]
fn an_answer_that_never_arrived_is_given_again() {
    const ROUNDS: u64 = 30;
    let server = SERVER.get();
    let mut api = participant(&server);
    let mut random = Random::new(12);
    let mut replayed = 0;
    for round in 1..=ROUNDS {
        let request = keyed(&api, &unique("key"), &form(&api.session_id));
        let mut dropped = Connection::open(server.address()).unwrap();
        dropped.write_request(&request).unwrap();
        // Cut at some moment between the last byte and the answer, or after it. Every third is left to be answered.
        if round % 3 == 0 {
            let stored = holds_within(Duration::from_secs(5), || api.list().unwrap().len() as u64 == 2 * round);
            assert!(stored, "round {round}");
        } else {
            thread::sleep(Duration::from_micros(random.between(0, 8_000)));
        }
        dropped.reset().unwrap();
        let mut answer = Response::default();
        let answered = holds_within(Duration::from_secs(5), || {
            answer = api.send(&request).unwrap();
            answer.status != 409
        });
        assert!(answered && answer.status == 200, "round {round}: {answer:?}");
        replayed += u64::from(answer.header("idempotency-replayed").is_some());
        let listed = api.list().unwrap();
        assert_eq!(listed.len() as u64, 2 * round, "round {round}: stored once");
        let ids = |captures: &[Value]| captures.iter().map(|capture| capture["id"].clone()).collect::<Vec<_>>();
        let answered = ids(answer.json()["captures"].as_array().unwrap());
        assert_eq!(ids(&listed[listed.len() - 2..]), answered, "round {round}: the ids that were stored");
    }
    assert!(replayed >= ROUNDS / 3, "{replayed} of {ROUNDS}");
    println!("{ROUNDS} answers dropped, {replayed} of them after the commit");
}

#[test]
fn an_answer_outlives_its_session_its_capture_and_the_server() {
    let mut first_run = server();
    let api = participant(&first_run);
    let (key, form) = (unique("key"), form(&api.session_id));
    let first = api.clone().send(&keyed(&api, &key, &form)).unwrap();
    assert_first(&first);
    let id = first.json()["captures"][0]["id"].as_str().unwrap().to_owned();
    let filename = first.json()["captures"][0]["filename"].as_str().unwrap().to_owned();

    made(&first_run, "POST", &format!("/api/v1/sessions/{}/end", api.session_id), &json!({}));
    assert_replayed(&api.clone().send(&keyed(&api, &key, &form)).unwrap(), &first);
    assert_eq!(as_admin(&first_run, "DELETE", &format!("/api/v1/captures/{id}"), None).status, 204);

    let check = |api: &mut Api| {
        assert_replayed(&api.send(&keyed(api, &key, &form)).unwrap(), &first);
        assert_eq!(api.list().unwrap().len(), 1, "the deleted one stays deleted");
        assert_eq!(api.file(&filename).unwrap().status, 404);
    };
    check(&mut api.clone());
    first_run.kill();
    let mut second_run = first_run.start_again().unwrap();
    let mut again = Api::new(second_run.address(), &api.cookie, &api.session_id);
    check(&mut again);
    second_run.terminate(Duration::from_secs(20)).unwrap();
    let third_run = second_run.start_again().unwrap();
    let mut again = Api::new(third_run.address(), &api.cookie, &api.session_id);
    check(&mut again);
    // The next key of the same user is a new request, which the ended session refuses.
    let refused = again.send(&keyed(&again, &unique("key"), &form)).unwrap();
    assert_eq!(code_of(&refused), "session_ended");
    assert!(third_run.fsck(true).unwrap().is_clean());
}

#[test]
fn sixteen_at_once_store_once() {
    const AT_ONCE: usize = 16;
    const ROUNDS: usize = 5;
    let server = SERVER.get();
    let mut api = participant(&server);
    for round in 1..=ROUNDS {
        let request = keyed(&api, &unique("key"), &form(&api.session_id));
        let answers: Vec<Response> = thread::scope(|scope| {
            let request = &request;
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let mut api = api.clone();
                    scope.spawn(move || {
                        let mut answer = Response::default();
                        holds_within(Duration::from_secs(10), || {
                            answer = api.send(request).unwrap();
                            answer.status != 409
                        });
                        answer
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let firsts = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none()).count();
        assert_eq!(firsts, 1, "one of them stored: {answers:?}");
        for answer in &answers {
            assert_eq!((answer.status, answer.text()), (200, answers[0].text()));
        }
        assert_eq!(api.list().unwrap().len(), 2 * round);
    }
    println!("{AT_ONCE} requests at once, {ROUNDS} times");
}

#[test]
fn keys_that_are_none_are_refused() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let long = "k".repeat(256);
    let longest = "k".repeat(255);
    let keys = ["", " ", "\"\"", "gr\u{fc}n", "a\tb", long.as_str()];
    for key in keys {
        let answer = api.send(&keyed(&api, key, &form(&api.session_id))).unwrap();
        assert_eq!((answer.status, code_of(&answer).as_str()), (400, "bad_idempotency_key"), "{key:?}: {answer:?}");
    }
    assert_eq!(api.list().unwrap().len(), 0);
    assert_first(&api.send(&keyed(&api, &longest, &form(&api.session_id))).unwrap());
    println!("{} keys that are none", keys.len());
}
