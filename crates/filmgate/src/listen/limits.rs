//! The limits of a connection, in one place, each with its reason.

use std::time::Duration;

/// What hyper accepts as its smallest read buffer.
const HEADER_BUFFER_BYTES_MIN: usize = 8 * 1024;

/// Cameras take a photo a second: one that takes longer to arrive comes over a poor line.
pub const BODY_CRAWL_TIME: Duration = Duration::from_secs(1);

/// How long and how large each part of a connection may be.
#[derive(Clone, Debug)]
pub struct ListenLimits {
    /// From a connection's first moment, or the end of the last answer, to the end of the next
    /// request's header. Hence also the rest allowed to a kept-alive connection. Over HTTP/2:
    /// how long a connection without any request in flight is kept.
    pub header_read_timeout: Duration,
    /// The longest wait for the next byte of a body.
    pub body_idle_timeout: Duration,
    /// How long a body may be slower than [`Self::body_rate_min_bytes_per_second`]. Counted only
    /// while waiting for the client: time the server spends on its own disk is not held against it.
    pub body_grace: Duration,
    /// The average a body must keep once its grace is over. Zero: no floor.
    pub body_rate_min_bytes_per_second: u64,
    /// A body that its reader waited for so long crawls: it is told in steps of what has come. Over HTTP/1, where the
    /// length is known and large.
    pub body_crawl_time: Duration,
    /// The longest a body of unknown length may take. One of known length gets
    /// `body_grace + length / body_rate_min_bytes_per_second`, which the floor implies.
    pub body_total_timeout: Duration,
    /// The longest a write may wait for the client to make room.
    pub write_timeout: Duration,
    /// Connections at once; one more gets a 503. Each takes a descriptor, and an upload takes a
    /// second one for its file while there are enough: stay below three quarters of the limit.
    pub connections_max: usize,
    /// hyper's read buffer. It caps the request's header: a cookie that does not fit is a 431. It is also most of what a
    /// connection holds between two requests, or with a body that hyper reads, a small one. hyper takes nothing below 8 KB,
    /// so smaller values are raised to it. Over HTTP/2 it caps the header list.
    pub header_buffer_bytes: usize,
    /// The most that is read and thrown away after an early answer.
    pub linger_bytes_max: u64,
    /// The longest that reading and throwing away lasts. A client that looks for the answer only
    /// once it has sent everything must get everything out within it.
    pub linger_timeout: Duration,
    /// The longest a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// From the first signal to the cut.
    pub drain_deadline: Duration,
}

impl Default for ListenLimits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            body_grace: Duration::from_secs(30),
            body_rate_min_bytes_per_second: 256,
            body_crawl_time: BODY_CRAWL_TIME,
            body_total_timeout: Duration::from_secs(3600),
            write_timeout: Duration::from_secs(30),
            connections_max: 10_000,
            header_buffer_bytes: 16 * 1024,
            linger_bytes_max: 32 * 1024 * 1024,
            linger_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            drain_deadline: Duration::from_secs(30),
        }
    }
}

impl ListenLimits {
    /// As the semaphore that counts them wants it.
    pub(super) fn connections(&self) -> u32 {
        u32::try_from(self.connections_max).unwrap_or(u32::MAX)
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        self.header_buffer_bytes.max(HEADER_BUFFER_BYTES_MIN)
    }

    /// The hard end of a body, counted from its first moment.
    pub(super) fn body_total(&self, length: Option<u64>) -> Duration {
        match length {
            Some(length) if self.body_rate_min_bytes_per_second > 0 => {
                let seconds = length.div_ceil(self.body_rate_min_bytes_per_second);
                self.body_grace.saturating_add(Duration::from_secs(seconds))
            }
            _ => self.body_total_timeout,
        }
    }

    /// How often a waiting body is looked at. Coarse on purpose: re-arming a timer for each chunk
    /// would cost more than the chunk, and a breach found 5 seconds late harms nobody.
    pub(super) fn body_check_every(&self) -> Duration {
        let mut smallest = self.body_idle_timeout.min(self.body_total_timeout);
        if self.body_rate_min_bytes_per_second > 0 {
            smallest = smallest.min(self.body_grace);
        }
        (smallest / 2).clamp(Duration::from_millis(10), Duration::from_secs(5))
    }
}
