//! Bearer tokens: for the app's backend (`service`) and for programs that act as a user (`user`).

use jiff::Timestamp;
use uuid::Uuid;

use crate::db::{Row, values};
use crate::users::{timestamp, user_from};
use crate::{Cursor, Error, Page, Records, Result, User};

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenScope {
    /// Registers sessions and reads settings for the app's backend; touches no capture.
    Service,
    /// Acts as its user.
    User,
}

impl TokenScope {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::User => "user",
        }
    }
}

/// A token as an administrator sees it; its secret was shown once, when it was made.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What a person called it.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// The user it acts as, for [`TokenScope::User`].
    pub user_id: Option<i64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token to keep.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub id: Uuid,
    /// What a person calls it.
    pub name: String,
    /// What it may do.
    pub scope: TokenScope,
    /// The user it acts as, exactly for [`TokenScope::User`].
    pub user_id: Option<i64>,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, name, scope, user_id, created_at, expires_at, revoked_at";

fn token_from(row: &Row<'_>) -> Result<Token> {
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        scope: if row.get::<&str>(2)? == "service" { TokenScope::Service } else { TokenScope::User },
        user_id: row.get(3)?,
        created_at: timestamp(row.get(4)?),
        expires_at: row.get::<Option<i64>>(5)?.map(timestamp),
        revoked_at: row.get::<Option<i64>>(6)?.map(timestamp),
    })
}

impl Records {
    /// Keeps a token. [`Error::Conflict`] where its user does not exist.
    pub async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<Token> {
        self.engine
            .write(move |db| {
                if let Some(user_id) = token.user_id {
                    let exists: bool = db.one("SELECT EXISTS (SELECT 1 FROM users WHERE id = ?)", &values![user_id], |row| row.get(0))?;
                    if !exists {
                        return Err(Error::Conflict(format!("there is no user {user_id}")));
                    }
                }
                db.execute("INSERT INTO tokens (id, name, scope, user_id, secret_hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)", &values![
                    token.id,
                    token.name,
                    token.scope.as_str(),
                    token.user_id,
                    token.secret_hash,
                    now.as_microsecond(),
                    token.expires_at.map(Timestamp::as_microsecond),
                ])?;
                db.one(&format!("SELECT {COLUMNS} FROM tokens WHERE id = ?"), &values![token.id], token_from)
            })
            .await
    }

    /// The token with this secret that is neither revoked nor expired, with its active user where it has one.
    pub async fn token_by_secret(
        &self,
        secret_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<(TokenScope, Option<User>)>> {
        let found = self.remembered.tokens.or_ask(&self.engine, secret_hash, move |db| {
            db.optional(
                "SELECT users.id, users.username, users.role, users.is_active, users.created_at, tokens.scope,
                        tokens.expires_at
                 FROM tokens LEFT JOIN users ON users.id = tokens.user_id
                 WHERE tokens.secret_hash = ?1 AND tokens.revoked_at IS NULL
                   AND (tokens.scope = 'service' OR users.is_active = 1)",
                &values![secret_hash],
                |row| {
                    let expires_at = row.get::<Option<i64>>(6)?.map(timestamp);
                    if row.get::<&str>(5)? == "service" {
                        Ok((TokenScope::Service, None, expires_at))
                    } else {
                        Ok((TokenScope::User, Some(user_from(row)?), expires_at))
                    }
                },
            )
        });
        let unexpired = found.await?.filter(|(.., expires_at)| expires_at.is_none_or(|expires_at| expires_at > now));
        Ok(unexpired.map(|(scope, user, _)| (scope, user)))
    }

    /// Tokens, newest first.
    pub async fn tokens(&self, after: Option<Cursor>, limit: usize) -> Result<Page<Token>> {
        let after = after.unwrap_or(Cursor::START);
        self.engine
            .read(move |db| {
                let rows = db.all(&format!(
                    "SELECT {COLUMNS} FROM tokens WHERE (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?"
                ), &values![after.time_us, after.id, limit + 1], token_from)?;
                Ok(Page::from_rows(rows, limit, |token| Cursor { time_us: token.created_at.as_microsecond(), id: token.id }))
            })
            .await
    }

    /// Revokes a token, at once and for good; revoking it again changes nothing.
    pub async fn revoke_token(&self, id: Uuid, now: Timestamp) -> Result<Token> {
        self.engine
            .write(move |db| {
                db.execute(
                    "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?",
                    &values![now.as_microsecond(), id],
                )?;
                db.one(&format!("SELECT {COLUMNS} FROM tokens WHERE id = ?"), &values![id], token_from)
            })
            .await
    }
}
