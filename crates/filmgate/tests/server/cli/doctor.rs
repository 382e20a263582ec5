//! `filmgate doctor`.

use serde_json::{Value, json};

use super::Commands;
use crate::support::{as_admin, server};

/// Its findings by JSON, which must agree with its words and its exit status.
fn findings(commands: &mut Commands, args: &[&str]) -> Vec<Value> {
    let ran = commands.run("doctor", &[args, &["--json"]].concat());
    let findings = super::json_lines(&ran.out);
    let is_bad = findings.iter().any(|finding| finding["level"] == "bad");
    assert_eq!((ran.status, ran.err.as_str()), (i32::from(is_bad), ""), "{ran:?}");
    let words = commands.run("doctor", args);
    assert_eq!((words.status, words.out.lines().count()), (ran.status, findings.len()), "{}", words.out);
    for (line, finding) in words.out.lines().zip(&findings) {
        let mark = match finding["level"].as_str().unwrap() {
            "good" => "[  ok  ] ",
            "warning" => "[ warn ] ",
            _ => "[ BAD  ] ",
        };
        assert!(line.starts_with(mark), "{line}: {finding}");
    }
    findings
}

#[track_caller]
fn assert_finds(findings: &[Value], level: &str, words: &str) {
    let found = findings.iter().find(|finding| finding["what"].as_str().unwrap().contains(words));
    let found = found.unwrap_or_else(|| panic!("nothing about '{words}' in {findings:?}"));
    assert_eq!(found["level"], json!(level), "{found}");
}

#[test]
fn finds_what_will_hurt() {
    if !crate::support::is_of_files("a catalog that is not made yet") {
        return;
    }
    let server = server();
    let mut beside = Commands::of(&server);
    let good = findings(&mut beside, &[]);
    assert_finds(&good, "good", "survive a power cut");
    assert_finds(&good, "good", "the clock looks right");
    assert!(good.iter().any(|finding| finding["what"].as_str().unwrap().contains("an fsync takes")), "{good:?}");
    let listens = "server.listen=0.0.0.0:8080";
    let cases: [(&[&str], &str, &str); 7] = [
        (&["--set", "ingest.durability=relaxed"], "bad", "ingest.durability is relaxed"),
        (&["--set", listens], "bad", "over the network without TLS"),
        (&["--set", listens, "--set", "server.public_url=https://a.example"], "good", "over TLS"),
        (&[], "warning", "trusts no proxy"),
        (&["--set", "server.connections_max=1000000"], "warning", "files may be open at once"),
        (&["--set", "ingest.free_bytes_min=1125899906842624"], "bad", "uploads are refused"),
        (&["--url", "http://127.0.0.1:1"], "bad", "http://127.0.0.1:1 does not answer"),
    ];
    for (args, level, words) in cases {
        assert_finds(&findings(&mut beside, args), level, words);
    }
    let url = server.demo().url.clone();
    let through = findings(&mut beside, &["--url", &url]);
    assert_finds(&through, "good", "leads to Filmgate");
    assert_finds(&through, "good", "a photo of 8 MB pass");
    assert!(server.participant().is_up("/readyz"));

    let nowhere = tempfile::tempdir().unwrap();
    let fresh = nowhere.path().join("not yet");
    assert_finds(&findings(&mut Commands::on(&fresh), &[]), "good", "does not exist yet: the first start makes it");
    assert!(!fresh.exists(), "it looks and makes nothing");
    let empty = Commands::on(nowhere.path());
    assert_finds(&findings(&mut { empty }, &[]), "good", "has no catalog yet");
    let mut wrong = Commands::of(&server);
    wrong.fails("doctor", &["--set", "ingest.disk_workers=0"], "flag ingest.disk_workers: ");
    println!("{} findings", cases.len() + 4);
}

#[test]
fn the_route_says_what_the_command_says() {
    let server = server();
    let ask = || as_admin(&server, "GET", "/api/v1/doctor", None).json();
    let told = ask();
    // Measured twice, a disk is never quite as quick again.
    let words = |findings: &[Value]| -> Vec<(String, String)> {
        let text = |finding: &Value| finding["what"].as_str().unwrap().replace(|byte: char| byte.is_ascii_digit(), "");
        findings.iter().map(|finding| (finding["level"].as_str().unwrap().to_owned(), text(finding))).collect()
    };
    let by_command = findings(&mut Commands::of(&server), &[]);
    assert_eq!(words(told["findings"].as_array().unwrap()), words(&by_command));
    assert!(told["node"].as_str().is_some_and(|node| !node.is_empty()));
    assert_eq!(ask(), told, "an examination is told again for a while");
}
