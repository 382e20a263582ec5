//! Flask's session cookie: `payload.timestamp.signature`, as itsdangerous' `URLSafeTimedSerializer` writes it.
//!
//! The signature is looked at before anything is unpacked or parsed: nothing here works on what a stranger wrote, but
//! for splitting it at its dots.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use sha1::Sha1;

use super::keys::Key;
use super::unquoted;
use crate::claim::UserId;
use crate::refused::Reason;

/// Browsers keep cookies of 4 KiB; whoever sends much more is no browser.
const COOKIE_BYTES_MAX: usize = 8 * 1024;
/// What a cookie of that size may unpack to. Flask's own sessions are a hundredth of it.
const JSON_BYTES_MAX: usize = 64 * 1024;
/// A cookie from the future is refused, as itsdangerous does; by so much the clock of the app's machine may be ahead.
const CLOCK_SKEW_SECONDS_MAX: i64 = 5;

/// What of a session matters here.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) is_empty: bool,
    pub(super) user_id: Option<UserId>,
    /// What Flask-Login bound it to: [`super::protection::identifier`].
    pub(super) identifier: Option<String>,
    pub(super) is_permanent: bool,
    /// The user has signed out: the remember token beside it is not to sign them in again.
    pub(super) remember_is_cleared: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self { is_empty: true, user_id: None, identifier: None, is_permanent: false, remember_is_cleared: false }
    }
}

pub(super) struct SessionReader {
    /// One for each key, its key schedule done.
    signers: Vec<Hmac<Sha1>>,
    max_age_seconds: i64,
}

impl SessionReader {
    pub(super) fn new(keys: &[Key], salt: &str, max_age: Duration) -> Self {
        // key_derivation="hmac": what signs is HMAC(secret key, salt).
        let derived = |key: &Key| hmac_of(key.of_sessions()).chain_update(salt.as_bytes()).finalize().into_bytes();
        Self {
            signers: keys.iter().map(|key| hmac_of(&derived(key))).collect(),
            max_age_seconds: i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX),
        }
    }

    pub(super) fn read(&self, value: &[u8], now: Timestamp) -> Result<Session, Reason> {
        let value = unquoted(value);
        if value.len() > COOKIE_BYTES_MAX {
            return Err(Reason::Oversized);
        }
        let (signed, signature) = split_last(value).ok_or(Reason::Malformed)?;
        let (payload, signed_at) = split_last(signed).ok_or(Reason::Malformed)?;
        let mut bytes = [0; 20];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes).map_err(|_| Reason::BadSignature)?;
        // Each in constant time, and all of them: which key made it is not to be told by the clock either.
        let is_signed = self.signers.iter().fold(false, |found, signer| {
            found | signer.clone().chain_update(signed).verify_slice(&bytes[..length]).is_ok()
        });
        if !is_signed {
            return Err(Reason::BadSignature);
        }
        self.check_age(signed_at, now)?;
        let json = unpack(payload)?;
        serde_json::from_slice(&json).map_err(|_| Reason::Malformed)
    }

    fn check_age(&self, signed_at: &[u8], now: Timestamp) -> Result<(), Reason> {
        let mut bytes = [0; 8];
        let length = URL_SAFE_NO_PAD.decode_slice(signed_at, &mut bytes).map_err(|_| Reason::Malformed)?;
        let seconds = bytes[..length].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let age = now.as_second().saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX));
        if age > self.max_age_seconds {
            Err(Reason::Expired)
        } else if age < -CLOCK_SKEW_SECONDS_MAX {
            Err(Reason::NotYetValid)
        } else {
            Ok(())
        }
    }
}

fn hmac_of(key: &[u8]) -> Hmac<Sha1> {
    <Hmac<Sha1> as KeyInit>::new_from_slice(key).unwrap_or_else(|_| unreachable!("a key of HMAC has any length"))
}

fn split_last(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = value.iter().rposition(|byte| *byte == b'.')?;
    Some((&value[..at], &value[at + 1..]))
}

/// Base64, and zlib below it where it begins with a dot.
fn unpack(payload: &[u8]) -> Result<Vec<u8>, Reason> {
    let compressed = payload.strip_prefix(b".");
    let bytes = URL_SAFE_NO_PAD.decode(compressed.unwrap_or(payload)).map_err(|_| Reason::Malformed)?;
    if compressed.is_none() {
        return Ok(bytes);
    }
    decompress_to_vec_zlib_with_limit(&bytes, JSON_BYTES_MAX).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => Reason::Oversized,
        _ => Reason::Malformed,
    })
}

/// Flask tags what JSON cannot say (`{" u": "…"}`); none of the members read here is ever such a thing, and a user id
/// that is one is no integer.
impl<'de> Deserialize<'de> for Session {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Session;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Session, A::Error> {
                let mut session = Session::default();
                while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    session.is_empty = false;
                    match name.as_ref() {
                        "_user_id" => session.user_id = UserId::of(map.next_value()?),
                        "_id" => session.identifier = map.next_value::<Value>()?.as_str().map(str::to_owned),
                        "_permanent" => session.is_permanent = is_true(&map.next_value()?),
                        "_remember" => {
                            session.remember_is_cleared = map.next_value::<Value>()?.as_str() == Some("clear");
                        }
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(session)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// As Python sees it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests;
