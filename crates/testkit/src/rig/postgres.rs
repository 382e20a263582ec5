//! A real PostgreSQL: a cluster of its own in a folder of its own on a free port, that can be stopped in each of its
//! ways, killed, and started again.
//!
//! It touches no other cluster: not the one that a Debian package makes, and no folder but its own. PostgreSQL does not
//! run as root; where the rig does, it runs as the user `postgres`, else as `nobody`.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cleanup::Folder;
use super::engine::{Engine, LOOPBACK, START_LIMIT, free_port};
use super::{Need, program};

/// What a rig needs that starts one.
pub const NEED: Need = Need::Postgres;
/// How long a stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Whose everything in it is.
const OWNER: &str = "filmgate";

/// Who it runs as, where the rig is root.
const OWNERS: [&str; 2] = ["postgres", "nobody"];

/// How it is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Connections are broken off, everything is written.
    Fast,
    /// Everything is broken off; the next start recovers from the log.
    Immediate,
}

/// A running PostgreSQL. Dropped, it is killed.
#[derive(Debug)]
pub struct Postgres {
    engine: Engine,
    address: SocketAddr,
    settings: Vec<String>,
    /// Where its files are: below `home`, or wherever the rig wanted them.
    cluster: PathBuf,
    home: Folder,
}

impl Postgres {
    /// On loopback, with every fsync.
    pub fn start() -> Result<Self> {
        Self::start_on(LOOPBACK, &[])
    }

    /// On this address, with further settings as in `fsync=off`.
    pub fn start_on(address: IpAddr, settings: &[&str]) -> Result<Self> {
        let home = Folder::new()?;
        let cluster = home.path().join("cluster");
        Self::start_in(home, cluster, address, settings)
    }

    /// With its files in this folder, which is not there yet, on a disk that can fail.
    pub fn start_at(cluster: &Path, settings: &[&str]) -> Result<Self> {
        Self::start_in(Folder::new()?, cluster.to_owned(), LOOPBACK, settings)
    }

    fn start_in(home: Folder, cluster: PathBuf, address: IpAddr, settings: &[&str]) -> Result<Self> {
        give(home.path())?;
        let address = SocketAddr::new(address, free_port(address)?);
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect::<Vec<_>>();
        init(&home, &cluster, address.ip())?;
        let mut postgres =
            Self { engine: spawn(address, &home, &cluster, &settings)?, address, settings, cluster, home };
        postgres.wait()?;
        Ok(postgres)
    }

    /// Begins with an empty cluster, after its folder was taken away.
    pub fn start_anew(&mut self) -> Result<()> {
        init(&self.home, &self.cluster, self.address.ip())?;
        self.start_again()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process that all its others descend from.
    pub fn pid(&self) -> u32 {
        self.engine.pid()
    }

    /// As `records.url` takes it.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@{}/{database}", self.address)
    }

    /// The URL without a database, to which one is added: `…/NAME`.
    pub fn base_url(&self) -> String {
        format!("postgres://{OWNER}@{}", self.address)
    }

    pub fn create_database(&self, name: &str) -> Result<()> {
        self.execute("postgres", &format!("CREATE DATABASE \"{name}\"")).map(drop)
    }

    /// A copy of a database that nobody is connected to.
    pub fn copy_database(&self, from: &str, to: &str) -> Result<()> {
        self.execute("postgres", &format!("CREATE DATABASE \"{to}\" TEMPLATE \"{from}\"")).map(drop)
    }

    /// The rows of a query: their fields as text, NULL as nothing.
    pub fn rows(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>> {
        rows(&self.url(database), sql)
    }

    /// The one number that this query gives; 0 for NULL.
    pub fn number(&self, database: &str, sql: &str) -> Result<i64> {
        number(&self.url(database), sql)
    }

    /// Runs a statement; how many rows it changed, as far as it says.
    pub fn execute(&self, database: &str, sql: &str) -> Result<u64> {
        execute(&self.url(database), sql)
    }

    /// Asks it to end, and waits.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        self.engine.end(signal, STOP_LIMIT).map(drop)
    }

    /// Ends all its processes at once (`kill -9`).
    pub fn kill(&mut self) {
        self.engine.kill();
    }

    /// Starts it again on the same folder and port, and returns once it takes connections.
    pub fn start_again(&mut self) -> Result<()> {
        self.engine = spawn(self.address, &self.home, &self.cluster, &self.settings)?;
        self.wait()
    }

    fn wait(&mut self) -> Result<()> {
        let url = self.url("postgres");
        self.engine.wait_until(START_LIMIT, || execute(&url, "SELECT 1").is_ok())
    }
}

/// The rows of a query on whatever PostgreSQL this URL names.
pub fn rows(url: &str, sql: &str) -> Result<Vec<Vec<String>>> {
    let text = psql(url, sql)?;
    Ok(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// The one number that this query gives on whatever PostgreSQL this URL names; 0 for NULL.
pub fn number(url: &str, sql: &str) -> Result<i64> {
    let rows = rows(url, sql)?;
    let field = rows.first().and_then(|row| row.first()).with_context(|| format!("no row: {sql}"))?;
    if field.is_empty() { Ok(0) } else { field.parse().with_context(|| format!("{sql}: {field}")) }
}

/// Runs a statement on whatever PostgreSQL this URL names; how many rows it changed, as far as it says.
pub fn execute(url: &str, sql: &str) -> Result<u64> {
    // The command's tag comes last: `UPDATE 3`.
    let text = psql(url, sql)?;
    Ok(text.lines().last().and_then(|tag| tag.rsplit(' ').next()?.parse().ok()).unwrap_or(0))
}

fn psql(url: &str, sql: &str) -> Result<String> {
    let output = Command::new(binary("psql")?)
        .args(["--no-psqlrc", "--no-align", "--tuples-only", "--field-separator", "\t", "--set", "ON_ERROR_STOP=1"])
        .args(["--dbname", url, "--command", sql])
        .env("PGCONNECT_TIMEOUT", "5")
        .stdin(Stdio::null())
        .output()
        .context("running psql")?;
    ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Gives a folder to whoever PostgreSQL runs as.
fn give(folder: &Path) -> Result<()> {
    if let Some((user, group)) = owner(&OWNERS)? {
        chown(folder, Some(user), Some(group)).context("giving PostgreSQL its folder")?;
    }
    Ok(())
}

fn init(home: &Folder, cluster: &Path, address: IpAddr) -> Result<()> {
    fs::create_dir(cluster).context("making PostgreSQL's folder")?;
    give(cluster)?;
    let output = command("initdb")?
        .current_dir(home.path())
        .args(["--username", OWNER, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--pgdata"])
        .arg(cluster)
        .stdin(Stdio::null())
        .output()
        .context("running initdb")?;
    ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
    // Who may come: everybody who reaches this address, which is loopback or a network of the rig's own.
    let rules = format!("local all all trust\nhost all all {address}/16 trust\n");
    fs::write(cluster.join("pg_hba.conf"), rules).context("writing pg_hba.conf")
}

fn spawn(address: SocketAddr, home: &Folder, cluster: &Path, settings: &[String]) -> Result<Engine> {
    let mut command = command("postgres")?;
    command.current_dir(home.path()).arg("-D").arg(cluster).arg("-k").arg(home.path());
    command.args(["-h", &address.ip().to_string(), "-p", &address.port().to_string()]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    Engine::start("postgres", &mut command, &home.path().join("postgres.log"))
}

/// A program of PostgreSQL, run by a user that it lets run it.
fn command(name: &str) -> Result<Command> {
    let mut command = Command::new(binary(name)?);
    if let Some((user, group)) = owner(&OWNERS)? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

/// The newest of that name: Debian keeps each version's programs in a folder of their own.
pub fn binary(name: &str) -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin").join(name))))
        .filter(|(_, file)| file.is_file())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, file)| file).or_else(|| program(name));
    newest.with_context(|| format!("no {name}; get it with: apt-get install postgresql"))
}

/// User and group of whom an engine is to run as that does not run as root, the first of these that there is; `None`:
/// as this process.
pub(super) fn owner(names: &[&str]) -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let text = fs::read_to_string(Path::new("/etc/passwd")).context("reading /etc/passwd")?;
    let ids = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    names.iter().find_map(|name| ids(name)).map(Some).with_context(|| format!("none of the users {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_outlives_every_kind_of_end() {
        let mut postgres = Postgres::start().unwrap();
        postgres.create_database("one").unwrap();
        postgres.execute("one", "CREATE TABLE words (word text)").unwrap();
        assert_eq!(postgres.number("one", "SELECT max(length(word)) FROM words").unwrap(), 0);
        for (at, end) in ["fast", "immediate", "kill"].into_iter().enumerate() {
            let changed = postgres.execute("one", &format!("INSERT INTO words VALUES ('{end}'), (NULL)")).unwrap();
            assert_eq!(changed, 2);
            match end {
                "fast" => postgres.stop(Stop::Fast).unwrap(),
                "immediate" => postgres.stop(Stop::Immediate).unwrap(),
                _ => postgres.kill(),
            }
            assert!(postgres.execute("one", "SELECT 1").is_err());
            postgres.start_again().unwrap();
            let words = postgres.rows("one", "SELECT word, 1 FROM words WHERE word IS NOT NULL").unwrap();
            assert_eq!(words.len(), at + 1);
            assert_eq!(words[at], [end, "1"]);
        }
        postgres.copy_database("one", "two").unwrap();
        assert_eq!(postgres.number("two", "SELECT count(*) FROM words").unwrap(), 6);
        assert_eq!(postgres.number("one", "SHOW fsync").unwrap_err().to_string(), "SHOW fsync: on");
    }
}
