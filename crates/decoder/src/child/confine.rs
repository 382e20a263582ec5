//! What the child gives up before the first photo.
//!
//! A decoder needs its input, its output and memory. Everything else is given up, so that whoever takes it over with a
//! hostile photo has gained a process that can do nothing but answer wrongly.
//!
//! What every kernel has (limits, death with the parent, no core files) must succeed. Landlock and seccomp may be
//! missing, in old kernels and some containers: then the child goes on without and says so.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, getrlimit, nice, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

use super::memory::Memory;
use crate::{Protection, Protections};

/// The newest rules of Landlock that were looked at here. An older kernel holds those it knows.
const LANDLOCK: ABI = ABI::V10;
/// From this niceness on a child gets only what nobody else wants.
const ONLY_IDLE: i32 = 19;
/// What is open is all that is needed; making Landlock's rules takes one more for a moment.
const DESCRIPTORS_MAX: u64 = 16;

/// What to leave out, so that a test sees each protection alone. In the program always nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Without {
    pub(crate) landlock: bool,
    pub(crate) seccomp: bool,
}

/// Gives up everything that decoding does not need.
pub(crate) fn confine(
    niceness: i32,
    memory: &Memory,
    pipes: [BorrowedFd<'_>; 2],
    without: Without,
) -> io::Result<Protections> {
    // Both seccomp and Landlock hold the calling thread and those it starts: another that runs already would be free.
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a decoder must not have started threads"));
    }
    // A hung decoder does not see the end of its input. The parent spawns from a thread that lives as long as the pool,
    // for this signal comes when the *thread* ends.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Neither a core file nor a debugger may show a patient's face.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Before the niceness, which the library sets to 0 on its way.
    if niceness >= ONLY_IDLE {
        only_idle();
    }
    if niceness > 0 {
        nice(niceness)?;
    }
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Nofile, DESCRIPTORS_MAX),
    ] {
        let most = Some(getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most)));
        setrlimit(resource, Rlimit { current: most, maximum: most })?;
    }
    memory.hold()?;

    let left_out = || Protection::Absent("left out for a test".to_owned());
    let landlock = if without.landlock { left_out() } else { landlock() };
    let seccomp = if without.seccomp { left_out() } else { seccomp(pipes, memory.as_fd()) };
    Ok(Protections { landlock, seccomp })
}

/// Linux's SCHED_IDLE. Niceness alone still lets a decoder finish its slice while an upload waits for the processor:
/// measured beside a full queue, an upload's p95 was three and a half times its own with niceness 10, two and a half
/// with 19, and one and a half with this.
fn only_idle() {
    let policy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    // Refused where the server itself is niced, or by a container: niceness does it then, less well.
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, policy) {
        super::complain(&format!("decoding has no idle priority: {error:?}"));
    }
}

/// No files, no network, no signals to others.
fn landlock() -> Protection {
    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?
            .create()?
            .restrict_self()
    };
    match restrict() {
        Ok(status) => match status.ruleset {
            RulesetStatus::FullyEnforced => Protection::Holds,
            RulesetStatus::PartiallyEnforced => Protection::Partly("the kernel knows an older Landlock".to_owned()),
            RulesetStatus::NotEnforced => Protection::Absent("the kernel has no Landlock".to_owned()),
        },
        Err(error) => Protection::Absent(error.to_string()),
    }
}

/// No system call but those on the list; any other ends the process.
fn seccomp(pipes: [BorrowedFd<'_>; 2], statm: BorrowedFd<'_>) -> Protection {
    let Some(architecture) = architecture() else {
        return Protection::Absent("not made for this processor".to_owned());
    };
    let program = rules(pipes, statm).and_then(|rules| {
        let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture)?;
        BpfProgram::try_from(filter)
    });
    let applied = program.map_err(seccompiler::Error::from).and_then(|program| seccompiler::apply_filter(&program));
    match applied {
        Ok(()) => Protection::Holds,
        Err(error) => Protection::Absent(error.to_string()),
    }
}

const fn architecture() -> Option<TargetArch> {
    if cfg!(target_arch = "x86_64") {
        Some(TargetArch::x86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(TargetArch::aarch64)
    } else {
        None
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules(
    [from_parent, to_parent]: [BorrowedFd<'_>; 2],
    statm: BorrowedFd<'_>,
) -> Result<Rules, seccompiler::BackendError> {
    // Without conditions: they reach nothing outside the process.
    let mut rules: Rules = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_restart_syscall,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_sigaltstack,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    // A fault of the tests sleeps.
    #[cfg(debug_assertions)]
    rules.extend([(libc::SYS_nanosleep, Vec::new()), (libc::SYS_clock_nanosleep, Vec::new())]);

    // The parent's descriptors are not inherited, as far as this program opens them. Should one be (a socket that
    // systemd handed over, say), it is of no use here.
    let descriptor = |fd: BorrowedFd<'_>| is(0, i64::from(fd.as_raw_fd()));
    let standard_error = || is(0, 2);
    rules.insert(libc::SYS_read, vec![rule([descriptor(from_parent)?])?]);
    rules.insert(libc::SYS_pread64, vec![rule([descriptor(statm)?])?]);
    for write in [libc::SYS_write, libc::SYS_writev] {
        rules.insert(write, vec![rule([descriptor(to_parent)?])?, rule([standard_error()?])?]);
    }
    // Memory that can be run is what an exploit makes first.
    for map in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(map, vec![rule([without_bits(2, libc::PROT_EXEC)?])?]);
    }
    // Its own limits, and its own death: abort sends itself a signal.
    rules.insert(libc::SYS_prlimit64, vec![rule([is(0, 0)?])?]);
    rules.insert(libc::SYS_tgkill, vec![rule([is(0, i64::from(getpid().as_raw_nonzero().get()))?])?]);
    Ok(rules)
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(conditions.into())
}

/// Every argument compared here is 32 bits wide for the kernel too; the upper half is not looked at.
fn is(argument: u8, value: i64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value.unsigned_abs())
}

fn without_bits(argument: u8, bits: i32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let bits = u64::from(bits.unsigned_abs());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0)
}
