//! A reader of server-sent events over a plain socket.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::server::Server;
use testkit::{Connection, Request};

/// One event, or a comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: String,
    pub comment: String,
}

impl Event {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A stream being read.
pub struct Listener {
    connection: Connection,
    pub head: String,
    raw: Vec<u8>,
    text: String,
    pub has_ended: bool,
}

impl Listener {
    /// Asks; the head of the answer has come when this returns.
    pub fn open(server: &Server, cookie: &str, query: &str) -> Self {
        let mut connection = Connection::open(server.address()).unwrap();
        connection.write_request(&Request::get(&format!("/api/v1/tasks/events?{query}")).cookie(cookie)).unwrap();
        let (raw, text) = (Vec::new(), String::new());
        let mut listener = Self { connection, head: String::new(), raw, text, has_ended: false };
        let end = Instant::now() + Duration::from_secs(30);
        while listener.head.is_empty() && listener.read(end) {
            if let Some(at) = find(&listener.raw, b"\r\n\r\n") {
                listener.head = String::from_utf8(listener.raw.drain(..at + 4).collect()).unwrap();
            }
        }
        listener
    }

    /// Leaves as a machine does that lost its network.
    pub fn reset(self) {
        self.connection.reset().unwrap();
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    }

    /// Reads once more; `false` where nothing came until `end` or nothing comes any more.
    fn read(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || self.has_ended {
            return false;
        }
        self.connection.stream().set_read_timeout(Some(left)).unwrap();
        let mut buffer = [0; 16 * 1024];
        match self.connection.stream().read(&mut buffer) {
            Ok(0) => self.has_ended = true,
            Ok(count) => self.raw.extend_from_slice(&buffer[..count]),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => return false,
            Err(_) => self.has_ended = true,
        }
        true
    }

    /// Takes whole chunks of the body out of what was read.
    fn unchunk(&mut self) {
        while let Some(at) = find(&self.raw, b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..at]).unwrap(), 16).unwrap();
            if self.raw.len() < at + 2 + size + 2 {
                return;
            }
            self.text.push_str(std::str::from_utf8(&self.raw[at + 2..at + 2 + size]).unwrap());
            self.raw.drain(..at + 2 + size + 2);
            self.has_ended |= size == 0;
        }
    }

    /// The next event or comment; `None` at the end of the stream, or where none comes for so long.
    pub fn next_within(&mut self, limit: Duration) -> Option<Event> {
        let end = Instant::now() + limit;
        loop {
            self.unchunk();
            if let Some(at) = self.text.find("\n\n") {
                let block: String = self.text.drain(..at + 2).collect();
                return Some(parse(&block));
            }
            if !self.read(end) {
                self.unchunk();
                return self.text.contains("\n\n").then(|| self.next_within(Duration::ZERO)).flatten();
            }
        }
    }

    /// The next event that is no comment.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        loop {
            let event = self.next_within(Duration::from_secs(30)).expect("another event");
            if !event.name.is_empty() {
                return event;
            }
        }
    }

    /// Everything up to the end, which must come.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next_within(Duration::from_secs(30)) {
            events.push(event);
        }
        assert!(self.has_ended, "still open after {events:?}");
        events.retain(|event| !event.name.is_empty());
        events
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(':').map(|(name, value)| (name, value.trim_start())) {
            Some(("", words)) => event.comment.push_str(words),
            Some(("event", name)) => event.name.push_str(name),
            Some(("id", id)) => event.id.push_str(id),
            Some(("data", data)) => event.data.push_str(data),
            _ => {}
        }
    }
    event
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
