//! HTTP/1.1 requests and answers, as a good client writes and reads them. How they travel, and how a bad client
//! behaves, is [`connection`](crate::connection)'s.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use serde_json::Value;

use crate::connection::Connection;
use crate::form::Form;

/// A request to be sent, with `Host`, and `Content-Length` where there is a body; both give way to ones set by hand.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn cookie(self, value: &str) -> Self {
        self.header("Cookie", value)
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, bytes: Vec<u8>) -> Self {
        self.body = Some(bytes);
        self.header("Content-Type", content_type)
    }

    #[must_use]
    pub fn form(self, form: &Form) -> Self {
        self.body(&form.content_type(), form.bytes())
    }

    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string().into_bytes())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The head alone, with its empty line.
    pub fn head_bytes(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut line = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                head.push_str(part);
            }
        };
        if !self.has("host") {
            line("Host", host);
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if !self.has("content-length") && !self.has("transfer-encoding") {
            match &self.body {
                Some(body) => line("Content-Length", &body.len().to_string()),
                None if self.method == "POST" => line("Content-Length", "0"),
                None => {}
            }
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Head and body as they go onto the wire.
    pub fn bytes(&self, host: &str) -> Vec<u8> {
        let mut out = self.head_bytes(host);
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out
    }

    /// Sends it over a connection of its own.
    pub fn send(&self, address: SocketAddr) -> io::Result<Response> {
        Connection::open(address)?.send(self)
    }
}

/// An answer, read whole.
#[derive(Clone, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Statuses of the 1xx answers that came before it.
    pub interim: Vec<u16>,
}

impl fmt::Debug for Response {
    /// Status and the beginning of the body, which is what a failed test wants to show.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.text().chars().take(300).collect();
        write!(out, "status {}, {} bytes: {body}", self.status, self.body.len())
    }
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics with status and body where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("status {}, a body that is no JSON ({error}): {}", self.status, self.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_set_by_hand_win() {
        let request =
            Request::post("/x").header("Content-Length", "7").header("Host", "a").body("text/plain", vec![b'x']);
        let text = String::from_utf8(request.bytes("h")).unwrap();
        assert_eq!(text, "POST /x HTTP/1.1\r\nContent-Length: 7\r\nHost: a\r\nContent-Type: text/plain\r\n\r\nx");
    }
}
