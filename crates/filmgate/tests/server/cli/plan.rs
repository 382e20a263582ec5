//! `filmgate plan`.

use std::fs;

use serde_json::Value;

use crate::support::filmgate;

fn json(args: &[&str]) -> (i32, Value) {
    let ran = filmgate(&[&["plan", "--json"], args].concat());
    assert_eq!(ran.err, "", "{args:?}");
    (ran.status, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn the_same_question_has_the_same_answer() {
    let ask =
        |seed| filmgate(&["plan", "--captures-per-day", "1M", "--nodes", "2", "--simulate", "20s", "--seed", seed]).out;
    assert_eq!(ask("1"), ask("1"));
    assert_ne!(ask("1"), ask("2"));
}

#[test]
fn units_mean_what_they_say() {
    let (_, plain) = json(&["--captures-per-day", "1000000", "--photo-bytes", "120000", "--peak-factor", "0.15"]);
    let (_, worded) = json(&["--captures-per-day", "1M", "--photo-bytes", "120KB", "--peak-factor", "15%"]);
    assert_eq!(plain, worded);
    let (_, users) = json(&["--users", "500", "--interval", "500ms"]);
    assert_eq!(users["plan"]["arrivals"]["per_second_peak"], 1000.0);
}

#[test]
fn a_load_that_is_not_carried_ends_with_one_and_says_why() {
    let ran = filmgate(&["plan", "--captures-per-day", "100M", "--catalog", "sqlite", "--store", "folder"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("Does NOT carry it: "), "{}", ran.out);
    assert!(ran.out.contains("filmgate migrate --to postgres://"), "{}", ran.out);
    let (status, answer) = json(&["--captures-per-day", "100M", "--catalog", "sqlite", "--store", "folder"]);
    assert_eq!((status, &answer["plan"]["nodes"]["carries"]), (1, &Value::Bool(false)));
}

#[test]
fn mistakes_are_named_and_end_with_two() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("wrong.toml");
    fs::write(&file, "[fsync_sm]\nvalue = 4\n").unwrap();
    let file = file.to_str().unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&[], "say how much comes: --captures-per-day COUNT, or --users COUNT"),
        (&["--captures-per-day", "many"], "'many' is not a count such as 10000, 10k or 1M"),
        (&["--captures-per-day", "1M", "--users", "5"], "cannot be used with"),
        (&["--captures-per-day", "1M", "--peak-factor", "1%"], "at least 1/24 (4.2%)"),
        (&["--captures-per-day", "1M", "--burst", "300@5s"], "required"),
        (&["--captures-per-day", "1M", "--simulate", "1s", "--burst", "300"], "'300' is no class such as 300@30s"),
        (&["--captures-per-day", "1M", "--unit-costs", file], "fsync_sm"),
        (&["--captures-per-day", "1M", "--prices", file], "is no price list"),
    ];
    for (args, words) in cases {
        let ran = filmgate(&[&["plan"], args].concat());
        assert_eq!(ran.status, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
    }
}

#[test]
fn the_help_says_which_shapes_and_units_it_takes() {
    let help = filmgate(&["plan", "--help"]).out;
    for words in ["10Mbit/s", "15%", "300@30s", "docs/prices.example.toml", "--show-unit-costs", "default: 120KB"] {
        assert!(help.contains(words), "{words} is not in {help}");
    }
}

#[test]
fn its_own_unit_costs_can_be_printed_changed_and_given_back() {
    let place = tempfile::tempdir().unwrap();
    let printed = filmgate(&["plan", "--show-unit-costs"]).out;
    assert!(printed.contains("provenance = "), "{printed}");
    let file = place.path().join("own.toml");
    fs::write(&file, &printed).unwrap();
    let args = ["--captures-per-day", "1M", "--unit-costs", file.to_str().unwrap()];
    assert_eq!(json(&args), json(&args[..2]), "given back unchanged they change nothing");
    fs::write(&file, "[derivatives_bytes]\nvalue = 0\nsource = \"measured\"\nprovenance = \"none are made\"\n")
        .unwrap();
    assert_eq!(json(&args).1["plan"]["store"]["bytes_per_capture"], 120_000.0);
}

/// The planner is a room of its own and cannot see the settings; their defaults must not drift apart.
#[test]
fn its_limits_are_the_defaults_of_the_settings() {
    let (_, answer) = json(&["--captures-per-day", "1M"]);
    let limits = &answer["plan"]["load"]["limits"];
    let example = filmgate(&["config", "example"]).out;
    for (name, setting) in [
        ("uploads_in_flight_max", "uploads_in_flight_max"),
        ("bytes_in_flight_max", "bytes_in_flight_max"),
        ("connections_max", "connections_max"),
        ("disk_workers", "disk_workers"),
        ("commit_batch_max", "commit_batch_max"),
        ("key_keep_days", "idempotency_keep_days"),
    ] {
        let line = example.lines().find_map(|line| line.strip_prefix(&format!("#{setting} = ")));
        let value: f64 = line
            .and_then(|line| line.split_whitespace().next())
            .unwrap_or_else(|| panic!("{setting}"))
            .replace('_', "")
            .parse()
            .unwrap();
        assert!((limits[name].as_f64().unwrap() - value).abs() < 0.5, "{name}: {} is not {value}", limits[name]);
    }
}
