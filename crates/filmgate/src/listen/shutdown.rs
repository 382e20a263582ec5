//! The stages of shutdown, and the signals that move them on.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far shutdown has come. It only ever moves on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Accepting and serving.
    #[default]
    Running,
    /// Accepting and serving as before, and no longer ready: whoever asks for that sends nobody here any more.
    Leaving,
    /// No new connections; work under way is finished.
    Draining,
    /// Everything ends now.
    Cut,
}

/// Listens for SIGTERM and SIGINT: the first starts draining, after `delay`; the second cuts.
///
/// From the call on neither ends the process by itself, so take the stages before binding.
pub fn signals(delay: Duration) -> io::Result<watch::Receiver<Stage>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(Stage::Running);
    tokio::spawn(async move {
        let mut signal = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let first = signal().await;
        let second = if delay.is_zero() {
            None
        } else {
            let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(signal = first, delay_ms, "no longer ready, and draining soon; a second signal cuts");
            sender.send_replace(Stage::Leaving);
            tokio::time::timeout(delay, signal()).await.ok()
        };
        let second = if let Some(second) = second {
            second
        } else {
            tracing::info!(signal = first, "draining; a second signal cuts");
            sender.send_replace(Stage::Draining);
            signal().await
        };
        tracing::warn!(signal = second, "second signal: cutting connections");
        sender.send_replace(Stage::Cut);
    });
    Ok(receiver)
}

/// Waits until a stage is reached. A sender that is gone moves nothing on any more; without the
/// endless wait its absence would spin the loop that asks.
pub(super) async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    let gone = stage.wait_for(|now| *now >= wanted).await.is_err();
    if gone {
        std::future::pending::<()>().await;
    }
}
