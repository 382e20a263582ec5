//! Flag over environment over file over default; every type from every layer.

use std::path::Path;
use std::time::Duration;

use super::super::layers::Layers;
use super::super::{Config, Durability, LogFormat, file as toml_file};
use super::{Input, check, file, load, shown};

#[test]
fn the_strongest_layer_wins() {
    let text = "[ingest]\ndisk_workers = 2\n";
    let env: &[(&str, &str)] = &[("FILMGATE__INGEST__DISK_WORKERS", "3")];
    let flags: &[(&str, &str)] = &[("ingest.disk_workers", "4")];
    let cases = [
        (Input::default(), "16 from default"),
        (file(text), "2 from filmgate.toml:2:16"),
        (Input { file: text, env, ..Input::default() }, "3 from environment FILMGATE__INGEST__DISK_WORKERS"),
        (Input { file: text, env, flags, ..Input::default() }, "4 from flag ingest.disk_workers"),
        (Input { file: text, flags, ..Input::default() }, "4 from flag ingest.disk_workers"),
        (Input { env, ..Input::default() }, "3 from environment FILMGATE__INGEST__DISK_WORKERS"),
    ];
    for (input, expect) in cases {
        assert_eq!(shown(&load(input).unwrap(), "ingest.disk_workers"), expect);
    }
}

#[test]
fn the_last_of_two_flags_wins() {
    let flags: &[(&str, &str)] = &[("api.docs", "false"), ("api.docs", "true"), ("log.level", "warn")];
    let config = load(Input { flags, ..Input::default() }).unwrap();
    assert!(config.api.docs);
    assert_eq!(config.log.level, "warn");
}

#[test]
fn a_value_that_a_stronger_layer_covers_must_be_right_as_well() {
    let input =
        Input { file: "[ingest]\ndisk_workers = 0\n", flags: &[("ingest.disk_workers", "4")], ..Input::default() };
    let expect = "FILE:2:16: ingest.disk_workers: `0` is below 1\n    \
        allowed: 1 to 1024\n    hint: the default is disk_workers = 16";
    check(input, expect);
}

#[test]
fn every_type_from_the_file() {
    let config = load(file(
        r#"
        data_dir = "/srv/photos"
        server.trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "::1"]
        server.allowed_origins = ["https://clinic.example.org", "http://localhost:3000"]
        ingest.upload_bytes_max = 0x10_0000
        ingest.durability = "relaxed"
        api.docs = false
        [log]
        format = "json"
        "#,
    ))
    .unwrap();
    the_settings_of_every_type(&config);
}

#[test]
fn every_type_from_the_environment() {
    let env: &[(&str, &str)] = &[
        ("FILMGATE__DATA_DIR", "/srv/photos"),
        ("FILMGATE__SERVER__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8,::1,"),
        ("FILMGATE__SERVER__ALLOWED_ORIGINS", "https://clinic.example.org,http://localhost:3000"),
        ("FILMGATE__INGEST__UPLOAD_BYTES_MAX", " 1_048_576 "),
        ("FILMGATE__INGEST__DURABILITY", "relaxed"),
        ("FILMGATE__API__DOCS", "False"),
        ("FILMGATE__LOG__FORMAT", "json"),
    ];
    the_settings_of_every_type(&load(Input { env, ..Input::default() }).unwrap());
}

#[track_caller]
fn the_settings_of_every_type(config: &Config) {
    assert_eq!(config.data_dir, Path::new("/srv/photos"));
    assert_eq!(config.server.trusted_proxies.len(), 3);
    assert_eq!(config.server.allowed_origins, ["https://clinic.example.org", "http://localhost:3000"]);
    assert_eq!(config.ingest.upload_bytes_max, 1_048_576);
    assert_eq!(config.ingest.durability, Durability::Relaxed);
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(!config.api.docs);
}

#[test]
fn an_empty_list_in_the_environment_empties_the_list_of_the_file() {
    let input = Input {
        file: "server.trusted_proxies = [\"10.0.0.0/8\"]",
        env: &[("FILMGATE__SERVER__TRUSTED_PROXIES", "")],
        ..Input::default()
    };
    assert!(load(input).unwrap().server.trusted_proxies.is_empty());
}

#[test]
fn other_programs_variables_are_none_of_ours() {
    let env = &[("FILMGATE_BIN", "x"), ("FILMGATE_DATA_DIR", "x"), ("PATH", "x"), ("OTHER__SERVER__LISTEN", "x")];
    check(Input { env, ..Input::default() }, "fine");
}

#[test]
fn a_file_that_nobody_named_may_be_absent_and_one_that_is_there_counts() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("filmgate.toml");
    let mut layers = Layers::default();
    toml_file::apply(&mut layers, &path, false);
    assert!(layers.finish().is_ok());

    std::fs::write(&path, "log.level = \"warn\"").unwrap();
    let mut layers = Layers::default();
    toml_file::apply(&mut layers, &path, false);
    assert_eq!(layers.finish().unwrap().log.level, "warn");
}

#[test]
fn an_absent_file_that_was_named_is_a_problem() {
    let problems = Config::load(Some(Path::new("no/such.toml")), &[], std::iter::empty()).unwrap_err();
    let expect = "1 problem in the configuration\n\
        no/such.toml: cannot be read: No such file or directory (os error 2)\n    \
        allowed: a TOML file that this user may read\n    \
        hint: check the path; filmgate.example.toml is a file to start from";
    assert_eq!(problems.to_string(), expect);
}

#[test]
fn what_follows_from_settings() {
    let config = Config::default();
    assert_eq!(config.catalog_place(), "filmgate-data/catalog.sqlite");
    assert_eq!(config.blobs_url(), "file:filmgate-data/blobs");
    assert_eq!(config.server.tls_files(), None);
    assert_eq!(config.server.header_read_timeout(), Duration::from_secs(30));
    assert_eq!(config.identity.sign_in_lifetime(), Duration::from_secs(43_200));
    assert_eq!(config.ingest.quarantine_keep(), Duration::from_secs(2_592_000));

    for (records, blobs) in [("sqlite:/a/c.db", "file:/b"), ("sqlite:///a/c.db", "file:///b")] {
        let flags: &[(&str, &str)] = &[("records.url", records), ("blobs.url", blobs)];
        let config = load(Input { flags, ..Input::default() }).unwrap();
        assert_eq!((config.catalog_place().as_str(), config.blobs_url().as_str()), ("/a/c.db", "file:/b"));
        assert_eq!(
            (config.catalog_path().as_path(), config.blobs_path().as_path()),
            (Path::new("/a/c.db"), Path::new("/b"))
        );
    }
}

#[test]
fn proxies_are_trusted_by_network_whatever_family_the_socket_shows() {
    let server = load(file("server.trusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]")).unwrap().server;
    for (peer, trusted) in [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("fd00::1", true), ("11.0.0.1", false)] {
        assert_eq!(server.trusts(peer.parse().unwrap()), trusted, "{peer}");
    }
    assert!(!Config::default().server.trusts("127.0.0.1".parse().unwrap()));
}

#[test]
fn both_tls_files_turn_https_on() {
    let input = Input {
        file: "[server]\ntls_certificate_file = \"DIR/c.pem\"\ntls_key_file = \"DIR/k.pem\"\n",
        beside: &[("c.pem", "c"), ("k.pem", "k")],
        ..Input::default()
    };
    let server = load(input).unwrap().server;
    let (certificate, key) = server.tls_files().unwrap();
    assert!(certificate.ends_with("c.pem") && key.ends_with("k.pem"));
}
