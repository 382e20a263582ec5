//! Exports: the same twice, whole to every reader, and under pseudonyms without a word of the catalog.

mod archive;
mod pseudonyms;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::connection::Connection;
use testkit::server::Server;
use testkit::{Api, Form, Request, Response, photo};

use crate::support::{Shared, as_admin, holds_within, members, new_session, new_user};

static SERVER: Shared = Shared::new();

/// Everything in an archive, each entry's CRC-32 compared.
#[track_caller]
pub fn opened(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let archive = rawzip::ZipArchive::from_slice(archive).unwrap();
    let mut entries = archive.entries();
    let mut files = BTreeMap::new();
    while let Some(entry) = entries.next_entry().unwrap() {
        let name = entry.file_path().try_normalize().unwrap().as_ref().to_owned();
        let content = archive.get_entry(entry.wayfinder()).unwrap().data().to_vec();
        assert_eq!(crc32fast::hash(&content), entry.crc32(), "{name}");
        assert!(files.insert(name.clone(), content).is_none(), "{name} is there twice");
    }
    files
}

/// The lines of a table, each by its columns. Good for what these tests write: no quotes within quotes.
pub fn table(text: &[u8]) -> Vec<BTreeMap<String, String>> {
    let text = std::str::from_utf8(text).unwrap();
    let cells = |line: &str| -> Vec<String> {
        let mut cells = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                c => cells.last_mut().unwrap().push(c),
            }
        }
        cells
    };
    let mut lines = text.split_terminator("\r\n");
    let head = cells(lines.next().unwrap());
    lines.map(|line| head.iter().cloned().zip(cells(line)).collect()).collect()
}

pub fn export(server: &Server, body: &Value) -> Response {
    let request = Request::post("/api/v1/export").cookie(&server.demo().admin.cookie).json(body);
    request.send(server.address()).unwrap()
}

/// Stores a frame with this metadata; its id.
#[track_caller]
pub fn stored(api: &mut Api, bytes: &[u8], metadata: &Value) -> String {
    let form = Form::new().text("session_id", &api.session_id).json("metadata_0", metadata);
    let form = form.file("capture_0", "a.jpg", "image/jpeg", bytes);
    let answer = api.send(&Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form)).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["captures"][0]["id"].as_str().unwrap().to_owned()
}

/// A participant with a session of some frames.
pub fn filmed(server: &Server, frames: u64) -> Api {
    let person = new_user(server);
    let session = new_session(server, &person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let mut api = Api::new(server.address(), &person.cookie, &session);
    for seed in 0..frames {
        let metadata = json!({"trigger": "INTERVAL", "phq_response_id": 4711, "question": format!("phq9-{seed}"),
            "captured_at": format!("2026-01-02T03:04:0{seed}Z"), "timing": {"sequence": seed, "run": "a-run", "offline": false}});
        stored(&mut api, &photo::jpeg_bytes(3_000, seed), &metadata);
    }
    api
}

#[test]
fn only_so_many_are_made_at_once_and_who_leaves_makes_room() {
    let server = SERVER.get();
    let api = filmed(&server, 1);
    // More than the sockets of both sides hold, so that the exports stand still.
    let large = photo::jpeg_bytes(4_000_000, 1);
    let mut api = Api::new(server.address(), &api.cookie, &api.session_id);
    for _ in 0..6 {
        stored(&mut api, &large, &json!({"trigger": "INTERVAL"}));
    }
    let target = format!("/api/v1/sessions/{}/export", api.session_id);
    let request = Request::get(&target).cookie(&server.demo().admin.cookie);
    let begin = || {
        let mut connection = Connection::open(server.address()).unwrap();
        connection.write_request(&request).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        connection
    };
    let (first, second) = (begin(), begin());
    let third = request.send(server.address()).unwrap();
    assert_eq!((third.status, third.json()["code"].as_str()), (503, Some("exports_full")));
    assert!(third.header("retry-after").is_some());
    assert!(members(&third.json()).contains("request_id"));
    first.reset().unwrap();
    let made = || request.send(server.address()).unwrap().status == 200;
    assert!(holds_within(Duration::from_secs(10), made), "the place of who left is free");
    second.reset().unwrap();
}

/// The reasons that the page gave, and those that only the server can know.
#[test]
fn gaps_are_told_with_their_reasons_and_exported() {
    let server = SERVER.get();
    let person = new_user(&server);
    let session = new_session(&server, &person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let mut api = Api::new(server.address(), &person.cookie, &session);
    // A little ago: a frame comes after it was due, and not ten seconds after.
    let start = jiff::Timestamp::now().as_second() - 4;
    let at = |second: i64| jiff::Timestamp::from_second(start + second).unwrap().to_string();
    let frames = [
        (0, json!([])),
        (1, json!([])),
        (5, json!([{"reason": "hidden", "from": at(2), "to": at(4), "missed": 3, "question": "phq9-1"}])),
        (
            9,
            json!([{"reason": "refused", "code": "overloaded", "from": at(6), "to": at(6), "missed": 1},
                   {"reason": "queue_full", "from": at(7), "to": at(7), "missed": 1, "trigger": "BUTTON_CLICK"}]),
        ),
    ];
    let mut ids = Vec::new();
    for (second, gaps) in &frames {
        let metadata =
            json!({"trigger": "INTERVAL", "timing": {"due_at": at(*second), "interval_ms": 1000}, "gaps": gaps});
        ids.push(stored(&mut api, &photo::jpeg_bytes(3_000, second.unsigned_abs()), &metadata));
    }
    let ask = || as_admin(&server, "GET", &format!("/api/v1/sessions/{session}/gaps"), None).json();
    let found = ask();
    assert_eq!((&found["expected"], &found["received"], &found["missed"]), (&json!(10), &json!(4), &json!(6)));
    assert_eq!(found["reasons"], json!({"hidden": 3, "queue_full": 1, "refused": 1, "unknown": 2}));
    assert_eq!(found["gaps"][0]["question"], "phq9-1");
    assert_eq!(found["gaps"][1]["code"], "overloaded");
    assert_eq!((&found["first_at"], &found["last_at"]), (&json!(at(0)), &json!(at(9))));

    // What was there and was deleted is no riddle.
    assert_eq!(as_admin(&server, "DELETE", &format!("/api/v1/captures/{}", ids[1]), None).status, 204);
    assert_eq!(ask()["reasons"], json!({"deleted": 1, "hidden": 3, "queue_full": 1, "refused": 1, "unknown": 2}));
    let rows = table(&opened(&export(&server, &json!({"session_ids": [session]})).body)["gaps.csv"]);
    let told: Vec<_> = rows.iter().map(|row| (row["reason"].as_str(), row["missed"].as_str())).collect();
    assert_eq!(told, [("deleted", "1"), ("hidden", "3"), ("refused", "1"), ("unknown", "2"), ("queue_full", "1")]);
}
