//! Guesses counted in Redis, by all nodes that ask the same one.
//!
//! One script counts a guess, so two nodes cannot both take the last one: GCRA, as `governor` does it in each process,
//! by Redis's own clock. Redis sees digests where names and addresses would be; whoever has a list of names can still
//! find those on it. Each counter goes by itself once it says nothing any more, a minute later at most.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// For a guess to be counted, a connection to be made included. Redis takes less than a millisecond for it; a person
/// who signs in shall not notice one that hangs.
const WAIT_MAX: Duration = Duration::from_millis(300);
/// After a failure Redis is left alone for so long. Else each sign-in would wait in vain.
const REST: Duration = Duration::from_secs(2);

/// For each counter in turn: refused, or counted. In the order of the keys, so that what the first refuses the second
/// never hears of. Answers the microseconds to wait; 0: counted. A counter holds the time at which all of its guesses
/// are forgiven. More than all of them it can never hold, or a clock that jumped back would lock everybody out.
const COUNT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local forgiven = tonumber(redis.call('GET', key) or now)
  forgiven = math.min(math.max(forgiven, now), now + interval * burst)
  local wait = forgiven - now - interval * (burst - 1)
  if wait > 0 then return math.ceil(wait) end
  forgiven = forgiven + interval
  redis.call('SET', key, string.format('%.0f', forgiven), 'PX', string.format('%.0f', math.ceil((forgiven - now) / 1000)))
end
return 0
";

/// Where guesses are counted for all nodes together.
#[derive(Clone)]
pub struct SharedGuesses {
    /// As in `redis://:password@127.0.0.1:6379/0`.
    pub redis_url: String,
    /// What keys in Redis begin with.
    pub key_prefix: String,
}

impl fmt::Debug for SharedGuesses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        formatter.debug_struct("SharedGuesses").field("key_prefix", &self.key_prefix).finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub(super) struct Shared {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    key_prefix: String,
    user: Rate,
    address: Rate,
    link: Mutex<Link>,
    /// So that the log hears of a change and not of each sign-in.
    is_away: AtomicBool,
}

#[derive(Clone, Copy)]
struct Rate {
    interval_us: u64,
    burst: u32,
}

impl Rate {
    fn per_minute(count: NonZeroU32) -> Self {
        Self { interval_us: 60_000_000 / u64::from(count.get()), burst: count.get() }
    }
}

enum Link {
    /// To be made by whoever needs it next.
    None,
    Connected(MultiplexedConnection),
    /// Nobody tries before this.
    Away(Instant),
}

impl Shared {
    /// None where the URL is none: each process counts by itself then.
    pub(super) fn new(options: &SharedGuesses, user: NonZeroU32, address: NonZeroU32) -> Option<Self> {
        let Ok(client) = Client::open(options.redis_url.as_str()) else {
            tracing::error!("the URL of redis cannot be used; sign-in guesses are counted by each node for itself");
            return None;
        };
        Some(Self {
            inner: Arc::new(Inner {
                client,
                key_prefix: options.key_prefix.clone(),
                user: Rate::per_minute(user),
                address: Rate::per_minute(address),
                link: Mutex::new(Link::None),
                is_away: AtomicBool::new(false),
            }),
        })
    }

    /// Counts a guess, or says how long to wait for the next one. Without Redis the guess is let through: this process
    /// has counted it already.
    pub(super) async fn count(&self, username: &str, address: IpAddr) -> Result<(), Duration> {
        let inner = &self.inner;
        match tokio::time::timeout(WAIT_MAX, inner.count(username, address)).await {
            // Left alone for now.
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(wait_us))) => {
                if inner.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("redis is back; sign-in guesses are counted by all nodes together again");
                }
                if wait_us == 0 { Ok(()) } else { Err(Duration::from_micros(wait_us)) }
            }
            Ok(Err(error)) => {
                inner.leave_alone(&inner.told(&error));
                Ok(())
            }
            Err(_) => {
                inner.leave_alone("no answer in time");
                Ok(())
            }
        }
    }
}

impl Inner {
    async fn count(&self, username: &str, address: IpAddr) -> RedisResult<Option<u64>> {
        let Some((mut connection, is_new)) = self.connection(false).await? else { return Ok(None) };
        match self.ask(&mut connection, username, address).await {
            // Redis ends connections that rest for long. At worst this guess is counted twice.
            Err(error) if !is_new && error.is_unrecoverable_error() => {
                let Some((mut connection, _)) = self.connection(true).await? else { return Ok(None) };
                self.ask(&mut connection, username, address).await.map(Some)
            }
            asked => asked.map(Some),
        }
    }

    /// The connection, and whether it was made for this question. None: Redis is left alone for now.
    async fn connection(&self, anew: bool) -> RedisResult<Option<(MultiplexedConnection, bool)>> {
        // One makes it and the others wait, each for WAIT_MAX in all.
        let mut link = self.link.lock().await;
        match &*link {
            Link::Connected(connection) if !anew => return Ok(Some((connection.clone(), false))),
            Link::Away(until) if Instant::now() < *until => return Ok(None),
            Link::Connected(_) | Link::Away(_) | Link::None => {}
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(WAIT_MAX)).set_response_timeout(Some(WAIT_MAX));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        *link = Link::Connected(connection.clone());
        Ok(Some((connection, true)))
    }

    async fn ask(&self, connection: &mut MultiplexedConnection, username: &str, address: IpAddr) -> RedisResult<u64> {
        let mut count = redis::cmd("EVAL");
        count.arg(COUNT).arg(2);
        count.arg(self.key("address", &[&address.to_string()]));
        count.arg(self.key("user", &[&address.to_string(), username]));
        for rate in [self.address, self.user] {
            count.arg(rate.interval_us).arg(rate.burst);
        }
        count.query_async(connection).await
    }

    fn key(&self, kind: &str, parts: &[&str]) -> String {
        let mut digest = Sha256::new();
        for part in [&[kind], parts].concat() {
            // Lengths in front: two parts must not be cut otherwise and look alike.
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        format!("{}guesses:{kind}:{}", self.key_prefix, hex::encode(&digest.finalize()[..16]))
    }

    fn leave_alone(&self, why: &str) {
        // Who holds it just now makes a connection, and finds out for themselves.
        if let Ok(mut link) = self.link.try_lock() {
            *link = Link::Away(Instant::now() + REST);
        }
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = why, "redis is away; sign-in guesses are counted by each node for itself");
        }
    }

    /// An error in words, without what is secret.
    fn told(&self, error: &redis::RedisError) -> String {
        let mut text = error.to_string();
        let settings = self.client.get_connection_info().redis_settings();
        for secret in [settings.password(), settings.username()].into_iter().flatten().filter(|word| !word.is_empty()) {
            text = text.replace(secret, "(hidden)");
        }
        text
    }
}
