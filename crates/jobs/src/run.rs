//! One run of one task, and how it is written down.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use jiff::SignedDuration;
use records::{Claim, Effect, Ending, Error, Finished};

use crate::held::{Cut, Hold};
use crate::{Outcome, RetryPolicy, Shared, Work, retry};

/// For the row: what a panic says may hold what it was working on.
const PANICKED: &str = "the run panicked; the server's log says where";
const REFUSED: &str = "its effect could not be recorded; the server's log says why";
/// Between two tries to write down a run that is done, at first and at most.
const AGAIN_MIN: Duration = Duration::from_millis(50);
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// Runs a claimed task to its end, whatever that is.
pub(crate) async fn run<W: Work>(shared: Arc<Shared>, work: Arc<W>, claim: Claim, mut hold: Hold, policy: RetryPolicy) {
    let (kind, began) = (claim.task.kind, Instant::now());
    if claim.task.attempts == 1
        && let Some(started_at) = claim.task.started_at
    {
        shared.metrics.waited(kind, started_at.duration_since(claim.task.created_at).as_secs_f64());
    }
    let label = match work_on(&*work, &claim, &mut hold).await {
        Ok(outcome) => {
            let ending = ending_of(outcome, &claim, &policy, &shared);
            finish(&shared, &*work, &claim, &hold, &policy, ending).await
        }
        Err(Cut::HandBack) => finish(&shared, &*work, &claim, &hold, &policy, Ending::HandBack).await,
        Err(Cut::Lost) => LOST,
    };
    if label == LOST {
        shared.metrics.lost_leases.inc();
        tracing::warn!(task = %claim.task.id, kind = kind.as_str(), "a run was given up: its task is another's");
    }
    shared.metrics.ran(kind, label, began.elapsed().as_secs_f64());
}

/// Runs it until it is done or must end; then it is dropped, in the middle. An effect that was never handed over
/// cannot be discarded: what such a run left outside the catalog is found by the sweeps.
async fn work_on<W: Work>(work: &W, claim: &Claim, hold: &mut Hold) -> Result<Outcome, Cut> {
    tokio::select! {
        biased;
        outcome = AssertUnwindSafe(work.run(claim.clone())).catch_unwind() => Ok(outcome.unwrap_or_else(|panic| {
            let (message, id) = (message_of(&*panic), claim.task.id);
            tracing::error!(task = %id, kind = claim.task.kind.as_str(), message, "a run panicked");
            Outcome::Retry { error: PANICKED.to_owned(), after: None }
        })),
        cut = hold.cut() => Err(cut),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

fn ending_of(outcome: Outcome, claim: &Claim, policy: &RetryPolicy, shared: &Shared) -> Ending {
    let at = |wait: Duration| {
        let now = shared.times.now();
        now.checked_add(SignedDuration::try_from(wait).unwrap_or_default()).unwrap_or(now)
    };
    match outcome {
        Outcome::Success(effect) => Ending::Success(effect),
        Outcome::Retry { error, .. } if claim.task.attempts >= policy.attempts_max => {
            Ending::Failure { error: format!("{error} (given up after {} attempts)", claim.task.attempts) }
        }
        Outcome::Retry { error, after } => {
            let available_at = at(retry::delay(policy, claim.task.attempts, after, retry::random()));
            Ending::Retry { error, available_at }
        }
        Outcome::Postpone { error, after } => {
            let available_at = at(retry::delay(policy, 1, Some(after), retry::random()));
            Ending::Postponed { error, available_at }
        }
        Outcome::Failure { error } => Ending::Failure { error },
    }
}

const LOST: &str = "lost";

/// Writes the end down, as long as the claim holds; what became of it.
async fn finish<W: Work>(
    shared: &Shared,
    work: &W,
    claim: &Claim,
    hold: &Hold,
    policy: &RetryPolicy,
    mut ending: Ending,
) -> &'static str {
    let (id, kind) = (claim.task.id, claim.task.kind.as_str());
    let mut wait = AGAIN_MIN;
    loop {
        let finished = shared.records.finish_task(id, claim.fence, ending.clone(), shared.times.now()).await;
        let label = match &ending {
            Ending::Success(_) => "success",
            Ending::Retry { .. } => "retry",
            Ending::Postponed { .. } => "postponed",
            Ending::Failure { .. } => "failure",
            Ending::HandBack => "handed_back",
        };
        let error = match finished {
            Ok(Finished::Done) => {
                if matches!(ending, Ending::Success(_))
                    && AssertUnwindSafe(work.settled(claim.clone())).catch_unwind().await.is_err()
                {
                    tracing::error!(task = %id, kind, "tidying up after a run panicked");
                }
                return label;
            }
            Ok(Finished::Lost) => {
                discard(work, claim, ending).await;
                return LOST;
            }
            // The work is done; the disk may have room in a moment.
            Err(Error::Full | Error::Busy | Error::Unavailable(_)) if Instant::now() < hold.until() => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(AGAIN_MAX);
                continue;
            }
            Err(error) => error,
        };
        tracing::error!(task = %id, kind, %error, "the end of a run could not be recorded");
        match error {
            // The effect may hold: what it names must stay.
            Error::OutcomeUnknown(_) => return "unknown",
            // The catalog refuses this effect, and would refuse it again.
            Error::Conflict(_) | Error::Engine(_) | Error::Postgres { .. } | Error::NotFound
                if matches!(ending, Ending::Success(_)) =>
            {
                discard(work, claim, ending).await;
                let refused = Outcome::Retry { error: REFUSED.to_owned(), after: None };
                ending = ending_of(refused, claim, policy, shared);
            }
            // The lease runs out by itself, and the task is run again.
            _ => {
                discard(work, claim, ending).await;
                return "unrecorded";
            }
        }
    }
}

async fn discard<W: Work>(work: &W, claim: &Claim, ending: Ending) {
    let Ending::Success(effect) = ending else { return };
    if matches!(effect, Effect::None) {
        return;
    }
    if AssertUnwindSafe(work.discard(claim.clone(), effect)).catch_unwind().await.is_err() {
        tracing::error!(task = %claim.task.id, "discarding the effect of a run panicked");
    }
}
