//! `POST /assessment/camera/upload`: its answer to the last member, and its refusals to the last byte.

use std::collections::HashSet;

use serde_json::{Value, json};
use testkit::api::sha256;
use testkit::{Connection, Form, Request, Shot, photo};

use super::{SERVER, assert_refused, assert_time, session_routes};
use crate::support::{assert_members, new_session, participant, sign_in};

const ABSENT: &str = r#"{"status":"SNAFU","error":"Session not found or access denied"}"#;
const NOBODY: &str = r#"{"status":"SNAFU","error":"Authentication required"}"#;
const NO_SESSION: &str = r#"{"status":"SNAFU","error":"session_id required"}"#;

/// Every order of the five parts of the app's form of two photos.
fn orders() -> Vec<Vec<usize>> {
    let mut orders = vec![Vec::new()];
    for part in 0..5 {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, part);
                    longer
                })
            })
            .collect();
    }
    orders
}

#[test]
fn the_apps_form_in_every_order_of_its_parts() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photos = [photo::jpeg_bytes(4_000, 1), photo::jpeg_bytes(4_000, 2)];
    let metadata = json!({"trigger": "message_send", "llm_conversation_id": 7, "timing": {"start": 1}});
    let orders = orders();
    let mut filenames = HashSet::new();
    for order in &orders {
        let mut form = Form::new();
        for part in order {
            form = match part {
                0 => form.text("session_id", &api.session_id),
                1 => form.file("capture_0", "capture_0.jpg", "image/jpeg", &photos[0]),
                2 => form.json("metadata_0", &metadata),
                3 => form.file("capture_1", "capture_1.jpg", "image/jpeg", &photos[1]),
                _ => form.json("metadata_1", &json!({"trigger": "INTERVAL"})),
            };
        }
        let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form);
        let response = api.send(&request).unwrap();
        assert_eq!(response.status, 200, "{order:?}: {response:?}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        let body = response.json();
        assert_members(&body, ["status", "message", "captures", "skipped"]);
        assert_eq!(body["status"], "OLKORECT");
        assert_eq!(body["message"], "Uploaded 2 captures");
        assert_eq!(body["skipped"], json!([]));
        let captures = body["captures"].as_array().unwrap();
        assert_eq!(captures.len(), 2);
        // In the form's order.
        let expected = [(sha256(&photos[0]), "MESSAGE_SEND"), (sha256(&photos[1]), "INTERVAL")];
        let place = |part: usize| order.iter().position(|other| *other == part).unwrap();
        let first = usize::from(place(1) > place(3));
        for (at, capture) in captures.iter().enumerate() {
            assert_members(capture, ["id", "filename", "trigger", "timestamp", "sha256"]);
            let (digest, trigger) = &expected[(at + first) % 2];
            assert_eq!((&capture["sha256"], &capture["trigger"]), (&json!(digest), &json!(trigger)), "{order:?}");
            assert_time(&capture["timestamp"]);
            assert_eq!(uuid::Uuid::parse_str(capture["id"].as_str().unwrap()).unwrap().get_version_num(), 7);
            assert!(filenames.insert(capture["filename"].as_str().unwrap().to_owned()), "a filename given twice");
        }
    }
    assert_eq!(api.list().unwrap().len(), 2 * orders.len());
    println!("{} orders of the parts", orders.len());
}

#[test]
fn a_part_without_a_filename_and_files_of_other_names_are_ignored() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(4_000, 1);
    let form = Form::new()
        .text("session_id", &api.session_id)
        .text("capture_0", "no filename, no photo")
        .file("capture_1", "", "image/jpeg", &photo)
        .file("picture", "a.jpg", "image/jpeg", b"not even a photo")
        .file("capture_anything at all", "a.jpg", "image/jpeg", &photo);
    let response =
        api.send(&Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form)).unwrap().json();
    assert_eq!(response["message"], "Uploaded 1 captures");
    assert_eq!(api.list().unwrap().len(), 1);
}

#[test]
fn the_trigger_is_manual_unless_metadata_says_otherwise() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let cases =
        [None, Some("{}"), Some("no JSON"), Some("[1]"), Some("\"x\""), Some("null"), Some("{\"trigger\":null}")];
    for metadata in cases {
        let mut form = Form::new().text("session_id", &api.session_id).file(
            "capture_0",
            "a.jpg",
            "",
            &photo::jpeg_bytes(3_000, 1),
        );
        if let Some(metadata) = metadata {
            form = form.text("metadata_0", metadata);
        }
        let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form);
        let body = api.send(&request).unwrap().json();
        assert_eq!(body["captures"][0]["trigger"], "MANUAL", "{metadata:?}: {body}");
    }
    println!("{} kinds of metadata", cases.len());
}

#[test]
fn no_session_is_a_400_to_the_byte() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(3_000, 1);
    let session_id = api.session_id.clone();
    let cases = [
        Form::new().file("capture_0", "a.jpg", "image/jpeg", &photo),
        Form::new().text("session_id", "").file("capture_0", "a.jpg", "image/jpeg", &photo),
        Form::new().file("session_id", "a.txt", "text/plain", session_id.as_bytes()),
        Form::new().text("session", &session_id),
    ];
    for form in &cases {
        let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(form);
        let response = api.send(&request).unwrap();
        assert_eq!((response.status, response.text().as_str()), (400, NO_SESSION));
    }
    println!("{} forms without a session", cases.len());
}

/// Ids of sessions that the demo's participant may not use: another's, absent, and no ids at all.
fn closed_sessions(others: &str) -> Vec<String> {
    let absent = "018f0000-0000-7000-8000-000000000000";
    let malformed = ["x", "1", "-1", "null", "' OR 1=1 --", "00000000-0000-0000-0000-000000000000"];
    let mut ids = vec![others.to_owned(), others.to_uppercase(), others.replace('-', ""), absent.to_owned()];
    ids.extend(malformed.map(str::to_owned));
    ids
}

#[test]
fn anothers_absent_and_malformed_sessions_are_the_same_403_to_the_byte() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let others = new_session(&server, &server.demo().other, &Value::Null);
    let mut covered = 0;
    for id in closed_sessions(&others) {
        let response =
            api.send(&testkit::api::upload_request(&api.cookie, &id, &[Shot::interval(photo::jpeg_bytes(3_000, 1))]));
        let response = response.unwrap();
        assert_eq!((response.status, response.text().as_str()), (403, ABSENT), "{id}");
        covered += 1;
        if !id.contains(' ') {
            for request in session_routes(&id) {
                let what = format!("{} {}", request.method, request.target);
                let response = api.send(&request.cookie(&api.cookie)).unwrap();
                assert_eq!((response.status, response.text().as_str()), (403, ABSENT), "{what}");
                covered += 1;
            }
        }
    }
    let mut other = server.api(&server.demo().other);
    other.session_id = others;
    assert_eq!(other.list().unwrap(), Vec::<Value>::new());
    println!("{covered} refusals");
}

#[test]
fn nobody_is_a_401_before_the_body_is_read() {
    let server = SERVER.get();
    let session_id = participant(&server).session_id;
    let person = &server.demo().participant;
    let ended = sign_in(&server, &person.username, &person.password);
    let signed_out = Request::new("DELETE", "/api/v1/sign-in").cookie(&ended).send(server.address()).unwrap();
    assert_eq!(signed_out.status, 204);
    let nobodies = [
        None,
        Some(("Cookie", String::new())),
        Some(("Cookie", "filmgate_sign_in=".to_owned())),
        Some(("Cookie", format!("filmgate_sign_in={}", "0".repeat(64)))),
        Some(("Cookie", format!("session={}", person.cookie.split_once('=').unwrap().1))),
        Some(("Cookie", ended)),
        Some(("Authorization", format!("Bearer fgt_{}", "0".repeat(64)))),
        Some(("Authorization", "Basic YWRtaW46YWRtaW4=".to_owned())),
    ];
    let mut covered = 0;
    for nobody in &nobodies {
        let upload = Request::post("/assessment/camera/upload").form(&Form::new().text("session_id", &session_id));
        for mut request in session_routes(&session_id).into_iter().chain([upload]) {
            if let Some((name, value)) = nobody {
                request = request.header(name, value);
            }
            let mut connection = Connection::open(server.address()).unwrap();
            if request.method == "POST" {
                // A head that announces a body which never comes.
                request.body = None;
                connection.write_head(&request.header("Content-Length", "100000")).unwrap();
            } else {
                connection.write_request(&request).unwrap();
            }
            let response = connection.read_response(false).unwrap();
            assert_eq!((response.status, response.text().as_str()), (401, NOBODY), "{nobody:?}");
            covered += 1;
        }
    }
    println!("{covered} requests of nobody");
}

#[test]
fn every_other_refusal_has_words_a_code_and_the_requests_id() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let (session_id, cookie) = (api.session_id.clone(), api.cookie.clone());
    let photo = photo::jpeg_bytes(3_000, 1);
    let post = |form: &Form| Request::post("/assessment/camera/upload").cookie(&cookie).form(form);
    let form = |name: &str| Form::new().text("session_id", &session_id).file(name, "a.jpg", "image/jpeg", &photo);
    let others = new_session(&server, &server.demo().other, &Value::Null);
    let cases = [
        (
            Request::post("/assessment/camera/upload").cookie(&cookie).json(&json!({})),
            415,
            "not_a_form",
            "Send the photos as multipart/form-data",
        ),
        (
            post(&form("capture_0").file("capture_0", "b.jpg", "image/jpeg", &photo)),
            422,
            "duplicate_capture",
            "The form has two parts named 'capture_0'",
        ),
        (
            post(&form("capture_0").text("session_id", &others)),
            422,
            "two_session_ids",
            "The form names two different session_id",
        ),
        (
            post(&form("capture_0")).header("Idempotency-Key", ""),
            400,
            "bad_idempotency_key",
            "The Idempotency-Key is not 1 to 255 visible ASCII characters",
        ),
        (
            Request::get("/assessment/camera/upload").cookie(&cookie),
            405,
            "method_not_allowed",
            "This address does not take this method",
        ),
        (Request::get("/assessment/camera/nothing").cookie(&cookie), 404, "not_found", "There is nothing here"),
        (Request::get("/assessment/").cookie(&cookie), 404, "not_found", "There is nothing here"),
    ];
    for (request, status, code, words) in &cases {
        assert_refused(&api.send(request).unwrap(), *status, code, words);
    }
    assert_eq!(api.list().unwrap().len(), 0);
    println!("{} refusals", cases.len());
}

#[test]
fn a_text_field_sent_twice_counts_once() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let form = Form::new()
        .text("session_id", &api.session_id)
        .text("session_id", &api.session_id)
        .json("metadata_0", &json!({"trigger": "INTERVAL"}))
        .json("metadata_0", &json!({"trigger": "MANUAL"}))
        .file("capture_0", "a.jpg", "image/jpeg", &photo::jpeg_bytes(3_000, 1));
    let body = api.send(&Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form)).unwrap().json();
    assert_eq!(body["captures"][0]["trigger"], "INTERVAL", "the first counts: {body}");
}
