//! The queued answer to the byte, sent once and again.

use std::path::Path;

use records::{CatalogOptions, IdempotencyRecord, Recorded, Recording, Records};
use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Api, Form, Request, photo};

use super::{idle, ids, task};
use crate::support::{code_of, new_session, new_settings, participant, session_with, unique};

/// A form of two photos, of which a session of intervals wants the first.
fn form(session_id: &str) -> Form {
    Form::new()
        .text("session_id", session_id)
        .json("metadata_0", &json!({"trigger": "INTERVAL"}))
        .file("capture_0", "a.jpg", "image/jpeg", &photo::jpeg_bytes(4_000, 1))
        .json("metadata_1", &json!({"trigger": "MANUAL"}))
        .file("capture_1", "b.jpg", "image/jpeg", &photo::jpeg_bytes(4_000, 2))
}

fn upload(api: &Api, prefer: &str, key: &str) -> Request {
    let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form(&api.session_id));
    let request = if key.is_empty() { request } else { request.header("Idempotency-Key", key) };
    if prefer.is_empty() { request } else { request.header("Prefer", prefer) }
}

/// The body of a 202 with these tasks.
fn body_of(task_ids: &[String], skipped: &Value) -> String {
    let quoted: Vec<String> = task_ids.iter().map(|id| format!("\"{id}\"")).collect();
    format!(
        "{{\"status\":\"OLKORECT\",\"message\":\"Queued {} captures for processing\",\"task_ids\":[{}],\"skipped\":{skipped}}}",
        task_ids.len(),
        quoted.join(",")
    )
}

#[test]
fn names_a_task_for_each_capture_in_the_forms_order() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let answer = api.send(&upload(&api, "respond-async", "")).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (202, Some("application/json")));
    let task_ids = ids(&answer.json()["task_ids"]);
    assert_eq!(task_ids.len(), 2);
    assert_eq!(answer.text(), body_of(&task_ids, &json!([])));
    let listed = api.list().unwrap();
    let of_tasks: Vec<Value> = task_ids.iter().map(|id| task(&server, id)["capture_id"].clone()).collect();
    let triggers: Vec<&Value> = of_tasks
        .iter()
        .map(|id| &listed.iter().find(|capture| capture["id"] == *id).expect("it is stored already")["capture_trigger"])
        .collect();
    assert_eq!(triggers, ["INTERVAL", "MANUAL"]);
}

#[test]
fn names_what_was_skipped_and_may_name_no_task_at_all() {
    let server = idle().start().unwrap();
    let person = &server.demo().participant;
    let intervals = new_settings(&server, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let mut api = Api::new(server.address(), &person.cookie, &session_with(&server, person, &intervals));
    let answer = api.send(&upload(&api, "respond-async", "")).unwrap();
    let direct = api.send(&upload(&api, "", "")).unwrap().json();
    let task_ids = ids(&answer.json()["task_ids"]);
    assert_eq!(task_ids.len(), 1);
    assert_eq!(direct["skipped"][0]["trigger"], "MANUAL");
    assert_eq!(answer.text(), body_of(&task_ids, &direct["skipped"]));

    let buttons = json!({"recording_mode": "EVENT_DRIVEN", "capture_on_button_click": true});
    let mut api = Api::new(server.address(), &person.cookie, &new_session(&server, person, &buttons));
    let answer = api.send(&upload(&api, "respond-async", "")).unwrap();
    assert_eq!((answer.status, answer.json()["task_ids"].clone()), (202, json!([])));
    assert_eq!(answer.text(), body_of(&[], &answer.json()["skipped"]));
    assert_eq!(answer.json()["skipped"].as_array().unwrap().len(), 2);
}

#[test]
fn a_form_sent_again_is_answered_as_it_asks_this_time() {
    for (mode, first_status) in [("direct", 200), ("queued", 202)] {
        let server = idle().env("FILMGATE__INGEST__MODE", mode).start().unwrap();
        let mut api = participant(&server);
        let key = unique("key");
        let first = api.send(&upload(&api, "", &key)).unwrap();
        assert_eq!((first.status, first.header("idempotency-replayed")), (first_status, None));
        let queued = api.send(&upload(&api, "respond-async", &key)).unwrap();
        let direct = api.send(&upload(&api, "wait=1", &key)).unwrap();
        let again = api.send(&upload(&api, "", &key)).unwrap();
        assert_eq!((queued.status, direct.status), (202, 200), "{mode}");
        assert_eq!(queued.header("preference-applied"), Some("respond-async"));
        assert_eq!(direct.header("preference-applied"), Some("wait=1"));
        assert_eq!(
            (again.status, again.text(), again.header("preference-applied")),
            (first_status, first.text(), None)
        );
        for replay in [&queued, &direct, &again] {
            assert_eq!(replay.header("idempotency-replayed"), Some("true"), "{mode}");
        }
        assert_eq!(first.text(), if mode == "direct" { direct.text() } else { queued.text() });
        let of_tasks: Vec<Value> =
            ids(&queued.json()["task_ids"]).iter().map(|id| task(&server, id)["capture_id"].clone()).collect();
        let body = direct.json();
        let captures = body["captures"].as_array().unwrap();
        assert_eq!(of_tasks, captures.iter().map(|capture| capture["id"].clone()).collect::<Vec<_>>());
        assert_eq!(api.list().unwrap().len(), 2, "stored once");
    }
}

/// Keeps the answer of `from` a second time, as a version without tasks would have kept it.
fn keep_as_an_old_version(data: &Path, user_id: i64, session_id: &str, from: &str, to: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let records = Records::open(&data.join("catalog.sqlite"), &CatalogOptions::default()).unwrap();
        let kept = records.idempotency_record(user_id, from.to_owned()).await.unwrap().unwrap();
        let mut answer: Value = serde_json::from_str(&kept.answer).unwrap();
        assert!(answer.as_object_mut().unwrap().remove("task_ids").is_some(), "{answer}");
        let old = IdempotencyRecord { key: to.to_owned(), answer: answer.to_string(), ..kept };
        let gate = records.session_gate(session_id.parse().unwrap()).await.unwrap().unwrap();
        let now = jiff::Timestamp::now();
        let recording = Recording { gate, captures: Vec::new(), idempotency: Some(old), now };
        assert_eq!(records.record_captures(recording).await.unwrap(), Recorded::Stored);
        records.close().await;
    });
}

#[test]
fn an_answer_kept_by_a_version_without_tasks_comes_as_it_was() {
    if !crate::support::is_of_files("a row that a test writes by itself") {
        return;
    }
    let server: Server = idle().start().unwrap();
    let mut api = participant(&server);
    let first = api.send(&upload(&api, "", "new")).unwrap();
    assert_eq!(first.status, 200);
    let user_id = server.demo().participant.user_id.parse().unwrap();
    keep_as_an_old_version(server.data(), user_id, &api.session_id, "new", "old");
    for prefer in ["respond-async", "respond-async, wait=3", "wait=3", ""] {
        let answer = api.send(&upload(&api, prefer, "old")).unwrap();
        assert_eq!((answer.status, answer.text()), (200, first.text()), "{prefer}");
        assert_eq!(answer.header("idempotency-replayed"), Some("true"));
        let applied = prefer.contains("wait").then_some("wait=3");
        assert_eq!(answer.header("preference-applied"), applied, "{prefer}: what was not honoured is not claimed");
    }
    assert_eq!(api.send(&upload(&api, "respond-async", "new")).unwrap().status, 202);
}

#[test]
fn a_single_upload_and_a_refusal_are_the_same_whatever_is_preferred() {
    let server = idle().env("FILMGATE__INGEST__MODE", "queued").start().unwrap();
    let person = &server.demo().participant;
    let intervals = json!({"recording_mode": "INTERVAL", "interval_seconds": 1});
    let session_id = new_session(&server, person, &intervals);
    let image =
        Form::new().text("trigger", "INTERVAL").file("image", "a.jpg", "image/jpeg", &photo::jpeg_bytes(3_000, 1));
    for prefer in ["respond-async", "wait=1"] {
        let target = format!("/assessment/camera/upload-single/{session_id}");
        let request = Request::post(&target).cookie(&person.cookie).header("Prefer", prefer).form(&image);
        let answer = request.send(server.address()).unwrap();
        assert_eq!((answer.status, answer.header("preference-applied")), (200, None), "{answer:?}");
        let empty = Form::new().text("session_id", &session_id).json("metadata_0", &json!({"trigger": "INTERVAL"}));
        let empty = empty.file("capture_0", "a.jpg", "image/jpeg", b"");
        let request = Request::post("/assessment/camera/upload").cookie(&person.cookie).header("Prefer", prefer);
        let refused = request.form(&empty).send(server.address()).unwrap();
        assert_eq!((refused.status, code_of(&refused).as_str()), (422, "image_empty"));
    }
}
