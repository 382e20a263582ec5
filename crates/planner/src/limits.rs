//! What breaks, at which load, how it shows, and what to do then.

use serde::Serialize;

use crate::costs::UnitCosts;
use crate::load::{Catalog, Load, Store};
use crate::model::{CoreSeconds, DECODERS_PER_CORE, commits_per_upload, needs, processing_per_second_needed};

/// Requests that AWS S3 takes for one prefix, at least: docs.aws.amazon.com, "Best practices design patterns:
/// optimizing Amazon S3 performance". Other stores have other limits, or none but their disks.
pub const S3_PUTS_PER_SECOND_PER_PREFIX: f64 = 3_500.0;

/// Something that has an end.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// What it is.
    pub what: &'static str,
    /// The share of it that the load's busiest hour uses; above 1 it is not carried.
    pub used_share: f64,
    /// The captures a second in the busiest hour at which it is used up.
    pub at_captures_per_second: f64,
    /// The captures a day of this shape at which it is used up.
    pub at_captures_per_day: f64,
    /// How it shows.
    pub breaks: &'static str,
    /// What to do then.
    pub then: &'static str,
}

/// Everything that has an end for this load on so many nodes; what breaks first stands first.
pub(crate) fn limits(load: &Load, costs: &UnitCosts, nodes: u32) -> Vec<Limit> {
    let seconds = CoreSeconds::of(load, costs);
    let peak = load.peak_per_second();
    let nodes_f = f64::from(nodes);
    let mut limits = Vec::new();
    let mut add = |what, used_share: f64, breaks, then| {
        if used_share > 0.0 {
            limits.push(Limit {
                what,
                used_share,
                at_captures_per_second: peak / used_share,
                at_captures_per_day: load.captures_per_day / used_share,
                breaks,
                then,
            });
        }
    };

    // The cores as they are, and not as far as they are to be used: here it breaks.
    let cores = nodes_f * load.node_cores;
    let uploads = peak * seconds.upload;
    add(
        "cores of the nodes: uploads",
        uploads / cores,
        "answers slow down, uploads pile up until ingest.uploads_in_flight_max, then 503 with Retry-After",
        "add nodes",
    );
    if load.processing {
        let processing = processing_per_second_needed(load) * seconds.processing;
        add(
            "cores of the nodes: processing in time",
            (processing / (cores * DECODERS_PER_CORE)).max((uploads + processing) / cores),
            "uploads are as quick as before; thumbnails and signs of quality come later than --catch-up says",
            "add nodes, or run filmgate worker on machines of its own",
        );
    }
    for (what, need) in needs(load, costs).into_iter().skip(2) {
        let (breaks, then) = match what {
            "network" => ("uploads take longer, all alike", "add nodes, or a quicker network"),
            "memory of held uploads" => ("the kernel ends the server, or it swaps", "more memory, or nodes"),
            what if what.starts_with("connections") => {
                ("a further connection gets a 503", "add nodes, or raise it with LimitNOFILE=")
            }
            _ => (
                "503 with Retry-After: clients come again after two seconds",
                "add nodes, or raise it if memory allows",
            ),
        };
        // These are needs at the utilisation aimed at where that matters; the network breaks at its end.
        let need = if what == "network" { need * load.utilisation_max } else { need };
        add(what, need / nodes_f, breaks, then);
    }

    match load.catalog {
        Catalog::Sqlite => {
            let sync = costs.fsync_ms.value / 1e3 / load.limits.commit_batch_max;
            let writes = if load.processing { costs.catalog_writes_per_capture.value } else { 1.0 };
            add(
                "the catalog's one writer (SQLite)",
                peak * (seconds.writer + writes * sync),
                "commits grow to records.commit_batch_max writes each, then uploads wait for their turn",
                "move to PostgreSQL: filmgate migrate --to postgres://…",
            );
        }
        Catalog::Postgres => {
            add(
                "cores of the database",
                peak * seconds.database / load.database_cores,
                "transactions slow down on all nodes at once; then 503 after records.unavailable_after_ms",
                "a larger machine for the database; read replicas for lists; partitions once the indexes outgrow memory",
            );
            let pool = nodes_f * load.limits.database_connections_max;
            let busy = peak * costs.postgres_transactions_per_capture.value * costs.postgres_transaction_ms.value / 1e3;
            add(
                "connections to the database (records.connections_max of each node)",
                busy / pool,
                "requests wait for a connection; then 503 after records.unavailable_after_ms",
                "raise records.connections_max within PostgreSQL's max_connections, then PgBouncer",
            );
        }
    }
    match load.store {
        Store::Folder => add(
            "syncs of the node's disk",
            match load.disk_syncs_per_second {
                // The catalog's commits go to the same disk.
                Some(rate) => peak * (costs.fsyncs_per_upload.value + commits_per_upload(load, costs)) / rate / nodes_f,
                None => {
                    peak * costs.fsyncs_per_upload.value * costs.fsync_ms.value
                        / 1e3
                        / load.limits.disk_workers
                        / nodes_f
                }
            },
            "uploads wait for the disk; beyond ingest.disk_queue_max 503 with Retry-After",
            "a disk with power-loss protection, more ingest.disk_workers, or --store s3",
        ),
        Store::S3 => add(
            "objects written to one prefix (AWS: 3,500 a second)",
            (peak + processing_per_second_needed(load) * (costs.s3_puts_per_capture.value - 1.0))
                / S3_PUTS_PER_SECOND_PER_PREFIX,
            "the store answers 503 SlowDown; uploads wait, then 503 with Retry-After",
            "keys begin with day and minute, so all writes of a minute meet in one prefix: ask the store's operator to divide it before, or take a store of your own without such a limit",
        ),
    }
    limits.sort_by(|one, other| other.used_share.total_cmp(&one.used_share));
    limits
}
