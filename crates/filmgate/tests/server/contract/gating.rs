//! Which captures are wanted: every kind of settings against every trigger, on both uploads.

use serde_json::{Value, json};
use testkit::{Api, Form, Request, Shot, photo};

use super::{SERVER, assert_refused};
use crate::support::{as_admin, assert_members, made, new_session, new_settings, session_with};

const TRIGGERS: [&str; 11] = [
    "INTERVAL",
    "interval",
    "BUTTON_CLICK",
    "button_click",
    "MESSAGE_SEND",
    "message_send",
    "QUESTION_START",
    "Question_Start",
    "MANUAL",
    "manual",
    "eye_blink",
];

/// The contract's table: settings, and which triggers they want; `None`: every one on batch, none on single.
fn table() -> Vec<(Value, Option<Vec<&'static str>>)> {
    let interval = json!({"recording_mode": "INTERVAL", "interval_seconds": 1, "capture_on_button_click": true,
        "capture_on_message_send": true, "capture_on_question_start": true});
    let mut inactive = interval.clone();
    inactive["is_active"] = false.into();
    let mut table = vec![(Value::Null, None), (inactive, None), (interval, Some(vec!["INTERVAL"]))];
    for flags in 0..8 {
        let [click, send, start] = [flags & 1 != 0, flags & 2 != 0, flags & 4 != 0];
        let settings = json!({"recording_mode": "EVENT_DRIVEN", "capture_on_button_click": click,
            "capture_on_message_send": send, "capture_on_question_start": start});
        let wanted = [(click, "BUTTON_CLICK"), (send, "MESSAGE_SEND"), (start, "QUESTION_START")];
        table.push((settings, Some(wanted.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect())));
    }
    table
}

/// The word that is stored: the contract's own in upper case, any other as it came.
fn stored_word(trigger: &str) -> String {
    if trigger == "eye_blink" { trigger.to_owned() } else { trigger.to_uppercase() }
}

#[test]
fn batch_stores_the_wanted_and_names_the_rest() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let mut covered = 0;
    for (settings, wanted) in table() {
        let session_id = new_session(&server, person, &settings);
        let mut api = Api::new(server.address(), &person.cookie, &session_id);
        let shots: Vec<Shot> = (0..)
            .zip(TRIGGERS)
            .map(|(seed, trigger)| Shot { photo: photo::jpeg_bytes(3_000, seed), trigger: trigger.to_owned() })
            .collect();
        let body = api.upload(&shots).unwrap().json();
        let is_wanted = |trigger: &&str| wanted.as_ref().is_none_or(|wanted| wanted.contains(&&*stored_word(trigger)));
        let stored: Vec<String> = TRIGGERS.iter().filter(|t| is_wanted(t)).map(|t| stored_word(t)).collect();
        let unwanted: Vec<usize> = (0..TRIGGERS.len()).filter(|at| !is_wanted(&TRIGGERS[*at])).collect();

        let answered: Vec<&str> =
            body["captures"].as_array().unwrap().iter().map(|c| c["trigger"].as_str().unwrap()).collect();
        assert_eq!(answered, stored, "{settings}");
        assert_eq!(body["message"], format!("Uploaded {} captures", stored.len()));
        let skipped = body["skipped"].as_array().unwrap();
        assert_eq!(skipped.len(), unwanted.len(), "{settings}");
        for (skipped, at) in skipped.iter().zip(unwanted) {
            assert_members(skipped, ["key", "trigger", "reason"]);
            assert_eq!(skipped["key"], format!("capture_{at}"));
            assert_eq!(skipped["trigger"], stored_word(TRIGGERS[at]));
            assert!(!skipped["reason"].as_str().unwrap().is_empty());
        }
        let listed: Vec<String> =
            api.list().unwrap().iter().map(|c| c["capture_trigger"].as_str().unwrap().to_owned()).collect();
        assert_eq!(listed, stored, "{settings}");
        covered += TRIGGERS.len();
    }
    println!("{covered} settings and triggers");
}

#[test]
fn single_stores_the_wanted_and_refuses_the_rest_in_the_apps_words() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let mut covered = 0;
    for (settings, wanted) in table() {
        let session_id = new_session(&server, person, &settings);
        let mut api = Api::new(server.address(), &person.cookie, &session_id);
        let target = format!("/assessment/camera/upload-single/{session_id}");
        let mut stored = 0;
        for trigger in TRIGGERS {
            let form =
                Form::new().text("trigger", trigger).file("image", "a.jpg", "image/jpeg", &photo::jpeg_bytes(3_000, 1));
            let response = api.send(&Request::post(&target).cookie(&person.cookie).form(&form)).unwrap();
            let word = stored_word(trigger);
            match &wanted {
                None => assert_refused(&response, 409, "no_camera_settings", "No camera settings configured"),
                Some(wanted) if wanted.contains(&&*word) => {
                    assert_eq!((response.status, &response.json()["data"]["trigger"]), (200, &json!(word)));
                    stored += 1;
                }
                Some(_) => {
                    let words = format!("Trigger '{word}' not allowed for current settings");
                    assert_refused(&response, 409, "trigger_not_allowed", &words);
                }
            }
            covered += 1;
        }
        assert_eq!(api.list().unwrap().len(), stored, "{settings}");
    }
    println!("{covered} settings and triggers");
}

#[test]
fn an_unwanted_photo_is_not_looked_at_and_never_touches_the_rest() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let session_id = new_session(&server, person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let mut api = Api::new(server.address(), &person.cookie, &session_id);
    let photo = photo::jpeg_bytes(3_000, 1);
    // The metadata before the file, where its bytes need never be kept, and after it.
    let first = |form: Form| {
        form.json("metadata_0", &json!({"trigger": "MANUAL"})).file("capture_0", "a.jpg", "image/jpeg", b"no photo")
    };
    let last = |form: Form| {
        form.file("capture_0", "a.jpg", "image/jpeg", b"no photo").json("metadata_0", &json!({"trigger": "MANUAL"}))
    };
    let good = |form: Form| {
        form.file("capture_1", "b.jpg", "image/jpeg", &photo).json("metadata_1", &json!({"trigger": "INTERVAL"}))
    };
    let session = |form: Form| form.text("session_id", &session_id);
    let forms = [
        good(first(session(Form::new()))),
        good(last(session(Form::new()))),
        session(good(first(Form::new()))),
        last(good(session(Form::new()))),
    ];
    for form in &forms {
        let request = Request::post("/assessment/camera/upload").cookie(&person.cookie).form(form);
        let body = api.send(&request).unwrap().json();
        assert_eq!(body["message"], "Uploaded 1 captures", "{body}");
        assert_eq!(body["skipped"][0]["key"], "capture_0", "{body}");
    }
    assert_eq!(api.list().unwrap().len(), forms.len());
    println!("{} forms with an unwanted photo", forms.len());
}

#[test]
fn settings_that_change_count_from_the_next_upload_on_and_are_kept_with_each_capture() {
    let server = SERVER.get();
    let person = &server.demo().participant;
    let settings = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}));
    let session_id = session_with(&server, person, &settings);
    let mut api = Api::new(server.address(), &person.cookie, &session_id);
    let target = format!("/api/v1/camera-settings/{}", settings["id"].as_str().unwrap());
    let steps = [
        (json!({"capture_on_question_start": true}), 1),
        (json!({"capture_on_question_start": false}), 0),
        (json!({"is_active": false}), 1),
        (json!({"is_active": true, "recording_mode": "INTERVAL", "interval_seconds": 3}), 0),
    ];
    for (change, stored) in &steps {
        let changed = made(&server, "PATCH", &target, change);
        let shot = Shot { photo: photo::jpeg_bytes(3_000, 1), trigger: "question_start".to_owned() };
        let body = api.upload(&[shot]).unwrap().json();
        let captures = body["captures"].as_array().unwrap();
        assert_eq!(captures.len(), *stored, "{change}: {body}");
        if let Some(capture) = captures.first() {
            let target = format!("/api/v1/captures/{}", capture["id"].as_str().unwrap());
            let snapshot = as_admin(&server, "GET", &target, None).json()["settings_snapshot"].clone();
            for (name, value) in changed.as_object().unwrap().iter().filter(|(name, _)| *name != "id") {
                assert_eq!(&snapshot[name], value, "{name} in {snapshot}");
            }
        }
    }
    println!("{} changes of settings", steps.len());
}
