//! Linking captures to an assessment, and clearing those that belong to none.

use serde_json::{Value, json};
use testkit::{Api, Request, Response, Shot, photo};

use super::SERVER;
use crate::support::{assert_members, has_files, participant, stored_file};

fn upload(api: &mut Api, count: u64) -> Vec<Value> {
    let shots: Vec<Shot> = (0..count).map(|seed| Shot::interval(photo::jpeg_bytes(3_000, seed))).collect();
    api.upload(&shots).unwrap().json()["captures"].as_array().unwrap().clone()
}

fn ids(captures: &[Value]) -> Vec<Value> {
    captures.iter().map(|capture| capture["id"].clone()).collect()
}

fn link(api: &mut Api, request: &Value) -> Response {
    let target = format!("/assessment/camera/link/{}", api.session_id);
    api.send(&Request::post(&target).cookie(&api.cookie).json(request)).unwrap()
}

/// The assessment of each capture of the list: its type and id.
fn assessments(api: &mut Api) -> Vec<(Value, Value)> {
    let listed = api.list().unwrap();
    listed.iter().map(|capture| (capture["assessment_type"].clone(), capture["assessment_id"].clone())).collect()
}

#[test]
fn a_capture_already_linked_stays_as_it_is() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let captures = upload(&mut api, 3);
    let others = upload(&mut participant(&server), 1);
    let steps = [
        // Request, then updated, already linked.
        (json!({"capture_ids": ids(&captures[..2]), "assessment_record_id": 5, "assessment_type": "phq"}), 2, 0),
        (json!({"capture_ids": ids(&captures), "assessment_record_id": "b", "assessment_type": "llm"}), 1, 2),
        (json!({"capture_ids": ids(&captures), "assessment_record_id": "b", "assessment_type": "llm"}), 0, 3),
        (json!({"capture_ids": ids(&others), "assessment_record_id": 6, "assessment_type": "phq"}), 0, 0),
        (json!({"capture_ids": ["x", ""], "assessment_record_id": 6, "assessment_type": "phq"}), 0, 0),
        (json!({"capture_ids": [], "assessment_record_id": 6, "assessment_type": "phq"}), 0, 0),
    ];
    for (request, updated, already) in &steps {
        let response = link(&mut api, request);
        assert_eq!(response.status, 200, "{response:?}");
        let body = response.json();
        assert_members(&body, ["status", "data"]);
        assert_eq!(
            body["data"],
            json!({
                "session_id": api.session_id, "captures_updated": updated, "captures_already_linked": already,
                "assessment_record_id": request["assessment_record_id"],
                "assessment_type": request["assessment_type"], "contamination_prevented": *already > 0,
            })
        );
    }
    let (phq, llm) = ((json!("PHQ"), json!(5)), (json!("LLM"), json!("b")));
    assert_eq!(assessments(&mut api), [phq.clone(), phq, llm]);
    println!("{} links", steps.len());
}

#[test]
fn a_link_that_names_nothing_changes_nothing() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let captures = ids(&upload(&mut api, 1));
    let cases = [
        json!({"capture_ids": captures, "assessment_record_id": 1, "assessment_type": "general"}),
        json!({"capture_ids": captures, "assessment_record_id": 1}),
        json!({"capture_ids": captures, "assessment_type": "phq"}),
        json!({"capture_ids": captures, "assessment_record_id": null, "assessment_type": "phq"}),
        json!({"capture_ids": captures, "assessment_record_id": "", "assessment_type": "phq"}),
        json!({"capture_ids": captures, "assessment_record_id": [1], "assessment_type": "phq"}),
        json!({"capture_ids": captures, "assessment_record_id": "x".repeat(201), "assessment_type": "phq"}),
        json!({"capture_ids": captures[0], "assessment_record_id": 1, "assessment_type": "phq"}),
        json!({"assessment_record_id": 1, "assessment_type": "phq"}),
        json!({"capture_ids": vec!["x"; 10_001], "assessment_record_id": 1, "assessment_type": "phq"}),
        json!([]),
    ];
    for request in &cases {
        let response = link(&mut api, request);
        assert_eq!(response.status, 422, "{request}: {response:?}");
        assert_members(&response.json(), ["status", "error", "code", "request_id"]);
    }
    assert_eq!(assessments(&mut api), [(json!("GENERAL"), Value::Null)]);
    println!("{} links that name nothing", cases.len());
}

#[test]
fn cleanup_takes_rows_and_files_and_leaves_what_is_linked() {
    if !has_files("cleanup takes rows and files and leaves what is linked") {
        return;
    }
    let server = SERVER.get();
    let mut api = participant(&server);
    let captures = upload(&mut api, 4);
    let request = json!({"capture_ids": ids(&captures[..1]), "assessment_record_id": 5, "assessment_type": "llm"});
    assert_eq!(link(&mut api, &request).json()["data"]["captures_updated"], 1);
    let files: Vec<_> = captures.iter().map(|c| stored_file(&server, c["filename"].as_str().unwrap())).collect();

    let target = format!("/assessment/camera/cleanup/{}", api.session_id);
    for cleaned in [3, 0] {
        let response = api.send(&Request::post(&target).cookie(&api.cookie)).unwrap();
        let expected = json!({"status": "OLKORECT",
            "data": {"session_id": api.session_id, "captures_cleaned": cleaned}});
        assert_eq!((response.status, response.json()), (200, expected));
    }
    assert_eq!(api.list().unwrap().len(), 1);
    for (at, capture) in captures.iter().enumerate() {
        let stays = at == 0;
        assert_eq!(files[at].exists(), stays, "the file of capture {at}");
        let status = api.file(capture["filename"].as_str().unwrap()).unwrap().status;
        assert_eq!(status, if stays { 200 } else { 404 });
    }
}
