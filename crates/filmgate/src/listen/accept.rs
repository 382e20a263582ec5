//! The accept loop: from the listening socket to a task for each connection, and to their end.
//!
//! **Owns** the count of connections and the order of shutdown. **Promises** to outlive every
//! error of `accept`, and to return no later than the drain deadline plus [`CUT_WAIT`].

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use super::Render;
use super::connection::{self, Shared};
use super::edge::CLOSE;
use super::limits::ListenLimits;
use super::shutdown::{Stage, reached};
use super::tls::Tls;

/// How long `accept` rests after an error that is about us, such as no descriptor left. Trying
/// again at once would burn a core until one is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Such errors come ten times a second; the log hears of them this seldom.
const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(5);
/// How long cut connections get to notice. More means a handler blocks its thread.
const CUT_WAIT: Duration = Duration::from_secs(2);

/// Refusals under way at once. Past it a connection is closed without a word: refusing must cost
/// less than serving.
const REFUSALS_MAX: usize = 64;
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
const REFUSAL_DISCARD_BYTES_MAX: u64 = 64 * 1024;
const REFUSAL_RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections accepted and served, over the whole run.
    pub served: u64,
    /// Connections refused because `connections_max` were open.
    pub refused: u64,
    /// Connections that were ended in the middle of something.
    pub cut: usize,
}

/// Accepts and serves until the stage moves on, then ends every connection and returns.
///
/// With [`Stage::Draining`] the socket closes, idle connections end, and work under way may
/// finish until `drain_deadline`; the rest is cut, at once when the stage becomes [`Stage::Cut`].
/// A sender dropped before that means: never stop.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    limits: ListenLimits,
    render: Render,
    mut stage: watch::Receiver<Stage>,
) -> Drained {
    let connections = Arc::new(Semaphore::new(limits.connections() as usize));
    let (inner_stage, _) = watch::channel(Stage::Running);
    let mut accepting = Accepting {
        refusal: refusal(render).await,
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        connections: Arc::clone(&connections),
        stage: inner_stage.clone(),
        shared: Arc::new(Shared::new(router, limits, render, tls.clone())),
        served: 0,
        refused: 0,
    };
    let keep_fresh = async {
        match tls {
            Some(tls) => tls.keep_fresh().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = accepting.run(&listener) => {}
        () = keep_fresh => {}
        () = reached(&mut stage, Stage::Draining) => {}
    }
    drop(listener);
    let Accepting { shared, served, refused, .. } = accepting;
    let all = shared.limits.connections();
    let open = || all as usize - connections.available_permits();

    inner_stage.send_replace(Stage::Draining);
    tracing::info!(connections = open(), "no longer accepting");
    tokio::select! {
        // All permits back: every connection has ended. The semaphore is never closed.
        _ = connections.acquire_many(all) => {}
        () = tokio::time::sleep(shared.limits.drain_deadline) => {}
        () = reached(&mut stage, Stage::Cut) => {}
    }
    inner_stage.send_replace(Stage::Cut);
    let noticed = timeout(CUT_WAIT, connections.acquire_many(all)).await;
    let deaf = if noticed.is_ok() { 0 } else { open() };
    let cut = shared.cut.load(Ordering::Relaxed) + deaf;
    if cut > 0 {
        tracing::warn!(cut, deaf, "connections were cut");
    }
    Drained { served, refused, cut }
}

struct Accepting {
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    refusal: Bytes,
    stage: watch::Sender<Stage>,
    served: u64,
    refused: u64,
}

impl Accepting {
    async fn run(&mut self, listener: &TcpListener) {
        let mut logged_at: Option<Instant> = None;
        loop {
            match listener.accept().await {
                Ok((tcp, addr)) => self.take(tcp, canonical(addr)),
                // The client left between its connect and our accept.
                Err(error) if is_about_the_client(&error) => {}
                Err(error) => {
                    if logged_at.is_none_or(|at| at.elapsed() >= ACCEPT_LOG_EVERY) {
                        tracing::error!(%error, "connections cannot be accepted; trying on");
                        logged_at = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&mut self, tcp: TcpStream, addr: SocketAddr) {
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            self.refuse(tcp);
            return;
        };
        self.served += 1;
        let shared = Arc::clone(&self.shared);
        let stage = self.stage.subscribe();
        // Two tasks and not one with both ways inside: a plain connection would carry the room
        // of a TLS one.
        if let Some(tls) = shared.tls.clone() {
            tokio::spawn(async move {
                connection::encrypted(shared, tls, tcp, addr, stage).await;
                drop(permit);
            });
        } else {
            tokio::spawn(async move {
                connection::plain(shared, tcp, addr, stage).await;
                drop(permit);
            });
        }
    }

    fn refuse(&mut self, mut tcp: TcpStream) {
        self.refused += 1;
        // Over TLS a word would first take the handshake, which is what we cannot afford.
        if self.shared.tls.is_some() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        let words = self.refusal.clone();
        tokio::spawn(async move {
            let refusing = async {
                tcp.write_all(&words).await?;
                tcp.shutdown().await?;
                connection::discard(&tcp, REFUSAL_DISCARD_BYTES_MAX).await;
                io::Result::Ok(())
            };
            if let Ok(Err(error)) = timeout(REFUSAL_TIMEOUT, refusing).await {
                tracing::debug!(%error, "a refusal was not heard");
            }
            drop(permit);
        });
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => SocketAddr::new(v6.to_canonical(), addr.port()),
        _ => addr,
    }
}

fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// The 503 of a connection too many, rendered once, in the words of every other error.
async fn refusal(render: Render) -> Bytes {
    let answer = render(
        "",
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        "The server has no connection left; try again in a few seconds.",
    );
    let (mut head, body) = answer.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            tracing::error!(%error, "the words for an overload could not be rendered");
            Bytes::new()
        }
    };
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONNECTION, CLOSE);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    head.headers.entry(RETRY_AFTER).or_insert(REFUSAL_RETRY_AFTER);
    let mut words = BytesMut::from(&b"HTTP/1.1 503 Service Unavailable\r\n"[..]);
    for (name, value) in &head.headers {
        words.extend_from_slice(name.as_str().as_bytes());
        words.extend_from_slice(b": ");
        words.extend_from_slice(value.as_bytes());
        words.extend_from_slice(b"\r\n");
    }
    words.extend_from_slice(b"\r\n");
    words.extend_from_slice(&body);
    words.freeze()
}
