//! Engines, nodes and what is between them, each in its place of the network.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use testkit::demo::Person;
use testkit::rig::Rig;
use testkit::rig::cleanup::Folder;
use testkit::rig::garage::Garage;
use testkit::rig::netns::Network;
use testkit::rig::nginx::Nginx;
use testkit::rig::postgres::Postgres;
use testkit::rig::redis::Redis;
use testkit::rig::rows::Rows;
use testkit::{Api, Server};

use super::balancer::Balancer;

/// The database that all nodes share.
pub const DATABASE: &str = "filmgate";
/// What the keys of photos in the bucket begin with.
const PREFIX: &str = "photos";
const PORT: u16 = 8080;

/// Of what the house is built.
#[derive(Clone, Debug)]
pub struct Shape {
    pub nodes: u8,
    pub has_postgres: bool,
    pub has_s3: bool,
    pub has_redis: bool,
    pub next_binary: PathBuf,
}

impl Shape {
    pub fn of(rig: &Rig) -> Result<Self> {
        let choice = |name: &str, shared: &str, own: &str| match rig.args.text(name) {
            value if value == shared => Ok(true),
            value if value == own => Ok(false),
            other => bail!("--{name} {other}: {shared} or {own}"),
        };
        let next_binary = match rig.args.text("next-bin") {
            "" => rig.binary.clone(),
            file => PathBuf::from(file).canonicalize().with_context(|| format!("--next-bin {file}"))?,
        };
        let shape = Self {
            nodes: rig.args.number("nodes")?,
            has_postgres: choice("records", "postgres", "sqlite")?,
            has_s3: choice("blobs", "s3", "folder")?,
            has_redis: choice("jobs", "redis", "embedded")?,
            next_binary,
        };
        ensure!(shape.nodes >= 1, "--nodes 0: no nodes, no rig");
        let is_shared = shape.has_postgres && shape.has_s3;
        ensure!(shape.nodes == 1 || is_shared, "several nodes share their rows and photos: PostgreSQL and S3");
        Ok(shape)
    }
}

/// Everything. Dropped from the top: nodes before the engines, those before the network.
#[derive(Debug)]
pub struct House {
    pub shape: Shape,
    balancer: Balancer,
    pub nodes: Vec<Server>,
    pub postgres: Option<Postgres>,
    pub redis: Option<Redis>,
    pub garage: Option<Garage>,
    pub network: Network,
    envs: Vec<(String, String)>,
    home: Folder,
}

impl House {
    pub fn open(rig: &Rig, shape: &Shape) -> Result<Self> {
        let home = Folder::new()?;
        let network = Network::new(shape.nodes)?;
        // From here on the rig itself is in the hub, and so is every engine that it starts.
        network.enter_hub()?;
        let hub = network.hub();
        let postgres = if shape.has_postgres { Some(Postgres::start_on(hub, &[])?) } else { None };
        let redis = if shape.has_redis { Some(Redis::start_on(hub)?) } else { None };
        let garage = if shape.has_s3 { Some(Garage::start_on(hub)?) } else { None };
        let mut envs: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| envs.push((format!("FILMGATE__{name}"), value));
        // A lost worker's tasks come back while the run still lasts.
        set("JOBS__LEASE_MS", "3000".to_owned());
        set("JOBS__RETRY_DELAY_MIN_MS", "100".to_owned());
        set("JOBS__RETRY_DELAY_MAX_MS", "2000".to_owned());
        set("JOBS__POLL_MS", "500".to_owned());
        // An engine that is away costs runs of a task, and a dead letter would be a photo never processed.
        set("JOBS__ATTEMPTS_MAX", "100".to_owned());
        set("SERVER__TRUSTED_PROXIES", hub.to_string());
        set("LOG__LEVEL", "info,filmgate::exit=warn".to_owned());
        if let Some(postgres) = &postgres {
            postgres.create_database(DATABASE)?;
            set("RECORDS__URL", postgres.url(DATABASE));
        }
        if let Some(redis) = &redis {
            set("JOBS__REDIS_URL", redis.url());
        }
        if let Some(garage) = &garage {
            let bucket = garage.bucket();
            set("BLOBS__URL", format!("s3://{}/{PREFIX}", bucket.name));
            set("BLOBS__S3_ENDPOINT", garage.endpoint());
            set("BLOBS__S3_REGION", bucket.region.clone());
            set("BLOBS__S3_ACCESS_KEY_ID", bucket.access_key_id.clone());
            set("BLOBS__S3_SECRET_ACCESS_KEY", bucket.secret_access_key.clone());
            set("BLOBS__S3_PATH_STYLE", "true".to_owned());
        }
        // Longer than the balancer takes to notice. A version that does not know it would refuse to start.
        let example = Command::new(&rig.binary).args(["config", "example"]).output().context("asking for settings")?;
        if String::from_utf8_lossy(&example.stdout).contains("drain_delay_ms") {
            set("SERVER__DRAIN_DELAY_MS", "2000".to_owned());
        }
        envs.extend(rig.envs.iter().cloned());

        let mut nodes: Vec<Server> = Vec::new();
        for number in 0..usize::from(shape.nodes) {
            let data = home.path().join(format!("node-{number}"));
            if let Some(first) = nodes.first() {
                // One demo for all: its people are those of the catalog that they share.
                fs::create_dir_all(&data)?;
                fs::copy(first.data().join("demo.json"), data.join("demo.json")).context("sharing the demo")?;
            }
            let member = network.member(number);
            let server = Server::of(&rig.binary)
                .wrapper(member.wrapper())
                .listen(&SocketAddr::new(member.address(), PORT).to_string())
                .data(&data)
                .log(&home.path().join(format!("node-{number}.log")))
                .envs(&envs)
                .start()
                .with_context(|| format!("node {number}"))?;
            nodes.push(server);
        }
        let addresses: Vec<SocketAddr> = nodes.iter().map(Server::address).collect();
        let balancer = Balancer::start(Nginx::start_on(hub, &addresses)?, addresses);
        let house = Self { shape: shape.clone(), balancer, nodes, postgres, redis, garage, network, envs, home };
        house.wait_until_ready()?;
        Ok(house)
    }

    /// Where clients go.
    pub fn address(&self) -> SocketAddr {
        self.balancer.address()
    }

    /// Whose photos they are.
    pub fn person(&self) -> &Person {
        &self.nodes[0].demo().participant
    }

    /// A client that goes where all go.
    pub fn api(&self) -> Api {
        Api::new(self.address(), &self.person().cookie, &self.person().session_id)
    }

    pub fn envs(&self) -> &[(String, String)] {
        &self.envs
    }

    pub fn all_are_ready(&self) -> bool {
        let ready = self.balancer.ready();
        ready.len() == self.nodes.len() && ready.into_iter().all(|is_ready| is_ready)
    }

    pub fn wait_until_ready(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.all_are_ready() {
            ensure!(Instant::now() < end, "not all nodes are ready: {:?}; {}", self.balancer.ready(), self.logs());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub fn rows(&self) -> Rows {
        match &self.postgres {
            Some(postgres) => Rows::Postgres(postgres.url(DATABASE)),
            None => Rows::Folder(self.nodes[0].data().to_owned()),
        }
    }

    /// A copy of all rows, to be damaged; nobody may be connected. `home` is where a catalog in a file is copied to.
    pub fn copy_of_rows(&self, name: &str, home: &Path) -> Result<Rows> {
        if let Some(postgres) = &self.postgres {
            postgres.copy_database(DATABASE, name)?;
            return Ok(Rows::Postgres(postgres.url(name)));
        }
        for entry in fs::read_dir(self.nodes[0].data())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("catalog.sqlite") {
                fs::copy(entry.path(), home.join(entry.file_name()))?;
            }
        }
        Ok(Rows::Folder(home.to_owned()))
    }

    /// A photo's bytes where they are stored, asked of the store itself; `None` where there are none.
    pub fn bytes(&self, blob_key: &str) -> Result<Option<Vec<u8>>> {
        match &self.garage {
            Some(garage) => garage.bucket().get(&format!("{PREFIX}/{blob_key}")),
            None => match fs::read(self.nodes[0].data().join("blobs").join(blob_key)) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Writes or removes a photo's bytes behind everybody's back.
    pub fn replace_bytes(&self, blob_key: &str, bytes: Option<&[u8]>) -> Result<()> {
        let file = self.nodes[0].data().join("blobs").join(blob_key);
        match (&self.garage, bytes) {
            (Some(garage), Some(bytes)) => garage.bucket().put(&format!("{PREFIX}/{blob_key}"), bytes),
            (Some(garage), None) => garage.bucket().delete(&format!("{PREFIX}/{blob_key}")),
            (None, Some(bytes)) => Ok(fs::write(file, bytes)?),
            (None, None) => Ok(fs::remove_file(file)?),
        }
    }

    /// Tells how many photos' objects there are that no row names. fsck judges them.
    pub fn print_objects_besides(&self) -> Result<()> {
        let Some(garage) = &self.garage else { return Ok(()) };
        let mut objects = garage.bucket().list(&format!("{PREFIX}/"))?;
        objects.retain(|key, _| !key.starts_with(&format!("{PREFIX}/.")));
        for capture in self.rows().captures()? {
            objects.remove(&format!("{PREFIX}/{}", capture.blob_key));
        }
        println!(
            "{} photos in the store without a row {:?}",
            objects.len(),
            objects.keys().take(3).collect::<Vec<_>>()
        );
        Ok(())
    }

    /// The ends of all logs, for whoever looks for the reason.
    pub fn logs(&self) -> String {
        let of_node = |(number, node): (usize, &Server)| format!("node {number}'s log ends:\n{}", node.log_tail(12));
        self.nodes.iter().enumerate().map(of_node).collect::<Vec<_>>().join("\n")
    }

    /// Copies the nodes' logs to where they stay; nowhere for the empty name.
    pub fn keep_logs(&self, folder: &str) -> Result<()> {
        if folder.is_empty() {
            return Ok(());
        }
        fs::create_dir_all(folder)?;
        for number in 0..self.nodes.len() {
            let name = format!("node-{number}.log");
            fs::copy(self.home.path().join(&name), Path::new(folder).join(&name)).context("keeping a log")?;
        }
        Ok(())
    }
}
