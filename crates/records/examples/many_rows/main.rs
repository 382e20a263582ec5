//! What ten million rows cost that ten thousand do not: the same work on a small and on a big catalog, in turns.
//!
//!     cargo run --release -p records --example many_rows -- [--catalog sqlite|postgres] [--postgres-url URL]
//!         [--rows 10000000] [--rounds 7] [--operations 400] [--ratio-max 1.2] [--keep FOLDER] [--durable]
//!
//! Makes both catalogs (`rows.rs`, `load.rs`), works with one and the other a few operations at a time, and compares the
//! CPU time of an operation: this process's, and with PostgreSQL its server's for this catalog as well, read from
//! `/proc`, so that the server must run on this machine. Exits with 1 where an operation's ratio is above the limit.
//!
//! **CPU and not time on the clock** is judged: it is what a node runs out of, and what a busy machine measures alike.
//! Each round compares what was done within the same second; the median of the rounds counts, and the lowest and the
//! highest are shown.
//!
//! Nothing is fsynced in either catalog, unless `--durable`: an fsync costs the same time whatever the number of rows.
//! `--keep` leaves the catalogs for the next run: files in FOLDER, databases on their server.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss)]

mod cost;
mod load;
mod rows;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use records::{CatalogOptions, PostgresOptions, Records, Sync};

use crate::cost::{Cost, Meter};
use crate::rows::Plan;
use crate::work::{Operation, Subject};

/// How many rows the small catalog has.
const SMALL: u64 = 10_000;
/// A round is cut into so many turns: whatever else the machine does meets both catalogs alike.
const TURNS: usize = 10;

struct Options {
    postgres_url: Option<String>,
    rows: u64,
    rounds: usize,
    operations: usize,
    ratio_max: f64,
    keep: Option<PathBuf>,
    sync: Sync,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        postgres_url: None,
        rows: 10_000_000,
        rounds: 7,
        operations: 400,
        ratio_max: 1.2,
        keep: None,
        sync: Sync::Relaxed,
    };
    let (mut catalog, mut url) = ("sqlite".to_owned(), std::env::var("FILMGATE_TEST_POSTGRES_URL").ok());
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let wrong = |_| format!("{word} wants a number");
        match word.as_str() {
            "--catalog" => catalog = value()?,
            "--postgres-url" => url = Some(value()?),
            "--rows" => options.rows = value()?.parse().map_err(wrong)?,
            "--rounds" => options.rounds = value()?.parse().map_err(wrong)?,
            "--operations" => options.operations = value()?.parse().map_err(wrong)?,
            "--ratio-max" => options.ratio_max = value()?.parse().map_err(|_| "--ratio-max wants a number")?,
            "--keep" => options.keep = Some(value()?.into()),
            "--durable" => options.sync = Sync::Durable,
            _ => return Err(format!("unknown option {word}")),
        }
    }
    if options.rows < SMALL || options.rounds == 0 || options.operations < TURNS {
        return Err(format!("at least {SMALL} rows, one round and {TURNS} operations"));
    }
    options.postgres_url = match catalog.as_str() {
        "sqlite" => None,
        "postgres" => Some(url.ok_or("--catalog postgres wants --postgres-url, or FILMGATE_TEST_POSTGRES_URL")?),
        other => return Err(format!("unknown catalog {other}: sqlite or postgres")),
    };
    Ok(options)
}

fn main() -> ExitCode {
    match options() {
        Ok(options) => {
            cost::stay_here();
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(options))
        }
        Err(error) => {
            eprintln!("many_rows: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> ExitCode {
    let temporary = options.keep.is_none().then(|| tempfile::tempdir().unwrap());
    let folder = options.keep.clone().unwrap_or_else(|| temporary.as_ref().unwrap().path().to_owned());
    let mut subjects = Vec::new();
    for rows in [SMALL, options.rows] {
        let began = Instant::now();
        let (records, meter) = open(&options, &folder, rows).await;
        println!("{rows} captures are there after {:.0} s", began.elapsed().as_secs_f64());
        subjects.push((Subject::of(records, &Plan::of(rows)).await, meter));
    }
    let too_dear = compare(&options, &subjects).await;
    for (subject, _) in subjects {
        subject.records.close().await;
    }
    if let Some(url) = options.postgres_url.filter(|_| options.keep.is_none()) {
        for rows in [SMALL, options.rows] {
            load::postgres::remove(&url, rows).await;
        }
    }
    if too_dear.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("more than {} times as dear: {}", options.ratio_max, too_dear.join(", "));
    ExitCode::FAILURE
}

/// A catalog of so many captures, made where it is not there.
async fn open(options: &Options, folder: &Path, rows: u64) -> (Records, Meter) {
    let plan = Plan::of(rows);
    let catalog = CatalogOptions { sync: options.sync, ..CatalogOptions::default() };
    let Some(url) = &options.postgres_url else {
        let file = load::sqlite::make(folder, &plan).await;
        return (Records::open(&file, &catalog).unwrap(), Meter::alone());
    };
    let server = PostgresOptions {
        url: load::postgres::make(url, &plan).await,
        tls_ca_pem: None,
        connections_max: 4,
        unavailable_after: Duration::from_secs(5),
    };
    let records = Records::open_postgres(&server, &catalog).await.unwrap();
    (records, Meter::with_backends(&server.url).await)
}

/// Works with both in turns, and prints what it cost; the operations whose ratio is above the limit.
async fn compare(options: &Options, subjects: &[(Subject, Meter)]) -> Vec<&'static str> {
    let [small, big] = subjects else { panic!("two catalogs") };
    // Statements prepared, connections open, and the pages that are asked for read once.
    for (subject, _) in subjects {
        for operation in Operation::ALL {
            for _ in 0..operation.warm_up() {
                subject.run(operation).await;
            }
        }
    }
    let (rounds, operations) = (options.rounds, options.operations / TURNS * TURNS);
    println!(
        "\n{rounds} rounds of {operations} operations each, {}; CPU and time in microseconds for one",
        if options.sync == Sync::Relaxed { "without fsync" } else { "with fsync" },
    );
    println!(
        "{:<30} {:>9} {:>9} {:>6} {:>12} {:>9} {:>9} {:>6}",
        "operation", "CPU small", "CPU big", "ratio", "low - high", "time small", "time big", "ratio"
    );
    let mut costs = vec![Vec::new(); Operation::ALL.len()];
    for round in 0..rounds {
        for (operation, costs) in Operation::ALL.into_iter().zip(&mut costs) {
            let mut cost = [Cost::default(); 2];
            for turn in 0..TURNS {
                // Nobody is always the first.
                let first = (round + turn) % 2;
                for which in [first, 1 - first] {
                    let (subject, meter) = if which == 0 { small } else { big };
                    let before = meter.begin().await;
                    for _ in 0..operations / TURNS {
                        subject.run(operation).await;
                    }
                    cost[which] += meter.end().await - before;
                }
            }
            costs.push(cost.map(|cost| cost / operations as f64));
        }
    }
    let mut too_dear = Vec::new();
    for (operation, costs) in Operation::ALL.into_iter().zip(&costs) {
        let of = |figure: &dyn Fn(&[Cost; 2]) -> f64| {
            let mut figures: Vec<f64> = costs.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
        };
        let (ratio, low, high) = of(&|[small, big]| big.cpu_us / small.cpu_us);
        println!(
            "{:<30} {:>9.1} {:>9.1} {ratio:>6.2} {:>12} {:>10.1} {:>8.1} {:>6.2}{}",
            operation.name(),
            of(&|cost| cost[0].cpu_us).0,
            of(&|cost| cost[1].cpu_us).0,
            format!("{low:.2} - {high:.2}"),
            of(&|cost| cost[0].clock_us).0,
            of(&|cost| cost[1].clock_us).0,
            of(&|[small, big]| big.clock_us / small.clock_us).0,
            if operation.is_judged() { "" } else { "  (not judged)" },
        );
        if operation.is_judged() && ratio > options.ratio_max {
            too_dear.push(operation.name());
        }
    }
    too_dear
}
