//! `GET /api/v1/tasks/events`: server-sent events of tasks, so that nobody has to ask again and again.
//!
//! **Promises** that a stream says the present state first and then each change that it sees (of two changes in the
//! same moment, the later); that it ends with the server's draining, with its tasks, or after [`LIFE_MAX`], whichever
//! is first; and that streams are bounded, in all and for each user.
//! **Leaves** the truth to the rows: every look reads them, and a change only wakes it.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use records::{Task, TaskFilter, TaskKind, TaskState};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::ProblemResponse;
use super::tasks::{StateName, may_see};
use crate::app::App;
use crate::auth::SignedIn;
use crate::error::{Error, Result};
use crate::extract::Query;

/// Streams at once: each looks at the catalog each second.
const STREAMS_MAX: usize = 256;
/// Of one user. A browser that left is noticed only when writing to it fails, so a page that is loaded anew some times
/// in a row needs several places.
const STREAMS_PER_USER_MAX: usize = 8;
/// Tasks that one stream may name, and the newest of a session that it follows.
const TASKS_MAX: usize = 1_000;
/// Neither the end of a run wakes us nor another process.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A thousand uploads a second change a thousand tasks; people see no more than this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How soon a draining server is noticed.
const DRAINING_NOTICED_AFTER: Duration = Duration::from_millis(100);
/// Proxies cut what is silent for longer; a minute is usual.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Then `EventSource` connects anew, and shows again who it is: a sign-in that was ended must not listen for ever.
const LIFE_MAX: Duration = Duration::from_secs(600);
/// How long `EventSource` waits before it connects anew.
const RECONNECT_AFTER: Duration = Duration::from_secs(2);

/// The streams under way. Cheap to clone.
#[derive(Clone, Default)]
pub struct Streams {
    of_user: Arc<Mutex<HashMap<i64, usize>>>,
}

/// A place among the streams, given back when dropped.
struct Place {
    streams: Streams,
    user_id: i64,
}

impl Streams {
    fn enter(&self, user_id: i64) -> Result<Place> {
        let mut of_user = self.of_user.lock().unwrap_or_else(PoisonError::into_inner);
        if of_user.get(&user_id).is_some_and(|count| *count >= STREAMS_PER_USER_MAX) {
            return Err(Error::too_many_streams().retry_in(5));
        }
        if of_user.values().sum::<usize>() >= STREAMS_MAX {
            return Err(Error::streams_full().retry_in(10));
        }
        *of_user.entry(user_id).or_default() += 1;
        Ok(Place { streams: self.clone(), user_id })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut of_user = self.streams.of_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = of_user.entry(self.user_id) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The data of an event `task`.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskEvent {
    /// The task.
    task_id: String,
    /// How far it is.
    state: StateName,
    /// Runs begun.
    attempts: u32,
    /// What went wrong last, for a person.
    error: Option<String>,
    /// Its capture, which may be deleted by now.
    capture_id: Option<String>,
    /// Of the tasks that this stream follows: how many have ended.
    done: usize,
    /// How many this stream follows.
    total: usize,
}

/// The data of the event `done`.
#[derive(Debug, Serialize, ToSchema)]
struct AllDone {
    done: usize,
    total: usize,
}

/// Follow tasks as they happen
///
/// Server-sent events. First an event `task` with the present state of each task, then one with each change; its `data`
/// is JSON. Name the tasks (`task_id`, again and again or with commas between; as many as a request's header holds, a
/// thousand at most), or a session (`session_id`: its open tasks, and those recorded from now on). Participants follow
/// what processes their own captures; ids that are not theirs are left out, and where none is left it is a 404.
///
/// Once all named tasks have ended comes an event `done` with the data `{"done","total"}`, and the stream ends: close
/// the `EventSource` then, or it asks again. It also ends when the server is shut down and after ten minutes; whoever
/// connects anew is told the present state again, so `Last-Event-ID` is not needed. Every 15 seconds of silence there
/// is a comment. 8 streams of one user (429) and 256 in all (503) are served at once.
#[utoipa::path(get, path = "/api/v1/tasks/events", operation_id = "follow_tasks", tag = "Tasks",
    params(("task_id" = Option<Vec<Uuid>>, Query, nullable = false, description = "Tasks to follow"),
           ("session_id" = Option<Uuid>, Query, nullable = false, description = "A session whose tasks to follow")),
    responses((status = 200, description = "Events `task` with this data, at last `done`", content_type = "text/event-stream", body = TaskEvent),
              (status = "default", response = ProblemResponse)))]
pub async fn follow(
    State(app): State<App>,
    Extension(streams): Extension<Streams>,
    caller: SignedIn,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response> {
    let followed = followed(&app, &caller, &query).await?;
    let place = streams.enter(caller.user.id)?;
    let follower = Follower {
        // An administrator may follow a delivery too; that is seen when looking now and then.
        changes: app.records.task_changes(TaskKind::Process),
        ends_at: Instant::now() + LIFE_MAX,
        app,
        followed,
        seen: HashMap::new(),
        looked: false,
        ended: false,
        _place: place,
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(follower.events()).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back until a buffer is full.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What a stream follows.
enum Followed {
    /// These tasks, to their end.
    Tasks(Vec<Uuid>),
    /// The newest tasks of a session, as long as somebody listens.
    Session(TaskFilter),
}

async fn followed(app: &App, caller: &SignedIn, query: &[(String, String)]) -> Result<Followed> {
    let malformed = |words: &str| Error::new(StatusCode::BAD_REQUEST, "malformed_query", words);
    let named = |wanted: &str| -> Vec<&str> {
        let values = query.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|id| !id.is_empty()).collect()
    };
    match (named("task_id").as_slice(), named("session_id").as_slice()) {
        (tasks, []) if tasks.len() > TASKS_MAX => Err(malformed("Follow at most 1000 tasks at once")),
        ([_, ..], [_, ..]) => Err(malformed("Name either tasks or a session")),
        ([], []) => Err(malformed("Name the tasks to follow by task_id, or a session by session_id")),
        ([], [session]) => {
            let session = match app.intake.session(caller.uploader(), session).await {
                Err(intake::Refusal::SessionNotFound) => return Err(Error::not_found()),
                found => found?.session,
            };
            Ok(Followed::Session(TaskFilter {
                kind: Some(TaskKind::Process),
                session_id: Some(session.id),
                // Nothing more is asked by this, but there is an index for it.
                user_id: Some(session.user_id),
                ..TaskFilter::default()
            }))
        }
        ([], [_, _, ..]) => Err(malformed("Follow one session at once")),
        (tasks, []) => {
            // What is no id is asked for like one that is not there.
            let mut ids: Vec<Uuid> = tasks.iter().map(|id| Uuid::try_parse(id).unwrap_or_default()).collect();
            ids.sort_unstable();
            ids.dedup();
            let tasks = app.records.tasks_by_id(ids).await?;
            let ids: Vec<Uuid> = tasks.iter().filter(|task| may_see(caller, task)).map(|task| task.id).collect();
            if ids.is_empty() { Err(Error::not_found()) } else { Ok(Followed::Tasks(ids)) }
        }
    }
}

/// What was last said of a task.
type Said = (TaskState, u32, Option<String>);

/// One stream, between two looks.
struct Follower {
    app: App,
    followed: Followed,
    changes: watch::Receiver<u64>,
    /// What was said of each task that is followed; `None`: it had ended before this stream began.
    seen: HashMap<Uuid, Option<Said>>,
    looked: bool,
    ended: bool,
    ends_at: Instant,
    _place: Place,
}

impl Follower {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, Self::next).flat_map(|events| stream::iter(events.into_iter().map(Ok)))
    }

    /// The events of the next look that has any; the end of the stream where there is nothing more to say.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        loop {
            if self.ended || (self.looked && !self.wait().await) {
                return None;
            }
            // Before the look: a change during it asks for another.
            self.changes.mark_unchanged();
            let first = !std::mem::replace(&mut self.looked, true);
            let mut events = match self.look(first).await {
                Ok(events) => events,
                Err(error) => {
                    tracing::debug!(%error, "a stream of events ends: the catalog does not answer");
                    return None;
                }
            };
            if first {
                // At once, also where there is nothing to tell yet: the client learns that it is connected.
                events.insert(0, Event::default().retry(RECONNECT_AFTER).comment("following"));
            }
            if !events.is_empty() {
                return Some((events, self));
            }
        }
    }

    /// Waits for a reason to look again; `false`: the stream ends.
    async fn wait(&mut self) -> bool {
        tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        let look_at = Instant::now() + LOOK_EVERY;
        loop {
            if self.app.is_draining() || Instant::now() >= self.ends_at {
                return false;
            }
            let pause = DRAINING_NOTICED_AFTER.min(look_at.saturating_duration_since(Instant::now()));
            if pause.is_zero() {
                return true;
            }
            match tokio::time::timeout(pause, self.changes.changed()).await {
                Ok(Ok(())) => return true,
                // The catalog is closed.
                Ok(Err(_)) => return false,
                Err(_) => {}
            }
        }
    }

    async fn look(&mut self, first: bool) -> records::Result<Vec<Event>> {
        let tasks = match &self.followed {
            Followed::Tasks(ids) => self.app.records.tasks_by_id(ids.clone()).await?,
            Followed::Session(filter) => {
                let mut tasks = self.app.records.tasks(filter.clone(), None, TASKS_MAX).await?.items;
                tasks.reverse();
                let ids: HashSet<Uuid> = tasks.iter().map(|task| task.id).collect();
                self.seen.retain(|id, _| ids.contains(id));
                if first {
                    let over = tasks.iter().filter(|task| task.state.has_ended());
                    self.seen.extend(over.map(|task| (task.id, None)));
                }
                tasks
            }
        };
        let names_tasks = matches!(self.followed, Followed::Tasks(_));
        let is_followed = |task: &&Task| names_tasks || self.seen.get(&task.id).is_none_or(Option::is_some);
        let total = tasks.iter().filter(is_followed).count();
        let done = tasks.iter().filter(is_followed).filter(|task| task.state.has_ended()).count();
        let mut events = Vec::new();
        for task in tasks {
            let said = (task.state, task.attempts, task.error.clone());
            match self.seen.get(&task.id) {
                Some(None) if task.state.has_ended() => continue,
                Some(Some(before)) if *before == said => continue,
                _ => {}
            }
            self.seen.insert(task.id, Some(said));
            events.push(event_of(task, done, total));
        }
        if names_tasks && done == total {
            self.ended = true;
            events.extend(json_event("done", &AllDone { done, total }));
        }
        Ok(events)
    }
}

fn event_of(task: Task, done: usize, total: usize) -> Event {
    let id = format!("{}/{}/{}", task.id, task.attempts, task.state.as_str());
    let data = TaskEvent {
        task_id: task.id.to_string(),
        state: task.state.into(),
        attempts: task.attempts,
        error: task.error,
        capture_id: task.capture_id.map(|id| id.to_string()),
        done,
        total,
    };
    json_event("task", &data).unwrap_or_default().id(id)
}

fn json_event(name: &str, data: &impl Serialize) -> Option<Event> {
    // Numbers and text always fit JSON.
    serde_json::to_string(data).ok().map(|data| Event::default().event(name).data(data))
}
