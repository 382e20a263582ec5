//! The log: a line for each answer, by which an operator finds everything, and which names nobody.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{Form, Request, Response, photo};

use crate::support::{builder, has_files, holds_within, made, new_session, new_user, sign_in_request};

#[test]
fn a_line_for_each_answer_that_names_nobody() {
    if !has_files("a line for each answer that names nobody") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let mut server = builder()
        .log(&log)
        .env("FILMGATE__LOG__FORMAT", "json")
        // More than anybody runs with, because privacy must hold there too.
        .env("FILMGATE__LOG__LEVEL", "trace")
        .start()
        .unwrap();
    let person = server.demo().participant.clone();
    let user = new_user(&server);
    let session_id = new_session(&server, &user, &Value::Null);
    let user_id: i64 = user.user_id.parse().unwrap();
    let token = made(&server, "POST", "/api/v1/tokens", &json!({"name": "named by a person", "user_id": user_id}));
    let token = token["secret"].as_str().unwrap().to_owned();
    let metadata = json!({"trigger": "a-trigger-of-theirs", "phq_response_id": "phq-4711", "note": "in-metadata"});
    let form = Form::new().text("session_id", &session_id).json("metadata_0", &metadata).file(
        "capture_0",
        "their-own-filename.jpg",
        "image/jpeg",
        &photo::jpeg_bytes(3_000, 1),
    );
    let upload = Request::post("/assessment/camera/upload").form(&form).header("Idempotency-Key", "their-own-key");
    let stored = upload.clone().cookie(&user.cookie).send(server.address()).unwrap();
    let capture = stored.json()["captures"][0].clone();
    let filename = capture["filename"].as_str().unwrap().to_owned();
    let bad = Form::new().text("session_id", &session_id).file(
        "capture_0",
        "their-own-filename.jpg",
        "image/jpeg",
        b"no photo",
    );
    let get = |target: &str| Request::get(target).cookie(&user.cookie);
    let requests = [
        ("/assessment/camera/upload", upload.header("Authorization", &format!("Bearer {token}"))),
        ("/assessment/camera/upload", Request::post("/assessment/camera/upload").cookie(&user.cookie).form(&bad)),
        ("/assessment/camera/session/{session_id}", get(&format!("/assessment/camera/session/{session_id}"))),
        ("/assessment/camera/file/{filename}", get(&format!("/assessment/camera/file/{filename}"))),
        ("/assessment/camera/file/{filename}", get("/assessment/camera/file/%2e%2e%2fsecret-path?query=secret-query")),
        ("/api/v1/sign-in", sign_in_request(&user.username, "a-wrong-password-of-theirs")),
        ("/api/v1/sign-in", sign_in_request("typed-a-password-for-a-name", &user.password)),
        ("/api/v1/sign-in", sign_in_request(&user.username, &user.password)),
        ("(none)", get("/secret-path/secret")),
        ("/livez", Request::new("POST", "/livez").cookie(&user.cookie)),
    ];
    let mut answers: Vec<(&str, &str, Response)> = vec![("/assessment/camera/upload", "POST", stored)];
    for (route, request) in &requests {
        answers.push((*route, request.method.as_str(), request.send(server.address()).unwrap()));
    }
    // A damaged photo is the one thing that the log cries out about.
    let path = crate::support::stored_file(&server, &filename);
    fs::write(&path, b"damaged").unwrap();
    answers.push((
        "/assessment/camera/file/{filename}",
        "GET",
        get(&format!("/assessment/camera/file/{filename}")).send(server.address()).unwrap(),
    ));
    let last = answers.last().unwrap().2.header("x-request-id").unwrap().to_owned();
    assert!(holds_within(Duration::from_secs(5), || fs::read_to_string(&log).unwrap().contains(&last)));
    server.terminate(Duration::from_secs(20)).unwrap();

    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered: HashMap<&str, &Value> = lines
        .iter()
        .filter(|line| line["message"] == "answered")
        .map(|line| (line["request_id"].as_str().unwrap(), line))
        .collect();
    for (route, method, answer) in &answers {
        let line = answered[answer.header("x-request-id").unwrap()];
        assert_eq!((&line["route"], &line["method"]), (&json!(route), &json!(method)), "{line}");
        assert_eq!((&line["status"], &line["level"]), (&json!(answer.status), &json!("INFO")), "{line}");
        assert!(line["duration_ms"].is_u64() && line["timestamp"].is_string(), "{line}");
    }
    let errors: Vec<&Value> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0]["message"].as_str().unwrap().contains("damaged"));

    let secret = |cookie: &str| cookie.split_once('=').unwrap().1.to_owned();
    let given = answers.iter().filter_map(|(.., answer)| answer.header("set-cookie"));
    let given: BTreeSet<String> = given.map(|cookie| secret(cookie.split(';').next().unwrap())).collect();
    let mut private = vec![
        session_id,
        filename,
        user.username.clone(),
        user.password.clone(),
        person.username,
        person.password,
        secret(&person.cookie),
        secret(&user.cookie),
        token,
    ];
    private.extend(given);
    let words = [
        "their-own-filename",
        "their-own-key",
        "a-trigger-of-theirs",
        "phq-4711",
        "in-metadata",
        "a-wrong-password-of-theirs",
        "typed-a-password-for-a-name",
        "secret-path",
        "secret-query",
        "named by a person",
    ];
    private.extend(words.map(str::to_owned));
    for word in &private {
        let line = text.lines().find(|line| line.contains(word.as_str()));
        assert_eq!(line, None, "{word} is in the log");
    }
    println!("{} answers, {} words that no line has", answers.len(), private.len());
}

#[test]
fn words_for_people_and_silence_where_asked_for() {
    for (level, lines) in [("info", true), ("error", false)] {
        let place = tempfile::tempdir().unwrap();
        let log = place.path().join("log");
        let server = builder().log(&log).env("FILMGATE__LOG__LEVEL", level).start().unwrap();
        let answer = Request::get("/nothing").send(server.address()).unwrap();
        let id = answer.header("x-request-id").unwrap();
        let is_logged = || fs::read_to_string(&log).unwrap().contains(id);
        assert_eq!(holds_within(Duration::from_millis(if lines { 5_000 } else { 100 }), is_logged), lines, "{level}");
        assert!(!fs::read_to_string(&log).unwrap().contains('\u{1b}'), "a file gets no colours");
    }
}
