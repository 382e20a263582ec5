//! A real redis-server for one test.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

pub struct Server {
    folder: TempDir,
    password: Option<&'static str>,
    child: Mutex<Option<Child>>,
}

impl Server {
    /// A server on a socket of its own, running.
    pub fn start(password: Option<&'static str>) -> Self {
        let server = Self::absent(password);
        server.launch();
        server
    }

    /// Where one will be.
    pub fn absent(password: Option<&'static str>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), password, child: Mutex::new(None) }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub fn url(&self) -> String {
        let password = self.password.map(|password| format!("?pass={password}")).unwrap_or_default();
        format!("redis+unix://{}{password}", self.socket().display())
    }

    pub fn launch(&self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(self.socket());
        command.arg("--dir").arg(self.folder.path());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => *self.child.lock().unwrap() = Some(child),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("these tests need a real redis-server: apt-get install redis-server")
            }
            Err(error) => panic!("redis-server: {error}"),
        }
        for _ in 0..1500 {
            if self.try_ask::<String>(&["PING"]).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("redis-server does not answer");
    }

    /// As by `kill -9`.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap().take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// As by `kill -STOP` and `kill -CONT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.lock().unwrap().as_ref().unwrap().id();
        assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
    }

    fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query(&mut connection)
    }

    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
