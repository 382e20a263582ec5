//! What a load needs, before there is a machine for it.
//!
//! It owns the model (a load and unit costs in; nodes, cores, rows, bytes, requests and money out), what breaks first,
//! and a simulation of queues for what arithmetic cannot say. It reads no file, opens no socket and knows no clock: the
//! same question has the same answer. Measuring the unit costs is left to `bench/scale/run`, printing to the program.
//!
//! Everything counts in seconds, bytes and cores unless its name says otherwise.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a plan: below 2^53 they are exact, and above it nobody counts photos"
)]

pub mod closed_forms;
mod costs;
mod gthread;
mod limits;
mod load;
mod model;
mod prices;
pub mod quantity;
pub mod simulation;
mod tuning;

pub use costs::{BUILT_IN, CostsError, Figure, Source, UnitCosts};
pub use gthread::{CPU_PROVENANCE as GTHREAD_CPU_PROVENANCE, Gthread, Original};
pub use limits::{Limit, S3_PUTS_PER_SECOND_PER_PREFIX};
pub use load::{Catalog, Load, ServerLimits, Store};
pub use model::{Arrivals, Backlog, CatalogGrowth, Cores, Held, Network, Nodes, Plan, StoreGrowth};
pub use prices::{Cost, CostLine, Prices, PricesError};
pub use tuning::{Advice, Holds, Machine, Settings, SyncRate, Tuned, tune};
