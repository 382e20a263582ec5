//! A simulation by discrete events, for what arithmetic does not say: how long one waits, how a class that starts at
//! the same second is borne, what a dead node does to the others.
//!
//! An upload is admitted to a node or refused with a 503 and comes again; is held while it is sent; waits for a core;
//! then for the disk or the object store; then for the catalog, which is SQLite's one writer with its group commit, or
//! a pool of connections to PostgreSQL. After the answer its photo waits to be decoded, on cores that no upload wants.
//!
//! The same scenario gives the same report, to the last digit. Nothing but the clock of the simulation passes.

mod cores;
mod random;
mod report;
mod run;
mod scenario;
#[cfg(test)]
mod tests;

pub use report::{Moment, Percentiles, Report};
pub use scenario::{Arrivals, Burst, CatalogStation, Disk, Kill, Processing, Retry, Scenario, Service};

/// Plays a scenario to its end.
pub fn simulate(scenario: &Scenario) -> Report {
    run::Run::new(scenario).play()
}
