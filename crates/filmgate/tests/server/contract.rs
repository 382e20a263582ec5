//! CONTRACT.md, sentence by sentence, as the existing app's pages would see it.

mod batch;
mod gating;
mod linking;
mod reading;
mod single;
mod storing;

use serde_json::{Value, json};
use testkit::{Request, Response};

use crate::support::{Shared, assert_members};

static SERVER: Shared = Shared::new();

/// Fails unless the answer is the contract's refusal: these words, and a code and an id beside them.
#[track_caller]
fn assert_refused(response: &Response, status: u16, code: &str, words: &str) {
    let body = response.json();
    assert_members(&body, ["status", "error", "code", "request_id"]);
    assert_eq!(
        (response.status, &body["status"], &body["code"], &body["error"]),
        (status, &json!("SNAFU"), &json!(code), &json!(words)),
        "{response:?}"
    );
    assert_eq!(body["request_id"].as_str(), response.header("x-request-id"));
}

/// Fails unless it is a time as the contract writes them: UTC, ISO 8601, microseconds, no offset.
#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000", "{text}");
}

/// A request to each route that takes a session in its path, for a session of this id.
fn session_routes(session_id: &str) -> [Request; 5] {
    let link = json!({"capture_ids": [], "assessment_record_id": 1, "assessment_type": "phq"});
    let path = |what: &str| format!("/assessment/camera/{what}/{session_id}");
    let image = testkit::Form::new().file("image", "a.jpg", "image/jpeg", b"never read");
    [
        Request::get(&path("settings")),
        Request::get(&path("session")),
        Request::post(&path("link")).json(&link),
        Request::post(&path("cleanup")),
        Request::post(&path("upload-single")).form(&image),
    ]
}
