//! Programs that are no decoder, and decoders that lie: each gives words, none hangs the pool or brings it down.

use std::path::PathBuf;
use std::time::Duration;

use decoder::{DecodeError, DecoderOptions};
use tokio::time::timeout;

use crate::support::{PATIENCE, Pool, options, photo};

fn stranger(program: &str, arguments: &[&str]) -> Pool {
    Pool::new(DecoderOptions {
        program: PathBuf::from(program),
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        timeout: Duration::from_secs(5),
        processes_max: 1,
        ..options()
    })
}

async fn died(program: &str, arguments: &[&str]) -> String {
    let pool = stranger(program, arguments);
    // Twice: a pool that lost a place or its memory to the first would wait for ever.
    let mut words = String::new();
    for _ in 0..2 {
        let ended = timeout(PATIENCE, pool.decoder.strip(photo(64, 48))).await;
        let DecodeError::Died(why) = ended.expect("it hangs").unwrap_err() else { panic!("{program} did not die") };
        words = why;
    }
    assert_eq!(pool.metric("decodes_total{outcome=\"died\"}") + pool.metric("decodes_total{outcome=\"timed_out\"}"), 2);
    pool.wait_until("decoder_children", 0).await;
    assert_eq!(pool.metric("decoder_memory_bytes"), 0);
    words
}

#[tokio::test]
async fn a_program_that_is_not_there() {
    assert!(died("/no/such/program", &[]).await.starts_with("the decoder could not be started: No such file"));
}

#[tokio::test]
async fn a_program_that_ends_at_once() {
    assert_eq!(died("/bin/true", &[]).await, "the decoder ended by itself with code 0");
    assert_eq!(died("/bin/sh", &["-c", "echo no >&2; exit 3"]).await, "the decoder ended by itself with code 3: no");
}

#[tokio::test]
async fn a_program_that_talks_without_end() {
    assert_eq!(died("/bin/yes", &[]).await, "the decoder broke the rules and was ended: it is no decoder");
    // The last of what it said is what is kept.
    let complains = "/usr/bin/head -c 10000000 /dev/zero >&2; echo >&2; echo enough >&2; exit 1";
    assert_eq!(died("/bin/sh", &["-c", complains]).await, "the decoder ended by itself with code 1: enough");
}

#[tokio::test]
async fn a_program_that_echoes() {
    assert_eq!(died("/bin/cat", &[]).await, "the decoder broke the rules and was ended: it is no decoder");
}

#[tokio::test]
async fn a_program_gets_neither_environment_nor_folder() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "the control: there is something to inherit");
    let told = died("/bin/sh", &["-c", "echo \"[$CARGO_MANIFEST_DIR] [$(pwd)]\" >&2; exit 1"]).await;
    assert_eq!(told, "the decoder ended by itself with code 1: [] [/]");
}

/// A script for a shell that greets as a child does and then says `answer`, in the words of `printf`, whatever it is
/// asked.
fn lie(version: &str, answer: &str) -> String {
    let hello = format!(r#"{{"version":"{version}","protections":{{"landlock":"Holds","seccomp":"Holds"}}}}"#);
    let length = hello.len();
    assert!(length < 256);
    format!(r"printf 'filmgate-child:\n\{length:03o}\0\0\0\0\0\0\0%s' '{hello}'; printf '{answer}'; exec /bin/sleep 60")
}

async fn liar(version: &str, answer: &str) -> String {
    died("/bin/sh", &["-c", &lie(version, answer)]).await
}

fn broke_the_rules(how: &str) -> String {
    format!("the decoder broke the rules and was ended: {how}")
}

#[tokio::test]
async fn a_child_of_another_version() {
    let why = liar("0.0.0", "").await;
    assert_eq!(why, broke_the_rules("it is of another version than the server: restart the server"));
}

#[tokio::test]
async fn a_child_that_greets_and_says_no_more() {
    // The control: its greeting is good, and only its silence is not.
    assert_eq!(liar(env!("CARGO_PKG_VERSION"), "").await, "decoding took longer than 5 s");
}

#[tokio::test]
async fn a_child_that_announces_more_than_there_can_be() {
    let version = env!("CARGO_PKG_VERSION");
    let why = liar(version, r"\377\377\377\377\0\0\0\0").await;
    assert_eq!(why, broke_the_rules("a header of more than 64 KiB was announced"));
    let why = liar(version, r"\001\0\0\0\377\377\377\377").await;
    assert_eq!(why, broke_the_rules("more bytes were announced than the answer can have"));
}

#[tokio::test]
async fn a_child_whose_header_is_none() {
    let why = liar(env!("CARGO_PKG_VERSION"), r"\004\0\0\0\0\0\0\0[[[[").await;
    assert_eq!(why, broke_the_rules("its header cannot be read"));
}

#[tokio::test]
async fn a_child_that_answers_another_question() {
    let why = liar(env!("CARGO_PKG_VERSION"), r#"\046\0\0\0\0\0\0\0{"outcome":"Verified","leaving":false}"#).await;
    assert_eq!(why, broke_the_rules("it answered what nobody asked"));
}

#[tokio::test]
async fn a_child_that_stops_in_the_middle() {
    let version = env!("CARGO_PKG_VERSION");
    let why = liar(version, r"\004\0\0\0\0\0\0\0[[").await;
    assert_eq!(why, "decoding took longer than 5 s");
}

#[tokio::test]
async fn a_child_that_wants_to_leave_is_replaced() {
    let leaves = r#"\045\0\0\0\0\0\0\0{"outcome":"Verified","leaving":true}"#;
    let pool = stranger("/bin/sh", &["-c", &lie(env!("CARGO_PKG_VERSION"), leaves)]);
    for _ in 0..2 {
        pool.decoder.verify(photo(64, 48)).await.unwrap();
        assert_eq!(pool.metric("decoder_children"), 0);
    }
}
