//! `filmgate tune`: settings for this machine under a load that is stated.
//!
//! The machine is asked in `machine.rs`; what follows from it is `planner`'s; how it is told is in `tell.rs`. Owns the
//! question, and the promise that each figure of the answer says whether it was measured here, measured elsewhere,
//! given, or assumed.

mod machine;
mod tell;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use planner::quantity::{bytes, count, seconds, share};
use planner::{Catalog, Gthread, Load, Machine, Settings, Source, Store, Tuned, UnitCosts};
use serde::Serialize;

use super::plan::{Switch, unit_costs};
use super::{Common, output};
use crate::config::{Config, number_of};

/// What a phone's network uploads where nobody says: as `filmgate plan` has it.
const UPLINK: f64 = 1e6;
/// The same for a slow one.
const SLOW_UPLINK: f64 = 1e3;

#[derive(Debug, Args)]
#[command(after_help = "\
Shapes and units:
  COUNT  300, 10k      SIZE   120KB, 4MB (decimal), 8GiB (binary)
  TIME   500ms, 1s, 2min         SHARE  0.15, 15%

Examples:
  filmgate tune --users 300 --interval 1s --photo 120KB
  filmgate tune --users 2000 --slow-share 20% --slow-upload-seconds 2min
  filmgate tune --users 5000 --nodes 3 --json

The disk of the data folder is written to for four times --disk-time; nothing stays there.
Measure while nothing else runs, or what else runs is in the figures. Processor and memory
of an upload are not measured here: they are those of filmgate plan --show-unit-costs.
docs/tune.md explains what is printed. Exit status 1 where the load is not carried.")]
pub(super) struct TuneArgs {
    /// Participants at once in the busiest hour
    #[arg(long, value_name = "COUNT", value_parser = count)]
    users: f64,
    /// Time between two photos of a participant
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1s")]
    interval: f64,
    /// Size of a photo
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "120KB")]
    photo: f64,
    /// Its pixels in millions: 0.92 is 1280 x 720
    #[arg(long, value_name = "NUMBER", default_value_t = 0.92)]
    photo_megapixels: f64,
    /// How long a phone takes to upload one, in seconds or as TIME [default: what 1 MB/s gives]
    #[arg(long, value_name = "TIME", value_parser = plain_seconds)]
    upload_seconds: Option<f64>,
    /// The share of phones on a slow network
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0%")]
    slow_share: f64,
    /// How long those take [default: what 1 KB/s gives]
    #[arg(long, value_name = "TIME", value_parser = plain_seconds)]
    slow_upload_seconds: Option<f64>,
    /// Machines like this one [default: one; and what several would be like]
    #[arg(long, value_name = "COUNT")]
    nodes: Option<u32>,
    /// The share of the day's photos that comes in its busiest hour; even over the day would be 4.2%
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "15%")]
    peak_factor: f64,
    /// Whether thumbnails, previews and signs of quality are made too
    #[arg(long, value_enum, default_value_t = Switch::On)]
    processing: Switch,
    /// How long after the busiest hour its photos may still wait to be processed
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "2h")]
    catch_up: f64,
    /// Days that photos are kept
    #[arg(long, value_name = "DAYS", default_value_t = 365.0)]
    retention_days: f64,
    /// How quick a core of this machine is against the one the unit costs were taken on
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    core_speed: f64,
    /// A file of unit costs of your own; what it leaves out stays as built in
    #[arg(long, value_name = "FILE")]
    unit_costs: Option<PathBuf>,
    /// How long the disk is measured with each number of writers
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1s")]
    disk_time: f64,
}

/// `2`, or a time with its unit.
fn plain_seconds(text: &str) -> Result<f64, planner::quantity::NotAQuantity> {
    text.trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
        .map_or_else(|| seconds(text), Ok)
}

/// Where a figure comes from.
#[derive(Debug, Serialize)]
struct Provenance {
    what: &'static str,
    source: &'static str,
    how: String,
}

/// A setting to change, and what it is on this data folder.
#[derive(Debug, Serialize)]
struct Change {
    key: &'static str,
    value: u64,
    default: u64,
    now: u64,
    why: String,
}

/// One way to run the load.
#[derive(Debug, Serialize)]
struct House {
    /// The settings to use, as a file.
    toml: String,
    settings: Vec<Change>,
    #[serde(flatten)]
    tuned: Told,
}

/// Of what the planner found, what is not told by [`Change`].
#[derive(Debug, Serialize)]
struct Told {
    beside: Vec<String>,
    warnings: Vec<String>,
    holds: planner::Holds,
    plan: planner::Plan,
}

#[derive(Debug, Serialize)]
struct Answer {
    machine: Machine,
    warnings: Vec<String>,
    one: House,
    #[serde(skip_serializing_if = "Option::is_none")]
    several: Option<House>,
    gthread: Gthread,
    provenance: Vec<Provenance>,
}

pub(super) fn run(args: &TuneArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let config = common.load(Vec::new())?;
    let mut costs = unit_costs(args.unit_costs.as_deref())?;
    let mut load = load(args, &config)?;
    let disk_time = Duration::try_from_secs_f64(args.disk_time)?;
    if disk_time > Duration::from_secs(600) {
        bail!("--disk-time of {} s: ten minutes for each number of writers are more than enough", args.disk_time);
    }
    let found = machine::measure(&config, args.photo, disk_time)?;
    costs_of(&found, &mut costs);
    let defaults = Config::default();
    let defaults = Settings::read(|key| number_of(key, &defaults));

    // A single node keeps what the configuration says; several need what several can share.
    let house = |tuned: Tuned| House::of(tuned, &config);
    load.nodes = Some(1);
    let one = house(planner::tune(&found.machine, &load, &costs, &defaults));
    let several = (args.nodes != Some(1)).then(|| {
        let shared = Load { catalog: Catalog::Postgres, store: Store::S3, nodes: args.nodes, ..load.clone() };
        house(planner::tune(&found.machine, &shared, &costs, &defaults))
    });
    let carries = several.as_ref().filter(|_| args.nodes.is_some()).unwrap_or(&one).tuned.plan.nodes.carries;
    let answer = Answer {
        gthread: Gthread::of(&load),
        provenance: provenance(args, &found, &costs, [Some(&one), several.as_ref()]),
        machine: found.machine,
        warnings: found.warnings,
        one,
        several,
    };
    if common.json {
        output::say(serde_json::to_string(&answer)?)?;
    } else {
        tell::answer(&answer, &found.place)?;
    }
    Ok(ExitCode::from(u8::from(!carries)))
}

fn load(args: &TuneArgs, config: &Config) -> anyhow::Result<Load> {
    let uplink = |takes: Option<f64>, otherwise: f64| takes.map_or(otherwise, |takes| args.photo / takes);
    if [args.upload_seconds, args.slow_upload_seconds].contains(&Some(0.0)) {
        bail!("an upload takes some time: --upload-seconds and --slow-upload-seconds must be above zero");
    }
    if args.slow_upload_seconds.is_some() && args.slow_share <= 0.0 {
        bail!("--slow-upload-seconds says how long slow phones take, and --slow-share says that there are none");
    }
    let load = Load {
        peak_share: args.peak_factor,
        photo_bytes: args.photo,
        photo_megapixels: args.photo_megapixels,
        uplink_bytes_per_second: uplink(args.upload_seconds, UPLINK),
        slow_share: args.slow_share,
        slow_uplink_bytes_per_second: uplink(args.slow_upload_seconds, SLOW_UPLINK),
        catalog: if config.catalog_server().is_some() { Catalog::Postgres } else { Catalog::Sqlite },
        store: if config.blobs.is_bucket() { Store::S3 } else { Store::Folder },
        processing: matches!(args.processing, Switch::On),
        catch_up_seconds: args.catch_up,
        retention_days: args.retention_days,
        core_speed: args.core_speed,
        nodes: args.nodes,
        ..Load::example()
    }
    .of_users(args.users, args.interval);
    let mut problems = load.problems();
    // What an interval of zero or a share out of range makes of the captures is told by its own words.
    if problems.len() > 1 {
        problems.retain(|problem| !problem.contains("captures to plan for"));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }
    Ok(load)
}

/// What was measured here takes the place of what was measured elsewhere.
fn costs_of(found: &machine::Found, costs: &mut UnitCosts) {
    if let Some(one) = found.machine.syncs.first() {
        costs.fsync_ms.value = one.median_ms;
        costs.fsync_ms.source = Source::Measured;
        costs.fsync_ms.provenance = format!("filmgate tune, on this machine just now, in {}", found.place);
    }
}

fn provenance(
    args: &TuneArgs,
    found: &machine::Found,
    costs: &UnitCosts,
    houses: [Option<&House>; 2],
) -> Vec<Provenance> {
    let mut lines = found.provenance();
    let given = |what, how: &str| Provenance { what, source: "given", how: how.to_owned() };
    lines.push(given("photos, phones, day", "the command line and its defaults: filmgate tune --help"));
    let mut elsewhere = |what, figure: &planner::Figure| {
        lines.push(Provenance { what, source: "measured elsewhere", how: figure.provenance.clone() });
    };
    elsewhere("processor of an upload", &costs.upload_cpu_us);
    elsewhere("processor of a picture", &costs.processing_cpu_ms_per_megapixel);
    elsewhere("memory of an upload", &costs.held_upload_memory_bytes);
    elsewhere("size of a row", &costs.sqlite_bytes_per_capture);
    lines.push(Provenance {
        what: "speed of a core",
        source: if (args.core_speed - 1.0).abs() > f64::EPSILON { "given" } else { "assumed" },
        how: format!(
            "{} of the core that the unit costs were taken on; it is not measured here: --core-speed",
            args.core_speed
        ),
    });
    let mut assumed: Vec<&str> =
        houses.into_iter().flatten().flat_map(|house| house.tuned.plan.assumed.clone()).collect();
    assumed.sort_unstable();
    assumed.dedup();
    let assumption = |what, how: String| Provenance { what, source: "assumed", how };
    lines.push(assumption(
        "network of a machine",
        "1 Gbit/s; filmgate plan --node-network plans with another".to_owned(),
    ));
    if houses[1].is_some() {
        let how = "a database of 8 cores; filmgate plan --database-cores plans with others".to_owned();
        lines.push(assumption("several machines", how));
    }
    if !assumed.is_empty() {
        let how = format!("{}: nobody measured these; --unit-costs puts yours in their place", assumed.join(", "));
        lines.push(assumption("unit costs", how));
    }
    lines.push(Provenance { what: "gthread", source: "given", how: planner::GTHREAD_CPU_PROVENANCE.to_owned() });
    lines
}

impl House {
    fn of(tuned: Tuned, config: &Config) -> Self {
        let Tuned { advice, beside, warnings, holds, plan } = tuned;
        let toml = tell::fragment(&advice, &plan, &beside);
        let now = |key| number_of(key, config).unwrap_or_default();
        let settings = advice.into_iter().map(|advice| Change {
            now: now(advice.key),
            key: advice.key,
            value: advice.value,
            default: advice.default,
            why: advice.why,
        });
        Self { toml, settings: settings.collect(), tuned: Told { beside, warnings, holds, plan } }
    }
}
