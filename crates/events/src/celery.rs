//! Events as Celery tasks: one `LPUSH` onto the queue's list in Redis.
//!
//! Promises: *Delivered* is said only when Redis answered the push; an attempt ends within its timeout; after anything
//! went wrong the connection is thrown away and the next attempt makes a new one. A push whose answer was lost may have
//! happened: the next attempt then makes a second message with the same task id.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, TlsCertificates};
use tokio::sync::Mutex;
use uuid::Uuid;

use prometheus_client::metrics::gauge::Gauge;

use crate::{CeleryOptions, Delivery, OptionsError, Outcome, envelope};

/// The name under which deliveries ask for Celery.
pub(crate) const SINK: &str = "celery";
const NAME_BYTES_MAX: usize = 255;

pub(crate) struct Celery {
    client: Client,
    key: String,
    queue: String,
    task_name: String,
    timeout: Duration,
    connection: Mutex<Option<MultiplexedConnection>>,
    queue_length: Gauge,
}

impl Celery {
    pub(crate) fn new(options: &CeleryOptions, queue_length: Gauge) -> Result<Self, OptionsError> {
        let wrong = |problem: &str| OptionsError::new(SINK, problem);
        for (name, value) in [("queue", &options.queue), ("task_name", &options.task_name)] {
            if value.is_empty() || value.len() > NAME_BYTES_MAX || value.chars().any(char::is_control) {
                return Err(wrong(&format!("{name} is 1 to {NAME_BYTES_MAX} bytes without control characters")));
            }
        }
        if options.timeout.is_zero() {
            return Err(wrong("timeout is above zero"));
        }
        let url = spelling_of_redis(&options.broker_url)
            .ok_or_else(|| wrong("broker_url begins with redis://, rediss:// or redis+socket:///"))?;
        let tls = TlsCertificates { client_tls: None, root_cert: options.ca_certificates_pem.clone() };
        let client =
            if options.ca_certificates_pem.is_some() { Client::build_with_tls(url, tls) } else { Client::open(url) };
        Ok(Self {
            client: client.map_err(|_| wrong("broker_url is not one, or its certificate authorities are not PEM"))?,
            key: format!("{}{}", options.key_prefix, options.queue),
            queue: options.queue.clone(),
            task_name: options.task_name.clone(),
            timeout: options.timeout,
            connection: Mutex::new(None),
            queue_length,
        })
    }

    pub(crate) async fn push(&self, delivery: &Delivery) -> Outcome {
        let tag = Uuid::new_v4();
        let Ok(message) = envelope::message(delivery.id, &delivery.payload, &self.task_name, &self.queue, tag) else {
            return Outcome::Failed { error: "celery: the event's payload is not JSON".to_owned() };
        };
        // One limit around it all: attempts wait for each other while one connects, and each alone might be in time.
        let pushed = tokio::time::timeout(self.timeout, async {
            let mut connection = self.connection().await?;
            redis::cmd("LPUSH").arg(&self.key).arg(&message).query_async::<i64>(&mut connection).await
        })
        .await;
        let error = match pushed {
            Ok(Ok(length)) => {
                self.queue_length.set(length);
                return Outcome::Delivered;
            }
            Ok(Err(error)) => words(&error),
            Err(_) => format!("no answer within {} s", self.timeout.as_secs_f32()),
        };
        // Whatever state it is in, the next attempt shall not inherit it.
        self.connection.lock().await.take();
        Outcome::Retry { error: format!("celery: the broker did not take the task: {error}"), after: None }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let fresh = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(connection.insert(fresh).clone())
    }
}

/// The broker's URL in the words of the Redis client, which spells a Unix socket otherwise than Celery. `None` for
/// brokers that are not Redis.
fn spelling_of_redis(broker_url: &str) -> Option<String> {
    let (scheme, rest) = broker_url.split_once(':')?;
    match scheme {
        "redis" | "rediss" | "redis+unix" | "unix" => Some(broker_url.to_owned()),
        "redis+socket" => Some(format!("redis+unix:{}", rest.replace("virtual_host=", "db="))),
        _ => None,
    }
}

/// Words without the details, in which a server may repeat what it was sent.
fn words(error: &RedisError) -> String {
    match (error.kind(), error.code()) {
        (_, Some(code)) => format!("it answered {code}"),
        (ErrorKind::AuthenticationFailed, _) => "it refused user or password".to_owned(),
        _ if error.is_timeout() => "it did not answer in time".to_owned(),
        _ if error.is_connection_refusal() => "nobody listens at its address".to_owned(),
        _ if error.is_connection_dropped() => "it closed the connection".to_owned(),
        _ => error.category().to_owned(),
    }
}
