//! What a child may not do, with each protection alone.
//!
//! A fault that was *not* denied lets the photo be verified like any other, so each of these fails where the protection
//! is missing. Landlock and seccomp are asked for: a machine without them fails here, and says so.

use decoder::{DecodeError, DecoderOptions, Protection};

use crate::orphans::children_with_niceness;
use crate::support::{Pool, options, poison};

const DENIED_BY_SECCOMP: &str = "the decoder tried what it may not (SIGSYS)";

fn with(arguments: &[&str]) -> Pool {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    Pool::new(DecoderOptions { arguments, ..options() })
}

async fn denied(pool: &Pool, fault: &str) -> String {
    match pool.decoder.verify(poison(fault)).await {
        Err(DecodeError::Died(why)) => why,
        other => panic!("{fault} was not denied: {other:?}"),
    }
}

#[tokio::test]
async fn a_child_says_what_confines_it() {
    let pool = with(&[]);
    assert_eq!(pool.decoder.protections(), None);
    let protections = pool.decoder.try_out().await.unwrap().clone();
    assert!(protections.all_hold(), "{protections}");
    assert_eq!(protections.seccomp, Protection::Holds);
    assert_eq!(pool.decoder.protections(), Some(&protections));
    assert_eq!(pool.metric("decoder_children"), 1, "it is kept for the first photo");

    let pool = with(&["--without-landlock"]);
    assert!(!pool.decoder.try_out().await.unwrap().all_hold());
    let pool = with(&["--without-seccomp"]);
    assert!(!pool.decoder.try_out().await.unwrap().all_hold());
}

#[tokio::test]
async fn the_program_has_no_files_and_no_network() {
    let pool = with(&[]);
    for fault in ["OPEN", "CONNECT"] {
        assert_eq!(denied(&pool, fault).await, DENIED_BY_SECCOMP, "{fault}");
    }
}

#[tokio::test]
async fn seccomp_alone_denies_both() {
    let pool = with(&["--without-landlock"]);
    for fault in ["OPEN", "CONNECT"] {
        assert_eq!(denied(&pool, fault).await, DENIED_BY_SECCOMP, "{fault}");
    }
}

#[tokio::test]
async fn landlock_alone_denies_both() {
    let pool = with(&["--without-seccomp"]);
    for (fault, what) in [("OPEN", "open a file"), ("CONNECT", "open a connection")] {
        let why = denied(&pool, fault).await;
        assert_eq!(why, format!("the decoder died (SIGABRT): was not allowed to {what}"), "{fault}");
    }
}

#[tokio::test]
async fn without_either_nothing_is_denied() {
    // The control of this file.
    let pool = with(&["--without-landlock", "--without-seccomp"]);
    for fault in ["OPEN", "CONNECT"] {
        pool.decoder.verify(poison(fault)).await.unwrap();
    }
}

#[tokio::test]
async fn a_child_is_nice_and_leaves_no_core() {
    // A niceness of its own tells this child from those of the other tests.
    let pool = Pool::new(DecoderOptions { niceness: 3, ..options() });
    pool.decoder.try_out().await.unwrap();
    let child = children_with_niceness(3).remove(0);
    let limits = child.file("limits");
    for limit in ["Max core file size", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert!(line[limit.len()..].trim_start().starts_with("0 "), "{line}");
    }
    let status = child.file("status");
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(status.lines().any(|found| found == line), "{line} is not in\n{status}");
    }
}

/// The scheduling policy of a process: field 41 of proc(5)'s stat, where 5 is SCHED_IDLE.
fn policy(id: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(38).unwrap().to_owned()
}

#[tokio::test]
async fn a_child_of_niceness_19_gets_only_what_nobody_else_wants() {
    for (niceness, expected) in [(18, "0"), (19, "5")] {
        let pool = Pool::new(DecoderOptions { niceness, ..options() });
        pool.decoder.try_out().await.unwrap();
        let children = children_with_niceness(niceness);
        assert_eq!(children.len(), 1, "{niceness}");
        assert_eq!(policy(children[0].id), expected, "{niceness}");
    }
}
