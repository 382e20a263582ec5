//! Who is signed in to a Flask app, by the cookies of Flask and Flask-Login.
//!
//! **Owns** the app's keys and the rules by which Flask-Login finds a user: the session's, else the remember token's,
//! unless the session says that it was given up or belongs to another address or browser.
//! **Promises** that a cookie counts only if a key of the app made it, with the app's salt, within its time; that one
//! which cannot be read is as good as none; that nothing unpacks without a limit.
//! **Leaves** to others whether that user is still there and active ([`Directory`](crate::Directory)).
//!
//! A Flask session is read and never written: Flask alone makes and ends it. What it holds beside the user is passed
//! over. `_fresh` is not looked at, so of `basic` protection, which takes only that away, nothing is left to do here.

mod cookie;
mod keys;
mod protection;
mod remember;

use std::time::Duration;

pub use self::keys::check_key;
use jiff::Timestamp;

use self::cookie::{Session, SessionReader};
use self::keys::Key;
use self::remember::RememberReader;
use crate::Asking;
use crate::claim::{Claim, UserId};
use crate::refused::{Reason, Refusals};

/// Flask-Login's `SESSION_PROTECTION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionProtection {
    /// None.
    None,
    /// Another address or browser takes the session's freshness, and no more.
    Basic,
    /// Another address or browser takes the session, unless it is a permanent one.
    Strong,
}

/// How the app makes its cookies.
#[derive(Clone)]
pub struct FlaskOptions {
    /// The app's `SECRET_KEY` first, then its `SECRET_KEY_FALLBACKS`; bytes as `base64:…`.
    pub secret_keys: Vec<String>,
    /// Its `SESSION_COOKIE_NAME`.
    pub cookie_name: String,
    /// The salt of its session interface.
    pub salt: String,
    /// Its `PERMANENT_SESSION_LIFETIME`, which Flask holds every session to.
    pub max_age: Duration,
    /// Its `REMEMBER_COOKIE_NAME`; empty: remember tokens are not read.
    pub remember_cookie_name: String,
    /// Its `SESSION_PROTECTION`.
    pub session_protection: SessionProtection,
}

pub(crate) struct Flask {
    sessions: SessionReader,
    remember: Option<RememberReader>,
    options: FlaskOptions,
}

impl Flask {
    /// # Errors
    /// Says which key cannot be one.
    pub(crate) fn new(options: FlaskOptions) -> Result<Self, String> {
        let keys = options.secret_keys.iter().map(|text| Key::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err("identity.flask.secret_keys is empty".to_owned());
        }
        // Flask-Login knows no fallbacks: a token made with an older key is nobody's in the app either.
        let remember = keys.first().filter(|_| !options.remember_cookie_name.is_empty());
        Ok(Self {
            sessions: SessionReader::new(&keys, &options.salt, options.max_age),
            remember: remember.and_then(Key::of_flask_login).map(|key| RememberReader::new(&key)),
            options,
        })
    }

    /// Who the app would say this is.
    pub(crate) fn claim(&self, asking: &Asking<'_>, now: Timestamp, refusals: &Refusals) -> Option<Claim> {
        let session = asking.cookie(&self.options.cookie_name).map(|value| self.sessions.read(value, now));
        let session = match session {
            Some(Ok(session)) => session,
            // To Flask, too, a session that cannot be read is an empty one, and the remember token may still speak.
            Some(Err(reason)) => {
                refusals.count(reason);
                Session::default()
            }
            None => Session::default(),
        };
        if self.is_somebody_elses(&session, asking) {
            refusals.count(Reason::Protection);
            return None;
        }
        let user_id = match session.user_id {
            Some(user_id) => user_id,
            None if session.remember_is_cleared => return None,
            None => self.remembered(asking, refusals)?,
        };
        Some(Claim { user_id, username: None, is_admin: false })
    }

    fn is_somebody_elses(&self, session: &Session, asking: &Asking<'_>) -> bool {
        let is_strong = self.options.session_protection == SessionProtection::Strong;
        is_strong
            && !session.is_empty
            && !session.is_permanent
            && session.identifier.as_deref() != Some(&protection::identifier(&asking.app_address, asking.user_agent))
    }

    fn remembered(&self, asking: &Asking<'_>, refusals: &Refusals) -> Option<UserId> {
        let value = asking.cookie(&self.options.remember_cookie_name)?;
        match self.remember.as_ref()?.read(value) {
            Ok(user_id) => Some(user_id),
            Err(reason) => {
                refusals.count(reason);
                None
            }
        }
    }
}

/// A value as it was before werkzeug put it in quotes. What it escapes within them is in none of the values read here.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}
