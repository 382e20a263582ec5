//! Claiming, the fence, leases, endings: who runs a task, and what a run changes.

use jiff::SignedDuration;
use records::{Claim, ClaimTerms, Effect, Ending, Finished, TaskKind, TaskState};
use uuid::Uuid;

use crate::support::{Catalog, LEASE_SECONDS, at, catalog, catalog_heard_by, terms};

const PROCESS: TaskKind = TaskKind::Process;

fn retry(seconds: i64) -> Ending {
    Ending::Retry { error: "no luck".to_owned(), available_at: at(seconds) }
}

fn ids(claims: &[Claim]) -> Vec<Uuid> {
    claims.iter().map(|claim| claim.task.id).collect()
}

#[tokio::test]
async fn a_task_has_one_holder_who_counts_as_an_attempt() {
    let catalog = catalog().await;
    let id = catalog.upload(1, 1, 1).await[0];
    let claims = catalog.claim(PROCESS, 10, at(10)).await;
    assert_eq!(ids(&claims), [id]);
    let task = &claims[0].task;
    assert_eq!((task.state, task.attempts, task.started_at), (TaskState::Started, 1, Some(at(10))));
    assert_eq!(task.lease_expires_at, Some(at(10 + LEASE_SECONDS)));
    assert_eq!(task.worker.as_deref(), Some("serve/one"));
    assert_eq!(catalog.task_now(id).await, *task);
    assert!(catalog.claim(PROCESS, 10, at(11)).await.is_empty());
    assert!(catalog.claim_these(terms(PROCESS), vec![id], at(11)).await.unwrap().is_empty());
    assert_eq!(catalog.succeed(&claims[0], Effect::None, at(12)).await, Finished::Done);
    let task = catalog.task_now(id).await;
    assert_eq!((task.state, task.finished_at, task.error), (TaskState::Success, Some(at(12)), None));
    assert_eq!(catalog.succeed(&claims[0], Effect::None, at(13)).await, Finished::Lost);
    assert!(catalog.claim(PROCESS, 10, at(14)).await.is_empty());
}

#[tokio::test]
async fn by_id_only_what_is_in_line_of_that_kind_is_claimed() {
    let catalog = catalog().await;
    let tasks = catalog.upload(1, 3, 1).await;
    assert!(catalog.claim_these(terms(TaskKind::Sweep), tasks.clone(), at(10)).await.unwrap().is_empty());
    let wanted = vec![tasks[2], Uuid::now_v7(), tasks[2], tasks[0]];
    let claims = catalog.claim_these(terms(PROCESS), wanted, at(10)).await.unwrap();
    assert_eq!(ids(&claims), [tasks[2], tasks[0]]);
    assert_eq!(ids(&catalog.claim(PROCESS, 10, at(11)).await), [tasks[1]]);
}

#[tokio::test]
async fn a_failed_run_waits_and_keeps_its_error() {
    let catalog = catalog().await;
    let id = catalog.upload(1, 1, 1).await[0];
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    assert_eq!(catalog.finish(&claim, retry(30), at(11)).await, Finished::Done);
    let task = catalog.task_now(id).await;
    assert_eq!((task.state, task.attempts, task.error.as_deref()), (TaskState::Retry, 1, Some("no luck")));
    let claimed = catalog.claim_tasks(terms(PROCESS), 10, at(29)).await.unwrap();
    assert!(claimed.claims.is_empty());
    assert_eq!(claimed.next_at, Some(at(30)));
    let claim = catalog.claim(PROCESS, 10, at(30)).await.remove(0);
    assert_eq!((claim.task.attempts, claim.fence), (2, 2));
}

#[tokio::test]
async fn what_is_handed_back_or_postponed_was_no_attempt() {
    let catalog = catalog().await;
    let id = catalog.upload(1, 1, 1).await[0];
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    assert_eq!(catalog.finish(&claim, Ending::HandBack, at(11)).await, Finished::Done);
    let task = catalog.task_now(id).await;
    assert_eq!((task.state, task.attempts, task.lease_expires_at), (TaskState::Pending, 0, None));
    // The number that keys of files carry does not come twice.
    let again = catalog.claim(PROCESS, 1, at(12)).await.remove(0);
    assert_eq!((again.task.attempts, again.fence), (1, 2));
    assert_eq!(catalog.succeed(&claim, Effect::None, at(12)).await, Finished::Lost);
    catalog.finish(&again, retry(13), at(13)).await;
    let third = catalog.claim(PROCESS, 1, at(14)).await.remove(0);
    let postponed = Ending::Postponed { error: "the disk is full".to_owned(), available_at: at(20) };
    catalog.finish(&third, postponed, at(15)).await;
    let task = catalog.task_now(id).await;
    assert_eq!((task.state, task.attempts, task.error.as_deref()), (TaskState::Retry, 1, Some("the disk is full")));
    assert!(catalog.claim(PROCESS, 1, at(19)).await.is_empty());
    let fourth = catalog.claim(PROCESS, 1, at(20)).await.remove(0);
    assert_eq!((fourth.task.attempts, fourth.fence), (2, 4));
    catalog.finish(&fourth, Ending::HandBack, at(21)).await;
    assert_eq!(catalog.task_now(id).await.state, TaskState::Retry);
}

#[tokio::test]
async fn who_lost_the_lease_has_lost_the_task() {
    let catalog = catalog().await;
    let id = catalog.upload(1, 1, 1).await[0];
    let zombie = catalog.claim(PROCESS, 1, at(0)).await.remove(0);
    assert!(catalog.claim(PROCESS, 1, at(LEASE_SECONDS - 1)).await.is_empty());
    // Renewed in time, it holds longer.
    let held = vec![(id, zombie.fence)];
    let lease = SignedDuration::from_secs(LEASE_SECONDS);
    assert!(catalog.renew_leases(held.clone(), lease, at(30)).await.unwrap().is_empty());
    let claimed = catalog.claim_tasks(terms(PROCESS), 1, at(LEASE_SECONDS)).await.unwrap();
    assert_eq!((claimed.claims.len(), claimed.next_at), (0, Some(at(30 + LEASE_SECONDS))));
    // Nor by whoever cannot trust the clock.
    let careful = ClaimTerms { takes_back: false, ..terms(PROCESS) };
    let claimed = catalog.claim_tasks(careful, 1, at(30 + LEASE_SECONDS)).await.unwrap();
    assert_eq!((claimed.claims.len(), claimed.next_at), (0, None));
    let heir = catalog.claim(PROCESS, 1, at(30 + LEASE_SECONDS)).await.remove(0);
    assert_eq!((heir.task.id, heir.task.attempts, heir.fence), (id, 2, 2));
    assert_eq!(catalog.renew_leases(held.clone(), lease, at(100)).await.unwrap(), held);
    let failure = Ending::Failure { error: "too late".to_owned() };
    for ending in [Ending::Success(Effect::None), retry(0), failure, Ending::HandBack] {
        assert_eq!(catalog.finish(&zombie, ending, at(101)).await, Finished::Lost);
        assert_eq!(catalog.task_now(id).await, heir.task);
    }
    assert_eq!(catalog.succeed(&heir, Effect::None, at(102)).await, Finished::Done);
}

#[tokio::test]
async fn a_task_that_kills_its_workers_is_a_dead_letter() {
    let catalog = catalog_heard_by(&["one"]).await;
    let id = catalog.upload(1, 1, 1).await[0];
    let mut now = 10;
    for attempt in 1..=3 {
        let claim = catalog.claim(PROCESS, 1, at(now)).await.remove(0);
        assert_eq!(claim.task.attempts, attempt);
        now += LEASE_SECONDS;
    }
    assert!(catalog.claim(PROCESS, 1, at(now)).await.is_empty());
    let task = catalog.task_now(id).await;
    assert_eq!((task.state, task.attempts), (TaskState::Failure, 3));
    assert_eq!(task.error.as_deref(), Some("its worker was lost in the last of 3 attempts"));
    let capture = catalog.capture(task.capture_id.unwrap()).await.unwrap().unwrap();
    assert_eq!((capture.processing.failure, capture.processing.quarantined_at), (task.error, Some(at(now))));
    assert_eq!(catalog.count("SELECT count(*) FROM tasks WHERE payload LIKE '%capture.failed%'").await, 1);
}

#[tokio::test]
async fn what_the_dead_held_is_taken_back_at_once() {
    let catalog = catalog().await;
    let tasks = catalog.upload(1, 3, 1).await;
    for (worker, count) in [("serve/a", 2), ("worker/b", 1)] {
        let claims = catalog
            .claim_tasks(ClaimTerms { worker: worker.to_owned(), ..terms(PROCESS) }, count, at(10))
            .await
            .unwrap();
        assert_eq!(claims.claims.len(), count);
    }
    let take_back = async |kind, attempts_max| {
        catalog.take_back_from(kind, "serve/".to_owned(), attempts_max, at(11)).await.unwrap()
    };
    assert_eq!(take_back(TaskKind::Deliver, 3).await, 0);
    assert_eq!(take_back(PROCESS, 3).await, 2);
    assert_eq!(take_back(PROCESS, 3).await, 0);
    let again = catalog.claim(PROCESS, 10, at(12)).await;
    assert_eq!(ids(&again), [tasks[0], tasks[1]]);
    assert!(again.iter().all(|claim| claim.task.attempts == 2));
    assert_eq!(take_back(PROCESS, 2).await, 2);
    assert_eq!(catalog.task_now(tasks[0]).await.state, TaskState::Failure);
    assert_eq!(catalog.task_now(tasks[2]).await.state, TaskState::Started);
}

/// One is running, one waits to be tried again; then the clock says something else altogether.
async fn check_jump(years: i64) {
    let catalog = catalog().await;
    let tasks = catalog.upload(1, 2, 1).await;
    let claims = catalog.claim(PROCESS, 2, at(10)).await;
    catalog.finish(&claims[1], retry(40), at(11)).await;
    let now = at(11 + years * 366 * 24 * 3600);
    // Who knows that the clock jumped leaves the running one its worker.
    let careful = ClaimTerms { takes_back: false, ..terms(PROCESS) };
    let claimed = catalog.claim_tasks(careful, 5, now).await.unwrap();
    assert_eq!(ids(&claimed.claims), [tasks[1]], "what waits does not wait {years} years");
    assert_eq!(catalog.finish(&claimed.claims[0], Ending::HandBack, now).await, Finished::Done);
    // Its heartbeat brings it to the new time, where everybody sees that it lives.
    let lease = SignedDuration::from_secs(LEASE_SECONDS);
    let held = vec![(tasks[0], claims[0].fence)];
    assert!(catalog.renew_leases(held, lease, now).await.unwrap().is_empty());
    assert_eq!(ids(&catalog.claim(PROCESS, 5, now).await), [tasks[1]]);
    assert_eq!(catalog.succeed(&claims[0], Effect::None, now).await, Finished::Done);
    assert_eq!(catalog.task_now(tasks[0]).await.attempts, 1);
}

#[tokio::test]
async fn a_clock_that_jumps_takes_nothing_from_the_living_and_keeps_nothing_waiting() {
    check_jump(10).await;
    check_jump(-10).await;
}

#[tokio::test]
async fn a_clock_set_back_keeps_no_dead_workers_lease_for_years() {
    let catalog = catalog().await;
    let id = catalog.upload(1, 1, 1).await[0];
    catalog.claim(PROCESS, 1, at(400_000_000)).await;
    assert_eq!(ids(&catalog.claim(PROCESS, 1, at(10)).await), [id]);
    // But another process may hold longer leases than this one takes.
    let long = ClaimTerms { lease: SignedDuration::from_mins(50), ..terms(PROCESS) };
    let other = catalog.upload(1, 1, 1).await[0];
    assert_eq!(ids(&catalog.claim_tasks(long, 1, at(11)).await.unwrap().claims), [other]);
    assert!(catalog.claim(PROCESS, 1, at(12)).await.is_empty());
}

#[tokio::test]
async fn nothing_waits_longer_than_a_day() {
    let catalog = catalog().await;
    let id = catalog.upload(1, 1, 1).await[0];
    let claim = catalog.claim(PROCESS, 1, at(0)).await.remove(0);
    catalog.finish(&claim, retry(1_000_000), at(0)).await;
    assert_eq!(catalog.task_now(id).await.available_at, at(24 * 3600));
    catalog.ensure_sweep(at(0)).await.unwrap();
    let sweep = catalog.claim(TaskKind::Sweep, 1, at(0)).await.remove(0);
    catalog.succeed(&sweep, Effect::NextSweep { at: at(1_000_000) }, at(1)).await;
    assert!(catalog.claim(TaskKind::Sweep, 1, at(2)).await.is_empty());
    assert_eq!(catalog.claim(TaskKind::Sweep, 1, at(1 + 24 * 3600)).await.len(), 1);
}

/// The sweeps there are, open ones first told by when they come.
async fn open_sweeps(catalog: &Catalog) -> Vec<jiff::Timestamp> {
    let sweeps = catalog.tasks_of(TaskKind::Sweep).await;
    sweeps.into_iter().filter(|task| !task.state.has_ended()).map(|task| task.available_at).collect()
}

#[tokio::test]
async fn there_is_always_one_sweep_and_never_two() {
    let catalog = catalog().await;
    for _ in 0..2 {
        catalog.ensure_sweep(at(0)).await.unwrap();
        assert_eq!(open_sweeps(&catalog).await, [at(0)]);
    }
    let mut now = 0;
    let ends = [
        (Ending::Success(Effect::NextSweep { at: at(100) }), at(100)),
        (Ending::Success(Effect::None), at(100 + 3600)),
        (Ending::Failure { error: "broken".to_owned() }, at(3700 + 3600)),
        (retry(7301), at(7301)),
    ];
    for (ending, next) in ends {
        let sweep = catalog.claim(TaskKind::Sweep, 5, at(now)).await.remove(0);
        catalog.ensure_sweep(at(now)).await.unwrap();
        assert_eq!(catalog.finish(&sweep, ending, at(now)).await, Finished::Done);
        assert_eq!(open_sweeps(&catalog).await, [next]);
        now = next.as_second() - at(0).as_second();
    }
    // Its worker lost every time: also then.
    for _ in 2..=3 {
        assert_eq!(catalog.claim(TaskKind::Sweep, 5, at(now)).await.len(), 1);
        now += LEASE_SECONDS;
    }
    assert!(catalog.claim(TaskKind::Sweep, 5, at(now)).await.is_empty());
    assert_eq!(open_sweeps(&catalog).await, [at(now + 3600)]);
}

#[tokio::test]
async fn where_there_is_nothing_to_do_nothing_is_written() {
    let catalog = catalog().await;
    catalog.upload(1, 2, 1).await;
    let claims = catalog.claim(PROCESS, 1, at(10)).await;
    catalog.finish(&claims[0], retry(1000), at(11)).await;
    let handed = catalog.hand_over_tasks(terms(PROCESS), 16, at(0), at(12)).await.unwrap();
    assert_eq!(handed.ids.len(), 1);
    let before = catalog.written().await;
    for kind in [TaskKind::Deliver, TaskKind::Sweep] {
        assert!(catalog.claim(kind, 5, at(13)).await.is_empty());
    }
    let handed = catalog.hand_over_tasks(terms(PROCESS), 16, at(0), at(13)).await.unwrap();
    assert_eq!((handed.ids.len(), handed.next_at), (0, Some(at(1000))));
    assert!(before == catalog.written().await, "the log grew");
    // The control: a claim does write.
    assert_eq!(catalog.claim(PROCESS, 5, at(13)).await.len(), 1);
    assert!(before != catalog.written().await);
}

#[tokio::test]
async fn each_task_is_handed_over_once_until_the_transport_has_lost_it() {
    let catalog = catalog().await;
    let tasks = catalog.upload(1, 5, 1).await;
    let hand_over = async |window, again_before, now| {
        catalog.hand_over_tasks(terms(PROCESS), window, at(again_before), at(now)).await.unwrap().ids
    };
    assert_eq!(hand_over(2, 0, 10).await, tasks[..2]);
    assert!(hand_over(2, 10, 11).await.is_empty());
    assert_eq!(hand_over(4, 10, 11).await, tasks[2..4]);
    // What is claimed leaves the window to the next.
    assert_eq!(catalog.claim_these(terms(PROCESS), vec![tasks[1]], at(12)).await.unwrap().len(), 1);
    assert_eq!(hand_over(4, 10, 12).await, tasks[4..]);
    assert_eq!(hand_over(4, 11, 13).await, tasks[..1], "handed over long ago");
    catalog.forget_hand_overs(TaskKind::Deliver).await.unwrap();
    assert!(hand_over(4, 10, 14).await.is_empty());
    catalog.forget_hand_overs(PROCESS).await.unwrap();
    assert_eq!(hand_over(4, 10, 15).await, [tasks[0], tasks[2], tasks[3], tasks[4]]);
    assert_eq!(hand_over(4, 0, 5).await.len(), 4, "the clock was set back");
    // Also what a lost worker held comes with the next.
    assert_eq!(hand_over(4, 0, 12 + LEASE_SECONDS).await, [tasks[1]]);
}
