//! A large body is read from the socket, and not through hyper; its connection comes back for the next request.
//!
//! hyper holds two buffers of 8 KB for each connection, reads by its buffer's size and passes on piece by piece. A photo that comes fast
//! takes several reads where one would do, and ten thousand phones on poor lines hold their buffers for minutes, a few
//! hundred bytes at a time.
//!
//! **Owns** a connection from the moment hyper has read the header of a large body to the end of its answer. **Promises** the
//! same body and the same answer; no memory for what has not come; and, once a body crawls, no wake-up before
//! [`MARK_BYTES`] lie in the kernel, or all that is missing. **Leaves** to [`body`](super::body) the clock, and when a body crawls; to hyper
//! every header that is read.

use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use nix::sys::socket::SetSockOpt as _;
use nix::{setsockopt_impl, sockopt_impl};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tokio_util::io::poll_read_buf;

use super::connection::{Shared, Socket};
use super::service::{Answer, AnswerBody, Connection};
use super::shutdown::{Stage, reached};
use super::{Peer, edge};

/// A body of so many bytes is large.
pub(super) const LARGE_BYTES_MIN: u64 = 32 * 1024;
/// What is waited for at once of a body that crawls: as much as is written to a file in one go.
const MARK_BYTES: u64 = 8 * 1024;
/// The most that is read at once. What was read and waits for the disk is in nobody's budget: this many times the
/// uploads under way is the bound.
const READ_BYTES_MAX: u64 = 32 * 1024;
/// Room for what comes between the question how much is there and the reading. A read that leaves room has also seen that
/// there is no more, and need not be tried again.
const READ_BYTES_MORE: u64 = 1024;
/// The longest record of TLS, with what surrounds it. The TLS library may have read all of one but its last byte.
const TLS_RECORD_BYTES_MAX: u64 = 16 * 1024 + 512;

sockopt_impl!(
    /// How many bytes lie in a socket before whoever waits for it is told, or for what else it tells: the end, an error.
    /// See socket(7), SO_RCVLOWAT; epoll has heeded it since Linux 2.6.28.
    LowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    i32
);

/// A socket, or TLS over one.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn tcp(&self) -> &TcpStream;

    /// Reads what is there, at most so much, into memory of that size.
    fn poll_take(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<Bytes>>;

    /// How many bytes the kernel may gather before it tells, where `left` are missing of a body: never more than will
    /// come, or nobody is ever told.
    fn mark(left: u64) -> u64;
}

impl Wire for Socket {
    fn tcp(&self) -> &TcpStream {
        self.get_ref()
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<Bytes>> {
        // Before any memory is asked for: whoever waits holds none.
        ready!(self.tcp().poll_read_ready(cx))?;
        let there = rustix::io::ioctl_fionread(self.tcp())?;
        take(self, cx, most.min(there + READ_BYTES_MORE))
    }

    fn mark(left: u64) -> u64 {
        left.clamp(1, MARK_BYTES)
    }
}

impl Wire for Box<TlsStream<Socket>> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0.get_ref()
    }

    fn poll_take(&mut self, cx: &mut Context<'_>, most: u64) -> Poll<io::Result<Bytes>> {
        // How much of it there will be only the TLS library finds out.
        take(self, cx, most.min(TLS_RECORD_BYTES_MAX))
    }

    fn mark(left: u64) -> u64 {
        if left >= MARK_BYTES + TLS_RECORD_BYTES_MAX { MARK_BYTES } else { 1 }
    }
}

fn take(wire: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>, most: u64) -> Poll<io::Result<Bytes>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut room = BytesMut::with_capacity(most).limit(most);
    let read = ready!(poll_read_buf(Pin::new(wire), cx, &mut room))?;
    let piece = room.into_inner();
    // What is missing of a full piece would be held as long as the piece.
    Poll::Ready(Ok(if read * 2 < most { Bytes::copy_from_slice(&piece) } else { piece.freeze() }))
}

/// The rest of a body, from the socket. What reads it and what writes the answer run in one task, in turns.
pub(super) trait Rest: Send + Sync {
    /// The next bytes, where `left` are missing; empty where the client has ended.
    fn poll_next(&self, cx: &mut Context<'_>, left: u64) -> Poll<io::Result<Bytes>>;

    /// From now on it is told only of much.
    fn crawls(&self);

    /// Bytes that lie in the kernel: they came, though nobody was told.
    fn unread_bytes(&self) -> u64;
}

/// A connection that hyper has let go, for a body to read from.
struct Lent<S>(Mutex<State<S>>);

struct State<S> {
    /// None once it was given back.
    wire: Option<S>,
    /// What hyper had read of the body and not passed on.
    read: Bytes,
    crawls: bool,
    /// How many bytes the kernel gathers.
    mark: u64,
}

impl<S: Wire> Lent<S> {
    fn new(wire: S, read: &Bytes) -> Arc<Self> {
        // A copy: what is read, be it nothing, is a slice of hyper's whole buffer and keeps that.
        Arc::new(Self(Mutex::new(State {
            wire: Some(wire),
            read: Bytes::copy_from_slice(read),
            crawls: false,
            mark: 1,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection as it was, and whether what was read of it is used up.
    fn take_back(&self) -> Option<(S, bool)> {
        let mut state = self.state();
        let is_used_up = state.read.is_empty();
        let wire = state.wire.take()?;
        state.gather(&wire, 1);
        Some((wire, is_used_up))
    }
}

impl<S: Wire> State<S> {
    /// Has the kernel tell when so many bytes are there.
    fn gather(&mut self, wire: &S, mark: u64) {
        if self.mark == mark {
            return;
        }
        match LowWater.set(wire.tcp(), &i32::try_from(mark).unwrap_or(1)) {
            Ok(()) => self.mark = mark,
            Err(error) => tracing::debug!(%error, "SO_RCVLOWAT was refused"),
        }
    }
}

impl<S: Wire> Rest for Lent<S> {
    fn poll_next(&self, cx: &mut Context<'_>, left: u64) -> Poll<io::Result<Bytes>> {
        let state = &mut *self.state();
        let most = left.min(if state.crawls { 2 * MARK_BYTES } else { READ_BYTES_MAX });
        if !state.read.is_empty() {
            let most = usize::try_from(most).unwrap_or(usize::MAX).min(state.read.len());
            return Poll::Ready(Ok(state.read.split_to(most)));
        }
        let Some(mut wire) = state.wire.take() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        let polled = wire.poll_take(cx, most);
        if polled.is_pending() && state.crawls {
            state.gather(&wire, S::mark(left));
        }
        state.wire = Some(wire);
        polled
    }

    fn crawls(&self) {
        self.state().crawls = true;
    }

    fn unread_bytes(&self) -> u64 {
        let state = self.state();
        state.wire.as_ref().and_then(|wire| rustix::io::ioctl_fionread(wire.tcp()).ok()).unwrap_or(0)
    }
}

/// A connection whose large body is on its way.
pub(super) struct Direct<S> {
    lent: Arc<Lent<S>>,
    answer: Answer,
    state: Arc<Connection>,
}

impl<S: Wire> Direct<S> {
    /// Of what hyper gives back: the connection, and what it had read of the body and not passed on.
    pub(super) fn new(wire: S, read: &Bytes, answer: Answer, state: Arc<Connection>) -> Self {
        let lent = Lent::new(wire, read);
        state.lend(lent.clone());
        Self { lent, answer, state }
    }

    /// Goes on to the end of the answer. Gives the connection back for the next request, or as hyper's end does; counts
    /// one that was cut.
    pub(super) async fn finish(
        mut self,
        shared: &Shared,
        peer: Peer,
        stage: &mut watch::Receiver<Stage>,
    ) -> ControlFlow<Option<S>, S> {
        let mut wanted = Stage::Draining;
        let answer = loop {
            tokio::select! {
                Ok(answer) = &mut self.answer => break answer,
                () = reached(stage, wanted) => {
                    if *stage.borrow() == Stage::Cut {
                        shared.count_cut();
                        return ControlFlow::Break(None);
                    }
                    wanted = Stage::Cut;
                }
            }
        };
        // The stage as it is: whoever gets the last answer is not invited to ask again.
        let is_leaving = *stage.borrow() >= Stage::Draining || self.state.closes() || edge::closes(answer.headers());
        let ending = async {
            let Some((mut wire, is_used_up)) = self.lent.take_back() else { return Ok(ControlFlow::Break(None)) };
            let is_unread = self.state.body_unread() || !is_used_up;
            if !write_answer(&mut wire, answer, is_unread || is_leaving).await? {
                return Ok(ControlFlow::Continue(wire));
            }
            wire.shutdown().await?;
            // Also bytes that nobody asked for: to close over them would reset the connection, and take the answer along.
            let is_unread = is_unread || rustix::io::ioctl_fionread(wire.tcp()).is_ok_and(|bytes| bytes > 0);
            Ok(ControlFlow::Break(is_unread.then_some(wire)))
        };
        // Boxed: who waits for the rest of a body holds no room for its answer.
        let mut ending = Box::pin(ending);
        tokio::select! {
            ended = &mut ending => ended.unwrap_or_else(|error: io::Error| {
                tracing::debug!(peer = %peer.addr, %error, "connection ended");
                ControlFlow::Break(None)
            }),
            () = reached(stage, Stage::Cut) => {
                shared.count_cut();
                ControlFlow::Break(None)
            }
        }
    }
}

/// Writes an answer as hyper would, piece by piece. One that does not say how long it is ends with the connection:
/// whether it does.
async fn write_answer(wire: &mut impl Wire, answer: Response<AnswerBody>, closes: bool) -> io::Result<bool> {
    let (mut head, mut body) = answer.into_parts();
    let length = body.size_hint().exact();
    let closes = closes || length.is_none();
    head.headers.remove(TRANSFER_ENCODING);
    if let Some(length) = length.filter(|_| head.status != StatusCode::NO_CONTENT) {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    let now = httpdate::fmt_http_date(SystemTime::now());
    head.headers.insert(DATE, HeaderValue::from_str(&now).map_err(io::Error::other)?);
    if closes {
        head.headers.insert(CONNECTION, edge::CLOSE);
    }
    let mut bytes = Vec::with_capacity(2048);
    bytes.put(&b"HTTP/1.1 "[..]);
    bytes.put(head.status.as_str().as_bytes());
    bytes.put_u8(b' ');
    bytes.put(head.status.canonical_reason().unwrap_or_default().as_bytes());
    for (name, value) in &head.headers {
        for piece in [b"\r\n", name.as_str().as_bytes(), b": ", value.as_bytes()] {
            bytes.put(piece);
        }
    }
    bytes.put(&b"\r\n\r\n"[..]);
    let mut left = length;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(io::Error::other)?.into_data() else { continue };
        left = left.map(|left| left.saturating_sub(data.len() as u64));
        // The first piece goes out with the head.
        bytes.put(data);
        wire.write_all(&bytes).await?;
        bytes.clear();
    }
    wire.write_all(&bytes).await?;
    wire.flush().await?;
    if left.is_some_and(|left| left > 0) { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(closes) }
}

/// A connection in hyper's hands. It knows whether hyper has something left to write: the end of an earlier answer, which a
/// client that sends one request behind the other has not read yet.
pub(super) struct Watched<S> {
    wire: S,
    state: Arc<Connection>,
}

impl<S: Wire> Watched<S> {
    pub(super) fn new(wire: S, state: Arc<Connection>) -> Self {
        Self { wire, state }
    }

    pub(super) fn into_inner(self) -> S {
        self.wire
    }

    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.state.set_unwritten(polled.is_pending());
        polled
    }
}

impl<S: Wire> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, room)
    }
}

impl<S: Wire> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write(cx, bytes);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.wire).poll_flush(cx);
        self.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.wire).poll_write_vectored(cx, slices);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }
}
