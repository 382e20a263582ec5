//! The simulation against formulas, and against its own promises.
//!
//! A tolerance is some four standard errors of the runs below, seen over twenty seeds; a slip of one customer in a
//! queue, of one server, or of the kind of distribution is many times that.

use super::*;
use crate::closed_forms::{closed_throughput, md1_seconds, mm1_percentile_seconds, mmc_seconds};
use crate::{Load, UnitCosts};

/// Nothing but cores: uploads come by chance and have one service.
fn bare(per_second: f64, cpu: Service, cores: usize) -> Scenario {
    Scenario {
        seed: 1,
        seconds: 400_000.0 / per_second,
        warmup_seconds: 4_000.0 / per_second,
        nodes: 1,
        node_cores: cores,
        shared_cores: None,
        arrivals: Arrivals::Poisson { per_second },
        bursts: Vec::new(),
        transfer: Service::NONE,
        slow: (0.0, Service::NONE),
        cpu,
        disk: None,
        store: Service::NONE,
        catalog: CatalogStation::None,
        in_flight_max: usize::MAX,
        retry: Retry { after: 2.0, jitter: 1.0, tries_max: 10 },
        processing: None,
        kill: None,
        moments: 4,
    }
}

#[track_caller]
fn close(found: f64, wanted: f64, tolerance: f64) {
    assert!((found / wanted - 1.0).abs() < tolerance, "{found} is not {wanted} within {tolerance}");
}

#[test]
fn one_core_is_mm1() {
    for load in [0.3, 0.7, 0.85] {
        let report = simulate(&bare(load * 100.0, Service::Exponential(0.01), 1));
        let tolerance = if load > 0.8 { 0.06 } else { 0.03 };
        close(report.answer_seconds.mean, mmc_seconds(load * 100.0, 0.01, 1), tolerance);
        close(report.answer_seconds.p50, mm1_percentile_seconds(load * 100.0, 0.01, 0.5), tolerance);
        close(report.answer_seconds.p95, mm1_percentile_seconds(load * 100.0, 0.01, 0.95), tolerance);
        close(report.answer_seconds.p99, mm1_percentile_seconds(load * 100.0, 0.01, 0.99), tolerance);
        close(report.cores_used_by_uploads, load, 0.02);
    }
}

#[test]
fn many_cores_are_mmc() {
    for (cores, load) in [(2, 0.8), (8, 0.9), (64, 0.95)] {
        let rate = load * f64::from(cores) * 100.0;
        let report = simulate(&bare(rate, Service::Exponential(0.01), usize::try_from(cores).unwrap()));
        close(report.answer_seconds.mean, mmc_seconds(rate, 0.01, cores), 0.04);
        close(report.cores_used_by_uploads, load, 0.02);
    }
}

/// The waiting alone is compared: the service would hide a mistake in it.
#[test]
fn a_fixed_service_is_md1_and_not_mm1() {
    let report = simulate(&bare(80.0, Service::Fixed(0.01), 1));
    let waiting = report.answer_seconds.mean - 0.01;
    close(waiting, md1_seconds(80.0, 0.01) - 0.01, 0.04);
    assert!(waiting < 0.6 * (mmc_seconds(80.0, 0.01, 1) - 0.01), "{waiting}");
}

/// The mean number of decodes, waiting and running, where each upload leaves one behind and both share one core. No
/// formula of a book fits: a decode arrives just when an upload leaves, so the classes are not independent. It is the
/// Markov chain itself, (uploads, decodes), played to its balance.
fn decodes_in_balance(rate: f64, upload_rate: f64, decode_rate: f64) -> f64 {
    const UPLOADS: usize = 40;
    const DECODES: usize = 160;
    let step = 1.0 / (rate + upload_rate.max(decode_rate));
    let mut shares = vec![[0.0; DECODES]; UPLOADS];
    shares[0][0] = 1.0;
    for _ in 0..6_000 {
        let mut next = shares.clone();
        for (uploads, row) in shares.iter().enumerate() {
            for (decodes, share) in row.iter().copied().enumerate().filter(|(_, share)| *share > 0.0) {
                let mut go = |to: (usize, usize), rate: f64| {
                    if to.0 < UPLOADS && to.1 < DECODES {
                        next[uploads][decodes] -= share * rate * step;
                        next[to.0][to.1] += share * rate * step;
                    }
                };
                go((uploads + 1, decodes), rate);
                if uploads > 0 {
                    go((uploads - 1, decodes + 1), upload_rate);
                } else if decodes > 0 {
                    go((0, decodes - 1), decode_rate);
                }
            }
        }
        shares = next;
    }
    shares.iter().flat_map(|row| row.iter().enumerate().map(|(decodes, share)| decodes as f64 * share)).sum()
}

#[test]
fn decoding_takes_nothing_from_uploads_and_gets_what_they_leave() {
    let mut scenario = bare(40.0, Service::Exponential(0.01), 1);
    scenario.processing = Some(Processing { cpu: Service::Exponential(0.0125), workers: 1, lease_seconds: 30.0 });
    let report = simulate(&scenario);
    close(report.answer_seconds.mean, mmc_seconds(40.0, 0.01, 1), 0.03);
    close(report.processed_after_seconds.mean, decodes_in_balance(40.0, 100.0, 80.0) / 40.0, 0.05);
    close(report.cores_used_by_decoding, 0.5, 0.02);
    close(report.processed as f64, report.answered as f64, 0.001);
}

#[test]
fn a_pool_of_connections_is_mmc_after_the_cores() {
    let mut scenario = bare(100.0, Service::NONE, 1);
    scenario.catalog = CatalogStation::Pool {
        connections: 4,
        latency: Service::Exponential(0.03),
        cpu: Service::NONE,
        cpu_after: Service::NONE,
        cores: 1,
        wait_max_seconds: 1e9,
    };
    close(simulate(&scenario).answer_seconds.mean, mmc_seconds(100.0, 0.03, 4), 0.03);
}

#[test]
fn disk_workers_are_mmc_and_sending_is_no_queue() {
    let mut scenario = bare(100.0, Service::NONE, 1);
    scenario.disk = Some(Disk { workers: 4, queue_max: usize::MAX, service: Service::Exponential(0.03) });
    scenario.transfer = Service::Exponential(0.5);
    let report = simulate(&scenario);
    close(report.server_seconds.mean, mmc_seconds(100.0, 0.03, 4), 0.03);
    close(report.answer_seconds.mean, 0.5 + mmc_seconds(100.0, 0.03, 4), 0.02);
}

#[test]
fn a_closed_loop_is_mean_value_analysis() {
    for clients in [1, 4, 16] {
        let mut scenario = bare(100.0, Service::Exponential(0.01), 1);
        scenario.arrivals =
            Arrivals::Closed { clients: usize::try_from(clients).unwrap(), think: Service::Exponential(0.05) };
        scenario.seconds = 2_000.0;
        close(simulate(&scenario).answered_per_second, closed_throughput(clients, 0.05, 0.01), 0.02);
    }
}

/// A commit takes 4 ms and 0.1 ms for each write: one client alone waits for both; where there is always a full batch,
/// the writer makes `batch / (4 ms + batch * 0.1 ms)` a second.
#[test]
fn group_commit_has_its_two_ends() {
    let mut scenario = bare(100.0, Service::NONE, 1);
    scenario.catalog = CatalogStation::Writer {
        per_commit: Service::Fixed(0.004),
        cpu_per_commit: Service::NONE,
        per_write_seconds: 0.000_1,
        batch_max: 64,
        writes_after: 0,
    };
    scenario.seconds = 200.0;
    scenario.arrivals = Arrivals::Closed { clients: 1, think: Service::NONE };
    let alone = simulate(&scenario);
    close(alone.answered_per_second, 1.0 / 0.0041, 0.001);
    assert_eq!(alone.commits, alone.writes);
    scenario.arrivals = Arrivals::Closed { clients: 500, think: Service::NONE };
    let full = simulate(&scenario);
    close(full.answered_per_second, 64.0 / (0.004 + 0.0064), 0.005);
    close(full.writes as f64 / full.commits as f64, 64.0, 0.001);
}

#[test]
fn littles_law_holds_for_what_is_held() {
    let mut scenario = bare(50.0, Service::Fixed(0.001), 4);
    scenario.transfer = Service::Exponential(2.0);
    scenario.moments = 4_000;
    let report = simulate(&scenario);
    let counted = &report.timeline[100..];
    let held = counted.iter().map(|moment| moment.in_flight as f64).sum::<f64>() / counted.len() as f64;
    close(held, 50.0 * report.answer_seconds.mean, 0.02);
}

/// The whole house at a peak, with everything that can happen to it.
fn whole(seed: u64) -> Scenario {
    let costs = UnitCosts::built_in().unwrap();
    let mut scenario = Scenario::of(&Load::example(), &costs, 3, None, 0.0);
    scenario.seed = seed;
    scenario.seconds = 120.0;
    scenario.bursts = vec![Burst { at: 30.0, users: 200, interval: 1.0 }];
    scenario.kill = Some(Kill { at: 60.0, back_after: Some(20.0) });
    scenario
}

#[test]
fn the_same_scenario_gives_the_same_report() {
    let text = |seed| serde_json::to_string(&simulate(&whole(seed))).unwrap();
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn no_photo_is_lost_or_counted_twice() {
    for seed in 0..5 {
        let mut scenario = whole(seed);
        // So few places that a class does not find room at once.
        scenario.in_flight_max = 40;
        let report = simulate(&scenario);
        assert!(report.refused > 0 && report.cut > 0, "{report:?}");
        assert_eq!(report.begun, report.answered + report.given_up + report.unfinished);
        assert_eq!(report.answered, report.processed + report.backlog as u64);
        assert_eq!(report.answered, report.timeline.iter().map(|moment| moment.answered).sum::<u64>());
        assert_eq!(report.refused, report.timeline.iter().map(|moment| moment.refused).sum::<u64>());
    }
}

#[test]
fn a_node_that_dies_is_missed_and_comes_back() {
    let report = simulate(&whole(3));
    let nodes: Vec<usize> = report.timeline.iter().map(|moment| moment.nodes).collect();
    assert_eq!(nodes[0], 3);
    assert_eq!(report.timeline.iter().find(|moment| moment.at > 65.0).unwrap().nodes, 2);
    assert_eq!(*nodes.last().unwrap(), 3);
    assert!(report.cut > 0 && report.given_up == 0, "{report:?}");
}

#[test]
fn where_the_only_node_dies_photos_stay_with_their_clients() {
    let mut scenario = bare(50.0, Service::Fixed(0.001), 2);
    scenario.seconds = 100.0;
    scenario.kill = Some(Kill { at: 50.0, back_after: None });
    let report = simulate(&scenario);
    close(report.answered as f64, 2_500.0, 0.1);
    assert!(report.given_up > 1_000, "{report:?}");
}

/// Nodes that share a machine are one machine: three of them answer what one does.
#[test]
fn three_nodes_on_two_shared_cores_are_no_faster_than_one() {
    let throughput = |nodes, shared_cores| {
        let mut scenario = bare(1.0, Service::Fixed(0.002), 2);
        scenario.nodes = nodes;
        scenario.shared_cores = shared_cores;
        scenario.arrivals = Arrivals::Closed { clients: 32, think: Service::NONE };
        scenario.seconds = 60.0;
        scenario.warmup_seconds = 1.0;
        simulate(&scenario).answered_per_second
    };
    close(throughput(1, Some(2)), 1_000.0, 0.01);
    close(throughput(3, Some(2)), 1_000.0, 0.01);
    close(throughput(3, None), 3_000.0, 0.01);
}

#[test]
fn beyond_its_capacity_a_node_refuses_and_does_not_grow() {
    let mut scenario = bare(200.0, Service::Fixed(0.01), 1);
    scenario.in_flight_max = 50;
    scenario.seconds = 60.0;
    let report = simulate(&scenario);
    assert!(report.in_flight_max <= 50);
    assert!(report.refused > 1_000, "{report:?}");
    close(report.answered_per_second, 100.0, 0.02);
    assert!(report.server_seconds.max < 0.51, "{}", report.server_seconds.max);
}
