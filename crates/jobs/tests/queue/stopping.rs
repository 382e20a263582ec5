//! Stopping: what is under way ends or is handed back, and nothing new begins.

use std::time::Duration;

use records::{TaskKind, TaskState};

use crate::support::Rig;
use crate::work::{Script, processed};

for_both_engines!(
    what_ends_within_the_drain_is_done_and_nothing_new_begins,
    what_does_not_is_handed_back_and_was_no_attempt,
    a_process_stops_though_nobody_says_so_any_more,
);

async fn what_ends_within_the_drain_is_done_and_nothing_new_begins(rig: Rig) {
    rig.upload(1, 50).await;
    let script = Script::new(&rig.log, |claim| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        processed(&claim)
    });
    let process = rig.start(script).await;
    rig.wait_for_runs(4).await;
    process.tell_to_stop();
    let begun = rig.log.count();
    process.stop().await;
    // One claim may have been on its way.
    let ran = rig.log.count();
    assert!(ran <= begun + 4, "{begun} {ran}");
    assert_eq!(rig.records.count_effects().await.unwrap(), u64::try_from(ran).unwrap());
    assert_eq!(rig.count(TaskKind::Process, TaskState::Started).await, 0);
    assert_eq!(rig.count(TaskKind::Process, TaskState::Pending).await, 50 - u64::try_from(ran).unwrap());
    assert!(rig.log.dropped().is_empty());
}

async fn what_does_not_is_handed_back_and_was_no_attempt(rig: Rig) {
    let ids = rig.upload(1, 6).await;
    let mut options = rig.options("serve/one");
    options.drain = Duration::from_millis(100);
    let stuck = Script::new(&rig.log, |_| std::future::pending());
    let process = rig.start_with(options, rig.records.clone(), stuck).await;
    rig.wait_for_runs(4).await;
    process.stop().await;
    assert_eq!(rig.log.dropped().len(), 4);
    for id in &ids {
        let task = rig.task(*id).await;
        assert_eq!((task.state, task.attempts), (TaskState::Pending, 0));
    }
    // And the next process gets them at once.
    let script = Script::new(&rig.log, |claim| async move { processed(&claim) });
    let process = rig.start_with(rig.options("serve/two"), rig.records.clone(), script).await;
    rig.wait_for_effects(6).await;
    process.stop().await;
    assert_eq!(rig.task(ids[0]).await.attempts, 1);
}

async fn a_process_stops_though_nobody_says_so_any_more(rig: Rig) {
    let process = rig.start(Script::new(&rig.log, |claim| async move { processed(&claim) })).await;
    rig.upload(1, 1).await;
    rig.wait_for_effects(1).await;
    tokio::time::timeout(Duration::from_secs(60), process.abandoned()).await.unwrap().unwrap();
}
