//! `filmgate tune`: what it says, and not how quick the disk of the tests is.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Ran, filmgate};

fn tune(data: &Path, args: &[&str]) -> Ran {
    filmgate(&[&["tune", "--disk-time", "20ms", "--data", data.to_str().unwrap()], args].concat())
}

fn json(data: &Path, args: &[&str]) -> (i32, Value) {
    let ran = tune(data, &[args, &["--json"]].concat());
    assert_eq!(ran.err, "", "{args:?}");
    (ran.status, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn measures_the_machine_and_makes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("not yet");
    let (status, answer) = json(&data, &["--users", "2", "--interval", "10s", "--processing", "off"]);
    let machine = &answer["machine"];
    let writers: Vec<f64> =
        machine["syncs"].as_array().unwrap().iter().map(|rate| rate["writers"].as_f64().unwrap()).collect();
    assert_eq!(writers, [1.0, 4.0, 16.0, 64.0]);
    for rate in machine["syncs"].as_array().unwrap() {
        assert!(rate["per_second"].as_f64().unwrap() > 0.0 && rate["p99_ms"].as_f64() >= rate["median_ms"].as_f64());
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(machine["cores"], f64::from(u32::try_from(cores).unwrap()));
    assert!(machine["memory_bytes"].as_f64().unwrap() > 1e8 && machine["descriptors"].as_f64().unwrap() > 100.0);
    assert_eq!((status, &answer["one"]["plan"]["nodes"]["carries"]), (0, &Value::Bool(true)), "{}", answer["one"]);
    let plan = &answer["one"]["plan"];
    assert_eq!(plan["load"]["node_cores"], machine["cores"]);
    assert_eq!(plan["load"]["limits"]["uploads_in_flight_max"], 12_000.0);
    assert!(fs::read_dir(place.path()).unwrap().next().is_none(), "it looks and leaves nothing");
}

#[test]
fn says_of_each_figure_where_it_comes_from() {
    let place = tempfile::tempdir().unwrap();
    let (_, answer) = json(place.path(), &["--users", "300"]);
    let of = |what: &str| {
        let lines = answer["provenance"].as_array().unwrap();
        lines.iter().find(|line| line["what"] == what).unwrap_or_else(|| panic!("nothing of {what} in {lines:?}"))
    };
    assert_eq!(of("disk")["source"], "measured here");
    assert!(of("disk")["how"].as_str().unwrap().contains(place.path().to_str().unwrap()));
    assert_eq!(of("processor of an upload")["source"], "measured elsewhere");
    assert_eq!(of("speed of a core")["source"], "assumed");
    assert_eq!(of("gthread")["source"], "given");
    assert!(of("unit costs")["how"].as_str().unwrap().contains("s3_put_ms"));
    let own = json(place.path(), &["--users", "300", "--core-speed", "2"]).1;
    let line = own["provenance"].as_array().unwrap().iter().find(|line| line["what"] == "speed of a core").unwrap();
    assert_eq!(line["source"], "given");
}

#[test]
fn its_settings_are_a_file_that_loads() {
    let place = tempfile::tempdir().unwrap();
    let loads: [&[&str]; 4] = [
        &["--users", "2"],
        &["--users", "5000", "--slow-share", "50%", "--slow-upload-seconds", "5min", "--interval", "1min"],
        &["--users", "10", "--photo", "400MB", "--interval", "5min", "--upload-seconds", "60"],
        &["--users", "300", "--nodes", "12", "--processing", "off"],
    ];
    for load in loads {
        let answer = json(place.path(), load).1;
        for house in ["one", "several"] {
            let text = answer[house]["toml"].as_str().unwrap();
            let file = place.path().join("filmgate.toml");
            fs::write(&file, text).unwrap();
            let checked = filmgate(&["config", "check", "--config", file.to_str().unwrap()]);
            assert_eq!(checked.status, 0, "{load:?}: {text}\n{checked:?}");
            let shown = filmgate(&["config", "show", "--json", "--config", file.to_str().unwrap()]).out;
            for setting in answer[house]["settings"].as_array().unwrap() {
                let lines = super::json_lines(&shown);
                let line = lines.iter().find(|line| line["key"] == setting["key"]).unwrap();
                assert_eq!(line["value"], setting["value"], "{text}");
                assert_ne!(setting["value"], setting["default"], "only what differs");
                assert!(!setting["why"].as_str().unwrap().is_empty(), "{setting}");
            }
            let set = text.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count();
            assert_eq!(set, answer[house]["settings"].as_array().unwrap().len(), "{text}");
        }
    }
}

#[test]
fn a_thread_held_for_the_whole_upload_is_the_originals_end() {
    let place = tempfile::tempdir().unwrap();
    let (status, answer) =
        json(place.path(), &["--users", "300", "--slow-share", "100%", "--slow-upload-seconds", "100"]);
    let gthread = &answer["gthread"];
    // 300 a second for 100 s and 4.1 ms of processor each.
    assert!((gthread["threads_held"].as_f64().unwrap() - 30_001.23).abs() < 1e-6, "{gthread}");
    assert_eq!(gthread["original"]["answers"], false);
    assert_eq!((&gthread["original"]["workers"], &gthread["original"]["threads"]), (&6.into(), &16.into()));
    assert!(gthread["workers_needed"].as_u64().unwrap() >= 30_001 / 16, "{gthread}");
    assert_eq!(status, 1, "and this is more than one machine is let in by its settings or memory");
    let words = tune(place.path(), &["--users", "300", "--slow-share", "100%", "--slow-upload-seconds", "100"]);
    assert!(words.out.contains("the original's 6 x 16") && words.out.contains("no page is answered"), "{}", words.out);
}

#[test]
fn people_are_told_what_holds_and_what_breaks_first() {
    let place = tempfile::tempdir().unwrap();
    let ran = tune(place.path(), &["--users", "100000"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    for words in [
        "This machine, as measured",
        "syncs, 16 at once",
        "takes the photos in     NO\n",
        "breaks first",
        "filmgate.toml",
        "with PostgreSQL and S3",
        "Where the figures come from",
        "#url = \"s3://BUCKET\"",
    ] {
        assert!(ran.out.contains(words), "{words} is not in {}", ran.out);
    }
    assert!(ran.out.lines().all(|line| line.chars().count() < 250), "{}", ran.out);
    // Alone, and only alone.
    let alone = tune(place.path(), &["--users", "1", "--interval", "1min", "--nodes", "1"]);
    assert!(!alone.out.contains("PostgreSQL and S3"), "{}", alone.out);
}

#[test]
fn mistakes_are_named_and_end_with_two() {
    let place = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&[], "--users <COUNT>"),
        (&["--users", "many"], "'many' is not a count such as 10000, 10k or 1M"),
        (&["--users", "0"], "there must be captures to plan for"),
        (&["--users", "3", "--interval", "0s"], "the interval must be above zero"),
        (&["--users", "3", "--photo", "0"], "a photo has bytes"),
        (&["--users", "3", "--nodes", "0"], "without a node nothing is stored"),
        (&["--users", "3", "--upload-seconds", "0"], "must be above zero"),
        (&["--users", "3", "--upload-seconds=-1"], "'-1' is not a time"),
        (&["--users", "3", "--slow-upload-seconds", "9"], "--slow-share says that there are none"),
        (&["--users", "3", "--disk-time", "2h"], "more than enough"),
    ];
    for (args, words) in cases {
        let ran = filmgate(&[&["tune", "--data", place.path().to_str().unwrap()], args].concat());
        assert_eq!(ran.status, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(words) && !ran.err.contains("panicked"), "{args:?}: {}", ran.err);
    }
}
