//! The command line: every command beside a running server and without one.

mod backup;
mod commands;
mod config;
mod doctor;
mod folder;
mod fsck;
mod health;
mod plan;
mod tune;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::Server;

use crate::support::{Ran, filmgate, program_on, ran};

/// Commands on one data folder, and which of them were run.
struct Commands {
    data: PathBuf,
    envs: Vec<(String, String)>,
    run: BTreeSet<String>,
}

impl Commands {
    fn on(data: &Path) -> Self {
        Self { data: data.to_owned(), envs: Vec::new(), run: BTreeSet::new() }
    }

    /// On a folder that holds all of it, as a backup does, whatever the suite runs on.
    fn embedded(data: &Path) -> Self {
        let nowhere_else = ["FILMGATE__RECORDS__URL", "FILMGATE__BLOBS__URL"];
        let envs = nowhere_else.map(|name| (name.to_owned(), String::new())).to_vec();
        Self { envs, ..Self::on(data) }
    }

    /// On a server's folder, with what tells where its photos are.
    fn of(server: &Server) -> Self {
        Self { envs: server.photo_envs(), ..Self::on(server.data()) }
    }

    /// Runs a command; its words come before its first flag or value.
    fn run(&mut self, command: &str, args: &[&str]) -> Ran {
        self.run.insert(command.to_owned());
        let data = self.data.to_str().unwrap().to_owned();
        let words: Vec<&str> = command.split(' ').chain(args.iter().copied()).chain(["--data", &data]).collect();
        let envs = self.envs.iter().map(|(name, value)| (name, value));
        ran(program_on(&self.data).args(words).envs(envs))
    }

    /// Runs a command that must succeed; each line of its JSON.
    #[track_caller]
    fn lines(&mut self, command: &str, args: &[&str]) -> Vec<Value> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let ran = self.run(command, &args);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""), "{command} {args:?}: {ran:?}");
        json_lines(&ran.out)
    }

    /// As [`lines`](Self::lines), for what prints one.
    #[track_caller]
    fn one(&mut self, command: &str, args: &[&str]) -> Value {
        let mut lines = self.lines(command, args);
        assert_eq!(lines.len(), 1, "{command}");
        lines.remove(0)
    }

    /// Runs a command that must fail, with exit status 2 and these words on standard error.
    #[track_caller]
    fn fails(&mut self, command: &str, args: &[&str], words: &str) {
        let ran = self.run(command, args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{command} {args:?}: {ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains("panicked"), "{command} {args:?}: {}", ran.err);
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The names of the commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command that does something, as the program's own help lists them.
fn every_command() -> BTreeSet<String> {
    let mut commands = BTreeSet::new();
    for name in listed(&filmgate(&["--help"]).out) {
        let below = listed(&filmgate(&[&name, "--help"]).out);
        if below.is_empty() {
            commands.insert(name);
        } else {
            commands.extend(below.into_iter().map(|below| format!("{name} {below}")));
        }
    }
    commands
}

#[test]
fn every_command_says_what_it_does() {
    let commands = every_command();
    assert!(commands.len() >= 25, "{commands:?}");
    for command in &commands {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = filmgate(&words);
        assert_eq!((help.status, help.err.as_str()), (0, ""), "{command}");
        assert!(help.out.contains(&format!("Usage: filmgate {command}")), "{}", help.out);
        assert!(!help.out.starts_with("Usage"), "{command} begins with what it does");
    }
    println!("{} commands", commands.len());
}

#[test]
fn what_is_no_command_ends_with_2_and_a_hint() {
    let cases: [(&[&str], &str); 6] = [
        (&[], "Usage:"),
        (&["nonsense"], "unrecognized subcommand"),
        (&["user"], "Usage:"),
        (&["user", "list", "--nonsense"], "unexpected argument"),
        (&["session", "show", "x"], "invalid value 'x'"),
        (&["user", "list", "--set", "data_dir"], "--set takes KEY=VALUE"),
    ];
    for (args, words) in cases {
        let ran = filmgate(args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
    }
    println!("{} wrong command lines", cases.len());
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    for args in [["config", "show"], ["config", "example"], ["config", "check"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filmgate"));
        let mut child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(0), String::new()));
    }
}

#[test]
fn the_version() {
    let version = ran(Command::new(env!("CARGO_BIN_EXE_filmgate")).arg("--version"));
    assert_eq!(version.out, format!("filmgate {}\n", env!("CARGO_PKG_VERSION")));
}
