//! The life of one connection, from the accepted socket to the last byte thrown away.
//!
//! **Owns** the handshake, the choice of protocol, draining, and the lingering close.
//! **Promises** to end by itself under every behaviour of the peer. **Leaves** counting to
//! [`accept`](super::accept).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_io_timeout::TimeoutWriter;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::direct::{Direct, Watched, Wire};
use super::limits::ListenLimits;
use super::service::{Connection, EdgeService};
use super::shutdown::{Stage, reached};
use super::tls::{ALPN_H2, Tls};
use super::{Peer, Render};

/// HTTP/2 at once on one connection. A browser opens few; each may hold a window of memory.
const H2_STREAMS_MAX: u32 = 32;
/// What a client may send ahead of the reader, for a request and for the whole connection. hyper's
/// megabyte would let ten thousand peers park ten gigabytes.
const H2_STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const H2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams reset before their answer, the rapid-reset attack, beyond which the connection ends.
const H2_RESETS_MAX: usize = 32;

/// A socket whose writes give up. Boxed because the timer inside must not move.
pub(super) type Socket = Pin<Box<TimeoutWriter<TcpStream>>>;

/// What every connection of a listener shares.
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) limits: Arc<ListenLimits>,
    pub(super) render: Render,
    pub(super) tls: Option<Tls>,
    pub(super) cut: AtomicUsize,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Shared {
    pub(super) fn new(router: Router, limits: ListenLimits, render: Render, tls: Option<Tls>) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_read_timeout)
            .max_buf_size(limits.buffer_bytes())
            // A client may end its sending side after the request and still wait for the answer;
            // without this hyper drops the handler in the middle of its work.
            .half_close(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS_MAX)
            .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(H2_SEND_BUFFER_BYTES)
            .max_header_list_size(u32::try_from(limits.buffer_bytes()).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(H2_RESETS_MAX)
            .max_local_error_reset_streams(H2_RESETS_MAX)
            .keep_alive_interval(limits.header_read_timeout)
            .keep_alive_timeout(limits.write_timeout);
        Self { router, limits: Arc::new(limits), render, tls, cut: AtomicUsize::new(0), http1, http2 }
    }

    fn service(&self, peer: Peer, connection: &Arc<Connection>, multiplexed: bool) -> EdgeService {
        EdgeService {
            router: self.router.clone(),
            limits: Arc::clone(&self.limits),
            render: self.render,
            peer,
            connection: Arc::clone(connection),
            multiplexed,
        }
    }

    fn socket(&self, tcp: TcpStream) -> Socket {
        // An answer is one small write; waiting to fill a packet would only delay it.
        if let Err(error) = tcp.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        let mut socket = TimeoutWriter::new(tcp);
        socket.set_timeout(Some(self.limits.write_timeout));
        Box::pin(socket)
    }

    pub(super) fn count_cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves a connection without TLS.
pub(super) async fn plain(shared: Arc<Shared>, tcp: TcpStream, addr: SocketAddr, mut stage: watch::Receiver<Stage>) {
    let peer = Peer { addr, tls: false };
    let socket = shared.socket(tcp);
    if let Some(socket) = http1(&shared, socket, peer, &mut stage).await {
        linger(&shared.limits, socket, &mut stage).await;
    }
}

/// Serves a connection with TLS.
pub(super) async fn encrypted(
    shared: Arc<Shared>,
    tls: Tls,
    tcp: TcpStream,
    addr: SocketAddr,
    mut stage: watch::Receiver<Stage>,
) {
    let peer = Peer { addr, tls: true };
    // Boxed, like HTTP/2 below: every TLS connection would carry their room for its whole life.
    let shaking = Box::pin(handshake(&shared, &tls, tcp, addr));
    let stream = tokio::select! {
        stream = shaking => stream,
        () = reached(&mut stage, Stage::Cut) => return shared.count_cut(),
    };
    let Some(stream) = stream else { return };
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) {
        Box::pin(http2(&shared, stream, peer, &mut stage)).await;
    } else if let Some(stream) = http1(&shared, stream, peer, &mut stage).await {
        // Below TLS: what is thrown away need not be decrypted first.
        linger(&shared.limits, stream.into_inner().0, &mut stage).await;
    }
}

async fn handshake(shared: &Shared, tls: &Tls, tcp: TcpStream, addr: SocketAddr) -> Option<Box<TlsStream<Socket>>> {
    let accepting = TlsAcceptor::from(tls.current()).accept(shared.socket(tcp));
    match timeout(shared.limits.handshake_timeout, accepting).await {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(error)) => tracing::debug!(peer = %addr, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(peer = %addr, "TLS handshake took too long"),
    }
    None
}

/// Drives HTTP/1 to its end. Gives the socket back, its sending side closed, when the client may
/// still be sending something nobody will read.
async fn http1<S: Wire>(shared: &Shared, mut wire: S, peer: Peer, stage: &mut watch::Receiver<Stage>) -> Option<S> {
    loop {
        let direct = match by_hyper(shared, wire, peer, stage).await {
            ControlFlow::Continue(direct) => direct,
            ControlFlow::Break(unread) => return unread,
        };
        wire = match Box::pin(direct.finish(shared, peer, stage)).await {
            ControlFlow::Continue(wire) => wire,
            ControlFlow::Break(unread) => return unread,
        };
    }
}

/// Lets hyper drive a connection to its end, or until a large body comes.
///
/// hyper also offers `without_shutdown`, but where a body was refused that reports the end while
/// most of a large answer is still in hyper's buffer: 4 of 24 MB arrived. So hyper flushes and
/// shuts down, and the socket is taken back afterwards.
async fn by_hyper<S: Wire>(
    shared: &Shared,
    wire: S,
    peer: Peer,
    stage: &mut watch::Receiver<Stage>,
) -> ControlFlow<Option<S>, Direct<S>> {
    let state = Arc::new(Connection::default());
    let service = shared.service(peer, &state, false);
    let io = TokioIo::new(Watched::new(wire, Arc::clone(&state)));
    // Boxed: a large body goes on without it.
    let mut connection = Box::new(shared.http1.serve_connection(io, service));
    let mut wanted = Stage::Draining;
    let ended = loop {
        tokio::select! {
            // The connection first: what it finds of its body is seen by the next branch.
            biased;
            ended = &mut connection => break ended,
            answer = poll_fn(|_| state.take_large().map_or(Poll::Pending, Poll::Ready)) => {
                let parts = connection.into_parts();
                let wire = parts.io.into_inner().into_inner();
                return ControlFlow::Continue(Direct::new(wire, &parts.read_buf, answer, state));
            }
            () = reached(stage, wanted) => {
                if *stage.borrow() == Stage::Cut {
                    shared.count_cut();
                    return ControlFlow::Break(None);
                }
                Pin::new(&mut *connection).graceful_shutdown();
                wanted = Stage::Cut;
            }
        }
    };
    let parts = connection.into_parts();
    let unread = match ended {
        Ok(()) => state.body_unread() || !parts.read_buf.is_empty(),
        Err(error) => {
            tracing::debug!(peer = %peer.addr, %error, "connection ended");
            // hyper answered a header it could not read or that was too long. After any other
            // error there is no answer to protect.
            error.is_parse()
        }
    };
    ControlFlow::Break(unread.then(|| parts.io.into_inner().into_inner()))
}

/// Drives HTTP/2 to its end. hyper pings a silent peer away; one that answers pings but neither
/// asks nor reads is found by looking whether anything moves.
async fn http2<S>(shared: &Shared, io: S, peer: Peer, stage: &mut watch::Receiver<Stage>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = &shared.limits;
    let state = Arc::new(Connection::default());
    let service = shared.service(peer, &state, true);
    let connection = shared.http2.serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let mut wanted = Stage::Draining;
    let every = (limits.header_read_timeout.min(limits.write_timeout) / 2).max(Duration::from_millis(10));
    let mut looks = tokio::time::interval(every);
    let mut moves = 0;
    let mut moved_at = Instant::now();
    let mut asked_to_end = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %peer.addr, %error, "connection ended");
                }
                return;
            }
            () = reached(stage, wanted) => {
                if *stage.borrow() == Stage::Cut {
                    return shared.count_cut();
                }
                connection.as_mut().graceful_shutdown();
                wanted = Stage::Cut;
            }
            _ = looks.tick() => {
                if state.moves() != moves {
                    moves = state.moves();
                    moved_at = Instant::now();
                }
                let still = moved_at.elapsed();
                if state.stuck() > 0 && still > limits.write_timeout {
                    return tracing::debug!(peer = %peer.addr, "nobody reads the answer");
                }
                if state.in_flight() > 0 || still <= limits.header_read_timeout {
                    asked_to_end = false;
                } else if moves == 0 {
                    // Perhaps not even HTTP/2 yet, and then hyper's farewell waits for it to be.
                    return tracing::debug!(peer = %peer.addr, "an HTTP/2 peer asked nothing");
                } else if !asked_to_end {
                    asked_to_end = true;
                    connection.as_mut().graceful_shutdown();
                } else if still > limits.header_read_timeout + limits.write_timeout {
                    return tracing::debug!(peer = %peer.addr, "an idle peer did not leave");
                }
            }
        }
    }
}

/// Reads and throws away what the client is still sending. Closing over unread bytes makes the
/// kernel send a reset, and a reset makes the client's kernel forget the answer it holds.
async fn linger(limits: &ListenLimits, mut socket: Socket, stage: &mut watch::Receiver<Stage>) {
    let discarding = async {
        // hyper has closed the sending side unless the connection failed before its answer's end.
        if socket.shutdown().await.is_ok() {
            discard(socket.get_ref(), limits.linger_bytes_max).await;
        }
    };
    tokio::select! {
        ended = timeout(limits.linger_timeout, discarding) => {
            if ended.is_err() {
                tracing::debug!("the client neither stopped sending nor left");
            }
        }
        // Its answer is out: not one of those cut.
        () = reached(stage, Stage::Cut) => {}
    }
}

/// Reads until the client is done, or has sent as much as it may.
pub(super) async fn discard(tcp: &TcpStream, bytes_max: u64) {
    let mut discarded = 0;
    while discarded <= bytes_max && tcp.readable().await.is_ok() {
        match discard_once(tcp) {
            Ok(0) => return,
            Ok(bytes) => discarded += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        // A fast sender is always readable and would keep this thread for itself.
        tokio::task::coop::consume_budget().await;
    }
}

/// Apart from the loop, so that the buffer lies on the stack and not in each task's memory.
fn discard_once(tcp: &TcpStream) -> io::Result<u64> {
    let mut buffer = [0; 16 * 1024];
    tcp.try_read(&mut buffer).map(|bytes| bytes as u64)
}
