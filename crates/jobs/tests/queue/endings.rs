//! How runs end: retries, dead letters, panics, what was nobody's fault, and a catalog that will not take the end.

use std::time::Duration;

use jobs::Outcome;
use records::{Effect, TaskState};

use crate::support::Rig;
use crate::work::{Script, again, processed};

for_both_engines!(
    what_fails_is_tried_again_and_then_a_dead_letter,
    what_was_nobodys_fault_counts_for_nothing,
    a_panic_is_a_failure_whose_words_stay_out_of_the_row,
    what_fails_for_good_is_not_tried_again,
    an_effect_that_the_catalog_refuses_is_discarded_and_tried_again,
);

async fn what_fails_is_tried_again_and_then_a_dead_letter(rig: Rig) {
    let doomed = rig.upload(1, 1).await[0];
    let script = Script::new(&rig.log, move |claim| async move {
        if claim.task.id == doomed || claim.task.attempts < 3 { again("no luck") } else { processed(&claim) }
    });
    let process = rig.start(script).await;
    let lucky = rig.upload(2, 1).await[0];
    let dead = rig.wait_for(doomed, TaskState::Failure).await;
    let lucky = rig.wait_for(lucky, TaskState::Success).await;
    assert_eq!((dead.attempts, lucky.attempts), (3, 3));
    assert_eq!(dead.error.as_deref(), Some("no luck (given up after 3 attempts)"));
    let attempts: Vec<_> = rig.log.runs().iter().filter(|run| run.task == doomed).map(|run| run.attempts).collect();
    assert_eq!(attempts, [1, 2, 3]);
    let capture = rig.records.capture(dead.capture_id.unwrap()).await.unwrap().unwrap();
    assert!(capture.processing.quarantined_at.is_some());
    // A person has it run again, with all its attempts.
    rig.records.retry_task(doomed, rig.now()).await.unwrap();
    rig.wait_for_runs(9).await;
    process.stop().await;
    assert_eq!(rig.records.count_effects().await.unwrap(), 1);
}

async fn what_was_nobodys_fault_counts_for_nothing(rig: Rig) {
    let id = rig.upload(1, 1).await[0];
    let log = rig.log.clone();
    let script = Script::new(&rig.log, move |claim| {
        let runs = log.count();
        async move {
            if runs > 6 {
                return processed(&claim);
            }
            Outcome::Postpone { error: "the disk is full".to_owned(), after: Duration::from_millis(10) }
        }
    });
    let process = rig.start(script).await;
    rig.wait_for_effects(1).await;
    process.stop().await;
    assert_eq!((rig.log.count(), rig.task(id).await.attempts), (7, 1));
}

async fn a_panic_is_a_failure_whose_words_stay_out_of_the_row(rig: Rig) {
    let id = rig.upload(1, 1).await[0];
    let script = Script::new(&rig.log, |claim| async move {
        assert!(claim.task.attempts > 1, "jane.doe@example.org");
        if claim.task.attempts == 2 { panic!("jane.doe@example.org") } else { again("no luck") }
    });
    let process = rig.start(script).await;
    let other = rig.upload(1, 1).await[0];
    for id in [id, other] {
        assert_eq!(rig.wait_for(id, TaskState::Failure).await.attempts, 3);
    }
    process.stop().await;
    // In none of the rows' versions, either.
    let bytes = std::fs::read(rig.path()).unwrap();
    let log = std::fs::read(format!("{}-wal", rig.path().display())).unwrap();
    let holds = |bytes: &[u8], words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
    assert!(!holds(&bytes, b"jane.doe") && !holds(&log, b"jane.doe"));
    assert!(holds(&bytes, b"the run panicked") || holds(&log, b"the run panicked"), "the control");
}

async fn what_fails_for_good_is_not_tried_again(rig: Rig) {
    let id = rig.upload(1, 1).await[0];
    let failure = || Outcome::Failure { error: "no photo".to_owned() };
    let process = rig.start(Script::new(&rig.log, move |_| async move { failure() })).await;
    let task = rig.wait_for(id, TaskState::Failure).await;
    process.stop().await;
    assert_eq!((task.attempts, task.error.as_deref(), rig.log.count()), (1, Some("no photo"), 1));
}

async fn an_effect_that_the_catalog_refuses_is_discarded_and_tried_again(rig: Rig) {
    let id = rig.upload(1, 1).await[0];
    let script = Script::new(&rig.log, |claim| async move {
        let mut outcome = processed(&claim);
        if claim.task.attempts == 1
            && let Outcome::Success(Effect::Processed(processed)) = &mut outcome
        {
            // Two of one size: a rule of the schema.
            let second = records::Derivative { blob_key: "another".to_owned(), ..processed.derivatives[0].clone() };
            processed.derivatives.push(second);
        }
        outcome
    });
    let process = rig.start(script).await;
    rig.wait_for_effects(1).await;
    process.stop().await;
    assert_eq!((rig.log.discarded(), rig.task(id).await.attempts), (vec![id], 2));
}

/// The other process holds the catalog for longer than a write waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_catalog_delays_the_end_of_a_run_and_throws_nothing_away() {
    let rig = Rig::embedded();
    let id = rig.upload(1, 1).await[0];
    let (path, log) = (rig.path(), rig.log.clone());
    let script = Script::new(&rig.log, move |claim| {
        // Only once: what is run again would show in the count of runs.
        let path = path.clone();
        assert_eq!(log.count(), 1);
        async move {
            let holder = std::thread::spawn(move || {
                let other = rusqlite::Connection::open(path).unwrap();
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
                std::thread::sleep(Duration::from_secs(12));
                other.execute_batch("ROLLBACK").unwrap();
            });
            drop(holder);
            tokio::time::sleep(Duration::from_millis(300)).await;
            processed(&claim)
        }
    });
    let mut options = rig.options("serve/one");
    options.lease = Duration::from_secs(60);
    let process = rig.start_with(options, rig.records.clone(), script).await;
    rig.wait_for_effects(1).await;
    process.stop().await;
    assert_eq!((rig.log.count(), rig.task(id).await.attempts), (1, 1));
    assert!(rig.log.discarded().is_empty());
}
