//! What the running of tasks measures of itself.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use records::{TaskKind, TaskState};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Metrics of one process's tasks; clones share their values.
#[derive(Clone)]
pub(crate) struct Metrics {
    tasks: Family<Labels<2>, Gauge>,
    runs: Family<Labels<2>, Counter>,
    run_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    wait_seconds: Family<Labels<1>, Histogram, fn() -> Histogram>,
    pub(crate) lost_leases: Counter,
    pub(crate) redis_reconnects: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            tasks: Family::default(),
            runs: Family::default(),
            run_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
            wait_seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 4.0, 12))),
            lost_leases: Counter::default(),
            redis_reconnects: Counter::default(),
        }
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("tasks", "Tasks that are open or dead letters, by kind and state", self.tasks.clone());
        registry.register("task_runs", "Runs of tasks, by kind and outcome", self.runs.clone());
        registry.register("task_run_seconds", "Time of one run of a task", self.run_seconds.clone());
        registry.register(
            "task_wait_seconds",
            "Time from a task's recording to its first run",
            self.wait_seconds.clone(),
        );
        registry.register("task_lost_leases", "Runs given up because another had the task", self.lost_leases.clone());
        registry.register(
            "task_redis_reconnects",
            "Connections to Redis made after one was lost",
            self.redis_reconnects.clone(),
        );
    }

    pub(crate) fn counted(&self, counts: &[(TaskKind, TaskState, u64)]) {
        for kind in TaskKind::ALL {
            for state in [TaskState::Pending, TaskState::Started, TaskState::Retry, TaskState::Failure] {
                let count = counts.iter().find(|(of, is, _)| (*of, *is) == (kind, state)).map_or(0, |count| count.2);
                self.tasks
                    .get_or_create(&[("kind", kind.as_str()), ("state", state.as_str())])
                    .set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
    }

    pub(crate) fn waited(&self, kind: TaskKind, seconds: f64) {
        self.wait_seconds.get_or_create(&[("kind", kind.as_str())]).observe(seconds.max(0.0));
    }

    pub(crate) fn ran(&self, kind: TaskKind, outcome: &'static str, seconds: f64) {
        self.runs.get_or_create(&[("kind", kind.as_str()), ("outcome", outcome)]).inc();
        self.run_seconds.get_or_create(&[("kind", kind.as_str())]).observe(seconds);
    }
}
