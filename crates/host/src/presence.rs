//! Whether the app's database is there. While it is away nobody waits for it: one looks now and then, in the background.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Error;

/// How often somebody looks whether it is back.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Presence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    away: Option<Away>,
}

#[derive(Debug)]
struct Away {
    since: Instant,
    why: Error,
    looked_at: Instant,
    is_looking: bool,
}

impl Presence {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why nobody need ask just now; `None`: it is there, as far as is known.
    pub(crate) fn away(&self) -> Option<Error> {
        self.state().away.as_ref().map(|away| away.why.clone())
    }

    /// Whether the caller is to look whether it is back. It then says [`Presence::is_back`] or [`Presence::is_away`].
    pub(crate) fn take_look(&self, now: Instant) -> bool {
        match &mut self.state().away {
            Some(away) if !away.is_looking && now.saturating_duration_since(away.looked_at) >= LOOK_EVERY => {
                away.is_looking = true;
                true
            }
            _ => false,
        }
    }

    /// It did not answer. Logged once.
    pub(crate) fn is_away(&self, why: &Error, now: Instant, looked: bool) {
        let mut state = self.state();
        if let Some(away) = &mut state.away {
            away.why = why.clone();
            if looked {
                away.is_looking = false;
                away.looked_at = now;
            }
            return;
        }
        state.away = Some(Away { since: now, why: why.clone(), looked_at: now, is_looking: false });
        drop(state);
        tracing::warn!(%why, "the app's database is away: what was verified before goes on, everything else is refused");
    }

    /// It answered. Logged once.
    pub(crate) fn is_back(&self, now: Instant) {
        let Some(away) = self.state().away.take() else { return };
        let away_for_ms = u64::try_from(now.saturating_duration_since(away.since).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(away_for_ms, "the app's database is back");
    }
}
