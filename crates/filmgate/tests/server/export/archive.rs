//! The archive: made twice, checked by programs that are not ours, and what becomes of damaged photos.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use testkit::Request;
use testkit::connection::Connection;

use super::{SERVER, export, filmed, opened, table};
use crate::support::{filmgate, has_files, new_session, new_user, program_on, ran, server, stored_file};

fn json_of(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn made_twice_is_the_same_and_the_command_makes_it_too() {
    let server = SERVER.get();
    let (one, other) = (filmed(&server, 5), filmed(&server, 3));
    let body = json!({"session_ids": [other.session_id, one.session_id]});
    let first = export(&server, &body);
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!(first.header("content-type"), Some("application/zip"));
    let again = export(&server, &json!({"session_ids": [one.session_id, other.session_id, one.session_id]}));
    assert!(first.body == again.body, "the same captures, whatever the order of the question");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let path = path.to_str().unwrap();
    let data = server.data().to_str().unwrap();
    let args = ["export", path, "--session", &one.session_id, "--session", &other.session_id, "--data", data];
    let made = ran(program_on(server.data()).args(args).envs(server.photo_envs()));
    assert_eq!(made.status, 0, "{made:?}");
    assert!(fs::read(path).unwrap() == first.body, "the command and the server make the same");
    let twice = filmgate(&args);
    assert!(twice.status == 2 && twice.err.contains("is there already"), "{twice:?}");

    let files = opened(&first.body);
    let manifest = json_of(&files["manifest.json"]);
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len(), "every file but the manifest itself");
    for file in listed {
        let content = &files[file["name"].as_str().unwrap()];
        assert_eq!(file["size_bytes"], content.len());
        assert_eq!(file["sha256"], testkit::api::sha256(content), "{file}");
    }
    assert_eq!(manifest["totals"]["photos"], 8);
    assert_eq!(manifest["problems"], json!([]));
    let rows = table(&files["captures.csv"]);
    let described: BTreeSet<&str> = manifest["codebook"]["captures.csv"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| column["column"].as_str().unwrap())
        .collect();
    assert_eq!(rows[0].keys().map(String::as_str).collect::<BTreeSet<_>>(), described, "every column, and no other");
    let of_one: Vec<_> = rows.iter().filter(|row| row["session"] == one.session_id).collect();
    assert_eq!(
        of_one.iter().map(|row| row["question"].as_str()).collect::<Vec<_>>(),
        ["phq9-0", "phq9-1", "phq9-2", "phq9-3", "phq9-4"]
    );
    for row in &rows {
        assert_eq!(testkit::api::sha256(&files[&row["file"]]), row["sha256"]);
        assert_eq!(
            (row["assessment_type"].as_str(), row["assessment"].as_str(), row["interval_seconds"].as_str()),
            ("PHQ", "4711", "1")
        );
    }
    let sessions = table(&files["sessions.csv"]);
    let counts: BTreeSet<_> = sessions.iter().map(|row| (row["session"].as_str(), row["photos"].as_str())).collect();
    assert_eq!(counts, BTreeSet::from([(one.session_id.as_str(), "5"), (other.session_id.as_str(), "3")]));
    assert_eq!(table(&files["gaps.csv"]), [], "every second has its frame");
    assert!(String::from_utf8(files["README.txt"].clone()).unwrap().contains("captures.csv"));
    println!("{} bytes, three times the same", first.body.len());
}

/// Python and Info-ZIP, where they are.
#[test]
fn programs_of_others_find_it_whole() {
    let server = SERVER.get();
    let api = filmed(&server, 4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    fs::write(&path, export(&server, &json!({"session_ids": [api.session_id]})).body).unwrap();
    let python = "import sys, zipfile, csv, io, json, hashlib
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
rows = list(csv.DictReader(io.TextIOWrapper(archive.open('captures.csv'), 'utf-8', newline='')))
for row in rows: assert hashlib.sha256(archive.read(row['file'])).hexdigest() == row['sha256']
assert json.loads(rows[0]['metadata'])['phq_response_id'] == 4711
print(len(rows), json.load(archive.open('manifest.json'))['totals']['photos'])";
    for (program, args, words) in [("python3", vec!["-c", python], "4 4"), ("unzip", vec!["-t"], "No errors detected")]
    {
        match Command::new(program).args(&args).arg(&path).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(output.status.success() && said.contains(words), "{program}: {said} {output:?}");
                println!("{program}: {words}");
            }
            Err(error) => println!("NOT RUN: {program}: {error}"),
        }
    }
}

#[test]
fn a_damaged_photo_is_left_out_and_named() {
    if !has_files("a damaged photo") {
        return;
    }
    let server = server();
    let api = filmed(&server, 3);
    let rows = table(&opened(&export(&server, &json!({"session_ids": [api.session_id]})).body)["captures.csv"]);
    let damaged = stored_file(&server, &rows[1]["filename"]);
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[1_500] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    fs::remove_file(stored_file(&server, &rows[2]["filename"])).unwrap();

    // Over a connection that takes trailers, which is how a program hears of it before it opens anything.
    let target = format!("/api/v1/sessions/{}/export", api.session_id);
    let request = Request::get(&target)
        .cookie(&server.demo().admin.cookie)
        .header("TE", "trailers")
        .header("Connection", "close, TE");
    let mut connection = Connection::open(server.address()).unwrap();
    connection.write_request(&request).unwrap();
    let (raw, ended) = connection.read_whatever(std::time::Duration::from_secs(10));
    let end = String::from_utf8_lossy(&raw[raw.len() - 100..]).into_owned();
    assert!(ended && end.contains("filmgate-export: complete; captures=3; photos=1; left-out=2"), "{end}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zip");
    let args = ["export", path.to_str().unwrap(), "--all", "--data", server.data().to_str().unwrap(), "--json"];
    let made = ran(program_on(server.data()).args(args).envs(server.photo_envs()));
    assert_eq!((made.status, json_of(made.out.as_bytes())["left_out"].as_u64()), (1, Some(2)), "{made:?}");
    let files = opened(&fs::read(&path).unwrap());
    let problems = json!([{"capture": rows[1]["capture"], "problem": "damaged"}, {"capture": rows[2]["capture"], "problem": "missing"}]);
    assert_eq!(json_of(&files["manifest.json"])["problems"], problems);
    let after = table(&files["captures.csv"]);
    let told: Vec<_> = after.iter().map(|row| (row["problem"].as_str(), row["file"].is_empty())).collect();
    assert_eq!(told, [("", false), ("damaged", true), ("missing", true)]);
}

#[test]
fn what_cannot_be_exported_is_said() {
    let server = SERVER.get();
    let cases = [
        (json!({"session_ids": []}), "names 1 to 1000 sessions"),
        (json!({"pseudonyms": true, "pseudonym_key": "short"}), "at least 16 bytes"),
        (json!({"what": 1}), "unknown field"),
    ];
    for (body, words) in cases {
        let answer = export(&server, &body);
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert!(answer.text().contains(words), "{body}: {}", answer.text());
    }
    // Of a session that is not there nothing is in it.
    let answer = export(&server, &json!({"session_ids": ["018f0000-0000-7000-8000-000000000000"]}));
    assert_eq!(json_of(&opened(&answer.body)["manifest.json"])["totals"]["sessions"], 0);
    // Nor of one that is another user's; a key alone is wish enough for pseudonyms.
    let person = new_user(&server);
    let session = new_session(&server, &person, &json!({"recording_mode": "INTERVAL", "interval_seconds": 1}));
    let theirs: i64 = person.user_id.parse().unwrap();
    for (user_id, sessions) in [(theirs, 1), (theirs + 1_000_000, 0)] {
        let asked = json!({"session_ids": [session], "user_id": user_id, "pseudonym_key": "a secret of theirs"});
        let manifest = json_of(&opened(&export(&server, &asked).body)["manifest.json"]);
        assert_eq!(manifest["totals"]["sessions"], sessions, "{user_id}");
        assert_eq!(manifest["names"]["kind"], "pseudonyms");
    }
}
