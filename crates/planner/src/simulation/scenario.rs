//! What is played: the machines, who comes, and what happens to them.

use serde::Serialize;

use super::random::Random;
use crate::costs::UnitCosts;
use crate::load::{Catalog, Load, Store};
use crate::model::{CoreSeconds, DECODERS_PER_CORE};

/// How long something takes, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Always the same.
    Fixed(f64),
    /// Exponentially distributed, with this mean: most are quick, a few take long.
    Exponential(f64),
}

impl Service {
    /// No time at all.
    pub const NONE: Self = Self::Fixed(0.0);

    pub(super) fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Fixed(seconds) => seconds,
            Self::Exponential(mean) => random.exponential(mean),
        }
    }
}

/// Who comes when.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Nobody, but for bursts.
    None,
    /// At any time, independently of each other.
    Poisson {
        /// Uploads a second.
        per_second: f64,
    },
    /// Each user every so many seconds, from a moment of their own on.
    Periodic {
        /// How many.
        users: usize,
        /// Seconds between two uploads of one.
        interval: f64,
    },
    /// Each client again as soon as it has its answer: what a load generator does.
    Closed {
        /// How many.
        clients: usize,
        /// Between an answer and the next upload.
        think: Service,
    },
}

/// A class that starts at the same second, and goes on in step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Burst {
    /// When, in seconds from the start.
    pub at: f64,
    /// How many participants.
    pub users: usize,
    /// Seconds between two uploads of each.
    pub interval: f64,
}

/// Threads for disk work, of each node.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Disk {
    /// How many pieces of work at once.
    pub workers: usize,
    /// How many may wait; a further one gets a 503.
    pub queue_max: usize,
    /// One upload's syncs.
    pub service: Service,
}

/// What makes a row durable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogStation {
    /// Nothing: for comparison with formulas.
    None,
    /// SQLite: whatever waits is written by one thread and made durable by one sync.
    Writer {
        /// The sync.
        per_commit: Service,
        /// The processor of one commit, however many writes it has.
        cpu_per_commit: Service,
        /// Each write in it.
        per_write_seconds: f64,
        /// Most writes of one commit.
        batch_max: usize,
        /// Further writes for each capture once it is processed.
        writes_after: usize,
    },
    /// PostgreSQL: a pool of connections for each node, and cores of its own that all nodes share.
    Pool {
        /// Connections of each node.
        connections: usize,
        /// How long an upload has one, beside the database's processor.
        latency: Service,
        /// The database's processor, before the answer.
        cpu: Service,
        /// The database's processor, once the photo is processed.
        cpu_after: Service,
        /// The database's cores; where everything shares one machine, they are that machine's.
        cores: usize,
        /// Longest wait for a connection, then 503.
        wait_max_seconds: f64,
    },
}

/// What a refused or cut client does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Retry {
    /// Seconds that Retry-After asks for.
    pub after: f64,
    /// What a client adds by chance, at most.
    pub jitter: f64,
    /// Tries, the first among them; then the photo stays with the client.
    pub tries_max: u32,
}

/// Decoding, after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Processing {
    /// Processor for one photo.
    pub cpu: Service,
    /// Photos that one node decodes at once.
    pub workers: usize,
    /// How long a dead node's tasks wait for another (jobs.lease_ms).
    pub lease_seconds: f64,
}

/// A node that dies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kill {
    /// When, in seconds from the start.
    pub at: f64,
    /// How long until it is back; `None`: it does not come back.
    pub back_after: Option<f64>,
}

/// Everything that is played.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// What chance begins with.
    pub seed: u64,
    /// How long is played, in seconds.
    pub seconds: f64,
    /// How much of it counts for no percentile: the queues begin empty.
    pub warmup_seconds: f64,
    /// Nodes; a load balancer hands uploads to those that live, in turn.
    pub nodes: usize,
    /// Cores of each node.
    pub node_cores: usize,
    /// One machine that all nodes, the database and the store share, with so many cores.
    pub shared_cores: Option<usize>,
    /// Who comes when.
    pub arrivals: Arrivals,
    /// Classes beside them.
    pub bursts: Vec<Burst>,
    /// Sending one photo.
    pub transfer: Service,
    /// The share of senders that are slow, and what one of them takes.
    pub slow: (f64, Service),
    /// The node's processor for one upload.
    pub cpu: Service,
    /// The node's disk, where photos go there.
    pub disk: Option<Disk>,
    /// The object store's answer, where photos go there.
    pub store: Service,
    /// What makes the row durable.
    pub catalog: CatalogStation,
    /// Uploads under way at once on one node; a further one gets a 503.
    pub in_flight_max: usize,
    /// What a refused or cut client does.
    pub retry: Retry,
    /// Decoding, after the answer.
    pub processing: Option<Processing>,
    /// The first node dies.
    pub kill: Option<Kill>,
    /// Moments of the report.
    pub moments: usize,
}

/// The share of a capture's transactions that comes before its answer, and of the database's processor: the rest belongs
/// to processing. As bench/scale/run measured it: 5.3 of 12 transactions, 1.3 of 5.1 ms.
const TRANSACTIONS_BEFORE_ANSWER: f64 = 0.44;
const DATABASE_CPU_BEFORE_ANSWER: f64 = 0.26;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of machines and users, clamped")]
fn count(value: f64) -> usize {
    value.round().clamp(1.0, 1e9) as usize
}

impl Scenario {
    /// An hour's peak of a load on so many nodes. `beside_seconds` of a shared machine's cores go with each upload to
    /// others: to whoever sends it.
    ///
    /// Services at processors are fixed, for uploads of one size differ little; those of disks, stores and networks are
    /// exponential, for they do.
    pub fn of(load: &Load, costs: &UnitCosts, nodes: usize, shared_cores: Option<usize>, beside_seconds: f64) -> Self {
        let seconds = CoreSeconds::of(load, costs);
        let ms = |figure: f64| Service::Exponential(figure / 1e3);
        let limits = &load.limits;
        let disk = (load.store == Store::Folder).then(|| Disk {
            workers: count(limits.disk_workers),
            queue_max: 1_024,
            service: ms(costs.fsync_ms.value * costs.fsyncs_per_upload.value),
        });
        let store = if load.store == Store::S3 { ms(costs.s3_put_ms.value) } else { Service::NONE };
        let writes_after = if load.processing { count(costs.catalog_writes_per_capture.value) - 1 } else { 0 };
        let catalog = match load.catalog {
            Catalog::Sqlite => CatalogStation::Writer {
                per_commit: ms(costs.fsync_ms.value),
                cpu_per_commit: Service::Fixed(costs.sqlite_commit_cpu_us.value / 1e6 / load.core_speed),
                per_write_seconds: costs.sqlite_writer_us_per_write.value / 1e6 / load.core_speed,
                batch_max: count(limits.commit_batch_max),
                writes_after,
            },
            Catalog::Postgres => CatalogStation::Pool {
                connections: count(limits.database_connections_max),
                latency: ms(costs.postgres_transaction_ms.value
                    * costs.postgres_transactions_per_capture.value
                    * TRANSACTIONS_BEFORE_ANSWER),
                cpu: Service::Fixed(seconds.database * DATABASE_CPU_BEFORE_ANSWER),
                cpu_after: Service::Fixed(seconds.database * (1.0 - DATABASE_CPU_BEFORE_ANSWER)),
                cores: count(load.database_cores),
                wait_max_seconds: 5.0,
            },
        };
        let node_cores = count(load.node_cores);
        Self {
            seed: 1,
            seconds: 60.0,
            warmup_seconds: 10.0,
            nodes,
            node_cores,
            shared_cores,
            arrivals: Arrivals::Poisson { per_second: load.peak_per_second() },
            bursts: Vec::new(),
            transfer: Service::Exponential(load.photo_bytes / load.uplink_bytes_per_second),
            slow: (load.slow_share, Service::Exponential(load.photo_bytes / load.slow_uplink_bytes_per_second)),
            // The writer's part is spent by its own thread, but on the same cores.
            cpu: Service::Fixed(seconds.upload_alone + beside_seconds),
            disk,
            store,
            catalog,
            in_flight_max: count(limits.uploads_in_flight_max),
            retry: Retry { after: 2.0, jitter: 1.0, tries_max: 10 },
            processing: load.processing.then(|| Processing {
                cpu: Service::Fixed(seconds.processing),
                workers: count(load.node_cores * DECODERS_PER_CORE),
                lease_seconds: 30.0,
            }),
            kill: None,
            moments: 20,
        }
    }
}
