//! Events out: `capture.stored`, `capture.processed`, `capture.failed` and `capture.deleted` on their way to other
//! programs, as webhooks and as Celery tasks.
//!
//! Owns how one event is brought to one sink, and what the sink's answer means. Promises that [`Events::deliver`] ends
//! in bounded time, that nothing is called delivered that the sink did not answer for, that the id of a delivery is the
//! same in every attempt (so receivers can tell a repetition), and that no error holds a secret, a URL or an address.
//! Leaves to the queue which deliveries there are, when they are tried again, and when they are given up. Leaves to who
//! records an event what its payload says (`docs/events.md`).
//!
//! A sink gets an event **at least once**: an answer lost on its way back is an attempt repeated.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use uuid::Uuid;

mod addresses;
mod celery;
mod envelope;
mod metrics;
mod options;
mod retry_after;
mod signature;
mod webhook;

pub use options::{CeleryOptions, OptionsError, WebhookOptions};

use celery::Celery;
use metrics::Metrics;
use webhook::Webhook;

/// One event on its way to one sink.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The id of the delivery's task, the same in every attempt: `webhook-id`, and Celery's task id.
    pub id: Uuid,
    /// The sink's name, one of [`Events::sink_names`].
    pub sink: String,
    /// The number of this attempt, from 1. Told to nobody: receivers know a repetition by the id.
    pub attempt: u32,
    /// When this attempt is made, by the server's clock: `webhook-timestamp`. Receivers refuse one more than a few
    /// minutes off theirs.
    pub attempted_at_unix_s: i64,
    /// The event as it was recorded: JSON text `{"type":"capture.processed","timestamp":"…Z","data":{…}}`.
    pub payload: String,
}

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The sink has the event.
    Delivered,
    /// Not now; perhaps later.
    Retry {
        /// What happened, for the log and the task's row: the sink's name, and nothing secret.
        error: String,
        /// The sink asked to be left alone for so long (at most a day).
        after: Option<Duration>,
    },
    /// Never: trying again cannot help.
    Failed {
        /// What happened, as in `Retry`.
        error: String,
    },
}

/// Every sink that is configured.
pub struct Events {
    webhooks: BTreeMap<String, Webhook>,
    celery: Option<Celery>,
    metrics: Metrics,
}

impl Events {
    /// Checks the options of every sink. Connects to nothing.
    pub fn new(webhooks: Vec<WebhookOptions>, celery: Option<CeleryOptions>) -> Result<Self, OptionsError> {
        let metrics = Metrics::new();
        let celery = celery.map(|options| Celery::new(&options, metrics.celery_queue_length.clone())).transpose()?;
        let mut by_name = BTreeMap::new();
        for options in webhooks {
            if !is_name(&options.name) {
                let problem = "a name is 1 to 64 lower-case letters, digits, - and _; celery is taken";
                return Err(OptionsError::new(&options.name, problem));
            }
            let webhook = Webhook::new(&options)?;
            if by_name.insert(options.name.clone(), webhook).is_some() {
                return Err(OptionsError::new(&options.name, "two webhooks have this name"));
            }
        }
        Ok(Self { webhooks: by_name, celery, metrics })
    }

    /// The names of all sinks: each recorded event gets a delivery for each of them.
    pub fn sink_names(&self) -> Vec<String> {
        let celery = self.celery.iter().map(|_| celery::SINK.to_owned());
        self.webhooks.keys().cloned().chain(celery).collect()
    }

    /// Tries once to bring a delivery to its sink. Needs a tokio runtime with its timer.
    ///
    /// Ends within twice a webhook's timeout (once waiting for a place, once sending), or once Celery's. An attempt
    /// whose future is dropped may still arrive.
    pub async fn deliver(&self, delivery: Delivery) -> Outcome {
        let began = Instant::now();
        let sink = delivery.sink.clone();
        let outcome = match (self.webhooks.get(&sink), &self.celery) {
            (Some(webhook), _) => webhook.send(delivery).await,
            (None, Some(celery)) if sink == celery::SINK => celery.push(&delivery).await,
            // Not counted: whoever names sinks that are not there would make a label of each.
            _ => return Outcome::Failed { error: format!("{sink:?} is not among the configured sinks") },
        };
        self.metrics.attempted(&sink, &outcome, began.elapsed());
        outcome
    }

    /// Ends the webhook attempts under way; they come back as `Retry`. For the moment when draining is over: a thread
    /// that waits for a receiver would otherwise hold up the server's end until its timeout.
    pub fn close(&self) {
        for webhook in self.webhooks.values() {
            webhook.close();
        }
    }

    /// Registers the metrics of events out.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }
}

fn is_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=64).contains(&name.len()) && name.bytes().all(letter) && name != celery::SINK
}
