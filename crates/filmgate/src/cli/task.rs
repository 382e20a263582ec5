//! `filmgate task`

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use records::{Task, TaskFilter, TaskKind, TaskState};
use uuid::Uuid;

use super::{Common, output};
use crate::app::App;
use crate::routes::tasks::{TaskView, retry_dead_letters};

const COLUMNS: &[&str] = &["id", "kind", "state", "attempts", "created_at", "capture_id", "sink", "error"];

#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// List tasks, newest first
    List {
        /// In this state only: pending, started, retry, success, failure or revoked
        #[arg(long, value_parser = state)]
        state: Option<TaskState>,
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a task; of a dead letter also why, and how to run it again
    Show {
        /// The task's id
        id: Uuid,
    },
    /// Run dead letters or revoked tasks again, with all their attempts
    Retry {
        /// The tasks' ids
        #[arg(required_unless_present = "all_failed", conflicts_with = "all_failed", value_name = "ID")]
        ids: Vec<Uuid>,
        /// Every dead letter that fits --kind, --session, --capture and --sink
        #[arg(long)]
        all_failed: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Call a task off: nobody runs it, and who runs it just now has lost it
    Revoke {
        /// The task's id
        id: Uuid,
    },
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Of this kind only: process, deliver or sweep
    #[arg(long, value_parser = kind)]
    kind: Option<TaskKind>,
    /// Of this session's captures only
    #[arg(long, value_name = "ID")]
    session: Option<Uuid>,
    /// Of this capture only
    #[arg(long, value_name = "ID")]
    capture: Option<Uuid>,
    /// To this sink only
    #[arg(long)]
    sink: Option<String>,
}

impl Which {
    fn filter(self, state: Option<TaskState>) -> TaskFilter {
        TaskFilter {
            kind: self.kind,
            state,
            capture_id: self.capture,
            session_id: self.session,
            user_id: None,
            sink: self.sink,
        }
    }
}

fn kind(word: &str) -> Result<TaskKind, String> {
    TaskKind::parse(&word.to_lowercase()).ok_or_else(|| "process, deliver or sweep".to_owned())
}

fn state(word: &str) -> Result<TaskState, String> {
    TaskState::parse(&word.to_uppercase())
        .ok_or_else(|| "pending, started, retry, success, failure or revoked".to_owned())
}

pub(super) async fn run(command: TaskCommand, common: &Common, app: &App) -> anyhow::Result<()> {
    match command {
        TaskCommand::List { state, which, limit } => list(app, common, which.filter(state), limit).await,
        TaskCommand::Show { id } => {
            let task = app.records.task(id).await?.with_context(|| format!("there is no task {id}"))?;
            if !common.json && task.state == TaskState::Failure {
                return output::say(letter(&task));
            }
            output::one(common.json, &TaskView::from(task))
        }
        TaskCommand::Retry { ids, all_failed, which } => retry(app, common, ids, all_failed, which).await,
        TaskCommand::Revoke { id } => {
            let task = app.records.revoke_task(id, app.now()).await.with_context(|| format!("task {id}"))?;
            output::one(common.json, &TaskView::from(task))
        }
    }
}

async fn list(app: &App, common: &Common, filter: TaskFilter, limit: usize) -> anyhow::Result<()> {
    let dead_letters = filter.state == Some(TaskState::Failure);
    let page = app.records.tasks(filter, None, limit).await?;
    if !common.json && dead_letters {
        if page.items.is_empty() {
            return output::say("no dead letters");
        }
        let letters: Vec<String> = page.items.iter().map(letter).collect();
        return output::say(letters.join("\n\n"));
    }
    let tasks: Vec<TaskView> = page.items.into_iter().map(Into::into).collect();
    output::many(common.json, &tasks, COLUMNS)
}

async fn retry(app: &App, common: &Common, ids: Vec<Uuid>, all: bool, which: Which) -> anyhow::Result<()> {
    anyhow::ensure!(
        all || (which.kind.is_none() && which.session.is_none() && which.capture.is_none() && which.sink.is_none()),
        "--kind, --session, --capture and --sink choose among dead letters: give them with --all-failed"
    );
    if all {
        let filter = which.filter(None);
        let mut done = retry_dead_letters(app, filter.clone()).await?;
        // What is refused stays a dead letter: without progress the next thousand would be the same.
        while done.more {
            let next = retry_dead_letters(app, filter.clone()).await?;
            done.retried += next.retried;
            done.refused = next.refused;
            done.more = next.more && next.retried > 0;
        }
        return output::one(common.json, &done);
    }
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        let task = app.records.retry_task(id, app.now()).await.with_context(|| format!("task {id}"))?;
        tasks.push(TaskView::from(task));
    }
    match tasks.as_slice() {
        [task] => output::one(common.json, task),
        tasks => output::many(common.json, tasks, COLUMNS),
    }
}

/// A dead letter for a person: what, when, how often, why, and the line that runs it again.
fn letter(task: &Task) -> String {
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let of = task.capture_id.map(|id| format!(" capture {id}")).unwrap_or_default();
    let to = task.sink.as_ref().map(|sink| format!(" to {sink}")).unwrap_or_default();
    [
        format!("task {}: {}{of}{to}", task.id, task.kind.as_str()),
        format!("  recorded  {}", task.created_at),
        format!("  given up  {} after {} attempts", time(task.finished_at), task.attempts),
        format!("  because   {}", task.error.as_deref().unwrap_or("nobody knows")),
        format!("  again     filmgate task retry {}", task.id),
    ]
    .join("\n")
}
