//! Users of an app around Filmgate: who they are at the socket, and who is nobody.

mod app;
mod flask;
mod forward;
mod jwt;

use serde_json::{Value, json};
use testkit::api::{Shot, upload_form};
use testkit::server::Server;
use testkit::{Request, Response, photo};

use crate::support::as_admin;

/// A session of this user of the app's, which takes photos of the interval.
fn session_of(server: &Server, user_id: i64) -> String {
    let settings = as_admin(server, "GET", "/api/v1/camera-settings", None).json();
    let session = json!({"user_id": user_id, "camera_settings_id": settings["items"][0]["id"]});
    let answer = as_admin(server, "POST", "/api/v1/sessions", Some(&session));
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// An upload of one photo into this session, by nobody yet.
fn upload(session_id: &str) -> Request {
    Request::post("/assessment/camera/upload")
        .form(&upload_form(session_id, &[Shot::interval(photo::jpeg_bytes(3_000, 7))]))
}

fn send(server: &Server, request: &Request) -> Response {
    request.send(server.address()).unwrap()
}

fn who(server: &Server, request: impl Fn(Request) -> Request) -> Response {
    send(server, &request(Request::get("/api/v1/sign-in")))
}

/// The user that an answer of `/api/v1/sign-in` tells of.
#[track_caller]
fn user(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["user"].clone()
}

/// How often something was refused for this reason.
#[track_caller]
fn refused(server: &Server, reason: &str) -> u64 {
    let metrics = Request::get("/metrics").send(server.address()).unwrap().text();
    let line = format!("filmgate_identity_refused_total{{reason=\"{reason}\"}} ");
    let count = metrics.lines().find_map(|found| found.strip_prefix(&line));
    count.unwrap_or_else(|| panic!("no {line}")).parse().unwrap()
}
