//! The engine of `filmgate bench` for two peers that do not speak the contract: nginx with WebDAV PUT, and tus. Neither
//! takes a form, knows who is signed in, or has sessions.
//!
//! Same clock, same photo, same connections, same figures: only the requests differ.
#![allow(clippy::print_stdout, reason = "it prints its report")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use bench::{Arrivals, Dialect, Load, Outgoing, Photo, Slow, Target, User, Verdict};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Protocol {
    /// PUT of the bare photo
    Put,
    /// tus 1.0, creation with upload: one request
    Tus,
}

#[derive(Debug, Parser)]
struct Args {
    protocol: Protocol,
    url: String,
    #[arg(long, default_value_t = 0)]
    users: usize,
    #[arg(long, value_parser = time, default_value = "1s")]
    interval: Duration,
    #[arg(long, value_parser = time, default_value = "10s")]
    duration: Duration,
    #[arg(long, value_parser = time, default_value = "1s")]
    warm_up: Duration,
    #[arg(long, default_value_t = 100_000)]
    photo_bytes: usize,
    #[arg(long, default_value_t = 0)]
    slow: usize,
    #[arg(long, default_value_t = 1000)]
    slow_rate: u32,
    #[arg(long, value_parser = time, default_value = "0s")]
    quick_interval: Duration,
    #[arg(long, value_parser = time, default_value = "0s")]
    alone: Duration,
    #[arg(long, value_parser = time, default_value = "60s")]
    give_up_after: Duration,
    /// A fixed small file for PUT, a cheap request for tus
    #[arg(long, default_value = "/quick.json")]
    quick: String,
    /// Beginning of every name, another for each run: nothing is overwritten
    #[arg(long, default_value = "run")]
    name: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn time(text: &str) -> Result<Duration, planner::quantity::NotAQuantity> {
    Ok(Duration::from_secs_f64(planner::quantity::seconds(text)?))
}

struct Peer {
    protocol: Protocol,
    quick: String,
    name: String,
}

impl Dialect for Peer {
    fn upload(&self, _: &User, photo: &Photo, serial: u64) -> Outgoing {
        let mut headers = Vec::new();
        let (method, path) = match self.protocol {
            // As the contract's minute folders: a few hundred files in each, not a million in one.
            Protocol::Put => (Method::PUT, format!("/photos/{}-{}/{serial:x}.jpg", self.name, serial >> 10)),
            Protocol::Tus => {
                let fixed = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
                headers.push(fixed("tus-resumable", "1.0.0"));
                headers.push((HeaderName::from_static("upload-length"), photo.length().into()));
                // "filename" in base64 is what tus wants of names; the server makes its own.
                headers.push(fixed("upload-metadata", "filename ZnJhbWUuanBn"));
                headers.push((header::CONTENT_TYPE, HeaderValue::from_static("application/offset+octet-stream")));
                (Method::POST, "/files".to_owned())
            }
        };
        let body: Vec<Bytes> = photo.pieces(serial);
        Outgoing { method, path, headers, body }
    }

    fn quick(&self, _: &User) -> Outgoing {
        Outgoing { method: Method::GET, path: self.quick.clone(), headers: Vec::new(), body: Vec::new() }
    }

    fn judge(&self, status: StatusCode, body: &[u8]) -> Verdict {
        if status.is_success() {
            return Verdict::Taken { stored: 1, queued: 0, skipped: 0 };
        }
        let words = String::from_utf8_lossy(body).chars().take(200).collect();
        Verdict::Refused { code: status.as_u16().to_string(), words }
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(args.threads.max(1)).enable_all().build()?;
    let report = runtime.block_on(async {
        let target = Target::at(&args.url).await?;
        let load = Load {
            interval: args.interval,
            arrivals: Arrivals::Even,
            duration: args.duration,
            warm_up: args.warm_up,
            give_up_after: args.give_up_after,
            in_flight_max: 4096,
            slow: Slow { uploads: args.slow, bytes_per_second: args.slow_rate, is_finished: false },
            quick_interval: args.quick_interval,
            alone: args.alone,
            seed: 1,
        };
        let users = vec![User { session: String::new(), credential: None }; args.users.max(1)];
        let dialect = Arc::new(Peer { protocol: args.protocol, quick: args.quick, name: args.name });
        let photo = Photo::synthetic(args.photo_bytes)?;
        let stop = Arc::new(AtomicBool::new(false));
        bench::run(&load, &target, dialect, users, args.users, photo, stop, |_| {}).await
    })?;
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
