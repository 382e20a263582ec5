//! One request on its way from hyper into the router, and its answer on the way back.
//!
//! **Owns** what is shared by the requests of one connection ([`Connection`]). **Promises** that
//! the router sees only requests that passed [`inspect`](super::inspect), with their peer and a
//! guarded body, and that an answer which overtook its body says `Connection: close`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, Response, Uri, Version};
use axum::routing::future::RouteFuture;
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tower::Service as _;

use super::body::GuardedBody;
use super::direct::{LARGE_BYTES_MIN, Rest};
use super::edge;
use super::limits::ListenLimits;
use super::{Peer, Render};

/// How far the body of a connection's latest request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum BodyState {
    /// There is none, or all of it was read.
    Whole = 0,
    /// Nobody asked for it yet.
    Untouched = 1,
    /// Some was read.
    Partial = 2,
    /// Reading it failed.
    Broken = 3,
}

/// What the requests of one connection share with the task that drives it.
#[derive(Default)]
pub(super) struct Connection {
    body: AtomicU8,
    /// HTTP/1: the answer under way. hyper drives it through here, so that it outlives hyper's hold on the connection.
    answer: Mutex<Option<Answer>>,
    /// HTTP/1: the client wants the connection closed after this answer.
    closes: AtomicBool,
    /// HTTP/1: the body is large, and hyper could let go of the connection.
    is_large: AtomicBool,
    /// HTTP/1: hyper could not yet write all that it has.
    unwritten: AtomicBool,
    /// HTTP/1: where the body goes on, once hyper has let go. It is read by the task that drives the connection: another
    /// could find the body ended before this is set.
    rest: Mutex<Option<Arc<dyn Rest>>>,
    /// HTTP/2: requests whose answer is not yet out.
    in_flight: AtomicUsize,
    /// HTTP/2: answers of which a piece was taken and no further one asked for.
    stuck: AtomicUsize,
    /// HTTP/2: grows whenever anything moves.
    moves: AtomicU64,
}

impl Connection {
    pub(super) fn set_body(&self, state: BodyState) {
        self.body.store(state as u8, Ordering::Relaxed);
    }

    fn body(&self) -> BodyState {
        match self.body.load(Ordering::Relaxed) {
            0 => BodyState::Whole,
            1 => BodyState::Untouched,
            2 => BodyState::Partial,
            _ => BodyState::Broken,
        }
    }

    pub(super) fn body_unread(&self) -> bool {
        self.body() != BodyState::Whole
    }

    fn answer(&self) -> MutexGuard<'_, Option<Answer>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rest(&self) -> MutexGuard<'_, Option<Arc<dyn Rest>>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body could be read without hyper.
    pub(super) fn set_large(&self) {
        self.is_large.store(true, Ordering::Relaxed);
    }

    /// Whether what hyper wrote last was not taken.
    pub(super) fn set_unwritten(&self, unwritten: bool) {
        self.unwritten.store(unwritten, Ordering::Relaxed);
    }

    /// The answer under way, where its body is large and hyper has nothing left to write: it is no longer needed for it.
    pub(super) fn take_large(&self) -> Option<Answer> {
        let is_free = !self.unwritten.load(Ordering::Relaxed);
        if is_free && self.is_large.swap(false, Ordering::Relaxed) { self.answer().take() } else { None }
    }

    pub(super) fn lend(&self, rest: Arc<dyn Rest>) {
        *self.rest() = Some(rest);
    }

    pub(super) fn borrow_rest(&self) -> Option<Arc<dyn Rest>> {
        self.rest().take()
    }

    pub(super) fn closes(&self) -> bool {
        self.closes.load(Ordering::Relaxed)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn stuck(&self) -> usize {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }
}

/// The service of one connection.
pub(super) struct EdgeService {
    pub(super) router: Router,
    pub(super) limits: Arc<ListenLimits>,
    pub(super) render: Render,
    pub(super) peer: Peer,
    pub(super) connection: Arc<Connection>,
    /// HTTP/2 has many requests at once and resets a single one; HTTP/1 ends the connection.
    pub(super) multiplexed: bool,
}

impl hyper::service::Service<Request<Incoming>> for EdgeService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (mut head, body) = request.into_parts();
        let length = body.size_hint().exact();
        // Forms alone: nothing else here is both large and slow, and their answers are short.
        let is_large = !self.multiplexed
            && head.version == Version::HTTP_11
            && head.method == Method::POST
            && edge::is_form(&head.headers)
            && length.is_some_and(|length| length >= LARGE_BYTES_MIN);
        // Who waits for a "100 Continue" gets it from hyper, once somebody asks for the body; later is early enough then.
        let is_directly = is_large && !head.headers.contains_key(EXPECT);
        let body = if body.is_end_stream() {
            self.connection.set_body(BodyState::Whole);
            Body::empty()
        } else {
            if !self.multiplexed {
                detach(&mut head);
            }
            let connection = (!self.multiplexed).then(|| Arc::clone(&self.connection));
            self.connection.closes.store(edge::closes(&head.headers), Ordering::Relaxed);
            Body::new(GuardedBody::new(body, Arc::clone(&self.limits), connection))
        };
        // Set anew: of an earlier request it may be left over.
        self.connection.is_large.store(is_directly, Ordering::Relaxed);
        let way = match edge::inspect(&head) {
            Ok(()) => {
                head.extensions.insert(self.peer);
                Way::Routed(self.router.clone().call(Request::from_parts(head, body)))
            }
            Err(refusal) => {
                tracing::debug!(peer = %self.peer.addr, code = refusal.code, "refused at the edge");
                drop(body);
                tracing::info!(status = refusal.status.as_u16(), code = refusal.code, "refused before any route");
                let mut answer = (self.render)(head.uri.path(), refusal.status, refusal.code, refusal.message);
                if !self.multiplexed {
                    // A peer that cannot form a request cannot be trusted to end one either.
                    answer.headers_mut().insert(CONNECTION, edge::CLOSE);
                }
                Way::Refused(Some(answer))
            }
        };
        let in_flight = self.multiplexed.then(|| InFlight::new(Arc::clone(&self.connection)));
        let answer =
            Answer { way, connection: Arc::clone(&self.connection), length_known: length.is_some(), in_flight };
        if is_large {
            *self.connection.answer() = Some(answer);
            Answering::Kept(Kept(Arc::clone(&self.connection)))
        } else {
            Answering::Own(answer)
        }
    }
}

/// What hyper drives.
#[allow(clippy::large_enum_variant, reason = "hyper holds it anyway, and a box is an allocation for each request")]
pub(super) enum Answering {
    Own(Answer),
    Kept(Kept),
}

impl Future for Answering {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Own(answer) => Pin::new(answer).poll(cx),
            Self::Kept(kept) => {
                let mut answer = kept.0.answer();
                // None only once it was taken, and then hyper is about to be dropped.
                let Some(under_way) = answer.as_mut() else { return Poll::Pending };
                let given = ready!(Pin::new(under_way).poll(cx));
                *answer = None;
                Poll::Ready(given)
            }
        }
    }
}

/// An answer that is kept with its connection.
pub(super) struct Kept(Arc<Connection>);

impl Drop for Kept {
    fn drop(&mut self) {
        // Where hyper gives the connection up, the handler must not be left over. It holds the connection's state, too.
        let left_over = self.0.answer().take();
        drop(left_over);
    }
}

/// Copies a header out of hyper's read buffer. Its values are slices of that buffer and would
/// keep all of it for as long as the request lives, beside the next one for the body: 20 instead
/// of 15 KB for each slow upload.
fn detach(head: &mut Parts) {
    let uri = head.uri.to_string();
    let values: usize = head.headers.values().map(HeaderValue::len).sum();
    let mut copy = BytesMut::with_capacity(uri.len() + values);
    copy.extend_from_slice(uri.as_bytes());
    for value in head.headers.values() {
        copy.extend_from_slice(value.as_bytes());
    }
    let mut copy = copy.freeze();
    if let Ok(uri) = Uri::from_maybe_shared(copy.split_to(uri.len())) {
        head.uri = uri;
    }
    for value in head.headers.values_mut() {
        if let Ok(own) = HeaderValue::from_maybe_shared(copy.split_to(value.len())) {
            *value = own;
        }
    }
}

enum Way {
    Refused(Option<Response<Body>>),
    Routed(RouteFuture<Infallible>),
}

/// The future of one answer.
pub(super) struct Answer {
    way: Way,
    connection: Arc<Connection>,
    length_known: bool,
    in_flight: Option<InFlight>,
}

impl Future for Answer {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut response = match &mut this.way {
            Way::Refused(answer) => answer.take().unwrap_or_default(),
            Way::Routed(future) => ready!(Pin::new(future).poll(cx))?,
        };
        let in_flight = this.in_flight.take();
        if in_flight.is_none() && this.overtook_its_body(&response) {
            response.headers_mut().insert(CONNECTION, edge::CLOSE);
        }
        Poll::Ready(Ok(response.map(|body| AnswerBody { body, in_flight })))
    }
}

impl Answer {
    /// Whether hyper will have to end the connection after this answer. The client is told, or it
    /// would send its next request into a closing socket.
    fn overtook_its_body(&self, response: &Response<Body>) -> bool {
        match self.connection.body() {
            BodyState::Whole => false,
            BodyState::Untouched | BodyState::Broken => true,
            // A form in chunks is complete before its last, empty chunk is read: hyper then finds
            // the end by itself and the connection lives on.
            BodyState::Partial => {
                self.length_known || response.status().is_client_error() || response.status().is_server_error()
            }
        }
    }
}

/// Counts one HTTP/2 request until its answer is out.
struct InFlight {
    connection: Arc<Connection>,
    stuck: bool,
}

impl InFlight {
    fn new(connection: Arc<Connection>) -> Self {
        connection.in_flight.fetch_add(1, Ordering::Relaxed);
        connection.moves.fetch_add(1, Ordering::Relaxed);
        Self { connection, stuck: false }
    }

    fn set_stuck(&mut self, stuck: bool) {
        if self.stuck == stuck {
            return;
        }
        self.stuck = stuck;
        if stuck {
            self.connection.stuck.fetch_add(1, Ordering::Relaxed);
        } else {
            self.connection.stuck.fetch_sub(1, Ordering::Relaxed);
        }
        self.connection.moves.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set_stuck(false);
        self.connection.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.connection.moves.fetch_add(1, Ordering::Relaxed);
    }
}

/// An answer's body. Over HTTP/2 it notes whether a piece lies with hyper for want of the
/// client's window, which no timeout of the socket can see.
pub(super) struct AnswerBody {
    body: Body,
    in_flight: Option<InFlight>,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(in_flight) = &mut this.in_flight {
            in_flight.set_stuck(false);
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let (Some(in_flight), Poll::Ready(Some(Ok(_)))) = (&mut this.in_flight, &frame) {
            in_flight.set_stuck(true);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
