//! Captures in the app's own table: each once, linked and deleted with Filmgate's, and linked by the app itself.

use serde_json::{Value, json};
use testkit::Request;

use super::app::{App, Keys, as_user, soon, stored, upload_of};
use crate::support::{as_admin, files_of_store, is_of_folders, rows_of_catalog};

#[test]
fn captures_links_and_deletions_stand_in_the_apps_table() {
    for app in App::on_each() {
        let server = app.written().start().unwrap();
        let mine = app.name(42);
        let uploaded: Vec<(String, String)> = (0..4).map(|seed| stored(&server, 1, &mine, seed)).collect();
        let mut filenames: Vec<String> = uploaded.iter().map(|(_, filename)| filename.clone()).collect();
        filenames.sort();
        soon("all are there", || app.captures("1 = 1") == filenames);
        let columns = [
            "session_id",
            "file_size_bytes",
            "capture_trigger",
            "timestamp",
            "assessment_id",
            "assessment_type",
            "camera_settings_snapshot",
            "id",
        ];
        let rows = app.rows(&columns, &format!("FROM camera_captures WHERE filename = '{}'", uploaded[0].1));
        let listed = as_user(&server, 1, &Request::get(&format!("/assessment/camera/session/{mine}"))).json();
        let expected = &listed["captures"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["id"] == uploaded[0].0.as_str())
            .unwrap()
            .clone();
        let row = &rows[0];
        assert_eq!((row[0].as_str(), row[1].as_str(), row[2].as_str()), (&*mine, "3000", "INTERVAL"));
        // A time without a zone, in UTC, as the app's own are; PostgreSQL leaves noughts at the end out.
        let time = expected["timestamp"].as_str().unwrap().replace('T', " ");
        assert_eq!(time.trim_end_matches('0'), row[3].trim_end_matches('0'));
        assert_eq!((row[4].as_str(), row[5].as_str()), ("NULL", "GENERAL"));
        let snapshot: Value = serde_json::from_str(&row[6]).unwrap();
        assert_eq!((&snapshot["id"], &snapshot["resolution"]), (&app.json(7), &json!("1280x720")));
        assert!(snapshot.get("host_key").is_none(), "{snapshot}");

        // Linked by the page: by Filmgate's own id, and by the app's where that is another.
        let in_app =
            app.rows(&["id"], &format!("FROM camera_captures WHERE filename = '{}'", uploaded[1].1))[0][0].clone();
        let in_app = in_app.parse::<i64>().map_or_else(|_| json!(in_app), Value::from);
        let link = json!({"capture_ids": [uploaded[0].0, in_app], "assessment_record_id": app.json(5), "assessment_type": "phq"});
        let linked = as_user(&server, 1, &Request::post(&format!("/assessment/camera/link/{mine}")).json(&link)).json();
        assert_eq!(
            (&linked["data"]["captures_updated"], &linked["data"]["session_id"]),
            (&json!(2), &json!(mine)),
            "{linked}"
        );
        soon("linked there", || app.captures("assessment_id IS NOT NULL AND assessment_type = 'PHQ'").len() == 2);

        // Linked by the app itself: what is linked there is not cleaned up here.
        app.execute(&format!(
            "UPDATE camera_captures SET assessment_id = {}, assessment_type = 'LLM' WHERE filename = '{}'",
            app.key(6),
            uploaded[2].1
        ));
        let cleaned = as_user(&server, 1, &Request::post(&format!("/assessment/camera/cleanup/{mine}"))).json();
        assert_eq!(cleaned["data"]["captures_cleaned"], 1, "{cleaned}");
        soon("deleted there", || app.captures("1 = 1").len() == 3);
        assert!(!app.captures("1 = 1").contains(&uploaded[3].1));
        let listed = as_user(&server, 1, &Request::get(&format!("/assessment/camera/session/{mine}"))).json();
        let theirs = listed["captures"]
            .as_array()
            .unwrap()
            .iter()
            .find(|it| it["id"] == uploaded[2].0.as_str())
            .unwrap()
            .clone();
        assert_eq!((&theirs["assessment_type"], &theirs["assessment_id"]), (&json!("LLM"), &app.json(6)));

        // An administrator deletes.
        let target = format!("/api/v1/captures/{}", uploaded[2].0);
        assert!(as_admin(&server, "DELETE", &target, None).is_success());
        soon("deleted there too", || app.captures("1 = 1").len() == 2);
    }
}

#[test]
fn a_capture_deleted_at_once_never_stays_in_the_apps_table() {
    let app = App::on_sqlite(Keys::Integer);
    let server = app.written().start().unwrap();
    for seed in 0..20 {
        stored(&server, 1, "42", seed);
        let cleaned = as_user(&server, 1, &Request::post("/assessment/camera/cleanup/42"));
        assert_eq!(cleaned.json()["data"]["captures_cleaned"], 1, "{cleaned:?}");
    }
    let last = stored(&server, 1, "42", 99);
    soon("the last alone", || app.captures("1 = 1") == [last.1.clone()] && deliveries(&server, "PENDING").is_empty());
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(app.captures("1 = 1"), [last.1]);
}

fn deliveries(server: &testkit::server::Server, state: &str) -> Vec<Value> {
    let target = format!("/api/v1/tasks?kind=deliver&state={state}");
    as_admin(server, "GET", &target, None).json()["items"].as_array().unwrap().clone()
}

#[test]
fn what_the_apps_table_does_not_take_is_a_dead_letter_that_can_be_sent_again() {
    let app = App::on_sqlite(Keys::Integer);
    let server = app.written().env("FILMGATE__WEBHOOK__ATTEMPTS_MAX", "1").start().unwrap();
    app.execute("ALTER TABLE camera_captures RENAME COLUMN filename TO file");
    let (_, filename) = stored(&server, 1, "42", 1);
    soon("given up", || deliveries(&server, "FAILURE").len() == 1);
    let letter = &deliveries(&server, "FAILURE")[0];
    assert!(letter["error"].as_str().unwrap().contains("filename"), "{letter}");
    app.execute("ALTER TABLE camera_captures RENAME COLUMN file TO filename");
    let target = format!("/api/v1/tasks/{}/retry", letter["id"].as_str().unwrap());
    assert!(as_admin(&server, "POST", &target, None).is_success());
    soon("written", || app.captures("1 = 1") == [filename.clone()]);
}

#[test]
fn without_leave_nothing_is_written_and_what_the_app_lacks_is_not_asked_for() {
    let app = App::on_sqlite(Keys::Integer);
    let server = app.beside().env("FILMGATE__HOST__CAPTURES_TABLE", "").start().unwrap();
    app.execute("DROP TABLE camera_captures");
    for seed in 0..3 {
        stored(&server, 1, "42", seed);
    }
    assert_eq!(as_user(&server, 1, &upload_of("43", 4)).status, 403);
    let cleaned = as_user(&server, 1, &Request::post("/assessment/camera/cleanup/42"));
    assert_eq!(cleaned.json()["data"]["captures_cleaned"], 3, "{cleaned:?}");
    assert!(rows_of_catalog(&server).is_empty() && deliveries(&server, "PENDING").is_empty());
    if is_of_folders("no file of a deleted photo") {
        soon("no file", || files_of_store(&server).is_empty());
    }
}
