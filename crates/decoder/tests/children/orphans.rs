//! No child outlives its parent, whatever the parent dies of; none outlives its pool.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use decoder::DecoderOptions;

use crate::support::{PATIENCE, Pool, comes_true, options, photo, poison};

/// The environment variable that makes `be_the_parent` one.
const PARENT: &str = "DECODER_TEST_PARENT";

/// A process as `/proc` shows it.
pub struct Process {
    pub id: u32,
    pub niceness: i32,
}

impl Process {
    fn of(id: u32, parent: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name stands in brackets and may hold anything: the fields begin behind the last one.
        let fields = stat.rsplit_once(')')?.1.split_whitespace().collect::<Vec<_>>();
        let (state, parent_id, niceness) = (fields[0], fields[1], fields[16]);
        (parent_id == parent.to_string() && state != "Z").then(|| Self { id, niceness: niceness.parse().unwrap() })
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.id)).unwrap()
    }

    fn runs(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).unwrap_or_default();
        // A zombie in whose place nobody waits is as good as gone.
        stat.rsplit_once(')').is_some_and(|(_, fields)| !fields.trim_start().starts_with('Z'))
    }
}

pub fn children_of(parent: u32) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id| Process::of(id, parent)).collect()
}

/// This process's children of one pool: the pools that are looked at have a niceness of their own.
pub fn children_with_niceness(added: i32) -> Vec<Process> {
    let niceness = rustix::process::getpriority_process(None).unwrap() + added;
    let mut children = children_of(std::process::id());
    children.retain(|child| child.niceness == niceness);
    children
}

/// Not a test: the server that is killed in the tests below.
#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn be_the_parent() {
    let Ok(way) = std::env::var(PARENT) else { return };
    let pool = Pool::new(DecoderOptions { processes_max: 1, ..options() });
    if way == "idle" {
        pool.decoder.verify(photo(64, 48)).await.unwrap();
        std::future::pending::<()>().await;
    }
    pool.decoder.verify(poison("HANG")).await.unwrap_err();
}

struct Parent(Child);

impl Parent {
    fn start(way: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "orphans::be_the_parent", "--ignored"]).env(PARENT, way);
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

async fn is_killed(way: &str) {
    let parent = Parent::start(way);
    let id = parent.0.id();
    assert!(comes_true(|| children_of(id).len() == 1).await, "the parent has no child");
    // Long enough for the child to have its photo.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let child = children_of(id).remove(0);
    assert!(child.runs());
    drop(parent);
    assert!(comes_true(|| !child.runs()).await, "process {} is still there", child.id);
}

#[tokio::test]
async fn an_idle_child_goes_with_a_parent_that_was_killed() {
    is_killed("idle").await;
}

#[tokio::test]
async fn a_hung_child_goes_with_a_parent_that_was_killed() {
    is_killed("hung").await;
}

#[tokio::test]
async fn the_children_go_with_their_pool() {
    let pool = Pool::new(DecoderOptions { niceness: 7, ..options() });
    let hung = tokio::spawn({
        let decoder = pool.decoder.clone();
        async move { decoder.verify(poison("HANG")).await }
    });
    assert!(comes_true(|| pool.metric("decoder_memory_bytes") > 0).await);
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    assert!(comes_true(|| children_with_niceness(7).len() == 2).await);
    let children = children_with_niceness(7);
    drop(pool);
    hung.abort();
    assert!(hung.await.unwrap_err().is_cancelled());
    assert!(comes_true(|| children.iter().all(|child| !child.runs())).await);
}

#[tokio::test]
async fn a_dropped_future_frees_its_place_and_its_memory() {
    let pool = Pool::new(DecoderOptions { processes_max: 1, ..options() });
    let hangs = tokio::time::timeout(Duration::from_millis(500), pool.decoder.verify(poison("HANG")));
    assert!(hangs.await.is_err(), "the control: it hangs");
    // With one place, this waits for ever unless the place came back.
    tokio::time::timeout(PATIENCE, pool.decoder.verify(photo(64, 48))).await.unwrap().unwrap();
    pool.wait_until("decoder_memory_bytes", 0).await;
    pool.wait_until("decoder_children", 1).await;
}

#[tokio::test]
async fn a_child_that_was_killed_while_idle_is_replaced() {
    let pool = Pool::new(DecoderOptions { processes_max: 1, niceness: 9, ..options() });
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    let child = children_with_niceness(9).remove(0);
    let id = rustix::process::Pid::from_raw(child.id.try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
    assert!(comes_true(|| !child.runs()).await);
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    assert_eq!(pool.metric("decoder_children"), 1);
}

#[tokio::test]
async fn an_idle_child_is_kept_for_half_a_minute() {
    let pool = Pool::new(DecoderOptions { niceness: 11, ..options() });
    pool.decoder.verify(photo(64, 48)).await.unwrap();
    let child = children_with_niceness(11).remove(0);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(pool.metric("decoder_children"), 1);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(pool.metric("decoder_children"), 0);
    tokio::time::resume();
    assert!(comes_true(|| !child.runs()).await);
    // And the pool is none the worse for it.
    pool.decoder.verify(photo(64, 48)).await.unwrap();
}
