//! HTTP/1.1 over a plain socket: small, blocking, and able to misbehave.
//!
//! A test can send whole requests, any bytes at any pace, close half of the socket, or reset it. Nothing is corrected on
//! the way: what the test says is what is sent.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::http::{Request, Response};

/// How long a read or write may stand still before it counts as an error.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// A head longer than this is not an answer of ours.
const HEAD_MAX: usize = 256 * 1024;

/// A socket to the server, kept open between requests.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    host: String,
    /// Bytes read and not yet used.
    pending: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        let connection = Self { stream, host: address.to_string(), pending: Vec::new() };
        connection.timeout(TIMEOUT)?;
        Ok(connection)
    }

    /// How long each later read and write may stand still.
    pub fn timeout(&self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))?;
        self.stream.set_write_timeout(Some(limit))
    }

    /// Sends one request and reads its answer. Where the server answers and closes before it took the whole body, the
    /// answer counts and the failed write does not.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        let written = self.write(&request.bytes(&self.host));
        match self.read_response(request.method == "HEAD") {
            Ok(response) => Ok(response),
            Err(error) => Err(written.err().unwrap_or(error)),
        }
    }

    /// Sends head and body without waiting for anything.
    pub fn write_request(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.bytes(&self.host))
    }

    /// Sends the head alone.
    pub fn write_head(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.head_bytes(&self.host))
    }

    /// Sends any bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes `step` at a time with a pause after each; ends early, without error, where the server closes.
    /// Returns how many bytes went out.
    pub fn drip(&mut self, bytes: &[u8], step: usize, pause: Duration) -> usize {
        let mut sent = 0;
        for chunk in bytes.chunks(step.max(1)) {
            if self.write(chunk).is_err() {
                break;
            }
            sent += chunk.len();
            std::thread::sleep(pause);
        }
        sent
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub fn half_close(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes with a reset in place of a farewell, as a machine does that lost its network or its process.
    pub fn reset(self) -> io::Result<()> {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO))?;
        Ok(())
    }

    /// Whatever the server sends until it closes or `limit` has passed, and whether it closed.
    pub fn read_whatever(&mut self, limit: Duration) -> (Vec<u8>, bool) {
        let end = Instant::now() + limit;
        let mut out = std::mem::take(&mut self.pending);
        let mut buffer = [0; 16 * 1024];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return (out, false);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return (out, true),
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return (out, false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return (out, true),
            }
        }
    }

    /// The socket itself, for what is not here.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads one answer. `bodyless` for the answer to a HEAD.
    pub fn read_response(&mut self, bodyless: bool) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let mut response = self.read_head()?;
            if (100..200).contains(&response.status) && response.status != 101 {
                interim.push(response.status);
                continue;
            }
            response.interim = interim;
            if !bodyless && !matches!(response.status, 204 | 304) {
                response.body = self.read_body(&response)?;
            }
            return Ok(response);
        }
    }

    fn read_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.pending, b"\r\n\r\n") {
                break at;
            }
            if self.pending.len() > HEAD_MAX {
                return Err(bad("a head without end"));
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.pending[..end]).into_owned();
        self.pending.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| bad(&format!("no status line: {status_line:?}")))?;
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(':').ok_or_else(|| bad(&format!("no header line: {line:?}")))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<io::Result<_>>()?;
        Ok(Response { status, headers, ..Response::default() })
    }

    fn read_body(&mut self, head: &Response) -> io::Result<Vec<u8>> {
        if head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            let mut body = Vec::new();
            loop {
                let line = self.read_line()?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).map_err(|_| bad(&format!("no chunk size: {line:?}")))?;
                if size == 0 {
                    while !self.read_line()?.is_empty() {}
                    return Ok(body);
                }
                body.extend_from_slice(&self.read_exactly(size)?);
                self.read_exactly(2)?;
            }
        }
        if let Some(length) = head.header("content-length") {
            let length = length.parse().map_err(|_| bad(&format!("no length: {length:?}")))?;
            return self.read_exactly(length);
        }
        while self.fill().is_ok() {}
        Ok(std::mem::take(&mut self.pending))
    }

    fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.pending, b"\r\n") {
                let line = String::from_utf8_lossy(&self.pending[..at]).into_owned();
                self.pending.drain(..at + 2);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn read_exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.pending.len() < count {
            self.fill()?;
        }
        let rest = self.pending.split_off(count);
        Ok(std::mem::replace(&mut self.pending, rest))
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.pending.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that reads a head and then says `answer`.
    fn answering(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 1024];
            while find(&seen, b"\r\n\r\n").is_none() {
                let count = stream.read(&mut buffer).unwrap();
                seen.extend_from_slice(&buffer[..count]);
            }
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn reads_length_chunks_interim_and_until_close() {
        let cases: [(&[u8], &str, &[u16]); 3] = [
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", &[100]),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nA: b\r\n\r\n",
                "hello",
                &[],
            ),
            (b"HTTP/1.1 200 OK\r\n\r\nhello", "hello", &[]),
        ];
        for (answer, body, interim) in cases {
            let response = Request::get("/").send(answering(answer)).unwrap();
            assert_eq!((response.status, response.text().as_str()), (200, body));
            assert_eq!(response.interim, interim);
        }
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        assert!(Request::get("/").send(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")).is_err());
    }
}
