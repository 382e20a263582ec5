//! The line and its order, and what people do to tasks.

use records::{Effect, Ending, TaskFilter, TaskKind, TaskState};
use uuid::Uuid;

use crate::support::{Catalog, at, capture, catalog, catalog_heard_by, conflict, not_found};

const PROCESS: TaskKind = TaskKind::Process;

async fn drain(catalog: &Catalog, kind: TaskKind, count: usize, seconds: i64) -> Vec<Uuid> {
    let claims = catalog.claim(kind, count, at(seconds)).await;
    for claim in &claims {
        catalog.succeed(claim, Effect::None, at(seconds)).await;
    }
    claims.into_iter().map(|claim| claim.task.id).collect()
}

#[tokio::test]
async fn one_owners_thousand_stand_beside_anothers_one() {
    let catalog = catalog().await;
    let many = catalog.upload(1, 1000, 1).await;
    assert_eq!(drain(&catalog, PROCESS, 300, 2000).await, many[..300]);
    let single = catalog.upload(2, 1, 2001).await;
    assert!(drain(&catalog, PROCESS, 2, 2002).await.contains(&single[0]));
    // Two with much each take turns, whoever began.
    let other = catalog.upload(3, 20, 2003).await;
    let next = drain(&catalog, PROCESS, 41, 2004).await;
    assert_eq!(next.iter().filter(|id| other.contains(id)).count(), 20);
    let first_ten = next[..20].iter().filter(|id| other.contains(id)).count();
    assert!((9..=11).contains(&first_ten), "{first_ten}");
}

#[tokio::test]
async fn who_was_away_does_not_catch_up_at_others_expense() {
    let catalog = catalog().await;
    catalog.upload(1, 100, 1).await;
    drain(&catalog, PROCESS, 90, 200).await;
    let late = catalog.upload(2, 20, 201).await;
    let next = drain(&catalog, PROCESS, 20, 202).await;
    assert_eq!(next.iter().filter(|id| late.contains(id)).count(), 10);
}

#[tokio::test]
async fn what_failed_together_does_not_come_back_before_everybody() {
    let catalog = catalog().await;
    catalog.upload(1, 50, 1).await;
    for claim in catalog.claim(PROCESS, 50, at(100)).await {
        catalog.finish(&claim, Ending::Retry { error: "down".to_owned(), available_at: at(200) }, at(101)).await;
    }
    catalog.upload(3, 30, 102).await;
    drain(&catalog, PROCESS, 20, 150).await;
    let other = catalog.upload(2, 10, 151).await;
    let next = drain(&catalog, PROCESS, 30, 200).await;
    assert_eq!(next.iter().filter(|id| other.contains(id)).count(), 10);
    // Nor do dead letters that a person runs again.
    let mut dead = Vec::new();
    for claim in catalog.claim(PROCESS, 40, at(201)).await {
        catalog.finish(&claim, Ending::Failure { error: "down".to_owned() }, at(201)).await;
        dead.push(claim.task.id);
    }
    let early = catalog.upload(4, 20, 202).await;
    drain(&catalog, PROCESS, 10, 203).await;
    for id in dead {
        catalog.retry_task(id, at(204)).await.unwrap();
    }
    let next = drain(&catalog, PROCESS, 25, 205).await;
    assert_eq!(next.iter().filter(|id| early.contains(id)).count(), 10);
}

#[tokio::test]
async fn one_sinks_backlog_does_not_hold_up_anothers() {
    let catalog = catalog_heard_by(&["slow", "quick"]).await;
    catalog.upload(1, 100, 1).await;
    let claims = catalog.claim(TaskKind::Deliver, 20, at(200)).await;
    let quick = claims.iter().filter(|claim| claim.task.sink.as_deref() == Some("quick")).count();
    assert_eq!(quick, 10);
    // However long the one's backlog is by now.
    let backlog = catalog.claim(TaskKind::Deliver, 200, at(201)).await;
    for claim in backlog.iter().filter(|claim| claim.task.sink.as_deref() == Some("slow")) {
        catalog.finish(claim, Ending::HandBack, at(202)).await;
    }
    let new = catalog.upload(2, 1, 203).await;
    let new_capture = catalog.task_now(new[0]).await.capture_id;
    let claims = catalog.claim(TaskKind::Deliver, 4, at(204)).await;
    let is_new_quick =
        |claim: &records::Claim| claim.task.capture_id == new_capture && claim.task.sink.as_deref() == Some("quick");
    assert!(claims.iter().any(is_new_quick));
}

#[tokio::test]
async fn priority_goes_before_turn() {
    let catalog = catalog().await;
    let background = catalog.upload(1, 5, 1).await;
    let mut urgent = capture(50);
    urgent.task_priority = 0;
    let session = catalog.new_session(1).await.id;
    catalog.record(session, vec![urgent.clone()]).await.unwrap();
    let next = drain(&catalog, PROCESS, 3, 60).await;
    assert_eq!(next, [urgent.task_id, background[0], background[1]]);
}

#[tokio::test]
async fn dead_letters_and_what_was_called_off_can_be_run_again() {
    let catalog = catalog().await;
    let ids = catalog.upload(1, 3, 1).await;
    let claims = catalog.claim(PROCESS, 2, at(10)).await;
    catalog.finish(&claims[0], Ending::Failure { error: "broken".to_owned() }, at(11)).await;
    conflict(catalog.retry_task(ids[1], at(12)).await);
    conflict(catalog.retry_task(ids[2], at(12)).await);
    not_found(catalog.retry_task(Uuid::now_v7(), at(12)).await);
    let task = catalog.retry_task(ids[0], at(13)).await.unwrap();
    assert_eq!((task.state, task.attempts, task.error.as_deref()), (TaskState::Pending, 0, None));
    assert_eq!((task.finished_at, task.available_at), (None, at(13)));
    let processing = catalog.capture(task.capture_id.unwrap()).await.unwrap().unwrap().processing;
    assert_eq!((processing.failure, processing.quarantined_at), (None, None), "out of quarantine");

    // Called off while it runs: who runs it has lost it.
    let running = catalog.revoke_task(ids[1], at(14)).await.unwrap();
    assert_eq!((running.state, running.finished_at), (TaskState::Revoked, Some(at(14))));
    let held = vec![(ids[1], claims[1].fence)];
    assert_eq!(catalog.renew_leases(held.clone(), jiff::SignedDuration::from_secs(1), at(15)).await.unwrap(), held);
    assert_eq!(catalog.succeed(&claims[1], Effect::None, at(15)).await, records::Finished::Lost);
    assert_eq!(catalog.revoke_task(ids[1], at(16)).await.unwrap(), running, "again changes nothing");
    catalog.retry_task(ids[1], at(17)).await.unwrap();
    assert_eq!(catalog.succeed(&claims[1], Effect::None, at(17)).await, records::Finished::Lost);
    let mut open = drain(&catalog, PROCESS, 5, 18).await;
    open.sort_unstable();
    let mut all = ids.clone();
    all.sort_unstable();
    assert_eq!(open, all);
    conflict(catalog.revoke_task(ids[0], at(19)).await);
    not_found(catalog.revoke_task(Uuid::now_v7(), at(19)).await);
}

#[tokio::test]
async fn what_waits_is_called_off_too_and_a_deleted_capture_is_not_run_again() {
    let catalog = catalog().await;
    let ids = catalog.upload(1, 2, 1).await;
    catalog.revoke_task(ids[0], at(10)).await.unwrap();
    assert_eq!(drain(&catalog, PROCESS, 5, 11).await, [ids[1]]);
    let capture_id = catalog.task_now(ids[0]).await.capture_id.unwrap();
    catalog.delete_capture(capture_id, "asked for".to_owned(), at(12)).await.unwrap();
    conflict(catalog.retry_task(ids[0], at(13)).await);
}

#[tokio::test]
async fn sweeps_are_nobodys_to_call_off_but_their_dead_letters_are() {
    let catalog = catalog().await;
    catalog.ensure_sweep(at(0)).await.unwrap();
    let sweep = catalog.claim(TaskKind::Sweep, 1, at(0)).await.remove(0);
    conflict(catalog.revoke_task(sweep.task.id, at(1)).await);
    catalog.finish(&sweep, Ending::Failure { error: "broken".to_owned() }, at(2)).await;
    conflict(catalog.retry_task(sweep.task.id, at(3)).await);
    assert_eq!(catalog.revoke_task(sweep.task.id, at(3)).await.unwrap().state, TaskState::Revoked);
}

#[tokio::test]
async fn the_finished_are_forgotten_in_their_time_and_the_dead_are_kept() {
    let catalog = catalog().await;
    let ids = catalog.upload(1, 1205, 1).await;
    drain(&catalog, PROCESS, 1200, 2000).await;
    catalog.revoke_task(ids[1200], at(2000)).await.unwrap();
    let dead = catalog.claim(PROCESS, 1, at(2000)).await.remove(0);
    catalog.finish(&dead, Ending::Failure { error: "broken".to_owned() }, at(2000)).await;
    drain(&catalog, PROCESS, 1, 2001).await;
    assert_eq!(catalog.forget_tasks(at(2000)).await.unwrap(), 0);
    assert_eq!(catalog.forget_tasks(at(2001)).await.unwrap(), 1201);
    let mut counted = catalog.count_tasks().await.unwrap();
    counted.sort_by_key(|(_, state, _)| state.as_str());
    assert_eq!(counted, [(PROCESS, TaskState::Failure, 1), (PROCESS, TaskState::Pending, 2)]);
    assert_eq!(catalog.tasks_of(PROCESS).await.len(), 4);
}

#[tokio::test]
async fn tasks_are_found_by_what_they_are_about() {
    let catalog = catalog_heard_by(&["one", "two"]).await;
    let (mine, others) = (catalog.upload(1, 2, 1).await, catalog.upload(2, 1, 5).await);
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    catalog.finish(&claim, Ending::Failure { error: "broken".to_owned() }, at(11)).await;
    let task = catalog.task_now(mine[1]).await;
    let check = async |filter: TaskFilter, expect: usize| {
        let page = catalog.tasks(filter.clone(), None, 100).await.unwrap();
        assert_eq!(page.items.len(), expect, "{filter:?}");
    };
    let all = TaskFilter::default;
    check(all(), 11).await;
    check(TaskFilter { kind: Some(PROCESS), ..all() }, 3).await;
    check(TaskFilter { state: Some(TaskState::Failure), ..all() }, 1).await;
    check(TaskFilter { state: Some(TaskState::Pending), ..all() }, 10).await;
    check(TaskFilter { state: Some(TaskState::Failure), kind: Some(TaskKind::Deliver), ..all() }, 0).await;
    check(TaskFilter { capture_id: task.capture_id, ..all() }, 3).await;
    check(TaskFilter { session_id: task.session_id, kind: Some(PROCESS), ..all() }, 2).await;
    check(TaskFilter { user_id: Some(2), ..all() }, 1).await;
    check(TaskFilter { sink: Some("two".to_owned()), ..all() }, 4).await;
    let known = catalog.tasks_by_id(vec![others[0], Uuid::now_v7(), mine[0]]).await.unwrap();
    assert_eq!(known.iter().map(|task| task.id).collect::<Vec<_>>(), [others[0], mine[0]]);
    // In steps, newest first, none twice.
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = catalog.tasks(TaskFilter { kind: Some(PROCESS), ..all() }, after, 2).await.unwrap();
        seen.extend(page.items.iter().map(|task| task.id));
        after = page.next_cursor;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [others[0], mine[1], mine[0]]);
}

#[tokio::test]
async fn whoever_waits_hears_of_its_kind_and_of_no_other() {
    let catalog = catalog().await;
    let mut hears = TaskKind::ALL.map(|kind| catalog.task_changes(kind));
    let mut heard = move || {
        hears.each_mut().map(|changes| {
            let changed = changes.has_changed().unwrap();
            changes.mark_unchanged();
            changed
        })
    };
    let id = catalog.upload(1, 1, 1).await[0];
    assert_eq!(heard(), [true, false, false]);
    let claim = catalog.claim(PROCESS, 1, at(10)).await.remove(0);
    assert_eq!(heard(), [false; 3], "a claim gives nobody anything to do");
    catalog.finish(&claim, Ending::Retry { error: "no luck".to_owned(), available_at: at(11) }, at(10)).await;
    assert_eq!(heard(), [true, false, false]);
    let claim = catalog.claim(PROCESS, 1, at(11)).await.remove(0);
    catalog.succeed(&claim, Effect::None, at(12)).await;
    assert_eq!(heard(), [false; 3]);
    catalog.rederive(claim.task.capture_id.unwrap(), at(13)).await.unwrap();
    catalog.revoke_task(id, at(14)).await.unwrap();
    assert!(heard()[0]);
    let catalog = catalog_heard_by(&["one"]).await;
    let deliver = catalog.task_changes(TaskKind::Deliver);
    catalog.upload(1, 1, 1).await;
    assert!(deliver.has_changed().unwrap());
}
