//! Flask-Login's remember token: `user id|hex of HMAC-SHA512(secret key, user id)`. It carries no time of its own: it
//! counts until the key changes, or the app no longer knows the user as active.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

use super::unquoted;
use crate::claim::UserId;
use crate::refused::Reason;

/// A signature in hex, and an id of any sensible length.
const TOKEN_BYTES_MAX: usize = 1024;

pub(super) struct RememberReader {
    signer: Hmac<Sha512>,
}

impl RememberReader {
    pub(super) fn new(key: &[u8]) -> Self {
        let signer = <Hmac<Sha512> as KeyInit>::new_from_slice(key);
        Self { signer: signer.unwrap_or_else(|_| unreachable!("a key of HMAC has any length")) }
    }

    pub(super) fn read(&self, value: &[u8]) -> Result<UserId, Reason> {
        let value = unquoted(value);
        if value.len() > TOKEN_BYTES_MAX {
            return Err(Reason::Oversized);
        }
        let at = value.iter().rposition(|byte| *byte == b'|').ok_or(Reason::Malformed)?;
        let (user_id, signature) = (&value[..at], &value[at + 1..]);
        let mut bytes = [0; 64];
        hex::decode_to_slice(signature, &mut bytes).map_err(|_| Reason::Malformed)?;
        self.signer.clone().chain_update(user_id).verify_slice(&bytes).map_err(|_| Reason::BadSignature)?;
        Ok(UserId::Text(String::from_utf8_lossy(user_id).into_owned()))
    }
}
