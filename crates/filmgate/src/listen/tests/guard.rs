//! The body's clock by itself, on a paused clock: exact, where the socket tests cannot be.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use super::super::BodyTimeout;
use super::super::body::GuardedBody;
use super::*;

/// Gives a piece of some bytes, each so long after the one before, and never ends.
struct Dripping {
    bytes: usize,
    every: Duration,
    next: Pin<Box<Sleep>>,
}

fn dripping(bytes: usize, every: Duration) -> Dripping {
    Dripping { bytes, every, next: Box::pin(tokio::time::sleep(every)) }
}

impl Body for Dripping {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        std::task::ready!(self.next.as_mut().poll(cx));
        let next = Instant::now() + self.every;
        self.next.as_mut().reset(next);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; self.bytes])))))
    }
}

fn limits() -> ListenLimits {
    ListenLimits { body_total_timeout: Duration::from_secs(600), ..ListenLimits::default() }
}

/// How a body ends, and after how long.
async fn end_of(limits: ListenLimits, body: Dripping) -> (BodyTimeout, Duration) {
    let from = Instant::now();
    let mut body = axum::body::Body::new(GuardedBody::new(body, Arc::new(limits), None));
    loop {
        if let Err(error) = body.frame().await.expect("ended well") {
            assert!(body.frame().await.is_none(), "a body goes on after its end");
            return (body_timeout(&error).expect("another error"), from.elapsed());
        }
    }
}

const CHECK: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_idle_limit() {
    let (why, after) = end_of(limits(), dripping(1, Duration::from_secs(10_000))).await;
    assert_eq!(why, BodyTimeout::Idle);
    assert!(after >= limits().body_idle_timeout && after <= limits().body_idle_timeout + 2 * CHECK);
}

#[tokio::test(start_paused = true)]
async fn a_drip_ends_after_the_grace() {
    let (why, after) = end_of(limits(), dripping(200, Duration::from_secs(1))).await;
    assert_eq!(why, BodyTimeout::TooSlow);
    assert!(after >= limits().body_grace && after <= limits().body_grace + 2 * CHECK, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn at_the_floor_only_the_total_ends_it() {
    let (why, after) = end_of(limits(), dripping(300, Duration::from_secs(1))).await;
    assert_eq!(why, BodyTimeout::Total);
    assert!(after >= limits().body_total_timeout, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn no_floor_means_no_floor() {
    let limits = ListenLimits { body_rate_min_bytes_per_second: 0, ..limits() };
    let (why, _) = end_of(limits, dripping(1, Duration::from_secs(20))).await;
    assert_eq!(why, BodyTimeout::Total);
}

#[test]
fn a_known_length_sets_its_own_total() {
    let limits = limits();
    assert_eq!(limits.body_total(Some(2560)), limits.body_grace + Duration::from_secs(10));
    assert_eq!(limits.body_total(None), limits.body_total_timeout);
    // And a length of the largest number overflows nothing.
    assert!(limits.body_total(Some(u64::MAX)) > Duration::from_secs(1 << 50));
}

#[test]
fn a_timeout_is_found_however_deep_it_lies() {
    let deep = io::Error::other(axum::Error::new(io::Error::other(BodyTimeout::TooSlow)));
    assert_eq!(body_timeout(&deep), Some(BodyTimeout::TooSlow));
    assert_eq!(body_timeout(&io::Error::other("something else")), None);
}
