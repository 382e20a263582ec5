//! When to stop.

use std::time::Duration;

use tokio::sync::watch;

/// Says when to stop; also once nobody is left who could say so.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new(stop: watch::Receiver<bool>) -> Self {
        Self(stop)
    }

    pub(crate) fn is_said(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    pub(crate) async fn said(&mut self) {
        // An error: nobody is left.
        self.0.wait_for(|stop| *stop).await.ok();
    }

    /// Waits; whether it was told to stop meanwhile.
    pub(crate) async fn sleep(&mut self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.said()).await.is_ok()
    }
}
