//! `filmgate config`.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::json_lines;
use crate::support::{Ran, filmgate, ran};

type Args<'a> = &'a [&'a str];
type Env<'a> = &'a [(&'a str, &'a str)];

fn with_env(args: Args, env: Env) -> Ran {
    ran(Command::new(env!("CARGO_BIN_EXE_filmgate")).args(args).envs(env.iter().copied()))
}

/// Checks a configuration by words and by JSON; what it said.
#[track_caller]
fn check(args: Args, env: Env, status: i32) -> String {
    let args = [&["config", "check"], args].concat();
    let words = with_env(&args, env);
    assert_eq!((words.status, words.err.as_str()), (status, ""), "{args:?} {env:?}: {words:?}");
    let json = with_env(&[args.as_slice(), &["--json"]].concat(), env);
    let answer = &json_lines(&json.out)[0];
    assert_eq!((json.status, &answer["right"]), (status, &json!(status == 0)));
    for problem in answer["problems"].as_array().unwrap() {
        let whole = format!("{}: {}", problem["place"].as_str().unwrap(), problem["what"].as_str().unwrap());
        assert!(words.out.contains(&whole), "{whole} is not in {}", words.out);
    }
    words.out
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.toml", "[ingest]\ndisk_workers = 4\n");
    let unknown = file("unknown.toml", "[ingest]\n\ndisk_worker = 4\n");
    let no_toml = file("none.toml", "[ingest\n");
    let right: [(Args, Env); 4] = [
        (&[], &[]),
        (&["--config", &good], &[]),
        (&["--set", "server.listen=0.0.0.0:80"], &[]),
        (&[], &[("FILMGATE__LOG__FORMAT", "json")]),
    ];
    for (args, env) in right {
        assert_eq!(check(args, env, 0), "the configuration is right\n", "{args:?}");
    }
    let wrong: [(Args, Env, &str); 8] = [
        (&["--config", &unknown], &[], "unknown.toml:3:1: "),
        (&["--config", &no_toml], &[], "none.toml:"),
        (&["--config", "nothing.toml"], &[], "nothing.toml: cannot be read"),
        (&["--set", "ingest.disk_workers=0"], &[], "flag ingest.disk_workers: "),
        (&["--set", "ingest.disk_workers=many"], &[], "flag ingest.disk_workers: "),
        (&["--set", "ingest.disk_worker=1"], &[], "did you mean ingest.disk_workers?"),
        (&[], &[("FILMGATE__LOG__FORMAT", "xml")], "environment FILMGATE__LOG__FORMAT: "),
        (&["--set", "server.tls_key_file=key.pem"], &[], "tls_certificate_file"),
    ];
    for (args, env, words) in wrong {
        let said = check(args, env, 1);
        assert!(said.contains(words), "{args:?} {env:?}: {said}");
    }
    // The server says the same and does not start.
    let refused = filmgate(&["serve", "--set", "ingest.disk_workers=0", "--data", place.path().to_str().unwrap()]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("flag ingest.disk_workers: "), "{}", refused.err);
    println!("{} right, {} wrong configurations", right.len(), wrong.len() + 1);
}

#[test]
fn the_example_is_a_configuration_with_and_without_its_comments() {
    let place = tempfile::tempdir().unwrap();
    let example = filmgate(&["config", "example"]).out;
    let settings: Vec<&str> =
        example.lines().filter_map(|line| line.strip_prefix('#')).filter(|line| !line.starts_with(' ')).collect();
    assert!(settings.len() > 40, "{example}");
    let uncommented: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => setting,
            _ => line,
        })
        .collect();
    for text in [example.clone(), uncommented.join("\n")] {
        let path = place.path().join("filmgate.toml");
        fs::write(&path, text).unwrap();
        check(&["--config", path.to_str().unwrap()], &[], 0);
    }
}

#[test]
fn show_names_every_setting_its_value_and_where_it_is_from() {
    let args = ["config", "show", "--set", "ingest.disk_workers=3", "--data", "elsewhere"];
    let env = [("FILMGATE__SERVER__TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8")];
    let words = with_env(&args, &env).out;
    let lines = json_lines(&with_env(&[args.as_slice(), &["--json"]].concat(), &env).out);
    assert_eq!(lines.len(), words.lines().count());
    let expected = [
        ("data_dir", json!("elsewhere"), "flag data_dir"),
        ("ingest.disk_workers", json!(3), "flag ingest.disk_workers"),
        (
            "server.trusted_proxies",
            json!(["127.0.0.1/32", "10.0.0.0/8"]),
            "environment FILMGATE__SERVER__TRUSTED_PROXIES",
        ),
        ("server.listen", json!("127.0.0.1:8080"), "default"),
        ("api.docs", json!(true), "default"),
    ];
    for (key, value, source) in &expected {
        let line = lines.iter().find(|line| line["key"] == *key).unwrap();
        assert_eq!((&line["value"], &line["source"]), (value, &json!(source)), "{key}");
        let mut shown = words.lines().filter(|line| line.starts_with(&format!("{key} = ")));
        assert!(shown.next().unwrap().ends_with(&format!("# {source}")), "{key}");
    }
    println!("{} settings", lines.len());
}
