//! A Flask app's cookies. Those of the real libraries are read in `crates/identity/tests/flask`; here they are made by
//! hand, to be good or bad in every way, and sent to the whole server.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;
use sha2::{Digest, Sha512};
use testkit::Request;
use testkit::server::ServerBuilder;

use super::{refused, send, session_of, upload, user, who};
use crate::support::{
    as_admin, assert_nothing_left, code_of, filmgate, made, new_user, patient, sign_in_request, unprocessed,
};

const KEY: &str = "the key of the app in force";
const OLD: &str = "the key before it";
const USER: i64 = 4_711;

fn flask() -> ServerBuilder {
    let keys = format!("{KEY},{OLD}");
    unprocessed(patient())
        .env("FILMGATE__IDENTITY__PROVIDER", "flask")
        .env("FILMGATE__IDENTITY__FLASK__SECRET_KEYS", &keys)
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// As itsdangerous signs it.
fn signed(key: &str, salt: &str, payload: &str, at: i64) -> String {
    let hmac = |key: &[u8], text: &str| {
        <Hmac<Sha1> as KeyInit>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes()
    };
    let at = at.to_be_bytes();
    let text = format!("{payload}.{}", URL_SAFE_NO_PAD.encode(&at[at.iter().take_while(|byte| **byte == 0).count()..]));
    format!("session={text}.{}", URL_SAFE_NO_PAD.encode(hmac(&hmac(key.as_bytes(), salt), &text)))
}

fn of(key: &str, session: &str) -> String {
    signed(key, "cookie-session", &URL_SAFE_NO_PAD.encode(session), now())
}

/// The cookie of this user's session.
fn cookie(user_id: &str) -> String {
    of(KEY, &json!({"_fresh": true, "_user_id": user_id}).to_string())
}

fn remember(key: &str, user_id: &str) -> String {
    let signer = <Hmac<sha2::Sha512> as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
    let signature = signer.chain_update(user_id).finalize().into_bytes();
    format!("remember_token={user_id}|{}", hex::encode(signature))
}

#[test]
fn the_apps_cookie_uploads_reads_and_lists_for_its_user_alone() {
    let server = flask().start().unwrap();
    let session = session_of(&server, USER);
    let (mine, anothers) = (cookie("4711"), cookie("4712"));
    let answer = send(&server, &upload(&session).cookie(&mine));
    assert_eq!(answer.status, 200, "{answer:?}");
    let filename = answer.json()["captures"][0]["filename"].as_str().unwrap().to_owned();
    assert_eq!(code_of(&send(&server, &upload(&session).cookie(&anothers))), "", "the contract's plain words");
    let file = format!("/assessment/camera/file/{filename}");
    let cases = [
        (upload(&session).cookie(&anothers), 403),
        (upload(&session), 401),
        (Request::get(&file).cookie(&mine), 200),
        (Request::get(&file).cookie(&anothers), 404),
        (Request::get(&format!("/assessment/camera/session/{session}")).cookie(&mine), 200),
        (Request::get(&format!("/assessment/camera/session/{session}")).cookie(&anothers), 403),
        (Request::get("/api/v1/users").cookie(&mine), 403),
        (Request::get("/api/v1/my/sessions").cookie(&mine), 200),
        (Request::new("DELETE", "/api/v1/sign-in").cookie(&mine), 409),
        (upload(&session).cookie(&remember(KEY, "4711")), 200),
        (upload(&session).cookie(&of(OLD, r#"{"_user_id":"4711"}"#)), 200),
        (upload(&session).header("Cookie", "theme=dark").header("Cookie", &mine), 200),
        (upload(&session).cookie(&format!("theme=dark;{mine} ; _ga=1")), 200),
        (upload(&session).cookie(&mine).header("Authorization", "Basic bm9ib2R5Og=="), 401),
        (upload(&session).cookie(&mine).header("Authorization", "Bearer fgt_x"), 401),
        (upload(&session).cookie(&mine).header("Sec-Fetch-Site", "same-origin"), 200),
        (upload(&session).cookie(&mine).header("Sec-Fetch-Site", "cross-site"), 403),
        (upload(&session).cookie(&remember(KEY, "4711")).header("Sec-Fetch-Site", "same-site"), 403),
        (upload(&session).cookie(&mine).header("Origin", "https://evil.example"), 403),
    ];
    for (request, status) in &cases {
        let answer = send(&server, request);
        assert_eq!(answer.status, *status, "{} {:?}: {answer:?}", request.target, request.headers);
    }
    let whoami = who(&server, |request| request.cookie(&mine));
    assert_eq!(user(&whoami), json!({"id": USER, "username": "4711", "role": "participant"}));
    assert!(whoami.json()["expires_at"].is_null());
    let listed = Request::get("/api/v1/my/sessions").cookie(&mine);
    assert_eq!(send(&server, &listed).json()["items"][0]["id"], session.as_str());
    println!("{} requests", cases.len());
}

#[test]
fn what_is_no_cookie_of_the_apps_is_nobody_and_leaves_nothing() {
    let server = flask().env("FILMGATE__IDENTITY__FLASK__MAX_AGE_SECONDS", "600").start().unwrap();
    let session = session_of(&server, USER);
    let good = cookie("4711");
    let middle = good.len() / 2;
    let tampered = format!("{}{}{}", &good[..20], if &good[20..21] == "A" { "B" } else { "A" }, &good[21..]);
    let payload = URL_SAFE_NO_PAD.encode(r#"{"_user_id":"4711"}"#);
    let bomb = miniz(&format!(r#"{{"_user_id":"4711","x":"{}"}}"#, " ".repeat(4_000_000)));
    let long = "x".repeat(6_500);
    let cases = [
        ("tampered", tampered, "bad_signature"),
        ("cut off", good[..middle].to_owned(), "malformed"),
        ("of another key", of("another key", r#"{"_user_id":"4711"}"#), "bad_signature"),
        ("of a foreign salt", signed(KEY, "another salt", &payload, now()), "bad_signature"),
        ("expired", signed(KEY, "cookie-session", &payload, now() - 602), "expired"),
        ("from the future", signed(KEY, "cookie-session", &payload, now() + 60), "not_yet_valid"),
        ("oversized", of(KEY, &json!({"_user_id": "4711", "x": long}).to_string()), "oversized"),
        ("a zlib bomb", signed(KEY, "cookie-session", &bomb, now()), "oversized"),
        ("no JSON", of(KEY, "4711"), "malformed"),
        ("a name", cookie("anna-4711"), "not_integer"),
        ("a number below zero", cookie("-1"), "not_integer"),
        ("a number too large", cookie("99999999999999999999"), "not_integer"),
        ("a token of a name", remember(KEY, "anna-4711"), "not_integer"),
        ("a token of another key", remember("another key", "4711"), "bad_signature"),
        ("a token of the key before", remember(OLD, "4711"), "bad_signature"),
        ("a token without its signature", "remember_token=4711|".to_owned(), "malformed"),
    ];
    for (what, cookie, reason) in &cases {
        let before = refused(&server, reason);
        let answer = send(&server, &upload(&session).cookie(cookie));
        assert_eq!(
            (answer.status, answer.json()),
            (401, json!({"status": "SNAFU", "error": "Authentication required"}))
        );
        assert_eq!(refused(&server, reason), before + 1, "{what}");
        assert_eq!(who(&server, |request| request.cookie(cookie)).status, 401, "{what}");
    }
    // Beyond what a request's head may have, nobody reads it.
    assert_eq!(send(&server, &upload(&session).cookie(&format!("session={}", "x".repeat(100_000)))).status, 431);
    assert_nothing_left(&server);
    for cookie in [of(KEY, "{}"), of(KEY, r#"{"csrf_token":"5"}"#), "session=".to_owned(), String::new()] {
        assert_eq!(who(&server, |request| request.cookie(&cookie)).status, 401);
    }
    let log = server.log();
    let said = log.lines().filter(|line| line.contains("no whole number")).count();
    assert_eq!(said, 1, "one clear warning: {log}");
    let secrets = [KEY, OLD, "anna-4711", &good[8..40]];
    assert!(secrets.iter().all(|secret| !log.contains(secret)), "nothing of it is in the log");
    println!("{} cookies", cases.len());
}

/// Zlib by stored blocks would not shrink it: deflate's longest matches, as every zlib makes them.
fn miniz(text: &str) -> String {
    format!(".{}", URL_SAFE_NO_PAD.encode(miniz_oxide::deflate::compress_to_vec_zlib(text.as_bytes(), 9)))
}

#[test]
fn a_key_that_was_rotated_out_signs_nobody_in() {
    let server = flask().start().unwrap();
    let session = session_of(&server, USER);
    let old = of(OLD, r#"{"_user_id":"4711"}"#);
    assert_eq!(send(&server, &upload(&session).cookie(&old)).status, 200, "a fallback still counts");
    let builder = server.builder();
    drop(server);
    let server = builder.env("FILMGATE__IDENTITY__FLASK__SECRET_KEYS", KEY).start().unwrap();
    assert_eq!(send(&server, &upload(&session).cookie(&old)).status, 401, "rotated out");
    assert_eq!(send(&server, &upload(&session).cookie(&cookie("4711"))).status, 200);
    assert_eq!(refused(&server, "bad_signature"), 1);
}

#[test]
fn keys_of_bytes_and_keys_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, format!("base64:AAH//g==\n{KEY}, with a comma\n")).unwrap();
    let server = unprocessed(patient())
        .env("FILMGATE__IDENTITY__PROVIDER", "flask")
        .env("FILMGATE__IDENTITY__FLASK__SECRET_KEYS_FILE", file.to_str().unwrap())
        .start()
        .unwrap();
    let with_comma = of(&format!("{KEY}, with a comma"), r#"{"_user_id":"5"}"#);
    assert_eq!(user(&who(&server, |request| request.cookie(&with_comma)))["id"], 5);
    let shown = filmgate(&["config", "show"]).out;
    assert!(shown.contains("identity.flask.secret_keys = []"), "{shown}");
}

#[test]
fn beside_an_apps_users_only_administrators_of_our_own() {
    let local = unprocessed(patient()).start().unwrap();
    let participant = new_user(&local);
    let token = json!({"name": "t", "user_id": participant.user_id.parse::<i64>().unwrap()});
    let token = made(&local, "POST", "/api/v1/tokens", &token)["secret"].as_str().unwrap().to_owned();
    let admin = local.demo().admin.clone();
    let admins_token = json!({"name": "t", "user_id": admin.user_id.parse::<i64>().unwrap()});
    let admins_token = made(&local, "POST", "/api/v1/tokens", &admins_token)["secret"].as_str().unwrap().to_owned();
    let builder = local.builder();
    drop(local);
    let server = builder
        .env("FILMGATE__IDENTITY__PROVIDER", "flask")
        .env("FILMGATE__IDENTITY__FLASK__SECRET_KEYS", KEY)
        .start()
        .unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(who(&server, |request| request.cookie(&participant.cookie)).status, 401, "signed in before");
    assert_eq!(who(&server, |request| request.header("Authorization", &bearer(&token))).status, 401);
    let again = sign_in_request(&participant.username, &participant.password);
    assert_eq!(code_of(&send(&server, &again)), "wrong_credentials");
    let demo = &server.demo().participant;
    assert_eq!(who(&server, |request| request.cookie(&demo.cookie)).status, 401);

    let number: i64 = server.demo().admin.user_id.parse().unwrap();
    let expected = json!({"id": -number, "username": server.demo().admin.username, "role": "admin"});
    assert_eq!(user(&who(&server, |request| request.cookie(&server.demo().admin.cookie))), expected);
    assert_eq!(user(&who(&server, |request| request.header("Authorization", &bearer(&admins_token)))), expected);
    let again = send(&server, &sign_in_request(&admin.username, &admin.password));
    assert_eq!((again.status, &again.json()["user"]), (200, &expected));
    // The app's user of the administrator's own number is somebody else.
    let apps = cookie(&number.to_string());
    assert_eq!(user(&who(&server, |request| request.cookie(&apps)))["role"], "participant");
    assert_eq!(send(&server, &Request::get("/api/v1/users").cookie(&apps)).status, 403);
    assert_eq!(as_admin(&server, "GET", "/api/v1/users", None).status, 200);
    // Both at once, as in an administrator's browser: Filmgate's own counts.
    let both = format!("{apps}; {}", server.demo().admin.cookie);
    assert_eq!(user(&who(&server, |request| request.cookie(&both))), expected);
    let stale = format!("filmgate_sign_in={}; {apps}", "0".repeat(64));
    assert_eq!(user(&who(&server, |request| request.cookie(&stale)))["id"], number);
    let below = as_admin(&server, "POST", "/api/v1/sessions", Some(&json!({"user_id": -number})));
    assert_eq!(below.status, 422, "no session for what can be no user of the app's");
}

#[test]
fn users_of_the_apps_who_may_do_everything() {
    let server = flask().env("FILMGATE__IDENTITY__ADMIN_USER_IDS", "7, 12").start().unwrap();
    let session = session_of(&server, USER);
    for (id, is_admin) in [("7", true), ("12", true), ("1", false), ("71", false)] {
        let cookie = cookie(id);
        let role = if is_admin { "admin" } else { "participant" };
        assert_eq!(user(&who(&server, |request| request.cookie(&cookie)))["role"], role, "{id}");
        let users = send(&server, &Request::get("/api/v1/users").cookie(&cookie));
        assert_eq!(users.status, if is_admin { 200 } else { 403 }, "{id}");
        let into_anothers = send(&server, &upload(&session).cookie(&cookie));
        assert_eq!(into_anothers.status, if is_admin { 200 } else { 403 }, "{id}");
    }
}

#[test]
fn strong_protection_sees_the_address_that_the_app_sees() {
    let server = flask()
        .env("FILMGATE__IDENTITY__FLASK__SESSION_PROTECTION", "strong")
        .env("FILMGATE__SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .start()
        .unwrap();
    let bound = |address: &str, agent: &str, more: &str| {
        let id = hex::encode(Sha512::digest(format!("b'{address}'|{agent}")));
        of(KEY, &format!(r#"{{"_user_id":"4711","_id":"{id}"{more}}}"#))
    };
    let cookie = bound("203.0.113.5", "b'Camera/1'", "");
    let remembered = format!("{cookie}; {}", remember(KEY, "4711"));
    let permanent = bound("203.0.113.5", "b'Camera/1'", r#","_permanent":true"#);
    let direct = bound("127.0.0.1", "None", "");
    let cases: [(&str, Option<&str>, Option<&str>, u16); 11] = [
        (&cookie, Some("203.0.113.5"), Some("Camera/1"), 200),
        (&cookie, Some("203.0.113.5, 10.0.0.1"), Some("Camera/1"), 200),
        (&cookie, Some("203.0.113.6"), Some("Camera/1"), 401),
        (&cookie, Some("198.51.100.1, 203.0.113.5"), Some("Camera/1"), 401),
        (&cookie, None, Some("Camera/1"), 401),
        (&cookie, Some("203.0.113.5"), Some("Camera/2"), 401),
        (&cookie, Some("203.0.113.5"), None, 401),
        (&remembered, Some("203.0.113.6"), Some("Camera/1"), 401),
        (&permanent, Some("203.0.113.6"), Some("Camera/2"), 200),
        (&direct, None, None, 200),
        (&direct, Some("127.0.0.1"), None, 200),
    ];
    let mut mismatches = 0;
    for (cookie, address, agent, status) in cases {
        let answer = who(&server, |request| {
            let request = request.cookie(cookie);
            let request = address.into_iter().fold(request, |request, it| request.header("X-Forwarded-For", it));
            agent.into_iter().fold(request, |request, it| request.header("User-Agent", it))
        });
        assert_eq!(answer.status, status, "{address:?} {agent:?}");
        mismatches += u64::from(status == 401);
    }
    assert_eq!(refused(&server, "protection"), mismatches);
    // An untrusted peer says what it likes.
    let server = flask().env("FILMGATE__IDENTITY__FLASK__SESSION_PROTECTION", "strong").start().unwrap();
    let forged = who(&server, |request| {
        request.cookie(&cookie).header("X-Forwarded-For", "203.0.113.5").header("User-Agent", "Camera/1")
    });
    assert_eq!(forged.status, 401);
    println!("{} addresses and browsers", cases.len());
}

#[test]
fn a_provider_without_keys_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("filmgate.toml");
    std::fs::write(&file, "[identity]\nprovider = \"flask\"\n[identity.flask]\ncookie_name = \"assessment\"\n")
        .unwrap();
    let ran = filmgate(&["config", "check", "--config", file.to_str().unwrap()]);
    assert_ne!(ran.status, 0);
    assert!((ran.out + &ran.err).contains("identity.flask.secret_keys is not right for it"));
}

/// The cost of a cookie beside that of a sign-in of our own, which asks the catalog: printed, not judged.
#[test]
fn what_a_cookie_costs_at_the_socket() {
    let server = flask().start().unwrap();
    let (apps, ours) = (cookie("4711"), server.demo().admin.cookie.clone());
    let ask = |cookie: &str| {
        let mut connection = testkit::Connection::open(server.address()).unwrap();
        let began = std::time::Instant::now();
        for _ in 0..500 {
            let answer = connection.send(&Request::get("/api/v1/sign-in").cookie(cookie)).unwrap();
            assert_eq!(answer.status, 200);
        }
        began.elapsed() / 500
    };
    let (apps, ours): (Duration, Duration) = (ask(&apps), ask(&ours));
    println!("a request by the app's cookie {apps:?}, by a sign-in of our own {ours:?}");
}
