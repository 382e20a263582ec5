//! How much address space the child may take.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond the estimate: the allocator takes memory in larger pieces than it hands out.
pub(crate) const SLACK_BYTES: u64 = 16 * 1024 * 1024;
/// A child that keeps this much more than it had at first is replaced: freed memory that the allocator holds on to is
/// in nobody's budget.
const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The child's own size, and the limit it lives under.
pub(crate) struct Memory {
    /// Opened before files are out of reach.
    statm: File,
    page_bytes: u64,
    first_bytes: u64,
    limit_bytes_max: u64,
}

impl Memory {
    pub(crate) fn open(budget_bytes: u64) -> io::Result<Self> {
        let statm = File::open("/proc/self/statm")?;
        let page_bytes = rustix::param::page_size() as u64;
        let mut memory = Self { statm, page_bytes, first_bytes: 0, limit_bytes_max: u64::MAX };
        memory.first_bytes = memory.size_bytes()?;
        memory.limit_bytes_max =
            [budget_bytes, GROWTH_BYTES_MAX, SLACK_BYTES].into_iter().fold(memory.first_bytes, u64::saturating_add);
        Ok(memory)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.statm.as_fd()
    }

    /// Sets the limit for the next photo. An allocation beyond it fails, which ends the process.
    pub(crate) fn allow(&self, memory_bytes: u64) -> io::Result<()> {
        let wanted = [memory_bytes, SLACK_BYTES].into_iter().fold(self.size_bytes()?, u64::saturating_add);
        let maximum = getrlimit(Resource::As).maximum;
        let current = wanted.min(self.limit_bytes_max).min(maximum.unwrap_or(u64::MAX));
        Ok(setrlimit(Resource::As, Rlimit { current: Some(current), maximum })?)
    }

    /// The limit that no request can lift.
    pub(crate) fn hold(&self) -> io::Result<()> {
        let before = getrlimit(Resource::As).maximum.unwrap_or(u64::MAX);
        let maximum = Some(self.limit_bytes_max.min(before));
        Ok(setrlimit(Resource::As, Rlimit { current: maximum, maximum })?)
    }

    /// Whether it is time for another child.
    pub(crate) fn has_grown(&self) -> io::Result<bool> {
        Ok(self.size_bytes()? > self.first_bytes.saturating_add(GROWTH_BYTES_MAX))
    }

    fn size_bytes(&self) -> io::Result<u64> {
        let mut text = [0; 32];
        let read = self.statm.read_at(&mut text, 0)?;
        let pages = text.get(..read).unwrap_or_default().split(|byte| *byte == b' ').next().unwrap_or_default();
        let pages = std::str::from_utf8(pages).ok().and_then(|digits| digits.parse::<u64>().ok());
        let pages = pages.ok_or_else(|| io::Error::other("the process cannot tell its own size"))?;
        Ok(pages.saturating_mul(self.page_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_when_it_has_grown() {
        let memory = Memory::open(0).unwrap();
        assert!(!memory.has_grown().unwrap());
        let hoard = vec![1_u8; usize::try_from(2 * GROWTH_BYTES_MAX).unwrap()];
        assert!(memory.has_grown().unwrap());
        drop(hoard);
    }
}
