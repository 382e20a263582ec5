//! What the app's database last said, and for how long that counts.
//!
//! Promises that the same question is under way once at a time, that an answer counts for [`Terms::fresh`] and is
//! believed while the database is away for [`Terms::believed`] after it was given, and that no more than
//! [`Terms::entries_max`] answers are kept. That there is nothing counts for [`Terms::absent`] and is never believed
//! longer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) fresh: Duration,
    pub(crate) absent: Duration,
    pub(crate) believed: Duration,
    pub(crate) entries_max: usize,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known<V> {
    /// The answer, and it counts.
    Fresh(Option<V>),
    /// The answer of a while ago: to be believed if nothing newer can be had.
    Believed(V),
    /// Nothing.
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    terms: Terms,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    present: HashMap<K, (V, Instant)>,
    /// Apart, so that whoever asks for what is not there pushes out nothing that is.
    absent: HashMap<K, Instant>,
    under_way: HashMap<K, Arc<tokio::sync::Mutex<()>>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(crate) fn new(terms: Terms) -> Self {
        let inner = Inner { present: HashMap::new(), absent: HashMap::new(), under_way: HashMap::new() };
        Self { terms, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known(&self, key: &K, now: Instant) -> Known<V> {
        let inner = self.inner();
        let age = |at: Instant| now.saturating_duration_since(at);
        if let Some((value, at)) = inner.present.get(key) {
            return if age(*at) < self.terms.fresh {
                Known::Fresh(Some(value.clone()))
            } else if age(*at) < self.terms.believed {
                Known::Believed(value.clone())
            } else {
                Known::Unknown
            };
        }
        match inner.absent.get(key) {
            Some(at) if age(*at) < self.terms.absent => Known::Fresh(None),
            _ => Known::Unknown,
        }
    }

    /// Held by whoever asks the database about this key.
    pub(crate) fn turn(&self, key: &K) -> Turn<'_, K, V> {
        let lock = self.inner().under_way.entry(key.clone()).or_default().clone();
        Turn { cache: self, key: key.clone(), lock }
    }

    /// Keeps an answer as it was at `asked_at`, before the question was sent.
    pub(crate) fn keep(&self, key: K, value: Option<V>, asked_at: Instant) {
        let mut inner = self.inner();
        if let Some(value) = value {
            inner.absent.remove(&key);
            if inner.present.len() >= self.terms.entries_max && !inner.present.contains_key(&key) {
                make_room(&mut inner.present, self.terms, asked_at);
            }
            inner.present.insert(key, (value, asked_at));
            return;
        }
        inner.present.remove(&key);
        if inner.absent.len() >= self.terms.entries_max {
            inner.absent.clear();
        }
        inner.absent.insert(key, asked_at);
    }

    pub(crate) fn len(&self) -> usize {
        let inner = self.inner();
        inner.present.len() + inner.absent.len()
    }
}

/// A place in the line of those who ask about one key.
pub(crate) struct Turn<'a, K: Clone + Eq + Hash, V: Clone> {
    cache: &'a Cache<K, V>,
    key: K,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<K: Clone + Eq + Hash, V: Clone> Turn<'_, K, V> {
    pub(crate) async fn take(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.lock.lock().await
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Drop for Turn<'_, K, V> {
    fn drop(&mut self) {
        let mut inner = self.cache.inner();
        // The map's own and this one: nobody else waits.
        if Arc::strong_count(&self.lock) <= 2 {
            inner.under_way.remove(&self.key);
        }
    }
}

/// First what nobody would believe any more; then the oldest eighth.
fn make_room<K: Clone + Eq + Hash, V>(present: &mut HashMap<K, (V, Instant)>, terms: Terms, now: Instant) {
    present.retain(|_, (_, at)| now.saturating_duration_since(*at) < terms.believed.max(terms.fresh));
    if present.len() < terms.entries_max {
        return;
    }
    let mut times: Vec<Instant> = present.values().map(|(_, at)| *at).collect();
    times.sort_unstable();
    let oldest = times.get(times.len() / 8).copied().unwrap_or(now);
    present.retain(|_, (_, at)| *at > oldest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        fresh: Duration::from_secs(5),
        absent: Duration::from_secs(1),
        believed: Duration::from_secs(60),
        entries_max: 100,
    };

    #[test]
    fn an_answer_counts_then_is_believed_then_is_nothing() {
        let cache = Cache::new(TERMS);
        let then = Instant::now();
        cache.keep(1, Some("one"), then);
        cache.keep(2, None, then);
        let at = |ms: u64| then + Duration::from_millis(ms);
        assert_eq!(cache.known(&1, at(4_999)), Known::Fresh(Some("one")));
        assert_eq!(cache.known(&1, at(5_000)), Known::Believed("one"));
        assert_eq!(cache.known(&1, at(59_999)), Known::Believed("one"));
        assert_eq!(cache.known(&1, at(60_000)), Known::Unknown);
        assert_eq!(cache.known(&2, at(999)), Known::Fresh(None));
        assert_eq!(cache.known(&2, at(1_000)), Known::Unknown);
        cache.keep(1, None, at(6_000));
        assert_eq!(cache.known(&1, at(6_500)), Known::Fresh(None), "what is gone is not believed");
        assert_eq!(cache.known(&1, at(7_500)), Known::Unknown);
    }

    #[test]
    fn it_keeps_so_many_and_the_newest_of_them() {
        let cache = Cache::new(TERMS);
        let then = Instant::now();
        for key in 0..1_000 {
            cache.keep(key, Some(key), then + Duration::from_millis(key));
            cache.keep(10_000 + key, None, then);
            assert!(cache.len() <= 200, "{}", cache.len());
        }
        let now = then + Duration::from_secs(1);
        assert_eq!(cache.known(&999, now), Known::Fresh(Some(999)));
        assert_eq!(cache.known(&0, now), Known::Unknown);
        assert!((900..1_000).filter(|key| cache.known(key, now) != Known::Unknown).count() > 80);
    }
}
