//! Secrets of sign-ins and tokens: 256 random bits, kept only as their SHA-256.
//!
//! A hash is looked up by equality in an index; that leaks nothing of use, because whoever could learn the hash
//! byte by byte would still need its preimage.

use sha2::{Digest, Sha256};

use crate::Error;

/// Marks our tokens, so that scanners for leaked secrets find them.
const TOKEN_PREFIX: &str = "fgt_";

fn random_text() -> Result<String, Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(format!("no randomness: {error}")))?;
    Ok(hex::encode(bytes))
}

pub(crate) fn new_sign_in() -> Result<String, Error> {
    random_text()
}

pub(crate) fn new_token() -> Result<String, Error> {
    Ok(format!("{TOKEN_PREFIX}{}", random_text()?))
}

/// Whether this looks like a token of ours at all; spares the catalog other people's.
pub fn is_token(text: &str) -> bool {
    text.strip_prefix(TOKEN_PREFIX).is_some_and(|rest| rest.len() == 64)
}

/// What is kept of a secret.
pub fn hash_of(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
