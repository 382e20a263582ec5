//! The same load under Gunicorn's gthread workers, as the original ran it: workers times threads.
//!
//! A thread is held for the whole upload, from the first byte of the body to the last of the answer, so the threads that
//! are busy are uploads a second times the seconds each takes (Little's law), however little processor that costs.
//! A worker's threads share one interpreter, and with its lock one core.

use serde::Serialize;

use crate::closed_forms::erlang_c;
use crate::load::Load;

/// Workers and threads of the original.
const ORIGINAL: (u32, u32) = (6, 16);
/// Processor of the original's server for one upload of one JPEG of 100 kB, in milliseconds.
const CPU_MS: f64 = 4.1;
/// Where that figure comes from.
pub const CPU_PROVENANCE: &str = "given with the task, not measured here: the original's Flask under gthread 6x16 on a machine of 2 cores, \
     one multipart upload of a JPEG of 100 kB with sign-in, ownership, settings, file and row, without any fsync";
/// Of all uploads, those that may find every thread busy.
const WAITING_MAX: f64 = 0.01;
/// Beyond these, Erlang's C says the same as a normal distribution does, only more slowly.
const ERLANG_THREADS_MAX: f64 = 20_000.0;

/// What the load asks of gthread workers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gthread {
    /// Processor of one upload.
    pub cpu_ms_per_upload: f64,
    /// Where that figure comes from.
    pub cpu_provenance: &'static str,
    /// Mean seconds that an upload holds its thread.
    pub seconds_held: f64,
    /// Threads that are held by uploads in the busiest hour, on average.
    pub threads_held: f64,
    /// Threads, so that of a hundred uploads one finds none free.
    pub threads_needed: u32,
    /// Cores for the uploads alone.
    pub cores: f64,
    /// Workers of the original's 16 threads: for the threads, and for the cores as each worker has one of them at most.
    pub workers_needed: u32,
    /// What the original had.
    pub original: Original,
}

/// The original's own workers and threads under this load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Original {
    /// Processes.
    pub workers: u32,
    /// Threads of each.
    pub threads: u32,
    /// The share of its threads that uploads hold, on average; at 1 and above no page is answered any more.
    pub held_share: f64,
    /// Whether that is below 1.
    pub answers: bool,
    /// Captures a second of such uploads at which every thread is held.
    pub all_held_at_per_second: f64,
    /// The same in participants.
    pub all_held_at_users: f64,
}

impl Gthread {
    /// What a load without [`Load::problems`] needs.
    pub fn of(load: &Load) -> Self {
        let rate = load.peak_per_second();
        let held = load.transfer_seconds() + CPU_MS / 1e3;
        let threads_held = rate * held;
        let cores = rate * CPU_MS / 1e3;
        let threads_needed = threads(rate, held);
        let (workers, threads) = ORIGINAL;
        let all = f64::from(workers * threads);
        // What limits it first: the threads, or the cores that its workers can use.
        let all_held_at = (all / held).min(f64::from(workers) * 1e3 / CPU_MS);
        let share = (threads_held / all).max(cores / f64::from(workers));
        Self {
            cpu_ms_per_upload: CPU_MS,
            cpu_provenance: CPU_PROVENANCE,
            seconds_held: held,
            threads_held,
            threads_needed,
            cores,
            workers_needed: threads_needed.div_ceil(threads).max(whole(cores / load.utilisation_max)),
            original: Original {
                workers,
                threads,
                held_share: share,
                answers: share < 1.0,
                all_held_at_per_second: all_held_at,
                all_held_at_users: all_held_at * load.interval_seconds,
            },
        }
    }
}

/// The fewest threads that keep all but [`WAITING_MAX`] of the uploads from waiting for one.
fn threads(rate: f64, held: f64) -> u32 {
    let offered = rate * held;
    if offered > ERLANG_THREADS_MAX {
        // 2.33 standard deviations of a Poisson count: one in a hundred.
        return whole(offered + 2.33 * offered.sqrt());
    }
    let (mut too_few, mut enough) = (whole(offered).saturating_sub(1), whole(offered + 6.0 * offered.sqrt()) + 4);
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if erlang_c(rate, held, middle) <= WAITING_MAX { enough = middle } else { too_few = middle }
    }
    enough
}

fn whole(number: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let whole = (number - 1e-9).ceil().clamp(1.0, f64::from(u32::MAX / 2)) as u32;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(users: f64, slow_share: f64) -> Load {
        Load { slow_share, ..Load::example() }.of_users(users, 1.0)
    }

    #[track_caller]
    fn close(found: f64, wanted: f64) {
        assert!((found - wanted).abs() <= 1e-9 * wanted.abs(), "{found} is not {wanted}");
    }

    #[test]
    fn a_thread_is_held_for_the_whole_upload() {
        // 120 kB at 1 MB/s: 0.12 s, and 4.1 ms of processor.
        let quick = Gthread::of(&load(300.0, 0.0));
        close(quick.seconds_held, 0.1241);
        close(quick.threads_held, 300.0 * 0.1241);
        close(quick.cores, 300.0 * 0.0041);
        assert!(quick.original.answers, "{:?}", quick.original);
        close(quick.original.all_held_at_per_second, 96.0 / 0.1241);
        // Ninety-six phones at 1 kB/s hold them all, and cost next to no processor.
        let slow = Gthread::of(&Load { slow_share: 1.0, ..Load::example() }.of_users(96.0, 120.0041));
        close(slow.threads_held, 96.0);
        assert!(!slow.original.answers && slow.cores < 0.01, "{slow:?}");
    }

    #[test]
    fn the_threads_needed_are_the_fewest_that_keep_one_in_a_hundred_waiting() {
        for (users, slow_share) in [(1.0, 0.0), (30.0, 0.0), (300.0, 0.0), (300.0, 0.1), (100.0, 1.0)] {
            let load = load(users, slow_share);
            let found = Gthread::of(&load);
            let waiting = |threads| erlang_c(load.peak_per_second(), found.seconds_held, threads);
            assert!(waiting(found.threads_needed) <= WAITING_MAX, "{found:?}");
            assert!(found.threads_needed == 1 || waiting(found.threads_needed - 1) > WAITING_MAX, "{found:?}");
            assert!(f64::from(found.workers_needed * 16) >= f64::from(found.threads_needed), "{found:?}");
        }
        let many = threads(1e4, 120.0);
        assert!((1_200_000..1_210_000).contains(&many), "{many}");
    }

    #[test]
    fn where_uploads_are_short_the_interpreters_lock_decides() {
        let fast = Load { uplink_bytes_per_second: 1e9, ..Load::example() }.of_users(3_000.0, 1.0);
        let found = Gthread::of(&fast);
        close(found.cores, 12.3);
        assert_eq!(found.workers_needed, 21, "12.3 cores at 60 %");
        assert!(!found.original.answers, "six interpreters have six cores");
        close(found.original.all_held_at_per_second, 6.0 / 0.0041);
    }
}
