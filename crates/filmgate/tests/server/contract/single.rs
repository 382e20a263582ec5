//! `POST /assessment/camera/upload-single/{session_id}`.

use serde_json::json;
use testkit::{Api, Form, Request, photo};

use super::{SERVER, assert_refused, assert_time};
use crate::support::{as_admin, assert_members, made, new_session, participant};

#[test]
fn stores_one_frame_and_answers_the_contracts_members() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let session_id = new_session(&server, person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let mut api = Api::new(server.address(), &person.cookie, &session_id);
    let target = format!("/assessment/camera/upload-single/{session_id}");
    let photo = photo::jpeg_bytes(5_000, 1);
    let image = |form: Form| form.file("image", "frame.jpg", "image/jpeg", &photo);
    let timed = Form::new().text("trigger", "INTERVAL").json("timing", &json!({"start": 12.5}));
    let forms =
        [image(Form::new().text("trigger", "interval")), image(Form::new()).text("trigger", "INTERVAL"), image(timed)];
    for form in &forms {
        let response = api.send(&Request::post(&target).cookie(&person.cookie).form(form)).unwrap();
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.json();
        assert_members(&body, ["status", "data"]);
        assert_eq!(body["status"], "OLKORECT");
        let data = &body["data"];
        assert_members(data, ["capture_id", "filename", "trigger", "timestamp"]);
        assert_eq!(data["trigger"], "INTERVAL");
        assert_time(&data["timestamp"]);
        assert_eq!(api.file(data["filename"].as_str().unwrap()).unwrap().body, photo);
        let detail =
            as_admin(&server, "GET", &format!("/api/v1/captures/{}", data["capture_id"].as_str().unwrap()), None);
        let metadata = &detail.json()["metadata"];
        assert!(metadata == &json!({}) || metadata == &json!({"timing": {"start": 12.5}}), "{metadata}");
    }
    assert_eq!(api.list().unwrap().len(), forms.len());
    println!("{} forms", forms.len());
}

#[test]
fn refuses_in_the_apps_words() {
    let server = SERVER.get();
    let without_settings = participant(&server).session_id;
    let person = &server.demo().participant;
    let session_id = new_session(&server, person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let ended_id = new_session(&server, person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    made(&server, "POST", &format!("/api/v1/sessions/{ended_id}/end"), &json!({}));
    let photo = photo::jpeg_bytes(3_000, 1);
    let image = || Form::new().file("image", "a.jpg", "image/jpeg", &photo);
    let no_image = "No image file provided";
    let unknown = "Trigger 'unknown' not allowed for current settings";
    let ended = "This assessment session has ended and takes no more captures";
    let cases = [
        (&without_settings, image(), 409, "no_camera_settings", "No camera settings configured"),
        (&session_id, image(), 409, "trigger_not_allowed", unknown),
        (&session_id, Form::new().text("trigger", "INTERVAL"), 400, "no_image", no_image),
        (&session_id, Form::new().text("image", "text").text("trigger", "INTERVAL"), 400, "no_image", no_image),
        (&session_id, Form::new().file("image", "", "image/jpeg", &photo), 400, "no_image", no_image),
        (&session_id, Form::new().file("capture_0", "a.jpg", "image/jpeg", &photo), 400, "no_image", no_image),
        (&ended_id, image().text("trigger", "INTERVAL"), 409, "session_ended", ended),
    ];
    for (session_id, form, status, code, words) in &cases {
        let target = format!("/assessment/camera/upload-single/{session_id}");
        let request = Request::post(&target).cookie(&person.cookie).form(form);
        assert_refused(&request.send(server.address()).unwrap(), *status, code, words);
    }
    for session_id in [&session_id, &ended_id, &without_settings] {
        let mut api = Api::new(server.address(), &person.cookie, session_id);
        assert_eq!(api.list().unwrap().len(), 0);
    }
    println!("{} refusals", cases.len());
}
