//! The relay: hands ids of tasks from the catalog to Redis, the first in line first and only a few ahead.
//!
//! A stream is first in, first out. Whatever lies in it has its place for good, so only a small window does: a user's
//! single photo stands behind the window, and not behind another's thousand.

use std::sync::Arc;

use tokio::sync::Notify;
use uuid::Uuid;

use super::link::{FIELD, Link, Stream};
use crate::Shared;
use crate::embedded::until;
use crate::retry::Trouble;
use crate::stop::Stop;

/// Hands over until told to stop. Every process does: each row says when it was handed over.
pub(super) async fn relay(shared: Arc<Shared>, mut link: Link, stream: Stream, taken: Arc<Notify>, mut stop: Stop) {
    let mut changes = shared.records.task_changes(stream.kind);
    let mut trouble = Trouble::new(format!("redis ({}, handing over)", stream.kind.as_str()));
    while !stop.is_said() {
        changes.mark_unchanged();
        let step = tokio::select! {
            biased;
            () = stop.said() => break,
            step = step(&shared, &mut link, &stream) => step,
        };
        let wait = match step {
            // At once again: there may be more, or the window is full and the next look says so.
            Ok(Step::HandedOver) => {
                trouble.over();
                continue;
            }
            Ok(Step::Nothing { next_at, now }) => {
                trouble.over();
                until(next_at, now).min(shared.options.poll)
            }
            Err(error) => {
                stop.sleep(trouble.met(&error)).await;
                continue;
            }
        };
        tokio::select! {
            biased;
            () = stop.said() => {}
            // An error: the catalog is closed, and asking it says so.
            _ = changes.changed() => {}
            () = taken.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

enum Step {
    HandedOver,
    Nothing { next_at: Option<jiff::Timestamp>, now: jiff::Timestamp },
}

async fn step(shared: &Shared, link: &mut Link, stream: &Stream) -> Result<Step, String> {
    if link.connect().await? {
        shared.begin(link, stream).await?;
    }
    let (terms, now) = shared.terms(stream.kind);
    // What was handed over a lease ago and claimed by nobody is lost, or its readers are: once more does no harm.
    let again_before = now.checked_sub(shared.lease()).unwrap_or(now);
    let handed = shared.records.hand_over_tasks(terms, stream.window, again_before, now).await;
    let handed = handed.map_err(|error| error.to_string())?;
    if handed.ids.is_empty() {
        return Ok(Step::Nothing { next_at: handed.next_at, now });
    }
    if let Err(error) = send(link, stream, &handed.ids).await {
        // The rows say they were handed over: beginning anew takes that back.
        link.drop_connection();
        return Err(link.server.told(&error));
    }
    Ok(Step::HandedOver)
}

async fn send(link: &mut Link, stream: &Stream, ids: &[Uuid]) -> redis::RedisResult<()> {
    let mut all = redis::pipe();
    for id in ids {
        all.cmd("XADD").arg(&stream.key).arg("MAXLEN").arg(stream.length_max).arg("*");
        all.arg(FIELD).arg(id.simple().to_string()).ignore();
    }
    all.query_async(link.connection()?).await
}
