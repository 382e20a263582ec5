//! Tests at the socket: what a client on the wire sees, good ones and bad ones.
//!
//! Each test makes short only the limit it is about and leaves the others far away, and asserts
//! outcomes and order, so that a busy machine makes it slow and not wrong.

mod direct;
mod edge;
mod guard;
mod pressure;
mod refusal;
mod shutdown;
mod time;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::{Drained, ListenLimits, Peer, Stage, Tls, bind, body_timeout, serve};

/// Longer than anything here takes on the slowest machine: reaching it is a hang.
const HANG: Duration = Duration::from_secs(30);

/// Limits out of the way of every test.
fn far() -> ListenLimits {
    ListenLimits {
        header_read_timeout: HANG,
        body_idle_timeout: HANG,
        body_grace: HANG,
        body_crawl_time: HANG,
        body_total_timeout: HANG,
        write_timeout: HANG,
        linger_timeout: HANG,
        handshake_timeout: HANG,
        drain_deadline: HANG,
        ..ListenLimits::default()
    }
}

fn render(_: &str, status: StatusCode, code: &'static str, message: &'static str) -> Response {
    (status, format!(r#"{{"code":"{code}","error":"{message}"}}"#)).into_response()
}

struct Server {
    addr: SocketAddr,
    stage: watch::Sender<Stage>,
    task: JoinHandle<Drained>,
}

fn start(router: Router, limits: ListenLimits) -> Server {
    start_with(router, limits, None)
}

fn start_with(router: Router, limits: ListenLimits, tls: Option<Tls>) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (stage, stages) = watch::channel(Stage::Running);
    let task = tokio::spawn(serve(listener, router, tls, limits, render, stages));
    Server { addr, stage, task }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends one request on a connection of its own and reads to the end.
    async fn talk(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut client).await.unwrap()
    }

    async fn ended(self) -> Drained {
        tokio::time::timeout(HANG, self.task).await.unwrap().unwrap()
    }
}

/// Reads until the other side closes; an error is a reset.
async fn read_to_end(client: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut bytes = Vec::new();
    let reading = client.read_to_end(&mut bytes);
    tokio::time::timeout(HANG, reading).await.expect("hangs")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads until what came so far ends with these words.
async fn read_until(client: &mut (impl AsyncRead + Unpin), words: &str) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(words.as_bytes()) {
            bytes.push(client.read_u8().await.expect("closed too early"));
        }
    };
    tokio::time::timeout(HANG, reading).await.expect("hangs");
    String::from_utf8(bytes).unwrap()
}

/// Sends a piece again and again until the other side takes no more. True: it took all of them.
async fn drip(client: &mut (impl AsyncWrite + Unpin), piece: &[u8], every: Duration, times: usize) -> bool {
    for _ in 0..times {
        if client.write_all(piece).await.is_err() {
            return false;
        }
        tokio::time::sleep(every).await;
    }
    true
}

/// Reads the body and says how it went, as a handler of the server would.
async fn take(request: Request) -> Response {
    let mut body = request.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.into_data().map_or(0, |data| data.len()),
            Err(error) => {
                return match body_timeout(&error) {
                    Some(why) => (StatusCode::REQUEST_TIMEOUT, format!("{why:?}")),
                    None => (StatusCode::BAD_REQUEST, "cut short".to_owned()),
                }
                .into_response();
            }
        }
    }
    format!("took {bytes}").into_response()
}

/// Tells when it is dropped: what holds it is over.
struct Gone(Option<oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(gone) = self.0.take() {
            gone.send(()).ok();
        }
    }
}

/// Refuses without reading.
async fn refuse() -> (StatusCode, &'static str) {
    (StatusCode::PAYLOAD_TOO_LARGE, "too large, sorry")
}

async fn who(request: Request) -> String {
    let peer = request.extensions().get::<Peer>().expect("no peer");
    format!("{} tls={} {}", peer.addr.ip(), peer.tls, request.uri().path())
}

const BIG_BYTES: usize = 24 * 1024 * 1024;

async fn big() -> Body {
    Body::from(vec![b'x'; BIG_BYTES])
}

/// Small pieces, each given only when asked for.
async fn slices() -> Body {
    let slices = (0..64).map(|_| Ok::<_, io::Error>(vec![b'x'; 1024]));
    Body::from_stream(futures_util::stream::iter(slices))
}

fn routes() -> Router {
    Router::new()
        .route("/take", post(take))
        .route("/refuse", post(refuse))
        .route("/big", any(big))
        .route("/slices", get(slices))
        .fallback(any(who))
}

fn post_of(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: cam\r\nContent-Length: {length}\r\n\r\n")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: cam\r\n\r\n";
const GET_AND_CLOSE: &str = "GET / HTTP/1.1\r\nHost: cam\r\nConnection: close\r\n\r\n";
