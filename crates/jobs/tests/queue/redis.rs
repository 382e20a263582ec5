//! What only Redis can do to us: lose everything, die, hang, refuse. No task is lost, none is run twice at once.

use std::sync::Arc;
use std::time::Duration;

use jobs::{Jobs, RedisOptions};
use records::{TaskKind, TaskState};

use crate::server::Server;
use crate::support::{Rig, until};
use crate::work::{Script, processed};

const STREAM: &str = "filmgate:tasks:process";

fn works(rig: &Rig, takes: Duration) -> Arc<Script> {
    Script::new(&rig.log, move |claim| async move {
        tokio::time::sleep(takes).await;
        processed(&claim)
    })
}

/// A thousand tasks, two processes; something happens at each of these numbers of runs.
async fn check_thousand(rig: &Rig, at: &[usize], what: impl Fn(&Server)) {
    for user in 1..=10 {
        rig.upload(user, 100).await;
    }
    let takes = Duration::from_millis(3);
    let one = rig.start(works(rig, takes)).await;
    let two = rig.start_with(rig.options("worker/two"), rig.beside(), works(rig, takes)).await;
    for runs in at {
        rig.wait_for_runs(*runs).await;
        tokio::task::block_in_place(|| what(rig.server()));
    }
    rig.wait_for_effects(1000).await;
    until("an empty stream", async || {
        tokio::task::block_in_place(|| rig.server().ask::<usize>(&["XLEN", STREAM])) == 0
    })
    .await;
    one.stop().await;
    two.stop().await;
    assert_eq!(rig.log.count(), 1000);
    assert!(rig.log.overlaps().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_forget_everything_again_and_again() {
    let rig = Rig::redis();
    check_thousand(&rig, &[1, 100, 300, 500, 700, 900], |server| server.ask(&["FLUSHALL"])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_lose_the_readers_group_alone() {
    let rig = Rig::redis();
    check_thousand(&rig, &[200, 600], |server| {
        server.ask::<usize>(&["XGROUP", "DESTROY", STREAM, "workers"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_be_killed_and_come_back_empty() {
    let rig = Rig::redis();
    check_thousand(&rig, &[150, 650], |server| {
        server.kill();
        std::thread::sleep(Duration::from_millis(700));
        server.launch();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_hang_for_shorter_and_for_longer_than_it_is_waited_for() {
    let rig = Rig::redis();
    check_thousand(&rig, &[100, 200, 300], |server| server.ask(&["CLIENT", "PAUSE", "700", "ALL"])).await;
    let rig = Rig::redis();
    check_thousand(&rig, &[300], |server| {
        server.signal("-STOP");
        std::thread::sleep(Duration::from_secs(13));
        server.signal("-CONT");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_on_a_connection_that_was_lost_does_not_stay_in_the_stream() {
    let rig = Rig::redis();
    let mut options = rig.options("serve/one");
    options.process.parallel = 0;
    let server = rig.start_with(options, rig.records.clone(), works(&rig, Duration::ZERO)).await;
    rig.upload(1, 10).await;
    let length = || tokio::task::block_in_place(|| rig.server().ask::<usize>(&["XLEN", STREAM]));
    until("tasks handed over", async || length() == 10).await;
    // As a reader whose connection broke before the answer reached it.
    let read = ["XREADGROUP", "GROUP", "workers", "worker", "COUNT", "10", "NOACK", "STREAMS", STREAM, ">"];
    let reply: redis::streams::StreamReadReply = tokio::task::block_in_place(|| rig.server().ask(&read));
    assert_eq!(reply.keys[0].ids.len(), 10);
    let worker = rig.start_with(rig.options("worker/two"), rig.beside(), works(&rig, Duration::ZERO)).await;
    rig.wait_for_effects(10).await;
    until("an empty stream", async || length() == 0).await;
    worker.stop().await;
    server.stop().await;
    assert_eq!(rig.log.count(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_later_is_waited_for_and_stopping_is_not() {
    let rig = Rig::new(Some(Server::absent(None)));
    rig.upload(1, 20).await;
    let process = rig.start(works(&rig, Duration::ZERO)).await;
    rig.start(works(&rig, Duration::ZERO)).await.stop().await;
    assert_eq!(rig.log.count(), 0);
    assert_eq!(rig.count(TaskKind::Process, TaskState::Pending).await, 20);
    tokio::task::block_in_place(|| rig.server().launch());
    rig.wait_for_effects(20).await;
    assert_eq!(process.metric("task_redis_reconnects_total"), Some(0.0));
    tokio::task::block_in_place(|| {
        rig.server().kill();
        rig.server().launch();
    });
    rig.upload(1, 20).await;
    rig.wait_for_effects(40).await;
    assert!(process.metric("task_redis_reconnects_total") > Some(0.0));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_said_and_no_password_is() {
    let rig = Rig::redis();
    let url = rig.server().url();
    let open = async |url: String| {
        let mut options = rig.options("serve/one");
        options.redis = Some(RedisOptions { url, key_prefix: "filmgate:".to_owned() });
        assert!(!format!("{options:?}").contains("hush"), "{options:?}");
        Jobs::open(rig.records.clone(), options, rig.clock()).await
    };
    assert!(open(url.clone()).await.is_ok());
    let without = url.split('?').next().unwrap().to_owned();
    let wrong = [format!("{without}?pass=hush-wrong"), without, "hush://hush-hush@nowhere".to_owned(), String::new()];
    for url in wrong {
        let Err(error) = open(url.clone()).await else { panic!("{url} was taken") };
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        assert!(error.to_string().starts_with("redis: "), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_hold_a_few_ids_and_nothing_else() {
    let rig = Rig::redis();
    let mut options = rig.options("serve/one");
    options.process.parallel = 0;
    // What is not taken within a lease is handed over again, and again.
    options.lease = Duration::from_millis(100);
    let server = rig.start_with(options, rig.records.clone(), works(&rig, Duration::ZERO)).await;
    let tasks = rig.upload(1, 500).await;
    let length = || tokio::task::block_in_place(|| rig.server().ask::<usize>(&["XLEN", STREAM]));
    until("the stream's limit", async || length() >= 256).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(length(), 256, "the limit holds");
    let entries: redis::streams::StreamRangeReply =
        tokio::task::block_in_place(|| rig.server().ask(&["XRANGE", STREAM, "-", "+"]));
    for entry in entries.ids {
        assert_eq!(entry.map.len(), 1);
        let id = uuid::Uuid::try_parse(&entry.get::<String>("task").unwrap()).unwrap();
        assert!(tasks[..16].contains(&id), "the first in line, and no more");
    }
    let mut keys: Vec<String> = tokio::task::block_in_place(|| rig.server().ask(&["KEYS", "*"]));
    keys.sort();
    assert_eq!(keys, ["filmgate:tasks:deliver", "filmgate:tasks:process", "filmgate:tasks:sweep"]);
    // A worker beside it makes an end of all of them, and of what anybody else may put there.
    let _: String = tokio::task::block_in_place(|| rig.server().ask(&["XADD", STREAM, "*", "whatever", "not a task"]));
    let worker = rig.start_with(rig.options("worker/two"), rig.beside(), works(&rig, Duration::ZERO)).await;
    rig.wait_for_effects(500).await;
    server.stop().await;
    until("an empty stream", async || length() == 0).await;
    worker.stop().await;
    assert_eq!(rig.log.count(), 500);
}
