//! `filmgate plan`: what a load needs, before there is a machine for it.
//!
//! The model and the simulation are `planner`'s; here is what is asked, and how the answer is told.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use planner::quantity::{bytes, count, in_bytes, in_seconds, in_words, rate, seconds, share};
use planner::simulation::{Arrivals, Burst, Kill, Report, Scenario, Service, simulate};
use planner::{Catalog, Load, Plan, Prices, Store, UnitCosts};
use serde::Serialize;

use super::{Common, output};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CatalogChoice {
    /// The embedded catalog; one node
    Sqlite,
    /// PostgreSQL; any number of nodes
    Postgres,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoreChoice {
    /// A folder on the node's own disk; one node
    Folder,
    /// An object store; any number of nodes
    S3,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Shapes and units:
  COUNT  1000000, 10k, 1M           SIZE   120KB, 4MB (decimal), 8GiB (binary)
  TIME   500ms, 1s, 10min, 2h       RATE   1KB/s, 10Mbit/s
  SHARE  0.15, 15%                  A month has 30 days, a GB 10^9 bytes.

Examples:
  filmgate plan --captures-per-day 1M
  filmgate plan --users 2000 --interval 1s --catalog sqlite --store folder --node-cores 8
  filmgate plan --captures-per-day 100M --prices my-prices.toml --json
  filmgate plan --captures-per-day 1M --nodes 3 --simulate 2min --burst 300@30s --kill-node-at 1min

The arithmetic needs figures of what one capture costs. Those built in were taken on one
machine: --show-unit-costs prints them with where each comes from, in the form that
--unit-costs reads. Prices are your own: copy docs/prices.example.toml. docs/scale.md
explains the model, and how far it was off when it was measured.")]
pub(super) struct PlanArgs {
    /// Captures of a whole day, as in 1000000 or 1M
    #[arg(long, value_name = "COUNT", value_parser = count, conflicts_with = "users")]
    captures_per_day: Option<f64>,
    /// Instead: participants at once in the busiest hour, each with a capture every --interval
    #[arg(long, value_name = "COUNT", value_parser = count)]
    users: Option<f64>,
    /// Time between two captures of a participant
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "1s")]
    interval: f64,
    /// The share of the day's captures that comes in its busiest hour; even over the day would be 4.2%
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "15%")]
    peak_factor: f64,
    /// Size of a photo
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "120KB")]
    photo_bytes: f64,
    /// Its pixels in millions: 0.92 is 1280 x 720
    #[arg(long, value_name = "NUMBER", default_value_t = 0.92)]
    photo_megapixels: f64,
    /// What a participant's network uploads
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "1MB/s")]
    uplink: f64,
    /// The share of participants on a slow network
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0%")]
    slow_share: f64,
    /// What theirs uploads; the server cuts off below 256 B/s
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "1KB/s")]
    slow_uplink: f64,
    /// Where rows are
    #[arg(long, value_enum, default_value_t = CatalogChoice::Postgres)]
    catalog: CatalogChoice,
    /// Where photos are
    #[arg(long, value_enum, default_value_t = StoreChoice::S3)]
    store: StoreChoice,
    /// Whether the nodes also make thumbnails, previews and signs of quality
    #[arg(long, value_enum, default_value_t = Switch::On)]
    processing: Switch,
    /// How long after the busiest hour its photos may still wait to be processed
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "2h")]
    catch_up: f64,
    /// Days that captures are kept
    #[arg(long, value_name = "DAYS", default_value_t = 365.0)]
    retention_days: f64,
    /// Plan for so many nodes instead of asking how many are needed
    #[arg(long, value_name = "COUNT")]
    nodes: Option<u32>,
    /// Nodes beyond what the load needs, so that as many may die
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    spare: u32,
    /// Cores of a node
    #[arg(long, value_name = "NUMBER", default_value_t = 4.0)]
    node_cores: f64,
    /// Memory of a node
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "8GB")]
    node_memory: f64,
    /// Network of a node
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "1Gbit/s")]
    node_network: f64,
    /// Cores of the database's machine
    #[arg(long, value_name = "NUMBER", default_value_t = 8.0)]
    database_cores: f64,
    /// Copies of the database beside the first: for the bill
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    database_standbys: u32,
    /// How quick a core is against the one the unit costs were taken on
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    core_speed: f64,
    /// The share of a node that the busiest hour may use; the rest is for what is busier than the hour's mean
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "60%")]
    utilisation: f64,
    /// A file of unit costs of your own; what it leaves out stays as built in
    #[arg(long, value_name = "FILE")]
    unit_costs: Option<PathBuf>,
    /// A price list of your own, as docs/prices.example.toml; without it nothing is said about money
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print the unit costs with where each comes from, and end
    #[arg(long)]
    show_unit_costs: bool,
    #[command(flatten)]
    simulation: SimulationArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Simulation")]
struct SimulationArgs {
    /// Also play so much of the busiest hour, event by event: how long answers take, and who is refused
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    simulate: Option<f64>,
    /// What chance begins with; the same seed gives the same report
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "simulate")]
    seed: u64,
    /// How uploads arrive: by chance, or each participant every --interval
    #[arg(long, value_enum, default_value_t = ArrivalsChoice::Poisson, requires = "simulate")]
    arrivals: ArrivalsChoice,
    /// Instead of the load: so many uploaders that begin again as soon as they are answered, as a load generator does
    #[arg(long, value_name = "COUNT", requires = "simulate")]
    uploaders: Option<usize>,
    /// A class that starts at the same second and goes on every --interval, as in 300@30s; may be given several times
    #[arg(long, value_name = "USERS@TIME", value_parser = burst, requires = "simulate")]
    burst: Vec<(usize, f64)>,
    /// One node dies at this moment
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "simulate")]
    kill_node_at: Option<f64>,
    /// And is back so much later
    #[arg(long, value_name = "TIME", value_parser = seconds, requires = "kill_node_at")]
    node_back_after: Option<f64>,
    /// All nodes and the database share one machine of so many cores, as on a test machine
    #[arg(long, value_name = "COUNT", requires = "simulate")]
    shared_cores: Option<usize>,
    /// Processor that others on a shared machine spend on each upload: who sends it, an object store
    #[arg(long, value_name = "TIME", value_parser = seconds, default_value = "0us", requires = "shared_cores")]
    beside: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsChoice {
    Poisson,
    Periodic,
}

/// `300@30s`
fn burst(text: &str) -> Result<(usize, f64), String> {
    let wrong = || format!("'{text}' is no class such as 300@30s");
    let (users, at) = text.split_once('@').ok_or_else(wrong)?;
    Ok((users.parse().map_err(|_| wrong())?, seconds(at).map_err(|_| wrong())?))
}

#[derive(Serialize)]
struct Answer {
    plan: Plan,
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<Scenario>,
    #[serde(skip_serializing_if = "Option::is_none")]
    simulation: Option<Report>,
}

pub(super) fn run(args: &PlanArgs, common: &Common) -> anyhow::Result<ExitCode> {
    let costs = unit_costs(args.unit_costs.as_deref())?;
    if args.show_unit_costs {
        show_unit_costs(&costs, common.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let load = load(args)?;
    let prices = args.prices.as_ref().map(|file| -> anyhow::Result<Prices> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Prices::parse(&text).with_context(|| format!("{} is no price list", file.display()))
    });
    let plan = Plan::of(&load, &costs, prices.transpose()?.as_ref());
    let scenario = args.simulation.simulate.map(|length| scenario(&args.simulation, &plan, &costs, length));
    let simulation = scenario.as_ref().map(simulate);
    let carries = plan.nodes.carries;
    if common.json {
        output::say(serde_json::to_string(&Answer { plan, scenario, simulation })?)?;
    } else {
        tell(&plan)?;
        if let (Some(scenario), Some(report)) = (&scenario, &simulation) {
            tell_simulation(scenario, report)?;
        }
    }
    Ok(ExitCode::from(u8::from(!carries)))
}

/// The figures that are built in, or with a file's own in their place.
pub(super) fn unit_costs(file: Option<&Path>) -> anyhow::Result<UnitCosts> {
    let Some(file) = file else { return Ok(UnitCosts::built_in()?) };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    UnitCosts::with_overrides(&text).with_context(|| format!("unit costs of {}", file.display()))
}

fn load(args: &PlanArgs) -> anyhow::Result<Load> {
    let load = Load {
        captures_per_day: args.captures_per_day.unwrap_or_default(),
        peak_share: args.peak_factor,
        interval_seconds: args.interval,
        photo_bytes: args.photo_bytes,
        photo_megapixels: args.photo_megapixels,
        uplink_bytes_per_second: args.uplink,
        slow_share: args.slow_share,
        slow_uplink_bytes_per_second: args.slow_uplink,
        catalog: match args.catalog {
            CatalogChoice::Sqlite => Catalog::Sqlite,
            CatalogChoice::Postgres => Catalog::Postgres,
        },
        store: match args.store {
            StoreChoice::Folder => Store::Folder,
            StoreChoice::S3 => Store::S3,
        },
        processing: matches!(args.processing, Switch::On),
        catch_up_seconds: args.catch_up,
        retention_days: args.retention_days,
        nodes: args.nodes,
        spare_nodes: args.spare,
        node_cores: args.node_cores,
        node_memory_bytes: args.node_memory,
        node_network_bytes_per_second: args.node_network,
        database_cores: args.database_cores,
        database_standbys: args.database_standbys,
        core_speed: args.core_speed,
        utilisation_max: args.utilisation,
        limits: planner::ServerLimits::default(),
        disk_syncs_per_second: None,
    };
    let load = match args.users {
        Some(users) => load.of_users(users, args.interval),
        None if args.captures_per_day.is_none() => {
            bail!("say how much comes: --captures-per-day COUNT, or --users COUNT with --interval TIME")
        }
        None => load,
    };
    let problems = load.problems();
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }
    Ok(load)
}

fn scenario(args: &SimulationArgs, plan: &Plan, costs: &UnitCosts, length: f64) -> Scenario {
    let nodes = usize::try_from(plan.nodes.planned).unwrap_or(usize::MAX);
    let mut scenario = Scenario::of(&plan.load, costs, nodes, args.shared_cores, args.beside);
    scenario.seed = args.seed;
    scenario.seconds = length;
    // The queues begin empty; a minute fills them, and of a short play a tenth must do.
    scenario.warmup_seconds = (length / 10.0).min(60.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of people")]
    let users = plan.arrivals.users_at_peak.round().max(1.0) as usize;
    match (args.uploaders, args.arrivals) {
        (Some(clients), _) => {
            scenario.arrivals = Arrivals::Closed { clients, think: Service::NONE };
            // A load generator sits beside the server: nothing is on its way for long.
            scenario.transfer = Service::NONE;
        }
        (None, ArrivalsChoice::Periodic) => {
            scenario.arrivals = Arrivals::Periodic { users, interval: plan.load.interval_seconds };
        }
        (None, ArrivalsChoice::Poisson) => {}
    }
    let interval = plan.load.interval_seconds;
    scenario.bursts = args.burst.iter().map(|(users, at)| Burst { at: *at, users: *users, interval }).collect();
    scenario.kill = args.kill_node_at.map(|at| Kill { at, back_after: args.node_back_after });
    scenario
}

fn show_unit_costs(costs: &UnitCosts, json: bool) -> anyhow::Result<()> {
    if json {
        return output::say(serde_json::to_string(costs)?);
    }
    output::say(toml::to_string(costs)?.trim_end())
}

pub(super) fn line(name: &str, text: impl std::fmt::Display) -> anyhow::Result<()> {
    output::say(format_args!("  {name:<24}{text}"))
}

fn bits(per_second: f64) -> String {
    in_bytes(per_second).replace('B', "bit/s")
}

fn tell(plan: &Plan) -> anyhow::Result<()> {
    let load = &plan.load;
    output::say(format_args!(
        "{} captures a day of {}; {} a second in the busiest hour, from {} participants",
        in_words(load.captures_per_day),
        in_bytes(load.photo_bytes),
        in_words(plan.arrivals.per_second_peak),
        in_words(plan.arrivals.users_at_peak),
    ))?;
    let nodes = &plan.nodes;
    output::say("\nNodes")?;
    line("needed", format_args!("{} of {} cores, because of {}", nodes.needed, load.node_cores, nodes.because_of))?;
    let which = match load.nodes {
        Some(_) => ", as given",
        None if nodes.planned > nodes.needed => ", so that some may die",
        None => "",
    };
    line("planned", format_args!("{}{which}", nodes.planned))?;
    let cores = &plan.cores;
    line("cores: uploads", format_args!("{:.2} in the busiest hour", cores.uploads_peak))?;
    line(
        "cores: processing",
        format_args!(
            "{:.2} over the day, {:.2} to catch up in time",
            cores.processing_average, cores.processing_needed
        ),
    )?;
    line(
        "cores in use",
        format_args!("{:.0} % of {} in the busiest hour", cores.utilisation_peak * 100.0, cores.of_nodes),
    )?;
    if load.processing {
        let backlog = &plan.backlog;
        let later = match backlog.seconds_to_catch_up {
            never if never > 365.0 * 86_400.0 => "never processed".to_owned(),
            seconds => format!("processed {} later", in_seconds(seconds)),
        };
        let photos = in_words(backlog.captures_after_peak);
        line("backlog", format_args!("{photos} photos after the busiest hour, {later}"))?;
    }
    let held = &plan.held;
    line(
        "uploads on their way",
        format_args!(
            "{} at once, {} each; {} of memory a node",
            in_words(held.at_once),
            in_seconds(held.seconds),
            in_bytes(held.memory_bytes_per_node)
        ),
    )?;
    line(
        "network",
        format_args!(
            "{} from participants, {} to and from the store; {} the busier way of a node",
            bits(plan.network.in_bits_per_second),
            bits(plan.network.store_bits_per_second),
            bits(plan.network.per_node_bits_per_second)
        ),
    )?;
    tell_data(plan)?;
    output::say("\nWhat breaks first, by captures a day of this shape")?;
    for limit in &plan.limits {
        output::say(format_args!(
            "  {:>14}  {} ({:.0} % used)\n{:>18}then: {}\n{:>18}do:   {}",
            in_words(limit.at_captures_per_day),
            limit.what,
            limit.used_share * 100.0,
            "",
            limit.breaks,
            "",
            limit.then
        ))?;
    }
    if let Some(cost) = &plan.cost {
        output::say(format_args!("\nA month, by the prices given, in {}", cost.currency))?;
        for item in cost.lines.iter().filter(|item| item.quantity > 0.0) {
            line(
                item.what,
                format_args!("{:>12.2}  = {} {} x {}", item.per_month, in_words(item.quantity), item.unit, item.price),
            )?;
        }
        line(
            "in all",
            format_args!("{:>12.2}  ({:.2} for a million captures)", cost.per_month, cost.per_million_captures),
        )?;
    }
    if !plan.assumed.is_empty() {
        output::say(format_args!(
            "\nAssumed, not measured (see --show-unit-costs, replace by --unit-costs): {}",
            plan.assumed.join(", ")
        ))?;
    }
    for why in &plan.nodes.why_not {
        output::say(format_args!("\nDoes NOT carry it: {why}"))?;
    }
    Ok(())
}

fn tell_data(plan: &Plan) -> anyhow::Result<()> {
    let (load, catalog, store) = (&plan.load, &plan.catalog, &plan.store);
    output::say(match load.catalog {
        Catalog::Sqlite => "\nCatalog (SQLite)",
        Catalog::Postgres => "\nCatalog (PostgreSQL)",
    })?;
    line("writes", format_args!("{} a second in the busiest hour", in_words(catalog.writes_per_second_peak)))?;
    if load.catalog == Catalog::Postgres {
        line(
            "transactions",
            format_args!("{} a second in the busiest hour", in_words(catalog.transactions_per_second_peak)),
        )?;
        line("cores", format_args!("{:.2} of {} in the busiest hour", plan.cores.database_peak, load.database_cores))?;
        line("write-ahead log", format_args!("{} a day", in_bytes(catalog.wal_bytes_per_day)))?;
    }
    line(
        "grows",
        format_args!(
            "{} a day, {} a capture with indexes",
            in_bytes(catalog.bytes_per_day),
            in_bytes(catalog.bytes_per_capture)
        ),
    )?;
    line(
        "when full",
        format_args!(
            "{} in {} captures, after {} days",
            in_bytes(catalog.bytes_when_full),
            in_words(catalog.rows_when_full),
            load.retention_days
        ),
    )?;
    output::say(match load.store {
        Store::Folder => "\nPhotos (a folder)",
        Store::S3 => "\nPhotos (object store)",
    })?;
    line(
        "grows",
        format_args!(
            "{} a day, {} a capture with derivatives",
            in_bytes(store.bytes_per_day),
            in_bytes(store.bytes_per_capture)
        ),
    )?;
    line(
        "when full",
        format_args!(
            "{} in {} objects, after {} days",
            in_bytes(store.bytes_when_full),
            in_words(store.objects_when_full),
            load.retention_days
        ),
    )?;
    match load.store {
        Store::S3 => line(
            "requests",
            format_args!(
                "{} written and {} read a second in the busiest hour; {} and {} a month",
                in_words(store.puts_per_second_peak),
                in_words(store.gets_per_second_peak),
                in_words(store.puts_per_month),
                in_words(store.gets_per_month)
            ),
        ),
        Store::Folder => line(
            "syncs",
            format_args!("{} a second on a node in the busiest hour", in_words(store.fsyncs_per_second_peak)),
        ),
    }
}

fn tell_simulation(scenario: &Scenario, report: &Report) -> anyhow::Result<()> {
    output::say(format_args!(
        "\nSimulated: {} of the busiest hour, {} nodes, seed {}",
        in_seconds(scenario.seconds),
        scenario.nodes,
        scenario.seed
    ))?;
    line(
        "photos",
        format_args!(
            "{} came, {} answered, {} a second",
            report.begun,
            report.answered,
            in_words(report.answered_per_second)
        ),
    )?;
    for (name, times) in [
        ("answer, as seen", &report.answer_seconds),
        ("of it, the servers", &report.server_seconds),
        ("processed after", &report.processed_after_seconds),
    ] {
        if times.samples > 0 {
            let [p50, p95, p99, max] = [times.p50, times.p95, times.p99, times.max].map(in_seconds);
            line(name, format_args!("p50 {p50}, p95 {p95}, p99 {p99}, longest {max}"))?;
        }
    }
    line(
        "refused or cut",
        format_args!(
            "{} times 503, {} times cut off; {} photos stayed with their clients, {} are still on their way",
            report.refused, report.cut, report.given_up, report.unfinished
        ),
    )?;
    line(
        "cores",
        format_args!(
            "{:.0} % uploads, {:.0} % decoding; database {:.0} %",
            report.cores_used_by_uploads * 100.0,
            report.cores_used_by_decoding * 100.0,
            report.database_cores_used * 100.0
        ),
    )?;
    if report.commits > 0 {
        line("commits", format_args!("{} for {} writes", report.commits, report.writes))?;
    }
    output::say(format_args!(
        "  {:>9} {:>5} {:>9} {:>8} {:>9} {:>5} {:>5} {:>8} {:>8} {:>6}",
        "at", "nodes", "answered", "refused", "under way", "core", "disk", "catalog", "backlog", "busy"
    ))?;
    for moment in &report.timeline {
        output::say(format_args!(
            "  {:>9} {:>5} {:>9} {:>8} {:>9} {:>5} {:>5} {:>8} {:>8} {:>4.0} %",
            in_seconds(moment.at),
            moment.nodes,
            moment.answered,
            moment.refused,
            moment.in_flight,
            moment.waiting_for_core,
            moment.waiting_for_disk,
            moment.waiting_for_catalog,
            moment.backlog,
            moment.cores_busy * 100.0
        ))?;
    }
    Ok(())
}
