//! Tasks: what is to be done, how far it is, and what people do to it.
//!
//! **Owns** the rows of tasks, their order in line, listing, counting, trying again, calling off and forgetting.
//! **Promises** that tasks stand in line by priority and then by turn, so that no owner's many tasks hold up another's
//! few; that a task called off or tried again is lost to whoever ran it; that forgetting never holds up other writes
//! for long.
//! **Leaves** running them to `claims.rs`, and what their success means to `processing.rs`.

use jiff::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use tokio::sync::watch;
use uuid::Uuid;

use crate::users::timestamp;
use crate::{Cursor, Error, Page, Records, Result, claims, processing, uuid_at};

/// Rows forgotten by one write: uploads wait behind it.
const FORGOTTEN_AT_ONCE: usize = 500;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// A capture is to be processed.
    Process,
    /// An event is to be delivered.
    Deliver,
    /// What is past its time is to be removed.
    Sweep,
}

impl TaskKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Process, Self::Deliver, Self::Sweep];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Process => 0,
            Self::Deliver => 1,
            Self::Sweep => 2,
        }
    }

    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Deliver => "deliver",
            Self::Sweep => "sweep",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// How far a task is, by Celery's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Not begun.
    Pending,
    /// A worker runs it.
    Started,
    /// It failed and will be run again.
    Retry,
    /// Done.
    Success,
    /// Given up: a dead letter.
    Failure,
    /// Called off.
    Revoked,
}

impl TaskState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Pending, Self::Started, Self::Retry, Self::Success, Self::Failure, Self::Revoked];

    /// The word in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Started => "STARTED",
            Self::Retry => "RETRY",
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Revoked => "REVOKED",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing more happens to it by itself.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Revoked)
    }
}

/// A task as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its id, a `UUIDv7`; the same through all attempts.
    pub id: Uuid,
    /// What is to be done.
    pub kind: TaskKind,
    /// How far it is.
    pub state: TaskState,
    /// Its capture, which may be deleted by now.
    pub capture_id: Option<Uuid>,
    /// Its capture's session.
    pub session_id: Option<Uuid>,
    /// The session's user.
    pub user_id: Option<i64>,
    /// A delivery's sink.
    pub sink: Option<String>,
    /// A delivery's event, as JSON.
    pub payload: Option<String>,
    /// 0 first.
    pub priority: u32,
    /// Not before this.
    pub available_at: Timestamp,
    /// Runs begun.
    pub attempts: u32,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// Until when the worker holds it.
    pub lease_expires_at: Option<Timestamp>,
    /// What went wrong last, for a person.
    pub error: Option<String>,
    /// When it was recorded.
    pub created_at: Timestamp,
    /// When its last run began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    /// Of this kind.
    pub kind: Option<TaskKind>,
    /// In this state.
    pub state: Option<TaskState>,
    /// Of this capture.
    pub capture_id: Option<Uuid>,
    /// Of this session.
    pub session_id: Option<Uuid>,
    /// Of this user.
    pub user_id: Option<i64>,
    /// To this sink.
    pub sink: Option<String>,
}

/// A task to record.
pub(crate) struct NewTask<'a> {
    pub(crate) id: Uuid,
    pub(crate) kind: TaskKind,
    pub(crate) capture_id: Option<Uuid>,
    pub(crate) session_id: Option<Uuid>,
    pub(crate) user_id: Option<i64>,
    pub(crate) sink: Option<&'a str>,
    pub(crate) payload: Option<&'a str>,
    pub(crate) priority: u32,
    pub(crate) created_at: Timestamp,
    /// `None`: at once.
    pub(crate) available_at: Option<Timestamp>,
}

pub(crate) const COLUMNS: &str = "id, kind, state, capture_id, session_id, user_id, sink, payload, priority, available_at, attempts, \
     worker, lease_expires_at, error, created_at, started_at, finished_at";
/// The first column after those of a task.
pub(crate) const NEXT_COLUMN: usize = 17;

pub(crate) fn task_from(row: &Row<'_>) -> rusqlite::Result<Task> {
    let optional_time = |index: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(timestamp));
    Ok(Task {
        id: row.get(0)?,
        kind: TaskKind::parse(row.get_ref(1)?.as_str()?).unwrap_or(TaskKind::Process),
        state: TaskState::parse(row.get_ref(2)?.as_str()?).unwrap_or(TaskState::Pending),
        capture_id: row.get(3)?,
        session_id: row.get(4)?,
        user_id: row.get(5)?,
        sink: row.get(6)?,
        payload: row.get(7)?,
        priority: row.get(8)?,
        available_at: timestamp(row.get(9)?),
        attempts: row.get(10)?,
        worker: row.get(11)?,
        lease_expires_at: optional_time(12)?,
        error: row.get(13)?,
        created_at: timestamp(row.get(14)?),
        started_at: optional_time(15)?,
        finished_at: optional_time(16)?,
    })
}

/// Whose tasks take turns with others': a user's captures, a sink's deliveries.
pub(crate) struct Owner<'a> {
    pub(crate) kind: TaskKind,
    pub(crate) priority: u32,
    pub(crate) user_id: Option<i64>,
    pub(crate) sink: Option<&'a str>,
}

/// The turn behind the owner's last one in line: start-time fair queueing, so that of a thousand tasks of one owner
/// only one stands before another's first. Nobody gets a turn that is over: whoever was away does not come back with
/// a claim to all the turns missed.
pub(crate) fn next_turn(db: &Connection, owner: &Owner<'_>) -> Result<i64> {
    Ok(db
        .prepare_cached(NEXT_TURN)?
        .query_row(params![owner.kind.as_str(), owner.priority, owner.user_id, owner.sink], |row| row.get(0))?)
}

pub(crate) const NEXT_TURN: &str = "SELECT max(
        coalesce((SELECT min(turn) FROM tasks WHERE is_ready = 1 AND kind = ?1 AND priority = ?2), 0),
        coalesce((SELECT max(turn) + 1 FROM tasks
                  WHERE is_ready = 1 AND kind = ?1 AND priority = ?2 AND user_id IS ?3 AND sink IS ?4), 0))";

/// Records a task, in line behind its owner's last one.
pub(crate) fn insert(db: &Connection, task: &NewTask<'_>) -> Result<()> {
    let owner = Owner { kind: task.kind, priority: task.priority, user_id: task.user_id, sink: task.sink };
    let turn = next_turn(db, &owner)?;
    db.prepare_cached(
        "INSERT INTO tasks (id, kind, state, capture_id, session_id, user_id, sink, payload, priority, turn, is_ready,
                            available_at, created_at)
         VALUES (?, ?, 'PENDING', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        task.id,
        task.kind.as_str(),
        task.capture_id,
        task.session_id,
        task.user_id,
        task.sink,
        task.payload,
        task.priority,
        turn,
        task.available_at.is_none(),
        task.available_at.unwrap_or(task.created_at).as_microsecond(),
        task.created_at.as_microsecond(),
    ])?;
    Ok(())
}

pub(crate) fn by_id(db: &Connection, id: Uuid) -> Result<Task> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?"))?;
    Ok(statement.query_row([id], task_from)?)
}

/// Out of line for good.
pub(crate) fn end(db: &Connection, id: Uuid, state: TaskState, error: Option<&str>, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "UPDATE tasks SET state = ?2, error = ?3, finished_at = ?4, is_ready = 0, lease_expires_at = NULL,
                          handed_over_at = NULL WHERE id = ?1",
    )?
    .execute(params![id, state.as_str(), error, now.as_microsecond()])?;
    Ok(())
}

/// In line once more, behind its owner's others, with all its attempts.
fn begin_anew(db: &Connection, task: &Task, now: Timestamp) -> Result<()> {
    let owner = Owner { kind: task.kind, priority: task.priority, user_id: task.user_id, sink: task.sink.as_deref() };
    let turn = next_turn(db, &owner)?;
    db.prepare_cached(
        "UPDATE tasks SET state = 'PENDING', attempts = 0, is_ready = 1, turn = ?3, error = NULL, finished_at = NULL,
                          available_at = ?2 WHERE id = ?1",
    )?
    .execute(params![task.id, now.as_microsecond(), turn])?;
    Ok(())
}

/// Has a capture processed once more, unless that is on its way already or the capture was deleted.
pub(crate) fn process_again(db: &Connection, capture_id: Uuid, now: Timestamp) -> Result<()> {
    let owner: Option<(Uuid, i64)> = db
        .prepare_cached(
            "SELECT session_id, user_id FROM captures
             JOIN assessment_sessions ON assessment_sessions.id = session_id WHERE captures.id = ?",
        )?
        .query_row([capture_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((session_id, user_id)) = owner else { return Ok(()) };
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} {LAST_OF_CAPTURE}"))?;
    match statement.query_row([capture_id], task_from).optional()? {
        Some(task) if task.state.has_ended() => begin_anew(db, &task, now),
        Some(_) => Ok(()),
        // Forgotten long ago.
        None => {
            let task = NewTask {
                id: uuid_at(now),
                kind: TaskKind::Process,
                capture_id: Some(capture_id),
                session_id: Some(session_id),
                user_id: Some(user_id),
                sink: None,
                payload: None,
                priority: PRIORITY_OF_REPAIRS,
                created_at: now,
                available_at: None,
            };
            insert(db, &task)
        }
    }
}

const LAST_OF_CAPTURE: &str =
    "FROM tasks WHERE capture_id = ? AND kind = 'process' ORDER BY created_at DESC, id DESC LIMIT 1";
/// Nobody waits for it.
const PRIORITY_OF_REPAIRS: u32 = 1;

/// Calls off whatever is open of a capture that is being deleted.
pub(crate) fn revoke_of_capture(db: &Connection, capture_id: Uuid, now: Timestamp) -> Result<()> {
    db.prepare_cached(REVOKE_OF_CAPTURE)?.execute(params![capture_id, now.as_microsecond()])?;
    Ok(())
}

pub(crate) const REVOKE_OF_CAPTURE: &str =
    "UPDATE tasks SET state = 'REVOKED', fence = fence + 1, is_ready = 0, lease_expires_at = NULL, handed_over_at = NULL,
                      finished_at = ?2, error = 'its capture was deleted'
     WHERE capture_id = ?1 AND kind = 'process' AND state IN ('PENDING', 'STARTED', 'RETRY', 'FAILURE')";

/// What of tasks changed in this process, by kind.
pub(crate) struct Changes([watch::Sender<u64>; 3]);

impl Default for Changes {
    fn default() -> Self {
        Self(TaskKind::ALL.map(|_| watch::Sender::new(0)))
    }
}

impl Records {
    /// The task of this id.
    pub async fn task(&self, id: Uuid) -> Result<Option<Task>> {
        self.engine.read(move |db| crate::users::optional(by_id(db, id))).await
    }

    /// The tasks of these ids, those that are there.
    pub async fn tasks_by_id(&self, ids: Vec<Uuid>) -> Result<Vec<Task>> {
        self.engine
            .read(move |db| {
                let mut tasks = Vec::with_capacity(ids.len());
                for id in ids {
                    tasks.extend(crate::users::optional(by_id(db, id))?);
                }
                Ok(tasks)
            })
            .await
    }

    /// Tasks that fit the filter, newest first.
    pub async fn tasks(&self, filter: TaskFilter, after: Option<Cursor>, limit: usize) -> Result<Page<Task>> {
        let after = after.unwrap_or(Cursor::START);
        self.engine
            .read(move |db| {
                let (kind, state) = (filter.kind.map(TaskKind::as_str), filter.state.map(TaskState::as_str));
                // Only the conditions asked for, so that the engine finds the index of each.
                let conditions: [(&str, bool); 7] = [
                    ("kind = :kind", kind.is_some()),
                    // Named, or the index of dead letters would not be found.
                    ("state = 'FAILURE'", filter.state == Some(TaskState::Failure)),
                    ("state = :state", state.is_some() && filter.state != Some(TaskState::Failure)),
                    ("capture_id = :capture_id", filter.capture_id.is_some()),
                    ("session_id = :session_id", filter.session_id.is_some()),
                    ("user_id = :user_id", filter.user_id.is_some()),
                    ("sink = :sink", filter.sink.is_some()),
                ];
                let mut sql = format!("SELECT {COLUMNS} FROM tasks WHERE (created_at, id) < (:time, :id)");
                for (condition, asked) in conditions {
                    if asked {
                        sql.push_str(" AND ");
                        sql.push_str(condition);
                    }
                }
                sql.push_str(" ORDER BY created_at DESC, id DESC LIMIT :limit");
                let mut statement = db.prepare_cached(&sql)?;
                let limit_and_one = limit + 1;
                let all: &[(&str, &dyn ToSql)] = named_params! {
                    ":kind": kind, ":state": state, ":capture_id": filter.capture_id,
                    ":session_id": filter.session_id, ":user_id": filter.user_id, ":sink": filter.sink,
                    ":time": after.time_us, ":id": after.id, ":limit": limit_and_one,
                };
                let named: Vec<_> = all
                    .iter()
                    .filter(|(name, _)| matches!(statement.parameter_index(name), Ok(Some(_))))
                    .copied()
                    .collect();
                let rows = statement.query_map(&named[..], task_from)?.collect::<rusqlite::Result<Vec<_>>>()?;
                Ok(Page::from_rows(rows, limit, |task| Cursor {
                    time_us: task.created_at.as_microsecond(),
                    id: task.id,
                }))
            })
            .await
    }

    /// How many tasks of each kind are open or dead letters.
    pub async fn count_tasks(&self) -> Result<Vec<(TaskKind, TaskState, u64)>> {
        self.engine
            .read(|db| {
                let mut statement = db.prepare_cached(COUNT)?;
                let rows = statement
                    .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?)))?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let known = |(kind, state, count): (String, String, u64)| {
                    Some((TaskKind::parse(&kind)?, TaskState::parse(&state)?, count))
                };
                Ok(rows.into_iter().filter_map(known).collect())
            })
            .await
    }

    /// Runs a dead letter or a revoked task again, with all its attempts.
    pub async fn retry_task(&self, id: Uuid, now: Timestamp) -> Result<Task> {
        self.change_tasks(move |db| {
            let task = by_id(db, id)?;
            if !matches!(task.state, TaskState::Failure | TaskState::Revoked) {
                return Err(Error::Conflict(format!(
                    "the task is {}: only FAILURE and REVOKED can be retried",
                    task.state.as_str()
                )));
            }
            match (task.kind, task.capture_id) {
                (TaskKind::Process, Some(capture_id)) => processing::begin_anew(db, capture_id)?,
                (TaskKind::Sweep, _) => {
                    return Err(Error::Conflict("sweeps come by themselves; the next one is waiting".to_owned()));
                }
                _ => {}
            }
            begin_anew(db, &task, now)?;
            by_id(db, id)
        })
        .await
    }

    /// Calls a task off; who runs it just now has lost it. Calling it off again changes nothing.
    pub async fn revoke_task(&self, id: Uuid, now: Timestamp) -> Result<Task> {
        self.change_tasks(move |db| {
            let task = by_id(db, id)?;
            match (task.state, task.kind) {
                (TaskState::Revoked, _) => return Ok(task),
                (TaskState::Success, _) => {
                    return Err(Error::Conflict("the task has done its work: there is nothing to call off".to_owned()));
                }
                // A dead letter may go: the next sweep waits already.
                (state, TaskKind::Sweep) if state != TaskState::Failure => {
                    return Err(Error::Conflict("sweeps cannot be called off".to_owned()));
                }
                _ => {}
            }
            end(db, id, TaskState::Revoked, task.error.as_deref(), now)?;
            db.prepare_cached("UPDATE tasks SET fence = fence + 1 WHERE id = ?")?.execute([id])?;
            by_id(db, id)
        })
        .await
    }

    /// Sees to it that a sweep is waiting or running.
    pub async fn ensure_sweep(&self, now: Timestamp) -> Result<()> {
        self.change_tasks(move |db| claims::insert_sweep(db, now, now)).await
    }

    /// Forgets tasks that succeeded or were called off before `before`; how many.
    pub async fn forget_tasks(&self, before: Timestamp) -> Result<usize> {
        let mut forgotten = 0;
        loop {
            let some = self
                .write_tasks(move |db| {
                    Ok(db.prepare_cached(FORGET)?.execute(params![before.as_microsecond(), FORGOTTEN_AT_ONCE])?)
                })
                .await?;
            forgotten += some;
            if some < FORGOTTEN_AT_ONCE {
                return Ok(forgotten);
            }
        }
    }

    /// Changes whenever this process recorded a task of this kind, put one in line again or called one off. Another
    /// process's changes do not show here, nor do tasks that fall due: look now and then.
    pub fn task_changes(&self, kind: TaskKind) -> watch::Receiver<u64> {
        self.task_changes.0[kind.index()].subscribe()
    }

    /// A write of which nobody is told.
    pub(crate) async fn write_tasks<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.engine.write(change).await
    }

    pub(crate) async fn change_tasks<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = self.write_tasks(change).await;
        for kind in TaskKind::ALL {
            self.tell_changes_of(kind);
        }
        outcome
    }

    /// Captures were recorded, or something happened to one.
    pub(crate) fn tell_task_changes(&self) {
        self.tell_changes_of(TaskKind::Process);
        self.tell_events();
    }

    pub(crate) fn tell_events(&self) {
        if !self.sinks.is_empty() {
            self.tell_changes_of(TaskKind::Deliver);
        }
    }

    pub(crate) fn tell_changes_of(&self, kind: TaskKind) {
        self.task_changes.0[kind.index()].send_modify(|count| *count = count.wrapping_add(1));
    }
}

pub(crate) const COUNT: &str = "SELECT kind, state, count(*) FROM tasks
     WHERE state IN ('PENDING', 'STARTED', 'RETRY', 'FAILURE') GROUP BY kind, state";

pub(crate) const FORGET: &str = "DELETE FROM tasks WHERE id IN (
        SELECT id FROM tasks WHERE state IN ('SUCCESS', 'REVOKED') AND finished_at < ? LIMIT ?)";
