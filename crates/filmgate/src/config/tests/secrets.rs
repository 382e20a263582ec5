//! Secrets from files of their own, and that none is ever printed.
//!
//! What is no address of a Redis server is refused, and must not be repeated in the refusal.

use super::super::declare::KEYS;
use super::super::layers::find;
use super::super::{Config, Secret, report};
use super::{Input, check, file, load, messages};

const REDIS_REFUSED: &str = "jobs.redis_url: is no address of a Redis server\n    \
    allowed: \"redis://HOST:PORT/DB\", \"rediss://…\" with TLS, with user:password@ before the host where needed; or empty\n    hint: one on this machine: redis://127.0.0.1:6379/0";

/// The text of the file reaches the rule of the key, which refuses it, from each layer.
#[test]
fn a_secret_comes_from_a_file_in_every_layer() {
    let beside = &[("redis", "hunter2\n")];
    let by_file = Input { file: "jobs.redis_url_file = \"DIR/redis\"", beside, ..Input::default() };
    check(by_file, &format!("FILE:1:23: {REDIS_REFUSED}"));
    let env = &[("FILMGATE__JOBS__REDIS_URL_FILE", "DIR/redis")];
    let by_env = Input { env, beside, ..Input::default() };
    check(by_env, &format!("environment FILMGATE__JOBS__REDIS_URL_FILE: {REDIS_REFUSED}"));
    let flags = &[("jobs.redis_url_file", "DIR/redis")];
    let by_flag = Input { flags, beside, ..Input::default() };
    check(by_flag, &format!("flag jobs.redis_url_file: {REDIS_REFUSED}"));
}

#[test]
fn the_trailing_newline_of_a_secret_file_goes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    for (text, expect) in [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), (" a \n\n", " a \n")] {
        std::fs::write(&path, text).unwrap();
        let secret = super::super::layers::read_secret(path.to_str().unwrap());
        assert_eq!(secret.unwrap(), expect);
    }
}

#[test]
fn a_secret_file_that_cannot_be_is_named_by_its_setting_not_by_its_path() {
    let large = "x".repeat(65_537);
    let beside: &[(&str, &str)] = &[("empty", "\n"), ("large", &large)];
    for (path, why) in [
        ("redis://:hunter2@host", "the file it names cannot be read: No such file or directory (os error 2)"),
        ("DIR/", "the file it names cannot be read: Is a directory (os error 21)"),
        ("DIR/empty", "the file it names is empty"),
        ("DIR/large", "the file it names is larger than 64 KiB"),
    ] {
        let env: &[(&str, &str)] = &[("FILMGATE__JOBS__REDIS_URL_FILE", path)];
        let expect = format!(
            "environment FILMGATE__JOBS__REDIS_URL_FILE: jobs.redis_url: {why}\n    \
            allowed: \"redis://HOST:PORT/DB\", \"rediss://…\" with TLS, with user:password@ before the host where needed; or empty\n    hint: a file that holds the secret, and nothing else"
        );
        check(Input { env, beside, ..Input::default() }, &expect);
    }
    let expect = "environment FILMGATE__JOBS__REDIS_URL_FILE: jobs.redis_url: names no file\n    \
        allowed: \"redis://HOST:PORT/DB\", \"rediss://…\" with TLS, with user:password@ before the host where needed; or empty\n    hint: name the file that holds it";
    check(Input { env: &[("FILMGATE__JOBS__REDIS_URL_FILE", "")], ..Input::default() }, expect);
}

#[test]
fn itself_and_by_file_in_one_layer_is_one_too_many() {
    let input = Input { file: "[jobs]\nredis_url = \"\"\nredis_url_file = \"DIR/x\"", ..Input::default() };
    let expect = "FILE:3:1: jobs.redis_url: redis_url is set as well\n    \
        allowed: one of the two\n    hint: remove redis_url";
    check(input, expect);
    let env = &[("FILMGATE__JOBS__REDIS_URL", ""), ("FILMGATE__JOBS__REDIS_URL_FILE", "DIR/x")];
    let expect = "environment FILMGATE__JOBS__REDIS_URL_FILE: jobs.redis_url: FILMGATE__JOBS__REDIS_URL is set as well\n    \
        allowed: one of the two\n    hint: remove FILMGATE__JOBS__REDIS_URL";
    check(Input { env, ..Input::default() }, expect);
}

#[test]
fn only_secrets_have_a_file_variant_and_none_hides_another_setting() {
    for key in KEYS {
        let by_file = format!("{}_file", key.dotted);
        assert!(KEYS.iter().all(|other| other.dotted != by_file), "{by_file} would mean two things");
        assert_eq!(find(&by_file).is_some(), key.secret, "{by_file}");
    }
    assert!(load(file("[server]\ntls_key_file = \"\"")).is_ok());
}

/// Wherever a secret can get to by a slip, and whatever is wrong with it there.
#[test]
fn no_message_repeats_a_secret() {
    let files = [
        "jobs.redis_url = \"http://:hunter2@host\"",
        "jobs.redis_url = [\"hunter2\"]",
        "jobs.redis_url_file = \"hunter2\"",
        "jobs.redis_ulr = \"hunter2\"",
        "host.database_url = \"hunter2\"",
        "jobs.redis_url = \"hunter2",
        "jobs.redis_url = hunter2",
        "jobs.redis_url = 'hunter2' hunter2",
        "[server]\npublic_url = \"\"\"\n[jobs]\nredis_url = \"hunter2\"\n",
        "server.public_url = \"\"\"http://x\njobs.redis_url = \"hunter2\"\n\"\"\"",
        "server.public_url = \"https://me:hunter2@example.org\"",
        "server.public_url = \"me:hunter2@example.org\"",
        "server.allowed_origins = [\"https://me:hunter2@example.org\"]",
        "records.url = \"postgres://me:hunter2@host:x/db\"",
        "records.url = \"mysql://me:hunter2@host/db\"",
        "blobs.url = \"s3://me:hunter2@bucket\"",
        "blobs.url = \"//me:hunter2@bucket\"",
        "server.listen = \"me:hunter2@host:1\"",
    ];
    for text in files {
        let said = messages(file(text));
        assert!(said != "fine" && !said.contains("hunter2"), "{text}\n{said}");
    }
    for name in ["FILMGATE__JOBS__REDIS_URL", "FILMGATE__JOBS__REDIS_ULR", "FILMGATE__JOBS__REDIS_URL_FILE"] {
        let said = messages(Input { env: &[(name, "hunter2")], ..Input::default() });
        assert!(said != "fine" && !said.contains("hunter2"), "{name}\n{said}");
    }
}

#[test]
fn a_secret_is_stars_to_everyone_who_does_not_ask_for_it() {
    let mut config = Config::default();
    config.jobs.redis_url = Secret::from("hunter2".to_owned());
    let shown = format!("{config:?} {config:#?} {} {}", config.jobs.redis_url, report(&config));
    assert!(!shown.contains("hunter2"));
    assert!(shown.contains("jobs.redis_url = \"***\""));
    assert!(shown.contains("host.database_url = \"\""));
    assert_eq!(config.jobs.redis_url.expose(), "hunter2");
    assert_eq!(format!("{:?}", config.jobs.redis_url), "Secret(***)");
}
