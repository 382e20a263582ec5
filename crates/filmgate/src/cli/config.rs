//! `filmgate config`

use std::process::ExitCode;

use clap::Subcommand;

use super::Common;
use crate::config::{ConfigProblems, example_toml, report};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say what is wrong with the configuration, and where; exit status 0 where it is right, 1 where not
    Check,
    /// Show every setting in force and where it comes from; secrets are not shown
    Show,
    /// Print a commented example with every setting and its default
    Example,
}

pub(super) fn run(command: ConfigCommand, common: &Common) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check => match common.load(Vec::new()) {
            Ok(_) => {
                println!("the configuration is right");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) if error.is::<ConfigProblems>() => {
                println!("{error}");
                Ok(ExitCode::FAILURE)
            }
            Err(error) => Err(error),
        },
        ConfigCommand::Show => {
            print!("{}", report(&common.load(Vec::new())?));
            Ok(ExitCode::SUCCESS)
        }
        ConfigCommand::Example => {
            print!("{}", example_toml());
            Ok(ExitCode::SUCCESS)
        }
    }
}
