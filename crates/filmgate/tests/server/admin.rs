//! `/api/v1/`: users, tokens, sessions, camera settings and captures, as an administrator and the app's backend use
//! them.

mod captures;
mod sessions;
mod settings;
mod tokens;
mod users;

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Request, Response};

use crate::support::{Shared, as_admin, assert_members, made, unique};

static SERVER: Shared = Shared::new();

/// Fails unless the answer is a problem (RFC 9457) of this status and code, with the request's id.
#[track_caller]
fn assert_problem(response: &Response, status: u16, code: &str) {
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{response:?}");
    let body = response.json();
    assert_members(&body, ["type", "title", "status", "detail", "code", "request_id"]);
    assert_eq!((response.status, &body["status"], &body["code"]), (status, &json!(status), &json!(code)), "{body}");
    assert_eq!(body["request_id"].as_str(), response.header("x-request-id"));
    assert_eq!(body["type"], "about:blank");
    for words in ["title", "detail"] {
        assert!(!body[words].as_str().unwrap().is_empty(), "{words}: {body}");
    }
}

/// Sends each body, and fails unless each gets its problem.
fn assert_problems(server: &Server, method: &str, target: &str, cases: &[(Value, u16, &str)]) {
    for (body, status, code) in cases {
        let response = as_admin(server, method, target, Some(body));
        assert_eq!(response.status, *status, "{method} {target} {body}: {response:?}");
        assert_problem(&response, *status, code);
    }
}

/// A fresh service token's secret.
fn backend(server: &Server) -> String {
    let token = made(server, "POST", "/api/v1/tokens", &json!({"name": unique("backend")}));
    token["secret"].as_str().unwrap().to_owned()
}

/// Sends as the app's backend.
fn as_backend(server: &Server, secret: &str, method: &str, target: &str, body: &Value) -> Response {
    let request = Request::new(method, target).header("Authorization", &format!("Bearer {secret}"));
    request.json(body).send(server.address()).unwrap()
}

/// Every item of a listing, page after page of `limit`, and how many pages there were.
fn pages(server: &Server, list: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut items, mut count, mut cursor) = (Vec::new(), 0, String::new());
    let joint = if list.contains('?') { '&' } else { '?' };
    loop {
        let body = as_admin(server, "GET", &format!("{list}{joint}limit={limit}{cursor}"), None).json();
        assert_members(&body, ["items", "next_cursor"]);
        let page = body["items"].as_array().unwrap();
        assert!(page.len() <= limit);
        items.extend(page.iter().cloned());
        count += 1;
        match body["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(page.len(), limit, "a page before the last is full");
                cursor = format!("&cursor={next}");
            }
            None => return (items, count),
        }
    }
}

#[test]
fn problems_of_the_interface_itself() {
    let server = SERVER.get();
    let admin = &server.demo().admin.cookie;
    let post = |kind: &str, body: &[u8]| Request::post("/api/v1/users").cookie(admin).body(kind, body.to_vec());
    let deep = format!("{{\"username\":{}", "[".repeat(5_000));
    let cases = [
        (Request::get("/api/v1/users"), 401, "unauthenticated"),
        (Request::get("/api/v1/users").cookie(&server.demo().participant.cookie), 403, "forbidden"),
        (Request::get("/api/v1/nothing").cookie(admin), 404, "not_found"),
        (Request::get("/nothing").cookie(admin), 404, "not_found"),
        (Request::new("PUT", "/api/v1/users").cookie(admin), 405, "method_not_allowed"),
        (post("text/plain", b"{}"), 415, "not_json"),
        (Request::post("/api/v1/users").cookie(admin), 415, "not_json"),
        (post("application/json", b""), 400, "malformed_json"),
        (post("application/json", b"{"), 400, "malformed_json"),
        (post("application/json", b"\xff\xfe"), 400, "malformed_json"),
        (post("application/json", deep.as_bytes()), 422, "invalid"),
        (post("application/json", b"[]"), 422, "invalid"),
        (post("application/json", &vec![b' '; 70_000]), 413, "body_too_large"),
        (Request::get("/api/v1/users?limit=x").cookie(admin), 400, "malformed_query"),
        (Request::get("/api/v1/users?limit=0").cookie(admin), 400, "malformed_query"),
        (Request::get("/api/v1/users?limit=-1").cookie(admin), 400, "malformed_query"),
        (Request::get("/api/v1/users?cursor=x").cookie(admin), 400, "bad_cursor"),
        (Request::get("/api/v1/captures?cursor=x").cookie(admin), 400, "bad_cursor"),
        (Request::get("/api/v1/captures?cursor=1.2.3").cookie(admin), 400, "bad_cursor"),
        (Request::get("/api/v1/captures?session_id=x").cookie(admin), 400, "malformed_query"),
    ];
    for (request, status, code) in &cases {
        let response = request.send(server.address()).unwrap();
        assert_eq!(response.status, *status, "{} {}: {response:?}", request.method, request.target);
        assert_problem(&response, *status, code);
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge, (*status == 401).then_some("Bearer realm=\"filmgate\""));
    }
    println!("{} problems", cases.len());
}
