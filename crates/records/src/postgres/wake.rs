//! Tells the other nodes of tasks that were recorded here, and hears of theirs: LISTEN and NOTIFY, on a connection of
//! its own.
//!
//! Only a hint: whoever waits for tasks also looks now and then. So that a commit waits for nobody, a notification is
//! sent after it, one for all that was recorded within [`TOGETHER`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio_postgres::{AsyncMessage, Config};
use tokio_postgres_rustls::MakeRustlsConnect;
use uuid::Uuid;

use super::session::told;
use crate::tasks::{Changes, TaskKind};
use crate::{Error, Result};

/// All changes of this long are one notification.
const TOGETHER: Duration = Duration::from_millis(20);
const RECONNECT: Duration = Duration::from_secs(1);
const CHANNEL: &str = "filmgate_tasks";

/// Runs until it is aborted.
pub(super) async fn run(config: Config, tls: MakeRustlsConnect, changes: Arc<Changes>) {
    let node = Uuid::now_v7().simple().to_string();
    let mut missed_some = false;
    loop {
        if let Err(error) = converse(&config, &tls, &changes, &node, missed_some).await {
            tracing::debug!(%error, "catalog: the connection for wake-ups was lost; tasks are found by looking");
        }
        missed_some = true;
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn converse(
    config: &Config,
    tls: &MakeRustlsConnect,
    changes: &Changes,
    node: &str,
    missed_some: bool,
) -> Result<()> {
    let (client, mut connection) = config.connect(tls.clone()).await.map_err(|error| told(&error))?;
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    let hear = async {
        while let Some(message) = messages.next().await {
            if let AsyncMessage::Notification(note) = message.map_err(|error| told(&error))?
                && let Some((sender, kind)) = note.payload().split_once(' ')
                && sender != node
                && let Some(kind) = TaskKind::parse(kind)
            {
                changes.heard(kind);
            }
        }
        Err(Error::Unavailable("the server closed the connection".to_owned()))
    };
    let speak = async {
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(|error| told(&error))?;
        // Whatever was said while nobody listened.
        for kind in TaskKind::ALL.into_iter().filter(|_| missed_some) {
            changes.heard(kind);
        }
        let mut told_here = TaskKind::ALL.map(|kind| changes.told_here(kind));
        loop {
            let (_, index, _) =
                futures_util::future::select_all(told_here.iter_mut().map(|changes| Box::pin(changes.changed()))).await;
            tokio::time::sleep(TOGETHER).await;
            told_here[index].mark_unchanged();
            let payload = format!("{node} {}", TaskKind::ALL[index].as_str());
            client.query_one("SELECT pg_notify($1, $2)", &[&CHANNEL, &payload]).await.map_err(|error| told(&error))?;
        }
    };
    tokio::select! {
        ended = hear => ended,
        ended = speak => ended,
    }
}
