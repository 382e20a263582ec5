//! Delivers what it reads, for checks against other programs (`scripts/events-check`).
//!
//! Reads a delivery a line: `{"id":"<uuid>","sink":"webhook"|"celery","attempt":1,"payload":"<JSON text>"}`. Answers
//! each with a line: `{"id":…,"sink":…,"outcome":"delivered"|"retry"|"failed","error":…}`.
//!
//! From the environment: WEBHOOK_URL and WEBHOOK_SECRETS (separated by spaces), BROKER_URL and QUEUE (default
//! `celery`), ALLOW_PRIVATE_NETWORKS (separated by spaces). A sink without its URL is not there.

use std::io::{BufRead as _, Write as _};
use std::time::{SystemTime, UNIX_EPOCH};

use events::{CeleryOptions, Delivery, Events, Outcome, WebhookOptions};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Line {
    id: Uuid,
    sink: String,
    attempt: u32,
    payload: String,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let events = Events::new(webhook()?.into_iter().collect(), celery())?;
    for line in std::io::stdin().lock().lines() {
        let Line { id, sink, attempt, payload } = serde_json::from_str(&line?)?;
        let attempted_at_unix_s = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let outcome = events.deliver(Delivery { id, sink: sink.clone(), attempt, attempted_at_unix_s, payload }).await;
        let (word, error) = match outcome {
            Outcome::Delivered => ("delivered", None),
            Outcome::Retry { error, .. } => ("retry", Some(error)),
            Outcome::Failed { error } => ("failed", Some(error)),
        };
        writeln!(std::io::stdout(), "{}", json!({ "id": id, "sink": sink, "outcome": word, "error": error }))?;
    }
    Ok(())
}

fn words(name: &str) -> Vec<String> {
    std::env::var(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn webhook() -> Result<Option<WebhookOptions>, Failure> {
    let Ok(url) = std::env::var("WEBHOOK_URL") else { return Ok(None) };
    let mut options = WebhookOptions::new("webhook", url, words("WEBHOOK_SECRETS"));
    for network in words("ALLOW_PRIVATE_NETWORKS") {
        options.allow_private_networks.push(network.parse()?);
    }
    Ok(Some(options))
}

fn celery() -> Option<CeleryOptions> {
    let mut options = CeleryOptions::new(std::env::var("BROKER_URL").ok()?);
    if let Ok(queue) = std::env::var("QUEUE") {
        options.queue = queue;
    }
    Some(options)
}
