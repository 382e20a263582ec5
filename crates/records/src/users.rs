//! Users of Filmgate's own sign-in, and their sign-ins.

use crate::db::{Db, Dialect, Row, values};
use jiff::Timestamp;

use crate::error::duplicate_as;
use crate::{Error, Records, Result};

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Uploads to their own sessions and sees their own captures.
    Participant,
    /// Everything.
    Admin,
}

impl Role {
    /// The word in SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Participant => "participant",
            Self::Admin => "admin",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "participant" => Ok(Self::Participant),
            "admin" => Ok(Self::Admin),
            other => Err(format!("'{other}' is no role; roles are participant and admin")),
        }
    }
}

/// Who can sign in.
#[derive(Clone, Debug)]
pub struct User {
    /// Number of the user; the app's ids are numbers too.
    pub id: i64,
    /// Unique without regard to case.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// An inactive user cannot sign in, and their sign-ins and tokens count for nothing.
    pub is_active: bool,
    /// When the user was made.
    pub created_at: Timestamp,
}

/// A change of a user; `None` leaves a member as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// A new password's hash; ends every sign-in of the user.
    pub password_hash: Option<String>,
    /// A new role.
    pub role: Option<Role>,
    /// Active or not; inactive ends every sign-in of the user.
    pub is_active: Option<bool>,
}

const COLUMNS: &str = "users.id, users.username, users.role, users.is_active, users.created_at";

pub(crate) fn user_from(row: &Row<'_>) -> Result<User> {
    Ok(User {
        id: row.get(0)?,
        username: row.get(1)?,
        role: if row.get::<&str>(2)? == "admin" { Role::Admin } else { Role::Participant },
        is_active: row.get(3)?,
        created_at: timestamp(row.get(4)?),
    })
}

/// A stored time. Out of range cannot have been stored; it reads as 1970 rather than ending a listing.
pub(crate) fn timestamp(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or_default()
}

/// By name, without regard to the case of ASCII letters: on each engine by the index that its schema has for it.
fn of_name(db: &Db<'_>) -> &'static str {
    match db.dialect() {
        Dialect::Sqlite => "username = ?",
        Dialect::Postgres => "lower(username) = lower(?::text COLLATE \"C\")",
    }
}

fn user_by_id(db: &Db<'_>, id: i64) -> Result<User> {
    db.one(&format!("SELECT {COLUMNS} FROM users WHERE id = ?"), &values![id], user_from)
}

impl Records {
    /// Makes a user. [`Error::Conflict`] where the name is taken.
    pub async fn create_user(
        &self,
        username: String,
        password_hash: String,
        role: Role,
        now: Timestamp,
    ) -> Result<User> {
        self.engine
            .write(move |db| {
                let insert = "INSERT INTO users (username, password_hash, role, created_at) VALUES (?, ?, ?, ?)
                              RETURNING id";
                let id = db
                    .scalar(insert, &values![username, password_hash, role.as_str(), now.as_microsecond()])
                    .map_err(|error| duplicate_as(error, || format!("the username '{username}' is taken")))?;
                user_by_id(db, id)
            })
            .await
    }

    /// The user of this number.
    pub async fn user(&self, id: i64) -> Result<Option<User>> {
        self.engine.read(move |db| optional(user_by_id(db, id))).await
    }

    /// The user of this name, with the hash of their password.
    pub async fn user_by_name(&self, username: String) -> Result<Option<(User, String)>> {
        // No text of PostgreSQL's holds one, so nobody is called so.
        if username.contains('\0') {
            return Ok(None);
        }
        self.engine
            .read(move |db| {
                db.optional(
                    &format!("SELECT {COLUMNS}, users.password_hash FROM users WHERE {}", of_name(db)),
                    &values![username],
                    |row| Ok((user_from(row)?, row.get(5)?)),
                )
            })
            .await
    }

    /// Users by number, those after `after`, at most `limit`; and the number to go on after.
    pub async fn users(&self, after: i64, limit: usize) -> Result<(Vec<User>, Option<i64>)> {
        self.engine
            .read(move |db| {
                let mut users = db.all(
                    &format!("SELECT {COLUMNS} FROM users WHERE id > ? ORDER BY id LIMIT ?"),
                    &values![after, limit + 1],
                    user_from,
                )?;
                let more = users.len() > limit;
                users.truncate(limit);
                let next = if more { users.last().map(|user| user.id) } else { None };
                Ok((users, next))
            })
            .await
    }

    /// Changes a user. A new password, another role or being switched off ends every sign-in of theirs.
    pub async fn change_user(&self, id: i64, change: UserChange) -> Result<User> {
        self.engine
            .write(move |db| {
                let ends_sign_ins =
                    change.password_hash.is_some() || change.role.is_some() || change.is_active == Some(false);
                let changed = db.execute(
                    "UPDATE users SET password_hash = coalesce(?2, password_hash), role = coalesce(?3, role),
                         is_active = coalesce(?4, is_active) WHERE id = ?1",
                    &values![id, change.password_hash, change.role.map(Role::as_str), change.is_active],
                )?;
                if changed == 0 {
                    return Err(Error::NotFound);
                }
                if ends_sign_ins {
                    db.execute("DELETE FROM sign_ins WHERE user_id = ?", &values![id])?;
                }
                user_by_id(db, id)
            })
            .await
    }

    /// Keeps a sign-in under the hash of its secret.
    pub async fn create_sign_in(
        &self,
        secret_hash: [u8; 32],
        user_id: i64,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()> {
        self.engine
            .write(move |db| {
                db.execute(
                    "INSERT INTO sign_ins (secret_hash, user_id, created_at, expires_at) VALUES (?, ?, ?, ?)",
                    &values![secret_hash, user_id, now.as_microsecond(), expires_at.as_microsecond()],
                )?;
                Ok(())
            })
            .await
    }

    /// The active user of a sign-in that has neither ended nor expired, and when it expires.
    pub async fn signed_in(&self, secret_hash: [u8; 32], now: Timestamp) -> Result<Option<(User, Timestamp)>> {
        let found = self.remembered.sign_ins.or_ask(&self.engine, secret_hash, move |db| {
            db.optional(
                &format!(
                    "SELECT {COLUMNS}, sign_ins.expires_at FROM sign_ins JOIN users ON users.id = sign_ins.user_id
                     WHERE sign_ins.secret_hash = ? AND users.is_active = 1"
                ),
                &values![secret_hash],
                |row| Ok((user_from(row)?, timestamp(row.get(5)?))),
            )
        });
        Ok(found.await?.filter(|(_, expires_at)| *expires_at > now))
    }

    /// Ends one sign-in.
    pub async fn end_sign_in(&self, secret_hash: [u8; 32]) -> Result<()> {
        self.engine
            .write(move |db| {
                db.execute("DELETE FROM sign_ins WHERE secret_hash = ?", &values![secret_hash])?;
                Ok(())
            })
            .await
    }

    /// Ends every sign-in of a user; how many there were.
    pub async fn end_sign_ins_of(&self, user_id: i64) -> Result<usize> {
        self.engine
            .write(move |db| {
                user_by_id(db, user_id)?;
                db.execute("DELETE FROM sign_ins WHERE user_id = ?", &values![user_id])
            })
            .await
    }

    /// Forgets sign-ins that expired before `now`.
    pub async fn forget_expired_sign_ins(&self, now: Timestamp) -> Result<usize> {
        self.engine
            .write(move |db| db.execute("DELETE FROM sign_ins WHERE expires_at <= ?", &values![now.as_microsecond()]))
            .await
    }
}

/// `None` instead of [`Error::NotFound`].
pub(crate) fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(row) => Ok(Some(row)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
