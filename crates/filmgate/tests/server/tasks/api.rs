//! `/api/v1/tasks`: listed, filtered, shown.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Api, photo};

use super::{as_person, idle, ids, queue, revoke, task};
use crate::support::{as_admin, assert_members, new_session, new_user, participant};

const MEMBERS: [&str; 16] = [
    "id",
    "kind",
    "state",
    "capture_id",
    "session_id",
    "sink",
    "event",
    "priority",
    "attempts",
    "worker",
    "error",
    "created_at",
    "started_at",
    "finished_at",
    "available_at",
    "lease_expires_at",
];

fn listed(server: &Server, query: &str) -> Vec<String> {
    let answer = as_admin(server, "GET", &format!("/api/v1/tasks?{query}"), None);
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_task_has_these_members() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let id = queue(&mut api, &[photo::jpeg_bytes(3_000, 1)]).remove(0);
    let shown = task(&server, &id);
    assert_members(&shown, MEMBERS);
    let capture = api.list().unwrap().remove(0);
    let known = json!({"id": id, "kind": "process", "state": "PENDING", "capture_id": capture["id"],
        "session_id": api.session_id, "sink": null, "event": null, "attempts": 0, "worker": null, "error": null,
        "started_at": null, "finished_at": null, "lease_expires_at": null});
    for (name, value) in known.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    // As moments: one of the two is written without the zeros at its end.
    let moment =
        |text: &Value| format!("{}Z", text.as_str().unwrap().trim_end_matches('Z')).parse::<Timestamp>().unwrap();
    assert_eq!(moment(&shown["created_at"]), moment(&capture["timestamp"]));
    assert_eq!(shown["available_at"], shown["created_at"]);
    assert_eq!(api.get(&format!("/api/v1/tasks/{id}")).unwrap().json(), shown, "the owner sees the same");
}

#[test]
fn are_listed_newest_first_page_after_page() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    let mut expected = Vec::new();
    for seed in 0..5 {
        expected.extend(queue(&mut api, &[photo::jpeg_bytes(3_000, seed)]));
    }
    expected.reverse();
    let list = format!("session_id={}", api.session_id);
    assert_eq!(listed(&server, &list), expected);
    for limit in [1, 2, 3, 5, 6] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let target = format!("/api/v1/tasks?{list}&limit={limit}{cursor}");
            let page = as_admin(&server, "GET", &target, None).json();
            found.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, expected, "limit {limit}");
    }
}

#[test]
fn each_filter_leaves_what_fits_it() {
    let server = idle().start().unwrap();
    let (mut one, mut two) = (participant(&server), participant(&server));
    let of_one = queue(&mut one, &[photo::jpeg_bytes(3_000, 1), photo::jpeg_bytes(3_000, 2)]);
    let of_two = queue(&mut two, &[photo::jpeg_bytes(3_000, 3)]);
    revoke(&server, &of_one[0]);
    let capture_id = task(&server, &of_one[1])["capture_id"].as_str().unwrap().to_owned();
    let all: BTreeSet<&String> = of_one.iter().chain(&of_two).collect();
    let cases = [
        ("kind=process".to_owned(), all.clone()),
        ("kind=process&state=PENDING".to_owned(), BTreeSet::from([&of_one[1], &of_two[0]])),
        ("state=REVOKED".to_owned(), BTreeSet::from([&of_one[0]])),
        ("state=SUCCESS&kind=process".to_owned(), BTreeSet::new()),
        (format!("session_id={}", one.session_id), of_one.iter().collect()),
        (format!("session_id={}&state=PENDING", one.session_id), BTreeSet::from([&of_one[1]])),
        (format!("capture_id={capture_id}"), BTreeSet::from([&of_one[1]])),
        (format!("capture_id={capture_id}&session_id={}", two.session_id), BTreeSet::new()),
        ("sink=webhook".to_owned(), BTreeSet::new()),
        ("kind=deliver".to_owned(), BTreeSet::new()),
    ];
    for (query, expected) in &cases {
        let found = listed(&server, query);
        assert_eq!(&found.iter().collect::<BTreeSet<_>>(), expected, "{query}");
    }
    assert!(!listed(&server, "kind=sweep").is_empty(), "one that is done, one that is waiting, or both");
    let wrong = [
        "state=pending",
        "state=x",
        "kind=Process",
        "kind=",
        "session_id=x",
        "capture_id=1",
        "limit=0",
        "cursor=x",
        "state=PENDING&state=RETRY",
    ];
    for query in wrong {
        let answer = as_admin(&server, "GET", &format!("/api/v1/tasks?{query}"), None);
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
    }
    println!("{} filters, {} that are none", cases.len(), wrong.len());
}

#[test]
fn a_participant_sees_what_processes_their_own_captures_alone() {
    let server = idle().start().unwrap();
    let (one, other) = (new_user(&server), new_user(&server));
    let mut api = Api::new(server.address(), &one.cookie, &new_session(&server, &one, &Value::Null));
    let mut others = Api::new(server.address(), &other.cookie, &new_session(&server, &other, &Value::Null));
    let own: BTreeSet<String> =
        queue(&mut api, &[photo::jpeg_bytes(3_000, 1), photo::jpeg_bytes(3_000, 2)]).into_iter().collect();
    let foreign = queue(&mut others, &[photo::jpeg_bytes(3_000, 3)]).remove(0);
    let foreign_session = &others.session_id;
    let cases = [
        (String::new(), own.len()),
        ("kind=process".to_owned(), own.len()),
        ("state=PENDING".to_owned(), own.len()),
        (format!("session_id={}", api.session_id), own.len()),
        (format!("session_id={foreign_session}"), 0),
        ("kind=sweep".to_owned(), 0),
        ("kind=deliver".to_owned(), 0),
        ("sink=webhook".to_owned(), 0),
    ];
    for (query, count) in &cases {
        let answer = as_person(&server, &one, "GET", &format!("/api/v1/tasks?{query}")).json();
        let found: BTreeSet<String> =
            answer["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found.len(), *count, "{query}");
        assert!(found.is_subset(&own), "{query}");
    }
    assert_eq!(as_person(&server, &one, "GET", &format!("/api/v1/tasks/{foreign}")).status, 404);
    for change in ["retry", "revoke"] {
        for id in own.iter().chain([&foreign]) {
            let answer = as_person(&server, &one, "POST", &format!("/api/v1/tasks/{id}/{change}"));
            assert_eq!(answer.status, 403, "{change}");
        }
    }
    assert_eq!(as_person(&server, &one, "POST", "/api/v1/tasks/retry").status, 403);
    let states = ids(&json!([task(&server, &foreign)["state"]]));
    assert_eq!(states, ["PENDING"], "nobody touched it");
    println!("{} lists", cases.len());
}
