//! Claims: who may run a task, until when, and what its end changes.
//!
//! **Owns** a task's way from the line to its end: claiming, handing over to a transport, renewing, finishing, taking
//! back.
//! **Promises** that a task has one holder at a time, the one with the newest fence; that the attempt is counted before
//! the run, so that a task which kills its worker ends as a dead letter; that a run's effect takes place together with
//! the task's end, and only under the fence; that where there is nothing to do nothing is written.
//! **Leaves** to others: running (`jobs`), the transport, telling a clock that jumped from one that went on
//! ([`ClaimTerms::takes_back`]).
//!
//! The row is the truth, whatever carried its id to a worker.

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::db::{Db, Dialect, values};
use crate::events::EventSink;
use crate::processing::{self, Effect};
use crate::tasks::{self, COLUMNS, NEXT_COLUMN, NewTask, Owner, TaskState, end, next_turn, task_from};
use crate::users::timestamp;
use crate::{Records, Result, Task, TaskKind, uuid_at};

/// Nothing waits longer: a later time is brought down to this.
const WAIT_MAX: SignedDuration = SignedDuration::from_hours(24);
/// A wait that ends later than this comes of a clock that was set back.
const WAIT_BELIEVED: SignedDuration = SignedDuration::from_hours(25);
/// So does a lease, where twice the claimer's own is less: another process may have a longer one.
const LEASE_BELIEVED: SignedDuration = SignedDuration::from_hours(1);
/// From a sweep that gave up to the next.
const SWEEP_AFTER_FAILURE: SignedDuration = SignedDuration::from_hours(1);
/// Tasks put in line by one write: uploads wait behind it.
const PUT_IN_LINE_AT_ONCE: usize = 500;

/// A task that a worker may run, as long as it holds the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The task; its attempts count this run.
    pub task: Task,
    /// The number to show when it ends. It goes up with every claim and never down.
    pub fence: i64,
}

/// On which terms tasks are claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimTerms {
    /// Which kind.
    pub kind: TaskKind,
    /// Who claims.
    pub worker: String,
    /// How long the claim holds without a heartbeat.
    pub lease: SignedDuration,
    /// A task whose worker was lost in its last attempt becomes a dead letter.
    pub attempts_max: u32,
    /// Whether leases that have run out are taken back. Not by whoever has just seen the clock jump, or has slept
    /// through its own heartbeats: to them everybody's lease seems to have run out.
    pub takes_back: bool,
}

/// What claiming found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// To be run now.
    pub claims: Vec<Claim>,
    /// Where there was nothing: when something will be due by itself.
    pub next_at: Option<Timestamp>,
}

/// What is to be handed to a transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Tasks by id, the first in line first.
    pub ids: Vec<Uuid>,
    /// Where there was nothing: when something will be due by itself.
    pub next_at: Option<Timestamp>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// Done; the effect takes place with it.
    Success(Effect),
    /// To be run again, not before `available_at`.
    Retry {
        /// What went wrong, for a person.
        error: String,
        /// When, at most a day ahead.
        available_at: Timestamp,
    },
    /// To be run again, not before `available_at`, and the attempt does not count: nothing was wrong with the task.
    Postponed {
        /// What it waits for, for a person.
        error: String,
        /// When, at most a day ahead.
        available_at: Timestamp,
    },
    /// Given up.
    Failure {
        /// What went wrong, for a person.
        error: String,
    },
    /// Not run after all: back in line, and the attempt does not count. For a worker that takes its leave.
    HandBack,
}

/// Whether an ending took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It did.
    Done,
    /// The worker had lost the task: nothing was changed.
    Lost,
}

fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn no_later_than_a_day(at: Timestamp, now: Timestamp) -> i64 {
    at.as_microsecond().min(now.as_microsecond().saturating_add(micros(WAIT_MAX)))
}

/// When waits of a kind that end before or after a time end; the same words in every query, for the index's sake.
pub(crate) const WAITING: &str =
    "FROM tasks WHERE is_ready = 0 AND state IN ('PENDING', 'RETRY') AND kind = ?1 AND available_at";
pub(crate) const LEASED: &str = "FROM tasks WHERE state = 'STARTED' AND kind = ?1 AND lease_expires_at";
/// Before the first and after the second of these times a wait or a lease is over.
type Window = (i64, i64);

fn waits(now: Timestamp) -> Window {
    let now = now.as_microsecond();
    (now, now.saturating_add(micros(WAIT_BELIEVED)))
}

fn leases(terms: &ClaimTerms, now: Timestamp) -> Window {
    let now = now.as_microsecond();
    (now, now.saturating_add(micros(terms.lease).saturating_mul(2).max(micros(LEASE_BELIEVED))))
}

/// Whether something of this kind waited or was held long enough, and when something will have.
fn look_ahead(db: &Db<'_>, terms: &ClaimTerms, now: Timestamp) -> Result<(bool, Option<Timestamp>)> {
    let mut is_due = false;
    let mut next: Option<i64> = None;
    let mut look = |rows: &str, column: &str, (past, future): Window| -> Result<()> {
        for (order, end) in [("min", past), ("max", future)] {
            let at: Option<i64> = db.one(
                &format!("SELECT {order}({column}) {rows} IS NOT NULL"),
                &values![terms.kind.as_str()],
                |row| row.get(0),
            )?;
            let Some(at) = at else { break };
            is_due |= if order == "min" { at <= end } else { at > end };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        Ok(())
    };
    look(WAITING, "available_at", waits(now))?;
    if terms.takes_back {
        look(LEASED, "lease_expires_at", leases(terms, now))?;
    }
    Ok((is_due, next.map(timestamp)))
}

/// Puts in line what has waited long enough, each behind what its owner has there already: a thousand tasks that
/// failed together and come back together must not stand before everybody else.
fn put_in_line(db: &Db<'_>, kind: TaskKind, now: Timestamp) -> Result<()> {
    type Waiting = (Uuid, u32, Option<i64>, Option<String>);
    let (past, future) = waits(now);
    for (side, end) in [("<=", past), (">", future)] {
        let due: Vec<Waiting> = db.all(
            &format!(
                "SELECT id, priority, user_id, sink {WAITING} {side} ?2 ORDER BY available_at LIMIT ?3{}",
                db.skip_locked()
            ),
            &values![kind.as_str(), end, PUT_IN_LINE_AT_ONCE],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        for (id, priority, user_id, sink) in due {
            let turn = next_turn(db, &Owner { kind, priority, user_id, sink: sink.as_deref() })?;
            db.execute("UPDATE tasks SET is_ready = 1, turn = ?2 WHERE id = ?1", &values![id, turn])?;
        }
    }
    Ok(())
}

/// Takes back what lost workers held: again in line, or a dead letter after the last attempt.
fn take_back_lost(db: &Db<'_>, sinks: &[EventSink], terms: &ClaimTerms, now: Timestamp) -> Result<()> {
    if !terms.takes_back {
        return Ok(());
    }
    let (past, future) = leases(terms, now);
    for (side, end) in [("<=", past), (">", future)] {
        let lost: Vec<Task> = db.all(
            &format!("SELECT {COLUMNS} {LEASED} {side} ?2{}", db.skip_locked()),
            &values![terms.kind.as_str(), end],
            task_from,
        )?;
        for task in lost {
            take_back(db, sinks, &task, terms.attempts_max, now)?;
        }
    }
    Ok(())
}

fn take_back(db: &Db<'_>, sinks: &[EventSink], task: &Task, attempts_max: u32, now: Timestamp) -> Result<()> {
    if task.attempts >= attempts_max {
        let error = format!("its worker was lost in the last of {} attempts", task.attempts);
        return fail(db, sinks, task, &error, now);
    }
    // Its turn had come, and has not passed.
    db.execute(
        "UPDATE tasks SET state = 'RETRY', is_ready = 1, lease_expires_at = NULL, available_at = ?2,
                          error = 'its worker was lost' WHERE id = ?1",
        &values![task.id, now.as_microsecond()],
    )?;
    Ok(())
}

/// A dead letter, and what that means for what it was about.
fn fail(db: &Db<'_>, sinks: &[EventSink], task: &Task, error: &str, now: Timestamp) -> Result<()> {
    end(db, task.id, TaskState::Failure, Some(error), now)?;
    match task.kind {
        TaskKind::Process => processing::failed(db, sinks, task, error, now),
        // The next sweep must come all the same.
        TaskKind::Sweep => insert_sweep(db, now, now.checked_add(SWEEP_AFTER_FAILURE).unwrap_or(now)),
        TaskKind::Deliver => Ok(()),
    }
}

/// Sees to it that a sweep waits or runs; if not, one at this time.
pub(crate) fn insert_sweep(db: &Db<'_>, now: Timestamp, at: Timestamp) -> Result<()> {
    let waits: bool = db.one(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE kind = 'sweep' AND state IN ('PENDING', 'STARTED', 'RETRY'))",
        &[],
        |row| row.get(0),
    )?;
    if waits {
        return Ok(());
    }
    let at = timestamp(no_later_than_a_day(at, now));
    let sweep = NewTask {
        id: uuid_at(now),
        kind: TaskKind::Sweep,
        capture_id: None,
        session_id: None,
        user_id: None,
        sink: None,
        payload: None,
        priority: 0,
        created_at: now,
        available_at: (at > now).then_some(at),
    };
    tasks::insert(db, &sweep)
}

/// Claims one task in line; `None` where it is not, because it is done, held or called off.
fn claim_one(db: &Db<'_>, terms: &ClaimTerms, id: Uuid, now: Timestamp) -> Result<Option<Claim>> {
    let lease_expires_at = now.as_microsecond().saturating_add(micros(terms.lease));
    db.optional(
        &format!(
            "UPDATE tasks SET state = 'STARTED', is_ready = 0, handed_over_at = NULL, attempts = attempts + 1,
                          fence = fence + 1, worker = ?2, lease_expires_at = ?3, started_at = ?4
         WHERE id = ?1 AND is_ready = 1 AND kind = ?5 RETURNING {COLUMNS}, fence"
        ),
        &values![id, terms.worker, lease_expires_at, now.as_microsecond(), terms.kind.as_str()],
        |row| Ok(Claim { task: task_from(row)?, fence: row.get(NEXT_COLUMN)? }),
    )
}

fn held(db: &Db<'_>, id: Uuid, fence: i64) -> Result<Option<Task>> {
    db.optional(
        &format!("SELECT {COLUMNS} FROM tasks WHERE id = ? AND fence = ? AND state = 'STARTED'{}", db.for_update()),
        &values![id, fence],
        task_from,
    )
}

fn hold_session_of(db: &Db<'_>, id: Uuid) -> Result<()> {
    if db.dialect() == Dialect::Sqlite {
        return Ok(());
    }
    let of =
        db.optional("SELECT session_id FROM tasks WHERE id = ?", &values![id], |row| row.get::<Option<Uuid>>(0))?;
    of.flatten().map_or(Ok(()), |session_id| db.hold_session(session_id))
}

fn has_ended_under(db: &Db<'_>, id: Uuid, fence: i64) -> Result<bool> {
    db.scalar(
        "SELECT EXISTS (SELECT 1 FROM tasks WHERE id = ? AND fence = ? AND state IN ('SUCCESS', 'FAILURE'))",
        &values![id, fence],
    )
}

pub(crate) const IN_LINE: &str =
    "SELECT id, handed_over_at FROM tasks WHERE is_ready = 1 AND kind = ? ORDER BY priority, turn, id LIMIT ?";

/// The first tasks in fair order, with when the transport got each; `lock`: those that nobody else is claiming.
fn in_line(db: &Db<'_>, kind: TaskKind, max: usize, lock: &str) -> Result<Vec<(Uuid, Option<i64>)>> {
    db.all(&format!("{IN_LINE}{lock}"), &values![kind.as_str(), max], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Those of the first in line that a transport has not got, or got too long ago.
fn not_handed_over(
    db: &Db<'_>,
    kind: TaskKind,
    window: usize,
    (since, now): (Timestamp, Timestamp),
    lock: &str,
) -> Result<Vec<Uuid>> {
    let (since, now) = (since.as_microsecond(), now.as_microsecond());
    Ok(in_line(db, kind, window, lock)?
        .into_iter()
        // Later than now: the clock was set back.
        .filter(|(_, handed_over_at)| handed_over_at.is_none_or(|at| at < since || at > now))
        .map(|(id, _)| id)
        .collect())
}

fn change_to_again(db: &Db<'_>, id: Uuid, error: &str, available_at: i64, counts: bool) -> Result<()> {
    db.execute(
        "UPDATE tasks SET state = CASE WHEN attempts > 1 OR ?4 THEN 'RETRY' ELSE 'PENDING' END,
                          attempts = CASE WHEN ?4 THEN attempts ELSE attempts - 1 END,
                          error = ?2, available_at = ?3, lease_expires_at = NULL WHERE id = ?1",
        &values![id, error, available_at, counts],
    )?;
    Ok(())
}

fn take_ending(db: &Db<'_>, sinks: &[EventSink], task: &Task, ending: &Ending, now: Timestamp) -> Result<()> {
    match ending {
        Ending::Success(effect) => {
            end(db, task.id, TaskState::Success, None, now)?;
            match effect {
                Effect::Processed(processed) => processing::take_effect(db, sinks, task, processed, now),
                Effect::Unsupported { reason } => processing::unsupported(db, sinks, task, reason, now),
                Effect::NextSweep { at } => insert_sweep(db, now, *at),
                Effect::None if task.kind == TaskKind::Sweep => {
                    insert_sweep(db, now, now.checked_add(SWEEP_AFTER_FAILURE).unwrap_or(now))
                }
                Effect::None => Ok(()),
            }
        }
        Ending::Retry { error, available_at } => {
            change_to_again(db, task.id, error, no_later_than_a_day(*available_at, now), true)
        }
        Ending::Postponed { error, available_at } => {
            change_to_again(db, task.id, error, no_later_than_a_day(*available_at, now), false)
        }
        Ending::Failure { error } => fail(db, sinks, task, error, now),
        Ending::HandBack => {
            db.execute(
                "UPDATE tasks SET state = CASE WHEN attempts > 1 THEN 'RETRY' ELSE 'PENDING' END, attempts = attempts - 1, is_ready = 1,
                                  lease_expires_at = NULL WHERE id = ?1",
                &values![task.id],
            )?;
            Ok(())
        }
    }
}

impl Records {
    /// Claims up to `max` tasks in fair order, after taking back what lost workers held.
    ///
    /// Where there is nothing to do, nothing is written.
    pub async fn claim_tasks(&self, terms: ClaimTerms, max: usize, now: Timestamp) -> Result<Claimed> {
        let looking = terms.clone();
        let (is_due, next_at) = self
            .engine
            .read(move |db| {
                let (is_due, next_at) = look_ahead(db, &looking, now)?;
                Ok((is_due || !in_line(db, looking.kind, 1, "")?.is_empty(), next_at))
            })
            .await?;
        if !is_due {
            return Ok(Claimed { claims: Vec::new(), next_at });
        }
        let sinks = self.sinks.clone();
        let claims = self
            .write_tasks(move |db| {
                put_in_line(db, terms.kind, now)?;
                take_back_lost(db, &sinks, &terms, now)?;
                let mut claims = Vec::new();
                for (id, _) in in_line(db, terms.kind, max, db.skip_locked())? {
                    claims.extend(claim_one(db, &terms, id, now)?);
                }
                Ok(claims)
            })
            .await?;
        Ok(Claimed { claims, next_at: None })
    }

    /// Claims those of these tasks that are in line: for a transport that carried their ids here.
    pub async fn claim_these(&self, terms: ClaimTerms, ids: Vec<Uuid>, now: Timestamp) -> Result<Vec<Claim>> {
        self.write_tasks(move |db| {
            let mut claims = Vec::new();
            for id in &ids {
                claims.extend(claim_one(db, &terms, *id, now)?);
            }
            Ok(claims)
        })
        .await
    }

    /// Those of the first `window` tasks in fair order that a transport has not got, or got before `again_before` and
    /// must have lost; they are marked as handed over now, so that no two processes hand over the same. Also takes
    /// back what lost workers held.
    ///
    /// Where there is nothing to do, nothing is written.
    pub async fn hand_over_tasks(
        &self,
        terms: ClaimTerms,
        window: usize,
        again_before: Timestamp,
        now: Timestamp,
    ) -> Result<HandedOver> {
        let looking = terms.clone();
        let (is_due, next_at) = self
            .engine
            .read(move |db| {
                let (is_due, next_at) = look_ahead(db, &looking, now)?;
                let waits = !not_handed_over(db, looking.kind, window, (again_before, now), "")?.is_empty();
                Ok((is_due || waits, next_at))
            })
            .await?;
        if !is_due {
            return Ok(HandedOver { ids: Vec::new(), next_at });
        }
        let sinks = self.sinks.clone();
        let ids = self
            .write_tasks(move |db| {
                put_in_line(db, terms.kind, now)?;
                take_back_lost(db, &sinks, &terms, now)?;
                let ids = not_handed_over(db, terms.kind, window, (again_before, now), db.skip_locked())?;
                for id in &ids {
                    db.execute(
                        "UPDATE tasks SET handed_over_at = ?2 WHERE id = ?1",
                        &values![id, now.as_microsecond()],
                    )?;
                }
                Ok(ids)
            })
            .await?;
        Ok(HandedOver { ids, next_at: None })
    }

    /// The transport has lost everything: all that is in line is to be handed over again.
    pub async fn forget_hand_overs(&self, kind: TaskKind) -> Result<()> {
        self.write_tasks(move |db| db.execute(FORGET_HAND_OVERS, &values![kind.as_str()]).map(drop)).await
    }

    /// Renews the leases on these tasks, given with their fences; those that are lost.
    pub async fn renew_leases(
        &self,
        held_tasks: Vec<(Uuid, i64)>,
        lease: SignedDuration,
        now: Timestamp,
    ) -> Result<Vec<(Uuid, i64)>> {
        let expires_at = now.as_microsecond().saturating_add(micros(lease));
        self.write_tasks(move |db| {
            let mut lost = Vec::new();
            for &(id, fence) in &held_tasks {
                if db.execute(
                    "UPDATE tasks SET lease_expires_at = ?3 WHERE id = ?1 AND fence = ?2 AND state = 'STARTED'",
                    &values![id, fence, expires_at],
                )? == 0
                {
                    lost.push((id, fence));
                }
            }
            Ok(lost)
        })
        .await
    }

    /// Ends the run of a claimed task, its effect in the same transaction; changes nothing if the task is no longer
    /// held under this fence.
    pub async fn finish_task(&self, id: Uuid, fence: i64, ending: Ending, now: Timestamp) -> Result<Finished> {
        let sinks = self.sinks.clone();
        let goes_on =
            !matches!(ending, Ending::Success(Effect::None | Effect::Processed(_) | Effect::Unsupported { .. }));
        let (finished, kind) = self
            .write_tasks(move |db| {
                // Before the task's row is held: a deletion holds the session first, too.
                hold_session_of(db, id)?;
                let Some(task) = held(db, id, fence)? else {
                    // Nobody but the holder of a fence ends a task under it.
                    let is_done = db.is_in_doubt() && has_ended_under(db, id, fence)?;
                    return Ok((if is_done { Finished::Done } else { Finished::Lost }, None));
                };
                take_ending(db, &sinks, &task, &ending, now)?;
                Ok((Finished::Done, Some(task.kind)))
            })
            .await?;
        match kind {
            // Something of its own kind waits now: who sleeps until the next is due must hear of it.
            Some(kind) if goes_on || kind == TaskKind::Sweep => self.tell_changes_of(kind),
            _ => {}
        }
        self.tell_events();
        Ok(finished)
    }

    /// Takes back at once what workers held whose name begins with `prefix`, because they are known to be dead; how
    /// many.
    pub async fn take_back_from(
        &self,
        kind: TaskKind,
        prefix: String,
        attempts_max: u32,
        now: Timestamp,
    ) -> Result<usize> {
        let sinks = self.sinks.clone();
        self.change_tasks(move |db| {
            let held: Vec<Task> = db.all(
                &format!("SELECT {COLUMNS} {LEASED} IS NOT NULL{}", db.for_update()),
                &values![kind.as_str()],
                task_from,
            )?;
            let mut taken = 0;
            for task in held {
                if task.worker.as_deref().is_some_and(|worker| worker.starts_with(&prefix)) {
                    take_back(db, &sinks, &task, attempts_max, now)?;
                    taken += 1;
                }
            }
            Ok(taken)
        })
        .await
    }
}

pub(crate) const FORGET_HAND_OVERS: &str =
    "UPDATE tasks SET handed_over_at = NULL WHERE kind = ? AND handed_over_at IS NOT NULL";
