//! What every upload asks and what seldom changes, in memory: whose a token or a sign-in is, and what gates a session.
//!
//! An answer is good for one *version* of the catalog. A write of this process that may change such a row begins a new
//! version after its commit and before its own caller hears of it: what was revoked here is refused from then on. Of the
//! writes of other processes (a command beside the server) the engine learns within [`LOOK_INTERVAL`], and those wait for
//! that before they end ([`Records::noticed`](crate::Records::noticed)). Where several nodes share the catalog nothing is
//! remembered: [`Engine::version`] gives none.
//!
//! Nothing stored depends on it: what gates a session is looked at again in the transaction that records its captures.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::db::Db;
use crate::engine::Engine;
use crate::{Result, SessionGate, TokenScope, User};

/// For how long the change of another process may stay unseen.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Most answers to one kind of question.
const ENTRIES_MAX: usize = 16 * 1024;

/// Which state of the catalog an answer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(pub(crate) u64);

/// The answers to one kind of question. What is not there is asked each time: made-up names must not fill the memory.
pub(crate) struct Answers<K, V>(Mutex<HashMap<K, (Version, V)>>);

/// All that is remembered.
#[derive(Default)]
pub(crate) struct Remembered {
    pub(crate) gates: Answers<Uuid, SessionGate>,
    /// By the hash of its secret: whose it is, and until when.
    pub(crate) tokens: Answers<[u8; 32], (TokenScope, Option<User>, Option<Timestamp>)>,
    pub(crate) sign_ins: Answers<[u8; 32], (User, Timestamp)>,
}

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Copy + Eq + Hash, V: Clone + Send + 'static> Answers<K, V> {
    /// The remembered answer, or the catalog's own.
    pub(crate) async fn or_ask(
        &self,
        engine: &Engine,
        key: K,
        ask: impl Fn(&Db<'_>) -> Result<Option<V>> + Send + 'static,
    ) -> Result<Option<V>> {
        // Before the catalog is asked: a change meanwhile leaves an answer of a version that is over.
        let Some(version) = engine.version() else { return Box::pin(engine.read(ask)).await };
        if let Some(known) = self.get(key, version) {
            return Ok(Some(known));
        }
        // Boxed: every upload would carry its room for as long as it crawls.
        let found = Box::pin(engine.read(ask)).await?;
        if let Some(found) = &found {
            self.put(key, version, found.clone());
        }
        Ok(found)
    }

    fn get(&self, key: K, version: Version) -> Option<V> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(&key).filter(|(of, _)| *of == version).map(|(_, answer)| answer.clone())
    }

    fn put(&self, key: K, version: Version, answer: V) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ENTRIES_MAX {
            answers.retain(|_, (of, _)| *of == version);
        }
        if answers.len() >= ENTRIES_MAX {
            answers.clear();
        }
        answers.insert(key, (version, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, ENTRIES_MAX, Version};

    #[test]
    fn an_answer_is_good_for_its_version_and_there_are_so_many() {
        let answers = Answers::<usize, usize>::default();
        answers.put(1, Version(1), 10);
        assert_eq!(answers.get(1, Version(1)), Some(10));
        assert_eq!(answers.get(1, Version(2)), None);
        answers.put(1, Version(2), 11);
        assert_eq!((answers.get(1, Version(2)), answers.get(1, Version(1))), (Some(11), None));
        for key in 0..3 * ENTRIES_MAX {
            answers.put(key, Version(3), key);
            assert_eq!(answers.get(key, Version(3)), Some(key));
            assert!(answers.0.lock().unwrap().len() <= ENTRIES_MAX);
        }
    }
}
