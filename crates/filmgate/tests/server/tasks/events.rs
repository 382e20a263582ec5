//! `GET /api/v1/tasks/events`: what a listener hears, until when, and who is refused.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Api, Request, photo};

use super::streams::Listener;
use super::{ended, hasty, idle, queue, revoke};
use crate::support::{assert_members, code_of, made, new_session, new_user, participant, program_on};

fn queued(server: &Server, count: u64) -> (Api, Vec<String>) {
    let mut api = participant(server);
    let photos: Vec<Vec<u8>> = (0..count).map(|seed| photo::jpeg_bytes(3_000, seed)).collect();
    let ids = queue(&mut api, &photos);
    (api, ids)
}

#[test]
fn the_present_state_then_each_change_then_the_end() {
    let server = idle().start().unwrap();
    let (api, mut ids) = queued(&server, 2);
    ids.sort();
    let spellings = [
        format!("task_id={}&task_id={}", ids[0], ids[1]),
        format!("task_id={},{}", ids[0], ids[1]),
        format!("task_id={}%2C{}&task_id={}", ids[1], ids[0], ids[0]),
    ];
    let mut listeners: Vec<Listener> =
        spellings.iter().map(|query| Listener::open(&server, &api.cookie, query)).collect();
    for listener in &mut listeners {
        assert_eq!(listener.status(), 200, "{}", listener.head);
        let headers =
            [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];
        for (name, value) in headers {
            assert_eq!(listener.header(name).as_deref(), Some(value), "{name}");
        }
        let mut first: Vec<Value> = (0..2).map(|_| listener.event().json()).collect();
        first.sort_by_key(|data| data["task_id"].to_string());
        for (data, id) in first.iter().zip(&ids) {
            assert_members(data, ["task_id", "state", "attempts", "error", "capture_id", "done", "total"]);
            let known = json!({"task_id": id, "state": "PENDING", "attempts": 0, "error": null,
                "capture_id": data["capture_id"], "done": 0, "total": 2});
            assert_eq!(data, &known);
        }
    }
    revoke(&server, &ids[1]);
    for listener in &mut listeners {
        let event = listener.event();
        let data = event.json();
        assert_eq!((&data["task_id"], &data["state"]), (&json!(ids[1]), &json!("REVOKED")));
        assert_eq!((&data["done"], &data["total"]), (&json!(1), &json!(2)));
        assert_eq!(event.id, format!("{}/0/REVOKED", ids[1]));
    }
    revoke(&server, &ids[0]);
    for listener in &mut listeners {
        let rest = listener.rest();
        let names: Vec<&str> = rest.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["task", "done"]);
        assert_eq!(rest[0].json()["done"], 2);
        assert_eq!(rest[1].json(), json!({"done": 2, "total": 2}));
    }
    // Who connects anew is told the same again, whatever they heard last.
    let again = Request::get(&format!("/api/v1/tasks/events?{}", spellings[0]))
        .cookie(&api.cookie)
        .header("Last-Event-ID", "x")
        .send(server.address())
        .unwrap();
    assert_eq!((again.status, again.text().matches("event: task").count()), (200, 2), "{}", again.text());
    assert!(again.text().ends_with("event: done\ndata: {\"done\":2,\"total\":2}\n\n"), "{}", again.text());
}

#[test]
fn a_listener_hears_of_real_work_to_its_end() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let photos: Vec<Vec<u8>> = (0..5).map(|seed| photo::jpeg(320, 240, seed)).collect();
    let ids = queue(&mut api, &photos);
    let mut listener = Listener::open(&server, &api.cookie, &format!("task_id={}", ids.join(",")));
    let events = listener.rest();
    let done = events.iter().filter(|event| event.data.contains("SUCCESS")).count();
    assert_eq!((done, events.last().unwrap().name.as_str()), (5, "done"), "{events:?}");
}

#[test]
fn the_work_of_a_process_apart_is_heard_too() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let ids = queue(&mut api, &[photo::jpeg(320, 240, 1), photo::jpeg(320, 240, 2)]);
    let mut listener = Listener::open(&server, &api.cookie, &format!("task_id={}", ids.join(",")));
    assert_eq!(listener.event().json()["state"], "PENDING");
    let mut worker = program_on(server.data());
    worker.args(["worker", "--workers", "1", "--data"]).arg(server.data()).stderr(std::process::Stdio::null());
    worker.envs(server.photo_envs());
    let mut worker = worker.spawn().unwrap();
    let events = listener.rest();
    testkit::process::kill_tree(worker.id());
    worker.wait().unwrap();
    assert_eq!(events.last().unwrap().name, "done", "{events:?}");
    assert_eq!(events.iter().filter(|event| event.data.contains("SUCCESS")).count(), 2);
    assert!(ended(&server, &ids[0])["worker"].as_str().unwrap().starts_with("worker/"));
}

#[test]
fn a_session_is_followed_from_now_on() {
    let server = idle().start().unwrap();
    let (mut api, before) = queued(&server, 2);
    revoke(&server, &before[0]);
    let mut listener = Listener::open(&server, &api.cookie, &format!("session_id={}", api.session_id));
    let first = listener.event().json();
    assert_eq!((&first["task_id"], &first["total"]), (&json!(before[1]), &json!(1)), "the open one alone");
    let new = queue(&mut api, &[photo::jpeg_bytes(3_000, 9)]).remove(0);
    let heard = listener.event().json();
    assert_eq!((&heard["task_id"], &heard["state"], &heard["total"]), (&json!(new), &json!("PENDING"), &json!(2)));
    queue(&mut participant(&server), &[photo::jpeg_bytes(3_000, 10)]);
    for id in [&before[1], &new] {
        revoke(&server, id);
        assert_eq!(listener.event().json()["task_id"], json!(id), "and nothing of another session");
    }
    let next = queue(&mut api, &[photo::jpeg_bytes(3_000, 11)]).remove(0);
    assert_eq!(listener.event().json()["task_id"], json!(next), "it does not end with its tasks");
}

#[test]
fn what_is_not_the_callers_is_left_out_or_absent() {
    let server = idle().start().unwrap();
    let (api, ids) = queued(&server, 1);
    let stranger = new_user(&server);
    let own_session = new_session(&server, &stranger, &Value::Null);
    let mut own = Api::new(server.address(), &stranger.cookie, &own_session);
    let own_id = queue(&mut own, &[photo::jpeg_bytes(3_000, 5)]).remove(0);
    let mut listener = Listener::open(&server, &stranger.cookie, &format!("task_id={},{own_id},x", ids[0]));
    let first = listener.event().json();
    assert_eq!((&first["task_id"], &first["total"]), (&json!(own_id), &json!(1)));
    revoke(&server, &ids[0]);
    revoke(&server, &own_id);
    assert_eq!(listener.rest().len(), 2, "its own end, and done");

    let ask = |cookie: &str, query: &str| {
        let target = format!("/api/v1/tasks/events{query}");
        Request::get(&target).cookie(cookie).send(server.address()).unwrap()
    };
    let never = uuid::Uuid::now_v7();
    let sweep = crate::support::as_admin(&server, "GET", "/api/v1/tasks?kind=sweep", None).json();
    let sweep = sweep["items"][0]["id"].as_str().unwrap().to_owned();
    let many = vec!["x"; 1_001].join(",");
    let cases = [
        (format!("?task_id={}", ids[0]), 404, "not_found"),
        (format!("?task_id={never}"), 404, "not_found"),
        (format!("?task_id={sweep}"), 404, "not_found"),
        ("?task_id=x".to_owned(), 404, "not_found"),
        ("?task_id=%00".to_owned(), 404, "not_found"),
        (format!("?session_id={}", api.session_id), 404, "not_found"),
        (format!("?session_id={never}"), 404, "not_found"),
        ("?session_id=x".to_owned(), 404, "not_found"),
        (String::new(), 400, "malformed_query"),
        ("?task_id=".to_owned(), 400, "malformed_query"),
        (format!("?task_id={own_id}&session_id={own_session}"), 400, "malformed_query"),
        (format!("?session_id={own_session},{never}"), 400, "malformed_query"),
        (format!("?task_id={many}"), 400, "malformed_query"),
    ];
    for (query, status, code) in &cases {
        let answer = ask(&stranger.cookie, query);
        assert_eq!((answer.status, code_of(&answer).as_str()), (*status, *code), "{query:.80}: {answer:?}");
    }
    assert_eq!(ask("filmgate_sign_in=x", &format!("?task_id={}", ids[0])).status, 401);
    println!("{} that are refused", cases.len());
}

#[test]
fn a_server_that_leaves_lets_its_listeners_go() {
    let mut server = idle().start().unwrap();
    let (api, ids) = queued(&server, 1);
    let queries = [format!("task_id={}", ids[0]), format!("session_id={}", api.session_id)];
    let mut listeners: Vec<Listener> =
        queries.iter().map(|query| Listener::open(&server, &api.cookie, query)).collect();
    for listener in &mut listeners {
        listener.event();
    }
    // The time for draining is 30 s; a listener alone must not use it up.
    let began = Instant::now();
    let status = server.terminate(Duration::from_secs(60)).unwrap();
    assert!(status.success() && began.elapsed() < Duration::from_secs(15), "{status} after {:?}", began.elapsed());
    for listener in &mut listeners {
        assert!(listener.rest().is_empty(), "its task has not ended");
    }
}

#[test]
fn nobody_has_more_than_eight() {
    let server = idle().start().unwrap();
    let (api, ids) = queued(&server, 1);
    let query = format!("task_id={}", ids[0]);
    let mut open: Vec<Listener> = (0..8).map(|_| Listener::open(&server, &api.cookie, &query)).collect();
    assert!(open.iter().all(|listener| listener.status() == 200));
    let refused = Request::get(&format!("/api/v1/tasks/events?{query}")).cookie(&api.cookie);
    let answer = refused.send(server.address()).unwrap();
    assert_eq!((answer.status, code_of(&answer).as_str()), (429, "too_many_streams"));
    assert!(answer.header("retry-after").is_some());
    let mut admins = Listener::open(&server, &server.demo().admin.cookie, &query);
    assert_eq!(admins.status(), 200, "another user has places of their own");
    revoke(&server, &ids[0]);
    open.iter_mut().chain([&mut admins]).for_each(|listener| drop(listener.rest()));
    drop(open);
    assert_eq!(Listener::open(&server, &api.cookie, &query).status(), 200, "the places are free again");
}

#[test]
fn who_leaves_without_a_word_gives_their_place_back() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let query = format!("session_id={}", api.session_id);
    let open: Vec<Listener> = (0..8).map(|_| Listener::open(&server, &api.cookie, &query)).collect();
    assert_eq!(Listener::open(&server, &api.cookie, &query).status(), 429);
    open.into_iter().for_each(Listener::reset);
    // Something to tell them, which shows that nobody is there.
    queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]);
    let is_free = || Listener::open(&server, &api.cookie, &query).status() == 200;
    assert!(crate::support::holds_within(Duration::from_secs(60), is_free));
}

#[test]
fn all_together_have_no_more_than_256() {
    let server = idle().start().unwrap();
    let people: Vec<_> = (0..33).map(|_| new_user(&server)).collect();
    let sessions: Vec<String> = people.iter().map(|person| new_session(&server, person, &Value::Null)).collect();
    let mut open = Vec::new();
    for (person, session_id) in people.iter().zip(&sessions).take(32) {
        let query = format!("session_id={session_id}");
        open.extend((0..8).map(|_| Listener::open(&server, &person.cookie, &query)));
    }
    assert_eq!(open.iter().filter(|listener| listener.status() == 200).count(), 256);
    let target = format!("/api/v1/tasks/events?session_id={}", sessions[32]);
    let answer = Request::get(&target).cookie(&people[32].cookie).send(server.address()).unwrap();
    assert_eq!((answer.status, code_of(&answer).as_str()), (503, "streams_full"));
    assert!(answer.header("retry-after").is_some());
    assert_eq!(made(&server, "GET", "/api/v1/my/sessions", &json!({}))["items"], json!([]), "all else goes on");
}

#[test]
fn a_quiet_stream_is_kept() {
    // Each of these would cut whatever neither sends nor reads.
    let server = idle()
        .env("FILMGATE__SERVER__WRITE_TIMEOUT_MS", "1000")
        .env("FILMGATE__SERVER__HEADER_READ_TIMEOUT_MS", "1000")
        .env("FILMGATE__SERVER__BODY_IDLE_TIMEOUT_MS", "1000")
        .start()
        .unwrap();
    let (api, ids) = queued(&server, 1);
    let mut listener = Listener::open(&server, &api.cookie, &format!("task_id={}", ids[0]));
    listener.event();
    let comment = listener.next_within(Duration::from_secs(60)).expect("a comment, so that no proxy cuts it");
    assert_eq!((comment.name.as_str(), comment.data.as_str()), ("", ""));
    revoke(&server, &ids[0]);
    assert_eq!(listener.rest().len(), 2);
}
