//! What is counted of the app's database.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    questions: Family<Labels, Counter>,
    pub(crate) unavailable: Gauge<i64, AtomicI64>,
    pub(crate) cache_entries: Gauge<i64, AtomicI64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self { questions: Family::default(), unavailable: Gauge::default(), cache_entries: Gauge::default() }
    }

    pub(crate) fn count(&self, kind: &'static str, outcome: &'static str) {
        self.questions.get_or_create(&Labels { kind, outcome }).inc();
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "host_questions",
            "Questions about the app's rows: answered by its database, from the cache, believed while it is away, or not",
            self.questions.clone(),
        );
        registry.register("host_unavailable", "1 while the app's database is away", self.unavailable.clone());
        registry.register("host_cache_entries", "Answers of the app's database kept", self.cache_entries.clone());
    }
}
