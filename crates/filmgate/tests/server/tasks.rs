//! The work after an upload as HTTP and the command line show it: queued answers, tasks, their events, dead letters.

mod api;
mod camera;
mod command;
mod events;
mod letters;
mod prefer;
mod queued;
mod streams;

use std::time::Duration;

use serde_json::Value;
use testkit::server::{Server, ServerBuilder};
use testkit::{Api, Person, Request, Response, Shot};

use crate::support::{as_admin, holds_within, patient};

/// A server that runs no task, so that each stays as a test left it.
pub fn idle() -> ServerBuilder {
    patient().env("FILMGATE__PROCESSING__WORKERS", "0")
}

/// A server that gives a failing task up soon.
pub fn hasty() -> ServerBuilder {
    patient()
        .env("FILMGATE__JOBS__RETRY_DELAY_MIN_MS", "10")
        .env("FILMGATE__JOBS__RETRY_DELAY_MAX_MS", "100")
        .env("FILMGATE__JOBS__POLL_MS", "50")
        .env("FILMGATE__JOBS__ATTEMPTS_MAX", "2")
}

/// Uploads these photos; the ids of their tasks.
#[track_caller]
pub fn queue(api: &mut Api, photos: &[Vec<u8>]) -> Vec<String> {
    let shots: Vec<Shot> = photos.iter().cloned().map(Shot::interval).collect();
    let request = testkit::api::upload_request(&api.cookie, &api.session_id, &shots).header("Prefer", "respond-async");
    let answer = api.send(&request).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    ids(&answer.json()["task_ids"])
}

pub fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Sends as this person.
pub fn as_person(server: &Server, person: &Person, method: &str, target: &str) -> Response {
    Request::new(method, target).cookie(&person.cookie).send(server.address()).unwrap()
}

/// A task as an administrator sees it.
#[track_caller]
pub fn task(server: &Server, id: &str) -> Value {
    let answer = as_admin(server, "GET", &format!("/api/v1/tasks/{id}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// A task once it has ended.
#[track_caller]
pub fn ended(server: &Server, id: &str) -> Value {
    let mut seen = Value::Null;
    let has_ended = holds_within(Duration::from_secs(60), || {
        seen = task(server, id);
        ["SUCCESS", "FAILURE", "REVOKED"].contains(&seen["state"].as_str().unwrap())
    });
    assert!(has_ended, "still {seen}");
    seen
}

/// Calls a task off, as an administrator.
#[track_caller]
pub fn revoke(server: &Server, id: &str) {
    let answer = as_admin(server, "POST", &format!("/api/v1/tasks/{id}/revoke"), None);
    assert_eq!((answer.status, &answer.json()["state"]), (200, &"REVOKED".into()), "{answer:?}");
}
