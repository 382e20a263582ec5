//! `filmgate fsck`: finds each kind of damage, sets it aside, and then has nothing to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::api::Capture;
use testkit::server::Server;
use testkit::{Shot, photo};

use super::Commands;
use crate::support::{files_of_store, has_files, is_of_folders, server, stored_file};

/// What may be wrong, and how it is found.
struct Damage {
    name: &'static str,
    /// Damages the photo at this path.
    inflict: fn(&Path),
    /// The list of the report that it stands in.
    found_in: &'static str,
    only_deep: bool,
    /// Whether the row is set aside too, with a note.
    takes_row: bool,
}

/// As a crash leaves it between the photo and its row.
fn plant(path: &Path) {
    fs::copy(path, path.with_file_name("018f0000-0000-7000-8000-000000000000.jpg")).unwrap();
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "a planted file",
        inflict: plant,
        found_in: "files_without_capture",
        only_deep: false,
        takes_row: false,
    },
    Damage {
        name: "a deleted file",
        inflict: |path| fs::remove_file(path).unwrap(),
        found_in: "captures_without_file",
        only_deep: false,
        takes_row: true,
    },
    Damage {
        name: "a shorter file",
        inflict: |path| fs::write(path, &fs::read(path).unwrap()[1..]).unwrap(),
        found_in: "captures_of_wrong_size",
        only_deep: false,
        takes_row: true,
    },
    Damage { name: "a flipped bit", inflict: flip, found_in: "captures_damaged", only_deep: true, takes_row: true },
];

const LISTS: [&str; 6] = [
    "captures_without_file",
    "captures_of_wrong_size",
    "captures_damaged",
    "files_without_capture",
    "files_of_deleted_captures",
    "catalog_problems",
];

/// Runs fsck; its exit status, which must agree with its words, and its report.
fn fsck(server: &Server, args: &[&str]) -> (i32, Value) {
    let mut commands = Commands::of(server);
    let ran = commands.run("fsck", &[args, &["--json"]].concat());
    assert_eq!(ran.err, "");
    let report = super::json_lines(&ran.out).remove(0);
    let is_clean = LISTS.iter().all(|list| report[list] == json!([]));
    assert_eq!(ran.status, i32::from(!is_clean), "{report}");
    if !args.contains(&"--repair") {
        let words = commands.run("fsck", args);
        assert_eq!(words.status, ran.status);
        let last = if is_clean { "clean" } else { "not clean: --repair sets aside what does not fit" };
        assert_eq!(words.out.lines().last(), Some(last));
    }
    (ran.status, report)
}

/// A stopped server's folder with three captures.
fn stopped() -> (Server, Vec<Capture>) {
    let mut server = server();
    let shots: Vec<Shot> = (0..3).map(|seed| Shot::interval(photo::jpeg_bytes(20_000, seed))).collect();
    let captures = testkit::api::captures(&server.participant().upload(&shots).unwrap()).unwrap();
    server.terminate(Duration::from_secs(20)).unwrap();
    (server, captures)
}

/// Everything below the data folder that a repair may touch.
fn contents(server: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> =
        files_of_store(server).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn each_damage_is_found_and_set_aside_once() {
    if !crate::support::is_of_files("what is judged though it is young") {
        return;
    }
    if !has_files("each damage is found and set aside once") {
        return;
    }
    for Damage { name, inflict, found_in, only_deep, takes_row } in DAMAGES {
        let (server, captures) = stopped();
        assert_eq!(fsck(&server, &["--deep"]).0, 0);
        let path = stored_file(&server, &captures[1].filename);
        inflict(&path);
        let before = contents(&server);
        assert_eq!(fsck(&server, &[]).0, i32::from(!only_deep), "{name}");
        let (status, report) = fsck(&server, &["--deep"]);
        assert_eq!(status, 1, "{name}");
        for list in LISTS {
            assert_eq!(report[list].as_array().unwrap().len(), usize::from(list == *found_in), "{name}: {report}");
        }
        assert_eq!((&report["captures_checked"], &report["repaired"]), (&json!(3), &json!(0)));
        assert_eq!(contents(&server), before, "{name}: looking changes nothing");

        let (status, report) = fsck(&server, &["--deep", "--repair"]);
        assert_eq!((status, &report["repaired"]), (1, &json!(1)), "{name}: what it found it says");
        let quarantine = server.photo_folder().join(".quarantine");
        let aside: Vec<String> = fs::read_dir(&quarantine)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let bytes_aside = aside.iter().filter(|name| !name.contains(".json")).count();
        assert_eq!(bytes_aside, usize::from(*name != "a deleted file"), "{name}: {aside:?}");
        let note = quarantine.join(format!("{}.json", captures[1].id));
        assert_eq!(note.exists(), *takes_row, "{name}");
        if *takes_row {
            let note: Value = serde_json::from_slice(&fs::read(note).unwrap()).unwrap();
            assert_eq!((&note["id"], &note["sha256"]), (&json!(captures[1].id), &json!(captures[1].sha256)));
        }

        let repaired = contents(&server);
        for args in [["--deep", "--repair"].as_slice(), &["--deep"], &["--repair"]] {
            let (status, report) = fsck(&server, args);
            assert_eq!((status, &report["repaired"]), (0, &json!(0)), "{name}: {report}");
            assert_eq!(contents(&server), repaired, "{name}: again it changes nothing");
        }
        let again = server.start_again().unwrap();
        let mut api = again.participant();
        assert_eq!(api.list().unwrap().len(), if *takes_row { 2 } else { 3 }, "{name}");
        assert_eq!(api.file(&captures[0].filename).unwrap().status, 200, "{name}: the others are as they were");
    }
    println!("{} kinds of damage", DAMAGES.len());
}

#[test]
fn all_damage_at_once() {
    if !crate::support::is_of_files("what is judged though it is young") {
        return;
    }
    if !has_files("all damage at once") {
        return;
    }
    let (server, captures) = stopped();
    for (Damage { inflict, .. }, at) in DAMAGES.iter().zip([0, 0, 1, 2]) {
        inflict(&stored_file(&server, &captures[at].filename));
    }
    let (status, report) = fsck(&server, &["--deep", "--repair"]);
    assert_eq!((status, &report["repaired"]), (1, &json!(4)), "{report}");
    assert_eq!(fsck(&server, &["--deep"]).0, 0);
    assert!(server.start_again().unwrap().participant().list().unwrap().is_empty());
}

#[test]
fn a_file_of_a_deleted_capture_is_deleted_and_not_kept() {
    if !crate::support::is_of_files("what is judged though it is young") {
        return;
    }
    if !has_files("a file of a deleted capture is deleted and not kept") {
        return;
    }
    let (server, captures) = stopped();
    let path = stored_file(&server, &captures[0].filename);
    let bytes = fs::read(&path).unwrap();
    Commands::of(&server).one("capture delete", &[&captures[0].id]);
    assert!(!path.exists());
    // As if the machine had stopped between the row and the bytes.
    fs::write(&path, bytes).unwrap();
    let (status, report) = fsck(&server, &["--repair"]);
    assert_eq!((status, report["files_of_deleted_captures"].as_array().unwrap().len()), (1, 1), "{report}");
    assert!(!path.exists());
    assert_eq!(
        fs::read_dir(server.photo_folder().join(".quarantine")).into_iter().flatten().count(),
        0,
        "an erased photo is not kept"
    );
    assert_eq!(fsck(&server, &["--deep"]).0, 0);
}

#[test]
fn beside_a_server_young_files_are_not_judged() {
    if !has_files("beside a server young files are not judged") {
        return;
    }
    let server = server();
    let capture =
        testkit::api::captures(&server.participant().upload_photo(&photo::jpeg_bytes(20_000, 1)).unwrap()).unwrap();
    let path = stored_file(&server, &capture[0].filename);
    (DAMAGES[0].inflict)(&path);
    let words = Commands::of(&server).run("fsck", &["--repair"]);
    assert_eq!(words.status, 0, "{words:?}");
    assert!(words.out.contains("files younger than 15 minutes without a capture were not judged"), "{}", words.out);
    // What has a row is judged beside a server too, and gone from its next answer on.
    flip(&path);
    assert_eq!(fsck(&server, &["--deep", "--repair"]).0, 1);
    assert_eq!(server.participant().file(&capture[0].filename).unwrap().status, 404);
}

#[test]
fn a_disk_that_is_not_mounted_is_not_repaired() {
    if !is_of_folders("a disk that is not mounted") {
        return;
    }
    let (server, _) = stopped();
    let before = contents(&server);
    let (store, elsewhere) = (server.data().join("blobs"), server.data().join("elsewhere"));
    fs::rename(&store, &elsewhere).unwrap();
    let ran = Commands::of(&server).run("fsck", &["--repair"]);
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("is its disk mounted?"), "{}", ran.err);
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&elsewhere, &store).unwrap();
    assert_eq!(fsck(&server, &["--deep"]).0, 0);
    assert_eq!(contents(&server), before);
}
