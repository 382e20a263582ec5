//! What work costs: CPU time of this process and of the server's processes that work for it, and time on the clock.

use std::time::Instant;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};

/// Keeps this process on one processor, before it has threads: to wake a thread on another one costs several times as
/// much, and which threads lie where would be luck that lasts for a whole run.
pub fn stay_here() {
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here).unwrap();
}

/// Of one operation, or of many.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    pub cpu_us: f64,
    pub clock_us: f64,
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.cpu_us += other.cpu_us;
        self.clock_us += other.clock_us;
    }
}

impl std::ops::Sub for Cost {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { cpu_us: self.cpu_us - other.cpu_us, clock_us: self.clock_us - other.clock_us }
    }
}

impl std::ops::Div<f64> for Cost {
    type Output = Self;
    fn div(self, many: f64) -> Self {
        Self { cpu_us: self.cpu_us / many, clock_us: self.clock_us / many }
    }
}

/// Reads the meters.
pub struct Meter {
    began: Instant,
    server: Option<tokio_postgres::Client>,
}

impl Meter {
    /// Of this process alone.
    pub fn alone() -> Self {
        Self { began: Instant::now(), server: None }
    }

    /// Of this process and of the server's processes for the database of this URL. The one that asks for them does not
    /// count.
    pub async fn with_backends(url: &str) -> Self {
        Self { server: Some(crate::load::postgres::connect(url).await), ..Self::alone() }
    }

    /// Before the work. The server's processes first: to ask after them costs this one something.
    pub async fn begin(&self) -> Cost {
        let server_us = self.server_us().await;
        self.own(server_us)
    }

    /// After it.
    pub async fn end(&self) -> Cost {
        let own = self.own(0.0);
        Cost { cpu_us: own.cpu_us + self.server_us().await, ..own }
    }

    fn own(&self, server_us: f64) -> Cost {
        let own = clock_gettime(ClockId::ProcessCPUTime);
        let clock_us = self.began.elapsed().as_secs_f64() * 1e6;
        Cost { cpu_us: own.tv_sec as f64 * 1e6 + own.tv_nsec as f64 / 1e3 + server_us, clock_us }
    }

    async fn server_us(&self) -> f64 {
        let Some(server) = &self.server else { return 0.0 };
        // A parallel worker comes and goes unseen: none of the queries is of a kind to have any.
        let backends = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
                        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let rows = server.query(backends, &[]).await.unwrap();
        let processes = rows.iter().map(|row| row.get(0));
        processes.inspect(|process| keep_beside(*process)).map(cpu_of).sum()
    }
}

/// Has the server's process run where this one does. It may be another user's: then it runs where it likes.
fn keep_beside(process: i32) {
    if let (Some(process), Ok(here)) = (Pid::from_raw(process), sched_getaffinity(None)) {
        sched_setaffinity(Some(process), &here).ok();
    }
}

/// To the nanosecond, where `/proc/PID/stat` counts hundredths of a second.
fn cpu_of(process: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
    stat.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e3
}
