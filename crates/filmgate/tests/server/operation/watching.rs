//! `/livez`, `/readyz`, `/metrics`, and the id of every answer.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};
use testkit::{Connection, Request, Response, photo};

use crate::support::{GRACE, Shared, as_admin, assert_members, builder, holds_within, participant};

static SERVER: Shared = Shared::new();

#[test]
fn alive_and_ready() {
    let server = SERVER.get();
    let get = |target: &str| Request::get(target).send(server.address()).unwrap();
    let alive = get("/livez");
    assert_eq!((alive.status, alive.text().as_str()), (200, "ok\n"));
    let ready = get("/readyz");
    assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "problems": []})));
}

#[test]
fn not_ready_with_too_little_disk_and_still_alive() {
    let server = builder().env("FILMGATE__INGEST__FREE_BYTES_MIN", "1125899906842624").start().unwrap();
    let mut api = server.participant();
    let answer = api.get("/readyz").unwrap();
    assert_eq!((answer.status, &answer.json()["ready"]), (503, &json!(false)));
    assert!(answer.json()["problems"][0].as_str().unwrap().contains("ingest.free_bytes_min"), "{answer:?}");
    assert_eq!(api.get("/livez").unwrap().status, 200);
    let refused = api.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (507, &json!("disk_full")));
    assert!(api.list().unwrap().is_empty());
}

#[test]
fn not_ready_while_another_program_holds_the_catalog() {
    if !crate::support::is_of_files("a catalog that another program holds") {
        return;
    }
    let server = builder().start().unwrap();
    let held = testkit::rig::catalog::hold(server.data()).unwrap();
    let mut api = server.participant();
    let upload = std::thread::spawn(move || api.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap());
    let problems = || Request::get("/readyz").send(server.address()).unwrap().json()["problems"].to_string();
    assert!(holds_within(GRACE, || problems().contains("another program holds the catalog")), "{}", problems());
    let refused = upload.join().unwrap();
    assert_eq!((refused.status, &refused.json()["code"]), (503, &json!("overloaded")), "{refused:?}");
    assert!(refused.json()["error"].as_str().unwrap().contains("holds the catalog"), "{refused:?}");
    assert!(refused.header("Retry-After").is_some());
    drop(held);
    assert!(holds_within(GRACE, || problems() == "[]"), "{}", problems());
    let mut api = server.participant();
    assert_eq!(api.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap().status, 200);
}

/// What dashboards and alerts are made of.
const METRICS: [&str; 20] = [
    "filmgate_http_requests",
    "filmgate_http_request_seconds",
    "filmgate_refusals",
    "filmgate_disk_free_bytes",
    "filmgate_commit_seconds",
    "filmgate_commit_requests",
    "filmgate_catalog_write_queue",
    "filmgate_catalog_write_failures",
    "filmgate_file_fsync_seconds",
    "filmgate_directory_fsync_seconds",
    "filmgate_disk_wait_seconds",
    "filmgate_disk_queue",
    "filmgate_staging_files",
    "filmgate_uploads",
    "filmgate_captures_stored",
    "filmgate_bytes_stored",
    "filmgate_captures_skipped",
    "filmgate_replays",
    "filmgate_uploads_in_flight",
    "filmgate_bytes_in_flight",
];

fn value_of(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

#[test]
fn metrics_count_and_name_nobody() {
    let server = crate::support::server();
    let mut api = server.participant();
    let photo = photo::jpeg_bytes(3_000, 1);
    let stored = api.upload_photo(&photo).unwrap().json();
    let filename = stored["captures"][0]["filename"].as_str().unwrap();
    api.file(filename).unwrap();
    api.get("/assessment/camera/session/somebody-else").unwrap();
    api.get("/nowhere/at/all").unwrap();
    api.send(&Request::new("INVENTED", "/livez")).unwrap();
    let session_target = format!("/assessment/camera/session/{}", api.session_id);
    api.get(&session_target).unwrap();

    let answer = api.get("/metrics").unwrap();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let typed: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let missing: Vec<_> = METRICS.iter().filter(|name| !typed.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {typed:?}");
    let samples = [
        ("filmgate_uploads_total", 1.0),
        ("filmgate_captures_stored_total", 1.0),
        ("filmgate_bytes_stored_total", 3_000.0),
        ("filmgate_uploads_in_flight", 0.0),
        ("filmgate_bytes_in_flight", 0.0),
        ("filmgate_staging_files", 0.0),
        (r#"filmgate_refusals_total{code="not_found"}"#, 1.0),
        (r#"filmgate_refusals_total{code="session_not_found"}"#, 1.0),
        (r#"filmgate_http_requests_total{method="GET",route="(none)",status="404"}"#, 1.0),
        (r#"filmgate_http_requests_total{method="other",route="/livez",status="405"}"#, 1.0),
        (
            r#"filmgate_http_requests_total{method="GET",route="/assessment/camera/session/{session_id}",status="403"}"#,
            1.0,
        ),
        (
            r#"filmgate_http_requests_total{method="GET",route="/assessment/camera/session/{session_id}",status="200"}"#,
            1.0,
        ),
        (r#"filmgate_http_requests_total{method="POST",route="/assessment/camera/upload",status="200"}"#, 1.0),
    ];
    for (sample, value) in samples {
        assert!((value_of(&text, sample) - value).abs() < 0.1, "{sample}");
    }
    assert!(value_of(&text, "filmgate_disk_free_bytes") > 0.0);
    let person = &server.demo().participant;
    let private = [
        api.session_id.as_str(),
        stored["captures"][0]["id"].as_str().unwrap(),
        filename,
        &person.username,
        "INVENTED",
        "somebody-else",
        "nowhere",
    ];
    for word in private {
        assert!(!text.contains(word), "{word}");
    }
    println!("{} metrics, {} samples", METRICS.len(), samples.len());
}

/// The answer to raw bytes.
fn raw(address: std::net::SocketAddr, bytes: &[u8]) -> Response {
    let mut connection = Connection::open(address).unwrap();
    connection.write(bytes).unwrap();
    connection.read_response(false).unwrap()
}

#[test]
fn every_answer_has_an_id_and_headers_that_protect() {
    let server = SERVER.get();
    let address = server.address();
    let mut api = participant(&server);
    let stored = api.upload_photo(&photo::jpeg_bytes(3_000, 1)).unwrap();
    let id = stored.json()["captures"][0]["id"].as_str().unwrap().to_owned();
    let filename = stored.json()["captures"][0]["filename"].as_str().unwrap().to_owned();
    let cookie = api.cookie.clone();
    let get = |target: &str| Request::get(target).cookie(&cookie).send(address).unwrap();
    let huge = format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let answers = [
        ("a page", 200, get("/")),
        ("an asset", 200, get("/pages/filmgate.css")),
        ("health", 200, get("/livez")),
        ("an upload", 200, stored),
        ("a photo", 200, get(&format!("/assessment/camera/file/{filename}"))),
        ("nothing", 404, get("/nothing")),
        ("nothing of the contract", 404, get("/assessment/camera/nothing")),
        ("a path that no route can hold", 404, get("/assessment/camera/file/%00")),
        ("a wrong method", 405, Request::new("PUT", "/livez").send(address).unwrap()),
        ("nobody", 401, Request::get("/api/v1/users").send(address).unwrap()),
        ("forbidden", 403, get("/api/v1/users")),
        ("a conflict of media types", 415, Request::post("/api/v1/sign-in").send(address).unwrap()),
        ("gone", 204, as_admin(&server, "DELETE", &format!("/api/v1/captures/{id}"), None)),
        ("no host", 400, raw(address, b"GET / HTTP/1.1\r\n\r\n")),
        ("two hosts", 400, raw(address, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")),
        ("no HTTP", 400, raw(address, b"no HTTP at all\r\n\r\n")),
        ("too long a header", 431, raw(address, huge.as_bytes())),
    ];
    let mut ids = HashSet::new();
    let mut without = Vec::new();
    for (what, status, answer) in &answers {
        assert_eq!(answer.status, *status, "{what}: {answer:?}");
        match answer.header("x-request-id") {
            Some(id) => assert!(id.len() == 32 && ids.insert(id), "{what}: {id}"),
            None => without.push(*what),
        }
        if answer.header("x-request-id").is_some() {
            for (name, value) in [("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")] {
                assert_eq!(answer.header(name), Some(value), "{what}");
            }
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{what}: {policy}");
            assert!(answer.header("cache-control").is_some(), "{what}");
            let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
            if let Some(told) = body.as_ref().and_then(|body| body["request_id"].as_str()) {
                assert_eq!(Some(told), answer.header("x-request-id"), "{what}");
            }
        }
    }
    // What hyper cannot read as a request at all it refuses by itself, with a status and nothing more.
    assert_eq!(without, ["no HTTP", "too long a header"], "answers without an id");
    println!("{} answers", answers.len());
}

#[test]
fn readiness_says_the_same_by_every_method_that_asks() {
    let server = SERVER.get();
    let head = Request::new("HEAD", "/readyz").send(server.address()).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_members(&Request::get("/readyz").send(server.address()).unwrap().json(), ["ready", "problems"]);
}
