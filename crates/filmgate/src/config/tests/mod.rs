//! One rig for all: a folder of its own, a file, variables and flags in, settings or messages out.

mod buckets;
mod layers;
mod names;
mod providers;
mod relations;
mod secrets;
mod texts;
mod values;
mod whole;

use std::fs;

use super::{Config, report};

/// What a server is started with. No file at all where `file` is empty.
#[derive(Default, Clone, Copy)]
struct Input<'a> {
    file: &'a str,
    env: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
    /// Further files, by name; `DIR/` in texts stands for their folder.
    beside: &'a [(&'a str, &'a str)],
}

fn file(text: &str) -> Input<'_> {
    Input { file: text, ..Input::default() }
}

/// Loads it; messages name the folder as `DIR/`.
fn load(input: Input<'_>) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let folder = format!("{}/", dir.path().display());
    let here = |text: &str| text.replace("DIR/", &folder);
    for (name, text) in input.beside {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let path = dir.path().join("filmgate.toml");
    let path = (!input.file.is_empty()).then(|| {
        fs::write(&path, here(input.file)).unwrap();
        path.as_path()
    });
    let flags: Vec<(&str, String)> = input.flags.iter().map(|(key, text)| (*key, here(text))).collect();
    let env = input.env.iter().map(|(name, text)| ((*name).to_owned(), here(text)));
    Config::load(path, &flags, env).map_err(|problems| problems.to_string().replace(&folder, "DIR/"))
}

/// The messages without the line that counts them, or "fine". The file is `FILE` in them.
fn messages(input: Input<'_>) -> String {
    match load(input) {
        Ok(_) => "fine".to_owned(),
        Err(text) => text.split_once('\n').unwrap().1.replace("DIR/filmgate.toml", "FILE"),
    }
}

/// Exactly these problems, in this order. Indentation does not count.
#[track_caller]
fn check(input: Input<'_>, expect: &str) {
    let flush = |text: &str| text.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let said = flush(&messages(input));
    assert_eq!(said, flush(expect), "\n{} {:?} {:?}\n{said}", input.file, input.env, input.flags);
}

/// The value and the source of a key, as the report shows them.
fn shown(config: &Config, key: &str) -> String {
    let report = report(config);
    let line = report.lines.iter().find(|line| line.key == key).unwrap();
    let source = line.source.to_string();
    format!("{} from {}", line.value, source.rsplit('/').next().unwrap())
}

/// One setting from one layer.
enum One<'a> {
    File(&'a str),
    Env(&'a str, &'a str),
    Flag(&'a str, &'a str),
}

/// [`check`] for a table of settings, each alone.
#[track_caller]
fn check_all(cases: &[(One<'_>, &str)]) {
    for (one, expect) in cases {
        match *one {
            One::File(text) => check(file(text), expect),
            One::Env(name, text) => check(Input { env: &[(name, text)], ..Input::default() }, expect),
            One::Flag(key, text) => check(Input { flags: &[(key, text)], ..Input::default() }, expect),
        }
    }
}
