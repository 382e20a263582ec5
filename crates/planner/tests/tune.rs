//! What `tune` must keep, whatever the machine and the load.

use planner::{Catalog, Load, Machine, Settings, Store, SyncRate, Tuned, UnitCosts, tune};

fn defaults() -> Settings {
    Settings::read(|key| {
        Some(match key {
            "server.connections_max" => 20_000,
            "server.header_read_timeout_ms" => 30_000,
            "server.body_rate_min_bytes_per_second" | "records.commit_batch_max" => 256,
            "ingest.disk_workers" | "records.connections_max" => 16,
            "ingest.upload_bytes_max" => 33_554_432,
            "ingest.request_bytes_max" | "ingest.free_bytes_min" => 268_435_456,
            "ingest.uploads_in_flight_max" => 12_000,
            "ingest.uploads_in_flight_per_user_max" => 64,
            "ingest.bytes_in_flight_max" => 8_589_934_592,
            "ingest.bytes_in_flight_per_user_max" => 536_870_912,
            "processing.workers" => 1,
            "processing.decode_memory_bytes_max" => 1_073_741_824,
            "identity.password_hashing_parallel" => 2,
            "jobs.keep_days" => 30,
            "ingest.idempotency_keep_days" => 400,
            _ => panic!("{key} is no setting"),
        })
    })
}

fn machine() -> Machine {
    let rate = |writers, per_second| SyncRate { writers, per_second, median_ms: 2.0, p99_ms: 8.0 };
    Machine {
        cores: 2.0,
        memory_bytes: 8e9,
        descriptors: 524_288.0,
        disk_free_bytes: 500e9,
        syncs: vec![rate(1.0, 500.0), rate(4.0, 1_500.0), rate(16.0, 3_000.0), rate(64.0, 3_100.0)],
    }
}

fn load(users: f64) -> Load {
    let house = Load { catalog: Catalog::Sqlite, store: Store::Folder, nodes: Some(1), ..Load::example() };
    house.of_users(users, 1.0)
}

#[allow(clippy::unwrap_used, reason = "a test")]
fn tuned(machine: &Machine, load: &Load) -> Tuned {
    assert_eq!(load.problems(), Vec::<String>::new());
    let tuned = tune(machine, load, &UnitCosts::built_in().unwrap(), &defaults());
    assert!(tuned.advice.iter().all(|advice| !advice.why.is_empty() && advice.value != advice.default), "{tuned:?}");
    tuned
}

/// A setting as the planner counts.
#[allow(clippy::cast_precision_loss, reason = "settings are below 2^53")]
fn count(value: u64) -> f64 {
    value as f64
}

fn advice(tuned: &Tuned, key: &str) -> Option<u64> {
    tuned.advice.iter().find(|advice| advice.key == key).map(|advice| advice.value)
}

#[test]
fn defaults_that_will_do_are_left_alone() {
    let found = tuned(&machine(), &load(20.0));
    assert_eq!((found.advice.as_slice(), found.beside.as_slice()), (&[][..], &[][..]));
    assert!(found.warnings.is_empty() && found.plan.nodes.carries, "{found:?}");
    assert_eq!(found.plan.load.limits, planner::ServerLimits::default());
}

#[test]
fn memory_limits_what_is_let_in() {
    let small = Machine { memory_bytes: 1e9, ..machine() };
    let found = tuned(&small, &load(20.0));
    let let_in = advice(&found, "ingest.uploads_in_flight_max").unwrap();
    assert!((3_000..4_000).contains(&let_in), "half of a GB, less the server, in 133 kB each: {let_in}");
    assert!(found.holds.memory_bytes_when_full < 1e9, "{:?}", found.holds);
    assert_eq!(advice(&found, "processing.decode_memory_bytes_max"), Some(268_435_456), "never too little for a photo");
    let tiny = tuned(&Machine { memory_bytes: 60e6, ..machine() }, &load(20.0));
    assert!(!tiny.plan.nodes.carries, "{:?}", tiny.plan.nodes);
    assert_eq!(advice(&tiny, "ingest.uploads_in_flight_per_user_max"), advice(&tiny, "ingest.uploads_in_flight_max"));
}

#[test]
fn slow_phones_are_let_in_if_memory_allows() {
    let slow = Load { slow_share: 1.0, slow_uplink_bytes_per_second: 300.0, ..load(1.0) }.of_users(60.0, 1.0);
    // 60 a second for 400 seconds each are 24,000 at once.
    let found = tuned(&machine(), &slow);
    assert_eq!(advice(&found, "ingest.uploads_in_flight_max"), Some(29_700), "{:?}", found.advice);
    assert_eq!(advice(&found, "server.connections_max"), Some(36_000));
    assert_eq!(advice(&found, "server.body_rate_min_bytes_per_second"), Some(150));
    assert_eq!(advice(&found, "ingest.uploads_in_flight_per_user_max"), Some(600), "400 s each, one a second");
    assert!(found.warnings.iter().any(|warning| warning.contains("fall behind")), "{:?}", found.warnings);
    let roomy = tuned(&Machine { memory_bytes: 64e9, ..machine() }, &slow);
    assert_eq!(advice(&roomy, "ingest.uploads_in_flight_max"), Some(36_000));
    let closed = Machine { descriptors: 1_024.0, ..machine() };
    let found = tuned(&closed, &slow);
    assert!(found.beside.iter().any(|what| what.contains("LimitNOFILE=48000")), "{:?}", found.beside);
    assert!(!found.plan.nodes.carries && found.holds.because_of.starts_with("connections ("), "{:?}", found.holds);
    assert!(found.plan.limits.iter().any(|limit| limit.then.contains("LimitNOFILE")));
}

#[test]
fn photos_and_intervals_beyond_the_defaults_are_made_room_for() {
    let large = Load { photo_bytes: 300e6, ..load(1.0) }.of_users(2.0, 60.0);
    let found = tuned(&machine(), &large);
    assert_eq!(advice(&found, "server.header_read_timeout_ms"), Some(120_000));
    assert_eq!(advice(&found, "ingest.upload_bytes_max"), Some(375_390_208), "a quarter more, in whole MiB");
    assert_eq!(advice(&found, "ingest.request_bytes_max"), Some(375_390_208));
    assert!(advice(&found, "ingest.bytes_in_flight_per_user_max").unwrap() >= 375_390_208);
    // And a disk that has no room for them.
    let full = tuned(&Machine { disk_free_bytes: 1e9, ..machine() }, &large);
    assert!(!full.plan.nodes.carries || full.holds.days_until_disk_is_full.unwrap() < 1.0, "{:?}", full.holds);
}

/// What `config/check.rs` refuses together.
#[test]
fn what_is_advised_goes_together() {
    let mut cases = 0;
    for memory_bytes in [60e6, 1e9, 64e9] {
        for disk_free_bytes in [0.0, 300e6, 1e9, 1e12] {
            for photo_bytes in [20e3, 4e6, 40e6, 3e9] {
                for slow_share in [0.0, 1.0] {
                    let machine = Machine { memory_bytes, disk_free_bytes, ..machine() };
                    let load = Load { photo_bytes, slow_share, ..load(1.0) }.of_users(500.0, 1.0);
                    let found = tuned(&machine, &load);
                    let value = |key: &str| {
                        let default = defaults().named().into_iter().find(|(name, _)| *name == key).unwrap().1;
                        advice(&found, key).map_or(default, count)
                    };
                    for (small, large) in [
                        ("ingest.upload_bytes_max", "ingest.request_bytes_max"),
                        ("ingest.request_bytes_max", "ingest.bytes_in_flight_per_user_max"),
                        ("ingest.bytes_in_flight_per_user_max", "ingest.bytes_in_flight_max"),
                        ("ingest.uploads_in_flight_per_user_max", "ingest.uploads_in_flight_max"),
                    ] {
                        assert!(value(small) <= value(large), "{small} above {large}: {:?}", found.advice);
                    }
                    cases += 1;
                }
            }
        }
    }
    assert_eq!(cases, 96);
}

#[test]
fn disk_workers_follow_the_disk_where_that_is_worth_it() {
    assert_eq!(advice(&tuned(&machine(), &load(20.0)), "ingest.disk_workers"), None, "3 % better is noise");
    let mut wide = machine();
    wide.syncs[3].per_second = 9_000.0;
    assert_eq!(advice(&tuned(&wide, &load(20.0)), "ingest.disk_workers"), Some(64));
    let mut narrow = machine();
    narrow.syncs[1].per_second = 5_000.0;
    assert_eq!(advice(&tuned(&narrow, &load(20.0)), "ingest.disk_workers"), Some(4));
}

#[test]
fn a_disk_is_judged_by_what_was_measured_of_it() {
    let mut slow = machine();
    slow.syncs.iter_mut().for_each(|rate| rate.per_second = 100.0);
    let found = tuned(&slow, &Load { processing: false, ..load(20.0) }.of_users(60.0, 1.0));
    assert!(!found.plan.nodes.carries, "two syncs and a share of a commit for each of 60 a second, and it has 100");
    assert_eq!(found.holds.because_of, "syncs of the node's disk");
    assert!((33.0..50.0).contains(&found.holds.uploads_per_second), "{:?}", found.holds);
}

#[test]
fn several_machines_carry_what_one_cannot() {
    let shared = Load { catalog: Catalog::Postgres, store: Store::S3, nodes: None, ..load(300.0) };
    let found = tuned(&machine(), &shared);
    assert!(found.plan.nodes.carries && found.plan.nodes.planned > 1, "{:?}", found.plan.nodes);
    assert!(!tuned(&machine(), &load(300.0)).plan.nodes.carries);
    assert_eq!(advice(&found, "processing.workers"), None, "one for two cores is the default");
    let large = tuned(&Machine { cores: 16.0, ..machine() }, &shared);
    assert_eq!(advice(&large, "processing.workers"), Some(8));
    assert_eq!(advice(&large, "identity.password_hashing_parallel"), Some(4));
    // Ten nodes of 16 connections would be more than PostgreSQL's hundred.
    let ten = tuned(&machine(), &Load { nodes: Some(10), ..shared.clone() });
    assert_eq!((advice(&ten, "records.connections_max"), ten.beside.len()), (Some(9), 0), "{:?}", ten.beside);
    let busy = tuned(&machine(), &Load { nodes: Some(10), ..shared }.of_users(10_000.0, 1.0));
    assert!(busy.beside.iter().any(|what| what.starts_with("max_connections = ")), "{:?}", busy.beside);
}

#[test]
fn more_phones_are_never_held_by_less() {
    let mut before = 0.0;
    for step in 0..60 {
        let users = 1.2_f64.powi(step);
        let found = tuned(&machine(), &Load { slow_share: 0.2, ..load(1.0) }.of_users(users, 1.0));
        assert!(found.holds.uploads_in_flight >= before, "{users}: {:?}", found.holds);
        assert_eq!(found.plan.nodes.carries, found.plan.nodes.why_not.is_empty());
        before = found.holds.uploads_in_flight;
    }
}
