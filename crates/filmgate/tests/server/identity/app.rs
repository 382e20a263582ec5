//! An app to be asked: a real HTTP server in the test, that can answer well, badly, slowly or not at all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it was asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let pairs = self.header("cookie")?.split("; ");
        pairs.filter_map(|pair| pair.split_once('=')).find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

pub type Answer = Box<dyn Fn(&Asked) -> Vec<u8> + Send + Sync>;

struct State {
    answer: Mutex<Arc<Answer>>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

pub struct App {
    address: SocketAddr,
    state: Arc<State>,
}

impl App {
    pub fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), answer)
    }

    /// At an address, as an app that comes back.
    pub fn on(address: SocketAddr, answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            answer: Mutex::new(Arc::new(Box::new(answer))),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.is_over.load(Ordering::Relaxed) {
                    break;
                }
                let state = shared.clone();
                thread::spawn(move || drop(serve(stream.unwrap(), &state)));
            }
        });
        Self { address, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on it answers so.
    pub fn now_answers(&self, answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) {
        *self.state.answer.lock().unwrap() = Arc::new(Box::new(answer));
    }

    /// Everything it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    pub fn times(&self) -> usize {
        self.state.asked.lock().unwrap().len()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        // The listener waits for one more.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    state.connections.fetch_add(1, Ordering::Relaxed);
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut asked = Asked::default();
        let mut length = 0;
        if reader.read_line(&mut asked.line)? == 0 {
            return Ok(());
        }
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or(0);
            }
            asked.headers.push((name.to_owned(), value.to_owned()));
        }
        asked.line.truncate(asked.line.trim_end().len());
        asked.body.resize(length, 0);
        reader.read_exact(&mut asked.body)?;
        state.asked.lock().unwrap().push(asked.clone());
        let answer = state.answer.lock().unwrap().clone();
        if state.is_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let bytes = answer(&asked);
        if bytes.is_empty() {
            return Ok(());
        }
        writer.write_all(&bytes)?;
    }
}

/// An answer of this status, headers and body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status} As It Is\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    format!("{text}\r\n{body}").into_bytes()
}

pub fn json(body: &serde_json::Value) -> Vec<u8> {
    answer(200, &[("Content-Type", "application/json; charset=utf-8")], &body.to_string())
}
