//! Dead letters and revoked tasks: run again, called off, one by one and all at once.

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Response, photo};

use super::{ended, hasty, idle, queue, revoke, task};
use crate::support::{as_admin, code_of, participant, with_comment};

fn change(server: &Server, id: &str, what: &str) -> Response {
    as_admin(server, "POST", &format!("/api/v1/tasks/{id}/{what}"), None)
}

#[test]
fn only_what_ended_without_success_is_run_again() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let id = queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]).remove(0);
    let early = change(&server, &id, "retry");
    assert_eq!((early.status, code_of(&early).as_str()), (409, "conflict"));
    revoke(&server, &id);
    revoke(&server, &id);
    let retried = change(&server, &id, "retry");
    let body = retried.json();
    assert_eq!((retried.status, &body["state"], &body["attempts"]), (200, &json!("PENDING"), &json!(0)));
    assert_eq!((&body["error"], &body["finished_at"]), (&Value::Null, &Value::Null));
    assert_eq!(task(&server, &id)["state"], "PENDING");

    revoke(&server, &id);
    let capture_id = task(&server, &id)["capture_id"].as_str().unwrap().to_owned();
    assert_eq!(as_admin(&server, "DELETE", &format!("/api/v1/captures/{capture_id}"), None).status, 204);
    let deleted = change(&server, &id, "retry");
    assert_eq!((deleted.status, code_of(&deleted).as_str()), (409, "conflict"), "{deleted:?}");
    assert!(deleted.text().contains("deleted"), "{deleted:?}");

    let sweep = as_admin(&server, "GET", "/api/v1/tasks?kind=sweep", None).json()["items"][0]["id"].clone();
    assert_eq!(change(&server, sweep.as_str().unwrap(), "revoke").status, 409);
    for what in ["retry", "revoke"] {
        assert_eq!(change(&server, &uuid::Uuid::now_v7().to_string(), what).status, 404);
        assert_eq!(change(&server, "x", what).status, 404);
    }
}

#[test]
fn a_task_that_succeeded_is_neither_called_off_nor_run_again() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let id = queue(&mut api, &[photo::jpeg(64, 48, 1)]).remove(0);
    let done = ended(&server, &id);
    assert_eq!((&done["state"], &done["attempts"]), (&json!("SUCCESS"), &json!(1)));
    assert!(done["worker"].as_str().unwrap().starts_with("serve/"), "{done}");
    for what in ["retry", "revoke"] {
        assert_eq!(change(&server, &id, what).status, 409, "{what}");
    }
    assert_eq!(task(&server, &id), done);
}

#[test]
fn poison_becomes_a_dead_letter_and_the_others_go_on() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let poison = with_comment(&photo::jpeg(64, 48, 7), b"FILMGATE-FAULT-ABORT");
    let photos: Vec<Vec<u8>> =
        (0..6).map(|at| if at % 3 == 0 { poison.clone() } else { photo::jpeg(64, 48, at) }).collect();
    let ids = queue(&mut api, &photos);
    for (at, id) in ids.iter().enumerate() {
        let seen = ended(&server, id);
        let (state, attempts) = if at % 3 == 0 { ("FAILURE", 2) } else { ("SUCCESS", 1) };
        assert_eq!((&seen["state"], &seen["attempts"]), (&json!(state), &json!(attempts)), "photo {at}: {seen}");
        assert_eq!(seen["error"].is_string(), at % 3 == 0, "{seen}");
    }
    assert!(api.is_up("/livez"), "a decoder died, and not the server");

    // Run again it fails again, with all its attempts.
    let answer = as_admin(&server, "POST", "/api/v1/tasks/retry?kind=process", None);
    assert_eq!((answer.status, answer.json()), (200, json!({"retried": 2, "refused": 0, "more": false})));
    for at in [0, 3] {
        assert_eq!(ended(&server, &ids[at])["attempts"], 2);
    }
    let filters = [
        ("kind=deliver".to_owned(), 0),
        (format!("session_id={}", participant(&server).session_id), 0),
        (format!("capture_id={}", task(&server, &ids[0])["capture_id"].as_str().unwrap()), 1),
        (format!("session_id={}", api.session_id), 2),
    ];
    for (filter, count) in filters {
        let target = format!("/api/v1/tasks/retry?{filter}");
        let answer = as_admin(&server, "POST", &target, None).json();
        assert_eq!(answer, json!({"retried": count, "refused": 0, "more": false}), "{filter}");
        for at in [0, 3] {
            assert_eq!(ended(&server, &ids[at])["state"], "FAILURE");
        }
    }
    assert_eq!(as_admin(&server, "POST", "/api/v1/tasks/retry?kind=x", None).status, 400);
}

#[test]
fn a_task_called_off_while_it_runs_takes_no_effect() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let hanging = with_comment(&photo::jpeg(64, 48, 1), b"FILMGATE-FAULT-HANG");
    let id = queue(&mut api, &[hanging]).remove(0);
    let is_running = || task(&server, &id)["state"] == "STARTED";
    assert!(crate::support::holds_within(std::time::Duration::from_secs(30), is_running));
    revoke(&server, &id);
    // The worker is free for the next one as soon as it has noticed.
    let next = queue(&mut api, &[photo::jpeg(64, 48, 2)]).remove(0);
    assert_eq!(ended(&server, &next)["state"], "SUCCESS");
    assert_eq!(task(&server, &id)["state"], "REVOKED");
    let capture_id = task(&server, &id)["capture_id"].as_str().unwrap().to_owned();
    let detail = as_admin(&server, "GET", &format!("/api/v1/captures/{capture_id}"), None).json();
    assert_eq!(detail["processing"]["state"], "PENDING", "{detail}");
}
