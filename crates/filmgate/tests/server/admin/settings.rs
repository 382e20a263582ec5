//! Camera settings.

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Request, Response};
use uuid::Uuid;

use super::{SERVER, as_backend, assert_problem, assert_problems, backend, pages};
use crate::support::{as_admin, made, new_settings, server, unique};

fn target(settings: &Value) -> String {
    format!("/api/v1/camera-settings/{}", settings["id"].as_str().unwrap())
}

#[test]
fn take_what_the_apps_model_takes_and_nothing_else() {
    let server = SERVER.get();
    let interval = |members: Value| {
        let mut settings = json!({"setting_name": unique("s"), "recording_mode": "INTERVAL", "interval_seconds": 1});
        for (name, value) in members.as_object().unwrap() {
            settings[name] = value.clone();
        }
        settings
    };
    let good = [
        json!({}),
        json!({"interval_seconds": 86_400}),
        json!({"resolution": "640x480"}),
        json!({"resolution": "99999x10"}),
        json!({"recording_mode": "EVENT_DRIVEN", "interval_seconds": null}),
        json!({"is_active": false}),
        json!({"setting_name": "\u{2603}".repeat(100)}),
    ];
    for members in &good {
        let settings = interval(members.clone());
        let response = as_admin(&server, "POST", "/api/v1/camera-settings", Some(&settings));
        assert_eq!(response.status, 201, "{settings}: {response:?}");
        let made = response.json();
        assert_eq!(response.header("location"), Some(&*target(&made)));
        for (name, value) in settings.as_object().unwrap() {
            assert_eq!(&made[name], value, "{name}");
        }
        let shown = as_admin(&server, "GET", &target(&made), None);
        assert_eq!((shown.json(), shown.header("etag")), (made, response.header("etag")));
    }
    let taken = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}))["setting_name"].clone();
    let bad = [
        (json!({"setting_name": "s", "recording_mode": "INTERVAL"}), 422, "invalid"),
        (json!({"recording_mode": "EVENT_DRIVEN"}), 422, "invalid"),
        (json!({"setting_name": "s"}), 422, "invalid"),
        (interval(json!({"setting_name": ""})), 422, "invalid"),
        (interval(json!({"setting_name": "x".repeat(101)})), 422, "invalid"),
        (interval(json!({"setting_name": taken})), 409, "conflict"),
        (interval(json!({"recording_mode": "interval"})), 422, "invalid"),
        (interval(json!({"interval_seconds": 0})), 422, "invalid"),
        (interval(json!({"interval_seconds": -1})), 422, "invalid"),
        (interval(json!({"interval_seconds": 1.5})), 422, "invalid"),
        (interval(json!({"interval_seconds": 86_401})), 422, "invalid"),
        (interval(json!({"resolution": "1280"})), 422, "invalid"),
        (interval(json!({"resolution": "0x0"})), 422, "invalid"),
        (interval(json!({"resolution": "1280X720"})), 422, "invalid"),
        (interval(json!({"resolution": "1280x720x3"})), 422, "invalid"),
        (interval(json!({"resolution": "+12x+12"})), 422, "invalid"),
        (interval(json!({"is_active": "true"})), 422, "invalid"),
        (interval(json!({"capture_on_blink": true})), 422, "invalid"),
    ];
    assert_problems(&server, "POST", "/api/v1/camera-settings", &bad);
    println!("{} good, {} bad", good.len(), bad.len());
}

fn change(server: &Server, target: &str, if_match: Option<&str>, change: &Value) -> Response {
    let mut request = Request::new("PATCH", target).cookie(&server.demo().admin.cookie).json(change);
    if let Some(tag) = if_match {
        request = request.header("If-Match", tag);
    }
    request.send(server.address()).unwrap()
}

#[test]
fn two_editors_do_not_undo_each_other() {
    let server = SERVER.get();
    let settings = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}));
    let target = target(&settings);
    let first = as_admin(&server, "GET", &target, None).header("etag").unwrap().to_owned();
    let mine = change(&server, &target, Some(&first), &json!({"capture_on_button_click": true}));
    assert_eq!(mine.status, 200, "{mine:?}");
    let second = mine.header("etag").unwrap().to_owned();
    assert_ne!(first, second);
    let theirs = json!({"capture_on_button_click": false, "capture_on_message_send": true});
    for stale in [first.as_str(), "\"x\"", "", "*x"] {
        assert_problem(&change(&server, &target, Some(stale), &theirs), 412, "precondition_failed");
    }
    let shown = as_admin(&server, "GET", &target, None);
    assert_eq!((shown.json(), shown.header("etag")), (mine.json(), Some(second.as_str())));
    for tag in [None, Some("*")] {
        assert_eq!(change(&server, &target, tag, &json!({"resolution": "640x480"})).status, 200, "{tag:?}");
    }
    let absent = format!("/api/v1/camera-settings/{}", Uuid::new_v4());
    assert_problem(&change(&server, &absent, None, &json!({})), 404, "not_found");
    let bad = [
        json!({"interval_seconds": 0}),
        json!({"recording_mode": "INTERVAL"}),
        json!({"resolution": "x"}),
        json!({"unknown": 1}),
    ];
    for body in &bad {
        assert_problem(&change(&server, &target, None, body), 422, "invalid");
    }
    println!("{} changes that do not fit", bad.len() + 4);
}

#[test]
fn one_is_the_default() {
    let server = server();
    let defaults = || {
        let all = pages(&server, "/api/v1/camera-settings", 50).0;
        let defaults: Vec<Value> = all.iter().filter(|s| s["is_default"] == true).map(|s| s["id"].clone()).collect();
        defaults
    };
    let demos = defaults();
    assert_eq!(demos.len(), 1);
    let made_so = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN", "is_default": true}));
    assert_eq!(defaults(), [made_so["id"].clone()], "it is taken from the one before");
    let changed = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}));
    made(&server, "PATCH", &target(&changed), &json!({"is_default": true}));
    assert_eq!(defaults(), [changed["id"].clone()]);
    let user_id: i64 = server.demo().participant.user_id.parse().unwrap();
    let session = |expected: &Value| {
        let session = made(&server, "POST", "/api/v1/sessions", &json!({"user_id": user_id}));
        assert_eq!(&session["camera_settings_id"], expected);
    };
    session(&changed["id"]);
    made(&server, "PATCH", &target(&changed), &json!({"is_default": false}));
    assert_eq!(defaults(), Vec::<Value>::new());
    session(&Value::Null);
}

#[test]
fn are_listed_newest_first_for_the_backend_too() {
    let server = SERVER.get();
    let newest: Vec<Value> =
        (0..3).map(|_| new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}))["id"].clone()).collect();
    let (all, page_count) = pages(&server, "/api/v1/camera-settings", 2);
    assert!(page_count > 1);
    let places: Vec<usize> =
        newest.iter().map(|id| all.iter().position(|settings| settings["id"] == *id).unwrap()).collect();
    assert!(places.is_sorted_by(|a, b| a > b), "{places:?}");
    let list = as_backend(&server, &backend(&server), "GET", "/api/v1/camera-settings", &Value::Null);
    assert_eq!(list.status, 200);
}
