//! Tasks: what is to be done, how far it is, and what people do to it.
//!
//! **Owns** the rows of tasks, their order in line, listing, counting, trying again, calling off and forgetting.
//! **Promises** that tasks stand in line by priority and then by turn, so that no owner's many tasks hold up another's
//! few; that a task called off or tried again is lost to whoever ran it; that forgetting never holds up other writes
//! for long.
//! **Leaves** running them to `claims.rs`, and what their success means to `processing.rs`.

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::db::{Conditions, Db, Row, ToValue, Value, values};
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

pub(crate) fn task_from(row: &Row<'_>) -> Result<Task> {
    let optional_time = |index: usize| Ok::<_, Error>(row.get::<Option<i64>>(index)?.map(timestamp));
    Ok(Task {
        id: row.get(0)?,
        kind: TaskKind::parse(row.get::<&str>(1)?).unwrap_or(TaskKind::Process),
        state: TaskState::parse(row.get::<&str>(2)?).unwrap_or(TaskState::Pending),
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
pub(crate) fn next_turn(db: &Db<'_>, owner: &Owner<'_>) -> Result<i64> {
    let mut values = vec![Value::Text(owner.kind.as_str()), owner.priority.to_value()];
    values.extend(owner.user_id.iter().map(ToValue::to_value));
    values.extend(owner.sink.iter().map(ToValue::to_value));
    db.scalar(&next_turn_sql(owner), &values)
}

/// As [`next_turn`] asks. Whose tasks they are is written out, so that the engine goes by the index of owners;
/// and all of that index's order is, or PostgreSQL would read every task that they have in line.
pub(crate) fn next_turn_sql(owner: &Owner<'_>) -> String {
    let user_id = if owner.user_id.is_some() { "= ?3" } else { "IS NULL" };
    let sink = if owner.sink.is_some() { if owner.user_id.is_some() { "= ?4" } else { "= ?3" } } else { "IS NULL" };
    format!(
        "SELECT coalesce(max(turn), 0) FROM (
             SELECT min(turn) AS turn FROM tasks WHERE is_ready = 1 AND kind = ?1 AND priority = ?2
             UNION ALL
             SELECT (SELECT turn + 1 FROM tasks
                     WHERE is_ready = 1 AND kind = ?1 AND priority = ?2 AND user_id {user_id} AND sink {sink}
                     ORDER BY user_id DESC, sink DESC, turn DESC LIMIT 1)) AS turns"
    )
}

/// Records a task, in line behind its owner's last one.
pub(crate) fn insert(db: &Db<'_>, task: &NewTask<'_>) -> Result<()> {
    let owner = Owner { kind: task.kind, priority: task.priority, user_id: task.user_id, sink: task.sink };
    let turn = next_turn(db, &owner)?;
    db.execute(
        "INSERT INTO tasks (id, kind, state, capture_id, session_id, user_id, sink, payload, priority, turn, is_ready,
                            available_at, created_at)
         VALUES (?, ?, 'PENDING', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &values![
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
        ],
    )?;
    Ok(())
}

pub(crate) fn by_id(db: &Db<'_>, id: Uuid) -> Result<Task> {
    hold(db, id, "")
}

/// This task; with a lock, as it stays until this request is committed.
fn hold(db: &Db<'_>, id: Uuid, lock: &str) -> Result<Task> {
    db.one(&format!("SELECT {COLUMNS} FROM tasks WHERE id = ?{lock}"), &values![id], task_from)
}

/// Out of line for good.
pub(crate) fn end(db: &Db<'_>, id: Uuid, state: TaskState, error: Option<&str>, now: Timestamp) -> Result<()> {
    db.execute(
        "UPDATE tasks SET state = ?2, error = ?3, finished_at = ?4, is_ready = 0, lease_expires_at = NULL,
                          handed_over_at = NULL WHERE id = ?1",
        &values![id, state.as_str(), error, now.as_microsecond()],
    )?;
    Ok(())
}

/// In line once more, behind its owner's others, with all its attempts.
fn begin_anew(db: &Db<'_>, task: &Task, now: Timestamp) -> Result<()> {
    let owner = Owner { kind: task.kind, priority: task.priority, user_id: task.user_id, sink: task.sink.as_deref() };
    let turn = next_turn(db, &owner)?;
    db.execute(
        "UPDATE tasks SET state = 'PENDING', attempts = 0, is_ready = 1, turn = ?3, error = NULL, finished_at = NULL,
                          available_at = ?2 WHERE id = ?1",
        &values![task.id, now.as_microsecond(), turn],
    )?;
    Ok(())
}

/// Has a capture processed once more, unless that is on its way already or the capture was deleted.
pub(crate) fn process_again(db: &Db<'_>, capture_id: Uuid, now: Timestamp) -> Result<()> {
    let owner: Option<(Uuid, i64)> = db.optional(
        "SELECT session_id, user_id FROM captures
             JOIN assessment_sessions ON assessment_sessions.id = session_id WHERE captures.id = ?",
        &values![capture_id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let Some((session_id, user_id)) = owner else { return Ok(()) };
    match db.optional(&format!("SELECT {COLUMNS} {LAST_OF_CAPTURE}"), &values![capture_id], task_from)? {
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
pub(crate) fn revoke_of_capture(db: &Db<'_>, capture_id: Uuid, now: Timestamp) -> Result<()> {
    db.execute(REVOKE_OF_CAPTURE, &values![capture_id, now.as_microsecond()])?;
    Ok(())
}

pub(crate) const REVOKE_OF_CAPTURE: &str =
    "UPDATE tasks SET state = 'REVOKED', fence = fence + 1, is_ready = 0, lease_expires_at = NULL, handed_over_at = NULL,
                      finished_at = ?2, error = 'its capture was deleted'
     WHERE capture_id = ?1 AND kind = 'process' AND state IN ('PENDING', 'STARTED', 'RETRY', 'FAILURE')";

/// What of tasks changed, by kind: here, and as far as other nodes tell, there.
pub(crate) struct Changes {
    all: [watch::Sender<u64>; 3],
    here: [watch::Sender<()>; 3],
}

impl Default for Changes {
    fn default() -> Self {
        Self { all: TaskKind::ALL.map(|_| watch::Sender::new(0)), here: TaskKind::ALL.map(|_| watch::Sender::new(())) }
    }
}

impl Changes {
    /// Something of this kind changed, somewhere.
    pub(crate) fn heard(&self, kind: TaskKind) {
        self.all[kind.index()].send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What changes here, for telling others.
    pub(crate) fn told_here(&self, kind: TaskKind) -> watch::Receiver<()> {
        self.here[kind.index()].subscribe()
    }

    fn tell(&self, kind: TaskKind) {
        self.heard(kind);
        self.here[kind.index()].send_replace(());
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
                for id in &ids {
                    tasks.extend(crate::users::optional(by_id(db, *id))?);
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
                let kind = filter.kind.map(TaskKind::as_str);
                let is_dead = filter.state == Some(TaskState::Failure);
                let state = filter.state.filter(|_| !is_dead).map(TaskState::as_str);
                let first = format!("SELECT {COLUMNS} FROM tasks WHERE (created_at, id) < (?1, ?2)");
                let mut asked = Conditions::new(&first, &values![after.time_us, after.id]);
                asked.and("kind = ?", kind.as_ref());
                // Named, or the index of dead letters would not be found.
                asked.and_is("state = 'FAILURE'", is_dead.then_some(true));
                asked.and("state = ?", state.as_ref());
                asked.and("capture_id = ?", filter.capture_id.as_ref());
                asked.and("session_id = ?", filter.session_id.as_ref());
                asked.and("user_id = ?", filter.user_id.as_ref());
                asked.and("sink = ?", filter.sink.as_ref());
                let (sql, values) = asked.end("ORDER BY created_at DESC, id DESC", limit + 1);
                let rows = db.all(&sql, &values, task_from)?;
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
                let rows = db.all(COUNT, &[], |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get(2)?)))?;
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
            let task = hold(db, id, db.for_update())?;
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
            let task = hold(db, id, db.for_update())?;
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
            db.execute("UPDATE tasks SET fence = fence + 1 WHERE id = ?", &values![id])?;
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
                .write_tasks(move |db| db.execute(FORGET, &values![before.as_microsecond(), FORGOTTEN_AT_ONCE]))
                .await?;
            forgotten += some;
            if some < FORGOTTEN_AT_ONCE {
                return Ok(forgotten);
            }
        }
    }

    /// Changes whenever this process recorded a task of this kind, put one in line again or called one off; on a shared
    /// catalog mostly also when another did. Tasks that fall due do not show here: look now and then.
    pub fn task_changes(&self, kind: TaskKind) -> watch::Receiver<u64> {
        self.task_changes.all[kind.index()].subscribe()
    }

    /// A write of which nobody is told, and that may be run again.
    pub(crate) async fn write_tasks<T: Send + 'static>(
        &self,
        change: impl Fn(&Db<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.engine.write_captures(change).await
    }

    pub(crate) async fn change_tasks<T: Send + 'static>(
        &self,
        change: impl Fn(&Db<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = self.engine.write(change).await;
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
        self.task_changes.tell(kind);
    }
}

pub(crate) const COUNT: &str = "SELECT kind, state, count(*) FROM tasks
     WHERE state IN ('PENDING', 'STARTED', 'RETRY', 'FAILURE') GROUP BY kind, state";

pub(crate) const FORGET: &str = "DELETE FROM tasks WHERE id IN (
        SELECT id FROM tasks WHERE state IN ('SUCCESS', 'REVOKED') AND finished_at < ? LIMIT ?)";
