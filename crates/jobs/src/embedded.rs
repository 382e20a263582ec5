//! The embedded engine: the catalog is the queue.
//!
//! It looks when this process changed something, when something falls due, and every `poll` for what other processes
//! recorded; in between it sleeps.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use records::{Claim, TaskKind};
use tokio::sync::watch;

use crate::Shared;
use crate::lane::Engine;
use crate::retry::Trouble;
use crate::stop::Stop;

pub(crate) struct Embedded {
    shared: Arc<Shared>,
    kind: TaskKind,
    changes: watch::Receiver<u64>,
    trouble: Trouble,
}

impl Embedded {
    pub(crate) fn new(shared: Arc<Shared>, kind: TaskKind) -> Self {
        let changes = shared.records.task_changes(kind);
        Self { shared, kind, changes, trouble: Trouble::new(format!("catalog ({})", kind.as_str())) }
    }
}

impl Engine for Embedded {
    async fn claim(&mut self, places: usize, stop: &mut Stop) -> Vec<Claim> {
        while !stop.is_said() {
            // Before looking: what changes while we look is then looked at again.
            self.changes.mark_unchanged();
            let (terms, now) = self.shared.terms(self.kind);
            match self.shared.records.claim_tasks(terms, places, now).await {
                Ok(claimed) => {
                    self.trouble.over();
                    if !claimed.claims.is_empty() {
                        return claimed.claims;
                    }
                    let wait = until(claimed.next_at, now).min(self.shared.options.poll);
                    tokio::select! {
                        biased;
                        () = stop.said() => {}
                        // An error: the catalog is closed, and asking it says so.
                        _ = self.changes.changed() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                Err(error) => {
                    stop.sleep(self.trouble.met(&error)).await;
                }
            }
        }
        Vec::new()
    }

    async fn close(self) {}
}

/// From now to when something is due; never so short that a mistaken time makes a busy loop.
pub(crate) fn until(next_at: Option<Timestamp>, now: Timestamp) -> Duration {
    let wait = next_at.map_or(Duration::MAX, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    wait.max(Duration::from_millis(5))
}
