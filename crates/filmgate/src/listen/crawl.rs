//! A body that crawls leaves hyper, and its connection comes back for the next request.
//!
//! hyper holds two buffers of 8 KB for each connection and reads whatever has come, however little. Ten thousand phones on
//! poor lines hold theirs for minutes, a few hundred bytes at a time.
//!
//! **Owns** a connection from the moment its body is found to crawl to the end of its answer. **Promises** the same body and
//! the same answer; no memory for what has not come; and no wake-up before [`MARK_BYTES`] lie in the kernel, or all that is
//! missing. **Leaves** to [`body`](super::body) the clock, and when a body crawls; to hyper every header that is read.

use std::io;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum::http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::{BufMut as _, Bytes};
use http_body_util::BodyExt as _;
use nix::sys::socket::SetSockOpt as _;
use nix::{setsockopt_impl, sockopt_impl};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::connection::Socket;
use super::service::{Answer, AnswerBody, Connection};
use super::shutdown::{Stage, reached};
use super::{Peer, edge};

/// What is waited for at once: as much as is written to a file in one go.
pub(super) const MARK_BYTES: u64 = 8 * 1024;
/// What is read at once.
const READ_BYTES_MAX: usize = 16 * 1024;
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

    /// How many bytes the kernel may gather before it tells, where `left` are missing of a body: never more than will
    /// come, or nobody is ever told.
    fn mark(left: u64) -> u64;
}

impl Wire for Socket {
    fn tcp(&self) -> &TcpStream {
        self.get_ref()
    }

    fn mark(left: u64) -> u64 {
        left.clamp(1, MARK_BYTES)
    }
}

impl Wire for Box<TlsStream<Socket>> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0.get_ref()
    }

    fn mark(left: u64) -> u64 {
        if left >= MARK_BYTES + TLS_RECORD_BYTES_MAX { MARK_BYTES } else { 1 }
    }
}

/// The rest of a body, from the socket. What reads it and what writes the answer run in one task, in turns.
pub(super) trait Rest: Send + Sync {
    /// The next bytes, where `left` are missing; empty where the client has ended.
    fn poll_next(&self, cx: &mut Context<'_>, left: u64) -> Poll<io::Result<Bytes>>;

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
    /// How many bytes the kernel gathers.
    mark: u64,
}

impl<S: Wire> Lent<S> {
    fn new(wire: S, read: &Bytes) -> Arc<Self> {
        // A copy: what is read, be it nothing, is a slice of hyper's whole buffer and keeps that.
        Arc::new(Self(Mutex::new(State { wire: Some(wire), read: Bytes::copy_from_slice(read), mark: 1 })))
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
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        if !state.read.is_empty() {
            let most = most.min(state.read.len());
            return Poll::Ready(Ok(state.read.split_to(most)));
        }
        let Some(mut wire) = state.wire.take() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        // On the stack: whoever waits holds no room for what has not come.
        let mut room = [MaybeUninit::uninit(); READ_BYTES_MAX];
        let mut room = ReadBuf::uninit(&mut room[..most]);
        let polled = Pin::new(&mut wire).poll_read(cx, &mut room);
        if polled.is_pending() {
            state.gather(&wire, S::mark(left));
        }
        state.wire = Some(wire);
        polled.map_ok(|()| Bytes::copy_from_slice(room.filled()))
    }

    fn unread_bytes(&self) -> u64 {
        let state = self.state();
        state.wire.as_ref().and_then(|wire| rustix::io::ioctl_fionread(wire.tcp()).ok()).unwrap_or(0)
    }
}

/// A connection whose body crawls.
pub(super) struct Crawling<S> {
    lent: Arc<Lent<S>>,
    answer: Answer,
    state: Arc<Connection>,
}

impl<S: Wire> Crawling<S> {
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
        cut: &AtomicUsize,
        peer: Peer,
        stage: &mut watch::Receiver<Stage>,
    ) -> ControlFlow<Option<S>, S> {
        let mut wanted = Stage::Draining;
        let answer = loop {
            tokio::select! {
                Ok(answer) = &mut self.answer => break answer,
                () = reached(stage, wanted) => {
                    if *stage.borrow() == Stage::Cut {
                        cut.fetch_add(1, Ordering::Relaxed);
                        return ControlFlow::Break(None);
                    }
                    wanted = Stage::Cut;
                }
            }
        };
        let is_leaving = wanted == Stage::Cut || self.state.closes() || edge::closes(answer.headers());
        let ending = async {
            let Some((mut wire, is_used_up)) = self.lent.take_back() else { return Ok(ControlFlow::Break(None)) };
            let is_unread = self.state.body_unread() || !is_used_up;
            let closes = is_unread || is_leaving;
            write_answer(&mut wire, answer, closes).await?;
            if !closes {
                return Ok(ControlFlow::Continue(wire));
            }
            wire.shutdown().await?;
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
                cut.fetch_add(1, Ordering::Relaxed);
                ControlFlow::Break(None)
            }
        }
    }
}

/// Writes an answer as hyper would.
async fn write_answer(wire: &mut impl Wire, answer: Response<AnswerBody>, closes: bool) -> io::Result<()> {
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    head.headers.remove(TRANSFER_ENCODING);
    if head.status != StatusCode::NO_CONTENT {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    let now = httpdate::fmt_http_date(SystemTime::now());
    head.headers.insert(DATE, HeaderValue::from_str(&now).map_err(io::Error::other)?);
    if closes {
        head.headers.insert(CONNECTION, edge::CLOSE);
    }
    let mut bytes = Vec::with_capacity(1024 + body.len());
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
    bytes.put(body);
    wire.write_all(&bytes).await?;
    wire.flush().await
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
