//! The contract of an engine (`lane.rs`), sentence by sentence, at the door of `Jobs`.

use std::sync::Arc;
use std::time::Duration;

use jobs::Outcome;
use records::{Effect, TaskKind, TaskState};
use tokio::sync::Semaphore;

use crate::support::{Rig, until};
use crate::work::{Script, processed};

for_both_engines!(
    every_task_runs_and_its_effect_happens_once,
    two_processes_share_the_work_and_none_runs_twice_at_once,
    what_another_process_records_is_found,
    priority_goes_first,
    one_users_single_photo_does_not_wait_for_anothers_thousand,
    a_slow_kind_holds_up_no_other,
    sweeps_come_again_by_themselves,
    an_idle_process_writes_nothing,
    the_queue_is_counted,
);

async fn every_task_runs_and_its_effect_happens_once(rig: Rig) {
    let mut tasks = rig.upload(1, 100).await;
    let process = rig.start(Script::new(&rig.log, |claim| async move { processed(&claim) })).await;
    for user in 2..=51 {
        tasks.extend(rig.upload(user, 2).await);
    }
    rig.wait_for_effects(200).await;
    process.stop().await;
    assert_eq!(rig.log.count(), 200);
    for id in tasks {
        assert_eq!(rig.task(id).await.state, TaskState::Success);
    }
    assert_eq!(rig.count(TaskKind::Deliver, TaskState::Pending).await, 200, "told once each");
    assert!(rig.log.discarded().is_empty());
}

async fn two_processes_share_the_work_and_none_runs_twice_at_once(rig: Rig) {
    let script = Script::new(&rig.log, |claim| async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        processed(&claim)
    });
    let one = rig.start(script.clone()).await;
    let two = rig.start_with(rig.options("worker/two"), rig.beside(), script).await;
    for user in 1..=30 {
        rig.upload(user, 10).await;
    }
    rig.wait_for_effects(300).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(rig.log.count(), 300);
    assert!(rig.log.overlaps().is_empty());
    let by_two = rig.log.runs().iter().filter(|run| run.worker == "worker/two").count();
    assert!((1..300).contains(&by_two), "{by_two} of 300 by the second process");
}

async fn what_another_process_records_is_found(rig: Rig) {
    let process = rig.start(Script::new(&rig.log, |claim| async move { processed(&claim) })).await;
    let beside = rig.beside();
    for user in 1..=3 {
        rig.upload_by(&beside, user, 1, 1).await;
        rig.wait_for_effects(u64::try_from(user).unwrap()).await;
    }
    process.stop().await;
}

async fn priority_goes_first(rig: Rig) {
    rig.upload(1, 50).await;
    let urgent = rig.upload_by(&rig.records, 2, 5, 0).await;
    let mut options = rig.options("serve/one");
    options.process.parallel = 1;
    let script = Script::new(&rig.log, |claim| async move { processed(&claim) });
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.wait_for_effects(55).await;
    process.stop().await;
    let first: Vec<_> = rig.log.runs().iter().take(5).map(|run| run.task).collect();
    assert_eq!(first, urgent);
}

async fn one_users_single_photo_does_not_wait_for_anothers_thousand(rig: Rig) {
    rig.upload(1, 1000).await;
    let mut options = rig.options("serve/one");
    options.process.parallel = 1;
    // So many may run, and no more before the other has come.
    let go_on = Arc::new(Semaphore::new(30));
    let script = Script::new(&rig.log, {
        let go_on = go_on.clone();
        move |claim| {
            let go_on = go_on.clone();
            async move {
                go_on.acquire().await.unwrap().forget();
                processed(&claim)
            }
        }
    });
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.wait_for_runs(31).await;
    let single = rig.upload(2, 1).await[0];
    go_on.add_permits(100_000);
    until("the single one", async || rig.log.runs().iter().any(|run| run.task == single)).await;
    let place = rig.log.runs().iter().position(|run| run.task == single).unwrap();
    process.stop().await;
    // At once from the catalog; from Redis behind what lay in its stream.
    let behind = if rig.server.is_some() { 2 * 16 } else { 2 };
    assert!(place <= 31 + behind, "{place}");
}

async fn a_slow_kind_holds_up_no_other(rig: Rig) {
    let mut options = rig.options("serve/one");
    options.deliver.parallel = 2;
    options.drain = Duration::from_millis(1);
    let script = Script::new(&rig.log, |claim| async move {
        if claim.task.kind == TaskKind::Deliver {
            std::future::pending::<()>().await;
        }
        processed(&claim)
    });
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.upload(1, 10).await;
    rig.wait_for_effects(10).await;
    until("both places of the slow lane taken", async || rig.count(TaskKind::Deliver, TaskState::Started).await == 2)
        .await;
    rig.upload(1, 10).await;
    rig.wait_for_effects(20).await;
    process.stop().await;
    assert_eq!(rig.count(TaskKind::Deliver, TaskState::Pending).await, 20);
}

async fn sweeps_come_again_by_themselves(rig: Rig) {
    let mut options = rig.options("serve/one");
    options.sweep.parallel = 1;
    let script = Script::new(&rig.log, {
        let clock = rig.clock();
        move |_| {
            let at = clock() + jiff::SignedDuration::from_millis(50);
            async move { Outcome::Success(Effect::NextSweep { at }) }
        }
    });
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.wait_for_runs(4).await;
    process.stop().await;
    let ids: std::collections::HashSet<_> = rig.log.runs().iter().map(|run| run.task).collect();
    assert_eq!(ids.len(), rig.log.count(), "each a task of its own");
    assert_eq!(rig.count(TaskKind::Sweep, TaskState::Pending).await, 1);
}

async fn an_idle_process_writes_nothing(rig: Rig) {
    let mut options = rig.options("serve/one");
    // Idle, and a heartbeat often due.
    options.lease = Duration::from_millis(300);
    options.poll = Duration::from_millis(20);
    let script = Script::new(&rig.log, |claim| async move { processed(&claim) });
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.upload(1, 3).await;
    rig.wait_for_effects(3).await;
    until("nothing under way", async || rig.count(TaskKind::Process, TaskState::Started).await == 0).await;
    // Deliveries are in line, nobody here runs them; Redis has got them by now, and gets them again after a lease.
    if rig.server.is_some() {
        rig.records.take_back_from(TaskKind::Sweep, "nobody".to_owned(), 1, rig.now()).await.unwrap();
        for task in rig.records.tasks(records::TaskFilter::default(), None, 10).await.unwrap().items {
            if task.kind == TaskKind::Deliver {
                rig.records.revoke_task(task.id, rig.now()).await.unwrap();
            }
        }
    }
    // What was changed last may still be looked at.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = || std::fs::read(format!("{}-wal", rig.path().display())).unwrap();
    let before = log();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(before == log(), "something was written");
    rig.upload(1, 1).await;
    assert!(before != log(), "the control");
    process.stop().await;
}

async fn the_queue_is_counted(rig: Rig) {
    let script = Script::new(&rig.log, |claim| async move { processed(&claim) });
    rig.upload(1, 7).await;
    let process = rig.start(script).await;
    rig.wait_for_effects(7).await;
    until("its metrics", async || {
        process.metric("task_runs_total{kind=\"process\",outcome=\"success\"}") == Some(7.0)
            && process.metric("task_run_seconds_count{kind=\"process\"}") == Some(7.0)
            && process.metric("task_wait_seconds_count{kind=\"process\"}") == Some(7.0)
            && process.metric("tasks{kind=\"deliver\",state=\"PENDING\"}") == Some(7.0)
            && process.metric("tasks{kind=\"process\",state=\"PENDING\"}") == Some(0.0)
    })
    .await;
    assert_eq!(process.metric("task_lost_leases_total"), Some(0.0));
    process.stop().await;
}
