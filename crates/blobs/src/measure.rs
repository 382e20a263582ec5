//! How quickly a disk makes photos durable, asked of the disk itself.
//!
//! Owns a bare loop of what publishing does: write, fsync, rename, fsync of the folder. Promises that nothing of it
//! stays behind, unless the process is killed meanwhile; then a folder `.filmgate-measure-…` does, which may be deleted.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::{Error, Result};

/// What so many writers at once reached.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncRate {
    /// Writers at once, each with a file of its own.
    pub writers: usize,
    /// Files written, synced, renamed and their folder synced: two syncs each.
    pub files: usize,
    /// Syncs in a second, all writers together.
    pub syncs_per_second: f64,
    /// The middle one of their times.
    pub median: Duration,
    /// What one in a hundred of them exceeds.
    pub p99: Duration,
}

/// How each of `rounds` syncs of a small file in this folder took: the median. The least that there is to know of a disk.
pub(crate) fn median_sync(folder: &Path, name: &str, rounds: usize) -> Result<Duration> {
    let path = folder.join(name);
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds.max(1) {
        times.push(sync_of(&path, &[0; 4096])?);
    }
    fs::remove_file(&path)?;
    times.sort_unstable();
    Ok(at_share(&times, 0.5))
}

/// Measures the disk that `folder` lies on: `writers` at once, each writing files of `bytes` for as long as `time` says.
///
/// Blocks for that long. The folder must exist; a folder of its own is made in it and removed.
///
/// # Errors
/// Where it cannot be written.
pub fn measure_syncs(folder: &Path, writers: usize, bytes: usize, time: Duration) -> Result<SyncRate> {
    let place = Place::make(folder)?;
    let content = content(bytes);
    let began = Instant::now();
    let outcomes: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..writers.max(1))
            .map(|writer| {
                let (place, content) = (&place.0, &content);
                scope.spawn(move || write_for(place, writer, content, began, time))
            })
            .collect();
        let died = || Err(Error::Io(std::io::Error::other("a writer of the measurement died")));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    let took = began.elapsed();
    let mut times = Vec::new();
    for outcome in outcomes {
        times.extend(outcome?);
    }
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "a count of seconds' syncs")]
    let syncs = times.len() as f64;
    Ok(SyncRate {
        writers: writers.max(1),
        files: times.len() / 2,
        syncs_per_second: syncs / took.as_secs_f64(),
        median: at_share(&times, 0.5),
        p99: at_share(&times, 0.99),
    })
}

/// Its two names by turns. Nothing is deleted meanwhile: on an ext4 without a journal, making files costs many times as
/// much for minutes after many were deleted, and the figure would be of that.
fn write_for(place: &Path, writer: usize, content: &[u8], began: Instant, time: Duration) -> Result<Vec<Duration>> {
    let (written, published) = (place.join(format!("{writer}.staged")), place.join(format!("{writer}.published")));
    let mut times = Vec::new();
    loop {
        times.push(sync_of(&written, content)?);
        fs::rename(&written, &published)?;
        let folder = File::open(place)?;
        let syncing = Instant::now();
        folder.sync_all()?;
        times.push(syncing.elapsed());
        // One at least: a disk that takes longer than the time has its figure too.
        if began.elapsed() >= time {
            return Ok(times);
        }
        fs::rename(&published, &written)?;
    }
}

fn sync_of(path: &Path, content: &[u8]) -> Result<Duration> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    let began = Instant::now();
    file.sync_all()?;
    Ok(began.elapsed())
}

/// Bytes that no disk can compress or leave out as zeroes.
fn content(bytes: usize) -> Vec<u8> {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

fn at_share(sorted: &[Duration], share: f64) -> Duration {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below the length"
    )]
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// A folder of the measurement's own, removed when it is dropped.
struct Place(PathBuf);

impl Place {
    fn make(folder: &Path) -> Result<Self> {
        let path = folder.join(format!(".filmgate-measure-{}", Uuid::now_v7().simple()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "what a measurement wrote could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_counts_what_it_did_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        for writers in [1, 3] {
            let rate = measure_syncs(place.path(), writers, 1_000, Duration::from_millis(20)).unwrap();
            assert!(rate.writers == writers && rate.files >= writers, "{rate:?}");
            assert!(rate.syncs_per_second > 0.0 && rate.median <= rate.p99, "{rate:?}");
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let nowhere = place.path().join("nowhere");
        assert!(measure_syncs(&nowhere, 1, 1, Duration::ZERO).is_err());
        assert!(!nowhere.exists(), "it looks and makes nothing");
    }

    #[test]
    fn shares_are_those_of_the_sorted_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(at_share(&times, 0.5), Duration::from_millis(51));
        assert_eq!(at_share(&times, 0.99), Duration::from_millis(100));
        assert_eq!(at_share(&[], 0.5), Duration::ZERO);
    }
}
