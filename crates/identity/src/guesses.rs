//! The limit on guessing passwords: by address, and by username from one address.
//!
//! **Owns** what was counted, in this process and, with [`SharedGuesses`], in Redis for all nodes together.
//! **Promises** that no guess goes uncounted: what Redis cannot decide this process decides alone, and it has counted
//! every guess that came to it. So a Redis that is away makes the limit wider, by as many nodes as there are, and never
//! lets it go; and it makes no sign-in fail, nor wait for more than a moment.

mod shared;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

use self::shared::Shared;
pub use self::shared::SharedGuesses;

/// Counters kept before those that are full again are dropped.
const COUNTERS_MAX: usize = 10_000;

#[derive(Clone)]
pub(crate) struct Guesses {
    by_user: Arc<DefaultKeyedRateLimiter<(String, IpAddr)>>,
    by_address: Arc<DefaultKeyedRateLimiter<IpAddr>>,
    shared: Option<Shared>,
}

impl Guesses {
    pub(crate) fn new(per_minute_per_user: u32, per_minute_per_address: u32, shared: Option<&SharedGuesses>) -> Self {
        let (user, address) = (at_least_one(per_minute_per_user), at_least_one(per_minute_per_address));
        Self {
            by_user: Arc::new(RateLimiter::keyed(Quota::per_minute(user))),
            by_address: Arc::new(RateLimiter::keyed(Quota::per_minute(address))),
            shared: shared.and_then(|options| Shared::new(options, user, address)),
        }
    }

    /// Counts a guess, or says how long to wait for the next one.
    pub(crate) async fn count(&self, username: &str, address: IpAddr) -> Result<(), Duration> {
        let username = username.to_lowercase();
        // Here first, and always: what was counted here is what still holds when Redis goes away in the next moment.
        self.count_here(&username, address)?;
        match &self.shared {
            Some(shared) => shared.count(&username, address).await,
            None => Ok(()),
        }
    }

    fn count_here(&self, username: &str, address: IpAddr) -> Result<(), Duration> {
        let wait = |no: NotUntil<_>| no.wait_time_from(DefaultClock::default().now());
        // By address first: ten thousand names from one address must not fill memory with ten thousand counters.
        self.by_address.check_key(&address).map_err(wait)?;
        self.by_user.check_key(&(username.to_owned(), address)).map_err(wait)?;
        if self.by_user.len() > COUNTERS_MAX {
            self.by_user.retain_recent();
            self.by_address.retain_recent();
        }
        Ok(())
    }
}

fn at_least_one(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}
