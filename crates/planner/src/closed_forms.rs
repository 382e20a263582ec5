//! What queueing theory says in a formula: the measure that the simulation is held to, and a first guess for people.
//!
//! `rate` is arrivals per second, `service` the mean seconds of one service. Each returns `f64::INFINITY` where the
//! queue grows without end.

/// The share of arrivals that wait in M/M/c: Erlang's C.
pub fn erlang_c(rate: f64, service: f64, servers: u32) -> f64 {
    let offered = rate * service;
    let servers_f = f64::from(servers);
    if offered >= servers_f {
        return 1.0;
    }
    // Erlang's B by its recursion: the factorials of the textbook would overflow beyond 170 servers.
    let blocked = (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
    blocked / (1.0 - offered / servers_f * (1.0 - blocked))
}

/// Mean seconds from arrival to departure in M/M/c.
pub fn mmc_seconds(rate: f64, service: f64, servers: u32) -> f64 {
    let spare = f64::from(servers) / service - rate;
    if spare <= 0.0 {
        return f64::INFINITY;
    }
    erlang_c(rate, service, servers) / spare + service
}

/// The seconds within which `share` of all depart in M/M/1.
pub fn mm1_percentile_seconds(rate: f64, service: f64, share: f64) -> f64 {
    let spare = 1.0 / service - rate;
    if spare <= 0.0 { f64::INFINITY } else { -(1.0 - share).ln() / spare }
}

/// Mean seconds from arrival to departure in M/D/1 (Pollaczek and Khinchine).
pub fn md1_seconds(rate: f64, service: f64) -> f64 {
    let load = rate * service;
    if load >= 1.0 { f64::INFINITY } else { service + load * service / (2.0 * (1.0 - load)) }
}

/// Uploads per second of `clients` that think, queue at one M/M/1 station and begin again: mean value analysis.
pub fn closed_throughput(clients: u32, think: f64, service: f64) -> f64 {
    let (mut queue, mut throughput) = (0.0, 0.0);
    for n in 1..=clients {
        let stay = service * (1.0 + queue);
        throughput = f64::from(n) / (think + stay);
        queue = throughput * stay;
    }
    throughput
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 5e-4 * wanted.abs().max(1.0), "{found} is not {wanted}");
    }

    /// Figures that stand in textbooks and tables, so that a slip in a formula cannot hide behind the simulation.
    #[test]
    fn tables_agree() {
        close(erlang_c(10.0, 1.0, 14), 0.1741);
        close(erlang_c(2.0, 1.0, 3), 4.0 / 9.0);
        close(erlang_c(0.5, 1.0, 1), 0.5);
        close(mmc_seconds(0.5, 1.0, 1), 2.0);
        close(mmc_seconds(1.0, 1.0, 2), 4.0 / 3.0);
        close(md1_seconds(0.5, 1.0), 1.5);
        close(mm1_percentile_seconds(0.5, 1.0, 0.95), 5.9915);
        close(closed_throughput(1, 1.0, 1.0), 0.5);
        close(closed_throughput(1000, 1.0, 1.0), 1.0);
    }

    #[test]
    fn beyond_capacity_nothing_is_promised() {
        assert!(mmc_seconds(2.0, 1.0, 2).is_infinite());
        assert!(md1_seconds(1.0, 1.0).is_infinite());
        assert!(mm1_percentile_seconds(1.0, 1.0, 0.5).is_infinite());
        close(erlang_c(5.0, 1.0, 2), 1.0);
    }
}
