//! The running of tasks, by both engines: a real catalog in a file, a real redis-server, and time.
//!
//! [`contract`], [`endings`], [`leases`] and [`stopping`] run for each engine. [`redis`] is what only Redis can do to us.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

/// Each case, once for each engine.
macro_rules! for_both_engines {
    ($($case:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::support::Rig::embedded()).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::support::Rig::redis()).await;
            })+
        }
    };
}

mod contract;
mod endings;
mod leases;
mod redis;
mod server;
mod stopping;
mod support;
mod work;
