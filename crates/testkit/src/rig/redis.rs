//! A real Redis, with its own port and folder, that can lose everything.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cleanup::Folder;
use super::engine::{Engine, LOOPBACK, START_LIMIT, free_port};
use super::{Need, program};

/// What a rig needs that starts one.
pub const NEED: Need = Need::Program("redis-server", "redis-server");
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A running Redis that keeps nothing on disk. Dropped, it is killed.
#[derive(Debug)]
pub struct Redis {
    engine: Engine,
    address: SocketAddr,
    home: Folder,
}

impl Redis {
    pub fn start() -> Result<Self> {
        Self::start_on(LOOPBACK)
    }

    pub fn start_on(address: IpAddr) -> Result<Self> {
        let home = Folder::new()?;
        let address = SocketAddr::new(address, free_port(address)?);
        let mut redis = Self { engine: spawn(address, &home)?, address, home };
        redis.wait()?;
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends one command and reads the first line of its answer.
    pub fn ask(&self, command: &str) -> Result<String> {
        ask(self.address, command)
    }

    /// Sends one command whose answer is a text of one line.
    pub fn ask_text(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        let mut reader = BufReader::new(stream);
        let (mut length, mut text) = (String::new(), String::new());
        reader.read_line(&mut length)?;
        ensure!(length.starts_with('$'), "{command}: {length}");
        reader.read_line(&mut text)?;
        Ok(text.trim_end().to_owned())
    }

    /// Everything in it is gone.
    pub fn flush_all(&self) -> Result<()> {
        let answer = self.ask("FLUSHALL")?;
        ensure!(answer == "+OK", "FLUSHALL: {answer}");
        Ok(())
    }

    /// How many keys it holds.
    pub fn keys(&self) -> Result<u64> {
        self.ask("DBSIZE")?.trim_start_matches(':').parse().context("DBSIZE")
    }

    /// Ends it at once (`kill -9`): everything in it is gone, and nobody answers.
    pub fn kill(&mut self) {
        self.engine.kill();
    }

    /// Stops it in the middle of whatever it does: it is there, and answers nobody. [`go_on`](Self::go_on) ends that.
    pub fn pause(&self) {
        self.engine.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.engine.signal(Signal::CONT);
    }

    /// Starts it again, empty, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.engine = spawn(self.address, &self.home)?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let address = self.address;
        self.engine.wait_until(START_LIMIT, || ask(address, "PING").ok().as_deref() == Some("+PONG"))
    }
}

fn ask(address: SocketAddr, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn spawn(address: SocketAddr, home: &Folder) -> Result<Engine> {
    let mut command = Command::new(program("redis-server").context("no redis-server")?);
    command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
    // Redis takes no strangers' connections on an address that is not loopback unless told so.
    command.args(["--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir"]).arg(home.path());
    Engine::start("redis-server", &mut command, &home.path().join("redis.log"))
}
