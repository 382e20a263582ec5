//! Assessment sessions, registered by the app's backend.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{SERVER, as_backend, assert_problem, backend, pages};
use crate::support::{as_admin, assert_members, made, new_settings, new_user};

#[test]
fn are_registered_under_the_apps_id_as_often_as_it_likes() {
    let server = SERVER.get();
    let secret = backend(&server);
    let (user, other) = (new_user(&server), new_user(&server));
    let user_id: i64 = user.user_id.parse().unwrap();
    let other_id: i64 = other.user_id.parse().unwrap();
    let chosen = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}))["id"].clone();
    let default = {
        let all = pages(&server, "/api/v1/camera-settings", 50).0;
        all.iter().find(|settings| settings["is_default"] == true).unwrap()["id"].clone()
    };
    // What is sent first, the settings that it gets, and what may be sent again.
    let kinds = [
        (
            json!({"user_id": user_id}),
            default.clone(),
            vec![json!({"user_id": user_id, "camera_settings_id": default})],
        ),
        (json!({"user_id": user_id, "camera_settings_id": null}), Value::Null, vec![json!({"user_id": user_id})]),
        (json!({"user_id": user_id, "camera_settings_id": chosen}), chosen.clone(), vec![json!({"user_id": user_id})]),
    ];
    for (new, settings, same) in &kinds {
        let target = format!("/api/v1/sessions/{}", Uuid::new_v4());
        let response = as_backend(&server, &secret, "PUT", &target, new);
        assert_eq!(response.status, 201, "{response:?}");
        assert_eq!(response.header("location"), Some(&*target));
        let session = response.json();
        assert_members(
            &session,
            ["id", "host_key", "user_id", "camera_settings_id", "total_captures", "created_at", "ended_at"],
        );
        assert_eq!((&session["camera_settings_id"], &session["total_captures"]), (settings, &json!(0)));
        for again in same.iter().chain([new]) {
            let response = as_backend(&server, &secret, "PUT", &target, again);
            assert_eq!((response.status, response.json()), (200, session.clone()), "{again}");
        }
        let mut conflicts =
            vec![json!({"user_id": other_id}), json!({"user_id": other_id, "camera_settings_id": settings})];
        let others_settings = if settings == &chosen { &default } else { &chosen };
        conflicts.push(json!({"user_id": user_id, "camera_settings_id": others_settings}));
        for conflict in &conflicts {
            assert_problem(&as_backend(&server, &secret, "PUT", &target, conflict), 409, "conflict");
        }
        assert_eq!(as_backend(&server, &secret, "GET", &target, &Value::Null).json(), session);
    }
    println!("{} kinds of sessions", kinds.len());
}

#[test]
fn that_cannot_be_registered() {
    let server = SERVER.get();
    let secret = backend(&server);
    let user_id: i64 = new_user(&server).user_id.parse().unwrap();
    let fresh = || format!("/api/v1/sessions/{}", Uuid::new_v4());
    let cases = [
        ("PUT", fresh(), json!({"user_id": 999_999}), 422, "invalid"),
        ("PUT", fresh(), json!({}), 422, "invalid"),
        ("PUT", fresh(), json!({"user_id": user_id.to_string()}), 422, "invalid"),
        ("PUT", fresh(), json!({"user_id": user_id, "id": "x"}), 422, "invalid"),
        ("PUT", fresh(), json!({"user_id": user_id, "camera_settings_id": "x"}), 422, "invalid"),
        ("PUT", fresh(), json!({"user_id": user_id, "camera_settings_id": Uuid::new_v4()}), 409, "conflict"),
        ("PUT", "/api/v1/sessions/x".to_owned(), json!({"user_id": user_id}), 422, "invalid"),
        ("POST", "/api/v1/sessions".to_owned(), json!({"user_id": 999_999}), 422, "invalid"),
        ("PATCH", fresh(), json!({"camera_settings_id": null}), 404, "not_found"),
        ("POST", format!("{}/end", fresh()), json!({}), 404, "not_found"),
        ("GET", fresh(), json!({}), 404, "not_found"),
        ("GET", "/api/v1/sessions/x".to_owned(), json!({}), 404, "not_found"),
    ];
    for (method, target, body, status, code) in &cases {
        let response = as_backend(&server, &secret, method, target, body);
        assert_eq!(response.status, *status, "{method} {target} {body}: {response:?}");
        assert_problem(&response, *status, code);
    }
    println!("{} sessions that are none", cases.len());
}

#[test]
fn change_end_and_are_listed() {
    let server = SERVER.get();
    let secret = backend(&server);
    let user_id: i64 = new_user(&server).user_id.parse().unwrap();
    let sessions: Vec<Value> =
        (0..5).map(|_| made(&server, "POST", "/api/v1/sessions", &json!({"user_id": user_id}))).collect();
    let target = format!("/api/v1/sessions/{}", sessions[0]["id"].as_str().unwrap());
    let settings = new_settings(&server, &json!({"recording_mode": "EVENT_DRIVEN"}))["id"].clone();
    for chosen in [&settings, &Value::Null, &settings] {
        let changed = as_backend(&server, &secret, "PATCH", &target, &json!({"camera_settings_id": chosen})).json();
        assert_eq!(&changed["camera_settings_id"], chosen);
    }
    let unknown = as_backend(&server, &secret, "PATCH", &target, &json!({"camera_settings_id": Uuid::new_v4()}));
    assert_problem(&unknown, 409, "conflict");
    assert_problem(&as_backend(&server, &secret, "PATCH", &target, &json!({})), 422, "invalid");

    let ended = as_backend(&server, &secret, "POST", &format!("{target}/end"), &json!({})).json();
    assert!(ended["ended_at"].is_string(), "{ended}");
    let again = as_backend(&server, &secret, "POST", &format!("{target}/end"), &json!({})).json();
    assert_eq!(again, ended, "ending it again changes nothing");

    let (listed, page_count) = pages(&server, &format!("/api/v1/sessions?user_id={user_id}"), 2);
    assert_eq!(page_count, 3);
    let ids = |sessions: &[Value]| sessions.iter().map(|session| session["id"].clone()).collect::<Vec<_>>();
    let newest_first: Vec<Value> = ids(&sessions).into_iter().rev().collect();
    assert_eq!(ids(&listed), newest_first);
    assert_eq!(as_admin(&server, "GET", &target, None).json(), ended);
}
