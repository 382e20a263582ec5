//! `filmgate worker`: tasks run in a process apart from the server.

use std::process::{Child, Stdio};
use std::time::Duration;

use testkit::server::Server;
use testkit::{photo, process};

use crate::support::{builder, filmgate, holds_within, program_on, unprocessed};

/// A worker beside the server, which ends with the test.
struct Worker(Child);

impl Worker {
    fn beside(server: &Server, arguments: &[&str]) -> Self {
        let mut command = program_on(server.data());
        command.args(["worker", "--data"]).arg(server.data()).args(arguments).envs(server.photo_envs());
        Self(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        process::kill_tree(self.0.id());
        self.0.wait().unwrap();
    }
}

fn without_workers() -> Server {
    unprocessed(builder()).start().unwrap()
}

/// How many of the server's captures have a thumbnail.
fn thumbs(server: &Server) -> usize {
    let mut api = server.participant();
    let names = api.listed_filenames().unwrap();
    names
        .iter()
        .filter(|name| api.get(&format!("/assessment/camera/file/{name}?size=thumb")).unwrap().status == 200)
        .count()
}

#[test]
fn a_worker_beside_a_server_without_any_does_the_work_and_leaves_when_told() {
    let server = without_workers();
    let mut api = server.participant();
    for seed in 0..5 {
        assert_eq!(api.upload_photo(&photo::jpeg(320, 240, seed)).unwrap().status, 200);
    }
    // Nobody decodes in the server, so this stays true for as long as there is no worker.
    assert_eq!(thumbs(&server), 0);
    let mut worker = Worker::beside(&server, &["--workers", "2"]);
    assert!(holds_within(Duration::from_secs(60), || thumbs(&server) == 5));
    // It decodes in children of its own, and none outlives it.
    let family = process::tree(worker.0.id());
    assert!(family.len() > 1, "{family:?}");
    process::signal(worker.0.id(), rustix::process::Signal::TERM);
    let status = process::wait(&mut worker.0, Duration::from_secs(30)).expect("it leaves");
    assert!(status.success(), "{status}");
    let alive = |pid: &u32| process::rss_kb(*pid).is_some();
    assert!(holds_within(Duration::from_secs(10), || !family.iter().any(alive)));
    assert!(server.fsck(true).unwrap().is_clean());
}

#[test]
fn a_worker_without_a_server_or_without_work_says_why_it_does_not_start() {
    if !crate::support::is_of_files("a worker that finds no catalog") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("nothing");
    let refused = filmgate(&["worker", "--data", data.to_str().unwrap()]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("there is no catalog") && refused.err.contains("filmgate serve"), "{}", refused.err);
    assert!(!data.exists(), "a mistyped path makes no folder");
    let server = without_workers();
    let refused = filmgate(&["worker", "--data", server.data().to_str().unwrap(), "--set", "processing.workers=0"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("--workers 2"), "{}", refused.err);
}
