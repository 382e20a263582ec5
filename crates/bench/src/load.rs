//! What is asked for: who comes, how often, with what; and how a request of theirs looks.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::photo::Photo;

/// The load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Between two uploads of a user; zero: each sends the next as soon as the last was answered.
    pub interval: Duration,
    /// How the users' uploads lie in time.
    pub arrivals: Arrivals,
    /// How long is measured.
    pub duration: Duration,
    /// How long the same load runs before that, uncounted.
    pub warm_up: Duration,
    /// After which time without an answer a request is given up, and counted as failed.
    pub give_up_after: Duration,
    /// Most uploads under way at once; what is due beyond them waits, and is late.
    pub in_flight_max: usize,
    /// Uploads held open beside it.
    pub slow: Slow,
    /// Between two requests of the quick route; zero: it is not asked.
    pub quick_interval: Duration,
    /// How long the quick route is asked alone first, to compare with.
    pub alone: Duration,
    /// What chance begins with.
    pub seed: u64,
}

/// How uploads lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Each user every interval, the users spread evenly over it.
    Even,
    /// Each user every interval, all at the same moment, as a class that was told to begin.
    Together,
    /// By chance, at the same mean rate.
    Poisson,
}

impl Arrivals {
    /// As the report names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Together => "together",
            Self::Poisson => "poisson",
        }
    }
}

/// Uploads held open at a trickle.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// How many at once.
    pub uploads: usize,
    /// What each is fed.
    pub bytes_per_second: u32,
    /// Whether they send their rest at the end, to see whether they are stored; otherwise they are let go.
    pub is_finished: bool,
}

/// Somebody who uploads: on which session, and what says who they are.
#[derive(Clone, Debug)]
pub struct User {
    /// The session, as the server names it.
    pub session: String,
    /// A header, where one is needed.
    pub credential: Option<(HeaderName, HeaderValue)>,
}

/// A request to be sent. `Host` and `Content-Length` are added.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its body, in pieces that are not copied.
    pub body: Vec<Bytes>,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A 2xx.
    Taken {
        /// Captures stored.
        stored: u64,
        /// Tasks queued.
        queued: u64,
        /// Captures that were not wanted.
        skipped: u64,
    },
    /// Anything else, under a code that is counted.
    Refused {
        /// Such as `429 too_many_uploads`.
        code: String,
        /// What the server said.
        words: String,
    },
}

/// How a server is spoken to. The engine needs no more of a protocol than this.
pub trait Dialect: Send + Sync + 'static {
    /// The upload of one photo; `serial` is another number each time.
    fn upload(&self, user: &User, photo: &Photo, serial: u64) -> Outgoing;
    /// The request that must be quick whatever else goes on.
    fn quick(&self, user: &User) -> Outgoing;
    /// What the answer to an upload means.
    fn judge(&self, status: StatusCode, body: &[u8]) -> Verdict;
}
