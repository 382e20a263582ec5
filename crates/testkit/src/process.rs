//! Processes seen from outside: who descends from whom, what they use, and how they are ended.

use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// What one look at `/proc/PID/stat` tells.
struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields begin after the last one.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?,
    })
}

fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The process and all that descend from it, parents before children.
pub fn tree(root: u32) -> Vec<u32> {
    let known: Vec<(u32, u32)> = all().into_iter().filter_map(|pid| Some((pid, stat(pid)?.parent))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(known.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// The first process of the tree that runs this program: the server behind `strace` or `prlimit`.
pub fn running(root: u32, program: &Path) -> Option<u32> {
    let program = program.canonicalize().ok()?;
    tree(root).into_iter().find(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program))
}

/// The decoder children of a server or a worker.
pub fn decoders(root: u32) -> Vec<u32> {
    let decodes = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|words| words.split(|byte| *byte == 0).any(|word| word == b"decode-photos"))
    };
    tree(root).into_iter().skip(1).filter(decodes).collect()
}

/// Memory a process holds, in KB.
pub fn rss_kb(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// CPU time a process has used, user and system, in milliseconds.
pub fn cpu_ms(pid: u32) -> Option<u64> {
    Some(stat(pid)?.ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// How many descriptors a process has open.
pub fn open_descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Gone already is as good as signalled.
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// Ends a process and all its descendants at once, without a chance to tidy up.
pub fn kill_tree(root: u32) {
    for pid in tree(root) {
        signal(pid, Signal::KILL);
    }
}

/// Stops a process and all its descendants, or with `Signal::CONT` wakes them; who they are. A child that is started
/// in between is stopped too: a stopped parent starts no more.
pub fn signal_tree(root: u32, with: Signal) -> Vec<u32> {
    signal(root, with);
    let members = tree(root);
    for pid in &members[1..] {
        signal(*pid, with);
    }
    members
}

/// Waits for a child at most `limit`; `None` where it still runs.
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Raises this process's limit of open descriptors to the hard limit and returns it.
pub fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it may not be raised, the old limit holds and is what is returned.
    setrlimit(Resource::Nofile, limit).ok();
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_tree_is_found_and_killed_whole() {
        let mut shell = Command::new("sh").args(["-c", "sleep 60 & sleep 60; true"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(5);
        while tree(shell.id()).len() < 3 && Instant::now() < end {
            thread::sleep(Duration::from_millis(5));
        }
        let members = tree(shell.id());
        assert_eq!(members.len(), 3);
        kill_tree(shell.id());
        assert!(wait(&mut shell, Duration::from_secs(5)).is_some());
        for pid in &members[1..] {
            let end = Instant::now() + Duration::from_secs(5);
            // An orphan stays a zombie until whoever adopted it looks; what counts is that it holds no memory.
            while rss_kb(*pid).is_some() && Instant::now() < end {
                thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(rss_kb(*pid), None);
        }
    }

    #[test]
    fn this_process_uses_memory_and_descriptors() {
        let me = std::process::id();
        assert!(rss_kb(me).unwrap() > 100);
        assert!(open_descriptors(me).unwrap() >= 3);
        assert!(cpu_ms(me).is_some());
    }
}
