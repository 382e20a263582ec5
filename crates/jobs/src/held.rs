//! The claims this process holds: renewed together, and told when they are over before their run is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use records::{Claim, TaskKind};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::Shared;
use crate::retry::Trouble;
use crate::stop::Stop;

/// Why a run must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Another has the task, or it was called off.
    Lost,
    /// The process leaves.
    HandBack,
}

/// A task and the fence it is held under.
type Key = (Uuid, i64);

#[derive(Default)]
pub(crate) struct Held {
    entries: Mutex<HashMap<Key, Entry>>,
}

struct Entry {
    kind: TaskKind,
    /// Taken once it was told.
    cut: Option<oneshot::Sender<Cut>>,
    until: Instant,
}

/// A claim that is held until this is dropped.
pub(crate) struct Hold {
    held: Arc<Held>,
    key: Key,
    cut: oneshot::Receiver<Cut>,
}

/// Time left to a run's end once the process leaves: to write it down, not to work on.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Held {
    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hold(self: &Arc<Self>, claim: &Claim, until: Instant) -> Hold {
        let (sender, cut) = oneshot::channel();
        let key = (claim.task.id, claim.fence);
        self.entries().insert(key, Entry { kind: claim.task.kind, cut: Some(sender), until });
        Hold { held: self.clone(), key, cut }
    }

    fn to_renew(&self) -> Vec<Key> {
        self.entries().iter().filter(|(_, entry)| entry.cut.is_some()).map(|(key, _)| *key).collect()
    }

    fn renewed(&self, keys: &[Key], lost: &[Key], until: Instant) {
        let mut entries = self.entries();
        for key in keys {
            let Some(entry) = entries.get_mut(key) else { continue };
            if lost.contains(key) {
                entry.tell(Cut::Lost);
            } else {
                entry.until = until;
            }
        }
    }

    /// Tells all runs of a kind that the process leaves.
    pub(crate) fn hand_back(&self, kind: TaskKind) {
        for entry in self.entries().values_mut().filter(|entry| entry.kind == kind) {
            entry.until = entry.until.min(Instant::now() + LAST_WORDS);
            entry.tell(Cut::HandBack);
        }
    }
}

impl Entry {
    fn tell(&mut self, why: Cut) {
        if let Some(cut) = self.cut.take() {
            // A run that has ended meanwhile has nobody to listen, and needs no telling.
            cut.send(why).ok();
        }
    }
}

impl Hold {
    /// Waits until the run must end.
    pub(crate) async fn cut(&mut self) -> Cut {
        (&mut self.cut).await.unwrap_or(Cut::Lost)
    }

    /// Until when the claim holds, as far as is known.
    pub(crate) fn until(&self) -> Instant {
        self.held.entries().get(&self.key).map_or_else(Instant::now, |entry| entry.until)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.held.entries().remove(&self.key);
    }
}

/// Renews what is held three times in a lease, by one write for all; where nothing is held, nothing is written.
pub(crate) async fn keep_alive(shared: Arc<Shared>, mut stop: Stop) {
    let pause = shared.options.lease / 3;
    let mut trouble = Trouble::new("heartbeat".to_owned());
    let mut wait = pause;
    while !stop.sleep(wait).await {
        wait = pause;
        let (keys, until) = (shared.held.to_renew(), Instant::now() + shared.options.lease);
        if keys.is_empty() {
            shared.times.beat();
            continue;
        }
        match shared.records.renew_leases(keys.clone(), shared.lease(), shared.times.now()).await {
            Ok(lost) => {
                trouble.over();
                shared.times.beat();
                shared.held.renewed(&keys, &lost, until);
            }
            Err(error) => wait = trouble.met(&error).min(pause),
        }
    }
}
