//! Who is asking: Filmgate's own users, or those of the app around it.
//!
//! **Owns** [`Identity`], the one question "who is this?" in front of every provider: the house's own sign-in and tokens
//! (`local.rs`), the cookies of a Flask app (`flask/`), a question to the app itself (`forward.rs`), and tokens that
//! somebody else signed (`jwt/`).
//! **Promises** that whoever cannot be proven is nobody; that a user the app knows no more, or has switched off, is out
//! as soon as its [`Directory`] says so; that nobody is let in while it cannot be asked.
//! **Leaves** to others: headers, and what a page of another site may send (`filmgate`); where users are stored
//! (`records`); the app's database (whoever implements [`Directory`]).
//!
//! Invariant: no HTTP is served here. [`Asking`] is bytes and texts, and the answer is a [`Caller`].

mod asking;
mod claim;
mod directory;
mod flask;
mod forward;
mod guesses;
mod http;
mod jwt;
mod local;
mod member;
mod password;
mod refused;
mod secret;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::registry::Registry;
use records::{Records, User};

pub use crate::asking::Asking;
use crate::claim::Claim;
pub use crate::directory::{AppUser, Directory, DirectoryError};
use crate::flask::Flask;
pub use crate::flask::{FlaskOptions, SessionProtection, check_key};
use crate::forward::Forward;
pub use crate::forward::ForwardOptions;
use crate::guesses::Guesses;
pub use crate::guesses::SharedGuesses;
use crate::jwt::{Jwt, NoClaim};
pub use crate::jwt::{JwtOptions, SECRET_BYTES_MIN};
use crate::password::Passwords;
pub use crate::refused::Reason;
use crate::refused::Refusals;
pub use crate::secret::{hash_of, is_token};

/// Name of Filmgate's own cookie: never `session`, which is the app's.
pub const COOKIE: &str = "filmgate_sign_in";

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
    /// Who says who asks.
    pub provider: ProviderOptions,
    /// Numbers of users of the app's who may do everything, whatever else says so.
    pub admin_user_ids: Vec<i64>,
}

/// Who says who asks.
#[derive(Clone)]
pub enum ProviderOptions {
    /// Filmgate itself.
    Local,
    /// The cookies of a Flask app.
    Flask(FlaskOptions),
    /// The app, asked with the request's cookies and authorization.
    Forward(ForwardOptions),
    /// Bearer tokens that somebody else signed.
    Jwt(JwtOptions),
}

/// Never a key.
impl std::fmt::Debug for ProviderOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Local => "Local",
            Self::Flask(_) => "Flask",
            Self::Forward(_) => "Forward",
            Self::Jwt(_) => "Jwt",
        })
    }
}

enum Provider {
    Local,
    Flask(Box<Flask>),
    Forward(Forward),
    Jwt(Box<Jwt>),
}

/// A person who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Number of the user, by which sessions are theirs. Below zero: the number, negated, of one of Filmgate's own
    /// administrators beside an app's users.
    pub id: i64,
    /// The name; the number where nobody knows a name.
    pub username: String,
    /// Whether they may do everything.
    pub is_admin: bool,
    /// Whose user they are.
    pub origin: Origin,
}

/// Whose user somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Filmgate's own.
    Local,
    /// The app's.
    App,
}

/// Somebody who was recognised.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who.
    pub caller: Caller,
    /// Whether a browser sends what they were recognised by of its own accord, whoever wrote the page.
    pub by_browser: bool,
}

/// Who asks, proven.
#[derive(Clone, Debug)]
pub enum Caller {
    /// A person, or a program in their name.
    User {
        /// Who.
        user: Person,
        /// By which sign-in of Filmgate's own; `None` with a token, or with what an app gave them.
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
    /// Whoever knows the app's users cannot be asked just now; the text is for the log.
    #[error("{0}")]
    HostUnavailable(String),
    /// Whoever says who somebody is (the app, or the issuer's keys) cannot be asked just now; the text is for the log.
    #[error("{0}")]
    ProviderUnavailable(String),
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
    provider: Arc<Provider>,
    directory: Option<Arc<dyn Directory>>,
    refusals: Refusals,
}

impl Identity {
    /// Opens the sign-in over a catalog.
    ///
    /// # Errors
    /// Where the provider's options cannot be; says why.
    pub fn new(records: Records, options: IdentityOptions, clock: Clock) -> Result<Self, Error> {
        let provider = match &options.provider {
            ProviderOptions::Local => Provider::Local,
            ProviderOptions::Flask(flask) => {
                Provider::Flask(Box::new(Flask::new(flask.clone()).map_err(Error::Internal)?))
            }
            ProviderOptions::Forward(forward) => {
                Provider::Forward(Forward::new(forward.clone()).map_err(Error::Internal)?)
            }
            ProviderOptions::Jwt(jwt) => Provider::Jwt(Box::new(Jwt::new(jwt.clone()).map_err(Error::Internal)?)),
        };
        Ok(Self {
            passwords: Passwords::new(options.password_hashing_parallel),
            guesses: Guesses::new(
                options.sign_ins_per_minute_per_user,
                options.sign_ins_per_minute_per_address,
                options.shared_guesses.as_ref(),
            ),
            records,
            clock,
            options: Arc::new(options),
            provider: Arc::new(provider),
            directory: None,
            refusals: Refusals::default(),
        })
    }

    /// The same, with somebody who knows the app's users.
    #[must_use]
    pub fn with_directory(self, directory: Arc<dyn Directory>) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// Whether users are an app's, and not Filmgate's own.
    pub fn is_of_an_app(&self) -> bool {
        !matches!(*self.provider, Provider::Local)
    }

    /// Adds what is counted here.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.refusals.register(registry);
        if let Provider::Forward(forward) = &*self.provider {
            forward.register(registry);
        }
    }

    /// Who this is. What they say themselves, by `Authorization`, comes before what their browser says, and Filmgate's
    /// own cookie before the app's.
    ///
    /// # Errors
    /// Where somebody who must be asked cannot be. Whoever is not proven is no error, but `None`.
    pub async fn who(&self, asking: &Asking<'_>) -> Result<Option<Known>, Error> {
        // What they say themselves, right or wrong, is their own word: a cookie beside it does not count.
        if asking.authorization.is_some() {
            return self.by_authorization(asking).await;
        }
        if let Some(secret) = asking.cookie(COOKIE).and_then(|secret| str::from_utf8(secret).ok())
            && let Some(caller) = self.by_sign_in(secret).await?
        {
            return Ok(Some(Known { caller, by_browser: true }));
        }
        let claim = match &*self.provider {
            Provider::Local | Provider::Jwt(_) => None,
            Provider::Flask(flask) => flask.claim(asking, (self.clock)(), &self.refusals),
            Provider::Forward(forward) => forward.claim(asking).await.map_err(Error::ProviderUnavailable)?,
        };
        self.known(claim, true).await
    }

    async fn by_authorization(&self, asking: &Asking<'_>) -> Result<Option<Known>, Error> {
        let token = asking.bearer();
        if let Some(token) = token.filter(|token| is_token(token)) {
            return Ok(self.by_token(token).await?.map(|caller| Known { caller, by_browser: false }));
        }
        match (&*self.provider, token) {
            (Provider::Jwt(jwt), Some(token)) => {
                let claim = match jwt.claim(token, (self.clock)()).await {
                    Ok(claim) => Some(claim),
                    Err(NoClaim::Unavailable(cause)) => return Err(Error::ProviderUnavailable(cause)),
                    Err(NoClaim::Refused(reason)) => {
                        self.refusals.count(reason);
                        None
                    }
                };
                self.known(claim, false).await
            }
            (Provider::Forward(forward), _) => {
                let claim = forward.claim(asking).await.map_err(Error::ProviderUnavailable)?;
                // Browsers send a name and password of their own accord, and cookies: a bearer token alone is the
                // page's own word.
                self.known(claim, token.is_none() || !asking.cookies.is_empty()).await
            }
            _ => Ok(None),
        }
    }

    async fn known(&self, claim: Option<Claim>, by_browser: bool) -> Result<Option<Known>, Error> {
        let Some(claim) = claim else { return Ok(None) };
        let user = self.recognise(claim).await?;
        Ok(user.map(|user| Known { caller: Caller::User { user, sign_in: None }, by_browser }))
    }

    /// The app's user of this number: `None` where it says that there is none, or that they are switched off. Without a
    /// directory every number is somebody.
    ///
    /// # Errors
    /// Where the directory cannot be asked.
    pub async fn app_user(&self, id: i64) -> Result<Option<Person>, Error> {
        self.recognised(id, None, false).await.map(Result::ok)
    }

    async fn recognise(&self, claim: Claim) -> Result<Option<Person>, Error> {
        let recognised = match claim.user_id.number() {
            Ok(id) => self.recognised(id, claim.username, claim.is_admin).await?,
            Err(reason) => Err(reason),
        };
        Ok(recognised.map_err(|reason| self.refusals.count(reason)).ok())
    }

    async fn recognised(
        &self,
        id: i64,
        username: Option<String>,
        is_admin: bool,
    ) -> Result<Result<Person, Reason>, Error> {
        let is_admin = is_admin || self.options.admin_user_ids.contains(&id);
        let person = |username, is_admin| Person { id, username, is_admin, origin: Origin::App };
        let Some(directory) = &self.directory else {
            return Ok(Ok(person(username.unwrap_or_else(|| id.to_string()), is_admin)));
        };
        Ok(match directory.app_user(id).await {
            Ok(Some(user)) if user.is_active => Ok(person(user.username, is_admin || user.is_admin)),
            Ok(Some(_)) => Err(Reason::Inactive),
            Ok(None) => Err(Reason::UnknownUser),
            Err(DirectoryError::Unavailable(cause)) => return Err(Error::HostUnavailable(cause)),
            Err(DirectoryError::Broken(cause)) => return Err(Error::Internal(cause)),
        })
    }
}

#[cfg(test)]
mod tests;
