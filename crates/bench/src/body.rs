//! A request's body: at once, or at a trickle.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// A trickle shared by all slow uploads: how much, and when it is over.
#[derive(Debug)]
pub(crate) struct Trickle {
    pub(crate) bytes_per_second: u32,
    /// Set once the rest is to be sent at once.
    pub(crate) is_over: AtomicBool,
    /// Bodies that began to flow.
    pub(crate) begun: AtomicUsize,
}

impl Trickle {
    /// Time between two pieces, and their size. A camera on a thin line sends small pieces often; one a second is as
    /// slow for the server and costs this client, who holds ten thousand, a tenth.
    fn piece(&self) -> (Duration, usize) {
        let bytes = usize::try_from(self.bytes_per_second).unwrap_or(usize::MAX).max(1);
        if bytes <= 4096 { (Duration::from_secs(1), bytes) } else { (Duration::from_millis(100), bytes.div_ceil(10)) }
    }
}

/// A body's place in the trickle, and when its next piece is due; nothing yet before the first.
type Flow = (Arc<Trickle>, Option<Pin<Box<Sleep>>>);

pub(crate) struct Sending {
    pieces: VecDeque<Bytes>,
    left: u64,
    trickle: Option<Flow>,
}

impl Sending {
    pub(crate) fn at_once(pieces: Vec<Bytes>) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: pieces.into(), left, trickle: None }
    }

    pub(crate) fn slowly(pieces: Vec<Bytes>, trickle: Arc<Trickle>) -> Self {
        Self { trickle: Some((trickle, None)), ..Self::at_once(pieces) }
    }

    fn take(&mut self, most: usize) -> Option<Bytes> {
        let piece = self.pieces.front_mut()?;
        let taken = if piece.len() > most { piece.split_to(most) } else { self.pieces.pop_front()? };
        self.left -= taken.len() as u64;
        Some(taken)
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let mut most = usize::MAX;
        if let Some((trickle, sleep)) = &mut this.trickle
            && !trickle.is_over.load(Ordering::Relaxed)
        {
            let (every, size) = trickle.piece();
            most = size;
            match sleep {
                None => {
                    trickle.begun.fetch_add(1, Ordering::Relaxed);
                    *sleep = Some(Box::pin(tokio::time::sleep(every)));
                }
                Some(sleep) => {
                    ready!(sleep.as_mut().poll(context));
                    let next = sleep.deadline() + every;
                    // Behind by more than one: it goes on from now, and does not catch up in a burst.
                    let next = if next < Instant::now() { Instant::now() + every } else { next };
                    sleep.as_mut().reset(next);
                }
            }
            if trickle.is_over.load(Ordering::Relaxed) {
                most = usize::MAX;
            }
        }
        Poll::Ready(this.take(most).map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test(start_paused = true)]
    async fn a_trickle_keeps_its_rate_and_ends_when_told() {
        let trickle =
            Arc::new(Trickle { bytes_per_second: 10, is_over: AtomicBool::new(false), begun: AtomicUsize::new(0) });
        let mut body = Sending::slowly(vec![Bytes::from(vec![7; 100])], trickle.clone());
        let began = Instant::now();
        for _ in 0..4 {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 10);
        }
        assert_eq!(began.elapsed().as_secs(), 3);
        assert_eq!((body.size_hint().exact(), trickle.begun.load(Ordering::Relaxed)), (Some(60), 1));
        trickle.is_over.store(true, Ordering::Relaxed);
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 60);
        assert!(body.frame().await.is_none());
    }
}
