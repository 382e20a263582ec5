//! Turns at the decoders before an answer: frames of events first, and among equals who came first.
//!
//! **Promises** that as many hold a turn at once as there are, that a turn which nobody wants any more goes on to the next,
//! and that a frame of an event waits behind no frame of the timer that has not begun. Under a load that the decoders
//! cannot carry those of the timer wait, fill their share of the places and are thinned; those of events pass by them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

struct State {
    free: usize,
    events: VecDeque<oneshot::Sender<Turn>>,
    others: VecDeque<oneshot::Sender<Turn>>,
}

/// A turn. Dropped, it is the next one's.
pub(crate) struct Turn(Option<Turns>);

impl Turns {
    pub(crate) fn new(turns: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: turns, events: VecDeque::new(), others: VecDeque::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn. None only where the runtime ends.
    pub(crate) async fn take(&self, of_event: bool) -> Option<Turn> {
        let turn = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Some(Turn(Some(self.clone())));
            }
            let (give, turn) = oneshot::channel();
            let waiting = if of_event { &mut state.events } else { &mut state.others };
            waiting.push_back(give);
            turn
        };
        turn.await.ok()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        let mut state = turns.lock();
        loop {
            let next = state.events.pop_front();
            let Some(next) = next.or_else(|| state.others.pop_front()) else { break };
            // Whoever left while waiting hands the turn back, which must not be dropped as one that was held.
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                Err(mut refused) => refused.0 = None,
            }
        }
        state.free += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::Turns;

    #[tokio::test]
    async fn events_pass_the_timer_and_who_leaves_holds_up_nobody() {
        let turns = Turns::new(1);
        let first = turns.take(false).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (name, of_event) in
            [("timer 1", false), ("leaves", false), ("event 1", true), ("timer 2", false), ("event 2", true)]
        {
            let (turns, order) = (turns.clone(), order.clone());
            let task = tokio::spawn(async move {
                let turn = turns.take(of_event).await.unwrap();
                order.lock().unwrap().push(name);
                drop(turn);
            });
            // On one thread it runs to where it waits.
            tokio::task::yield_now().await;
            if name == "leaves" { task.abort() } else { waiting.push(task) }
        }
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["event 1", "event 2", "timer 1", "timer 2"]);
        drop(turns.take(false).await.unwrap());
        assert_eq!(turns.lock().free, 1);
    }
}
