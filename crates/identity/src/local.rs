//! Filmgate's own users: signing in by password, sign-ins and tokens.
//!
//! **Promises** that a password is kept only as argon2id and a secret only as its SHA-256; that each sign-in has a
//! fresh secret; that an unknown username costs a guesser as long as a wrong password; that ended, expired and revoked
//! count from the next request on; that beside an app's users only administrators of Filmgate's own are let in, under a
//! number that no user of the app can have.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use records::{NewToken, Role, Token, TokenScope, User, UserChange};
use uuid::Uuid;

use crate::secret::{self, hash_of, is_token};
use crate::{Caller, Error, Identity, Origin, Person, SignIn, SignInProof};

impl Identity {
    /// Signs a user in with their password, from this address.
    pub async fn sign_in(&self, username: &str, password: String, address: IpAddr) -> Result<SignIn, Error> {
        self.count_guess(username, address).await?;
        let found = self.records.user_by_name(username.to_owned()).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let right = self.passwords.verify(password, hash.clone()).await?;
        let user =
            user.filter(|user| right && user.is_active && self.is_let_in(user)).ok_or(Error::WrongCredentials)?;
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

    /// One of Filmgate's own users, as somebody who asks; `None` for participants beside an app's users.
    pub fn person(&self, user: User) -> Option<Person> {
        let is_admin = user.role == Role::Admin;
        let id = if self.is_of_an_app() { user.id.checked_neg()? } else { user.id };
        self.is_let_in(&user).then_some(Person { id, username: user.username, is_admin, origin: Origin::Local })
    }

    fn is_let_in(&self, user: &User) -> bool {
        user.role == Role::Admin || !self.is_of_an_app()
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
        Ok(found.and_then(|(user, expires_at)| {
            let sign_in = Some(SignInProof { secret_hash, expires_at });
            Some(Caller::User { user: self.person(user)?, sign_in })
        }))
    }

    /// Whose token this is, if it is neither revoked nor expired.
    pub async fn by_token(&self, secret: &str) -> Result<Option<Caller>, Error> {
        if !is_token(secret) {
            return Ok(None);
        }
        let found = self.records.token_by_secret(hash_of(secret), (self.clock)()).await?;
        Ok(found.and_then(|(scope, user)| match (scope, user) {
            (TokenScope::Service, _) => Some(Caller::Service),
            (TokenScope::User, Some(user)) => Some(Caller::User { user: self.person(user)?, sign_in: None }),
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
