//! Talking to systemd: sockets it opened for us, and the state it wants to hear.
//!
//! Started by hand, every function here does nothing.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;

/// The listening sockets passed by socket activation, in the unit's order; empty when there are
/// none. They outlive a restart, so that no client is refused during it.
///
/// Takes them out of the environment, which only a process with a single thread may change: call
/// it once, before the runtime starts, and make them tokio's with `TcpListener::from_std` inside.
pub fn sockets() -> io::Result<Vec<TcpListener>> {
    let mut passed = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..passed.len() {
        if let Some(socket) = passed.take_tcp_listener(index)? {
            socket.set_nonblocking(true)?;
            sockets.push(socket);
        }
    }
    Ok(sockets)
}

/// The server answers from now on.
pub fn ready() {
    notify(NotifyState::Ready);
}

/// Shutdown has begun.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

/// Keeps the watchdog quiet while this runtime still runs tasks. `None` when the unit sets no
/// `WatchdogSec=`. The task beats from the runtime itself and not from a thread of its own: a
/// wedged runtime must look dead.
pub fn watchdog() -> Option<JoinHandle<()>> {
    let every = beat_every(sd_notify::watchdog_enabled()?);
    Some(tokio::spawn(async move {
        let mut beats = tokio::time::interval(every);
        loop {
            beats.tick().await;
            notify(NotifyState::Watchdog);
        }
    }))
}

/// A third of what systemd waits for, so that one late beat does no harm.
fn beat_every(limit: Duration) -> Duration {
    (limit / 3).max(Duration::from_millis(10))
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told our state");
    }
}
