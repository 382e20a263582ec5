//! What an operator says about each sink.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

/// One webhook: where events go, and how they are signed. [`WebhookOptions::new`] gives the defaults.
#[derive(Clone)]
pub struct WebhookOptions {
    /// Names the sink in deliveries, errors and metrics: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// `https://…`, or `http://…` to one of `allow_private_networks`. It may hold a token: it is never shown.
    pub url: String,
    /// `whsec_` and the base64 of 24 to 64 bytes. Several while one is being replaced: each signs every delivery.
    pub secrets: Vec<String>,
    /// Private networks that may be connected to, such as `10.20.0.0/16`. Empty: the public internet alone.
    pub allow_private_networks: Vec<IpNet>,
    /// Limit of one attempt in all: name, connection, TLS, request and the answer's head.
    pub timeout: Duration,
    /// Attempts under way at once to this sink. More wait: a receiver that hangs holds no more threads than these.
    pub in_flight_max: usize,
    /// PEM of the certificate authorities to trust instead of Mozilla's list, for a receiver in the house.
    pub ca_certificates_pem: Option<Vec<u8>>,
}

impl WebhookOptions {
    /// A webhook to the public internet: 15 seconds for an attempt, four at once.
    pub fn new(name: impl Into<String>, url: impl Into<String>, secrets: Vec<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            secrets,
            allow_private_networks: Vec::new(),
            timeout: Duration::from_secs(15),
            in_flight_max: 4,
            ca_certificates_pem: None,
        }
    }
}

/// Leaves out URL and secrets, which would otherwise stand in some log one day.
impl fmt::Debug for WebhookOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookOptions")
            .field("name", &self.name)
            .field("secrets", &self.secrets.len())
            .field("allow_private_networks", &self.allow_private_networks)
            .field("timeout", &self.timeout)
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}

/// The Celery app that gets events as tasks. [`CeleryOptions::new`] gives the defaults.
#[derive(Clone)]
pub struct CeleryOptions {
    /// Celery's own `broker_url`: `redis://[user:password@]host[:port][/db]`, `rediss://…` with TLS, or
    /// `redis+socket:///path[?virtual_host=db]` (`redis+unix:///path[?db=db]` is the same). It may hold a password: it is
    /// never shown.
    pub broker_url: String,
    /// The queue that the app's workers consume.
    pub queue: String,
    /// The name of the app's task. It is called with one keyword argument, `event`.
    pub task_name: String,
    /// Celery's `global_keyprefix`, where its `broker_transport_options` has one.
    pub key_prefix: String,
    /// Limit of one attempt in all, connecting included.
    pub timeout: Duration,
    /// PEM of the certificate authorities to trust instead of the system's, for `rediss://`.
    pub ca_certificates_pem: Option<Vec<u8>>,
}

impl CeleryOptions {
    /// Celery's default queue `celery`, the task `filmgate.capture_event`, ten seconds for an attempt.
    pub fn new(broker_url: impl Into<String>) -> Self {
        Self {
            broker_url: broker_url.into(),
            queue: "celery".to_owned(),
            task_name: "filmgate.capture_event".to_owned(),
            key_prefix: String::new(),
            timeout: Duration::from_secs(10),
            ca_certificates_pem: None,
        }
    }
}

/// Leaves out the broker's URL, which may hold a password.
impl fmt::Debug for CeleryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CeleryOptions")
            .field("queue", &self.queue)
            .field("task_name", &self.task_name)
            .field("key_prefix", &self.key_prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A sink that cannot be used as it is configured. The words name the sink and say what to do; they never hold a URL.
#[derive(Debug, thiserror::Error)]
#[error("sink {sink:?}: {problem}")]
pub struct OptionsError {
    /// The sink's name.
    pub sink: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl OptionsError {
    pub(crate) fn new(sink: &str, problem: impl Into<String>) -> Self {
        Self { sink: sink.to_owned(), problem: problem.into() }
    }
}
