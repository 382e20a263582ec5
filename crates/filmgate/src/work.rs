//! What a task is, run: captures are processed, events delivered, and what is past its time swept out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use events::{CeleryOptions, Delivery, Events, WebhookOptions};
use intake::{Keep, ProcessOutcome};
use jiff::SignedDuration;
use jobs::{Jobs, JobsOptions, Lane, Outcome, RedisOptions, RetryPolicy, Work};
use records::{Claim, Effect, TaskKind};

use crate::app::{App, HOST, WEBHOOK};
use crate::config::{Config, Original};

/// Between two sweeps.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// What is nobody's fault (a full disk, say) is tried again after this.
const POSTPONE: Duration = Duration::from_secs(10);

/// Whose tasks a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server, which owns the folder: workers of an earlier server are dead.
    Serve,
    /// A process beside it.
    Worker,
}

/// Tasks, run by the rooms of this house.
pub struct Tasks {
    app: App,
    events: Events,
}

impl Tasks {
    /// Opens what tasks need beyond the house itself.
    ///
    /// # Errors
    /// Where the configuration of webhooks or Celery cannot be used.
    pub fn new(app: App) -> anyhow::Result<Self> {
        let events = events(&app.config)?;
        Ok(Self { app, events })
    }

    /// Adds the metrics of deliveries to a registry.
    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.events.register_metrics(registry);
    }

    /// Ends deliveries that still wait for an answer.
    pub fn close(&self) {
        self.events.close();
    }

    async fn sweep(&self) -> Outcome {
        let config = &self.app.config;
        let keep = Keep {
            idempotency: config.ingest.idempotency_keep(),
            quarantine: config.ingest.quarantine_keep(),
            tasks: config.jobs.keep(),
        };
        match self.app.intake.sweep(keep).await {
            Ok(swept) => {
                tracing::debug!(?swept, "swept");
                let now = self.app.now();
                Outcome::Success(Effect::NextSweep { at: now.checked_add(SWEEP_EVERY).unwrap_or(now) })
            }
            Err(error) => {
                tracing::warn!(%error, "sweep failed; the next one goes on");
                Outcome::Retry { error: error.to_string(), after: None }
            }
        }
    }

    async fn deliver(&self, claim: Claim) -> Outcome {
        let task = claim.task;
        if let (Some(HOST), Some(host)) = (task.sink.as_deref(), &self.app.host) {
            return host.deliver(&task).await;
        }
        let (Some(sink), Some(payload)) = (task.sink, task.payload) else {
            return Outcome::Failure { error: "the delivery names no sink or no event".to_owned() };
        };
        let attempted_at_unix_s = self.app.now().as_second();
        let delivery = Delivery { id: task.id, sink, attempt: task.attempts, attempted_at_unix_s, payload };
        match self.events.deliver(delivery).await {
            events::Outcome::Delivered => Outcome::Success(Effect::None),
            events::Outcome::Retry { error, after } => Outcome::Retry { error, after },
            events::Outcome::Failed { error } => Outcome::Failure { error },
        }
    }
}

impl Work for Tasks {
    async fn run(&self, claim: Claim) -> Outcome {
        match claim.task.kind {
            TaskKind::Process => match self.app.intake.process(&claim).await {
                ProcessOutcome::Done(effect) => Outcome::Success(effect),
                ProcessOutcome::Retry(error) => Outcome::Retry { error, after: None },
                ProcessOutcome::Postpone(error) => Outcome::Postpone { error, after: POSTPONE },
                ProcessOutcome::Failed(error) => Outcome::Failure { error },
            },
            TaskKind::Deliver => self.deliver(claim).await,
            TaskKind::Sweep => self.sweep().await,
        }
    }

    async fn settled(&self, claim: Claim) {
        // Claimed oftener than this life of it counts: it was run before, and what it made then gave way.
        let had_another_life = claim.fence > i64::from(claim.task.attempts);
        let replaces = had_another_life || self.app.config.processing.original == Original::Strip;
        if claim.task.kind == TaskKind::Process && replaces {
            self.app.intake.tidy().await;
        }
    }

    async fn discard(&self, _claim: Claim, effect: Effect) {
        self.app.intake.discard(effect).await;
    }
}

/// How this process runs tasks.
pub async fn open(app: &App, role: Role) -> anyhow::Result<Jobs> {
    let config = &app.config;
    let jobs = &config.jobs;
    let retry = RetryPolicy {
        attempts_max: jobs.attempts_max,
        delay_min: jobs.retry_delay_min(),
        delay_max: jobs.retry_delay_max(),
    };
    let (name, dead_workers_prefix) = match role {
        // On a shared catalog other servers live.
        Role::Serve if app.records.is_shared() => {
            let name = format!("serve/{}", crate::app::node_name(&config.data_dir)?);
            let of_this_node = format!("{name}/");
            (name, Some(of_this_node))
        }
        Role::Serve => ("serve".to_owned(), Some("serve/".to_owned())),
        Role::Worker => ("worker".to_owned(), None),
    };
    let options = JobsOptions {
        worker: format!("{name}/{}", uuid::Uuid::now_v7().simple()),
        dead_workers_prefix,
        lease: jobs.lease(),
        poll: jobs.poll(),
        drain: config.server.drain_deadline(),
        process: Lane { parallel: config.processing.workers, retry },
        deliver: Lane {
            parallel: DELIVERIES_PARALLEL,
            retry: RetryPolicy {
                attempts_max: config.webhook.attempts_max,
                delay_max: config.webhook.retry_delay_max(),
                ..retry
            },
        },
        sweep: Lane { parallel: usize::from(role == Role::Serve), retry },
        redis: (!jobs.redis_url.is_empty()).then(|| RedisOptions {
            url: jobs.redis_url.expose().to_owned(),
            key_prefix: format!("{}:", jobs.redis_key_prefix),
        }),
    };
    Ok(Jobs::open(app.records.clone(), options, Arc::new(crate::app::system_clock)).await?)
}

/// Deliveries under way at once: they wait for others' answers, and cost next to nothing.
const DELIVERIES_PARALLEL: usize = 8;

fn events(config: &Config) -> anyhow::Result<Events> {
    let ca_file = &config.webhook.ca_file;
    let ca_certificates_pem = (!ca_file.as_os_str().is_empty())
        .then(|| std::fs::read(ca_file).with_context(|| format!("webhook.ca_file: cannot read {}", ca_file.display())))
        .transpose()?;
    let webhook = (!config.webhook.url.is_empty()).then(|| {
        let secrets = config.webhook.secret.expose().split_whitespace().map(str::to_owned).collect();
        WebhookOptions {
            allow_private_networks: config.webhook.allow_private_networks.clone(),
            timeout: config.webhook.timeout(),
            ca_certificates_pem,
            ..WebhookOptions::new(WEBHOOK, config.webhook.url.expose(), secrets)
        }
    });
    let celery = (!config.celery.broker_url.is_empty()).then(|| CeleryOptions {
        queue: config.celery.queue.clone(),
        task_name: config.celery.task_name.clone(),
        ..CeleryOptions::new(config.celery.broker_url.expose())
    });
    Ok(Events::new(webhook.into_iter().collect(), celery)?)
}
