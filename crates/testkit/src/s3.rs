//! An S3 in this process, over a folder, that can also misbehave: `s3s-fs` behind a door that tests command.
//!
//! What `s3s-fs` does not do is done at the door: telling which uploads in parts were begun and never ended.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The one bucket there is.
pub const BUCKET: &str = "photos";
pub const ACCESS_KEY_ID: &str = "filmgate-test";
pub const SECRET_ACCESS_KEY: &str = "only-for-tests";

/// What becomes of a request instead of being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503 SlowDown, undone.
    Busy,
    /// 500 InternalError, undone.
    Broken,
    /// 403 RequestTimeTooSkewed, undone.
    Skewed,
    /// Undone, and no answer ever.
    Hangs,
    /// Undone, the connection cut.
    Cut,
    /// Done, the connection cut before the answer.
    AnswerLost,
    /// Done, and half of the answer's body damaged.
    Damaged,
}

#[derive(Debug, Default)]
struct Orders {
    faults: Vec<(Fault, Method, String, usize)>,
    struck: usize,
    seen: Vec<(Method, String)>,
}

/// A running S3.
#[derive(Debug)]
pub struct S3Server {
    address: SocketAddr,
    root: tempfile::TempDir,
    orders: Arc<Mutex<Orders>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3Server {
    pub fn start() -> Result<Self> {
        let root = tempfile::tempdir()?;
        fs::create_dir(root.path().join(BUCKET))?;
        let files = s3s_fs::FileSystem::new(root.path()).map_err(|error| anyhow::anyhow!("s3s-fs: {error:?}"))?;
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        let door = Door { s3: builder.build(), root: root.path().to_owned(), orders: Arc::default() };
        let orders = door.orders.clone();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a port for S3")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("s3".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = door.serve(listener) => {}
                    _ = stopped => {}
                }
            });
            // What hangs is not waited for.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, root, orders, stop: Some(stop), thread: Some(thread) })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The settings of a server whose photos lie here.
    pub fn envs(&self) -> Vec<(String, String)> {
        let pairs = [
            ("FILMGATE__BLOBS__URL", format!("s3://{BUCKET}")),
            ("FILMGATE__BLOBS__S3_ENDPOINT", self.endpoint()),
            ("FILMGATE__BLOBS__S3_ACCESS_KEY_ID", ACCESS_KEY_ID.to_owned()),
            ("FILMGATE__BLOBS__S3_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY.to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The file of an object.
    pub fn object(&self, key: &str) -> PathBuf {
        self.root.path().join(BUCKET).join(key)
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        fn walk(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    walk(&entry.path(), root, found);
                } else if let Ok(key) = entry.path().strip_prefix(root) {
                    found.insert(key.to_string_lossy().into_owned());
                }
            }
        }
        let (root, mut found) = (self.root.path().join(BUCKET), BTreeSet::new());
        walk(&root, &root, &mut found);
        found.into_iter().collect()
    }

    /// Lets the next so many requests of this method, whose address and query hold this, come to harm.
    pub fn strike(&self, fault: Fault, method: &Method, part: &str, times: usize) {
        self.heal();
        lock(&self.orders).struck = 0;
        self.strike_too(fault, method, part, times);
    }

    /// Beside those that were ordered before.
    pub fn strike_too(&self, fault: Fault, method: &Method, part: &str, times: usize) {
        lock(&self.orders).faults.push((fault, method.clone(), part.to_owned(), times));
    }

    /// How many came to harm since [`S3Server::strike`].
    pub fn struck(&self) -> usize {
        lock(&self.orders).struck
    }

    pub fn heal(&self) {
        lock(&self.orders).faults.clear();
    }

    /// The requests since this was asked last: method, and path with query.
    pub fn requests(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut lock(&self.orders).seen)
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It may have ended by itself.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn lock(orders: &Mutex<Orders>) -> MutexGuard<'_, Orders> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}

type Answer = http::Response<s3s::Body>;

/// Cuts the connection: hyper closes it where a service fails.
fn cut() -> std::io::Error {
    std::io::ErrorKind::ConnectionReset.into()
}

fn words(status: StatusCode, code: &str) -> Answer {
    let body = format!("<Error><Code>{code}</Code><Message>so the test wants it</Message></Error>");
    let mut answer = http::Response::new(s3s::Body::from(body));
    *answer.status_mut() = status;
    answer
}

#[derive(Clone)]
struct Door {
    s3: S3Service,
    root: PathBuf,
    orders: Arc<Mutex<Orders>>,
}

impl Door {
    async fn serve(self, listener: std::net::TcpListener) {
        let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
        loop {
            let Ok((socket, _)) = listener.accept().await else { continue };
            let door = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| door.answer(request));
                // One that was cut is an error, and meant to be.
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await.ok();
            });
        }
    }

    async fn answer(&self, request: http::Request<Incoming>) -> Result<Answer, std::io::Error> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        match self.order(request.method(), &request.uri().to_string()) {
            None => {}
            Some(Fault::Busy) => return Ok(words(StatusCode::SERVICE_UNAVAILABLE, "SlowDown")),
            Some(Fault::Broken) => return Ok(words(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            Some(Fault::Skewed) => return Ok(words(StatusCode::FORBIDDEN, "RequestTimeTooSkewed")),
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Cut) => return Err(cut()),
            Some(Fault::AnswerLost) => {
                self.perform(request).await.ok();
                return Err(cut());
            }
            Some(Fault::Damaged) => {
                let answer = self.perform(request).await?;
                let (parts, body) = answer.into_parts();
                let mut body = body;
                let bytes = body.store_all_limited(usize::MAX).await.map_err(std::io::Error::other)?;
                let mut bytes = bytes.to_vec();
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    *byte ^= 1;
                }
                return Ok(http::Response::from_parts(parts, bytes.into()));
            }
        }
        if request.method() == Method::GET && query.split('&').any(|pair| pair == "uploads=" || pair == "uploads") {
            return Ok(http::Response::new(self.uploads_under_way()?.into()));
        }
        self.perform(request).await
    }

    async fn perform(&self, request: http::Request<Incoming>) -> Result<Answer, std::io::Error> {
        let done = self.s3.call(request.map(s3s::Body::from)).await;
        done.map_err(|error| std::io::Error::other(format!("{error:?}")))
    }

    fn order(&self, method: &Method, address: &str) -> Option<Fault> {
        let mut orders = lock(&self.orders);
        orders.seen.push((method.clone(), address.to_owned()));
        let (fault, .., times) = orders
            .faults
            .iter_mut()
            .find(|(_, of, part, times)| of == method && address.contains(part.as_str()) && *times > 0)?;
        *times -= 1;
        let fault = *fault;
        orders.struck += 1;
        Some(fault)
    }

    /// From the notes that `s3s-fs` keeps of them beside the bucket.
    fn uploads_under_way(&self) -> std::io::Result<String> {
        let mut uploads = String::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((object, id)) = name
                .strip_suffix(".metadata.json")
                .and_then(|name| name.split_once(".object-")?.1.split_once(".upload-"))
            else {
                continue;
            };
            let key = URL_SAFE_NO_PAD.decode(object).map_err(std::io::Error::other)?;
            let begun = s3s::dto::Timestamp::from(entry.metadata()?.modified()?);
            let mut initiated = Vec::new();
            begun.format(s3s::dto::TimestampFormat::DateTime, &mut initiated).map_err(std::io::Error::other)?;
            let (key, initiated) = (String::from_utf8_lossy(&key), String::from_utf8_lossy(&initiated));
            uploads.extend(["<Upload><Key>", &*key, "</Key><UploadId>", id, "</UploadId><Initiated>", &*initiated]);
            uploads.push_str("</Initiated></Upload>");
        }
        Ok(format!(
            "<ListMultipartUploadsResult><Bucket>{BUCKET}</Bucket>{uploads}<IsTruncated>false</IsTruncated>\
             </ListMultipartUploadsResult>"
        ))
    }
}
