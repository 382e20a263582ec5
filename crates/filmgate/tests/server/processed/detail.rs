//! What administrators read of a capture's processing, at the socket and on the command line.

use serde_json::{Value, json};
use testkit::server::Server;
use testkit::{Api, photo};

use super::{fetch, processed};
use crate::support::{as_admin, assert_members, filmgate, participant, undecodable};
use crate::tasks::{hasty, idle, queue};

const MEMBERS: [&str; 14] = [
    "state",
    "error",
    "processed_at",
    "width_px",
    "height_px",
    "taken_at",
    "placeholder",
    "sharpness",
    "brightness",
    "perceptual_hash",
    "near_duplicate_of",
    "is_quarantined",
    "received_sha256",
    "derivatives",
];

/// What is said of the only capture of the session, alone and in the list.
#[track_caller]
fn processing(server: &Server, api: &mut Api) -> (String, Value) {
    let capture = api.list().unwrap().remove(0);
    let id = capture["id"].as_str().unwrap().to_owned();
    let shown = as_admin(server, "GET", &format!("/api/v1/captures/{id}"), None).json();
    let listed = as_admin(server, "GET", &format!("/api/v1/captures?session_id={}", api.session_id), None).json();
    assert_eq!(listed["items"], json!([shown]));
    assert_members(&shown["processing"], MEMBERS);
    (id, shown["processing"].clone())
}

#[test]
fn before_processing_there_is_nothing_to_say() {
    let server = idle().start().unwrap();
    let mut api = participant(&server);
    queue(&mut api, &[photo::jpeg(64, 48, 1)]);
    let (_, seen) = processing(&server, &mut api);
    for (name, value) in seen.as_object().unwrap() {
        let expected = match name.as_str() {
            "state" => json!("PENDING"),
            "is_quarantined" => json!(false),
            "derivatives" => json!([]),
            _ => Value::Null,
        };
        assert_eq!(value, &expected, "{name}");
    }
}

#[test]
fn afterwards_everything_that_was_made_and_measured() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    let (filename, _) = processed(&server, &mut api, &[photo::jpeg(640, 480, 1)]).remove(0);
    let (id, seen) = processing(&server, &mut api);
    assert_eq!((&seen["state"], &seen["error"]), (&json!("SUCCESS"), &Value::Null));
    assert_eq!((&seen["width_px"], &seen["height_px"]), (&json!(640), &json!(480)));
    seen["processed_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let hash = seen["perceptual_hash"].as_str().unwrap();
    assert!(hash.len() == 16 && u64::from_str_radix(hash, 16).is_ok(), "{hash}");
    let derivatives = seen["derivatives"].as_array().unwrap();
    assert_eq!(derivatives.len(), 4, "two sizes in two formats");
    for derivative in derivatives {
        assert_members(derivative, ["size", "content_type", "width_px", "height_px", "size_bytes", "url"]);
        let text = |name: &str| derivative[name].as_str().unwrap();
        assert_eq!(text("url"), format!("/assessment/camera/file/{filename}?size={}", text("size")));
        let query = format!("?size={}", text("size"));
        let picture = fetch(&api, &filename, &query, &[("Accept", text("content_type"))]);
        assert_eq!(picture.header("content-type"), Some(text("content_type")));
        assert_eq!(derivative["size_bytes"], picture.body.len());
        let (width, height) = super::size_of(&picture);
        assert_eq!((&derivative["width_px"], &derivative["height_px"]), (&json!(width), &json!(height)));
    }
    // A ThumbHash of a picture without transparency: five bytes and the colours' waves.
    let placeholder = seen["placeholder"].as_str().unwrap();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    assert!(placeholder.len() % 4 == 0 && placeholder.trim_end_matches('=').bytes().all(letters), "{placeholder}");
    assert!((16..=40).contains(&placeholder.len()), "{placeholder}");

    let data = server.data().to_str().unwrap().to_owned();
    let words = filmgate(&["capture", "show", &id, "--data", &data]).out;
    for line in ["processing.state", "processing.perceptual_hash", "processing.sharpness"] {
        assert!(words.contains(line), "{words}");
    }
    assert!(words.contains(hash) && words.contains("SUCCESS"), "{words}");
    let shown = filmgate(&["capture", "show", &id, "--json", "--data", &data]).out;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["processing"], seen);
}

#[test]
fn of_a_failure_why_and_that_its_photo_is_kept_aside() {
    let server = hasty().start().unwrap();
    let mut api = participant(&server);
    processed(&server, &mut api, &[undecodable()]);
    let (id, seen) = processing(&server, &mut api);
    assert_eq!((&seen["state"], &seen["is_quarantined"]), (&json!("FAILURE"), &json!(true)));
    assert!(seen["error"].as_str().unwrap().contains("cannot be decoded"), "{seen}");
    assert_eq!((&seen["processed_at"], &seen["derivatives"]), (&Value::Null, &json!([])));
    let data = server.data().to_str().unwrap().to_owned();
    processed(&server, &mut api, &[photo::jpeg(64, 48, 1)]);
    let listed = filmgate(&["capture", "list", "--quarantined", "--json", "--data", &data]).out;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.contains(&id));
    for (query, count) in [("quarantined=true", 1), ("quarantined=false", 1), ("processed=true", 1), ("", 2)] {
        let target = format!("/api/v1/captures?session_id={}&{query}", api.session_id);
        assert_eq!(as_admin(&server, "GET", &target, None).json()["items"].as_array().unwrap().len(), count, "{query}");
    }
}
