//! Runs a command beside real engines, which it starts on free ports of this machine and stops again.
//!
//!     with-engines [--postgres] [--mariadb] [--s3] [--redis] -- COMMAND ...
//!
//! The command finds them in its environment, under the names of `testkit::matrix`. Exits as the command does; 77 where
//! an engine is not installed, 2 for a wrong command line.
#![allow(clippy::print_stdout, reason = "tells what it lacks")]

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use testkit::matrix;
use testkit::rig::engine::LOOPBACK;
use testkit::rig::garage::{self, Garage};
use testkit::rig::mariadb::{self, MariaDb};
use testkit::rig::postgres::{self, Postgres};
use testkit::rig::redis::{self, Redis};
use testkit::rig::{Need, cleanup};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(at) = words.iter().position(|word| word == "--").filter(|at| at + 1 < words.len()) else {
        eprintln!("with-engines [--postgres] [--mariadb] [--s3] [--redis] -- COMMAND ...");
        return ExitCode::from(2);
    };
    let (engines, command) = (&words[..at], &words[at + 1..]);
    let mut needs: Vec<Need> = Vec::new();
    for engine in engines {
        match engine.as_str() {
            "--postgres" => needs.push(postgres::NEED),
            "--mariadb" => needs.push(mariadb::NEED),
            "--s3" => needs.push(garage::NEED),
            "--redis" => needs.push(redis::NEED),
            other => {
                eprintln!("with-engines: unknown option {other}: --postgres, --mariadb, --s3, --redis");
                return ExitCode::from(2);
            }
        }
    }
    if let Some(what) = needs.into_iter().find_map(Need::missing) {
        println!("with-engines: not run, it lacks {what}");
        return ExitCode::from(77);
    }
    match run(engines, command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with-engines: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(engines: &[String], words: &[String]) -> Result<u8> {
    cleanup::on_signals()?;
    let wants = |name: &str| engines.iter().any(|engine| engine == name);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    // No fsync: nothing is cut off here, and hundreds of databases are made. Every test's server has connections.
    let settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=800"];
    let postgres = if wants("--postgres") { Some(Postgres::start_on(LOOPBACK, &settings)?) } else { None };
    let settings = ["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--innodb-buffer-pool-size=64M"];
    let mariadb = if wants("--mariadb") { Some(MariaDb::start_with(&settings)?) } else { None };
    let garage = if wants("--s3") { Some(Garage::start()?) } else { None };
    let redis = if wants("--redis") { Some(Redis::start()?) } else { None };
    if let Some(postgres) = &postgres {
        command.env(matrix::RECORDS, "postgres").env(matrix::POSTGRES_URL, postgres.url("postgres"));
    }
    if let Some(mariadb) = &mariadb {
        command.env(matrix::MARIADB_URL, mariadb.url("mysql"));
    }
    if let Some(garage) = &garage {
        let bucket = garage.bucket();
        command.env(matrix::BLOBS, "s3").env(matrix::S3_ENDPOINT, garage.endpoint());
        command.env(matrix::S3_REGION, &bucket.region).env(matrix::S3_URL, format!("s3://{}", bucket.name));
        command.env(matrix::S3_KEY, &bucket.access_key_id);
        command.env(matrix::S3_SECRET, &bucket.secret_access_key);
    }
    if let Some(redis) = &redis {
        command.env(matrix::REDIS_URL, redis.url());
    }
    let status = command.status().with_context(|| format!("running {}", words[0]))?;
    Ok(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1))
}
