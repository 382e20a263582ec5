//! Deliveries and sinks for the tests.

use std::time::Duration;

use events::{Delivery, Events, Outcome, WebhookOptions};
use uuid::Uuid;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const NOW_UNIX_S: i64 = 1_764_000_000;
pub const PAYLOAD: &str = r#"{"type":"capture.stored","timestamp":"2026-11-24T08:00:00Z","data":{"size_bytes":4.50}}"#;

/// A webhook named `archive` that may go to this machine.
pub fn options(url: &str) -> WebhookOptions {
    WebhookOptions {
        allow_private_networks: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        timeout: Duration::from_secs(5),
        ..WebhookOptions::new("archive", url, vec![SECRET.to_owned()])
    }
}

pub fn events(options: WebhookOptions) -> Events {
    Events::new(vec![options], None).unwrap()
}

pub fn delivery(sink: &str) -> Delivery {
    Delivery {
        id: Uuid::now_v7(),
        sink: sink.to_owned(),
        attempt: 1,
        attempted_at_unix_s: NOW_UNIX_S,
        payload: PAYLOAD.to_owned(),
    }
}

/// The words of a `Retry`.
pub fn retry(outcome: Outcome) -> String {
    match outcome {
        Outcome::Retry { error, .. } => error,
        other => panic!("not a retry: {other:?}"),
    }
}

/// The words of a `Failed`.
pub fn failed(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed { error } => error,
        other => panic!("not failed: {other:?}"),
    }
}
