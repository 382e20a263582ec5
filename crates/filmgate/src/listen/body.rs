//! A request body that does not wait for ever.
//!
//! **Owns** the clock of one body: idle, average rate, total, and from when on it crawls. **Promises** one timer a body, made
//! only when the client is first waited for; no timer and no allocation for a chunk. **Leaves**
//! to the handler what to answer: the error it meets holds a [`BodyTimeout`]; to [`direct`](super::direct) where
//! a large body goes on.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::direct::{LARGE_BYTES_MIN, Rest};
use super::limits::ListenLimits;
use super::service::{BodyState, Connection};

/// Why a body was given up. Answer 408.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyTimeout {
    /// Nothing came for longer than `body_idle_timeout`.
    Idle,
    /// The average fell below `body_rate_min_bytes_per_second` after the grace.
    TooSlow,
    /// The body as a whole took too long.
    Total,
}

impl fmt::Display for BodyTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "the client stopped sending the request body",
            Self::TooSlow => "the client sent the request body too slowly",
            Self::Total => "the request body took too long as a whole",
        })
    }
}

impl Error for BodyTimeout {}

/// Finds the [`BodyTimeout`] at any depth of an error met while reading a body. Multipart readers,
/// extractors and I/O adapters each wrap it in their own.
pub fn body_timeout(error: &(dyn Error + 'static)) -> Option<BodyTimeout> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<BodyTimeout>() {
            return Some(*found);
        }
        // io::Error::source() steps over the error it carries and goes on with that one's source.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    None
}

/// The body handed to the router. `B` is hyper's, or a scripted one in tests.
pub(super) struct GuardedBody<B> {
    inner: B,
    limits: Arc<ListenLimits>,
    /// HTTP/1 only: how far this body has come decides how its connection ends.
    connection: Option<Arc<Connection>>,
    /// Of which length, where it says so.
    length_bytes: Option<u64>,
    /// Where it goes on since hyper has let go.
    rest: Option<Arc<dyn Rest>>,
    deadline: Instant,
    received_bytes: u64,
    /// With what lay in the kernel when it was last looked at.
    arrived_bytes: u64,
    /// Time spent waiting for the client, without the wait under way.
    waited: Duration,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    crawls: bool,
    ended: bool,
}

impl<B: Body> GuardedBody<B> {
    pub(super) fn new(inner: B, limits: Arc<ListenLimits>, connection: Option<Arc<Connection>>) -> Self {
        let length_bytes = inner.size_hint().exact();
        let total = limits.body_total(length_bytes);
        let now = Instant::now();
        if let Some(connection) = &connection {
            connection.set_body(BodyState::Untouched);
        }
        Self {
            inner,
            limits,
            connection,
            length_bytes,
            rest: None,
            // Without overflow for a length nobody will live to see.
            deadline: now.checked_add(total).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365)),
            received_bytes: 0,
            arrived_bytes: 0,
            waited: Duration::ZERO,
            waiting_since: None,
            timer: None,
            crawls: false,
            ended: false,
        }
    }

    fn note(&self, state: BodyState) {
        if let Some(connection) = &self.connection {
            connection.set_body(state);
        }
    }

    fn stop_waiting(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    fn breach(&self, now: Instant, since: Instant) -> Option<BodyTimeout> {
        let this_wait = now.duration_since(since);
        if this_wait > self.limits.body_idle_timeout {
            return Some(BodyTimeout::Idle);
        }
        let waited = self.waited + this_wait;
        let rate = self.limits.body_rate_min_bytes_per_second;
        if waited > self.limits.body_grace {
            let wanted = u128::from(rate) * waited.as_millis();
            if u128::from(self.received_bytes.max(self.arrived_bytes)) * 1000 < wanted {
                return Some(BodyTimeout::TooSlow);
            }
        }
        (now > self.deadline).then_some(BodyTimeout::Total)
    }

    /// Nothing more is there yet: pending, or the breach that ends it.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<BodyTimeout> {
        let mut since = *self.waiting_since.get_or_insert_with(Instant::now);
        let every = self.limits.body_check_every();
        let first = every.min(self.limits.body_crawl_time);
        let mut timer = self.timer.take().unwrap_or_else(|| Box::pin(tokio::time::sleep_until(since + first)));
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            // What lies in the kernel for want of more has come all the same.
            let arrived = self.received_bytes + self.rest.as_ref().map_or(0, |rest| rest.unread_bytes());
            if arrived > self.arrived_bytes && self.rest.is_some() {
                self.stop_waiting();
                since = *self.waiting_since.insert(now);
            }
            self.arrived_bytes = arrived;
            if let Some(breach) = self.breach(now, since) {
                return Poll::Ready(breach);
            }
            self.look_for_crawl(now.duration_since(since));
            timer.as_mut().reset(now + every);
        }
        self.timer = Some(timer);
        Poll::Pending
    }

    /// A body that has kept its reader waiting for so long crawls.
    fn look_for_crawl(&mut self, this_wait: Duration) {
        self.crawls |= self.waited + this_wait >= self.limits.body_crawl_time / 2;
        if !self.crawls {
            return;
        }
        match (&self.rest, &self.connection) {
            (Some(rest), _) => rest.crawls(),
            (None, Some(connection)) if self.left_bytes().is_some_and(|left| left >= LARGE_BYTES_MIN) => {
                connection.set_large();
            }
            (None, _) => {}
        }
    }

    fn left_bytes(&self) -> Option<u64> {
        self.length_bytes.map(|length| length.saturating_sub(self.received_bytes))
    }
}

impl<B> GuardedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// The next piece, from wherever the body is.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.rest.is_none() {
            let polled = Pin::new(&mut self.inner).poll_frame(cx);
            // hyper passes on what it had read, and then ends as if that were all.
            if let Poll::Ready(None | Some(Err(_))) = &polled {
                self.rest = self.connection.as_ref().and_then(|connection| connection.borrow_rest());
                if let Some(rest) = self.rest.as_ref().filter(|_| self.crawls) {
                    rest.crawls();
                }
            }
            if self.rest.is_none() {
                return polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)));
            }
        }
        let left = self.left_bytes().unwrap_or_default();
        let Some(rest) = self.rest.as_ref().filter(|_| left > 0) else { return Poll::Ready(None) };
        rest.poll_next(cx, left).map(|piece| match piece {
            Ok(piece) if piece.is_empty() => Some(Err("the connection ended before the request body did".into())),
            Ok(piece) => Some(Ok(Frame::data(piece))),
            Err(error) => Some(Err(error.into())),
        })
    }

    fn is_at_end(&self) -> bool {
        if self.rest.is_some() { self.left_bytes() == Some(0) } else { self.inner.is_end_stream() }
    }
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        match this.poll_piece(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.stop_waiting();
                if let Some(data) = frame.data_ref() {
                    this.received_bytes += data.len() as u64;
                }
                this.note(if this.is_at_end() { BodyState::Whole } else { BodyState::Partial });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.ended = true;
                this.note(BodyState::Whole);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.ended = true;
                this.note(BodyState::Broken);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => match this.wait(cx) {
                Poll::Ready(breach) => {
                    this.ended = true;
                    this.note(BodyState::Broken);
                    Poll::Ready(Some(Err(Box::new(breach))))
                }
                Poll::Pending => {
                    if this.received_bytes == 0 {
                        this.note(BodyState::Partial);
                    }
                    Poll::Pending
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.is_at_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.left_bytes().map_or_else(|| self.inner.size_hint(), SizeHint::with_exact)
    }
}
