//! What this machine is: cores, memory, descriptors, and how quickly its disk makes photos durable.
//!
//! Owns the reading of the kernel's figures, and where the disk is measured. Promises that nothing is left there, and
//! that a folder that does not exist is not made.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use planner::{Machine, SyncRate};

use super::Provenance;
use crate::config::Config;
use crate::filesystem::Filesystem;

/// Writers at once: one as at low load, as many as `ingest.disk_workers` has by default, fewer and more.
const WRITERS: [usize; 4] = [1, 4, 16, 64];
/// Bytes of a file of the measurement, at most: what is asked for is syncs, and not the disk's bandwidth.
const FILE_BYTES_MAX: f64 = 1e6;
/// A sync that takes no longer was swallowed by something.
const SWALLOWED: Duration = Duration::from_micros(10);

/// A machine, and how that was found out.
pub(super) struct Found {
    pub(super) machine: Machine,
    pub(super) warnings: Vec<String>,
    /// The folder that the disk was measured in.
    pub(super) place: String,
    memory_how: String,
    disk_how: String,
}

impl Found {
    pub(super) fn provenance(&self) -> Vec<Provenance> {
        let here = |what, how: &str| Provenance { what, source: "measured here", how: how.to_owned() };
        vec![
            here("cores", "those that the kernel lets this process use, limits of its control group included"),
            here("memory", &self.memory_how),
            here("open files", "the hard limit of this process, which the server takes as its own"),
            here("disk", &self.disk_how),
        ]
    }
}

pub(super) fn measure(config: &Config, photo_bytes: f64, time: Duration) -> anyhow::Result<Found> {
    let mut warnings = Vec::new();
    let place = nearest(&config.blobs_path()).or_else(|| nearest(&config.data_dir));
    let place = place.with_context(|| format!("no folder above {} exists", config.data_dir.display()))?;
    match Filesystem::of(&place) {
        Ok(Filesystem::Memory) => warnings.push(format!(
            "{} lies in memory (tmpfs): its syncs cost nothing and keep nothing; name the real data folder with --data",
            place.display()
        )),
        Ok(Filesystem::Network(name)) => warnings.push(format!(
            "{} lies on a network filesystem ({name}), which neither the catalog nor a fsync can rely on",
            place.display()
        )),
        _ => {}
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most FILE_BYTES_MAX")]
    let bytes = photo_bytes.clamp(1.0, FILE_BYTES_MAX) as usize;
    let mut syncs = Vec::new();
    for writers in WRITERS {
        let rate = blobs::measure_syncs(&place, writers, bytes, time).with_context(|| {
            format!("cannot measure the disk in {}: it must be a folder that this user may write", place.display())
        })?;
        if writers == 1 && rate.median < SWALLOWED {
            warnings.push(format!(
                "a sync takes {} µs: no disk is that quick, so something swallows it, and a power cut would lose answered photos",
                rate.median.as_micros()
            ));
        }
        syncs.push(SyncRate {
            writers: f64::from(u32::try_from(rate.writers).unwrap_or(u32::MAX)),
            per_second: rate.syncs_per_second,
            median_ms: rate.median.as_secs_f64() * 1e3,
            p99_ms: rate.p99.as_secs_f64() * 1e3,
        });
    }
    let space =
        rustix::fs::statvfs(&place).with_context(|| format!("cannot ask for the space of {}", place.display()))?;
    let (memory, memory_how) = memory(Path::new("/"))?;
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    Ok(Found {
        machine: Machine {
            cores: f64::from(u32::try_from(std::thread::available_parallelism().map_or(1, usize::from))?),
            memory_bytes: whole(memory),
            descriptors: whole(descriptors),
            disk_free_bytes: whole(space.f_bavail.saturating_mul(space.f_frsize)),
            syncs,
        },
        warnings,
        memory_how,
        disk_how: format!(
            "files of {bytes} bytes written, synced, renamed and their folder synced, for {:.1} s with each number of writers, in {}",
            time.as_secs_f64(),
            place.display()
        ),
        place: place.display().to_string(),
    })
}

/// This folder, or the nearest above it that exists: on its disk the folder would be made.
fn nearest(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

fn whole(number: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a machine's figures need no 53 bits")]
    let number = number as f64;
    number
}

/// The memory this process may use: the machine's, or less where a control group says so. `root` is `/`.
fn memory(root: &Path) -> anyhow::Result<(u64, String)> {
    let path = root.join("proc/meminfo");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let kilobytes =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let total = kilobytes.map(|kilobytes: u64| kilobytes * 1024).context("/proc/meminfo names no MemTotal")?;
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    Ok(match group_limit(root, &groups) {
        Some(limit) if limit < total => {
            (limit, format!("the limit of this process's control group; the machine has {total} bytes"))
        }
        _ => (total, "MemTotal of /proc/meminfo; no control group sets less".to_owned()),
    })
}

/// The least limit of the control groups that this process is in and those above them, by version 1 or 2.
fn group_limit(root: &Path, groups: &str) -> Option<u64> {
    let mounted = root.join("sys/fs/cgroup");
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let (tree, file) = if controllers.is_empty() {
            (mounted.clone(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (mounted.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the group's own path may not be visible; then it is the root of what is.
        let below = tree.join(group.trim_start_matches('/'));
        let above = below.ancestors().take_while(|folder| folder.starts_with(&tree));
        let texts = above.filter_map(|folder| std::fs::read_to_string(folder.join(file)).ok());
        // "max" is no number, and no limit.
        limits.extend(texts.filter_map(|text| text.trim().parse::<u64>().ok()));
    }
    limits.into_iter().filter(|limit| *limit > 0).min()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A root with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n")].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_least_limit_of_the_groups_above_counts() {
        const GIB: u64 = 1 << 30;
        let cases: [(&[(&str, &str)], u64); 6] = [
            (&[], 8 * GIB),
            (&[("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "max\n")], 8 * GIB),
            (
                &[
                    ("proc/self/cgroup", "0::/a/b\n"),
                    ("sys/fs/cgroup/a/b/memory.max", "4294967296\n"),
                    ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
                ],
                GIB,
            ),
            // A container that sees its own group as the root.
            (&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "2147483648\n")], 2 * GIB),
            (
                &[
                    ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x\n0::/\n"),
                    ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "3221225472\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                3 * GIB,
            ),
            (
                &[
                    ("proc/self/cgroup", "4:memory:/not/seen/here\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ],
                8 * GIB,
            ),
        ];
        for (files, wanted) in cases {
            assert_eq!(memory(root(files).path()).unwrap().0, wanted, "{files:?}");
        }
        let nothing = tempfile::tempdir().unwrap();
        assert!(memory(nothing.path()).unwrap_err().to_string().contains("meminfo"));
    }

    #[test]
    fn a_folder_that_is_not_there_lies_where_its_parent_does() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&place.path().join("not/yet")).unwrap(), place.path());
        assert!(!place.path().join("not").exists());
    }
}
