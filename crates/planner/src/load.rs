//! The question: how much comes, from whom, and what it is to run on.

use serde::Serialize;

/// Where rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Catalog {
    /// The embedded catalog: one node.
    Sqlite,
    /// PostgreSQL: any number of nodes.
    Postgres,
}

/// Where photos are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// A folder on a disk of the node.
    Folder,
    /// An object store.
    S3,
}

/// What is planned for. Everything per second, in bytes, seconds or cores, unless its name says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Captures of a whole day.
    pub captures_per_day: f64,
    /// The share of the day's captures that comes in its busiest hour.
    pub peak_share: f64,
    /// Seconds between two captures of one participant.
    pub interval_seconds: f64,
    /// Bytes of a photo.
    pub photo_bytes: f64,
    /// Its pixels, in millions.
    pub photo_megapixels: f64,
    /// What a participant's connection uploads, in bytes per second.
    pub uplink_bytes_per_second: f64,
    /// The share of participants on a slow connection.
    pub slow_share: f64,
    /// What theirs uploads, in bytes per second.
    pub slow_uplink_bytes_per_second: f64,
    /// Where rows are.
    pub catalog: Catalog,
    /// Where photos are.
    pub store: Store,
    /// Whether the nodes also decode.
    pub processing: bool,
    /// How long after the busiest hour its photos may still wait to be processed.
    pub catch_up_seconds: f64,
    /// Days that captures are kept.
    pub retention_days: f64,
    /// Nodes, where they are given and not asked for.
    pub nodes: Option<u32>,
    /// Nodes beyond what the load needs, so that as many may die.
    pub spare_nodes: u32,
    /// Cores of a node.
    pub node_cores: f64,
    /// Memory of a node, in bytes.
    pub node_memory_bytes: f64,
    /// Network of a node, in bytes per second.
    pub node_network_bytes_per_second: f64,
    /// Cores of the database's machine.
    pub database_cores: f64,
    /// Copies of the database beside the first.
    pub database_standbys: u32,
    /// How quick a core is against the one the unit costs were taken on.
    pub core_speed: f64,
    /// The share of a machine that is to be used at the peak; the rest is for bursts.
    pub utilisation_max: f64,
    /// Settings of the server that are limits.
    pub limits: ServerLimits,
    /// Syncs a second of a node's disk with all its disk workers at once, where somebody measured them. Without it, as
    /// many at once as there are disk workers, each as long as a sync is by the unit costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_syncs_per_second: Option<f64>,
}

/// The settings of the server that limit how much is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerLimits {
    /// ingest.uploads_in_flight_max
    pub uploads_in_flight_max: f64,
    /// ingest.bytes_in_flight_max
    pub bytes_in_flight_max: f64,
    /// server.connections_max
    pub connections_max: f64,
    /// ingest.disk_workers
    pub disk_workers: f64,
    /// records.commit_batch_max
    pub commit_batch_max: f64,
    /// records.connections_max
    pub database_connections_max: f64,
    /// jobs.keep_days
    pub task_keep_days: f64,
    /// ingest.idempotency_keep_days
    pub key_keep_days: f64,
}

impl Default for ServerLimits {
    /// Those of `filmgate.example.toml`; a test in the program holds them to it.
    fn default() -> Self {
        Self {
            uploads_in_flight_max: 12_000.0,
            bytes_in_flight_max: 8_589_934_592.0,
            connections_max: 20_000.0,
            disk_workers: 16.0,
            commit_batch_max: 256.0,
            database_connections_max: 16.0,
            task_keep_days: 30.0,
            key_keep_days: 400.0,
        }
    }
}

/// The share of a day that an hour is, where nothing is ever busier than anything else.
pub const EVEN_SHARE: f64 = 1.0 / 24.0;

impl Load {
    /// A million photos of a webcam a day, on small nodes over PostgreSQL and S3: what the help calls the defaults.
    pub fn example() -> Self {
        Self {
            captures_per_day: 1e6,
            peak_share: 0.15,
            interval_seconds: 1.0,
            photo_bytes: 120_000.0,
            photo_megapixels: 0.92,
            uplink_bytes_per_second: 1e6,
            slow_share: 0.0,
            slow_uplink_bytes_per_second: 1e3,
            catalog: Catalog::Postgres,
            store: Store::S3,
            processing: true,
            catch_up_seconds: 7_200.0,
            retention_days: 365.0,
            nodes: None,
            spare_nodes: 1,
            node_cores: 4.0,
            node_memory_bytes: 8e9,
            node_network_bytes_per_second: 125e6,
            database_cores: 8.0,
            database_standbys: 1,
            core_speed: 1.0,
            utilisation_max: 0.6,
            limits: ServerLimits::default(),
            disk_syncs_per_second: None,
        }
    }

    /// So many participants at once in the busiest hour, each with a capture every interval.
    #[must_use]
    pub fn of_users(mut self, users: f64, interval_seconds: f64) -> Self {
        self.interval_seconds = interval_seconds;
        self.captures_per_day = users / interval_seconds * 3600.0 / self.peak_share;
        self
    }

    /// Captures per second in the busiest hour.
    pub fn peak_per_second(&self) -> f64 {
        self.captures_per_day * self.peak_share / 3600.0
    }

    /// Captures per second in any other hour, taken as even.
    pub fn off_peak_per_second(&self) -> f64 {
        self.captures_per_day * (1.0 - self.peak_share) / (23.0 * 3600.0)
    }

    /// Captures per second over the whole day.
    pub fn average_per_second(&self) -> f64 {
        self.captures_per_day / 86_400.0
    }

    /// Mean seconds that an upload is on its way, and so held open.
    pub fn transfer_seconds(&self) -> f64 {
        let quick = self.photo_bytes / self.uplink_bytes_per_second;
        let slow = self.photo_bytes / self.slow_uplink_bytes_per_second;
        quick * (1.0 - self.slow_share) + slow * self.slow_share
    }

    /// What in the question has no answer.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                problems.push(what.to_owned());
            }
        };
        must(self.captures_per_day > 0.0, "there must be captures to plan for");
        must(
            (EVEN_SHARE..=1.0).contains(&self.peak_share),
            "the busiest hour has at least 1/24 (4.2%) of the day's load, and at most all of it",
        );
        must(self.interval_seconds > 0.0, "the interval must be above zero");
        must(self.photo_bytes >= 1.0, "a photo has bytes");
        must(
            self.uplink_bytes_per_second > 0.0 && self.slow_uplink_bytes_per_second > 0.0,
            "an uplink must be above zero",
        );
        must(self.node_cores > 0.0 && self.database_cores > 0.0, "a machine has cores");
        must(self.core_speed > 0.0, "a core's speed must be above zero");
        must(
            self.utilisation_max > 0.0 && self.utilisation_max <= 0.95,
            "the utilisation aimed at must be above zero and at most 95%: queues grow without end before 100%",
        );
        must(self.nodes != Some(0), "without a node nothing is stored");
        problems
    }
}
