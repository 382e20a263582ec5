//! The arithmetic: from a load and unit costs to nodes, cores, bytes, requests and money.
//!
//! It promises that more load never needs fewer nodes, and that each figure is a product of the unit costs and the
//! question alone. Waiting is not in it: that is what the simulation is for.

use serde::Serialize;

use crate::costs::{Source, UnitCosts};
use crate::limits::{Limit, limits};
use crate::load::{Catalog, Load, Store};
use crate::prices::{Cost, Prices, Quantities};

const SECONDS_PER_DAY: f64 = 86_400.0;
/// Days of a month, in prices.
const MONTH_DAYS: f64 = 30.0;
/// Decoders for each core: with more, uploads wait for a core at times (docs/decisions/0017).
pub(crate) const DECODERS_PER_CORE: f64 = 0.5;
/// Pixels of a preview as `processing.preview_px` has it, of a photo of 16 to 9, in millions.
const PREVIEW_MEGAPIXELS_MAX: f64 = 1.28 * 0.72;
/// The share of a node's memory that uploads and connections may fill.
pub(crate) const MEMORY_SHARE: f64 = 0.5;
const BITS: f64 = 8.0;

/// How many captures arrive.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Arrivals {
    /// Over the day.
    pub per_second_average: f64,
    /// In the busiest hour.
    pub per_second_peak: f64,
    /// Participants at once in the busiest hour.
    pub users_at_peak: f64,
}

/// How many nodes, and why so many.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nodes {
    /// What the load needs.
    pub needed: u32,
    /// With the spare ones.
    pub with_spare: u32,
    /// What needs so many.
    pub because_of: &'static str,
    /// Those that everything below is for: given, or `with_spare`.
    pub planned: u32,
    /// Whether the planned ones carry the load, with this catalog and store.
    pub carries: bool,
    /// Why not.
    pub why_not: Vec<String>,
}

/// Cores in use, of those the unit costs were taken on times `core_speed`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cores {
    /// Uploads, in the busiest hour.
    pub uploads_peak: f64,
    /// Processing, over the day.
    pub processing_average: f64,
    /// Processing, so that it has caught up in time.
    pub processing_needed: f64,
    /// The database, in the busiest hour, on its own machine.
    pub database_peak: f64,
    /// Those of the planned nodes.
    pub of_nodes: f64,
    /// The share of them that the busiest hour uses.
    pub utilisation_peak: f64,
}

/// What waits to be processed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Backlog {
    /// Captures that the planned nodes process in a second beside the busiest hour's uploads.
    pub per_second_at_peak: f64,
    /// Captures waiting at the end of the busiest hour.
    pub captures_after_peak: f64,
    /// Until they are processed.
    pub seconds_to_catch_up: f64,
}

/// Rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CatalogGrowth {
    /// Writes, in the busiest hour. One commit makes many durable.
    pub writes_per_second_peak: f64,
    /// Transactions of PostgreSQL in the busiest hour, reads among them.
    pub transactions_per_second_peak: f64,
    /// Bytes of a capture for as long as it is kept, indexes included.
    pub bytes_per_capture: f64,
    /// Bytes a day, of captures alone.
    pub bytes_per_day: f64,
    /// All rows, once the oldest are deleted as new ones come.
    pub bytes_when_full: f64,
    /// Rows of captures then.
    pub rows_when_full: f64,
    /// Write-ahead log a day: what a standby and an archive receive.
    pub wal_bytes_per_day: f64,
}

/// Photos.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreGrowth {
    /// Photo and derivatives.
    pub bytes_per_capture: f64,
    /// A day.
    pub bytes_per_day: f64,
    /// Once the oldest are deleted as new ones come.
    pub bytes_when_full: f64,
    /// Objects or files then.
    pub objects_when_full: f64,
    /// Objects written a second, in the busiest hour.
    pub puts_per_second_peak: f64,
    /// Objects read a second, in the busiest hour.
    pub gets_per_second_peak: f64,
    /// Objects written in a month.
    pub puts_per_month: f64,
    /// Objects read in a month.
    pub gets_per_month: f64,
    /// Syncs of a local disk a second in the busiest hour, for each node.
    pub fsyncs_per_second_peak: f64,
}

/// Bytes on the wire in the busiest hour, in bits per second as networks are sold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Network {
    /// From participants, all nodes together.
    pub in_bits_per_second: f64,
    /// Between nodes and store, both ways.
    pub store_bits_per_second: f64,
    /// Of one node, the busier direction.
    pub per_node_bits_per_second: f64,
}

/// Uploads that are on their way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Held {
    /// Mean seconds that one is on its way.
    pub seconds: f64,
    /// So many at once in the busiest hour (Little's law).
    pub at_once: f64,
    /// Their memory and that of resting connections, on each node.
    pub memory_bytes_per_node: f64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// The question, with what was not said.
    pub load: Load,
    /// How many captures arrive.
    pub arrivals: Arrivals,
    /// How many nodes.
    pub nodes: Nodes,
    /// Cores in use.
    pub cores: Cores,
    /// What waits to be processed.
    pub backlog: Backlog,
    /// Rows.
    pub catalog: CatalogGrowth,
    /// Photos.
    pub store: StoreGrowth,
    /// Bytes on the wire.
    pub network: Network,
    /// Uploads on their way.
    pub held: Held,
    /// What breaks, first what breaks first.
    pub limits: Vec<Limit>,
    /// Unit costs behind this plan that nobody measured: the plan is no better than they are.
    pub assumed: Vec<&'static str>,
    /// A month's bill, where there is a price list.
    pub cost: Option<Cost>,
}

/// Processor seconds of one capture, by who spends them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreSeconds {
    /// Server, before the answer, its share of the commits included.
    pub(crate) upload: f64,
    /// The same without commits, which the simulation counts one by one.
    pub(crate) upload_alone: f64,
    /// Decoder and server, after it.
    pub(crate) processing: f64,
    /// PostgreSQL.
    pub(crate) database: f64,
    /// The catalog's writer alone, part of the first two.
    pub(crate) writer: f64,
}

impl CoreSeconds {
    pub(crate) fn of(load: &Load, costs: &UnitCosts) -> Self {
        let s3 = if load.store == Store::S3 { costs.s3_cpu_us_per_upload.value } else { 0.0 };
        let megabytes = load.photo_bytes / 1e6;
        let commits_us = costs.sqlite_commit_cpu_us.value * commits_per_upload(load, costs);
        let upload_us = costs.upload_cpu_us.value + costs.upload_cpu_us_per_megabyte.value * megabytes + s3;
        let decode_ms = costs.processing_cpu_ms.value
            + costs.processing_cpu_ms_per_megapixel.value * load.photo_megapixels
            + costs.processing_cpu_ms_per_preview_megapixel.value * load.photo_megapixels.min(PREVIEW_MEGAPIXELS_MAX);
        let processing_us = if load.processing { decode_ms * 1e3 + costs.processing_server_cpu_us.value } else { 0.0 };
        let writes = if load.processing { costs.catalog_writes_per_capture.value } else { 1.0 };
        let (database_us, writer_us) = match load.catalog {
            Catalog::Postgres => (costs.postgres_cpu_us_per_capture.value, 0.0),
            Catalog::Sqlite => (0.0, writes * costs.sqlite_writer_us_per_write.value),
        };
        let seconds = |us: f64| us / 1e6 / load.core_speed;
        Self {
            upload: seconds(upload_us + commits_us),
            upload_alone: seconds(upload_us),
            processing: seconds(processing_us),
            database: seconds(database_us),
            writer: seconds(writer_us),
        }
    }
}

/// How many commits of SQLite an upload pays for in the busiest hour: what arrives while one commit waits for the disk
/// shares the next. Uploads times this still grows with uploads.
pub(crate) fn commits_per_upload(load: &Load, costs: &UnitCosts) -> f64 {
    if load.catalog == Catalog::Postgres {
        return 0.0;
    }
    1.0 / (1.0 + load.peak_per_second() * costs.fsync_ms.value / 1e3)
}

/// Captures per second that must be processed for the busiest hour's to be done in time: at least what comes in the
/// other hours, and `A - P` left over after the busiest, worked off in `H` hours beside what comes then.
pub(crate) fn processing_per_second_needed(load: &Load) -> f64 {
    if !load.processing {
        return 0.0;
    }
    let (peak, off_peak) = (load.peak_per_second(), load.off_peak_per_second());
    let hours = load.catch_up_seconds / 3600.0;
    off_peak.max((peak + hours * off_peak) / (1.0 + hours))
}

/// What each need asks for, in nodes.
pub(crate) fn needs(load: &Load, costs: &UnitCosts) -> Vec<(&'static str, f64)> {
    let seconds = CoreSeconds::of(load, costs);
    let peak = load.peak_per_second();
    let uploads = peak * seconds.upload;
    let processing = processing_per_second_needed(load) * seconds.processing;
    let held = peak * load.transfer_seconds();
    let users = peak * load.interval_seconds;
    let limits = &load.limits;
    let memory = load.node_memory_bytes * MEMORY_SHARE - costs.node_memory_bytes.value;
    let held_memory = held * costs.held_upload_memory_bytes.value + users * costs.idle_connection_memory_bytes.value;
    vec![
        ("cores: uploads and processing", (uploads + processing) / (load.node_cores * load.utilisation_max)),
        ("cores: processing", processing / (load.node_cores * DECODERS_PER_CORE)),
        ("uploads under way (ingest.uploads_in_flight_max)", held / limits.uploads_in_flight_max),
        ("bytes under way (ingest.bytes_in_flight_max)", held * load.photo_bytes / limits.bytes_in_flight_max),
        ("connections (server.connections_max)", users.max(held) / limits.connections_max),
        ("memory of held uploads", held_memory / memory.max(1.0)),
        (
            "network",
            network_bytes_per_second(load, costs) / (load.node_network_bytes_per_second * load.utilisation_max),
        ),
    ]
}

/// Bytes per second of the busier direction in the busiest hour, all nodes together. Into the nodes come the photos
/// and, with S3, the originals once more to be decoded; out of them go, with S3, originals and derivatives.
fn network_bytes_per_second(load: &Load, costs: &UnitCosts) -> f64 {
    let uploads = load.peak_per_second() * load.photo_bytes;
    if load.store == Store::Folder {
        return uploads;
    }
    let (stored, read) = store_bytes_per_second(load, costs);
    (uploads + read).max(stored)
}

/// Bytes per second to the object store and from it, in the busiest hour.
fn store_bytes_per_second(load: &Load, costs: &UnitCosts) -> (f64, f64) {
    let processed = processing_per_second_needed(load);
    let uploads = load.peak_per_second() * load.photo_bytes;
    (uploads + processed * costs.derivatives_bytes.value, processed * load.photo_bytes)
}

fn nodes_of(need: f64) -> u32 {
    // A hair above a whole number is rounding, not a node.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped; a fleet has no 4 billion nodes"
    )]
    let nodes = (need - 1e-9).ceil().clamp(1.0, f64::from(u32::MAX / 2)) as u32;
    nodes
}

impl Plan {
    /// The plan for a load without [`Load::problems`].
    pub fn of(load: &Load, costs: &UnitCosts, prices: Option<&Prices>) -> Self {
        let needs = needs(load, costs);
        let (because_of, need) =
            needs.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1)).unwrap_or(("nothing", 0.0));
        let needed = nodes_of(need);
        let spare = if load.catalog == Catalog::Sqlite { 0 } else { load.spare_nodes };
        let with_spare = needed + spare;
        let planned = load.nodes.unwrap_or(if load.catalog == Catalog::Sqlite { 1 } else { with_spare });
        let limits = limits(load, costs, planned);
        let mut why_not: Vec<String> = limits
            .iter()
            .filter(|limit| limit.used_share > 1.0)
            .map(|limit| format!("{} at {:.0} % of what is there", limit.what, limit.used_share * 100.0))
            .collect();
        if load.catalog == Catalog::Sqlite && planned > 1 {
            why_not.push("SQLite belongs to one node: more of them need --catalog postgres".to_owned());
        }
        if load.store == Store::Folder && planned > 1 {
            why_not.push("a folder belongs to one node: more of them need --store s3".to_owned());
        }
        let carries = why_not.is_empty();
        let nodes = Nodes { needed, with_spare, because_of, planned, carries, why_not };
        let mut plan = Self {
            arrivals: Arrivals {
                per_second_average: load.average_per_second(),
                per_second_peak: load.peak_per_second(),
                users_at_peak: load.peak_per_second() * load.interval_seconds,
            },
            cores: cores(load, costs, planned),
            backlog: backlog(load, costs, planned),
            catalog: catalog(load, costs),
            store: store(load, costs, planned),
            network: network(load, costs, planned),
            held: held(load, costs, planned),
            limits,
            assumed: assumed(load, costs),
            cost: None,
            nodes,
            load: load.clone(),
        };
        plan.cost = prices.map(|prices| prices.bill(plan.quantities()));
        plan
    }

    fn quantities(&self) -> Quantities {
        let load = &self.load;
        let hours = MONTH_DAYS * 24.0;
        let databases = if load.catalog == Catalog::Postgres { 1.0 + f64::from(load.database_standbys) } else { 0.0 };
        let s3 = if load.store == Store::S3 { 1.0 } else { 0.0 };
        let captures = load.captures_per_day * MONTH_DAYS;
        let derivatives = self.store.bytes_per_capture - load.photo_bytes;
        let read = if load.processing { load.photo_bytes } else { 0.0 };
        Quantities {
            node_core_hours: f64::from(self.nodes.planned) * load.node_cores * hours,
            database_core_hours: databases * load.database_cores * hours,
            database_gigabytes: databases * self.catalog.bytes_when_full / 1e9,
            store_gigabytes: self.store.bytes_when_full / 1e9,
            store_puts: self.store.puts_per_month,
            store_gets: self.store.gets_per_month,
            network_in_gigabytes: captures * load.photo_bytes / 1e9,
            network_store_gigabytes: s3 * captures * (load.photo_bytes + derivatives + read) / 1e9,
            captures,
        }
    }
}

fn cores(load: &Load, costs: &UnitCosts, nodes: u32) -> Cores {
    let seconds = CoreSeconds::of(load, costs);
    let peak = load.peak_per_second();
    let uploads_peak = peak * seconds.upload;
    let processing_needed = processing_per_second_needed(load) * seconds.processing;
    let of_nodes = f64::from(nodes) * load.node_cores;
    Cores {
        uploads_peak,
        processing_average: load.average_per_second() * seconds.processing,
        processing_needed,
        database_peak: peak * seconds.database,
        of_nodes,
        utilisation_peak: (uploads_peak + processing_needed) / of_nodes,
    }
}

/// Captures per second that so many nodes process beside the busiest hour's uploads.
pub(crate) fn processing_per_second(load: &Load, costs: &UnitCosts, nodes: u32, uploads_per_second: f64) -> f64 {
    let seconds = CoreSeconds::of(load, costs);
    if seconds.processing <= 0.0 {
        return 0.0;
    }
    let cores = f64::from(nodes) * load.node_cores;
    let free = (cores - uploads_per_second * seconds.upload).max(0.0);
    free.min(cores * DECODERS_PER_CORE) / seconds.processing
}

fn backlog(load: &Load, costs: &UnitCosts, nodes: u32) -> Backlog {
    if !load.processing {
        return Backlog { per_second_at_peak: 0.0, captures_after_peak: 0.0, seconds_to_catch_up: 0.0 };
    }
    let at_peak = processing_per_second(load, costs, nodes, load.peak_per_second());
    let off_peak = processing_per_second(load, costs, nodes, load.off_peak_per_second());
    let left = ((load.peak_per_second() - at_peak) * 3600.0).max(0.0);
    let spare = off_peak - load.off_peak_per_second();
    let seconds = match left {
        none if none <= 0.0 => 0.0,
        left if spare > 0.0 => left / spare,
        // Never. JSON knows no infinity: a hundred years say the same.
        _ => 100.0 * 365.0 * SECONDS_PER_DAY,
    };
    Backlog { per_second_at_peak: at_peak, captures_after_peak: left, seconds_to_catch_up: seconds }
}

fn catalog(load: &Load, costs: &UnitCosts) -> CatalogGrowth {
    let (capture, task, key) = match load.catalog {
        Catalog::Sqlite => (&costs.sqlite_bytes_per_capture, &costs.sqlite_bytes_per_task, &costs.sqlite_bytes_per_key),
        Catalog::Postgres => {
            (&costs.postgres_bytes_per_capture, &costs.postgres_bytes_per_task, &costs.postgres_bytes_per_key)
        }
    };
    let days = |kept: f64| kept.min(load.retention_days);
    let writes = if load.processing { costs.catalog_writes_per_capture.value } else { 1.0 };
    let postgres = if load.catalog == Catalog::Postgres { 1.0 } else { 0.0 };
    let all = capture.value * load.retention_days
        + task.value * days(load.limits.task_keep_days)
        + key.value * load.limits.key_keep_days;
    CatalogGrowth {
        writes_per_second_peak: load.peak_per_second() * writes,
        transactions_per_second_peak: postgres * load.peak_per_second() * costs.postgres_transactions_per_capture.value,
        bytes_per_capture: capture.value,
        bytes_per_day: capture.value * load.captures_per_day,
        bytes_when_full: all * load.captures_per_day,
        rows_when_full: load.captures_per_day * load.retention_days,
        wal_bytes_per_day: postgres * costs.postgres_wal_bytes_per_capture.value * load.captures_per_day,
    }
}

fn store(load: &Load, costs: &UnitCosts, nodes: u32) -> StoreGrowth {
    let (s3, folder) = if load.store == Store::S3 { (1.0, 0.0) } else { (0.0, 1.0) };
    let processed = if load.processing { 1.0 } else { 0.0 };
    let bytes = load.photo_bytes + processed * costs.derivatives_bytes.value;
    let puts_later = (costs.s3_puts_per_capture.value - 1.0) * processed;
    let gets = costs.s3_gets_per_capture.value * processed;
    let month = load.captures_per_day * MONTH_DAYS;
    let objects = 1.0 + processed;
    StoreGrowth {
        bytes_per_capture: bytes,
        bytes_per_day: bytes * load.captures_per_day,
        bytes_when_full: bytes * load.captures_per_day * load.retention_days,
        objects_when_full: objects * load.captures_per_day * load.retention_days,
        puts_per_second_peak: s3 * (load.peak_per_second() + processing_per_second_needed(load) * puts_later),
        gets_per_second_peak: s3 * processing_per_second_needed(load) * gets,
        puts_per_month: s3 * month * (1.0 + puts_later),
        gets_per_month: s3 * month * gets,
        fsyncs_per_second_peak: folder * load.peak_per_second() * costs.fsyncs_per_upload.value / f64::from(nodes),
    }
}

fn network(load: &Load, costs: &UnitCosts, nodes: u32) -> Network {
    let (to_store, from_store) = store_bytes_per_second(load, costs);
    let store = if load.store == Store::S3 { to_store + from_store } else { 0.0 };
    Network {
        in_bits_per_second: load.peak_per_second() * load.photo_bytes * BITS,
        store_bits_per_second: store * BITS,
        per_node_bits_per_second: network_bytes_per_second(load, costs) * BITS / f64::from(nodes),
    }
}

fn held(load: &Load, costs: &UnitCosts, nodes: u32) -> Held {
    let at_once = load.peak_per_second() * load.transfer_seconds();
    let users = load.peak_per_second() * load.interval_seconds;
    let memory = at_once * costs.held_upload_memory_bytes.value + users * costs.idle_connection_memory_bytes.value;
    Held {
        seconds: load.transfer_seconds(),
        at_once,
        memory_bytes_per_node: costs.node_memory_bytes.value + memory / f64::from(nodes),
    }
}

/// The figures that this plan uses and that nobody measured.
fn assumed(load: &Load, costs: &UnitCosts) -> Vec<&'static str> {
    let used = |name: &str| {
        let other_catalog = if load.catalog == Catalog::Sqlite { "postgres_" } else { "sqlite_" };
        let other_store = if load.store == Store::Folder { "s3_" } else { "fsync" };
        !name.starts_with(other_catalog)
            && !name.starts_with(other_store)
            && (load.processing || !(name.starts_with("processing_") || name == "derivatives_bytes"))
    };
    let figures = costs.figures().into_iter();
    figures.filter(|(name, figure)| figure.source == Source::Assumed && used(name)).map(|(name, _)| name).collect()
}
