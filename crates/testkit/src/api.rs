//! The calls of the upload contract that tests make again and again.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::connection::Connection;
use crate::form::Form;
use crate::http::{Request, Response};

/// A frame on its way: its bytes, and the trigger it claims.
#[derive(Clone, Debug)]
pub struct Shot {
    pub photo: Vec<u8>,
    pub trigger: String,
}

impl Shot {
    /// A frame as the demo's settings want it.
    pub fn interval(photo: Vec<u8>) -> Self {
        Self { photo, trigger: "INTERVAL".to_owned() }
    }
}

/// What the server says of one stored frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub id: String,
    pub filename: String,
    pub sha256: String,
}

/// The batch upload's form: session first, then each frame followed by its metadata.
pub fn upload_form(session_id: &str, shots: &[Shot]) -> Form {
    let mut form = Form::new().text("session_id", session_id);
    for (index, shot) in shots.iter().enumerate() {
        form = form
            .file(&format!("capture_{index}"), &format!("frame-{index}.jpg"), "image/jpeg", &shot.photo)
            .json(&format!("metadata_{index}"), &json!({"trigger": shot.trigger}));
    }
    form
}

/// The batch upload as one request.
pub fn upload_request(cookie: &str, session_id: &str, shots: &[Shot]) -> Request {
    Request::post("/assessment/camera/upload").cookie(cookie).form(&upload_form(session_id, shots))
}

/// The captures that a 200 names, in the order of its answer.
pub fn captures(response: &Response) -> Result<Vec<Capture>> {
    ensure!(response.status == 200, "status {}: {}", response.status, response.text());
    let body: Value = serde_json::from_slice(&response.body).context("an answer that is no JSON")?;
    let listed = body["captures"].as_array().with_context(|| format!("no captures in {body}"))?;
    listed
        .iter()
        .map(|entry| {
            let text =
                |name: &str| entry[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {entry}"));
            Ok(Capture { id: text("id")?, filename: text("filename")?, sha256: text("sha256")? })
        })
        .collect()
}

/// SHA-256 as the server writes it.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// One signed-in client with one kept connection.
#[derive(Debug)]
pub struct Api {
    pub address: SocketAddr,
    pub cookie: String,
    pub session_id: String,
    connection: Option<Connection>,
}

impl Clone for Api {
    /// The same client; the copy opens a connection of its own.
    fn clone(&self) -> Self {
        Self::new(self.address, &self.cookie, &self.session_id)
    }
}

impl Api {
    pub fn new(address: SocketAddr, cookie: &str, session_id: &str) -> Self {
        Self { address, cookie: cookie.to_owned(), session_id: session_id.to_owned(), connection: None }
    }

    /// Sends over the kept connection, opening it first where there is none. After an error the next call opens anew;
    /// nothing is sent twice.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        let response = connection.send(request)?;
        if !response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = Some(connection);
        }
        Ok(response)
    }

    /// As [`send`](Self::send) for what may be sent twice: once more where the kept connection had been closed.
    pub fn get(&mut self, target: &str) -> io::Result<Response> {
        let request = Request::get(target).cookie(&self.cookie);
        let kept = self.connection.is_some();
        match self.send(&request) {
            Err(_) if kept => self.send(&request),
            outcome => outcome,
        }
    }

    pub fn upload(&mut self, shots: &[Shot]) -> io::Result<Response> {
        let request = upload_request(&self.cookie, &self.session_id, shots);
        self.send(&request)
    }

    /// One frame with the trigger the demo wants.
    pub fn upload_photo(&mut self, photo: &[u8]) -> io::Result<Response> {
        self.upload(&[Shot::interval(photo.to_vec())])
    }

    pub fn file(&mut self, filename: &str) -> io::Result<Response> {
        self.get(&format!("/assessment/camera/file/{filename}"))
    }

    /// The session's list of captures as the server gives it.
    pub fn list(&mut self) -> Result<Vec<Value>> {
        let response = self.get(&format!("/assessment/camera/session/{}", self.session_id))?;
        ensure!(response.status == 200, "list: status {}: {}", response.status, response.text());
        let body: Value = serde_json::from_slice(&response.body)?;
        Ok(body["captures"].as_array().with_context(|| format!("no captures in {body}"))?.clone())
    }

    /// The filenames of the session's captures.
    pub fn listed_filenames(&mut self) -> Result<Vec<String>> {
        self.list()?
            .iter()
            .map(|entry| Ok(entry["filename"].as_str().context("a capture without filename")?.to_owned()))
            .collect()
    }

    /// Whether `GET path` is answered with a 2xx.
    pub fn is_up(&mut self, path: &str) -> bool {
        self.get(path).is_ok_and(|response| response.is_success())
    }
}
