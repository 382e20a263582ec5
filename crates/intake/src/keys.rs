//! Idempotency keys: a retry gets the first answer, and stores nothing twice.
//!
//! Follows draft-ietf-httpapi-idempotency-key-header: the same key for another request is refused (422), a key whose
//! request still runs is a conflict (409). Requests are compared by the digest of their parsed parts, because a retry
//! is sent with another multipart boundary.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::Refusal;

type Key = (i64, String);

/// Keys whose requests are running in this process.
#[derive(Clone, Default)]
pub(crate) struct KeysInProgress {
    running: Arc<Mutex<HashSet<Key>>>,
}

/// Holds a key for as long as its request runs.
pub(crate) struct HeldKey {
    keys: KeysInProgress,
    key: Key,
}

impl KeysInProgress {
    pub(crate) fn hold(&self, user_id: i64, key: &str) -> Result<HeldKey, Refusal> {
        let key = (user_id, key.to_owned());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !running.insert(key.clone()) {
            return Err(Refusal::IdempotencyKeyInProgress);
        }
        drop(running);
        Ok(HeldKey { keys: self.clone(), key })
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        self.keys.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// A key as sent, bare or as a quoted string of RFC 8941.
pub(crate) fn parse(header: &str) -> Result<String, Refusal> {
    let key = header.trim();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Ok(key.to_owned())
    } else {
        Err(Refusal::BadIdempotencyKey)
    }
}

/// Digests a request's parsed parts, in whatever order they came.
#[derive(Default)]
pub(crate) struct RequestDigest {
    parts: Vec<[u8; 32]>,
}

impl RequestDigest {
    /// One part: what it is, its name, and its content or the content's hash.
    pub(crate) fn add(&mut self, kind: &str, name: &str, content: &[u8]) {
        let mut hasher = Sha256::new();
        // Lengths in front: two parts must not be cut otherwise and look alike.
        for piece in [kind.as_bytes(), name.as_bytes(), content] {
            hasher.update((piece.len() as u64).to_le_bytes());
            hasher.update(piece);
        }
        self.parts.push(hasher.finalize().into());
    }

    pub(crate) fn finish(mut self) -> [u8; 32] {
        self.parts.sort_unstable();
        let mut hasher = Sha256::new();
        for part in &self.parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::{KeysInProgress, RequestDigest, parse};

    #[test]
    fn keys_are_bare_or_quoted() {
        assert_eq!(parse(" \"a b\" ").unwrap(), "a b");
        assert_eq!(parse("8e03978e").unwrap(), "8e03978e");
        for bad in ["", "\"\"", "grüße", "a\u{7f}"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert!(parse(&"k".repeat(256)).is_err());
    }

    #[test]
    fn a_held_key_is_refused_until_it_is_dropped() {
        let keys = KeysInProgress::default();
        let held = keys.hold(1, "k").unwrap();
        assert!(keys.hold(1, "k").is_err());
        assert!(keys.hold(2, "k").is_ok());
        drop(held);
        assert!(keys.hold(1, "k").is_ok());
    }

    #[test]
    fn digests_do_not_depend_on_order_but_on_every_part() {
        let digest = |parts: &[(&str, &str, &str)]| {
            let mut digest = RequestDigest::default();
            for (kind, name, content) in parts {
                digest.add(kind, name, content.as_bytes());
            }
            digest.finish()
        };
        let one = digest(&[("text", "a", "1"), ("file", "b", "2")]);
        assert_eq!(one, digest(&[("file", "b", "2"), ("text", "a", "1")]));
        assert_ne!(one, digest(&[("text", "a", "1"), ("file", "b", "3")]));
        assert_ne!(one, digest(&[("text", "a", "1")]));
        assert_ne!(digest(&[("text", "ab", "c")]), digest(&[("text", "a", "bc")]));
    }
}
