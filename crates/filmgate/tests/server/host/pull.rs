//! Sessions, settings and users are the app's: seen as they are, and as they become.

use std::time::Instant;

use serde_json::json;
use testkit::Request;
use testkit::server::Server;
use uuid::Uuid;

use super::app::{App, CACHE, Keys, as_user, soon, stored, upload_of};
use crate::support::{as_admin, code_of, rows_of_catalog, without_id};

fn get(target: &str) -> Request {
    Request::get(target)
}

#[test]
fn sessions_and_settings_are_the_apps_whatever_their_keys_are() {
    for app in App::on_each() {
        let server = app.beside().start().unwrap();
        let (mine, anothers) = (app.name(42), app.name(43));
        let (id, filename) = stored(&server, 1, &mine, 1);
        // The app's own key comes back, whatever Filmgate calls the session.
        let listed = as_user(&server, 1, &get(&format!("/assessment/camera/session/{mine}"))).json();
        assert_eq!((listed["session_id"].as_str(), listed["total_captures"].as_u64()), (Some(&*mine), Some(1)));
        assert_eq!(listed["captures"][0]["id"], id.as_str());
        let settings = as_user(&server, 1, &get(&format!("/assessment/camera/settings/{mine}"))).json();
        let settings = &settings["data"]["settings"];
        assert_eq!((settings["id"].as_str(), settings["interval_seconds"].as_u64()), (Some(&*app.name(7)), Some(2)));
        let single = Request::post(&format!("/assessment/camera/upload-single/{mine}")).form(
            &testkit::Form::new()
                .file("image", "a.jpg", "image/jpeg", &testkit::photo::jpeg_bytes(3_000, 2))
                .text("trigger", "interval"),
        );
        assert_eq!(as_user(&server, 1, &single).status, 200);
        let file = format!("/assessment/camera/file/{filename}");
        for (user, status) in [(1, 200), (2, 404), (9, 200)] {
            assert_eq!(as_user(&server, user, &get(&file)).status, status, "{user}");
        }
        // Absent, another's, and what no key can be are told apart by nobody.
        let strange = ["", "nobody's", "42 OR 1=1", "999999", &"9".repeat(9_000), &Uuid::now_v7().to_string(), "\u{0}"];
        let expected = without_id(&as_user(&server, 1, &upload_of(&anothers, 3)));
        assert_eq!(expected.0, 403, "{expected:?}");
        for key in strange.into_iter().filter(|key| !key.is_empty()) {
            assert_eq!(without_id(&as_user(&server, 1, &upload_of(key, 3))), expected, "{key:.60}");
        }
        let target = |key: &str| format!("/assessment/camera/session/{key}");
        let read = without_id(&as_user(&server, 1, &get(&target(&anothers))));
        assert_eq!(read, without_id(&as_user(&server, 1, &get(&target(&app.name(77))))));
        // An administrator of the app's may, and the session stays the user's.
        stored(&server, 9, &anothers, 4);
        let sessions = as_admin(&server, "GET", "/api/v1/sessions?user_id=2", None).json();
        assert_eq!(sessions["items"][0]["host_key"], anothers.as_str());
        // And those of Filmgate's own are nobody's any more: the app has none such.
        let demo = &server.demo().participant.session_id;
        assert_eq!(as_user(&server, 9, &upload_of(demo, 5)).status, 403);
        let mine = as_user(&server, 1, &get("/api/v1/my/sessions")).json();
        assert_eq!(mine["items"][0]["id"], app.name(42).as_str());
        assert_eq!(rows_of_catalog(&server).len(), 3);
    }
}

#[test]
fn what_changes_in_the_app_is_seen_within_the_cache_time() {
    for app in App::on_each() {
        let server = app.beside().start().unwrap();
        let mine = app.name(42);
        let (_, filename) = stored(&server, 1, &mine, 1);
        let upload = |user| as_user(&server, user, &upload_of(&mine, 2));
        // Other settings: the timer's frames are wanted no more.
        app.execute("UPDATE camera_settings SET recording_mode = 'EVENT_DRIVEN'");
        soon("skipped", || upload(1).json()["skipped"].as_array().is_some_and(|skipped| skipped.len() == 1));
        app.execute("UPDATE camera_settings SET recording_mode = 'INTERVAL', setting_name = 'renamed'");
        soon("wanted", || upload(1).json()["skipped"].as_array().is_some_and(Vec::is_empty));
        // Handed over: in and out within the time that an answer counts.
        app.execute("UPDATE assessment_sessions SET user_id = 2");
        let changed = Instant::now();
        soon("another's", || upload(1).status == 403);
        assert!(changed.elapsed() < CACHE * 5, "{:?}", changed.elapsed());
        assert_eq!(upload(2).status, 200);
        assert_eq!(as_user(&server, 1, &get_file(&filename)).status, 404);
        // Switched off: nobody from then on.
        app.execute("UPDATE users SET is_active = false WHERE id = 2");
        let changed = Instant::now();
        soon("out", || upload(2).status == 401);
        assert!(changed.elapsed() < CACHE * 5, "{:?}", changed.elapsed());
        app.execute("UPDATE users SET is_active = true WHERE id = 2");
        soon("in again", || upload(2).status == 200);
        // Gone with all that was its.
        app.execute("DELETE FROM assessment_sessions");
        soon("gone", || upload(2).status == 403);
        soon("its photos too", || as_user(&server, 2, &get_file(&filename)).status == 404);
        app.execute("DELETE FROM users WHERE id = 2");
        soon("nobody", || upload(2).status == 401);
    }
}

fn get_file(filename: &str) -> Request {
    Request::get(&format!("/assessment/camera/file/{filename}"))
}

#[test]
fn what_is_the_apps_is_changed_in_the_app_alone() {
    let app = App::on_sqlite(Keys::Integer);
    let server = app.beside().start().unwrap();
    stored(&server, 1, "42", 1);
    stored(&server, 2, "43", 2);
    let sessions = as_admin(&server, "GET", "/api/v1/sessions?user_id=1", None).json();
    let session = &sessions["items"][0];
    let change = json!({"camera_settings_id": null});
    let target = format!("/api/v1/sessions/{}", session["id"].as_str().unwrap());
    assert_eq!(as_admin(&server, "PATCH", &target, Some(&change)).status, 409);
    let target = format!("/api/v1/camera-settings/{}", session["camera_settings_id"].as_str().unwrap());
    assert_eq!(as_admin(&server, "PATCH", &target, Some(&json!({"is_active": false}))).status, 409);
    // Two of the app's have one name, and both are its defaults; Filmgate's own default stays the one.
    let settings = as_admin(&server, "GET", "/api/v1/camera-settings", None).json();
    let names: Vec<&str> =
        settings["items"].as_array().unwrap().iter().map(|it| it["setting_name"].as_str().unwrap()).collect();
    assert!(names.contains(&"study") && names.iter().any(|name| name.starts_with("study (")), "{names:?}");
    // Filmgate's own id for a session of the app's names it as well.
    stored(&server, 1, session["id"].as_str().unwrap(), 3);
    // A session that ended here has ended, whatever the app goes on saying.
    let target = format!("/api/v1/sessions/{}/end", session["id"].as_str().unwrap());
    assert_eq!(as_admin(&server, "POST", &target, None).status, 200);
    std::thread::sleep(CACHE * 2);
    assert_eq!(code_of(&as_user(&server, 1, &upload_of("42", 4))), "session_ended");
}

#[test]
fn tables_that_are_not_as_configured_let_nobody_in_and_the_log_says_why() {
    let app = App::on_sqlite(Keys::Integer);
    let server = app.beside().env("FILMGATE__HOST__SESSION_USER_COLUMN", "owner").start().unwrap();
    let refused = as_user(&server, 1, &upload_of("42", 1));
    assert_eq!((refused.status, code_of(&refused).as_str()), (503, "host_unavailable"), "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    assert!(!refused.text().contains("owner"));
    let log = log_of(&server);
    assert!(log.contains("assessment_sessions") && log.contains("owner") && log.contains("host check"), "{log}");
    app.execute("ALTER TABLE assessment_sessions RENAME COLUMN user_id TO owner");
    soon("it fits now", || as_user(&server, 1, &upload_of("42", 2)).status == 200);
    assert_eq!(rows_of_catalog(&server).len(), 1);
}

fn log_of(server: &Server) -> String {
    server.log_tail(200)
}
