//! `filmgate host`: what of the app's database fits the configuration.

use std::process::ExitCode;

use anyhow::ensure;
use clap::Subcommand;
use host::check::{Level, Uses};
use host::{Error, Host};

use super::{Common, output};
use crate::app_database::options;

/// It fits; it does not; nobody knows.
const MISFIT: u8 = 1;
const AWAY: u8 = 2;

#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
    /// Read the app's tables and say what fits and what is missing, with the setting to change; exit status 0 where all
    /// fits, 1 where something does not, 2 where the database is away
    Check,
}

pub(super) async fn run(command: HostCommand, common: &Common) -> anyhow::Result<ExitCode> {
    let HostCommand::Check = command;
    let config = common.load(Vec::new())?.host;
    ensure!(!config.database_url.is_empty(), "host.database_url is empty: there is no app's database to look at");
    let uses = Uses { has_captures: !config.captures_table.is_empty(), writes: config.write_captures };
    let host = Host::new(options(&config))?;
    let checked = host.check(uses).await;
    host.close().await;
    let report = match checked {
        Ok(report) => report,
        Err(error @ Error::Unavailable(_)) => {
            eprintln!("filmgate: {error}; look at host.database_url");
            return Ok(ExitCode::from(AWAY));
        }
        Err(error) => return Err(error.into()),
    };
    if common.json {
        output::many(true, &report.findings, &[])?;
    } else {
        for finding in &report.findings {
            let mark = match finding.level {
                Level::Good => "  ok  ",
                Level::Warning => " warn ",
                Level::Bad => " BAD  ",
            };
            let setting = finding.setting.map(|setting| format!(" [{setting}]")).unwrap_or_default();
            output::say(format_args!("[{mark}] {}{setting}", finding.what))?;
        }
    }
    Ok(ExitCode::from(if report.fits() { 0 } else { MISFIT }))
}
