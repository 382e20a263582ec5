//! Who is asking: Filmgate's own sign-in with password and cookie, and bearer tokens.
//!
//! **Owns** passwords, the secrets of sign-ins and tokens, and the limit on guessing.
//! **Promises** that a password is kept only as argon2id and a secret only as its SHA-256; that each sign-in has a
//! fresh secret; that an unknown username costs a guesser as long as a wrong password; that ended, expired and
//! revoked count from the next request on.
//! **Leaves** to others: cookies and headers (`filmgate`), where users are stored (`records`).
//!
//! Invariant: no HTTP here. [`Identity`] takes secrets as text and answers with a [`Caller`].

mod guesses;
mod password;
mod secret;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use records::{NewToken, Records, Role, Token, TokenScope, User, UserChange};
use uuid::Uuid;

use crate::guesses::Guesses;
pub use crate::guesses::SharedGuesses;
use crate::password::Passwords;
pub use crate::secret::{hash_of, is_token};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How to sign in.
#[derive(Clone, Debug)]
pub struct IdentityOptions {
    /// How long a sign-in lasts.
    pub sign_in_duration: Duration,
    /// Shortest password, in bytes.
    pub password_bytes_min: usize,
    /// Guesses a minute for one username from one address.
    pub sign_ins_per_minute_per_user: u32,
    /// Guesses a minute from one address.
    pub sign_ins_per_minute_per_address: u32,
    /// Where both are counted for all nodes together. None: by each process for itself.
    pub shared_guesses: Option<SharedGuesses>,
    /// Passwords hashed at once: each takes 19 MiB and a core for some 20 ms.
    pub password_hashing_parallel: usize,
}

/// Who asks, proven.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A person, or a program in their name.
    User {
        /// Who.
        user: User,
        /// By what: `None` with a token.
        sign_in: Option<SignInProof>,
    },
    /// The app's backend.
    Service,
}

/// The sign-in that a caller came with.
#[derive(Clone, Copy, Debug)]
pub struct SignInProof {
    /// Names the sign-in in the catalog.
    pub secret_hash: [u8; 32],
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A new sign-in; its secret is in nobody's hands but the caller's.
#[derive(Debug)]
pub struct SignIn {
    /// Who signed in.
    pub user: User,
    /// For the cookie.
    pub secret: String,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Why somebody is not signed in, or a password not set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Wrong name, wrong password, or a user who is switched off: all the same to the outside.
    #[error("wrong username or password")]
    WrongCredentials,
    /// Too many guesses.
    #[error("too many attempts; try again in {} seconds", .retry_after.as_secs())]
    TooManyGuesses {
        /// When the next guess is taken.
        retry_after: Duration,
    },
    /// The password does not keep the rules; the text says which.
    #[error("{0}")]
    BadPassword(String),
    /// The username does not keep the rules; the text says which.
    #[error("{0}")]
    BadUsername(String),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] records::Error),
    /// Randomness or hashing failed.
    #[error("{0}")]
    Internal(String),
}

/// The people and programs that may ask. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    records: Records,
    clock: Clock,
    options: Arc<IdentityOptions>,
    passwords: Passwords,
    guesses: Guesses,
}

impl Identity {
    /// Opens the sign-in over a catalog.
    pub fn new(records: Records, options: IdentityOptions, clock: Clock) -> Self {
        Self {
            passwords: Passwords::new(options.password_hashing_parallel),
            guesses: Guesses::new(
                options.sign_ins_per_minute_per_user,
                options.sign_ins_per_minute_per_address,
                options.shared_guesses.as_ref(),
            ),
            records,
            clock,
            options: Arc::new(options),
        }
    }

    /// Signs a user in with their password, from this address.
    pub async fn sign_in(&self, username: &str, password: String, address: IpAddr) -> Result<SignIn, Error> {
        self.count_guess(username, address).await?;
        let found = self.records.user_by_name(username.to_owned()).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let right = self.passwords.verify(password, hash.clone()).await?;
        let user = user.filter(|user| right && user.is_active).ok_or(Error::WrongCredentials)?;
        let sign_in = self.begin_sign_in(user).await?;
        // A new password ends the sign-ins that are there; one begun with the old password meanwhile was not yet.
        let now = self.records.user_by_name(username.to_owned()).await?;
        if now.is_some_and(|(user, now)| user.is_active && Some(now) == hash) {
            return Ok(sign_in);
        }
        self.records.end_sign_in(hash_of(&sign_in.secret)).await?;
        Err(Error::WrongCredentials)
    }

    /// Begins a sign-in without a password: for commands of whoever holds the data folder.
    pub async fn begin_sign_in(&self, user: User) -> Result<SignIn, Error> {
        let secret = secret::new_sign_in()?;
        let now = (self.clock)();
        let lasts = SignedDuration::try_from(self.options.sign_in_duration).unwrap_or(SignedDuration::MAX);
        let expires_at = now.saturating_add(lasts).map_err(|error| Error::Internal(error.to_string()))?;
        self.records.create_sign_in(hash_of(&secret), user.id, now, expires_at).await?;
        Ok(SignIn { user, secret, expires_at })
    }

    async fn count_guess(&self, username: &str, address: IpAddr) -> Result<(), Error> {
        let counted = self.guesses.count(username, address).await;
        counted.map_err(|wait| Error::TooManyGuesses {
            retry_after: wait.max(Duration::from_secs(1)) + Duration::from_secs(1),
        })
    }

    /// Whose sign-in this is, if it has neither ended nor expired.
    pub async fn by_sign_in(&self, secret: &str) -> Result<Option<Caller>, Error> {
        let secret_hash = hash_of(secret);
        let found = self.records.signed_in(secret_hash, (self.clock)()).await?;
        Ok(found
            .map(|(user, expires_at)| Caller::User { user, sign_in: Some(SignInProof { secret_hash, expires_at }) }))
    }

    /// Whose token this is, if it is neither revoked nor expired.
    pub async fn by_token(&self, secret: &str) -> Result<Option<Caller>, Error> {
        if !is_token(secret) {
            return Ok(None);
        }
        let found = self.records.token_by_secret(hash_of(secret), (self.clock)()).await?;
        Ok(found.and_then(|(scope, user)| match (scope, user) {
            (TokenScope::Service, _) => Some(Caller::Service),
            (TokenScope::User, Some(user)) => Some(Caller::User { user, sign_in: None }),
            (TokenScope::User, None) => None,
        }))
    }

    /// Makes a user.
    pub async fn create_user(&self, username: &str, password: String, role: Role) -> Result<User, Error> {
        let username = check_username(username)?;
        let hash = self.hash(password).await?;
        Ok(self.records.create_user(username, hash, role, (self.clock)()).await?)
    }

    /// Changes a user; a new password, another role or being switched off ends their sign-ins.
    pub async fn change_user(
        &self,
        id: i64,
        password: Option<String>,
        role: Option<Role>,
        is_active: Option<bool>,
    ) -> Result<User, Error> {
        let password_hash = match password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        Ok(self.records.change_user(id, UserChange { password_hash, role, is_active }).await?)
    }

    async fn hash(&self, password: String) -> Result<String, Error> {
        let shortest = self.options.password_bytes_min;
        // Longer than a kilobyte is no password but an attempt to keep us busy.
        if password.len() < shortest || password.len() > 1024 {
            return Err(Error::BadPassword(format!("a password has {shortest} to 1024 bytes")));
        }
        self.passwords.hash(password).await
    }

    /// Makes a bearer token; its secret is shown once, here.
    pub async fn create_token(
        &self,
        name: &str,
        user_id: Option<i64>,
        expires_at: Option<Timestamp>,
    ) -> Result<(Token, String), Error> {
        let secret = secret::new_token()?;
        let scope = if user_id.is_some() { TokenScope::User } else { TokenScope::Service };
        let token = NewToken {
            id: Uuid::now_v7(),
            name: name.to_owned(),
            scope,
            user_id,
            secret_hash: hash_of(&secret),
            expires_at,
        };
        Ok((self.records.create_token(token, (self.clock)()).await?, secret))
    }
}

fn check_username(username: &str) -> Result<String, Error> {
    let username = username.trim();
    let printable = username.chars().all(|character| !character.is_control());
    if (1..=100).contains(&username.chars().count()) && printable {
        Ok(username.to_owned())
    } else {
        Err(Error::BadUsername("a username has 1 to 100 printable characters".to_owned()))
    }
}

#[cfg(test)]
mod tests;
