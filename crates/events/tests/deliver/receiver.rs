//! A receiver of webhooks that can misbehave: raw sockets, so that nothing corrects what the test says.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the receiver does with a request.
#[derive(Clone)]
pub enum Answer {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes, then zeros until the sender hangs up.
    Endless(Vec<u8>),
    /// A byte each 20 ms, for ever.
    Drip(&'static [u8]),
    /// Nothing, until the sender hangs up.
    Silence,
    /// Hangs up at once.
    HangUp,
}

/// An answer with this status line and headers, and no body.
pub fn status(line: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n").into_bytes())
}

#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

pub struct Receiver {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<Request>>>,
    pub connections: Arc<AtomicUsize>,
    /// Bytes that the receiver could write in all.
    pub written: Arc<AtomicUsize>,
}

impl Receiver {
    pub fn start(answer: Answer) -> Self {
        Self::listen("127.0.0.1:0", answer)
    }

    pub fn listen(address: &str, answer: Answer) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
            written: Arc::default(),
        };
        let (requests, connections, written) =
            (Arc::clone(&receiver.requests), Arc::clone(&receiver.connections), Arc::clone(&receiver.written));
        // Lives as long as the test's process.
        thread::spawn(move || {
            for socket in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (answer, requests, written) = (answer.clone(), Arc::clone(&requests), Arc::clone(&written));
                thread::spawn(move || serve(socket.unwrap(), &answer, &requests, &written));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/hooks/in", self.address)
    }

    pub fn request(&self) -> Request {
        let requests = self.requests.lock().unwrap();
        assert_eq!(requests.len(), 1);
        requests[0].clone()
    }
}

fn serve(socket: TcpStream, answer: &Answer, requests: &Mutex<Vec<Request>>, written: &AtomicUsize) {
    let mut writing = socket.try_clone().unwrap();
    let mut reading = BufReader::new(socket);
    let mut write = |bytes: &[u8]| {
        let done = writing.write_all(bytes).is_ok();
        if done {
            written.fetch_add(bytes.len(), Ordering::SeqCst);
        }
        done
    };
    while let Some(request) = read_request(&mut reading) {
        requests.lock().unwrap().push(request);
        match answer {
            Answer::Bytes(bytes) => {
                write(bytes);
            }
            Answer::Endless(bytes) => {
                write(bytes);
                while write(&[b'0'; 4096]) {}
            }
            Answer::Drip(bytes) => {
                while bytes.iter().all(|byte| {
                    thread::sleep(Duration::from_millis(20));
                    write(&[*byte])
                }) {}
            }
            Answer::Silence => {
                // Waits for the sender's end; what it may still send is of no interest.
                reading.read_to_end(&mut Vec::new()).ok();
            }
            Answer::HangUp => return,
        }
    }
}

fn read_request(reading: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reading.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reading.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reading.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body: String::from_utf8(body).unwrap() })
}
