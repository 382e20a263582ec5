//! `GET /assessment/camera/tasks/{task_id}`: the contract's answer, and to whom it is given.

use serde_json::{Value, json};
use testkit::{Api, photo};

use super::{as_person, idle, queue};
use crate::support::{as_admin, assert_members, made, new_session, new_user, participant, without_id};

fn target(id: &str) -> String {
    format!("/assessment/camera/tasks/{id}")
}

#[test]
fn its_members_are_the_contracts_and_no_other() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let id = queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]).remove(0);
    let answer = api.get(&target(&id)).unwrap();
    let listed = api.list().unwrap().remove(0);
    assert_members(
        &listed,
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
    let data = json!({"task_id": id, "state": "PENDING", "attempts": 0, "capture": listed, "error": null});
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "OLKORECT", "data": data})));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let capture_id = listed["id"].as_str().unwrap();
    assert_eq!(as_admin(&server, "DELETE", &format!("/api/v1/captures/{capture_id}"), None).status, 204);
    let error = "its capture was deleted";
    let data = json!({"task_id": id, "state": "REVOKED", "attempts": 0, "capture": null, "error": error});
    assert_eq!(api.get(&target(&id)).unwrap().json()["data"], data);
}

#[test]
fn is_for_its_owner_and_administrators_and_absent_for_everybody_else() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let id = queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]).remove(0);
    let stranger = new_user(&server);
    assert_eq!(api.get(&target(&id)).unwrap().status, 200);
    assert_eq!(as_admin(&server, "GET", &target(&id), None).status, 200);
    let anothers = as_person(&server, &stranger, "GET", &target(&id));
    assert_eq!((anothers.status, anothers.json()["code"].clone()), (404, json!("not_found")));
    let never = uuid::Uuid::now_v7().to_string();
    let absent = [never.as_str(), "x", "0", "%2e%2e", "00000000-0000-0000-0000-000000000000"];
    for id in absent {
        let answer = as_person(&server, &stranger, "GET", &target(id));
        assert_eq!(without_id(&answer), without_id(&anothers), "{id}");
        assert_eq!(as_admin(&server, "GET", &target(id), None).status, 404, "{id}");
    }
    println!("{} ids that name nothing", absent.len());
}

#[test]
fn shows_no_task_but_those_that_process_captures() {
    // A sink that nobody listens at: its deliveries are recorded, and that is all that is asked of them.
    let server = idle()
        .env("FILMGATE__WEBHOOK__URL", "http://127.0.0.1:9/")
        .env("FILMGATE__WEBHOOK__SECRET", "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
        .env("FILMGATE__WEBHOOK__ALLOW_PRIVATE_NETWORKS", "127.0.0.1")
        .env("FILMGATE__WEBHOOK__EVENTS", "capture.stored")
        .start()
        .unwrap();
    let mut api = participant(&server);
    queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]);
    let items = as_admin(&server, "GET", "/api/v1/tasks", None).json()["items"].clone();
    let mut kinds = Vec::new();
    for item in items.as_array().unwrap() {
        let id = item["id"].as_str().unwrap();
        let (kind, status) = (item["kind"].as_str().unwrap(), as_admin(&server, "GET", &target(id), None).status);
        assert_eq!(status, if kind == "process" { 200 } else { 404 }, "{item}");
        assert_eq!(api.get(&format!("/api/v1/tasks/{id}")).unwrap().status, status, "to its owner: {item}");
        assert_eq!(item["event"], if kind == "deliver" { json!("capture.stored") } else { Value::Null });
        kinds.push(kind.to_owned());
    }
    kinds.sort();
    // A sweep may be done and the next one waiting.
    kinds.dedup();
    assert_eq!(kinds, ["deliver", "process", "sweep"]);
}

#[test]
fn is_not_for_who_was_switched_off() {
    let server = idle().start().unwrap();
    let person = new_user(&server);
    let mut api = Api::new(server.address(), &person.cookie, &new_session(&server, &person, &Value::Null));
    let id = queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]).remove(0);
    assert_eq!(as_person(&server, &person, "GET", &target(&id)).status, 200);
    made(&server, "PATCH", &format!("/api/v1/users/{}", person.user_id), &json!({"is_active": false}));
    assert_eq!(as_person(&server, &person, "GET", &target(&id)).status, 401);
}
