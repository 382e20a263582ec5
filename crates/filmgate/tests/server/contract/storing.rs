//! What is stored: each photo under a name of its own, all of a request or none, and never shown once it is damaged.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::thread;

use serde_json::json;
use testkit::{Api, Response, Shot, photo};

use super::{SERVER, assert_refused};
use crate::support::{assert_members, assert_nothing_left, is_of_folders, made, participant, server, stored_file};

fn filename(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["captures"][0]["filename"].as_str().unwrap().to_owned()
}

#[test]
fn two_captures_of_one_moment_are_two_files_and_two_rows() {
    let server = SERVER.get();
    let mut api = participant(&server);
    // One photo twice, so that nothing but the server tells them apart.
    let shots = [Shot::interval(photo::jpeg_bytes(3_000, 1)), Shot::interval(photo::jpeg_bytes(3_000, 1))];
    let captures = testkit::api::captures(&api.upload(&shots).unwrap()).unwrap();
    assert_ne!(captures[0].id, captures[1].id);
    assert_ne!(captures[0].filename, captures[1].filename);
    assert_ne!(stored_file(&server, &captures[0].filename), stored_file(&server, &captures[1].filename));
    assert_eq!(api.listed_filenames().unwrap().len(), 2);
}

#[test]
fn two_hundred_uploads_on_eight_connections_are_two_hundred_files() {
    const CONNECTIONS: u64 = 8;
    const EACH: u64 = 25;
    let server = SERVER.get();
    let api = participant(&server);
    let mut uploaded: Vec<(String, Vec<u8>)> = Vec::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|client| {
                let mut api = api.clone();
                scope.spawn(move || {
                    let seeds = client * EACH..(client + 1) * EACH;
                    seeds
                        .map(|seed| {
                            let photo = photo::jpeg_bytes(20_000, seed);
                            (filename(&api.upload_photo(&photo).unwrap()), photo)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for client in clients {
            uploaded.extend(client.join().unwrap());
        }
    });
    let names: HashSet<&String> = uploaded.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 200);
    let listed = api.clone().listed_filenames().unwrap();
    assert_eq!(listed.iter().collect::<HashSet<_>>(), names);
    for (name, photo) in &uploaded {
        assert_eq!(&fs::read(stored_file(&server, name)).unwrap(), photo, "{name}");
    }
    println!("{} uploads on {CONNECTIONS} connections", uploaded.len());
}

#[test]
fn an_ended_session_takes_no_more() {
    let server = SERVER.get();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(3_000, 1);
    let kept = filename(&api.upload_photo(&photo).unwrap());
    made(&server, "POST", &format!("/api/v1/sessions/{}/end", api.session_id), &json!({}));
    let words = "This assessment session has ended and takes no more captures";
    assert_refused(&api.upload_photo(&photo).unwrap(), 409, "session_ended", words);
    assert_eq!(api.listed_filenames().unwrap(), [kept.as_str()]);
    assert_eq!(api.file(&kept).unwrap().body, photo, "what it has can still be read");
}

#[test]
fn one_bad_photo_of_three_stores_none() {
    let server = server();
    let mut api = participant(&server);
    let good = photo::jpeg_bytes(30_000, 1);
    let bad: [(&str, &[u8], u16); 5] = [
        ("empty", b"", 422),
        ("cut off", &good[..good.len() - 20], 422),
        ("text", b"GIF? no, only text", 415),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415),
        ("a header alone", &good[..20], 422),
    ];
    for (what, bytes, status) in bad {
        for place in 0..3 {
            let mut shots = vec![Shot::interval(good.clone()); 3];
            shots[place].photo = bytes.to_vec();
            let response = api.upload(&shots).unwrap();
            assert_eq!(response.status, status, "{what} at {place}: {response:?}");
            let body = response.json();
            assert!(body["error"].as_str().unwrap().contains(&format!("'capture_{place}'")), "names it: {body}");
        }
    }
    assert_eq!(api.list().unwrap().len(), 0);
    assert_nothing_left(&server);
    assert!(server.fsck(true).unwrap().is_clean());
    println!("{} bad photos among good ones", bad.len() * 3);
}

/// Fails unless the photo is refused by a 5xx in which no byte of it stands.
#[track_caller]
fn assert_not_served(api: &mut Api, name: &str, secret: &[u8]) -> Response {
    let response = api.file(name).unwrap();
    assert_eq!(response.status, 500, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("etag"), None);
    let shown = response.body.windows(16).any(|window| secret.windows(16).any(|piece| piece == window));
    assert!(!shown, "a part of it was shown");
    response
}

#[test]
fn a_flipped_bit_is_never_served() {
    let server = server();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(300_000, 1);
    let name = filename(&api.upload_photo(&photo).unwrap());
    let other = filename(&api.upload_photo(&photo::jpeg_bytes(3_000, 2)).unwrap());
    let path = stored_file(&server, &name);
    let places = [0, 1, photo.len() / 2, photo.len() - 1];
    for place in places {
        let mut damaged = photo.clone();
        damaged[place] ^= 0x10;
        fs::write(&path, &damaged).unwrap();
        let response = assert_not_served(&mut api, &name, &photo);
        let words = "The stored photo is damaged and is not shown; tell the operator";
        assert_refused(&response, 500, "photo_damaged", words);
        assert_eq!(api.file(&other).unwrap().status, 200, "the others are served");
    }
    for wrong_length in [&photo[..photo.len() - 1], b""] {
        fs::write(&path, wrong_length).unwrap();
        assert_not_served(&mut api, &name, &photo);
    }
    assert!(server.log_tail(200).contains("a stored photo is damaged"), "the operator hears of it");
    assert!(!server.fsck(true).unwrap().is_clean(), "and fsck --deep finds it");
    fs::write(&path, &photo).unwrap();
    assert_eq!(api.file(&name).unwrap().body, photo, "made whole, it is served again");
    println!("{} kinds of damage", places.len() + 2);
}

#[test]
fn a_link_planted_in_the_store_is_not_followed() {
    if !is_of_folders("a planted link") {
        return;
    }
    let server = server();
    let mut api = participant(&server);
    let photo = photo::jpeg_bytes(30_000, 1);
    let name = filename(&api.upload_photo(&photo).unwrap());
    let path = stored_file(&server, &name);
    let outside = server.data().join("elsewhere");
    // The very bytes, so that no checksum would tell.
    fs::rename(&path, &outside).unwrap();
    symlink(&outside, &path).unwrap();
    let body = assert_not_served(&mut api, &name, &photo).json();
    assert_members(&body, ["status", "error", "request_id"]);
    assert_eq!(body["error"], "Internal error");
    // A link to nothing, to a folder, to itself, and a pipe that would never end.
    for target in ["nothing", ".", path.to_str().unwrap(), "/dev/zero"] {
        fs::remove_file(&path).unwrap();
        symlink(target, &path).unwrap();
        assert_not_served(&mut api, &name, &photo);
    }
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    assert_not_served(&mut api, &name, &photo);
    fs::remove_file(&path).unwrap();
    fs::rename(&outside, &path).unwrap();

    // The folder itself, moved away and linked to.
    let minute = path.parent().unwrap();
    let moved = server.data().join("moved");
    fs::rename(minute, &moved).unwrap();
    symlink(&moved, minute).unwrap();
    assert_not_served(&mut api, &name, &photo);
    fs::remove_file(minute).unwrap();
    fs::rename(&moved, minute).unwrap();
    assert_eq!(api.file(&name).unwrap().body, photo, "put right, it is served");
}
