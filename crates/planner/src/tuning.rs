//! Settings for one machine under one load: what it can hold by its cores, its memory, its disk and its descriptors.
//!
//! Owns which setting follows from what. Promises that a default which will do is left alone, and that what it sets
//! together the program accepts together. It measures nothing: the machine is passed in.

use serde::Serialize;

use crate::costs::UnitCosts;
use crate::load::{Catalog, Load, Store};
use crate::model::{DECODERS_PER_CORE, MEMORY_SHARE, Plan};

/// Room above what the busiest hour holds on average: the same phones, but all a little late.
const ROOM: f64 = 1.5;
/// Of a node's descriptors, those that may go to connections: as the server itself has it.
const CONNECTIONS_OF_DESCRIPTORS: f64 = 0.75;
/// Of the memory, what decoding may have at most.
const DECODING_OF_MEMORY: f64 = 0.25;
/// Below this a photo of many megapixels could not be decoded at all.
const DECODING_BYTES_MIN: f64 = 268_435_456.0;
/// A disk's rate with other numbers of writers must be so much better for another number of disk workers to be worth
/// it: two measurements of one disk differ by less than they seem to.
const WORTH_IT: f64 = 1.15;
/// Connections that PostgreSQL has by its own default, less those it keeps for its superuser and for commands.
const POSTGRES_CONNECTIONS: f64 = 90.0;
/// From so many cores on, one in four may check passwords.
const CORES_FOR_PASSWORDS: f64 = 8.0;

/// A machine, as measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    /// Cores that this program may use.
    pub cores: f64,
    /// Memory that it may use.
    pub memory_bytes: f64,
    /// Files and connections that it may have open.
    pub descriptors: f64,
    /// Free on the disk of the photos.
    pub disk_free_bytes: f64,
    /// What its disk reaches with so many writers at once; one writer stands first.
    pub syncs: Vec<SyncRate>,
}

/// What a disk reached with so many writers at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncRate {
    /// Writers at once.
    pub writers: f64,
    /// Syncs a second, all together.
    pub per_second: f64,
    /// The middle one of their times.
    pub median_ms: f64,
    /// What one in a hundred exceeds.
    pub p99_ms: f64,
}

impl Machine {
    /// Syncs a second with so many writers: measured with the nearest number that is not more; never more than any.
    fn syncs_per_second(&self, writers: f64) -> Option<f64> {
        let below = self.syncs.iter().filter(|rate| rate.writers <= writers + 0.5);
        below.max_by(|one, other| one.writers.total_cmp(&other.writers)).map(|rate| rate.per_second)
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident = $key:literal,)+) => {
        /// The settings that follow from machine and load, in the units of their names.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct Settings {
            $($(#[$doc])* pub $name: f64,)+
        }

        impl Settings {
            /// Each by its key in the configuration, read by `number`; what that does not know is 0.
            pub fn read(number: impl Fn(&str) -> Option<u64>) -> Self {
                Self { $($name: number($key).map_or(0.0, |number| number as f64),)+ }
            }

            /// All of them by their keys.
            pub fn named(&self) -> Vec<(&'static str, f64)> {
                vec![$(($key, self.$name),)+]
            }
        }
    };
}

numbers! {
    /// Connections at once.
    connections_max = "server.connections_max",
    /// How long one may rest.
    header_read_timeout_ms = "server.header_read_timeout_ms",
    /// Slowest body.
    body_rate_min = "server.body_rate_min_bytes_per_second",
    /// Threads for the disk.
    disk_workers = "ingest.disk_workers",
    /// Largest photo.
    upload_bytes_max = "ingest.upload_bytes_max",
    /// Largest request.
    request_bytes_max = "ingest.request_bytes_max",
    /// Uploads at once.
    uploads_in_flight_max = "ingest.uploads_in_flight_max",
    /// Of one user.
    uploads_in_flight_per_user_max = "ingest.uploads_in_flight_per_user_max",
    /// Bytes of uploads at once.
    bytes_in_flight_max = "ingest.bytes_in_flight_max",
    /// Of one user.
    bytes_in_flight_per_user_max = "ingest.bytes_in_flight_per_user_max",
    /// Free space to leave.
    free_bytes_min = "ingest.free_bytes_min",
    /// Connections to PostgreSQL.
    database_connections_max = "records.connections_max",
    /// Writes of a commit.
    commit_batch_max = "records.commit_batch_max",
    /// Photos decoded at once.
    processing_workers = "processing.workers",
    /// Memory of all decodes.
    decode_memory_bytes_max = "processing.decode_memory_bytes_max",
    /// Passwords checked at once.
    password_hashing_parallel = "identity.password_hashing_parallel",
    /// Days of tasks.
    task_keep_days = "jobs.keep_days",
    /// Days of idempotency keys.
    key_keep_days = "ingest.idempotency_keep_days",
}

/// A setting that differs from its default, and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// Its key in the configuration.
    pub key: &'static str,
    /// What to set.
    pub value: u64,
    /// What it is without.
    pub default: u64,
    /// Why.
    pub why: String,
}

/// What a house holds with its settings, before anything breaks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Holds {
    /// Uploads a second until the first is refused or waits without end; processing may be late by then.
    pub uploads_per_second: f64,
    /// The same in participants of this load.
    pub users: f64,
    /// What ends it there.
    pub because_of: &'static str,
    /// Uploads a second that are also processed in time; none where the nodes do not process.
    pub processed_in_time_per_second: Option<f64>,
    /// Uploads on their way at once, on all nodes together.
    pub uploads_in_flight: f64,
    /// Memory of a node with so many on their way as its settings let in.
    pub memory_bytes_when_full: f64,
    /// Days until the free space of this disk is used up, where photos are on it.
    pub days_until_disk_is_full: Option<f64>,
}

/// Settings, and the plan that they make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuned {
    /// What to set; the rest stays at its default.
    pub advice: Vec<Advice>,
    /// What else to do on the machine.
    pub beside: Vec<String>,
    /// What of the load itself will not do.
    pub warnings: Vec<String>,
    /// What it holds.
    pub holds: Holds,
    /// The plan with these settings.
    pub plan: Plan,
}

/// Settings and a plan for nodes like this machine. Where `load.nodes` says how many, for so many; else for as many as
/// the load needs. Cores, memory and disk of `load` are taken from the machine.
pub fn tune(machine: &Machine, load: &Load, costs: &UnitCosts, defaults: &Settings) -> Tuned {
    let asked = Load { node_cores: machine.cores, node_memory_bytes: machine.memory_bytes, ..load.clone() };
    let mut load = asked.clone();
    // What a single node is let in by its memory says how many nodes are needed; that says what each must let in.
    let first = Tuner::of(machine, &asked, costs, defaults, 1.0);
    set_limits(&mut load, machine, &first.settings);
    let planned = Plan::of(&load, costs, None).nodes.planned;
    let tuner = Tuner::of(machine, &asked, costs, defaults, f64::from(planned));
    set_limits(&mut load, machine, &tuner.settings);
    load.nodes = load.nodes.or(Some(planned));
    let mut plan = Plan::of(&load, costs, None);
    sharpen(&mut plan, machine);
    let holds = holds(&plan, machine, costs, &tuner.settings);
    let Tuner { settings, reasons, beside, warnings, .. } = tuner;
    let advice = settings
        .named()
        .into_iter()
        .zip(defaults.named())
        .filter(|((_, value), (_, default))| number(*value) != number(*default));
    let advice = advice.map(|((key, value), (_, default))| Advice {
        key,
        value: number(value),
        default: number(default),
        why: reasons.iter().find(|(of, _)| *of == key).map(|(_, why)| why.clone()).unwrap_or_default(),
    });
    Tuned { advice: advice.collect(), beside, warnings, holds, plan }
}

/// The plan's limits are those of the settings.
fn set_limits(load: &mut Load, machine: &Machine, settings: &Settings) {
    let limits = &mut load.limits;
    limits.uploads_in_flight_max = settings.uploads_in_flight_max;
    limits.bytes_in_flight_max = settings.bytes_in_flight_max;
    limits.connections_max = settings.connections_max.min(machine.descriptors * CONNECTIONS_OF_DESCRIPTORS);
    limits.disk_workers = settings.disk_workers;
    limits.commit_batch_max = settings.commit_batch_max;
    limits.database_connections_max = settings.database_connections_max;
    limits.task_keep_days = settings.task_keep_days;
    limits.key_keep_days = settings.key_keep_days;
    load.disk_syncs_per_second = machine.syncs_per_second(settings.disk_workers);
}

/// What the plan says of a fleet of equals, where this machine is known better.
fn sharpen(plan: &mut Plan, machine: &Machine) {
    let wanted = plan.load.limits.connections_max;
    let by_descriptors = machine.descriptors * CONNECTIONS_OF_DESCRIPTORS;
    for limit in &mut plan.limits {
        if limit.what.starts_with("connections (") && wanted >= by_descriptors {
            limit.then = "raise LimitNOFILE= (ulimit -Hn): the descriptors end it before server.connections_max does";
        }
    }
}

fn holds(plan: &Plan, machine: &Machine, costs: &UnitCosts, settings: &Settings) -> Holds {
    let load = &plan.load;
    let is_processing = |what: &str| what.contains("processing in time");
    // Sorted by what breaks first.
    let first = plan.limits.iter().find(|limit| !is_processing(limit.what));
    let in_time = plan.limits.iter().find(|limit| is_processing(limit.what));
    let uploads_per_second = first.map_or(f64::INFINITY, |limit| limit.at_captures_per_second);
    let full = settings.uploads_in_flight_max * costs.held_upload_memory_bytes.value
        + load.limits.connections_max * costs.idle_connection_memory_bytes.value;
    let nodes = f64::from(plan.nodes.planned);
    let on_this_disk = load.store == Store::Folder && nodes < 1.5;
    let a_day =
        plan.store.bytes_per_day + if load.catalog == Catalog::Sqlite { plan.catalog.bytes_per_day } else { 0.0 };
    Holds {
        uploads_per_second,
        users: uploads_per_second * load.interval_seconds,
        because_of: first.map_or("nothing", |limit| limit.what),
        processed_in_time_per_second: in_time.map(|limit| limit.at_captures_per_second),
        uploads_in_flight: settings.uploads_in_flight_max * nodes,
        memory_bytes_when_full: costs.node_memory_bytes.value + full,
        days_until_disk_is_full: on_this_disk
            .then(|| (machine.disk_free_bytes - settings.free_bytes_min).max(0.0) / a_day),
    }
}

struct Tuner<'a> {
    machine: &'a Machine,
    load: &'a Load,
    costs: &'a UnitCosts,
    /// The share of the load that a node has once one of them is dead.
    nodes: f64,
    all_nodes: f64,
    settings: Settings,
    reasons: Vec<(&'static str, String)>,
    beside: Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Tuner<'a> {
    fn of(machine: &'a Machine, load: &'a Load, costs: &'a UnitCosts, defaults: &Settings, nodes: f64) -> Self {
        let mut tuner = Self {
            machine,
            load,
            costs,
            nodes: if nodes > 1.5 { nodes - 1.0 } else { 1.0 },
            all_nodes: nodes,
            settings: defaults.clone(),
            reasons: Vec::new(),
            beside: Vec::new(),
            warnings: Vec::new(),
        };
        tuner.sizes();
        tuner.times();
        tuner.in_flight();
        tuner.connections();
        tuner.disk();
        tuner.decoding();
        tuner.database();
        tuner.agree();
        tuner
    }

    fn because(&mut self, key: &'static str, why: impl Into<String>) {
        // The last that changed it is why it is what it is.
        self.reasons.retain(|(of, _)| *of != key);
        self.reasons.push((key, why.into()));
    }

    fn sizes(&mut self) {
        let photo = self.load.photo_bytes;
        if photo > self.settings.upload_bytes_max {
            self.settings.upload_bytes_max = round_up(photo * 1.25, 1_048_576.0);
            self.because("ingest.upload_bytes_max", "a quarter above the photo that was stated");
        }
    }

    fn times(&mut self) {
        let interval_ms = self.load.interval_seconds * 1e3;
        if interval_ms * ROOM > self.settings.header_read_timeout_ms {
            self.settings.header_read_timeout_ms = round_up(interval_ms * 2.0, 1_000.0).min(3_600_000.0);
            self.because(
                "server.header_read_timeout_ms",
                "twice the interval: a phone keeps its connection between two photos",
            );
        }
        let slowest = if self.load.slow_share > 0.0 {
            self.load.slow_uplink_bytes_per_second.min(self.load.uplink_bytes_per_second)
        } else {
            self.load.uplink_bytes_per_second
        };
        if slowest < self.settings.body_rate_min * ROOM {
            self.settings.body_rate_min = (slowest / 2.0).floor().max(1.0);
            self.because(
                "server.body_rate_min_bytes_per_second",
                "half of what the slowest phones reach; below it they are cut off",
            );
        }
        let interval = self.load.interval_seconds;
        let mut late = |share: f64, uplink: f64, who: &str| {
            let takes = self.load.photo_bytes / uplink;
            if share > 0.0 && takes > interval {
                self.warnings.push(format!(
                    "an upload of {who} takes {takes:.1} s and the next photo comes after {interval:.1} s: they fall behind \
                     by themselves, whatever serves them. A browser opens some six connections to a host over HTTP/1.1, so \
                     fewer are on their way than stated here; a longer interval or smaller photos help"
                ));
            }
        };
        late(1.0 - self.load.slow_share, self.load.uplink_bytes_per_second, "a phone");
        late(self.load.slow_share, self.load.slow_uplink_bytes_per_second, "a slow phone");
    }

    fn memory_for_uploads(&self) -> f64 {
        (self.machine.memory_bytes * MEMORY_SHARE - self.costs.node_memory_bytes.value).max(0.0)
    }

    fn in_flight(&mut self) {
        let (load, costs) = (self.load, self.costs);
        let held = load.peak_per_second() * load.transfer_seconds() / self.nodes;
        let wanted = held * ROOM;
        let each = costs.held_upload_memory_bytes.value + costs.idle_connection_memory_bytes.value;
        let by_memory = (self.memory_for_uploads() / each).floor();
        let now = self.settings.uploads_in_flight_max;
        let value = if by_memory < now {
            round_down(by_memory, 10.0).max(1.0)
        } else if wanted > now {
            round_up(wanted, 100.0).min(round_down(by_memory, 100.0))
        } else {
            now
        };
        self.settings.uploads_in_flight_max = value.min(1e6);
        if value < now {
            let why =
                "as many as half of the memory holds; beyond that the kernel would end the server instead of a 503";
            self.because("ingest.uploads_in_flight_max", why);
        } else {
            self.because("ingest.uploads_in_flight_max", "half as many again as are on their way in the busiest hour");
        }

        let bytes_wanted = round_up(held * load.photo_bytes * ROOM, 1_048_576.0);
        let by_disk = ((self.machine.disk_free_bytes - self.settings.free_bytes_min) / 2.0).max(0.0);
        if bytes_wanted > self.settings.bytes_in_flight_max {
            self.settings.bytes_in_flight_max = bytes_wanted;
            self.because("ingest.bytes_in_flight_max", "half as much again as is on its way in the busiest hour");
        }
        if by_disk < self.settings.bytes_in_flight_max {
            self.settings.bytes_in_flight_max = round_down(by_disk, 1_048_576.0).max(1_048_576.0);
            self.because(
                "ingest.bytes_in_flight_max",
                "half of the free space: what is on its way lies on this disk already",
            );
        }

        let slow = if load.slow_share > 0.0 { load.slow_uplink_bytes_per_second } else { f64::INFINITY };
        let longest = load.photo_bytes / load.uplink_bytes_per_second.min(slow);
        let of_one = (longest / load.interval_seconds * ROOM).ceil();
        if of_one > self.settings.uploads_in_flight_per_user_max {
            self.settings.uploads_in_flight_per_user_max = of_one;
            self.because("ingest.uploads_in_flight_per_user_max", "a phone as slow as stated has so many on their way");
        }
        if of_one * load.photo_bytes > self.settings.bytes_in_flight_per_user_max {
            self.settings.bytes_in_flight_per_user_max = round_up(of_one * load.photo_bytes, 1_048_576.0);
            self.because("ingest.bytes_in_flight_per_user_max", "the same in bytes");
        }
    }

    fn connections(&mut self) {
        let load = self.load;
        let users = load.peak_per_second() * load.interval_seconds / self.nodes;
        let held = load.peak_per_second() * load.transfer_seconds() / self.nodes;
        let wanted = users.max(held) * ROOM;
        if wanted > self.settings.connections_max {
            self.settings.connections_max = round_up(wanted, 1_000.0).min(1e6);
            self.because("server.connections_max", "each phone keeps one, and half as many again");
        }
        let by_memory = self.memory_for_uploads() / self.costs.idle_connection_memory_bytes.value;
        if by_memory < self.settings.connections_max {
            self.settings.connections_max = round_down(by_memory, 10.0).max(8.0);
            self.because("server.connections_max", "as many as half of the memory holds at rest");
        }
        let taken = (self.machine.descriptors * CONNECTIONS_OF_DESCRIPTORS).floor();
        if taken < wanted {
            let descriptors = round_up(self.settings.connections_max / CONNECTIONS_OF_DESCRIPTORS, 1_000.0);
            self.beside.push(format!(
                "LimitNOFILE={descriptors} in the unit (or ulimit -Hn {descriptors}): this process may open {}, so only some \
                 {taken} connections are taken, and the load has {:.0}",
                self.machine.descriptors,
                users.max(held)
            ));
        }
    }

    fn disk(&mut self) {
        if self.load.store == Store::S3 {
            return;
        }
        let now = self.settings.disk_workers;
        let Some(at_default) = self.machine.syncs_per_second(now) else { return };
        let best = self.machine.syncs.iter().map(|rate| rate.per_second).fold(0.0, f64::max);
        if best < at_default * WORTH_IT {
            return;
        }
        // The fewest that come near the best.
        let fewest = self.machine.syncs.iter().filter(|rate| rate.per_second * WORTH_IT >= best);
        if let Some(rate) = fewest.min_by(|one, other| one.writers.total_cmp(&other.writers)) {
            self.settings.disk_workers = rate.writers;
            let why = format!("{:.0} syncs a second, as measured; with {now} it were {at_default:.0}", rate.per_second);
            self.because("ingest.disk_workers", why);
        }
    }

    fn decoding(&mut self) {
        if self.load.processing {
            let workers = (self.machine.cores * DECODERS_PER_CORE).floor().clamp(1.0, 256.0);
            if workers > self.settings.processing_workers {
                self.settings.processing_workers = workers;
                self.because("processing.workers", "one for each two cores: uploads are as quick as without");
            }
        } else {
            self.settings.processing_workers = 0.0;
            self.because("processing.workers", "processing is off, as stated");
        }
        let memory = round_down(self.machine.memory_bytes * DECODING_OF_MEMORY, 1_048_576.0).max(DECODING_BYTES_MIN);
        if memory < self.settings.decode_memory_bytes_max {
            self.settings.decode_memory_bytes_max = memory;
            self.because("processing.decode_memory_bytes_max", "a quarter of the memory");
        }
        if self.machine.cores >= CORES_FOR_PASSWORDS {
            let parallel = (self.machine.cores / 4.0).floor();
            if parallel > self.settings.password_hashing_parallel {
                self.settings.password_hashing_parallel = parallel.min(256.0);
                self.because(
                    "identity.password_hashing_parallel",
                    "a class signs in at one moment: a quarter of the cores",
                );
            }
        }
    }

    fn database(&mut self) {
        if self.load.catalog != Catalog::Postgres {
            return;
        }
        let costs = self.costs;
        let busy = self.load.peak_per_second() / self.nodes
            * costs.postgres_transactions_per_capture.value
            * costs.postgres_transaction_ms.value
            / 1e3;
        let wanted = (busy * ROOM).ceil();
        if wanted > self.settings.database_connections_max {
            self.settings.database_connections_max = wanted.min(1_000.0);
            self.because("records.connections_max", "half as many again as are busy in the busiest hour");
        }
        let share = (POSTGRES_CONNECTIONS / self.all_nodes).floor();
        if share < self.settings.database_connections_max && wanted <= share {
            self.settings.database_connections_max = share;
            let why = format!("{} nodes share the 100 connections that PostgreSQL has by its default", self.all_nodes);
            self.because("records.connections_max", why);
        }
        let all = self.settings.database_connections_max * self.all_nodes;
        if all > POSTGRES_CONNECTIONS {
            self.beside.push(format!(
                "max_connections = {} in PostgreSQL (100 by its default): {} nodes of {} each, and some for people",
                round_up(all + 10.0, 10.0),
                self.all_nodes,
                self.settings.database_connections_max
            ));
        }
    }

    /// What the program refuses to be set together (`config/check.rs`) is not advised together.
    fn agree(&mut self) {
        let Settings {
            upload_bytes_max,
            request_bytes_max,
            uploads_in_flight_max,
            uploads_in_flight_per_user_max,
            bytes_in_flight_max,
            bytes_in_flight_per_user_max,
            ..
        } = &mut self.settings;
        let (request, user, uploads) =
            (*request_bytes_max, *bytes_in_flight_per_user_max, *uploads_in_flight_per_user_max);
        // Larger photos first lift what stands above them, then a small disk presses down on what stands below.
        *request_bytes_max = request_bytes_max.max(*upload_bytes_max);
        *bytes_in_flight_per_user_max = bytes_in_flight_per_user_max.max(*request_bytes_max);
        *bytes_in_flight_max = bytes_in_flight_max.max(*upload_bytes_max);
        *bytes_in_flight_per_user_max = bytes_in_flight_per_user_max.min(*bytes_in_flight_max);
        *request_bytes_max = request_bytes_max.min(*bytes_in_flight_per_user_max);
        *uploads_in_flight_per_user_max = uploads_in_flight_per_user_max.min(*uploads_in_flight_max);
        let changed = [
            ("ingest.request_bytes_max", request, *request_bytes_max),
            ("ingest.bytes_in_flight_per_user_max", user, *bytes_in_flight_per_user_max),
            ("ingest.uploads_in_flight_per_user_max", uploads, *uploads_in_flight_per_user_max),
        ];
        for (key, before, after) in changed {
            if after > before {
                self.because(key, "a photo as large as stated must fit into it");
            } else if after < before {
                self.because(key, "it is part of what all have, which this machine limits");
            }
        }
    }
}

fn round_up(value: f64, step: f64) -> f64 {
    (value / step - 1e-9).ceil() * step
}

fn round_down(value: f64, step: f64) -> f64 {
    (value / step).floor() * step
}

fn number(value: f64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a setting: whole and below 2^53")]
    let number = value.max(0.0).round() as u64;
    number
}
