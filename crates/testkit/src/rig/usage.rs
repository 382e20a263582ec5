//! What processes have used, seen from outside: processor, disk, memory; and what a node counts of itself.

#![allow(clippy::cast_precision_loss, reason = "figures for a person")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Result, ensure};

use crate::http::Request;
use crate::process;

/// The thread that alone writes SQLite.
const WRITER: &str = "catalog-writer";

/// What a node had used at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor of the servers, without their decoders.
    pub server_us: f64,
    /// Processor of their decoders.
    pub decoders_us: f64,
    /// Processor of the catalogs' writing threads, part of the servers'.
    pub writer_us: f64,
    /// Bytes that the servers had the kernel write to disks.
    pub written_bytes: f64,
}

fn cpu_us(pid: u32) -> f64 {
    process::cpu_ms(pid).unwrap_or(0) as f64 * 1000.0
}

impl Usage {
    /// Of these servers and of what they started.
    pub fn of(servers: &[u32]) -> Self {
        let mut usage = Self::default();
        for server in servers {
            usage.server_us += cpu_us(*server);
            usage.decoders_us += process::decoders(*server).into_iter().map(cpu_us).sum::<f64>();
            usage.writer_us += writer_us(*server);
            usage.written_bytes += written_bytes(*server);
        }
        usage
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            server_us: self.server_us - before.server_us,
            decoders_us: self.decoders_us - before.decoders_us,
            writer_us: self.writer_us - before.writer_us,
            written_bytes: self.written_bytes - before.written_bytes,
        }
    }
}

/// Processor of a process and of all that descend from it, such as `PostgreSQL`'s backends.
pub fn tree_us(root: u32) -> f64 {
    process::tree(root).into_iter().map(cpu_us).sum()
}

/// Of the thread alone, in nanoseconds' steps: the first number of its schedstat.
fn writer_us(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let of = |thread: fs::DirEntry| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let used: f64 = stat.split_whitespace().next()?.parse().ok()?;
        (name.trim() == WRITER).then_some(used / 1000.0)
    };
    threads.flatten().filter_map(of).sum()
}

fn written_bytes(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes:"));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or(0.0)
}

/// Processor of the whole machine since it started, whoever used it, and of it what was left idle: in microseconds.
pub fn machine_us() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        // The last two are counted under the first two already.
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let us = 1e6 / rustix::param::clock_ticks_per_second() as f64;
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    ((fields.iter().sum::<f64>() - idle) * us, idle * us)
}

/// What nodes count of themselves, summed over them; labels are left out, and series that differ in them added up.
#[derive(Clone, Debug, Default)]
pub struct Counted(BTreeMap<String, f64>);

impl Counted {
    pub fn of(addresses: &[SocketAddr]) -> Result<Self> {
        let mut counted = BTreeMap::new();
        for address in addresses {
            let answer = Request::get("/metrics").send(*address)?;
            ensure!(answer.status == 200, "metrics: status {}", answer.status);
            for line in answer.text().lines().filter(|line| !line.starts_with('#')) {
                let Some((series, value)) = line.rsplit_once(' ') else { continue };
                let name = series.split('{').next().unwrap_or(series);
                *counted.entry(name.to_owned()).or_default() += value.parse::<f64>().unwrap_or(0.0);
            }
        }
        Ok(Self(counted))
    }

    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// How far a counter has gone since `before`.
    pub fn since(&self, before: &Self, name: &str) -> f64 {
        self.get(name) - before.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_to_work() {
        let me = std::process::id();
        let before = Usage::of(&[me]);
        let end = std::time::Instant::now() + std::time::Duration::from_millis(60);
        let mut sum = 0_u64;
        while std::time::Instant::now() < end {
            sum = sum.wrapping_mul(3).wrapping_add(1);
        }
        let used = Usage::of(&[me]).since(&before);
        assert!(used.server_us >= 10_000.0, "{used:?} {sum}");
        assert!(used.writer_us.abs() < f64::EPSILON, "no thread of that name here");
        assert!(tree_us(me) >= used.server_us);
    }
}
