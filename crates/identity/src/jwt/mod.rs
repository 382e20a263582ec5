//! Who is asking, by a bearer token that somebody else signed: JWT, as OpenID Connect hands them out.
//!
//! **Owns** what makes a token count, and the keys it is held against.
//! **Promises** that a key says which algorithm a token of its has, and never the token; that a token counts only for
//! the issuer and audience that are configured, and within its time; that keys are fetched from the configured place
//! alone (`jku`, `jwk` and `x5u` of a token are not looked at), and no oftener than is stated.
//!
//! By hand over ring, whose keys these are anyhow: docs/decisions/0026.

mod keys;
mod source;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use self::source::Source;
use self::token::Token;
use crate::claim::{Claim, UserId};
use crate::member::{member, says};
use crate::refused::Reason;

pub use self::keys::SECRET_BYTES_MIN;

/// Which tokens count, and what they say.
#[derive(Clone)]
pub struct JwtOptions {
    /// Where the issuer's keys are: its address, or empty.
    pub jwks_url: String,
    /// A file with them, or empty.
    pub jwks_file: PathBuf,
    /// The secret of HS256, or empty.
    pub secret: String,
    /// Longest wait for the issuer's keys.
    pub timeout: Duration,
    /// How old keys may be before they are fetched again, beside what goes on.
    pub refresh: Duration,
    /// How old they may be where they cannot be fetched.
    pub keep: Duration,
    /// Shortest time between two fetches for keys that nobody has heard of.
    pub refetch: Duration,
    /// Who issues them: `iss`.
    pub issuer: String,
    /// For whom: one of them is in `aud`.
    pub audiences: Vec<String>,
    /// The claim with the user's number.
    pub user_claim: String,
    /// The claim with the user's name.
    pub username_claim: String,
    /// The claim that makes an administrator where it is, or has, `admin_value`. Empty: none.
    pub admin_claim: String,
    /// See there.
    pub admin_value: String,
    /// By how much two clocks may differ.
    pub leeway: Duration,
}

pub(crate) struct Jwt {
    source: Source,
    options: JwtOptions,
}

/// Why a token names nobody.
pub(crate) enum NoClaim {
    /// It is not believed.
    Refused(Reason),
    /// The keys are not there; for the log.
    Unavailable(String),
}

impl From<Reason> for NoClaim {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl Jwt {
    /// # Errors
    /// Says what of the options cannot be.
    pub(crate) fn new(options: JwtOptions) -> Result<Self, String> {
        Ok(Self { source: Source::new(&options)?, options })
    }

    pub(crate) async fn claim(&self, text: &str, now: Timestamp) -> Result<Claim, NoClaim> {
        let token = Token::parse(text)?;
        let payload = self.source.verified(&token).await?;
        let claims: Value = serde_json::from_slice(&payload).map_err(|_| Reason::Malformed)?;
        self.check(&claims, now)?;
        let options = &self.options;
        let user_id = member(&claims, &options.user_claim).cloned().and_then(UserId::of).ok_or(Reason::NoUser)?;
        let username = member(&claims, &options.username_claim).and_then(Value::as_str).map(str::to_owned);
        let is_admin = says(&claims, &options.admin_claim, &options.admin_value);
        Ok(Claim { user_id, username, is_admin })
    }

    fn check(&self, claims: &Value, now: Timestamp) -> Result<(), Reason> {
        let now = now.as_duration().as_secs_f64();
        let leeway = self.options.leeway.as_secs_f64();
        let time = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or(Reason::Malformed)).transpose();
        // One without an end would count for ever.
        if time("exp")?.ok_or(Reason::Malformed)? + leeway <= now {
            return Err(Reason::Expired);
        }
        if time("nbf")?.is_some_and(|begins| begins - leeway > now) {
            return Err(Reason::NotYetValid);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&self.options.issuer) {
            return Err(Reason::WrongIssuer);
        }
        if !self.options.audiences.iter().any(|audience| is_for(claims, audience)) {
            return Err(Reason::WrongAudience);
        }
        Ok(())
    }
}

/// `aud` is a text, or a list of them.
fn is_for(claims: &Value, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(found)) => found == audience,
        Some(Value::Array(items)) => items.iter().any(|item| item.as_str() == Some(audience)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
