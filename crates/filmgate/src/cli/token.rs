//! `filmgate token`

use anyhow::Context;
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{Common, output, user};
use crate::app::App;
use crate::routes::tokens::TokenView;

const COLUMNS: &[&str] = &["id", "name", "scope", "user_id", "created_at", "expires_at", "revoked_at"];

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token: for the app's backend, or with --user for a program that acts as that user
    Create {
        /// What you call it
        name: String,
        /// Name of the user it acts as
        #[arg(long, value_name = "USERNAME")]
        user: Option<String>,
        /// When it ends by itself, as in 2027-01-31T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<Timestamp>,
    },
    /// List tokens, newest first
    List,
    /// Revoke a token, at once and for good
    Revoke {
        /// The token's id
        id: Uuid,
    },
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    token: TokenView,
    secret: String,
}

pub(super) async fn run(command: TokenCommand, common: &Common, app: &App) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { name, user, expires_at } => {
            let user_id = match user {
                Some(username) => Some(user::find(app, &username).await?.id),
                None => None,
            };
            let (token, secret) = app.identity.create_token(&name, user_id, expires_at).await?;
            output::one(common.json, &Created { token: token.into(), secret })
        }
        TokenCommand::List => {
            let page = app.records.tokens(None, 10_000).await?;
            let tokens: Vec<TokenView> = page.items.into_iter().map(Into::into).collect();
            output::many(common.json, &tokens, COLUMNS)
        }
        TokenCommand::Revoke { id } => {
            let token = app.records.revoke_token(id, app.now()).await.with_context(|| format!("token {id}"))?;
            output::one(common.json, &TokenView::from(token))
        }
    }
}
