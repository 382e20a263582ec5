//! `/metrics`: what the HTTP side counts, and the registry that every room adds its own to.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    code: &'static str,
}

/// Every metric of the process.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<RwLock<Registry>>,
    answered: Family<Answered, Counter>,
    durations: Family<Route, Histogram>,
    refused: Family<Refused, Counter>,
    hints: Counter,
    free_bytes: Gauge,
}

impl Metrics {
    /// A registry with the HTTP metrics, and those that `add` adds.
    pub fn new(add: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("filmgate");
        let answered = Family::default();
        let durations = Family::new_with_constructor(
            (|| Histogram::new(exponential_buckets(0.000_5, 2.0, 18))) as fn() -> Histogram,
        );
        let refused = Family::default();
        let hints = Counter::default();
        let free_bytes = Gauge::default();
        registry.register("http_requests", "Requests answered", answered.clone());
        registry.register("http_request_seconds", "Time from a request's header to its answer", durations.clone());
        registry.register("refusals", "Requests refused, by reason", refused.clone());
        registry.register("hints", "Answers to uploads that asked cameras for less", hints.clone());
        registry.register("disk_free_bytes", "Bytes free on the photo disk", free_bytes.clone());
        add(&mut registry);
        Self { registry: Arc::new(RwLock::new(registry)), answered, durations, refused, hints, free_bytes }
    }

    /// Adds the metrics of what is opened later.
    pub fn add(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts an answer.
    pub fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // Any client may invent methods; each label value would live for ever.
        let method = match method.as_str() {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
            _ => "other",
        };
        let labels = Answered { method: method.to_owned(), route: route.to_owned(), status: status.as_u16() };
        self.answered.get_or_create(&labels).inc();
        self.durations.get_or_create(&Route { route: route.to_owned() }).observe(took.as_secs_f64());
    }

    /// Counts a refusal.
    pub fn refused(&self, code: &'static str) {
        self.refused.get_or_create(&Refused { code }).inc();
    }

    /// Counts an answer that asked cameras for less.
    pub fn hinted(&self) {
        self.hints.inc();
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: the encoder writes to a string.
    pub fn encode(&self, free_bytes: Option<u64>) -> Result<String, std::fmt::Error> {
        self.free_bytes.set(free_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)));
        let mut text = String::new();
        let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}
