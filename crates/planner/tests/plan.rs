//! What every plan must keep, whatever the figures are.

use planner::{Catalog, Load, Plan, Prices, Store, UnitCosts};

#[allow(clippy::expect_used, reason = "a test")]
fn costs() -> UnitCosts {
    UnitCosts::built_in().expect("the built-in unit costs")
}

fn plan(load: &Load) -> Plan {
    assert_eq!(load.problems(), Vec::<String>::new());
    Plan::of(load, &costs(), None)
}

#[track_caller]
fn close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1e-9), "{found} is not {wanted}");
}

/// Every kind of house.
fn houses() -> Vec<Load> {
    let mut houses = Vec::new();
    for catalog in [Catalog::Sqlite, Catalog::Postgres] {
        for store in [Store::Folder, Store::S3] {
            for processing in [true, false] {
                for slow_share in [0.0, 0.5] {
                    houses.push(Load { catalog, store, processing, slow_share, ..Load::example() });
                }
            }
        }
    }
    houses
}

#[test]
fn more_load_never_needs_fewer_nodes_nor_less_of_anything() {
    let mut steps = 0;
    for house in houses() {
        let mut before: Option<Plan> = None;
        for step in 0..120 {
            let load = Load { captures_per_day: 100.0 * 1.2_f64.powi(step), ..house.clone() };
            let now = plan(&load);
            if let Some(before) = before {
                assert!(now.nodes.needed >= before.nodes.needed, "{load:?}");
                assert!(now.cores.uploads_peak >= before.cores.uploads_peak, "{load:?}");
                assert!(now.cores.processing_needed >= before.cores.processing_needed, "{load:?}");
                assert!(now.catalog.bytes_when_full >= before.catalog.bytes_when_full, "{load:?}");
                assert!(now.store.bytes_when_full >= before.store.bytes_when_full, "{load:?}");
                assert!(now.held.at_once >= before.held.at_once, "{load:?}");
                steps += 1;
            }
            before = Some(now);
        }
        assert!(before.unwrap().nodes.needed > 100, "a load that grows without end must need many nodes in the end");
    }
    assert_eq!(steps, 16 * 119);
}

#[test]
fn larger_photos_and_a_sharper_peak_never_need_fewer_nodes() {
    for house in houses() {
        let mut before = 0;
        for step in 0..40 {
            let load = Load { photo_bytes: 1_000.0 * 1.3_f64.powi(step), captures_per_day: 1e8, ..house.clone() };
            let needed = plan(&load).nodes.needed;
            assert!(needed >= before, "{load:?}");
            before = needed;
        }
        let mut before = 0;
        for step in 0..=20 {
            let load = Load { peak_share: 0.05 + 0.045 * f64::from(step), captures_per_day: 1e8, ..house.clone() };
            let needed = plan(&load).nodes.needed;
            assert!(needed >= before, "{load:?}");
            before = needed;
        }
    }
}

#[test]
fn what_is_needed_carries_the_load_and_one_less_does_not() {
    for captures_per_day in [1e5, 1e6, 1e7, 1e8, 1e9] {
        // What the database and the store bear is not a matter of nodes: theirs are large enough here.
        let mut load = Load { captures_per_day, database_cores: 1e6, store: Store::S3, ..Load::example() };
        load.limits.database_connections_max = 1e6;
        let needed = plan(&load).nodes.needed;
        load.nodes = Some(needed);
        let enough = plan(&load);
        let of_nodes = |plan: &Plan| {
            plan.limits
                .iter()
                .find(|limit| limit.what.starts_with("cores of the nodes: processing"))
                .unwrap()
                .used_share
        };
        assert!(of_nodes(&enough) <= 1.0, "{enough:?}");
        assert!(enough.backlog.seconds_to_catch_up <= load.catch_up_seconds + 1.0, "{:?}", enough.backlog);
        if needed > 1 {
            load.nodes = Some((needed - 1) / 2);
            if load.nodes != Some(0) {
                assert!(!plan(&load).nodes.carries, "half the nodes would do as well, so what is needed?");
            }
        }
    }
}

#[test]
fn figures_are_products_of_the_question() {
    let mut costs = costs();
    costs.upload_cpu_us.value = 1_000.0;
    costs.upload_cpu_us_per_megabyte.value = 2_000.0;
    costs.s3_cpu_us_per_upload.value = 500.0;
    costs.derivatives_bytes.value = 50_000.0;
    costs.postgres_bytes_per_capture.value = 1_000.0;
    costs.postgres_bytes_per_task.value = 100.0;
    costs.postgres_bytes_per_key.value = 10.0;
    let load = Load {
        captures_per_day: 2_400_000.0,
        peak_share: 0.15,
        photo_bytes: 100_000.0,
        retention_days: 100.0,
        ..Load::example()
    };
    let plan = Plan::of(&load, &costs, None);
    close(plan.arrivals.per_second_peak, 100.0);
    close(plan.cores.uploads_peak, 100.0 * (1_000.0 + 200.0 + 500.0) / 1e6);
    close(plan.store.bytes_per_day, 2_400_000.0 * 150_000.0);
    close(plan.catalog.bytes_when_full, 2_400_000.0 * (1_000.0 * 100.0 + 100.0 * 30.0 + 10.0 * 400.0));
    close(plan.network.in_bits_per_second, 80e6);
    close(plan.store.puts_per_month, 2.0 * 30.0 * 2_400_000.0);
    close(plan.held.at_once, 100.0 * 0.1);
    let twice = Plan::of(&Load { core_speed: 2.0, ..load }, &costs, None);
    close(twice.cores.uploads_peak, plan.cores.uploads_peak / 2.0);
}

#[test]
fn users_with_an_interval_are_the_busiest_hour() {
    let load = Load::example().of_users(1_000.0, 2.0);
    close(load.peak_per_second(), 500.0);
    close(load.captures_per_day, 500.0 * 3_600.0 / 0.15);
    close(plan(&load).arrivals.users_at_peak, 1_000.0);
}

#[test]
fn slow_clients_are_held_and_counted() {
    let load = Load { slow_share: 1.0, captures_per_day: 1e7, processing: false, ..Load::example() };
    let slow = plan(&load);
    // 120 kB at 1 kB/s are two minutes each.
    close(slow.held.seconds, 120.0);
    close(slow.held.at_once, load.peak_per_second() * 120.0);
    assert!(slow.nodes.needed > plan(&Load { slow_share: 0.0, ..load }).nodes.needed);
}

#[test]
fn limits_are_sorted_and_lie_where_they_say() {
    for house in houses() {
        let plan = plan(&Load { captures_per_day: 3e7, nodes: Some(1), ..house.clone() });
        assert!(plan.limits.windows(2).all(|pair| pair[0].used_share >= pair[1].used_share));
        for limit in &plan.limits {
            close(limit.at_captures_per_second * limit.used_share, plan.arrivals.per_second_peak);
            close(limit.at_captures_per_day * limit.used_share, 3e7);
            assert!(!limit.breaks.is_empty() && !limit.then.is_empty());
        }
        assert_eq!(plan.nodes.carries, plan.nodes.why_not.is_empty());
    }
}

#[test]
fn an_embedded_house_has_one_node_and_says_when_that_is_not_enough() {
    let embedded = Load { catalog: Catalog::Sqlite, store: Store::Folder, ..Load::example() };
    let small = plan(&Load { captures_per_day: 10_000.0, ..embedded.clone() });
    assert!(small.nodes.carries && small.nodes.planned == 1 && small.nodes.with_spare == 1, "{:?}", small.nodes);
    let large = plan(&Load { captures_per_day: 1e8, ..embedded.clone() });
    assert!(!large.nodes.carries && large.nodes.planned == 1, "{:?}", large.nodes);
    let many = plan(&Load { nodes: Some(3), ..embedded });
    assert_eq!(many.nodes.why_not.iter().filter(|why| why.contains("belongs to one node")).count(), 2);
}

#[test]
fn a_question_without_an_answer_is_refused() {
    for load in [
        Load { captures_per_day: 0.0, ..Load::example() },
        Load { peak_share: 0.04, ..Load::example() },
        Load { peak_share: 1.1, ..Load::example() },
        Load { utilisation_max: 1.0, ..Load::example() },
        Load { uplink_bytes_per_second: 0.0, ..Load::example() },
        Load { nodes: Some(0), ..Load::example() },
        Load { captures_per_day: f64::NAN, ..Load::example() },
    ] {
        assert_eq!(load.problems().len(), 1, "{:?}", load.problems());
    }
}

#[test]
fn the_bill_is_what_the_plan_says_times_the_prices() {
    let prices = Prices::parse(include_str!("../../../docs/prices.example.toml")).unwrap();
    let plan = Plan::of(&Load::example(), &costs(), Some(&prices));
    let cost = plan.cost.as_ref().unwrap();
    close(cost.per_month, cost.lines.iter().map(|line| line.quantity * line.price).sum());
    let line = |what: &str| cost.lines.iter().find(|line| line.what == what).unwrap();
    close(line("photos").quantity, plan.store.bytes_when_full / 1e9);
    close(line("nodes").quantity, f64::from(plan.nodes.planned) * 4.0 * 720.0);
    close(line("database").quantity, 2.0 * 8.0 * 720.0);
    assert!(Plan::of(&Load::example(), &costs(), None).cost.is_none(), "no prices are built in");
}

#[test]
fn what_nobody_measured_is_named() {
    let mut costs = costs();
    costs.s3_put_ms.source = planner::Source::Assumed;
    let s3 = Plan::of(&Load::example(), &costs, None);
    assert!(s3.assumed.contains(&"s3_put_ms"));
    assert!(!s3.assumed.iter().any(|name| name.starts_with("sqlite_")));
    let folder = Plan::of(&Load { store: Store::Folder, ..Load::example() }, &costs, None);
    assert!(!folder.assumed.contains(&"s3_put_ms"), "a folder knows no PUT");
}
