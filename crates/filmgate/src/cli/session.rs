//! `filmgate session`

use anyhow::Context;
use clap::Subcommand;
use records::{Registered, SettingsChoice};
use uuid::Uuid;

use super::{Common, output, user};
use crate::app::App;
use crate::routes::sessions::SessionView;

const COLUMNS: &[&str] = &["id", "user_id", "camera_settings_id", "total_captures", "created_at", "ended_at"];

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Register an assessment session
    Create {
        /// Name of the user whose it is
        #[arg(long, value_name = "USERNAME")]
        user: String,
        /// Its id, if the app has made one
        #[arg(long)]
        id: Option<Uuid>,
        /// Its camera settings [default: the default ones]
        #[arg(long, value_name = "ID", conflicts_with = "no_settings")]
        settings: Option<Uuid>,
        /// Without camera settings: every capture of a batch upload is wanted
        #[arg(long)]
        no_settings: bool,
    },
    /// List sessions, newest first
    List {
        /// Of this user only
        #[arg(long, value_name = "USERNAME")]
        user: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a session
    Show {
        /// The session's id
        id: Uuid,
    },
    /// Give a session other camera settings
    Change {
        /// The session's id
        id: Uuid,
        /// The camera settings; left out: none
        #[arg(long, value_name = "ID")]
        settings: Option<Uuid>,
    },
    /// End a session: it takes no more captures
    End {
        /// The session's id
        id: Uuid,
    },
}

pub(super) async fn run(command: SessionCommand, common: &Common, app: &App) -> anyhow::Result<()> {
    let session = match command {
        SessionCommand::Create { user, id, settings, no_settings } => {
            let user_id = user::find(app, &user).await?.id;
            let choice = match settings {
                None if !no_settings => SettingsChoice::Default,
                chosen => SettingsChoice::Chosen(chosen),
            };
            let id = id.unwrap_or_else(Uuid::now_v7);
            match app.records.register_session(id, user_id, choice, app.now()).await? {
                Registered::Created(session) | Registered::Unchanged(session) => session,
            }
        }
        SessionCommand::List { user, limit } => return list(app, common, user, limit).await,
        SessionCommand::Show { id } => {
            app.records.session(id).await?.with_context(|| format!("there is no session {id}"))?
        }
        SessionCommand::Change { id, settings } => app.records.set_session_settings(id, settings).await?,
        SessionCommand::End { id } => app.records.end_session(id, app.now()).await?,
    };
    output::one(common.json, &SessionView::count(app, &session).await?)
}

async fn list(app: &App, common: &Common, user: Option<String>, limit: usize) -> anyhow::Result<()> {
    let user_id = match user {
        Some(username) => Some(user::find(app, &username).await?.id),
        None => None,
    };
    let mut sessions = Vec::new();
    for session in app.records.sessions(user_id, None, limit).await?.items {
        sessions.push(SessionView::count(app, &session).await?);
    }
    output::many(common.json, &sessions, COLUMNS)
}
