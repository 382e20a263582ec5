//! A house for a test to live in: a shared server, people, sessions, settings, and what is stored of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::server::{Server, ServerBuilder};
use testkit::{Api, Person, Request, Response};

use super::{builder, files_of_store, holds_within, unprocessed};

/// A server for tests that sign in oftener than people, all from one address.
pub fn patient() -> ServerBuilder {
    builder()
        .env("FILMGATE__IDENTITY__SIGN_INS_PER_MINUTE_PER_ADDRESS", "1000000")
        .env("FILMGATE__IDENTITY__SIGN_INS_PER_MINUTE_PER_USER", "1000000")
}

/// One server for the tests of a module, for as long as one of them runs: a server in a plain static would never be
/// dropped, and so outlive the tests.
pub struct Shared(Mutex<Weak<Server>>);

impl Shared {
    pub const fn new() -> Self {
        Self(Mutex::new(Weak::new()))
    }

    pub fn get(&self) -> Arc<Server> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(unprocessed(patient()).start().unwrap());
            *shared = Arc::downgrade(&server);
            server
        })
    }
}

/// A name that no other call gives.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{what}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Sends as the administrator.
pub fn as_admin(server: &Server, method: &str, target: &str, body: Option<&Value>) -> Response {
    let request = Request::new(method, target).cookie(&server.demo().admin.cookie);
    body.map_or(request.clone(), |body| request.json(body)).send(server.address()).unwrap()
}

/// As [`as_admin`], for what must succeed; the answer's JSON.
#[track_caller]
pub fn made(server: &Server, method: &str, target: &str, body: &Value) -> Value {
    let response = as_admin(server, method, target, Some(body));
    assert!(response.is_success(), "{method} {target} {body}: {response:?}");
    response.json()
}

/// A fresh participant, signed in.
pub fn new_user(server: &Server) -> Person {
    let (username, password) = (unique("user"), "a password of theirs".to_owned());
    let user = made(server, "POST", "/api/v1/users", &json!({"username": username, "password": password}));
    let cookie = sign_in(server, &username, &password);
    Person { username, password, user_id: user["id"].to_string(), cookie, session_id: String::new() }
}

/// The request that signs in.
pub fn sign_in_request(username: &str, password: &str) -> Request {
    Request::post("/api/v1/sign-in").json(&json!({"username": username, "password": password}))
}

/// The value of a `Cookie` header that a fresh sign-in gives.
#[track_caller]
pub fn sign_in(server: &Server, username: &str, password: &str) -> String {
    let response = sign_in_request(username, password).send(server.address()).unwrap();
    assert_eq!(response.status, 200, "{response:?}");
    response.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// A fresh session of this user, with camera settings made of these members; `null`: with none.
pub fn new_session(server: &Server, owner: &Person, settings: &Value) -> String {
    let settings = if settings.is_null() { Value::Null } else { new_settings(server, settings) };
    session_with(server, owner, &settings)
}

/// A fresh session of this user with these camera settings, as `new_settings` gave them; `null`: with none.
pub fn session_with(server: &Server, owner: &Person, settings: &Value) -> String {
    let session = json!({"user_id": owner.user_id.parse::<i64>().unwrap(), "camera_settings_id": settings["id"]});
    made(server, "POST", "/api/v1/sessions", &session)["id"].as_str().unwrap().to_owned()
}

/// Fresh camera settings of these members, under a name of their own.
pub fn new_settings(server: &Server, members: &Value) -> Value {
    let mut settings = members.clone();
    settings["setting_name"] = unique("settings").into();
    made(server, "POST", "/api/v1/camera-settings", &settings)
}

/// A client signed in as the demo's participant, on a fresh session of theirs without camera settings.
pub fn participant(server: &Server) -> Api {
    let person = &server.demo().participant;
    Api::new(server.address(), &person.cookie, &new_session(server, person, &Value::Null))
}

/// The names of an object's members.
#[track_caller]
pub fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

/// Fails unless the object has these members and no other.
#[track_caller]
pub fn assert_members<const N: usize>(value: &Value, expected: [&str; N]) {
    assert_eq!(members(value), BTreeSet::from(expected), "{value}");
}

/// The parts of an answer that could tell a caller something: all but its request id and its time.
pub fn without_id(response: &Response) -> (u16, Vec<(String, String)>, String) {
    let id = response.header("x-request-id").expect("every answer has an id");
    let telling = |(name, value): &(String, String)| (name.to_ascii_lowercase(), value.clone());
    let mut headers: Vec<_> = response.headers.iter().map(telling).collect();
    headers.retain(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    headers.sort();
    (response.status, headers, response.text().replace(id, "ID"))
}

/// Where the store keeps the photo of this filename.
#[track_caller]
pub fn stored_file(server: &Server, filename: &str) -> PathBuf {
    let aside = server.photo_folder().join(".quarantine");
    let mut files = files_of_store(server);
    files.retain(|path| path.ends_with(filename) && !path.starts_with(&aside));
    files.pop().unwrap_or_else(|| panic!("{filename} is not in the store"))
}

/// Waits until the server is in the midst of an upload, which must be the only one.
#[track_caller]
pub fn await_upload_under_way(server: &Server) {
    let is_under_way = || {
        let metrics = Request::get("/metrics").send(server.address()).unwrap().text();
        metrics.contains("filmgate_uploads_in_flight 1")
    };
    assert!(holds_within(Duration::from_secs(10), is_under_way));
}

/// What a command printed, and its exit status.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Runs a command to its end.
pub fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command of the program to its end.
pub fn filmgate(args: &[&str]) -> Ran {
    let data = args.iter().skip_while(|arg| **arg != "--data").nth(1);
    let mut command =
        data.map_or_else(|| Command::new(env!("CARGO_BIN_EXE_filmgate")), |data| program_on(Path::new(data)));
    ran(command.args(args))
}

/// The program, to be run on this data folder, with the engines that the suite runs on.
pub fn program_on(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filmgate"));
    command.envs(testkit::matrix::envs(data).unwrap());
    command
}
