//! What is stored, read back: settings, lists, and the photos themselves.

use serde_json::{Value, json};
use testkit::{Api, Form, Request, Shot, photo};

use super::{SERVER, assert_refused, assert_time};
use crate::support::{assert_members, new_session, participant, without_id};

#[test]
fn settings_of_a_session() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let chosen = [
        Value::Null,
        json!({"recording_mode": "INTERVAL", "interval_seconds": 5, "resolution": "640x480"}),
        json!({"recording_mode": "EVENT_DRIVEN", "capture_on_question_start": true}),
        json!({"recording_mode": "INTERVAL", "interval_seconds": 1, "is_active": false}),
    ];
    for settings in &chosen {
        let session_id = new_session(&server, person, settings);
        let mut api = Api::new(server.address(), &person.cookie, &session_id);
        let response = api.get(&format!("/assessment/camera/settings/{session_id}")).unwrap();
        let body = response.json();
        assert_eq!((response.status, &body["status"]), (200, &json!("OLKORECT")));
        assert_members(&body, ["status", "data"]);
        assert_members(&body["data"], ["settings", "session_id"]);
        assert_eq!(body["data"]["session_id"], session_id);
        let answered = &body["data"]["settings"];
        let Some(settings) = settings.as_object() else {
            assert!(answered.is_null());
            continue;
        };
        assert_members(
            answered,
            [
                "id",
                "setting_name",
                "recording_mode",
                "interval_seconds",
                "resolution",
                "capture_on_button_click",
                "capture_on_message_send",
                "capture_on_question_start",
                "is_active",
                "is_default",
            ],
        );
        for (name, value) in settings {
            assert_eq!(&answered[name], value, "{name}");
        }
    }
    println!("{} settings", chosen.len());
}

#[test]
fn a_sessions_list_by_time() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let empty = api.get(&format!("/assessment/camera/session/{}", api.session_id)).unwrap().json();
    assert_eq!(empty, json!({"status": "OLKORECT", "session_id": api.session_id, "captures": [], "total_captures": 0}));

    let metadata = [
        (json!({"trigger": "INTERVAL"}), "GENERAL", Value::Null),
        (json!({"phq_response_id": 41}), "PHQ", json!(41)),
        (json!({"llm_conversation_id": "c-7"}), "LLM", json!("c-7")),
        (json!({"phq_response_id": "p", "llm_conversation_id": 2}), "PHQ", json!("p")),
        (json!({"phq_response_id": null, "llm_conversation_id": 2}), "LLM", json!(2)),
        (json!({"phq_response_id": 0, "llm_conversation_id": ""}), "GENERAL", Value::Null),
    ];
    let mut uploaded = Vec::new();
    for (at, (metadata, ..)) in metadata.iter().enumerate() {
        let photo = photo::jpeg_bytes(3_000 + at, 1);
        let form = Form::new()
            .text("session_id", &api.session_id)
            .file("capture_0", "a.jpg", "image/jpeg", &photo)
            .json("metadata_0", metadata);
        let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form);
        uploaded.push(api.send(&request).unwrap().json()["captures"][0].clone());
    }
    let body = api.get(&format!("/assessment/camera/session/{}", api.session_id)).unwrap().json();
    assert_members(&body, ["status", "session_id", "captures", "total_captures"]);
    assert_eq!(body["total_captures"], metadata.len());
    let listed = body["captures"].as_array().unwrap();
    assert_eq!(listed.len(), metadata.len());
    for (at, capture) in listed.iter().enumerate() {
        assert_members(
            capture,
            [
                "id",
                "filename",
                "url",
                "timestamp",
                "capture_trigger",
                "file_size_bytes",
                "assessment_type",
                "assessment_id",
            ],
        );
        for name in ["id", "filename", "timestamp"] {
            assert_eq!(capture[name], uploaded[at][name], "{name}: oldest first");
        }
        let (_, kind, id) = &metadata[at];
        assert_eq!((&capture["assessment_type"], &capture["assessment_id"]), (&json!(kind), id));
        assert_eq!(capture["capture_trigger"], uploaded[at]["trigger"]);
        assert_eq!(capture["file_size_bytes"], 3_000 + at);
        assert_time(&capture["timestamp"]);
        let photo = api.get(capture["url"].as_str().unwrap()).unwrap();
        assert_eq!((photo.status, photo.body.len()), (200, 3_000 + at));
    }
    println!("{} captures", listed.len());
}

#[test]
fn times_are_utc_now() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let before = jiff::Timestamp::now();
    let body = api.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap().json();
    let text = format!("{}Z", body["captures"][0]["timestamp"].as_str().unwrap());
    let received: jiff::Timestamp = text.parse().unwrap();
    // Stored in whole microseconds, so up to one before.
    assert!(before.as_microsecond() <= received.as_microsecond() && received <= jiff::Timestamp::now(), "{text}");
}

#[test]
fn a_photo_comes_back_as_it_went_in_with_its_true_type() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photos = [
        (photo::jpeg(64, 48, 1), "image/jpeg", ".jpg"),
        (photo::png(64, 48, 1), "image/png", ".png"),
        (photo::webp(64, 48, 1), "image/webp", ".webp"),
    ];
    // Whatever the client says of it.
    let claims = [("a.jpg", "image/jpeg"), ("a.png", "image/png"), ("a.html", "text/html"), ("../../etc/passwd", "")];
    for (bytes, kind, extension) in &photos {
        for (name, claim) in claims {
            let form = Form::new().text("session_id", &api.session_id).file("capture_0", name, claim, bytes);
            let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form);
            let body = api.send(&request).unwrap().json();
            let filename = body["captures"][0]["filename"].as_str().unwrap();
            assert!(filename.ends_with(extension), "{filename}");
            let response = api.file(filename).unwrap();
            assert_eq!((response.status, &response.body), (200, bytes));
            let headers = [
                ("content-type", *kind),
                ("x-content-type-options", "nosniff"),
                ("content-security-policy", "default-src 'none'; sandbox"),
                ("cross-origin-resource-policy", "same-origin"),
                ("cache-control", "private, no-cache"),
            ];
            for (name, value) in headers {
                assert_eq!(response.header(name), Some(value), "{name}");
            }
            let etag = response.header("etag").unwrap();
            assert_eq!(etag, format!("\"{}\"", testkit::api::sha256(bytes)));
            assert_eq!(response.header("content-length"), Some(&*bytes.len().to_string()));
        }
    }
    println!("{} photos and claims", photos.len() * claims.len());
}

#[test]
fn a_photo_that_the_browser_has_is_not_sent_again() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(3_000, 1);
    let body = api.upload(&[Shot::interval(photo.clone())]).unwrap().json();
    let target = format!("/assessment/camera/file/{}", body["captures"][0]["filename"].as_str().unwrap());
    let etag = api.get(&target).unwrap().header("etag").unwrap().to_owned();
    let cases = [(etag.as_str(), 304), ("\"other\"", 200), ("", 200)];
    for (known, status) in cases {
        let request = Request::get(&target).cookie(&api.cookie).header("If-None-Match", known);
        let response = api.send(&request).unwrap();
        assert_eq!(response.status, status, "{known}");
        assert_eq!(response.body.len(), if status == 200 { photo.len() } else { 0 });
        assert_eq!(response.header("etag"), Some(&*etag));
    }
    let head = api.send(&Request::new("HEAD", &target).cookie(&api.cookie)).unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("3000")));
    println!("{} conditions", cases.len());
}

#[test]
fn anothers_photo_and_no_photo_are_the_same_404() {
    let server = SERVER.get();
    let mut owner = participant(&server);
    let body = owner.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap().json();
    let filename = body["captures"][0]["filename"].as_str().unwrap().to_owned();
    let etag = owner.file(&filename).unwrap().header("etag").unwrap().to_owned();
    let mut other = server.api(&server.demo().other);
    let absent = ["018f0000-0000-7000-8000-000000000000.jpg", "x", "..", "%2e%2e%2fcatalog.sqlite", ".staging"];
    let names: Vec<&str> = std::iter::once(filename.as_str()).chain(absent).collect();
    let first = other.file(&filename).unwrap();
    assert_refused(&first, 404, "not_found", "There is nothing here");
    let mut covered = 0;
    for name in &names {
        // Not even by a matching ETag, which would say that the photo is there.
        for condition in [None, Some(&etag)] {
            let mut request = Request::get(&format!("/assessment/camera/file/{name}")).cookie(&other.cookie);
            if let Some(etag) = condition {
                request = request.header("If-None-Match", etag);
            }
            assert_eq!(without_id(&other.send(&request).unwrap()), without_id(&first), "{name}");
            covered += 1;
        }
    }
    let mut admin = server.api(&server.demo().admin);
    assert_eq!(admin.file(&filename).unwrap().status, 200, "an administrator may");
    println!("{covered} requests for a photo that is not there for them");
}
