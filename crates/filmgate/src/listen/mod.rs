//! Sockets in, HTTP requests out: the server's own accept loop.
//!
//! **Owns** the listening socket, TLS, the life of every connection, and each limit of time and
//! size a connection is held to ([`ListenLimits`]). A capture comes from many slow cameras at
//! once; `axum::serve` would wait for ever on a silent socket, half a header or half a body.
//!
//! **Promises**
//! - No peer holds a connection without giving or taking bytes: silence before or inside a header
//!   closes it, a silent or dripping body yields [`BodyTimeout`] to whoever reads the body, and an
//!   answer nobody reads closes the connection.
//! - An early refusal reaches the client. It is written at once, and what the client is still
//!   sending is then read and thrown away for a bounded while, because closing over unread bytes
//!   makes the kernel reset the connection and the browser shows "network error" instead of a 413.
//! - One connection too many gets a 503 and not silence. Running out of descriptors is waited out.
//! - Shutdown has two stages, and an announcement of them, [`Stage::Leaving`]: [`Stage::Draining`] ends idle connections and lets work finish,
//!   [`Stage::Cut`] or the deadline ends the rest. [`serve`] reports how many were cut.
//! - Every request carries its [`Peer`] in the extensions, has one well-formed host, and a path
//!   without NUL that decodes to UTF-8.
//!
//! **Leaves to others** every route, who is asking, whether a forwarded address is to be believed,
//! limits by content (bytes of a file, parts of a form), and the words of an error: answers made
//! here go through the caller's [`Render`]. A handler that meets an error while reading a body
//! asks [`body_timeout`] and answers 408.
//!
//! **Known edges**
//! - A header not finished in time is closed without an answer; hyper offers no word for it.
//! - `header_read_timeout` is also how long a kept-alive HTTP/1 connection may rest between two
//!   requests: hyper has one clock for both.
//! - HTTP/2 is spoken over TLS by ALPN only.

mod accept;
mod bind;
mod body;
mod connection;
mod direct;
mod edge;
mod limits;
mod service;
mod shutdown;
pub mod systemd;
mod tls;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use axum::http::StatusCode;
use axum::response::Response;

pub use accept::{Drained, serve};
pub use bind::{BindError, bind};
pub use body::{BodyTimeout, body_timeout};
pub use edge::{Refusal, inspect, is_form};
pub use limits::{BODY_CRAWL_TIME, ListenLimits};
pub use shutdown::{Stage, signals};
pub use tls::{Tls, TlsError, TlsFiles};

/// How an answer made by this module is worded: path asked for, status, stable code, message. A function and not
/// a layer, because these answers exist before any route and any layer has seen the request.
pub type Render = fn(&str, StatusCode, &'static str, &'static str) -> Response;

/// Who is at the other end of the socket; in the extensions of every request.
///
/// Behind a reverse proxy this is the proxy: whether to believe what it forwards is decided
/// elsewhere, by configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The socket's other address. An IPv4 peer of a dual-stack socket appears as IPv4, or a rule
    /// for `10.0.0.0/8` would silently miss `::ffff:10.0.0.1`.
    pub addr: SocketAddr,
    /// Whether this hop is encrypted by us.
    pub tls: bool,
}
