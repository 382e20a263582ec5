//! `filmgate user`

use std::io::Read;

use anyhow::Context;
use clap::{Args, Subcommand};
use records::{Role, User};

use super::{Common, output};
use crate::app::App;
use crate::routes::users::UserView;

const COLUMNS: &[&str] = &["id", "username", "role", "is_active", "created_at"];

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a user
    Add {
        /// Name to sign in with, unique without regard to case
        username: String,
        /// participant or admin
        #[arg(long, default_value = "participant")]
        role: Role,
        #[command(flatten)]
        password: Password,
    },
    /// List users
    List,
    /// Change a user: password, role, active or not
    Change {
        /// Name of the user
        username: String,
        /// participant or admin; ends their sign-ins
        #[arg(long)]
        role: Option<Role>,
        /// true or false; false ends their sign-ins
        #[arg(long)]
        active: Option<bool>,
        #[command(flatten)]
        password: Password,
    },
    /// End every sign-in of a user
    SignOut {
        /// Name of the user
        username: String,
    },
}

/// Never on the command line itself, where every process of the machine could read it.
#[derive(Debug, Args)]
pub(super) struct Password {
    /// Read the password from a file; - reads standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<String>,
}

impl Password {
    fn read(&self) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.password_file else { return Ok(None) };
        let mut text = String::new();
        if path == "-" {
            std::io::stdin().read_to_string(&mut text)?;
        } else {
            text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        }
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

pub(super) async fn run(command: UserCommand, common: &Common, app: &App) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { username, role, password } => {
            let password =
                password.read()?.context("a password is needed: --password-file FILE, or - for standard input")?;
            let user = app.identity.create_user(&username, password, role).await?;
            output::one(common.json, &UserView::from(user))
        }
        UserCommand::List => {
            let mut users: Vec<UserView> = Vec::new();
            let mut after = Some(0);
            while let Some(from) = after {
                let (page, next) = app.records.users(from, 500).await?;
                users.extend(page.into_iter().map(UserView::from));
                after = next;
            }
            output::many(common.json, &users, COLUMNS)
        }
        UserCommand::Change { username, role, active, password } => {
            let id = find(app, &username).await?.id;
            let user = app.identity.change_user(id, password.read()?, role, active).await?;
            output::one(common.json, &UserView::from(user))
        }
        UserCommand::SignOut { username } => {
            let id = find(app, &username).await?.id;
            let ended = app.records.end_sign_ins_of(id).await?;
            output::one(common.json, &serde_json::json!({ "ended": ended }))
        }
    }
}

/// The user of this name.
pub(super) async fn find(app: &App, username: &str) -> anyhow::Result<User> {
    let found = app.records.user_by_name(username.to_owned()).await?;
    Ok(found.with_context(|| format!("there is no user '{username}'; filmgate user list names them"))?.0)
}
