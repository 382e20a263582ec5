//! Asking the app who somebody is: what it is asked, what its answers mean, and what becomes of uploads while it is
//! slow, down or odd.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Request;
use testkit::server::{Server, ServerBuilder};

use super::app::{Answer, App, Asked, answer, json};
use super::{refused, send, session_of, upload, user, who};
use crate::support::{assert_nothing_left, code_of, patient, unprocessed};

/// An app with server-side sessions: the cookie `sid` is a number of nothing that anybody else could read.
fn sessions(asked: &Asked) -> Vec<u8> {
    match asked.cookie("sid") {
        Some("of-4711") => answer(200, &[("X-Auth-Request-User", "4711")], "ok"),
        Some("of-4712") => answer(200, &[("Remote-User", " 4712 ")], "ok"),
        Some("of-7") => json(&json!({"user_id": 7, "username": "Grace", "roles": ["staff", "admin"]})),
        Some("of-8") => json(&json!({"user_id": "8", "username": "Alan", "roles": ["staff"]})),
        Some("of-anna") => json(&json!({"user_id": "anna"})),
        Some("anonymous") => json(&json!({"user_id": null})),
        Some("signed-out") => answer(302, &[("Location", "/login"), ("X-Auth-Request-User", "4711")], ""),
        _ if asked.header("authorization") == Some("Basic NDcxMTp4") => answer(200, &[("Remote-User", "4711")], ""),
        _ if asked.header("authorization") == Some("Bearer opaque") => answer(200, &[("Remote-User", "4711")], ""),
        _ => answer(401, &[], ""),
    }
}

fn forward(app: &App) -> ServerBuilder {
    unprocessed(patient())
        .env("FILMGATE__IDENTITY__PROVIDER", "forward")
        .env("FILMGATE__IDENTITY__FORWARD__URL", &app.url("/whoami?for=filmgate"))
        .env("FILMGATE__IDENTITY__FORWARD__ADMIN_MEMBER", "roles")
        .env("FILMGATE__IDENTITY__FORWARD__ADMIN_VALUE", "admin")
        .env("FILMGATE__SERVER__TRUSTED_PROXIES", "127.0.0.1")
}

fn as_sid(server: &Server, sid: &str) -> testkit::Response {
    who(server, |request| request.cookie(&format!("sid={sid}")))
}

#[test]
fn the_app_says_who_it_is() {
    let app = App::start(sessions);
    let server = forward(&app).start().unwrap();
    let session = session_of(&server, 4711);
    let cases = [
        (upload(&session).cookie("sid=of-4711"), 200),
        (upload(&session).cookie("theme=dark; sid=of-4711"), 200),
        (upload(&session).cookie("sid=of-4712"), 403),
        (upload(&session).cookie("sid=of-7"), 200),
        (upload(&session).cookie("sid=of-anna"), 401),
        (upload(&session).cookie("sid=anonymous"), 401),
        (upload(&session).cookie("sid=signed-out"), 401),
        (upload(&session).cookie("sid=made-up"), 401),
        (upload(&session), 401),
        (upload(&session).header("X-Auth-Request-User", "4711"), 401),
        (upload(&session).header("Remote-User", "4711").cookie("sid=made-up"), 401),
        (upload(&session).header("Authorization", "Basic NDcxMTp4"), 200),
        (upload(&session).header("Authorization", "Basic NDcxMTp5"), 401),
        (upload(&session).header("Authorization", "Bearer opaque"), 200),
        (upload(&session).cookie("sid=of-4711").header("Authorization", "Bearer fgt_no"), 200),
        (upload(&session).cookie("sid=of-4711").header("Sec-Fetch-Site", "cross-site"), 403),
        (upload(&session).header("Authorization", "Basic NDcxMTp4").header("Sec-Fetch-Site", "cross-site"), 403),
        (upload(&session).header("Authorization", "Bearer opaque").header("Sec-Fetch-Site", "cross-site"), 200),
    ];
    for (request, status) in &cases {
        let answer = send(&server, request);
        assert_eq!(answer.status, *status, "{:?}: {answer:?}", &request.headers[1..]);
    }
    assert_eq!(user(&as_sid(&server, "of-7")), json!({"id": 7, "username": "Grace", "role": "admin"}));
    assert_eq!(user(&as_sid(&server, "of-8")), json!({"id": 8, "username": "Alan", "role": "participant"}));
    assert_eq!(user(&as_sid(&server, "of-4711")), json!({"id": 4711, "username": "4711", "role": "participant"}));
    assert!(refused(&server, "not_integer") > 0);
    assert!(!server.log().contains("anna"));
    println!("{} requests", cases.len());
}

#[test]
fn the_app_sees_cookies_and_authorization_and_never_a_body_or_our_own_cookie() {
    let app = App::start(sessions);
    let server = forward(&app).start().unwrap();
    let session = session_of(&server, 4711);
    let before = app.times();
    let stale = format!("filmgate_sign_in={}", "0".repeat(64));
    let request = upload(&session)
        .header("Cookie", &format!("{stale}; a=1"))
        .header("Cookie", "sid=of-4711;b=2")
        .header("User-Agent", "Camera/1")
        .header("X-Forwarded-For", "203.0.113.5, 10.0.0.1")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "clinic.example.org");
    assert_eq!(send(&server, &request).status, 200);
    let asked = app.asked()[before..].to_vec();
    let [asked] = asked.as_slice() else { panic!("asked {} times", asked.len()) };
    assert_eq!(asked.line, "GET /whoami?for=filmgate HTTP/1.1");
    assert_eq!(asked.body, b"");
    let expected = [
        ("cookie", Some("a=1; sid=of-4711; b=2")),
        ("user-agent", Some("Camera/1")),
        ("x-forwarded-for", Some("203.0.113.5")),
        ("x-forwarded-method", Some("POST")),
        ("x-forwarded-uri", Some("/assessment/camera/upload")),
        ("x-forwarded-host", Some("clinic.example.org")),
        ("x-forwarded-proto", Some("https")),
        ("authorization", None),
        ("content-type", None),
        ("content-length", None),
        ("transfer-encoding", None),
    ];
    for (name, value) in expected {
        assert_eq!(asked.header(name), value, "{name}");
    }
    // With names, those alone, and a change of others does not ask again.
    let server = forward(&app).env("FILMGATE__IDENTITY__FORWARD__COOKIE_NAMES", "sid").start().unwrap();
    let before = app.times();
    for number in 0..5 {
        let cookie = format!("_ga={number}; sid=of-4711");
        assert_eq!(who(&server, |request| request.cookie(&cookie)).status, 200);
    }
    assert_eq!(who(&server, |request| request.cookie("_ga=1")).status, 401, "without any there is nobody to ask about");
    assert_eq!(app.times(), before + 1);
    assert_eq!(app.asked()[before].header("cookie"), Some("sid=of-4711"));
}

#[test]
fn an_answer_counts_for_its_credentials_and_no_longer_than_it_may() {
    let app = App::start(sessions);
    let server = forward(&app).env("FILMGATE__IDENTITY__FORWARD__CACHE_MS", "1500").start().unwrap();
    let before = app.times();
    for _ in 0..20 {
        assert_eq!(as_sid(&server, "of-4711").status, 200);
    }
    assert_eq!(app.times(), before + 1, "asked once for twenty requests");
    let elsewhere = who(&server, |request| request.cookie("sid=of-4711").header("User-Agent", "another"));
    assert_eq!((elsewhere.status, app.times()), (200, before + 2), "another browser is another question");
    assert_eq!(as_sid(&server, "of-4712").json()["user"]["id"], 4712);

    // Revoked: out within the time that answers count, and not a moment earlier is promised.
    app.now_answers(|_| answer(401, &[], ""));
    let revoked_at = Instant::now();
    let mut last_in = Duration::ZERO;
    while as_sid(&server, "of-4711").status == 200 {
        last_in = revoked_at.elapsed();
        assert!(last_in < Duration::from_millis(1_600), "in for longer than the answer counted");
        thread::sleep(Duration::from_millis(20));
    }
    // Back again: that somebody is nobody counts a second.
    app.now_answers(sessions);
    let back_at = Instant::now();
    while as_sid(&server, "of-4711").status != 200 {
        assert!(back_at.elapsed() < Duration::from_millis(1_200));
        thread::sleep(Duration::from_millis(20));
    }
    println!("revoked: last let in after {last_in:?}; back after {:?}", back_at.elapsed());

    let server = forward(&app).env("FILMGATE__IDENTITY__FORWARD__CACHE_MS", "0").start().unwrap();
    let before = app.times();
    for _ in 0..3 {
        assert_eq!(as_sid(&server, "of-4711").status, 200);
    }
    assert_eq!(app.times(), before + 3, "with no time to keep it, asked each time");
}

#[test]
fn the_same_question_is_asked_once_however_many_wait() {
    let at_once = Arc::new(AtomicUsize::new(0));
    let app = App::start(|asked| {
        thread::sleep(Duration::from_millis(400));
        sessions(asked)
    });
    let server = Arc::new(forward(&app).start().unwrap());
    let before = app.times();
    let callers: Vec<_> = (0..40)
        .map(|_| {
            let (server, at_once) = (server.clone(), at_once.clone());
            thread::spawn(move || {
                at_once.fetch_add(1, Ordering::Relaxed);
                as_sid(&server, "of-4711").status
            })
        })
        .collect();
    let statuses: Vec<u16> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(app.times(), before + 1, "one question for {} callers", at_once.load(Ordering::Relaxed));
    println!("{} callers, one question", statuses.len());
}

#[test]
fn while_the_app_cannot_say_nobody_gets_in_and_everybody_is_told_when_to_come_back() {
    let app = App::start(sessions);
    let address = app.address();
    let server = forward(&app)
        .env("FILMGATE__IDENTITY__FORWARD__TIMEOUT_MS", "300")
        .env("FILMGATE__IDENTITY__FORWARD__CACHE_MS", "400")
        .start()
        .unwrap();
    let session = session_of(&server, 4711);
    let huge = "x".repeat(3_000_000);
    let faults: Vec<(&str, Answer)> = vec![
        (
            "slow",
            Box::new(|asked| {
                thread::sleep(Duration::from_secs(2));
                sessions(asked)
            }),
        ),
        ("breaks off", Box::new(|_| b"HTTP/1.1 200 OK\r\nContent-Le".to_vec())),
        ("hangs up", Box::new(|_| Vec::new())),
        ("no HTTP", Box::new(|_| b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("500", Box::new(|_| answer(500, &[("X-Auth-Request-User", "4711")], ""))),
        ("502", Box::new(|_| answer(502, &[], "<html>"))),
        ("503", Box::new(|_| answer(503, &[], ""))),
        ("429", Box::new(|_| answer(429, &[], ""))),
        ("404", Box::new(|_| answer(404, &[], ""))),
        ("huge", Box::new(move |_| json(&json!({"user_id": 4711, "x": huge})))),
        ("no JSON", Box::new(|_| answer(200, &[("Content-Type", "application/json")], "{\"user_id\": 4711"))),
        (
            "half a body",
            Box::new(|_| {
                let whole = json(&json!({"user_id": 4711}));
                whole[..whole.len() - 3].to_vec()
            }),
        ),
    ];
    let count = faults.len();
    for (what, fault) in faults {
        app.now_answers(fault);
        let began = Instant::now();
        let answer = send(&server, &upload(&session).cookie(&format!("sid=of-4711; fault={}", what.replace(' ', "-"))));
        let took = began.elapsed();
        assert_eq!((answer.status, code_of(&answer).as_str()), (503, "identity_unavailable"), "{what}: {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("2"), "{what}");
        assert!(took < Duration::from_secs(1), "{what}: {took:?}");
    }
    assert_nothing_left(&server);

    app.now_answers(sessions);
    assert_eq!(as_sid(&server, "of-4711").status, 200);
    drop(app);
    assert_eq!(as_sid(&server, "of-4711").status, 200, "what was answered a moment ago still counts");
    thread::sleep(Duration::from_millis(500));
    let down = send(&server, &upload(&session).cookie("sid=of-4711"));
    assert_eq!((down.status, code_of(&down).as_str()), (503, "identity_unavailable"));
    // Whoever the app has no part in is let in all the same.
    let admin = &server.demo().admin.cookie;
    assert_eq!(send(&server, &Request::get("/api/v1/users").cookie(admin)).status, 200);
    assert_eq!(send(&server, &Request::get("/readyz")).status, 200);
    let app = App::on(address, sessions);
    assert_eq!(send(&server, &upload(&session).cookie("sid=of-4711")).status, 200, "it is back");
    let log = server.log();
    assert!(log.contains("asking who somebody is: it answered 404: is identity.forward.url right?"), "{log}");
    assert!(log.contains("it cannot be reached") && !log.contains("of-4711"));
    assert_eq!(app.times(), 1);
    println!("{count} faults");
}
