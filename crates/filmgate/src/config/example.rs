//! `filmgate.example.toml`: every setting, explained, with its default.
//!
//! Promises that uncommenting any line gives a file that loads, with the meaning it had before. Prose
//! begins with `# `, a setting with `#` alone; that is what tells them apart.

use super::declare::{KEYS, Key};
use super::settings::{Config, SECTIONS};
use super::values::{Shape, group_digits};

const HEAD: &str = "\
# Filmgate's settings: all of them, each with its default.
#
# Copy it to filmgate.toml in the directory the server is started in, or name the copy with
# --config FILE. To change a setting, remove the # before it. Nothing has to be set.
#
# Where a value comes from, strongest first:
#   1. a flag of the command line
#   2. an environment variable, FILMGATE__SECTION__KEY, lists separated by commas:
#        FILMGATE__SERVER__LISTEN=0.0.0.0:8080
#        FILMGATE__DATA_DIR=/srv/filmgate            (the one key without a section)
#   3. this file
#   4. the default
#
# A secret can stand in a file of its own: KEY_file = \"path\" here, or FILMGATE__SECTION__KEY_FILE.
#
# `filmgate config check` names every mistake at once. `filmgate config show` lists every value
# and where it comes from.
";

/// The whole example file.
pub fn example_toml() -> String {
    let defaults = Config::default();
    let mut lines = vec![HEAD.to_owned()];
    for key in KEYS.iter().filter(|key| key.section.is_empty()) {
        lines.extend(entry(key, &defaults));
    }
    for section in SECTIONS {
        lines.extend([String::new(), format!("# {}", "─".repeat(98))]);
        lines.extend(prose(section.docs));
        lines.extend([format!("[{}]", section.name), String::new()]);
        for key in KEYS.iter().filter(|key| key.section == section.name) {
            lines.extend(entry(key, &defaults));
        }
    }
    lines.join("\n")
}

fn prose(docs: &[&str]) -> impl Iterator<Item = String> {
    docs.iter().map(|line| format!("#{line}").trim_end().to_owned())
}

/// A setting: what it is, what it may be, and itself.
fn entry(key: &Key, defaults: &Config) -> Vec<String> {
    let mut lines: Vec<String> = prose(key.docs).collect();
    if matches!(key.shape, Shape::Number)
        && let Some(allowed) = (key.allowed)()
    {
        lines.push(format!("# From {allowed}."));
    }
    let note = (key.number)(defaults).and_then(|number| in_words(key.name, number));
    let note = note.map(|note| format!("  # {note}")).unwrap_or_default();
    lines.extend([format!("#{} = {}{note}", key.name, key.toml(defaults)), String::new()]);
    lines
}

/// `30_000` milliseconds as `30 s`, `268_435_456` bytes as `256 MiB`; none where it adds nothing.
fn in_words(name: &str, number: u64) -> Option<String> {
    const TIMES: [(u64, &str); 3] = [(3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    const SIZES: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let is_size = name.split('_').any(|word| word == "bytes");
    let units: &[(u64, &str)] = if name.ends_with("_ms") {
        &TIMES
    } else if is_size {
        &SIZES
    } else {
        &[]
    };
    let (unit, word) = units.iter().find(|(unit, _)| number >= *unit && number.is_multiple_of(*unit))?;
    Some(format!("{} {word}", group_digits(&(number / unit).to_string())))
}
