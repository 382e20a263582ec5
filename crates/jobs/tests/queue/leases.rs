//! Claims that are kept, lost or called off while their run is under way; clocks that jump.

use std::sync::Arc;
use std::time::Duration;

use records::{Effect, Ending, Finished, TaskKind, TaskState};
use tokio::sync::Notify;

use crate::support::{Rig, until};
use crate::work::{Script, again, processed};

for_both_engines!(
    who_finishes_too_late_changes_nothing_and_discards,
    who_hears_in_time_drops_the_run,
    a_heartbeat_keeps_a_long_run,
    what_is_called_off_or_deleted_while_it_runs_has_no_effect,
    a_clock_that_jumps_neither_loses_nor_doubles,
    what_the_dead_held_is_run_at_once,
    a_lease_that_ran_out_is_taken_back_by_itself,
);

/// Runs until told to go on.
fn waits_for(rig: &Rig, go_on: &Arc<Notify>) -> Arc<Script> {
    let go_on = go_on.clone();
    Script::new(&rig.log, move |claim| {
        let go_on = go_on.clone();
        async move {
            go_on.notified().await;
            processed(&claim)
        }
    })
}

async fn who_finishes_too_late_changes_nothing_and_discards(rig: Rig) {
    let go_on = Arc::default();
    let process = rig.start(waits_for(&rig, &go_on)).await;
    let id = rig.upload(1, 1).await[0];
    rig.wait_for_runs(1).await;
    // Long before the next heartbeat.
    let stolen = rig.steal("worker/thief").await;
    assert_eq!(stolen.len(), 1);
    go_on.notify_one();
    until("discarded", async || rig.log.discarded() == [id]).await;
    assert_eq!(rig.task(id).await, stolen[0].task);
    assert_eq!(rig.records.count_effects().await.unwrap(), 0);
    let outcome = rig.records.finish_task(id, stolen[0].fence, Ending::Success(Effect::None), rig.now()).await;
    assert_eq!(outcome.unwrap(), Finished::Done);
    until("counted", async || process.metric("task_lost_leases_total") == Some(1.0)).await;
    process.stop().await;
    assert_eq!(rig.log.count(), 1);
}

async fn who_hears_in_time_drops_the_run(rig: Rig) {
    let mut options = rig.options("serve/one");
    options.lease = Duration::from_millis(600);
    let go_on = Arc::default();
    let process = rig.start_with(options, rig.records.clone(), waits_for(&rig, &go_on)).await;
    let id = rig.upload(1, 1).await[0];
    rig.wait_for_runs(1).await;
    let stolen = rig.steal("worker/thief").await;
    until("dropped", async || rig.log.dropped() == [id]).await;
    until("counted", async || process.metric("task_lost_leases_total") == Some(1.0)).await;
    process.stop().await;
    assert_eq!(rig.task(id).await.worker.as_deref(), Some("worker/thief"));
    assert_eq!((stolen.len(), rig.log.count()), (1, 1));
    assert!(rig.log.discarded().is_empty(), "there was no effect yet");
}

async fn a_heartbeat_keeps_a_long_run(rig: Rig) {
    let script = Script::new(&rig.log, |claim| async move {
        tokio::time::sleep(Duration::from_secs(8)).await;
        processed(&claim)
    });
    let with_lease = |worker| {
        let mut options = rig.options(worker);
        options.lease = Duration::from_secs(3);
        options
    };
    let one = rig.start_with(with_lease("serve/one"), rig.records.clone(), script.clone()).await;
    let two = rig.start_with(with_lease("worker/two"), rig.beside(), script).await;
    rig.upload(1, 3).await;
    rig.wait_for_effects(3).await;
    one.stop().await;
    two.stop().await;
    assert_eq!(rig.log.count(), 3);
}

async fn what_is_called_off_or_deleted_while_it_runs_has_no_effect(rig: Rig) {
    let mut options = rig.options("serve/one");
    options.lease = Duration::from_millis(600);
    let process = rig.start_with(options, rig.records.clone(), waits_for(&rig, &Arc::default())).await;
    let ids = rig.upload(1, 2).await;
    rig.wait_for_runs(2).await;
    rig.records.revoke_task(ids[0], rig.now()).await.unwrap();
    let capture_id = rig.task(ids[1]).await.capture_id.unwrap();
    rig.records.delete_capture(capture_id, "asked for".to_owned(), rig.now()).await.unwrap();
    until("both dropped", async || rig.log.dropped().len() == 2).await;
    for id in ids {
        assert_eq!(rig.task(id).await.state, TaskState::Revoked);
    }
    process.stop().await;
    assert_eq!((rig.records.count_effects().await.unwrap(), rig.log.count()), (0, 2));
}

async fn a_clock_that_jumps_neither_loses_nor_doubles(rig: Rig) {
    // Every fifth fails first, and would wait for an hour.
    let script = Script::new(&rig.log, |claim| async move {
        tokio::time::sleep(Duration::from_millis(30)).await;
        let late = claim.task.attempts == 1 && claim.task.id.as_u128() % 5 == 0;
        if late {
            return jobs::Outcome::Retry { error: "later".to_owned(), after: Some(Duration::from_secs(3600)) };
        }
        processed(&claim)
    });
    let one = rig.start(script.clone()).await;
    let two = rig.start_with(rig.options("worker/two"), rig.beside(), script).await;
    let (ten_years, mut tasks) = (10 * 366 * 24 * 3600, Vec::new());
    for jump in [ten_years, -ten_years, 0, ten_years, 0, -ten_years, ten_years] {
        tasks.extend(rig.upload(1, 20).await);
        rig.wait_for_runs(tasks.len() / 2).await;
        rig.set_clock(jump);
    }
    // A jump ends every wait; more of them for what began to wait since the last.
    let ahead = std::cell::Cell::new(ten_years * 2);
    until("what waits", async || {
        ahead.set(ahead.get() + 2 * 3600);
        rig.set_clock(ahead.get());
        rig.records.count_effects().await.unwrap() >= 140
    })
    .await;
    rig.wait_for_effects(140).await;
    one.stop().await;
    two.stop().await;
    assert!(rig.log.overlaps().is_empty());
    let late = tasks.iter().filter(|id| id.as_u128() % 5 == 0).count();
    assert_eq!(rig.log.count(), 140 + late, "no run was taken from its worker");
}

async fn what_the_dead_held_is_run_at_once(rig: Rig) {
    let ids = rig.upload(1, 3).await;
    let held = rig.steal("serve/before").await;
    assert_eq!(held.len(), 3);
    let mut options = rig.options("serve/now");
    options.dead_workers_prefix = Some("serve/".to_owned());
    options.lease = Duration::from_secs(3600);
    let script = Script::new(&rig.log, |claim| async move { processed(&claim) });
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.wait_for_effects(3).await;
    process.stop().await;
    assert_eq!(rig.task(ids[0]).await.attempts, 2);
}

async fn a_lease_that_ran_out_is_taken_back_by_itself(rig: Rig) {
    let id = rig.upload(1, 1).await[0];
    let terms = records::ClaimTerms {
        kind: TaskKind::Process,
        worker: "worker/killed".to_owned(),
        lease: jiff::SignedDuration::from_secs(1),
        attempts_max: 3,
        takes_back: true,
    };
    assert_eq!(rig.records.claim_tasks(terms, 1, rig.now()).await.unwrap().claims.len(), 1);
    let script = Script::new(&rig.log, |claim| async move {
        if claim.task.attempts == 2 { processed(&claim) } else { again("who?") }
    });
    let process = rig.start(script).await;
    assert_eq!(rig.wait_for(id, TaskState::Success).await.attempts, 2);
    process.stop().await;
}
