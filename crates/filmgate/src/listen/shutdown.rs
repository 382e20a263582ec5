//! The stages of shutdown, and the signals that move them on.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How far shutdown has come. It only ever moves on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Accepting and serving.
    #[default]
    Running,
    /// No new connections; work under way is finished.
    Draining,
    /// Everything ends now.
    Cut,
}

/// Listens for SIGTERM and SIGINT: the first starts draining, the second cuts.
///
/// From the call on neither ends the process by itself, so take the stages before binding.
pub fn signals() -> io::Result<watch::Receiver<Stage>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(Stage::Running);
    tokio::spawn(async move {
        for stage in [Stage::Draining, Stage::Cut] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if stage == Stage::Cut {
                tracing::warn!(signal = name, "second signal: cutting connections");
            } else {
                tracing::info!(signal = name, "draining; a second signal cuts");
            }
            sender.send_replace(stage);
        }
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
