//! The wire: connections to one server, and one request on one of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::Sending;
use crate::load::Outgoing;

/// An answer of the contract is a few hundred bytes; a page of HTML that is none of it may be longer.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A server that takes connections and says nothing is given up after this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("filmgate-bench/", env!("CARGO_PKG_VERSION")));

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No connection.
    Connect,
    /// The connection ended before the answer did.
    Closed,
    /// Nothing, or not all of it, within the time.
    TimedOut,
    /// What came is no HTTP, or too long.
    Malformed,
}

impl Failure {
    /// In words that stand after "failed".
    pub const fn words(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Closed => "connection closed before the answer",
            Self::TimedOut => "no answer in time",
            Self::Malformed => "an answer that is no HTTP",
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: http::HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// A server, resolved once: a name server's time is not the server's.
#[derive(Clone)]
pub struct Target {
    url: String,
    address: SocketAddr,
    host: HeaderValue,
    prefix: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    opened: Arc<AtomicU64>,
}

impl Target {
    /// The server at a URL; what is below its path is asked below it.
    pub async fn at(url: &str) -> Result<Self> {
        let wrong = || format!("'{url}' is no address of a server, such as http://127.0.0.1:8080");
        let uri: Uri = url.parse().with_context(wrong)?;
        let (scheme, authority) = uri.scheme().zip(uri.authority()).with_context(wrong)?;
        ensure!(uri.query().is_none(), "an address of a server has no query: '{url}'");
        let is_tls = match scheme {
            scheme if *scheme == Scheme::HTTPS => true,
            scheme if *scheme == Scheme::HTTP => false,
            other => bail!("{other} is not spoken here: the address begins with http:// or https://"),
        };
        ensure!(!authority.as_str().contains('@'), "a password has no place in an address: use --user");
        let name = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let address = tokio::net::lookup_host((name, port))
            .await
            .with_context(|| format!("{name} is not known"))?
            .next()
            .with_context(|| format!("{name} has no address"))?;
        let tls = if is_tls { Some((connector()?, ServerName::try_from(name.to_owned())?)) } else { None };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            address,
            host: HeaderValue::from_str(authority.as_str())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            tls,
            opened: Arc::default(),
        })
    }

    /// As it was given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connections opened so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    pub(crate) async fn connect(&self) -> Result<Connection, String> {
        let open = async {
            let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
            // Else the last, short piece of a request waits for the acknowledgement of the one before.
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            match &self.tls {
                None => handshake(TokioIo::new(stream)).await,
                Some((connector, name)) => {
                    let stream =
                        connector.connect(name.clone(), stream).await.map_err(|error| format!("TLS: {error}"))?;
                    handshake(TokioIo::new(stream)).await
                }
            }
        };
        let sender = tokio::time::timeout(CONNECT_LIMIT, open)
            .await
            .map_err(|_| format!("no connection within {} s", CONNECT_LIMIT.as_secs()))??;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { sender })
    }

    fn request(&self, outgoing: Outgoing, body: impl FnOnce(Vec<Bytes>) -> Sending) -> Request<Sending> {
        let length: usize = outgoing.body.iter().map(Bytes::len).sum();
        let mut request = Request::new(body(outgoing.body));
        *request.method_mut() = outgoing.method;
        // A path that is none comes from a mistyped session, and then the server says so.
        *request.uri_mut() = format!("{}{}", self.prefix, outgoing.path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        if length > 0 {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        headers.extend(outgoing.headers);
        request
    }

    /// One request and its answer, over a connection of its own; for what comes before and after the measuring.
    pub(crate) async fn ask(&self, outgoing: Outgoing, limit: Duration) -> Result<Answer> {
        let what = format!("{} {}{}", outgoing.method, self.url, outgoing.path);
        let mut connection =
            self.connect().await.map_err(|why| anyhow::anyhow!("{} does not answer: {why}", self.url))?;
        let asked = connection.send(self, outgoing, Sending::at_once);
        match tokio::time::timeout(limit, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => bail!("{what}: {}", failure.words()),
            Err(_) => bail!("{what}: no answer within {} s", limit.as_secs_f64()),
        }
    }
}

/// One kept connection.
pub(crate) struct Connection {
    sender: http1::SendRequest<Sending>,
}

impl Connection {
    /// Whether the server has not closed it.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(crate) async fn send(
        &mut self,
        target: &Target,
        outgoing: Outgoing,
        body: impl FnOnce(Vec<Bytes>) -> Sending,
    ) -> Result<Answer, Failure> {
        let request = target.request(outgoing, body);
        self.sender.ready().await.map_err(|_| Failure::Closed)?;
        let response = self.sender.send_request(request).await.map_err(|error| failure(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| error.downcast_ref::<hyper::Error>().map_or(Failure::Malformed, failure))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }
}

fn failure(error: &hyper::Error) -> Failure {
    if error.is_parse() { Failure::Malformed } else { Failure::Closed }
}

async fn handshake<I>(io: I) -> Result<http1::SendRequest<Sending>, String>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // How it ended is told by the request that was on it, and counted there.
        let _ended = connection.await;
    });
    Ok(sender)
}

/// With the authorities of this machine, as a browser here would judge.
fn connector() -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    ensure!(!roots.is_empty(), "this machine has no certificate authorities, so that no https server can be believed");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
