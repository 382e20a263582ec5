//! Pseudonyms: the same under the same key, and nothing of what they stand for anywhere in the archive.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use testkit::{Api, photo};

use super::{export, filmed, opened, stored, table};
use crate::support::{new_session, new_user, program_on, ran, server, with_comment};

const KEY: &str = "a secret that the study keeps";
/// As a camera writes where it is and whose.
const PLACE: &str = "52.5200 N 13.4050 E, serial number 4711";

/// Where these words stand in the archive, whatever their case.
fn found(archive: &[u8], words: &str) -> Option<usize> {
    let lower = archive.to_ascii_lowercase();
    lower.windows(words.len()).position(|window| window == words.to_ascii_lowercase().as_bytes())
}

#[test]
fn leak_nothing_and_are_the_same_under_the_same_key() {
    let server = server();
    let person = new_user(&server);
    let session = new_session(&server, &person, &Value::Null);
    let mut api = Api::new(server.address(), &person.cookie, &session);
    let conversation = "conversation-8f14e45f";
    let placed = with_comment(&photo::jpeg(64, 48, 1), PLACE.as_bytes());
    let mut ids = Vec::new();
    for seed in 0..3 {
        let metadata = json!({"trigger": "MANUAL", "llm_conversation_id": conversation, "captured_at": person.username,
            "question": format!("To {}", person.username), "name": person.username,
            "timing": {"run": person.username, "sequence": person.username, "due_at": person.username}, "picture": seed});
        let bytes = if seed == 0 { placed.clone() } else { photo::jpeg(64, 48, seed) };
        ids.push(stored(&mut api, &bytes, &metadata));
    }
    let body = json!({"user_id": person.user_id.parse::<i64>().unwrap(), "pseudonyms": true, "pseudonym_key": KEY});
    let archive = export(&server, &body).body;
    let files = opened(&archive);
    let rows = table(&files["captures.csv"]);
    assert_eq!(rows.len(), 3);
    let as_stored = export(&server, &json!({"session_ids": [session]})).body;
    let secrets = [
        &[person.username.clone(), session.clone(), conversation.to_owned(), KEY.to_owned(), PLACE.to_owned()][..],
        &ids,
    ]
    .concat();
    for secret in &secrets {
        assert_eq!(found(&archive, secret), None, "{secret}");
        // The control: without pseudonyms this search finds each of them, but for the key.
        assert!(found(&as_stored, secret).is_some() || secret == KEY, "{secret}");
    }
    let names: BTreeSet<&str> = rows.iter().map(|row| row["participant"].as_str()).collect();
    assert!(names.len() == 1 && !names.contains(person.user_id.as_str()), "{names:?}");
    for row in &rows {
        assert!(row["file"].starts_with("photos/session-"), "{row:?}");
        assert_eq!((row["captured_at"].as_str(), row["sequence"].as_str(), row["due_at"].as_str()), ("", "", ""));
        assert!(!row.contains_key("metadata") && !row.contains_key("filename"));
    }

    assert!(export(&server, &body).body == archive, "the same key, the same archive");
    let folder = tempfile::tempdir().unwrap();
    let (key, path) = (folder.path().join("key"), folder.path().join("a.zip"));
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let args = [
        "export",
        path.to_str().unwrap(),
        "--user",
        &person.username,
        "--pseudonym-key-file",
        key.to_str().unwrap(),
        "--data",
        server.data().to_str().unwrap(),
    ];
    let made = ran(program_on(server.data()).args(args).envs(server.photo_envs()));
    assert_eq!(made.status, 0, "{made:?}");
    assert!(fs::read(&path).unwrap() == archive, "the command's too");
    let fresh = export(&server, &json!({"session_ids": [session], "pseudonyms": true})).body;
    let of_fresh = table(&opened(&fresh)["captures.csv"]);
    assert_ne!(of_fresh[0]["participant"], rows[0]["participant"], "a key that nobody keeps");
    println!("{} words in none of {} bytes", secrets.len(), archive.len());
}

#[test]
fn join_what_belongs_together() {
    let server = server();
    let (one, other) = (filmed(&server, 2), filmed(&server, 2));
    let body = json!({"session_ids": [one.session_id, other.session_id], "pseudonyms": true});
    let rows = table(&opened(&export(&server, &body).body)["captures.csv"]);
    let of = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<BTreeSet<_>>().len();
    assert_eq!((of("participant"), of("session"), of("capture"), of("assessment"), of("run")), (2, 2, 4, 1, 1));
    // What is a name of the page's and no text stays.
    assert_eq!(rows.iter().filter(|row| row["question"] == "phq9-1").count(), 2);
}
