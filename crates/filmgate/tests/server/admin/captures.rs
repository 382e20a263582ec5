//! Captures: listed, shown, deleted.

use std::collections::HashSet;

use serde_json::{Value, json};
use testkit::{Form, Request, Shot, photo};

use super::{SERVER, assert_problem, pages};
use crate::support::{as_admin, assert_members, participant, stored_file};

#[test]
fn are_listed_to_the_end_newest_first() {
    let server = SERVER.get();
    let mut api = participant(&server);
    for seed in 0..3 {
        let shots = vec![Shot::interval(photo::jpeg_bytes(3_000, seed)); 7];
        assert_eq!(api.upload(&shots).unwrap().status, 200);
    }
    let oldest_first: Vec<Value> = api.list().unwrap().iter().map(|capture| capture["id"].clone()).collect();
    let list = format!("/api/v1/captures?session_id={}", api.session_id);
    let limits = [(1, 21), (2, 11), (7, 3), (10, 3), (20, 2), (21, 1), (200, 1), (10_000, 1)];
    for (limit, page_count) in limits {
        let (items, pages) = pages(&server, &list, limit);
        let ids: Vec<Value> = items.iter().rev().map(|capture| capture["id"].clone()).collect();
        assert_eq!((ids, pages), (oldest_first.clone(), page_count), "limit {limit}");
    }
    let (all, _) = pages(&server, "/api/v1/captures", 9);
    let ids: HashSet<&str> = all.iter().map(|capture| capture["id"].as_str().unwrap()).collect();
    assert!(oldest_first.iter().all(|id| ids.contains(id.as_str().unwrap())), "of every session");
    println!("{} sizes of pages", limits.len());
}

#[test]
fn are_shown_with_everything_known_of_them() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photo = photo::png(80, 60, 1);
    let metadata = json!({"trigger": "manual", "llm_conversation_id": 9, "captured_at": "2026-01-02T03:04:05+01:00",
        "timing": {"a": [1, 2]}, "unknown": "kept"});
    let form = Form::new().text("session_id", &api.session_id).json("metadata_0", &metadata).file(
        "capture_0",
        "a.jpg",
        "image/jpeg",
        &photo,
    );
    let request = Request::post("/assessment/camera/upload").cookie(&api.cookie).form(&form);
    let uploaded = api.send(&request).unwrap().json()["captures"][0].clone();
    let target = format!("/api/v1/captures/{}", uploaded["id"].as_str().unwrap());
    let detail = as_admin(&server, "GET", &target, None).json();
    let filename = uploaded["filename"].as_str().unwrap();
    let expected = json!({
        "id": uploaded["id"], "session_id": api.session_id, "filename": filename,
        "url": format!("/assessment/camera/file/{filename}"), "content_type": "image/png",
        "file_size_bytes": photo.len(), "width_px": 80, "height_px": 60, "sha256": testkit::api::sha256(&photo),
        "blob_format": "plain", "capture_trigger": "MANUAL", "assessment_type": "LLM", "assessment_id": 9,
        "captured_at": "2026-01-02T03:04:05+01:00", "timestamp": uploaded["timestamp"],
        "settings_snapshot": null, "metadata": metadata, "processing": detail["processing"],
    });
    assert_eq!(detail["processing"]["state"], "PENDING");
    assert_eq!(detail, expected);
    let (listed, _) = pages(&server, &format!("/api/v1/captures?session_id={}", api.session_id), 50);
    assert_eq!(listed, [expected]);
}

#[test]
fn are_deleted_row_and_bytes_for_good() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let shots = [Shot::interval(photo::jpeg_bytes(3_000, 1)), Shot::interval(photo::jpeg_bytes(3_000, 2))];
    let captures = testkit::api::captures(&api.upload(&shots).unwrap()).unwrap();
    let path = stored_file(&server, &captures[0].filename);
    let target = format!("/api/v1/captures/{}", captures[0].id);
    let deleted = as_admin(&server, "DELETE", &target, None);
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    assert!(!path.exists(), "its bytes are gone");
    for method in ["DELETE", "GET"] {
        assert_problem(&as_admin(&server, method, &target, None), 404, "not_found");
    }
    let file = api.file(&captures[0].filename).unwrap();
    assert_members(&file.json(), ["status", "error", "code", "request_id"]);
    assert_eq!(file.status, 404);
    assert_eq!(api.listed_filenames().unwrap(), [captures[1].filename.clone()]);
    assert_eq!(api.file(&captures[1].filename).unwrap().status, 200, "the other stays");
}
