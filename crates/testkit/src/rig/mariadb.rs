//! A real MariaDB: a server of its own in a folder of its own on a free port, that can be stopped, killed, paused and
//! started again. It touches no other: not the one that a Debian package makes, and no configuration but its own.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cleanup::Folder;
use super::engine::{Engine, LOOPBACK, START_LIMIT, free_port};
use super::{Need, postgres, program};

/// What a rig needs that starts one.
pub const NEED: Need = Need::Program("mariadbd", "mariadb-server");
/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A running MariaDB. Dropped, it is killed.
#[derive(Debug)]
pub struct MariaDb {
    engine: Engine,
    address: SocketAddr,
    settings: Vec<String>,
    home: Folder,
}

impl MariaDb {
    /// On loopback, with every fsync.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// With further settings, as in `--innodb-flush-log-at-trx-commit=0`.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let home = Folder::new()?;
        let owner = postgres::owner(&["mysql", "nobody"])?;
        if let Some((user, group)) = owner {
            chown(home.path(), Some(user), Some(group)).context("giving MariaDB its folder")?;
        }
        let address = SocketAddr::new(LOOPBACK, free_port(LOOPBACK)?);
        let output = command("mariadb-install-db")?
            .current_dir(home.path())
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data(&home).display()))
            .stdin(Stdio::null())
            .output()
            .context("running mariadb-install-db")?;
        ensure!(output.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&output.stderr).trim());
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect::<Vec<_>>();
        let mut mariadb = Self { engine: spawn(address, &home, &settings)?, address, settings, home };
        mariadb.wait()?;
        Ok(mariadb)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As `host.database_url` takes it.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@{}/{database}", self.address)
    }

    pub fn create_database(&self, name: &str) -> Result<()> {
        self.execute("mysql", &format!("CREATE DATABASE `{name}` CHARACTER SET utf8mb4"))
    }

    /// The rows of a query: their fields as text, NULL as `NULL`.
    pub fn rows(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>> {
        let text = client(self.address, database, sql)?;
        Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
    }

    pub fn number(&self, database: &str, sql: &str) -> Result<i64> {
        let rows = self.rows(database, sql)?;
        let field = rows.first().and_then(|row| row.first()).with_context(|| format!("no row: {sql}"))?;
        field.parse().with_context(|| format!("{sql}: {field}"))
    }

    /// Runs statements.
    pub fn execute(&self, database: &str, sql: &str) -> Result<()> {
        client(self.address, database, sql).map(drop)
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self) -> Result<()> {
        self.engine.end(Signal::TERM, STOP_LIMIT).map(drop)
    }

    /// Ends it at once (`kill -9`).
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

    /// Starts it again on the same folder and port, and returns once it takes connections.
    pub fn start_again(&mut self) -> Result<()> {
        self.engine = spawn(self.address, &self.home, &self.settings)?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let address = self.address;
        self.engine.wait_until(START_LIMIT, || client(address, "mysql", "SELECT 1").is_ok())
    }
}

fn data(home: &Folder) -> PathBuf {
    home.path().join("data")
}

fn client(address: SocketAddr, database: &str, sql: &str) -> Result<String> {
    let output = Command::new(program("mariadb").context("no mariadb; get it with: apt-get install mariadb-client")?)
        .args(["--no-defaults", "--protocol=tcp", "--user=root", "--batch", "--skip-column-names"])
        .args(["--connect-timeout=5", "--default-character-set=utf8mb4"])
        .args([format!("--host={}", address.ip()), format!("--port={}", address.port())])
        .args(["--execute", sql, database])
        .stdin(Stdio::null())
        .output()
        .context("running mariadb")?;
    ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn spawn(address: SocketAddr, home: &Folder, settings: &[String]) -> Result<Engine> {
    let mut command = command("mariadbd")?;
    command.current_dir(home.path()).arg("--no-defaults").arg(format!("--datadir={}", data(home).display()));
    command.arg(format!("--socket={}", home.path().join("socket").display()));
    command.arg(format!("--pid-file={}", home.path().join("pid").display()));
    command.args([format!("--bind-address={}", address.ip()), format!("--port={}", address.port())]);
    command.args(["--skip-name-resolve", "--max-connections=400"]);
    command.args(settings);
    Engine::start("mariadbd", &mut command, &home.path().join("mariadb.log"))
}

/// A program of MariaDB's, run by a user that it lets run it.
fn command(name: &str) -> Result<Command> {
    let mut command =
        Command::new(program(name).with_context(|| format!("no {name}; get it with: apt-get install mariadb-server"))?);
    if let Some((user, group)) = postgres::owner(&["mysql", "nobody"])? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_outlives_every_kind_of_end() {
        let mut mariadb = MariaDb::start().unwrap();
        mariadb.create_database("one").unwrap();
        mariadb.execute("one", "CREATE TABLE words (word text)").unwrap();
        for (at, end) in ["stop", "kill"].into_iter().enumerate() {
            mariadb.execute("one", &format!("INSERT INTO words VALUES ('{end}')")).unwrap();
            if end == "stop" {
                mariadb.stop().unwrap();
            } else {
                mariadb.kill();
            }
            assert!(mariadb.execute("one", "SELECT 1").is_err());
            mariadb.start_again().unwrap();
            assert_eq!(mariadb.number("one", "SELECT count(*) FROM words").unwrap(), i64::try_from(at + 1).unwrap());
        }
    }
}
