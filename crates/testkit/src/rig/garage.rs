//! A real Garage of one node: an S3 store with its own folder and ports, that can be stopped, killed and started again.
//!
//! It comes as a crate and takes some ten minutes to build; `scripts/test` does that once and keeps it. Its bucket and
//! its key are made at its start.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::bucket::Bucket;
use super::cleanup::Folder;
use super::engine::{Engine, LOOPBACK, START_LIMIT, free_port};
use super::{Need, program};

/// What a rig needs that starts one.
pub const NEED: Need = Need::Garage;
const REGION: &str = "garage";
const BUCKET: &str = "filmgate";
/// For a store that is gone after the run.
const ACCESS_KEY_ID: &str = "GK0123456789abcdef01234567";
const SECRET_ACCESS_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running Garage. Dropped, it is killed.
#[derive(Debug)]
pub struct Garage {
    engine: Engine,
    bucket: Bucket,
    home: Folder,
}

impl Garage {
    pub fn start() -> Result<Self> {
        Self::start_on(LOOPBACK)
    }

    pub fn start_on(address: IpAddr) -> Result<Self> {
        let home = Folder::new()?;
        let api = SocketAddr::new(address, free_port(address)?);
        let rpc = SocketAddr::new(LOOPBACK, free_port(LOOPBACK)?);
        let folder = home.path().display();
        // Every fsync on: a store that forgets at its kill would be blamed on the server.
        let configuration = format!(
            "metadata_dir = \"{folder}/metadata\"\n\
             data_dir = \"{folder}/data\"\n\
             db_engine = \"lmdb\"\n\
             metadata_fsync = true\n\
             data_fsync = true\n\
             replication_factor = 1\n\
             rpc_bind_addr = \"{rpc}\"\n\
             rpc_public_addr = \"{rpc}\"\n\
             rpc_secret = \"{SECRET_ACCESS_KEY}\"\n\
             [s3_api]\n\
             s3_region = \"{REGION}\"\n\
             api_bind_addr = \"{api}\"\n"
        );
        fs::write(home.path().join("garage.toml"), configuration).context("writing garage.toml")?;
        let bucket = Bucket {
            address: api,
            region: REGION.to_owned(),
            name: BUCKET.to_owned(),
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
        };
        let mut garage = Self { engine: spawn(&home)?, bucket, home };
        garage.wait()?;
        Ok(garage)
    }

    pub fn pid(&self) -> u32 {
        self.engine.pid()
    }

    /// Its bucket, and how to open it.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub fn address(&self) -> SocketAddr {
        self.bucket.address
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.bucket.address)
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> Result<()> {
        self.engine.end(Signal::TERM, STOP_LIMIT).map(drop)
    }

    /// Ends it at once (`kill -9`).
    pub fn kill(&mut self) {
        self.engine.kill();
    }

    /// Starts it again on the same folder and ports, and returns once it answers.
    pub fn start_again(&mut self) -> Result<()> {
        self.engine = spawn(&self.home)?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let bucket = self.bucket.clone();
        self.engine.wait_until(START_LIMIT, || bucket.get("not there").is_ok())
    }
}

fn spawn(home: &Folder) -> Result<Engine> {
    let mut command = Command::new(binary().context("no garage")?);
    command.arg("-c").arg(home.path().join("garage.toml")).args(["server", "--single-node", "--default-bucket"]);
    command.env("GARAGE_DEFAULT_ACCESS_KEY", ACCESS_KEY_ID).env("GARAGE_DEFAULT_SECRET_KEY", SECRET_ACCESS_KEY);
    command.env("GARAGE_DEFAULT_BUCKET", BUCKET).env("RUST_LOG", "garage=info");
    Engine::start("garage", &mut command, &home.path().join("garage.log"))
}

/// Where it is: named by the environment's `FILMGATE_TEST_GARAGE`, on the path, or where `scripts/test` installs it.
pub fn binary() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FILMGATE_TEST_GARAGE") {
        return Some(named.into());
    }
    let home = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = home("XDG_CACHE_HOME").or_else(|| home("HOME").map(|home| home.join(".cache")));
    let tools = home("FILMGATE_TEST_TOOLS").or_else(|| cache.map(|cache| cache.join("filmgate-test")));
    program("garage").or_else(|| tools.map(|tools| tools.join("garage/bin/garage")).filter(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_outlives_a_kill() {
        if binary().is_none() {
            eprintln!("NOT RUN: no garage; ./scripts/test --scale installs it");
            return;
        }
        let mut garage = Garage::start().unwrap();
        let bucket = garage.bucket().clone();
        let large = vec![7; 3_000_000];
        bucket.put("a/small one", b"bytes").unwrap();
        bucket.put("a/large", &large).unwrap();
        garage.kill();
        assert!(bucket.get("a/large").is_err());
        garage.start_again().unwrap();
        assert_eq!(bucket.get("a/small one").unwrap().as_deref(), Some(b"bytes".as_slice()));
        assert!(bucket.get("a/large").unwrap().as_deref() == Some(&large));
        let listed: Vec<(String, u64)> = bucket.list("a/").unwrap().into_iter().collect();
        assert_eq!(listed, [("a/large".to_owned(), 3_000_000), ("a/small one".to_owned(), 5)]);
        bucket.delete("a/large").unwrap();
        assert_eq!(bucket.get("a/large").unwrap(), None);
        garage.stop().unwrap();
    }
}
