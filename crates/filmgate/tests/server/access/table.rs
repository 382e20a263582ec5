//! Who may do what: a line for each route. A route that is not here fails the build of the matrix.

use serde_json::{Value, json};
use testkit::{Form, Request, photo};

use super::world::World;

/// What the owner, another participant, nobody, an administrator and the app's backend get.
pub type Expected = [u16; 5];

pub const OWNER: usize = 0;
pub const OTHER: usize = 1;
pub const NOBODY: usize = 2;
pub const ADMIN: usize = 3;
pub const BACKEND: usize = 4;

const EVERYBODY: Expected = [200; 5];
/// The contract's routes: the app's backend is nobody's camera.
const OWN: Expected = [200, 403, 401, 200, 403];
const OWN_FILE: Expected = [200, 404, 401, 200, 403];
const SIGNED_IN: Expected = [200, 200, 401, 200, 403];
const ADMINS: Expected = [403, 403, 401, 200, 403];
const MANAGERS: Expected = [403, 403, 401, 200, 200];

/// The same with another status for success.
const fn with(expected: Expected, success: u16) -> Expected {
    let mut changed = expected;
    let mut at = 0;
    while at < changed.len() {
        if changed[at] == 200 {
            changed[at] = success;
        }
        at += 1;
    }
    changed
}

/// What a route is about: something that is there, made for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    Nothing,
    OwnersSession,
    /// An id that no session has yet.
    FreshSession,
    OwnersFile,
    OwnersCapture,
    OwnersTask,
    Settings,
    Token,
    User,
    Asset,
    ClientAsset,
}

/// What a request carries, made from the id of what it is about.
pub type Body = fn(&World, &str, Request) -> Request;

pub struct Row {
    pub route: &'static str,
    pub about: About,
    pub body: Body,
    pub expected: Expected,
}

const fn row(route: &'static str, about: About, body: Body, expected: Expected) -> Row {
    Row { route, about, body, expected }
}

fn bare(_: &World, _: &str, request: Request) -> Request {
    request
}

fn batch(_: &World, session_id: &str, request: Request) -> Request {
    let photo = photo::jpeg_bytes(3_000, 1);
    let form = Form::new().text("session_id", session_id).json("metadata_0", &json!({"trigger": "INTERVAL"}));
    request.form(&form.file("capture_0", "a.jpg", "image/jpeg", &photo))
}

fn single(_: &World, _: &str, request: Request) -> Request {
    let photo = photo::jpeg_bytes(3_000, 1);
    request.form(&Form::new().text("trigger", "INTERVAL").file("image", "a.jpg", "image/jpeg", &photo))
}

fn link(world: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"capture_ids": [world.capture_id], "assessment_record_id": 1, "assessment_type": "phq"}))
}

fn credentials(world: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"username": world.owner.username, "password": world.owner.password}))
}

fn user(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"username": crate::support::unique("made"), "password": "a password of theirs"}))
}

fn user_change(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"role": "admin", "is_active": false}))
}

fn token(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"name": "made"}))
}

fn session(world: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"user_id": world.owner.user_id.parse::<i64>().unwrap_or(-1)}))
}

fn session_change(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"camera_settings_id": Value::Null}))
}

fn settings(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"setting_name": crate::support::unique("made"), "recording_mode": "EVENT_DRIVEN"}))
}

fn settings_change(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"is_active": false}))
}

fn export(_: &World, _: &str, request: Request) -> Request {
    request.json(&json!({"session_ids": [uuid::Uuid::nil()]}))
}

fn in_query(_: &World, task_id: &str, mut request: Request) -> Request {
    request.target.push_str("?task_id=");
    request.target.push_str(task_id);
    request
}

pub const TABLE: &[Row] = &[
    row("POST /assessment/camera/upload", About::OwnersSession, batch, OWN),
    row("POST /assessment/camera/upload-single/{session_id}", About::OwnersSession, single, OWN),
    row("GET /assessment/camera/settings/{session_id}", About::OwnersSession, bare, OWN),
    row("GET /assessment/camera/session/{session_id}", About::OwnersSession, bare, OWN),
    row("GET /assessment/camera/file/{filename}", About::OwnersFile, bare, OWN_FILE),
    row("GET /assessment/camera/tasks/{task_id}", About::OwnersTask, bare, OWN_FILE),
    row("POST /assessment/camera/link/{session_id}", About::OwnersSession, link, OWN),
    row("POST /assessment/camera/cleanup/{session_id}", About::OwnersSession, bare, OWN),
    row("POST /api/v1/sign-in", About::Nothing, credentials, EVERYBODY),
    row("GET /api/v1/sign-in", About::Nothing, bare, SIGNED_IN),
    row("DELETE /api/v1/sign-in", About::Nothing, bare, with(SIGNED_IN, 204)),
    row("GET /api/v1/my/sessions", About::Nothing, bare, SIGNED_IN),
    row("GET /api/v1/users", About::Nothing, bare, ADMINS),
    row("POST /api/v1/users", About::Nothing, user, with(ADMINS, 201)),
    row("GET /api/v1/users/{id}", About::User, bare, ADMINS),
    row("PATCH /api/v1/users/{id}", About::User, user_change, ADMINS),
    row("DELETE /api/v1/users/{id}/sign-ins", About::User, bare, ADMINS),
    row("GET /api/v1/tokens", About::Nothing, bare, ADMINS),
    row("POST /api/v1/tokens", About::Nothing, token, with(ADMINS, 201)),
    row("DELETE /api/v1/tokens/{id}", About::Token, bare, ADMINS),
    row("GET /api/v1/sessions", About::Nothing, bare, MANAGERS),
    row("POST /api/v1/sessions", About::Nothing, session, with(MANAGERS, 201)),
    row("GET /api/v1/sessions/{id}", About::OwnersSession, bare, MANAGERS),
    row("PUT /api/v1/sessions/{id}", About::FreshSession, session, with(MANAGERS, 201)),
    row("PATCH /api/v1/sessions/{id}", About::OwnersSession, session_change, MANAGERS),
    row("POST /api/v1/sessions/{id}/end", About::OwnersSession, bare, MANAGERS),
    row("GET /api/v1/camera-settings", About::Nothing, bare, MANAGERS),
    row("POST /api/v1/camera-settings", About::Nothing, settings, with(ADMINS, 201)),
    row("GET /api/v1/camera-settings/{id}", About::Settings, bare, MANAGERS),
    row("PATCH /api/v1/camera-settings/{id}", About::Settings, settings_change, ADMINS),
    row("GET /api/v1/sessions/{id}/export", About::OwnersSession, bare, ADMINS),
    row("GET /api/v1/sessions/{id}/gaps", About::OwnersSession, bare, ADMINS),
    row("POST /api/v1/export", About::Nothing, export, ADMINS),
    row("GET /api/v1/captures", About::Nothing, bare, ADMINS),
    row("GET /api/v1/captures/{id}", About::OwnersCapture, bare, ADMINS),
    row("DELETE /api/v1/captures/{id}", About::OwnersCapture, bare, with(ADMINS, 204)),
    row("GET /api/v1/tasks", About::Nothing, bare, SIGNED_IN),
    row("GET /api/v1/tasks/{id}", About::OwnersTask, bare, OWN_FILE),
    row("GET /api/v1/tasks/events", About::OwnersTask, in_query, OWN_FILE),
    row("POST /api/v1/tasks/{id}/retry", About::OwnersTask, bare, ADMINS),
    row("POST /api/v1/tasks/{id}/revoke", About::OwnersTask, bare, ADMINS),
    row("POST /api/v1/tasks/retry", About::Nothing, bare, ADMINS),
    row("GET /api/v1/figures", About::Nothing, bare, ADMINS),
    row("GET /api/v1/doctor", About::Nothing, bare, ADMINS),
    row("GET /livez", About::Nothing, bare, EVERYBODY),
    row("GET /readyz", About::Nothing, bare, EVERYBODY),
    row("GET /metrics", About::Nothing, bare, EVERYBODY),
    row("GET /api/v1/openapi.json", About::Nothing, bare, EVERYBODY),
    row("GET /api/v1/docs", About::Nothing, bare, EVERYBODY),
    row("GET /review", About::Nothing, bare, EVERYBODY),
    row("GET /operate", About::Nothing, bare, EVERYBODY),
    row("GET /", About::Nothing, bare, EVERYBODY),
    row("GET /pages/{*name}", About::Asset, bare, EVERYBODY),
    row("GET /client/{name}", About::ClientAsset, bare, EVERYBODY),
];
