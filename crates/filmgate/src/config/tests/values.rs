//! A value of the wrong type, out of its limits, or that this version does not know.

use super::One::{Env, File, Flag};
use super::check_all;

#[test]
fn a_value_of_the_wrong_type() {
    check_all(&[
        (
            File(r#"api.docs = "false""#),
            "
                FILE:1:12: api.docs: a text stands where true or false belongs
                allowed: true or false
                hint: write docs = false
            ",
        ),
        (
            File("api.docs = 1"),
            "
                FILE:1:12: api.docs: a number stands where true or false belongs
                allowed: true or false
                hint: the default is docs = true
            ",
        ),
        (
            File("log.level = true"),
            r#"
                FILE:1:13: log.level: true or false stands where a text in quotes belongs
                allowed: error, warn, info, debug, trace or off; by module as "info,filmgate=debug"
                hint: the default is level = "info"
            "#,
        ),
        (
            File(r#"ingest.disk_workers = "4""#),
            "
                FILE:1:23: ingest.disk_workers: a text stands where a whole number belongs
                allowed: 1 to 1024
                hint: write disk_workers = 4
            ",
        ),
        (
            File(r#"ingest.disk_workers = "four""#),
            "
                FILE:1:23: ingest.disk_workers: a text stands where a whole number belongs
                allowed: 1 to 1024
                hint: the default is disk_workers = 16
            ",
        ),
        (
            File("ingest.disk_workers = 4.5"),
            "
                FILE:1:23: ingest.disk_workers: a number with a fraction stands where a whole number belongs
                allowed: 1 to 1024
                hint: the default is disk_workers = 16
            ",
        ),
        (
            File("ingest.disk_workers = [4]"),
            "
                FILE:1:23: ingest.disk_workers: a list stands where a whole number belongs
                allowed: 1 to 1024
                hint: the default is disk_workers = 16
            ",
        ),
        (
            File("ingest.disk_workers = 1979-05-27"),
            "
                FILE:1:23: ingest.disk_workers: a date stands where a whole number belongs
                allowed: 1 to 1024
                hint: the default is disk_workers = 16
            ",
        ),
        (
            File(r#"server.trusted_proxies = "10.0.0.0/8""#),
            r#"
                FILE:1:26: server.trusted_proxies: a text stands where a list of texts belongs
                allowed: addresses and networks, as "127.0.0.1" or "10.0.0.0/8"
                hint: write trusted_proxies = ["10.0.0.0/8"]
            "#,
        ),
        (
            File(r#"server.trusted_proxies = ["10.0.0.0/8", 5, true]"#),
            r#"
                FILE:1:41: server.trusted_proxies: a number stands where a text in quotes belongs
                allowed: addresses and networks, as "127.0.0.1" or "10.0.0.0/8"
                hint: the default is trusted_proxies = []
                FILE:1:44: server.trusted_proxies: true or false stands where a text in quotes belongs
                allowed: addresses and networks, as "127.0.0.1" or "10.0.0.0/8"
                hint: the default is trusted_proxies = []
            "#,
        ),
        (
            File("data_dir = {}"),
            r#"
                FILE:1:12: data_dir: a section stands where a text in quotes belongs
                allowed: the path of a folder
                hint: the default is data_dir = "filmgate-data"
            "#,
        ),
        (
            Env("FILMGATE__API__DOCS", "yes"),
            "
                environment FILMGATE__API__DOCS: api.docs: `yes` is neither true nor false
                allowed: true or false
                hint: write FILMGATE__API__DOCS=true
            ",
        ),
        (
            Env("FILMGATE__API__DOCS", "maybe"),
            "
                environment FILMGATE__API__DOCS: api.docs: `maybe` is neither true nor false
                allowed: true or false
                hint: the default is FILMGATE__API__DOCS=true
            ",
        ),
        (
            Env("FILMGATE__INGEST__DISK_WORKERS", "four"),
            "
                environment FILMGATE__INGEST__DISK_WORKERS: ingest.disk_workers: `four` is not a whole number
                allowed: 1 to 1024
                hint: the default is FILMGATE__INGEST__DISK_WORKERS=16
            ",
        ),
        (
            Env("FILMGATE__INGEST__DISK_WORKERS", ""),
            "
                environment FILMGATE__INGEST__DISK_WORKERS: ingest.disk_workers: is empty
                allowed: 1 to 1024
                hint: the default is FILMGATE__INGEST__DISK_WORKERS=16
            ",
        ),
        (
            Flag("ingest.disk_workers", "32MiB"),
            "
                flag ingest.disk_workers: ingest.disk_workers: `32MiB` is not a whole number
                allowed: 1 to 1024
                hint: the default is ingest.disk_workers=16
            ",
        ),
        (
            Env("FILMGATE__LOG__LEVEL", "a\u{fffd}b"),
            r#"
                environment FILMGATE__LOG__LEVEL: log.level: is not UTF-8
                allowed: error, warn, info, debug, trace or off; by module as "info,filmgate=debug"
                hint: write it in UTF-8
            "#,
        ),
    ]);
}

#[test]
fn a_number_out_of_its_limits() {
    check_all(&[
        (
            File("ingest.disk_workers = -1"),
            "
                FILE:1:23: ingest.disk_workers: `-1` is below zero
                allowed: 1 to 1024
                hint: the default is disk_workers = 16
            ",
        ),
        (
            File("ingest.disk_workers = 2000"),
            "
                FILE:1:23: ingest.disk_workers: `2000` is above 1024
                allowed: 1 to 1024
                hint: the default is disk_workers = 16
            ",
        ),
        (
            File("ingest.upload_bytes_max = 99999999999999999999999"),
            "
                FILE:1:27: ingest.upload_bytes_max: `99999999999999999999999` is too large
                allowed: 1 to 1_099_511_627_776
                hint: the default is upload_bytes_max = 33_554_432
            ",
        ),
        (
            Env("FILMGATE__INGEST__IMAGE_SCANS_MAX", "5000000000"),
            "
                environment FILMGATE__INGEST__IMAGE_SCANS_MAX: ingest.image_scans_max: `5000000000` is too large
                allowed: 1 to 100_000
                hint: the default is FILMGATE__INGEST__IMAGE_SCANS_MAX=100
            ",
        ),
        (
            File("server.header_bytes_max = 4096"),
            "
                FILE:1:27: server.header_bytes_max: `4096` is below 8192
                allowed: 8192 to 1_048_576
                hint: the default is header_bytes_max = 16_384
            ",
        ),
        (
            File("server.body_rate_min_bytes_per_second = 0"),
            "
                FILE:1:41: server.body_rate_min_bytes_per_second: `0` is below 1
                allowed: 1 to 1_073_741_824
                hint: the default is body_rate_min_bytes_per_second = 256
            ",
        ),
        (
            File("identity.sign_ins_per_minute_per_user = 0"),
            "
                FILE:1:41: identity.sign_ins_per_minute_per_user: `0` is below 1
                allowed: 1 to 1_000_000
                hint: the default is sign_ins_per_minute_per_user = 10
            ",
        ),
        (
            File("identity.password_bytes_min = 4"),
            "
                FILE:1:31: identity.password_bytes_min: `4` is below 8
                allowed: 8 to 1024
                hint: the default is password_bytes_min = 10
            ",
        ),
    ]);
}

#[test]
fn a_choice_that_there_is_not_or_not_yet() {
    check_all(&[
        (
            File(r#"ingest.verify = "decoded""#),
            r#"
                FILE:1:17: ingest.verify: `decoded` is not one of the choices
                allowed: "structure" or "decode"
                hint: write verify = "decode"
            "#,
        ),
        (
            File(r#"ingest.mode = "dierct""#),
            r#"
                FILE:1:15: ingest.mode: `dierct` is not one of the choices
                allowed: "direct" or "queued"
                hint: write mode = "direct"
            "#,
        ),
        (
            File(r#"blobs.serve = "stram""#),
            r#"
                FILE:1:15: blobs.serve: `stram` is not one of the choices
                allowed: "stream" or "redirect"
                hint: write serve = "stream"
            "#,
        ),
        (
            File(r#"ingest.durability = "fast""#),
            r#"
                FILE:1:21: ingest.durability: `fast` is not one of the choices
                allowed: "durable" or "node" or "relaxed"
                hint: the default is durability = "durable"
            "#,
        ),
        (
            File(r#"identity.provider = "flaks""#),
            r#"
                FILE:1:21: identity.provider: `flaks` is not one of the choices
                allowed: "local" or "flask" or "forward" or "jwt"
                hint: write provider = "flask"
            "#,
        ),
        (
            File(r#"log.format = "JSON""#),
            r#"
                FILE:1:14: log.format: `JSON` is not one of the choices
                allowed: "text" or "json"
                hint: write format = "json"
            "#,
        ),
        (
            File(r#"records.url = "postgres://me:pw@host:no/db""#),
            r#"
                FILE:1:15: records.url: is no address of a PostgreSQL database: invalid value for option `port`
                allowed: "sqlite:PATH", or "postgres://USER:PASSWORD@HOST:5432/DATABASE"; or empty for catalog.sqlite in the data folder
                hint: the default is url = ""
            "#,
        ),
        (
            Env("FILMGATE__JOBS__REDIS_URL", "localhost:6379"),
            r#"
                environment FILMGATE__JOBS__REDIS_URL: jobs.redis_url: is no address of a Redis server
                allowed: "redis://HOST:PORT/DB", "rediss://…" with TLS, with user:password@ before the host where needed; or empty
                hint: one on this machine: redis://127.0.0.1:6379/0
            "#,
        ),
        (
            File(r#"host.database_url = "mysql://x""#),
            "
                FILE:1:21: host.database_url: reading a host's database is not in this version yet
                allowed: nothing: leave it empty
                hint: remove it, or leave it empty
            ",
        ),
    ]);
}
