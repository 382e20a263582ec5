//! Two settings that cannot both be, files that are not TOML, and all of it at once.

use super::super::Config;
use super::One::{Env, File, Flag};
use super::{Input, check, check_all, file, load, messages};

#[test]
fn two_settings_that_cannot_both_be() {
    check_all(&[
        (
            File("[ingest]\nupload_bytes_max = 300_000_000"),
            "
                FILE:2:20: ingest.upload_bytes_max is above ingest.request_bytes_max: a photo comes in a request
                allowed: ingest.upload_bytes_max up to 268_435_456, or a larger ingest.request_bytes_max
                hint: ingest.upload_bytes_max is 300_000_000 (FILE:2:20), ingest.request_bytes_max is 268_435_456 (default)
            ",
        ),
        (
            File("[ingest]\nmetadata_bytes_max = 70_000\nupload_bytes_max = 60_000\nrequest_bytes_max = 60_000"),
            "
                FILE:2:22: ingest.metadata_bytes_max is above ingest.request_bytes_max: metadata comes in a request
                allowed: ingest.metadata_bytes_max up to 60_000, or a larger ingest.request_bytes_max
                hint: ingest.metadata_bytes_max is 70_000 (FILE:2:22), ingest.request_bytes_max is 60_000 (FILE:4:21)
            ",
        ),
        (
            File("ingest.request_bytes_max = 600_000_000"),
            "
                FILE:1:28: ingest.request_bytes_max is above ingest.bytes_in_flight_per_user_max: the largest request would never be let in
                allowed: ingest.request_bytes_max up to 536_870_912, or a larger ingest.bytes_in_flight_per_user_max
                hint: ingest.request_bytes_max is 600_000_000 (FILE:1:28), ingest.bytes_in_flight_per_user_max is 536_870_912 (default)
            ",
        ),
        (
            File("ingest.bytes_in_flight_max = 300_000_000"),
            "
                FILE:1:30: ingest.bytes_in_flight_per_user_max is above ingest.bytes_in_flight_max: one user is part of all
                allowed: ingest.bytes_in_flight_per_user_max up to 300_000_000, or a larger ingest.bytes_in_flight_max
                hint: ingest.bytes_in_flight_per_user_max is 536_870_912 (default), ingest.bytes_in_flight_max is 300_000_000 (FILE:1:30)
            ",
        ),
        (
            Env("FILMGATE__INGEST__UPLOADS_IN_FLIGHT_MAX", "10"),
            "
                environment FILMGATE__INGEST__UPLOADS_IN_FLIGHT_MAX: ingest.uploads_in_flight_per_user_max is above ingest.uploads_in_flight_max: one user is part of all
                allowed: ingest.uploads_in_flight_per_user_max up to 10, or a larger ingest.uploads_in_flight_max
                hint: ingest.uploads_in_flight_per_user_max is 64 (default), ingest.uploads_in_flight_max is 10 (environment FILMGATE__INGEST__UPLOADS_IN_FLIGHT_MAX)
            ",
        ),
        (
            File("ingest.captures_per_request_max = 500"),
            "
                FILE:1:35: ingest.captures_per_request_max is above ingest.parts_per_request_max: each photo is a part
                allowed: ingest.captures_per_request_max up to 400, or a larger ingest.parts_per_request_max
                hint: ingest.captures_per_request_max is 500 (FILE:1:35), ingest.parts_per_request_max is 400 (default)
            ",
        ),
        (
            File("server.body_total_timeout_ms = 20_000"),
            "
                FILE:1:32: server.body_grace_ms is above server.body_total_timeout_ms: the grace is part of the whole time
                allowed: server.body_grace_ms up to 20_000, or a larger server.body_total_timeout_ms
                hint: server.body_grace_ms is 30_000 (default), server.body_total_timeout_ms is 20_000 (FILE:1:32)
                FILE:1:32: server.body_idle_timeout_ms is above server.body_total_timeout_ms: a silence is part of the whole time
                allowed: server.body_idle_timeout_ms up to 20_000, or a larger server.body_total_timeout_ms
                hint: server.body_idle_timeout_ms is 30_000 (default), server.body_total_timeout_ms is 20_000 (FILE:1:32)
            ",
        ),
        (
            Flag("identity.sign_ins_per_minute_per_address", "5"),
            "
                flag identity.sign_ins_per_minute_per_address: identity.sign_ins_per_minute_per_user is above identity.sign_ins_per_minute_per_address: the first counts within the second
                allowed: identity.sign_ins_per_minute_per_user up to 5, or a larger identity.sign_ins_per_minute_per_address
                hint: identity.sign_ins_per_minute_per_user is 10 (default), identity.sign_ins_per_minute_per_address is 5 (flag identity.sign_ins_per_minute_per_address)
            ",
        ),
        (
            File("[ingest]\nrequest_bytes_max = \"lots\"\nupload_bytes_max = 300_000_000"),
            "
                FILE:2:21: ingest.request_bytes_max: a text stands where a whole number belongs
                allowed: 1 to 1_099_511_627_776
                hint: the default is request_bytes_max = 268_435_456
            ",
        ),
    ]);
}

#[test]
fn a_file_that_is_not_toml() {
    check_all(&[
        (
            File("[server]\nlisten = 127.0.0.1:80\nfoo = 1\n"),
            "
                FILE:2:15: not TOML: invalid float
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
                FILE:3:1: unknown setting server.foo
                hint: `filmgate config show` lists every setting
            ",
        ),
        (
            File("[server]\nlisten = \"a\n[log]\nlevel = 5\n"),
            r#"
                FILE:2:12: not TOML: invalid basic string, expected `"`
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
                FILE:4:9: log.level: a number stands where a text in quotes belongs
                allowed: error, warn, info, debug, trace or off; by module as "info,filmgate=debug"
                hint: the default is level = "info"
            "#,
        ),
        (
            File("[server\nlisten = 5\n[log]\nlevel = \n"),
            "
                FILE:1:8: not TOML: unclosed table, expected `]`
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
                FILE:4:9: not TOML: string values must be quoted, expected literal string
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
            ",
        ),
        (
            File("[log]\nlevel = \"info\"\nlevel = \"warn\"\n[log]\nformat = 5"),
            "
                FILE:3:1: not TOML: duplicate key
                hint: set it once, and open each section once
                FILE:4:2: not TOML: duplicate key
                hint: set it once, and open each section once
            ",
        ),
        (
            File("just words"),
            "
                FILE:1:6: not TOML: key with no value, expected `=`
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
            ",
        ),
        (
            File("[server]\ntrusted_proxies = [\n\"10.0.0.0/8\",\n[log]\nlevel = 5\n"),
            "
                FILE:4:2: not TOML: string values must be quoted, expected literal string
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
                FILE:5:1: not TOML: missing comma between array elements, expected `,`
                hint: texts stand in quotes, lists in [ ], each setting on a line of its own
            ",
        ),
    ]);
}

#[test]
fn tls_takes_two_files_that_can_be_read() {
    let beside: &[(&str, &str)] = &[("c.pem", "c")];
    let tls = |file| Input { file, beside, ..Input::default() };
    check(
        tls("server.tls_key_file = 'DIR/absent.pem'"),
        "
        FILE:1:23: server.tls_key_file is set, server.tls_certificate_file is not
        allowed: both, for HTTPS, or none
        hint: set server.tls_certificate_file as well
        FILE:1:23: server.tls_key_file: DIR/absent.pem cannot be read: No such file or directory (os error 2)
        allowed: a PEM file that this user may read
        hint: check the path, and who may read it
        ",
    );
    check(
        tls("server.tls_certificate_file = 'DIR/c.pem'"),
        "
        FILE:1:31: server.tls_certificate_file is set, server.tls_key_file is not
        allowed: both, for HTTPS, or none
        hint: set server.tls_key_file as well
        ",
    );
    check(
        tls("[server]\ntls_certificate_file = 'DIR/c.pem'\ntls_key_file = 'DIR/'"),
        "
        FILE:3:16: server.tls_key_file: DIR/ cannot be read: Is a directory (os error 21)
        allowed: a PEM file that this user may read
        hint: check the path, and who may read it
        ",
    );
}

#[test]
fn a_file_that_is_not_utf8() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latin1.toml");
    std::fs::write(&path, b"[log]\n# caf\xe9\nlevel = 5").unwrap();
    let problems = Config::load(Some(&path), &[], std::iter::empty()).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, [format!("{}:2:6: is not UTF-8\n    hint: save the file as UTF-8", path.display())]);
}

/// Whatever an editor leaves behind: no panic, and no word of a secret that stands in it.
#[test]
fn a_file_cut_or_bent_anywhere_is_answered_not_panicked_over() {
    let whole = "data_dir = \"é\"\n[server]\npublic_url = \"https://a\"\ntrusted_proxies = [\n  \"::1\", # ü\n]\n\
        [jobs]\nredis_url = \"hunter2\"\n[log]\nlevel = 'info'\nformat = {}\n";
    for (at, _) in whole.char_indices() {
        let (before, after) = whole.split_at(at);
        let bends = ["", "\"", "\"\"\"", "'''", "[", "]", "{", "=", ".", "\n", "\0", "\u{2028}", "é"];
        let bent = bends.map(|bend| format!("{before}{bend}{after}"));
        for text in bent.iter().map(String::as_str).chain([before]).filter(|text| !text.is_empty()) {
            let said = messages(file(text));
            assert!(!said.contains("hunter2"), "{text}\n{said}");
        }
    }
}

/// The layout as it is printed, from every layer and of every kind together.
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let input = Input {
        file: "data_dirr = \"x\"\n[ingest]\nmode = \"queue\"\nupload_bytes_max = 300_000_000\n[log]\nformat = \"xml\"\n",
        env: &[("FILMGATE__API__DOCS", "maybe"), ("FILMGATE__API__DOC", "true")],
        flags: &[("server.listen", "8080")],
        ..Input::default()
    };
    let expect = r#"7 problems in the configuration
DIR/filmgate.toml:1:1: unknown setting data_dirr
    hint: did you mean data_dir?
DIR/filmgate.toml:3:8: ingest.mode: `queue` is not one of the choices
    allowed: "direct" or "queued"
    hint: write mode = "queued"
DIR/filmgate.toml:4:20: ingest.upload_bytes_max is above ingest.request_bytes_max: a photo comes in a request
    allowed: ingest.upload_bytes_max up to 268_435_456, or a larger ingest.request_bytes_max
    hint: ingest.upload_bytes_max is 300_000_000 (DIR/filmgate.toml:4:20), ingest.request_bytes_max is 268_435_456 (default)
DIR/filmgate.toml:6:10: log.format: `xml` is not one of the choices
    allowed: "text" or "json"
    hint: the default is format = "text"
environment FILMGATE__API__DOC: no setting has this name
    hint: did you mean FILMGATE__API__DOCS?
environment FILMGATE__API__DOCS: api.docs: `maybe` is neither true nor false
    allowed: true or false
    hint: the default is FILMGATE__API__DOCS=true
flag server.listen: server.listen: `8080` is a port without an address
    allowed: an address and a port, as "127.0.0.1:8080", "[::1]:8080" or "localhost:8080"
    hint: write server.listen=127.0.0.1:8080"#;
    assert_eq!(load(input).unwrap_err(), expect);
}
